/* SPDX-License-Identifier: MIT */
#pragma once
/* A target: what a client connects to, written as an endpoint of the config, with names of hosts besides. */
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "daemon/base/addr.h"

typedef enum TargetKind {
    TARGET_TCP,
    TARGET_UDP,
    TARGET_UNIX,
    TARGET_UNIX_DGRAM,
    TARGET_UNIX_SEQPACKET,
    TARGET_VSOCK,
    _TARGET_KIND_MAX,
} TargetKind;

#define TARGET_TEXT_MAX 320
#define TARGET_ADDRESSES_MAX 8

typedef struct Target {
    TargetKind kind;
    char text[TARGET_TEXT_MAX]; /* as written */
    char host[256];             /* "": this host, both families */
    char port[64];              /* a number or a name of services(5) */
    char path[128];             /* of unix: "@name" is abstract */
    uint32_t cid, vsock_port;
} Target;

/* Parses @s. Returns 0, or -EINVAL with what is wrong in *@ret_why, a static sentence. Pure. */
int target_parse(const char *s, Target *ret, const char **ret_why);

/* SOCK_STREAM, SOCK_DGRAM or SOCK_SEQPACKET. */
int target_socket_type(const Target *t);
/* Whether what is sent keeps its bounds: datagrams and seqpacket. */
bool target_has_records(const Target *t);

typedef struct TargetAddresses {
    Addr list[TARGET_ADDRESSES_MAX];
    size_t n;
} TargetAddresses;

/* The addresses to try, in this order: at least one. Looks names up, which may take its time. Returns 0, or
 * -EADDRNOTAVAIL with the reason in *@ret_why. */
int target_resolve(const Target *t, TargetAddresses *ret, const char **ret_why);

/* "127.0.0.1:7", "/run/x.sock", "vsock:2:1024"; for messages. Returns @buf. */
#define TARGET_ADDRESS_TEXT_MAX ADDR_TEXT_MAX
const char *target_format_address(const Addr *a, char buf[static TARGET_ADDRESS_TEXT_MAX]);
