/* SPDX-License-Identifier: MIT */
#pragma once
/* Rules between keys: what each key alone cannot tell. */
#include "conf/reader.h"

/* Holds one decoded service against all rules. */
void validate_service(Reader *r, const ServiceConfig *s);
/* Tells of a rule that the key @path of @s breaks: at its value, which may stand in `defaults`, or at the
 * service's name when it was not given. */
void validate_broken(Reader *r, const ServiceConfig *s, const char *path, DiagSeverity severity,
                     DiagCode code, const char *hint, const char *message);
/* The same for item @i of the list that @path is. */
void validate_broken_item(Reader *r, const ServiceConfig *s, const char *path, size_t i,
                          DiagSeverity severity, DiagCode code, const char *hint, const char *message);
/* Holds the limits of a service against the rules about them. */
void validate_limits(Reader *r, const ServiceConfig *s);
/* Rules over all services: endpoints that cannot be bound at once. */
void validate_config(Reader *r, const Config *c);
