/* SPDX-License-Identifier: MIT */
#pragma once
/* NAMEs of the command line, globs among them, against the services of a Status reply. */
#include "ctl/ctl.h"

/* Whether one of @patterns (shell globs) matches @name; no patterns at all match everything. */
bool names_match(char *const *patterns, const char *name);
/* Asks the daemon and keeps those services that match @patterns. Returns 0 with @ret, the whole status
 * document with only those in `services`; CTL_NO_SERVICE, after saying which pattern matches none, also with
 * @ret; or another exit status, without @ret (NULL). */
int names_status(Ctl *c, char *const *patterns, json_t **ret);
/* The same for what needs them all: when one matches none, with --json the error that the daemon would answer
 * is the document. @ret may be NULL, and is only set with 0. */
int names_require(Ctl *c, char *const *patterns, json_t **ret);
/* "no service 'gti'; did you mean 'git'?" Returns CTL_NO_SERVICE. */
int names_fail(Ctl *c, const char *name, const json_t *services);
