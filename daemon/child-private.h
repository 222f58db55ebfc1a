/* SPDX-License-Identifier: MIT */
#pragma once
/* What the files of the child between fork and exec share. All of it runs in memory that is the daemon's, on
 * a small stack: system calls only (child.h). */
#include "daemon/child.h"
#include "daemon/rawcall.h"
#include "daemon/sandbox.h"

static inline long call0(long nr) {
    return rawcall(nr, 0, 0, 0, 0, 0);
}
static inline long call1(long nr, long a) {
    return rawcall(nr, a, 0, 0, 0, 0);
}
static inline long call2(long nr, long a, long b) {
    return rawcall(nr, a, b, 0, 0, 0);
}
static inline long call3(long nr, long a, long b, long c) {
    return rawcall(nr, a, b, c, 0, 0);
}

static inline _Noreturn void child_exit(void) {
    for (;;)
        (void)call1(SYS_exit_group, 127);
}

static inline bool child_has_own_pids(const ChildPlan *p) {
    return p->sandbox.plan && (p->sandbox.plan->namespaces & CLONE_NEWPID);
}

/* Leaves in the plan what of the sandbox is at work: should it fail, that was it. */
static inline void child_at(ChildPlan *p, SandboxPart part, size_t number) {
    p->sandbox.which = SANDBOX_WHICH(part, number);
}

/* They are called as they are, without a table that the loader would fill. */
#pragma GCC visibility push(hidden)

/* Steps: 0 or more, or a negative errno. */
long child_step_namespaces(ChildPlan *p);
/* In a process namespace somebody has to be the first one, and somebody outside has to be the one whom the
 * daemon knows: goes on as that, and the service's process takes the rest of the steps. */
long child_step_pids(ChildPlan *p);
long child_step_mounts(ChildPlan *p);
long child_step_users(ChildPlan *p);
/* The bounding set, before the right to change it goes with root. */
long child_step_bounds(ChildPlan *p);
/* What is kept of capabilities, after the change of user. */
long child_keep_capabilities(ChildPlan *p);
/* Landlock, then the filter of system calls. */
long child_confine(ChildPlan *p);
/* Takes all capabilities but @keep (1 << CAP_x) away for good, with all ways to get more. */
long child_give_up_capabilities(uint64_t keep);

/* The function of the service's process in a process namespace: the steps that follow child_step_pids(). */
int child_main_within(void *plan);
long child_become_user(ChildPlan *p);

#pragma GCC visibility pop
