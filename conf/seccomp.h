/* SPDX-License-Identifier: MIT */
#pragma once
/* From the words of `sandbox.seccomp` to a filter as seccomp(2) takes it. It is done when a config is loaded,
 * by whoever loads it; each list once a load. */
#include <linux/filter.h>
#include <stddef.h>

#include "daemon/base/cleanup.h"

typedef struct Seccomp Seccomp;

Seccomp *seccomp_new(void); /* NULL: no memory */
Seccomp *seccomp_free(Seccomp *s);
DEFINE_CLEANUP(Seccomp *, seccomp_free);
#define CLEANUP_SECCOMP CLEANUP(seccomp_freep)

/* Tells what is wrong with word number @i. */
typedef void (*SeccompFault)(size_t i, const char *hint, const char *message, void *userdata);

/* The filter of @words, of which there is one at least, goes to @ret as the caller's own: instructions of
 * BPF. A list of nothing but words with "~" takes these away, any other allows what it names and no more.
 * What is not allowed gets EPERM, and ENOSYS where it is newer than what is known here, so that libc falls
 * back to what it did before. A program of another architecture is killed. Returns 0; -EINVAL when a word is
 * wrong (told to @fault); -ENOENT where libseccomp is not installed, -EOPNOTSUPP where this program is built
 * without it; or -ENOMEM. */
int seccomp_compile(Seccomp *s, char *const *words, SeccompFault fault, void *userdata,
                    struct sock_filter **ret, size_t *ret_n);
