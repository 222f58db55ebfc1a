/* SPDX-License-Identifier: MIT */
#pragma once
/* The files of a config: read with all care, joined by their includes. */
#include "conf/reader.h"

/* Reads @path and everything that it includes into @r's files, the main file first. What is wrong is told.
 * Returns 0, or -ENOMEM; without any tree r->n_files is 0. */
int files_read(Reader *r, const char *path);
