/* SPDX-License-Identifier: MIT */
/* Finding out when a backend is ready that says nothing of itself. That it is, is told to a function of this
 * test; timers can be had, or not (meson.build). */
#include "daemon/backend-ready.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cmocka.h>

#include "daemon/backend.h"
#include "daemon/base/cleanup.h"
#include "daemon/base/dial.h"
#include "daemon/service-private.h"

void __wrap_service_take_ready(Service *s, Instance *i);
int __real_sd_event_add_time(sd_event *e, sd_event_source **ret, clockid_t clock, uint64_t usec,
                             uint64_t accuracy, sd_event_time_handler_t callback, void *userdata);
int __wrap_sd_event_add_time(sd_event *e, sd_event_source **ret, clockid_t clock, uint64_t usec,
                             uint64_t accuracy, sd_event_time_handler_t callback, void *userdata);

static const Instance *taken;
static unsigned n_taken;
static bool no_timers;

void __wrap_service_take_ready(Service *s, Instance *i) {
    (void)s;
    taken = i;
    n_taken++;
    i->state = INSTANCE_RUNNING;
}

int __wrap_sd_event_add_time(sd_event *e, sd_event_source **ret, clockid_t clock, uint64_t usec,
                             uint64_t accuracy, sd_event_time_handler_t callback, void *userdata) {
    return no_timers ? -ENOMEM : __real_sd_event_add_time(e, ret, clock, usec, accuracy, callback, userdata);
}

static void test_steps(void **state) {
    static const struct {
        BackendFacts facts;
        BackendStep step;
    } cases[] = {
        {{0}, BACKEND_STEP_NONE},
        {{.can_be_seen = true}, BACKEND_STEP_NONE},
        {{.starting = true, .says = true}, BACKEND_STEP_NONE},
        {{.starting = true, .says = true, .can_be_seen = true}, BACKEND_STEP_NONE},
        {{.starting = true}, BACKEND_STEP_TAKE},
        {{.starting = true, .tried = true}, BACKEND_STEP_TAKE},
        {{.starting = true, .can_be_seen = true}, BACKEND_STEP_TRY},
        {{.starting = true, .can_be_seen = true, .tried = true}, BACKEND_STEP_NONE},
    };
    (void)state;
    for (size_t i = 0; i < ELEMENTS(cases); i++)
        assert_int_equal(backend_step_of(&cases[i].facts), cases[i].step);
}

/* A forward with a backend that is starting. */
typedef struct World {
    char to[128];
    ServiceConfig config;
    Runtime rt;
    Slot slot;
    Instance process;
    Service service;
} World;

static void begin(World *w, const char *to) {
    *w = (World){.process = {.number = 1, .role = ROLE_BACKEND, .state = INSTANCE_STARTING}};
    (void)snprintf(w->to, sizeof(w->to), "%s", to);
    w->config.to = w->to;
    w->service =
        (Service){.rt = &w->rt, .config = &w->config, .backend = {.slot = &w->slot, .n_processes = 1}};
    w->slot = (Slot){.service = &w->service, .instance = &w->process};
    w->process.service = &w->service;
    list_init(&w->service.instances);
    list_append(&w->service.instances, &w->process.link);
    assert_true(sd_event_new(&w->rt.loop) >= 0);
    taken = NULL;
    n_taken = 0;
}

static void end(World *w) {
    backend_ready_forget(&w->service);
    assert_null(w->service.backend.tries);
    w->rt.loop = sd_event_unref(w->rt.loop);
}

/* The next thing that is due, however long that takes. */
static void turn(World *w) {
    assert_true(sd_event_run(w->rt.loop, UINT64_MAX) > 0);
}

