/* SPDX-License-Identifier: MIT */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "ctl/proto/methods.h"

/* Spaces stand for themselves; what is refused closes the connection. */
#define TAKEN 0
#define ANSWERED 1
#define CLOSED (-EBADMSG)

#define PING "dev.mpinetd.Control.Ping"
#define STATUS "dev.mpinetd.Control.Status"
#define EVENTS "dev.mpinetd.Control.Events"
#define STOP "dev.mpinetd.Control.Stop"
#define SIGNAL "dev.mpinetd.Control.Signal"
#define SET "dev.mpinetd.Control.Set"
#define UNBAN "dev.mpinetd.Control.Unban"
#define BANS "dev.mpinetd.Control.Bans"
#define DESCRIBE "dev.mpinetd.Control.Describe"
#define CALL(method, rest) "{\"method\":\"" method "\"" rest "}"
#define WITH(method, parameters) CALL(method, ",\"parameters\":" parameters)

typedef struct Case {
    const char *name;
    const char *json;
    int expect;
    const char *error;     /* ANSWERED: its short name */
    const char *parameter; /* and the value of its only parameter */
} Case;

static const Case cases[] = {
    /* The call object. */
    {"plain", CALL(PING, ""), TAKEN, NULL, NULL},
    {"blanks", " {\n\t\"method\" : \"" PING "\"\r\n} ", TAKEN, NULL, NULL},
    {"parameters null", WITH(PING, "null"), TAKEN, NULL, NULL},
    {"parameters empty", WITH(PING, "{}"), TAKEN, NULL, NULL},
    {"more", CALL(EVENTS, ",\"more\":true"), TAKEN, NULL, NULL},
    {"more on a method with one reply", CALL(PING, ",\"more\":true"), TAKEN, NULL, NULL},
    {"flags that are false", CALL(PING, ",\"more\":false,\"oneway\":false,\"upgrade\":false"), TAKEN, NULL,
     NULL},
    {"oneway", CALL(PING, ",\"oneway\":true"), TAKEN, NULL, NULL},
    {"empty message", "", CLOSED, NULL, NULL},
    {"empty object", "{}", CLOSED, NULL, NULL},
    {"array", "[]", CLOSED, NULL, NULL},
    {"string", "\"" PING "\"", CLOSED, NULL, NULL},
    {"null", "null", CLOSED, NULL, NULL},
    {"unknown key", CALL(PING, ",\"x\":1"), CLOSED, NULL, NULL},
    {"vendor's key", CALL(PING, ",\"com.example\":{}"), CLOSED, NULL, NULL},
    {"duplicate key", CALL(PING, ",\"method\":\"" PING "\""), CLOSED, NULL, NULL},
    {"duplicate key below", WITH(DESCRIBE, "{\"service\":\"a\",\"service\":\"b\"}"), CLOSED, NULL, NULL},
    {"method missing", "{\"parameters\":{}}", CLOSED, NULL, NULL},
    {"method is a number", "{\"method\":1}", CLOSED, NULL, NULL},
    {"method is null", "{\"method\":null}", CLOSED, NULL, NULL},
    {"parameters is an array", WITH(PING, "[]"), CLOSED, NULL, NULL},
    {"parameters is a string", WITH(PING, "\"\""), CLOSED, NULL, NULL},
    {"more is a number", CALL(PING, ",\"more\":1"), CLOSED, NULL, NULL},
    {"more is null", CALL(PING, ",\"more\":null"), CLOSED, NULL, NULL},
    {"more and oneway", CALL(PING, ",\"more\":true,\"oneway\":true"), CLOSED, NULL, NULL},
    {"upgrade", CALL(PING, ",\"upgrade\":true"), CLOSED, NULL, NULL},
    /* JSON itself. */
    {"trailing comma", "{\"method\":\"" PING "\",}", CLOSED, NULL, NULL},
    {"two documents", CALL(PING, "") CALL(PING, ""), CLOSED, NULL, NULL},
    {"byte order mark", "\xef\xbb\xbf" CALL(PING, ""), CLOSED, NULL, NULL},
    {"comment", "/**/" CALL(PING, ""), CLOSED, NULL, NULL},
    {"single quotes", "{'method':'" PING "'}", CLOSED, NULL, NULL},
    {"cut off", "{\"method\":\"" PING, CLOSED, NULL, NULL},
    {"newline in a string", WITH(DESCRIBE, "{\"service\":\"a\nb\"}"), CLOSED, NULL, NULL},
    {"invalid UTF-8", WITH(DESCRIBE, "{\"service\":\"\xff\"}"), CLOSED, NULL, NULL},
    {"overlong UTF-8", WITH(DESCRIBE, "{\"service\":\"\xc0\xaf\"}"), CLOSED, NULL, NULL},
    {"surrogate as UTF-8", WITH(DESCRIBE, "{\"service\":\"\xed\xa0\x80\"}"), CLOSED, NULL, NULL},
    {"lone surrogate", WITH(DESCRIBE, "{\"service\":\"\\ud800\"}"), CLOSED, NULL, NULL},
    {"surrogate pair", WITH(DESCRIBE, "{\"service\":\"\\ud83d\\ude00\"}"), TAKEN, NULL, NULL},
    {"escaped NUL", WITH(DESCRIBE, "{\"service\":\"a\\u0000b\"}"), CLOSED, NULL, NULL},
    {"escaped NUL in a key", WITH(DESCRIBE, "{\"service\\u0000\":\"a\"}"), CLOSED, NULL, NULL},
    {"escaped newline", WITH(DESCRIBE, "{\"service\":\"a\\nb\"}"), TAKEN, NULL, NULL},
    {"unknown escape", WITH(DESCRIBE, "{\"service\":\"\\x41\"}"), CLOSED, NULL, NULL},
    {"control", WITH(DESCRIBE, "{\"service\":\"\x1b\"}"), CLOSED, NULL, NULL},
    /* What several parameters say together. */
    {"signal to nobody", WITH(SIGNAL, "{\"signal\":9}"), ANSWERED, "InvalidParameter", "service"},
    {"signal to two", WITH(SIGNAL, "{\"signal\":9,\"service\":\"a\",\"pid\":77}"), ANSWERED,
     "InvalidParameter", "pid"},
    {"signal to two others", WITH(SIGNAL, "{\"signal\":9,\"pid\":77,\"source\":\"::1\"}"), ANSWERED,
     "InvalidParameter", "source"},
    {"signal to init", WITH(SIGNAL, "{\"signal\":9,\"pid\":1}"), ANSWERED, "InvalidParameter", "pid"},
    {"signal to all", WITH(SIGNAL, "{\"signal\":9,\"pid\":-1}"), ANSWERED, "InvalidParameter", "pid"},
    {"signal by number", WITH(SIGNAL, "{\"signal\":9,\"pid\":77}"), TAKEN, NULL, NULL},
    {"signal by name", WITH(SIGNAL, "{\"signal\":\"HUP\",\"service\":\"a\"}"), TAKEN, NULL, NULL},
    {"signal as a fraction", WITH(SIGNAL, "{\"signal\":9.5,\"pid\":77}"), ANSWERED, "InvalidParameter",
     "signal"},
    {"bans", CALL(BANS, ",\"more\":true"), TAKEN, NULL, NULL},
    {"bans of one", WITH(BANS, "{\"service\":\"a\"}"), ANSWERED, "InvalidParameter", "service"},
    {"unban", WITH(UNBAN, "{\"prefix\":\"::1\"}"), TAKEN, NULL, NULL},
    {"unban nobody", CALL(UNBAN, ""), ANSWERED, "InvalidParameter", "prefix"},
    {"unban several", WITH(UNBAN, "{\"prefix\":[\"::1\"]}"), ANSWERED, "InvalidParameter", "prefix"},
    {"set nothing", WITH(SET, "{\"service\":\"a\",\"limits\":{}}"), ANSWERED, "InvalidParameter", "limits"},
    {"set a list", WITH(SET, "{\"service\":\"a\",\"limits\":{\"instances\":[1]}}"), ANSWERED,
     "InvalidParameter", "limits"},
    {"set", WITH(SET, "{\"service\":\"a\",\"limits\":{\"instances\":5,\"load\":\"1.5\"}}"), TAKEN, NULL,
     NULL},
    /* Numbers. */
    {"zero", WITH(EVENTS, "{\"last\":0}"), TAKEN, NULL, NULL},
    {"minus zero", WITH(EVENTS, "{\"last\":-0}"), TAKEN, NULL, NULL},
    {"2^53+1", WITH(EVENTS, "{\"last\":9007199254740993}"), TAKEN, NULL, NULL},
    {"2^63-1", WITH(EVENTS, "{\"last\":9223372036854775807}"), TAKEN, NULL, NULL},
    {"2^63", WITH(EVENTS, "{\"last\":9223372036854775808}"), CLOSED, NULL, NULL},
    {"2^64", WITH(EVENTS, "{\"last\":18446744073709551616}"), CLOSED, NULL, NULL},
    {"1e999", WITH(EVENTS, "{\"last\":1e999}"), CLOSED, NULL, NULL},
    {"leading zero", WITH(EVENTS, "{\"last\":01}"), CLOSED, NULL, NULL},
    {"NaN", WITH(EVENTS, "{\"last\":NaN}"), CLOSED, NULL, NULL},
    {"fraction", WITH(EVENTS, "{\"last\":1.0}"), ANSWERED, "InvalidParameter", "last"},
    {"exponent", WITH(EVENTS, "{\"last\":1e2}"), ANSWERED, "InvalidParameter", "last"},
    {"negative", WITH(EVENTS, "{\"last\":-1}"), ANSWERED, "InvalidParameter", "last"},
    /* Methods. */
    {"unknown method", CALL("dev.mpinetd.Control.Nope", ""), ANSWERED, "MethodNotFound",
     "dev.mpinetd.Control.Nope"},
    {"unknown interface", CALL("com.example.Ping", ""), ANSWERED, "MethodNotFound", "com.example.Ping"},
    {"unqualified", CALL("Ping", ""), ANSWERED, "MethodNotFound", "Ping"},
    {"empty method", CALL("", ""), ANSWERED, "MethodNotFound", ""},
    {"other case", CALL("dev.mpinetd.control.ping", ""), ANSWERED, "MethodNotFound",
     "dev.mpinetd.control.ping"},
    {"unknown method, oneway", CALL("Nope", ",\"oneway\":true"), ANSWERED, NULL, NULL},
    /* Parameters. */
    {"unknown parameter", WITH(PING, "{\"x\":1}"), ANSWERED, "InvalidParameter", "x"},
    {"unknown parameter, null", WITH(PING, "{\"x\":null}"), ANSWERED, "InvalidParameter", "x"},
    {"unknown parameter, oneway", CALL(PING, ",\"oneway\":true,\"parameters\":{\"x\":1}"), ANSWERED, NULL,
     NULL},
    {"missing", CALL(DESCRIBE, ""), ANSWERED, "InvalidParameter", "service"},
    {"missing, null", WITH(DESCRIBE, "null"), ANSWERED, "InvalidParameter", "service"},
    {"null for a string", WITH(DESCRIBE, "{\"service\":null}"), ANSWERED, "InvalidParameter", "service"},
    {"number for a string", WITH(DESCRIBE, "{\"service\":1}"), ANSWERED, "InvalidParameter", "service"},
    {"object for a string", WITH(DESCRIBE, "{\"service\":{}}"), ANSWERED, "InvalidParameter", "service"},
    {"string for an int", WITH(EVENTS, "{\"last\":\"1\"}"), ANSWERED, "InvalidParameter", "last"},
    {"bool for an int", WITH(EVENTS, "{\"last\":true}"), ANSWERED, "InvalidParameter", "last"},
    {"null where it may be", WITH(EVENTS, "{\"last\":null,\"service\":null}"), TAKEN, NULL, NULL},
    {"string for a list", WITH(STATUS, "{\"services\":\"a\"}"), ANSWERED, "InvalidParameter", "services"},
    {"number in a list", WITH(STATUS, "{\"services\":[\"a\",1]}"), ANSWERED, "InvalidParameter", "services"},
    {"null in a list", WITH(STATUS, "{\"services\":[null]}"), ANSWERED, "InvalidParameter", "services"},
    {"list in a list", WITH(STATUS, "{\"services\":[[]]}"), ANSWERED, "InvalidParameter", "services"},
    {"empty list", WITH(STATUS, "{\"services\":[]}"), TAKEN, NULL, NULL},
    {"empty list where one is needed", WITH(STOP, "{\"services\":[]}"), ANSWERED, "InvalidParameter",
     "services"},
    {"missing list", CALL(STOP, ""), ANSWERED, "InvalidParameter", "services"},
};

