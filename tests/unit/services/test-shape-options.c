/* SPDX-License-Identifier: MIT */
/* The command line of a service that has shapes, and of one that has none. */
#include "services/options.h"

#include <fcntl.h>
#include <getopt.h>
#include <setjmp.h>
#include <stdarg.h>
#include <unistd.h>

#include <cmocka.h>

#include "services/shape.h"

static const Protocol with = {.name = "mp-with", .about = "has shapes", .shapes = true};
static const Protocol without = {.name = "mp-without", .about = "has none"};

typedef struct Case {
    const Protocol *protocol;
    const char *words[6];
    bool good;
    Options options;
} Case;

/* What is refused is told on stderr, which is of no interest here. */
static int quiet_stderr(void) {
    int saved = dup(STDERR_FILENO), null = open("/dev/null", O_WRONLY | O_CLOEXEC);
    (void)dup2(null, STDERR_FILENO);
    (void)close(null);
    return saved;
}

static bool parse(const Case *c, Options *ret, int *ret_status) {
    char *argv[8] = {(char *)"name"};
    int argc = 1;
    for (size_t i = 0; i < ELEMENTS(c->words) && c->words[i]; i++)
        argv[argc++] = (char *)c->words[i];
    optind = 0;
    int saved = quiet_stderr();
    bool good = options_parse(c->protocol, argc, argv, ret, ret_status);
    (void)dup2(saved, STDERR_FILENO);
    (void)close(saved);
    return good;
}

#define DEFAULTS                                                                                             \
    .idle_sec = 60, .drain_sec = 5, .max_connections = 512, .model = SHAPE_POLL, .workers = 4, .queue = 64,  \
    .when_full = SHAPE_WAIT

static void test_parse(void **state) {
    (void)state;
    static const Case cases[] = {
        {&with, {NULL}, true, {DEFAULTS}},
        {&without, {NULL}, true, {DEFAULTS}},
        {&with, {"--model", "poll"}, true, {DEFAULTS}},
        {&with, {"--model=iterative"}, true, {60, 5, 512, SHAPE_ITERATIVE, 4, 64, SHAPE_WAIT}},
        {&with, {"--model", "fork"}, true, {60, 5, 512, SHAPE_FORK, 4, 64, SHAPE_WAIT}},
        {&with,
         {"--model", "prefork", "--workers", "9"},
         true,
         {60, 5, 512, SHAPE_PREFORK, 9, 64, SHAPE_WAIT}},
        {&with, {"--model", "thread"}, true, {60, 5, 512, SHAPE_THREAD, 4, 64, SHAPE_WAIT}},
        {&with,
         {"--model", "thread-pool", "--queue", "7", "--when-full", "refuse"},
         true,
         {60, 5, 512, SHAPE_THREAD_POOL, 4, 7, SHAPE_REFUSE}},
        {&with,
         {"--model", "epoll", "--when-full", "wait"},
         true,
         {60, 5, 512, SHAPE_EPOLL, 4, 64, SHAPE_WAIT}},
        {&with, {"--model", "threads"}, false, {0}},
        {&with, {"--model", ""}, false, {0}},
        {&with, {"--model", "1"}, false, {0}},
        {&with, {"--model"}, false, {0}},
        {&with, {"--workers", "0"}, false, {0}},
        {&with, {"--workers", "10001"}, false, {0}},
        {&with, {"--queue", "0"}, false, {0}},
        {&with, {"--when-full", "drop"}, false, {0}},
        {&without, {"--model", "fork"}, false, {0}},
        {&without, {"--workers", "4"}, false, {0}},
        {&without, {"--idle", "3"}, true, {3, 5, 512, SHAPE_POLL, 4, 64, SHAPE_WAIT}},
    };
    for (size_t i = 0; i < ELEMENTS(cases); i++) {
        const Options *want = &cases[i].options;
        Options got = {0};
        int status = 0;
        bool good = parse(&cases[i], &got, &status);
        if (good != cases[i].good)
            fail_msg("case %zu: %s", i, good ? "taken" : "refused");
        if (!good) {
            assert_int_equal(status, 2);
            continue;
        }
        if (got.idle_sec != want->idle_sec || got.drain_sec != want->drain_sec ||
            got.max_connections != want->max_connections || got.model != want->model ||
            got.workers != want->workers || got.queue != want->queue || got.when_full != want->when_full)
            fail_msg("case %zu", i);
    }
}

/* The names are those of the options' help and of the reports. */
static void test_names(void **state) {
    (void)state;
    for (int i = 0; i < SHAPE_MODEL_MAX; i++)
        assert_int_equal(shape_model_from_string(shape_model_to_string((ShapeModel)i)), i);
    assert_int_equal(shape_model_from_string("pool"), -EINVAL);
    assert_null(shape_model_to_string(SHAPE_MODEL_MAX));
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_parse),
        cmocka_unit_test(test_names),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