static int listener_on(Addr *a, int type) {
    int fd = socket(a->sa.sa_family, type | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    assert_true(fd >= 0);
    assert_int_equal(bind(fd, &a->sa, a->len), 0);
    if (a->sa.sa_family != AF_UNIX)
        *a = socket_addr(fd, getsockname);
    return fd;
}

/* How many have come to it. */
static unsigned count_come(int fd) {
    unsigned n = 0;
    for (int c; (c = accept4(fd, NULL, NULL, SOCK_CLOEXEC)) >= 0; n++)
        fd_close(c);
    return n;
}

static Addr address(const char *kind, char text[static 128]) {
    Addr a;
    if (strcmp(kind, "tcp") == 0) {
        assert_int_equal(addr_parse_ip("127.0.0.1", 0, &a), 0);
        return a;
    }
    (void)snprintf(text, 128, "%s:@mp-test-backend-%d", kind, (int)getpid());
    assert_int_equal(addr_set_unix(strchr(text, ':') + 1, &a), 0);
    return a;
}

/* Tried until somebody is there, who gets one connection and no more. */
static void test_reached(void **state) {
    static const struct {
        const char *kind;
        int type;
    } cases[] = {
        {"tcp", SOCK_STREAM},
        {"unix", SOCK_STREAM},
        {"unix-seqpacket", SOCK_SEQPACKET},
        {"unix-dgram", SOCK_DGRAM},
    };
    (void)state;
    for (size_t i = 0; i < ELEMENTS(cases); i++) {
        World w;
        char text[128], host[ADDR_TEXT_MAX];
        Addr a = address(cases[i].kind, text);
        CLEANUP_CLOSE int fd = cases[i].type == SOCK_DGRAM ? -EBADF : listener_on(&a, cases[i].type);
        if (a.sa.sa_family == AF_INET)
            (void)snprintf(text, sizeof(text), "tcp:%s", addr_format(&a, host));
        begin(&w, text);
        backend_ready_settle(&w.service);
        for (int k = 0; k < 4; k++) {
            turn(&w);
            /* Another fact changes nothing of it. */
            backend_ready_settle(&w.service);
            assert_int_equal(n_taken, 0);
            assert_non_null(w.service.backend.tries);
        }
        if (fd < 0)
            fd = listener_on(&a, cases[i].type);
        else
            assert_int_equal(listen(fd, 8), 0);
        while (n_taken == 0)
            turn(&w);
        assert_ptr_equal(taken, &w.process);
        backend_ready_settle(&w.service);
        assert_int_equal(n_taken, 1);
        assert_null(w.service.backend.tries);
        if (cases[i].type != SOCK_DGRAM)
            assert_int_equal(count_come(fd), 1);
        end(&w);
    }
}

/* It listens all the time: what ends it is something else. */
static void test_not_any_more(void **state) {
    (void)state;
    char text[128];
    Addr a = address("unix", text);
    CLEANUP_CLOSE int fd = listener_on(&a, SOCK_STREAM);
    assert_int_equal(listen(fd, 8), 0);
    static const struct {
        InstanceState to;
        uint32_t n_waiting;
        uint64_t n_flying;
        bool waking, gone;
        bool told; /* the facts are looked at */
    } cases[] = {
        {.to = INSTANCE_STOPPING},
        {.to = INSTANCE_STOPPING, .told = true},
        {.to = INSTANCE_STARTING, .n_waiting = 1},
        {.to = INSTANCE_STARTING, .n_waiting = 1, .told = true},
        {.to = INSTANCE_STARTING, .n_flying = 1},
        {.to = INSTANCE_STARTING, .n_flying = 1, .told = true},
        {.to = INSTANCE_STARTING, .waking = true},
        {.to = INSTANCE_STARTING, .waking = true, .told = true},
        {.to = INSTANCE_STARTING, .gone = true},
        {.to = INSTANCE_STARTING, .gone = true, .told = true},
    };
    for (size_t i = 0; i < ELEMENTS(cases); i++) {
        World w;
        begin(&w, text);
        backend_ready_settle(&w.service);
        assert_non_null(w.service.backend.tries);
        w.process.state = cases[i].to;
        w.service.backend.n_waiting = cases[i].n_waiting;
        w.service.backend.waking = cases[i].waking;
        w.service.n_flying = cases[i].n_flying;
        if (cases[i].gone)
            w.slot.instance = NULL;
        if (cases[i].told)
            backend_ready_settle(&w.service);
        else
            turn(&w);
        assert_null(w.service.backend.tries);
        assert_int_equal(n_taken, 0);
        assert_int_equal(count_come(fd), 0);
        /* And again, when it is as it was. */
        w.process.state = INSTANCE_STARTING;
        w.slot.instance = &w.process;
        w.service.backend.n_waiting = 0;
        w.service.backend.waking = false;
        w.service.n_flying = 0;
        backend_ready_settle(&w.service);
        while (n_taken == 0)
            turn(&w);
        assert_int_equal(count_come(fd), 1);
        end(&w);
    }
}

/* Who is about to be let in comes first, as it may take one connection and no more. */
static void test_somebody_comes(void **state) {
    (void)state;
    World w;
    char text[128];
    Addr a = address("unix", text), door;
    assert_int_equal(addr_parse_ip("127.0.0.1", 0, &door), 0);
    CLEANUP_CLOSE int fd = listener_on(&a, SOCK_STREAM), in = listener_on(&door, SOCK_STREAM), c = -EBADF;
    assert_true(listen(fd, 8) == 0 && listen(in, 8) == 0);
    Listener listener = {.fd = in}, *listeners[] = {&listener};
    begin(&w, text);
    w.service.listeners = listeners;
    w.service.n_listeners = 1;
    w.service.lets_in = true;
    assert_int_equal(dial_begin(&door, SOCK_STREAM, &c), -EINPROGRESS);
    while (!listener_has_queued(&listener))
        continue;
    backend_ready_settle(&w.service);
    for (int k = 0; k < 3; k++)
        turn(&w);
    assert_int_equal(n_taken, 0);
    /* Nobody lets him in: then he does not find out. */
    w.service.lets_in = false;
    while (n_taken == 0)
        turn(&w);
    assert_int_equal(count_come(fd), 1);
    end(&w);
}

/* While a connection is being made. */
static void test_ended_under_way(void **state) {
    (void)state;
    char text[128], host[ADDR_TEXT_MAX];
    Addr a = address("tcp", text);
    CLEANUP_CLOSE int fd = listener_on(&a, SOCK_STREAM);
    assert_int_equal(listen(fd, 8), 0);
    (void)snprintf(text, sizeof(text), "tcp:%s", addr_format(&a, host));
    for (int told = 0; told < 2; told++) {
        World w;
        begin(&w, text);
        backend_ready_settle(&w.service);
        turn(&w); /* the timer: it is under way */
        w.process.state = INSTANCE_STOPPING;
        if (told)
            backend_ready_settle(&w.service);
        else
            turn(&w);
        assert_null(w.service.backend.tries);
        assert_int_equal(n_taken, 0);
        end(&w);
    }
}

/* Nothing tells of datagrams over UDP, nor is a name looked up. */
static void test_not_seen(void **state) {
    (void)state;
    static const char *const cases[] = {"udp:127.0.0.1:9", "udp:domain", "tcp:127.0.0.1:http"};
    for (size_t i = 0; i < ELEMENTS(cases); i++) {
        World w;
        begin(&w, cases[i]);
        backend_ready_settle(&w.service);
        assert_int_equal(n_taken, 1);
        assert_null(w.service.backend.tries);
        end(&w);
    }
}

/* The port that the name had when the config was loaded. */
static void test_port_by_name(void **state) {
    (void)state;
    World w;
    Addr a;
    assert_int_equal(addr_parse_ip("127.0.0.1", 0, &a), 0);
    CLEANUP_CLOSE int fd = listener_on(&a, SOCK_STREAM);
    assert_int_equal(listen(fd, 8), 0);
    begin(&w, "tcp:127.0.0.1:no-such-port");
    w.config.resolved.to_port = addr_port(&a);
    backend_ready_settle(&w.service);
    while (n_taken == 0)
        turn(&w);
    assert_int_equal(count_come(fd), 1);
    end(&w);
}

/* One that says itself when it is ready is left alone. */
static void test_says(void **state) {
    (void)state;
    World w;
    begin(&w, "unix:@nobody");
    w.config.notify = NOTIFY_STATUS;
    backend_ready_settle(&w.service);
    assert_null(w.service.backend.tries);
    assert_int_equal(n_taken, 0);
    end(&w);
}

/* It is tried as soon as a timer can be had and anything happens. */
static void test_no_timer(void **state) {
    (void)state;
    World w;
    char text[128];
    Addr a = address("unix", text);
    CLEANUP_CLOSE int fd = listener_on(&a, SOCK_STREAM);
    assert_int_equal(listen(fd, 8), 0);
    begin(&w, text);
    no_timers = true;
    backend_ready_settle(&w.service);
    assert_null(w.service.backend.tries);
    no_timers = false;
    backend_ready_settle(&w.service);
    while (n_taken == 0)
        turn(&w);
    end(&w);
}

/* Whose backend it is that a connection has come to. */
static void test_taken(void **state) {
    (void)state;
    static const struct {
        uint64_t number;
        bool awaited;
        int ready; /* 0: that of the slot; 1, 2: those of before; -1: none */
    } cases[] = {
        {3, true, 1}, {3, false, 1}, {7, true, 2}, {7, false, 2}, {9, true, 0}, {9, false, -1},
    };
    for (size_t i = 0; i < ELEMENTS(cases); i++) {
        World w;
        begin(&w, "unix:@nobody");
        Instance before[] = {
            {.number = 2, .retired_at = 4}, {.number = 5, .retired_at = 8}, {.number = cases[i].number}};
        w.process.number = 8;
        w.service.backend.n_processes = 3;
        list_remove(&w.process.link);
        for (size_t k = 0; k < ELEMENTS(before); k++) {
            before[k].service = &w.service;
            before[k].state = INSTANCE_STARTING;
            before[k].role = k < 2 ? ROLE_BACKEND : ROLE_FORWARD;
            list_append(&w.service.instances, &before[k].link);
        }
        list_append(&w.service.instances, &w.process.link);
        backend_ready_take(&before[2], cases[i].awaited);
        assert_int_equal(n_taken, cases[i].ready >= 0);
        const Instance *all[] = {&w.process, &before[0], &before[1]};
        assert_ptr_equal(taken, cases[i].ready >= 0 ? all[cases[i].ready] : NULL);
        /* Once is enough. */
        backend_ready_take(&before[2], cases[i].awaited);
        assert_int_equal(n_taken, cases[i].ready >= 0);
        end(&w);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_steps),        cmocka_unit_test(test_reached),
        cmocka_unit_test(test_not_any_more), cmocka_unit_test(test_ended_under_way),
        cmocka_unit_test(test_not_seen),     cmocka_unit_test(test_port_by_name),
        cmocka_unit_test(test_says),         cmocka_unit_test(test_no_timer),
        cmocka_unit_test(test_taken),        cmocka_unit_test(test_somebody_comes),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
