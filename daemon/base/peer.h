/* SPDX-License-Identifier: MIT */
#pragma once
/* The other end of a connection, small enough to be kept for each. IPv4 is IPv4 wherever it came in. Pure. */
#include <netinet/in.h>
#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include "daemon/base/addr.h"
#include "daemon/base/blob.h"

typedef enum PeerKind {
    PEER_NONE, /* an on-demand process has no single peer */
    PEER_INET,
    PEER_INET6,
    PEER_UNIX,
    PEER_VSOCK,
} PeerKind;

typedef struct Peer {
    PeerKind kind;
    union {
        struct in_addr in;
        struct in6_addr in6;
        uid_t uid;
        uint32_t cid;
    };
    union {
        uint32_t scope;
        uint32_t vsock_port;
    };
    uint16_t port;
} Peer;

Peer peer_from_addr(const Addr *a);
Peer peer_from_uid(uid_t uid);
/* Its source: without a port, and of an address the first @ipv4_bits or @ipv6_bits. The scope of an IPv6
 * address stays only where all of its bits do. */
Peer peer_mask(const Peer *p, unsigned ipv4_bits, unsigned ipv6_bits);
/* Whether all of it is the same, ports included. */
bool peer_equal(const Peer *a, const Peer *b);
/* A keyed hash (SipHash) of what peer_equal() compares but the ports, and of @salt. */
uint64_t peer_hash(const Peer *p, uint32_t salt, const uint8_t key[static 16]);
/* As a field of a blob. */
void peer_put(BlobWriter *w, uint16_t tag, const Peer *p);
Peer peer_take(const BlobField *f);
