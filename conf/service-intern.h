/* SPDX-License-Identifier: MIT */
#pragma once
/* What a service's config says in words and vectors, its terms, and the filter of its sandbox: most of it is
 * what other services say, and kept once for all of them. For the reader (conf/) alone. */
#include "conf/config.h"
#include "conf/interned.h"

/* Has @s share its words and terms with the others that are in @in, whose reference it takes. To be called
 * once they do not change any more: one for which something is still to be read is left as it is. Returns 0,
 * or -ENOMEM: it is good all the same, and shares less. */
int service_config_intern(ServiceConfig *s, Interned *in);
/* The same, behind it, with the files that its places name and with what was looked up, unless that is still
 * to be tried again. */
int service_config_intern_found(ServiceConfig *s);
/* Frees the words, vectors, terms and sandbox of @s, shared or not, and those of its listeners. */
void service_config_release(ServiceConfig *s);
