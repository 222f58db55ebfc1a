/* SPDX-License-Identifier: MIT */
#pragma once
/* The command line of mp-client. */
#include "services/cli-options.h"

typedef struct ClientOptions {
    bool split, quiet, no_half_close, no_input, whole;
    bool load, json, read;
    uint64_t timeout_usec;         /* 0: not said */
    uint64_t at_once, connections; /* 0: not said */
    uint64_t time_usec, hold_usec; /* USEC_INFINITY, 0: not said */
    uint64_t size, requests, seed; /* 0 size: not said */
    const char *send, *expect;     /* a text, or file:/path; NULL: not said */
} ClientOptions;

extern const CliProgram client_program;

/* Fills @ret and the target's text. Returns true to go on; else the process should end with cli->status.
 * cli_done(@cli) in any case. */
bool client_options_parse(int argc, char **argv, ClientOptions *ret, Cli *cli);
