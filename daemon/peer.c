/* SPDX-License-Identifier: MIT */
#include "daemon/peer.h"

#include <string.h>

/* Of an address under log.addresses: prefix; whole bytes. */
#define SHOWN_BITS_IPV4 24U
#define SHOWN_BITS_IPV6 48U

static void peer_to_addr(const Peer *p, Addr *a) {
    if (p->kind == PEER_INET) {
        a->in = (struct sockaddr_in){.sin_family = AF_INET, .sin_addr = p->in, .sin_port = htons(p->port)};
        a->len = sizeof(a->in);
    } else {
        a->in6 = (struct sockaddr_in6){.sin6_family = AF_INET6,
                                       .sin6_addr = p->in6,
                                       .sin6_port = htons(p->port),
                                       .sin6_scope_id = p->scope};
        a->len = sizeof(a->in6);
    }
}

static const char *format_prefix(Addr *a, char *buf) {
    char host[ADDR_TEXT_MAX];
    const char *bits = "/24";
    if (a->sa.sa_family == AF_INET) {
        a->in.sin_addr.s_addr &= htonl(0xffffff00);
    } else {
        memset(&a->in6.sin6_addr.s6_addr[6], 0, 10);
        a->in6.sin6_scope_id = 0;
        bits = "/48";
    }
    (void)snprintf(buf, PEER_TEXT_MAX, "%.60s%s", addr_format_host(a, host), bits);
    return buf;
}

const char *peer_format_prefix(const Prefix *prefix, LogAddresses how, char buf[static PEER_TEXT_MAX]) {
    CLEANUP_TEXT Text text = {0};
    Prefix shown = *prefix;
    unsigned most = prefix->kind == PEER_INET ? SHOWN_BITS_IPV4 : SHOWN_BITS_IPV6;
    if (prefix->kind == PEER_NONE || how == LOG_ADDRESSES_NONE)
        return NULL;
    if (how == LOG_ADDRESSES_PREFIX && shown.bits > most) {
        memset(shown.bytes + most / 8, 0, sizeof(shown.bytes) - most / 8);
        shown.bits = most;
        shown.scope = 0;
    }
    prefix_format(&shown, &text);
    (void)snprintf(buf, PEER_TEXT_MAX, "%s", text.s ? text.s : "");
    return buf;
}

const char *peer_format(const Peer *p, LogAddresses how, char buf[static PEER_TEXT_MAX]) {
    if (p->kind == PEER_NONE || how == LOG_ADDRESSES_NONE)
        return NULL;
    if (p->kind == PEER_UNIX) {
        (void)snprintf(buf, PEER_TEXT_MAX, "uid:%u", p->uid);
        return buf;
    }
    if (p->kind == PEER_VSOCK) {
        (void)snprintf(buf, PEER_TEXT_MAX, how == LOG_ADDRESSES_PREFIX ? "vsock:%u" : "vsock:%u:%u", p->cid,
                       p->vsock_port);
        return buf;
    }
    Addr a;
    peer_to_addr(p, &a);
    if (how == LOG_ADDRESSES_PREFIX)
        return format_prefix(&a, buf);
    char text[ADDR_TEXT_MAX];
    size_t n = strnlen(addr_format(&a, text), PEER_TEXT_MAX - 1);
    memcpy(buf, text, n);
    buf[n] = '\0';
    return buf;
}
