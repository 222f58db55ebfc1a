/* SPDX-License-Identifier: MIT */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "daemon/event.h"

static void push(EventRing *r, const char *message) {
    ApiEvent e = {.event = "x", .message = message, .service = "s"};
    Event *copy = event_new(&e);
    assert_non_null(copy);
    event_ring_push(r, copy);
    event_unref(copy);
}

static const char *message_of(const EventRing *r, size_t i) {
    return event_read(event_ring_get(r, i)).message;
}

static void test_ring_keeps_the_newest(void **state) {
    (void)state;
    EventRing r;
    event_ring_init(&r, 3, 100000);
    assert_null(event_ring_get(&r, 0));
    static const char *const words[] = {"a", "b", "c", "d", "e"};
    for (size_t i = 0; i < ELEMENTS(words); i++) {
        push(&r, words[i]);
        assert_int_equal(r.n, i < 3 ? i + 1 : 3);
        assert_string_equal(message_of(&r, r.n - 1), words[i]);
        assert_string_equal(message_of(&r, 0), words[i < 3 ? 0 : i - 2]);
        assert_null(event_ring_get(&r, r.n));
    }
    event_ring_done(&r);
    event_ring_done(&r);
}

static void push_numbered(EventRing *r, uint64_t seq, size_t length) {
    char message[2048];
    memset(message, 'x', length);
    message[length] = '\0';
    ApiEvent e = {.event = "x", .message = message};
    Event *copy = event_new(&e);
    assert_non_null(copy);
    copy->seq = seq;
    event_ring_push(r, copy);
    event_unref(copy);
}

static void test_ring_keeps_so_many_bytes(void **state) {
    (void)state;
    EventRing r;
    event_ring_init(&r, 100, 10000);
    for (uint64_t i = 1; i <= 50; i++)
        push_numbered(&r, i, 100);
    size_t small = r.n;
    assert_in_range(small, 20, 50);
    assert_true(r.bytes <= 10000);
    for (uint64_t i = 51; i <= 100; i++)
        push_numbered(&r, i, 2000);
    assert_true(r.n < small && r.n >= 3 && r.bytes <= 10000);
    assert_int_equal(event_ring_get(&r, r.n - 1)->seq, 100);
    event_ring_done(&r);
    /* One that is too large alone is kept alone. */
    event_ring_init(&r, 100, 10);
    push_numbered(&r, 1, 2000);
    push_numbered(&r, 2, 2000);
    assert_int_equal(r.n, 1);
    assert_int_equal(event_ring_get(&r, 0)->seq, 2);
    event_ring_done(&r);
    assert_int_equal(r.bytes, 0);
}

typedef struct MergeCase {
    const char *name;
    uint64_t a[5], b[5]; /* ends with 0 */
    size_t newest_of_b, last;
    uint64_t expected[10];
} MergeCase;

static const MergeCase merge_cases[] = {
    {"nothing", {0}, {0}, 9, 9, {0}},
    {"of the first alone", {1, 2, 3}, {0}, 9, 9, {1, 2, 3}},
    {"of the second alone", {0}, {1, 2}, 9, 9, {1, 2}},
    {"in the order in which they came", {1, 4, 5}, {2, 3, 6}, 9, 9, {1, 2, 3, 4, 5, 6}},
    {"the newest", {1, 4, 5}, {2, 3, 6}, 9, 4, {3, 4, 5, 6}},
    {"none asked for", {1, 4}, {2, 3}, 9, 0, {0}},
    {"few of the second", {1, 9}, {2, 3, 4, 5}, 2, 9, {1, 4, 5, 9}},
    {"none of the second", {1, 9}, {2, 3}, 0, 9, {1, 9}},
};

