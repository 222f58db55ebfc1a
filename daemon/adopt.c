/* SPDX-License-Identifier: MIT */
#include "daemon/adopt.h"

#include <string.h>
#include <sys/epoll.h>
#include <sys/pidfd.h>

#include "daemon/backend.h"
#include "daemon/base/clock.h"
#include "daemon/base/proc-file.h"
#include "daemon/base/text.h"
#include "daemon/gate.h"
#include "daemon/service-cgroup.h"
#include "daemon/service-leave.h"
#include "daemon/slot.h"

static LedgerKind kind_of(const Instance *i) {
    if (i->role == ROLE_BACKEND)
        return LEDGER_BACKEND;
    if (i->worker)
        return LEDGER_WORKER;
    return i->slot ? LEDGER_SLOT : LEDGER_CONNECTION;
}

void adopt_note(Instance *i) {
    if (!i->rt->ledger)
        return;
    uint64_t now = clock_usec(CLOCK_BOOTTIME);
    LedgerRecord r = {
        .pid = i->pid,
        .number = i->number,
        .born_usec = i->born_usec,
        .known_usec = now,
        .started_usec = now,
        .started_realtime_usec = i->started_realtime_usec,
        .service = ledger_service(i->service->name),
        .slot = i->slot ? (uint32_t)i->slot->index : 0,
        .kind = (uint8_t)kind_of(i),
        .peer = i->peer,
    };
    memcpy(r.name, i->service->name, strnlen(i->service->name, LEDGER_NAME_MAX - 1));
    i->ledger_place = ledger_add(i->rt->ledger, &r);
}

static int on_end(sd_event_source *source, int fd, uint32_t revents, void *userdata) {
    static const struct rusage unknown = {0};
    Instance *i = userdata;
    Runtime *rt = i->rt;
    (void)source;
    (void)fd;
    (void)revents;
    service_on_instance_end(i->service, i, 0, &unknown);
    rt->on_settled(rt->on_settled_userdata);
    return 0;
}

int adopt_watch(Instance *i, int pidfd) {
    CLEANUP_CLOSE int own = pidfd;
    int r = sd_event_add_io(i->rt->loop, &i->adopted, own, EPOLLIN, on_end, i);
    if (r < 0)
        return r;
    (void)TAKE_FD(own);
    (void)sd_event_source_set_io_fd_own(i->adopted, true);
    return sd_event_source_set_priority(i->adopted, PRIORITY_REAP);
}

/* To be asked when @pidfd is held: from then on the number is nobody else's while it lives. */
static bool is_alive(const LedgerRecord *r) {
    char text[1024], state = 0;
    uint64_t ticks = 0;
    long hz = sysconf(_SC_CLK_TCK);
    if (proc_file_read(r->pid, "stat", text, sizeof(text)) == 0)
        return false;
    return ledger_parse_stat(text, &state, &ticks) && state != 'Z' && state != 'X' &&
           ledger_is_same(r, ticks, hz > 0 ? (uint64_t)hz : 0);
}

/* The services as the ledger calls them. */
typedef struct Named {
    uint64_t name;
    Service *service;
} Named;

static int compare_named(const void *a, const void *b) {
    uint64_t x = ((const Named *)a)->name, y = ((const Named *)b)->name;
    return (x > y) - (x < y);
}

/* NULL when memory runs out. */
static Named *name_all(Service *const *services, size_t n) {
    Named *all = calloc(n + 1, sizeof(*all));
    if (!all)
        return NULL;
    for (size_t i = 0; i < n; i++)
        all[i] = (Named){.name = ledger_service(services[i]->name), .service = services[i]};
    qsort(all, n, sizeof(*all), compare_named);
    return all;
}

static Service *find(const Named *all, size_t n, uint64_t service) {
    const Named wanted = {.name = service};
    const Named *found = all ? bsearch(&wanted, all, n, sizeof(*all), compare_named) : NULL;
    return found ? found->service : NULL;
}

/* The slot that it has, unless the config gives it no more: then it is a stray, which has the listeners. */
static void take_slot(Instance *i, const LedgerRecord *r) {
    Service *s = i->service;
    bool backend = r->kind == LEDGER_BACKEND;
    Slot *slot = backend ? s->backend.slot : r->slot < service_n_listen_slots(s) ? &s->slots[r->slot] : NULL;
    if (slot && !slot->instance) {
        i->slot = slot;
        slot->instance = i;
    } else if (!backend) {
        i->stray = true;
        s->n_strays++;
    }
}

