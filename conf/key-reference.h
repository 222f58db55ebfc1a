/* SPDX-License-Identifier: MIT */
#pragma once
/* The key part and the codes of the diagnostics of mpinetd.yaml(5), in scdoc's syntax, out of the tables.
 * Pure. */
#include "daemon/base/text.h"

void key_reference_format(Text *out);
void diagnostics_reference_format(Text *out);
