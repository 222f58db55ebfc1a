/* SPDX-License-Identifier: MIT */
/* Which datagrams a service must not answer. A sender's address can be forged; an answer to the wrong one
 * starts an endless exchange between two services that answer everything (echo and chargen, CVE-2024-2169),
 * or reaches many hosts. These are the checks of the inetds of FreeBSD, NetBSD and OpenBSD taken together. */
#include "services/mp-service.h"

#include <netinet/in.h>
#include <string.h>

/* An address without regard to how it is written: IPv4-mapped IPv6 is IPv4. */
typedef struct Host {
    int family; /* AF_INET, AF_INET6, or AF_UNSPEC: neither */
    uint32_t v4;
    struct in6_addr v6;
    uint16_t port;
} Host;

static bool host_from(const struct sockaddr *sa, socklen_t len, Host *ret) {
    Host h = {.family = AF_UNSPEC};
    if (!sa || len < (socklen_t)sizeof(sa->sa_family)) {
        *ret = h;
        return true;
    }
    if (sa->sa_family == AF_INET) {
        struct sockaddr_in in;
        if (len < (socklen_t)sizeof(in))
            return false;
        memcpy(&in, sa, sizeof(in));
        h = (Host){.family = AF_INET, .v4 = ntohl(in.sin_addr.s_addr), .port = ntohs(in.sin_port)};
    } else if (sa->sa_family == AF_INET6) {
        struct sockaddr_in6 in6;
        if (len < (socklen_t)sizeof(in6))
            return false;
        memcpy(&in6, sa, sizeof(in6));
        h = (Host){.family = AF_INET6, .v6 = in6.sin6_addr, .port = ntohs(in6.sin6_port)};
        if (IN6_IS_ADDR_V4MAPPED(&h.v6)) {
            uint32_t v4;
            memcpy(&v4, &h.v6.s6_addr[12], sizeof(v4));
            h.family = AF_INET;
            h.v4 = ntohl(v4);
        }
    }
    *ret = h;
    return true;
}

static bool host_is_loopback(const Host *h) {
    return (h->family == AF_INET && h->v4 >> 24 == IN_LOOPBACKNET) ||
           (h->family == AF_INET6 && IN6_IS_ADDR_LOOPBACK(&h->v6));
}

/* Nobody's address, everybody's, or a group's. An interface's own broadcast address needs no look here: the
 * kernel refuses to send to it, EACCES, unless SO_BROADCAST is set, socket(7). */
static bool host_is_no_single_one(const Host *h) {
    if (h->family == AF_INET)
        return h->v4 >> 24 == 0 || h->v4 >> 24 == 255 || IN_MULTICAST(h->v4);
    return IN6_IS_ADDR_UNSPECIFIED(&h->v6) || IN6_IS_ADDR_MULTICAST(&h->v6) || IN6_IS_ADDR_V4COMPAT(&h->v6);
}

/* A request to many hosts at once, which would all answer its sender. (The address of a wildcard socket is
 * none.) */
static bool host_is_many(const Host *h) {
    if (h->family == AF_INET)
        return IN_MULTICAST(h->v4) || h->v4 == INADDR_BROADCAST;
    return h->family == AF_INET6 && IN6_IS_ADDR_MULTICAST(&h->v6);
}

/* Services live on ports below 1024, the small ones (7, 9, 13, 19, 37) among them, and NFS on 2049; ordinary
 * clients do not. */
static bool port_is_a_service(uint16_t port) {
    return port < IPPORT_RESERVED || port == 2049;
}

bool mp_datagram_refused(const struct sockaddr *peer, socklen_t peer_len, const struct sockaddr *local,
                         socklen_t local_len) {
    Host from, own;
    if (!host_from(peer, peer_len, &from) || !host_from(local, local_len, &own))
        return true;
    if (from.family == AF_UNSPEC)
        return false;
    if (port_is_a_service(from.port) || host_is_no_single_one(&from) || host_is_many(&own))
        return true;
    /* Ourselves, or the same service of another host. */
    if (own.family != AF_UNSPEC && from.port == own.port)
        return true;
    /* Comes from outside with a forged address, unless it was sent to a loopback address. */
    return host_is_loopback(&from) && !host_is_loopback(&own);
}

bool mp_datagram_is_local(const struct sockaddr *peer, socklen_t peer_len) {
    Host from;
    return host_from(peer, peer_len, &from) && (from.family == AF_UNSPEC || host_is_loopback(&from));
}
