/* SPDX-License-Identifier: MIT */
/* A process namespace (pid_namespaces(7)) has a first process, for which signals at their default do not
 * count and to which orphans come: that is no place for a service. So there are three:
 *
 *   the daemon's child ── mp-init PID PID: passes signals on, and ends as the service ended
 *     ├── first of the namespace ── mp-init: takes in orphans; with it everything in there ends
 *     └── second: the service, which takes the rest of the steps
 *
 * Each that is cloned here runs in the daemon's memory, too, on a stack of its own, while the one that made
 * it waits (CLONE_VFORK); the kernel clears a word of the plan when it has left. */
#include <errno.h>
#include <fcntl.h>
#include <linux/capability.h>
#include <linux/prctl.h>
#include <sched.h>
#include <signal.h>

#include "daemon/child-private.h"

#define DIGITS_MAX 12

/* What the first one needs of the one that makes it. */
typedef struct First {
    ChildPlan *plan;
    int read_fd, write_fd; /* it says that it is there, and lets go when nobody can look into it any more */
} First;

#if defined(__x86_64__)
static long clone_on(unsigned long flags, char *stack, volatile int *word, int (*main)(void *), void *arg) {
    long ret;
    register long r10 __asm__("r10") = (long)word;
    register long r8 __asm__("r8") = 0;
    __asm__ volatile("syscall\n\t"
                     "test %%rax, %%rax\n\t"
                     "jnz 1f\n\t"
                     "mov %[arg], %%rdi\n\t"
                     "mov %[main], %%rax\n\t"
                     "xor %%ebp, %%ebp\n\t"
                     "call *%%rax\n\t"
                     "ud2\n\t"
                     "1:"
                     : "=a"(ret)
                     : "a"(SYS_clone), "D"(flags), "S"(stack), "d"(word), "r"(r10),
                       "r"(r8), [main] "r"(main), [arg] "r"(arg)
                     : "rcx", "r11", "memory");
    return ret;
}
#elif defined(__aarch64__)
static long clone_on(unsigned long flags, char *stack, volatile int *word, int (*main)(void *), void *arg) {
    register long x8 __asm__("x8") = SYS_clone;
    register long x0 __asm__("x0") = (long)flags;
    register long x1 __asm__("x1") = (long)stack;
    register long x2 __asm__("x2") = (long)word;
    register long x3 __asm__("x3") = 0;
    register long x4 __asm__("x4") = (long)word;
    __asm__ volatile("svc #0\n\t"
                     "cbnz x0, 1f\n\t"
                     "mov x0, %[arg]\n\t"
                     "mov x1, %[main]\n\t"
                     "mov x29, #0\n\t"
                     "blr x1\n\t"
                     "brk #0\n\t"
                     "1:"
                     : "+r"(x0)
                     : "r"(x8), "r"(x1), "r"(x2), "r"(x3), "r"(x4), [main] "r"(main), [arg] "r"(arg)
                     : "memory");
    return x0;
}
#else
/* By libc, as rawcall() there. */
static long clone_on(unsigned long flags, char *stack, volatile int *word, int (*main)(void *), void *arg) {
    int pid = clone(main, stack, (int)flags, arg, word, NULL, word);
    return pid < 0 ? -errno : pid;
}
#endif

#define CLONE_FLAGS (CLONE_VM | CLONE_VFORK | CLONE_PARENT_SETTID | CLONE_CHILD_CLEARTID | SIGCHLD)

static long execute_init(int fd, char *const *argv) {
    char *none[] = {NULL};
    return rawcall(SYS_execveat, fd, (long)"", (long)argv, (long)none, AT_EMPTY_PATH);
}

/* The first one */

static long wait_for_maker(const First *first) {
    char byte = 0;
    (void)call1(SYS_close, first->read_fd);
    long r = rawcall(SYS_prctl, PR_SET_PDEATHSIG, SIGKILL, 0, 0, 0);
    /* Should the one that made it be gone by now, nobody has the other end. */
    return r < 0 ? r : call3(SYS_write, first->write_fd, (long)&byte, 1);
}

/* The pipe on 0, the program on 1, and nothing else: no connection stays open in it. */
static long keep_two(const First *first) {
    int init_fd = first->plan->sandbox.init_fd;
    long fd = call3(SYS_fcntl, first->write_fd, F_DUPFD_CLOEXEC, init_fd + 1);
    long r = fd < 0 ? fd : call3(SYS_dup3, fd, 0, 0);
    if (r >= 0)
        r = call3(SYS_dup3, init_fd, 1, O_CLOEXEC);
    return r < 0 ? r : call3(SYS_close_range, 2, ~0U, 0);
}

