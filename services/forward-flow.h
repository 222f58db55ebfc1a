/* SPDX-License-Identifier: MIT */
#pragma once
/* A flow: one direction of a forwarded connection, from one socket to another. It takes in only what it can
 * give out next, so that a slow receiver slows the sender, and it passes the end on: half-closed connections
 * stay half-closed. */
#include <stdbool.h>
#include <stdint.h>

#include "services/forward-carrier.h"

/* One of the two sockets, non-blocking, with what is known of it. */
typedef struct End {
    int fd;
    bool messages;   /* seqpacket: recv(2) and send(2) take whole messages */
    bool splice_in;  /* splice(2) can read it, as far as is known */
    bool splice_out; /* and write it */
    bool readable;   /* not known to block */
    bool writable;
    bool dead; /* an error ended it, both ways */
} End;

typedef struct Flow {
    Carrier *carrier; /* NULL: nothing waits */
    uint64_t bytes;   /* given out */
    bool ended;       /* the source has no more */
    bool shut;        /* and the destination was told so */
    bool broken;      /* the destination takes no more: what still comes is thrown away */
    bool last;        /* the other direction is over: the close of the destination tells it the end */
} Flow;

/* Fills an end in for the socket @fd of type @type, of which the flows are told readiness later. */
void end_init(End *e, int fd, int type);

typedef enum FlowStep {
    FLOW_WAITS, /* for one of the ends to become ready; or it is over */
    FLOW_MORE,  /* it could go on, but others should have their turn */
} FlowStep;

/* Moves what can be moved without waiting, a bounded number of bytes. What goes wrong shows in the ends and
 * the flow. */
FlowStep flow_step(Flow *f, End *from, End *to, CarrierStock *stock);
/* Puts @n bytes in front of all others; before the first step. 0 or -ENOMEM. */
int flow_prepend(Flow *f, CarrierStock *stock, const unsigned char *data, size_t n);
/* The destination takes no more: what waits is lost. */
void flow_break(Flow *f, CarrierStock *stock);
