/* SPDX-License-Identifier: MIT */
/* Services with their listeners, and with connections that are still to say who they are, saved in one
 * runtime and restored in another, which goes on with copies of the descriptors. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <dirent.h>
#include <fcntl.h>
#include <signal.h>
#include <sys/socket.h>
#include <sys/stat.h>

#include "conf/load.h"
#include "daemon/base/clock.h"
#include "daemon/base/text.h"
#include "daemon/listener.h"
#include "daemon/service-leave.h"
#include "daemon/service-private.h"
#include "daemon/slot.h"
#include "daemon/tcpmux.h"
#include "tests/unit/handover.h"

#define SERVICES_MAX 8
/* So long something may take that takes no time. */
#define PATIENCE_USEC (20 * USEC_PER_SEC)

/* A daemon, as far as services need it. */
typedef struct Side {
    Runtime rt;
    Logger *logger;
    Service *services[SERVICES_MAX];
    size_t n;
} Side;

typedef struct Fixture {
    char folder[32], path[64];
    Config *config;
    Side a, b;
    int n_fds;
} Fixture;

static const uint8_t key[16] = "0123456789abcde";

/* Calls for which there is no memory while that is set (meson.build). */
static bool no_history, no_timer;

History *__real_history_new(void);
History *__wrap_history_new(void);
int __real_sd_event_add_time_relative(sd_event *e, sd_event_source **ret, clockid_t clock, uint64_t usec,
                                      uint64_t accuracy, sd_event_time_handler_t f, void *userdata);
int __wrap_sd_event_add_time_relative(sd_event *e, sd_event_source **ret, clockid_t clock, uint64_t usec,
                                      uint64_t accuracy, sd_event_time_handler_t f, void *userdata);

History *__wrap_history_new(void) {
    return no_history ? NULL : __real_history_new();
}

int __wrap_sd_event_add_time_relative(sd_event *e, sd_event_source **ret, clockid_t clock, uint64_t usec,
                                      uint64_t accuracy, sd_event_time_handler_t f, void *userdata) {
    return no_timer ? -ENOMEM : __real_sd_event_add_time_relative(e, ret, clock, usec, accuracy, f, userdata);
}

static int count_fds(void) {
    int n = 0;
    DIR *d = opendir("/proc/self/fd");
    assert_non_null(d);
    while (readdir(d))
        n++;
    (void)closedir(d);
    return n;
}

static void side_init(Side *side) {
    static char *no_environ[] = {NULL};
    Runtime *rt = &side->rt;
    *side = (Side){.n = 0};
    assert_true(sd_event_new(&rt->loop) >= 0);
    assert_int_equal(logger_new(LOG_TARGET_STDERR, &side->logger), 0);
    logger_set_level(side->logger, LOG_LEVEL_ERROR);
    eventlog_init(&rt->events, side->logger);
    late_readers_init(&rt->late_readers, &rt->fd_ceiling);
    rt->environ = no_environ;
    rt->fd_ceiling = rt->fd_ceiling_few = 1000;
    rt->null_fd = open("/dev/null", O_RDWR | O_CLOEXEC);
    rt->sources = sources_new(100, key);
    rt->bans = bans_new(100, key);
    rt->sockets = sock_query_new();
    assert_int_equal(spawner_new(no_environ, &rt->spawner), 0);
    rt->traffic = traffic_new(rt->loop, rt->sockets, &rt->events, NULL, NULL);
    assert_int_equal(linger_new(rt->loop, NULL, &rt->linger), 0);
}

static void side_done(Side *side) {
    Runtime *rt = &side->rt;
    for (size_t i = 0; i < side->n; i++)
        service_abandon(side->services[i]);
    tcpmux_done(&rt->tcpmux);
    linger_free(rt->linger);
    sources_free(rt->sources);
    bans_free(rt->bans);
    traffic_free(rt->traffic);
    sock_query_free(rt->sockets);
    sd_event_unref(rt->loop);
    spawner_free(rt->spawner);
    env_builder_done(&rt->env);
    instance_table_done(&rt->instances);
    eventlog_done(&rt->events);
    logger_free(side->logger);
    (void)fd_close(rt->null_fd);
}

