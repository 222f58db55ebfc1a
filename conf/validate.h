/* SPDX-License-Identifier: MIT */
#pragma once
/* Rules between keys: what each key alone cannot tell. */
#include "conf/reader.h"

/* Holds one decoded service against all rules. */
void validate_service(Reader *r, const ServiceConfig *s);
/* Rules over all services: endpoints that cannot be bound at once. */
void validate_config(Reader *r, const Config *c);
