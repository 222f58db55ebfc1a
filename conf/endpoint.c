/* SPDX-License-Identifier: MIT */
#include "conf/endpoint.h"

#include <arpa/inet.h>
#include <assert.h>
#include <errno.h>
#include <netdb.h>
#include <stdio.h>
#include <string.h>

#include "conf/suggest.h"
#include "daemon/base/cleanup.h"
#include "daemon/base/text.h"

static const char *const endpoint_kind_table[] = {
    [ENDPOINT_TCP] = "tcp",
    [ENDPOINT_UDP] = "udp",
    [ENDPOINT_UNIX] = "unix",
    [ENDPOINT_UNIX_DGRAM] = "unix-dgram",
    [ENDPOINT_UNIX_SEQPACKET] = "unix-seqpacket",
    [ENDPOINT_FIFO] = "fifo",
    [ENDPOINT_MQUEUE] = "mqueue",
    [ENDPOINT_VSOCK] = "vsock",
    [ENDPOINT_SYSTEMD] = "systemd",
};
DEFINE_STRTAB(endpoint_kind, EndpointKind, endpoint_kind_table);

static_assert(ELEMENTS(endpoint_kind_table) == _ENDPOINT_KIND_MAX, "each kind has a name");

/* What is wrong, and what to write instead. */
typedef struct Complaint {
    const char *why;
    const char *hint;
} Complaint;

static int complain(Complaint *c, const char *why, const char *hint) {
    *c = (Complaint){why, hint ? hint : ""};
    return -EINVAL;
}

/* A hint with the kind that was written in it: complaints are static strings. */
#define INET_HINT(kind, before, after)                                                                       \
    ((kind) == ENDPOINT_UDP ? (before "udp:" after) : (before "tcp:" after))

static const char *skip_digits(const char *s) {
    return s + strspn(s, "0123456789");
}

static bool is_ip(const char *s, size_t n, int family) {
    char host[INET6_ADDRSTRLEN];
    unsigned char binary[sizeof(struct in6_addr)];
    const char *percent = memchr(s, '%', n);
    if (percent && family == AF_INET6)
        n = (size_t)(percent - s);
    if (n >= sizeof(host))
        return false;
    memcpy(host, s, n);
    host[n] = '\0';
    return inet_pton(family, host, binary) == 1;
}

static int parse_port(const char *s, EndpointKind kind, uint16_t *ret, Complaint *c) {
    if (*s == '\0')
        return complain(c, "the port is missing", INET_HINT(kind, "such as ", "80"));
    if (*skip_digits(s) != '\0') {
        const struct servent *found = getservbyname(s, kind == ENDPOINT_UDP ? "udp" : "tcp");
        if (!found)
            return complain(c, "services(5) knows no port of that name for this protocol",
                            "write its number");
        *ret = ntohs((uint16_t)found->s_port);
        return 0;
    }
    if (s[0] == '0' && s[1] != '\0')
        return complain(c, "the port has a leading zero", "numbers are decimal");
    uint32_t port = 0;
    for (const char *p = s; *p && port <= UINT16_MAX; p++)
        port = port * 10 + (uint32_t)(*p - '0');
    if (port > UINT16_MAX)
        return complain(c, "the port is out of range", "0 to 65535");
    *ret = (uint16_t)port;
    return 0;
}

static void add_addr(Endpoint *e, const Addr *a) {
    memcpy(&e->addrs[e->n_addrs++], &a->storage, a->len);
}

static int check_in6(const Endpoint *e, const Addr *a, Complaint *c) {
    EndpointKind kind = e->kind;
    if (IN6_IS_ADDR_V4MAPPED(&a->in6.sin6_addr))
        return complain(c, "this is an IPv4 address in IPv6's clothes",
                        INET_HINT(kind, "write the IPv4 address itself, such as ", "192.0.2.1:80"));
    if (IN6_IS_ADDR_LINKLOCAL(&a->in6.sin6_addr) && !e->scope[0])
        return complain(c, "a link-local address needs its interface",
                        INET_HINT(kind, "such as ", "[fe80::1%eth0]:80"));
    return 0;
}

