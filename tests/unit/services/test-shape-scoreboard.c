/* SPDX-License-Identifier: MIT */
/* The scoreboard and its bell: between threads and between processes, no state that there never was. */
#include "services/shape-scoreboard.h"

#include <poll.h>
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#define ROUNDS 200000ULL

static bool rings(const Bell *b) {
    struct pollfd p = {.fd = b->fd, .events = POLLIN};
    return poll(&p, 1, 0) == 1;
}

static void test_slots(void **state) {
    (void)state;
    Scoreboard *s = scoreboard_new(3);
    assert_non_null(s);
    for (size_t i = 0; i < 3; i++) {
        assert_int_equal((uintptr_t)&s->slots[i] % SCOREBOARD_LINE, 0);
        assert_false(scoreboard_read(s, i).busy);
        assert_int_equal(scoreboard_read(s, i).requests, 0);
    }
    scoreboard_begin(s, 1);
    assert_true(scoreboard_read(s, 1).busy);
    assert_int_equal(scoreboard_read(s, 1).requests, 0);
    assert_false(scoreboard_read(s, 0).busy);
    scoreboard_end(s, 1);
    assert_false(scoreboard_read(s, 1).busy);
    assert_int_equal(scoreboard_read(s, 1).requests, 1);
    scoreboard_begin(s, 1);
    scoreboard_clear(s, 1);
    assert_false(scoreboard_read(s, 1).busy);
    assert_int_equal(scoreboard_read(s, 1).requests, 0);
    scoreboard_free(s, 3);
}

static void test_bell(void **state) {
    (void)state;
    Bell b;
    assert_int_equal(bell_init(&b), 0);
    /* Nobody sleeps: nothing happens. */
    bell_ring(&b);
    assert_false(rings(&b));
    assert_false(bell_quiet(&b));
    /* Armed it rings, once. */
    bell_arm(&b);
    assert_false(rings(&b));
    bell_ring(&b);
    bell_ring(&b);
    assert_true(rings(&b));
    assert_true(bell_quiet(&b));
    assert_false(rings(&b));
    bell_ring(&b);
    assert_false(rings(&b));
    /* Quiet takes the arming back. */
    bell_arm(&b);
    assert_false(bell_quiet(&b));
    bell_ring(&b);
    assert_false(rings(&b));
    bell_done(&b);
}

static void work(Scoreboard *s, size_t slot) {
    for (uint64_t i = 0; i < ROUNDS; i++) {
        scoreboard_begin(s, slot);
        scoreboard_end(s, slot);
    }
}

static void *work_slot_0(void *s) {
    work(s, 0);
    return NULL;
}

/* The word goes up by one at each step: a reader never sees it go down, nor anything twice ahead. */
static void watch(Scoreboard *s, size_t slot) {
    uint64_t before = 0;
    for (bool done = false; !done;) {
        Score score = scoreboard_read(s, slot);
        uint64_t now = 2 * score.requests + score.busy;
        assert_true(now >= before && now <= 2 * ROUNDS);
        before = now;
        done = now == 2 * ROUNDS;
    }
}

static void test_threads(void **state) {
    (void)state;
    Scoreboard *s = scoreboard_new(1);
    pthread_t thread;
    assert_int_equal(pthread_create(&thread, NULL, work_slot_0, s), 0);
    watch(s, 0);
    assert_int_equal(pthread_join(thread, NULL), 0);
    scoreboard_free(s, 1);
}

/* The sleeper is woken for every change that it has not seen. */
static void test_processes(void **state) {
    (void)state;
    Scoreboard *s = scoreboard_new(2);
    pid_t pids[2];
    for (size_t i = 0; i < 2; i++) {
        pids[i] = fork();
        if (pids[i] == 0) {
            work(s, i);
            _exit(0);
        }
    }
    for (;;) {
        bell_arm(&s->bell);
        if (scoreboard_read(s, 0).requests + scoreboard_read(s, 1).requests == 2 * ROUNDS)
            break;
        struct pollfd p = {.fd = s->bell.fd, .events = POLLIN};
        assert_int_equal(poll(&p, 1, 20000), 1);
        (void)bell_quiet(&s->bell);
    }
    for (size_t i = 0; i < 2; i++) {
        int status;
        assert_int_equal(waitpid(pids[i], &status, 0), pids[i]);
        assert_int_equal(status, 0);
        assert_int_equal(scoreboard_read(s, i).requests, ROUNDS);
    }
    scoreboard_free(s, 2);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_slots),
        cmocka_unit_test(test_bell),
        cmocka_unit_test(test_threads),
        cmocka_unit_test(test_processes),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