static void assert_error(const Case *c, const Text *reply) {
    /* One message, its NUL included. */
    assert_int_equal(strlen(reply->s) + 1, reply->len);
    json_t *root = json_loads(reply->s, 0, NULL);
    assert_non_null(root);
    const char *name = json_string_value(json_object_get(root, "error"));
    assert_non_null(name);
    assert_string_equal(strrchr(name, '.') + 1, c->error);
    const json_t *value = json_object_iter_value(json_object_iter(json_object_get(root, "parameters")));
    assert_string_equal(json_string_value(value), c->parameter);
    json_decref(root);
}

static void test_table(void **state) {
    (void)state;
    for (size_t i = 0; i < ELEMENTS(cases); i++) {
        ApiRequest request = {.last = -1};
        Text reply = {0};
        const Case *c = &cases[i];
        int r = api_decode(c->json, strlen(c->json), &request, &reply);
        if (r != c->expect)
            print_error("%s: %d\n", c->name, r);
        assert_int_equal(r, c->expect);
        if (c->error)
            assert_error(c, &reply);
        else
            assert_int_equal(reply.len, 0);
        text_done(&reply);
        api_request_done(&request);
    }
}

static void test_values(void **state) {
    static const char json[] = WITH(STOP, "{\"services\":[\"a\",\"b*\",\"\"]}");
    static const char events[] = WITH(EVENTS, "{\"service\":\"gr\\u00fcn\",\"last\":5}");
    ApiRequest r;
    Text reply = {0};
    (void)state;
    assert_int_equal(api_decode(json, strlen(json), &r, &reply), 0);
    assert_int_equal(r.method, METHOD_STOP);
    assert_int_equal(strv_length(r.services), 3);
    assert_string_equal(r.services[1], "b*");
    assert_int_equal(r.last, -1);
    assert_false(r.more);
    api_request_done(&r);
    assert_int_equal(api_decode(events, strlen(events), &r, &reply), 0);
    assert_string_equal(r.service, "gr\xc3\xbcn");
    assert_int_equal(r.last, 5);
    assert_null(r.services);
    api_request_done(&r);
    text_done(&reply);
}

