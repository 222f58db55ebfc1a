/* SPDX-License-Identifier: MIT */
/* Who is looked at together, who by himself, and who is told: the helper and the services are the test's. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "conf/config-blob.h"
#include "daemon/resolver.h"
#include "daemon/service-private.h"

#define MANY 300

/* What has been asked of a helper: of the one for several, of the one for one alone. */
typedef struct Load {
    LoadPut put;
    LoadPrepare prepare;
    LoadDone done;
    void *userdata;
    unsigned n, n_cancelled;
    int error; /* of asking */
} Load;
static Load loads[2];
static Load *const together = &loads[0], *const alone = &loads[1];

/* What it was given, and what the services were told. */
static struct {
    char names[128];
    size_t n;
} given;
static char told[512];

int __wrap_config_loads_look_again(ConfigLoads *l, LoadPut put, LoadPrepare prepare, LoadDone done,
                                   void *userdata);
void __wrap_config_loads_forget(ConfigLoads *l, const void *userdata);
void __wrap_config_loads_cancel(ConfigLoads *l);
void __wrap_config_put_some(BlobWriter *w, const Config *c, ServiceConfig *const *services, size_t n);
void __wrap_service_take_found(Service *s, ServiceConfig *found);
void __wrap_service_fail_look(Service *s, int error, const char *why);

/* They are not looked into. */
static Load *load_of(ConfigLoads *l) {
    return (Load *)(void *)l;
}

int __wrap_config_loads_look_again(ConfigLoads *l, LoadPut put, LoadPrepare prepare, LoadDone done,
                                   void *userdata) {
    Load *load = load_of(l);
    if (load->error < 0)
        return load->error;
    load->put = put;
    load->prepare = prepare;
    load->done = done;
    load->userdata = userdata;
    load->n++;
    return 0;
}

void __wrap_config_loads_forget(ConfigLoads *l, const void *userdata) {
    assert_ptr_equal(userdata, load_of(l)->userdata);
}

void __wrap_config_loads_cancel(ConfigLoads *l) {
    load_of(l)->n_cancelled++;
}

static void say(char *buf, size_t size, const char *name, const char *what) {
    size_t n = strlen(buf);
    (void)snprintf(buf + n, size - n, "%s%s%s", n > 0 ? " " : "", name, what);
}

void __wrap_config_put_some(BlobWriter *w, const Config *c, ServiceConfig *const *services, size_t n) {
    (void)w;
    (void)c;
    given.names[0] = '\0';
    given.n = n;
    for (size_t i = 0; i < n && i < 5; i++)
        say(given.names, sizeof(given.names), services[i]->name, "");
}

void __wrap_service_take_found(Service *s, ServiceConfig *found) {
    assert_string_equal(s->config->name, found->name);
    say(told, sizeof(told), s->name, "+");
}

void __wrap_service_fail_look(Service *s, int error, const char *why) {
    char text[64];
    (void)snprintf(text, sizeof(text), "-%d:%s", error, why);
    say(told, sizeof(told), s->name, text);
}

typedef struct Fixture {
    Resolver *r;
    Config config;
    ServiceConfig configs[MANY], *all[MANY];
    Service services[MANY];
    char names[MANY][8];
} Fixture;

static int setup(void **state) {
    Fixture *f = calloc(1, sizeof(*f));
    memset(loads, 0, sizeof(loads));
    memset(&given, 0, sizeof(given));
    told[0] = '\0';
    *state = f;
    for (size_t i = 0; i < MANY; i++) {
        (void)snprintf(f->names[i], sizeof(f->names[i]), "s%03zu", i);
        f->configs[i] = (ServiceConfig){.name = f->names[i]};
        f->all[i] = &f->configs[i];
        f->services[i] =
            (Service){.name = f->names[i], .config = &f->configs[i], .generation_config = &f->config};
        list_init(&f->services[i].look_link);
    }
    f->config = (Config){.services = f->all, .n_services = MANY};
    f->r = resolver_new((ConfigLoads *)(void *)together, (ConfigLoads *)(void *)alone);
    return f->r ? 0 : -1;
}

