/* SPDX-License-Identifier: MIT */
/* What a connection begins with: in whatever pieces it comes, the same is understood as at once, and just as
 * much is taken. */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "daemon/prelude-data.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void require(bool condition) {
    if (!condition)
        abort();
}

typedef struct Reading {
    PreludeData data;
    PreludeResult result;
    size_t taken;
    const char *why;
} Reading;

/* Looks at @step bytes more each time. */
static void read_all(Reading *r, const uint8_t *data, size_t size, size_t step) {
    r->result = PRELUDE_MORE;
    for (size_t arrived = 0; arrived < size && r->result == PRELUDE_MORE;) {
        arrived = size - arrived < step ? size : arrived + step;
        size_t there = arrived - r->taken, room = prelude_data_room(&r->data), n_taken = 0;
        require(room > 0);
        if (there > room)
            there = room;
        r->result = prelude_data_add(&r->data, data + r->taken, there, &n_taken, &r->why);
        require(n_taken <= there && (r->result != PRELUDE_MORE || n_taken == there));
        r->taken += n_taken;
    }
}

static void compare(PreludeKind kind, const uint8_t *data, size_t size, size_t step) {
    Reading whole = {.data = {.kind = kind}}, pieces = {.data = {.kind = kind}};
    read_all(&whole, data, size, size);
    read_all(&pieces, data, size, step);
    require(whole.result == pieces.result);
    require((whole.result == PRELUDE_BAD) == (whole.why != NULL));
    if (whole.result == PRELUDE_DONE) {
        require(whole.taken == pieces.taken && whole.taken > 0 && whole.taken <= size);
        if (kind == PRELUDE_NAME)
            require(strcmp(whole.data.name, pieces.data.name) == 0);
        else
            require(addr_equal(&whole.data.header.source, &pieces.data.header.source) &&
                    addr_equal(&whole.data.header.destination, &pieces.data.header.destination));
    }
    prelude_data_done(&whole.data);
    prelude_data_done(&pieces.data);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    if (size < 2)
        return 0;
    /* The first byte says how it is cut. */
    size_t step = 1 + data[0] % 64;
    compare(PRELUDE_HEADER, data + 1, size - 1, step);
    compare(PRELUDE_NAME, data + 1, size - 1, step);
    return 0;
}
