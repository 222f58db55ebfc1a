/* SPDX-License-Identifier: MIT */
#pragma once
/* What the daemon itself may: capabilities(7). Of what it was started with it uses what the table says, in
 * its own work and in its processes before exec; the rest is off from the start. Programs are not touched by
 * that: what a process of root's has after execve(2) comes from the bounding set, and with no_new_privileges
 * from what is permitted, and both stay. */
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

typedef struct CapabilityUse {
    unsigned number;  /* of linux/capability.h */
    const char *name; /* "CAP_KILL" */
    const char *use;  /* what for */
} CapabilityUse;

/* The @i-th one that the daemon uses; NULL past the last. */
const CapabilityUse *capability_use(size_t i);
/* All of them, as a set: bit 1 << number. */
uint64_t capabilities_used(void);
/* Of @effective, what is left on. Pure. */
uint64_t capabilities_trimmed(uint64_t effective);
/* Switches off what the daemon does not use. 0 or a negative errno. */
int capabilities_trim(void);

/* Of this process: all of them, for good, if it runs no other program with more. */
void capabilities_drop(void);

/* Whether this process has ambient or inheritable capabilities: those a program that it starts could get,
 * under whatever user. */
bool capabilities_are_inherited(void);