static int teardown(void **state) {
    Fixture *f = *state;
    resolver_free(f->r);
    free(f);
    return 0;
}

static void ask(Fixture *f, size_t i) {
    assert_int_equal(resolver_ask(f->r, &f->services[i]), 0);
    assert_true(service_is_looked_for(&f->services[i]));
}

/* The helper begins: it is given these. */
static void begins(const Load *load, const char *names) {
    assert_int_equal(load->put(NULL, load->userdata), 0);
    assert_string_equal(given.names, names);
}

/* It ends well, or not; what was told by then, and how many have been asked for. */
static void ends(const Fixture *f, const Load *load, int error, const char *why, const char *words,
                 unsigned n) {
    const LoadResult result = {.error = error, .why = why};
    told[0] = '\0';
    for (unsigned i = 0; error == 0 && load->prepare(&f->config, load->userdata); i++)
        assert_in_range(i, 0, MANY);
    load->done(&result, load->userdata);
    assert_string_equal(told, words);
    assert_int_equal(load->n, n);
}

/* Together, in the order of their names; who asks meanwhile is of the next one; each once. */
static void test_together(void **state) {
    Fixture *f = *state;
    ask(f, 2);
    ask(f, 1);
    ask(f, 2);
    begins(together, "s001 s002");
    ask(f, 0);
    ask(f, 1);
    assert_int_equal(together->n, 1);
    ends(f, together, 0, NULL, "s002+ s001+", 2);
    begins(together, "s000");
    ends(f, together, 0, NULL, "s000+", 2);
    for (size_t i = 0; i < 3; i++)
        assert_false(service_is_looked_for(&f->services[i]));
    assert_int_equal(alone->n, 0);
}

/* Who is taken away meanwhile is not told; where nobody is left, nothing begins. */
static void test_taken_away(void **state) {
    Fixture *f = *state;
    ask(f, 0);
    ask(f, 1);
    begins(together, "s000 s001");
    list_remove(&f->services[0].look_link);
    ends(f, together, 0, NULL, "s001+", 1);
    ask(f, 2);
    list_remove(&f->services[2].look_link);
    assert_int_equal(together->put(NULL, together->userdata), -ECANCELED);
    ends(f, together, -ECANCELED, NULL, "", 2);
    ask(f, 3);
    begins(together, "s003");
    list_remove(&f->services[3].look_link);
    ends(f, together, 0, NULL, "", 3);
    assert_int_equal(together->n_cancelled, 0);
}

/* A look-up for nobody holds up nobody; one that has not begun is for whoever comes. */
static void test_for_nobody(void **state) {
    Fixture *f = *state;
    ask(f, 0);
    list_remove(&f->services[0].look_link);
    ask(f, 1);
    assert_int_equal(together->n, 1);
    begins(together, "s001");
    list_remove(&f->services[1].look_link);
    ask(f, 2);
    assert_int_equal(together->n_cancelled, 1);
    assert_int_equal(together->n, 2);
    begins(together, "s002");
    ask(f, 3);
    assert_int_equal(together->n_cancelled, 1);
    ends(f, together, 0, NULL, "s002+", 3);
}

/* Killed, hung, too big or nonsense: each by itself, until it has gone well once, and nobody else waits for
 * that. */
static void test_apart(void **state) {
    static const int errors[] = {-EIO, -ETIMEDOUT, -ENOMEM, -EBADMSG};
    Fixture *f = *state;
    for (size_t k = 0; k < ELEMENTS(errors); k++) {
        together->n = alone->n = 0;
        ask(f, 0);
        ask(f, 1);
        begins(together, "s000 s001");
        ends(f, together, errors[k], "gone", "", 1);
        begins(alone, "s000");
        /* Who comes later does not wait behind them. */
        ask(f, 2);
        begins(together, "s002");
        ends(f, together, 0, NULL, "s002+", 2);
        ends(f, alone, -ETIMEDOUT, "late", "s000-110:late", 2);
        begins(alone, "s001");
        ends(f, alone, 0, NULL, "s001+", 2);
        /* What hung stays by itself; the other is as he was. */
        ask(f, 0);
        ask(f, 1);
        begins(alone, "s000");
        begins(together, "s001");
        ends(f, together, 0, NULL, "s001+", 3);
        ends(f, alone, 0, NULL, "s000+", 3);
        ask(f, 0);
        begins(together, "s000");
        ends(f, together, 0, NULL, "s000+", 4);
    }
}