static Config *load(Fixture *f, const char *services) {
    static char *no_environ[] = {NULL};
    const LoadContext context = {.euid = geteuid(), .libexecdir = "/nowhere", .environ = no_environ};
    DiagList diags CLEANUP_DIAGS = {0};
    CLEANUP_FCLOSE FILE *file = fopen(f->path, "we");
    assert_non_null(file);
    (void)fprintf(file, "version: 1\ndefaults: {user: self}\nservices:\n");
    /* $ stands for the folder. */
    for (const char *c = services; *c; c++)
        if (*c == '$')
            (void)fprintf(file, "%s", f->folder);
        else
            (void)fputc(*c, file);
    assert_int_equal(fflush(file), 0);
    Config *config = NULL;
    int e = config_load(f->path, &context, &diags, &config);
    for (size_t i = 0; e < 0 && i < diags.n; i++)
        print_message("%s\n", diags.items[i].message);
    assert_int_equal(e, 0);
    return config;
}

static int set_up(void **state) {
    Fixture *f = calloc(1, sizeof(*f));
    assert_non_null(f);
    (void)snprintf(f->folder, sizeof(f->folder), "/tmp/service-save-XXXXXX");
    assert_non_null(mkdtemp(f->folder));
    (void)snprintf(f->path, sizeof(f->path), "%s/config.yaml", f->folder);
    f->n_fds = count_fds();
    side_init(&f->a);
    side_init(&f->b);
    *state = f;
    return 0;
}

static int tear_down(void **state) {
    Fixture *f = *state;
    static const char *const nodes[] = {"config.yaml", "stream", "fifo", "other"};
    side_done(&f->a);
    side_done(&f->b);
    config_unref(f->config);
    assert_int_equal(count_fds(), f->n_fds);
    for (size_t i = 0; i < ELEMENTS(nodes); i++) {
        (void)snprintf(f->path, sizeof(f->path), "%s/%s", f->folder, nodes[i]);
        (void)unlink(f->path);
    }
    assert_int_equal(rmdir(f->folder), 0);
    free(f);
    return 0;
}

/* All services of @services run in the first one. */
static void start(Fixture *f, const char *services) {
    Side *a = &f->a;
    f->config = load(f, services);
    assert_in_range(f->config->n_services, 1, SERVICES_MAX);
    for (size_t i = 0; i < f->config->n_services; i++) {
        a->services[i] = service_new(&a->rt, f->config, f->config->services[i], 3);
        assert_non_null(a->services[i]);
        a->n++;
    }
    tcpmux_collect(&a->rt, a->services, a->n);
    for (size_t i = 0; i < a->n; i++)
        assert_int_equal(service_open(a->services[i]), 0);
    for (size_t i = 0; i < a->n; i++)
        service_update(a->services[i], NULL);
}

static Service *find(const Side *side, const char *name) {
    size_t i = 0;
    while (i < side->n && !streq(side->services[i]->name, name))
        i++;
    assert_true(i < side->n);
    return side->services[i];
}

static void save(const Side *side, const Config *config, Handover *h) {
    handover_begin(h);
    for (size_t i = 0; i < side->n; i++) {
        size_t at = blob_open(&h->w, 1);
        service_save(&h->w, side->services[i], config);
        blob_close(&h->w, at);
    }
}

static int restore(Side *side, Config *config, BlobReader r) {
    BlobField field;
    while (blob_next(&r, &field)) {
        int e = service_restore(blob_enter(&field), &side->rt, config, &side->services[side->n]);
        if (e < 0)
            return e;
        side->n++;
    }
    return 0;
}

/* From the first to the second, which then is as the first was. */
static void hand_over(Fixture *f) {
    Handover h, again, before;
    BlobReader r = {0};
    save(&f->a, f->config, &h);
    save(&f->a, f->config, &before);
    assert_true(handover_turn(&h, &r));
    assert_int_equal(restore(&f->b, f->config, r), 0);
    assert_int_equal(f->b.n, f->a.n);
    save(&f->b, f->config, &again);
    assert_true(handover_is_same(&before, &again));
    handover_end(&h);
    handover_end(&before);
    handover_end(&again);
    tcpmux_collect(&f->b.rt, f->b.services, f->b.n);
}

static void resume(Fixture *f) {
    for (size_t i = 0; i < f->b.n; i++)
        service_resume(f->b.services[i]);
}

/* Turns the loop until @number is what it should be. */
static void await(Side *side, const uint64_t *number, uint64_t wanted) {
    uint64_t end = clock_monotonic_usec() + PATIENCE_USEC;
    while (*number != wanted && clock_monotonic_usec() < end)
        assert_true(sd_event_run(side->rt.loop, 10 * USEC_PER_MSEC) >= 0);
    assert_int_equal(*number, wanted);
}

static void await_preludes(Side *side, const Service *s, size_t wanted) {
    uint64_t end = clock_monotonic_usec() + PATIENCE_USEC;
    while (preludes_count(s) != wanted && clock_monotonic_usec() < end)
        assert_true(sd_event_run(side->rt.loop, 10 * USEC_PER_MSEC) >= 0);
    assert_int_equal(preludes_count(s), wanted);
}

