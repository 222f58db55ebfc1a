/* SPDX-License-Identifier: MIT */
#pragma once
/* The calls of the control interface: one handler for each method. Requests come decoded, replies go out
 * encoded; here stands what they do. */
#include "daemon/client.h"
#include "daemon/eventlog.h"

typedef struct Calls {
    Manager *manager;
    EventLog *log;
    size_t n_clients;              /* now */
    uint64_t events_missed;        /* by followers that did not read them in time */
    uint64_t interpreter_restarts; /* of the processes that read requests */
    Ratelimit denied;              /* lines of calls that were not allowed */
} Calls;

/* Answers one message, or begins to. 0, or -EBADMSG when the connection is to be closed. */
int calls_handle(Calls *calls, Client *client, const char *json, size_t n);
/* The same, when it has been read. */
void calls_make(Calls *calls, Client *client, ApiRequest *request);
/* Makes the next part of the reply that @client gets in parts. */
void calls_stream_part(Calls *calls, Client *client);
/* Something has changed: answers @client if what it waits for has come, else tells how far it is. True when
 * there is more to tell, a little later. */
bool calls_check_wait(Calls *calls, Client *client);
/* The answer to Reload (@applied) or CheckConfig, for who waits for it. */
void calls_encode_load(Text *out, const LoadReport *report, bool applied, bool hide_excerpts);
/* An event for one that follows. @message: empty with the first of them, to be handed on to the others. */
void calls_send_event(Calls *calls, Client *client, const ApiEvent *e, Text *message);
/* One line with the count of refusals that were left out of the log. True while there are more to tell. */
bool calls_tell_suppressed(Calls *calls, uint64_t now_usec);
/* A follower that has read all that it was sent is told how much it has missed. */
void calls_tell_missed(Client *client);
