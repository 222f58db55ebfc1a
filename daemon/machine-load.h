/* SPDX-License-Identifier: MIT */
#pragma once
/* The machine's load, as limits.load has it: how many want to run, over the last minute (proc(5), loadavg).
 */
#include <stdint.h>

/* As it was read last. Starts as {0}. */
typedef struct MachineLoad {
    double value;
    uint64_t read_usec; /* 0: never */
} MachineLoad;

/* Read at most once a second: the kernel itself works it out every five. 0 where it is not known. */
double machine_load(MachineLoad *l, uint64_t now_usec);
