/* SPDX-License-Identifier: MIT */
/* An instance over an upgrade in place: the process stays our child. What it does not know how to save is
 * only a spare's memory, which no other program could read: one that has been given its connection comes to
 * exec by itself.
 *
 * Of one that was reaped (a ghost) there is its name and its stderr; of one that never had work and waits to
 * be reaped, its pid. */
#include "daemon/adopt.h"
#include "daemon/backend.h"
#include "daemon/base/blob-rows.h"
#include "daemon/base/text.h"
#include "daemon/idle-connection.h"
#include "daemon/launch-private.h"
#include "daemon/pool.h"
#include "daemon/timer-save.h"
#include "daemon/traffic.h"

enum {
    INSTANCE_TAG_NUMBER = 1,
    INSTANCE_TAG_GENERATION,
    INSTANCE_TAG_PID,
    INSTANCE_TAG_STATE, /* a word; the same in the next two */
    INSTANCE_TAG_ROLE,
    INSTANCE_TAG_TIMED_OUT,
    INSTANCE_TAG_ASKED,
    INSTANCE_TAG_ONLY_TOLD,
    INSTANCE_TAG_UNREADY,
    INSTANCE_TAG_TOLD_READY,
    INSTANCE_TAG_ANSWERED,
    INSTANCE_TAG_WAITS,
    INSTANCE_TAG_STRAY,
    INSTANCE_TAG_RETIRED_AT,
    INSTANCE_TAG_PEER,
    INSTANCE_TAG_GROUPS,
    INSTANCE_TAG_SOURCE,
    INSTANCE_TAG_STARTED_USEC,
    INSTANCE_TAG_STARTED_REALTIME_USEC,
    INSTANCE_TAG_LIFETIME_TIMER, /* when it goes off: one of them is there at most; the same below */
    INSTANCE_TAG_KILL_TIMER,
    INSTANCE_TAG_START_WATCH,
    INSTANCE_TAG_CLOSED_WATCH,
    INSTANCE_TAG_ALIVE_WATCH,
    INSTANCE_TAG_ALIVE_USEC,
    INSTANCE_TAG_QUIET_USEC,
    INSTANCE_TAG_PIPES,
    INSTANCE_TAG_SLOT, /* its index, from 1 */
    INSTANCE_TAG_WORKER,
    INSTANCE_TAG_IDLE_CONNECTION,
    INSTANCE_TAG_COUNTS_TRAFFIC,
    INSTANCE_TAG_FLOW,
    INSTANCE_TAG_UNTOLD,
    INSTANCE_TAG_BORN_USEC,
    INSTANCE_TAG_ADOPTED, /* its pidfd: it is no child of ours */
    INSTANCE_TAG_GROUP,
    _INSTANCE_TAG_MAX,
};

static const BlobRow rows[] = {
    BLOB_ROW(INSTANCE_TAG_NUMBER, Instance, number),
    BLOB_ROW(INSTANCE_TAG_GENERATION, Instance, generation),
    BLOB_ROW(INSTANCE_TAG_PID, Instance, pid),
    BLOB_ROW(INSTANCE_TAG_ASKED, Instance, asked),
    BLOB_ROW(INSTANCE_TAG_ONLY_TOLD, Instance, only_told),
    BLOB_ROW(INSTANCE_TAG_UNREADY, Instance, unready),
    BLOB_ROW(INSTANCE_TAG_TOLD_READY, Instance, told_ready),
    BLOB_ROW(INSTANCE_TAG_ANSWERED, Instance, answered),
    BLOB_ROW(INSTANCE_TAG_WAITS, Instance, waits),
    BLOB_ROW(INSTANCE_TAG_STRAY, Instance, stray),
    BLOB_ROW(INSTANCE_TAG_RETIRED_AT, Instance, retired_at),
    BLOB_ROW(INSTANCE_TAG_STARTED_USEC, Instance, started_usec),
    BLOB_ROW(INSTANCE_TAG_STARTED_REALTIME_USEC, Instance, started_realtime_usec),
    BLOB_ROW(INSTANCE_TAG_ALIVE_USEC, Instance, alive_usec),
    BLOB_ROW(INSTANCE_TAG_QUIET_USEC, Instance, quiet_usec),
    BLOB_ROW(INSTANCE_TAG_COUNTS_TRAFFIC, Instance, counts_traffic),
    BLOB_ROW(INSTANCE_TAG_UNTOLD, Instance, untold),
    BLOB_ROW(INSTANCE_TAG_BORN_USEC, Instance, born_usec),
    BLOB_ROW(INSTANCE_TAG_GROUP, Instance, group),
};

static const char *const states[] = {
    [INSTANCE_RUNNING] = "running",   [INSTANCE_STARTING] = "starting", [INSTANCE_STOPPING] = "stopping",
    [INSTANCE_SPAWN_FAILED] = "none", [INSTANCE_GHOST] = "ghost",
};
static const char *const roles[] = {
    [ROLE_SERVICE] = "service", [ROLE_FORWARD] = "forward", [ROLE_BACKEND] = "backend"};

