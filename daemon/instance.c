/* SPDX-License-Identifier: MIT */
#include "daemon/instance.h"

#include <signal.h>
#include <sys/pidfd.h>
#include <sys/wait.h>

#include "daemon/base/clock.h"
#include "daemon/gate.h"
#include "daemon/idle-connection.h"
#include "daemon/launch.h"
#include "daemon/runtime.h"
#include "daemon/service-cgroup.h"
#include "daemon/service.h"
#include "daemon/traffic.h"
#include "daemon/worker.h"

static size_t bucket_of(const InstanceTable *t, pid_t pid) {
    return (size_t)pid & (t->n_buckets - 1);
}

static int grow_table(InstanceTable *t) {
    size_t n = t->n_buckets ? t->n_buckets * 2 : 64;
    Instance **buckets = (Instance **)calloc(n, sizeof(Instance *));
    if (!buckets)
        return -ENOMEM;
    InstanceTable bigger = {.buckets = buckets, .n_buckets = n, .n = t->n};
    for (size_t b = 0; b < t->n_buckets; b++) {
        for (Instance *i = t->buckets[b], *next; i; i = next) {
            next = i->next_in_table;
            size_t to = bucket_of(&bigger, i->pid);
            i->next_in_table = buckets[to];
            buckets[to] = i;
        }
    }
    free((void *)t->buckets);
    t->buckets = buckets;
    t->n_buckets = n;
    return 0;
}

int instance_table_reserve(InstanceTable *t) {
    /* A table that could not grow is slower, not full. */
    return t->n >= t->n_buckets && grow_table(t) < 0 && t->n_buckets == 0 ? -ENOMEM : 0;
}

int instance_table_add(InstanceTable *t, Instance *i) {
    if (instance_table_reserve(t) < 0)
        return -ENOMEM;
    size_t b = bucket_of(t, i->pid);
    i->next_in_table = t->buckets[b];
    t->buckets[b] = i;
    t->n++;
    t->newest[t->n_added++ % INSTANCES_NEWEST] = i->pid;
    return 0;
}

Instance *instance_table_find(const InstanceTable *t, pid_t pid) {
    if (t->n_buckets == 0)
        return NULL;
    Instance *i = t->buckets[bucket_of(t, pid)];
    while (i && i->pid != pid)
        i = i->next_in_table;
    return i;
}

void instance_table_remove(InstanceTable *t, Instance *i) {
    if (t->n_buckets == 0)
        return;
    for (Instance **at = &t->buckets[bucket_of(t, i->pid)]; *at; at = &(*at)->next_in_table) {
        if (*at == i) {
            *at = i->next_in_table;
            t->n--;
            return;
        }
    }
}

size_t instance_table_newest(const InstanceTable *t, pid_t ret[static INSTANCES_NEWEST]) {
    size_t n = 0;
    for (size_t k = 0; k < INSTANCES_NEWEST; k++)
        if (instance_table_find(t, t->newest[k]))
            ret[n++] = t->newest[k];
    return n;
}

void instance_table_done(InstanceTable *t) {
    free((void *)t->buckets);
    *t = (InstanceTable){0};
}

Instance *instance_new_spare(Runtime *rt, Service *service) {
    /* Not calloc(3): glibc has that do without its cache, for another 170 instructions. */
    Instance *i = malloc(sizeof(*i));
    if (!i)
        return NULL;
    *i = (Instance){
        .rt = rt, .service = service, .state = INSTANCE_SPARE, .born_usec = clock_usec(CLOCK_BOOTTIME)};
    list_init(&i->link);
    return i;
}

void instance_begin(Instance *i, const Peer *peer) {
    i->state = INSTANCE_RUNNING;
    i->number = ++i->rt->next_instance;
    i->generation = i->service->generation;
    i->peer = *peer;
    i->started_usec = clock_monotonic_usec();
    i->started_realtime_usec = clock_realtime_usec();
}

Instance *instance_new(Runtime *rt, Service *service, const Peer *peer) {
    Instance *i = instance_new_spare(rt, service);
    if (i)
        instance_begin(i, peer);
    return i;
}

Instance *instance_free(Instance *i) {
    if (!i)
        return NULL;
    list_remove(&i->link);
    i->timer = sd_event_source_disable_unref(i->timer);
    i->watch = sd_event_source_disable_unref(i->watch);
    i->adopted = sd_event_source_disable_unref(i->adopted);
    i->stderr_pipe = pipe_reader_free(i->stderr_pipe);
    i->status_pipe = pipe_reader_free(i->status_pipe);
    i->notify = notify_socket_free(i->notify);
    i->worker = worker_free(i->worker);
    launch_forget_flight(i);
    if (i->group > 0)
        service_cgroup_forget(i);
    i->connection = connection_free(i->rt, i->connection);
    gate_release(i->rt, &i->source);
    free(i->groups);
    i->idle = idle_connection_free(i->idle);
    i->flow = flow_free(i->flow);
    if (i->report) {
        report_done(i->report);
        free(i->report);
    }
    free(i);
    return NULL;
}

void instance_bury(Instance *i, List *ghosts) {
    list_remove(&i->link);
    i->timer = sd_event_source_disable_unref(i->timer);
    i->watch = sd_event_source_disable_unref(i->watch);
    i->adopted = sd_event_source_disable_unref(i->adopted);
    i->status_pipe = pipe_reader_free(i->status_pipe);
    i->notify = notify_socket_free(i->notify);
    i->worker = worker_free(i->worker);
    gate_release(i->rt, &i->source);
    i->idle = idle_connection_free(i->idle);
    i->flow = flow_free(i->flow);
    i->slot = NULL;
    i->state = INSTANCE_GHOST;
    if (i->stderr_pipe)
        list_append(ghosts, &i->link);
    else
        instance_free(i);
}

