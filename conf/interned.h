/* SPDX-License-Identifier: MIT */
#pragma once
/* Bytes that many say alike, kept once: the words and vectors of a config's services. Counted; what is in it
 * stays where it is until the last reference is gone. */
#include <stdbool.h>
#include <stddef.h>

typedef struct Interned Interned;

/* An empty one, with a reference of the caller's. NULL when memory runs out. */
Interned *interned_new(void);
Interned *interned_ref(Interned *in);
Interned *interned_unref(Interned *in); /* returns NULL; NULL is fine */

/* The bytes at @data, aligned for whatever has that size, never to be written to; they may contain pointers
 * to others that are kept here. NULL when memory runs out, or after interned_finish(). */
const void *interned_bytes(Interned *in, const void *data, size_t n);
/* The same with its NUL. */
const char *interned_string(Interned *in, const char *s);
/* The same with what it points to. @v ends with NULL. */
char **interned_strv(Interned *in, char *const *v);
/* Nothing is added any more: what helped to find it is given back. */
void interned_finish(Interned *in);
/* Whether less than half of those still have a reference who had one when it was finished: most of what it
 * keeps is likely to be there for nobody. */
bool interned_is_sparse(const Interned *in);
/* Whether @p has come from here. @in may be NULL: then nothing has. */
bool interned_has(const Interned *in, const void *p);
