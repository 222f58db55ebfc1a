/* SPDX-License-Identifier: MIT */
/* limit-c3vm PORT PROGRAM: as limit-vfork, but nobody waits until the child has exec'ed: clone(CLONE_VM) on a
 * stack of its own from a pool. The kernel clears a word of the slot when the child has left the shared
 * memory, by exec or exit (CLONE_CHILD_CLEARTID): then the slot is free. The best bare loop. */
#include <linux/futex.h>
#include <sched.h>
#include <stdatomic.h>
#include <sys/syscall.h>

#include "tests/bench/limit.h"

#define SLOTS 16
#define STACK_SIZE (16U << 10)

typedef struct Slot {
    _Atomic int busy;
    int fd;
    char *const *argv;
    char *const *envp;
    _Alignas(16) char stack[STACK_SIZE];
} Slot;

/* The child shares memory with the parent, errno too, so that it may not fail in libc: it calls the kernel,
 * and what goes wrong ends it. */
static int child(void *arg) {
    const Slot *slot = arg;
    for (int target = 0; target < 3; target++)
        if (syscall(SYS_dup3, slot->fd, target, 0) < 0)
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

static int start(Slot *slot, int fd) {
    slot->fd = fd;
    atomic_store(&slot->busy, 1);
    const int flags = CLONE_VM | CLONE_CHILD_CLEARTID | SIGCHLD;
    pid_t pid = clone(child, slot->stack + STACK_SIZE, flags, slot, NULL, NULL, &slot->busy);
    if (pid < 0)
        atomic_store(&slot->busy, 0);
    return pid;
}

int main(int argc, char **argv) {
    static Slot slots[SLOTS];
    if (argc != 3)
        return 2;
    char *const child_argv[] = {argv[2], NULL};
    char *const child_envp[] = {NULL};
    for (size_t i = 0; i < SLOTS; i++) {
        slots[i].argv = child_argv;
        slots[i].envp = child_envp;
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
