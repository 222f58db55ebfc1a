/* SPDX-License-Identifier: MIT */
#pragma once
/* The target of a forward: an endpoint to connect to, in the words of those that are listened on. Pure, but
 * for a port's name, which is looked up in services(5). */
#include "conf/endpoint.h"

/* Parses @s. Returns 0, or -EINVAL with what is wrong and what to write instead, both static texts (either
 * may be left NULL). A port alone is this host's. @ret is untouched on failure. */
int target_parse(const char *s, Endpoint *ret, const char **ret_why, const char **ret_hint);
/* The kind of one that has been parsed before. */
EndpointKind target_kind(const char *s);
/* Whether that has a port by its name. */
bool target_has_port_name(const char *s);
/* Parses it again, without looking anything up: the name of its port stands for @port. 0, or -EINVAL when
 * that is not known (0). */
int target_parse_again(const char *s, uint16_t port, Endpoint *ret);
/* Whether who connects to @target comes to what listens on @listen: the same address, or this host's where
 * that is all addresses. */
bool target_is_own(const Endpoint *target, const Endpoint *listen);
