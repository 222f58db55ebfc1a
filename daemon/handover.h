/* SPDX-License-Identifier: MIT */
#pragma once
/* The state of the daemon as a blob, for the program that takes over from it in the same process: what an
 * upgrade in place hands on.
 *
 * Each noun saves and restores itself: X_save() puts its fields, X_restore() reads them. The tags of a noun
 * are an enum in its own -save.c (of a small noun, at the end of its .c); numbers are never used again for
 * something else, and a field that is not there leaves the default, so that neighbouring versions understand
 * each other. Times are absolute, by the clock that the noun uses: those clocks go on over execve(2).
 *
 * To restore changes nothing outside of the process: it may add event sources, but sends, kills, unlinks,
 * listens, writes and accepts nothing. The new program does it twice: once in a helper with copies of all
 * descriptors, to prove that it can (`mpinetd --accept-handover`), and once for good, when it then goes on
 * with manager_resume(). */
#include <sys/types.h>

#include "daemon/base/blob.h"

/* The fields of the state, in the order in which they stand in it. */
typedef enum StateTag {
    STATE_VERSION = 1, /* the program's that wrote it, a string */
    STATE_CONFIG,      /* config_put(): the generation in force */
    STATE_RUNTIME,
    STATE_MANAGER,
    STATE_SOURCES,
    STATE_BANS,
    STATE_EVENTS,
    STATE_TRAFFIC,
    STATE_SERVICE, /* once for each; of one that a reload has removed with a config of its own */
    STATE_LINGER,
    STATE_CONTROL,
    STATE_LEDGER, /* where the service manager keeps one */
} StateTag;

/* In the environment of the program that takes over: "PID:FD", the process that it is meant for and the blob.
 */
#define HANDOVER_VARIABLE "MPINETD_HANDOVER"

/* Puts @w into a file of its own in memory that nobody can change any more. Its descriptor, close-on-exec,
 * above 2, or a negative errno. */
int handover_write(const BlobWriter *w);
/* The descriptor in @value, if that is "PID:FD" with this @pid; else -EINVAL. Pure. */
int handover_parse(const char *value, pid_t pid);
/* Takes the variable out of the environment. The descriptor, close-on-exec, when it is there and meant for
 * this process; else -ENOENT. */
int handover_from_environment(void);

/* A blob that was read. */
typedef struct Handover {
    void *data; /* mapped */
    size_t n;
    BlobSource source;
    BlobReader reader;
} Handover;

/* Reads the blob behind @fd, which stays the caller's. 0, or -EBADMSG with a reason in h->source.why. */
int handover_read(Handover *h, int fd, BlobPurpose purpose);
/* Closes the descriptors that were not taken. */
void handover_done(Handover *h);
#define CLEANUP_HANDOVER CLEANUP(handover_done)

/* Whether the @n descriptors stay open over execve(2). All are tried: 0, or the negative errno of the first
 * that could not be told. */
int handover_keep(const int *fds, size_t n, bool keep);
