/* SPDX-License-Identifier: MIT */
#include "services/forward-carrier.h"

#include <fcntl.h>

#include "daemon/base/cleanup.h"

/* Carriers of each kind that are kept for the next use. */
#define STOCK_MAX 32U
/* What a pipe is asked to hold: pipe(7) counts pages, and a page's slot may carry the larger pieces of a
 * socket's queue. Beyond the user's soft limit of pages it stays smaller. */
#define PIPE_CAPACITY (1 << 20)

static Carrier *carrier_free(Carrier *c) {
    if (!c)
        return NULL;
    (void)fd_close(c->pipe[0]);
    (void)fd_close(c->pipe[1]);
    free(c->data);
    free(c);
    return NULL;
}

static void free_all(Carrier *c) {
    while (c) {
        Carrier *next = c->next;
        carrier_free(c);
        c = next;
    }
}

void carrier_stock_done(CarrierStock *stock) {
    free_all(stock->pipes);
    free_all(stock->memories);
    *stock = (CarrierStock){0};
}

static Carrier *carrier_new(bool want_pipe) {
    Carrier *c = calloc(1, sizeof(*c));
    if (!c)
        return NULL;
    if (want_pipe && pipe2(c->pipe, O_CLOEXEC | O_NONBLOCK) == 0) {
        (void)fcntl(c->pipe[1], F_SETPIPE_SZ, PIPE_CAPACITY);
        return c;
    }
    c->pipe[0] = c->pipe[1] = -EBADF;
    c->data = malloc(CARRIER_MESSAGE_BYTES);
    return c->data ? c : carrier_free(c);
}

Carrier *carrier_take(CarrierStock *stock, bool want_pipe) {
    Carrier **list = want_pipe ? &stock->pipes : &stock->memories;
    Carrier *c = *list;
    if (!c)
        return carrier_new(want_pipe);
    *list = c->next;
    c->next = NULL;
    (*(want_pipe ? &stock->n_pipes : &stock->n_memories))--;
    return c;
}

Carrier *carrier_give_back(CarrierStock *stock, Carrier *c) {
    if (!c)
        return NULL;
    size_t *n = c->data ? &stock->n_memories : &stock->n_pipes;
    /* A pipe that still holds something is of no further use. */
    if (*n >= STOCK_MAX || (!c->data && c->waiting > 0))
        return carrier_free(c);
    Carrier **list = c->data ? &stock->memories : &stock->pipes;
    c->start = c->waiting = 0;
    c->next = *list;
    *list = c;
    (*n)++;
    return NULL;
}
