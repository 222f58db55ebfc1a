/* SPDX-License-Identifier: MIT */
#pragma once
/* Launching: from a service and the sockets that a process is to get, to a running instance. The plan of the
 * child is worked out here; spawn.c carries it out. */
#include "daemon/service.h"

struct ucred;

/* What a per-connection process gets. */
typedef struct Connection {
    int fd;
    Peer peer;
    Addr remote, local;
    uint64_t accepted_usec; /* monotonic */
    bool has_credentials;
    uid_t uid; /* of a UNIX peer */
    gid_t gid;
    pid_t pid;
    gid_t *groups; /* all of a UNIX peer's, where rules of access want to know; owned */
    size_t n_groups;
    Source *source;        /* held for it (sources_hold()); NULL: none */
    bool tcpmux;           /* it came by its service's tcpmux name, which is to be answered */
    const char *last_word; /* sent to it, before the banner, if it is refused; NULL: nothing */
} Connection;

/* Gives up what it has, of which no process has a copy: discard_socket(). Its source is let go by
 * gate_release(). */
void connection_done(const Runtime *rt, Connection *c);
/* The same of one on the heap. Returns NULL; NULL is fine. */
Connection *connection_free(const Runtime *rt, Connection *c);

/* Starts an instance for @connection. Its descriptor is taken over where it is needed for longer; it is then
 * -EBADF. Its source and groups go over to the instance. Returns the instance, running or given to a process
 * that was set up ahead, or NULL after a failure that has been counted and told; then all is left as it was.
 */
Instance *launch_for_connection(Service *s, Connection *connection);
/* Starts the backend of a forward, which gets no socket. */
Instance *launch_backend(Service *s, Slot *slot);
/* Starts an instance that gets the listeners of @slot. */
Instance *launch_for_slot(Service *s, Slot *slot);
/* The same with @l alone, which a reload has taken from its service: for who still waits there. It is a stray
 * from the start. */
Instance *launch_for_leaving(Service *s, Listener *l);
/* Processes that are on their way to exec. Looks what has become of @i; acts upon it. To be called when it
 * has been reaped: then it is in the table no more and stays; else @i may be gone after it. */
void launch_settle(Instance *i);
/* The same for all of them. Once a turn of the loop, before events are served. */
void launch_settle_all(Runtime *rt);
/* When that is to be done again though nothing happens, from @now_usec on, CLOCK_MONOTONIC; USEC_INFINITY:
 * never. @often: so much happens. */
uint64_t launch_due(const Runtime *rt, bool often, uint64_t now_usec);
/* Whether none of the service's is on its way. */
bool launch_is_settled(const Service *s);
/* Begins to make what its processes need of the kernel, unless that is there. Whether one can be started now:
 * there is nothing to wait for, or it cannot be had, which the process will be told. @urgent: nobody can wait
 * for long. */
bool launch_prepare(Service *s, bool urgent);
/* Whether that is under way; and whether it is there, cannot be had, or is not needed. */
bool launch_is_preparing(const Service *s);
bool launch_is_prepared(const Service *s);
/* Whether one more may be on its way now; of @urgent ones so many as there may be in all. Where not, or
 * while it is being prepared, it is noted that somebody waits for that: the service is looked at when there
 * is room. */
bool launch_may_start(Service *s, bool urgent);
/* Whether somebody waits so. */
bool launch_is_awaited(const Service *s);
/* It is over, or given up. */
void launch_forget_flight(Instance *i);
/* Starts an instance of a pool, which takes @w over, also after a failure. */
struct Worker;
Instance *launch_for_worker(Service *s, struct Worker *w);
