/* SPDX-License-Identifier: MIT */
#include "daemon/memory-reserve.h"

#include <stdlib.h>

#include "daemon/base/clock.h"

/* What is to be free beside it before services go on, and for a control client without it. */
#define MEMORY_SPARE ((size_t)256 << 10)
#define LOOK_USEC (500 * USEC_PER_MSEC)

/* Whether so much could be had now, in one piece. */
static bool is_there(size_t n) {
    void *volatile p = malloc(n);
    bool there = p != NULL;
    free(p);
    return there;
}

static int on_look(sd_event_source *s, uint64_t usec, void *userdata) {
    MemoryReserve *r = userdata;
    uint64_t now = clock_monotonic_usec();
    (void)usec;
    if (is_there(MEMORY_KEPT + MEMORY_SPARE))
        r->kept = malloc(MEMORY_KEPT);
    if (!r->kept) {
        (void)sd_event_source_set_time(s, now + LOOK_USEC);
        (void)sd_event_source_set_enabled(s, SD_EVENT_ONESHOT);
        return 0;
    }
    r->low = false;
    eventlog_say(r->log, LOG_LEVEL_INFO, "memory", "there is memory again: services go on");
    return 0;
}

int memory_reserve_init(MemoryReserve *r, sd_event *loop, EventLog *log) {
    *r = (MemoryReserve){.kept = malloc(MEMORY_KEPT), .log = log};
    if (!r->kept)
        return -ENOMEM;
    /* Made now, for later there may be no memory for it. */
    int e = sd_event_add_time(loop, &r->timer, CLOCK_MONOTONIC, 0, USEC_PER_SEC / 10, on_look, r);
    return e < 0 ? e : sd_event_source_set_enabled(r->timer, SD_EVENT_OFF);
}

void memory_reserve_done(MemoryReserve *r) {
    free(r->kept);
    r->timer = sd_event_source_disable_unref(r->timer);
    *r = (MemoryReserve){0};
}

void memory_reserve_use(MemoryReserve *r) {
    if (!r->kept)
        return;
    free(r->kept);
    r->kept = NULL;
    r->low = true;
    (void)sd_event_source_set_time(r->timer, clock_monotonic_usec() + LOOK_USEC);
    (void)sd_event_source_set_enabled(r->timer, SD_EVENT_ONESHOT);
    eventlog_say(r->log, LOG_LEVEL_ERROR, "memory",
                 "memory has run out: services wait; %zu KiB were kept for control, reload and stop",
                 MEMORY_KEPT >> 10);
}

void memory_reserve_look(MemoryReserve *r) {
    if (r->kept && !is_there(MEMORY_SPARE))
        memory_reserve_use(r);
}
