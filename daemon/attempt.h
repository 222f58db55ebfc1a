/* SPDX-License-Identifier: MIT */
#pragma once
/* `mpinetd --try`: a place of its own for the control socket, and a word on what to try. */
#include "daemon/service.h"

/* A folder for one daemon without a config. */
typedef struct Attempt {
    char *folder; /* NULL: none was made */
} Attempt;

/* Makes a folder that only the caller can enter, and puts the path of the control socket in it in *ret_socket
 * (the caller frees it). 0 or a negative errno. */
int attempt_init(Attempt *a, char **ret_socket);
/* After an upgrade in place: the same folder, by the path of the control socket. 0 or -ENOMEM. */
int attempt_resume(Attempt *a, const char *socket);
/* Removes the folder with what the daemon has left in it. */
void attempt_done(Attempt *a);

/* Tells on stderr how to connect to @s, and how to look at it. */
void attempt_say(const Service *s, const char *control_path);