static void await_over(Side *side, const Service *s) {
    uint64_t end = clock_monotonic_usec() + PATIENCE_USEC;
    while (!service_is_over(s) && clock_monotonic_usec() < end)
        assert_true(sd_event_run(side->rt.loop, 10 * USEC_PER_MSEC) >= 0);
    assert_true(service_is_over(s));
}

static void turn_for(Side *side, uint64_t usec) {
    uint64_t end = clock_monotonic_usec() + usec;
    while (clock_monotonic_usec() < end)
        assert_true(sd_event_run(side->rt.loop, USEC_PER_MSEC) >= 0);
}

static int connect_to(const Listener *l) {
    const Addr addr = listener_addr(l);
    int fd = socket(addr.sa.sa_family, SOCK_STREAM | SOCK_CLOEXEC, 0);
    assert_true(fd >= 0);
    assert_int_equal(connect(fd, &addr.sa, addr.len), 0);
    return fd;
}

static void send_text(int fd, const char *text) {
    assert_int_equal(send(fd, text, strlen(text), MSG_NOSIGNAL), strlen(text));
}

static bool is_same_file(int a, int b) {
    struct stat x, y;
    return fstat(a, &x) == 0 && fstat(b, &y) == 0 && x.st_dev == y.st_dev && x.st_ino == y.st_ino;
}

/* --------------------------------------------------------------------------------------------- the whole */

/* Every field that is not its default. */
static void fill(Service *s, uint64_t now) {
    s->id = 41;
    s->generation = 7;
    s->since_usec = 1000;
    s->has_stated = true;
    s->order_uid = 1000;
    s->order_usec = 2000;
    s->verb = VERB_PAUSE;
    s->n_orders = 5;
    s->watermark = 77;
    s->drain_looks = 2;
    s->told_blind = s->told_idle_blind = s->starved = s->spares_told = true;
    s->retry_level = 4;
    s->status = strdup("one\nfd=3\ntwo");
    LimitsConfig limits = *s->limits;
    limits.instances = 3;
    limits.per_source = 9;
    limits.rate = (Rate){.count = 7, .per_usec = 3 * USEC_PER_SEC, .burst = 11};
    limits.load = 2.5;
    limits.when_full = WHEN_FULL_REFUSE;
    limits.refuse_with = REFUSE_WITH_RESET;
    assert_int_equal(service_set_limits(s, &limits), 0);
    service_history(s)->counters.accepted = 10;
    for (size_t i = 0; i < _REFUSE_REASON_MAX; i++)
        service_history(s)->counters.refused[i] = i + 1;
    for (size_t i = 0; i < _STEP_MAX; i++)
        service_history(s)->counters.failed_steps[i] = i + 100;
    service_history(s)->counters.exited[EXIT_UNKNOWN] = 3;
    service_history(s)->counters.bans[0] = 8;
    service_history(s)->counters.requests = UINT64_MAX;
    s->gate.rate = (Bucket){.missing = 4, .since_nsec = now * NSEC_PER_USEC};
    s->gate.throttling = true;
    s->gate.throttled_usec = now;
    histogram_add(&service_history(s)->latency, 1500);
    histogram_add(&service_history(s)->duration, 3000000);
    rate_window_add(&service_history(s)->accept_rate, now);
    (void)ratelimit_pass(&service_history(s)->limited[LIMITED_GONE], 10, 1, now);
    (void)ratelimit_pass(&service_history(s)->limited[LIMITED_GONE], 10, 1, now);
    service_set_error(s, "working_directory", ENOENT, "a message\nof two lines", &s->config->pos);
    service_retry_at(s, now + 1000 * USEC_PER_SEC);
    service_look_at(s, now + 2000 * USEC_PER_SEC);
}

/* Nor does an upgrade make one. */
static void test_nothing_has_happened(void **state) {
    Fixture *f = *state;
    start(f, "  s: {listen: tcp:127.0.0.1:0, exec: /bin/true}\n"
             "  t: {listen: tcp:127.0.0.1:0, exec: /bin/true}\n");
    service_history(f->a.services[0])->counters.accepted = 1;
    hand_over(f);
    assert_int_equal(service_past(f->b.services[0])->counters.accepted, 1);
    assert_null(f->a.services[1]->history);
    assert_null(f->b.services[1]->history);
    assert_int_equal(service_past(f->b.services[1])->counters.accepted, 0);
}

