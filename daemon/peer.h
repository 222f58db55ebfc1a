/* SPDX-License-Identifier: MIT */
#pragma once
/* The other end of a connection, small enough to be kept for each. IPv4 is IPv4 wherever it came in. */
#include <netinet/in.h>
#include <stdint.h>
#include <sys/types.h>

#include "conf/config.h"
#include "daemon/base/addr.h"

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

/* "192.0.2.1:80", "[2001:db8::1]:80", "uid:1000", "vsock:3:1024"; the longest has 46 + 17 + 8 characters. */
#define PEER_TEXT_MAX 80

Peer peer_from_addr(const Addr *a);
Peer peer_from_uid(uid_t uid);
/* As log.addresses wants it shown: in full; by its prefix of 24 or 48 bits, or its CID, without a port; or
 * NULL for none and for no peer. */
const char *peer_format(const Peer *p, LogAddresses how, char buf[static PEER_TEXT_MAX]);
