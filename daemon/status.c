/* SPDX-License-Identifier: MIT */
#include "daemon/status.h"

#include <dirent.h>
#include <string.h>

#include "daemon/base/clock.h"
#include "daemon/base/proc-file.h"
#include "daemon/pool.h"
#include "daemon/status-admission.h"

static unsigned port_of(const Addr *a) {
    if (a->sa.sa_family != AF_VSOCK)
        return addr_port(a);
    return a->vm.svm_port == VMADDR_PORT_ANY ? 0 : a->vm.svm_port;
}

static void fill_listener(const Listener *l, char *address, char *error, ApiListener *ret) {
    const Endpoint *ep = &l->config->endpoint;
    bool network = endpoint_kind_is_inet(l->kind) || l->kind == ENDPOINT_VSOCK;
    /* Where a socket that was asked for by its name listens is known once it has been passed in. */
    const Addr addr = listener_addr(l);
    const char *text = network || ep->kind == ENDPOINT_SYSTEMD ? addr_format_host(&addr, address) : ep->path;
    *ret = (ApiListener){
        .endpoint = ep->text,
        .type = endpoint_kind_to_string(l->kind),
        .address = network ? text : NULL,
        .port = network ? port_of(&addr) : 0,
        .path = network || (text && !*text) ? NULL : text,
        .adopted = l->adopted || l->restored,
        .error = l->error ? listener_error_text(l, error, sizeof(((Snapshot *)0)->errors[0])) : NULL,
    };
    listener_queue(l, &ret->queued, &ret->backlog);
}

static ApiOrder fill_order(const Service *s) {
    static const char *const actions[] = {
        [ORDER_PAUSE] = "pause",
        [ORDER_DRAIN] = "drain",
        [ORDER_STOP] = "stop",
    };
    return (ApiOrder){.action = actions[s->order], .uid = s->order_uid, .time_usec = s->order_usec};
}

ApiWorkers snapshot_workers(const Service *s) {
    if (!s->pool)
        return (ApiWorkers){0};
    PoolCounts c = pool_count(s->pool);
    return (ApiWorkers){.present = true, .idle = c.idle, .busy = c.busy + c.silent, .starting = c.starting};
}

uint64_t snapshot_instances_limit(const Service *s) {
    return s->pool ? pool_max(s->pool) : s->limits->instances;
}

static void fill_service(const Service *s, uint64_t now_usec, ApiService *ret) {
    const History *past = service_past(s);
    const Counters *c = &past->counters;
    *ret = (ApiService){
        .name = s->name,
        .model = model_to_string(s->config->model),
        .state = s->state,
        .since_usec = s->since_usec,
        /* What has not come to exec yet is not counted as spawned yet. */
        .active = s->n_instances - s->n_flying,
        .workers = snapshot_workers(s),
        .instances_limit = snapshot_instances_limit(s),
        .accepted = c->accepted,
        .gone = c->gone,
        .spawned = c->spawned,
        .spawn_failed = c->spawn_failed,
        .restarts = c->restarts,
        .requests = c->requests,
        .report_errors = c->report_errors,
        .status = s->status,
        .order = fill_order(s),
        .waiting = snapshot_waiting(s),
        .accept_rate_milli = rate_window_milli(&past->accept_rate, now_usec),
        .latency = histogram_quantiles(past->latency),
        .duration = histogram_quantiles(past->duration),
        .last_error =
            {
                .time_usec = past->last_error.time_usec,
                .step = past->last_error.step[0] ? past->last_error.step : NULL,
                .error = past->last_error.error,
                .message = past->last_error.message,
                .file = past->last_error.file,
                .line = past->last_error.line,
            },
    };
    memcpy(ret->refused, c->refused, sizeof(ret->refused));
    memcpy(ret->exited, c->exited, sizeof(ret->exited));
    LIST_FOREACH (i, &s->instances, Instance, link)
        if (i->report && i->report->queued > 0)
            ret->work_queued += (uint64_t)i->report->queued;
}

