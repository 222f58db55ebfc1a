/* SPDX-License-Identifier: MIT */
#pragma once
/* What a program that is to take over says of itself (BLOB_VERDICT): that it can, or why not. Pure, where
 * nothing else is said. */
#include "conf/diag.h"
#include "daemon/base/blob.h"

/* Which file it was that ran: device, inode, and when it was changed last (seconds, nanoseconds). */
typedef struct ProofFile {
    uint64_t numbers[4]; /* all 0: not known */
} ProofFile;

typedef struct Proof {
    bool ok;
    ProofFile file;
    char *version; /* its own; NULL: it has not come to that */
    char *step;    /* what it could not do: "config", "state" */
    char *why;
    DiagList diags; /* of the config's files */
} Proof;

void proof_done(Proof *v);
/* The file that stands at @path now; not known when it cannot be told. Not pure. */
ProofFile proof_file(const char *path);
/* Whether it is another one. What is not known is taken for the same. Pure. */
bool proof_file_differs(const ProofFile *a, const ProofFile *b);
#define CLEANUP_PROOF CLEANUP(proof_done)
/* The whole blob. 0, or a negative errno of blob_end(). */
int proof_write(BlobWriter *w, const Proof *v);
/* 0, or -EBADMSG with nothing in @ret: @data is no verdict. */
int proof_read(const void *data, size_t n, Proof *ret);
