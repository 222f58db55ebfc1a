/* SPDX-License-Identifier: MIT */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "ctl/top-keys.h"
#include "ctl/top-model.h"
#include "daemon/base/clock.h"
#include "tests/unit/ctl/test-top-sample.h"

#define SEC USEC_PER_SEC
#define UP (100 * (json_int_t)SEC)

static void take(TopModel *m, json_int_t pid, json_int_t uptime, uint64_t now,
                 const SampleService *services) {
    assert_int_equal(top_model_take_status(m, sample_status(pid, uptime, services), now), 0);
}

static const TopService *service(const TopModel *m, const char *name) {
    for (size_t i = 0; i < m->n_services; i++)
        if (streq(m->services[i].name, name))
            return &m->services[i];
    fail_msg("no service %s", name);
    abort();
}

static void near(double got, double expected) {
    if (got < expected - 0.001 || got > expected + 0.001)
        fail_msg("%f, not %f", got, expected);
}

/* What is shown, as "a,*b,c"; the star is the selection. */
static void check_rows(const TopModel *m, const char *expected) {
    CLEANUP_TEXT Text rows = {0};
    for (size_t i = 0; i < m->n_shown; i++)
        text_addf(&rows, "%s%s%s", i > 0 ? "," : "",
                  m->selected && m->selected_row == i && streq(m->selected, m->shown[i]->name) ? "*" : "",
                  m->shown[i]->name);
    assert_string_equal(rows.s ? rows.s : "", expected);
}

static const SampleService before[] = {{"web", "listening", 100, 10, 5, 100, 90, 10},
                                       {"git", "full", 50, 0, 0, 50, 0, 50},
                                       {"old", "listening", 7, 0, 0, 7, 7, 0},
                                       {NULL}};

static void test_rates(void **state) {
    static const SampleService after[] = {{"web", "listening", 120, 14, 7, 116, 104, 12},
                                          {"git", "full", 50, 0, 0, 50, 1, 49},
                                          {"new", "listening", 8, 0, 0, 6, 2, 4},
                                          {NULL}};
    CLEANUP_TOP_MODEL TopModel m;
    (void)state;
    top_model_init(&m, TOP_SERVICE);
    take(&m, 1, UP, 5 * SEC, before);
    assert_false(m.rated);
    near(m.total.accepted, 0);
    take(&m, 1, UP + 2 * (json_int_t)SEC, 7 * SEC, after);
    assert_true(m.rated);
    const TopService *web = service(&m, "web");
    near(web->rates.accepted, 10);
    near(web->rates.refused, 3);
    near(web->rates.refused_by[REFUSE_RATE], 2);
    near(web->rates.refused_by[REFUSE_ACCESS], 1);
    near(web->rates.spawned, 8);
    near(web->rates.exited, 7);
    assert_int_equal(web->refused, 21);
    near(service(&m, "git")->rates.exited, 0.5);
    /* It came between the two looks, so all of it happened in between. */
    near(service(&m, "new")->rates.accepted, 4);
    /* What went is in no sum. */
    near(m.total.accepted, 14);
    near(m.total.spawned, 11);
    near(m.total.exited, 8.5);
    near(m.total.refused_by[REFUSE_RATE], 2);
}

typedef struct RestartCase {
    const char *name;
    json_int_t pid, uptime_usec;
    json_int_t accepted; /* was 100, two seconds before */
    double rate;
} RestartCase;

static const RestartCase restarts[] = {
    {"goes on", 1, UP + 2 * (json_int_t)SEC, 104, 2},
    {"nothing happened", 1, UP + 2 * (json_int_t)SEC, 100, 0},
    {"went back, in the same daemon", 1, UP + 2 * (json_int_t)SEC, 6, 3},
    {"another daemon, for one second", 2, 1 * (json_int_t)SEC, 6, 6},
    {"another daemon that has counted further", 2, 1 * (json_int_t)SEC, 110, 110},
    {"the same pid, but younger", 1, 1 * (json_int_t)SEC, 110, 110},
    {"another daemon that is older than the last look", 2, 50 * (json_int_t)SEC, 6, 3},
    {"another daemon without any time", 2, 0, 0, 0},
};

