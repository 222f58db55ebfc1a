/* SPDX-License-Identifier: MIT */
#pragma once
/* The node of the control socket: taken under a lock, so that two daemons never fight over it; a stale one is
 * replaced. */
#include <stdbool.h>
#include <sys/types.h>

#include "conf/config.h"
#include "daemon/base/blob.h"

typedef struct ControlSocket {
    char *path;
    int lock_fd;
    int fd;
    dev_t dev;
    ino_t ino;
} ControlSocket;

/* Locks @path and makes sure that nobody listens there; where a daemon that is no more has left processes
 * that still do, waits for some seconds until they do not. 0; -EADDRINUSE when somebody does; -EEXIST when
 * something that is no socket stands there; -EPERM when the folder can be written by others; or another
 * negative errno. *ret_step tells what failed. */
int control_socket_take(ControlSocket *s, const char *path, const char **ret_step);
/* Whether somebody may connect to a socket of this mode and group ((gid_t)-1: the daemon's own) who is not
 * among those who may change things, as far as the config says. Pure. */
bool control_socket_admits_others(mode_t mode, gid_t gid, const gid_t *manage_gids, size_t n);
/* Binds and listens. */
int control_socket_listen(ControlSocket *s, mode_t mode, gid_t gid, const char **ret_step);
void control_socket_done(ControlSocket *s);
/* Gives the node this mode and group. */
int control_socket_refresh(const ControlSocket *s, mode_t mode, gid_t gid);

/* See handover.h. 0, -EBADMSG, -ENOMEM. */
void control_socket_save(BlobWriter *w, const ControlSocket *s);
int control_socket_restore(BlobReader r, ControlSocket *s);
