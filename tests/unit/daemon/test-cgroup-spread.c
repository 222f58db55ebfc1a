/* SPDX-License-Identifier: MIT */
/* How new limits come to processes that run already: some in each turn of the loop, whatever each takes.
 * Their setting is wrapped by the linker (meson.build), and the clock. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>
#include <errno.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "daemon/base/clock.h"
#include "daemon/cgroup-limits.h"
#include "daemon/cgroup-spread.h"
#include "daemon/service-cgroup.h"
#include "daemon/service-private.h"

#define INSTANCES 7
#define SERVICES 2

int __real_clock_gettime(clockid_t clock, struct timespec *ret);
int __wrap_clock_gettime(clockid_t clock, struct timespec *ret);
int __wrap_cgroup_limits_apply(int dir, const CgroupConfig *from, const CgroupConfig *to, bool alone,
                               unsigned enabled, Errands *errands, const char **ret_refused);
void __wrap_service_cgroup_fail(Service *s, int error);
int __real_sd_event_add_time_relative(sd_event *e, sd_event_source **ret, clockid_t clock, uint64_t usec,
                                      uint64_t accuracy, sd_event_time_handler_t call, void *userdata);
int __wrap_sd_event_add_time_relative(sd_event *e, sd_event_source **ret, clockid_t clock, uint64_t usec,
                                      uint64_t accuracy, sd_event_time_handler_t call, void *userdata);

/* Time that passes by setting limits alone, and what each takes. */
static uint64_t passed_usec, each_usec;
/* How many were set; of which limit, to which, the last time; and the one of them that fails, from 1 on. */
static unsigned n_set, fails_at;
static uint64_t last_from, last_to;
static bool last_from_unknown;
/* What has been told. */
static unsigned n_settled, n_failed;
static bool no_timer;

int __wrap_clock_gettime(clockid_t clock, struct timespec *ret) {
    static struct timespec begun;
    if (begun.tv_sec == 0 && __real_clock_gettime(clock, &begun) < 0)
        return -1;
    *ret = (struct timespec){.tv_sec = begun.tv_sec + (time_t)(passed_usec / USEC_PER_SEC),
                             .tv_nsec = (long)(passed_usec % USEC_PER_SEC * NSEC_PER_USEC)};
    return 0;
}

int __wrap_cgroup_limits_apply(int dir, const CgroupConfig *from, const CgroupConfig *to, bool alone,
                               unsigned enabled, Errands *errands, const char **ret_refused) {
    (void)enabled;
    (void)errands;
    assert_true(dir >= 0 && alone);
    passed_usec += each_usec;
    last_from_unknown = from == &cgroup_limits_unknown;
    last_from = from->memory_max;
    last_to = to->memory_max;
    if (++n_set != fails_at)
        return 0;
    *ret_refused = "memory.max";
    return -EINVAL;
}

void __wrap_service_cgroup_fail(Service *s, int error) {
    assert_int_equal(error, -EINVAL);
    assert_string_equal(s->cgroup->refused, "memory.max");
    cgroup_spread_forget(s->cgroup);
    n_failed++;
}

int __wrap_sd_event_add_time_relative(sd_event *e, sd_event_source **ret, clockid_t clock, uint64_t usec,
                                      uint64_t accuracy, sd_event_time_handler_t call, void *userdata) {
    if (no_timer)
        return -ENOMEM;
    return __real_sd_event_add_time_relative(e, ret, clock, usec, accuracy, call, userdata);
}

static void on_settled(void *userdata) {
    (void)userdata;
    n_settled++;
}

/* Services with a folder that looks like their group, with one for each instance in it. */
typedef struct Fixture {
    char path[32];
    CgroupTree tree;
    Runtime rt;
    Service services[SERVICES];
    ServiceCgroup groups[SERVICES];
    Instance instances[SERVICES][INSTANCES];
} Fixture;

