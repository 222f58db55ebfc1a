/* SPDX-License-Identifier: MIT */
#pragma once
/* A message that was read in a process of its own (daemon/interpreter.h), on its way back: what api_parse()
 * has made of it, as a blob. Who takes it believes nothing: whatever the other process may have become, what
 * comes out is a request that api_parse() could have made, or nothing. */
#include "ctl/proto/api.h"
#include "daemon/base/blob.h"

/* The longest: more than any message of 64 KiB becomes, and no more than a socket takes at once. */
#define REQUEST_BLOB_MAX ((size_t)192 << 10)

typedef struct RequestReply {
    uint64_t id; /* as it was given with the message */
    int result;  /* of api_parse(): 0, 1, -EBADMSG */
    ApiRequest request;
    ApiRefusal refusal;
} RequestReply;
void request_reply_done(RequestReply *r);

/* The whole blob. 0, or a negative errno of blob_end(). */
int request_blob_write(BlobWriter *w, const RequestReply *r);
/* 0, or -EBADMSG with nothing in @ret. */
int request_blob_read(const void *data, size_t n, RequestReply *ret);

/* Whether api_parse() could have made @r: what the method does not take is not there, what it needs is, and
 * numbers are in their range. Pure. */
bool api_request_is_sound(const ApiRequest *r);
