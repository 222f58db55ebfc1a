/* SPDX-License-Identifier: MIT */
#pragma once
/* A bell: threads or processes ring it when something has changed, and one sleeper wakes up, who looks for
 * himself what it was. However often it rings, it costs a system call only while the sleeper has armed it. It
 * may lie in memory that processes share. */
#include <stdatomic.h>
#include <stdbool.h>

typedef struct Bell {
    int fd; /* to poll for POLLIN */
    atomic_bool armed;
} Bell;

int bell_init(Bell *b);
void bell_done(Bell *b);
/* By the sleeper, before he looks for the last time and goes to sleep: what changes after it wakes him. */
void bell_arm(Bell *b);
/* By anybody, after the change. */
void bell_ring(Bell *b);
/* By the sleeper when he is awake. Returns whether it had rung. */
bool bell_quiet(Bell *b);
