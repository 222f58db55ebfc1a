/* SPDX-License-Identifier: MIT */
#pragma once
/* Errands: processes of ours without a program of their own, each for one thing that may take its time, which
 * the loop has not. The loop does not wait for their end; they are known so that they are nobody else's
 * orphans when they are reaped, and whoever asked for that is told then. */
#include <stdbool.h>
#include <stddef.h>
#include <sys/types.h>

#include "daemon/base/blob.h"

typedef void (*ErrandEnd)(void *userdata);

typedef struct Errand {
    pid_t pid;
    ErrandEnd on_end; /* or NULL */
    void *userdata;
} Errand;

typedef struct Errands {
    Errand *items;
    size_t n, capacity;
} Errands;

/* @pid is one. Without memory to note it, it is taken for an orphan later. */
void errands_note(Errands *e, pid_t pid);
/* There is memory to note the next one. 0 or -ENOMEM. */
int errands_reserve(Errands *e);
/* The same, with memory reserved, and @on_end is called when it has been reaped, unless it is forgotten
 * before. */
void errands_await(Errands *e, pid_t pid, ErrandEnd on_end, void *userdata);
void errands_forget(Errands *e, const void *userdata);
/* A child has been reaped: whether it was one of these. */
bool errands_on_end(Errands *e, pid_t pid);
void errands_done(Errands *e);

/* The upgrade in place: each as a field @tag, and back. */
void errands_save(BlobWriter *w, uint16_t tag, const Errands *e);
void errands_restore(const BlobField *f, Errands *e);

/* In such a process: closes its copies of all of the daemon's descriptors from @first on. Before it runs
 * another program close-on-exec does nothing, and what the daemon closes would not be closed for those at the
 * other end. */
void errand_close_from(int first);
