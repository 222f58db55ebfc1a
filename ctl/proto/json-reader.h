/* SPDX-License-Identifier: MIT */
#pragma once
/* JSON from strangers, by Jansson, also when memory runs out. */
#include <jansson.h>
#include <stddef.h>

/* The value that the @n bytes are, or NULL: what is no JSON, has a key twice, has NUL in a string or anything
 * behind the value; or there was no memory. Until json_reader_done() this thread uses Jansson for nothing
 * else.
 */
json_t *json_reader_load(const char *json, size_t n);
void json_reader_done(json_t *root);
