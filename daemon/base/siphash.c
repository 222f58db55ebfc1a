/* SPDX-License-Identifier: MIT */
#include "daemon/base/siphash.h"

#include <endian.h>
#include <string.h>

typedef struct State {
    uint64_t v0, v1, v2, v3;
} State;

static inline uint64_t rotate(uint64_t x, unsigned bits) {
    return (x << bits) | (x >> (64 - bits));
}

static inline uint64_t read_word(const uint8_t *p) {
    uint64_t word = 0;
    memcpy(&word, p, sizeof(word));
    return le64toh(word);
}

/* SipRound, figure 2.1. */
static inline void mix(State *s, unsigned rounds) {
    for (unsigned i = 0; i < rounds; i++) {
        s->v0 += s->v1;
        s->v1 = rotate(s->v1, 13) ^ s->v0;
        s->v0 = rotate(s->v0, 32);
        s->v2 += s->v3;
        s->v3 = rotate(s->v3, 16) ^ s->v2;
        s->v0 += s->v3;
        s->v3 = rotate(s->v3, 21) ^ s->v0;
        s->v2 += s->v1;
        s->v1 = rotate(s->v1, 17) ^ s->v2;
        s->v2 = rotate(s->v2, 32);
    }
}

static inline void take_word(State *s, uint64_t word) {
    s->v3 ^= word;
    mix(s, 2);
    s->v0 ^= word;
}

uint64_t siphash24(const uint8_t key[static SIPHASH_KEY_BYTES], const void *data, size_t n) {
    const uint8_t *p = data;
    uint64_t k0 = read_word(key), k1 = read_word(key + 8);
    /* "somepseudorandomlygeneratedbytes" */
    State s = {.v0 = k0 ^ 0x736f6d6570736575,
               .v1 = k1 ^ 0x646f72616e646f6d,
               .v2 = k0 ^ 0x6c7967656e657261,
               .v3 = k1 ^ 0x7465646279746573};
    size_t rest = n % 8;
    for (size_t i = 0; i < n / 8; i++, p += 8)
        take_word(&s, read_word(p));
    uint64_t last = (uint64_t)n << 56;
    for (size_t i = 0; i < rest; i++)
        last |= (uint64_t)p[i] << (8 * i);
    take_word(&s, last);
    s.v2 ^= 0xff;
    mix(&s, 4);
    return s.v0 ^ s.v1 ^ s.v2 ^ s.v3;
}
