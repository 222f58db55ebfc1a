/* SPDX-License-Identifier: MIT */
#include "daemon/base/proxy-header.h"

#include <arpa/inet.h>
#include <stdio.h>
#include <string.h>

#include "daemon/base/cleanup.h"

static const unsigned char signature[12] = {0x0d, 0x0a, 0x0d, 0x0a, 0x00, 0x0d,
                                            0x0a, 0x51, 0x55, 0x49, 0x54, 0x0a};
#define V2_FIXED 16U
#define V2_VERSION 0x20U
#define V2_LOCAL 0x20U
#define V2_PROXY 0x21U
#define V2_UNIX_PATH ((size_t)108)

/* Version 2's addresses by its byte of family and transport. */
typedef struct V2Family {
    unsigned char code;
    int family;
    int type;
    size_t length;
} V2Family;

static const V2Family v2_families[] = {
    {0x00, AF_UNSPEC, 0, 0},
    {0x11, AF_INET, SOCK_STREAM, 12},
    {0x12, AF_INET, SOCK_DGRAM, 12},
    {0x21, AF_INET6, SOCK_STREAM, 36},
    {0x22, AF_INET6, SOCK_DGRAM, 36},
    {0x31, AF_UNIX, SOCK_STREAM, 2 * V2_UNIX_PATH},
    {0x32, AF_UNIX, SOCK_DGRAM, 2 * V2_UNIX_PATH},
};
_Static_assert(PROXY_HEADER_MAX == V2_FIXED + 2 * V2_UNIX_PATH, "the longest is version 2 with paths");

static const V2Family *v2_family_find(unsigned char code) {
    for (size_t i = 0; i < ELEMENTS(v2_families); i++)
        if (v2_families[i].code == code)
            return &v2_families[i];
    return NULL;
}

/* ------------------------------------------------------------------------------------------------ writing */

/* An IPv4 address in IPv6's form, for a header that has room for one family only. */
static void addr_map(Addr *a) {
    if (a->sa.sa_family != AF_INET)
        return;
    Addr v6 = {0};
    v6.in6.sin6_family = AF_INET6;
    v6.in6.sin6_port = a->in.sin_port;
    v6.in6.sin6_addr.s6_addr[10] = v6.in6.sin6_addr.s6_addr[11] = 0xff;
    memcpy(&v6.in6.sin6_addr.s6_addr[12], &a->in.sin_addr, sizeof(a->in.sin_addr));
    v6.len = sizeof(v6.in6);
    *a = v6;
}

static bool is_inet(const Addr *a) {
    return a->sa.sa_family == AF_INET || a->sa.sa_family == AF_INET6;
}

/* Brings both to one family, which is returned; AF_UNSPEC: they have none in common. */
static int unite(Addr *a, Addr *b) {
    addr_unmap(a);
    addr_unmap(b);
    if (a->sa.sa_family == b->sa.sa_family && (is_inet(a) || a->sa.sa_family == AF_UNIX))
        return a->sa.sa_family;
    if (!is_inet(a) || !is_inet(b))
        return AF_UNSPEC;
    addr_map(a);
    addr_map(b);
    return AF_INET6;
}

static size_t write_v1(int family, const Addr *source, const Addr *destination, unsigned char *out) {
    char line[PROXY_V1_MAX + 1], from[INET6_ADDRSTRLEN], to[INET6_ADDRSTRLEN];
    int n;
    if (family == AF_INET && inet_ntop(AF_INET, &source->in.sin_addr, from, sizeof(from)) &&
        inet_ntop(AF_INET, &destination->in.sin_addr, to, sizeof(to)))
        n = snprintf(line, sizeof(line), "PROXY TCP4 %s %s %u %u\r\n", from, to, addr_port(source),
                     addr_port(destination));
    else if (family == AF_INET6 && inet_ntop(AF_INET6, &source->in6.sin6_addr, from, sizeof(from)) &&
             inet_ntop(AF_INET6, &destination->in6.sin6_addr, to, sizeof(to)))
        n = snprintf(line, sizeof(line), "PROXY TCP6 %s %s %u %u\r\n", from, to, addr_port(source),
                     addr_port(destination));
    else
        n = snprintf(line, sizeof(line), "PROXY UNKNOWN\r\n");
    memcpy(out, line, (size_t)n);
    return (size_t)n;
}

