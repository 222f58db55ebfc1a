/* SPDX-License-Identifier: MIT */
#include "services/client-exchange.h"

#include <endian.h>
#include <string.h>

/* splitmix64: a word of the pattern for each number, without a state that would have to be kept. */
static uint64_t mix(uint64_t z) {
    z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9ULL;
    z = (z ^ (z >> 27)) * 0x94d049bb133111ebULL;
    return z ^ (z >> 31);
}

void exchange_random(uint64_t seed, uint64_t number, uint64_t offset, char *buf, size_t n) {
    static const uint64_t golden = 0x9e3779b97f4a7c15ULL;
    uint64_t key = mix(mix(seed + golden) + number * golden);
    while (n > 0) {
        uint64_t word = htole64(mix(key + (offset / sizeof(word) + 1) * golden));
        size_t from = offset % sizeof(word), take = sizeof(word) - from;
        if (take > n)
            take = n;
        memcpy(buf, (const char *)&word + from, take);
        buf += take;
        offset += take;
        n -= take;
    }
}

size_t exchange_next(const Script *s, const Exchange *x, char *buf, size_t size, const char **ret) {
    if (x->request >= s->requests)
        return 0;
    uint64_t left = s->size - x->sent;
    size_t n = left < size ? (size_t)left : size;
    if (s->send) {
        *ret = s->send + x->sent;
        return n;
    }
    exchange_random(s->seed, x->number, x->request * s->size + x->sent, buf, n);
    *ret = buf;
    return n;
}

static uint64_t reply_size(const Script *s) {
    return s->send || s->requests == 0 ? s->expect_size : s->size;
}

static ExchangeVerdict next_request(const Script *s, Exchange *x) {
    x->request++;
    x->sent = x->got = 0;
    return x->request == s->requests ? EXCHANGE_DONE : EXCHANGE_REPLY;
}

ExchangeVerdict exchange_take(const Script *s, Exchange *x, const char *data, size_t n, char *buf) {
    bool anything = s->requests == 0 && !s->expect;
    if (s->requests > 0 && x->request >= s->requests)
        return EXCHANGE_EXCESS;
    if (anything) {
        x->got += n;
        return EXCHANGE_MORE;
    }
    uint64_t left = reply_size(s) - x->got;
    size_t judged = n < left ? n : (size_t)left;
    const char *expected = buf;
    if (s->expect)
        expected = s->expect + x->got;
    else
        exchange_random(s->seed, x->number, x->request * s->size + x->got, buf, judged);
    if (memcmp(data, expected, judged) != 0)
        return EXCHANGE_WRONG;
    if (n > left)
        return EXCHANGE_EXCESS;
    x->got += n;
    if (s->requests == 0)
        return EXCHANGE_MORE;
    if (x->got < reply_size(s))
        return s->records ? EXCHANGE_SHORT : EXCHANGE_MORE;
    /* An answer to what has not been asked yet. */
    if (x->sent < s->size)
        return EXCHANGE_EXCESS;
    return next_request(s, x);
}

ExchangeVerdict exchange_end(const Script *s, const Exchange *x) {
    if (s->requests > 0 && x->request == s->requests)
        return EXCHANGE_DONE;
    if (x->request == 0 && x->got == 0)
        return s->requests == 0 && s->expect && s->expect_size == 0 ? EXCHANGE_DONE : EXCHANGE_EMPTY;
    if (s->requests == 0)
        return !s->expect || x->got == s->expect_size ? EXCHANGE_DONE : EXCHANGE_SHORT;
    return EXCHANGE_SHORT;
}
