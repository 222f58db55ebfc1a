/* SPDX-License-Identifier: MIT */
/* The bounded queue: order, bounds, many producers and consumers, closing while others wait. */
#include "services/shape-queue.h"

#include <errno.h>
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdint.h>
#include <stdlib.h>
#include <time.h>

#include <cmocka.h>

#include "daemon/base/cleanup.h"

DEFINE_CLEANUP(Queue *, queue_free);

static void pause_a_moment(void) {
    const struct timespec t = {.tv_nsec = 20000000};
    (void)nanosleep(&t, NULL);
}

static void test_order(void **state) {
    (void)state;
    CLEANUP(queue_freep) Queue *q = queue_new(3);
    int item;
    /* Around the ring several times. */
    for (int i = 0; i < 20; i += 2) {
        assert_int_equal(queue_push(q, i, false), 0);
        assert_int_equal(queue_push(q, i + 1, false), 0);
        assert_int_equal(queue_length(q), 2);
        assert_int_equal(queue_pop(q, &item), 0);
        assert_int_equal(item, i);
        assert_int_equal(queue_pop(q, &item), 0);
        assert_int_equal(item, i + 1);
    }
    assert_int_equal(queue_length(q), 0);
}

static void test_full(void **state) {
    (void)state;
    CLEANUP(queue_freep) Queue *q = queue_new(2);
    int item;
    assert_int_equal(queue_push(q, 1, false), 0);
    assert_int_equal(queue_push(q, 2, true), 0);
    assert_int_equal(queue_push(q, 3, false), -EAGAIN);
    assert_int_equal(queue_pop(q, &item), 0);
    assert_int_equal(queue_push(q, 3, false), 0);
    assert_int_equal(queue_push(q, 4, false), -EAGAIN);
}

static void test_reserved(void **state) {
    (void)state;
    CLEANUP(queue_freep) Queue *q = queue_new(2);
    int item = 0;
    /* A reserved place is taken, although nothing is in it. */
    assert_int_equal(queue_reserve(q, false), 0);
    assert_int_equal(queue_push(q, 1, false), 0);
    assert_int_equal(queue_push(q, 2, false), -EAGAIN);
    assert_int_equal(queue_length(q), 1);
    queue_release(q);
    assert_int_equal(queue_push(q, 2, false), 0);
    assert_int_equal(queue_pop(q, &item), 0);
    /* It may be filled after the closing, and is taken out then. */
    assert_int_equal(queue_reserve(q, true), 0);
    queue_close(q);
    assert_int_equal(queue_reserve(q, false), -EPIPE);
    assert_int_equal(queue_reserve(q, true), -EPIPE);
    queue_fill(q, 7);
    assert_int_equal(queue_pop(q, &item), 0);
    assert_int_equal(item, 2);
    assert_int_equal(queue_pop(q, &item), 0);
    assert_int_equal(item, 7);
    assert_int_equal(queue_pop(q, &item), -EPIPE);
}

static void test_closed(void **state) {
    (void)state;
    CLEANUP(queue_freep) Queue *q = queue_new(2);
    int item = 0;
    assert_int_equal(queue_push(q, 1, false), 0);
    queue_close(q);
    queue_close(q);
    assert_int_equal(queue_push(q, 2, false), -EPIPE);
    assert_int_equal(queue_push(q, 2, true), -EPIPE);
    assert_int_equal(queue_pop(q, &item), 0);
    assert_int_equal(item, 1);
    assert_int_equal(queue_pop(q, &item), -EPIPE);
}

/* --- with threads --------------------------------------------------------------------------------------- */

#define PRODUCERS 4
#define CONSUMERS 3
#define EACH 5000
#define ALL ((size_t)PRODUCERS * EACH)

typedef struct Crowd {
    Queue *queue;
    atomic_int next_producer;
    atomic_uchar seen[ALL];
    atomic_int popped, disorder, longest;
} Crowd;

static void *produce(void *userdata) {
    Crowd *c = userdata;
    int first = atomic_fetch_add(&c->next_producer, 1) * EACH;
    for (int i = 0; i < EACH; i++) {
        if (i % 3 == 0) { /* the two halves of it */
            (void)queue_reserve(c->queue, true);
            queue_fill(c->queue, first + i);
        } else {
            (void)queue_push(c->queue, first + i, true);
        }
    }
    return NULL;
}

static void *consume(void *userdata) {
    Crowd *c = userdata;
    int last[PRODUCERS] = {-1, -1, -1, -1};
    for (int item; queue_pop(c->queue, &item) == 0;) {
        atomic_fetch_add(&c->popped, 1);
        atomic_fetch_add(&c->seen[item], 1);
        /* What one producer put in one after the other comes to one consumer in that order. */
        if (item <= last[item / EACH])
            atomic_fetch_add(&c->disorder, 1);
        last[item / EACH] = item;
        int length = (int)queue_length(c->queue);
        if (length > atomic_load(&c->longest))
            atomic_store(&c->longest, length);
    }
    return NULL;
}

