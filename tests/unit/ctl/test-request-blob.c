/* SPDX-License-Identifier: MIT */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "ctl/proto/request-blob.h"

#define NAME(method) "dev.mpinetd.Control." method
#define CALL(method, rest) "{\"method\":\"" NAME(method) "\"" rest "}"
#define WITH(method, parameters) CALL(method, ",\"parameters\":" parameters)

/* What is read of a message, and what comes out at the other side, encode alike. */
static const struct {
    const char *json;
    int result;
} messages[] = {
    {CALL("Ping", ""), 0},
    {CALL("Ping", ",\"oneway\":true"), 0},
    {CALL("Events", ",\"more\":true"), 0},
    {WITH("Events", "{\"last\":0}"), 0},
    {WITH("Events", "{\"last\":9223372036854775807,\"service\":\"a\"}"), 0},
    {WITH("Status", "{\"services\":[]}"), 0},
    {WITH("Status", "{\"services\":[\"\",\"a\",\"\\u20ac\"]}"), 0},
    {WITH("Describe", "{\"service\":\"\"}"), 0},
    {WITH("GetConfig", "{\"origin\":true}"), 0},
    {WITH("Stop", "{\"services\":[\"*\"]}"), 0},
    {WITH("Signal", "{\"signal\":9,\"pid\":77}"), 0},
    {WITH("Signal", "{\"signal\":\"HUP\",\"source\":\"::1\"}"), 0},
    {WITH("Signal", "{\"signal\":\"HUP\",\"service\":\"a\"}"), 0},
    {WITH("Set", "{\"service\":\"a\",\"limits\":{\"rate\":\"50/s\",\"instances\":5}}"), 0},
    {WITH("Unban", "{\"prefix\":\"any\"}"), 0},
    {"{\"method\":\"org.varlink.service.GetInterfaceDescription\",\"parameters\":{\"interface\":\"x\"}}", 0},
    {CALL("Gibberish", ""), 1},
    {CALL("Gibberish", ",\"oneway\":true"), 1},
    {"{\"method\":\"\"}", 1},
    {"{\"method\":\"\\u20ac\"}", 1},
    {WITH("Stop", "{\"services\":[]}"), 1},
    {WITH("Describe", "{}"), 1},
    {WITH("Ping", "{\"\":1}"), 1},
    {WITH("Events", "{\"last\":-1}"), 1},
    {"", -EBADMSG},
    {"[]", -EBADMSG},
    {CALL("Ping", ",\"method\":1"), -EBADMSG},
};

static void equal_request(const ApiRequest *a, const ApiRequest *b) {
    assert_int_equal(a->method, b->method);
    assert_int_equal(a->more, b->more);
    assert_int_equal(a->oneway, b->oneway);
    assert_int_equal(a->origin, b->origin);
    assert_int_equal(a->last, b->last);
    assert_int_equal(a->pid, b->pid);
    assert_true(streq_null(a->service, b->service) && streq_null(a->interface, b->interface));
    assert_true(streq_null(a->source, b->source) && streq_null(a->signal, b->signal));
    assert_true(streq_null(a->prefix, b->prefix));
    assert_true((a->services == NULL) == (b->services == NULL));
    assert_true(!a->services || strv_equal(a->services, b->services));
    assert_true((a->limits == NULL) == (b->limits == NULL));
    assert_true(!a->limits || strv_equal(a->limits, b->limits));
}

static void there_and_back(void **state) {
    (void)state;
    for (size_t i = 0; i < ELEMENTS(messages); i++) {
        CLEANUP_BLOB BlobWriter w = {0};
        RequestReply sent = {.id = 77 + i, .request = {.last = -1, .pid = -1}}, got = {0};
        const char *json = messages[i].json;
        sent.result = api_parse(json, strlen(json), &sent.request, &sent.refusal);
        assert_int_equal(sent.result, messages[i].result);
        assert_int_equal(request_blob_write(&w, &sent), 0);
        assert_true(w.n <= REQUEST_BLOB_MAX);
        assert_int_equal(request_blob_read(w.data, w.n, &got), 0);
        assert_int_equal(got.id, sent.id);
        assert_int_equal(got.result, sent.result);
        if (sent.result == 0) {
            equal_request(&sent.request, &got.request);
        } else if (sent.result == 1) {
            assert_int_equal(got.refusal.error, sent.refusal.error);
            assert_int_equal(got.refusal.oneway, sent.refusal.oneway);
            assert_string_equal(got.refusal.what, sent.refusal.what);
        }
        /* No part of it is enough, nor is more. */
        for (size_t n = 0; n < w.n; n++) {
            RequestReply none = {0};
            assert_int_equal(request_blob_read(w.data, n, &none), -EBADMSG);
        }
        request_reply_done(&sent);
        request_reply_done(&got);
    }
}

/* A word in the daemon's hands that the JSON cannot have had. */
#define TEXT(s) ((char *)(uintptr_t)(s))
static char *const none[] = {NULL};
static char *const one[] = {TEXT("a"), NULL};
static char *const bad[] = {TEXT("\xff"), NULL};

