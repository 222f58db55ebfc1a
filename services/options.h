/* SPDX-License-Identifier: MIT */
#pragma once
/* The command line that the shipped services have in common. */
#include <stdbool.h>
#include <stdint.h>

#include "services/serve.h"

typedef struct Options {
    uint64_t idle_sec;  /* without work for so long, a service that was given listeners ends; 0: never */
    uint64_t drain_sec; /* connections have so long to end after TERM */
    uint64_t max_connections; /* at once */
    /* Only of a protocol with `shapes`. */
    uint64_t model;     /* a ShapeModel */
    uint64_t workers;   /* processes of prefork, threads of thread-pool */
    uint64_t queue;     /* connections that wait for a thread of thread-pool */
    uint64_t when_full; /* a ShapeWhenFull: what becomes of more than that */
} Options;

/* Fills @ret with what the command line says, or the defaults. Returns true to go on; else the process should
 * end with
 * @ret_status: help was given, or the command line is wrong and was told so. */
bool options_parse(const Protocol *protocol, int argc, char **argv, Options *ret, int *ret_status);
