/* SPDX-License-Identifier: MIT */
#pragma once
/* How many connections wait in the queue of a listening UNIX socket, and how many may: the kernel tells it by
 * sock_diag(7) alone. One question by the socket's own number, answered at once. */
#include <stddef.h>
#include <stdint.h>

/* Of the listening socket @fd. 0, or a negative errno when the kernel does not say (another network, no
 * unix_diag). Never waits. */
int unix_queue_ask(int fd, int64_t *ret_queued, int64_t *ret_backlog);

/* The parts that do no I/O. */
#define UNIX_QUEUE_REQUEST_MAX 64
/* Writes the question about the socket with number @inode; its length. */
size_t unix_queue_request(uint32_t inode, char buf[static UNIX_QUEUE_REQUEST_MAX]);
/* What the @n bytes of the answer say of @inode. 0 or a negative errno. */
int unix_queue_parse(uint32_t inode, const char *data, size_t n, int64_t *ret_queued, int64_t *ret_backlog);
