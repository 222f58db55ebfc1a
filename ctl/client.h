/* SPDX-License-Identifier: MIT */
#pragma once
/* A connection to the daemon's control socket: calls out, replies in, each within a time. */
#include <jansson.h>
#include <stdbool.h>
#include <stdint.h>

#include "daemon/base/cleanup.h"

typedef struct Client Client;

/* One reply; owns its JSON. */
typedef struct Reply {
    json_t *root;
    const char *error;  /* qualified name, or NULL */
    json_t *parameters; /* an object; borrowed from root */
    bool continues;
} Reply;

void reply_done(Reply *r);
#define CLEANUP_REPLY CLEANUP(reply_done)

/* Connects to the UNIX socket at @path ("@name": abstract). Returns 0 with @ret, or a negative errno of
 * connect(2), -ENAMETOOLONG. */
int client_open(const char *path, Client **ret);
/* The same, and -EAGAIN when a daemon that hangs leaves us in its queue for @timeout_usec (0: however long).
 */
int client_open_within(const char *path, uint64_t timeout_usec, Client **ret);
Client *client_free(Client *c); /* returns NULL */
DEFINE_CLEANUP(Client *, client_free);
/* For poll(2): readable when client_receive() has something to do. */
int client_fd(const Client *c);

/* Sends one call; @parameters (taken over) may be NULL. 0 or a negative errno. */
int client_send(Client *c, const char *method, json_t *parameters, bool more);
/* Waits for the next reply. 0 with @ret, -ETIMEDOUT, -ECONNRESET when the daemon closed the connection,
 * -EBADMSG when what comes is no reply, -EMSGSIZE, -ENOMEM. */
int client_receive(Client *c, uint64_t timeout_usec, Reply *ret);
/* The same, but for -EINTR as soon as there is something to read from @fd (negative: none). */
int client_receive_or(Client *c, uint64_t timeout_usec, int fd, Reply *ret);
