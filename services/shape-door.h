/* SPDX-License-Identifier: MIT */
#pragma once
/* The door: the listeners of a shape, and the accepting of connections with its failures. Used by one thread.
 */
#include <poll.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "services/shape.h"

typedef struct Door {
    const ShapeJob *job;
    int *listeners; /* copies of the job's numbers; given-up ones are taken out */
    size_t n;
    uint64_t paused_until_usec; /* descriptors or memory ran out */
} Door;

int door_init(Door *d, const ShapeJob *job);
void door_done(Door *d);

bool door_is_open(const Door *d, uint64_t now_usec);
/* When a door that is not open will be: USEC_INFINITY if it is. */
uint64_t door_until(const Door *d, uint64_t now_usec);
/* Fills @p with one for each listener, to be polled only if @open; returns how many. */
size_t door_fill(const Door *d, struct pollfd *p, bool open);
/* Accepts from the listener at @index: a non-blocking, close-on-exec descriptor that the caller owns;
 * -EAGAIN: none for now; another error: the listener is of no use, was told on stderr and taken out, and the
 * last one has its place now. */
int door_accept(Door *d, size_t index, uint64_t now_usec);
/* Rests for a moment, when what was accepted could not be served for lack of something. */
void door_pause(Door *d, uint64_t now_usec);
