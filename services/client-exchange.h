/* SPDX-License-Identifier: MIT */
#pragma once
/* An exchange: what one connection of a load sends, and what it must be answered, byte for byte. Bytes in,
 * bytes out; no I/O. */
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* What all connections of a load do. */
typedef struct Script {
    uint64_t requests; /* one after the other; 0: nothing is sent, what comes until the end is the reply */
    /* Without a text: so many random bytes, other ones for each connection and request, which must come back.
     */
    uint64_t size;
    uint64_t seed;
    const char *send;   /* text to send, with its length in @size; NULL: random bytes */
    const char *expect; /* the reply to each; NULL with requests 0: anything, but not nothing */
    size_t expect_size;
    bool records; /* each request and each reply is one message */
} Script;

typedef struct Exchange {
    uint64_t number;    /* of the connection: its random bytes */
    uint64_t request;   /* the one under way, from 0 */
    uint64_t sent, got; /* bytes of it */
} Exchange;

typedef enum ExchangeVerdict {
    EXCHANGE_MORE,   /* as it should be, and not all */
    EXCHANGE_REPLY,  /* this request is answered, the next is to be sent */
    EXCHANGE_DONE,   /* that was the last one; only the end may follow */
    EXCHANGE_WRONG,  /* some byte is not what was expected */
    EXCHANGE_EXCESS, /* more came than should */
    EXCHANGE_SHORT,  /* the end came too early */
    EXCHANGE_EMPTY,  /* the end came before anything else */
} ExchangeVerdict;

/* What is to be sent next, at most @size bytes: in *@ret, made in @buf if need be. 0: nothing now. */
size_t exchange_next(const Script *s, const Exchange *x, char *buf, size_t size, const char **ret);
/* Judges @n bytes that have come; @buf is room of the same size for what is expected. */
ExchangeVerdict exchange_take(const Script *s, Exchange *x, const char *data, size_t n, char *buf);
/* Judges the end of what the server says: DONE when all was said. */
ExchangeVerdict exchange_end(const Script *s, const Exchange *x);
/* Writes @n of the random bytes of connection @number, from @offset of all that it sends. */
void exchange_random(uint64_t seed, uint64_t number, uint64_t offset, char *buf, size_t n);