int snapshot_services(Service *const *services, size_t n, Snapshot *ret) {
    size_t n_listeners = 0, n_endpoints = 0;
    for (size_t i = 0; i < n; i++) {
        n_listeners += services[i]->n_listeners;
        n_endpoints += services[i]->config->n_listen + 1;
    }
    Snapshot s = {
        .services = calloc(n + 1, sizeof(ApiService)),
        .n_services = n,
        .listeners = calloc(n_listeners + 1, sizeof(ApiListener)),
        .addresses = calloc(n_listeners + 1, sizeof(s.addresses[0])),
        .errors = calloc(n_listeners + 1, sizeof(s.errors[0])),
        .endpoints = (const char **)calloc(n_endpoints + 1, sizeof(char *)),
    };
    if (!s.services || !s.listeners || !s.addresses || !s.errors || !s.endpoints) {
        snapshot_done(&s);
        return -ENOMEM;
    }
    size_t at = 0, endpoint = 0;
    uint64_t now = clock_monotonic_usec();
    for (size_t i = 0; i < n; i++) {
        const Service *service = services[i];
        ApiService *api = &s.services[i];
        fill_service(service, now, api);
        api->listen = &s.endpoints[endpoint];
        for (size_t k = 0; k < service->config->n_listen; k++)
            s.endpoints[endpoint++] = service->config->listen[k].endpoint.text;
        endpoint++; /* the NULL behind them */
        api->listeners = &s.listeners[at];
        for (size_t k = 0; k < service->n_listeners; k++) {
            if (service->listeners[k]->dispensable)
                continue;
            fill_listener(service->listeners[k], s.addresses[at], s.errors[at], &s.listeners[at]);
            if (s.listeners[at].queued > 0)
                api->queued += (uint64_t)s.listeners[at].queued;
            api->n_listeners++;
            at++;
        }
    }
    *ret = s;
    return 0;
}

void snapshot_done(Snapshot *s) {
    free(s->services);
    free(s->listeners);
    free(s->addresses);
    free(s->errors);
    free((void *)s->endpoints);
    *s = (Snapshot){0};
}

void snapshot_measures(const Service *s, Measures *m, ApiDescription *ret) {
    histogram_buckets(service_past(s)->latency, m->latency);
    histogram_buckets(service_past(s)->duration, m->duration);
    ret->latency = m->latency;
    ret->n_latency = ELEMENTS(m->latency);
    ret->duration = m->duration;
    ret->n_duration = ELEMENTS(m->duration);
}

/* The fields behind the name, which may hold anything: 14 utime, 15 stime, 22 starttime, 23 vsize, 24 rss. */
ProcessUsage process_usage(pid_t pid) {
    char buf[1024];
    if (proc_file_read(pid, "stat", buf, sizeof(buf)) == 0)
        return (ProcessUsage){0};
    const char *at = strrchr(buf, ')');
    unsigned long utime = 0, stime = 0, size = 0;
    unsigned long long start = 0;
    long rss = 0;
    if (!at || sscanf(at + 1,
                      " %*c %*d %*d %*d %*d %*d %*u %*u %*u %*u %*u %lu %lu %*d %*d %*d %*d %*d %*d %llu %lu "
                      "%ld",
                      &utime, &stime, &start, &size, &rss) != 5)
        return (ProcessUsage){0};
    uint64_t tick_usec = USEC_PER_SEC / (uint64_t)sysconf(_SC_CLK_TCK);
    return (ProcessUsage){
        .cpu_usec = (uint64_t)(utime + stime) * tick_usec,
        .started_usec = start * tick_usec,
        .resident = rss > 0 ? (uint64_t)rss * (uint64_t)sysconf(_SC_PAGESIZE) : 0,
        .virtual_size = size,
    };
}

void snapshot_instance(const Instance *i, LogAddresses addresses, char peer_buf[static PEER_TEXT_MAX],
                       ApiInstance *ret) {
    const Report *r = i->report;
    *ret = (ApiInstance){
        .service = i->service->name,
        .instance = i->number,
        .pid = i->pid,
        .peer = peer_format(&i->peer, addresses, peer_buf),
        .state = i->state == INSTANCE_STOPPING   ? "stopping"
                 : i->state == INSTANCE_STARTING ? "starting"
                                                 : "running",
        .since_usec = i->started_realtime_usec,
        .generation = i->generation,
        .status = r && r->status            ? r->status
                  : i->role == ROLE_BACKEND ? "backend"
                                            : NULL,
        .requests = r ? r->requests : -1,
        .active = r ? r->active : -1,
    };
    /* Of one in a process namespace of its own, not what stands outside for it. */
    ProcessUsage usage = process_usage(i->own_pids ? spawn_program_of(i->pid) : i->pid);
    ret->cpu_usec = usage.cpu_usec;
    ret->memory = usage.resident;
}

uint64_t count_open_fds(void) {
    uint64_t n = 0;
    DIR *d = opendir("/proc/self/fd");
    if (!d)
        return 0;
    for (const struct dirent *e = readdir(d); e; e = readdir(d))
        n += e->d_name[0] != '.';
    (void)closedir(d);
    return n > 0 ? n - 1 : 0; /* not the folder's own */
}
