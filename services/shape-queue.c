/* SPDX-License-Identifier: MIT */
#include "services/shape-queue.h"

#include <errno.h>
#include <pthread.h>
#include <stdlib.h>

struct Queue {
    pthread_mutex_t lock; /* of all that follows */
    pthread_cond_t not_full;
    pthread_cond_t not_empty;
    bool closed;
    size_t room;
    size_t reserved; /* places that will be filled */
    size_t length;
    size_t first; /* index of the oldest */
    int items[];
};

Queue *queue_new(size_t room) {
    Queue *q = calloc(1, sizeof(*q) + room * sizeof(q->items[0]));
    if (!q)
        return NULL;
    q->room = room;
    /* With default attributes none of these fails on Linux. */
    (void)pthread_mutex_init(&q->lock, NULL);
    (void)pthread_cond_init(&q->not_full, NULL);
    (void)pthread_cond_init(&q->not_empty, NULL);
    return q;
}

Queue *queue_free(Queue *q) {
    if (!q)
        return NULL;
    (void)pthread_cond_destroy(&q->not_empty);
    (void)pthread_cond_destroy(&q->not_full);
    (void)pthread_mutex_destroy(&q->lock);
    free(q);
    return NULL;
}

static void lock(Queue *q) {
    (void)pthread_mutex_lock(&q->lock);
}

static void unlock(Queue *q) {
    (void)pthread_mutex_unlock(&q->lock);
}

static bool is_full(const Queue *q) {
    return q->length + q->reserved >= q->room;
}

/* Nothing is in it, and nobody will put anything into it. */
static bool is_over(const Queue *q) {
    return q->closed && q->length == 0 && q->reserved == 0;
}

int queue_reserve(Queue *q, bool wait) {
    int r = 0;
    lock(q);
    /* A loop, as a wake-up promises nothing: another one may have been faster, and some come without a
     * reason, pthread_cond_wait(3). */
    while (wait && !q->closed && is_full(q))
        (void)pthread_cond_wait(&q->not_full, &q->lock);
    if (q->closed)
        r = -EPIPE;
    else if (is_full(q))
        r = -EAGAIN;
    else
        q->reserved++;
    unlock(q);
    return r;
}

void queue_fill(Queue *q, int item) {
    lock(q);
    q->reserved--;
    q->items[(q->first + q->length) % q->room] = item;
    q->length++;
    (void)pthread_cond_signal(&q->not_empty);
    unlock(q);
}

void queue_release(Queue *q) {
    lock(q);
    q->reserved--;
    (void)pthread_cond_signal(&q->not_full);
    if (is_over(q))
        (void)pthread_cond_broadcast(&q->not_empty);
    unlock(q);
}

int queue_push(Queue *q, int item, bool wait) {
    int r = queue_reserve(q, wait);
    if (r == 0)
        queue_fill(q, item);
    return r;
}

int queue_pop(Queue *q, int *ret) {
    int r = -EPIPE;
    lock(q);
    while (q->length == 0 && !is_over(q))
        (void)pthread_cond_wait(&q->not_empty, &q->lock);
    if (q->length > 0) {
        *ret = q->items[q->first];
        q->first = (q->first + 1) % q->room;
        q->length--;
        (void)pthread_cond_signal(&q->not_full);
        r = 0;
    }
    /* The last item is gone: the other consumers have nothing to wait for. */
    if (is_over(q))
        (void)pthread_cond_broadcast(&q->not_empty);
    unlock(q);
    return r;
}

void queue_close(Queue *q) {
    lock(q);
    q->closed = true;
    (void)pthread_cond_broadcast(&q->not_full);
    (void)pthread_cond_broadcast(&q->not_empty);
    unlock(q);
}

size_t queue_length(Queue *q) {
    lock(q);
    size_t n = q->length;
    unlock(q);
    return n;
}
