/* SPDX-License-Identifier: MIT */
#pragma once
/* Paths of a config, absolute and without needless parts. Pure. */
#include <stdbool.h>

/* The path of an item of a list, which may have "-" in front: it may be missing. */
const char *path_of_item(const char *item);
/* Whether @path is @folder or below it. */
bool path_is_below(const char *path, const char *folder);
