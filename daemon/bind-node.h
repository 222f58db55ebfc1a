/* SPDX-License-Identifier: MIT */
#pragma once
/* What is listened on without being a socket: fifos, and the message queues of mq_overview(7). Both are made
 * when they are missing, taken as they are when they are there, and removed only by who made them. */
#include "daemon/bind.h"

/* Opens the fifo for reading and writing; -EEXIST: what stands there is no fifo. @ret has dev and ino if it
 * was made. */
int bind_fifo(const ListenConfig *config, BoundSocket *ret, const char **ret_step);
/* The same for a message queue. */
int bind_mqueue(const ListenConfig *config, BoundSocket *ret, const char **ret_step);

/* Gives the queue that is open at @fd its owner and mode. 0 or a negative errno. */
int bind_adjust_mqueue(const ListenConfig *config, int fd);
/* Removes the queue @name if it is still the one with @dev and @ino, and nothing is left in it. Whether that
 * one is gone now. */
bool bind_remove_mqueue(const char *name, dev_t dev, ino_t ino);
/* In words, how what was there already, open at @fd, is not what @config asks for, or belongs to somebody who
 * is neither root, the daemon's user, the configured one nor @uid; NULL when all is well. Returns @buf. */
const char *bind_node_note(const ListenConfig *config, int fd, uid_t uid, char *buf, size_t size);
/* Whether @fd is open on what stands at the fifo's path or has the queue's name. */
bool bind_node_is(const Endpoint *endpoint, int fd);
