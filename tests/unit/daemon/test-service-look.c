/* SPDX-License-Identifier: MIT */
/* What becomes of a service that lacks something: what is told, when it is tried again, and what it takes for
 * an answer. Who looks, and what follows, are the test's. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>
#include <errno.h>

#include "conf/config-build.h"
#include "daemon/resolver.h"
#include "daemon/service-private.h"

/* What was done, in its order. */
static char done[512];
static int ask_error;
static History past;

int __wrap_resolver_ask(Resolver *r, Service *s);
size_t __wrap_service_open(Service *s);
void __wrap_service_update(Service *s, const char *why);
void __wrap_service_start_now(Service *s);
void __wrap_service_retry_later(Service *s);
void __wrap_service_renew_found(Service *s, ServiceConfig *found);
void __wrap_service_set_error(Service *s, const char *step, int error, const char *message,
                              const ConfigPos *pos);

static void note(const char *format, ...) __attribute__((format(printf, 1, 2)));

static void note(const char *format, ...) {
    va_list ap;
    size_t n = strlen(done);
    va_start(ap, format);
    (void)vsnprintf(done + n, sizeof(done) - n, format, ap);
    va_end(ap);
}

int __wrap_resolver_ask(Resolver *r, Service *s) {
    (void)r;
    (void)s;
    note("ask ");
    return ask_error;
}

size_t __wrap_service_open(Service *s) {
    (void)s;
    note("open ");
    return 0;
}

void __wrap_service_update(Service *s, const char *why) {
    (void)s;
    note("update(%s) ", why);
}

void __wrap_service_start_now(Service *s) {
    (void)s;
    note("now ");
}

void __wrap_service_retry_later(Service *s) {
    s->retry_level++;
    note("later ");
}

void __wrap_service_renew_found(Service *s, ServiceConfig *found) {
    s->config = found;
    note("found ");
}

void __wrap_service_set_error(Service *s, const char *step, int error, const char *message,
                              const ConfigPos *pos) {
    (void)s;
    (void)pos;
    free(past.last_error.message);
    past.last_error.message = strdup(message);
    note("%s-%d:%s ", step, error, message);
}

static void on_state(Service *s, void *userdata) {
    (void)s;
    (void)userdata;
    note("tell ");
}

static Diag *make_problem(const char *key, DiagCode code, const char *message) {
    Diag *d = calloc(1, sizeof(*d));
    assert_non_null(d);
    *d = (Diag){.code = code, .key = key ? strdup(key) : NULL, .message = strdup(message)};
    return d;
}

/* A service on two sockets that lacks its user, and what might be found for it: the same. */
typedef struct Fixture {
    Runtime rt;
    ListenConfig listen[2][1];
    ServiceConfig configs[2];
    Service s;
} Fixture;

static int setup(void **state) {
    Fixture *f = calloc(1, sizeof(*f));
    assert_non_null(f);
    for (size_t i = 0; i < 2; i++) {
        f->listen[i][0] = (ListenConfig){.endpoint = {.text = "tcp:1", .n_addrs = 2}};
        f->configs[i] = (ServiceConfig){.name = (char *)(uintptr_t) "x",
                                        .enabled = true,
                                        .model = MODEL_ON_DEMAND,
                                        .pass = HANDOFF_STDIO,
                                        .listen = f->listen[i],
                                        .n_listen = 1};
    }
    f->configs[0].problem = make_problem("user", DIAG_NOT_FOUND, "no user");
    f->rt.on_state = on_state;
    f->s = (Service){.rt = &f->rt, .name = "x", .config = &f->configs[0], .n_listeners = 2, .history = &past};
    list_init(&f->s.look_link);
    done[0] = '\0';
    ask_error = 0;
    *state = f;
    return 0;
}

static int teardown(void **state) {
    Fixture *f = *state;
    for (size_t i = 0; i < 2; i++)
        diag_free(f->configs[i].problem);
    free(past.last_error.message);
    past.last_error.message = NULL;
    free(f);
    return 0;
}

