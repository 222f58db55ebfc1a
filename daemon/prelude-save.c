/* SPDX-License-Identifier: MIT */
/* Preludes over an upgrade in place: connections that have been accepted, and of which some bytes may have
 * been taken, so that nobody else could read them again. What has come since waits in their sockets. */
#include <stdlib.h>
#include <string.h>

#include "daemon/base/blob-rows.h"
#include "daemon/base/fd-kind.h"
#include "daemon/prelude-private.h"
#include "daemon/tcpmux.h"

/* Never used again for something else. */
enum {
    PRELUDES_OPEN = 1,
    PRELUDES_BLOCKED,
    PRELUDES_REST,
    PRELUDES_READING, /* one, the oldest first */
    PRELUDES_HELD,    /* the same */
};

enum {
    PRELUDE_FD = 1,
    PRELUDE_PEER,
    PRELUDE_REMOTE,
    PRELUDE_LOCAL,
    PRELUDE_ACCEPTED,
    PRELUDE_USER, /* uid, gid, pid; of a UNIX peer */
    PRELUDE_GROUPS,
    PRELUDE_SOURCE,
    PRELUDE_BY_NAME, /* it came by its service's tcpmux name */
    PRELUDE_AT_DOOR, /* if it is refused it is told so as tcpmux does */
    PRELUDE_OF_NAME, /* its name is read, and not a header */
    PRELUDE_TAKEN,   /* bytes */
    PRELUDE_UNTIL,
};

static const BlobRow rows[] = {
    BLOB_ROW(PRELUDES_BLOCKED, Preludes, blocked),
    BLOB_ROW(PRELUDES_REST, Preludes, rest_until_usec),
};

/* Saving */

static void put_connection(BlobWriter *w, const Connection *c) {
    blob_put_fd(w, PRELUDE_FD, c->fd);
    peer_put(w, PRELUDE_PEER, &c->peer);
    addr_put(w, PRELUDE_REMOTE, &c->remote);
    addr_put(w, PRELUDE_LOCAL, &c->local);
    blob_put_u64(w, PRELUDE_ACCEPTED, c->accepted_usec);
    if (c->has_credentials) {
        const uint64_t user[] = {c->uid, c->gid, (uint64_t)c->pid};
        blob_put_u64s(w, PRELUDE_USER, user, ELEMENTS(user));
    }
    if (c->n_groups > 0)
        blob_put_bytes(w, PRELUDE_GROUPS, c->groups, c->n_groups * sizeof(gid_t));
    source_put(w, PRELUDE_SOURCE, c->source);
    blob_put_bool(w, PRELUDE_BY_NAME, c->tcpmux);
    blob_put_bool(w, PRELUDE_AT_DOOR, c->last_word != NULL);
}

static void put_list(BlobWriter *w, uint16_t tag, const List *list) {
    LIST_FOREACH (p, list, Prelude, link) {
        size_t at = blob_open(w, tag);
        put_connection(w, &p->connection);
        blob_put_bool(w, PRELUDE_OF_NAME, p->data.kind == PRELUDE_NAME);
        if (p->data.n > 0)
            blob_put_bytes(w, PRELUDE_TAKEN, p->data.bytes, p->data.n);
        blob_put_u64(w, PRELUDE_UNTIL, p->until_usec);
        blob_close(w, at);
    }
}

void preludes_save(BlobWriter *w, const Service *s) {
    const Preludes *p = s->preludes;
    if (s->lets_in)
        blob_put_bool(w, PRELUDES_OPEN, true);
    if (!p)
        return;
    blob_put_rows(w, rows, ELEMENTS(rows), p);
    put_list(w, PRELUDES_READING, &p->reading);
    put_list(w, PRELUDES_HELD, &p->held);
}

/* Restoring */

static void take_user(const BlobField *f, Connection *c) {
    uint64_t user[3];
    blob_u64s(f, user, ELEMENTS(user));
    c->has_credentials = true;
    c->uid = (uid_t)user[0];
    c->gid = (gid_t)user[1];
    c->pid = (pid_t)user[2];
}

static void take_groups(const BlobField *f, Connection *c) {
    size_t n = 0;
    const void *bytes = blob_bytes(f, &n);
    if (n == 0 || n % sizeof(gid_t) != 0 || c->groups)
        return;
    c->groups = malloc(n);
    if (!c->groups)
        return;
    memcpy(c->groups, bytes, n);
    c->n_groups = n / sizeof(gid_t);
}

