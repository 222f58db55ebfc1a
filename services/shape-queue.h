/* SPDX-License-Identifier: MIT */
#pragma once
/* A bounded queue, first in, first out, between threads: producers wait while it is full, consumers while it
 * is empty. A mutex guards it; two condition variables say "not full any more" and "not empty any more". It
 * carries descriptors, or any other numbers, and owns none of them. */
#include <stdbool.h>
#include <stddef.h>

typedef struct Queue Queue;

/* Room for @room items, at least 1. NULL when memory ran out. */
Queue *queue_new(size_t room);
/* Nobody may be in a call of it any more. */
Queue *queue_free(Queue *q);

/* Takes a place for an item that the caller does not have yet: who accepts connections must know that there
 * is room before there is one. @wait: until there is room. 0, -EAGAIN: full, or -EPIPE: closed. The place is
 * then used by queue_fill(), also after the queue was closed, or given back by queue_release(). */
int queue_reserve(Queue *q, bool wait);
void queue_fill(Queue *q, int item);
void queue_release(Queue *q);
/* Both at once. */
int queue_push(Queue *q, int item, bool wait);

/* Takes the oldest item, waiting for one. 0, or -EPIPE: the queue is closed, and nothing is in it nor will
 * be. */
int queue_pop(Queue *q, int *ret);

/* No more places are given away. What is in the queue can still be taken; who waits is woken. */
void queue_close(Queue *q);
size_t queue_length(Queue *q);
