/* SPDX-License-Identifier: MIT */
#pragma once
/* System calls without libc, for code that shares its memory with another process: no errno, no cancellation
 * points. Returns the kernel's value, a negative errno on failure. */
#include <sys/syscall.h>

/* Whether rawcall() leaves alone what libc keeps for a thread, so that the daemon may go on meanwhile. */
#if defined(__x86_64__) || defined(__aarch64__)
#define RAWCALL_IS_APART 1
#else
#define RAWCALL_IS_APART 0
#endif

#if defined(__x86_64__)
static inline long rawcall(long nr, long a, long b, long c, long d, long e) {
    long ret;
    register long r10 __asm__("r10") = d;
    register long r8 __asm__("r8") = e;
    __asm__ volatile("syscall"
                     : "=a"(ret)
                     : "a"(nr), "D"(a), "S"(b), "d"(c), "r"(r10), "r"(r8)
                     : "rcx", "r11", "memory");
    return ret;
}
#elif defined(__aarch64__)
static inline long rawcall(long nr, long a, long b, long c, long d, long e) {
    register long x8 __asm__("x8") = nr;
    register long x0 __asm__("x0") = a;
    register long x1 __asm__("x1") = b;
    register long x2 __asm__("x2") = c;
    register long x3 __asm__("x3") = d;
    register long x4 __asm__("x4") = e;
    __asm__ volatile("svc #0" : "+r"(x0) : "r"(x8), "r"(x1), "r"(x2), "r"(x3), "r"(x4) : "memory");
    return x0;
}
#else
/* Elsewhere through libc, which is sound as long as the daemon waits while the child runs (CLONE_VFORK). */
#include <errno.h>
#include <unistd.h>
static inline long rawcall(long nr, long a, long b, long c, long d, long e) {
    long ret = syscall(nr, a, b, c, d, e);
    return ret == -1 ? -errno : ret;
}
#endif