/* To begin to count anew would make the counters say what never was. */
static void test_no_memory_for_counters(void **state) {
    Fixture *f = *state;
    Handover h;
    BlobReader r = {0};
    start(f, "  s: {listen: tcp:127.0.0.1:0, exec: /bin/true}\n");
    service_history(f->a.services[0])->counters.accepted = 1;
    save(&f->a, f->config, &h);
    assert_true(handover_turn(&h, &r));
    no_history = true;
    assert_int_equal(restore(&f->b, f->config, r), -ENOMEM);
    no_history = false;
    handover_end(&h);
}

static void test_all_fields(void **state) {
    Fixture *f = *state;
    uint64_t now = clock_monotonic_usec();
    start(f, "  s: {listen: [tcp:127.0.0.1:0, \"unix:$/stream\"], exec: /bin/true}\n");
    Service *s = f->a.services[0];
    fill(s, now);
    hand_over(f);
    const Service *t = f->b.services[0];
    assert_int_equal(t->id, 41);
    assert_int_equal(f->b.rt.newest_service, 41);
    assert_string_equal(t->status, "one\nfd=3\ntwo");
    assert_memory_equal(&service_past(t)->counters, &service_past(s)->counters,
                        sizeof(service_past(t)->counters));
    assert_int_equal(t->limits->instances, 3);
    assert_true(t->limits->rate.count == 7 && t->limits->rate.burst == 11);
    assert_true(t->limits->load > 2.4 && t->limits->load < 2.6);
    assert_int_equal(t->limits->refuse_with, REFUSE_WITH_RESET);
    assert_string_equal(service_past(t)->last_error.step, "working_directory");
    assert_string_equal(service_past(t)->last_error.message, "a message\nof two lines");
    assert_string_equal(service_past(t)->last_error.file, service_past(s)->last_error.file);
    assert_int_equal(service_past(t)->last_error.line, service_past(s)->last_error.line);
    assert_int_equal(t->verb, VERB_PAUSE);
    assert_ptr_equal(t->config, s->config);
    assert_int_equal(histogram_quantiles(service_past(t)->duration).count, 1);
    assert_int_equal(service_past(t)->limited[LIMITED_GONE].suppressed, 1);
    assert_non_null(t->retry);
    assert_non_null(t->drain_timer);
    assert_int_equal(t->gate.rate.missing, 4);
}

/* ------------------------------------------------------------------------------------------- listeners */

/* Where there is IPv6. */
static bool has_inet6(void) {
    Addr a;
    CLEANUP_CLOSE int fd = socket(AF_INET6, SOCK_STREAM | SOCK_CLOEXEC, 0);
    return fd >= 0 && addr_parse_ip("::1", 0, &a) == 0 && bind(fd, &a.sa, a.len) == 0;
}

static void test_listeners(void **state) {
    Fixture *f = *state;
    start(f,
          has_inet6()
              ? "  s: {listen: [tcp:127.0.0.1:0, \"unix:$/stream\", \"unix:@$/abstract\", \"tcp:[::1]:0\"], "
                "exec: /bin/true}\n"
                "  d: {listen: [\"udp:127.0.0.1:0\", \"fifo:$/fifo\"], exec: /bin/true}\n"
              : "  s: {listen: [tcp:127.0.0.1:0, \"unix:$/stream\", \"unix:@$/abstract\"], exec: "
                "/bin/true}\n"
                "  d: {listen: [\"udp:127.0.0.1:0\", \"fifo:$/fifo\"], exec: /bin/true}\n");
    Service *s = find(&f->a, "s");
    /* What somebody has called shutdown(2) on is still the listener. */
    assert_int_equal(shutdown(s->listeners[0]->fd, SHUT_RDWR), 0);
    s->listeners[2]->short_usec = 5;
    s->listeners[2]->cut = true;
    listener_pause_until(s->listeners[1], clock_monotonic_usec() + 1000 * USEC_PER_SEC);
    hand_over(f);
    for (size_t i = 0; i < f->a.n; i++) {
        const Service *from = f->a.services[i], *to = f->b.services[i];
        assert_int_equal(from->n_listeners, to->n_listeners);
        for (size_t k = 0; k < from->n_listeners; k++) {
            const Listener *l = from->listeners[k], *m = to->listeners[k];
            assert_true(m->fd >= 0 && m->fd != l->fd && is_same_file(l->fd, m->fd));
            const Addr from_addr = listener_addr(l), to_addr = listener_addr(m);
            assert_true(addr_equal(&from_addr, &to_addr));
            assert_ptr_equal(l->config, m->config);
            assert_true(l->dev == m->dev && l->ino == m->ino);
            assert_int_equal(l->kind, m->kind);
            assert_int_equal(l->slot, m->slot);
            /* Nothing is polled before it is resumed. */
            assert_false(m->armed);
        }
    }
    const Service *t = find(&f->b, "s");
    assert_true(t->listeners[2]->short_usec == 5 && t->listeners[2]->cut);
    assert_non_null(t->listeners[1]->pause_timer);
    uint64_t since = t->since_usec, told = f->b.rt.events.ring.n;
    resume(f);
    assert_int_equal(t->state, SERVICE_LISTENING);
    assert_int_equal(t->since_usec, since);
    assert_int_equal(f->b.rt.events.ring.n, told);
    assert_true(t->listeners[0]->armed);
    /* It is there until its service removes it. */
    const Listener *node = t->listeners[1];
    struct stat st;
    char path[64];
    (void)snprintf(path, sizeof(path), "%s/stream", f->folder);
    assert_int_equal(lstat(path, &st), 0);
    assert_int_equal(st.st_ino, node->ino);
    service_close_listeners(f->b.services[1], false);
    assert_true(lstat(path, &st) < 0);
}