/* A string of that many bytes in the place of a list's element, in a status call @depth levels deep. */
static int decode_depth(size_t depth) {
    Text json = {0}, reply = {0};
    ApiRequest r = {.last = -1};
    /* The call, its parameters and the list are three levels. */
    text_add(&json, "{\"method\":\"" STATUS "\",\"parameters\":{\"services\":[");
    for (size_t i = 3; i < depth; i++)
        text_addc(&json, '[');
    text_add(&json, "\"[[[[[[[[[[[[[[[[[[[[{{{{{{{{\\\"[[[[[\"");
    for (size_t i = 3; i < depth; i++)
        text_addc(&json, ']');
    text_add(&json, "]}}");
    int result = api_decode(json.s, json.len, &r, &reply);
    api_request_done(&r);
    text_done(&reply);
    text_done(&json);
    return result;
}

static void test_depth(void **state) {
    (void)state;
    assert_int_equal(decode_depth(3), TAKEN);
    assert_int_equal(decode_depth(15), ANSWERED);
    assert_int_equal(decode_depth(16), ANSWERED);
    assert_int_equal(decode_depth(17), CLOSED);
    assert_int_equal(decode_depth(1000000), CLOSED);
}

/* A value of none of the types of @field. */
static const char *wrong_value(const ApiField *field) {
    bool list = strstr(field->type, "[]") != NULL, object = strstr(field->type, "object") != NULL;
    return object || (strstr(field->type, "string") && !list) ? "[1]" : "{\"a\":1}";
}

