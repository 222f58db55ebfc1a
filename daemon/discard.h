/* SPDX-License-Identifier: MIT */
#pragma once
/* Sockets that are given up although descriptors lie in them which others have passed (base/passed.h), or a
 * process has asked for close(2) to wait: the last copy goes with a process that only ends. One that ends
 * waits for no data (SO_LINGER), and asks no file system about what lies in a socket. */
#include <systemd/sd-event.h>

#include "daemon/errand.h"
#include "daemon/spawn.h"

typedef struct Discard Discard;

/* As long as no process can be had so many are kept; after that they are closed all the same. */
#define DISCARD_MAX 256

/* Without any, it has no process and no timer. It waits for @spawner's flights, which have copies for a
 * moment; NULL: there are none. 0 or -ENOMEM. */
int discard_new(sd_event *loop, Errands *errands, Spawner *spawner, Discard **ret);
Discard *discard_free(Discard *d); /* gives up what it has; returns NULL */
/* Gives @fd up, and returns -EBADF; negative, it is none. It may be any that the daemon has accepted or made,
 * if nobody else has it any more; of a UNIX socket nothing more is sent or received. @d NULL: it is closed.
 */
int discard_socket(Discard *d, int fd);
/* The same of a copy of any socket that a process had, or has: nothing of it is ended, or taken, nor waited
 * for. @d NULL: it is closed. */
int discard_copy(Discard *d, int fd);

/* Of datagram socket @fd: the one at the head of the queue, which has descriptors, is taken away by a process
 * that is killed if it comes to wait; until it has ended, when @done is called, nobody else is to read there.
 * 0 or a negative errno. @d NULL: -ENOSYS. */
int discard_next(Discard *d, int fd, ErrandEnd done, void *userdata);
/* @done is not called any more. @d NULL is fine. */
void discard_forget(Discard *d, const void *userdata);

/* Now, and not in the next turn of the loop; whether none is left. NULL is fine. */
bool discard_now(Discard *d);