/* What is handed over in place of a listener's descriptor. */
typedef enum Wrong {
    WRONG_PIPE,
    WRONG_OTHER_PORT,
    WRONG_TYPE,
    WRONG_CONNECTED,
    WRONG_FAMILY,
    WRONG_FILE,
    _WRONG_MAX,
} Wrong;

static int make_wrong(Wrong w, const Listener *l) {
    int pair[2], fd = -EBADF, client;
    switch (w) {
    case WRONG_PIPE:
        assert_int_equal(pipe2(pair, O_CLOEXEC), 0);
        (void)close(pair[1]);
        return pair[0];
    case WRONG_OTHER_PORT:
        fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
        assert_int_equal(listen(fd, 1), 0);
        return fd;
    case WRONG_TYPE:
        return socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    case WRONG_CONNECTED:
        /* It has the very address of the listener. */
        client = connect_to(l);
        fd = accept4(l->fd, NULL, NULL, SOCK_CLOEXEC);
        (void)close(client);
        return fd;
    case WRONG_FAMILY:
        assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair), 0);
        (void)close(pair[1]);
        return pair[0];
    case WRONG_FILE:
    case _WRONG_MAX:
        break;
    }
    return open("/dev/null", O_RDWR | O_CLOEXEC);
}

static void test_wrong_descriptors(void **state) {
    Fixture *f = *state;
    start(f, "  s: {listen: tcp:127.0.0.1:0, exec: /bin/true}\n");
    Listener *l = f->a.services[0]->listeners[0];
    for (Wrong w = 0; w < _WRONG_MAX; w++) {
        Handover h;
        BlobReader r = {0};
        int n_fds = count_fds(), right = l->fd, wrong = make_wrong(w, l);
        assert_true(wrong >= 0);
        l->fd = wrong;
        save(&f->a, f->config, &h);
        l->fd = right;
        assert_true(handover_turn(&h, &r));
        assert_int_equal(restore(&f->b, f->config, r), -EBADMSG);
        assert_int_equal(f->b.n, 0);
        assert_non_null(strstr(h.source.why, "is not the listener of tcp:127.0.0.1:0"));
        handover_end(&h);
        (void)close(wrong);
        assert_int_equal(count_fds(), n_fds);
    }
}

/* A service that a reload has removed brings along what it is configured to. */
static void test_removed(void **state) {
    Fixture *f = *state;
    start(f, "  gone: {listen: \"unix:$/stream\", exec: [/bin/true, \"a b\"], limits: {instances: 7}}\n"
             "  stays: {listen: tcp:127.0.0.1:0, exec: /bin/true}\n");
    config_unref(f->config);
    f->config = load(f, "  stays: {listen: tcp:127.0.0.1:0, exec: /bin/true}\n");
    service_set_config(find(&f->a, "stays"), f->config, config_find(f->config, "stays"), 4);
    find(&f->a, "stays")->listeners[0]->config = &config_find(f->config, "stays")->listen[0];
    Service *s = find(&f->a, "gone");
    s->removed = true;
    service_close_listeners(s, false);
    service_update(s, NULL);
    hand_over(f);
    resume(f);
    const Service *t = find(&f->b, "gone");
    assert_true(t->removed);
    assert_int_equal(t->state, SERVICE_STOPPED);
    assert_true(service_is_over(t));
    assert_ptr_not_equal(t->config, s->config);
    assert_string_equal(t->config->exec[1], "a b");
    assert_int_equal(t->config->terms->limits.instances, 7);
    assert_ptr_equal(find(&f->b, "stays")->config, config_find(f->config, "stays"));
}

