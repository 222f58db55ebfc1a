/* SPDX-License-Identifier: MIT */
/* What a service has counted, and its last error, in a blob. Of an array there may be more, or fewer, in
 * another version: new ones are added at its end. */
#include <string.h>

#include "daemon/base/blob-rows.h"
#include "daemon/service-save.h"

/* Never used again for something else. */
enum {
    COUNTERS_ACCEPTED = 1,
    COUNTERS_REFUSED,
    COUNTERS_GONE,
    COUNTERS_SPAWNED,
    COUNTERS_SPAWN_FAILED,
    COUNTERS_EXITED,
    COUNTERS_FAILED_STEPS,
    COUNTERS_RESTARTS,
    COUNTERS_REQUESTS,
    COUNTERS_REPORT_ERRORS,
    COUNTERS_BANS,
    COUNTERS_CGROUP_OOM_KILLS,
    COUNTERS_CGROUP_PIDS_LIMITED,
};

static const BlobRow rows[] = {
    BLOB_ROW(COUNTERS_ACCEPTED, Counters, accepted),
    BLOB_ROW(COUNTERS_GONE, Counters, gone),
    BLOB_ROW(COUNTERS_SPAWNED, Counters, spawned),
    BLOB_ROW(COUNTERS_SPAWN_FAILED, Counters, spawn_failed),
    BLOB_ROW(COUNTERS_RESTARTS, Counters, restarts),
    BLOB_ROW(COUNTERS_REQUESTS, Counters, requests),
    BLOB_ROW(COUNTERS_REPORT_ERRORS, Counters, report_errors),
    BLOB_ROW(COUNTERS_CGROUP_OOM_KILLS, Counters, cgroup_oom_kills),
    BLOB_ROW(COUNTERS_CGROUP_PIDS_LIMITED, Counters, cgroup_pids_limited),
};

/* The arrays. */
static const struct {
    uint16_t tag;
    size_t at, n;
} arrays[] = {
    {COUNTERS_REFUSED, offsetof(Counters, refused), _REFUSE_REASON_MAX},
    {COUNTERS_EXITED, offsetof(Counters, exited), _EXIT_RESULT_MAX},
    {COUNTERS_FAILED_STEPS, offsetof(Counters, failed_steps), _STEP_MAX},
    {COUNTERS_BANS, offsetof(Counters, bans), _BAN_CAUSE_MAX},
};

void counters_save(BlobWriter *w, const Counters *c) {
    blob_put_rows(w, rows, ELEMENTS(rows), c);
    for (size_t i = 0; i < ELEMENTS(arrays); i++)
        blob_put_u64s(w, arrays[i].tag, (const uint64_t *)(const void *)((const char *)c + arrays[i].at),
                      arrays[i].n);
}

int counters_restore(BlobReader r, Counters *c) {
    BlobField f;
    while (blob_next(&r, &f)) {
        if (blob_get_row(&f, rows, ELEMENTS(rows), c))
            continue;
        for (size_t i = 0; i < ELEMENTS(arrays); i++)
            if (arrays[i].tag == f.tag)
                blob_u64s(&f, (uint64_t *)(void *)((char *)c + arrays[i].at), arrays[i].n);
    }
    return blob_is_spoilt(r.source) ? -EBADMSG : 0;
}

enum {
    ERROR_TIME = 1,
    ERROR_STEP,
    ERROR_NUMBER,
    ERROR_MESSAGE,
    ERROR_FILE,
    ERROR_LINE,
};

static const BlobRow error_rows[] = {
    BLOB_ROW(ERROR_TIME, LastError, time_usec),  BLOB_ROW(ERROR_NUMBER, LastError, error),
    BLOB_ROW(ERROR_MESSAGE, LastError, message), BLOB_ROW(ERROR_FILE, LastError, file),
    BLOB_ROW(ERROR_LINE, LastError, line),
};

void last_error_save(BlobWriter *w, const LastError *e) {
    blob_put_rows(w, error_rows, ELEMENTS(error_rows), e);
    blob_put_str(w, ERROR_STEP, e->step);
}

int last_error_restore(BlobReader r, LastError *e) {
    BlobField f;
    while (blob_next(&r, &f)) {
        if (blob_get_row(&f, error_rows, ELEMENTS(error_rows), e) || f.tag != ERROR_STEP)
            continue;
        char *step CLEANUP_FREE = blob_str(&f);
        (void)snprintf(e->step, sizeof(e->step), "%s", step ? step : "");
    }
    return blob_is_spoilt(r.source) ? -EBADMSG : 0;
}
