/* SPDX-License-Identifier: MIT */
#include "daemon/errand.h"

#include <stdlib.h>
#include <sys/resource.h>
#include <unistd.h>

/* Without close_range(2) no more is looked for. */
#define DESCRIPTORS_MAX (1 << 20)

void errands_note(Errands *e, pid_t pid) {
    if (e->n == e->capacity) {
        size_t capacity = e->capacity ? 2 * e->capacity : 4;
        pid_t *grown = reallocarray(e->pids, capacity, sizeof(*grown));
        if (!grown)
            return;
        e->pids = grown;
        e->capacity = capacity;
    }
    e->pids[e->n++] = pid;
}

bool errands_on_end(Errands *e, pid_t pid) {
    for (size_t i = 0; i < e->n; i++) {
        if (e->pids[i] != pid)
            continue;
        e->pids[i] = e->pids[--e->n];
        return true;
    }
    return false;
}

void errands_done(Errands *e) {
    free(e->pids);
    *e = (Errands){0};
}

void errand_close_from(int first) {
    struct rlimit limit = {0};
    /* Before Linux 5.9; or it is forbidden. */
    if (close_range((unsigned)first, ~0U, 0) == 0)
        return;
    (void)getrlimit(RLIMIT_NOFILE, &limit);
    for (int fd = first; (rlim_t)fd < limit.rlim_cur && fd < DESCRIPTORS_MAX; fd++)
        (void)close(fd);
}
