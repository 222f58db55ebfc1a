/* SPDX-License-Identifier: MIT */
/* The name of a connection as a field of a blob. */
#include "daemon/sock-query.h"

enum {
    NAME_FAMILY = 1,
    NAME_INODE,
    NAME_COOKIE,
    NAME_INET, /* the kernel's own struct, whose layout stays */
};

void sock_name_put(BlobWriter *w, uint16_t tag, const SockName *name) {
    size_t at = blob_open(w, tag);
    blob_put_u64(w, NAME_FAMILY, name->family);
    if (name->inode)
        blob_put_u64(w, NAME_INODE, name->inode);
    blob_put_u64(w, NAME_COOKIE, name->cookie);
    blob_put_bytes(w, NAME_INET, &name->inet, sizeof(name->inet));
    blob_close(w, at);
}

SockName sock_name_take(const BlobField *field) {
    SockName name = {0};
    BlobReader r = blob_enter(field);
    BlobField f;
    while (blob_next(&r, &f)) {
        switch (f.tag) {
        case NAME_FAMILY:
            name.family = (uint8_t)blob_u64_max(&f, UINT8_MAX);
            break;
        case NAME_INODE:
            name.inode = (uint32_t)blob_u64_max(&f, UINT32_MAX);
            break;
        case NAME_COOKIE:
            name.cookie = blob_u64(&f);
            break;
        case NAME_INET:
            blob_copy(&f, &name.inet, sizeof(name.inet));
            break;
        default:
            break;
        }
    }
    return name;
}
