/* SPDX-License-Identifier: MIT */
#pragma once
/* A socket address as a value: parse, format, compare. Never looks a name up. */
#include <netinet/in.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/socket.h>
#include <sys/un.h>

/* that of older kernels needs sys/socket.h before it */
#include <linux/vm_sockets.h>

#include "daemon/base/blob.h"

typedef struct Addr {
    union {
        struct sockaddr sa;
        struct sockaddr_in in;
        struct sockaddr_in6 in6;
        struct sockaddr_un un;
        struct sockaddr_vm vm;
        struct sockaddr_storage storage;
    };
    socklen_t len;
} Addr;

/* Room for any text these functions write, the NUL included. */
#define ADDR_TEXT_MAX (sizeof(struct sockaddr_un) + 16)

/* Parses a numeric address, "192.0.2.1", "2001:db8::1" or "fe80::1%eth0" (the scope a name of an interface or
 * a number), without brackets, into @ret with @port. Returns 0, -EINVAL if it is no address, or -ENODEV if
 * there is no such interface. */
int addr_parse_ip(const char *s, uint16_t port, Addr *ret);
/* The wildcard address of @family (AF_INET or AF_INET6). */
void addr_any(int family, uint16_t port, Addr *ret);
/* A UNIX address; "@name" is abstract. Returns 0 or -ENAMETOOLONG: a path has at most 107 bytes, unix(7). */
int addr_set_unix(const char *path, Addr *ret);

/* "192.0.2.1:80", "[2001:db8::1]:80", "/path", "@name", of a vsock "3:80" or "any:80"; "" for an unnamed UNIX
 * socket. Returns @buf. */
const char *addr_format(const Addr *a, char buf[static ADDR_TEXT_MAX]);
/* The same without a port and brackets: "2001:db8::1". */
const char *addr_format_host(const Addr *a, char buf[static ADDR_TEXT_MAX]);
/* 0 of what has no port of this size: that of a vsock is in vm.svm_port. */
uint16_t addr_port(const Addr *a);
void addr_set_port(Addr *a, uint16_t port);
/* An IPv4-mapped IPv6 address becomes the IPv4 address that it stands for (RFC 4291, 2.5.5.2). */
void addr_unmap(Addr *a);
/* Same family, address, port and scope, or the same path. */
bool addr_equal(const Addr *a, const Addr *b);
/* Same family and host, whatever the ports; the wildcard is a host of its own. */
bool addr_host_equal(const Addr *a, const Addr *b);
bool addr_is_wildcard(const Addr *a);

/* As a field of a blob, which one without a length is left out of; and back: what is no whole address spoils
 * the blob. */
void addr_put(BlobWriter *w, uint16_t tag, const Addr *a);
Addr addr_get(const BlobField *f);
