/* SPDX-License-Identifier: MIT */
#pragma once
/* What wakes the loop by a time that moves with nearly every turn. As a timeout of epoll_wait(2) it would
 * have the kernel set a timer for each wait and take it back, which a virtual machine has to ask its host
 * for: some 15 us of a connection. So one timer stays set. One that rings too early finds nothing to do, and
 * is set again. */
#include <stdbool.h>
#include <stdint.h>
#include <systemd/sd-event.h>

typedef struct Alarm {
    sd_event_source *source;
    uint64_t at_usec; /* when it rings, CLOCK_MONOTONIC; USEC_INFINITY: not set */
    bool forestalled; /* others have woken the loop since it was set */
    bool needless;    /* so it was when it rang last: most of what it is set for is over before */
} Alarm;

/* 0 or a negative errno. */
int alarm_init(Alarm *a, sd_event *loop);
void alarm_done(Alarm *a);
/* Once a turn, before the loop waits: it is to be woken by @due_usec at the latest. */
void alarm_set(Alarm *a, uint64_t due_usec);
