/* SPDX-License-Identifier: MIT */
#pragma once
/* The prelude of a connection: what the daemon itself reads of it, before its service can be told who is
 * there or which service is meant. A trusted proxy's PROXY header (proxy_protocol.accept_from) comes before
 * admission; the name of a tcpmux service (model tcpmux, RFC 1078) after that service's own, and before the
 * admission of the one that was named. Nothing blocks, not one byte behind the header or the name is taken,
 * and each has PRELUDE_USEC.
 *
 *   accepted ─> header ──> served ──────────────> launched, passed on, refused
 *       │         │ late, malformed: refused        │ no room
 *       └─────────┴ left: gone                      └─> held ── room ──> served
 *
 * There is a bound for them in each service, and one in common; beyond it a service takes nobody. */
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <systemd/sd-event.h>

#include "daemon/base/blob.h"
#include "daemon/base/list.h"

struct Service;
struct Connection;

/* So long for a whole header, and for a whole name. */
#define PRELUDE_USEC (3 * USEC_PER_SEC)

/* Those of a service that has ever had one. */
typedef struct Preludes {
    List reading;             /* the oldest first */
    List held;                /* read, and waiting for room in this service, the oldest first */
    size_t n;                 /* both */
    bool blocked;             /* there was no room for one more */
    uint64_t rest_until_usec; /* nobody is passed on until then: the last one could not be started */
    sd_event_source *overdue, *pass;
} Preludes;

/* How many there are; whether some wait for room; and whether there was no room for one more. */
size_t preludes_count(const struct Service *s);
bool preludes_wait(const struct Service *s);
size_t preludes_held(const struct Service *s); /* how many do */
bool preludes_are_full(const struct Service *s);
/* Closes them all, counted as gone; and with the place for them. */
void preludes_drop(struct Service *s);
void preludes_done(struct Service *s);
/* Parts of service_update(): closes what is not to be served any more; then, once it is known whether
 * somebody may be let in (`lets_in`): those that are held get their turn. */
void preludes_settle(struct Service *s);
void preludes_open(struct Service *s);
/* One could not be started for want of something: for a moment nobody gets his turn. */
void preludes_rest(struct Service *s);
/* Those that are held cannot be served: closes them. */
void preludes_turn_away(struct Service *s, const char *why);

/* Whether a header is to be read of @c, which has been accepted: it comes from a trusted proxy. */
bool prelude_wants_header(const struct Service *s, const struct Connection *c);
/* Whether @s may accept a connection: false where it reads headers or names and as many as there may be are
 * being read; it is then `blocked` until there is room, and to be updated. */
bool prelude_has_room(struct Service *s);
/* Takes @c over, reads its header, and then hands it to serve_connection(), by then counted nowhere. */
void prelude_read_header(struct Service *s, struct Connection *c);
/* The same with the name, once @s, of model tcpmux, has admitted it: it goes to serve_connection() of the
 * service that it names. */
void prelude_read_name(struct Service *s, struct Connection *c);

/* The upgrade in place: those of a service, whose sources are there by then. 0, -EBADMSG (the blob is spoilt)
 * or -ENOMEM, as it is when there are no descriptors to poll them. */
void preludes_save(BlobWriter *w, const struct Service *s);
int preludes_restore(BlobReader r, struct Service *s);
/* For good: looks who can be passed on, or taken. */
void preludes_resume(struct Service *s);
/* Closes them all, without a word. */
void preludes_abandon(struct Service *s);
