/* SPDX-License-Identifier: MIT */
/* The daemon and the service manager that has started it: what it is told, and what it keeps for us. */
#include <string.h>
#include <systemd/sd-daemon.h>

#include "daemon/base/clock.h"
#include "daemon/fd-store.h"
#include "daemon/inherit.h"
#include "daemon/keep.h"
#include "daemon/manager-private.h"
#include "daemon/notifier.h"

static void on_store_lost(void *userdata) {
    Manager *m = userdata;
    size_t unsent = 0, n = fd_store_count(m->rt.store, &unsent);
    eventlog_say(
        &m->rt.events, LOG_LEVEL_WARNING, "inherit",
        "the service manager does not keep all of %zu descriptors: a restart will refuse connections "
        "(FileDescriptorStoreMax= of the unit says how many it keeps)",
        n);
}

int manager_meet_supervisor(Manager *m) {
    Runtime *rt = &m->rt;
    const char *address = getenv("NOTIFY_SOCKET");
    /* Who tries something out keeps nothing. */
    if (!address || m->options->attempt)
        return 0;
    int r = notifier_new(rt->loop, address, &rt->notifier);
    if (r < 0) {
        eventlog_say(&rt->events, LOG_LEVEL_WARNING, "inherit", "NOTIFY_SOCKET cannot be used: %s",
                     strerror(-r));
        return r == -ENOMEM ? r : 0;
    }
    return fd_store_new(rt->notifier, &rt->store);
}

void manager_adopt_sockets(Manager *m) {
    Inherited in;
    int r = inherited_init(&in, m->rt.store, &m->rt.events);
    if (r < 0)
        eventlog_say(&m->rt.events, LOG_LEVEL_ERROR, "inherit", "the sockets passed in cannot be used: %s",
                     strerror(-r));
    for (size_t i = 0; i < m->services.n; i++)
        service_adopt(m->services.items[i], &in);
    inherited_done(&in, &m->rt.events);
}

void manager_keep_listeners(Manager *m) {
    if (!m->rt.listeners_changed)
        return;
    m->rt.listeners_changed = false;
    /* On the way out what is kept stays as it is. */
    if (!m->rt.stopping)
        keep_update(m->rt.store, m->services.items, m->services.n);
}

void manager_tell_ready(Manager *m) {
    Runtime *rt = &m->rt;
    uint64_t usec = 0;
    manager_keep_listeners(m);
    notifier_say(rt->notifier, "READY=1");
    manager_notify_status(m);
    fd_store_watch(rt->store, rt->loop, on_store_lost, m);
    if (sd_watchdog_enabled(0, &usec) <= 0)
        return;
    int r = notifier_watch(rt->notifier, usec);
    if (r < 0)
        eventlog_say(&rt->events, LOG_LEVEL_ERROR, "error", "no watchdog: %s", strerror(-r));
}

void manager_notify_status(const Manager *m) {
    size_t failed = 0;
    for (size_t i = 0; i < m->services.n; i++)
        failed += m->services.items[i]->state == SERVICE_FAILED;
    notifier_sayf(m->rt.notifier, "STATUS=generation %llu, %zu services, %zu failed, %zu processes",
                  (unsigned long long)m->generation, m->services.n, failed, m->rt.instances.n);
}

void manager_tell_reloading(Manager *m) {
    /* systemd.service(5), Type=notify-reload: the time lets the manager tell this reload from an earlier one.
     */
    notifier_sayf(m->rt.notifier, "RELOADING=1\nMONOTONIC_USEC=%llu",
                  (unsigned long long)clock_monotonic_usec());
}

void manager_tell_reloaded(Manager *m) {
    notifier_say(m->rt.notifier, "READY=1");
    manager_notify_status(m);
}
