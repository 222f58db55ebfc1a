/* SPDX-License-Identifier: MIT */
#include "services/shape-respawn.h"

#define FIRST_USEC 100000ULL
/* Doubled so often it is beyond the longest. */
#define DOUBLINGS_MAX 7U

uint64_t respawn_delay(unsigned failures) {
    if (failures <= 1)
        return 0;
    unsigned doublings = failures - 2;
    if (doublings >= DOUBLINGS_MAX)
        return RESPAWN_LONGEST_USEC;
    return FIRST_USEC << doublings;
}

void respawn_note(Respawn *r, uint64_t lived_usec, uint64_t now_usec) {
    if (lived_usec >= RESPAWN_LIVED_USEC)
        r->failures = 0;
    else if (r->failures <= DOUBLINGS_MAX + 2)
        r->failures++;
    uint64_t at = now_usec + respawn_delay(r->failures);
    if (at > r->at_usec)
        r->at_usec = at;
}
