/* SPDX-License-Identifier: MIT */
/* What is expected of an instance while it runs: that it becomes ready in time, and gives signs of life from
 * then on. */
#include "conf/value.h"
#include "daemon/base/clock.h"
#include "daemon/base/text.h"
#include "daemon/instance.h"
#include "daemon/service.h"

/* A process that ends closes its pipes first: its end is then told, and not that they are closed. */
#define CLOSED_GRACE_USEC (200 * USEC_PER_MSEC)

static const char *const timeouts[_INSTANCE_TIMEOUT_MAX] = {
    [TIMEOUT_START] = "timeouts.start",
    [TIMEOUT_IDLE] = "timeouts.idle",
    [TIMEOUT_LIFETIME] = "timeouts.lifetime",
    [TIMEOUT_WATCHDOG] = "timeouts.watchdog",
};
DEFINE_STRTAB(instance_timeout, InstanceTimeout, timeouts);

void instance_unwatch(Instance *i) {
    i->watch = sd_event_source_disable_unref(i->watch);
}

void instance_time_out(Instance *i, InstanceTimeout which) {
    /* What was asked for stays that. */
    if (!i->asked && i->timed_out == TIMEOUT_NONE)
        i->timed_out = which;
    instance_stop(i, i->service->config->terms->timeout_stop_usec);
}

/* "not ready within 30s (timeouts.start)" */
static void tell_timeout(Instance *i, const char *step, const char *what, uint64_t usec,
                         InstanceTimeout which) {
    Service *s = i->service;
    const char *key = instance_timeout_to_string(which);
    CLEANUP_TEXT Text text = {0};
    text_addf(&text, "%s within ", what);
    value_duration_format(usec, &text);
    text_addf(&text, " (%s)", key);
    service_set_error(s, step, ETIMEDOUT, text.s ? text.s : what, &s->config->pos);
}

/* What it has said is read before it is blamed for its silence. Whether the daemon itself was away: then it
 * has the time that it has missed once more. */
static bool was_away(Instance *i, uint64_t due_usec, uint64_t *ret_now_usec) {
    instance_drain_reports(i);
    *ret_now_usec = clock_monotonic_usec();
    return clock_timer_is_late(due_usec, *ret_now_usec);
}

static int on_start_over(sd_event_source *source, uint64_t usec, void *userdata) {
    Instance *i = userdata;
    uint64_t now = 0, limit = i->service->config->terms->timeout_start_usec;
    (void)source;
    bool away = was_away(i, usec, &now);
    if (i->state != INSTANCE_STARTING ||
        (away && instance_set_watch(i, WATCH_START, now + (now - usec < limit ? now - usec : limit)) >= 0))
        return 0;
    tell_timeout(i, "start", "not ready", i->service->config->terms->timeout_start_usec, TIMEOUT_START);
    instance_time_out(i, TIMEOUT_START);
    return 0;
}

/* WATCHDOG=1 only notes the time; the timer follows when it is due. */
static int on_watchdog(sd_event_source *source, uint64_t usec, void *userdata) {
    Instance *i = userdata;
    uint64_t limit = i->service->config->terms->timeout_watchdog_usec, now = 0;
    if (limit == USEC_INFINITY) {
        instance_unwatch(i);
        return 0;
    }
    if (was_away(i, usec, &now))
        i->alive_usec = now;
    /* The last of what it said may have been that it ends. */
    if (!i->watch)
        return 0;
    uint64_t due = i->alive_usec + limit;
    if (usec < due && sd_event_source_set_time(source, due) >= 0 &&
        sd_event_source_set_enabled(source, SD_EVENT_ONESHOT) >= 0)
        return 0;
    tell_timeout(i, "watchdog", "no sign of life", limit, TIMEOUT_WATCHDOG);
    instance_time_out(i, TIMEOUT_WATCHDOG);
    return 0;
}

static int begin_watchdog(Instance *i) {
    uint64_t limit = i->service->config->terms->timeout_watchdog_usec;
    instance_unwatch(i);
    if (limit == USEC_INFINITY)
        return 0;
    i->alive_usec = clock_monotonic_usec();
    return instance_set_watch(i, WATCH_ALIVE, i->alive_usec + limit);
}

int instance_watch(Instance *i) {
    return i->service->config->notify == NOTIFY_NONE ? begin_watchdog(i) : instance_await(i);
}

int instance_await(Instance *i) {
    const ServiceConfig *c = i->service->config;
    i->state = INSTANCE_STARTING;
    i->unready = true;
    i->service->n_starting++;
    return instance_set_watch(i, WATCH_START, i->started_usec + c->terms->timeout_start_usec);
}

void instance_set_ready(Instance *i) {
    if (i->state != INSTANCE_STARTING)
        return;
    i->unready = false;
    i->service->n_starting--;
    i->state = INSTANCE_RUNNING;
    if (begin_watchdog(i) < 0)
        service_set_error(i->service, "watchdog", ENOMEM, NULL, &i->service->config->pos);
}

void instance_set_alive(Instance *i) {
    i->alive_usec = clock_monotonic_usec();
}

void instance_trigger_watchdog(Instance *i) {
    if (i->state != INSTANCE_RUNNING || i->service->config->terms->timeout_watchdog_usec == USEC_INFINITY)
        return;
    service_set_error(i->service, "watchdog", ETIMEDOUT, "it has asked for the end (timeouts.watchdog)",
                      &i->service->config->pos);
    instance_time_out(i, TIMEOUT_WATCHDOG);
}

static int on_closed(sd_event_source *source, uint64_t usec, void *userdata) {
    Instance *i = userdata;
    (void)source;
    (void)usec;
    service_set_error(i->service, "start", EPIPE, "it closed its status pipe before it was ready",
                      &i->service->config->pos);
    instance_stop(i, i->service->config->terms->timeout_stop_usec);
    return 0;
}

int instance_set_watch(Instance *i, InstanceWatch what, uint64_t at_usec) {
    static const sd_event_time_handler_t handlers[] = {
        [WATCH_START] = on_start_over, [WATCH_CLOSED] = on_closed, [WATCH_ALIVE] = on_watchdog};
    i->watch = sd_event_source_disable_unref(i->watch);
    i->watch_is = what;
    return sd_event_add_time(i->rt->loop, &i->watch, CLOCK_MONOTONIC, at_usec, 10 * USEC_PER_MSEC,
                             handlers[what], i);
}

void instance_cannot_be_ready(Instance *i) {
    if (i->state != INSTANCE_STARTING || i->service->config->notify != NOTIFY_STATUS)
        return;
    if (instance_set_watch(i, WATCH_CLOSED, clock_monotonic_usec() + CLOSED_GRACE_USEC) < 0)
        instance_stop(i, i->service->config->terms->timeout_stop_usec);
}

bool instance_has_failed(const Instance *i, ExitResult result) {
    if (i->asked || i->timed_out == TIMEOUT_IDLE)
        return false;
    return result != EXIT_OK || i->unready;
}
