/* SPDX-License-Identifier: MIT */
#include <fcntl.h>
#include <malloc.h>
#include <string.h>
#include <sys/random.h>
#include <sys/stat.h>

#include "build-config.h"
#include "daemon/attempt.h"
#include "daemon/base/clock.h"
#include "daemon/capabilities.h"
#include "daemon/cgroup.h"
#include "daemon/descriptors.h"
#include "daemon/fd-store.h"
#include "daemon/ledger.h"
#include "daemon/lobby.h"
#include "daemon/manager-private.h"
#include "daemon/notifier.h"
#include "daemon/resolver.h"
#include "daemon/seclusion.h"
#include "daemon/status.h"

const ServiceSet *manager_services(const Manager *m) {
    return &m->services;
}

const Config *manager_config(const Manager *m) {
    return m->config;
}

const char *manager_control_path(const Manager *m) {
    return control_path(m->control);
}

Runtime *manager_runtime(Manager *m) {
    return &m->rt;
}

Helpers *manager_helpers(Manager *m) {
    return &m->helpers;
}

uint64_t manager_newest_instance(const Manager *m) {
    return m->rt.next_instance;
}

uint64_t manager_generation(const Manager *m) {
    return m->generation;
}

void manager_describe(const Manager *m, ApiDaemon *ret) {
    static const char *const states[] = {
        [MANAGER_STARTING] = "starting",
        [MANAGER_RUNNING] = "running",
        [MANAGER_STOPPING] = "stopping",
    };
    *ret = (ApiDaemon){
        .pid = getpid(),
        .version = MP_VERSION,
        .state = states[m->state],
        .uptime_usec = clock_monotonic_usec() - m->started_usec,
        .generation = m->generation,
        .config = m->config->path,
        .last_reload = {.ok = m->last_reload.ok,
                        .error = m->last_reload.error,
                        .time_usec = m->last_reload.time_usec,
                        .success_usec = m->last_reload.success_usec},
        .children = m->rt.instances.n,
        .fds = count_open_fds(),
    };
}

static int on_sweep(sd_event_source *s, void *userdata) {
    Manager *m = userdata;
    (void)s;
    reload_sweep(&m->rt, &m->services);
    return 0;
}

/* Lines left out of the log are told once a second, as long as there are some. */

static int on_suppressed_time(sd_event_source *source, uint64_t usec, void *userdata) {
    Manager *m = userdata;
    bool more = false;
    (void)source;
    (void)usec;
    m->suppressed_timer = sd_event_source_disable_unref(m->suppressed_timer);
    for (size_t i = 0; i < m->services.n; i++)
        more |= service_tell_suppressed(m->services.items[i], clock_monotonic_usec());
    if (m->control)
        more |= control_tell_suppressed(m->control, clock_monotonic_usec());
    if (more)
        manager_tell_suppressed_later(m);
    return 0;
}

void manager_tell_suppressed_later(Manager *m) {
    if (!m->suppressed_timer)
        (void)sd_event_add_time_relative(m->rt.loop, &m->suppressed_timer, CLOCK_MONOTONIC, USEC_PER_SEC,
                                         USEC_PER_SEC / 10, on_suppressed_time, m);
}

static void on_suppressed(void *userdata) {
    manager_tell_suppressed_later(userdata);
}

static void on_state(Service *s, void *userdata) {
    Manager *m = userdata;
    if (service_is_over(s))
        (void)sd_event_source_set_enabled(m->sweep, SD_EVENT_ONESHOT);
    if (m->control)
        control_on_state(m->control);
}

static void on_event(const ApiEvent *e, void *userdata) {
    Manager *m = userdata;
    if (m->control)
        control_on_event(m->control, e);
}

static void on_settled(void *userdata) {
    Manager *m = userdata;
    (void)sd_event_source_set_enabled(m->sweep, SD_EVENT_ONESHOT);
    manager_tell_put_off(m);
    manager_finish_if_empty(m);
}

/* Starting */

/* One that could not even open its listeners would fail in odd ways later. */
static int check_descriptors(Manager *m) {
    uint64_t limit = 0;
    size_t needed = descriptors_lacking(m->config, &limit);
    if (needed == 0)
        return 0;
    eventlog_say(
        &m->rt.events, LOG_LEVEL_ERROR, "error",
        "the config needs at least %zu descriptors, and there may be %llu: raise the limit (ulimit -n, "
        "or LimitNOFILE= of the unit)",
        needed, (unsigned long long)limit);
    return -EMFILE;
}

