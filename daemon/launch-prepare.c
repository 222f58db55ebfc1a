/* SPDX-License-Identifier: MIT */
/* The recipe of a service, made with the first process of a generation, so that an idle service costs nothing
 * of it. What may take the kernel its time, namespaces, is made by another process meanwhile; who wants to be
 * served waits where he is until it is there, or cannot be had. */
#include <poll.h>

#include "conf/load.h"
#include "daemon/base/clock.h"
#include "daemon/launch-private.h"

#define PATIENCE_USEC (CHILD_SECONDS_MAX * USEC_PER_SEC)
/* So long after its beginning it is waited for where nobody could be served later. */
#define SOON_USEC (20 * USEC_PER_MSEC)
/* So long after it has failed that is told to who asks for it; then it may be otherwise. */
#define FRESH_USEC USEC_PER_SEC

/* It is there, or cannot be had, which the next process is told. */
static void conclude(Recipe *recipe, int error, unsigned which) {
    recipe->made = sd_event_source_disable_unref(recipe->made);
    recipe->late = sd_event_source_disable_unref(recipe->late);
    recipe->concluded_usec = clock_monotonic_usec();
    recipe->error = error;
    recipe->which = which;
}

/* Out of the loop's epoll(7) while it is open: others that are being made may have a copy, with which it
 * would stay there. */
static void look_at_it(const Recipe *recipe, bool looks) {
    if (recipe->made)
        (void)sd_event_source_set_enabled(recipe->made, looks ? SD_EVENT_ON : SD_EVENT_OFF);
}

/* Takes what has been made; whether that is over. */
static bool take(Recipe *recipe) {
    unsigned which = 0;
    look_at_it(recipe, false);
    int r = sandbox_plan_finish(recipe->sandbox, &which);
    if (r == -EAGAIN) {
        look_at_it(recipe, true);
        return false;
    }
    conclude(recipe, r, which);
    return true;
}

static void give_up(Recipe *recipe, int error) {
    look_at_it(recipe, false);
    conclude(recipe, error, sandbox_plan_give_up(recipe->sandbox));
}

/* Those who wait to be accepted, and those who have been and wait for their turn. */
static uint64_t count_waiting(const Service *s) {
    uint64_t n = preludes_held(s);
    for (size_t i = 0; i < s->n_listeners; i++) {
        int64_t queued = 0, backlog = 0;
        listener_queue(s->listeners[i], &queued, &backlog);
        n += queued > 0 ? (uint64_t)queued : 0;
    }
    return n;
}

/* It took all its time, which nobody of those who have waited for it is to wait for once more. */
static void share_failure(const Service *s) {
    Recipe *recipe = s->recipe;
    if (s->pool || !service_config_accepts(s->config))
        return;
    recipe->shared_until_accepted = service_past(s)->counters.accepted + count_waiting(s);
}

/* Who asked for it then may have left, or been held back for long. */
static bool has_failed_long_ago(const Recipe *recipe) {
    return recipe && recipe->error < 0 && clock_monotonic_usec() - recipe->concluded_usec > FRESH_USEC;
}

/* A recipe that has failed is no more, once all have been told of that: the next one begins anew. */
static void forget_failure(Service *s) {
    const Recipe *recipe = s->recipe;
    if (has_failed_long_ago(recipe) ||
        (recipe && recipe->told && service_past(s)->counters.accepted >= recipe->shared_until_accepted))
        s->recipe = recipe_unref(s->recipe);
}

/* Who has asked for it is looked at in the next turn (launch_due()). */
static int on_made(sd_event_source *source, int fd, uint32_t revents, void *userdata) {
    Service *s = userdata;
    (void)source;
    (void)fd;
    (void)revents;
    if (take(s->recipe))
        service_update(s, NULL);
    return 0;
}

static int on_late(sd_event_source *source, uint64_t usec, void *userdata) {
    Service *s = userdata;
    uint64_t now = clock_monotonic_usec();
    if (!take(s->recipe)) {
        /* Stopped together with the daemon, it has not had its time. */
        if (clock_timer_is_late(usec, now) && sd_event_source_set_time(source, now + PATIENCE_USEC) >= 0 &&
            sd_event_source_set_enabled(source, SD_EVENT_ONESHOT) >= 0)
            return 0;
        give_up(s->recipe, -ETIMEDOUT);
        share_failure(s);
    }
    service_update(s, NULL);
    return 0;
}