static int first_main(void *arg) {
    const First *first = arg;
    ChildPlan *p = first->plan;
    char name[] = "mp-init";
    char *argv[] = {name, NULL};
    child_at(p, SANDBOX_PART_PIDS, 0);
    long r = child_give_up_capabilities(0);
    if (r >= 0)
        r = child_become_user(p);
    if (r >= 0)
        r = wait_for_maker(first);
    if (r >= 0)
        r = keep_two(first);
    if (r >= 0) {
        child_at(p, SANDBOX_PART_INIT, 0);
        r = execute_init(1, argv);
    }
    p->error = (int)-r;
    child_exit();
}

/* Until it has let go of its end. */
static long await_first(const ChildPlan *p, int fd) {
    char byte = 0;
    long n = 0;
    bool there = false;
    do {
        n = call3(SYS_read, fd, (long)&byte, 1);
        there |= n > 0;
    } while (n > 0 || n == -EINTR);
    if (p->error)
        return -p->error;
    return n < 0 ? n : there ? 0 : -ECHILD;
}

static long start_first(ChildPlan *p) {
    int fds[2] = {-1, -1};
    long r = call2(SYS_pipe2, (long)fds, O_CLOEXEC);
    if (r < 0)
        return r;
    First first = {.plan = p, .read_fd = fds[0], .write_fd = fds[1]};
    long pid = clone_on(CLONE_FLAGS, p->sandbox.stack, &p->sandbox.inner, first_main, &first);
    (void)call1(SYS_close, fds[1]);
    r = pid < 0 ? pid : await_first(p, fds[0]);
    (void)call1(SYS_close, fds[0]);
    return r < 0 ? r : pid;
}

/* The outer one */

static char *put_digits(char *end, unsigned long n) {
    *--end = '\0';
    do
        *--end = (char)('0' + n % 10);
    while (n /= 10);
    return end;
}

static long keep_one(int fd) {
    long r = call3(SYS_close_range, 0, fd - 1, 0);
    return r < 0 ? r : call3(SYS_close_range, fd + 1, ~0U, 0);
}

static long follow_parent(const ChildPlan *p) {
    if (p->parent == 0)
        return 0;
    long r = rawcall(SYS_prctl, PR_SET_PDEATHSIG, SIGTERM, 0, 0, 0);
    return r >= 0 && call0(SYS_getppid) != p->parent ? -ESRCH : r;
}

static long become_outer(ChildPlan *p, long first, long service) {
    char one[DIGITS_MAX], two[DIGITS_MAX], name[] = "mp-init";
    char *argv[] = {name, put_digits(one + sizeof(one), (unsigned long)first),
                    put_digits(two + sizeof(two), (unsigned long)service), NULL};
    child_at(p, SANDBOX_PART_INIT, 0);
    /* A service that has become somebody else is still to be told. */
    long r = child_give_up_capabilities(1ULL << CAP_KILL);
    if (r >= 0)
        r = child_become_user(p);
    if (r >= 0)
        r = follow_parent(p);
    if (r >= 0)
        r = keep_one(p->sandbox.init_fd);
    return r < 0 ? r : execute_init(p->sandbox.init_fd, argv);
}

/* One that has not come to exec has left its step and errno, or was killed: then it is as if this one had
 * been. */
long child_step_pids(ChildPlan *p) {
    if (!child_has_own_pids(p))
        return 0;
    child_at(p, SANDBOX_PART_PIDS, 0);
    /* The daemon blocks those that it reads; mp-init passes all of them on, and none is to end it before it
     * can. The service unblocks them again. */
    const uint64_t all = ~(uint64_t)0;
    (void)rawcall(SYS_rt_sigprocmask, SIG_SETMASK, (long)&all, 0, sizeof(all), 0);
    long first = start_first(p);
    if (first < 0)
        return first;
    child_at(p, SANDBOX_PART_PIDS, 0);
    long service = clone_on(CLONE_FLAGS, p->sandbox.stack, &p->sandbox.inner, child_main_within, p);
    if (service < 0)
        return service;
    if (p->error || p->step != STEP_EXEC)
        child_exit();
    return become_outer(p, first, service);
}
