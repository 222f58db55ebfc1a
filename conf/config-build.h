/* SPDX-License-Identifier: MIT */
#pragma once
/* Making and taking apart what a Config is made of; for the reader (conf/) alone. */
#include "conf/config.h"

Config *config_new(void); /* with the built-in values of what stands outside of services; NULL: no memory */
ServiceConfig *service_config_new(void); /* one reference, else all zero */
/* Its terms to write to, as long as it shares them with nobody: until it is interned. */
ServiceTerms *service_config_terms(ServiceConfig *s);
/* Makes the names of files in its places its own, so that it can outlive the Config. 0 or -ENOMEM. */
int service_config_own_files(ServiceConfig *s);

extern const ResourceConfig resource_standard; /* nothing is given */

void listen_config_init(ListenConfig *l); /* "as the kernel has it" everywhere */
void listen_config_done(ListenConfig *l);
void resolved_done(Resolved *r);
/* Appends a copy of @origin to the @n at @v. Returns 0 or -ENOMEM. */
int config_origin_add(ConfigOrigin **v, size_t *n, const ConfigOrigin *origin);
Diag *diag_free(Diag *d); /* a Diag on the heap; returns NULL */
