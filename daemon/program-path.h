/* SPDX-License-Identifier: MIT */
#pragma once
/* The path by which this program was started: where an upgrade finds the next one. */

/* Absolute, links as they are, for the caller to free; to be asked for at the start, before the working
 * directory changes. NULL when it cannot be known: started by a descriptor, and without /proc. */
char *program_path(void);
