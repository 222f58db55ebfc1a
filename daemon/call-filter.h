/* SPDX-License-Identifier: MIT */
#pragma once
/* The system calls of a process of ours that has all that it needs: to receive, to send, to have memory, to
 * end (seccomp(2)). Any other ends it. */

/* For this process, for good; it must have no_new_privs. 0, or a negative errno: -ENOSYS where the kernel, or
 * this program on this kind of machine, knows of no such thing. */
int call_filter_install(void);