static void test_merge(void **state) {
    (void)state;
    for (size_t k = 0; k < ELEMENTS(merge_cases); k++) {
        const MergeCase *t = &merge_cases[k];
        EventRing a, b;
        const Event *got[10] = {0};
        event_ring_init(&a, 5, 100000);
        event_ring_init(&b, 5, 100000);
        for (size_t i = 0; i < 5 && t->a[i]; i++)
            push_numbered(&a, t->a[i], 1);
        for (size_t i = 0; i < 5 && t->b[i]; i++)
            push_numbered(&b, t->b[i], 1);
        EventRing newest = event_ring_newest(&b, t->newest_of_b);
        size_t n = event_rings_merge(&a, &newest, t->last, got);
        for (size_t i = 0; i < n; i++)
            if (!got[i] || got[i]->seq != t->expected[i])
                fail_msg("%s: item %zu", t->name, i);
        if (n < 10 && t->expected[n] != 0)
            fail_msg("%s: %zu items", t->name, n);
        event_ring_done(&a);
        event_ring_done(&b);
    }
}

static void test_shown(void **state) {
    (void)state;
    /* As kept, as shown, and whether the peer is. */
    static const struct {
        LogAddresses kept, shown;
        bool peer;
    } cases[] = {
        {LOG_ADDRESSES_FULL, LOG_ADDRESSES_FULL, true},     {LOG_ADDRESSES_FULL, LOG_ADDRESSES_PREFIX, false},
        {LOG_ADDRESSES_FULL, LOG_ADDRESSES_NONE, false},    {LOG_ADDRESSES_PREFIX, LOG_ADDRESSES_FULL, true},
        {LOG_ADDRESSES_PREFIX, LOG_ADDRESSES_PREFIX, true}, {LOG_ADDRESSES_PREFIX, LOG_ADDRESSES_NONE, false},
    };
    for (size_t i = 0; i < ELEMENTS(cases); i++) {
        Event *e = event_new(&(ApiEvent){.event = "x", .peer = "192.0.2.1:80"});
        e->addresses = (uint8_t)cases[i].kept;
        ApiEvent shown = event_shown(e, cases[i].shown);
        assert_int_equal(shown.peer != NULL, cases[i].peer);
        event_unref(e);
    }
}

static void test_copy_is_its_own(void **state) {
    (void)state;
    char message[] = "hello", peer[] = "uid:0";
    ApiEvent e = {.event = "x", .message = message, .peer = peer};
    Event *copy = event_new(&e);
    message[0] = 'J';
    peer[0] = 'X';
    ApiEvent read = event_read(copy);
    assert_string_equal(read.message, "hello");
    assert_string_equal(read.peer, "uid:0");
    assert_null(read.service);
    event_unref(copy);
}

/* Whatever is there of it, and nothing else. */
static void test_reads_as_it_was(void **state) {
    static const ApiEvent cases[] = {
        {.event = "a"},
        {.event = "", .service = "", .peer = "", .reason = "", .step = "", .message = ""},
        {.level = "error",
         .event = "ended",
         .service = "web",
         .peer = "192.0.2.1:80",
         .reason = "rate",
         .step = "exec",
         .message = "m\xc3\xb6",
         .time_usec = UINT64_MAX - 1,
         .instance = UINT64_MAX - 2,
         .duration_usec = UINT64_MAX,
         .pid = INT32_MAX,
         .error = 133,
         .exit_code = -1,
         .signal = 64},
        {.event = "b", .service = "s", .reason = "r", .exit_code = 255, .error = -1},
        {.event = "c", .peer = "p", .message = "m", .signal = 127},
        {.peer = "p"},
        {0},
    };
    (void)state;
    for (size_t i = 0; i < ELEMENTS(cases); i++) {
        const ApiEvent *e = &cases[i];
        Event *copy = event_new(e);
        assert_non_null(copy);
        ApiEvent r = event_read(copy);
        assert_true(streq_null(r.event, e->event) && streq_null(r.service, e->service));
        assert_true(streq_null(r.peer, e->peer) && streq_null(r.reason, e->reason));
        assert_true(streq_null(r.step, e->step) && streq_null(r.message, e->message));
        assert_true(r.time_usec == e->time_usec && r.instance == e->instance && r.pid == e->pid);
        assert_true(r.duration_usec == e->duration_usec && r.error == e->error);
        assert_true(r.exit_code == e->exit_code && r.signal == e->signal && r.level == e->level);
        assert_null(r.facts);
        event_unref(copy);
    }
}

