/* SPDX-License-Identifier: MIT */
#pragma once
/* A slot of an on-demand service: listeners that start one process and belong to it until it ends. */
#include "daemon/service.h"

/* How many slots @config has: one for all listeners, or with handoff stdio one for each; a
 * forward's backend has the last one. Pure. */
size_t slot_count(const ServiceConfig *config, size_t n_listeners);
/* Whether its listeners are to be polled. */
bool slot_is_idle(const Slot *slot);
/* Something waits on one of its listeners (or it is to run without traffic): starts its process. */
void slot_activate(Slot *slot);
/* The same for those of @s that were to be started and could not be yet. */
void slots_go_on(Service *s);
/* Its process did not come to exec. */
void slot_on_start_failure(Slot *slot);
/* How its process ended. */
typedef struct SlotEnd {
    bool failed;
    bool unready; /* before it was ready */
    bool idle;    /* it was told to, having had nothing to do */
    bool starved; /* it could not be started for want of processes, descriptors or memory */
    uint64_t lived_usec;
} SlotEnd;

/* Its process ended: works out when the next may start. */
void slot_on_end(Slot *slot, const SlotEnd *end);
/* Forgets a delay. */
void slot_reset(Slot *slot);
/* Nothing is started until @at_usec, CLOCK_MONOTONIC. */
void slot_delay_until(Slot *slot, uint64_t at_usec);

/* The upgrade in place. Into one that is new; 0 or -EBADMSG. */
void slot_save(BlobWriter *w, const Slot *slot);
int slot_restore(BlobReader r, Slot *slot);
