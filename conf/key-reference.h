/* SPDX-License-Identifier: MIT */
#pragma once
/* The key part and the codes of the diagnostics of mpinetd.yaml(5), in scdoc's syntax, out of the tables.
 * Pure. */
#include "daemon/base/text.h"

void key_reference_format(Text *out);
/* Appends @s with a backslash before what would be markup of scdoc(5). */
void reference_add_plain(const char *s, Text *out);
/* The sets of system calls of sandbox.seccomp. */
void seccomp_reference_format(Text *out);
void diagnostics_reference_format(Text *out);
