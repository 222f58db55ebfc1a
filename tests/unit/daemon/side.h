/* SPDX-License-Identifier: MIT */
#pragma once
/* One half of a hand-over: a runtime with one service, as far as its instances need it. To be included behind
 * cmocka.h. */
#include "daemon/base/clock.h"
#include "daemon/pool.h"
#include "daemon/service-private.h"
#include "daemon/spawn.h"
#include "daemon/worker.h"
#include "tests/unit/handover.h"

#define PID 4194301 /* above what the kernel gives out, as it is set up */
#define LATER (clock_monotonic_usec() + 3600 * USEC_PER_SEC)

typedef struct Side {
    Runtime rt;
    Service s;
    ServiceTerms terms;
    ServiceConfig config;
    Slot slots[2];
    Pool pool;
    Logger *logger;
    char heard[1024];
} Side;

static inline void on_event(const ApiEvent *e, void *userdata) {
    Side *side = userdata;
    size_t n = strlen(side->heard);
    (void)snprintf(side->heard + n, sizeof(side->heard) - n, "%s:%s|", e->event, e->message);
}

static const uint8_t key[16] = "0123456789abcde";

static inline void on_settled(void *userdata) {
    (void)userdata;
}

static inline void side_init(Side *side) {
    static char name[] = "s", *no_environ[] = {NULL};
    Runtime *rt = &side->rt;
    *side = (Side){.config = {.name = name, .enabled = true}};
    side->config.terms = &side->terms;
    side->terms.timeout_start_usec = side->terms.timeout_stop_usec = 10 * USEC_PER_SEC;
    side->terms.timeout_watchdog_usec = side->terms.timeout_lifetime_usec = USEC_INFINITY;
    side->terms.timeout_idle_usec = 60 * USEC_PER_SEC;
    assert_true(sd_event_new(&rt->loop) >= 0);
    assert_int_equal(spawner_new(no_environ, &rt->spawner), 0);
    assert_int_equal(logger_new(LOG_TARGET_STDERR, &side->logger), 0);
    logger_set_level(side->logger, LOG_LEVEL_ERROR);
    eventlog_init(&rt->events, side->logger);
    late_readers_init(&rt->late_readers, &rt->fd_ceiling);
    rt->events.follower = on_event;
    rt->events.userdata = side;
    rt->environ = no_environ;
    rt->sources = sources_new(100, key);
    rt->sockets = sock_query_new();
    rt->traffic = traffic_new(rt->loop, rt->sockets, &rt->events, on_settled, NULL);
    Service *s = &side->s;
    *s = (Service){.rt = rt,
                   .name = name,
                   .id = 7,
                   .config = &side->config,
                   .limits = &side->terms.limits,
                   .slots = side->slots,
                   .n_slots = ELEMENTS(side->slots),
                   .generation = 3};
    list_init(&s->instances);
    list_init(&s->ghosts);
    list_init(&s->endings);
    event_ring_init(&s->ring, 10, 1000);
    for (size_t i = 0; i < ELEMENTS(side->slots); i++)
        side->slots[i] = (Slot){.service = s, .index = i};
    side->pool.service = s;
    list_init(&side->pool.held);
}

static inline void side_done(Side *side) {
    LIST_FOREACH_SAFE (i, &side->s.instances, Instance, link)
        instance_free(i);
    LIST_FOREACH_SAFE (i, &side->s.ghosts, Instance, link)
        instance_free(i);
    service_tell_endings(&side->s);
    instance_table_done(&side->rt.instances);
    side->pool.board = scoreboard_free(side->pool.board);
    sd_event_source_disable_unref(side->pool.delay_timer);
    sd_event_source_disable_unref(side->pool.look_timer);
    event_ring_done(&side->s.ring);
    side->s.history = history_free(side->s.history);
    free(side->s.status);
    traffic_free(side->rt.traffic);
    sock_query_free(side->rt.sockets);
    sources_free(side->rt.sources);
    spawner_free(side->rt.spawner);
    eventlog_done(&side->rt.events);
    logger_free(side->logger);
    sd_event_unref(side->rt.loop);
}

static inline void run(Side *side) {
    late_readers_look(&side->rt.late_readers, LATER);
    while (sd_event_run(side->rt.loop, 0) > 0)
        continue;
}

static inline Instance *add_instance(Side *side, InstanceState state) {
    Peer nobody = {.kind = PEER_NONE};
    Instance *i = instance_new(&side->rt, &side->s, &nobody);
    assert_non_null(i);
    i->pid = PID + (pid_t)side->rt.instances.n;
    i->state = state;
    if (state != INSTANCE_GHOST)
        assert_int_equal(instance_table_add(&side->rt.instances, i), 0);
    bool works = state != INSTANCE_GHOST && state != INSTANCE_SPAWN_FAILED;
    list_append(works ? &side->s.instances : &side->s.ghosts, &i->link);
    side->s.n_instances += works;
    return i;
}

/* What is saved of a second time is what was saved of the first. */
static inline void compare(Handover *before, const Instance *i) {
    Handover again;
    handover_begin(&again);
    instance_save(&again.w, i);
    if (!handover_is_same(before, &again))
        fail_msg("process %d has changed on its way", (int)i->pid);
    handover_end(&again);
}

/* Saves @i, and restores it in @to. NULL when the blob is spoilt. */
static inline Instance *move(const Instance *i, Side *to) {
    Handover h;
    BlobReader r = {0};
    Instance *got = NULL;
    handover_begin(&h);
    instance_save(&h.w, i);
    assert_true(handover_turn(&h, &r));
    int e = instance_restore(r, &to->rt, &to->s, &got);
    if (e < 0)
        assert_int_equal(e, -EBADMSG);
    assert_int_equal(e < 0, blob_is_spoilt(&h.source));
    if (e >= 0)
        compare(&h, got);
    handover_end(&h);
    return e < 0 ? NULL : got;
}
