/* SPDX-License-Identifier: MIT */
#pragma once
/* What the daemon tells the service manager that has started it (sd_notify(3)), and what it gives it to keep.
 * Nothing here ever waits, as the library's calls do while the manager does not read: what it does not take
 * yet is sent later, in its order. A manager that is not there is no failure. All calls do nothing with
 * NULL. */
#include <stdbool.h>
#include <stdint.h>
#include <systemd/sd-event.h>

#include "daemon/base/cleanup.h"

typedef struct Notifier Notifier;
/* There may be room again for what notifier_send_fd() did not take. */
typedef void (*NotifierRoom)(void *userdata);

/* To the socket @address, as NOTIFY_SOCKET names it. 0, or a negative errno: -EAFNOSUPPORT is another kind of
 * address. */
int notifier_new(sd_event *loop, const char *address, Notifier **ret);
/* Sends what is left, as far as it goes without waiting. Returns NULL. */
Notifier *notifier_free(Notifier *n);
DEFINE_CLEANUP(Notifier *, notifier_free);

/* Lines of assignments. A STATUS= takes the place of one that has not been sent. */
void notifier_say(Notifier *n, const char *text);
void notifier_sayf(Notifier *n, const char *format, ...) __attribute__((format(printf, 2, 3)));
/* Sends @text now, with @fd if that is not negative. 0; -EAGAIN: no room, @room is called when it is worth
 * another try; or another negative errno: nobody is there. */
int notifier_send_fd(Notifier *n, const char *text, int fd);
void notifier_on_room(Notifier *n, NotifierRoom room, void *userdata);

/* Says that the loop turns, twice in each @usec. 0 or a negative errno. */
int notifier_watch(Notifier *n, uint64_t usec);
/* From now on says that what is under way takes longer than the manager may think, as long as the loop turns.
 * 0 or a negative errno. */
int notifier_extend(Notifier *n);
