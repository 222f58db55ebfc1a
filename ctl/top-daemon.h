/* SPDX-License-Identifier: MIT */
#pragma once
/* What top asks the daemon, and when. It never waits for an answer, and connects again when the daemon was
 * away. */
#include "ctl/ctl.h"
#include "ctl/top-model.h"

/* Status, Instances and Signal: at most one of each is under way. */
#define TOP_CALLS_MAX 3

typedef struct TopDaemon {
    char *path;                  /* the socket of the first connection */
    Client *client;              /* NULL while it is away */
    Method calls[TOP_CALLS_MAX]; /* what is awaited, in this order */
    size_t n_calls;
    uint64_t asked_usec;      /* when the first of them was sent, or the last answer came */
    uint64_t status_due_usec; /* when to look next; or to connect, without a client */
    bool instances_due;       /* with every status */
    json_t *parts;            /* instances that came so far */
    char *instances_of;       /* whom they were asked of; NULL: all */
    bool instances_asked;
    Text trouble; /* what is wrong with the daemon; "" nothing */
    Text said;    /* how the last signal went */
    bool said_bad;
} TopDaemon;

/* Connects. 0, or the exit status after saying why. */
int top_daemon_open(TopDaemon *d, Ctl *c);
void top_daemon_done(TopDaemon *d);
#define CLEANUP_TOP_DAEMON CLEANUP(top_daemon_done)

/* For poll(2); negative: none. */
int top_daemon_fd(const TopDaemon *d);
/* Asks what is due. With @paused only for instances of a service that was not asked for. Returns whether the
 * screen has changed. */
bool top_daemon_ask(TopDaemon *d, const TopModel *m, uint64_t delay_usec, bool paused, bool instances,
                    uint64_t now_usec);
/* Takes what has come. Returns as above. */
bool top_daemon_read(TopDaemon *d, TopModel *m, uint64_t delay_usec, uint64_t now_usec);
/* When top_daemon_ask() has something to do without anything having come. */
uint64_t top_daemon_next(const TopDaemon *d, bool paused);
/* Sends TERM to an instance, or, with @pid < 0, to all of a service. */
void top_daemon_kill(TopDaemon *d, const char *service, int64_t pid, uint64_t now_usec);