/* Which tag stands for which timer. */
static const uint16_t timer_tags[] = {
    [TIMER_LIFETIME] = INSTANCE_TAG_LIFETIME_TIMER, [TIMER_KILL] = INSTANCE_TAG_KILL_TIMER};
static const uint16_t watch_tags[] = {[WATCH_START] = INSTANCE_TAG_START_WATCH,
                                      [WATCH_CLOSED] = INSTANCE_TAG_CLOSED_WATCH,
                                      [WATCH_ALIVE] = INSTANCE_TAG_ALIVE_WATCH};

/* Saving */

static void save_groups(BlobWriter *w, const Instance *i) {
    uint64_t *groups CLEANUP_FREE = i->n_groups > 0 ? calloc(i->n_groups, sizeof(uint64_t)) : NULL;
    w->failed = w->failed || (i->n_groups > 0 && !groups);
    for (size_t k = 0; groups && k < i->n_groups; k++)
        groups[k] = i->groups[k];
    if (groups)
        blob_put_u64s(w, INSTANCE_TAG_GROUPS, groups, i->n_groups);
}

static void save_parts(BlobWriter *w, const Instance *i) {
    size_t at = blob_open(w, INSTANCE_TAG_PIPES);
    instance_save_pipes(w, i);
    blob_close(w, at);
    if (i->worker) {
        at = blob_open(w, INSTANCE_TAG_WORKER);
        worker_save(w, i->worker);
        blob_close(w, at);
    }
    if (i->idle) {
        at = blob_open(w, INSTANCE_TAG_IDLE_CONNECTION);
        idle_connection_save(w, i->idle);
        blob_close(w, at);
    }
    if (i->flow) {
        at = blob_open(w, INSTANCE_TAG_FLOW);
        flow_save(w, i->flow);
        blob_close(w, at);
    }
}

void instance_save(BlobWriter *w, const Instance *i) {
    blob_put_rows(w, rows, ELEMENTS(rows), i);
    blob_put_str(w, INSTANCE_TAG_STATE, states[i->state]);
    blob_put_str(w, INSTANCE_TAG_ROLE, roles[i->role]);
    blob_put_str(w, INSTANCE_TAG_TIMED_OUT, instance_timeout_to_string(i->timed_out));
    /* Nothing is read of one that is only to be reaped. */
    if (i->state == INSTANCE_SPAWN_FAILED)
        return;
    blob_put_bool(w, INSTANCE_TAG_UNTOLD, i->flight);
    peer_put(w, INSTANCE_TAG_PEER, &i->peer);
    save_groups(w, i);
    source_put(w, INSTANCE_TAG_SOURCE, i->source);
    timer_put(w, timer_tags[i->timer_is], i->timer);
    timer_put(w, watch_tags[i->watch_is], i->watch);
    if (i->adopted)
        blob_put_fd(w, INSTANCE_TAG_ADOPTED, sd_event_source_get_io_fd(i->adopted));
    if (i->slot)
        blob_put_u64(w, INSTANCE_TAG_SLOT, i->slot->index + 1);
    save_parts(w, i);
}

/* Restoring */

typedef struct Fields {
    BlobField by_tag[_INSTANCE_TAG_MAX]; /* tag 0: it is not there */
} Fields;

static const BlobField *get(const Fields *fields, unsigned tag) {
    return fields->by_tag[tag].tag > 0 ? &fields->by_tag[tag] : NULL;
}

static void take_word(const BlobField *f, const char *const *words, size_t n, int *to) {
    char *word CLEANUP_FREE = f ? blob_str(f) : NULL;
    for (size_t i = 0; word && i < n; i++) {
        if (words[i] && streq(words[i], word)) {
            *to = (int)i;
            return;
        }
    }
    if (f)
        blob_spoil(f->source, "an instance is '%.32s'", word ? word : "");
}

static void take_words(const Fields *fields, Instance *i) {
    int state = INSTANCE_RUNNING, role = ROLE_SERVICE;
    take_word(get(fields, INSTANCE_TAG_STATE), states, ELEMENTS(states), &state);
    take_word(get(fields, INSTANCE_TAG_ROLE), roles, ELEMENTS(roles), &role);
    i->state = (InstanceState)state;
    i->role = (InstanceRole)role;
    const BlobField *f = get(fields, INSTANCE_TAG_TIMED_OUT);
    char *word CLEANUP_FREE = f ? blob_str(f) : NULL;
    int which = word ? instance_timeout_from_string(word) : -EINVAL;
    i->timed_out = which < 0 ? TIMEOUT_NONE : (InstanceTimeout)which;
}

/* Without memory no rule that asks for one holds for it. */
static void take_groups(const BlobField *f, Instance *i) {
    size_t n = f ? f->n / sizeof(uint64_t) : 0;
    uint64_t *groups CLEANUP_FREE = n > 0 ? calloc(n, sizeof(*groups)) : NULL;
    i->groups = groups ? calloc(n, sizeof(*i->groups)) : NULL;
    if (!i->groups)
        return;
    blob_u64s(f, groups, n);
    for (i->n_groups = 0; i->n_groups < n; i->n_groups++)
        i->groups[i->n_groups] = (gid_t)groups[i->n_groups];
}

