/* SPDX-License-Identifier: MIT */
#pragma once
/* The last resort of an upgrade in place: when the new program cannot take the state over after all, it is
 * started as usual in the same process, and gets the sockets that the old one listened on as a service
 * manager would pass them. Processes go on; what was known of them is lost. */
#include <stddef.h>

typedef struct Rescue {
    int *fds; /* copies */
    size_t n;
} Rescue;

/* Keeps those of @fds that clients connect or send to, but the control socket; all that there are when @fds
 * is NULL. Restoring may close the originals. */
void rescue_collect(Rescue *r, const int *fds, size_t n);
void rescue_done(Rescue *r);
#define CLEANUP_RESCUE CLEANUP(rescue_done)
/* execve(2) of @program with the sockets. Returns a negative errno. */
int rescue_execute(Rescue *r, const char *program, char *const *argv);