static void did(const char *words) {
    assert_string_equal(done, words);
    done[0] = '\0';
}

/* The first time it is told what is missing; later only if that is something else. */
static void test_told(void **state) {
    static const struct {
        const char *key;
        DiagCode code;
        const char *message, *told;
    } cases[] = {
        {"group", DIAG_NOT_FOUND, "a", "groups-2:a later tell "},
        {"supplementary_groups", DIAG_NOT_ALLOWED, "b", "groups-1:b later tell "},
        {"access.allow", DIAG_NOT_FOUND, "c", "access-2:c later tell "},
        {"model", DIAG_NOT_FOUND, "d", "exec-2:d later tell "},
        {NULL, DIAG_NOT_FOUND, "e", "config-2:e later tell "},
    };
    Fixture *f = *state;
    service_look(&f->s);
    did("user-2:no user ask ");
    f->configs[1].problem = make_problem("user", DIAG_NOT_FOUND, "no user");
    service_take_found(&f->s, &f->configs[1]);
    did("later tell ");
    assert_null(f->configs[1].problem);
    service_look(&f->s);
    did("ask ");
    for (size_t i = 0; i < ELEMENTS(cases); i++) {
        f->configs[1].problem = make_problem(cases[i].key, cases[i].code, cases[i].message);
        service_take_found(&f->s, &f->configs[1]);
        did(cases[i].told);
    }
}

/* Why nothing was found is told once, and not what was missing in between. */
static void test_fails(void **state) {
    Fixture *f = *state;
    service_look(&f->s);
    service_fail_look(&f->s, EIO, "killed");
    did("user-2:no user ask exec-5:what it lacks was not looked for: killed later tell ");
    service_look(&f->s);
    service_fail_look(&f->s, EIO, "killed");
    did("ask later tell ");
    ask_error = -ENOMEM;
    service_look(&f->s);
    did("ask exec-12:what it lacks was not looked for: Cannot allocate memory later tell ");
    ask_error = 0;
    service_look(&f->s);
    f->configs[1].problem = make_problem("user", DIAG_NOT_FOUND, "no user");
    service_take_found(&f->s, &f->configs[1]);
    did("ask user-2:no user later tell ");
}

static void test_found(void **state) {
    Fixture *f = *state;
    service_take_found(&f->s, &f->configs[1]);
    did("found open update(tried again) now tell ");
    assert_ptr_equal(f->s.config, &f->configs[1]);
}

/* An answer for which it has no listeners, or other slots, is none. */
static void test_something_else(void **state) {
    static const char words[] = "the helper that looks for users and programs has found something else";
    Fixture *f = *state;
    ServiceConfig *found = &f->configs[1];
    const ServiceConfig good = *found;
    const ListenConfig good_listen = f->listen[1][0];
    char told[256];
    (void)snprintf(told, sizeof(told), "exec-74:what it lacks was not looked for: %s later tell ", words);
    for (unsigned i = 0; i < 6; i++) {
        *found = good;
        f->listen[1][0] = good_listen;
        if (i == 0)
            found->n_listen = 0;
        else if (i == 1)
            f->listen[1][0].endpoint.n_addrs = 1;
        else if (i == 2)
            f->listen[1][0].endpoint.text = "tcp:2";
        else if (i == 3)
            found->model = MODEL_POOL;
        else if (i == 4)
            found->pass = HANDOFF_LISTEN_FDS;
        else
            found->enabled = false;
        service_take_found(&f->s, found);
        did(i == 0 ? told : "later tell ");
        assert_ptr_equal(f->s.config, &f->configs[0]);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_told, setup, teardown),
        cmocka_unit_test_setup_teardown(test_fails, setup, teardown),
        cmocka_unit_test_setup_teardown(test_found, setup, teardown),
        cmocka_unit_test_setup_teardown(test_something_else, setup, teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
