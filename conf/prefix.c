/* SPDX-License-Identifier: MIT */
#include "conf/prefix.h"

#include <string.h>

#include "conf/value.h"

#define MAPPED_BITS 96

/* Of a user or a CID: the highest one stands for none and any. */
static int parse_number(const char *s, PeerKind kind, Prefix *ret) {
    uint64_t number = 0;
    if (value_unsigned(s, 0, UINT32_MAX - 1, &number, NULL) < 0)
        return -EINVAL;
    *ret = (Prefix){.kind = kind};
    if (kind == PEER_VSOCK)
        ret->cid = (uint32_t)number;
    else
        ret->uid = (uid_t)number;
    return 0;
}

static void mask(Prefix *p) {
    for (unsigned i = 0; i < sizeof(p->bytes); i++) {
        unsigned kept = p->bits > 8 * i ? p->bits - 8 * i : 0;
        if (kept < 8)
            p->bytes[i] &= (uint8_t)(0xff00U >> kept);
    }
}

/* @bits as written, or -1 for all. */
static int from_addr(Addr *a, int64_t bits, Prefix *ret) {
    bool was_v6 = a->sa.sa_family == AF_INET6;
    Prefix p = {0};
    /* A short prefix of IPv6 that happens to begin with ::ffff is one of IPv6. */
    if (bits < 0 || bits >= MAPPED_BITS)
        addr_unmap(a);
    bool is_v4 = a->sa.sa_family == AF_INET;
    if (is_v4 && was_v6 && bits >= 0)
        bits -= MAPPED_BITS;
    unsigned most = is_v4 ? 32 : 128;
    if (bits > (int64_t)most)
        return -EINVAL;
    p.kind = is_v4 ? PEER_INET : PEER_INET6;
    p.bits = bits < 0 ? most : (unsigned)bits;
    if (is_v4) {
        memcpy(p.bytes, &a->in.sin_addr, 4);
    } else {
        memcpy(p.bytes, &a->in6.sin6_addr, 16);
        p.scope = a->in6.sin6_scope_id;
    }
    mask(&p);
    *ret = p;
    return 0;
}

int prefix_parse(const char *s, Prefix *ret) {
    char host[ADDR_TEXT_MAX];
    Addr address;
    uint64_t bits = 0;
    if (starts_with(s, "uid:"))
        return parse_number(s + strlen("uid:"), PEER_UNIX, ret);
    if (starts_with(s, "vsock:"))
        return parse_number(s + strlen("vsock:"), PEER_VSOCK, ret);
    const char *slash = strchr(s, '/');
    size_t n = slash ? (size_t)(slash - s) : strlen(s);
    if (n >= sizeof(host) || (slash && value_unsigned(slash + 1, 0, 128, &bits, NULL) < 0))
        return -EINVAL;
    memcpy(host, s, n);
    host[n] = '\0';
    int r = addr_parse_ip(host, 0, &address);
    return r < 0 ? r : from_addr(&address, slash ? (int64_t)bits : -1, ret);
}

static void format_address(const Prefix *p, Text *out) {
    Addr a = {0};
    char host[ADDR_TEXT_MAX];
    if (p->kind == PEER_INET) {
        addr_any(AF_INET, 0, &a);
        memcpy(&a.in.sin_addr, p->bytes, 4);
    } else {
        addr_any(AF_INET6, 0, &a);
        memcpy(&a.in6.sin6_addr, p->bytes, 16);
        a.in6.sin6_scope_id = p->scope;
    }
    text_add(out, addr_format_host(&a, host));
    if (p->bits < (p->kind == PEER_INET ? 32U : 128U))
        text_addf(out, "/%u", p->bits);
}

void prefix_format(const Prefix *prefix, Text *out) {
    switch (prefix->kind) {
    case PEER_UNIX:
        text_addf(out, "uid:%u", (unsigned)prefix->uid);
        break;
    case PEER_VSOCK:
        text_addf(out, "vsock:%u", (unsigned)prefix->cid);
        break;
    case PEER_INET:
    case PEER_INET6:
        format_address(prefix, out);
        break;
    case PEER_NONE:
        break;
    }
}

Prefix prefix_of_source(const Peer *peer, unsigned ipv4_bits, unsigned ipv6_bits) {
    Peer source = peer_mask(peer, ipv4_bits, ipv6_bits);
    Prefix p = {.kind = peer->kind};
    switch (peer->kind) {
    case PEER_INET:
        memcpy(p.bytes, &source.in, sizeof(source.in));
        p.bits = ipv4_bits;
        break;
    case PEER_INET6:
        memcpy(p.bytes, &source.in6, sizeof(source.in6));
        p.bits = ipv6_bits;
        p.scope = source.scope;
        break;
    case PEER_UNIX:
        p.uid = source.uid;
        break;
    case PEER_VSOCK:
        p.cid = source.cid;
        break;
    case PEER_NONE:
        break;
    }
    return p;
}

Peer prefix_first(const Prefix *prefix) {
    Peer peer = {.kind = prefix->kind};
    switch (prefix->kind) {
    case PEER_INET:
        memcpy(&peer.in, prefix->bytes, sizeof(peer.in));
        break;
    case PEER_INET6:
        memcpy(&peer.in6, prefix->bytes, sizeof(peer.in6));
        peer.scope = prefix->scope;
        break;
    case PEER_UNIX:
        peer.uid = prefix->uid;
        break;
    case PEER_VSOCK:
        peer.cid = prefix->cid;
        break;
    case PEER_NONE:
        break;
    }
    return peer;
}

bool prefix_equal(const Prefix *a, const Prefix *b) {
    Peer first = prefix_first(a), other = prefix_first(b);
    return a->bits == b->bits && peer_equal(&first, &other);
}

bool prefix_has(const Prefix *prefix, const Peer *peer) {
    Prefix own = {.kind = peer->kind, .bits = prefix->bits};
    if (peer->kind != prefix->kind)
        return false;
    switch (peer->kind) {
    case PEER_UNIX:
        return peer->uid == prefix->uid;
    case PEER_INET:
        memcpy(own.bytes, &peer->in, 4);
        break;
    case PEER_INET6:
        if (prefix->scope != 0 && prefix->scope != peer->scope)
            return false;
        memcpy(own.bytes, &peer->in6, 16);
        break;
    case PEER_VSOCK:
        return peer->cid == prefix->cid;
    case PEER_NONE:
        return false;
    }
    mask(&own);
    return memcmp(own.bytes, prefix->bytes, sizeof(own.bytes)) == 0;
}
