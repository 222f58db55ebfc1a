/* SPDX-License-Identifier: MIT */
#pragma once
/* What service.c, service-listen.c and service-tell.c share: one noun in three files. */
#include "daemon/service.h"

void service_set_config(Service *s, Config *generation_config, ServiceConfig *config, uint64_t generation);
/* What was built for its processes is built anew with the next one. */
void service_forget_process_data(Service *s);
/* Their processes become strays: they still have the listeners. */
void service_free_slots(Service *s);
/* A listener is open that was not when those who have the others were started: they make room for who has
 * all of them, as after a reload that brings one more. */
void service_hand_on_anew(Service *s);

/* Makes its listeners and slots for its config, closed. 0 or -ENOMEM. */
int service_make_listeners(Service *s);
/* Opens listener @i; whether it is open now. A failure is told once, not at each retry. */
bool service_open_listener(Service *s, size_t i);

/* At @at_usec, CLOCK_MONOTONIC, what is closed or missing is tried again. */
void service_retry_at(Service *s, uint64_t at_usec);
/* The same, later each time. */
void service_retry_later(Service *s);
/* It is not tried again, nor is what is being looked up for it taken. */
void service_end_retry(Service *s);

/* Has what it lacks looked up again; it is told until then. */
void service_look(Service *s);
/* What came of it: its config as it is now, of which it takes what it needs. It serves, or is tried again. */
void service_take_found(Service *s, ServiceConfig *found);
/* Nothing did, by @error. It is tried again. */
void service_fail_look(Service *s, int error, const char *why);
/* Its config is @found from here on, which says the same and lacks nothing. */
void service_renew_found(Service *s, ServiceConfig *found);

/* Cuts its queues, and asks for the end of what may end now. */
void service_begin_drain(Service *s);
/* Takes the drain as far as it goes now: closes what is served, asks for the end of idle processes. To be
 * called before the facts are looked at. */
void service_go_on_draining(Service *s);
/* It runs again: its queues are as long as before. */
void service_end_drain(Service *s);
/* It is looked at anew at @at_usec, CLOCK_MONOTONIC. */
void service_look_at(Service *s, uint64_t at_usec);
/* Listeners that a drain has used up and that are wanted again are opened anew. */
void service_renew_listeners(Service *s);

/* @i says, or it has shown, that it is ready. */
void service_take_ready(Service *s, Instance *i);

/* Tells that @i has ended: now, or once it is known how much has passed over its connection. */
void service_tell_end(Service *s, Instance *i, int status, ExitResult result, uint64_t lived_usec,
                      const struct rusage *usage);
/* Tells what has not been told yet, as far as it is known. */
void service_tell_endings(Service *s);
