/* SPDX-License-Identifier: MIT */
/* The end of the daemon: in order, at once, or leaving its processes behind. */
#include <stdio.h>
#include <stdlib.h>

#include "conf/value.h"
#include "daemon/base/clock.h"
#include "daemon/manager-private.h"
#include "daemon/notifier.h"

void manager_finish_if_empty(Manager *m) {
    if (m->state != MANAGER_STOPPING || m->rt.instances.n > 0 || m->rt.n_cgroups_ending > 0 ||
        traffic_is_awaited(m->rt.traffic))
        return;
    control_say_goodbye(m->control);
    (void)sd_event_exit(m->rt.loop, m->exit_status);
}

static int on_drain_over(sd_event_source *s, uint64_t usec, void *userdata) {
    Manager *m = userdata;
    (void)s;
    (void)usec;
    for (size_t i = 0; i < m->services.n; i++)
        service_stop_instances(m->services.items[i], false);
    return 0;
}

static size_t count_connections(const Manager *m) {
    size_t n = 0;
    for (size_t i = 0; i < m->services.n; i++)
        if (service_config_accepts(m->services.items[i]->config))
            n += m->services.items[i]->n_instances;
    return n;
}

static size_t count_workers(const Manager *m) {
    size_t n = 0;
    for (size_t i = 0; i < m->services.n; i++)
        if (m->services.items[i]->config->model == MODEL_POOL)
            n += m->services.items[i]->n_instances;
    return n;
}

/* Workers of pools have asked the kernel to be told when the daemon ends, however it does. */
static void say_what_is_left(Manager *m) {
    size_t workers = count_workers(m);
    char told[64] = "";
    if (workers > 0)
        (void)snprintf(told, sizeof(told), "; workers of pools are told to end: %zu", workers);
    eventlog_say(&m->rt.events, LOG_LEVEL_INFO, "stopping", "stopping; processes left running: %zu%s",
                 m->rt.instances.n - workers, told);
}

/* How many are waited for, and how long. */
static void say_who_drains(Manager *m) {
    Text text CLEANUP_TEXT = {0};
    size_t n = count_connections(m);
    text_add(&text, n == 0 ? "no connection is live" : n == 1 ? "1 connection is live and has " : "");
    if (n > 1)
        text_addf(&text, "%zu connections are live and have ", n);
    if (n > 0) {
        value_duration_format(m->config->shutdown_drain_usec, &text);
        text_addf(&text, " to end (once more to kill %s)", n == 1 ? "it" : "them");
    }
    eventlog_say(&m->rt.events, LOG_LEVEL_INFO, "stopping", "stopping; %s", text.s ? text.s : "");
}

void manager_stop(Manager *m, ShutdownChildren children) {
    if (m->state == MANAGER_STOPPING)
        return;
    m->state = MANAGER_STOPPING;
    m->rt.stopping = true;
    m->rt.leaves_processes = children == SHUTDOWN_LEAVE;
    manager_cancel_upgrade(m);
    manager_forget_loads(m);
    notifier_say(m->rt.notifier, "STOPPING=1\nSTATUS=stopping");
    manager_leave_state(m);
    if (children == SHUTDOWN_LEAVE)
        say_what_is_left(m);
    else
        say_who_drains(m);
    for (size_t i = 0; i < m->services.n; i++) {
        Service *s = m->services.items[i];
        service_close_listeners(s, service_processes_listen(s));
        if (children == SHUTDOWN_END)
            service_stop_instances(s, true);
        service_update(s, "shutdown");
    }
    if (children == SHUTDOWN_LEAVE) {
        control_say_goodbye(m->control);
        (void)sd_event_exit(m->rt.loop, m->exit_status);
        return;
    }
    if (m->config->shutdown_drain_usec != USEC_INFINITY &&
        sd_event_add_time_relative(m->rt.loop, &m->drain_timer, CLOCK_MONOTONIC,
                                   m->config->shutdown_drain_usec, 10 * USEC_PER_MSEC, on_drain_over, m) < 0)
        (void)on_drain_over(NULL, 0, m);
    /* How long it may take the config says, and not the unit. */
    if (m->rt.instances.n > 0)
        (void)notifier_extend(m->rt.notifier);
    manager_finish_if_empty(m);
}

void manager_kill_all(Manager *m) {
    m->exit_status = EXIT_FAILURE;
    eventlog_say(&m->rt.events, LOG_LEVEL_WARNING, "stopping", "told twice to stop: %zu process%s killed",
                 m->rt.instances.n, m->rt.instances.n == 1 ? " is" : "es are");
    for (size_t i = 0; i < m->services.n; i++)
        service_kill_instances(m->services.items[i]);
    manager_finish_if_empty(m);
}
