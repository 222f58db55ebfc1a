/* SPDX-License-Identifier: MIT */
#pragma once
/* Paths of a config, absolute and without needless parts. Pure. */
#include <stdbool.h>
#include <sys/types.h>

/* The path of an item of a list, which may have "-" in front: it may be missing. */
const char *path_of_item(const char *item);
/* Whether @path is @folder or below it. */
bool path_is_below(const char *path, const char *folder);
/* The first of @folders, items of a list, that @path is or is below: counted from 0; -1: none. NULL is an
 * empty list. */
ssize_t path_find_above(const char *path, char *const *folders);
