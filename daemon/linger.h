/* SPDX-License-Identifier: MIT */
#pragma once
/* Refused connections on their way out: what was sent to them would be lost if the socket were closed while
 * something of theirs is unread (the kernel answers that with a reset). So what they send is taken in and
 * thrown away, until they close, for a second at most, and of a bounded number of them. */
#include <systemd/sd-event.h>

#include "daemon/base/blob.h"
#include "daemon/discard.h"

#define LINGER_MAX 64
#define LINGER_USEC 1000000ULL

typedef struct Linger Linger;

/* Without any, it has no descriptor and no timer. They are given up to @discard. 0 or -ENOMEM. */
int linger_new(sd_event *loop, Discard *discard, Linger **ret);
Linger *linger_free(Linger *l); /* closes them all; returns NULL */
/* Sends nothing more to @fd, which is taken over, and closes it when the other end has, or the time is over;
 * at once when there are too many. */
void linger_add(Linger *l, int fd);
/* For who is told nothing: takes in what has come so far, and gives @fd up to @discard, so that the other end
 * sees an end and no reset. Returns -EBADF. */
int linger_not(Discard *discard, int fd);

/* See handover.h. One that cannot be watched again is closed. 0 or -EBADMSG. */
void linger_save(BlobWriter *w, const Linger *l);
int linger_restore(BlobReader r, Linger *l);
