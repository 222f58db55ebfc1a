/* SPDX-License-Identifier: MIT */
#pragma once
/* Capabilities by name, capabilities(7). Pure. */
#include <stddef.h>
#include <stdint.h>

#define CAPABILITY_COUNT 41U
#define CAPABILITY_ALL ((UINT64_C(1) << CAPABILITY_COUNT) - 1)

/* The number of the capability called @name, "NET_ADMIN", "CAP_NET_ADMIN", in any case of letters; else
 * -EINVAL.
 */
int capability_from_name(const char *name);
/* "NET_ADMIN"; NULL for one that this version does not know. */
const char *capability_name(unsigned capability);
