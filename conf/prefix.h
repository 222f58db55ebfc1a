/* SPDX-License-Identifier: MIT */
#pragma once
/* Where peers come from: an address, a prefix of addresses, or for UNIX sockets a user, for vsocks a CID.
 * Pure. IPv4 is IPv4 however it is written: ::ffff:192.0.2.0/120 is 192.0.2.0/24. */
#include "daemon/base/peer.h"
#include "daemon/base/text.h"

typedef struct Prefix {
    PeerKind kind;
    union {
        uint8_t bytes[16]; /* in network order; of IPv4 the first four. Behind the prefix all are 0. */
        uid_t uid;
        uint32_t cid;
    };
    unsigned bits;
    uint32_t scope; /* 0: any */
} Prefix;

/* "192.0.2.0/24", "192.0.2.1", "2001:db8::/48", "fe80::1%eth0", "uid:1000", "vsock:3". Bits behind the prefix
 * are ignored. 0; -EINVAL when @s is none of these; -ENODEV when there is no such interface. */
int prefix_parse(const char *s, Prefix *ret);
/* The same the other way; all of an address has no bits. Nothing of none. */
void prefix_format(const Prefix *prefix, Text *out);
/* The source of @peer: the first @ipv4_bits or @ipv6_bits of its address, or its user or CID. */
Prefix prefix_of_source(const Peer *peer, unsigned ipv4_bits, unsigned ipv6_bits);
/* Its first address, without a port. */
Peer prefix_first(const Prefix *prefix);
bool prefix_equal(const Prefix *a, const Prefix *b);
bool prefix_has(const Prefix *prefix, const Peer *peer);

/* A prefix as a field, and back; what is of a kind that is not known here, or longer than an address, is
 * none. */
void prefix_put(BlobWriter *w, uint16_t tag, const Prefix *prefix);
Prefix prefix_take(const BlobField *f);