static void test_counters_that_begin_anew(void **state) {
    (void)state;
    for (size_t i = 0; i < ELEMENTS(restarts); i++) {
        const RestartCase *c = &restarts[i];
        CLEANUP_TOP_MODEL TopModel m;
        const SampleService after[] = {{"web", "listening", c->accepted, 0, 0, 0, 0, 0}, {NULL}};
        const SampleService first[] = {{"web", "listening", 100, 0, 0, 0, 0, 0}, {NULL}};
        print_message("%s\n", c->name);
        top_model_init(&m, TOP_SERVICE);
        take(&m, 1, UP, 5 * SEC, first);
        take(&m, c->pid, c->uptime_usec, 7 * SEC, after);
        near(m.total.accepted, c->rate);
    }
}

/* Two replies at one time: no division by nothing. */
static void test_no_time(void **state) {
    CLEANUP_TOP_MODEL TopModel m;
    (void)state;
    top_model_init(&m, TOP_SERVICE);
    take(&m, 1, UP, 5 * SEC, before);
    take(&m, 1, UP, 5 * SEC, before);
    near(m.total.accepted, 0);
}

static const SampleService four[] = {{"web", "listening", 40, 0, 0, 40, 30, 10},
                                     {"git", "failed", 10, 8, 0, 10, 10, 0},
                                     {"api", "full", 10, 0, 3, 10, 7, 3},
                                     {"off", "disabled", 0, 0, 0, 0, 0, 0},
                                     {NULL}};

typedef struct SortCase {
    TopColumn column;
    bool reverse, descends;
    const char *expect;
} SortCase;

static const SortCase sorts[] = {
    {TOP_SERVICE, false, false, "*api,git,off,web"},    {TOP_SERVICE, true, true, "web,off,git,*api"},
    {TOP_STATE, false, false, "git,*api,web,off"},      {TOP_STATE, true, true, "off,web,*api,git"},
    {TOP_NOW, false, true, "web,*api,git,off"},         {TOP_NOW, true, false, "git,off,*api,web"},
    {TOP_ACCEPTED, false, true, "web,*api,git,off"},    {TOP_REFUSED, false, true, "git,*api,off,web"},
    {TOP_REFUSED, true, false, "off,web,*api,git"},     {TOP_MAX, false, true, "*api,git,off,web"},
    {TOP_ACCEPT_RATE, false, true, "web,*api,git,off"}, {TOP_REFUSE_RATE, false, true, "git,*api,off,web"},
    {TOP_SPAWN_RATE, false, true, "web,*api,git,off"},  {TOP_EXIT_RATE, false, true, "web,git,*api,off"},
    {TOP_QUEUED, false, true, "*api,git,off,web"},      {TOP_SINCE, false, false, "*api,git,off,web"},
};

/* Every column, and the selection stays with its service. */
static void test_sort(void **state) {
    static const SampleService nothing[] = {{"web", "listening", 0, 0, 0, 0, 0, 0},
                                            {"git", "listening", 0, 0, 0, 0, 0, 0},
                                            {"api", "listening", 0, 0, 0, 0, 0, 0},
                                            {"off", "disabled", 0, 0, 0, 0, 0, 0},
                                            {NULL}};
    bool seen[_TOP_COLUMN_MAX] = {0};
    CLEANUP_TOP_MODEL TopModel m;
    (void)state;
    top_model_init(&m, TOP_SERVICE);
    take(&m, 1, UP, 1 * SEC, nothing);
    take(&m, 1, UP, 2 * SEC, four);
    for (size_t i = 0; i < ELEMENTS(sorts); i++) {
        print_message("%s %d\n", top_column_to_string(sorts[i].column), sorts[i].reverse);
        top_model_sort(&m, sorts[i].column, sorts[i].reverse);
        check_rows(&m, sorts[i].expect);
        assert_int_equal(top_model_descends(&m), sorts[i].descends);
        seen[sorts[i].column] = true;
    }
    for (size_t i = 0; i < _TOP_COLUMN_MAX; i++)
        assert_true(seen[i]);
}

