/* SPDX-License-Identifier: MIT */
#include "daemon/proof.h"

#include <string.h>
#include <sys/stat.h>

#include "conf/config-blob.h"

enum {
    PROOF_OK = 1,
    PROOF_VERSION,
    PROOF_STEP,
    PROOF_WHY,
    PROOF_DIAGS,
    PROOF_FILE,
};

#define FILE_NUMBERS (sizeof(ProofFile) / sizeof(uint64_t))

ProofFile proof_file(const char *path) {
    struct stat st;
    if (stat(path, &st) < 0)
        return (ProofFile){0};
    return (ProofFile){{st.st_dev, st.st_ino, (uint64_t)st.st_ctim.tv_sec, (uint64_t)st.st_ctim.tv_nsec}};
}

bool proof_file_differs(const ProofFile *a, const ProofFile *b) {
    static const ProofFile unknown = {0};
    return memcmp(a, &unknown, sizeof(*a)) != 0 && memcmp(b, &unknown, sizeof(*b)) != 0 &&
           memcmp(a, b, sizeof(*a)) != 0;
}

void proof_done(Proof *v) {
    free(v->version);
    free(v->step);
    free(v->why);
    diag_list_done(&v->diags);
    *v = (Proof){0};
}

int proof_write(BlobWriter *w, const Proof *v) {
    blob_begin(w, BLOB_VERDICT);
    blob_put_bool(w, PROOF_OK, v->ok);
    blob_put_str(w, PROOF_VERSION, v->version);
    blob_put_str(w, PROOF_STEP, v->step);
    blob_put_str(w, PROOF_WHY, v->why);
    diags_put(w, PROOF_DIAGS, &v->diags);
    blob_put_u64s(w, PROOF_FILE, v->file.numbers, FILE_NUMBERS);
    return blob_end(w);
}

int proof_read(const void *data, size_t n, Proof *ret) {
    BlobSource source = {0};
    BlobReader r;
    BlobField f;
    *ret = (Proof){0};
    if (blob_source_init(&source, data, n, BLOB_VERDICT, &r) < 0)
        return -EBADMSG;
    while (blob_next(&r, &f)) {
        if (f.tag == PROOF_OK)
            ret->ok = blob_bool(&f);
        else if (f.tag == PROOF_VERSION)
            blob_take_str(&f, &ret->version);
        else if (f.tag == PROOF_STEP)
            blob_take_str(&f, &ret->step);
        else if (f.tag == PROOF_WHY)
            blob_take_str(&f, &ret->why);
        else if (f.tag == PROOF_DIAGS)
            diags_get(&f, &ret->diags);
        else if (f.tag == PROOF_FILE)
            blob_u64s(&f, ret->file.numbers, FILE_NUMBERS);
    }
    bool good = !blob_is_spoilt(&source);
    blob_source_done(&source);
    if (!good)
        proof_done(ret);
    return good ? 0 : -EBADMSG;
}
