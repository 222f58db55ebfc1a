/* SPDX-License-Identifier: MIT */
#include "daemon/alarm.h"

#include "daemon/base/clock.h"

#define NEVER_USEC (UINT64_MAX / 2)

/* It stays on, and has a time that never comes: to turn it off and on takes longer. */
static int on_time(sd_event_source *source, uint64_t usec, void *userdata) {
    Alarm *a = userdata;
    (void)usec;
    a->at_usec = USEC_INFINITY;
    a->needless = a->forestalled;
    return sd_event_source_set_time(source, NEVER_USEC);
}

int alarm_init(Alarm *a, sd_event *loop) {
    *a = (Alarm){.at_usec = USEC_INFINITY};
    int r = sd_event_add_time(loop, &a->source, CLOCK_MONOTONIC, NEVER_USEC, 1, on_time, a);
    return r < 0 ? r : sd_event_source_set_enabled(a->source, SD_EVENT_ON);
}

void alarm_done(Alarm *a) {
    a->source = sd_event_source_disable_unref(a->source);
}

void alarm_set(Alarm *a, uint64_t due_usec) {
    a->forestalled = true;
    if (a->at_usec <= due_usec)
        return;
    /* It takes no memory. */
    if (sd_event_source_set_time(a->source, due_usec) < 0)
        return;
    a->at_usec = due_usec;
    a->forestalled = false;
}
