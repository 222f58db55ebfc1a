/* SPDX-License-Identifier: MIT */
#pragma once
/* A client of the control socket: its credentials, the bytes to and from it, and what it waits for.
 * Everything that it can make us keep is bounded; one that does not keep to the rules loses its connection,
 * and nothing else happens. */
#include <stdbool.h>
#include <systemd/sd-event.h>

#include "ctl/proto/api.h"
#include "ctl/proto/frame.h"
#include "daemon/base/list.h"
#include "daemon/control-stream.h"
#include "daemon/discard.h"
#include "daemon/manager.h"

/* A request's longest; how much may wait to be read by a client before nothing more of a long reply is made;
 * before it takes no more requests; and before it misses events. */
#define CLIENT_REQUEST_MAX ((size_t)64 << 10)
#define CLIENT_STREAM_PAUSE ((size_t)64 << 10)
#define CLIENT_OUTPUT_PAUSE ((size_t)256 << 10)
#define CLIENT_FOLLOW_MAX ((size_t)256 << 10)
/* How long a request that was begun may take, and how long a client may take nothing of what waits for it. */
#define CLIENT_REQUEST_TIME_USEC (30 * 1000000ULL)
#define CLIENT_STALL_TIME_USEC (30 * 1000000ULL)
#define CLIENT_STALL_LOOK_USEC (5 * 1000000ULL)

typedef enum ClientWait {
    WAIT_NOTHING,
    WAIT_ORDER,    /* until what was asked of services is done */
    WAIT_SHUTDOWN, /* until the daemon ends */
    WAIT_UPGRADE,  /* until another program runs in its place, or cannot */
    /* No upgrade begins before these are over. */
    WAIT_RELOAD, /* until the config has been loaded again, and applied */
    WAIT_CHECK,  /* the same, but nothing is applied */
    /* Until its message has been read: see interpreter.h. */
    WAIT_READING,
} ClientWait;

typedef struct Client Client;

typedef struct ClientHandler {
    /* One whole message; the answer goes to client_out() or comes later. -EBADMSG closes. */
    int (*message)(Client *c, const char *json, size_t n, void *userdata);
    /* It has sent more than one message: client_take_turn() is to be called, when others have had their turn.
     */
    void (*turn)(Client *c, void *userdata);
    /* It has read some, and is owed more: the next part of a reply, or word of what it has missed. */
    void (*room)(Client *c, void *userdata);
    /* It is gone, or to go: the owner frees it. */
    void (*gone)(Client *c, void *userdata);
    void *userdata;
    Discard *discard; /* its socket goes there */
} ClientHandler;

struct Client {
    List link;
    int fd;
    uid_t uid;
    gid_t gid;
    gid_t *groups;
    size_t n_groups;
    sd_event *loop;
    sd_event_source *source;
    sd_event_source *deadline; /* of a request that was begun */
    sd_event_source *stall;    /* looks whether it takes what waits for it */
    uint64_t taken_usec;       /* when that was last seen to move; monotonic */
    uint64_t sent_ever, sent_seen;
    int queue_seen; /* bytes in the socket that it had not read then */
    const ClientHandler *handler;
    Frame in;
    Text out;
    size_t sent; /* of out */
    bool failed; /* to be freed at the next chance */
    bool busy;   /* a handler of its own runs */
    bool ended;  /* it sends no more; what it has asked for is still answered */
    bool asleep; /* restored, and not ours yet: nothing is sent, received or looked at before client_resume()
                  */
    uint64_t deadline_usec; /* then: of its request; 0: none is begun */
    /* The call being answered. */
    ClientWait wait;
    bool more;
    char **services;
    ServiceVerb verb;   /* of an order: what was asked of them; */
    uint64_t load;      /* of WAIT_RELOAD, WAIT_CHECK: the number of the load that was asked for */
    uint64_t *orders;   /* and the count of orders of each then: one more, and it is overtaken; */
    uint64_t told_mark; /* and how far it was */
    uint64_t told_usec; /* when the client was last told; monotonic, 0: not yet */
    Stream *stream;     /* a reply that is made in parts */
    bool following;     /* Events with more */
    char *follow;       /* of this service, or NULL: all */
    Text reading;       /* of WAIT_READING: the message */
    uint64_t missed;    /* events that it did not read in time, and has not been told of */
};

/* Takes @fd over in any case. 0 or a negative errno. */
int client_new(sd_event *loop, int fd, const ClientHandler *handler, Client **ret);
Client *client_free(Client *c); /* returns NULL */
/* What is to be sent: append, then client_flush(). */
Text *client_out(Client *c);
void client_flush(Client *c);
/* What was appended goes out in a turn of its own. */
void client_flush_later(Client *c);
size_t client_unsent(const Client *c);
/* A call is open that has not been answered: no further one is taken. */
bool client_is_waiting(const Client *c);
/* Whether a message is there that it can be answered now; and answers it. May free @c. */
bool client_wants_turn(const Client *c);
void client_take_turn(Client *c);
/* The open call was answered: sends that, and takes up the next one in its turn. May free @c. */
void client_go_on(Client *c);
/* Keeps the message, which is to be read elsewhere. 0 or -ENOMEM. */
int client_keep_reading(Client *c, const char *json, size_t n);
/* It has been read; what follows is a turn of the client's, until client_end_turn(), which may free @c. */
void client_begin_turn(Client *c);
void client_end_turn(Client *c);
/* Nothing is owed to it any more: the open call is forgotten. */
void client_forget_call(Client *c);
/* Root, the daemon's own user, or named in control.manage; who or whose group is ID_NOBODY is not by that,
 * nor is the user of that number by any group. */
bool client_may_change(const Client *c, const Config *config);

/* See handover.h. One that waits for what has no word in the blob is left out, and so loses its connection.
 */
bool client_can_be_saved(const Client *c);
void client_save(BlobWriter *w, const Client *c);
/* 0, with *ret NULL when it cannot go on: its connection is closed then; or -EBADMSG. */
int client_restore(BlobReader r, sd_event *loop, const ClientHandler *handler, Client **ret);
/* It is ours now: sends what waits for it, takes up what it has sent. May free @c. */
void client_resume(Client *c);
