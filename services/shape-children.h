/* SPDX-License-Identifier: MIT */
#pragma once
/* The children of a shape that has processes: forked, kept in places, reaped however many end at once, and
 * ended. SIGCHLD must be blocked. */
#include <stddef.h>
#include <sys/types.h>

typedef struct Children {
    pid_t *places; /* 0: free */
    size_t room;
    size_t n; /* in use */
} Children;

int children_init(Children *c, size_t room);
void children_done(Children *c);

/* Forks into a free place, of which there must be one, told in @ret_place. Returns 1 in the child, 0 in the
 * parent, or a negative errno. The child has no status pipe: what it does its parent tells. */
int children_fork(Children *c, size_t *ret_place);

/* Called for each child that has ended, with the status of wait(2); its place is free by then. */
typedef void ChildEnded(void *self, size_t place, int status);
/* Takes in all that have ended. SIGCHLD does not queue: one signal may stand for many ends. */
void children_reap(Children *c, ChildEnded *ended, void *self);
void children_signal(const Children *c, int sig);
/* Ends all by SIGTERM, and those that are still there after a second by SIGKILL. */
void children_end(Children *c, ChildEnded *ended, void *self);