/* An address, perhaps with the interface that it belongs to. That one may be missing as yet. */
static int parse_scoped(char *host, Endpoint *e, Addr *ret) {
    int r = addr_parse_ip(host, 0, ret);
    char *percent = strchr(host, '%');
    if (!percent || (r < 0 && r != -ENODEV))
        return r;
    if (percent[1] == '\0' || strlen(percent + 1) >= sizeof(e->scope) || strpbrk(percent + 1, "/: "))
        return -ENODEV;
    memcpy(e->scope, percent + 1, strlen(percent + 1) + 1);
    if (r == 0)
        return 0;
    *percent = '\0';
    return addr_parse_ip(host, 0, ret);
}

/* "[V6ADDR%SCOPE]:PORT". */
static int parse_in6(Endpoint *e, const char *s, Complaint *c) {
    char host[ENDPOINT_TEXT_MAX];
    const char *close = strchr(s, ']');
    if (!close)
        return complain(c, "the '[' is never closed", INET_HINT(e->kind, "such as ", "[::1]:80"));
    size_t n = (size_t)(close - s) - 1;
    memcpy(host, s + 1, n);
    host[n] = '\0';
    Addr a = {0};
    int r = parse_scoped(host, e, &a);
    if (r == -ENODEV)
        return complain(c, "that cannot be the name of a network interface", NULL);
    if (r < 0)
        return complain(c, "what stands in the brackets is not an IPv6 address",
                        INET_HINT(e->kind, "such as ", "[::1]:80"));
    if (a.sa.sa_family != AF_INET6)
        return complain(c, "brackets are for IPv6 addresses", INET_HINT(e->kind, "such as ", "192.0.2.1:80"));
    r = check_in6(e, &a, c);
    if (r < 0)
        return r;
    if (close[1] != ':')
        return complain(c, close[1] ? "a ':' and the port must follow the ']'" : "the port is missing",
                        INET_HINT(e->kind, "such as ", "[::1]:80"));
    uint16_t port = 0;
    r = parse_port(close + 2, e->kind, &port, c);
    if (r < 0)
        return r;
    addr_set_port(&a, port);
    add_addr(e, &a);
    return 0;
}

static int parse_any(Endpoint *e, const char *s, Complaint *c) {
    if (strchr(s, '.') && is_ip(s, strlen(s), AF_INET))
        return complain(c, "the port is missing", INET_HINT(e->kind, "such as ", "127.0.0.1:80"));
    uint16_t port = 0;
    int r = parse_port(s, e->kind, &port, c);
    if (r < 0)
        return r;
    Addr any4, any6;
    addr_any(AF_INET, port, &any4);
    addr_any(AF_INET6, port, &any6);
    add_addr(e, &any4);
    add_addr(e, &any6);
    e->both_families = true;
    return 0;
}

/* "ADDR:PORT"; @colon is in @s. */
static int parse_in4(Endpoint *e, const char *s, const char *colon, Complaint *c) {
    char host[ENDPOINT_TEXT_MAX];
    size_t n = (size_t)(colon - s);
    memcpy(host, s, n);
    host[n] = '\0';
    if (n == 0 || streq(host, "*"))
        return complain(c, "the address is missing", INET_HINT(e->kind, "for all addresses write ", "80"));
    if (*skip_digits(host) == '\0')
        return complain(c, "there are two ports",
                        INET_HINT(e->kind, "write the one to listen on, such as ", "80"));
    Addr a = {0};
    int r = addr_parse_ip(host, 0, &a);
    if (r < 0 && host[strspn(host, "0123456789.")] == '\0')
        return complain(c, "that is not an IPv4 address", INET_HINT(e->kind, "such as ", "192.0.2.1:80"));
    if (r < 0)
        return complain(c, "names are not looked up",
                        INET_HINT(e->kind, "write an address, such as ", "127.0.0.1:80"));
    uint16_t port = 0;
    r = parse_port(colon + 1, e->kind, &port, c);
    if (r < 0)
        return r;
    addr_set_port(&a, port);
    add_addr(e, &a);
    return 0;
}

