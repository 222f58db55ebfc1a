/* SPDX-License-Identifier: MIT */
#pragma once
/* The backend of a forward's own: a process that is started when somebody comes, awaited until it is ready,
 * and ended when nobody has been there for timeouts.idle. It has a slot, as the process of an on-demand
 * service has, for its restarts and delays; the listeners are not its own.
 *
 *     none ── somebody comes ──> starting ── ready ──> running ── idle, or its config changed ──> stopping
 *       ^──────────── ended (with a delay after failures) ─────────────────────────────────────────'
 *
 * How it gets ready: by notify, and then nobody is taken from the queue before; or by being reached
 * (backend-ready.h), and then mp-forward holds those who have come. All calls do nothing for services without
 * a backend. */
#include "daemon/service.h"

/* Whether @slot is that of a backend. */
bool slot_is_backend(const Slot *slot);
/* Its process, unless it has none, or a reload has parted it from its slot. */
Instance *backend_process(const Service *s);
/* So many of the service's slots have listeners. */
size_t service_n_listen_slots(const Service *s);

/* Somebody is there: starts what does not run. Whether he may be let in now; else later, by
 * backend_is_open(). */
bool backend_wake(Service *s);
/* Those for whom it was woken have been let in. */
void backend_end_wake(Service *s);
/* Whether it is worth looking whether somebody comes. */
bool backend_is_open(const Service *s);

/* @i passes on connections: it is there from now on; the backend has answered it; it has ended. */
void backend_on_connection(Instance *i);
void backend_answers(Instance *i);
void backend_on_connection_end(Instance *i);
/* Whether somebody who is passed on, or on his way to be, has not been answered yet. */
bool backend_is_awaited(const Service *s);

/* A process of the backend runs, or has ended. */
void backend_on_start(Instance *i);
void backend_on_end(Instance *i);
/* It could not be started, or ended before it was ready (@ran): who waits in the queue is let go. */
void backend_on_failure(Service *s, bool ran);

/* Does what follows from the facts: idle times, ends that are due. Part of service_update(). */
void backend_settle(Service *s);

/* Whether what a process of it is made of follows from @key of the config. Pure. */
bool backend_is_made_of(const char *key);
/* A reload brings @config (NULL: none). To be called before anything of @s is changed. */
void backend_begin_change(Service *s, const ServiceConfig *config);
/* The upgrade in place, once slots and instances are there; how many there are follows from them. */
void backend_save(BlobWriter *w, const Service *s);
int backend_restore(BlobReader r, Service *s); /* 0 or -EBADMSG */

/* Its slot is going to be freed. */
void backend_leave_slot(Slot *slot);
