/* SPDX-License-Identifier: MIT */
#pragma once
/* What the kernel says of a process in one of its files below /proc, proc(5). */
#include <stddef.h>
#include <sys/types.h>

/* The beginning of /proc/@pid/@name into @text, with a NUL behind it; @size is more than 1. Returns how many
 * bytes, without the NUL; 0: nothing can be read there. */
size_t proc_file_read(pid_t pid, const char *name, char *text, size_t size);
