/* SPDX-License-Identifier: MIT */
#include "ctl/proto/request-blob.h"

#include <string.h>

#include "ctl/proto/methods.h"
#include "daemon/base/blob-rows.h"

/* Never used again for something else. */
enum {
    REPLY_ID = 1,
    REPLY_RESULT,
    REPLY_ONEWAY,
    REPLY_ERROR,
    REPLY_WHAT,
    REQUEST_METHOD,
    REQUEST_MORE,
    REQUEST_ONEWAY,
    REQUEST_SERVICES,
    REQUEST_SERVICE,
    REQUEST_LAST,
    REQUEST_INTERFACE,
    REQUEST_ORIGIN,
    REQUEST_PID,
    REQUEST_SOURCE,
    REQUEST_SIGNAL,
    REQUEST_PREFIX,
    REQUEST_LIMITS,
};

static const BlobRow rows[] = {
    BLOB_ROW(REQUEST_MORE, ApiRequest, more),
    BLOB_ROW(REQUEST_ONEWAY, ApiRequest, oneway),
    BLOB_ROW(REQUEST_SERVICE, ApiRequest, service),
    BLOB_ROW(REQUEST_LAST, ApiRequest, last),
    BLOB_ROW(REQUEST_INTERFACE, ApiRequest, interface),
    BLOB_ROW(REQUEST_ORIGIN, ApiRequest, origin),
    BLOB_ROW(REQUEST_PID, ApiRequest, pid),
    BLOB_ROW(REQUEST_SOURCE, ApiRequest, source),
    BLOB_ROW(REQUEST_SIGNAL, ApiRequest, signal),
    BLOB_ROW(REQUEST_PREFIX, ApiRequest, prefix),
};

void request_reply_done(RequestReply *r) {
    api_request_done(&r->request);
    api_refusal_done(&r->refusal);
    *r = (RequestReply){0};
}

int request_blob_write(BlobWriter *w, const RequestReply *r) {
    blob_begin(w, BLOB_REQUEST);
    blob_put_u64(w, REPLY_ID, r->id);
    blob_put_i64(w, REPLY_RESULT, r->result);
    if (r->result == 1) {
        blob_put_bool(w, REPLY_ONEWAY, r->refusal.oneway);
        blob_put_u64(w, REPLY_ERROR, (uint64_t)r->refusal.error);
        blob_put_str(w, REPLY_WHAT, r->refusal.what);
    } else if (r->result == 0) {
        blob_put_u64(w, REQUEST_METHOD, (uint64_t)r->request.method);
        blob_put_rows(w, rows, ELEMENTS(rows), &r->request);
        if (r->request.services)
            blob_put_strv(w, REQUEST_SERVICES, r->request.services);
        if (r->request.limits)
            blob_put_strv(w, REQUEST_LIMITS, r->request.limits);
    }
    return blob_end(w);
}

/* What a member is when a call does not give it, and what it may be when it does. */

static bool is_text(const char *s) {
    return utf8_valid(s, strlen(s));
}

static bool are_texts(char *const *v) {
    for (; *v; v++)
        if (!is_text(*v))
            return false;
    return true;
}

typedef enum MemberKind {
    MEMBER_TEXT,
    MEMBER_TEXTS,
    MEMBER_NUMBER,
    MEMBER_FLAG,
} MemberKind;

static const struct {
    size_t at;
    MemberKind kind;
} members[] = {
    {offsetof(ApiRequest, services), MEMBER_TEXTS}, {offsetof(ApiRequest, service), MEMBER_TEXT},
    {offsetof(ApiRequest, last), MEMBER_NUMBER},    {offsetof(ApiRequest, interface), MEMBER_TEXT},
    {offsetof(ApiRequest, origin), MEMBER_FLAG},    {offsetof(ApiRequest, pid), MEMBER_NUMBER},
    {offsetof(ApiRequest, source), MEMBER_TEXT},    {offsetof(ApiRequest, signal), MEMBER_TEXT},
    {offsetof(ApiRequest, prefix), MEMBER_TEXT},    {offsetof(ApiRequest, limits), MEMBER_TEXTS},
};

