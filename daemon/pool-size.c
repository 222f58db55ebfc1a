/* SPDX-License-Identifier: MIT */
#include "daemon/pool-size.h"

#include "daemon/base/clock.h"

static uint64_t less(uint64_t a, uint64_t b) {
    return a > b ? a - b : 0;
}

static uint64_t least(uint64_t a, uint64_t b) {
    return a < b ? a : b;
}

/* 1, 2, 4, … a second while it lasts. */
static uint64_t next_batch(PoolPace *pace, uint64_t now_usec) {
    pace->batch = pace->batch == 0 ? 1 : least(2 * pace->batch, POOL_BATCH_MAX);
    pace->next_usec = now_usec + USEC_PER_SEC;
    return pace->batch;
}

PoolOrder pool_size_decide(const PoolLimits *l, const PoolCounts *c, PoolPace *pace, bool more,
                           uint64_t now_usec) {
    PoolOrder order = {.again_usec = USEC_INFINITY};
    uint64_t staying = c->starting + c->idle + c->busy + c->silent;
    uint64_t room = less(l->max, staying + c->leaving);
    if (!more)
        return order;
    if (staying < l->min) {
        order.start = least(l->min - staying, room);
        return order;
    }
    /* A reload has lowered max: who has nothing to do goes at once. */
    if (staying > l->max && c->idle > 0) {
        order.stop = least(staying - l->max, c->idle);
        return order;
    }
    uint64_t spare = c->idle + c->starting;
    if (c->silent > 0 || (spare >= l->spare_min && c->idle <= l->spare_max)) {
        *pace = (PoolPace){0};
        return order;
    }
    if (now_usec < pace->next_usec) {
        order.again_usec = pace->next_usec;
        return order;
    }
    if (spare < l->spare_min) {
        /* As many as the pace allows, but not more than are missing would make too many in the end. */
        order.start = least(next_batch(pace, now_usec), room);
        uint64_t wanted = l->spare_max > spare ? l->spare_max - spare : 1;
        order.start = least(order.start, wanted);
    } else if (staying > l->min) {
        order.stop = 1;
        *pace = (PoolPace){.next_usec = now_usec + USEC_PER_SEC};
    } else {
        return order;
    }
    order.again_usec = pace->next_usec;
    return order;
}

PoolOrder pool_renew_decide(const PoolLimits *l, const PoolCounts *c, const PoolRenewal *r, bool more) {
    PoolOrder order = {.again_usec = USEC_INFINITY};
    uint64_t ready = c->idle + c->busy + c->silent, staying = ready + c->starting, all = staying + c->leaving;
    order.stop = least(least(r->come, r->old), less(ready, l->min));
    uint64_t missing = less(less(r->old - order.stop, r->coming), less(r->come, order.stop));
    if (!more || missing == 0)
        return order;
    order.start = least(least(missing, POOL_RENEWED_AT_ONCE - least(r->coming, POOL_RENEWED_AT_ONCE)),
                        less(l->max, all));
    if (order.start > 0 || order.stop > 0 || r->coming > 0 || r->come > 0 || c->leaving > 0)
        return order;
    if (ready > l->min)
        order.stop = 1;
    else if (all <= l->max)
        order.start = 1;
    return order;
}

uint64_t pool_worker_requests(uint64_t max_requests, uint64_t worker) {
    uint64_t tenth = max_requests / 10;
    if (tenth == 0)
        return max_requests;
    /* Fibonacci hashing spreads numbers that follow each other. */
    return max_requests - (worker * 0x9e3779b97f4a7c15ULL >> 32) % (tenth + 1);
}
