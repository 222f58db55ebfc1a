/* SPDX-License-Identifier: MIT */
#pragma once
/* The kernel tells of the end of TCP connections as it comes (netlink, sock_diag(7); the groups
 * SKNLGRP_INET_TCP_DESTROY and SKNLGRP_INET6_TCP_DESTROY), with their last figures. It tells of all in the
 * network namespace; a filter in the kernel lets pass those of the ports that are asked for. */
#include <linux/filter.h>
#include <systemd/sd-event.h>

#include "daemon/sock-query.h"

typedef struct SockEnds SockEnds;

/* The connection with this cookie has ended. May not free the SockEnds. */
typedef void (*SockEndsTold)(uint64_t cookie, const SockInfo *last, void *userdata);
/* So many times some have been lost, since more came than could be taken in. */
typedef void (*SockEndsLost)(uint64_t times, void *userdata);

/* Begins to listen, for no port yet. 0, or why the kernel does not tell: a negative errno. */
int sock_ends_new(sd_event *loop, SockEndsTold told, SockEndsLost lost, void *userdata, SockEnds **ret);
SockEnds *sock_ends_free(SockEnds *e); /* returns NULL; NULL is fine */

/* Connections whose own port this is are told of from now on. 0 or a negative errno. */
int sock_ends_add_port(SockEnds *e, uint16_t port);
/* Takes in what is there now, within reason. */
void sock_ends_read(SockEnds *e);

/* The upgrade in place: what nobody has read yet stays to be read. 0, -EBADMSG or another negative errno. */
void sock_ends_save(BlobWriter *w, const SockEnds *e);
int sock_ends_restore(BlobReader in, sd_event *loop, SockEndsTold told, SockEndsLost lost, void *userdata,
                      SockEnds **ret);

/* The parts that do no I/O. */
/* So many ports are told apart; beyond, all connections are told of. */
#define SOCK_ENDS_PORTS_MAX 64
#define SOCK_ENDS_FILTER_MAX (SOCK_ENDS_PORTS_MAX + 3)
/* Writes the filter for @n ports, no more than SOCK_ENDS_PORTS_MAX; its length. */
size_t sock_ends_filter(const uint16_t *ports, size_t n, struct sock_filter ret[static SOCK_ENDS_FILTER_MAX]);
/* Reads one datagram of @n bytes. False when it does not tell of an end. */
bool sock_ends_parse(const char *data, size_t n, uint64_t *ret_cookie, SockInfo *ret);
