/* SPDX-License-Identifier: MIT */
#pragma once
/* A link: one client's connection and the one to the backend that belongs to it.
 *
 *     HELD ----> CONNECTING ----> OPEN ----> LINGERING ----> gone
 *      ^  <------'    |                          ^
 *      |              '--------------------------' the backend cannot be reached
 *      the backend is not ready, not there yet, or full
 *
 * Links are all the links of the process, with the times by which something happens to them. While the
 * backend is absent only one link at a time tries it; the others are released when it answers. */
#include <stdbool.h>
#include <stdint.h>

#include "services/forward-options.h"
#include "services/forward-trouble.h"

typedef struct Links Links;

typedef struct LinksCount {
    uint64_t active; /* links there are */
    uint64_t ended;
    uint64_t opened;   /* for which the backend was reached */
    uint64_t bytes_in; /* from clients to the backend */
    uint64_t bytes_out;
    uint64_t failed; /* links for which the backend was not reached */
} LinksCount;

/* Of whom the PROXY header tells; AF_UNSPEC: what the socket says. */
typedef struct LinkPeer {
    Addr source;
    Addr destination;
} LinkPeer;

/* @options and @trouble must outlive it; @epoll is not owned. NULL when memory ran out. */
Links *links_new(const ForwardOptions *options, Trouble *trouble, int epoll);
Links *links_free(Links *ls);
/* Takes the connection @fd over, on success and on failure; @shared: others have it too, so that closing it
 * may not end it. 0 or a negative errno. @peer may be NULL. */
int links_add(Links *ls, int fd, bool shared, const LinkPeer *peer, uint64_t now_usec);
/* After a wake-up: what is due by @now_usec, and who still has work. */
void links_serve(Links *ls, uint64_t now_usec);
/* When links_serve() must be called next without an event; 0 at once. */
uint64_t links_due(const Links *ls);
LinksCount links_count(const Links *ls);
/* The time of this wake-up, for what events cause. */
void links_set_now(Links *ls, uint64_t now_usec);

/* The backend is not ready, so clients are held (true), or it is (false). */
void links_hold(Links *ls, bool hold);
/* It will not become ready: who is held is closed. */
void links_refuse_held(Links *ls);
