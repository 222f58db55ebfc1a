/* SPDX-License-Identifier: MIT */
#pragma once
/* Waiting for the daemon to be done with something: says what is awaited and for how long already, on stderr,
 * as one line that is rewritten on a terminal, else as a line a second. While it waits, SIGINT ends the
 * waiting and not the program. */
#include <signal.h>

#include "ctl/ctl.h"

typedef struct Progress {
    Ctl *ctl;
    bool silent;   /* --quiet, --json */
    bool rewrites; /* stderr is a terminal that can */
    bool open;     /* its line is not ended */
    size_t width;  /* of stderr; 0: no bound */
    uint64_t start_usec, shown_usec;
    int signals; /* signalfd(2) of SIGINT */
    sigset_t old_mask;
    Text words; /* what is awaited */
} Progress;

void progress_begin(Progress *p, Ctl *c);
void progress_done(Progress *p);
#define CLEANUP_PROGRESS CLEANUP(progress_done)

/* Connects and sends @method, and says by @words what is awaited. Whether its reply is to be waited for; else
 * *ret_status is the exit status: it has failed, or --no-wait was given. */
bool progress_ask(Progress *p, Ctl *c, Method method, const char *words, int *ret_status);
/* The next reply within the first @timeout_usec since progress_begin(); shows meanwhile how time goes by.
 * As client_receive(), and -EINTR after SIGINT. */
int progress_receive(Progress *p, uint64_t timeout_usec, Reply *ret);
/* @words come from the daemon, and are escaped here. */
void progress_say(Progress *p, const char *words);
/* The same for words of our own, which are shown only if it takes more than a second. */
void progress_await(Progress *p, const char *words);
/* Takes the terminal's line away. */
void progress_end(Progress *p);
/* " (12 s)" when it has taken more than a second, else nothing. */
void progress_add_time(const Progress *p, Text *out);
/* "mpinetd goes on with it". Returns the exit status of a program that SIGINT has ended. */
int progress_interrupted(Progress *p);
