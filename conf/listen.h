/* SPDX-License-Identifier: MIT */
#pragma once
/* The listen key of a service: endpoints, plain or in the long form. */
#include "conf/reader.h"

/* Decodes @value, which stands under @name, into the endpoints of @s, which has its name already. Returns 0,
 * -EINVAL (told) or -ENOMEM. */
int listen_decode(Reader *r, const YamlNode *name, const YamlNode *value, ServiceConfig *s);