static void soundness(void **state) {
    const struct {
        const char *name;
        ApiRequest r;
        bool sound;
    } cases[] = {
        {"ping", {.method = METHOD_PING, .last = -1, .pid = -1}, true},
        {"no method", {.method = _METHOD_MAX, .last = -1, .pid = -1}, false},
        {"more and oneway",
         {.method = METHOD_PING, .more = true, .oneway = true, .last = -1, .pid = -1},
         false},
        {"what it does not take",
         {.method = METHOD_PING, .service = TEXT("a"), .last = -1, .pid = -1},
         false},
        {"a number that it does not take", {.method = METHOD_PING, .last = 0, .pid = -1}, false},
        {"a flag that it does not take",
         {.method = METHOD_PING, .origin = true, .last = -1, .pid = -1},
         false},
        {"what it needs", {.method = METHOD_DESCRIBE, .service = TEXT("a"), .last = -1, .pid = -1}, true},
        {"without what it needs", {.method = METHOD_DESCRIBE, .last = -1, .pid = -1}, false},
        {"no text", {.method = METHOD_DESCRIBE, .service = TEXT("\xc3\x28"), .last = -1, .pid = -1}, false},
        {"names", {.method = METHOD_STOP, .services = (char **)(uintptr_t)one, .last = -1, .pid = -1}, true},
        {"no names",
         {.method = METHOD_STOP, .services = (char **)(uintptr_t)none, .last = -1, .pid = -1},
         false},
        {"no list of names", {.method = METHOD_STOP, .last = -1, .pid = -1}, false},
        {"names that are no text",
         {.method = METHOD_STOP, .services = (char **)(uintptr_t)bad, .last = -1, .pid = -1},
         false},
        {"all services", {.method = METHOD_STATUS, .last = -1, .pid = -1}, true},
        {"last", {.method = METHOD_EVENTS, .last = 5, .pid = -1}, true},
        {"last below", {.method = METHOD_EVENTS, .last = -2, .pid = -1}, false},
        {"a signal to a pid", {.method = METHOD_SIGNAL, .signal = TEXT("9"), .last = -1, .pid = 2}, true},
        {"to init", {.method = METHOD_SIGNAL, .signal = TEXT("9"), .last = -1, .pid = 1}, false},
        {"to a group", {.method = METHOD_SIGNAL, .signal = TEXT("9"), .last = -1, .pid = -77}, false},
        {"to nobody", {.method = METHOD_SIGNAL, .signal = TEXT("9"), .last = -1, .pid = -1}, false},
        {"to two",
         {.method = METHOD_SIGNAL, .signal = TEXT("9"), .service = TEXT("a"), .last = -1, .pid = 2},
         false},
        {"no signal", {.method = METHOD_SIGNAL, .last = -1, .pid = 2}, false},
        {"no limits",
         {.method = METHOD_SET,
          .service = TEXT("a"),
          .limits = (char **)(uintptr_t)none,
          .last = -1,
          .pid = -1},
         false},
    };
    (void)state;
    for (size_t i = 0; i < ELEMENTS(cases); i++)
        if (api_request_is_sound(&cases[i].r) != cases[i].sound)
            fail_msg("%s: %d expected", cases[i].name, cases[i].sound);
}

/* Replies that a process could send which is not what it was. */
static void forged(void **state) {
    const struct {
        const char *name;
        RequestReply r;
    } cases[] = {
        {"another result", {.result = 2}},
        {"another error", {.result = -ENOMEM}},
        {"a method that is none", {.result = 0, .request = {.method = _METHOD_MAX, .last = -1, .pid = -1}}},
        {"a refusal of another kind",
         {.result = 1, .refusal = {.error = API_NOT_ALLOWED, .what = TEXT("a")}}},
        {"a refusal of nothing", {.result = 1, .refusal = {.error = API_METHOD_NOT_FOUND}}},
        {"a refusal of no text",
         {.result = 1, .refusal = {.error = API_METHOD_NOT_FOUND, .what = TEXT("\xed\xa0\x80")}}},
    };
    (void)state;
    for (size_t i = 0; i < ELEMENTS(cases); i++) {
        CLEANUP_BLOB BlobWriter w = {0};
        RequestReply got = {0};
        assert_int_equal(request_blob_write(&w, &cases[i].r), 0);
        if (request_blob_read(w.data, w.n, &got) != -EBADMSG)
            fail_msg("%s was taken", cases[i].name);
    }
    RequestReply got = {0};
    CLEANUP_BLOB BlobWriter w = {0};
    blob_begin(&w, BLOB_STATE);
    assert_int_equal(blob_end(&w), 0);
    assert_int_equal(request_blob_read(w.data, w.n, &got), -EBADMSG);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(there_and_back),
        cmocka_unit_test(soundness),
        cmocka_unit_test(forged),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
