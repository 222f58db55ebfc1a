/* SPDX-License-Identifier: MIT */
/* A peer as bytes: its kind, sixteen of the host, the scope or a port of vsock, a port. */
#include <string.h>

#include "daemon/base/peer.h"

enum {
    AT_KIND = 0,
    AT_HOST = 1,
    HOST_BYTES = 16,
    AT_SCOPE = AT_HOST + HOST_BYTES,
    AT_PORT = AT_SCOPE + 4,
    PEER_BYTES = AT_PORT + 2,
};

/* The numbers of the kinds, which stay. */
static const uint8_t kinds[] = {
    [PEER_NONE] = 0, [PEER_INET] = 1, [PEER_INET6] = 2, [PEER_UNIX] = 3, [PEER_VSOCK] = 4,
};

static void store(uint8_t *to, uint32_t v, size_t n) {
    for (size_t i = 0; i < n; i++)
        to[i] = (uint8_t)(v >> (8 * i));
}

static uint32_t load(const uint8_t *from, size_t n) {
    uint32_t v = 0;
    for (size_t i = 0; i < n; i++)
        v |= (uint32_t)from[i] << (8 * i);
    return v;
}

void peer_put(BlobWriter *w, uint16_t tag, const Peer *p) {
    uint8_t b[PEER_BYTES] = {kinds[p->kind]};
    switch (p->kind) {
    case PEER_NONE:
        break;
    case PEER_INET:
        memcpy(b + AT_HOST, &p->in, sizeof(p->in));
        break;
    case PEER_INET6:
        memcpy(b + AT_HOST, &p->in6, sizeof(p->in6));
        store(b + AT_SCOPE, p->scope, 4);
        break;
    case PEER_UNIX:
        store(b + AT_HOST, p->uid, 4);
        break;
    case PEER_VSOCK:
        store(b + AT_HOST, p->cid, 4);
        store(b + AT_SCOPE, p->vsock_port, 4);
        break;
    }
    store(b + AT_PORT, p->port, 2);
    blob_put_bytes(w, tag, b, sizeof(b));
}

Peer peer_take(const BlobField *f) {
    uint8_t b[PEER_BYTES] = {0};
    Peer p = {.kind = PEER_NONE};
    blob_copy(f, b, sizeof(b));
    size_t kind = 0;
    while (kind < ELEMENTS(kinds) && kinds[kind] != b[AT_KIND])
        kind++;
    if (kind == ELEMENTS(kinds)) {
        blob_spoil(f->source, "field %u is a peer of an unknown kind", f->tag);
        return p;
    }
    p.kind = (PeerKind)kind;
    p.port = (uint16_t)load(b + AT_PORT, 2);
    switch (p.kind) {
    case PEER_NONE:
        break;
    case PEER_INET:
        memcpy(&p.in, b + AT_HOST, sizeof(p.in));
        break;
    case PEER_INET6:
        memcpy(&p.in6, b + AT_HOST, sizeof(p.in6));
        p.scope = load(b + AT_SCOPE, 4);
        break;
    case PEER_UNIX:
        p.uid = load(b + AT_HOST, 4);
        break;
    case PEER_VSOCK:
        p.cid = load(b + AT_HOST, 4);
        p.vsock_port = load(b + AT_SCOPE, 4);
        break;
    }
    return p;
}
