/* SPDX-License-Identifier: MIT */
/* An address as a field of a blob: the bytes that the kernel takes, which the machine and its kernel do not
 * change between two programs of one process. */
#include <string.h>

#include "daemon/base/addr.h"

void addr_put(BlobWriter *w, uint16_t tag, const Addr *a) {
    if (a->len > 0)
        blob_put_bytes(w, tag, &a->storage, a->len);
}

/* Whether @n bytes are a whole address of the family that they say, of those that there are here. */
static bool is_whole(const Addr *a, size_t n) {
    switch (a->sa.sa_family) {
    case AF_INET:
        return n == sizeof(a->in);
    case AF_INET6:
        return n == sizeof(a->in6);
    case AF_VSOCK:
        return n == sizeof(a->vm);
    case AF_UNIX:
        return n <= sizeof(a->un);
    default:
        return false;
    }
}

Addr addr_get(const BlobField *f) {
    Addr a = {.len = 0};
    size_t n = 0;
    const void *bytes = blob_bytes(f, &n);
    if (n >= sizeof(a.sa.sa_family) && n <= sizeof(a.storage)) {
        memcpy(&a.storage, bytes, n);
        a.len = (socklen_t)n;
        if (is_whole(&a, n))
            return a;
    }
    blob_spoil(f->source, "field %u is no address", f->tag);
    return (Addr){.len = 0};
}
