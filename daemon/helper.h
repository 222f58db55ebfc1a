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
    HelperLimits limits;
} HelperPlan;

typedef struct HelperEnd {
    int error;  /* negative errno: it could not be started; else 0 */
    int status; /* wait(2)'s */
    bool too_late;
    const uint8_t *result; /* mapped for the time of the call; NULL: none */
    size_t n;
} HelperEnd;

typedef struct Helper Helper;
typedef struct Helpers {
    List list;
} Helpers;

/* Called once, from the loop; the helper is gone when it returns. */
typedef void (*HelperDone)(const HelperEnd *end, void *userdata);

/* Once, at the daemon's start: finds this program, whatever becomes of its file. 0 or a negative errno. */
int helper_init(Helpers *h);
/* Starts one. 0 with @ret, good until @done is called, or a negative errno. */
int helper_start(Helpers *h, sd_event *loop, const HelperPlan *plan, HelperDone done, void *userdata,
                 Helper **ret);
/* Kills it; @done is not called any more. Returns NULL; NULL is fine. */
Helper *helper_free(Helper *helper);
/* A child has been reaped: whether it was one of these. */
bool helpers_on_end(Helpers *h, pid_t pid, int status);
/* "was killed by SIGKILL", "ended with exit status 1", "took longer than 30 s". Returns @buf. */
const char *helper_end_text(const HelperEnd *end, char *buf, size_t size);