static int parse_inet(Endpoint *e, const char *s, Complaint *c) {
    if (starts_with(s, "//"))
        return complain(c, "an endpoint is not a URL",
                        INET_HINT(e->kind, "without slashes, such as ", "127.0.0.1:80"));
    if (*s == '[')
        return parse_in6(e, s, c);
    const char *colon = strchr(s, ':');
    if (!colon)
        return parse_any(e, s, c);
    const char *last = strrchr(s, ':');
    if (last != colon) {
        if (is_ip(s, strlen(s), AF_INET6) || is_ip(s, (size_t)(last - s), AF_INET6))
            return complain(c, "an IPv6 address stands in brackets",
                            INET_HINT(e->kind, "such as ", "[::1]:80"));
        return complain(c, "there is a ':' too many", INET_HINT(e->kind, "such as ", "127.0.0.1:80"));
    }
    return parse_in4(e, s, colon, c);
}

static int parse_unix(Endpoint *e, const char *s, Complaint *c) {
    if (*s == '\0')
        return complain(c, "the path is missing", "such as unix:/run/example.sock");
    if (starts_with(s, "//"))
        return complain(c, "the path begins with two slashes", "an endpoint is not a URL: write one");
    if (*s != '/' && *s != '@')
        return complain(c, "the path is not absolute", "such as unix:/run/example.sock");
    if (s[1] == '\0')
        return complain(c, *s == '@' ? "the abstract name is empty" : "the path is a folder", NULL);
    if (*s == '/' && s[strlen(s) - 1] == '/')
        return complain(c, "the path is a folder", "leave out the '/' at its end");
    Addr unused;
    if (addr_set_unix(s, &unused) < 0)
        return complain(
            c, *s == '@' ? "the abstract name is longer than 107 bytes" : "the path is longer than 107 bytes",
            "see unix(7)");
    e->n_addrs = 1;
    e->path = s;
    return 0;
}

static int parse_fifo(Endpoint *e, const char *s, Complaint *c) {
    if (*s == '\0')
        return complain(c, "the path is missing", "such as fifo:/run/example.fifo");
    if (*s != '/' || s[1] == '/')
        return complain(c, "the path is not absolute", "such as fifo:/run/example.fifo");
    if (s[strlen(s) - 1] == '/')
        return complain(c, "the path is a folder", "leave out the '/' at its end");
    e->path = s;
    e->n_addrs = 1;
    return 0;
}

static int parse_mqueue(Endpoint *e, const char *s, Complaint *c) {
    static const char hint[] = "such as mqueue:/jobs";
    if (*s == '\0' || streq(s, "/"))
        return complain(c, "the name is missing", hint);
    if (*s != '/')
        return complain(c, "the name of a message queue begins with a '/'", hint);
    if (strchr(s + 1, '/'))
        return complain(c, "the name of a message queue has only one '/'", hint);
    if (streq(s, "/.") || streq(s, "/.."))
        return complain(c, "that is no name of a message queue", hint);
    e->path = s;
    e->n_addrs = 1;
    return 0;
}

/* A number below 2^32 - 1, which stands for "any" in both fields. */
static int parse_vsock_number(const char *s, size_t n, uint32_t *ret) {
    if (n == 0 || n > 10 || (n > 1 && *s == '0'))
        return -EINVAL;
    uint64_t value = 0;
    for (size_t i = 0; i < n; i++) {
        if (s[i] < '0' || s[i] > '9')
            return -EINVAL;
        value = value * 10 + (uint64_t)(s[i] - '0');
    }
    if (value >= UINT32_MAX)
        return -EINVAL;
    *ret = (uint32_t)value;
    return 0;
}

