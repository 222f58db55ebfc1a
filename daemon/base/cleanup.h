/* SPDX-License-Identifier: MIT */
#pragma once
/* Scope-exit ownership: a variable declared with one of these attributes gives its object back when it goes
 * out of scope; TAKE_PTR and TAKE_FD hand the object over on the success path. A descriptor of -EBADF is
 * none. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#define CLEANUP(f) __attribute__((cleanup(f)))

static inline void freep(void *p) {
    free(*(void **)p);
}

/* Closes @fd unless it is negative, keeping errno; returns -EBADF so that `fd = fd_close(fd)` forgets it. */
static inline int fd_close(int fd) {
    if (fd >= 0) {
        int saved = errno;
        (void)close(fd);
        errno = saved;
    }
    return -EBADF;
}

static inline void closep(int *fd) {
    *fd = fd_close(*fd);
}

static inline void fclosep(FILE **f) {
    if (*f)
        (void)fclose(*f);
}

#define CLEANUP_FREE CLEANUP(freep)
#define CLEANUP_CLOSE CLEANUP(closep)
#define CLEANUP_FCLOSE CLEANUP(fclosep)

/* Defines name##p for use with CLEANUP(), calling @free_fn on a non-NULL pointer. */
/* NOLINTBEGIN(bugprone-macro-parentheses): a type takes no parentheses */
#define DEFINE_CLEANUP(type, free_fn)                                                                        \
    static inline void free_fn##p(type *p) {                                                                 \
        if (*p)                                                                                              \
            (void)free_fn(*p);                                                                               \
    }                                                                                                        \
    struct free_fn##_semicolon
/* NOLINTEND(bugprone-macro-parentheses) */

#define TAKE_PTR(p)                                                                                          \
    __extension__({                                                                                          \
        __typeof__(p) *take_ = &(p);                                                                         \
        __typeof__(p) taken_ = *take_;                                                                       \
        *take_ = NULL;                                                                                       \
        taken_;                                                                                              \
    })

#define TAKE_FD(fd)                                                                                          \
    __extension__({                                                                                          \
        int *take_ = &(fd);                                                                                  \
        int taken_ = *take_;                                                                                 \
        *take_ = -EBADF;                                                                                     \
        taken_;                                                                                              \
    })

#define ELEMENTS(a) (sizeof(a) / sizeof((a)[0]))
