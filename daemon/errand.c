/* SPDX-License-Identifier: MIT */
#include "daemon/errand.h"

#include <errno.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <unistd.h>

/* Without close_range(2) no more is looked for. */
#define DESCRIPTORS_MAX (1 << 20)

int errands_reserve(Errands *e) {
    if (e->n < e->capacity)
        return 0;
    size_t capacity = e->capacity ? 2 * e->capacity : 4;
    Errand *grown = reallocarray(e->items, capacity, sizeof(*grown));
    if (!grown)
        return -ENOMEM;
    e->items = grown;
    e->capacity = capacity;
    return 0;
}

void errands_await(Errands *e, pid_t pid, ErrandEnd on_end, void *userdata) {
    e->items[e->n++] = (Errand){.pid = pid, .on_end = on_end, .userdata = userdata};
}

void errands_note(Errands *e, pid_t pid) {
    if (errands_reserve(e) >= 0)
        errands_await(e, pid, NULL, NULL);
}

void errands_forget(Errands *e, const void *userdata) {
    for (size_t i = 0; i < e->n; i++)
        if (e->items[i].userdata == userdata)
            e->items[i].on_end = NULL;
}

bool errands_on_end(Errands *e, pid_t pid) {
    for (size_t i = 0; i < e->n; i++) {
        const Errand ended = e->items[i];
        if (ended.pid != pid)
            continue;
        e->items[i] = e->items[--e->n];
        if (ended.on_end)
            ended.on_end(ended.userdata);
        return true;
    }
    return false;
}

void errands_done(Errands *e) {
    free(e->items);
    *e = (Errands){0};
}

void errands_save(BlobWriter *w, uint16_t tag, const Errands *e) {
    for (size_t i = 0; i < e->n; i++)
        blob_put_u64(w, tag, (uint64_t)e->items[i].pid);
}

void errands_restore(const BlobField *f, Errands *e) {
    errands_note(e, (pid_t)blob_u64_max(f, INT32_MAX));
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