/* Both IP families put the addresses first, then the ports. */
static unsigned char *put(unsigned char *at, const void *data, size_t n) {
    memcpy(at, data, n);
    return at + n;
}

static void write_v2_inet(const Addr *source, const Addr *destination, unsigned char *at) {
    at = put(at, &source->in.sin_addr, sizeof(struct in_addr));
    at = put(at, &destination->in.sin_addr, sizeof(struct in_addr));
    at = put(at, &source->in.sin_port, sizeof(in_port_t));
    (void)put(at, &destination->in.sin_port, sizeof(in_port_t));
}

static void write_v2_inet6(const Addr *source, const Addr *destination, unsigned char *at) {
    at = put(at, &source->in6.sin6_addr, sizeof(struct in6_addr));
    at = put(at, &destination->in6.sin6_addr, sizeof(struct in6_addr));
    at = put(at, &source->in6.sin6_port, sizeof(in_port_t));
    (void)put(at, &destination->in6.sin6_port, sizeof(in_port_t));
}

static void write_v2_path(const Addr *a, unsigned char *at) {
    size_t offset = offsetof(struct sockaddr_un, sun_path), n = a->len > offset ? a->len - offset : 0;
    memset(at, 0, V2_UNIX_PATH);
    memcpy(at, a->un.sun_path, n < V2_UNIX_PATH ? n : V2_UNIX_PATH);
}

static size_t write_v2(int family, const Addr *source, const Addr *destination, unsigned char *out) {
    const V2Family *row = v2_families;
    while (row->family != family)
        row++; /* the first of a family is the stream */
    memcpy(out, signature, sizeof(signature));
    out[12] = V2_PROXY;
    out[13] = row->code;
    out[14] = (unsigned char)(row->length >> 8);
    out[15] = (unsigned char)row->length;
    if (family == AF_INET)
        write_v2_inet(source, destination, out + V2_FIXED);
    else if (family == AF_INET6)
        write_v2_inet6(source, destination, out + V2_FIXED);
    else if (family == AF_UNIX) {
        write_v2_path(source, out + V2_FIXED);
        write_v2_path(destination, out + V2_FIXED + V2_UNIX_PATH);
    }
    return V2_FIXED + row->length;
}

size_t proxy_header_write(ProxyVersion version, const Addr *source, const Addr *destination,
                          unsigned char out[static PROXY_HEADER_MAX]) {
    Addr from = *source, to = *destination;
    int family = unite(&from, &to);
    return version == PROXY_V1 ? write_v1(family, &from, &to, out) : write_v2(family, &from, &to, out);
}

/* ------------------------------------------------------------------------------------------------ parsing */

static ProxyResult bad(const char **ret_why, const char *why) {
    *ret_why = why;
    return PROXY_BAD;
}

/* Whether the @n bytes there begin like @text, as far as they go. */
static bool is_prefix(const unsigned char *data, size_t n, const char *text) {
    size_t length = strlen(text);
    return memcmp(data, text, n < length ? n : length) == 0;
}

/* Takes one word of the line that ends in a NUL: up to the next space, or the last up to the end. NULL: there
 * is none of that kind. */
static char *take_word(char **line, bool last) {
    char *word = *line, *space = strchr(word, ' ');
    if (*word == '\0' || word == space || last != !space)
        return NULL;
    if (space) {
        *space = '\0';
        *line = space + 1;
    }
    return word;
}

/* 0 to 65535, in decimals, without a leading zero. */
static bool parse_port(const char *s, in_port_t *ret) {
    size_t n = strlen(s);
    unsigned long value = 0;
    if (n == 0 || n > 5 || (s[0] == '0' && n > 1))
        return false;
    for (; *s; s++) {
        if (*s < '0' || *s > '9')
            return false;
        value = value * 10 + (unsigned long)(*s - '0');
    }
    if (value > UINT16_MAX)
        return false;
    *ret = htons((uint16_t)value);
    return true;
}