static void test_selection(void **state) {
    static const SampleService less[] = {{"web", "listening", 0, 0, 0, 0, 0, 0},
                                         {"api", "listening", 0, 0, 0, 0, 0, 0},
                                         {"zoo", "listening", 0, 0, 0, 0, 0, 0},
                                         {NULL}};
    static const SampleService none[] = {{NULL}};
    CLEANUP_TOP_MODEL TopModel m;
    (void)state;
    top_model_init(&m, TOP_SERVICE);
    assert_null(top_model_selected(&m));
    top_model_move(&m, 1);
    take(&m, 1, UP, 1 * SEC, four);
    check_rows(&m, "*api,git,off,web");
    top_model_move(&m, 2);
    check_rows(&m, "api,git,*off,web");
    top_model_move(&m, 9);
    check_rows(&m, "api,git,off,*web");
    top_model_move(&m, -1);
    top_model_move(&m, -1);
    check_rows(&m, "api,*git,off,web");
    /* Others come and go around it. */
    top_model_move(&m, 2);
    take(&m, 1, UP, 2 * SEC, less);
    check_rows(&m, "api,*web,zoo");
    /* It goes itself: whatever stands in its place. */
    take(&m, 1, UP, 3 * SEC, four);
    check_rows(&m, "api,git,off,*web");
    top_model_move(&m, -2);
    take(&m, 1, UP, 4 * SEC, less);
    check_rows(&m, "api,*web,zoo");
    take(&m, 1, UP, 5 * SEC, none);
    check_rows(&m, "");
    assert_null(top_model_selected(&m));
    assert_int_equal(m.n_services, 0);
    near(m.total.accepted, 0);
    top_model_move(&m, -1);
    take(&m, 1, UP, 6 * SEC, less);
    check_rows(&m, "*api,web,zoo");
    top_model_move(&m, -100);
    check_rows(&m, "*api,web,zoo");
}

typedef struct FilterCase {
    const char *filter;
    bool only_failed;
    const char *expect;
    bool by_peer;
} FilterCase;

static const FilterCase filters[] = {
    {"", false, "*api,git,off,web", false},
    {"w", false, "*web", false},
    {"GI", false, "*git", false},
    {"full", false, "*api", false},
    {"i", false, "*api,git,off,web", false},
    {"", true, "*git", false},
    {"web", true, "", false},
    {"198.51", false, "*api", true},
    {"198.51.100.8", false, "", true},
    {"203.0.113", false, "*git", true},
    {"\033", false, "", true},
};

static json_t *sample_peers(void) {
    json_t *list = json_array();
    (void)json_array_append_new(list, sample_instance("git", 12, "203.0.113.7:99", 0));
    (void)json_array_append_new(list, sample_instance("api", 11, "198.51.100.7:1", 0));
    (void)json_array_append_new(list, sample_instance("api", 10, "203.0.114.1:5", 0));
    (void)json_array_append_new(list, sample_instance("off", 9, NULL, 0));
    return list;
}

static void test_filter(void **state) {
    CLEANUP_TOP_MODEL TopModel m;
    const char *of = "";
    (void)state;
    top_model_init(&m, TOP_SERVICE);
    assert_false(top_model_wants_instances(&m, &of));
    take(&m, 1, UP, 1 * SEC, four);
    assert_int_equal(top_model_take_instances(&m, sample_peers(), 1 * SEC), 0);
    for (size_t i = 0; i < ELEMENTS(filters); i++) {
        print_message("'%s'\n", filters[i].filter);
        top_model_filter(&m, filters[i].filter);
        top_model_only_failed(&m, filters[i].only_failed);
        check_rows(&m, filters[i].expect);
        assert_int_equal(m.by_peer, filters[i].by_peer);
        bool wants = top_model_wants_instances(&m, &of);
        /* Of all, as long as a peer is looked for; else only of the selected one. */
        assert_int_equal(wants, filters[i].by_peer || *filters[i].expect);
        assert_int_equal(of == NULL, filters[i].by_peer || !*filters[i].expect);
    }
    /* Of a service found by its peers only those peers are shown. */
    top_model_filter(&m, "198.51");
    assert_int_equal(m.n_shown_instances, 1);
    assert_int_equal(m.shown_instances[0]->pid, 11);
    top_model_filter(&m, "api");
    assert_int_equal(m.n_shown_instances, 2);
}

