/* SPDX-License-Identifier: MIT */
#include "services/shape-loop.h"

#include "daemon/base/clock.h"

/* How often the bell may wake the loop while connections come and go: there is nobody to tell more often. */
#define RING_INTERVAL_USEC PROGRESS_INTERVAL_USEC

typedef struct Turn {
    const LoopOps *ops;
    void *self;
    Bell *bell;
    Loop loop;
    struct pollfd *polled; /* signals, bell, listeners */
    uint64_t rung_usec;
    bool stop_told;
} Turn;

static bool is_accepting(const Turn *t, uint64_t now) {
    return t->ops->has_room && !life_is_stopping(&t->loop.life) && door_is_open(&t->loop.door, now) &&
           t->ops->has_room(t->self);
}

static uint64_t earliest(uint64_t a, uint64_t b) {
    return a < b ? a : b;
}

/* Whether the shape's people may ring at once; else the time when they may. */
static bool may_ring(const Turn *t, uint64_t now, uint64_t *ret_until) {
    *ret_until = USEC_INFINITY;
    /* Somebody's end is what the loop waits for. */
    if (life_is_stopping(&t->loop.life) || (t->ops->has_room && !t->ops->has_room(t->self)))
        return true;
    if (now - t->rung_usec >= RING_INTERVAL_USEC)
        return true;
    *ret_until = t->rung_usec + RING_INTERVAL_USEC;
    return false;
}

static void accept_some(Turn *t, const struct pollfd *polled) {
    Door *door = &t->loop.door;
    for (size_t i = door->n; i-- > 0;) {
        uint64_t now = clock_monotonic_usec();
        /* One at a time: the shapes that come here have a process or a thread for each, or serve it now. */
        if (!polled[i].revents || !is_accepting(t, now))
            continue;
        int fd = door_accept(door, i, now);
        if (fd >= 0 && t->ops->take(t->self, &t->loop, fd) < 0)
            door_pause(door, now);
    }
}

/* Attends to the shape's people and says whether to go on. */
static bool look(Turn *t, uint64_t now) {
    const LoopOps *ops = t->ops;
    Life *life = &t->loop.life;
    if (ops->attend)
        ops->attend(t->self, &t->loop, now);
    LifeWish wish = life_look(life, now, ops->waits && ops->waits(t->self));
    if (wish == LIFE_STOP)
        life_stop(life, now);
    if (life_is_stopping(life) && !t->stop_told) {
        t->stop_told = true;
        if (ops->stop)
            ops->stop(t->self);
        wish = life_look(life, now, ops->waits && ops->waits(t->self));
    }
    return wish != LIFE_END;
}

static int turn(Turn *t, bool *ret_over) {
    Life *life = &t->loop.life;
    uint64_t now = clock_monotonic_usec(), ring_until = USEC_INFINITY;
    if (t->bell && may_ring(t, now, &ring_until))
        bell_arm(t->bell);
    if (!look(t, now)) {
        *ret_over = true;
        return 0;
    }
    uint64_t until = earliest(earliest(life_until(life), ring_until), door_until(&t->loop.door, now));
    if (t->ops->until)
        until = earliest(until, t->ops->until(t->self));
    t->polled[0] = (struct pollfd){.fd = life->signals, .events = POLLIN};
    t->polled[1] = (struct pollfd){.fd = t->bell ? t->bell->fd : -1, .events = POLLIN};
    size_t n = 2 + door_fill(&t->loop.door, t->polled + 2, is_accepting(t, now));
    if (poll(t->polled, n, life_timeout(until, now)) < 0)
        return errno == EINTR || errno == ENOMEM ? 0 : -errno;
    now = clock_monotonic_usec();
    if (t->bell && bell_quiet(t->bell))
        t->rung_usec = now;
    if (t->polled[0].revents)
        (void)life_take_signals(life, now);
    accept_some(t, t->polled + 2);
    if (t->ops->has_room && t->loop.door.n == 0)
        return -ENOTCONN;
    return t->ops->failure ? t->ops->failure(t->self) : 0;
}

int loop_run(const ShapeJob *job, const LoopOps *ops, void *self, Bell *bell, bool children) {
    Turn t = {.ops = ops, .self = self, .bell = bell};
    int r = life_init(&t.loop.life, job->options, ops->count, self, children);
    if (r == 0)
        r = door_init(&t.loop.door, job);
    t.polled = calloc(2 + job->n_listeners, sizeof(*t.polled));
    if (!t.polled && r == 0)
        r = -ENOMEM;
    if (r == 0 && ops->attend)
        ops->attend(self, &t.loop, clock_monotonic_usec());
    if (r == 0)
        (void)mp_reportf("READY=1\nSTATUS=%s, serving %zu socket%s\n",
                         shape_model_to_string((ShapeModel)job->options->model), job->n_listeners,
                         job->n_listeners == 1 ? "" : "s");
    for (bool over = false; r == 0 && !over;)
        r = turn(&t, &over);
    if (ops->end)
        ops->end(self);
    life_report_end(&t.loop.life);
    free(t.polled);
    door_done(&t.loop.door);
    life_done(&t.loop.life);
    return r;
}
