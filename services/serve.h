/* SPDX-License-Identifier: MIT */
#pragma once
/* The frame of the shipped services: a program says by a table what its protocol does, and serve_main() does
 * it for whatever sockets the process was given. */
#include "services/datagram.h"
#include "services/stream.h"

typedef struct Protocol {
    const char *name;  /* of the program: "mp-echo" */
    const char *about; /* what it does, one line, beginning with a verb */
    StreamProtocol stream;
    DatagramReply *reply;
    bool shapes; /* has --model: can be served in the shapes of shape.h */
} Protocol;

/* Reads the options, takes the sockets (stdio or LISTEN_FDS) and serves them to their end. Returns the exit
 * status: 0 served, 1 failed, 2 usage. */
int serve_main(const Protocol *protocol, int argc, char **argv);
