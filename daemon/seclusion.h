/* SPDX-License-Identifier: MIT */
#pragma once
/* Nobody looks into the daemon and its helpers: no core dumps, no ptrace(2), no /proc/PID/mem, but for who
 * may do so with any process (CAP_SYS_PTRACE). Programs that the daemon starts are as they would be
 * elsewhere. */
#include <stdbool.h>

#include "daemon/runtime.h"

/* In the daemon's environment, "1": all of that is left as it is, for whoever has to debug it. */
#define SECLUSION_OFF_VARIABLE "MPINETD_ALLOW_CORE"

/* Whether @env asks for seclusion. Pure. */
bool seclusion_is_wanted(char *const *env);
/* First of all, in the daemon and in each helper: execve(2) opens a process to its user's other processes. */
void seclusion_begin(char *const *env);
/* The daemon is to serve: its limit of core dumps is 0 from now on, and @rt knows what its processes get. */
void seclusion_limit(Runtime *rt);
/* The limit as it was, for a program that is to go on in this process; and 0 again, when it cannot. */
void seclusion_lift(const Runtime *rt);
void seclusion_resume(const Runtime *rt);
/* Looks whether a change of user would open the memory that processes share with the daemon until exec
 * (fs.suid_dumpable): to core dumps that are root's (2), then each of them closes it again; to that user (1),
 * then such a one shares none, as others that share it have given up what kept that user off. */
void seclusion_look(Runtime *rt);
/* The value in @text, of that file; -1: it is none. Pure. */
int seclusion_parse(const char *text);
