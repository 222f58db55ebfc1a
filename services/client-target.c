/* SPDX-License-Identifier: MIT */
#include "services/client-target.h"

#include <errno.h>
#include <netdb.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* needs sys/socket.h before it */
#include <linux/vm_sockets.h>

#include "daemon/base/cleanup.h"
#include "daemon/base/text.h"

typedef int ParseRest(Target *t, const char *rest, const char **ret_why);

static int wrong(const char **ret_why, const char *why) {
    *ret_why = why;
    return -EINVAL;
}

static bool is_number(const char *s) {
    return *s != '\0' && s[strspn(s, "0123456789")] == '\0';
}

static int parse_port(Target *t, const char *s, const char **ret_why) {
    if (*s == '\0')
        return wrong(ret_why, "the port is missing");
    if (strlen(s) >= sizeof(t->port))
        return wrong(ret_why, "the port is too long");
    if (is_number(s) && (strlen(s) > 5 || strtoul(s, NULL, 10) > 65535 || strtoul(s, NULL, 10) == 0))
        return wrong(ret_why, "a port is a number from 1 to 65535");
    (void)stpcpy(t->port, s);
    return 0;
}

static int parse_host(Target *t, const char *s, size_t n, const char **ret_why) {
    if (n == 0)
        return wrong(ret_why, "the host is missing; without one write tcp:PORT");
    if (n >= sizeof(t->host))
        return wrong(ret_why, "the name of the host is too long");
    memcpy(t->host, s, n);
    t->host[n] = '\0';
    return 0;
}

/* "PORT", "HOST:PORT", "[V6]:PORT" */
static int parse_inet(Target *t, const char *rest, const char **ret_why) {
    int r;
    if (*rest == '[') {
        const char *close = strchr(rest, ']');
        if (!close)
            return wrong(ret_why, "the ']' is missing");
        if (close[1] != ':')
            return wrong(ret_why, "behind ']' stands ':' and the port");
        r = parse_host(t, rest + 1, (size_t)(close - rest - 1), ret_why);
        return r < 0 ? r : parse_port(t, close + 2, ret_why);
    }
    const char *colon = strrchr(rest, ':');
    if (!colon)
        return parse_port(t, rest, ret_why);
    if (memchr(rest, ':', (size_t)(colon - rest)))
        return wrong(ret_why, "an IPv6 address stands in brackets, such as tcp:[::1]:7");
    r = parse_host(t, rest, (size_t)(colon - rest), ret_why);
    return r < 0 ? r : parse_port(t, colon + 1, ret_why);
}

static int parse_path(Target *t, const char *rest, const char **ret_why) {
    Addr a;
    if ((*rest != '/' && *rest != '@' && *rest != '.') || rest[1] == '\0')
        return wrong(ret_why, "a path begins with / or ., an abstract name with @");
    if (strlen(rest) >= sizeof(t->path) || addr_set_unix(rest, &a) < 0)
        return wrong(ret_why, "the path of a UNIX socket has at most 107 bytes");
    (void)stpcpy(t->path, rest);
    return 0;
}

static int parse_vsock(Target *t, const char *rest, const char **ret_why) {
    static const char form[] = "write vsock:CID:PORT, both numbers, or vsock:host:PORT, vsock:local:PORT";
    static const struct {
        const char *name;
        uint32_t cid;
    } names[] = {{"host:", VMADDR_CID_HOST}, {"local:", VMADDR_CID_LOCAL}};
    const char *port = strchr(rest, ':');
    if (!port || !is_number(port + 1) || strlen(port + 1) > 10)
        return wrong(ret_why, form);
    unsigned long long number = strtoull(port + 1, NULL, 10), cid = 0;
    bool known = false;
    for (size_t i = 0; i < ELEMENTS(names) && !known; i++) {
        known = starts_with(rest, names[i].name);
        cid = names[i].cid;
    }
    if (!known) {
        size_t digits = strspn(rest, "0123456789");
        if (digits == 0 || digits > 10 || rest + digits != port)
            return wrong(ret_why, form);
        cid = strtoull(rest, NULL, 10);
    }
    /* VMADDR_CID_ANY and VMADDR_PORT_ANY are for binding. */
    if (number >= UINT32_MAX || cid >= UINT32_MAX)
        return wrong(ret_why, "CID and port of vsock are below 4294967295");
    t->cid = (uint32_t)cid;
    t->vsock_port = (uint32_t)number;
    return 0;
}

