/* SPDX-License-Identifier: MIT */
/* The daemon and the service manager that has started it: what it is told, and what it keeps for us. */
#include <fcntl.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <systemd/sd-daemon.h>

#include "daemon/adopt.h"
#include "daemon/base/clock.h"
#include "daemon/fd-store.h"
#include "daemon/handover.h"
#include "daemon/inherit.h"
#include "daemon/keep.h"
#include "daemon/manager-private.h"
#include "daemon/notifier.h"

#define STATE_SEALS (F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_WRITE | F_SEAL_SEAL)

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

static void make_ledger(Manager *m) {
    Runtime *rt = &m->rt;
    int r = ledger_new(&rt->ledger);
    if (r < 0)
        eventlog_say(&rt->events, LOG_LEVEL_WARNING, "error",
                     "no ledger of the processes, the next daemon cannot adopt them: %s", strerror(-r));
    else
        (void)fd_store_keep(rt->store, LEDGER_FD_NAME, ledger_fd(rt->ledger));
}

/* What an earlier daemon has written of its processes goes on in place. */
static void take_ledger(Manager *m, int fd) {
    Runtime *rt = &m->rt;
    int r = fd >= 0 ? ledger_open(fd, &rt->ledger) : -ENOENT;
    if (r < 0 && fd >= 0) {
        eventlog_say(&rt->events, LOG_LEVEL_WARNING, "adopted",
                     "the processes of an earlier daemon are not known: %s",
                     r == -ESTALE ? "they are of another boot" : strerror(-r));
        fd_store_forget(rt->store, LEDGER_FD_NAME);
    }
    if (r >= 0) {
        (void)fd_store_known(rt->store, LEDGER_FD_NAME, ledger_fd(rt->ledger));
        size_t n = adopt_processes(rt, rt->ledger, m->services.items, m->services.n);
        if (n > 0)
            eventlog_say(&rt->events, LOG_LEVEL_INFO, "adopted", "processes of an earlier daemon: %zu", n);
        return;
    }
    make_ledger(m);
}

static uint32_t ban_owner(const char *name, void *userdata) {
    const Manager *m = userdata;
    const Service *s = service_set_find(&m->services, name);
    return s ? s->id : 0;
}

/* The bans that were there when an earlier daemon was told to stop. */
static void take_state(Manager *m, int fd) {
    CLEANUP_CLOSE int own = fd;
    BlobSource source = {0};
    BlobReader r;
    BlobField f;
    struct stat st;
    void *data = MAP_FAILED;
    if (own < 0)
        return;
    fd_store_forget(m->rt.store, STATE_FD_NAME);
    /* Sealed as it was written: what is mapped stays there. */
    if (fcntl(own, F_GET_SEALS) == STATE_SEALS && fstat(own, &st) == 0 && st.st_size > 0)
        data = mmap(NULL, (size_t)st.st_size, PROT_READ, MAP_PRIVATE, own, 0);
    if (data == MAP_FAILED)
        return;
    if (blob_source_init(&source, data, (size_t)st.st_size, BLOB_STATE, &r) >= 0)
        while (blob_next(&r, &f))
            if (f.tag == STATE_BANS)
                (void)bans_restore_of(blob_enter(&f), m->rt.bans, ban_owner, m);
    if (blob_is_spoilt(&source))
        eventlog_say(&m->rt.events, LOG_LEVEL_WARNING, "inherit",
                     "the bans of an earlier daemon are not known: %s", source.why);
    blob_source_done(&source);
    (void)munmap(data, (size_t)st.st_size);
}

void manager_leave_state(Manager *m) {
    BlobWriter w CLEANUP_BLOB = {0};
    StoredFd *state = NULL;
    if (!m->rt.store)
        return;
    blob_begin(&w, BLOB_STATE);
    size_t at = blob_open(&w, STATE_BANS);
    bans_save(&w, m->rt.bans);
    blob_close(&w, at);
    CLEANUP_CLOSE int fd = memfd_create("mpinetd-state", MFD_CLOEXEC | MFD_ALLOW_SEALING);
    if (blob_end(&w) >= 0 && fd >= 0 && write(fd, w.data, w.n) == (ssize_t)w.n &&
        fcntl(fd, F_ADD_SEALS, STATE_SEALS) == 0)
        state = fd_store_keep(m->rt.store, STATE_FD_NAME, fd);
    /* What it keeps is there for the next daemon, with those who wait in its queues. */
    fd_store_leave(m->rt.store);
    /* It is sent as soon as there is room. */
    if (state && !stored_fd_is_sent(state))
        m->state_fd = TAKE_FD(fd);
}

void manager_adopt_sockets(Manager *m) {
    Inherited in;
    fd_store_begin(m->rt.store);
    int r = inherited_init(&in, m->rt.store, &m->rt.events, m->options->announced);
    if (r == -EBADF)
        eventlog_say(&m->rt.events, LOG_LEVEL_ERROR, "inherit",
                     "the sockets passed in cannot be used: LISTEN_FDS announces more than there are");
    else if (r < 0)
        eventlog_say(&m->rt.events, LOG_LEVEL_ERROR, "inherit", "the sockets passed in cannot be used: %s",
                     strerror(-r));
    for (int by_name = 0; by_name <= 1; by_name++)
        for (size_t i = 0; i < m->services.n; i++)
            service_adopt(m->services.items[i], &in, by_name);
    if (m->rt.store) {
        /* In the last resort of an upgrade there is one in the store that has not come with the sockets. */
        if (in.n > 0 && in.ledger < 0)
            fd_store_forget(m->rt.store, LEDGER_FD_NAME);
        take_ledger(m, TAKE_FD(in.ledger));
        take_state(m, TAKE_FD(in.state));
    }
    inherited_done(&in, &m->rt.events);
}

void manager_resume_supervisor(Manager *m) {
    Runtime *rt = &m->rt;
    if (!rt->store)
        return;
    fd_store_begin(rt->store);
    /* What the program before could not send any more is sent now. */
    rt->listeners_changed = true;
    if (rt->ledger) {
        (void)fd_store_known(rt->store, LEDGER_FD_NAME, ledger_fd(rt->ledger));
        adopt_find_places(rt);
        return;
    }
    make_ledger(m);
    for (size_t i = 0; i < m->services.n; i++)
        LIST_FOREACH (instance, &m->services.items[i]->instances, Instance, link)
            adopt_note(instance);
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