static bool parse_v1_addr(int family, const char *host, const char *port, Addr *ret) {
    Addr a = {0};
    bool ok;
    if (family == AF_INET) {
        a.in.sin_family = AF_INET;
        a.len = sizeof(a.in);
        ok = inet_pton(AF_INET, host, &a.in.sin_addr) == 1 && parse_port(port, &a.in.sin_port);
    } else {
        a.in6.sin6_family = AF_INET6;
        a.len = sizeof(a.in6);
        ok = inet_pton(AF_INET6, host, &a.in6.sin6_addr) == 1 && parse_port(port, &a.in6.sin6_port);
    }
    if (ok)
        *ret = a;
    return ok;
}

/* What stands between "PROXY TCP4 " and the line's end. */
static bool parse_v1_words(int family, char *line, ProxyHeader *h) {
    char *from = take_word(&line, false), *to = from ? take_word(&line, false) : NULL,
         *from_port = to ? take_word(&line, false) : NULL,
         *to_port = from_port ? take_word(&line, true) : NULL;
    return to_port && parse_v1_addr(family, from, from_port, &h->source) &&
           parse_v1_addr(family, to, to_port, &h->destination);
}

/* Finds the line's end. Its length with CRLF in @ret, else as proxy_header_parse(). */
static ProxyResult find_line(const unsigned char *data, size_t n, size_t *ret, const char **ret_why) {
    for (size_t i = 0; i < n && i < PROXY_V1_MAX; i++) {
        if (data[i] == '\r' && i + 1 == n)
            return i + 1 < PROXY_V1_MAX ? PROXY_MORE : bad(ret_why, "the line is too long");
        if (data[i] == '\r' && i + 1 < PROXY_V1_MAX && data[i + 1] == '\n') {
            *ret = i + 2;
            return PROXY_OK;
        }
        if (data[i] < ' ' || data[i] > '~')
            return bad(ret_why, "the line has a byte that does not belong there");
    }
    return n < PROXY_V1_MAX ? PROXY_MORE : bad(ret_why, "the line is too long");
}

static ProxyResult parse_v1(const unsigned char *data, size_t n, ProxyHeader *ret, size_t *ret_length,
                            const char **ret_why) {
    static const struct {
        const char *text;
        int family;
    } kinds[] = {{"PROXY TCP4 ", AF_INET}, {"PROXY TCP6 ", AF_INET6}, {"PROXY UNKNOWN", AF_UNSPEC}};
    size_t kind = 0, length;
    while (kind < ELEMENTS(kinds) && !is_prefix(data, n, kinds[kind].text))
        kind++;
    if (kind == ELEMENTS(kinds))
        return bad(ret_why, "neither TCP4, TCP6 nor UNKNOWN");
    ProxyResult r = find_line(data, n, &length, ret_why);
    if (r != PROXY_OK)
        return r;
    size_t begin = strlen(kinds[kind].text);
    ProxyHeader h = {.version = PROXY_V1};
    if (length < begin + 2)
        return bad(ret_why, "the line is too short");
    char line[PROXY_V1_MAX];
    memcpy(line, data + begin, length - begin - 2);
    line[length - begin - 2] = '\0';
    if (kinds[kind].family == AF_UNSPEC) {
        /* What follows UNKNOWN is to be ignored, but it must be a word of its own. */
        if (line[0] != '\0' && line[0] != ' ')
            return bad(ret_why, "neither TCP4, TCP6 nor UNKNOWN");
    } else {
        h.type = SOCK_STREAM;
        if (!parse_v1_words(kinds[kind].family, line, &h))
            return bad(ret_why, "the addresses or ports are wrong");
    }
    *ret = h;
    *ret_length = length;
    return PROXY_OK;
}

static void get_inet(const unsigned char *at, Addr *source, Addr *destination) {
    *source = *destination = (Addr){.in = {.sin_family = AF_INET}, .len = sizeof(struct sockaddr_in)};
    memcpy(&source->in.sin_addr, at, 4);
    memcpy(&destination->in.sin_addr, at + 4, 4);
    memcpy(&source->in.sin_port, at + 8, 2);
    memcpy(&destination->in.sin_port, at + 10, 2);
}

static void get_inet6(const unsigned char *at, Addr *source, Addr *destination) {
    *source = *destination = (Addr){.in6 = {.sin6_family = AF_INET6}, .len = sizeof(struct sockaddr_in6)};
    memcpy(&source->in6.sin6_addr, at, 16);
    memcpy(&destination->in6.sin6_addr, at + 16, 16);
    memcpy(&source->in6.sin6_port, at + 32, 2);
    memcpy(&destination->in6.sin6_port, at + 34, 2);
}

