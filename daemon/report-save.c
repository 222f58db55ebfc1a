/* SPDX-License-Identifier: MIT */
/* What a process has said goes on as data of known length, whatever stands in it, and is looked at again as
 * if the process said it now. */
#include <string.h>

#include "daemon/base/blob-rows.h"
#include "daemon/base/text.h"
#include "daemon/report.h"

enum {
    REPORT_TAG_READY = 1,
    REPORT_TAG_STOPPING,
    REPORT_TAG_RELOADING,
    REPORT_TAG_ERROR,
    REPORT_TAG_ACTIVE,
    REPORT_TAG_REQUESTS,
    REPORT_TAG_QUEUED,
    REPORT_TAG_CAPACITY,
    REPORT_TAG_LINES,
    REPORT_TAG_MALFORMED,
    REPORT_TAG_STATUS,
    REPORT_TAG_METRIC, /* once for each */
};
enum {
    METRIC_NAME = 1,
    METRIC_VALUE,
};

static const BlobRow rows[] = {
    BLOB_ROW(REPORT_TAG_READY, Report, ready),         BLOB_ROW(REPORT_TAG_STOPPING, Report, stopping),
    BLOB_ROW(REPORT_TAG_RELOADING, Report, reloading), BLOB_ROW(REPORT_TAG_ERROR, Report, error),
    BLOB_ROW(REPORT_TAG_ACTIVE, Report, active),       BLOB_ROW(REPORT_TAG_REQUESTS, Report, requests),
    BLOB_ROW(REPORT_TAG_QUEUED, Report, queued),       BLOB_ROW(REPORT_TAG_CAPACITY, Report, capacity),
    BLOB_ROW(REPORT_TAG_LINES, Report, lines),         BLOB_ROW(REPORT_TAG_MALFORMED, Report, malformed),
};

void report_save(BlobWriter *w, const Report *r) {
    blob_put_rows(w, rows, ELEMENTS(rows), r);
    blob_put_str(w, REPORT_TAG_STATUS, r->status);
    for (size_t i = 0; i < r->n_metrics; i++) {
        size_t at = blob_open(w, REPORT_TAG_METRIC);
        blob_put_str(w, METRIC_NAME, r->metrics[i].name);
        blob_put_double(w, METRIC_VALUE, r->metrics[i].value);
        blob_close(w, at);
    }
}

static void take_metric(const BlobField *field, Report *r) {
    BlobReader in = blob_enter(field);
    BlobField f;
    char *name CLEANUP_FREE = NULL;
    double value = 0;
    while (blob_next(&in, &f)) {
        if (f.tag == METRIC_NAME)
            blob_take_str(&f, &name);
        else if (f.tag == METRIC_VALUE)
            value = blob_double(&f);
    }
    if (!name || r->n_metrics == REPORT_METRICS_MAX || !report_metric_name_valid(name, strlen(name)))
        return;
    if (!r->metrics)
        r->metrics = calloc(REPORT_METRICS_MAX, sizeof(ReportMetric));
    if (!r->metrics)
        return;
    ReportMetric *m = &r->metrics[r->n_metrics++];
    memcpy(m->name, name, strlen(name) + 1);
    m->value = value;
}

static void take_status(const BlobField *f, Report *r) {
    blob_take_str(f, &r->status);
    size_t n = r->status ? strlen(r->status) : 0;
    if (n <= REPORT_STATUS_MAX && (!r->status || utf8_valid(r->status, n)))
        return;
    free(r->status);
    r->status = NULL;
}

int report_restore(BlobReader in, Report *r) {
    BlobField f;
    while (blob_next(&in, &f)) {
        if (f.tag == REPORT_TAG_STATUS)
            take_status(&f, r);
        else if (f.tag == REPORT_TAG_METRIC)
            take_metric(&f, r);
        else
            (void)blob_get_row(&f, rows, ELEMENTS(rows), r);
    }
    return blob_is_spoilt(in.source) ? -EBADMSG : 0;
}
