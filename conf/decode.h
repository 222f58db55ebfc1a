/* SPDX-License-Identifier: MIT */
#pragma once
/* From the sorted trees to the typed config, by the key table. */
#include "conf/tree.h"

/* Decodes @t into @c: what stands outside of services, and the services with `defaults` merged in. What is
 * wrong is told; a service that is not right is kept as far as it was understood, so that more can be found.
 * Returns 0 or -ENOMEM. */
int decode_config(Reader *r, const Tree *t, Config *c);

/* Sets every built-in default of @s. Returns 0 or -ENOMEM. */
int decode_standards(KeyScope scope, void *base);
/* The origin of @path among @s's, or NULL when the key was not given. */
const ConfigOrigin *service_origin(const ServiceConfig *s, const char *path);
/* The same for item @i of its list; of a single value, or where items' places are not kept, that of the key.
 */
const ConfigOrigin *service_item_origin(const ServiceConfig *s, const char *path, size_t i);
/* That of the option @path of endpoint @i, or NULL. */
const ConfigOrigin *service_listen_origin(const ServiceConfig *s, const char *path, size_t i);
/* Whether a service may be called that. */
bool service_name_is_valid(const char *s);