static void test_line(void **state) {
    (void)state;
    static const struct {
        ApiEvent e;
        const char *line;
    } cases[] = {
        {{.service = "echo", .pid = 42, .peer = "192.0.2.1:9", .message = "started"},
         "echo[42] 192.0.2.1:9 started"},
        {{.service = "echo", .message = "listening"}, "echo: listening"},
        {{.message = "hello"}, "mpinetd: hello"},
        {{.service = "echo", .pid = 42, .message = "evil\x1b[2J\nline"}, "echo[42] evil\\x1b[2J\\x0aline"},
    };
    for (size_t i = 0; i < ELEMENTS(cases); i++) {
        Text t = {0};
        event_format(&cases[i].e, &t);
        assert_string_equal(t.s, cases[i].line);
        text_done(&t);
    }
}

/* What the log leaves out is still in the event. */
static void test_logged(void **state) {
    static const struct {
        unsigned wanted;
        bool is_logged, pid, peer, exit, duration;
    } cases[] = {
        {0, false, false, false, false, false},
        {1U << LOG_FACT_PID, true, true, false, false, false},
        {1U << LOG_FACT_PEER, true, false, true, false, false},
        {1U << LOG_FACT_EXIT | 1U << LOG_FACT_DURATION, true, false, false, true, true},
        {1U << LOG_FACT_CPU, true, false, false, false, false},
        {UINT32_MAX, true, true, true, true, true},
    };
    ApiEvent e = {.event = "ended", .pid = 5, .peer = "p", .exit_code = 3, .signal = 9, .duration_usec = 7};
    (void)state;
    assert_true(event_is_logged(&e));
    assert_true(event_is_logged_whole(&e));
    assert_int_equal(event_logged(&e).pid, 5);
    for (size_t i = 0; i < ELEMENTS(cases); i++) {
        ApiFacts facts = {.logged = cases[i].wanted};
        e.facts = &facts;
        ApiEvent logged = event_logged(&e);
        assert_int_equal(event_is_logged(&e), cases[i].is_logged);
        bool whole = cases[i].pid && cases[i].peer && cases[i].exit && cases[i].duration;
        assert_int_equal(event_is_logged_whole(&e), whole);
        assert_int_equal(logged.pid, cases[i].pid ? 5 : 0);
        assert_int_equal(logged.peer != NULL, cases[i].peer);
        assert_int_equal(logged.exit_code, cases[i].exit ? 3 : -1);
        assert_int_equal(logged.signal, cases[i].exit ? 9 : 0);
        assert_true(logged.duration_usec == (cases[i].duration ? 7 : UINT64_MAX));
    }
    Event *kept = event_new(&e);
    assert_non_null(kept);
    assert_null(event_read(kept).facts);
    assert_int_equal(event_read(kept).pid, 5);
    event_unref(kept);
}

static void test_ring_takes_what_it_needs(void **state) {
    (void)state;
    EventRing r;
    ApiEvent e = {.event = "state"};
    event_ring_init(&r, 5, 100000);
    assert_true(r.capacity == 0 && !r.slots);
    /* Nothing is allocated for the first one. */
    push(&r, "first");
    assert_true(r.n == 1 && r.capacity == 1);
    event_ring_done(&r);
    assert_true(r.capacity == 0 && !r.slots);
    for (uint64_t i = 1; i <= 20; i++) {
        Event *copy = event_new(&e);
        assert_non_null(copy);
        copy->seq = i;
        event_ring_push(&r, copy);
        event_unref(copy);
        uint64_t kept = i < 5 ? i : 5;
        assert_int_equal(r.n, kept);
        assert_in_range(r.capacity, kept, kept < 3 ? kept : 5);
        for (uint64_t k = 0; k < kept; k++)
            assert_int_equal(event_ring_get(&r, k)->seq, i - kept + 1 + k);
    }
    event_ring_done(&r);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_ring_keeps_the_newest),
        cmocka_unit_test(test_ring_keeps_so_many_bytes),
        cmocka_unit_test(test_ring_takes_what_it_needs),
        cmocka_unit_test(test_merge),
        cmocka_unit_test(test_shown),
        cmocka_unit_test(test_copy_is_its_own),
        cmocka_unit_test(test_reads_as_it_was),
        cmocka_unit_test(test_line),
        cmocka_unit_test(test_logged),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