static void test_crowd(void **state) {
    (void)state;
    static const size_t rooms[] = {1, 2, 7, 100};
    for (size_t k = 0; k < ELEMENTS(rooms); k++) {
        CLEANUP(queue_freep) Queue *q = queue_new(rooms[k]);
        CLEANUP_FREE Crowd *c = calloc(1, sizeof(*c));
        assert_non_null(c);
        c->queue = q;
        pthread_t producers[PRODUCERS], consumers[CONSUMERS];
        for (size_t i = 0; i < CONSUMERS; i++)
            assert_int_equal(pthread_create(&consumers[i], NULL, consume, c), 0);
        for (size_t i = 0; i < PRODUCERS; i++)
            assert_int_equal(pthread_create(&producers[i], NULL, produce, c), 0);
        for (size_t i = 0; i < PRODUCERS; i++)
            assert_int_equal(pthread_join(producers[i], NULL), 0);
        queue_close(q);
        for (size_t i = 0; i < CONSUMERS; i++)
            assert_int_equal(pthread_join(consumers[i], NULL), 0);
        assert_int_equal(c->popped, ALL);
        for (size_t i = 0; i < ALL; i++)
            assert_int_equal(c->seen[i], 1);
        assert_int_equal(c->disorder, 0);
        assert_true((size_t)c->longest <= rooms[k]);
    }
}

typedef struct Waiter {
    Queue *queue;
    int result;
} Waiter;

static void *wait_for_room(void *userdata) {
    Waiter *w = userdata;
    w->result = queue_push(w->queue, 9, true);
    return NULL;
}

static void *wait_for_item(void *userdata) {
    Waiter *w = userdata;
    int item;
    w->result = queue_pop(w->queue, &item);
    return NULL;
}

/* Closing wakes all who wait, on either side. */
static void test_close_while_waiting(void **state) {
    (void)state;
    void *(*const sides[])(void *) = {wait_for_room, wait_for_item};
    for (size_t side = 0; side < ELEMENTS(sides); side++) {
        CLEANUP(queue_freep) Queue *q = queue_new(1);
        if (side == 0)
            assert_int_equal(queue_push(q, 1, false), 0);
        Waiter waiters[4];
        pthread_t threads[4];
        for (size_t i = 0; i < 4; i++) {
            waiters[i] = (Waiter){q, 1};
            assert_int_equal(pthread_create(&threads[i], NULL, sides[side], &waiters[i]), 0);
        }
        pause_a_moment();
        queue_close(q);
        for (size_t i = 0; i < 4; i++) {
            assert_int_equal(pthread_join(threads[i], NULL), 0);
            assert_int_equal(waiters[i].result, -EPIPE);
        }
    }
}

/* A place that was promised keeps the consumers waiting after the closing, until it is filled or given back.
 */
static void test_release_after_close(void **state) {
    (void)state;
    CLEANUP(queue_freep) Queue *q = queue_new(1);
    assert_int_equal(queue_reserve(q, false), 0);
    Waiter w = {q, 1};
    pthread_t thread;
    assert_int_equal(pthread_create(&thread, NULL, wait_for_item, &w), 0);
    queue_close(q);
    pause_a_moment();
    queue_release(q);
    assert_int_equal(pthread_join(thread, NULL), 0);
    assert_int_equal(w.result, -EPIPE);
}

/* Room, and an item, wake one who waits for it. */
static void test_woken(void **state) {
    (void)state;
    CLEANUP(queue_freep) Queue *q = queue_new(1);
    pthread_t thread;
    int item;
    Waiter w = {q, 1};
    assert_int_equal(pthread_create(&thread, NULL, wait_for_item, &w), 0);
    pause_a_moment();
    assert_int_equal(queue_push(q, 1, false), 0);
    assert_int_equal(pthread_join(thread, NULL), 0);
    assert_int_equal(w.result, 0);
    assert_int_equal(queue_push(q, 1, false), 0);
    assert_int_equal(pthread_create(&thread, NULL, wait_for_room, &w), 0);
    pause_a_moment();
    assert_int_equal(queue_pop(q, &item), 0);
    assert_int_equal(pthread_join(thread, NULL), 0);
    assert_int_equal(w.result, 0);
    assert_int_equal(queue_pop(q, &item), 0);
    assert_int_equal(item, 9);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_order),
        cmocka_unit_test(test_full),
        cmocka_unit_test(test_reserved),
        cmocka_unit_test(test_closed),
        cmocka_unit_test(test_crowd),
        cmocka_unit_test(test_close_while_waiting),
        cmocka_unit_test(test_release_after_close),
        cmocka_unit_test(test_woken),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