static int parse_vsock(Endpoint *e, const char *s, Complaint *c) {
    static const char hint[] = "such as vsock:any:9000 or vsock:2:9000";
    const char *colon = strchr(s, ':');
    if (!colon)
        return complain(c, *s == '\0' ? "CID and port are missing" : "the CID or the port is missing", hint);
    Addr vm = {.vm.svm_family = AF_VSOCK, .len = sizeof(struct sockaddr_vm)};
    size_t n = (size_t)(colon - s);
    if (n == 3 && memcmp(s, "any", 3) == 0)
        vm.vm.svm_cid = VMADDR_CID_ANY;
    else if (parse_vsock_number(s, n, &vm.vm.svm_cid) < 0)
        return complain(c, "the CID is neither a number below 4294967295 nor 'any'", hint);
    if (parse_vsock_number(colon + 1, strlen(colon + 1), &vm.vm.svm_port) < 0)
        return complain(c, "the port of a vsock is a number below 4294967295", hint);
    if (vm.vm.svm_port == 0)
        vm.vm.svm_port = VMADDR_PORT_ANY;
    add_addr(e, &vm);
    return 0;
}

static int parse_systemd(Endpoint *e, const char *s, Complaint *c) {
    if (*s == '\0')
        return complain(c, "the name is missing",
                        "the FileDescriptorName= of the socket unit, such as systemd:web");
    /* sd_listen_fds_with_names(3): the names are separated by colons. */
    for (const char *p = s; *p; p++)
        if (*p == ':' || *p <= ' ' || *p >= 0x7f)
            return complain(c, "the name of a passed socket is ASCII without blanks and ':'",
                            "the FileDescriptorName= of the socket unit, such as systemd:web");
    e->path = s;
    e->n_addrs = 1;
    return 0;
}

typedef struct KindRow {
    int (*parse)(Endpoint *e, const char *rest, Complaint *c);
    const char *did_you_mean;
    int family; /* AF_INET: also AF_INET6; AF_UNSPEC: no socket, or one of any kind */
    int socket_type;
    bool stream;
} KindRow;

static const KindRow kinds[_ENDPOINT_KIND_MAX] = {
    [ENDPOINT_TCP] = {parse_inet, "did you mean 'tcp'?", AF_INET, SOCK_STREAM, true},
    [ENDPOINT_UDP] = {parse_inet, "did you mean 'udp'?", AF_INET, SOCK_DGRAM, false},
    [ENDPOINT_UNIX] = {parse_unix, "did you mean 'unix'?", AF_UNIX, SOCK_STREAM, true},
    [ENDPOINT_UNIX_DGRAM] = {parse_unix, "did you mean 'unix-dgram'?", AF_UNIX, SOCK_DGRAM, false},
    [ENDPOINT_UNIX_SEQPACKET] = {parse_unix, "did you mean 'unix-seqpacket'?", AF_UNIX, SOCK_SEQPACKET, true},
    [ENDPOINT_FIFO] = {parse_fifo, "did you mean 'fifo'?", AF_UNSPEC, 0, false},
    [ENDPOINT_MQUEUE] = {parse_mqueue, "did you mean 'mqueue'?", AF_UNSPEC, 0, false},
    [ENDPOINT_VSOCK] = {parse_vsock, "did you mean 'vsock'?", AF_VSOCK, SOCK_STREAM, true},
    [ENDPOINT_SYSTEMD] = {parse_systemd, "did you mean 'systemd'?", AF_UNSPEC, 0, true},
};

/* Kinds of other programs. */
static const struct {
    const char *word;
    const char *hint;
} foreign_kinds[] = {
    {"tcp4", "for IPv4 alone write tcp:0.0.0.0:PORT"},
    {"tcp6", "for IPv6 alone write tcp:[::]:PORT"},
    {"udp4", "for IPv4 alone write udp:0.0.0.0:PORT"},
    {"udp6", "for IPv6 alone write udp:[::]:PORT"},
    {"tcp46", "for both families write tcp:PORT"},
    {"udp46", "for both families write udp:PORT"},
    {"stream", "write tcp:PORT or unix:/path"},
    {"dgram", "write udp:PORT or unix-dgram:/path"},
    {"seqpacket", "write unix-seqpacket:/path"},
    {"unix-stream", "write unix:/path"},
    {"local", "write unix:/path"},
    {"abstract", "write unix:@name"},
    {"unix-abstract", "write unix:@name"},
    {"pipe", "write fifo:/path"},
    {"mq", "write mqueue:/name"},
    {"fd", "for a socket passed by the service manager write systemd:NAME"},
    {"http", "write tcp:PORT"},
    {"https", "write tcp:PORT"},
};

