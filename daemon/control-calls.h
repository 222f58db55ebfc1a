/* SPDX-License-Identifier: MIT */
#pragma once
/* The calls of the control interface: one handler for each method. Requests come decoded, replies go out
 * encoded; here stands what they do. */
#include "daemon/client.h"
#include "daemon/eventlog.h"

typedef struct Calls {
    Manager *manager;
    EventLog *log;
} Calls;

/* Answers one message, or begins to. 0, or -EBADMSG when the connection is to be closed. */
int calls_handle(Calls *calls, Client *client, const char *json, size_t n);
/* Sends the next part of a list. */
void calls_list_more(Calls *calls, Client *client);
/* A state has changed: answers @client if what it waits for has come. */
void calls_check_wait(Calls *calls, Client *client);
/* An event for one that follows. */
void calls_send_event(Calls *calls, Client *client, const ApiEvent *e);