static const struct {
    const char *scheme;
    ParseRest *parse;
    int type;
} kinds[] = {
    [TARGET_TCP] = {"tcp:", parse_inet, SOCK_STREAM},
    [TARGET_UDP] = {"udp:", parse_inet, SOCK_DGRAM},
    [TARGET_UNIX] = {"unix:", parse_path, SOCK_STREAM},
    [TARGET_UNIX_DGRAM] = {"unix-dgram:", parse_path, SOCK_DGRAM},
    [TARGET_UNIX_SEQPACKET] = {"unix-seqpacket:", parse_path, SOCK_SEQPACKET},
    [TARGET_VSOCK] = {"vsock:", parse_vsock, SOCK_STREAM},
};
_Static_assert(ELEMENTS(kinds) == _TARGET_KIND_MAX, "a row for each kind");

int target_parse(const char *s, Target *ret, const char **ret_why) {
    if (strlen(s) >= sizeof(ret->text))
        return wrong(ret_why, "that is too long for an endpoint");
    for (size_t i = 0; i < ELEMENTS(kinds); i++) {
        if (!starts_with(s, kinds[i].scheme))
            continue;
        Target t = {.kind = (TargetKind)i};
        (void)stpcpy(t.text, s);
        int r = kinds[i].parse(&t, s + strlen(kinds[i].scheme), ret_why);
        if (r >= 0)
            *ret = t;
        return r;
    }
    if (*s == '/' || *s == '@')
        return wrong(ret_why, "write unix: before the path or the abstract name");
    if (is_number(s))
        return wrong(ret_why, "write tcp: or udp: before the port");
    return wrong(ret_why,
                 "an endpoint begins with tcp:, udp:, unix:, unix-dgram:, unix-seqpacket: or vsock:");
}

int target_socket_type(const Target *t) {
    return kinds[t->kind].type;
}

bool target_has_records(const Target *t) {
    return kinds[t->kind].type != SOCK_STREAM;
}

/* Each host on its own: "tcp:7" is IPv4's loopback, then IPv6's, whatever the name localhost stands for. */
static int look_up(const Target *t, const char *host, TargetAddresses *ret, const char **ret_why) {
    const struct addrinfo hints = {.ai_family = AF_UNSPEC, .ai_socktype = kinds[t->kind].type};
    struct addrinfo *list = NULL;
    int r = getaddrinfo(host, t->port, &hints, &list);
    if (r != 0) {
        *ret_why = r == EAI_SYSTEM ? strerror(errno) : gai_strerror(r);
        return -EADDRNOTAVAIL;
    }
    for (const struct addrinfo *a = list; a && ret->n < TARGET_ADDRESSES_MAX; a = a->ai_next) {
        if (a->ai_addrlen > sizeof(ret->list[0].storage))
            continue;
        Addr *to = &ret->list[ret->n++];
        memcpy(&to->storage, a->ai_addr, a->ai_addrlen);
        to->len = a->ai_addrlen;
    }
    freeaddrinfo(list);
    return 0;
}

static int resolve_inet(const Target *t, TargetAddresses *ret, const char **ret_why) {
    if (*t->host)
        return look_up(t, t->host, ret, ret_why);
    int r = look_up(t, "127.0.0.1", ret, ret_why);
    return r < 0 ? r : look_up(t, "::1", ret, ret_why);
}

int target_resolve(const Target *t, TargetAddresses *ret, const char **ret_why) {
    *ret = (TargetAddresses){0};
    *ret_why = "no address";
    if (t->kind == TARGET_TCP || t->kind == TARGET_UDP) {
        int r = resolve_inet(t, ret, ret_why);
        return r < 0 || ret->n > 0 ? r : -EADDRNOTAVAIL;
    }
    ret->n = 1;
    if (t->kind != TARGET_VSOCK)
        return addr_set_unix(t->path, &ret->list[0]);
    const struct sockaddr_vm vm = {.svm_family = AF_VSOCK, .svm_cid = t->cid, .svm_port = t->vsock_port};
    memcpy(&ret->list[0].storage, &vm, sizeof(vm));
    ret->list[0].len = sizeof(vm);
    return 0;
}

const char *target_format_address(const Addr *a, char buf[static TARGET_ADDRESS_TEXT_MAX]) {
    if (a->sa.sa_family != AF_VSOCK)
        return addr_format(a, buf);
    struct sockaddr_vm vm;
    memcpy(&vm, &a->storage, sizeof(vm));
    (void)snprintf(buf, TARGET_ADDRESS_TEXT_MAX, "vsock:%u:%u", vm.svm_cid, vm.svm_port);
    return buf;
}
