/* SPDX-License-Identifier: MIT */
#pragma once
/* A listener: the open socket of one address of an endpoint. It opens, is polled while it is armed, tells its
 * service when something waits, and closes. */
#include <stdbool.h>
#include <systemd/sd-event.h>

#include "conf/config.h"
#include "ctl/proto/api.h"
#include "daemon/base/blob.h"
#include "daemon/base/list.h"

struct Service;

typedef struct Listener Listener;
typedef void (*ListenerWake)(Listener *l);

struct Listener {
    List link; /* on its service's `leaving`, once it is there */
    struct Service *service;
    sd_event *loop;
    const ListenConfig *config; /* of the service's config */
    ListenConfig *own_config;   /* or its own, once it is leaving: then `config` is this one; owned */
    uint64_t left_usec;         /* since when it is; monotonic */
    uint64_t left_instance;     /* processes up to this number may have a copy of it */
    uint32_t index;             /* which of the endpoint's addresses */
    uint32_t slot;              /* on-demand: which slot it wakes */
    EndpointKind kind;          /* the endpoint's; of systemd:NAME what was passed in, once it is */
    int fd;
    int parked; /* an adopted socket while it is closed: whoever passed it keeps it bound, so it must be this
                   one again */
    EndpointAddr addr;     /* as it is bound, of what has a port, else empty: see listener_addr() */
    struct StoredFd *kept; /* in the service manager's store; NULL: it is not */
    bool adopted;
    bool restored; /* its own, opened by an earlier daemon, and kept by the service manager since */
    bool armed;
    bool in_lobby;    /* polled there, and not by `source` */
    bool visited;     /* somebody has come: not there again */
    bool untouched;   /* its socket is as bind_open() has made it: nobody else has had it, and it does not
                         block */
    bool unsuitable;  /* what was passed in under its name has no connections, which its service needs */
    bool taking;      /* not polled: a datagram is being taken away, listener_take_away() */
    bool dispensable; /* one of a pair of families that this kernel does not have: not missed */
    dev_t dev;        /* of a node or queue that is ours to remove */
    ino_t ino;
    sd_event_source *source;
    sd_event_source *pause_timer; /* not polled for a while, whatever armed says */
    uint64_t short_usec; /* monotonic: when descriptors or memory last ran out; 0: it has been told that this
                            is over */
    unsigned pause_level;
    bool left_served; /* a process has been started for who waited there */
    bool cut;         /* it drains: its queue takes no more than one */
    bool sealed;      /* and then none */
    bool exhausted;   /* sealed, and nothing is left in its queue */
    bool admitted;    /* who knocked may start a process, which is not there yet */
    unsigned budget;  /* how many connections the next wake-up may take */
    unsigned n_full;  /* so many have taken as many as they might, one after the other */
    int error;        /* errno of the last try to open it, or 0 */
    char *error_step; /* what failed then; NULL: not known */
    ListenerWake wake;
};

/* A closed one. NULL when memory runs out. */
Listener *listener_new(struct Service *service, sd_event *loop, const ListenConfig *config, size_t index);
/* Closes; removes a node or queue that is ours when @remove_node. Returns NULL. */
Listener *listener_free(Listener *l, bool remove_node);

/* Whether @error (an errno) means that this kernel has no IPv6, which nobody asked for by itself. Pure. */
bool listener_family_is_missing(const Listener *l, int error);
/* Opens it, on @port if not 0. 0 or a negative errno, which it also remembers. */
int listener_open(Listener *l, uint16_t port);
/* The same beside others of ours that bind_share() lets it. */
int listener_open_beside(Listener *l, uint16_t port);
/* Takes over the socket of @leaving, which was unhooked and is wanted again after all: with who waits there.
 * 0 or a negative errno. */