static void count(Instance *i, const LedgerRecord *r) {
    Service *s = i->service;
    if (r->kind == LEDGER_BACKEND) {
        s->backend.n_processes++;
        return;
    }
    s->n_instances++;
    service_history(s)->counters.spawned++;
    /* Who is served has come in. */
    if (r->kind == LEDGER_CONNECTION && service_config_accepts(s->config))
        service_history(s)->counters.accepted++;
}

static Instance *make(Runtime *rt, Service *s, const LedgerRecord *r) {
    Instance *i = instance_new_spare(rt, s);
    uint64_t age = clock_usec(CLOCK_BOOTTIME) - r->started_usec, now = clock_monotonic_usec();
    if (!i)
        return NULL;
    i->pid = r->pid;
    i->number = r->number;
    i->peer = r->peer;
    i->born_usec = r->born_usec;
    i->started_usec = now > age ? now - age : 1;
    i->started_realtime_usec = r->started_realtime_usec;
    i->state = INSTANCE_RUNNING;
    i->role = r->kind == LEDGER_BACKEND           ? ROLE_BACKEND
              : s->config->model == MODEL_FORWARD ? ROLE_FORWARD
                                                  : ROLE_SERVICE;
    instance_know_config(i);
    /* The death of its parent has told it to end. */
    if (r->kind == LEDGER_WORKER) {
        i->state = INSTANCE_STOPPING;
        i->only_told = true;
    }
    return i;
}

static bool adopt(Runtime *rt, Service *s, const LedgerRecord *r, int pidfd) {
    CLEANUP_CLOSE int own = pidfd;
    Instance *i = make(rt, s, r);
    if (!i || adopt_watch(i, TAKE_FD(own)) < 0 || instance_table_add(&rt->instances, i) < 0) {
        instance_free(i);
        return false;
    }
    list_append(&s->instances, &i->link);
    if (s->config->cgroup)
        service_cgroup_adopt(i);
    if (r->kind == LEDGER_SLOT || r->kind == LEDGER_BACKEND)
        take_slot(i, r);
    count(i, r);
    gate_take_back(i);
    if (r->kind == LEDGER_CONNECTION)
        (void)instance_limit_lifetime(i, s->config->terms->timeout_lifetime_usec);
    char peer[PEER_TEXT_MAX];
    ApiEvent e = instance_event(i, LOG_LEVEL_INFO, "adopted", peer);
    e.message = "adopted from an earlier daemon";
    service_emit(s, &e);
    return true;
}

size_t adopt_processes(Runtime *rt, Ledger *l, Service *const *services, size_t n) {
    uint32_t place = 0;
    size_t adopted = 0;
    CLEANUP_FREE Named *all = name_all(services, n);
    LedgerRecord r;
    while (ledger_next(l, &place, &r)) {
        CLEANUP_CLOSE int pidfd = pidfd_open(r.pid, 0);
        Service *s = find(all, n, r.service);
        bool alive = pidfd >= 0 && is_alive(&r);
        if (rt->next_instance < r.number)
            rt->next_instance = r.number;
        if (alive && s && adopt(rt, s, &r, TAKE_FD(pidfd))) {
            instance_table_find(&rt->instances, r.pid)->ledger_place = place;
            adopted++;
            continue;
        }
        if (alive)
            eventlog_say(&rt->events, LOG_LEVEL_WARNING, "adopted",
                         "process %d of service '%s' goes on by itself: %s", r.pid, r.name,
                         s ? "there is no memory for it" : "there is no such service any more");
        uint32_t gone = place;
        ledger_remove(l, &gone);
    }
    /* What the config has no place for any more keeps others from being started: it is told to end. */
    for (size_t i = 0; i < n; i++)
        if (services[i]->n_strays > 0)
            service_go_on_leaving(services[i]);
    return adopted;
}

void adopt_find_places(Runtime *rt) {
    uint32_t place = 0;
    LedgerRecord r;
    while (ledger_next(rt->ledger, &place, &r)) {
        Instance *i = instance_table_find(&rt->instances, r.pid);
        uint32_t gone = place;
        if (i && i->number == r.number)
            i->ledger_place = place;
        else
            ledger_remove(rt->ledger, &gone);
    }
}
