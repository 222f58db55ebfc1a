/* SPDX-License-Identifier: MIT */
#include "daemon/failed-turns.h"

#include <errno.h>

FailedTurnVerdict failed_turns_add(FailedTurns *f, int error, uint64_t now_usec) {
    bool again = error == -ENOMEM || ++f->n <= FAILED_TURNS_MAX;
    bool tell = ratelimit_pass(&f->lines, 1, 1, now_usec);
    return (FailedTurnVerdict){.again = again, .tell = tell || !again};
}

void failed_turns_end(FailedTurns *f) {
    f->n = 0;
}
