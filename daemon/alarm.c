/* SPDX-License-Identifier: MIT */
#include "daemon/alarm.h"

#include "daemon/base/clock.h"

static int on_time(sd_event_source *source, uint64_t usec, void *userdata) {
    Alarm *a = userdata;
    (void)source;
    (void)usec;
    a->at_usec = USEC_INFINITY;
    return 0;
}

int alarm_init(Alarm *a, sd_event *loop) {
    *a = (Alarm){.at_usec = USEC_INFINITY};
    int r = sd_event_add_time(loop, &a->source, CLOCK_MONOTONIC, UINT64_MAX / 2, 1, on_time, a);
    return r < 0 ? r : sd_event_source_set_enabled(a->source, SD_EVENT_OFF);
}

void alarm_done(Alarm *a) {
    a->source = sd_event_source_disable_unref(a->source);
}

void alarm_set(Alarm *a, uint64_t due_usec) {
    if (a->at_usec <= due_usec)
        return;
    /* Neither takes memory. */
    if (sd_event_source_set_time(a->source, due_usec) >= 0 &&
        sd_event_source_set_enabled(a->source, SD_EVENT_ONESHOT) >= 0)
        a->at_usec = due_usec;
}
