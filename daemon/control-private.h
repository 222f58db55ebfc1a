/* SPDX-License-Identifier: MIT */
#pragma once
/* What the files of the calls share: control-calls.c has the table of handlers, control-look.c,
 * control-events.c and control-act.c have the handlers. A handler answers the call, or leaves a note on the
 * client of what it owes. */
#include "daemon/control-calls.h"

/* The services that @patterns (names or globs; NULL: all) mean, in @ret (to be freed). 0, -ENOMEM, -E2BIG
 * when there are too many globs or too long ones, or -ENOENT with the first of them that means none in
 * *ret_missing. */
int calls_select(const Calls *calls, char *const *patterns, Service ***ret, size_t *ret_n,
                 const char **ret_missing);
/* The same, their names (to be freed). */
int calls_select_names(const Calls *calls, char *const *patterns, char ***ret, const char **ret_missing);
/* Answers with NoSuchService (-ENOENT, of @missing), InvalidParameter (-E2BIG) or Failed. */
void calls_answer_failure(Client *client, int r, const char *missing);
/* How much of peers' addresses this client may see. */
LogAddresses calls_addresses(const Calls *calls, const Client *client);

/* The call is answered with @s (taken over; NULL: memory ran out), part by part. What takes longer than some
 * hundred microseconds is answered like that, even if in one part: then no number of clients makes a turn of
 * the loop longer. */
void calls_stream(Client *client, Stream *s);
/* The same, for what @r asks. */
void calls_stream_of(Client *client, StreamPart part, ApiRequest *r);
/* The next service of those that @s means, which is then at it; NULL: there is none, or *ret_error tells. */
Service *calls_next_service(const Calls *calls, Stream *s, int *ret_error);
/* The next ones, up to @max. 1 when they are the last, 0 when there may be more, or -ENOMEM. */
int calls_next_services(const Calls *calls, Stream *s, Service **ret, size_t max, size_t *ret_n);
/* What is kept of @s, or with NULL of all, as @client may see it: the newest @last events, among them at most
 * @last_lines lines of output, in @ret, which has room for so many. Returns how many. */
size_t calls_recall(const Calls *calls, const Client *client, const Service *s, size_t last,
                    size_t last_lines, ApiEvent *ret);

/* What replies are made of in parts, see StreamPart: each with a row in control-stream-save.c. */
int calls_status_part(Calls *calls, Client *client, Stream *s, Text *out);
int calls_description_part(Calls *calls, Client *client, Stream *s, Text *out);
int calls_instances_part(Calls *calls, Client *client, Stream *s, Text *out);
int calls_events_part(Calls *calls, Client *client, Stream *s, Text *out);
int calls_metrics_part(Calls *calls, Client *client, Stream *s, Text *out);
int calls_config_part(Calls *calls, Client *client, Stream *s, Text *out);
int calls_bans_part(Calls *calls, Client *client, Stream *s, Text *out);

/* control-look.c */
void call_status(Calls *calls, Client *client, ApiRequest *r);
void call_describe(Calls *calls, Client *client, ApiRequest *r);
void call_instances(Calls *calls, Client *client, ApiRequest *r);
/* control-metrics.c, control-config.c */
void call_metrics(Calls *calls, Client *client, ApiRequest *r);
void call_get_config(Calls *calls, Client *client, ApiRequest *r);
void call_check_config(Calls *calls, Client *client, ApiRequest *r);
void call_reload(Calls *calls, Client *client, ApiRequest *r);
/* control-events.c */
void call_events(Calls *calls, Client *client, ApiRequest *r);
/* control-bans.c */
void call_bans(Calls *calls, Client *client, ApiRequest *r);
void call_unban(Calls *calls, Client *client, ApiRequest *r);
/* control-act.c */
/* What @r asks for, for the log: "stop of git, web", on one line, bounded, escaped; where peers come from as
 * @addresses has it. */
void calls_say(const ApiRequest *r, LogAddresses addresses, Text *out);
void call_start(Calls *calls, Client *client, ApiRequest *r);
void call_stop(Calls *calls, Client *client, ApiRequest *r);
void call_restart(Calls *calls, Client *client, ApiRequest *r);
void call_pause(Calls *calls, Client *client, ApiRequest *r);
void call_resume(Calls *calls, Client *client, ApiRequest *r);
void call_drain(Calls *calls, Client *client, ApiRequest *r);
void call_signal(Calls *calls, Client *client, ApiRequest *r);
void call_set(Calls *calls, Client *client, ApiRequest *r);
void call_upgrade(Calls *calls, Client *client, ApiRequest *r);
void call_shutdown(Calls *calls, Client *client, ApiRequest *r);