int listener_come_back(Listener *l, Listener *leaving);
/* Undoes that. */
void listener_give_back(Listener *l, Listener *leaving);
/* Takes over @fd, which was passed in and is of @kind; @l is then adopted. */
void listener_adopt(Listener *l, int fd, EndpointKind kind, const Addr *addr);
/* Takes over @fd, which an earlier daemon has opened for it, as its own; @dev and @ino (0: none) tell of the
 * node or queue that goes with it. */
void listener_restore(Listener *l, int fd, const Addr *addr, dev_t dev, ino_t ino);
/* Gives its socket a number where lasting ones are; before it is polled or kept. */
void listener_lift(Listener *l);
/* Closes its socket; it may be opened again. One that the service manager keeps beyond our end keeps its node
 * as well. */
void listener_close(Listener *l, bool remove_node);
bool listener_is_open(const Listener *l);
/* Where it is bound, or is to be. Empty of a fifo and a message queue, and of systemd:NAME until something
 * has been passed in. */
Addr listener_addr(const Listener *l);
/* Open, or closed but with a socket that was passed in. */
bool listener_has_socket(const Listener *l);
/* Before its config goes: it keeps what it needs of it. 0 or -ENOMEM. */
int listener_keep_config(Listener *l);

/* Of one in the lobby. */
void listener_leave_lobby(Listener *l, uint32_t revents);
/* Starts or stops polling; @wake is called when something waits. 0 or a negative errno. */
int listener_arm(Listener *l, ListenerWake wake);
void listener_disarm(Listener *l);
/* Does not poll for a while that doubles from 10 ms to half a second: descriptors, processes or memory ran
 * out. */
void listener_pause(Listener *l);
/* The same until @at_usec, CLOCK_MONOTONIC. */
void listener_pause_until(Listener *l, uint64_t at_usec);
/* Somebody was served: the next pause is short again. */
void listener_relax(Listener *l);

/* The next datagram, which has descriptors, is taken away by a process of ours (discard_next()); until then
 * it is not polled. */
void listener_take_away(Listener *l);

/* Before it is closed for good, so that nobody who has been let in is turned away: cut keeps what is queued
 * and lets in one at a time, seal nobody any more (not of an adopted one, which goes on elsewhere, nor while
 * others listen on a UNIX one). Both are of streams; datagrams of the network are stopped by either. */
void listener_cut(Listener *l);
void listener_seal(Listener *l, bool shared);
/* The same at once, for others as well: whoever comes now is refused, or gets to another socket that is bound
 * to his address. Those who wait, or were about to, can be accepted. Not of an adopted one, and not of
 * datagrams while others have it (@shared), who answer by it. */
void listener_unhook(Listener *l, bool shared);
/* Makes its queue as long as configured. */
void listener_refresh(Listener *l);
/* Lets in again as before. A sealed UNIX one cannot: it is exhausted in the end, and then to be opened anew.
 */
void listener_readmit(Listener *l);
/* Whether something waits in its queue. Of a sealed UNIX one true: only accept(2) knows. */
bool listener_has_queued(const Listener *l);
/* The same, and of a sealed one the kernel's tables are asked. */
bool listener_has_waiting(const Listener *l);

/* The process that had it may have changed the flags that we share with it: sets it blocking or not. */
int listener_set_blocking(Listener *l, bool blocking);
/* Its queue as the kernel tells it, of a message queue the messages in it; -1 for what it does not tell. */
void listener_queue(const Listener *l, int64_t *ret_queued, int64_t *ret_backlog);
/* "bind: Address already in use", for people; "" when it is open. Returns @buf. */
const char *listener_error_text(const Listener *l, char *buf, size_t size);

/* The upgrade in place. It is told apart by its place in the config of its service, which listener_place()
 * reads back: which of the endpoints, and which of its addresses. */
void listener_save(BlobWriter *w, const Listener *l, size_t endpoint);
void listener_place(BlobReader r, size_t *ret_endpoint, size_t *ret_index);
/* Into one that is closed. What is no socket of its kind and address spoils the blob. Nothing is opened, and
 * it is not polled yet. */
void listener_load(BlobReader r, Listener *l);