/* Whether it is given; in *@ret_good, whether it is what it may be. */
static bool is_given(const ApiRequest *r, size_t i, bool *ret_good) {
    const void *place = (const char *)r + members[i].at;
    char *text = NULL;
    char **texts = NULL;
    int64_t number = 0;
    switch (members[i].kind) {
    case MEMBER_TEXT:
        memcpy((void *)&text, place, sizeof(text));
        *ret_good = !text || is_text(text);
        return text != NULL;
    case MEMBER_TEXTS:
        memcpy((void *)&texts, place, sizeof(texts));
        *ret_good = !texts || are_texts(texts);
        return texts != NULL;
    case MEMBER_NUMBER:
        memcpy(&number, place, sizeof(number));
        *ret_good = number >= -1;
        return number != -1;
    case MEMBER_FLAG:
        *ret_good = true;
        return *(const bool *)place;
    }
    return false;
}

static bool has_what_it_takes(const ApiRequest *r) {
    const ApiField *in = api_method(r->method)->in;
    for (size_t i = 0; i < ELEMENTS(members); i++) {
        bool good = false, given = is_given(r, i, &good);
        const ApiField *f = in;
        while (f->name && f->offset != members[i].at)
            f++;
        if (!good || (given && !f->name) || (!given && f->name && f->type[0] != '?'))
            return false;
    }
    return true;
}

bool api_request_is_sound(const ApiRequest *r) {
    if ((size_t)r->method >= _METHOD_MAX || (r->more && r->oneway))
        return false;
    return has_what_it_takes(r) && !api_request_out_of_range(r);
}

/* The errors that a message can have in itself. */
static bool is_refusal(const ApiRefusal *r) {
    return (r->error == API_METHOD_NOT_FOUND || r->error == API_INVALID_PARAMETER) && r->what &&
           is_text(r->what);
}

static bool is_sound(const RequestReply *r) {
    switch (r->result) {
    case 0:
        return !r->refusal.what && api_request_is_sound(&r->request);
    case 1:
        return is_refusal(&r->refusal);
    default:
        return r->result == -EBADMSG;
    }
}

static void take(const BlobField *f, RequestReply *r) {
    ApiRequest *request = &r->request;
    if (f->tag == REPLY_ID)
        r->id = blob_u64(f);
    else if (f->tag == REPLY_RESULT)
        r->result = (int)blob_i64_range(f, -4095, 1);
    else if (f->tag == REPLY_ONEWAY)
        r->refusal.oneway = blob_bool(f);
    else if (f->tag == REPLY_ERROR)
        r->refusal.error = (ApiError)blob_u64_max(f, _API_ERROR_MAX - 1);
    else if (f->tag == REPLY_WHAT)
        blob_take_str(f, &r->refusal.what);
    else if (f->tag == REQUEST_METHOD)
        request->method = (Method)blob_u64_max(f, _METHOD_MAX - 1);
    else if (f->tag == REQUEST_SERVICES)
        blob_take_strv(f, &request->services);
    else if (f->tag == REQUEST_LIMITS)
        blob_take_strv(f, &request->limits);
    else if (!blob_get_row(f, rows, ELEMENTS(rows), request))
        blob_spoil(f->source, "field %u is not known", f->tag);
}

int request_blob_read(const void *data, size_t n, RequestReply *ret) {
    RequestReply reply = {.result = -EINVAL, .request = {.method = _METHOD_MAX, .last = -1, .pid = -1}};
    BlobSource source = {0};
    BlobReader r;
    BlobField f;
    if (blob_source_init(&source, data, n, BLOB_REQUEST, &r) < 0)
        return -EBADMSG;
    while (blob_next(&r, &f))
        take(&f, &reply);
    bool good = !blob_is_spoilt(&source) && is_sound(&reply);
    blob_source_done(&source);
    if (!good) {
        request_reply_done(&reply);
        return -EBADMSG;
    }
    *ret = reply;
    return 0;
}
