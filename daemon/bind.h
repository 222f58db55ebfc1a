/* SPDX-License-Identifier: MIT */
#pragma once
/* Opening what an endpoint names. Of a socket: create, options, bind, listen; stale UNIX nodes are replaced,
 * live ones never. */
#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include "conf/config.h"

typedef struct BoundSocket {
    int fd;
    Addr addr; /* as getsockname(2) tells it: with the port that the kernel chose */
    dev_t dev; /* of the node or queue that it has made, and is to remove; ino 0: none */
    ino_t ino;
} BoundSocket;

/* Opens address @i of @config's endpoint, of any kind, as bind_socket() does. Of systemd: -ENOENT, always:
 * such a socket can only be adopted. */
int bind_open(const ListenConfig *config, size_t i, uint16_t port, BoundSocket *ret, const char **ret_step);
/* Removes what bind_open() has made and @dev and @ino tell of. Whether that is gone now; a message queue with
 * messages in it stays. */
bool bind_remove(const Endpoint *endpoint, dev_t dev, ino_t ino);
/* Whether @fd is open on the file with @dev and @ino. */
bool bind_is_open_on(int fd, dev_t dev, ino_t ino);
/* Gives it the owner and mode that @config has by now. As bind_adjust_node(). */
int bind_adjust(const ListenConfig *config, int fd, dev_t dev, ino_t ino);

/* Opens address @i of @config's endpoint, with @port in place of the endpoint's if it is not 0. Returns 0
 * with @ret, or a negative errno and in *@ret_step what failed ("socket", "device", "bind", "listen", …).
 * -EADDRINUSE: also a live UNIX socket; -EEXIST: something that is no socket stands at the path. */
int bind_socket(const ListenConfig *config, size_t i, uint16_t port, BoundSocket *ret, const char **ret_step);

/* Removes the node of a UNIX socket or a fifo if it is still the one with @dev and @ino. */
void bind_remove_node(const char *path, dev_t dev, ino_t ino);

/* Gives the node its owner ((uid_t)-1, (gid_t)-1: as it is) and mode, if it is still the one with @dev and
 * @ino: whoever may write to its folder could have put a link there. 0, -ESTALE when it is another, or
 * another negative errno. */
int bind_adjust_node(const char *path, dev_t dev, ino_t ino, uid_t user, gid_t group, mode_t mode);

/* Whether somebody listens on the UNIX socket at @addr: 1 live, 0 stale, -ENOENT nothing there, -EEXIST no
 * socket, or another negative errno. Whoever is there does not notice. */
int bind_probe_node(const Addr *addr);

/* Sets the options that an open listener takes as well as a new one. */
int bind_set_options(int fd, const ListenConfig *config, const char **ret_step);
/* Sets those in which @to differs from @from on a socket that is open; what @to does not give gets the
 * kernel's default again. 0, or a negative errno with what failed in *@ret_step: those before it are set. */
int bind_change_options(int fd, const ListenConfig *from, const ListenConfig *to, const char **ret_step);

/* So that a socket can be bound beside another of ours whose address is, in part, the same: both let that
 * happen for a moment. */
void bind_share(int fd, bool shared);
/* Nothing that is sent to its address reaches it from now on: it goes where it would go if this one was
 * closed. Who has begun to connect, or waits in its queue, can still be accepted. Of the internet kinds. 0 or
 * a negative errno. */
int bind_unhook(int fd);
/* Undoes that; @device as it was before, or NULL. Takes CAP_NET_RAW. 0 or a negative errno. */
int bind_hook(int fd, const char *device);