static int watch(Service *s, Recipe *recipe) {
    int fd = sandbox_plan_fd(recipe->sandbox);
    int r = sd_event_add_io(s->rt->loop, &recipe->made, fd, EPOLLIN, on_made, s);
    return r < 0 ? r
                 : sd_event_add_time(s->rt->loop, &recipe->late, CLOCK_MONOTONIC,
                                     recipe->begun_usec + PATIENCE_USEC, USEC_PER_SEC / 10, on_late, s);
}

static void begin_sandbox(Service *s, Recipe *recipe) {
    const SandboxContext context = {
        .is_root = s->rt->load->euid == 0,
        .uid = s->rt->spawner->uid,
        .gid = s->rt->spawner->gid,
        .landlock_abi = landlock_abi(),
        .libexecdir = s->rt->load->libexecdir,
    };
    recipe->begun_usec = recipe->concluded_usec = clock_monotonic_usec();
    recipe->error = sandbox_plan_new(s->config, &context, &recipe->sandbox, &recipe->which);
    if (recipe->error < 0 || !sandbox_plan_is_under_way(recipe->sandbox))
        return;
    errands_note(&s->rt->errands, sandbox_plan_pid(recipe->sandbox));
    int r = watch(s, recipe);
    if (r < 0)
        give_up(recipe, r);
}

static int begin(Service *s) {
    int r = recipe_new(s->config, s->rt->environ, &s->recipe);
    if (r >= 0 && s->config->sandbox && s->config->exec)
        begin_sandbox(s, s->recipe);
    return r;
}

/* Until when this turn of the loop may wait, however many services there are for which it does. */
static uint64_t soon(Runtime *rt, uint64_t now_usec) {
    uint64_t turn = 0;
    (void)sd_event_get_iteration(rt->loop, &turn);
    if (rt->soon_usec == 0 || rt->soon_turn != turn) {
        rt->soon_turn = turn;
        rt->soon_usec = now_usec + SOON_USEC;
    }
    return rt->soon_usec;
}

static bool await(Service *s) {
    Recipe *recipe = s->recipe;
    struct pollfd p = {.fd = sandbox_plan_fd(recipe->sandbox), .events = POLLIN};
    uint64_t now = clock_monotonic_usec(), until = recipe->begun_usec + SOON_USEC, turn = soon(s->rt, now);
    if (turn < until)
        until = turn;
    int msec = now < until ? (int)((until - now) / USEC_PER_MSEC) + 1 : 0;
    return poll(&p, 1, msec) > 0 && take(recipe);
}

bool launch_is_preparing(const Service *s) {
    return s->recipe && s->recipe->sandbox && sandbox_plan_is_under_way(s->recipe->sandbox);
}

static bool needs_preparation(const Service *s) {
    return s->config->sandbox && s->config->exec;
}

bool launch_is_prepared(const Service *s) {
    return !needs_preparation(s) || (s->recipe && !launch_is_preparing(s) && !has_failed_long_ago(s->recipe));
}

bool launch_prepare(Service *s, bool urgent) {
    forget_failure(s);
    /* Without memory the process itself will find that out. */
    if (!needs_preparation(s) || (!s->recipe && begin(s) < 0))
        return true;
    return !launch_is_preparing(s) || (urgent && await(s));
}

int launch_take_recipe(Service *s, LaunchFault *fault) {
    /* Made here or before, it is used only when all of it is there. */
    int r = s->recipe ? 0 : begin(s);
    if (r < 0)
        return r;
    if (launch_is_preparing(s) && !await(s)) {
        fault->step = STEP_NAMESPACES;
        return -EAGAIN;
    }
    r = s->recipe->error;
    if (r >= 0)
        return 0;
    /* One that cannot be isolated as it is to be has none, and tries again with its next process. */
    fault->which = s->recipe->which;
    fault->step = sandbox_step(fault->which);
    (void)sandbox_where(s->recipe->sandbox, fault->which, fault->where, sizeof(fault->where));
    s->recipe->told = true;
    forget_failure(s);
    return r;
}