static const char *hint_for_kind(const char *word) {
    for (size_t i = 0; i < ELEMENTS(foreign_kinds); i++)
        if (streq(foreign_kinds[i].word, word))
            return foreign_kinds[i].hint;
    const char *near = suggest(word, endpoint_kind_table, ELEMENTS(endpoint_kind_table));
    int kind = near ? endpoint_kind_from_string(near) : -EINVAL;
    return kind >= 0 ? kinds[kind].did_you_mean
                     : "one of tcp, udp, unix, unix-dgram, unix-seqpacket, fifo, mqueue, vsock, systemd";
}

/* An endpoint that does not begin with a kind: what was left out? */
static int complain_no_kind(const char *s, Complaint *c) {
    static const char why[] = "the kind of the endpoint is missing";
    if (*s == '\0')
        return complain(c, "there is nothing to listen on", "such as tcp:80");
    if (*s == '[' || is_ip(s, strlen(s), AF_INET6))
        return complain(c, why, "such as tcp:[::1]:80");
    if (*s == ':' || *s == '*')
        return complain(c, why, "for all addresses write tcp:PORT, such as tcp:80");
    if (*skip_digits(s) == '\0')
        return complain(c, why, "write tcp: before the port, such as tcp:80");
    if (*s == '/')
        return complain(c, why, "write unix: before the path, such as unix:/run/example.sock");
    if (*s == '@')
        return complain(c, why, "write unix: before the name, such as unix:@example");
    if (is_ip(s, strcspn(s, ":"), AF_INET))
        return complain(c, why, "write tcp: before the address, such as tcp:127.0.0.1:80");
    return complain(c, why, "such as tcp:80 or unix:/run/example.sock");
}

