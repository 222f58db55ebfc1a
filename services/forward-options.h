/* SPDX-License-Identifier: MIT */
#pragma once
/* The command line of mp-forward. */
#include <stdbool.h>
#include <stdint.h>

#include "services/forward-backend.h"

typedef struct ForwardOptions {
    Backend backend;
    uint64_t idle_usec; /* without a byte for so long a connection is closed; USEC_INFINITY: never */
    uint64_t connect_timeout_usec;
    uint64_t retry_usec; /* for so long an absent backend is tried again */
    uint64_t udp_idle_usec;
    uint64_t exit_idle_usec; /* USEC_INFINITY: never */
    uint64_t drain_usec;
    uint64_t max_connections; /* and datagram sessions of each listener */
    int proxy;                /* 0, or a ProxyVersion */
    int wait_file;            /* tells whether the backend is ready; -EBADF: it is */
} ForwardOptions;

/* Fills @ret. Returns true to go on; else the process should end with @ret_status: help was given, or the
 * command line is wrong and was told so. */
bool forward_options_parse(int argc, char **argv, ForwardOptions *ret, int *ret_status);
