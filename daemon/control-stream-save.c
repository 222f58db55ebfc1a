/* SPDX-License-Identifier: MIT */
/* A reply that is half made, over an upgrade in place: where it goes on, and by which part. */
#include <string.h>

#include "daemon/base/blob-rows.h"
#include "daemon/control-private.h"
#include "daemon/metrics.h"

/* Never used again for something else. */
enum {
    STREAM_PART = 1, /* its word */
    STREAM_MORE,
    STREAM_BEGUN,
    STREAM_ANY,
    STREAM_ORIGIN,
    STREAM_PATTERNS,
    STREAM_NAMES,
    STREAM_SUBJECT,
    STREAM_LAST,
    STREAM_NEXT_NAME,
    STREAM_FAMILY, /* of metrics, by its name */
    STREAM_SERVICE,
    STREAM_NUMBER,
    STREAM_PID,
    STREAM_LAST_NUMBER,
};

static const struct {
    const char *word;
    StreamPart part;
} parts[] = {
    {"status", calls_status_part},   {"description", calls_description_part},
    {"events", calls_events_part},   {"instances", calls_instances_part},
    {"metrics", calls_metrics_part}, {"config", calls_config_part},
    {"bans", calls_bans_part},
};

static const BlobRow rows[] = {
    BLOB_ROW(STREAM_MORE, Stream, more),       BLOB_ROW(STREAM_BEGUN, Stream, begun),
    BLOB_ROW(STREAM_ANY, Stream, any),         BLOB_ROW(STREAM_ORIGIN, Stream, origin),
    BLOB_ROW(STREAM_SUBJECT, Stream, subject), BLOB_ROW(STREAM_NEXT_NAME, Stream, next_name),
    BLOB_ROW(STREAM_SERVICE, Stream, service), BLOB_ROW(STREAM_NUMBER, Stream, number),
    BLOB_ROW(STREAM_PID, Stream, pid),         BLOB_ROW(STREAM_LAST_NUMBER, Stream, last_number),
};

static const char *word_of(const Stream *s) {
    for (size_t i = 0; i < ELEMENTS(parts); i++)
        if (parts[i].part == s->part)
            return parts[i].word;
    return NULL;
}

bool stream_can_be_saved(const Stream *s) {
    return word_of(s) != NULL;
}

void stream_save(BlobWriter *w, const Stream *s) {
    blob_put_str(w, STREAM_PART, word_of(s));
    blob_put_rows(w, rows, ELEMENTS(rows), s);
    /* What of the patterns has been looked at is looked at again. */
    blob_put_strv(w, STREAM_PATTERNS, s->patterns);
    blob_put_strv(w, STREAM_NAMES, s->names);
    blob_put_i64(w, STREAM_LAST, s->last);
    if (s->section > 0 && s->section < metrics_families())
        blob_put_str(w, STREAM_FAMILY, metrics_family_name(s->section));
}

static StreamPart part_of(const BlobField *f) {
    char *word CLEANUP_FREE = blob_str(f);
    for (size_t i = 0; word && i < ELEMENTS(parts); i++)
        if (streq(parts[i].word, word))
            return parts[i].part;
    return NULL;
}

/* metrics_families(): there is none of that name. */
static size_t family_of(const BlobField *f) {
    char *name CLEANUP_FREE = blob_str(f);
    size_t i = 0;
    while (name && i < metrics_families() && !streq(metrics_family_name(i), name))
        i++;
    return i;
}

/* What a part takes for granted. */
static bool is_whole(const Stream *s) {
    if (!s->part || s->section == metrics_families() || (s->number > 0 && s->pid < 0))
        return false;
    if (s->part == calls_description_part && !s->subject)
        return false;
    return s->next_name == 0 || (s->names && s->next_name <= strv_length(s->names));
}

Stream *stream_restore(BlobReader r) {
    Stream *s = stream_new(NULL, false);
    BlobField f;
    while (s && blob_next(&r, &f)) {
        if (blob_get_row(&f, rows, ELEMENTS(rows), s))
            continue;
        if (f.tag == STREAM_PART)
            s->part = part_of(&f);
        else if (f.tag == STREAM_PATTERNS)
            blob_take_strv(&f, &s->patterns);
        else if (f.tag == STREAM_NAMES)
            blob_take_strv(&f, &s->names);
        else if (f.tag == STREAM_LAST)
            s->last = blob_i64(&f);
        else if (f.tag == STREAM_FAMILY)
            s->section = family_of(&f);
    }
    bool good =
        s && !blob_is_spoilt(r.source) && is_whole(s) && selection_init(&s->selection, s->patterns) >= 0;
    return good ? s : stream_free(s);
}
