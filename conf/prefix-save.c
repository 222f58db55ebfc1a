/* SPDX-License-Identifier: MIT */
#include "conf/prefix.h"

/* Never used again for something else. */
enum {
    PREFIX_FIRST = 1, /* its first address */
    PREFIX_BITS,
};

void prefix_put(BlobWriter *w, uint16_t tag, const Prefix *prefix) {
    Peer first = prefix_first(prefix);
    size_t at = blob_open(w, tag);
    peer_put(w, PREFIX_FIRST, &first);
    blob_put_u64(w, PREFIX_BITS, prefix->bits);
    blob_close(w, at);
}

Prefix prefix_take(const BlobField *f) {
    BlobReader r = blob_enter(f);
    BlobField field;
    Peer first = {.kind = PEER_NONE};
    uint64_t bits = 0;
    while (blob_next(&r, &field)) {
        if (field.tag == PREFIX_FIRST)
            first = peer_take(&field);
        else if (field.tag == PREFIX_BITS)
            bits = blob_u64(&field);
    }
    unsigned most = first.kind == PEER_INET ? 32 : first.kind == PEER_INET6 ? 128 : 0;
    if (bits > most)
        return (Prefix){.kind = PEER_NONE};
    return prefix_of_source(&first, (unsigned)bits, (unsigned)bits);
}