static void begin(Fixture *x) {
    *x = (Fixture){.path = "/tmp/mpt-spread-XXXXXX"};
    assert_non_null(mkdtemp(x->path));
    x->rt = (Runtime){.cgroups = &x->tree, .on_settled = on_settled};
    assert_true(sd_event_new(&x->rt.loop) >= 0);
    cgroup_spread_init(&x->rt.spread);
    for (size_t k = 0; k < SERVICES; k++) {
        Service *s = &x->services[k];
        *s = (Service){.rt = &x->rt, .cgroup = &x->groups[k]};
        list_init(&s->instances);
        x->groups[k] = (ServiceCgroup){.service = s, .limits = {.memory_max = 2}};
        list_init(&x->groups[k].spreading);
        x->groups[k].dir = open(x->path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
        assert_true(x->groups[k].dir >= 0);
        for (unsigned i = 0; i < INSTANCES; i++) {
            Instance *instance = &x->instances[k][i];
            char name[8];
            *instance = (Instance){.service = s, .group = i + 1};
            list_append(&s->instances, &instance->link);
            (void)snprintf(name, sizeof(name), "%u", i + 1);
            (void)mkdirat(x->groups[k].dir, name, 0755);
        }
    }
    passed_usec = n_set = fails_at = n_settled = n_failed = 0;
    each_usec = 10 * USEC_PER_MSEC;
    no_timer = false;
}

static void end(Fixture *x) {
    for (size_t k = 0; k < SERVICES; k++) {
        for (unsigned i = 0; i < INSTANCES; i++) {
            char name[8];
            (void)snprintf(name, sizeof(name), "%u", i + 1);
            (void)unlinkat(x->groups[k].dir, name, AT_REMOVEDIR);
        }
        (void)close(x->groups[k].dir);
    }
    assert_int_equal(rmdir(x->path), 0);
    x->rt.spread.timer = sd_event_source_disable_unref(x->rt.spread.timer);
    sd_event_unref(x->rt.loop);
}

static const CgroupConfig one = {.memory_max = 1}, two = {.memory_max = 2};

/* How many are set in the next turn. */
static unsigned turn(Fixture *x) {
    unsigned before = n_set;
    assert_true(sd_event_run(x->rt.loop, x->rt.spread.timer ? UINT64_MAX : 0) >= 0);
    return n_set - before;
}

static void test_some_in_each_turn(void **state) {
    Fixture x;
    (void)state;
    begin(&x);
    assert_int_equal(cgroup_spread(&x.groups[0], &one, &two), 0);
    assert_int_equal(n_set, 3);
    assert_false(cgroup_spread_is_over(&x.rt));
    assert_int_equal(turn(&x), 2);
    assert_int_equal(n_settled, 0);
    assert_int_equal(turn(&x), 2);
    assert_true(cgroup_spread_is_over(&x.rt));
    assert_int_equal(n_settled, 1);
    assert_int_equal(turn(&x), 0);
    assert_int_equal(last_from, 1);
    assert_int_equal(last_to, 2);
    /* Who has what he is to have is not looked at again. */
    assert_int_equal(cgroup_spread(&x.groups[0], &two, &two), 0);
    assert_int_equal(n_set, INSTANCES);
    end(&x);
}

/* However many they are: as long as there is time for them, all at once. */
static void test_all_at_once(void **state) {
    Fixture x;
    (void)state;
    begin(&x);
    each_usec = USEC_PER_MSEC;
    for (size_t k = 0; k < SERVICES; k++)
        assert_int_equal(cgroup_spread(&x.groups[k], &one, &two), 0);
    assert_int_equal(n_set, SERVICES * INSTANCES);
    assert_true(cgroup_spread_is_over(&x.rt));
    assert_null(x.rt.spread.timer);
    end(&x);
}

/* The time is one for all services; a second one gets what an error in its config is found by. */
static void test_services_share_it(void **state) {
    Fixture x;
    (void)state;
    begin(&x);
    assert_int_equal(cgroup_spread(&x.groups[0], &one, &two), 0);
    assert_int_equal(cgroup_spread(&x.groups[1], &one, &two), 0);
    assert_int_equal(n_set, 3 + 1);
    unsigned turns = 0;
    for (; !cgroup_spread_is_over(&x.rt); turns++)
        assert_true(turn(&x) <= 3);
    assert_int_equal(n_set, SERVICES * INSTANCES);
    assert_int_equal(n_settled, 1);
    assert_true(turns >= (SERVICES * INSTANCES - 4) / 3);
    end(&x);
}

/* Who has not got one when the next comes has what nobody knows. */
static void test_changed_meanwhile(void **state) {
    static const CgroupConfig three = {.memory_max = 3};
    Fixture x;
    (void)state;
    begin(&x);
    assert_int_equal(cgroup_spread(&x.groups[0], &one, &two), 0);
    assert_false(last_from_unknown);
    assert_int_equal(cgroup_spread(&x.groups[0], &two, &three), 0);
    x.groups[0].limits = three;
    assert_true(last_from_unknown);
    n_set = 1;
    while (!cgroup_spread_is_over(&x.rt))
        (void)turn(&x);
    assert_int_equal(n_set, INSTANCES);
    assert_true(last_from_unknown);
    assert_int_equal(last_to, 3);
    assert_int_equal(cgroup_spread(&x.groups[0], &three, &one), 0);
    assert_false(last_from_unknown);
    end(&x);
}

static void test_gone_meanwhile(void **state) {
    Fixture x;
    (void)state;
    begin(&x);
    assert_int_equal(cgroup_spread(&x.groups[0], &one, &two), 0);
    assert_int_equal(n_set, 3);
    list_remove(&x.instances[0][3].link);
    x.instances[0][4].group = 0;
    assert_int_equal(unlinkat(x.groups[0].dir, "6", AT_REMOVEDIR), 0);
    assert_int_equal(turn(&x), 1);
    assert_true(cgroup_spread_is_over(&x.rt));
    /* The service itself. */
    assert_int_equal(cgroup_spread(&x.groups[1], &one, &two), 0);
    assert_false(cgroup_spread_is_over(&x.rt));
    cgroup_spread_forget(&x.groups[1]);
    assert_int_equal(turn(&x), 0);
    assert_int_equal(n_settled, 2);
    end(&x);
}

/* An error at once is the caller's, one that comes later the service's. */
static void test_errors(void **state) {
    Fixture x;
    (void)state;
    begin(&x);
    fails_at = 2;
    assert_int_equal(cgroup_spread(&x.groups[0], &one, &two), -EINVAL);
    assert_int_equal(n_failed, 0);
    cgroup_spread_forget(&x.groups[0]);
    fails_at = 3 + 4;
    n_set = 0;
    assert_int_equal(turn(&x), 0);
    assert_int_equal(cgroup_spread(&x.groups[0], &one, &two), 0);
    while (!cgroup_spread_is_over(&x.rt))
        (void)turn(&x);
    assert_int_equal(n_failed, 1);
    end(&x);
}

/* Without memory for a timer nobody is left behind. */
static void test_no_timer(void **state) {
    Fixture x;
    (void)state;
    begin(&x);
    no_timer = true;
    assert_int_equal(cgroup_spread(&x.groups[0], &one, &two), 0);
    assert_int_equal(n_set, INSTANCES);
    assert_true(cgroup_spread_is_over(&x.rt));
    end(&x);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_some_in_each_turn), cmocka_unit_test(test_all_at_once),
        cmocka_unit_test(test_services_share_it), cmocka_unit_test(test_changed_meanwhile),
        cmocka_unit_test(test_gone_meanwhile),    cmocka_unit_test(test_errors),
        cmocka_unit_test(test_no_timer),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
