/* SPDX-License-Identifier: MIT */
/* Signals: what each of them asks of the daemon. They are blocked from the start and come by the loop. */
#include <signal.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/signalfd.h>

#include "daemon/manager-private.h"

static const int signals_used[] = {SIGCHLD, SIGTERM, SIGINT, SIGHUP, SIGUSR1, SIGUSR2, SIGQUIT, SIGXCPU};

static void tell_summary(Manager *m) {
    ApiDaemon d;
    manager_describe(m, &d);
    eventlog_say(&m->rt.events, LOG_LEVEL_INFO, "summary",
                 "generation %llu, %zu services, %llu processes, %llu descriptors, %llu orphans reaped",
                 (unsigned long long)d.generation, m->services.n, (unsigned long long)d.children,
                 (unsigned long long)d.fds, (unsigned long long)m->strangers);
    for (size_t i = 0; i < m->services.n; i++) {
        const Service *s = m->services.items[i];
        eventlog_say(&m->rt.events, LOG_LEVEL_INFO, "summary",
                     "%s: %s, %llu running, %llu accepted, %llu started, %llu not started", s->name,
                     service_state_to_string(s->state), (unsigned long long)s->n_instances,
                     (unsigned long long)service_past(s)->counters.accepted,
                     (unsigned long long)service_past(s)->counters.spawned,
                     (unsigned long long)service_past(s)->counters.spawn_failed);
    }
}

/* setrlimit(2), RLIMIT_CPU: a signal a second from the soft limit on, KILL at the hard one. */
static void tell_cpu_limit(Manager *m) {
    struct rlimit limit = {0};
    if (m->told_cpu_limit || getrlimit(RLIMIT_CPU, &limit) < 0)
        return;
    m->told_cpu_limit = true;
    eventlog_say(
        &m->rt.events, LOG_LEVEL_ERROR, "error",
        "the daemon's own limit of processor time (RLIMIT_CPU) is used up: it goes on until the hard "
        "limit, where the kernel kills it (%lld s)",
        limit.rlim_max == RLIM_INFINITY ? -1LL : (long long)limit.rlim_max);
}

static void reload_by_signal(Manager *m) {
    uint64_t number = 0;
    int r = manager_reload(m, &number);
    if (r < 0)
        eventlog_say(&m->rt.events, LOG_LEVEL_WARNING, "reload_failed", "SIGHUP is ignored: %s",
                     r == -ESHUTDOWN ? "the daemon is stopping" : strerror(-r));
}

static int on_signal(sd_event_source *source, const struct signalfd_siginfo *si, void *userdata) {
    Manager *m = userdata;
    (void)source;
    switch (si->ssi_signo) {
    case SIGCHLD:
        manager_on_child(m, si);
        manager_finish_if_empty(m);
        break;
    case SIGTERM:
    case SIGINT:
        if (m->state == MANAGER_STOPPING)
            manager_kill_all(m);
        else
            manager_stop(m, m->config->shutdown_children);
        break;
    case SIGQUIT:
        manager_stop(m, SHUTDOWN_LEAVE);
        break;
    case SIGHUP:
        reload_by_signal(m);
        break;
    case SIGUSR1:
        tell_summary(m);
        break;
    case SIGUSR2:
        (void)manager_upgrade(m);
        break;
    case SIGXCPU:
        tell_cpu_limit(m);
        break;
    default:
        break;
    }
    return 0;
}

int manager_add_signals(Manager *m) {
    for (size_t i = 0; i < ELEMENTS(signals_used); i++) {
        sd_event_source *source = NULL;
        int r = sd_event_add_signal(m->rt.loop, &source, signals_used[i], on_signal, m);
        if (r < 0)
            return r;
        r = sd_event_source_set_priority(source,
                                         signals_used[i] == SIGCHLD ? PRIORITY_REAP : PRIORITY_SIGNAL);
        (void)sd_event_source_set_floating(source, true);
        sd_event_source_unref(source);
        if (r < 0)
            return r;
    }
    return 0;
}