static int take_timers(const Fields *fields, Instance *i) {
    int r = 0;
    for (size_t what = 1; what < ELEMENTS(timer_tags) && r >= 0; what++)
        if (get(fields, timer_tags[what]))
            r = instance_set_timer(i, (InstanceTimer)what, blob_u64(get(fields, timer_tags[what])));
    for (size_t what = 1; what < ELEMENTS(watch_tags) && r >= 0; what++)
        if (get(fields, watch_tags[what]))
            r = instance_set_watch(i, (InstanceWatch)what, blob_u64(get(fields, watch_tags[what])));
    return r;
}

static int take_parts(const Fields *fields, Instance *i) {
    const BlobField *pipes = get(fields, INSTANCE_TAG_PIPES), *worker = get(fields, INSTANCE_TAG_WORKER),
                    *idle = get(fields, INSTANCE_TAG_IDLE_CONNECTION), *flow = get(fields, INSTANCE_TAG_FLOW);
    int r = pipes ? instance_restore_pipes(blob_enter(pipes), i) : 0;
    if (r >= 0 && get(fields, INSTANCE_TAG_ADOPTED))
        r = adopt_watch(i, blob_fd(get(fields, INSTANCE_TAG_ADOPTED)));
    if (worker && !i->service->pool)
        blob_spoil(worker->source, "a worker has no pool");
    else if (r >= 0 && worker)
        r = worker_restore(blob_enter(worker), i->service->pool, &i->worker);
    if (r >= 0 && idle)
        r = idle_connection_restore(blob_enter(idle), i, &i->idle);
    if (r >= 0 && flow)
        r = flow_restore(blob_enter(flow), i->rt->traffic, NULL, NULL, &i->flow);
    return r;
}

/* Whether the fields make a process that there can be here. */
static void check(const Instance *i, const Fields *fields, BlobSource *source) {
    const Service *s = i->service;
    const BlobField *slot = get(fields, INSTANCE_TAG_SLOT);
    if (i->pid <= 1)
        blob_spoil(source, "an instance of '%.64s' has no process", s->name);
    else if (i->state != INSTANCE_GHOST && instance_table_find(&i->rt->instances, i->pid))
        blob_spoil(source, "process %d is there twice", (int)i->pid);
    else if (slot && (blob_u64_max(slot, s->n_slots) == 0 || s->slots[blob_u64(slot) - 1].instance))
        blob_spoil(source, "process %d of '%.64s' has no slot", (int)i->pid, s->name);
}

static void count(Instance *i) {
    Service *s = i->service;
    if (i->role == ROLE_BACKEND)
        s->backend.n_processes++;
    else
        s->n_instances++;
    s->n_starting += i->unready;
    s->n_strays += i->stray;
    s->backend.n_waiting += i->waits;
    if (i->rt->next_instance < i->number)
        i->rt->next_instance = i->number;
}

/* Puts it where it belongs. */
static int enter(const Fields *fields, Instance *i) {
    bool works = i->state != INSTANCE_GHOST && i->state != INSTANCE_SPAWN_FAILED;
    const BlobField *slot = get(fields, INSTANCE_TAG_SLOT);
    int r = i->state == INSTANCE_GHOST ? 0 : instance_table_add(&i->rt->instances, i);
    if (r < 0)
        return r;
    if (slot) {
        i->slot = &i->service->slots[blob_u64(slot) - 1];
        i->slot->instance = i;
    }
    list_append(works ? &i->service->instances : &i->service->ghosts, &i->link);
    if (works)
        count(i);
    return 0;
}

int instance_restore(BlobReader in, Runtime *rt, Service *s, Instance **ret) {
    Fields fields = {0};
    BlobField f;
    Instance *i = instance_new_spare(rt, s);
    if (!i)
        return -ENOMEM;
    while (blob_next(&in, &f)) {
        if (f.tag < _INSTANCE_TAG_MAX)
            fields.by_tag[f.tag] = f;
        (void)blob_get_row(&f, rows, ELEMENTS(rows), i);
    }
    take_words(&fields, i);
    if (get(&fields, INSTANCE_TAG_PEER))
        i->peer = peer_take(get(&fields, INSTANCE_TAG_PEER));
    take_groups(get(&fields, INSTANCE_TAG_GROUPS), i);
    check(i, &fields, in.source);
    int r = take_timers(&fields, i);
    if (r >= 0)
        r = take_parts(&fields, i);
    if (r >= 0 && !blob_is_spoilt(in.source)) {
        /* Without memory its source has one less than it should. */
        if (get(&fields, INSTANCE_TAG_SOURCE))
            i->source = source_take(get(&fields, INSTANCE_TAG_SOURCE), rt->sources);
        r = enter(&fields, i);
    }
    if (r < 0 || blob_is_spoilt(in.source)) {
        instance_free(i);
        return blob_is_spoilt(in.source) ? -EBADMSG : r;
    }
    *ret = i;
    return 0;
}

void instance_resume(Instance *i) {
    notify_socket_own(i->notify);
    if (!i->untold)
        return;
    i->untold = false;
    launch_tell_start(i);
    if (!i->asked)
        launch_watch(i);
}
