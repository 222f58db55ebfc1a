/* SPDX-License-Identifier: MIT */
#pragma once
/* The control socket: who may connect, what they may call, and the bytes to and from them. What is said is
 * decoded and encoded by ctl/proto; what is done is done by the manager. */
#include <systemd/sd-event.h>

#include "daemon/base/blob.h"
#include "daemon/client.h"

typedef struct Control Control;

/* Takes the path of the control socket: makes its folder if that is missing, locks it, replaces a stale
 * socket, never a live one. Not listening yet. 0, -EADDRINUSE when another daemon has it, or another negative
 * errno with *ret_step telling what failed. */
int control_new(Manager *m, sd_event *loop, EventLog *log, const char *path, Control **ret,
                const char **ret_step);
Control *control_free(Control *c); /* removes its socket; returns NULL */

/* Listens, with mode and group of the config. */
int control_open(Control *c, const Config *config, const char **ret_step);
/* After a reload: mode and group as configured now. */
void control_refresh(Control *c, const Config *config);
const char *control_path(const Control *c);

/* All who wait for @what get @message, an encoded reply, and go on. */
void control_answer(Control *c, ClientWait what, const Text *message);

/* A service has changed its state: those who wait for it get their answer. */
void control_on_state(Control *c);
/* A load of the config is over: who waits for that of this @number, or an earlier one, gets his answer. */
void control_on_load(Control *c, bool applied, uint64_t number, const LoadReport *report);
/* An event for those who follow. */
void control_on_event(Control *c, const ApiEvent *e);
/* As service_tell_suppressed(): of calls that were not allowed. */
bool control_tell_suppressed(Control *c, uint64_t now_usec);
/* The daemon is about to end: those who asked for that are told. */
void control_say_goodbye(Control *c);

/* See handover.h. Its clients go on where they are; only who waits for what another version does not know of
 * loses his connection. 0, -EBADMSG, or another negative errno. */
void control_save(BlobWriter *w, const Control *c);
int control_restore(BlobReader r, Manager *m, sd_event *loop, EventLog *log, Control **ret);
void control_resume(Control *c);
