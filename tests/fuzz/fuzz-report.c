/* SPDX-License-Identifier: MIT */
/* Any bytes over a status pipe, or as a datagram to the notify socket: the same lines however they come, a
 * report that stays within its bounds, and that an upgrade hands on as it is. */
#include "daemon/base/lines.h"
#include "daemon/base/text.h"
#include "daemon/notify-socket.h"
#include "daemon/report.h"
#include "tests/fuzz/require.h"

typedef struct Heard {
    Report report;
    uint64_t sum; /* of the lines in their order */
    uint64_t n;
    size_t kinds[REPORT_METRIC + 1];
} Heard;

static void check(const Report *r) {
    require(r->n_metrics <= REPORT_METRICS_MAX && (r->n_metrics == 0 || r->metrics));
    require(r->active >= -1 && r->requests >= -1 && r->queued >= -1 && r->capacity >= -1 && r->capacity != 0);
    require(r->error >= 0 && r->error <= 4095 && r->malformed <= r->lines);
    require(!r->status ||
            (strlen(r->status) <= REPORT_STATUS_MAX && utf8_valid(r->status, strlen(r->status))));
    for (size_t i = 0; i < r->n_metrics; i++) {
        const char *name = r->metrics[i].name;
        require(report_metric_name_valid(name, strlen(name)) &&
                r->metrics[i].value - r->metrics[i].value == 0);
        for (size_t k = 0; k < i; k++)
            require(!streq(name, r->metrics[k].name));
    }
}

static void hear(Heard *h, const char *line, size_t n) {
    for (size_t i = 0; i < n; i++)
        h->sum = h->sum * 31 + (unsigned char)line[i];
    h->sum = h->sum * 31 + n + 1;
    h->n++;
    uint64_t malformed = h->report.malformed;
    ReportKind kind = report_line(&h->report, line, n);
    require(kind <= REPORT_METRIC && (kind == REPORT_MALFORMED) == (h->report.malformed > malformed));
    require(h->report.lines == h->n);
    h->kinds[kind]++;
}

static void on_line(const char *line, size_t n, bool truncated, void *userdata) {
    require(n <= LINE_MAX_BYTES && line[n] == '\0' && !memchr(line, '\n', n));
    require(!truncated || n == LINE_MAX_BYTES);
    hear(userdata, line, n);
}

/* Over a pipe, @step bytes a time. */
static void read_pipe(Heard *h, const uint8_t *data, size_t size, size_t step) {
    Lines lines = {0};
    report_init(&h->report);
    for (size_t at = 0; at < size; at += step) {
        size_t n = size - at < step ? size - at : step;
        char *piece = malloc(n + 1);
        require(piece != NULL);
        memcpy(piece, data + at, n);
        lines_feed(&lines, piece, n, on_line, h);
        free(piece);
    }
    lines_finish(&lines, on_line, h);
    require(!lines.partial);
    lines_done(&lines);
    check(&h->report);
}

static void on_datagram_line(const char *line, size_t n, void *userdata) {
    require(!memchr(line, '\n', n) && !report_is_foreign(line, n));
    hear(userdata, line, n);
}

static void read_datagram(const uint8_t *data, size_t size) {
    Heard h = {0};
    char *copy = copy_of(data, size);
    report_init(&h.report);
    notify_datagram_lines(copy, size, size % 2, on_datagram_line, &h);
    /* All may be foreign; else there is a line, if only an empty one. */
    require(h.n > 0 || memchr(copy, '=', size));
    check(&h.report);
    report_done(&h.report);
    free(copy);
}

static void save(BlobWriter *w, const Report *r) {
    blob_begin(w, BLOB_STATE);
    report_save(w, r);
    require(blob_end(w) == 0);
}

static void hand_over(const Report *r) {
    CLEANUP_BLOB BlobWriter one = {0}, other = {0};
    BlobSource source;
    BlobReader in;
    Report again;
    report_init(&again);
    save(&one, r);
    require(blob_source_init(&source, one.data, one.n, BLOB_STATE, &in) == 0);
    require(report_restore(in, &again) == 0);
    blob_source_done(&source);
    check(&again);
    save(&other, &again);
    require(one.n == other.n && memcmp(one.data, other.data, one.n) == 0);
    report_done(&again);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    Heard whole = {0}, pieces = {0}, bytes = {0};
    read_pipe(&whole, data, size, size > 0 ? size : 1);
    read_pipe(&pieces, data, size, size > 0 ? 1 + data[0] % 97 : 1);
    read_pipe(&bytes, data, size, 1);
    require(whole.sum == pieces.sum && whole.n == pieces.n && whole.sum == bytes.sum && whole.n == bytes.n);
    require(memcmp(whole.kinds, bytes.kinds, sizeof(whole.kinds)) == 0);
    hand_over(&whole.report);
    read_datagram(data, size);
    report_done(&whole.report);
    report_done(&pieces.report);
    report_done(&bytes.report);
    return 0;
}
