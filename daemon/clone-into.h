/* SPDX-License-Identifier: MIT */
#pragma once
/* clone3(2) for a process that begins in a control group. */
#include <stddef.h>
#include <sys/types.h>

/* As clone(2) with @flags, on the @size bytes of stack from @stack on; @child_tid is for
 * CLONE_CHILD_CLEARTID. The process begins with @fn in the control group @cgroup, the descriptor of its
 * folder. Its number, or a negative errno: -ENOSYS where that is not known. */
pid_t clone_into(int (*fn)(void *), void *stack, size_t size, int flags, void *arg, void *child_tid,
                 int cgroup);
