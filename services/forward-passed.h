/* SPDX-License-Identifier: MIT */
#pragma once
/* Connections that the daemon accepts and passes one by one, each with what it knows of the peer:
 * MP_CONNECTION_FD. The same facts stand in the environment of a process that serves one connection. */
#include "services/forward-link.h"

/* The peer that "KEY=VALUE\n" lines tell of (PROTO, TCPREMOTEIP, …); what they do not tell, or wrongly, stays
 * AF_UNSPEC. Pure. */
void passed_parse(const char *lines, size_t n, LinkPeer *ret);
/* The same of the environment. */
void passed_from_environment(LinkPeer *ret);

/* The descriptor of MP_CONNECTION_FD, made close-on-exec; -ENOENT: there is none; -EINVAL or -EBADF: it is no
 * descriptor. */
int passed_fd(void);
/* Receives one connection without waiting. 1: stored in @ret_fd, which the caller owns, with its peer in
 * @ret; 0: there will be no more; -EAGAIN: none is there now; -EBADMSG: a message without one, or that was
 * cut; or another errno. */
int passed_receive(int fd, int *ret_fd, LinkPeer *ret);
