/* SPDX-License-Identifier: MIT */
#include "services/forward-backend.h"

#include <net/if.h>
#include <netinet/tcp.h>
#include <string.h>

#include "daemon/base/dial.h"
#include "daemon/base/errors.h"

static int wrong(const char *why, const char *hint, const char **ret_why, const char **ret_hint) {
    *ret_why = why;
    *ret_hint = hint;
    return -EINVAL;
}

/* A link-local address needs its interface, which is there or is not. */
static int find_scope(const Endpoint *e, Addr *a) {
    if (a->sa.sa_family != AF_INET6 || !e->scope[0] || a->in6.sin6_scope_id != 0)
        return 0;
    a->in6.sin6_scope_id = if_nametoindex(e->scope);
    return a->in6.sin6_scope_id ? 0 : -ENODEV;
}

int backend_parse(const char *s, Backend *ret, const char **ret_why, const char **ret_hint) {
    Backend b = {0};
    *ret_why = *ret_hint = "";
    int r = endpoint_parse(s, &b.endpoint, ret_why, ret_hint);
    if (r < 0)
        return r;
    const Endpoint *e = &b.endpoint;
    b.type = endpoint_socket_type(e->kind);
    if (b.type == 0 || e->n_addrs == 0)
        return wrong("one cannot connect to that", "such as tcp:127.0.0.1:80 or unix:/run/app.sock", ret_why,
                     ret_hint);
    b.addr = endpoint_addr(e, 0);
    if (endpoint_kind_is_inet(e->kind) && addr_port(&b.addr) == 0)
        return wrong("port 0 is nobody's", "write the backend's port", ret_why, ret_hint);
    /* "tcp:80" is this host: connect(2) to a wildcard address means loopback, on Linux. */
    if (find_scope(e, &b.addr) < 0)
        return wrong("there is no such interface", "", ret_why, ret_hint);
    *ret = b;
    return 0;
}

int backend_open(const Backend *b, int *ret_fd) {
    const int on = 1;
    int r = dial_begin(&b->addr, b->type, ret_fd);
    if ((r == 0 || r == -EINPROGRESS) && b->endpoint.kind == ENDPOINT_TCP)
        (void)setsockopt(*ret_fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on));
    return r;
}

bool errno_is_backend_absent(int e) {
    return e == ECONNREFUSED || e == ENOENT;
}

bool errno_is_backend_busy(int e) {
    return e == EAGAIN || e == EADDRNOTAVAIL || errno_is_resource(e);
}
