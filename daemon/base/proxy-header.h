/* SPDX-License-Identifier: MIT */
#pragma once
/* The header of the PROXY protocol, versions 1 and 2 (haproxy's proxy-protocol.txt): by it a proxy tells a
 * server who its client is. Written and parsed as a plain value: no I/O, no allocation. */
#include <stdbool.h>
#include <stddef.h>

#include "daemon/base/addr.h"

typedef enum ProxyVersion {
    PROXY_V1 = 1,
    PROXY_V2 = 2,
} ProxyVersion;

typedef struct ProxyHeader {
    ProxyVersion version;
    bool local; /* version 2's LOCAL: the proxy's own connection, a health check; no addresses */
    int type;   /* SOCK_STREAM or SOCK_DGRAM as the header says; 0 where it does not */
    /* AF_UNSPEC where the header tells none: LOCAL, UNKNOWN. Else both have the same family. An IPv4-mapped
     * address stays one. */
    Addr source;
    Addr destination;
} ProxyHeader;

/* The longest header that is written: version 2 with two paths. */
#define PROXY_HEADER_MAX 232U
/* The longest that is accepted, what else stands in it (TLVs) included. The protocol allows up to 65551
 * bytes, which nobody needs before he is admitted. */
#define PROXY_HEADER_ACCEPT_MAX 4096U
/* The longest line of version 1, CRLF included. */
#define PROXY_V1_MAX 107U

/* Writes the header for a stream connection from @source to @destination. Addresses of different families are
 * written as IPv6 where both are IP; what cannot be told is told as unknown. Returns the length. */
size_t proxy_header_write(ProxyVersion version, const Addr *source, const Addr *destination,
                          unsigned char out[static PROXY_HEADER_MAX]);

typedef enum ProxyResult {
    PROXY_MORE, /* what is there can become a header */
    PROXY_OK,
    PROXY_BAD,
} ProxyResult;

/* Parses the beginning of a connection, of which @n bytes are there. PROXY_OK fills @ret and @ret_length, the
 * bytes that belong to the header: what follows is the client's. PROXY_BAD says in @ret_why (a static text)
 * what is wrong, as early as can be known. Nothing else is written to. Strict: what the protocol does not
 * allow is bad. TLVs must be well-formed, and are skipped. */
ProxyResult proxy_header_parse(const unsigned char *data, size_t n, ProxyHeader *ret, size_t *ret_length,
                               const char **ret_why);