/* Who waits at a listener that a reload has taken away is served after all. */
static void test_leaving(void **state) {
    Fixture *f = *state;
    char path[64];
    start(f, "  s: {listen: [tcp:127.0.0.1:0, \"unix:$/stream\"], exec: /bin/true,\n"
             "      access: {deny: [any]}}\n");
    Service *s = f->a.services[0];
    int fds[2];
    for (size_t i = 0; i < ELEMENTS(fds); i++)
        fds[i] = connect_to(s->listeners[i]);
    for (size_t i = 0; i < ELEMENTS(fds); i++) {
        listener_unhook(s->listeners[i], false);
        service_leave(s, s->listeners[i]);
    }
    s->n_listeners = 0;
    s->removed = true;
    s->leave_looks = 3;
    hand_over(f);
    Service *t = f->b.services[0];
    assert_int_equal(t->n_listeners, 0);
    assert_int_equal(t->leave_looks, 3);
    assert_false(service_is_over(t));
    resume(f);
    await(&f->b, &service_history(t)->counters.accepted, ELEMENTS(fds));
    await_over(&f->b, t);
    assert_int_equal(service_past(t)->counters.refused[REFUSE_ACCESS], ELEMENTS(fds));
    (void)snprintf(path, sizeof(path), "%s/stream", f->folder);
    assert_true(access(path, F_OK) < 0);
    for (size_t i = 0; i < ELEMENTS(fds); i++)
        (void)close(fds[i]);
}

static void count_over(Service *s, void *userdata) {
    *(uint64_t *)userdata += service_is_over(s);
}

/* Whoever gives it up for want of a timer says so as well that it is over, at once or when it was looked at:
 * else it would never be freed. */
static void test_leaving_without_memory(void **state) {
    Fixture *f = *state;
    uint64_t n_told = 0;
    start(f, "  now: {listen: tcp:127.0.0.1:0, exec: /bin/true}\n"
             "  later: {listen: tcp:127.0.0.1:0, exec: /bin/true}\n");
    f->a.rt.on_state = count_over;
    f->a.rt.on_state_userdata = &n_told;
    for (size_t i = 0; i < f->a.n; i++) {
        Service *s = f->a.services[i];
        listener_unhook(s->listeners[0], false);
        service_leave(s, s->listeners[0]);
        s->n_listeners = 0;
        s->removed = true;
        no_timer = streq(s->name, "now");
        service_go_on_leaving(s);
        assert_int_equal(service_is_over(s), no_timer);
        service_update(s, NULL);
    }
    assert_true(n_told > 0);
    n_told = 0;
    no_timer = true;
    await_over(&f->a, find(&f->a, "later"));
    no_timer = false;
    assert_true(n_told > 0);
}

/* ------------------------------------------------------------------------------------------------ slots */

static void test_slots(void **state) {
    Fixture *f = *state;
    start(f, "  s: {listen: udp:0, pass: stdio, exec: /bin/true}\n");
    Service *s = f->a.services[0];
    assert_int_equal(s->n_slots, 2);
    uint64_t due = clock_monotonic_usec() + 1000 * USEC_PER_SEC;
    s->slots[1].backoff = (Backoff){.window_start_usec = 3, .charged = 9, .level = 2, .until_usec = 8};
    s->slots[1].start_by_itself = s->slots[1].start_failed = s->slots[1].told_blind = true;
    s->slots[1].starved = 3;
    s->slots[1].told = 2;
    slot_delay_until(&s->slots[1], due);
    service_update(s, NULL);
    hand_over(f);
    const Service *t = f->b.services[0];
    uint64_t at = 0;
    assert_false(t->slots[0].delayed);
    assert_true(t->slots[1].delayed && t->slots[1].start_by_itself && t->slots[1].start_failed);
    assert_int_equal(t->slots[1].backoff.level, 2);
    assert_int_equal(t->slots[1].starved, 3);
    assert_true(sd_event_source_get_time(t->slots[1].timer, &at) >= 0);
    assert_int_equal(at, due);
    resume(f);
    assert_int_equal(t->state, SERVICE_BACKOFF);
    assert_true(t->listeners[0]->armed);
    assert_false(t->listeners[1]->armed);
}

/* ---------------------------------------------------------------------------------------------- orders */

