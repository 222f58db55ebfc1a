/* SPDX-License-Identifier: MIT */
#pragma once
/* The descriptors that the service manager keeps for us (FDSTORE=1), so that the next start gets them back
 * whatever becomes of this one. Each is kept under a name of its own, and sent as soon as the manager takes
 * it. Where there is no manager, or it keeps none, nothing is different but that a start begins anew.
 *
 *   unsent ── sent ─> kept ── released ─> to be removed ── sent ─> (forgotten)
 *     └── released ─> (forgotten)
 *
 * All calls do nothing with NULL. */
#include <stdbool.h>

#include "daemon/notifier.h"

/* FDNAME's: ASCII without control characters and ':'. */
#define FD_STORE_NAME_MAX 64
/* With which all of ours begin. */
#define FD_STORE_PREFIX "mpinetd."

typedef struct FdStore FdStore;
typedef struct StoredFd StoredFd;

/* 0 with @ret, or -ENOMEM. @n must outlive it. */
int fd_store_new(Notifier *n, FdStore **ret);
FdStore *fd_store_free(FdStore *s); /* nothing is removed by this; returns NULL */

/* From now on what is released is removed from the store. Before, as long as it is not sure that this program
 * goes on, all stays there. */
void fd_store_begin(FdStore *s);
/* Has @fd kept under @name. It must stay open until it is released. NULL: it is not. */
StoredFd *fd_store_keep(FdStore *s, const char *name, int fd);
/* The same of one that has come from there, under that name. */
StoredFd *fd_store_known(FdStore *s, const char *name, int fd);
const char *stored_fd_name(const StoredFd *e);
/* Whether the manager has been given it. False of NULL. */
bool stored_fd_is_sent(const StoredFd *e);
/* Nobody wants it any more: removes it from the store. NULL is fine; returns NULL. */
StoredFd *stored_fd_release(StoredFd *e);
/* Whether releasing it takes it out of the store, in a moment. */
bool stored_fd_goes(const StoredFd *e);
/* Whether the manager keeps it when we are gone: it has been sent, and the store is left as it is. */
bool stored_fd_stays(const StoredFd *e);
/* What has come from there under @name is not wanted. */
void fd_store_forget(FdStore *s, const char *name);

/* The end: what is kept now stays, and is nobody's any more. */
void fd_store_leave(FdStore *s);

/* Whether the manager keeps what it is given cannot be asked: it is given one end of a pair of sockets once
 * all else has been sent, and when the other end hangs up, it has not kept that one (it keeps none, or as
 * many as it may). @lost is then called, once. */
typedef void (*FdStoreLost)(void *userdata);
void fd_store_watch(FdStore *s, sd_event *loop, FdStoreLost lost, void *userdata);
/* What has been given to it since is to be looked at in the same way. */
void fd_store_settle(FdStore *s);
/* How many it has or is to have, and how many of them are still to be sent. */
size_t fd_store_count(const FdStore *s, size_t *ret_unsent);
