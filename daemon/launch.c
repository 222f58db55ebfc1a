/* SPDX-License-Identifier: MIT */
#include "daemon/launch-private.h"

#include <fcntl.h>
#include <string.h>
#include <sys/socket.h>

#include "daemon/account.h"
#include "daemon/adopt.h"
#include "daemon/backend.h"
#include "daemon/base/clock.h"
#include "daemon/base/text.h"
#include "daemon/flight.h"
#include "daemon/forward.h"
#include "daemon/pool.h"
#include "daemon/service-cgroup.h"
#include "daemon/spares.h"

#define LISTEN_FDS_START 3
/* So long is waited for the program of a process that others depend on. */
#define SOON_USEC (20 * USEC_PER_MSEC)

void connection_done(const Runtime *rt, Connection *c) {
    c->fd = discard_socket(rt->discard, c->fd);
    free(c->groups);
    c->groups = NULL;
    c->n_groups = 0;
}

Connection *connection_free(const Runtime *rt, Connection *c) {
    if (c)
        connection_done(rt, c);
    free(c);
    return NULL;
}

void pipes_done(Pipes *p) {
    p->stderr_read = fd_close(p->stderr_read);
    p->stderr_write = fd_close(p->stderr_write);
    p->status_read = fd_close(p->status_read);
    p->status_write = fd_close(p->status_write);
}

static int open_pipe(int *ret_read, int *ret_write) {
    int fds[2];
    if (pipe2(fds, O_CLOEXEC) < 0)
        return -errno;
    *ret_read = fds[0];
    *ret_write = fds[1];
    return 0;
}

int pipes_open(Runtime *rt, const ServiceConfig *c, Pipes *p) {
    int r = 0;
    if (c->stderr_target == STDERR_LOG)
        r = open_pipe(&p->stderr_read, &p->stderr_write);
    if (r >= 0 && c->report)
        r = open_pipe(&p->status_read, &p->status_write);
    /* They stay, while the connection goes: it is their numbers that rise. */
    rt->crowded |= p->stderr_write >= rt->fd_ceiling || p->status_write >= rt->fd_ceiling;
    return r;
}

/* Where descriptor 2 goes, and 1 where the handoff does not use it. */
static int output_fd(const Runtime *rt, const ServiceConfig *c, const Pipes *pipes, int socket) {
    switch (c->stderr_target) {
    case STDERR_LOG:
        return pipes->stderr_write;
    case STDERR_SOCKET:
        return socket;
    case STDERR_INHERIT:
        return STDERR_FILENO;
    case STDERR_DISCARD:
    case _STDERR_TARGET_MAX:
        break;
    }
    return rt->null_fd;
}

int launch_begin_flight(Service *s, Flight **ret, LaunchFault *fault) {
    int r = launch_take_recipe(s, fault);
    return r < 0 ? r : flight_new(s->rt->spawner, s->recipe, ret);
}

static bool stays_in_folder(const Spawner *s, const ServiceConfig *c) {
    return s->at_root && !c->root_directory && streq_null(c->working_directory, "/");
}

void launch_begin_plan(const Service *s, ChildPlan *plan) {
    const ServiceConfig *c = s->config;
    const Runtime *rt = s->rt;
    plan->program = c->resolved.program;
    plan->argv = s->recipe->argv;
    plan->root_directory = c->root_directory;
    plan->working_directory = stays_in_folder(rt->spawner, c) ? NULL : c->working_directory;
    plan->change_ids =
        c->resolved.change_ids && !spawner_has_ids(rt->spawner, c->resolved.uid, c->resolved.gid,
                                                   c->resolved.groups, c->resolved.n_groups);
    plan->uid = c->resolved.uid;
    plan->gid = c->resolved.gid;
    plan->groups = c->resolved.groups;
    plan->n_groups = c->resolved.n_groups;
    plan->set_umask = c->umask != rt->umask;
    plan->umask = c->umask;
    plan->resources = service_config_resources(c);
    plan->restore_nofile = rt->nofile_raised;
    plan->nofile = rt->nofile.value;
    plan->nofile_hard = rt->nofile_hard;
    plan->restore_core = rt->core_lowered;
    plan->core = rt->core.rlim_cur;
    plan->core_hard = rt->core.rlim_max;
    plan->seclude = rt->opens_memory;
    plan->no_new_privileges = c->no_new_privileges;
    plan->sandbox.plan = s->recipe->sandbox;
    plan->own_memory = rt->shares_no_memory && (plan->change_ids || plan->sandbox.plan);
    plan->drop_capabilities =
        rt->has_capabilities && (c->resolved.change_ids ? c->resolved.uid : rt->spawner->uid) != 0;
}