ExitResult exit_classify(int status, bool asked, bool timed_out) {
    if (asked)
        return EXIT_OK;
    if (timed_out)
        return EXIT_TIMEOUT;
    if (WIFSIGNALED(status))
        return EXIT_SIGNALED;
    return WIFEXITED(status) && WEXITSTATUS(status) == 0 ? EXIT_OK : EXIT_FAILED;
}

ApiEvent instance_event(const Instance *i, LogLevel level, const char *event,
                        char peer_buf[static PEER_TEXT_MAX]) {
    ApiEvent e = eventlog_event(level, event);
    e.service = i->service->name;
    e.instance = i->number;
    e.pid = i->pid;
    e.peer = peer_format(&i->peer, i->rt->log_addresses, peer_buf);
    return e;
}

/* A signal to a process that is not reaped yet can hit nobody else: its pid is not given to another. One that
 * others reap is held by its descriptor, and its group is its own as long as it is there. */
static int send_signal(const Instance *i, pid_t target, int signal) {
    if (i->pid <= 1 || i->state == INSTANCE_GHOST)
        return -ESRCH;
    if (i->adopted) {
        int pidfd = sd_event_source_get_io_fd(i->adopted);
        if (pidfd_send_signal(pidfd, target > 0 ? signal : 0, NULL, 0) < 0)
            return -errno;
        if (target > 0)
            return 0;
    }
    return kill(target, signal) < 0 ? -errno : 0;
}

void instance_kill(Instance *i) {
    /* It leads its own session, and so its own process group, unless it died before setsid(2). */
    (void)send_signal(i, -i->pid, SIGKILL);
    (void)send_signal(i, i->pid, SIGKILL);
    if (i->group > 0)
        service_cgroup_kill(i);
}

static int on_kill_time(sd_event_source *s, uint64_t usec, void *userdata) {
    Instance *i = userdata;
    uint64_t now = clock_monotonic_usec();
    /* Frozen together with the daemon, it has not had its time to end. */
    if (clock_timer_is_late(usec, now) && sd_event_source_set_time(s, now + USEC_PER_SEC) >= 0 &&
        sd_event_source_set_enabled(s, SD_EVENT_ONESHOT) >= 0)
        return 0;
    i->timer = sd_event_source_disable_unref(i->timer);
    instance_kill(i);
    return 0;
}

static void send_end(Instance *i) {
    instance_unwatch(i);
    i->state = INSTANCE_STOPPING;
    /* One that is silent leaves a core file, where that is wanted, to see what it was at. */
    (void)send_signal(i, i->pid, i->timed_out == TIMEOUT_WATCHDOG ? SIGABRT : SIGTERM);
    /* A stopped process would take no TERM before it is continued. */
    (void)send_signal(i, i->pid, SIGCONT);
}

static bool is_live(const Instance *i) {
    return i->state == INSTANCE_RUNNING || i->state == INSTANCE_STARTING;
}

void instance_tell(Instance *i) {
    if (!is_live(i))
        return;
    i->only_told = true;
    send_end(i);
}

/* mp-init passes signals on, but this one it does not see. The service's process is its child to reap: it is
 * held by a descriptor, and is signalled if it was that child when it was. */
static int stop_within(const Instance *i) {
    pid_t pid = spawn_program_of(i->pid);
    if (pid == i->pid)
        return send_signal(i, i->pid, SIGSTOP);
    CLEANUP_CLOSE int fd = pidfd_open(pid, 0);
    if (fd < 0 || spawn_parent_of(pid) != i->pid)
        return -ESRCH;
    return pidfd_send_signal(fd, SIGSTOP, NULL, 0) < 0 ? -errno : 0;
}

int instance_signal(Instance *i, int signal) {
    if (i->pid <= 1 || (!is_live(i) && i->state != INSTANCE_STOPPING))
        return -ESRCH;
    int r = signal == SIGSTOP && i->own_pids ? stop_within(i) : send_signal(i, i->pid, signal);
    if (r >= 0 && signal == SIGKILL)
        instance_kill(i);
    return r;
}

static int on_lifetime_over(sd_event_source *s, uint64_t usec, void *userdata) {
    (void)s;
    (void)usec;
    instance_time_out(userdata, TIMEOUT_LIFETIME);
    return 0;
}

int instance_set_timer(Instance *i, InstanceTimer what, uint64_t at_usec) {
    static const sd_event_time_handler_t handlers[] = {
        [TIMER_LIFETIME] = on_lifetime_over, [TIMER_KILL] = on_kill_time};
    i->timer = sd_event_source_disable_unref(i->timer);
    i->timer_is = what;
    return sd_event_add_time(i->rt->loop, &i->timer, CLOCK_MONOTONIC, at_usec, 10 * USEC_PER_MSEC,
                             handlers[what], i);
}

void instance_stop(Instance *i, uint64_t stop_usec) {
    if (!is_live(i) && !i->only_told)
        return;
    i->only_told = false;
    send_end(i);
    if (stop_usec != USEC_INFINITY &&
        instance_set_timer(i, TIMER_KILL, clock_monotonic_usec() + stop_usec) < 0)
        instance_kill(i);
}

int instance_limit_lifetime(Instance *i, uint64_t lifetime_usec) {
    if (lifetime_usec == USEC_INFINITY)
        return 0;
    return instance_set_timer(i, TIMER_LIFETIME, i->started_usec + lifetime_usec);
}