static void test_instances(void **state) {
    CLEANUP_TOP_MODEL TopModel m;
    (void)state;
    top_model_init(&m, TOP_SERVICE);
    take(&m, 1, UP, 1 * SEC, four);
    json_t *first = json_array(), *second = json_array();
    (void)json_array_append_new(first, sample_instance("api", 11, "198.51.100.7:1", 1000000));
    (void)json_array_append_new(first, sample_instance("api", 10, NULL, 500000));
    (void)json_array_append_new(second, sample_instance("api", 30, "198.51.100.7:2", 900000));
    (void)json_array_append_new(second, sample_instance("api", 11, "198.51.100.7:1", 2000000));
    (void)json_array_append_new(second, sample_instance("api", 10, NULL, 400000));
    assert_int_equal(top_model_take_instances(&m, first, 10 * SEC), 0);
    assert_int_equal(m.n_shown_instances, 2);
    assert_int_equal(m.shown_instances[0]->pid, 10);
    near(m.shown_instances[1]->cpu_share, -1);
    top_model_move_instance(&m, 5);
    assert_int_equal(top_model_selected_instance(&m)->pid, 11);
    assert_int_equal(top_model_take_instances(&m, second, 14 * SEC), 0);
    near(m.shown_instances[0]->cpu_share, -1); /* went back: another process */
    near(m.shown_instances[1]->cpu_share, 0.25);
    near(m.shown_instances[2]->cpu_share, -1); /* not there before */
    assert_int_equal(top_model_selected_instance(&m)->pid, 11);
    top_model_move_instance(&m, -1);
    assert_int_equal(top_model_selected_instance(&m)->pid, 10);
    /* Of another service they are not shown. */
    top_model_move(&m, 1);
    assert_int_equal(m.n_shown_instances, 0);
    assert_null(top_model_selected_instance(&m));
    top_model_move_instance(&m, 1);
    assert_int_equal(top_model_take_instances(&m, json_array(), 15 * SEC), 0);
    assert_null(top_model_selected_instance(&m));
}

/* What answers may be anything. */
static void test_strange_replies(void **state) {
    static const char *const replies[] = {
        "{}",
        "{\"services\": 7, \"daemon\": []}",
        "{\"services\": [7, null, {}, {\"name\": 3, \"accepted\": -5, \"refused\": []}]}",
        "{\"services\": [{\"name\": \"a\"}, {\"name\": \"a\", \"accepted\": \"x\"}]}",
    };
    CLEANUP_TOP_MODEL TopModel m;
    (void)state;
    top_model_init(&m, TOP_ACCEPT_RATE);
    for (size_t i = 0; i < ELEMENTS(replies); i++) {
        assert_int_equal(top_model_take_status(&m, json_loads(replies[i], 0, NULL), (i + 1) * SEC), 0);
        assert_int_equal(top_model_take_instances(&m, json_loads("[{}, 5, {\"pid\": \"x\"}]", 0, NULL), SEC),
                         0);
        top_model_move(&m, 1);
        near(m.total.accepted, 0);
    }
}

static void test_keys(void **state) {
    (void)state;
    for (size_t i = 0; i < _TOP_ACTION_MAX; i++) {
        const TopKeyRow *row = top_key_row((TopAction)i);
        assert_non_null(row->label);
        assert_non_null(row->help);
        /* Every key does one thing. */
        for (size_t k = 0; k < ELEMENTS(row->keys) && row->keys[k]; k++)
            assert_int_equal(top_key_action(row->keys[k]), i);
    }
    assert_int_equal(top_key_action('z'), -ENOENT);
    assert_int_equal(top_key_action(0), -ENOENT);
    assert_int_equal(top_key_action('K'), TOP_KILL);
    assert_int_equal(top_key_action('k'), TOP_UP);
}

static void test_delay(void **state) {
    (void)state;
    assert_int_equal(top_delay_step(SEC, 1), 2 * SEC);
    assert_int_equal(top_delay_step(SEC, -1), SEC / 2);
    assert_int_equal(top_delay_step(3 * SEC, 1), 5 * SEC);
    assert_int_equal(top_delay_step(3 * SEC, -1), 2 * SEC);
    assert_int_equal(top_delay_step(60 * SEC, 1), 60 * SEC);
    assert_int_equal(top_delay_step(SEC / 10, -1), SEC / 10);
    assert_int_equal(top_delay_step(3600 * SEC, -1), 60 * SEC);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_rates),     cmocka_unit_test(test_counters_that_begin_anew),
        cmocka_unit_test(test_no_time),   cmocka_unit_test(test_sort),
        cmocka_unit_test(test_selection), cmocka_unit_test(test_filter),
        cmocka_unit_test(test_instances), cmocka_unit_test(test_strange_replies),
        cmocka_unit_test(test_keys),      cmocka_unit_test(test_delay),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