/* A path ends at its first NUL, an abstract name, which begins with one, where only NULs follow. */
static void get_path(const unsigned char *at, Addr *ret) {
    Addr a = {.un = {.sun_family = AF_UNIX}};
    size_t n = V2_UNIX_PATH, offset = offsetof(struct sockaddr_un, sun_path);
    if (at[0] != '\0')
        n = strnlen((const char *)at, V2_UNIX_PATH);
    else
        while (n > 0 && at[n - 1] == '\0')
            n--;
    memcpy(a.un.sun_path, at, n);
    bool terminated = at[0] != '\0' && n < V2_UNIX_PATH;
    a.len = (socklen_t)(offset + n + (terminated ? 1 : 0));
    *ret = a;
}

/* type, two bytes of length, value; up to the end exactly. */
static bool are_tlvs(const unsigned char *at, size_t n) {
    while (n >= 3) {
        size_t length = 3 + ((size_t)at[1] << 8 | at[2]);
        if (length > n)
            return false;
        at += length;
        n -= length;
    }
    return n == 0;
}

/* What the fixed part says, as far as it is there. PROXY_OK: nothing is wrong so far. */
static ProxyResult check_v2(const unsigned char *data, size_t n, const char **ret_why) {
    if (n > 12 && (data[12] & 0xf0U) != V2_VERSION)
        return bad(ret_why, "neither version 1 nor version 2");
    if (n > 12 && data[12] != V2_LOCAL && data[12] != V2_PROXY)
        return bad(ret_why, "neither LOCAL nor PROXY");
    const V2Family *row = n > 13 && data[12] == V2_PROXY ? v2_family_find(data[13]) : v2_families;
    if (!row)
        return bad(ret_why, "the address family is unknown");
    if (n < V2_FIXED)
        return PROXY_OK;
    size_t length = (size_t)data[14] << 8 | data[15];
    if (length < row->length)
        return bad(ret_why, "too short for its addresses");
    return V2_FIXED + length > PROXY_HEADER_ACCEPT_MAX ? bad(ret_why, "too long") : PROXY_OK;
}

static ProxyResult parse_v2(const unsigned char *data, size_t n, ProxyHeader *ret, size_t *ret_length,
                            const char **ret_why) {
    if (check_v2(data, n, ret_why) == PROXY_BAD)
        return PROXY_BAD;
    if (n < V2_FIXED)
        return PROXY_MORE;
    size_t length = V2_FIXED + ((size_t)data[14] << 8 | data[15]);
    if (n < length)
        return PROXY_MORE;
    /* A LOCAL header's family means nothing, and what follows is thrown away unseen. */
    const V2Family *row = data[12] == V2_LOCAL ? v2_families : v2_family_find(data[13]);
    if (!row)
        return bad(ret_why, "the address family is unknown");
    ProxyHeader h = {.version = PROXY_V2, .local = data[12] == V2_LOCAL, .type = row->type};
    const unsigned char *at = data + V2_FIXED;
    if (row->family != AF_UNSPEC && !are_tlvs(at + row->length, length - V2_FIXED - row->length))
        return bad(ret_why, "what follows the addresses is malformed");
    if (row->family == AF_INET)
        get_inet(at, &h.source, &h.destination);
    else if (row->family == AF_INET6)
        get_inet6(at, &h.source, &h.destination);
    else if (row->family == AF_UNIX) {
        get_path(at, &h.source);
        get_path(at + V2_UNIX_PATH, &h.destination);
    }
    *ret = h;
    *ret_length = length;
    return PROXY_OK;
}

ProxyResult proxy_header_parse(const unsigned char *data, size_t n, ProxyHeader *ret, size_t *ret_length,
                               const char **ret_why) {
    if (n == 0)
        return PROXY_MORE;
    if (data[0] == 'P')
        return parse_v1(data, n, ret, ret_length, ret_why);
    if (memcmp(data, signature, n < sizeof(signature) ? n : sizeof(signature)) == 0)
        return parse_v2(data, n, ret, ret_length, ret_why);
    return bad(ret_why, "no header of the PROXY protocol");
}
