/* SPDX-License-Identifier: MIT */
#include "daemon/idle-connection.h"

#include <stdlib.h>

#include "daemon/base/blob-rows.h"
#include "daemon/base/clock.h"
#include "daemon/instance.h"
#include "daemon/runtime.h"
#include "daemon/service.h"
#include "daemon/timer-save.h"

/* Of many connections those are looked at together that are due within a hundredth of the time. */
#define ACCURACY_MIN_USEC (10 * USEC_PER_MSEC)
#define ACCURACY_MAX_USEC USEC_PER_SEC

struct IdleConnection {
    struct Instance *instance;
    bool has_name;
    SockName name;
    Movement movement;
    sd_event_source *timer;
};

static uint64_t back_from(uint64_t now_usec, uint32_t msec) {
    uint64_t usec = msec * USEC_PER_MSEC;
    return usec < now_usec ? now_usec - usec : 0;
}

static void move_to(Movement *m, uint64_t usec) {
    if (usec > m->moved_usec)
        m->moved_usec = usec;
}

bool movement_look(Movement *m, SockFate fate, const SockInfo *info, uint64_t now_usec) {
    if (fate == SOCK_GONE) {
        if (!m->gone)
            m->moved_usec = now_usec;
        m->gone = true;
        return true;
    }
    if (fate == SOCK_UNKNOWN || !info->has_figures) {
        m->moved_usec = now_usec;
        return false;
    }
    m->gone = false;
    /* Neither was later than that: there may have been acknowledgements since that acknowledged nothing. */
    if (info->received != m->received)
        move_to(m, back_from(now_usec, info->since_data_in_msec));
    if (info->acked != m->acked)
        move_to(m, back_from(now_usec, info->since_ack_in_msec));
    m->received = info->received;
    m->acked = info->acked;
    return true;
}

IdleConnection *idle_connection_free(IdleConnection *c) {
    if (!c)
        return NULL;
    c->timer = sd_event_source_disable_unref(c->timer);
    free(c);
    return NULL;
}

static uint64_t accuracy(uint64_t idle_usec) {
    uint64_t usec = idle_usec / 100;
    return usec < ACCURACY_MIN_USEC ? ACCURACY_MIN_USEC : usec > ACCURACY_MAX_USEC ? ACCURACY_MAX_USEC : usec;
}

static int on_look(sd_event_source *source, uint64_t usec, void *userdata) {
    IdleConnection *c = userdata;
    Instance *i = c->instance;
    uint64_t idle = i->service->config->terms->timeout_idle_usec, now = clock_monotonic_usec();
    SockInfo info = {0};
    (void)usec;
    if ((i->state != INSTANCE_RUNNING && i->state != INSTANCE_STARTING) || idle == USEC_INFINITY) {
        c->timer = sd_event_source_disable_unref(c->timer);
        return 0;
    }
    SockFate fate = c->has_name ? sock_query_ask(i->rt->sockets, &c->name, &info) : SOCK_GONE;
    if (!movement_look(&c->movement, fate, &info, now))
        service_tell_idle_blind(i->service, EOPNOTSUPP);
    uint64_t due = c->movement.moved_usec + idle;
    if (due > now && sd_event_source_set_time(source, due) >= 0 &&
        sd_event_source_set_enabled(source, SD_EVENT_ONESHOT) >= 0)
        return 0;
    instance_time_out(i, TIMEOUT_IDLE);
    return 0;
}

static int look_at(IdleConnection *c, uint64_t usec) {
    uint64_t idle = c->instance->service->config->terms->timeout_idle_usec;
    return sd_event_add_time(c->instance->rt->loop, &c->timer, CLOCK_MONOTONIC, usec, accuracy(idle), on_look,
                             c);
}

int idle_connection_new(Instance *i, const SockName *name, IdleConnection **ret) {
    uint64_t idle = i->service->config->terms->timeout_idle_usec, now = clock_monotonic_usec();
    IdleConnection *c = calloc(1, sizeof(*c));
    if (!c)
        return -ENOMEM;
    *c = (IdleConnection){
        .instance = i, .has_name = name != NULL, .movement = {.moved_usec = now, .gone = !name}};
    if (name)
        c->name = *name;
    int r = look_at(c, now + idle);
    if (r < 0) {
        idle_connection_free(c);
        return r;
    }
    *ret = c;
    return 0;
}

/* The upgrade in place */

enum {
    IDLE_NAME = 1,
    IDLE_RECEIVED,
    IDLE_ACKED,
    IDLE_MOVED_USEC,
    IDLE_GONE,
    IDLE_LOOK_USEC, /* when it is looked at again; missing: no more */
};

static const BlobRow rows[] = {
    BLOB_ROW(IDLE_RECEIVED, IdleConnection, movement.received),
    BLOB_ROW(IDLE_ACKED, IdleConnection, movement.acked),
    BLOB_ROW(IDLE_MOVED_USEC, IdleConnection, movement.moved_usec),
    BLOB_ROW(IDLE_GONE, IdleConnection, movement.gone),
};

void idle_connection_save(BlobWriter *w, const IdleConnection *c) {
    if (c->has_name)
        sock_name_put(w, IDLE_NAME, &c->name);
    blob_put_rows(w, rows, ELEMENTS(rows), c);
    timer_put(w, IDLE_LOOK_USEC, c->timer);
}

int idle_connection_restore(BlobReader in, Instance *i, IdleConnection **ret) {
    uint64_t look_usec = 0;
    BlobField f;
    IdleConnection *c = calloc(1, sizeof(*c));
    if (!c)
        return -ENOMEM;
    c->instance = i;
    while (blob_next(&in, &f)) {
        if (f.tag == IDLE_NAME) {
            c->name = sock_name_take(&f);
            c->has_name = true;
            sock_query_know(i->rt->sockets, &c->name);
        } else if (f.tag == IDLE_LOOK_USEC) {
            look_usec = blob_u64(&f);
        } else {
            (void)blob_get_row(&f, rows, ELEMENTS(rows), c);
        }
    }
    int r = blob_is_spoilt(in.source) ? -EBADMSG : look_usec > 0 ? look_at(c, look_usec) : 0;
    if (r < 0) {
        idle_connection_free(c);
        return r;
    }
    *ret = c;
    return 0;
}
