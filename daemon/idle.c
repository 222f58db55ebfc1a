/* SPDX-License-Identifier: MIT */
#include "daemon/idle.h"

#include <fcntl.h>

#include "daemon/base/blob-rows.h"
#include "daemon/base/clock.h"
#include "daemon/service.h"
#include "daemon/sock-diag.h"
#include "daemon/timer-save.h"

/* Looks are no closer than this, unless the limit itself is. */
#define STEP_MIN_USEC USEC_PER_SEC

struct Idle {
    Slot *slot;
    const Instance *instance; /* whose it is */
    sd_event_source *timer;
    SockDiag *question;
    sd_event_source **arrivals; /* one for each listener of the slot that could be watched */
    size_t n_arrivals;
    bool arrived; /* since the last look */
    uint64_t quiet_usec, busy_usec;
};

uint64_t idle_step(uint64_t limit_usec) {
    uint64_t step = limit_usec / 4;
    if (step < STEP_MIN_USEC)
        step = limit_usec < STEP_MIN_USEC ? limit_usec : STEP_MIN_USEC;
    return step;
}

uint64_t idle_look(uint64_t *quiet_usec, bool busy, uint64_t limit_usec, uint64_t now_usec) {
    uint64_t next = now_usec + idle_step(limit_usec);
    if (busy) {
        *quiet_usec = 0;
        return next;
    }
    if (*quiet_usec == 0)
        *quiet_usec = now_usec;
    if (now_usec - *quiet_usec >= limit_usec)
        return 0;
    uint64_t due = *quiet_usec + limit_usec;
    return due < next ? due : next;
}

Idle *idle_free(Idle *i) {
    if (!i)
        return NULL;
    i->timer = sd_event_source_disable_unref(i->timer);
    i->question = sock_diag_free(i->question);
    for (size_t k = 0; k < i->n_arrivals; k++)
        sd_event_source_disable_unref(i->arrivals[k]);
    free((void *)i->arrivals);
    free(i);
    return NULL;
}

static bool is_of_slot(const Slot *slot, const Listener *l) {
    return l->slot == slot->index && listener_is_open(l);
}

static bool has_queued(const Slot *slot) {
    const Service *s = slot->service;
    for (size_t k = 0; k < s->n_listeners; k++)
        if (is_of_slot(slot, s->listeners[k]) && listener_has_queued(s->listeners[k]))
            return true;
    return false;
}

static int on_look(sd_event_source *source, uint64_t usec, void *userdata);

static void look_at(Idle *i, uint64_t at_usec) {
    if (sd_event_source_set_time(i->timer, at_usec) >= 0)
        (void)sd_event_source_set_enabled(i->timer, SD_EVENT_ONESHOT);
}

/* Whether it says what it has to do. */
static bool reports(const Idle *i) {
    return i->instance->report && i->instance->report->active >= 0;
}

static void decide(Idle *i, bool busy) {
    Slot *slot = i->slot;
    uint64_t now = clock_monotonic_usec(), limit = slot->service->config->terms->timeout_idle_usec;
    /* What has come since the look began. */
    busy = busy || i->arrived || has_queued(slot);
    if (busy)
        i->busy_usec = now;
    else if (reports(i) && i->instance->quiet_usec > i->busy_usec &&
             i->instance->quiet_usec > i->quiet_usec) /* it knows better than our looks */
        i->quiet_usec = i->instance->quiet_usec;
    uint64_t next = idle_look(&i->quiet_usec, busy, limit, now);
    if (next > 0) {
        look_at(i, next);
        return;
    }
    Instance *instance = slot->instance;
    slot->idle = idle_free(i);
    instance_time_out(instance, TIMEOUT_IDLE);
    service_update(slot->service, "idle");
}

static void on_answer(SockDiagAnswer answer, void *userdata) {
    Idle *i = userdata;
    Service *s = i->slot->service;
    i->question = sock_diag_free(i->question);
    if (answer == SOCK_DIAG_UNKNOWN && !i->slot->told_blind) {
        i->slot->told_blind = true;
        service_set_error(s, "idle", 0,
                          "whether its connections live cannot be told here: timeouts.idle holds only if it "
                          "reports ACTIVE",
                          &s->config->pos);
    }
    decide(i, answer != SOCK_DIAG_NONE);
}

/* Asks the kernel. False when there is nothing to ask: what it listens on has no connections. */
static bool ask(Idle *i) {
    const Service *s = i->slot->service;
    SockDiagTarget *targets CLEANUP_FREE = calloc(s->n_listeners + 1, sizeof(*targets));
    size_t n = 0;
    bool blind = !targets;
    for (size_t k = 0; targets && k < s->n_listeners; k++) {
        const Listener *l = s->listeners[k];
        if (!is_of_slot(i->slot, l) || !endpoint_kind_is_stream(l->kind))
            continue;
        if (sock_diag_target(l->fd, &targets[n]))
            n++;
        else
            blind = true;
    }
    if (!blind && n == 0)
        return false;
    if (blind || sock_diag_ask(s->rt->loop, targets, n, on_answer, i, &i->question) < 0)
        on_answer(SOCK_DIAG_UNKNOWN, i);
    return true;
}

