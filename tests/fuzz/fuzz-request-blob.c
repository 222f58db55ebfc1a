/* SPDX-License-Identifier: MIT */
/* Any bytes as what an interpreter says of a message: no crash, and what is taken is a request that a message
 * can be, and that is the same once more. */
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "ctl/proto/methods.h"
#include "ctl/proto/request-blob.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void require(bool holds) {
    if (!holds)
        abort();
}

static void check(const RequestReply *r) {
    Text out CLEANUP_TEXT = {0};
    require(r->result == 0 || r->result == 1 || r->result == -EBADMSG);
    if (r->result == 0) {
        require(api_request_is_sound(&r->request) && api_method(r->request.method));
    } else if (r->result == 1) {
        api_encode_refusal(&out, &r->refusal);
        require(r->refusal.oneway ? out.len == 0 : text_ok(&out) && strlen(out.s) == out.len - 1);
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    RequestReply first = {0}, second = {0};
    if (request_blob_read(data, size, &first) < 0)
        return 0;
    check(&first);
    CLEANUP_BLOB BlobWriter w = {0}, again = {0};
    require(request_blob_write(&w, &first) == 0 && request_blob_read(w.data, w.n, &second) == 0);
    require(request_blob_write(&again, &second) == 0 && again.n == w.n);
    require(memcmp(again.data, w.data, w.n) == 0);
    request_reply_done(&first);
    request_reply_done(&second);
    return 0;
}
