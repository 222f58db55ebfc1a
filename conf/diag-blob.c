/* SPDX-License-Identifier: MIT */
#include "conf/diag-blob.h"

#include <stdlib.h>
#include <string.h>

#include "conf/config-blob.h"

typedef enum DiagTag {
    DIAG_SEVERITY = 1,
    DIAG_CODE,
    DIAG_FILE,
    DIAG_PLACE, /* line, column, end column */
    DIAG_MESSAGE,
    DIAG_HINT,
    DIAG_EXCERPT,
    DIAG_KEY,
} DiagTag;

typedef enum DiagsTag {
    DIAGS_ITEM = 1,
    DIAGS_DROPPED,
    DIAGS_DROPPED_ERRORS,
} DiagsTag;

#define DROPPED_MAX ((uint64_t)1 << 40)

void diag_put(BlobWriter *w, uint16_t tag, const Diag *d) {
    size_t at = blob_open(w, tag);
    blob_put_u64(w, DIAG_SEVERITY, (uint64_t)d->severity);
    blob_put_u64(w, DIAG_CODE, (uint64_t)d->code);
    blob_put_u64s(w, DIAG_PLACE, (const uint64_t[]){d->line, d->column, d->end_column}, 3);
    blob_put_str(w, DIAG_FILE, d->file);
    blob_put_str(w, DIAG_MESSAGE, d->message);
    blob_put_str(w, DIAG_HINT, d->hint);
    blob_put_str(w, DIAG_EXCERPT, d->excerpt);
    blob_put_str(w, DIAG_KEY, d->key);
    blob_close(w, at);
}

static void get_place(const BlobField *f, Diag *d) {
    uint64_t v[3];
    blob_u64s(f, v, ELEMENTS(v));
    if (v[0] > UINT32_MAX || v[1] > UINT32_MAX || v[2] > UINT32_MAX)
        blob_spoil(f->source, "a place is out of range");
    d->line = (unsigned)v[0];
    d->column = (unsigned)v[1];
    d->end_column = (unsigned)v[2];
}

void diag_get(const BlobField *f, Diag *ret) {
    Diag d = {0};
    BlobReader r = blob_enter(f);
    BlobField g;
    while (blob_next(&r, &g)) {
        if (g.tag == DIAG_SEVERITY)
            d.severity = (DiagSeverity)blob_u64_max(&g, _DIAG_SEVERITY_MAX - 1);
        else if (g.tag == DIAG_CODE)
            d.code = (DiagCode)blob_u64_max(&g, _DIAG_CODE_MAX - 1);
        else if (g.tag == DIAG_PLACE)
            get_place(&g, &d);
        else if (g.tag == DIAG_FILE)
            blob_take_str(&g, &d.file);
        else if (g.tag == DIAG_MESSAGE)
            blob_take_str(&g, &d.message);
        else if (g.tag == DIAG_HINT)
            blob_take_str(&g, &d.hint);
        else if (g.tag == DIAG_EXCERPT)
            blob_take_str(&g, &d.excerpt);
        else if (g.tag == DIAG_KEY)
            blob_take_str(&g, &d.key);
    }
    if (!d.file || !d.message || !d.hint || !d.excerpt)
        blob_spoil(f->source, "a diagnostic is incomplete");
    if (blob_is_spoilt(f->source))
        diag_done(&d);
    *ret = d;
}

void diags_put(BlobWriter *w, uint16_t tag, const DiagList *diags) {
    size_t at = blob_open(w, tag), errors = 0;
    for (size_t i = 0; i < diags->n; i++) {
        errors += diags->items[i].severity == DIAG_ERROR;
        diag_put(w, DIAGS_ITEM, &diags->items[i]);
    }
    blob_put_u64(w, DIAGS_DROPPED, diags->n_dropped);
    blob_put_u64(w, DIAGS_DROPPED_ERRORS, diags->n_errors - errors);
    blob_close(w, at);
}

static void get_item(const BlobField *f, DiagList *to) {
    DiagList one = {.items = calloc(1, sizeof(Diag)), .n = 1};
    if (!one.items) {
        blob_spoil(f->source, "out of memory");
        return;
    }
    diag_get(f, &one.items[0]);
    one.n_errors = one.items[0].severity == DIAG_ERROR;
    if (one.items[0].file)
        diag_list_move(to, &one);
    else
        free(one.items);
}

void diags_get(const BlobField *f, DiagList *ret) {
    BlobReader r = blob_enter(f);
    BlobField g;
    DiagList dropped = {0};
    while (blob_next(&r, &g)) {
        if (g.tag == DIAGS_ITEM)
            get_item(&g, ret);
        else if (g.tag == DIAGS_DROPPED)
            dropped.n_dropped = (size_t)blob_u64_max(&g, DROPPED_MAX);
        else if (g.tag == DIAGS_DROPPED_ERRORS)
            dropped.n_errors = (size_t)blob_u64_max(&g, DROPPED_MAX);
    }
    if (dropped.n_errors > dropped.n_dropped)
        blob_spoil(f->source, "more errors than diagnostics");
    else
        diag_list_move(ret, &dropped);
}
