/* SPDX-License-Identifier: MIT */
#pragma once
/* An interpreter: a process of ours that reads the messages of clients which are not to be trusted with the
 * daemon's own memory. It is this program in another role, as nobody, without capabilities, files, network or
 * further system calls (interpreter-child.c); it gets bytes, and gives back a request as a checked blob
 * (ctl/proto/request-blob.h). What it says of a message counts as said by the client whose message that was:
 * who that is, and what he may, it neither knows nor decides.
 *
 *   off ── asked ──> starting ── first answer ──> running
 *    ^                  └── ended, silent for 10 s, or lied: its message is lost ──┐
 *    └──────── a delay that doubles up to a second, if others wait ───────────────┘
 *
 * One message at a time is with it, so that it is known whose it was. */
#include "ctl/proto/request-blob.h"
#include "daemon/eventlog.h"
#include "daemon/helper.h"

typedef struct Interpreter Interpreter;

/* @reply, whose request may be taken out of it; NULL: the message was lost. Called once, from the loop. */
typedef void (*InterpreterDone)(RequestReply *reply, void *asker);

/* @of: whose messages it reads, for the log. @restarts counts how often one has been lost and is to be
 * replaced; it outlives it. NULL when memory runs out. */
Interpreter *interpreter_new(sd_event *loop, Helpers *helpers, EventLog *log, char *const *env,
                             const char *of, uint64_t *restarts);
Interpreter *interpreter_free(Interpreter *i); /* nobody is told; returns NULL; NULL is fine */
/* Has it ready before the first message. */
void interpreter_prepare(Interpreter *i);
/* Has @n bytes at @json read; they are @asker's, and stay where they are until @done is called, or @asker
 * forgotten. 0 or -ENOMEM. */
int interpreter_ask(Interpreter *i, const char *json, size_t n, InterpreterDone done, void *asker);
void interpreter_forget(Interpreter *i, const void *asker);

/* In the process: whether that is what it is for, and then its whole work. Returns the exit status. */
bool interpreter_child_is_asked(int argc, char *const *argv);
int interpreter_child_main(int argc, char *const *argv);

/* What both sides know: its argv, and the head of a message. */
#define INTERPRETER_WORD "--interpret"
#define INTERPRETER_SOCKET_WORD "--socket-fd="
/* The longest of a client's messages, and its number before it. */
#define INTERPRETER_MESSAGE_MAX ((size_t)64 << 10)
#define INTERPRETER_HEAD sizeof(uint64_t)

/* The answer to one message of @n bytes: a blob in @w. 0, or a negative errno. Pure. */
int interpreter_answer(uint64_t id, const char *json, size_t n, BlobWriter *w);