int launch_move_status(ChildPlan *plan, const Pipes *pipes, int *ret_target) {
    *ret_target = -EBADF;
    if (pipes->status_write < 0)
        return 0;
    int target = plan->first_closed > LISTEN_FDS_START ? plan->first_closed : LISTEN_FDS_START;
    int r = child_plan_move_fd(plan, pipes->status_write, target);
    if (r >= 0)
        *ret_target = target;
    return r;
}

static int set_connection(EnvBuilder *env, const Instance *i, const Connection *c) {
    struct ucred credentials = {.pid = c->pid, .uid = c->uid, .gid = c->gid};
    int r = env_builder_set_connection(env, &c->remote, &c->local, c->has_credentials ? &credentials : NULL);
    bool listens = i->service->config->pass == HANDOFF_LISTEN_FDS;
    return r >= 0 && listens ? env_builder_set_listen(env, 1, "connection") : r;
}

int launch_set_environment(const Instance *i, const Connection *connection, int status) {
    EnvBuilder *env = i->flight->env;
    uint64_t watchdog = i->service->config->terms->timeout_watchdog_usec;
    int r = connection ? set_connection(env, i, connection) : 0;
    if (r >= 0)
        r = env_builder_set_number(env, ENV_MP_INSTANCE, i->number);
    if (r >= 0 && i->notify)
        r = env_builder_set(env, ENV_NOTIFY_SOCKET, notify_socket_name(i->notify));
    if (r >= 0 && watchdog != USEC_INFINITY && i->role != ROLE_FORWARD)
        r = env_builder_set_number(env, ENV_WATCHDOG_USEC, watchdog);
    if (r >= 0 && status >= 0)
        r = env_builder_set_number(env, ENV_MP_STATUS_FD, (unsigned)status);
    return r;
}

/* One that comes later keeps its number free. */
static int move_connection_to(ChildPlan *plan, int fd, int target) {
    if (fd >= 0)
        return child_plan_move_fd(plan, fd, target);
    plan->wait.connection[plan->wait.n_connection++] = target;
    if (target >= plan->first_closed)
        plan->first_closed = target + 1;
    return 0;
}

static int move_three(ChildPlan *plan, int in, int out, int err) {
    int r = move_connection_to(plan, in, 0);
    if (r >= 0)
        r = move_connection_to(plan, out, 1);
    return r < 0 ? r : move_connection_to(plan, err, 2);
}

/* The connection on 0 and 1, or on 3. */
int launch_move_connection(Service *s, ChildPlan *plan, int fd, const Pipes *pipes) {
    Runtime *rt = s->rt;
    int output = output_fd(rt, s->config, pipes, fd);
    if (s->config->pass == HANDOFF_STDIO)
        return move_three(plan, fd, fd, output);
    int r = move_three(plan, rt->null_fd, output, output);
    return r < 0 ? r : move_connection_to(plan, fd, LISTEN_FDS_START);
}

/* @slot is NULL for all there are. */
static int plan_listen_fds(Service *s, const Slot *slot, const Flight *f) {
    Text names CLEANUP_TEXT = {0};
    int n = 0;
    for (size_t i = 0; i < s->n_listeners; i++) {
        const Listener *l = s->listeners[i];
        if ((slot && l->slot != slot->index) || !listener_is_open(l))
            continue;
        if (n > 0)
            text_addc(&names, ':');
        text_add(&names, l->config->name);
        int r = child_plan_move_fd(f->plan, l->fd, LISTEN_FDS_START + n++);
        if (r < 0)
            return r;
    }
    return text_ok(&names) ? env_builder_set_listen(f->env, (size_t)n, names.s ? names.s : "") : -ENOMEM;
}

/* The listener itself on 0 and 1, or all of the slot from 3 on; one is open (slot_activate()). */
static int plan_slot(Service *s, const Slot *slot, const Flight *f, const Pipes *pipes) {
    int first = -EBADF;
    bool two_way = true;
    for (size_t i = 0; i < s->n_listeners; i++) {
        Listener *l = s->listeners[i];
        if (l->slot != slot->index || !listener_is_open(l))
            continue;
        if (first < 0) {
            first = l->fd;
            /* What would be written to a fifo or a queue comes back to who reads it. */
            two_way = l->kind != ENDPOINT_FIFO && l->kind != ENDPOINT_MQUEUE;
        }
        int r = listener_set_blocking(l, true);
        if (r < 0)
            return r;
    }
    int output = output_fd(s->rt, s->config, pipes, first);
    if (s->config->pass == HANDOFF_STDIO)
        return move_three(f->plan, first, two_way ? first : output, output);
    int r = move_three(f->plan, s->rt->null_fd, output, output);
    return r < 0 ? r : plan_listen_fds(s, slot, f);
}

