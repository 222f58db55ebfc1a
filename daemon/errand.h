/* SPDX-License-Identifier: MIT */
#pragma once
/* Errands: processes of ours without a program of their own, each for one thing that may take its time, which
 * the loop has not. Nobody waits for their end; they are known only so that they are nobody else's orphans
 * when they are reaped. */
#include <stdbool.h>
#include <stddef.h>
#include <sys/types.h>

typedef struct Errands {
    pid_t *pids;
    size_t n, capacity;
} Errands;

/* @pid is one. Without memory to note it, it is taken for an orphan later. */
void errands_note(Errands *e, pid_t pid);
/* A child has been reaped: whether it was one of these. */
bool errands_on_end(Errands *e, pid_t pid);
void errands_done(Errands *e);

/* In such a process: closes its copies of all of the daemon's descriptors from @first on. Before it runs
 * another program close-on-exec does nothing, and what the daemon closes would not be closed for those at the
 * other end. */
void errand_close_from(int first);
