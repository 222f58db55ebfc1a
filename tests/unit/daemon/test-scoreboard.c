/* SPDX-License-Identifier: MIT */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <unistd.h>

#include "daemon/scoreboard.h"

static void test_slots(void **state) {
    Scoreboard *b = NULL;
    (void)state;
    assert_int_equal(scoreboard_new(&b), 0);
    for (int64_t i = 0; i < 200; i++)
        assert_int_equal(scoreboard_take(b), i);
    Score s = {.active = 5, .requests = 7};
    score_write(scoreboard_slot(b, 70), &s);
    scoreboard_give(b, 70);
    scoreboard_give(b, 3);
    scoreboard_give(b, -1);
    assert_int_equal(scoreboard_take(b), 3);
    assert_int_equal(scoreboard_take(b), 70);
    /* The next worker begins with nothing. */
    assert_false(score_read(scoreboard_slot(b, 70), &s));
    assert_int_equal(scoreboard_take(b), 200);
    assert_null(scoreboard_free(b));
    assert_null(scoreboard_free(NULL));
}

/* A worker can neither take the memory away nor make it longer. */
static void test_sealed(void **state) {
    Scoreboard *b = NULL;
    (void)state;
    assert_int_equal(scoreboard_new(&b), 0);
    assert_true(ftruncate(scoreboard_fd(b), 0) < 0 && errno == EPERM);
    assert_true(ftruncate(scoreboard_fd(b), (off_t)(SCOREBOARD_SLOTS * SCORE_BYTES * 2)) < 0 &&
                errno == EPERM);
    assert_true(fcntl(scoreboard_fd(b), F_ADD_SEALS, F_SEAL_WRITE) < 0);
    scoreboard_free(b);
}

#define ROUNDS 300000

static void *write_scores(void *slot) {
    for (uint64_t i = 1; i <= ROUNDS; i++) {
        Score s = {.active = i,
                   .requests = 2 * i,
                   .queued = 3 * i,
                   .taken = 4 * i,
                   .capacity = 5 * i,
                   .time_usec = 6 * i};
        score_write(slot, &s);
    }
    return NULL;
}

/* Whoever reads meanwhile sees one state that there was. */
static void test_never_torn(void **state) {
    Scoreboard *b = NULL;
    pthread_t thread;
    uint64_t last = 0, seen = 0;
    (void)state;
    assert_int_equal(scoreboard_new(&b), 0);
    ScoreSlot *slot = scoreboard_slot(b, scoreboard_take(b));
    assert_int_equal(pthread_create(&thread, NULL, write_scores, slot), 0);
    while (last < ROUNDS) {
        Score s;
        if (!score_read(slot, &s))
            continue;
        assert_int_equal(s.requests, 2 * s.active);
        assert_int_equal(s.queued, 3 * s.active);
        assert_int_equal(s.taken, 4 * s.active);
        assert_int_equal(s.capacity, 5 * s.active);
        assert_int_equal(s.time_usec, 6 * s.active);
        assert_true(s.active >= last);
        seen += s.active != last;
        last = s.active;
    }
    pthread_join(thread, NULL);
    assert_true(seen > 0);
    scoreboard_free(b);
}

/* A writer that died half way: what was known before stays known to the reader. */
static void test_half_written(void **state) {
    Scoreboard *b = NULL;
    Score s = {.active = 1}, got = {.active = 99};
    (void)state;
    assert_int_equal(scoreboard_new(&b), 0);
    ScoreSlot *slot = scoreboard_slot(b, scoreboard_take(b));
    score_write(slot, &s);
    atomic_fetch_add(&slot->sequence, 1);
    assert_false(score_read(slot, &got));
    assert_int_equal(got.active, 99);
    scoreboard_free(b);
}

static void test_wanted(void **state) {
    ScoreSlot slot = {0};
    (void)state;
    assert_false(score_is_wanted(&slot));
    score_want(&slot);
    assert_true(score_is_wanted(&slot));
    assert_false(score_is_wanted(&slot));
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_slots),        cmocka_unit_test(test_sealed), cmocka_unit_test(test_never_torn),
        cmocka_unit_test(test_half_written), cmocka_unit_test(test_wanted),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
