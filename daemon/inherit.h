/* SPDX-License-Identifier: MIT */
#pragma once
/* Sockets passed in by a service manager (sd_listen_fds(3)): matched to listeners by address and type, or by
 * name. */
#include <stdbool.h>
#include <stddef.h>

#include "daemon/eventlog.h"
#include "daemon/listener.h"

typedef struct PassedSocket {
    int fd; /* -EBADF once it is adopted */
    char *name;
    Addr addr;
    int type; /* SOCK_STREAM, … */
    bool listening;
} PassedSocket;

typedef struct Inherited Inherited;
struct Inherited {
    PassedSocket *sockets;
    size_t n;
};

/* Takes over what LISTEN_FDS announces, and removes the variables. What is no socket that could be listened
 * on is closed with a message. 0 or a negative errno. */
int inherited_init(Inherited *in, EventLog *log);
/* Whether @socket can serve as the listener of @config's address @index. By address: the same one and the
 * same type. By name (@by_name): the listener's name, the same type and family. Pure but for the path of a
 * UNIX socket, which must still lead to it. */
bool inherited_matches(const PassedSocket *socket, const ListenConfig *config, size_t index, bool by_name);
/* Gives @l the socket that fits it best, if there is one. */
bool inherited_adopt(Inherited *in, Listener *l);
/* Closes what nobody wanted, with a message each. */
void inherited_done(Inherited *in, EventLog *log);
