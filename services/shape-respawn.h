/* SPDX-License-Identifier: MIT */
#pragma once
/* When a dead worker is replaced: at once if it had lived, later and later if its kind dies at birth, never
 * given up. */
#include <stdint.h>

typedef struct Respawn {
    unsigned failures; /* short lives, one after the other */
    uint64_t at_usec;  /* none before it */
} Respawn;

/* A life of less is a failure. */
#define RESPAWN_LIVED_USEC 1000000ULL
#define RESPAWN_LONGEST_USEC 10000000ULL

/* How long to wait after so many failures in a row: nothing for the first, then 100 ms, 200 ms, and so on up
 * to RESPAWN_LONGEST_USEC. Pure. */
uint64_t respawn_delay(unsigned failures);
/* Takes in that a worker ended at @now_usec, which had lived for @lived_usec. Pure. */
void respawn_note(Respawn *r, uint64_t lived_usec, uint64_t now_usec);
