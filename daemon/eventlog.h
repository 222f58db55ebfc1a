/* SPDX-License-Identifier: MIT */
#pragma once
/* Where every event goes: the log, the ring of the newest ones, and whoever follows. */
#include "daemon/event.h"
#include "daemon/logger.h"
#include "daemon/ratelimit.h"

/* Events kept of all services; of each one; and lines of output of each one. Of the bytes, lines that are
 * long fill their share with few. */
#define EVENTS_KEPT 1024
#define EVENTS_KEPT_BYTES (1U << 20)
#define EVENTS_KEPT_SERVICE 64
#define EVENTS_KEPT_SERVICE_BYTES (64U << 10)
#define LINES_KEPT_SERVICE 128
#define LINES_KEPT_SERVICE_BYTES (128U << 10)

typedef void (*EventFollower)(const ApiEvent *e, void *userdata);

typedef struct EventLog {
    Logger *logger;
    EventRing ring; /* without the output of processes, which would push out all else */
    uint64_t seq;
    LogAddresses addresses; /* as which peers are written now */
    EventFollower follower;
    void *userdata;
} EventLog;

void eventlog_init(EventLog *l, Logger *logger);
void eventlog_done(EventLog *l);

/* An event with nothing set but its time (now), level and word. */
ApiEvent eventlog_event(LogLevel level, const char *event);
/* Takes @e to the log, the ring, @own (a ring of its service's, or NULL) and the follower. */
void eventlog_emit(EventLog *l, const ApiEvent *e, EventRing *own);
/* One of the daemon's own, with a message. */
void eventlog_say(EventLog *l, LogLevel level, const char *event, const char *format, ...)
    __attribute__((format(printf, 4, 5)));

/* See handover.h. Events that come later have higher numbers than those restored. 0 or -EBADMSG. */
void eventlog_save(BlobWriter *w, const EventLog *l);
int eventlog_restore(BlobReader r, EventLog *l);