static void assert_invalid(const ApiMethod *method, const char *params, const char *parameter) {
    Text json = {0}, reply = {0};
    ApiRequest r = {.last = -1};
    Case c = {method->name, NULL, ANSWERED, "InvalidParameter", parameter};
    text_addf(&json, "{\"method\":\"%s\",\"parameters\":%s}", method->name, params);
    assert_int_equal(api_decode(json.s, json.len, &r, &reply), ANSWERED);
    assert_error(&c, &reply);
    text_done(&json);
    text_done(&reply);
}

/* Every method of the table: one parameter too many, each of the wrong type, and those missing that are
 * needed. */
static void test_every_parameter(void **state) {
    (void)state;
    for (Method m = 0; m < _METHOD_MAX; m++) {
        const ApiMethod *method = api_method(m);
        assert_invalid(method, "{\"no_such_parameter\":1}", "no_such_parameter");
        for (const ApiField *f = method->in; f->name; f++) {
            Text wrong = {0};
            text_addf(&wrong, "{\"%s\":%s}", f->name, wrong_value(f));
            assert_invalid(method, wrong.s, f->name);
            text_done(&wrong);
            if (f == method->in && f->type[0] != '?')
                assert_invalid(method, "{}", f->name);
        }
    }
}

/* Garbage closes the connection, whatever it is, and nothing is answered. */
static void test_garbage(void **state) {
    uint32_t seed = 1;
    (void)state;
    for (size_t round = 0; round < 20000; round++) {
        static const char alphabet[] = "{}[]\":,\\u0tfn1.eE- method\xff\xc3\n";
        char bytes[64];
        size_t n = round % sizeof(bytes);
        for (size_t i = 0; i < n; i++) {
            seed = seed * 1664525 + 1013904223;
            bytes[i] = alphabet[(seed >> 16) % sizeof(alphabet)];
        }
        ApiRequest r = {.last = -1};
        Text reply = {0};
        assert_int_equal(api_decode(bytes, n, &r, &reply), CLOSED);
        assert_int_equal(reply.len, 0);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_table),           cmocka_unit_test(test_values),  cmocka_unit_test(test_depth),
        cmocka_unit_test(test_every_parameter), cmocka_unit_test(test_garbage),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
