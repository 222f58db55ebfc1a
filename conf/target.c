/* SPDX-License-Identifier: MIT */
#include "conf/target.h"

#include <errno.h>
#include <netinet/in.h>
#include <stdio.h>
#include <string.h>

#include "daemon/base/text.h"

#define ALL_KINDS                                                                                            \
    (1U << ENDPOINT_TCP | 1U << ENDPOINT_UDP | 1U << ENDPOINT_UNIX | 1U << ENDPOINT_UNIX_DGRAM |             \
     1U << ENDPOINT_UNIX_SEQPACKET | 1U << ENDPOINT_VSOCK)

static int wrong(const char *why, const char *hint, const char **ret_why, const char **ret_hint) {
    if (ret_why)
        *ret_why = why;
    if (ret_hint)
        *ret_hint = hint;
    return -EINVAL;
}

int target_parse(const char *s, Endpoint *ret, const char **ret_why, const char **ret_hint) {
    Endpoint e = {0};
    int r = endpoint_parse(s, &e, ret_why, ret_hint);
    if (r < 0)
        return r;
    if ((1U << e.kind & ALL_KINDS) == 0)
        return wrong("one cannot connect to that", "such as tcp:127.0.0.1:80 or unix:/run/app.sock", ret_why,
                     ret_hint);
    const Addr to = endpoint_addr(&e, 0);
    if (endpoint_kind_is_inet(e.kind) && addr_port(&to) == 0)
        return wrong("port 0 is nobody's", "write the port that it is to be forwarded to", ret_why, ret_hint);
    if (e.kind == ENDPOINT_VSOCK && to.vm.svm_cid == VMADDR_CID_ANY)
        return wrong("'any' is nobody's", "write the CID that it is to be forwarded to", ret_why, ret_hint);
    *ret = e;
    return 0;
}

EndpointKind target_kind(const char *s) {
    char word[32];
    (void)snprintf(word, sizeof(word), "%.*s", (int)strcspn(s, ":"), s);
    int kind = endpoint_kind_from_string(word);
    return kind < 0 ? _ENDPOINT_KIND_MAX : (EndpointKind)kind;
}

bool target_has_port_name(const char *s) {
    const char *colon = strrchr(s, ':');
    return colon && endpoint_kind_is_inet(target_kind(s)) &&
           colon[1 + strspn(colon + 1, "0123456789")] != '\0';
}

int target_parse_again(const char *s, uint16_t port, Endpoint *ret) {
    char text[ENDPOINT_TEXT_MAX + sizeof(":65535")];
    if (!target_has_port_name(s))
        return target_parse(s, ret, NULL, NULL);
    size_t n = (size_t)(strrchr(s, ':') - s);
    if (port == 0 || n > ENDPOINT_TEXT_MAX)
        return -EINVAL;
    (void)snprintf(text, sizeof(text), "%.*s:%u", (int)n, s, port);
    int r = target_parse(text, ret, NULL, NULL);
    if (r == 0)
        ret->text = s;
    return r;
}

static bool is_loopback(const Addr *a) {
    if (a->sa.sa_family == AF_INET6)
        return IN6_IS_ADDR_LOOPBACK(&a->in6.sin6_addr);
    return a->sa.sa_family == AF_INET && ntohl(a->in.sin_addr.s_addr) >> 24 == IN_LOOPBACKNET;
}

/* connect(2) to the wildcard address comes to loopback, on Linux. */
static Addr connected(const Addr *a) {
    Addr b = *a;
    if (a->sa.sa_family == AF_INET && addr_is_wildcard(a))
        b.in.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    else if (a->sa.sa_family == AF_INET6 && addr_is_wildcard(a))
        b.in6.sin6_addr = in6addr_loopback;
    return b;
}

static bool reaches(const Addr *to, const Addr *listen) {
    if (to->sa.sa_family != listen->sa.sa_family || addr_port(to) != addr_port(listen))
        return false;
    return addr_equal(to, listen) || (addr_is_wildcard(listen) && is_loopback(to));
}

bool target_is_own(const Endpoint *target, const Endpoint *listen) {
    if (target->kind != listen->kind)
        return false;
    if (!endpoint_kind_is_inet(target->kind) && target->kind != ENDPOINT_VSOCK)
        return streq_null(target->path, listen->path);
    const Addr first = endpoint_addr(target, 0), to = connected(&first);
    for (size_t i = 0; i < listen->n_addrs; i++) {
        const Addr own = endpoint_addr(listen, i);
        if (reaches(&to, &own))
            return true;
    }
    return false;
}
