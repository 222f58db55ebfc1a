/* SPDX-License-Identifier: MIT */
#pragma once
/* A pipe of a process that the daemon reads line by line: its stderr, its status pipe. Bounded per wake-up;
 * lives until the end of the stream, whatever becomes of the process. */
#include <stdbool.h>
#include <systemd/sd-event.h>

#include "daemon/base/blob.h"
#include "daemon/base/lines.h"
#include "daemon/base/list.h"

typedef struct PipeReader PipeReader;

/* Readers that the loop does not watch yet. Most processes end before LATE_READER_USEC are over, and then
 * their pipes are read once, without the calls that it takes to begin and to end watching. */
#define LATE_READER_USEC 10000ULL
typedef struct LateReaders {
    List readers;          /* the oldest first */
    const int *fd_ceiling; /* for descriptors_lift() */
} LateReaders;

void late_readers_init(LateReaders *l, const int *fd_ceiling);
/* When the loop has to look at them, CLOCK_MONOTONIC; USEC_INFINITY: there are none. */
uint64_t late_readers_due(const LateReaders *l);
/* Watches those that are due at @now_usec. */
void late_readers_look(LateReaders *l, uint64_t now_usec);

/* @emit gets each line; @end is called once at the end of the stream (or a read error) and may free the
 * reader. */
typedef void (*PipeReaderEnd)(PipeReader *r, void *userdata);

/* Reads from @fd, which it takes over in any case; with @late once it is due there, or drained. 0 or a
 * negative errno. */
int pipe_reader_new(sd_event *loop, LateReaders *late, int fd, LinesEmit emit, PipeReaderEnd end,
                    void *userdata, PipeReader **ret);
/* Who writes faster than that waits. */
typedef struct PipeLimit {
    uint64_t bytes; /* within the interval; 0: no limit */
    uint64_t interval_usec;
    uint64_t line_bytes; /* what a line counts for besides its own length */
} PipeLimit;

void pipe_reader_set_limit(PipeReader *r, PipeLimit limit);
PipeReader *pipe_reader_free(PipeReader *r); /* returns NULL; NULL is fine */
/* Reads what is there now, up to a bound, without waiting: so that last words come before the end. */
void pipe_reader_drain(PipeReader *r);

/* The upgrade in place. Without its limit, which is set again. 0, -EBADMSG or another negative errno. */
void pipe_reader_save(BlobWriter *w, const PipeReader *r);
int pipe_reader_restore(BlobReader in, sd_event *loop, LinesEmit emit, PipeReaderEnd end, void *userdata,
                        PipeReader **ret);