static int on_look(sd_event_source *source, uint64_t usec, void *userdata) {
    Idle *i = userdata;
    (void)source;
    /* After a time without looks nobody knows what has come and gone. */
    bool busy = i->arrived || has_queued(i->slot) || clock_timer_is_late(usec, clock_monotonic_usec());
    i->arrived = false;
    for (size_t k = 0; k < i->n_arrivals; k++)
        (void)sd_event_source_set_enabled(i->arrivals[k], SD_EVENT_ONESHOT);
    if (reports(i)) {
        const Report *r = i->instance->report;
        decide(i, busy || r->active > 0 || r->queued > 0);
    } else if (busy || !ask(i)) {
        decide(i, busy);
    }
    return 0;
}

/* Once between two looks: so much is enough to know, and a busy service costs no more. */
static int on_arrival(sd_event_source *source, int fd, uint32_t revents, void *userdata) {
    Idle *i = userdata;
    (void)source;
    (void)fd;
    if (revents & EPOLLIN)
        i->arrived = true;
    return 0;
}

/* On a copy of its descriptor: the listener itself is polled by others, and may be closed before us. */
static void watch_arrivals(Idle *i, const Listener *l) {
    CLEANUP_CLOSE int fd = fcntl(l->fd, F_DUPFD_CLOEXEC, 3);
    sd_event_source *source = NULL;
    if (fd < 0 ||
        sd_event_add_io(i->slot->service->rt->loop, &source, fd, EPOLLIN | EPOLLET, on_arrival, i) < 0)
        return;
    if (sd_event_source_set_io_fd_own(source, true) >= 0)
        (void)TAKE_FD(fd);
    (void)sd_event_source_set_enabled(source, SD_EVENT_ONESHOT);
    i->arrivals[i->n_arrivals++] = source;
}

static Idle *idle_new(Slot *slot) {
    const Service *s = slot->service;
    uint64_t now = clock_monotonic_usec();
    Idle *i = calloc(1, sizeof(*i));
    if (!i)
        return NULL;
    *i = (Idle){.slot = slot, .instance = slot->instance, .busy_usec = now};
    i->arrivals = (sd_event_source **)calloc(s->n_listeners + 1, sizeof(sd_event_source *));
    if (!i->arrivals || sd_event_add_time(s->rt->loop, &i->timer, CLOCK_MONOTONIC,
                                          now + idle_step(s->config->terms->timeout_idle_usec),
                                          10 * USEC_PER_MSEC, on_look, i) < 0)
        return idle_free(i);
    for (size_t k = 0; k < s->n_listeners; k++)
        if (is_of_slot(slot, s->listeners[k]))
            watch_arrivals(i, s->listeners[k]);
    return i;
}

void idle_update(Slot *slot) {
    const Service *s = slot->service;
    /* The backend of a forward is told by its connections, and mp-forward ends by itself. */
    bool wanted = s->config->model == MODEL_ON_DEMAND &&
                  s->config->terms->timeout_idle_usec != USEC_INFINITY && slot->instance &&
                  slot->instance->state == INSTANCE_RUNNING && service_order_listens(s->order) &&
                  !s->removed && !s->rt->stopping;
    if (slot->idle && (!wanted || slot->idle->instance != slot->instance))
        slot->idle = idle_free(slot->idle);
    if (wanted && !slot->idle)
        slot->idle = idle_new(slot);
}

/* The upgrade in place */

enum {
    IDLE_ARRIVED = 1,
    IDLE_QUIET_USEC,
    IDLE_BUSY_USEC,
    IDLE_LOOK_USEC, /* missing: the kernel is just being asked */
};

static const BlobRow rows[] = {
    BLOB_ROW(IDLE_ARRIVED, Idle, arrived),
    BLOB_ROW(IDLE_QUIET_USEC, Idle, quiet_usec),
    BLOB_ROW(IDLE_BUSY_USEC, Idle, busy_usec),
};

void idle_save(BlobWriter *w, const Idle *i) {
    blob_put_rows(w, rows, ELEMENTS(rows), i);
    if (!i->question)
        timer_put(w, IDLE_LOOK_USEC, i->timer);
}

int idle_restore(BlobReader in, Slot *slot) {
    uint64_t look_usec = 0;
    BlobField f;
    Idle *i = idle_new(slot);
    if (!i)
        return -ENOMEM;
    while (blob_next(&in, &f)) {
        if (f.tag == IDLE_LOOK_USEC)
            look_usec = blob_u64(&f);
        else
            (void)blob_get_row(&f, rows, ELEMENTS(rows), i);
    }
    if (blob_is_spoilt(in.source)) {
        idle_free(i);
        return -EBADMSG;
    }
    look_at(i, look_usec);
    slot->idle = i;
    return 0;
}
