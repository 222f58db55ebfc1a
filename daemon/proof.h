/* SPDX-License-Identifier: MIT */
#pragma once
/* What a program that is to take over says of itself (BLOB_VERDICT): that it can, or why not. Pure. */
#include "conf/diag.h"
#include "daemon/base/blob.h"

typedef struct Proof {
    bool ok;
    char *version; /* its own; NULL: it has not come to that */
    char *step;    /* what it could not do: "config", "state" */
    char *why;
    DiagList diags; /* of the config's files */
} Proof;

void proof_done(Proof *v);
#define CLEANUP_PROOF CLEANUP(proof_done)
/* The whole blob. 0, or a negative errno of blob_end(). */
int proof_write(BlobWriter *w, const Proof *v);
/* 0, or -EBADMSG with nothing in @ret: @data is no verdict. */
int proof_read(const void *data, size_t n, Proof *ret);
