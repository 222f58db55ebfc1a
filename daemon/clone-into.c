/* SPDX-License-Identifier: MIT */
#include "daemon/clone-into.h"

#include <errno.h>
#include <linux/sched.h>
#include <stdint.h>

#include "daemon/rawcall.h"

/* clone(2) has in its flags which signal tells of the end. */
#define SIGNAL_MASK 0xff

/* The new process has another stack, where nothing of this function is: it goes on without returning. */
#if defined(__x86_64__)
static long enter(struct clone_args *args, int (*fn)(void *), void *arg) {
    long ret;
    register void *fn_kept __asm__("r12") = (void *)(uintptr_t)fn;
    register void *arg_kept __asm__("r13") = arg;
    __asm__ volatile("syscall\n\t"
                     "testq %%rax, %%rax\n\t"
                     "jnz 1f\n\t"
                     "xorl %%ebp, %%ebp\n\t"
                     "movq %[arg], %%rdi\n\t"
                     "callq *%[fn]\n\t"
                     "hlt\n"
                     "1:"
                     : "=a"(ret)
                     : "a"(SYS_clone3), "D"(args), "S"(sizeof(*args)), [fn] "r"(fn_kept), [arg] "r"(arg_kept)
                     : "rcx", "r11", "memory");
    return ret;
}
#elif defined(__aarch64__)
static long enter(struct clone_args *args, int (*fn)(void *), void *arg) {
    register long x8 __asm__("x8") = SYS_clone3;
    register long x0 __asm__("x0") = (long)args;
    register long x1 __asm__("x1") = sizeof(*args);
    register void *fn_kept __asm__("x19") = (void *)(uintptr_t)fn;
    register void *arg_kept __asm__("x20") = arg;
    __asm__ volatile("svc #0\n\t"
                     "cbnz x0, 1f\n\t"
                     "mov x29, xzr\n\t"
                     "mov x0, %[arg]\n\t"
                     "blr %[fn]\n\t"
                     "brk #0\n"
                     "1:"
                     : "+r"(x0)
                     : "r"(x8), "r"(x1), [fn] "r"(fn_kept), [arg] "r"(arg_kept)
                     : "memory");
    return x0;
}
#else
static long enter(struct clone_args *args, int (*fn)(void *), void *arg) {
    (void)args;
    (void)fn;
    (void)arg;
    return -ENOSYS;
}
#endif

pid_t clone_into(int (*fn)(void *), void *stack, size_t size, int flags, void *arg, void *child_tid,
                 int cgroup) {
    uint64_t into = CLONE_INTO_CGROUP;
    struct clone_args args = {
        .flags = (uint32_t)(flags & ~SIGNAL_MASK) | into,
        .child_tid = (uintptr_t)child_tid,
        .exit_signal = (unsigned)(flags & SIGNAL_MASK),
        .stack = (uintptr_t)stack,
        .stack_size = size,
        .cgroup = (unsigned)cgroup,
    };
    return (pid_t)enter(&args, fn, arg);
}
