/* SPDX-License-Identifier: MIT */
/* mp-init: what stands around a service that has a process namespace of its own (`sandbox.private_pids`). The
 * daemon starts it, twice:
 *
 *   mp-init                 the first process of the namespace: takes in orphans, and does nothing else
 *   mp-init FIRST SERVICE   outside, parent of both: passes signals on to the service, and ends as that did,
 *                           when all of the namespace has ended
 *
 * and, for a moment, where namespaces are made ahead that all processes of a service share:
 *
 *   mp-init hold            says on descriptor 0 that it is there, and waits for its end
 *
 * SIGSTOP stops it like anybody, and nobody can pass that on: to stop the service it has to be sent to that,
 * as the daemon does. The SIGCONT behind it is passed on.
 *
 * Two for each process of a service: so it needs no libc, a few pages of memory, and starts at once. It comes
 * with all signals blocked, and never unblocks those that it is sent. */
#include <fcntl.h>
#include <linux/prctl.h>
#include <signal.h>
#include <stdbool.h>
#include <stdint.h>
#include <sys/wait.h>

#include "daemon/rawcall.h"

/* The kernel's own form of struct sigaction. */
typedef struct KernelAction {
    void *handler;
    unsigned long flags;
    void *restorer;
    uint64_t mask;
} KernelAction;

static long call(long nr, long a, long b, long c) {
    return rawcall(nr, a, b, c, 0, 0);
}

static void handle(int signal_number, uintptr_t how) {
    const KernelAction action = {.handler = (void *)how};
    (void)rawcall(SYS_rt_sigaction, signal_number, (long)&action, 0, sizeof(uint64_t), 0);
}

static _Noreturn void leave(int status) {
    for (;;)
        (void)call(SYS_exit_group, status, 0, 0);
}

/* Who may not look into it first, lets go of what it was given last: the one that started it waits for that.
 */
static void seclude(void) {
    (void)rawcall(SYS_prctl, PR_SET_DUMPABLE, 0, 0, 0, 0);
    (void)call(SYS_close_range, 0, ~0U, 0);
}

/* Those that nobody waits for are gone at once. */
static _Noreturn void be_first(void) {
    handle(SIGCHLD, (uintptr_t)SIG_IGN);
    seclude();
    for (;;)
        (void)rawcall(SYS_ppoll, 0, 0, 0, 0, 0);
}

static _Noreturn void end_by(int signal_number) {
    uint64_t mask = (uint64_t)1 << (signal_number - 1);
    long self = call(SYS_getpid, 0, 0, 0);
    handle(signal_number, (uintptr_t)SIG_DFL);
    (void)rawcall(SYS_rt_sigprocmask, SIG_UNBLOCK, (long)&mask, 0, sizeof(mask), 0);
    (void)call(SYS_kill, self, signal_number, 0);
    leave(128 + signal_number);
}

static _Noreturn void end_like(int status, long first) {
    (void)call(SYS_kill, first, SIGKILL, 0);
    while (rawcall(SYS_wait4, first, 0, 0, 0, 0) == -4 /* EINTR */)
        ;
    if (WIFSIGNALED(status))
        end_by(WTERMSIG(status));
    leave(WEXITSTATUS(status));
}

/* Whether it has ended; what else has ended is gone. */
static bool has_ended(long service, int *ret_status) {
    int status = 0;
    for (;;) {
        long pid = rawcall(SYS_wait4, service, (long)&status, WNOHANG, 0, 0);
        if (pid == 0)
            return false;
        *ret_status = pid == service ? status : 127 << 8;
        return true;
    }
}

static _Noreturn void be_outside(long first, long service) {
    const uint64_t all = ~(uint64_t)0;
    siginfo_t info;
    int status = 0;
    seclude();
    while (!has_ended(service, &status)) {
        long n = rawcall(SYS_rt_sigtimedwait, (long)&all, (long)&info, 0, sizeof(all), 0);
        if (n > 0 && n != SIGCHLD)
            (void)call(SYS_kill, service, n, 0);
    }
    end_like(status, first);
}

static _Noreturn void hold(void) {
    char byte = 0;
    if (call(SYS_write, 0, (long)&byte, 1) == 1)
        (void)call(SYS_read, 0, (long)&byte, 1);
    leave(0);
}

static long number(const char *s) {
    long n = 0;
    for (; *s >= '0' && *s <= '9' && n < 1 << 28; s++)
        n = n * 10 + (*s - '0');
    return *s ? 0 : n;
}

static int run(long argc, char *const *argv) {
    if (argc == 1 && call(SYS_getpid, 0, 0, 0) == 1)
        be_first();
    if (argc == 2 && argv[1][0] == 'h')
        hold();
    long first = argc == 3 ? number(argv[1]) : 0, service = argc == 3 ? number(argv[2]) : 0;
    if (first > 1 && service > 1)
        be_outside(first, service);
    leave(2);
}

#if RAWCALL_IS_APART
/* Its stack as execve(2) leaves it: the number of words, and they. */
__attribute__((used)) _Noreturn void start(const long *stack);
_Noreturn void start(const long *stack) {
    leave(run(stack[0], (char *const *)(uintptr_t)(stack + 1)));
}
#if defined(__x86_64__)
__asm__(
    ".globl _start\n_start:\n\txor %ebp, %ebp\n\tmov %rsp, %rdi\n\tand $-16, %rsp\n\tcall start\n\tud2\n");
#else
__asm__(".globl _start\n_start:\n\tmov x29, #0\n\tmov x0, sp\n\tbl start\n\tbrk #0\n");
#endif
#else
int main(int argc, char **argv) {
    return run(argc, argv);
}
#endif
