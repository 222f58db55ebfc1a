/* SPDX-License-Identifier: MIT */
#pragma once
/* A helper: a program of ours, run for a short time and within limits, for work that the loop must not do.
 * It writes its result to a file in memory (memfd), whole or not at all: what it has written counts when it
 * has ended well, and nobody can change it afterwards. However it ends, crashes or hangs, the daemon goes on
 * meanwhile. */
#include <stdbool.h>
#include <stdint.h>
#include <sys/resource.h>
#include <systemd/sd-event.h>

#include "daemon/base/list.h"

/* The last word of its argv says which descriptor the file for its result is. */
#define HELPER_RESULT_WORD "--result-fd="

/* What it may have; 0: as the daemon. */
typedef struct HelperLimits {
    uint64_t time_usec; /* then it is killed */
    rlim_t cpu_seconds, memory, file_size, descriptors;
} HelperLimits;

typedef struct HelperPlan {
    const char *path; /* NULL: this very program, whatever stands at its path by now */
    char *const *argv, *const *environ;
    /* Kept open under their own numbers; nothing else is, but 0 to 2 and the result's. */
    const int *fds;
    size_t n_fds;
    bool drop_root; /* of root nothing is left but to read what root may read */
    bool blind;     /* nor that, once it has given up by itself the capability with which it begins */
    HelperLimits limits;
} HelperPlan;

typedef struct HelperEnd {
    int error;       /* negative errno: it could not be started, or its result not be read; else 0 */
    bool unwritten;  /* it had a result, and could not write it */
    int write_error; /* then: negative errno; 0: it could not even say that */
    int status;      /* wait(2)'s */
    bool too_late;
    uint64_t time_usec;    /* that it had */
    const uint8_t *result; /* mapped for the time of the call; NULL: none */
    size_t n;
    bool *kept; /* set to true: the mapping is the callee's from now on, who unmaps it: munmap(2) */
} HelperEnd;

typedef struct Helper Helper;
typedef struct Helpers {
    List list;
    int exe_fd;       /* this program */
    const char *path; /* by which it was started */
} Helpers;

/* Called once, from the loop; the helper is gone when it returns, and not to be freed. */
typedef void (*HelperDone)(const HelperEnd *end, void *userdata);

/* Once, at the daemon's start: finds this program, whatever becomes of its file. 0 or a negative errno. */
int helper_init(Helpers *h);
/* Kills those that are left; nobody is told. */
void helpers_done(Helpers *h);
/* Starts one. 0 with @ret, good until @done is called, or a negative errno. */
int helper_start(Helpers *h, sd_event *loop, const HelperPlan *plan, HelperDone done, void *userdata,
                 Helper **ret);
/* Kills it; @done is not called any more. Returns NULL; NULL is fine. */
Helper *helper_free(Helper *helper);
/* A child has been reaped: whether it was one of these. */
bool helpers_on_end(Helpers *h, pid_t pid, int status);
/* Calls @take with the number of each that has not been reaped, whether somebody still waits for it or not.
 */
void helpers_each(const Helpers *h, void (*take)(pid_t pid, void *userdata), void *userdata);
/* "was killed by SIGKILL", "ended with exit status 1", "took longer than 30 s", "cannot be run: …", "could
 * not write what it found: …". Returns @buf. */
const char *helper_end_text(const HelperEnd *end, char *buf, size_t size);

/* In the helper, first of all: what it was given to come through execve(2) with is given up, and it ends when
 * the daemon does. */
void helper_settle(void);
/* In the helper: the descriptor for its result, by the last of @argv; -EBADF when there is none. */
int helper_result_fd(int argc, char *const *argv);
/* Writes all of it, in the place of what was there. 0 or a negative errno. */
int helper_write_result(int fd, const void *data, size_t n);
/* It could not be written, by @error, negative: leaves that in its place, where there is room for so much.
 * Returns the exit status that says so. */
int helper_tell_unwritten(int fd, int error);
