/* SPDX-License-Identifier: MIT */
#pragma once
/* The target of a forward: an endpoint to connect to, in the words of those that are listened on. Pure, but
 * for a port's name, which is looked up in services(5). */
#include "conf/endpoint.h"

/* Parses @s. Returns 0, or -EINVAL with what is wrong and what to write instead, both static texts (either
 * may be left NULL). A port alone is this host's. @ret is untouched on failure. */
int target_parse(const char *s, Endpoint *ret, const char **ret_why, const char **ret_hint);
/* Whether who connects to @target comes to what listens on @listen: the same address, or this host's where
 * that is all addresses. */
bool target_is_own(const Endpoint *target, const Endpoint *listen);
