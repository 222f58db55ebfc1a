/* SPDX-License-Identifier: MIT */
#include "daemon/base/peer.h"

#include <string.h>

#include "daemon/base/siphash.h"

Peer peer_from_addr(const Addr *address) {
    Addr a = *address;
    addr_unmap(&a);
    if (a.sa.sa_family == AF_INET)
        return (Peer){.kind = PEER_INET, .in = a.in.sin_addr, .port = addr_port(&a)};
    if (a.sa.sa_family == AF_INET6)
        return (Peer){
            .kind = PEER_INET6, .in6 = a.in6.sin6_addr, .scope = a.in6.sin6_scope_id, .port = addr_port(&a)};
    if (a.sa.sa_family == AF_VSOCK)
        return (Peer){.kind = PEER_VSOCK, .cid = a.vm.svm_cid, .vsock_port = a.vm.svm_port};
    return (Peer){.kind = PEER_NONE};
}

Peer peer_from_uid(uid_t uid) {
    return (Peer){.kind = PEER_UNIX, .uid = uid};
}

Peer peer_mask(const Peer *p, unsigned ipv4_bits, unsigned ipv6_bits) {
    Peer source = *p;
    source.port = 0;
    if (p->kind == PEER_INET) {
        source.in.s_addr &= ipv4_bits == 0 ? 0 : htonl(UINT32_MAX << (32 - ipv4_bits));
    } else if (p->kind == PEER_INET6) {
        for (unsigned i = 0; i < 16; i++) {
            unsigned kept = ipv6_bits > 8 * i ? ipv6_bits - 8 * i : 0;
            if (kept < 8)
                source.in6.s6_addr[i] &= (uint8_t)(0xff00U >> kept);
        }
        if (ipv6_bits < 128)
            source.scope = 0;
    } else if (p->kind == PEER_VSOCK) {
        source.vsock_port = 0;
    }
    return source;
}

bool peer_equal(const Peer *a, const Peer *b) {
    if (a->kind != b->kind || a->port != b->port)
        return false;
    switch (a->kind) {
    case PEER_INET:
        return a->in.s_addr == b->in.s_addr;
    case PEER_INET6:
        return memcmp(&a->in6, &b->in6, sizeof(a->in6)) == 0 && a->scope == b->scope;
    case PEER_UNIX:
        return a->uid == b->uid;
    case PEER_VSOCK:
        return a->cid == b->cid && a->vsock_port == b->vsock_port;
    case PEER_NONE:
        return true;
    }
    return false;
}

uint64_t peer_hash(const Peer *p, uint32_t salt, const uint8_t key[static 16]) {
    struct {
        uint32_t salt, kind, scope;
        uint8_t host[16];
    } data = {.salt = salt, .kind = p->kind};
    switch (p->kind) {
    case PEER_INET:
        memcpy(data.host, &p->in, sizeof(p->in));
        break;
    case PEER_INET6:
        data.scope = p->scope;
        memcpy(data.host, &p->in6, sizeof(p->in6));
        break;
    case PEER_UNIX:
        memcpy(data.host, &p->uid, sizeof(p->uid));
        break;
    case PEER_VSOCK:
        memcpy(data.host, &p->cid, sizeof(p->cid));
        break;
    case PEER_NONE:
        break;
    }
    return siphash24(key, &data, sizeof(data));
}