/* What a connection and its data are made of. */
typedef struct Parts {
    Connection connection;
    PreludeKind kind;
    const void *taken;
    size_t n_taken;
    uint64_t until_usec;
} Parts;

static void take_part(const BlobField *f, Runtime *rt, Parts *p) {
    Connection *c = &p->connection;
    switch (f->tag) {
    case PRELUDE_FD:
        if (c->fd < 0)
            c->fd = blob_fd_of(f, FD_SOCKET);
        break;
    case PRELUDE_PEER:
        c->peer = peer_take(f);
        break;
    case PRELUDE_REMOTE:
        c->remote = addr_get(f);
        break;
    case PRELUDE_LOCAL:
        c->local = addr_get(f);
        break;
    case PRELUDE_ACCEPTED:
        c->accepted_usec = blob_u64(f);
        break;
    case PRELUDE_USER:
        take_user(f, c);
        break;
    case PRELUDE_GROUPS:
        take_groups(f, c);
        break;
    case PRELUDE_SOURCE:
        if (!c->source)
            c->source = source_take(f, rt->sources);
        break;
    case PRELUDE_BY_NAME:
        c->tcpmux = blob_bool(f);
        break;
    case PRELUDE_AT_DOOR:
        c->last_word = blob_bool(f) ? TCPMUX_REFUSAL : NULL;
        break;
    case PRELUDE_OF_NAME:
        p->kind = blob_bool(f) ? PRELUDE_NAME : PRELUDE_HEADER;
        break;
    case PRELUDE_TAKEN:
        p->taken = blob_bytes(f, &p->n_taken);
        break;
    case PRELUDE_UNTIL:
        p->until_usec = blob_u64(f);
        break;
    default:
        break;
    }
}

/* A connection must not be lost: what cannot be kept spoils the blob. */
static int restore_one(BlobReader r, Service *s, bool held) {
    Parts parts = {.connection = {.fd = -EBADF}, .kind = PRELUDE_HEADER};
    BlobField f;
    while (blob_next(&r, &f))
        take_part(&f, s->rt, &parts);
    if (parts.connection.fd < 0)
        blob_spoil(r.source, "a connection that is to say who it is has no descriptor");
    Prelude *p = blob_is_spoilt(r.source) ? NULL : prelude_new(s, &parts.connection, parts.kind);
    if (!p) {
        gate_release(s->rt, &parts.connection.source);
        /* The helper that proves an upgrade has a copy; nothing is ended by it. */
        parts.connection.fd = fd_close(parts.connection.fd);
        connection_done(s->rt, &parts.connection);
        return blob_is_spoilt(r.source) ? -EBADMSG : -ENOMEM;
    }
    p->until_usec = parts.until_usec;
    if (held) {
        list_append(&s->preludes->held, &p->link);
        return 0;
    }
    int e = prelude_data_set(&p->data, parts.taken, parts.n_taken);
    if (e == -EBADMSG)
        blob_spoil(r.source, "more was taken of a connection than could belong to what it says first");
    if (e >= 0)
        e = prelude_await(p);
    if (e < 0)
        prelude_free(p);
    return e;
}

int preludes_restore(BlobReader r, Service *s) {
    Preludes found = {0};
    BlobField f;
    int e = 0;
    while (e >= 0 && blob_next(&r, &f))
        if (f.tag == PRELUDES_OPEN)
            s->lets_in = blob_bool(&f);
        else if (f.tag == PRELUDES_READING || f.tag == PRELUDES_HELD)
            e = restore_one(blob_enter(&f), s, f.tag == PRELUDES_HELD);
        else
            (void)blob_get_row(&f, rows, ELEMENTS(rows), &found);
    if (e >= 0 && (found.blocked || found.rest_until_usec > 0)) {
        Preludes *p = preludes_make(s);
        e = p ? 0 : -ENOMEM;
        if (p) {
            p->blocked = found.blocked;
            p->rest_until_usec = found.rest_until_usec;
        }
    }
    return blob_is_spoilt(r.source) ? -EBADMSG : e;
}

void preludes_abandon(Service *s) {
    if (!s->preludes)
        return;
    LIST_FOREACH_SAFE (p, &s->preludes->reading, Prelude, link)
        prelude_free(p);
    LIST_FOREACH_SAFE (p, &s->preludes->held, Prelude, link)
        prelude_free(p);
    s->preludes->overdue = sd_event_source_disable_unref(s->preludes->overdue);
    s->preludes->pass = sd_event_source_disable_unref(s->preludes->pass);
}
