/* SPDX-License-Identifier: MIT */
#pragma once
/* What a process says of itself over its status pipe: KEY=VALUE lines with sd_notify(3)'s words. Parsed
 * without allocation, except for the newest STATUS text. Data only: nothing that a process says is an
 * authority. Pure. */
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "daemon/base/blob.h"

#define REPORT_METRICS_MAX 16
#define REPORT_METRIC_NAME_MAX 32
#define REPORT_STATUS_MAX 256

typedef struct ReportMetric {
    char name[REPORT_METRIC_NAME_MAX]; /* without X_ */
    double value;
} ReportMetric;

typedef struct Report {
    bool ready, stopping, reloading;
    int error;                                  /* the last ERRNO= */
    int64_t active, requests, queued, capacity; /* -1: never said */
    char *status;                               /* owned; NULL: never said */
    ReportMetric *metrics;                      /* owned */
    size_t n_metrics;
    uint64_t lines, malformed;
} Report;

/* What one line was. */
typedef enum ReportKind {
    REPORT_MALFORMED,
    REPORT_READY,
    REPORT_STATUS,
    REPORT_STOPPING,
    REPORT_RELOADING,
    REPORT_WATCHDOG,
    REPORT_TRIGGER, /* WATCHDOG=trigger: treat it as if it had been silent for too long */
    REPORT_ERRNO,
    REPORT_ACTIVE,
    REPORT_REQUESTS,
    REPORT_QUEUED,
    REPORT_CAPACITY,
    REPORT_BAN,
    REPORT_METRIC,
} ReportKind;

void report_init(Report *r);
void report_done(Report *r);
/* Whether a line is an assignment in sd_notify(3)'s manner of a word that we have no use for (MAINPID,
 * FDSTORE and what may come): to be left alone. */
bool report_is_foreign(const char *line, size_t n);
/* Takes one line of @n bytes (no newline; not NUL-terminated). What is malformed is counted and changes
 * nothing else. */
ReportKind report_line(Report *r, const char *line, size_t n);
/* Whether @n bytes at @name could be the name of a metric, without X_. */
bool report_metric_name_valid(const char *name, size_t n);

/* The upgrade in place. Into one that is new; what is not as a process could have said it is left out. 0,
 * -EBADMSG or -ENOMEM. */
void report_save(BlobWriter *w, const Report *r);
int report_restore(BlobReader in, Report *r);
