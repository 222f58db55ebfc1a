/* SPDX-License-Identifier: MIT */
#pragma once
/* What every verb works with: the options of this call, how to show things, the connection to the daemon. A
 * verb appends what it shows to `out`, which is written when it returns, and says what is wrong by
 * ctl_fail(), on stderr. It returns the exit status. */
#include <jansson.h>

#include "ctl/client.h"
#include "ctl/options.h"
#include "ctl/proto/methods.h"
#include "ctl/style.h"
#include "daemon/base/text.h"

typedef enum CtlStatus {
    CTL_DONE = 0,
    CTL_FAILED = 1,
    CTL_USAGE = 2,
    CTL_NOT_RUNNING = 3,
    CTL_NO_SERVICE = 4,
    CTL_NOT_ALLOWED = 5,
    CTL_NO_DAEMON = 6,
} CtlStatus;

typedef struct Ctl {
    Options options;
    Style style;
    Text out;
    Client *client;                /* NULL until it is needed */
    uint64_t connect_timeout_usec; /* 0: however long */
    bool in_parts;                 /* between ctl_begin_parts() and ctl_end_parts() */
    json_t *part_error;            /* the first one of these parts */
} Ctl;

/* "mpctl: …" on stderr, then "hint: …" if @hint is given. Arguments from outside are escaped by the caller.
 * Returns @status. */
int ctl_fail(Ctl *c, CtlStatus status, const char *hint, const char *format, ...)
    __attribute__((format(printf, 4, 5)));
/* Writes what `out` holds to stdout and empties it. Returns 0, or CTL_FAILED when it cannot be written. */
int ctl_flush(Ctl *c);

/* Connects. Returns 0, or a negative errno, saying nothing; *@ret_path, if wanted, is the socket that was
 * tried last, for the caller to free. */
int ctl_open(Ctl *c, char **ret_path);
/* Connects if that has not been done. Returns 0 or the exit status, after saying why. */
int ctl_connect(Ctl *c);
/* Calls @m with @parameters (taken over; NULL for none). What follows is read by ctl_receive(). 0 or an exit
 * status. */
int ctl_send(Ctl *c, Method m, json_t *parameters, bool more);
/* The next reply within @timeout_usec (USEC_INFINITY: however long). 0 with @ret, or the exit status after
 * saying why, also for a reply that is an error. */
int ctl_receive(Ctl *c, Method m, uint64_t timeout_usec, Reply *ret);
/* Both, for a call with one reply that the daemon gives at once. 0 with the reply's parameters (the caller
 * gives them back) or the exit status. */
int ctl_call(Ctl *c, Method m, json_t *parameters, json_t **ret);

/* Says why client_receive() gave no answer (@r < 0), or what its answer means if that is an error. Returns
 * the exit status. */
int ctl_fail_reply(Ctl *c, Method m, int r, const Reply *reply);
/* Says what an error reply means, and prints it as a document with --json. Returns the exit status. */
int ctl_report_error(Ctl *c, Method m, const Reply *reply);

/* The one document of --json. */
void ctl_add_json(Ctl *c, const json_t *document);
/* An error of the daemon as the document of this call. */
void ctl_add_error(Ctl *c, const Reply *reply);
/* The same for what mpctl finds out by itself: this verb has failed, by @error (an errno). */
void ctl_add_failed(Ctl *c, int error, const char *message);
/* A call for several things has one document all the same: its errors are kept until ctl_end_parts(), which
 * prints @document, or where that is NULL the first of them, if there is one. Without --json neither does
 * anything. */
void ctl_begin_parts(Ctl *c);
void ctl_end_parts(Ctl *c, const json_t *document);
bool ctl_wants_json(const Ctl *c);