/* Of one that was alone anyway it is known at once. */
static void test_single(void **state) {
    Fixture *f = *state;
    ask(f, 0);
    begins(together, "s000");
    ends(f, together, -EIO, "gone", "s000-5:gone", 1);
    assert_int_equal(alone->n, 0);
    ask(f, 0);
    begins(alone, "s000");
    ends(f, alone, -EIO, "gone", "s000-5:gone", 1);
    assert_int_equal(together->n, 1);
}

/* No process is to be had: all are tried again later. */
static void test_none(void **state) {
    Fixture *f = *state;
    ask(f, 0);
    ask(f, 1);
    begins(together, "s000 s001");
    ends(f, together, -EAGAIN, NULL,
         "s000-11:Resource temporarily unavailable s001-11:Resource temporarily unavailable", 1);
    together->error = -ENOMEM;
    assert_int_equal(resolver_ask(f->r, &f->services[0]), -ENOMEM);
    assert_false(service_is_looked_for(&f->services[0]));
    together->error = 0;
    ask(f, 0);
    begins(together, "s000");
    ask(f, 1);
    together->error = -ENOMEM;
    ends(f, together, 0, NULL, "s000+ s001-12:Cannot allocate memory", 2);
    assert_false(service_is_looked_for(&f->services[1]));
    /* The same of those that are taken apart. */
    together->error = 0;
    ask(f, 0);
    ask(f, 1);
    begins(together, "s000 s001");
    alone->error = -ENOMEM;
    ends(f, together, -EIO, "gone", "s000-12:Cannot allocate memory s001-12:Cannot allocate memory", 3);
}

/* So many at a time; what a helper has left out is told. */
static void test_many(void **state) {
    Fixture *f = *state;
    for (size_t i = 0; i < MANY; i++)
        ask(f, i);
    begins(together, "s000 s001 s002 s003 s004");
    assert_int_equal(given.n, 256);
    const LoadResult result = {0};
    const Config none = {0};
    assert_true(together->prepare(&none, together->userdata));
    assert_string_equal(told, "s000-74:Bad message");
    while (together->prepare(&f->config, together->userdata))
        continue;
    together->done(&result, together->userdata);
    assert_int_equal(together->n, 2);
    begins(together, "s256 s257 s258 s259 s260");
    assert_int_equal(given.n, MANY - 256);
}

/* Over an upgrade, or one that fails. */
static void test_suspended(void **state) {
    Fixture *f = *state;
    resolver_suspend(f->r);
    assert_int_equal(together->n_cancelled, 0);
    resolver_resume(f->r);
    assert_int_equal(together->n, 0);
    f->services[2].look_alone = true;
    ask(f, 0);
    begins(together, "s000");
    ask(f, 1);
    ask(f, 2);
    begins(alone, "s002");
    resolver_suspend(f->r);
    assert_int_equal(together->n_cancelled, 1);
    assert_int_equal(alone->n_cancelled, 1);
    for (size_t i = 0; i < 3; i++)
        assert_true(service_is_looked_for(&f->services[i]));
    resolver_resume(f->r);
    assert_int_equal(together->n, 2);
    begins(together, "s000 s001");
    begins(alone, "s002");
    ends(f, together, 0, NULL, "s001+ s000+", 2);
    ends(f, alone, 0, NULL, "s002+", 2);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_together, setup, teardown),
        cmocka_unit_test_setup_teardown(test_taken_away, setup, teardown),
        cmocka_unit_test_setup_teardown(test_for_nobody, setup, teardown),
        cmocka_unit_test_setup_teardown(test_apart, setup, teardown),
        cmocka_unit_test_setup_teardown(test_single, setup, teardown),
        cmocka_unit_test_setup_teardown(test_none, setup, teardown),
        cmocka_unit_test_setup_teardown(test_many, setup, teardown),
        cmocka_unit_test_setup_teardown(test_suspended, setup, teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