/* Who may come in, and who may not. Their keys are secret, so that nobody can choose his place in them. */
static int make_tables(Runtime *rt) {
    uint8_t keys[2][SIPHASH_KEY_BYTES];
    if (getrandom(keys, sizeof(keys), 0) != (ssize_t)sizeof(keys))
        return -EIO;
    rt->sources = sources_new(SOURCES_MAX, keys[0]);
    rt->bans = bans_new(BANS_MAX, keys[1]);
    int r = rt->sources && rt->bans ? 0 : -ENOMEM;
    if (r >= 0 && !rt->copies)
        r = discard_new(rt->loop, &rt->errands, rt->spawner, &rt->discard);
    return r < 0 ? r : linger_new(rt->loop, rt->discard, &rt->linger);
}

int manager_init_runtime(Manager *m, Logger *logger) {
    Runtime *rt = &m->rt;
    eventlog_init(&rt->events, logger);
    late_readers_init(&rt->late_readers, &rt->fd_ceiling);
    cgroup_spread_init(&rt->spread);
    rt->events.follower = on_event;
    rt->events.userdata = m;
    rt->environ = m->load.environ;
    rt->load = &m->load;
    rt->on_state = on_state;
    rt->on_state_userdata = m;
    rt->on_suppressed = on_suppressed;
    rt->on_suppressed_userdata = m;
    rt->on_settled = on_settled;
    rt->on_settled_userdata = m;
    rt->umask = 022;
    (void)umask(rt->umask);
    descriptors_init(rt);
    rt->has_capabilities = capabilities_are_inherited();
    if (check_descriptors(m) < 0)
        return -EMFILE;
    rt->null_fd = open("/dev/null", O_RDWR | O_CLOEXEC);
    if (rt->null_fd < 0) {
        int r = -errno;
        eventlog_say(&rt->events, LOG_LEVEL_ERROR, "error", "/dev/null, for processes without input: %s",
                     strerror(-r));
        return r;
    }
    rt->sockets = sock_query_new();
    int r = rt->sockets ? spawner_new(rt->environ, &rt->spawner) : -ENOMEM;
    if (r >= 0) {
        eventlog_say(&rt->events, LOG_LEVEL_DEBUG, "spawn", "processes are made in mode '%s'",
                     spawn_mode_to_string(rt->spawner->mode));
        const char *unknown = spawn_mode_unknown(rt->environ);
        if (unknown)
            eventlog_say(&rt->events, LOG_LEVEL_WARNING, "spawn",
                         "MPINETD_SPAWN=%s is none of shared, files, vfork: it is ignored", unknown);
        r = sd_event_new(&rt->loop);
    }
    /* With its first timer the loop opens its timerfd: now, when descriptors are there, and not in need. */
    if (r >= 0)
        r = alarm_init(&m->alarm, rt->loop);
    if (r >= 0) {
        rt->traffic = traffic_new(rt->loop, rt->sockets, &rt->events, on_settled, m);
        r = rt->traffic ? 0 : -ENOMEM;
    }
    if (r >= 0)
        r = lobby_new(rt->loop, listener_leave_lobby, &rt->lobby);
    if (r >= 0)
        r = make_tables(rt);
    if (r >= 0)
        r = memory_reserve_init(&rt->memory, rt->loop, &rt->events);
    if (r >= 0)
        r = sd_event_add_defer(rt->loop, &m->sweep, on_sweep, m);
    if (r >= 0)
        r = sd_event_source_set_enabled(m->sweep, SD_EVENT_OFF);
    if (r >= 0)
        r = manager_add_signals(m);
    if (r >= 0)
        r = helper_init(&m->helpers);
    if (r >= 0) {
        m->loads = config_loads_new(rt->loop, &m->helpers, &m->load);
        for (size_t i = 0; i < ELEMENTS(m->looks); i++)
            m->looks[i] = config_loads_new(rt->loop, &m->helpers, &m->load);
        rt->resolver = m->looks[0] && m->looks[1] ? resolver_new(m->looks[0], m->looks[1]) : NULL;
        r = m->loads && rt->resolver ? 0 : -ENOMEM;
    }
    return r < 0 ? r : manager_meet_supervisor(m);
}

const char *manager_socket_path(const Manager *m, const Config *config, char **ret_standard) {
    if (m->options->socket)
        return m->options->socket;
    if (config->control_socket)
        return config->control_socket;
    *ret_standard = config_default_socket(geteuid(), m->load.environ);
    return *ret_standard;
}

/* The control socket is taken before anything is bound, so that a second daemon disturbs nothing of the
 * first. */
