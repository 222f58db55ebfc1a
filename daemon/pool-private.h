/* SPDX-License-Identifier: MIT */
#pragma once
/* What pool.c and pool-renew.c share: one noun in two files. */
#include "daemon/pool.h"

/* Neither ending nor about to. */
bool pool_worker_is_live(const Instance *i);
WorkerDoing pool_worker_doing(const Instance *i, uint64_t now_usec);
/* As many of @n as can be started; @replaces: each for an old one. */
void pool_start_workers(Pool *p, uint64_t n, bool replaces);

/* When the delay is over; when it is looked at, unless that is earlier already. */
void pool_delay_until(Pool *p, uint64_t usec);
void pool_look_at(Pool *p, uint64_t usec);

/* Lets worker @i end: it gets nothing more, and is told. */
void pool_retire(Pool *p, Instance *i);
/* Tells those that were retired and have nothing in hand by now. */
void pool_tell_retired(Pool *p, uint64_t now_usec);
/* Ends @n of those that have nothing to do. */
void pool_end_idle(Pool *p, uint64_t n);
/* Goes on with what pool_renew() has begun. Whether there is an old worker left. */
bool pool_renew_some(Pool *p);
