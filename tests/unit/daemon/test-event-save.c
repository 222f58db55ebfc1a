/* SPDX-License-Identifier: MIT */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "daemon/eventlog.h"
#include "tests/unit/blob.h"

static void push(EventRing *q, uint64_t seq, LogAddresses addresses, const ApiEvent *e) {
    Event *copy = event_new(e);
    assert_non_null(copy);
    copy->seq = seq;
    copy->addresses = (uint8_t)addresses;
    event_ring_push(q, copy);
    event_unref(copy);
}

static const ApiEvent full = {
    .time_usec = 1700000000000000,
    .level = "warning",
    .event = "ended",
    .service = "web",
    .instance = 77,
    .pid = 4711,
    .peer = "192.0.2.1:80",
    .reason = "rate",
    .step = "exec",
    .error = 2,
    .exit_code = 0,
    .signal = 9,
    .duration_usec = 12,
    .message = "a\x1b[0m \xc3\xb6",
};
static const ApiEvent bare = {
    .level = "info", .event = "state", .exit_code = -1, .duration_usec = UINT64_MAX, .message = ""};

static void assert_same(const Event *kept, const ApiEvent *b) {
    Text x CLEANUP_TEXT = {0}, y CLEANUP_TEXT = {0};
    const ApiEvent a = event_read(kept);
    api_encode_events(&x, &a, 1, 0, true);
    api_encode_events(&y, b, 1, 0, true);
    assert_string_equal(x.s, y.s);
}

static void test_ring(void **state) {
    (void)state;
    EventRing q, r;
    event_ring_init(&q, 8, 4096);
    event_ring_init(&r, 8, 4096);
    push(&q, 41, LOG_ADDRESSES_PREFIX, &full);
    push(&q, 42, LOG_ADDRESSES_FULL, &bare);
    TEST_BLOB(b, event_ring_save(&b.w, &q), event_ring_restore(b.r, &r));
    assert_int_equal(r.n, 2);
    assert_same(event_ring_get(&r, 0), &full);
    assert_same(event_ring_get(&r, 1), &bare);
    assert_int_equal(event_ring_get(&r, 0)->seq, 41);
    assert_int_equal(event_ring_get(&r, 1)->seq, 42);
    assert_int_equal(event_ring_get(&r, 0)->addresses, LOG_ADDRESSES_PREFIX);
    /* Nothing of it is borrowed. */
    event_ring_done(&q);
    const ApiEvent first = event_read(event_ring_get(&r, 0));
    assert_string_equal(first.event, "ended");
    /* Lines of output are known as such. */
    assert_false(event_is_output(&first));
    event_ring_done(&r);
}

/* A ring that holds less keeps the newest. */
static void test_smaller(void **state) {
    (void)state;
    EventRing q, r;
    event_ring_init(&q, 64, 1U << 20);
    event_ring_init(&r, 5, 1U << 20);
    for (uint64_t i = 1; i <= 70; i++)
        push(&q, i, LOG_ADDRESSES_FULL, &full);
    TEST_BLOB(b, event_ring_save(&b.w, &q), event_ring_restore(b.r, &r));
    assert_int_equal(r.n, 5);
    assert_true(event_ring_get(&r, 0)->seq == 66 && event_ring_get(&r, 4)->seq == 70);
    event_ring_done(&q);
    event_ring_done(&r);
}

/* Of an empty one nothing is allocated. */
static void test_empty(void **state) {
    (void)state;
    EventRing q, r;
    event_ring_init(&q, 64, 4096);
    event_ring_init(&r, 64, 4096);
    TEST_BLOB(b, event_ring_save(&b.w, &q), event_ring_restore(b.r, &r));
    assert_true(r.n == 0 && !r.slots);
}

static void test_log(void **state) {
    (void)state;
    EventLog l = {.seq = 90}, m = {0}, busy = {.seq = 100};
    event_ring_init(&l.ring, 8, 4096);
    event_ring_init(&m.ring, 8, 4096);
    event_ring_init(&busy.ring, 8, 4096);
    push(&l.ring, 89, LOG_ADDRESSES_NONE, &bare);
    TEST_BLOB(b, eventlog_save(&b.w, &l), eventlog_restore(b.r, &m));
    assert_true(m.seq == 90 && m.ring.n == 1 && event_ring_get(&m.ring, 0)->seq == 89);
    /* What comes next is never before what was. */
    TEST_BLOB(b, eventlog_save(&b.w, &l), eventlog_restore(b.r, &busy));
    assert_int_equal(busy.seq, 100);
    event_ring_done(&l.ring);
    event_ring_done(&m.ring);
    event_ring_done(&busy.ring);
}

typedef struct OddCase {
    const char *name, *level, *event, *addresses;
    bool kept, peer;
} OddCase;

static const OddCase odd[] = {
    {"as it should be", "info", "ended", "full", true, true},
    {"an event of a later version", "info", "teleported", "full", true, true},
    {"a level that is not known", "chatter", "ended", "full", false, false},
    {"no event", "info", NULL, "full", false, false},
    {"no level", NULL, "ended", "full", false, false},
    {"shown in a way that is not known", "info", "ended", "pixelated", true, false},
    {"shown nobody knows how", "info", "ended", NULL, true, false},
};

static void test_odd(void **state) {
    (void)state;
    for (size_t i = 0; i < ELEMENTS(odd); i++) {
        EventRing r;
        TestBlob b;
        event_ring_init(&r, 8, 4096);
        test_blob_begin(&b);
        size_t at = blob_open(&b.w, 1);
        blob_put_str(&b.w, 2, odd[i].level);
        blob_put_str(&b.w, 3, odd[i].event);
        blob_put_str(&b.w, 5, "192.0.2.1:80");
        blob_put_str(&b.w, 6, odd[i].addresses);
        blob_put_double(&b.w, 55, 1);
        blob_close(&b.w, at);
        test_blob_end(&b);
        assert_int_equal(event_ring_restore(b.r, &r), 0);
        const Event *kept = event_ring_get(&r, 0);
        const ApiEvent e = kept ? event_read(kept) : (ApiEvent){0};
        if (!kept != !odd[i].kept || (kept && !e.peer != !odd[i].peer))
            fail_msg("%s", odd[i].name);
        if (e.peer && odd[i].peer)
            assert_true(streq(e.event, odd[i].event) && streq(e.level, odd[i].level));
        test_blob_done(&b);
        event_ring_done(&r);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_ring), cmocka_unit_test(test_smaller), cmocka_unit_test(test_empty),
        cmocka_unit_test(test_log),  cmocka_unit_test(test_odd),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
