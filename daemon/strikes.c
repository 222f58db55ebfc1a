/* SPDX-License-Identifier: MIT */
#include "daemon/strikes.h"

#include <string.h>

#include "daemon/base/text.h"

static void move_to(Strikes *s, uint64_t part) {
    uint64_t gone = part - s->part;
    /* A clock that goes back, or another limit, begins anew. */
    if (part < s->part || gone >= ELEMENTS(s->counts)) {
        *s = (Strikes){.part = part};
        return;
    }
    memmove(&s->counts[gone], &s->counts[0], (ELEMENTS(s->counts) - gone) * sizeof(s->counts[0]));
    memset(&s->counts[0], 0, gone * sizeof(s->counts[0]));
    s->part = part;
}

bool strikes_add(Strikes *s, const Rate *limit, uint64_t now_usec) {
    uint64_t length = limit->per_usec / STRIKES_PARTS, sum = 0;
    if (limit->count == 0)
        return false;
    move_to(s, now_usec / (length > 0 ? length : 1));
    if (s->counts[0] < UINT32_MAX)
        s->counts[0]++;
    for (size_t i = 0; i < ELEMENTS(s->counts); i++)
        sum += s->counts[i];
    /* More than can be counted are too many, whatever the limit is. */
    if (sum < limit->count && s->counts[0] < UINT32_MAX)
        return false;
    *s = (Strikes){0};
    return true;
}
