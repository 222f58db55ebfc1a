/* SPDX-License-Identifier: MIT */
#pragma once
/* An endpoint: an address written in the config, resolved to the one or two socket addresses it stands for.
 * A plain value, but for its text, which it borrows from who had it parsed; parsing opens nothing, but a
 * port's name is looked up in services(5). */
#include <net/if.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "daemon/base/addr.h"
#include "daemon/base/strtab.h"

typedef enum EndpointKind {
    ENDPOINT_TCP,
    ENDPOINT_UDP,
    ENDPOINT_UNIX,
    ENDPOINT_UNIX_DGRAM,
    ENDPOINT_UNIX_SEQPACKET,
    ENDPOINT_FIFO,
    ENDPOINT_MQUEUE,
    ENDPOINT_VSOCK,
    ENDPOINT_SYSTEMD,
    _ENDPOINT_KIND_MAX,
} EndpointKind;

/* "tcp", "udp", "unix", "unix-dgram", "unix-seqpacket", "fifo", "mqueue", "vsock", "systemd". */
DECLARE_STRTAB(endpoint_kind, EndpointKind);

/* More than its text may have. A path of a UNIX socket is at most 107 bytes; fifo and mqueue names fit as
 * well. */
#define ENDPOINT_TEXT_MAX 256

typedef union EndpointAddr {
    struct sockaddr sa;
    struct sockaddr_in in;
    struct sockaddr_in6 in6;
    struct sockaddr_vm vm;
} EndpointAddr;

typedef struct Endpoint {
    EndpointKind kind;
    const char *text; /* as written, e.g. "tcp:[::1]:80"; borrowed */
    /* The path of unix, fifo; the name of mqueue and systemd: points into text. "@name" is abstract. NULL
     * else. */
    const char *path;
    /* What to bind, one listener for each: "tcp:PORT" has the IPv4 wildcard, then the IPv6 one. To be read by
     * endpoint_addr(): there is room for that of a host only, an Addr is five times as much. */
    EndpointAddr addrs[2];
    size_t n_addrs;
    /* The interface of a link-local address, "" for none: it may come and go, so bind(2) looks it up again.
     */
    char scope[IF_NAMESIZE];
    bool both_families; /* "tcp:PORT" or "udp:PORT": without IPv6 in the kernel, IPv4 alone will do */
} Endpoint;

/* Parses @s (contract: "Endpoints"). Returns 0, or -EINVAL with a sentence of what is wrong in *@ret_why and
 * what to write instead in *@ret_hint (either may be left NULL; both static strings). @s must outlive @ret.
 * @ret is untouched on failure. */
int endpoint_parse(const char *s, Endpoint *ret, const char **ret_why, const char **ret_hint);

/* The same with room for any; empty of one without a family. And back: all zero of what has no room there, a
 * UNIX one. */
Addr endpoint_addr_widen(const EndpointAddr *a);
EndpointAddr endpoint_addr_narrow(const Addr *a);

/* Address @i. That of systemd:, fifo and mqueue is empty: they have a path; so is one that it does not have.
 */
Addr endpoint_addr(const Endpoint *e, size_t i);

/* Connections are accepted on it (stream, seqpacket), as against datagrams, fifo and mqueue. */
bool endpoint_kind_is_stream(EndpointKind kind);
bool endpoint_kind_is_inet(EndpointKind kind);
bool endpoint_kind_is_unix(EndpointKind kind);
/* Something in the file system: what has a '/' in front, of a UNIX socket or a fifo. */
bool endpoint_has_node(const Endpoint *e);
/* The kind of a socket of this family and type; _ENDPOINT_KIND_MAX: none that could be listened on. */
EndpointKind endpoint_kind_of_socket(int family, int type);
/* The mode of what it creates when the config has none: "0666" of a UNIX socket, "0600" of a fifo and a
 * queue. */
mode_t endpoint_standard_mode(EndpointKind kind);
/* SOCK_STREAM, SOCK_DGRAM or SOCK_SEQPACKET, or 0 for what is no socket of ours. */
int endpoint_socket_type(EndpointKind kind);

/* Whether both cannot be bound at once: same kind, same port (0 never), and same address or one of them the
 * wildcard of that family; or the same path or abstract name in the name space of UNIX sockets. */
bool endpoint_conflicts(const Endpoint *a, const Endpoint *b);
