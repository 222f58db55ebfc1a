/* SPDX-License-Identifier: MIT */
#pragma once
/* The socket that a process finds as NOTIFY_SOCKET: datagrams of KEY=VALUE lines as sd_notify(3) sends them.
 * One for each process, in the abstract namespace, so that it is reached from within a root_directory and
 * leaves no node behind. Anybody may send to such a name: who did is told by the kernel. Descriptors that
 * come along are closed, by a process of their own. */
#include <stdbool.h>
#include <stddef.h>
#include <systemd/sd-event.h>

#include "daemon/base/blob.h"
#include "daemon/discard.h"

/* Its name as NOTIFY_SOCKET has it: "@mpinetd/notify/" and 32 digits. */
#define NOTIFY_NAME_MAX 64

typedef struct NotifySocket NotifySocket;

/* Whether this sender, as the kernel tells it, is one of those who may report. */
struct ucred;
typedef bool (*NotifyMay)(const struct ucred *sender, void *userdata);
/* One line, without its newline; an empty one stands for a datagram that is none of ours to read. */
typedef void (*NotifyLine)(const char *line, size_t n, void *userdata);

/* Opens one and reads it from now on. 0 or a negative errno. */
int notify_socket_new(sd_event *loop, Discard *discard, NotifyMay may, NotifyLine line, void *userdata,
                      NotifySocket **ret);
NotifySocket *notify_socket_free(NotifySocket *n); /* returns NULL; NULL is fine */
const char *notify_socket_name(const NotifySocket *n);
/* Reads what is there now, up to a bound, without waiting. NULL is fine. */
void notify_socket_drain(NotifySocket *n);
/* Tells what is there now, up to a bound, before it is freed: nothing is read from then on. NULL is fine. */
void notify_socket_last_words(NotifySocket *n);

/* Calls @emit for each line of a datagram of @n bytes. Words of sd_notify(3) that are none of ours (MAINPID,
 * FDSTORE, …) and empty lines are left out. Empty, and so malformed, is a line over LINE_MAX_BYTES, the last
 * one where the datagram went on (@cut), and a datagram without any. Pure. */
void notify_datagram_lines(const char *data, size_t n, bool cut, NotifyLine emit, void *userdata);

/* The upgrade in place. 0, -EBADMSG or another negative errno. */
void notify_socket_save(BlobWriter *w, const NotifySocket *n);
int notify_socket_restore(BlobReader in, sd_event *loop, Discard *discard, NotifyMay may, NotifyLine line,
                          void *userdata, NotifySocket **ret);
/* It is ours: until this is called, it may be that another process still reads it, and to free it leaves what
 * is in it there. NULL is fine. */
void notify_socket_own(NotifySocket *n);
