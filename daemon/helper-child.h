/* SPDX-License-Identifier: MIT */
#pragma once
/* A helper between fork(2) and execve(2): one fixed list of steps that allocate nothing and take no lock. */
#include <sys/types.h>

#include "daemon/helper.h"

/* Its exit status when it did not come to exec; the errno is then its result, an int. */
#define HELPER_NOT_STARTED 111
/* The same of one that could not write its result. */
#define HELPER_NOT_WRITTEN 112

typedef struct HelperChild {
    const HelperPlan *plan;
    int exe_fd;       /* of this program; used when the plan has no path */
    const char *path; /* of this program, where a kernel cannot run a descriptor */
    char *const *argv;
    const int *fds; /* those to be kept, sorted, each once: with the result's and exe_fd */
    size_t n_fds;
    int result_fd;
    pid_t parent;
} HelperChild;

_Noreturn void helper_child_main(const HelperChild *c);
