/* SPDX-License-Identifier: MIT */
#pragma once
/* The last resort of an upgrade in place: when the new program cannot take the state over after all, it is
 * started as usual in the same process, and gets the sockets that the old one listened on as a service
 * manager would pass them. Processes go on; what was known of them is lost. */
#include <stddef.h>

/* No memory is asked for, as that may be just what is missing: the copies lie between these two numbers, and
 * are known by that they stay open over execve(2). So nothing may be started meanwhile. */
typedef struct Rescue {
    int first, end; /* the first number, and the one behind the last; 0 for none */
} Rescue;

/* Keeps copies of those of @fds that clients connect or send to, but the control socket; of all that there
 * are when @fds is NULL. Restoring may close the originals. */
void rescue_collect(Rescue *r, const int *fds, size_t n);
void rescue_done(Rescue *r);
#define CLEANUP_RESCUE CLEANUP(rescue_done)
/* execve(2) of @program with the sockets. Returns a negative errno. */
int rescue_execute(Rescue *r, const char *program, char *const *argv);
