/* SPDX-License-Identifier: MIT */
#pragma once
/* A part of a service's config: keys whose fields are in a struct of its own, which is there once one of them
 * has been given, since few services have any. */
#include "conf/schema.h"

/* The fields of @part as they hold for @s; never NULL. */
const void *part_get(const ServiceConfig *s, KeyPart part);
/* Whether one of its keys has been given. */
bool part_is_there(const ServiceConfig *s, KeyPart part);
/* The same to write to, made with what holds where nothing is given; NULL when memory runs out. */
void *part_make(ServiceConfig *s, KeyPart part);
/* Frees what is there of all parts. */
void parts_done(ServiceConfig *s);
/* The bytes of its struct. */
size_t part_size(KeyPart part);
