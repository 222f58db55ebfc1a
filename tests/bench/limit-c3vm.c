/* SPDX-License-Identifier: MIT */
/* limit-c3vm PORT PROGRAM: as limit-vfork, but nobody waits until the child has exec'ed: clone(CLONE_VM) on a
 * stack of its own from a pool. The kernel clears a word of the slot when the child has left the shared
 * memory, by exec or exit (CLONE_CHILD_CLEARTID): then the slot is free. The best bare loop.
 *
 * limit-duties, which is the same with DUTIES: the child has what every process of a service has to have, a
 * session of its own, no descriptor but its own, no new privileges, no blocked signals, fifteen variables of
 * environment, and a pipe at its stderr; and a line of log tells of its start and its end. What a
 * super-server adds to that is its own. */
#include <fcntl.h>
#include <linux/futex.h>
#include <sched.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <sys/prctl.h>
#include <sys/syscall.h>

#include "tests/bench/limit.h"

#define SLOTS 16
#define STACK_SIZE (16U << 10)

#ifdef DUTIES
#define HAS_DUTIES true
#else
#define HAS_DUTIES false
#endif

typedef struct Slot {
    _Atomic int busy;
    int fd;
    int error_fd;     /* for its stderr: the connection, or a pipe */
    int error_reader; /* the other end of the pipe, until the slot is used again; -1: none */
    char *const *argv;
    char *const *envp;
    _Alignas(16) char stack[STACK_SIZE];
} Slot;

/* The child shares memory with the parent, errno too, so that it may not fail in libc: it calls the kernel,
 * and what goes wrong ends it. */
static int child(void *arg) {
    const Slot *slot = arg;
    for (int target = 0; target < 3; target++)
        if (syscall(SYS_dup3, target < 2 ? slot->fd : slot->error_fd, target, 0) < 0)
            syscall(SYS_exit_group, 127);
    const unsigned long no_signals = 0;
    if (HAS_DUTIES && (syscall(SYS_close_range, 3, ~0U, 0) < 0 || syscall(SYS_setsid) < 0 ||
                       syscall(SYS_prctl, PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) < 0 ||
                       syscall(SYS_rt_sigprocmask, SIG_SETMASK, &no_signals, NULL, sizeof(no_signals)) < 0))
        syscall(SYS_exit_group, 127);
    syscall(SYS_execve, slot->argv[0], slot->argv, slot->envp);
    syscall(SYS_exit_group, 127);
    return 127;
}

/* The next slot in turn, waited for if its child has not exec'ed yet. */
static Slot *next_slot(Slot *slots, unsigned *turn) {
    Slot *slot = &slots[(*turn)++ % SLOTS];
    while (atomic_load(&slot->busy) == 1)
        (void)syscall(SYS_futex, &slot->busy, FUTEX_WAIT, 1, NULL, NULL, 0);
    return slot;
}

/* What the child that had the slot before has written: it has ended long ago. */
static void read_errors(Slot *slot) {
    char text[512];
    while (slot->error_reader >= 0 && read(slot->error_reader, text, sizeof(text)) > 0)
        continue;
    if (slot->error_reader >= 0)
        (void)close(slot->error_reader);
    slot->error_reader = -1;
}

static bool make_pipe(Slot *slot) {
    int fds[2];
    read_errors(slot);
    if (pipe2(fds, O_CLOEXEC | O_NONBLOCK) < 0)
        return false;
    slot->error_reader = fds[0];
    slot->error_fd = fds[1];
    return true;
}

static void tell(void) {
    static const char lines[] = "service: pid 12345 started, from 127.0.0.1 port 12345\n"
                                "service: pid 12345 ended, exit 0, 1 ms, from 127.0.0.1 port 12345\n";
    (void)!write(STDERR_FILENO, lines, sizeof(lines) - 1);
}

#define VARIABLES 15
static char variables[VARIABLES][64] = {"PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin",
                                        "HOME=/root",
                                        "LOGNAME=root",
                                        "USER=root",
                                        "SHELL=/bin/sh",
                                        "MP_SERVICE=service",
                                        "MP_INSTANCE=12345",
                                        "PROTO=TCP",
                                        "TCPREMOTEIP=127.0.0.1",
                                        "TCPREMOTEPORT=12345",
                                        "TCPLOCALIP=127.0.0.1",
                                        "TCPLOCALPORT=12345",
                                        "REMOTE_ADDR=127.0.0.1",
                                        "REMOTE_PORT=12345",
                                        "LANG=C.UTF-8"};

static int start(Slot *slot, int fd) {
    slot->fd = slot->error_fd = fd;
    if (HAS_DUTIES && !make_pipe(slot))
        return -1;
    atomic_store(&slot->busy, 1);
    const int flags = CLONE_VM | CLONE_CHILD_CLEARTID | SIGCHLD;
    pid_t pid = clone(child, slot->stack + STACK_SIZE, flags, slot, NULL, NULL, &slot->busy);
    if (pid < 0)
        atomic_store(&slot->busy, 0);
    if (HAS_DUTIES) {
        (void)close(slot->error_fd);
        tell();
    }
    return pid;
}

int main(int argc, char **argv) {
    static Slot slots[SLOTS];
    if (argc != 3)
        return 2;
    char *const child_argv[] = {argv[2], NULL};
    char *child_envp[VARIABLES + 1] = {NULL};
    for (size_t i = 0; HAS_DUTIES && i < VARIABLES; i++)
        child_envp[i] = variables[i];
    for (size_t i = 0; i < SLOTS; i++) {
        slots[i].argv = child_argv;
        slots[i].envp = child_envp;
        slots[i].error_reader = -1;
    }
    unsigned turn = 0;
    int listener = limit_listen(argv[1]);
    if (listener < 0)
        return limit_fail("listen");
    for (;;) {
        int fd = accept4(listener, NULL, NULL, SOCK_CLOEXEC);
        if (fd >= 0) {
            int pid = start(next_slot(slots, &turn), fd);
            (void)close(fd);
            if (pid < 0)
                return limit_fail("clone");
        } else if (errno != EINTR && errno != ECONNABORTED) {
            return limit_fail("accept");
        }
        limit_reap();
    }
}
