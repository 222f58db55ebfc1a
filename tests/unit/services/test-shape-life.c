/* SPDX-License-Identifier: MIT */
/* The decisions of a shape: when it stops, when it ends, how long it sleeps, when a dead worker is replaced;
 * and the reaping of its children. */
#include "services/shape-life.h"

#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#include "daemon/base/cleanup.h"
#include "daemon/base/clock.h"
#include "services/shape-children.h"
#include "services/shape-respawn.h"

static void test_wish(void **state) {
    (void)state;
    const uint64_t never = USEC_INFINITY, sec = USEC_PER_SEC;
    static const struct {
        const char *name;
        uint64_t idle_sec, active_usec, stop_sec; /* stop_sec 0: not stopping */
        ProgressCount count;
        uint64_t now_sec;
        bool waits;
        LifeWish wish;
    } cases[] = {
        {"idle for a moment", 60, 0, 0, {0}, 59, false, LIFE_GO_ON},
        {"idle for long enough", 60, 0, 0, {0}, 60, false, LIFE_STOP},
        {"idle, with workers", 60, 0, 0, {0}, 60, true, LIFE_STOP},
        {"never idle enough", 0, 0, 0, {0}, 1000000, false, LIFE_GO_ON},
        {"active", 60, 0, 0, {.active = 1}, 1000, false, LIFE_GO_ON},
        {"only queued", 60, 0, 0, {.queued = 1}, 1000, false, LIFE_GO_ON},
        {"stopping, active", 60, 0, 10, {.active = 1}, 9, false, LIFE_GO_ON},
        {"stopping, queued", 60, 0, 10, {.queued = 1}, 9, false, LIFE_GO_ON},
        {"stopping, idle", 60, 0, 10, {0}, 9, false, LIFE_END},
        {"stopping, idle, but workers are there", 60, 0, 10, {0}, 9, true, LIFE_GO_ON},
        {"time is over, active", 60, 0, 10, {.active = 1}, 10, false, LIFE_END},
        {"time is over, workers are there", 60, 0, 10, {0}, 10, true, LIFE_END},
    };
    for (size_t i = 0; i < ELEMENTS(cases); i++) {
        const Options options = {.idle_sec = cases[i].idle_sec};
        const Life life = {.options = &options,
                           .active_usec = cases[i].active_usec,
                           .stop_usec = cases[i].stop_sec ? cases[i].stop_sec * sec : never};
        if (life_wish(&life, &cases[i].count, cases[i].now_sec * sec, cases[i].waits) != cases[i].wish)
            fail_msg("%s", cases[i].name);
    }
}

static void test_stop_twice(void **state) {
    (void)state;
    const Options options = {.drain_sec = 5};
    Life life = {.options = &options, .stop_usec = USEC_INFINITY};
    assert_false(life_is_stopping(&life));
    life_stop(&life, 1000);
    assert_true(life_is_stopping(&life));
    assert_int_equal(life.stop_usec, 1000 + 5 * USEC_PER_SEC);
    life_stop(&life, 2000);
    assert_int_equal(life.stop_usec, 2000);
}

static void test_timeout(void **state) {
    (void)state;
    static const struct {
        uint64_t until, now;
        int msec;
    } cases[] = {
        {USEC_INFINITY, 5, -1},
        {5, 5, 0},
        {4, 5, 0},
        {6, 5, 1},
        {1005, 5, 1},
        {1006, 5, 2},
        {3600000005, 5, 3600000},
        {USEC_INFINITY - 1, 5, 3600000},
    };
    for (size_t i = 0; i < ELEMENTS(cases); i++)
        assert_int_equal(life_timeout(cases[i].until, cases[i].now), cases[i].msec);
}

static void test_respawn_delay(void **state) {
    (void)state;
    static const struct {
        unsigned failures;
        uint64_t msec;
    } cases[] = {
        {0, 0}, {1, 0}, {2, 100}, {3, 200}, {4, 400}, {8, 6400}, {9, 10000}, {10, 10000}, {4000000000, 10000},
    };
    for (size_t i = 0; i < ELEMENTS(cases); i++)
        assert_int_equal(respawn_delay(cases[i].failures), cases[i].msec * USEC_PER_MSEC);
}

