/* SPDX-License-Identifier: MIT */
#pragma once
/* Sets of system calls by name, as `sandbox.seccomp` has them. Where the meaning is the same they are called
 * as systemd's. A call that this kernel or its library does not know is left out where a set is used. */
#include <stdbool.h>
#include <stddef.h>

typedef struct SeccompSet {
    const char *name;         /* "@service" */
    const char *help;         /* what it is for, one line */
    const char *const *calls; /* names, and sets; the last is NULL */
} SeccompSet;

/* NULL past the end. */
const SeccompSet *seccomp_set(size_t i);
const SeccompSet *seccomp_set_find(const char *name);

/* Whether a list allows what it names, and is not one of what is taken away. Pure. */
bool seccomp_list_allows(char *const *words);