static int take_control(Manager *m) {
    char *standard CLEANUP_FREE = NULL;
    const char *path = manager_socket_path(m, m->config, &standard), *step = NULL;
    EventLog *log = &m->rt.events;
    if (!path) {
        const char *runtime = getenv("XDG_RUNTIME_DIR");
        eventlog_say(log, LOG_LEVEL_ERROR, "error",
                     "no place for the control socket: XDG_RUNTIME_DIR is %s. Set it%s, or name a path with "
                     "'-s PATH' or 'control: {socket: PATH}'",
                     runtime && *runtime ? "not an absolute path" : "not set",
                     runtime && *runtime ? " to one" : "");
        return -ENOENT;
    }
    int r = control_new(m, m->rt.loop, log, path, &m->control, &step);
    if (r == -EADDRINUSE)
        eventlog_say(
            log, LOG_LEVEL_ERROR, "error",
            "already running: another mpinetd has the control socket %s. Stop it, or name another path "
            "with -s",
            path);
    else if (r < 0)
        eventlog_say(log, LOG_LEVEL_ERROR, "error", "%s %s: %s%s", step, path, strerror(-r),
                     r == -EPERM ? " (its folder must be yours or root's, and not writable by others)" : "");
    return r;
}

static int make_services(Manager *m) {
    Config *c = m->config;
    m->services.items = (Service **)calloc(c->n_services + 1, sizeof(Service *));
    if (!m->services.items)
        return -ENOMEM;
    for (size_t i = 0; i < c->n_services; i++) {
        Service *s = service_new(&m->rt, c, c->services[i], m->generation);
        if (!s)
            return -ENOMEM;
        m->services.items[m->services.n++] = s;
    }
    tcpmux_collect(&m->rt, m->services.items, m->services.n);
    return 0;
}

Manager *manager_alloc(const Options *options, const LoadContext *load) {
    Manager *m = calloc(1, sizeof(*m));
    if (!m)
        return NULL;
    m->options = options;
    m->load = *load;
    m->started_usec = clock_monotonic_usec();
    m->rt.null_fd = m->state_fd = -EBADF;
    return m;
}

int manager_new(const Options *options, Config *config, const LoadContext *load, Logger *logger,
                Manager **ret) {
    CLEANUP(manager_freep) Manager *m = manager_alloc(options, load);
    if (!m) {
        config_unref(config);
        return -ENOMEM;
    }
    m->config = config;
    m->generation = 1;
    m->last_reload.ok = true;
    m->last_reload.time_usec = m->last_reload.success_usec = clock_realtime_usec();
    int r = manager_init_runtime(m, logger);
    if (r < 0) {
        eventlog_say(&m->rt.events, LOG_LEVEL_ERROR, "error", "cannot start: %s", strerror(-r));
        return r;
    }
    config_loads_set_old(m->loads, m->config);
    manager_apply_log_config(m);
    r = take_control(m);
    if (r >= 0)
        m->rt.socket = control_path(m->control);
    if (r >= 0)
        r = make_services(m);
    if (r < 0)
        return r;
    *ret = TAKE_PTR(m);
    return 0;
}

Manager *manager_free(Manager *m) {
    if (!m)
        return NULL;
    m->rt.events.follower = NULL;
    /* However it ends, what is kept is for the next one. */
    fd_store_leave(m->rt.store);
    m->rt.on_state = NULL;
    m->loads = config_loads_free(m->loads);
    for (size_t i = 0; i < ELEMENTS(m->looks); i++)
        m->looks[i] = config_loads_free(m->looks[i]);
    for (size_t i = 0; i < m->services.n; i++)
        service_free(m->services.items[i]);
    free((void *)m->services.items);
    m->rt.resolver = resolver_free(m->rt.resolver);
    tcpmux_done(&m->rt.tcpmux);
    m->control = control_free(m->control);
    /* The control socket has some. */
    helpers_done(&m->helpers);
    m->rt.store = fd_store_free(m->rt.store);
    m->state_fd = fd_close(m->state_fd);
    m->rt.ledger = ledger_free(m->rt.ledger);
    m->rt.notifier = notifier_free(m->rt.notifier);
    m->rt.linger = linger_free(m->rt.linger);
    m->rt.discard = discard_free(m->rt.discard);
    m->rt.sources = sources_free(m->rt.sources);
    m->rt.bans = bans_free(m->rt.bans);
    m->rt.traffic = traffic_free(m->rt.traffic);
    sd_event_source_disable_unref(m->drain_timer);
    sd_event_source_disable_unref(m->suppressed_timer);
    sd_event_source_disable_unref(m->sweep);
    cgroup_spread_done(&m->rt.spread);
    alarm_done(&m->alarm);
    memory_reserve_done(&m->rt.memory);
    m->rt.cgroups = cgroup_tree_free(m->rt.cgroups);
    m->rt.lobby = lobby_free(m->rt.lobby);
    sd_event_unref(m->rt.loop);
    spawner_free(m->rt.spawner);
    sock_query_free(m->rt.sockets);
    env_builder_done(&m->rt.env);
    errands_done(&m->rt.errands);
    instance_table_done(&m->rt.instances);
    eventlog_done(&m->rt.events);
    history_done(&m->rt.lost);
    (void)fd_close(m->rt.null_fd);
    free(m->last_reload.error);
    free(m->upgrade.version);
    free(m->restored.version);
    free(m->restored.program);
    config_unref(m->config);
    free(m);
    return NULL;
}