static int parse_kind(Endpoint *e, const char **rest, Complaint *c) {
    char word[32];
    const char *colon = strchr(e->text, ':');
    size_t n = colon ? (size_t)(colon - e->text) : 0;
    const char *first = e->text + strspn(e->text, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ");
    if (!colon || first == e->text || is_ip(e->text, strlen(e->text), AF_INET6))
        return complain_no_kind(e->text, c);
    (void)snprintf(word, sizeof(word), "%.*s", (int)n, e->text);
    int kind = endpoint_kind_from_string(word);
    if (kind < 0) {
        bool is_host = colon[1] && *skip_digits(colon + 1) == '\0' && strchr(word, '.');
        if (is_host || streq(word, "localhost"))
            return complain(c, "names are not looked up", "write an address, such as tcp:127.0.0.1:80");
        return complain(c, "there is no such kind of endpoint", hint_for_kind(word));
    }
    e->kind = (EndpointKind)kind;
    *rest = colon + 1;
    return 0;
}

static int parse_text(Endpoint *e, const char *s, Complaint *c) {
    size_t n = strlen(s);
    if (n >= ENDPOINT_TEXT_MAX)
        return complain(c, "an endpoint is 255 bytes long at most", NULL);
    for (size_t i = 0; i < n; i++)
        if ((unsigned char)s[i] < ' ' || s[i] == 0x7f)
            return complain(c, "there is a control character in it", NULL);
    if (n > 0 && (s[0] == ' ' || s[n - 1] == ' '))
        return complain(c, "there is a blank around it", "leave it out");
    e->text = s;
    const char *rest = NULL;
    int r = parse_kind(e, &rest, c);
    return r < 0 ? r : kinds[e->kind].parse(e, rest, c);
}

int endpoint_parse(const char *s, Endpoint *ret, const char **ret_why, const char **ret_hint) {
    Endpoint e = {0};
    Complaint c = {0};
    int r = parse_text(&e, s, &c);
    if (r < 0) {
        if (ret_why)
            *ret_why = c.why;
        if (ret_hint)
            *ret_hint = c.hint;
        return r;
    }
    *ret = e;
    return 0;
}

static socklen_t addr_size(sa_family_t family) {
    switch (family) {
    case AF_INET:
        return sizeof(struct sockaddr_in);
    case AF_INET6:
        return sizeof(struct sockaddr_in6);
    case AF_VSOCK:
        return sizeof(struct sockaddr_vm);
    default:
        return 0;
    }
}

Addr endpoint_addr_widen(const EndpointAddr *a) {
    Addr wide = {.len = addr_size(a->sa.sa_family)};
    memcpy(&wide.storage, a, sizeof(*a));
    return wide;
}

EndpointAddr endpoint_addr_narrow(const Addr *a) {
    EndpointAddr narrow = {0};
    memcpy(&narrow, &a->storage, addr_size(a->sa.sa_family));
    return narrow;
}

Addr endpoint_addr(const Endpoint *e, size_t i) {
    Addr a = {0};
    if (i >= e->n_addrs)
        return a;
    if (endpoint_kind_is_unix(e->kind)) {
        (void)addr_set_unix(e->path, &a); /* it was short enough */
        return a;
    }
    return endpoint_addr_widen(&e->addrs[i]);
}

bool endpoint_kind_is_stream(EndpointKind kind) {
    return kinds[kind].stream;
}

bool endpoint_kind_is_inet(EndpointKind kind) {
    return kinds[kind].parse == parse_inet;
}

bool endpoint_kind_is_unix(EndpointKind kind) {
    return kinds[kind].parse == parse_unix;
}

int endpoint_socket_type(EndpointKind kind) {
    return kinds[kind].socket_type;
}

bool endpoint_has_node(const Endpoint *e) {
    return e->path && e->path[0] == '/' && (endpoint_kind_is_unix(e->kind) || e->kind == ENDPOINT_FIFO);
}

EndpointKind endpoint_kind_of_socket(int family, int type) {
    for (int i = 0; type != 0 && i < _ENDPOINT_KIND_MAX; i++)
        if (kinds[i].family == (family == AF_INET6 ? AF_INET : family) && kinds[i].socket_type == type)
            return (EndpointKind)i;
    return _ENDPOINT_KIND_MAX;
}

mode_t endpoint_standard_mode(EndpointKind kind) {
    return kind == ENDPOINT_FIFO || kind == ENDPOINT_MQUEUE ? 0600 : 0666;
}

static bool vsock_conflicts(const Addr *a, const Addr *b) {
    return a->vm.svm_port == b->vm.svm_port && a->vm.svm_port != VMADDR_PORT_ANY &&
           (addr_is_wildcard(a) || addr_is_wildcard(b) || addr_host_equal(a, b));
}

static bool inet_conflicts(const Addr *a, const Addr *b) {
    return a->sa.sa_family == b->sa.sa_family && addr_port(a) == addr_port(b) && addr_port(a) != 0 &&
           (addr_is_wildcard(a) || addr_is_wildcard(b) || addr_host_equal(a, b));
}

static bool addrs_conflict(const Endpoint *a, size_t i, const Endpoint *b, size_t j) {
    const Addr x = endpoint_addr(a, i), y = endpoint_addr(b, j);
    return a->kind == ENDPOINT_VSOCK ? vsock_conflicts(&x, &y) : inet_conflicts(&x, &y);
}

/* A node of the file system can be one thing only; abstract names are the kernel's, apart for each type. */
static bool path_conflicts(const Endpoint *a, const Endpoint *b) {
    bool nodes = endpoint_has_node(a) && endpoint_has_node(b);
    return (nodes || a->kind == b->kind) && streq(a->path, b->path);
}

bool endpoint_conflicts(const Endpoint *a, const Endpoint *b) {
    if (a->path && b->path)
        return path_conflicts(a, b);
    if (a->kind != b->kind || (a->scope[0] && b->scope[0] && !streq(a->scope, b->scope)))
        return false;
    for (size_t i = 0; i < a->n_addrs; i++)
        for (size_t j = 0; j < b->n_addrs; j++)
            if (addrs_conflict(a, i, b, j))
                return true;
    return false;
}
