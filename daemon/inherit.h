/* SPDX-License-Identifier: MIT */
#pragma once
/* Sockets, fifos and message queues passed in by a service manager (sd_listen_fds(3)): matched to listeners
 * by address and type, or by name. */
#include <stdbool.h>
#include <stddef.h>

#include "daemon/eventlog.h"
#include "daemon/keep.h"
#include "daemon/listener.h"

#define LEDGER_FD_NAME FD_STORE_PREFIX "ledger"
#define STATE_FD_NAME FD_STORE_PREFIX "state"

typedef struct PassedSocket {
    int fd;       /* -EBADF once it is adopted */
    bool by_name; /* for systemd:NAME */
    char *name;
    EndpointKind kind;
    Addr addr; /* of a fifo and a message queue empty */
    bool listening;
    bool ours; /* an earlier daemon has opened it, and had it kept: named by `kept` */
    KeptName kept;
} PassedSocket;

typedef struct Inherited Inherited;
struct Inherited {
    PassedSocket *sockets;
    size_t n;
    FdStore *store; /* from where those came that are ours */
    int ledger;     /* what an earlier daemon has written of its processes, and of its state; -EBADF: none */
    int state;
};

/* Takes over what LISTEN_FDS announces, and removes the variables. What could not be listened on is closed
 * with a message, and removed from @store (may be NULL) if it came from there. 0 or a negative errno. */
int inherited_init(Inherited *in, FdStore *store, EventLog *log, int announced);
/* Before anything is opened, which would have a number that was announced and not passed: 0, or a negative
 * errno, which is @announced. */
int inherited_check_announcement(void);
/* Whether @socket can serve as the listener of @config's address @index. By address: the same one and the
 * same kind. By name (@by_name): the listener's name, the same kind and family; of systemd:NAME that name,
 * and any kind. Pure but for the path of a UNIX socket, a fifo or a queue, which must still lead to it. */
bool inherited_matches(const PassedSocket *socket, const ListenConfig *config, size_t index, bool by_name);
/* The same for one that is ours, which has @digest as the name of its listener (@by_name), or the address. */
bool inherited_is_kept(const PassedSocket *socket, const ListenConfig *config, size_t index, uint64_t digest,
                       bool by_name);
/* Gives @l the socket that is its own, by an earlier daemon or by address, if there is one; or one of its
 * name (@by_name), which is to be asked for when all have had the first. */
bool inherited_adopt(Inherited *in, Listener *l, bool by_name);
/* Closes what nobody wanted, with a message each. */
void inherited_done(Inherited *in, EventLog *log);
