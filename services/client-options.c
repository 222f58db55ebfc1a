/* SPDX-License-Identifier: MIT */
#include "services/client-options.h"

#include <stddef.h>
#include <string.h>

#include "daemon/base/cleanup.h"
#include "daemon/base/clock.h"

#define AT(field) offsetof(ClientOptions, field)
#define DAY_USEC (86400 * USEC_PER_SEC)

static const CliRow rows[] = {
    {"quiet", 'q', CLI_FLAG, NULL, AT(quiet), 0, 0, "say nothing but errors of this client itself"},
    {"timeout", 't', CLI_DURATION, "TIME", AT(timeout_usec), USEC_PER_MSEC, 365 * DAY_USEC,
     "give up when connecting, or a silence of both sides,\ntakes longer: 10s, 500ms (default: never; with\n"
     "--load for each connection: 10s)"},
    {"no-half-close", 0, CLI_FLAG, NULL, AT(no_half_close), 0, 0, "do not tell the server the end of input"},
    {"no-input", 0, CLI_FLAG, NULL, AT(no_input), 0, 0,
     "send nothing; show what comes until the server ends"},
    {"split", 0, CLI_FLAG, NULL, AT(split), 0, 0, "one process sends, another receives"},
    {"whole", 0, CLI_FLAG, NULL, AT(whole), 0, 0,
     "datagrams and seqpacket: all input is one message,\nnot each of its lines"},
    {"load", 'l', CLI_FLAG, NULL, AT(load), 0, 0, "make load, check every byte, and measure"},
    {"at-once", 'c', CLI_NUMBER, "N", AT(at_once), 1, 1000000,
     "load: so many connections at once (default: 1)"},
    {"connections", 'n', CLI_NUMBER, "M", AT(connections), 1, 1000000000000,
     "load: so many in all (default: as many as at once,\nor as --time allows)"},
    {"time", 'T', CLI_DURATION, "TIME", AT(time_usec), USEC_PER_MSEC, 365 * DAY_USEC,
     "load: begin no more connections after it"},
    {"requests", 'r', CLI_NUMBER, "K", AT(requests), 1, 1000000000,
     "load: so many requests on each connection, one after\nthe other (default: 1)"},
    {"size", 's', CLI_SIZE, "BYTES", AT(size), 1, 1ULL << 40,
     "load: bytes of a request, random ones, which must\ncome back (default: 64)"},
    {"seed", 0, CLI_NUMBER, "N", AT(seed), 0, UINT64_MAX, "load: of the random bytes (default: 1)"},
    {"send", 0, CLI_TEXT, "TEXT", AT(send), 0, 0, "load: send this instead; file:/PATH: what is in it"},
    {"expect", 0, CLI_TEXT, "TEXT", AT(expect), 0, 0,
     "load: the reply to each request, byte for byte;\nfile:/PATH: what is in it"},
    {"read", 0, CLI_FLAG, NULL, AT(read), 0, 0,
     "load: send nothing; the reply is what comes until\nthe server ends"},
    {"hold", 0, CLI_DURATION, "TIME", AT(hold_usec), 0, 365 * DAY_USEC,
     "load: keep each connection open for so long after\nits last reply"},
    {"json", 0, CLI_FLAG, NULL, AT(json), 0, 0, "load: the result as JSON"},
};

const CliProgram client_program = {
    .name = "mp-client",
    .synopsis = "mp-client [OPTION...] ENDPOINT\n"
                "mp-client --load [OPTION...] ENDPOINT\n",
    .about = "Sends its input to a server and shows what comes back, both at once; or makes\n"
             "load, and measures.\n\n"
             "ENDPOINT: tcp:PORT (this host), tcp:HOST:PORT, tcp:[V6]:PORT, udp:...,\n"
             "unix:/PATH, unix:@NAME, unix-dgram:..., unix-seqpacket:..., vsock:CID:PORT.",
    .rows = rows,
    .n_rows = ELEMENTS(rows),
};

/* Rules between options; NULL: all is well. */
static const char *what_is_wrong(const ClientOptions *o) {
    bool load_only = o->at_once || o->connections || o->time_usec != USEC_INFINITY || o->requests ||
                     o->size || o->seed != UINT64_MAX || o->send || o->expect || o->read || o->hold_usec ||
                     o->json;
    if (!o->load && load_only)
        return "-c, -n, -r, -s, --time, --seed, --send, --expect, --read, --hold and --json need --load";
    if (o->load && (o->split || o->no_input || o->whole))
        return "--split, --no-input and --whole do not go with --load";
    if (o->no_input && o->whole)
        return "--whole has no meaning with --no-input";
    if (o->read && (o->send || o->size || o->requests))
        return "--read sends nothing: --send, --size and --requests do not go with it";
    if (o->send && o->size)
        return "--send has its own size: --size does not go with it";
    if (o->send && !o->expect)
        return "--send needs --expect: what is the reply?";
    if (o->expect && !o->send && !o->read)
        return "--expect goes with --send or --read: random bytes are expected to come back";
    return NULL;
}

static void fill_defaults(ClientOptions *o) {
    if (o->at_once == 0)
        o->at_once = 1;
    if (o->connections == 0)
        o->connections = o->time_usec == USEC_INFINITY ? o->at_once : UINT64_MAX;
    if (o->requests == 0)
        o->requests = 1;
    if (o->size == 0)
        o->size = 64;
    if (o->seed == UINT64_MAX)
        o->seed = 1;
    if (o->timeout_usec == 0)
        o->timeout_usec = o->load ? 10 * USEC_PER_SEC : USEC_INFINITY;
}

bool client_options_parse(int argc, char **argv, ClientOptions *ret, Cli *cli) {
    *ret = (ClientOptions){.time_usec = USEC_INFINITY, .seed = UINT64_MAX};
    if (!cli_parse(&client_program, argc, argv, ret, cli))
        return false;
    const char *why = what_is_wrong(ret);
    if (!why && cli->n_words == 0)
        why = "which endpoint?";
    if (!why && (cli->n_words > 1 || (cli->rest && *cli->rest)))
        why = "one endpoint at a time";
    if (why) {
        cli->status = cli_usage(&client_program, "%s", why);
        return false;
    }
    fill_defaults(ret);
    return true;
}
