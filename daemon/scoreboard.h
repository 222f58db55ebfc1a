/* SPDX-License-Identifier: MIT */
#pragma once
/* The scoreboard of a pool: shared memory (memfd) with a slot for each worker, base/score.h. What a worker
 * writes is a report like those of its status pipe: data, no authority. */
#include <stddef.h>

#include "daemon/base/blob.h"
#include "daemon/base/score.h"

typedef struct Scoreboard Scoreboard;

/* As many as a pool has workers at most, with room for those that are being replaced. Memory comes with the
 * first use of a page. */
#define SCOREBOARD_SLOTS ((size_t)131072)

/* 0 with @ret, or a negative errno. */
int scoreboard_new(Scoreboard **ret);
/* NULL is fine. Returns NULL. */
Scoreboard *scoreboard_free(Scoreboard *b);
/* The descriptor for a worker; it stays the board's. Nobody can change its size. */
int scoreboard_fd(const Scoreboard *b);
/* Takes a free slot, cleared; -1: there is none. */
int64_t scoreboard_take(Scoreboard *b);
/* Gives it back, when its worker is no more. A negative one: nothing. */
void scoreboard_give(Scoreboard *b, int64_t slot);
ScoreSlot *scoreboard_slot(Scoreboard *b, int64_t slot);

/* The upgrade in place. No slot is taken at first. 0 with @ret, which is NULL when the board is of another
 * layout; -EBADMSG or another negative errno. */
void scoreboard_save(BlobWriter *w, const Scoreboard *b);
int scoreboard_restore(BlobReader in, Scoreboard **ret);
/* Takes @slot as it is. False when there is no such one, or it is taken. */
bool scoreboard_claim(Scoreboard *b, int64_t slot);