static void test_orders(void **state) {
    Fixture *f = *state;
    start(f, "  p: {listen: tcp:127.0.0.1:0, exec: /bin/true}\n"
             "  r: {listen: tcp:127.0.0.1:0, exec: /bin/true}\n"
             "  s: {listen: \"unix:$/stream\", exec: /bin/true}\n");
    service_order(find(&f->a, "p"), VERB_PAUSE, 5);
    service_order(find(&f->a, "s"), VERB_STOP, 6);
    hand_over(f);
    resume(f);
    const Service *p = find(&f->b, "p"), *s = find(&f->b, "s"), *r = find(&f->b, "r");
    assert_int_equal(p->state, SERVICE_PAUSED);
    assert_int_equal(p->order_uid, 5);
    assert_int_equal(p->n_orders, 1);
    assert_true(listener_is_open(p->listeners[0]));
    assert_false(p->listeners[0]->armed);
    assert_int_equal(s->state, SERVICE_STOPPED);
    assert_false(listener_is_open(s->listeners[0]));
    assert_int_equal(r->state, SERVICE_LISTENING);
    service_order(find(&f->b, "p"), VERB_RESUME, 5);
    assert_int_equal(p->state, SERVICE_LISTENING);
    service_order(find(&f->b, "s"), VERB_START, 5);
    assert_int_equal(s->state, SERVICE_LISTENING);
}

/* --------------------------------------------------------------------------------------------- preludes */

/* The first half of a header before, the other one after: who it is about is refused, and not the proxy. */
static void test_half_header(void **state) {
    static const char header[] = "PROXY TCP4 192.0.2.1 192.0.2.2 1000 80\r\n";
    Fixture *f = *state;
    start(f, "  s: {listen: tcp:127.0.0.1:0, exec: /bin/true, proxy_protocol: {accept_from: [any]},\n"
             "      access: {deny: [192.0.2.0/24]}}\n");
    Service *s = f->a.services[0];
    int early = connect_to(s->listeners[0]), late = connect_to(s->listeners[0]);
    char half[8] = {0};
    memcpy(half, header, 7);
    send_text(early, half);
    await_preludes(&f->a, s, 2);
    turn_for(&f->a, 100 * USEC_PER_MSEC);
    hand_over(f);
    Service *t = f->b.services[0];
    assert_int_equal(preludes_count(t), 2);
    assert_int_equal(f->b.rt.n_preludes, 2);
    resume(f);
    send_text(early, header + 7);
    await(&f->b, &service_history(t)->counters.refused[REFUSE_ACCESS], 1);
    assert_int_equal(preludes_count(t), 1);
    send_text(late, header);
    await(&f->b, &service_history(t)->counters.refused[REFUSE_ACCESS], 2);
    assert_int_equal(service_past(t)->counters.accepted, 2);
    assert_int_equal(preludes_count(t), 0);
    (void)close(early);
    (void)close(late);
}

/* One that says nothing has its 3 s over all, and no more. */
static void test_deadline(void **state) {
    Fixture *f = *state;
    start(f, "  s: {listen: tcp:127.0.0.1:0, exec: /bin/true, proxy_protocol: {accept_from: [any]}}\n");
    Service *s = f->a.services[0];
    int fd = connect_to(s->listeners[0]);
    await_preludes(&f->a, s, 1);
    uint64_t began = clock_monotonic_usec();
    hand_over(f);
    resume(f);
    Service *t = f->b.services[0];
    await(&f->b, &service_history(t)->counters.refused[REFUSE_PROXY], 1);
    assert_true(clock_monotonic_usec() - began > 2 * USEC_PER_SEC);
    (void)close(fd);
}

static void test_half_name(void **state) {
    Fixture *f = *state;
    char answer[64] = {0};
    start(f, "  door: {listen: tcp:127.0.0.1:0, model: tcpmux, limits: {per_source: 5}}\n"
             "  other: {tcpmux: known, exec: /bin/true}\n");
    Service *door = find(&f->a, "door");
    int fd = connect_to(door->listeners[0]);
    send_text(fd, "nob");
    await_preludes(&f->a, door, 1);
    turn_for(&f->a, 100 * USEC_PER_MSEC);
    assert_int_equal(sources_stats(f->a.rt.sources).pinned, 1);
    hand_over(f);
    /* It still counts for its source. */
    assert_int_equal(sources_stats(f->b.rt.sources).pinned, 1);
    resume(f);
    Service *t = find(&f->b, "door");
    send_text(fd, "ody\r\n");
    await(&f->b, &service_history(t)->counters.refused[REFUSE_ACCESS], 1);
    assert_int_equal(sources_stats(f->b.rt.sources).pinned, 0);
    assert_true(recv(fd, answer, sizeof(answer) - 1, 0) > 0);
    assert_string_equal(answer, TCPMUX_REFUSAL);
    (void)close(fd);
}

