/* SPDX-License-Identifier: MIT */
/* Any bytes as what a client of the control socket sends: no crash, the same messages however they are split,
 * and for each message either a request, or an error that is a whole reply, or the end of the connection. */
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "ctl/proto/frame.h"
#include "ctl/proto/methods.h"
#include "ctl/proto/request-blob.h"

#define MESSAGE_MAX 4096

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void require(bool holds) {
    if (!holds)
        abort();
}

/* A reply is one object and a NUL, with an error of the tables and its parameters. */
static void check_reply(const Text *reply) {
    require(text_ok(reply) && reply->len > 1 && strlen(reply->s) == reply->len - 1);
    json_t *root = json_loadb(reply->s, reply->len - 1, JSON_REJECT_DUPLICATES, NULL);
    const char *name = json_string_value(json_object_get(root, "error"));
    require(name && json_object_size(root) == 2);
    const ApiErrorRow *row = NULL;
    for (size_t e = 0; (row = api_error(e)) && !streq(row->name, name);)
        e++;
    require(row != NULL);
    for (const ApiField *f = row->fields; f->name; f++)
        require(api_value_is(f->type, json_object_get(json_object_get(root, "parameters"), f->name), true));
    json_decref(root);
}

/* What every handler takes for granted. */
static void check_request(const ApiRequest *r) {
    const ApiMethod *method = api_method(r->method);
    require(method != NULL && !(r->more && r->oneway) && r->last >= -1 && r->pid != 0 && r->pid != 1);
    for (const ApiField *f = method->in; f->name; f++) {
        const void *place = (const char *)r + f->offset;
        if (streq(f->type, "string") || streq(f->type, "scalar"))
            require(*(const char *const *)place != NULL);
    }
    if (r->method == METHOD_SIGNAL)
        require((r->service != NULL) + (r->pid > 1) + (r->source != NULL) == 1);
    if (r->method == METHOD_SET)
        require(strv_length(r->limits) > 0);
}

/* What is read in a process of its own comes out of its blob as it was. */
static void check_blob(const char *json, size_t n) {
    RequestReply sent = {.id = n, .request = {.last = -1, .pid = -1}}, got = {0};
    CLEANUP_BLOB BlobWriter w = {0};
    sent.result = api_parse(json, n, &sent.request, &sent.refusal);
    require(request_blob_write(&w, &sent) == 0 && w.n <= REQUEST_BLOB_MAX);
    require(request_blob_read(w.data, w.n, &got) == 0 && got.id == n && got.result == sent.result);
    CLEANUP_BLOB BlobWriter again = {0};
    require(request_blob_write(&again, &got) == 0 && again.n == w.n && memcmp(again.data, w.data, w.n) == 0);
    request_reply_done(&sent);
    request_reply_done(&got);
}

static int decode(const char *json, size_t n) {
    CLEANUP_TEXT Text reply = {0};
    ApiRequest request = {0};
    int r = api_decode(json, n, &request, &reply);
    require(r == 0 || r == 1 || r == -EBADMSG);
    if (r == 0) {
        check_request(&request);
        api_request_done(&request);
    }
    require(r == 1 || reply.len == 0);
    if (reply.len > 0)
        check_reply(&reply);
    check_blob(json, n);
    return r;
}

/* Reads @size bytes in parts of at most @part. What came out: a sum of the messages in their order, and
 * whether the rest was too long. */
static uint64_t read_all(const uint8_t *data, size_t size, size_t part, bool decodes) {
    Frame frame;
    uint64_t sum = 0;
    int r = 0;
    frame_init(&frame, MESSAGE_MAX);
    for (size_t at = 0; at < size && r >= 0;) {
        char *room = NULL;
        const char *json = NULL;
        size_t n = 0;
        require(frame_space(&frame, &room, &n) == 0 && n > 0);
        if (n > size - at)
            n = size - at;
        if (n > part)
            n = part;
        memcpy(room, data + at, n);
        frame_advance(&frame, n);
        at += n;
        for (;;) {
            bool has = frame_has_next(&frame);
            r = frame_next(&frame, &json, &n);
            require(has == (r != 0));
            if (r <= 0)
                break;
            require(n <= MESSAGE_MAX && !memchr(json, '\0', n));
            for (size_t i = 0; i < n; i++)
                sum = sum * 31 + (unsigned char)json[i];
            sum = sum * 31 + n + 1;
            if (decodes && decode(json, n) < 0)
                r = -EBADMSG;
            if (r < 0)
                break;
        }
    }
    if (r == -EMSGSIZE)
        sum++;
    frame_done(&frame);
    return sum;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    uint64_t whole = read_all(data, size, SIZE_MAX, false);
    require(read_all(data, size, 1, false) == whole);
    require(read_all(data, size, 7, false) == whole);
    (void)read_all(data, size, SIZE_MAX, true);
    /* The last message without its end, as it stands in a corpus of lines. */
    size_t start = size;
    while (start > 0 && data[start - 1] != '\0')
        start--;
    if (start < size)
        (void)decode((const char *)data + start, size - start);
    return 0;
}
