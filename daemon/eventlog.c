/* SPDX-License-Identifier: MIT */
#include "daemon/eventlog.h"

#include <stdarg.h>

#include "daemon/base/clock.h"

void eventlog_init(EventLog *l, Logger *logger) {
    *l = (EventLog){.logger = logger};
    event_ring_init(&l->ring, EVENTS_KEPT, EVENTS_KEPT_BYTES);
}

void eventlog_done(EventLog *l) {
    event_ring_done(&l->ring);
}

ApiEvent eventlog_event(LogLevel level, const char *event) {
    return (ApiEvent){
        .time_usec = clock_realtime_usec(),
        .level = log_level_to_string(level),
        .event = event,
        .exit_code = -1,
        .duration_usec = USEC_INFINITY,
    };
}

/* Nearly always it is the very word of the table. */
static LogLevel level_of(const ApiEvent *e) {
    for (LogLevel level = 0; level < _LOG_LEVEL_MAX; level++)
        if (e->level == log_level_to_string(level))
            return level;
    int level = log_level_from_string(e->level);
    return level < 0 ? LOG_LEVEL_INFO : (LogLevel)level;
}

static void log_event(Logger *l, LogLevel level, const ApiEvent *e) {
    if (event_is_logged_whole(e)) {
        logger_event(l, level, e);
    } else if (event_is_logged(e)) {
        ApiEvent logged = event_logged(e);
        logger_event(l, level, &logged);
    }
}

void eventlog_emit(EventLog *l, const ApiEvent *e, EventRing *own) {
    LogLevel level = level_of(e);
    log_event(l->logger, level, e);
    /* What is told at debug level is for the log alone. */
    if (level == LOG_LEVEL_DEBUG)
        return;
    Event *copy = event_new(e);
    if (copy) {
        copy->seq = ++l->seq;
        copy->addresses = (uint8_t)l->addresses;
        if (!event_is_output(e))
            event_ring_push(&l->ring, copy);
        if (own)
            event_ring_push(own, copy);
        event_unref(copy);
    }
    if (l->follower)
        l->follower(e, l->userdata);
}

void eventlog_say(EventLog *l, LogLevel level, const char *event, const char *format, ...) {
    char *message CLEANUP_FREE = NULL;
    va_list ap;
    va_start(ap, format);
    if (vasprintf(&message, format, ap) < 0)
        message = NULL;
    va_end(ap);
    ApiEvent e = eventlog_event(level, event);
    e.message = message;
    eventlog_emit(l, &e, NULL);
}

/* Never used again for something else. */
enum {
    EVENTLOG_SEQ = 1,
    EVENTLOG_RING,
};

void eventlog_save(BlobWriter *w, const EventLog *l) {
    blob_put_u64(w, EVENTLOG_SEQ, l->seq);
    size_t at = blob_open(w, EVENTLOG_RING);
    event_ring_save(w, &l->ring);
    blob_close(w, at);
}

int eventlog_restore(BlobReader r, EventLog *l) {
    BlobField f;
    while (blob_next(&r, &f)) {
        if (f.tag == EVENTLOG_SEQ) {
            uint64_t seq = blob_u64(&f);
            l->seq = seq > l->seq ? seq : l->seq;
        } else if (f.tag == EVENTLOG_RING) {
            (void)event_ring_restore(blob_enter(&f), &l->ring);
        }
    }
    return blob_is_spoilt(r.source) ? -EBADMSG : 0;
}