/* Those that wait for room wait on. */
static void test_held(void **state) {
    Fixture *f = *state;
    start(f, "  s: {listen: tcp:127.0.0.1:0, exec: /bin/true, proxy_protocol: {accept_from: [any]}}\n");
    Service *s = f->a.services[0];
    int fds[3];
    for (size_t i = 0; i < ELEMENTS(fds); i++)
        fds[i] = connect_to(s->listeners[0]);
    await_preludes(&f->a, s, ELEMENTS(fds));
    /* It is full. */
    LimitsConfig one = *s->limits;
    s->n_instances = one.instances = 1;
    assert_int_equal(service_set_limits(s, &one), 0);
    for (size_t i = 0; i < ELEMENTS(fds); i++)
        send_text(fds[i], "PROXY TCP4 192.0.2.1 192.0.2.9 1000 80\r\n");
    uint64_t end = clock_monotonic_usec() + PATIENCE_USEC;
    while (!list_is_empty(&s->preludes->reading) && clock_monotonic_usec() < end)
        turn_for(&f->a, USEC_PER_MSEC);
    assert_true(list_is_empty(&s->preludes->reading));
    s->n_instances = 0;
    hand_over(f);
    Service *t = f->b.services[0];
    t->n_instances = 1;
    assert_true(list_is_empty(&t->preludes->reading));
    resume(f);
    turn_for(&f->b, 100 * USEC_PER_MSEC);
    assert_int_equal(preludes_count(t), ELEMENTS(fds));
    assert_int_equal(t->state, SERVICE_FULL);
    t->n_instances = 0;
    service_order(t, VERB_STOP, 0);
    assert_int_equal(service_past(t)->counters.gone, ELEMENTS(fds));
    assert_int_equal(f->b.rt.n_preludes, 0);
    for (size_t i = 0; i < ELEMENTS(fds); i++)
        (void)close(fds[i]);
}

/* ------------------------------------------------------------------------------------------ odd blobs */

/* Fields that are missing, and fields that nobody knows, do no harm. */
static void test_other_version(void **state) {
    Fixture *f = *state;
    Handover h;
    BlobReader r = {0};
    start(f, "  s: {listen: tcp:127.0.0.1:0, exec: /bin/true}\n");
    handover_begin(&h);
    size_t at = blob_open(&h.w, 1);
    blob_put_str(&h.w, 1, "s");
    blob_put_u64(&h.w, 2, 12);
    blob_put_str(&h.w, 7, "dancing");
    blob_put_u64(&h.w, 999, 1);
    blob_close(&h.w, at);
    assert_true(handover_turn(&h, &r));
    assert_int_equal(restore(&f->b, f->config, r), 0);
    assert_int_equal(f->b.services[0]->id, 12);
    assert_int_equal(f->b.services[0]->state, SERVICE_STOPPED);
    handover_end(&h);
}

static void test_spoilt(void **state) {
    Fixture *f = *state;
    static const struct {
        const char *name;
        uint64_t id;
        const char *why;
    } cases[] = {
        {"unknown", 1, "has no config"},
        {NULL, 1, "has no config"},
        {"s", 0, "has no number"},
    };
    start(f, "  s: {listen: tcp:127.0.0.1:0, exec: /bin/true}\n");
    for (size_t i = 0; i < ELEMENTS(cases); i++) {
        Handover h;
        BlobReader r = {0};
        handover_begin(&h);
        size_t at = blob_open(&h.w, 1);
        blob_put_str(&h.w, 1, cases[i].name);
        blob_put_u64(&h.w, 2, cases[i].id);
        blob_close(&h.w, at);
        assert_true(handover_turn(&h, &r));
        assert_int_equal(restore(&f->b, f->config, r), -EBADMSG);
        assert_non_null(strstr(h.source.why, cases[i].why));
        handover_end(&h);
    }
}

int main(void) {
#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)
    const struct CMUnitTest tests[] = {
        TEST(test_nothing_has_happened),
        TEST(test_no_memory_for_counters),
        TEST(test_all_fields),
        TEST(test_listeners),
        TEST(test_wrong_descriptors),
        TEST(test_removed),
        TEST(test_leaving),
        TEST(test_leaving_without_memory),
        TEST(test_slots),
        TEST(test_orders),
        TEST(test_half_header),
        TEST(test_deadline),
        TEST(test_half_name),
        TEST(test_held),
        TEST(test_spoilt),
        TEST(test_other_version),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