/* From so many listeners on it is worth it. */
#define FENCED_LISTENERS 500

static size_t open_listeners(Manager *m) {
    size_t n = 0, not_open = 0;
    DescriptorFence fence = {0};
    for (size_t i = 0; i < m->services.n; i++)
        n += m->services.items[i]->n_listeners;
    if (n >= FENCED_LISTENERS)
        descriptors_fence(&fence, &m->rt);
    for (size_t i = 0; i < m->services.n; i++)
        not_open += service_open(m->services.items[i]);
    descriptors_unfence(&fence);
    return not_open;
}

/* Returns how many listeners are not open: they are tried again. */
static size_t open_services(Manager *m) {
    manager_adopt_sockets(m);
    size_t not_open = open_listeners(m);
    for (size_t i = 0; i < m->services.n; i++) {
        service_update(m->services.items[i], "start");
        service_start_now(m->services.items[i]);
    }
    return not_open;
}

static int open_all(Manager *m) {
    const char *step = NULL;
    size_t not_open = open_services(m);
    /* Whoever tries something out wants to know now. */
    if (m->options->attempt && not_open > 0)
        return -ENOTCONN;
    int r = control_open(m->control, m->config, &step);
    if (r < 0) {
        eventlog_say(&m->rt.events, LOG_LEVEL_ERROR, "error", "%s %s: %s", step, control_path(m->control),
                     strerror(-r));
        return r;
    }
    return 0;
}

/* Goes on after an upgrade. Who has ended in between is reaped last, when all that he may wake is there; the
 * kernel does not tell of him again. */
static void resume_all(Manager *m) {
    control_resume(m->control);
    manager_resume_supervisor(m);
    for (size_t i = 0; i < m->services.n; i++)
        service_resume(m->services.items[i]);
    manager_reap(m);
    (void)sd_event_source_set_enabled(m->sweep, SD_EVENT_ONESHOT);
    manager_tell_suppressed_later(m);
}

static void tell_running(Manager *m) {
    eventlog_say(&m->rt.events, LOG_LEVEL_INFO, "running",
                 "version %s is running, services: %zu; control socket: %s", MP_VERSION, m->services.n,
                 control_path(m->control));
    logger_flush(m->rt.events.logger);
    if (m->options->attempt)
        attempt_say(m->services.items[0], control_path(m->control));
}

/* What the daemon may, and who may look into it, from here on. */
static void close_self(Manager *m) {
    int r = capabilities_trim();
    if (r < 0)
        eventlog_say(&m->rt.events, LOG_LEVEL_WARNING, "error",
                     "capabilities that the daemon does not use could not be given up: %s", strerror(-r));
    seclusion_limit(&m->rt);
    if (!seclusion_is_wanted(m->rt.environ))
        eventlog_say(&m->rt.events, LOG_LEVEL_WARNING, "error",
                     SECLUSION_OFF_VARIABLE " is set: the daemon may be debugged and may leave core dumps, "
                                            "which have all in them that it knows");
}

/* So many bytes stay at the end of the heap for what comes. */
#define HEAP_ROOM ((size_t)128 << 10)

int manager_run(Manager *m) {
    bool goes_on = m->restored.version != NULL;
    close_self(m);
    if (goes_on) {
        resume_all(m);
    } else if (open_all(m) < 0) {
        /* The next try finds what this one has found. */
        fd_store_leave(m->rt.store);
        return EXIT_FAILURE;
    }
    m->state = MANAGER_RUNNING;
    manager_tell_ready(m);
    /* What reading the config took, and nothing has filled since. */
    (void)malloc_trim(HEAP_ROOM);
    if (goes_on) {
        manager_tell_upgraded(m);
        manager_go_on_loading(m);
    } else {
        tell_running(m);
    }
    int status = manager_serve(m);
    eventlog_say(&m->rt.events, LOG_LEVEL_INFO, "stopped", "stopped");
    return status;
}
