/* SPDX-License-Identifier: MIT */
#pragma once
/* What bytes wait in between two sockets: a pipe, into and out of which splice(2) moves pages without copying
 * them, or plain memory where that cannot be. A direction has one only while something waits in it, so that
 * idle connections cost neither memory nor descriptors. */
#include <stdbool.h>
#include <stddef.h>

/* Bytes that one carrier takes at most, whatever the speed of either side. */
#define CARRIER_PIPE_BYTES (1U << 20)
#define CARRIER_STREAM_BYTES (64U << 10)
/* Of a message (seqpacket), which must fit in whole. */
#define CARRIER_MESSAGE_BYTES (256U << 10)

typedef struct Carrier {
    struct Carrier *next;
    int pipe[2]; /* -EBADF: memory */
    unsigned char
        *data;      /* NULL: a pipe; else CARRIER_MESSAGE_BYTES, of which untouched ones are no memory yet */
    size_t start;   /* memory: where what waits begins */
    size_t waiting; /* bytes */
} Carrier;

/* A stock of carriers that were used before, some of each kind. */
typedef struct CarrierStock {
    Carrier *pipes;
    Carrier *memories;
    size_t n_pipes;
    size_t n_memories;
} CarrierStock;

void carrier_stock_done(CarrierStock *stock);
/* An empty carrier: a pipe if @want_pipe and there are descriptors for it, else memory. NULL: there is no
 * memory. */
Carrier *carrier_take(CarrierStock *stock, bool want_pipe);
/* Gives it back with what waits in it, which is lost. Accepts NULL; returns NULL. */
Carrier *carrier_give_back(CarrierStock *stock, Carrier *carrier);
