/* SPDX-License-Identifier: MIT */
#include "services/client-exchange.h"

#include <setjmp.h>
#include <stdarg.h>
#include <string.h>

#include <cmocka.h>

#include "daemon/base/cleanup.h"

#define ROOM 512

/* Sends all of the request that is under way, in pieces; returns it in @request. */
static size_t send_all(const Script *s, Exchange *x, size_t piece, char request[static ROOM]) {
    size_t n, all = 0;
    char buf[ROOM];
    const char *data = NULL;
    while (s->requests > x->request && x->sent < s->size &&
           (n = exchange_next(s, x, buf, piece, &data)) > 0) {
        memcpy(request + all, data, n);
        all += n;
        x->sent += n;
    }
    return all;
}

static ExchangeVerdict take(const Script *s, Exchange *x, const char *data, size_t n) {
    char buf[ROOM];
    return exchange_take(s, x, data, n, buf);
}

/* However it is cut, the bytes are the same; those of another connection, seed or request are others. */
static void test_random(void **state) {
    (void)state;
    char whole[ROOM], pieces[ROOM], other[ROOM];
    exchange_random(1, 2, 0, whole, sizeof(whole));
    for (size_t piece = 1; piece < 20; piece++) {
        for (size_t at = 0; at < ROOM; at += piece)
            exchange_random(1, 2, at, pieces + at, ROOM - at < piece ? ROOM - at : piece);
        assert_memory_equal(pieces, whole, ROOM);
    }
    exchange_random(1, 3, 0, other, sizeof(other));
    assert_memory_not_equal(other, whole, ROOM);
    exchange_random(2, 2, 0, other, sizeof(other));
    assert_memory_not_equal(other, whole, ROOM);
    size_t seen = 0;
    for (int c = 0; c < 256; c++)
        seen += memchr(whole, c, ROOM) != NULL;
    assert_true(seen > 150);
}

static void test_echo(void **state) {
    (void)state;
    const Script s = {.requests = 2, .size = 100, .seed = 7};
    Exchange x = {.number = 3};
    char first[ROOM], second[ROOM];
    assert_int_equal(send_all(&s, &x, 33, first), 100);
    assert_int_equal(take(&s, &x, first, 60), EXCHANGE_MORE);
    assert_int_equal(take(&s, &x, first + 60, 40), EXCHANGE_REPLY);
    assert_int_equal(send_all(&s, &x, 100, second), 100);
    assert_memory_not_equal(first, second, 100);
    assert_int_equal(exchange_end(&s, &x), EXCHANGE_SHORT);
    assert_int_equal(take(&s, &x, second, 100), EXCHANGE_DONE);
    assert_int_equal(exchange_end(&s, &x), EXCHANGE_DONE);
    assert_int_equal(take(&s, &x, "x", 1), EXCHANGE_EXCESS);
}

/* Each single byte that is not right is found. */
static void test_every_byte(void **state) {
    (void)state;
    const Script s = {.requests = 1, .size = 100, .seed = 7};
    for (size_t i = 0; i < 100; i++) {
        Exchange x = {.number = i};
        char data[ROOM];
        (void)send_all(&s, &x, 100, data);
        data[i] ^= 1;
        assert_int_equal(take(&s, &x, data, 100), EXCHANGE_WRONG);
    }
}

static void test_ends(void **state) {
    (void)state;
    const Script s = {.requests = 1, .size = 10, .seed = 7};
    char data[ROOM];
    Exchange x = {0};
    assert_int_equal(exchange_end(&s, &x), EXCHANGE_EMPTY);
    (void)send_all(&s, &x, 10, data);
    assert_int_equal(exchange_end(&s, &x), EXCHANGE_EMPTY);
    assert_int_equal(take(&s, &x, data, 9), EXCHANGE_MORE);
    assert_int_equal(exchange_end(&s, &x), EXCHANGE_SHORT);
    data[10] = '!';
    assert_int_equal(take(&s, &x, data + 9, 2), EXCHANGE_EXCESS);
}

static void test_text(void **state) {
    (void)state;
    const Script s = {.requests = 2, .size = 4, .send = "ping", .expect = "pong!", .expect_size = 5};
    Exchange x = {0};
    char data[ROOM];
    assert_int_equal(send_all(&s, &x, 3, data), 4);
    assert_memory_equal(data, "ping", 4);
    assert_int_equal(take(&s, &x, "po", 2), EXCHANGE_MORE);
    assert_int_equal(take(&s, &x, "ng!", 3), EXCHANGE_REPLY);
    assert_int_equal(send_all(&s, &x, 3, data), 4);
    assert_int_equal(take(&s, &x, "pong?", 5), EXCHANGE_WRONG);
}

/* An answer before all was asked cannot be one. */
static void test_too_early(void **state) {
    (void)state;
    const Script s = {.requests = 1, .size = 4, .send = "ping", .expect = "p", .expect_size = 1};
    Exchange x = {.sent = 3};
    assert_int_equal(take(&s, &x, "p", 1), EXCHANGE_EXCESS);
}

static void test_read(void **state) {
    (void)state;
    const Script any = {0};
    Exchange x = {0};
    assert_int_equal(exchange_end(&any, &x), EXCHANGE_EMPTY);
    assert_int_equal(take(&any, &x, "anything", 8), EXCHANGE_MORE);
    assert_int_equal(exchange_end(&any, &x), EXCHANGE_DONE);
    const Script text = {.expect = "hello", .expect_size = 5};
    x = (Exchange){0};
    assert_int_equal(take(&text, &x, "hel", 3), EXCHANGE_MORE);
    assert_int_equal(exchange_end(&text, &x), EXCHANGE_SHORT);
    assert_int_equal(take(&text, &x, "lo", 2), EXCHANGE_MORE);
    assert_int_equal(exchange_end(&text, &x), EXCHANGE_DONE);
    assert_int_equal(take(&text, &x, "!", 1), EXCHANGE_EXCESS);
}

/* A message is a whole reply or none. */
static void test_records(void **state) {
    (void)state;
    const Script s = {.requests = 2, .size = 10, .seed = 1, .records = true};
    Exchange x = {0};
    char data[ROOM];
    (void)send_all(&s, &x, 10, data);
    assert_int_equal(take(&s, &x, data, 10), EXCHANGE_REPLY);
    (void)send_all(&s, &x, 10, data);
    assert_int_equal(take(&s, &x, data, 9), EXCHANGE_SHORT);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_random), cmocka_unit_test(test_echo),    cmocka_unit_test(test_every_byte),
        cmocka_unit_test(test_ends),   cmocka_unit_test(test_text),    cmocka_unit_test(test_too_early),
        cmocka_unit_test(test_read),   cmocka_unit_test(test_records),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
