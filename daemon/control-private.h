/* SPDX-License-Identifier: MIT */
#pragma once
/* What the files of the calls share: control-calls.c has the table of handlers, control-look.c,
 * control-events.c and control-act.c have the handlers. A handler answers the call, or leaves a note on the
 * client of what it owes. */
#include "daemon/control-calls.h"

/* The services that @patterns (names or globs; NULL: all) mean, in @ret (to be freed). 0, -ENOMEM, or -ENOENT
 * with the first of them that means none in *ret_missing. */
int calls_select(const Calls *calls, char *const *patterns, Service ***ret, size_t *ret_n,
                 const char **ret_missing);
/* Answers with NoSuchService (-ENOENT, of @missing) or Failed. */
void calls_answer_failure(Client *client, int r, const char *missing);
/* How much of peers' addresses this client may see. */
LogAddresses calls_addresses(const Calls *calls, const Client *client);

/* control-look.c */
void call_status(Calls *calls, Client *client, ApiRequest *r);
void call_describe(Calls *calls, Client *client, ApiRequest *r);
void call_instances(Calls *calls, Client *client, ApiRequest *r);
/* control-events.c */
void call_events(Calls *calls, Client *client, ApiRequest *r);
/* control-act.c */
void call_start(Calls *calls, Client *client, ApiRequest *r);
void call_stop(Calls *calls, Client *client, ApiRequest *r);
void call_restart(Calls *calls, Client *client, ApiRequest *r);
void call_pause(Calls *calls, Client *client, ApiRequest *r);
void call_resume(Calls *calls, Client *client, ApiRequest *r);
void call_drain(Calls *calls, Client *client, ApiRequest *r);
void call_signal(Calls *calls, Client *client, ApiRequest *r);
void call_set(Calls *calls, Client *client, ApiRequest *r);
void call_reload(Calls *calls, Client *client, ApiRequest *r);
void call_shutdown(Calls *calls, Client *client, ApiRequest *r);
