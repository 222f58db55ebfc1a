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
    Text words;   /* what is awaited */
    json_t *last; /* what the daemon said last while it was awaited; NULL: nothing */
} Progress;

void progress_begin(Progress *p, Ctl *c);
void progress_done(Progress *p);
#define CLEANUP_PROGRESS CLEANUP(progress_done)

/* Connects and sends @method, and says by @words what is awaited; with --no-wait the first reply says that it
 * has begun, and `continues`. Returns 0, or the exit status after saying why it has failed. */
int progress_ask(Progress *p, Ctl *c, Method method, const char *words);
/* For how long a reply is waited: as --timeout says, else @usec; or with --no-wait, as long as what is
 * answered at once may take. */
uint64_t progress_timeout(const Progress *p, uint64_t usec);
/* The next reply within the first @timeout_usec since progress_begin(); shows meanwhile how time goes by.
 * As client_receive(), and -EINTR after SIGINT. */
int progress_receive(Progress *p, uint64_t timeout_usec, Reply *ret);
/* The daemon tells by @parameters how far it is. */
void progress_say(Progress *p, const json_t *parameters);
/* The same for words of our own, which are shown only if it takes more than a second. */
void progress_await(Progress *p, const char *words);
/* Takes the terminal's line away. */
void progress_end(Progress *p);
/* " (12 s)" when it has taken more than a second, else nothing. */
void progress_add_time(const Progress *p, Text *out);
/* It is waited for no more: says so by @words, and prints with --json what the daemon has said last, or an
 * error. Returns CTL_FAILED. */
int progress_give_up(Progress *p, const char *hint, const char *words);
/* The same for SIGINT. Returns the exit status of a program that it has ended. */
int progress_interrupted(Progress *p);
