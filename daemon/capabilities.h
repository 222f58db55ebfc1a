/* SPDX-License-Identifier: MIT */
#pragma once
/* What the daemon itself may, as far as that concerns its children: capabilities(7). */
#include <stdbool.h>

/* Whether this process has ambient or inheritable capabilities: those a program that it starts could get,
 * under whatever user. */
bool capabilities_are_inherited(void);
