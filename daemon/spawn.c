/* SPDX-License-Identifier: MIT */
#include "daemon/spawn.h"

#include <fcntl.h>
#include <signal.h>
#include <string.h>
#include <sys/mman.h>

#include "daemon/base/errors.h"
#include "daemon/process-reserve.h"

/* The deepest chain of child_main() takes a few hundred bytes; the kernel's frame of a signal never lies
 * here. */
#define STACK_SIZE ((size_t)16384)
#define GUARD_SIZE ((size_t)4096)

/* PF_FORKNOEXEC of the kernel's sched.h, the same since 2.4. */
#define FORKED_WITHOUT_EXEC 0x40U

struct Spawner {
    char *stack; /* the guard first */
};

int spawner_new(Spawner **ret) {
    CLEANUP(spawner_freep) Spawner *s = calloc(1, sizeof(*s));
    if (!s)
        return -ENOMEM;
    void *p = mmap(NULL, GUARD_SIZE + STACK_SIZE, PROT_READ | PROT_WRITE,
                   MAP_PRIVATE | MAP_ANONYMOUS | MAP_STACK, -1, 0);
    if (p == MAP_FAILED)
        return -ENOMEM;
    s->stack = p;
    if (mprotect(p, GUARD_SIZE, PROT_NONE) < 0)
        return -errno;
    *ret = TAKE_PTR(s);
    return 0;
}

Spawner *spawner_free(Spawner *s) {
    if (s && s->stack)
        (void)munmap(s->stack, GUARD_SIZE + STACK_SIZE);
    free(s);
    return NULL;
}

int child_plan_move_fd(ChildPlan *plan, int source, int target) {
    if (plan->n_moves == CHILD_FDS_MAX)
        return -E2BIG;
    plan->moves[plan->n_moves++] = (FdMove){.source = source, .target = target};
    if (target >= plan->first_closed)
        plan->first_closed = target + 1;
    return 0;
}

SpawnStep spawn_clone_step(int error) {
    /* clone(2): EAGAIN and ENOSPC are limits of processes, of the user, of the cgroup or of the machine. */
    return error == EAGAIN || error == ENOSPC ? STEP_LIMIT : STEP_FORK;
}

bool spawn_came_to_exec(pid_t pid) {
    char path[32], text[512];
    (void)snprintf(path, sizeof(path), "/proc/%d/stat", (int)pid);
    CLEANUP_CLOSE int fd = open(path, O_RDONLY | O_CLOEXEC);
    ssize_t n = fd < 0 ? -1 : read(fd, text, sizeof(text) - 1);
    if (n <= 0)
        return true;
    text[n] = '\0';
    /* proc(5): "pid (comm) state ppid pgrp session tty_nr tpgid flags"; comm may have anything in it. */
    const char *at = strrchr(text, ')');
    unsigned flags = 0;
    if (!at || sscanf(at + 1, " %*c %*d %*d %*d %*d %*d %u", &flags) != 1)
        return true;
    return !(flags & FORKED_WITHOUT_EXEC);
}

bool spawn_is_starved(SpawnStep step, int error) {
    /* execve(2), setuid(2): EAGAIN is the user's limit of processes. Too little memory for a program may be
     * the service's own limit. */
    if (error == EAGAIN)
        return true;
    return (step == STEP_LIMIT || step == STEP_FORK || step == STEP_FDS) && errno_is_resource(error);
}

int spawner_start(Spawner *s, ChildPlan *plan, pid_t *ret_pid) {
    plan->step = STEP_FORK;
    plan->error = 0;
    *ret_pid = 0;
    ProcessReserve reserve = process_reserve_hold();
    plan->processes = reserve.held ? reserve.before.rlim_cur : 0;
    pid_t pid = clone(child_main, s->stack + GUARD_SIZE + STACK_SIZE, CLONE_VM | CLONE_VFORK | SIGCHLD, plan);
    int e = errno;
    process_reserve_let_go(&reserve);
    if (pid < 0) {
        plan->step = spawn_clone_step(e);
        plan->error = e;
        return -e;
    }
    *ret_pid = pid;
    if (plan->error)
        return -plan->error;
    /* Ended without a word before it came to exec: killed from outside. */
    if (plan->step != STEP_EXEC) {
        plan->error = ESRCH;
        return -ESRCH;
    }
    return 0;
}