/* Where the memory is, and which part of it. */
static int plan_score(const Flight *f, const Worker *w) {
    int target = f->plan->first_closed;
    if (w->slot < 0)
        return 0;
    int r = child_plan_move_fd(f->plan, scoreboard_fd(w->pool->board), target);
    if (r >= 0)
        r = env_builder_set_number(f->env, ENV_MP_SCOREBOARD_FD, (unsigned)target);
    return r < 0 ? r : env_builder_set_number(f->env, ENV_MP_SCOREBOARD_SLOT, (uint64_t)w->slot);
}

/* The listeners, or the socket over which it is passed connections; it ends with the daemon. */
static int plan_worker(Service *s, const Worker *w, const Flight *f, const Pipes *pipes) {
    const Runtime *rt = s->rt;
    int output = output_fd(rt, s->config, pipes, rt->null_fd);
    int r = move_three(f->plan, rt->null_fd, output, output);
    f->plan->parent = getpid();
    if (w->fd >= 0) {
        if (r >= 0)
            r = child_plan_move_fd(f->plan, w->its_fd, LISTEN_FDS_START);
        if (r >= 0)
            r = env_builder_set_number(f->env, ENV_MP_CONNECTION_FD, LISTEN_FDS_START);
    } else {
        /* One they can wait for in accept(2), where each connection wakes one of them. Of several all are
         * woken, and all but one find nothing. Workers that are there share what they have made of it. */
        size_t n_open = 0;
        for (size_t i = 0; i < s->n_listeners; i++)
            n_open += listener_is_open(s->listeners[i]);
        for (size_t i = 0; i < s->n_listeners && s->n_instances == 0 && r >= 0; i++)
            if (listener_is_open(s->listeners[i]))
                r = listener_set_blocking(s->listeners[i], n_open == 1);
        if (r >= 0)
            r = plan_listen_fds(s, NULL, f);
    }
    return r < 0 ? r : plan_score(f, w);
}

/* Nothing but where its output goes. */
static int plan_backend(Service *s, ChildPlan *plan, const Pipes *pipes) {
    int output = output_fd(s->rt, s->config, pipes, s->rt->null_fd);
    return move_three(plan, s->rt->null_fd, output, output);
}

static void count(Instance *i) {
    Service *s = i->service;
    bool backend = i->role == ROLE_BACKEND;
    list_append(&s->instances, &i->link);
    *(backend ? &s->backend.n_processes : &s->n_instances) += 1;
    *(backend ? &s->backend.n_flying : &s->n_flying) += 1;
    s->n_flights++;
}

int launch_start_flight(Instance *i, SpawnStep *ret_step) {
    Service *s = i->service;
    CLEANUP_CLOSE int own = -EBADF;
    int r = 0;
    bool gone = true;
    instance_know_config(i);
    if (!s->config->cgroup)
        return flight_start(i->flight, ret_step);
    /* Once more where somebody has removed the group. */
    for (unsigned tries = 0; tries < 2 && gone; tries++) {
        *ret_step = STEP_CGROUP;
        r = service_cgroup_enter(i, &own);
        if (r >= 0)
            r = flight_start(i->flight, ret_step);
        i->flight->cgroup = -EBADF;
        gone = (r == -ENODEV || r == -ENOENT) && *ret_step == STEP_CGROUP;
        if (r < 0 && *ret_step == STEP_CGROUP)
            service_cgroup_doubt(s);
    }
    return r;
}

/* Carries the plan out. */
static int start(Instance *i, Pipes *pipes, SpawnStep *ret_step) {
    /* Who could not be heard would never be ready: that is known before there is a process. */
    *ret_step = STEP_FDS;
    int r = instance_read_pipes(i, TAKE_FD(pipes->stderr_read), TAKE_FD(pipes->status_read));
    if (r < 0)
        return r;
    /* Without memory for its entry nobody could ever wait for it. */
    *ret_step = STEP_FORK;
    r = instance_table_reserve(&i->rt->instances);
    if (r >= 0)
        r = launch_start_flight(i, ret_step);
    if (r < 0)
        return r;
    i->pid = i->flight->pid;
    i->flight->owner = i;
    (void)instance_table_add(&i->rt->instances, i);
    count(i);
    adopt_note(i);
    return 0;
}