static void test_respawn_note(void **state) {
    (void)state;
    Respawn r = {0};
    const uint64_t now = 100 * USEC_PER_SEC;
    /* One that lived, and the first that did not, are replaced at once. */
    respawn_note(&r, RESPAWN_LIVED_USEC, now);
    assert_int_equal(r.at_usec, now);
    respawn_note(&r, RESPAWN_LIVED_USEC - 1, now);
    assert_int_equal(r.at_usec, now);
    respawn_note(&r, 0, now);
    assert_int_equal(r.at_usec, now + 100 * USEC_PER_MSEC);
    respawn_note(&r, 0, now);
    assert_int_equal(r.at_usec, now + 200 * USEC_PER_MSEC);
    for (int i = 0; i < 1000; i++)
        respawn_note(&r, 0, now);
    assert_int_equal(r.at_usec, now + RESPAWN_LONGEST_USEC);
    /* One that lived ends the row; what was promised to be waited for is waited for. */
    respawn_note(&r, RESPAWN_LIVED_USEC, now);
    assert_int_equal(r.failures, 0);
    assert_int_equal(r.at_usec, now + RESPAWN_LONGEST_USEC);
    respawn_note(&r, 0, now + 2 * RESPAWN_LONGEST_USEC);
    assert_int_equal(r.at_usec, now + 2 * RESPAWN_LONGEST_USEC);
}

#define CHILDREN 40

typedef struct Ends {
    size_t places[CHILDREN];
    size_t n, signaled;
} Ends;

static void on_ended(void *self, size_t place, int status) {
    Ends *e = self;
    assert_true(e->n < CHILDREN);
    e->places[e->n++] = place;
    e->signaled += WIFSIGNALED(status);
}

static void block_child_signal(void) {
    sigset_t child;
    sigemptyset(&child);
    sigaddset(&child, SIGCHLD);
    assert_int_equal(sigprocmask(SIG_BLOCK, &child, NULL), 0);
}

/* All end together: one signal at most, and yet each is taken in. */
static void test_reap_all(void **state) {
    (void)state;
    Children c;
    Ends ends = {0};
    int hold[2];
    block_child_signal();
    assert_int_equal(pipe(hold), 0);
    assert_int_equal(children_init(&c, CHILDREN), 0);
    for (size_t i = 0; i < CHILDREN; i++) {
        size_t place = 99;
        int r = children_fork(&c, &place);
        if (r == 1) {
            char byte;
            (void)close(hold[1]);
            _exit(read(hold[0], &byte, 1) == 0 ? 0 : 1);
        }
        assert_int_equal(r, 0);
        assert_int_equal(place, i);
    }
    size_t place;
    assert_int_equal(children_fork(&c, &place), -EAGAIN);
    children_reap(&c, on_ended, &ends);
    assert_int_equal(ends.n, 0);
    /* The last that holds its own end of the pipe lets all of them go. */
    close(hold[1]);
    siginfo_t info;
    for (size_t i = 0; i < CHILDREN; i++)
        assert_int_equal(waitid(P_PID, (id_t)c.places[i], &info, WEXITED | WNOWAIT), 0);
    children_reap(&c, on_ended, &ends);
    assert_int_equal(ends.n, CHILDREN);
    assert_int_equal(ends.signaled, 0);
    assert_int_equal(c.n, 0);
    close(hold[0]);
    children_done(&c);
}

/* One that takes no notice of TERM is killed. */
static void test_end(void **state) {
    (void)state;
    Children c;
    Ends ends = {0};
    int ready[2];
    block_child_signal();
    assert_int_equal(pipe(ready), 0);
    assert_int_equal(children_init(&c, 3), 0);
    for (int i = 0; i < 3; i++) {
        size_t place;
        int r = children_fork(&c, &place);
        if (r == 1) {
            if (i == 1)
                (void)signal(SIGTERM, SIG_IGN);
            (void)!write(ready[1], "x", 1);
            for (;;)
                pause();
        }
        assert_int_equal(r, 0);
        char byte;
        assert_int_equal(read(ready[0], &byte, 1), 1);
    }
    children_end(&c, on_ended, &ends);
    assert_int_equal(ends.n, 3);
    assert_int_equal(ends.signaled, 3);
    assert_int_equal(ends.places[2], 1);
    assert_int_equal(c.n, 0);
    close(ready[0]);
    close(ready[1]);
    children_done(&c);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_wish),         cmocka_unit_test(test_stop_twice),
        cmocka_unit_test(test_timeout),      cmocka_unit_test(test_respawn_delay),
        cmocka_unit_test(test_respawn_note), cmocka_unit_test(test_reap_all),
        cmocka_unit_test(test_end),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