/* What it gets: one of @connection, its slot and its worker is given. */
static int plan_handoff(const Instance *i, const Connection *connection, const Pipes *pipes) {
    Service *s = i->service;
    const Flight *f = i->flight;
    bool by_tcp = connection && connection->remote.sa.sa_family != AF_UNIX;
    launch_begin_plan(s, f->plan);
    if (i->role == ROLE_FORWARD)
        forward_plan(s, by_tcp, f->plan);
    if (connection)
        return launch_move_connection(s, f->plan, connection->fd, pipes);
    if (i->role == ROLE_BACKEND)
        return plan_backend(s, f->plan, pipes);
    return i->slot ? plan_slot(s, i->slot, f, pipes) : plan_worker(s, i->worker, f, pipes);
}

static InstanceRole role_in(const Service *s, const Slot *slot) {
    if (s->config->model != MODEL_FORWARD)
        return ROLE_SERVICE;
    return slot && slot_is_backend(slot) ? ROLE_BACKEND : ROLE_FORWARD;
}

static int plan(Instance *i, const Connection *connection, Pipes *pipes, LaunchFault *fault) {
    Service *s = i->service;
    int status = -EBADF, r = pipes_open(s->rt, s->config, pipes);
    if (r >= 0 && s->config->notify == NOTIFY_SD_NOTIFY && i->role != ROLE_FORWARD)
        r = instance_open_notify(i);
    if (r >= 0)
        r = launch_begin_flight(s, &i->flight, fault);
    if (r >= 0)
        r = plan_handoff(i, connection, pipes);
    if (r >= 0)
        r = launch_move_status(i->flight->plan, pipes, &status);
    return r < 0 ? r : launch_set_environment(i, connection, status);
}

/* One of @connection, @slot and @w, which it takes over, is given. */
static Instance *launch(Service *s, const Peer *peer, Connection *connection, Slot *slot, Worker *w) {
    /* What there is now is for others. */
    Instance *i = s->rt->memory.low ? NULL : instance_new(s->rt, s, peer);
    Pipes pipes CLEANUP(pipes_done) = PIPES_NONE;
    LaunchFault fault = LAUNCH_FAULT(STEP_FDS);
    if (!i) {
        memory_reserve_use(&s->rt->memory);
        service_history(s)->counters.spawn_failed++;
        service_history(s)->counters.failed_steps[STEP_LIMIT]++;
        s->starved = true;
        worker_free(w);
        return NULL;
    }
    i->worker = w;
    i->slot = slot;
    i->role = role_in(s, slot);
    /* Until it runs: since when it is on its way. */
    if (connection)
        i->started_usec = connection->accepted_usec;
    int r = plan(i, connection, &pipes, &fault);
    if (r == -ENOMEM)
        memory_reserve_use(&s->rt->memory);
    if (r >= 0) {
        i->flight->may_share_files = connection;
        r = start(i, &pipes, &fault.step);
    }
    if (r < 0) {
        launch_tell_failure(i, &fault, -r);
        return instance_free(i);
    }
    flight_keep(i->flight, TAKE_FD(pipes.stderr_write));
    flight_keep(i->flight, TAKE_FD(pipes.status_write));
    if (connection)
        flight_keep_connection(i->flight, TAKE_FD(connection->fd), s->rt->discard);
    return i;
}

/* The same for one that is not for a connection: what depends on it goes on when it has come to exec, so that
 * is waited for, but not for long. */
static Instance *launch_at_once(Service *s, Slot *slot, Worker *w) {
    Peer nobody = {.kind = PEER_NONE};
    Instance *i = launch(s, &nobody, NULL, slot, w);
    return i && flight_wait(i->flight, SOON_USEC) ? launch_conclude(i) : i;
}

Instance *launch_for_connection(Service *s, Connection *connection) {
    AccountName name = account_name(s, connection->fd);
    Instance *i = spares_give(s, connection);
    if (!i)
        i = launch(s, &connection->peer, connection, NULL, NULL);
    if (!i)
        return NULL;
    i->source = TAKE_PTR(connection->source);
    i->groups = TAKE_PTR(connection->groups);
    i->n_groups = connection->n_groups;
    connection->n_groups = 0;
    account_begin(i, &name);
    return i;
}

Instance *launch_for_slot(Service *s, Slot *slot) {
    return launch_at_once(s, slot, NULL);
}

Instance *launch_for_leaving(Service *s, Listener *l) {
    Slot alone = {.service = s, .index = l->slot};
    Listener **own = s->listeners;
    size_t n = s->n_listeners;
    s->listeners = &l;
    s->n_listeners = 1;
    Instance *i = launch_for_slot(s, &alone);
    s->listeners = own;
    s->n_listeners = n;
    if (!i)
        return NULL;
    i->slot = NULL;
    i->stray = true;
    s->n_strays++;
    return i;
}

Instance *launch_for_worker(Service *s, Worker *w) {
    return launch_at_once(s, NULL, w);
}

Instance *launch_backend(Service *s, Slot *slot) {
    return launch_for_slot(s, slot);
}
