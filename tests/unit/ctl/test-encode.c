/* SPDX-License-Identifier: MIT */
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "ctl/proto/methods.h"
#include "daemon/base/clock.h"
#include "tests/unit/ctl/sample.h"

/* Takes the first message off @out and parses it. */
static json_t *take(Text *out) {
    assert_true(text_ok(out));
    size_t n = strlen(out->s);
    assert_true(n < out->len);
    json_error_t error;
    json_t *root = json_loadb(out->s, n, JSON_REJECT_DUPLICATES, &error);
    if (!root)
        print_error("%s\n%s\n", error.text, out->s);
    assert_non_null(root);
    memmove(out->s, out->s + n + 1, out->len - n);
    out->len -= n + 1;
    return root;
}

/* Every field of @fields is there, of its type, and nothing else. */
static void assert_fields(const ApiField *fields, const json_t *object) {
    size_t n = 0;
    assert_true(json_is_object(object));
    for (const ApiField *f = fields; f->name; f++, n++) {
        const json_t *value = json_object_get(object, f->name);
        if (!value || !api_value_is(f->type, value, true))
            print_error("%s is not %s\n", f->name, f->type);
        assert_non_null(value);
        assert_true(api_value_is(f->type, value, true));
    }
    assert_int_equal(json_object_size(object), n);
}

/* The one reply in @out; the caller gives it back. */
static json_t *take_reply(Text *out, Method m, bool continues) {
    json_t *root = take(out);
    assert_null(json_object_get(root, "error"));
    assert_int_equal(json_is_true(json_object_get(root, "continues")), continues);
    assert_int_equal(json_object_size(root), continues ? 2 : 1);
    assert_fields(api_method(m)->out, json_object_get(root, "parameters"));
    assert_int_equal(out->len, 0);
    text_reset(out);
    return root;
}

static json_t *parameters(json_t *root) {
    return json_object_get(root, "parameters");
}

static void test_status(void **state) {
    Sample s;
    Text out = {0};
    (void)state;
    sample_init(&s, clock_realtime_usec());
    api_encode_status(&out, &s.daemon, s.services, SAMPLE_SERVICES);
    json_t *root = take_reply(&out, METHOD_STATUS, false);
    const json_t *services = json_object_get(parameters(root), "services");
    assert_int_equal(json_array_size(services), SAMPLE_SERVICES);
    const json_t *git = json_array_get(services, 3), *echo = json_array_get(services, 1);
    const json_t *unix_listener = json_array_get(json_object_get(echo, "listeners"), 2);
    assert_string_equal(json_string_value(json_object_get(git, "state")), "full");
    assert_int_equal(json_integer_value(json_object_get(json_object_get(git, "refused"), "rate")), 1204);
    assert_true(json_is_null(json_object_get(git, "workers")));
    assert_true(json_is_null(json_object_get(echo, "last_error")));
    assert_true(json_is_null(json_object_get(unix_listener, "port")));
    assert_int_equal(json_integer_value(json_object_get(unix_listener, "backlog")), 0);
    assert_int_equal(json_object_size(json_object_get(json_array_get(services, 6), "workers")), 3);
    const json_t *error = json_object_get(json_array_get(services, 5), "last_error");
    assert_string_equal(json_string_value(json_object_get(error, "message")), "No such file or directory");
    json_decref(root);
    text_done(&out);
}

/* The order of the contract's example, for people who read it. */
static void test_status_order(void **state) {
    static const char *const keys[] = {
        "name",        "model",         "state",        "since_usec",      "listen",      "listeners",
        "active",      "queued",        "workers",      "instances_limit", "accepted",    "refused",
        "gone",        "spawned",       "spawn_failed", "exited",          "restarts",    "requests",
        "work_queued", "report_errors", "status",       "last_error",      "accept_rate", "latency",
        "duration",    "order",         "waiting"};
    Sample s;
    Text out = {0};
    size_t i = 0;
    const char *key;
    json_t *value;
    (void)state;
    sample_init(&s, 1);
    api_encode_status(&out, &s.daemon, s.services, 1);
    json_t *root = take_reply(&out, METHOD_STATUS, false);
    json_object_foreach(json_array_get(json_object_get(parameters(root), "services"), 0), key, value) {
        assert_true(i < ELEMENTS(keys));
        assert_string_equal(key, keys[i++]);
    }
    assert_int_equal(i, ELEMENTS(keys));
    json_decref(root);
    text_done(&out);
}

static void test_describe(void **state) {
    Sample s;
    Text out = {0};
    (void)state;
    sample_init(&s, 1);
    ApiDescription d = sample_description(&s, &s.services[3]);
    api_encode_description(&out, &d);
    json_decref(take_reply(&out, METHOD_DESCRIBE, false));
    d.timeout_lifetime_usec = UINT64_MAX;
    d.user = d.group = d.file = d.description = NULL;
    d.line = 0;
    d.n_events = d.n_instances = 0;
    api_encode_description(&out, &d);
    json_t *root = take_reply(&out, METHOD_DESCRIBE, false);
    assert_true(
        json_is_null(json_object_get(json_object_get(parameters(root), "timeouts"), "lifetime_usec")));
    json_decref(root);
    text_done(&out);
}

static void test_parts(void **state) {
    Sample s;
    Text out = {0};
    (void)state;
    sample_init(&s, 1);
    for (int continues = 0; continues < 2; continues++) {
        api_encode_instances(&out, s.instances, SAMPLE_INSTANCES, continues);
        json_t *root = take_reply(&out, METHOD_INSTANCES, continues);
        const json_t *git = json_array_get(json_object_get(parameters(root), "instances"), 1);
        assert_true(json_is_null(json_object_get(git, "requests")));
        json_decref(root);
        api_encode_instances(&out, NULL, 0, continues);
        json_decref(take_reply(&out, METHOD_INSTANCES, continues));
        api_encode_events(&out, NULL, 0, 0, continues);
        json_decref(take_reply(&out, METHOD_EVENTS, continues));
        api_encode_done(&out, (const char *const[]){"a", NULL}, continues ? "one more" : NULL, continues);
        json_decref(take_reply(&out, METHOD_STOP, continues));
    }
    text_done(&out);
}

static const char *text_of(const json_t *event, const char *key) {
    return json_string_value(json_object_get(event, key));
}

static void test_bans(void **state) {
    Sample s;
    Text out = {0};
    (void)state;
    sample_init(&s, clock_realtime_usec());
    for (int continues = 0; continues < 2; continues++) {
        api_encode_bans(&out, s.bans, SAMPLE_BANS, continues);
        json_t *root = take_reply(&out, METHOD_BANS, continues);
        const json_t *bans = json_object_get(parameters(root), "bans");
        assert_true(json_is_null(json_object_get(json_array_get(bans, 2), "prefix")));
        assert_true(json_is_null(json_object_get(json_array_get(bans, 0), "service")));
        json_decref(root);
        api_encode_bans(&out, NULL, 0, continues);
        json_decref(take_reply(&out, METHOD_BANS, continues));
    }
    /* Parts that make one message. */
    api_encode_bans_begin(&out);
    api_encode_bans_part(&out, NULL, 0, true);
    api_encode_bans_part(&out, s.bans, 1, true);
    api_encode_bans_part(&out, s.bans + 1, SAMPLE_BANS - 1, false);
    api_encode_bans_end(&out, false);
    json_t *root = take_reply(&out, METHOD_BANS, false);
    assert_int_equal(json_array_size(json_object_get(parameters(root), "bans")), SAMPLE_BANS);
    json_decref(root);
    api_encode_unbanned(&out, 3);
    json_decref(take_reply(&out, METHOD_UNBAN, false));
    text_done(&out);
}

static void test_limits(void **state) {
    LimitsConfig none = {.instances = 1};
    ApiSource never = {.source = "uid:1"};
    Sample s;
    Text out = {0};
    (void)state;
    sample_init(&s, 1);
    ApiDescription d = sample_description(&s, &s.services[3]);
    api_encode_description(&out, &d);
    json_t *root = take_reply(&out, METHOD_DESCRIBE, false);
    const json_t *limits = json_object_get(parameters(root), "limits");
    assert_string_equal(json_string_value(json_object_get(limits, "rate")), "50/10s burst 100");
    assert_string_equal(json_string_value(json_object_get(limits, "when_full")), "wait");
    json_decref(root);
    /* What there is not is null. */
    d.limits = &none;
    d.load = -1;
    d.hours = (ApiHours){0};
    d.sources = &never;
    d.n_sources = 1;
    api_encode_description(&out, &d);
    root = take_reply(&out, METHOD_DESCRIBE, false);
    limits = json_object_get(parameters(root), "limits");
    static const char *const nulls[] = {"per_source", "rate", "rate_per_source", "load"};
    for (size_t i = 0; i < ELEMENTS(nulls); i++)
        assert_true(json_is_null(json_object_get(limits, nulls[i])));
    assert_true(json_is_null(json_object_get(parameters(root), "load")));
    assert_true(json_is_null(json_object_get(parameters(root), "hours")));
    const json_t *source = json_array_get(json_object_get(parameters(root), "sources"), 0);
    assert_true(json_is_null(json_object_get(source, "reason")));
    assert_true(json_is_null(json_object_get(source, "last_time_usec")));
    json_decref(root);
    text_done(&out);
}

static void test_events(void **state) {
    Sample s;
    Text out = {0};
    (void)state;
    sample_init(&s, 20 * USEC_PER_SEC);
    api_encode_events(&out, s.events, SAMPLE_EVENTS, 0, false);
    json_t *root = take_reply(&out, METHOD_EVENTS, false);
    const json_t *events = json_object_get(parameters(root), "events");
    assert_string_equal(text_of(json_array_get(events, 4), "signal"), "SIGKILL");
    assert_true(json_is_null(json_object_get(json_array_get(events, 4), "exit_code")));
    assert_true(json_is_integer(json_object_get(json_array_get(events, 3), "exit_code")));
    assert_string_equal(text_of(json_array_get(events, 6), "error"), "No such file or directory");
    assert_string_equal(text_of(json_array_get(events, 7), "message"), s.events[7].message);
    json_decref(root);
    text_done(&out);
}

static void test_reload(void **state) {
    DiagList diags = {0};
    Text out = {0};
    (void)state;
    sample_diagnostics(&diags);
    ApiReload r = {.generation = 7,
                   .diagnostics = &diags,
                   .changes = sample_changes,
                   .n_changes = SAMPLE_CHANGES,
                   .plan = sample_plan,
                   .n_plan = SAMPLE_PLAN};
    api_encode_reload(&out, &r);
    json_t *root = take_reply(&out, METHOD_RELOAD, false);
    const json_t *first = json_array_get(json_object_get(parameters(root), "diagnostics"), 0);
    assert_string_equal(text_of(first, "excerpt"), "      per_sorce: 5");
    assert_string_equal(text_of(first, "code"), "unknown-key");
    const json_t *plan = json_object_get(parameters(root), "plan");
    assert_int_equal(json_array_size(plan), SAMPLE_PLAN);
    assert_string_equal(text_of(json_array_get(plan, 1), "endpoint"), "tcp:19");
    assert_true(json_is_null(json_object_get(json_array_get(plan, 5), "endpoint")));
    json_decref(root);
    /* Who may only look sees no line of a file. */
    r.hide_excerpts = true;
    api_encode_invalid_config(&out, &r);
    root = take(&out);
    assert_string_equal(text_of(root, "error"), "dev.mpinetd.Control.InvalidConfig");
    assert_fields(api_error(API_INVALID_CONFIG)->fields, parameters(root));
    first = json_array_get(json_object_get(parameters(root), "diagnostics"), 0);
    assert_true(json_is_null(json_object_get(first, "excerpt")));
    json_decref(root);
    diag_list_done(&diags);
    text_done(&out);
}

static void test_upgrade(void **state) {
    Text out = {0};
    (void)state;
    ApiUpgrade u = {.version = "0.2.0", .previous = "0.1.\"0", .pause_usec = 7};
    api_encode_upgrade(&out, &u);
    json_t *root = take_reply(&out, METHOD_UPGRADE, false);
    assert_string_equal(text_of(parameters(root), "previous"), "0.1.\"0");
    json_decref(root);
    text_done(&out);
    /* It has only begun. */
    u = (ApiUpgrade){.begun = true, .version = "0.1.0"};
    api_encode_upgrade(&out, &u);
    root = take_reply(&out, METHOD_UPGRADE, true);
    assert_string_equal(text_of(parameters(root), "version"), "0.1.0");
    static const char *const unknown[] = {"previous", "pause_usec", "duration_usec"};
    for (size_t i = 0; i < ELEMENTS(unknown); i++)
        assert_true(json_is_null(json_object_get(parameters(root), unknown[i])));
    json_decref(root);
    text_done(&out);
}

static void test_errors(void **state) {
    (void)state;
    for (ApiError e = 0; e < _API_ERROR_MAX; e++) {
        Text out = {0};
        if (e == API_INVALID_CONFIG)
            continue;
        /* With all that it may carry, and with nothing. */
        api_encode_error(&out, e, "a\"b", "c", EPERM);
        json_t *root = take(&out);
        assert_string_equal(text_of(root, "error"), api_error(e)->name);
        assert_int_equal(json_object_size(root), 2);
        assert_fields(api_error(e)->fields, parameters(root));
        json_decref(root);
        api_encode_error(&out, e, NULL, NULL, 0);
        root = take(&out);
        assert_fields(api_error(e)->fields, parameters(root));
        json_decref(root);
        text_done(&out);
    }
}

static void test_small(void **state) {
    Text out = {0};
    (void)state;
    api_encode_ping(&out, "0.1.0", 1);
    json_decref(take_reply(&out, METHOD_PING, false));
    api_encode_info(&out, "0.1.0");
    json_decref(take_reply(&out, METHOD_GET_INFO, false));
    api_encode_empty(&out, false);
    json_decref(take_reply(&out, METHOD_SHUTDOWN, false));
    assert_int_equal(api_encode_interface_description(&out, "com.example"), -ENOENT);
    assert_int_equal(out.len, 0);
    assert_int_equal(api_encode_interface_description(&out, INTERFACE_CONTROL), 0);
    json_decref(take_reply(&out, METHOD_GET_INTERFACE_DESCRIPTION, false));
    text_done(&out);
}

/* What JSON or the interface cannot hold does not get out. */
static void test_hostile_values(void **state) {
    Text out = {0};
    ApiInstance i = {.service = "a\xff\"\\\x01\n",
                     .state = "running",
                     .memory = UINT64_MAX,
                     .requests = INT64_MAX,
                     .active = -1};
    (void)state;
    api_encode_instances(&out, &i, 1, false);
    json_t *root = take_reply(&out, METHOD_INSTANCES, false);
    const json_t *instance = json_array_get(json_object_get(parameters(root), "instances"), 0);
    assert_string_equal(text_of(instance, "service"), "a\xef\xbf\xbd\"\\\x01\n");
    assert_int_equal(json_integer_value(json_object_get(instance, "memory")), INT64_MAX);
    json_decref(root);
    text_done(&out);
}

static void test_log_line(void **state) {
    Text out = {0};
    ApiEvent e = {
        .time_usec = 1795234008123456,
        .level = "info",
        .event = "ended",
        .service = "git",
        .instance = 3,
        .pid = 42,
        .peer = "192.0.2.1:7",
        .exit_code = -1,
        .signal = SIGKILL,
        .duration_usec = 5,
    };
    (void)state;
    api_event_to_json_line(&out, &e);
    assert_string_equal(out.s,
                        "{\"time\":\"2026-11-21T04:06:48.123456Z\",\"level\":\"info\",\"event\":\"ended\","
                        "\"service\":\"git\",\"instance\":3,\"pid\":42,\"peer\":\"192.0.2.1:7\","
                        "\"signal\":\"SIGKILL\",\"duration_usec\":5}");
    text_reset(&out);
    e = (ApiEvent){.level = "error",
                   .event = "spawn_failed",
                   .step = "exec",
                   .error = ENOENT,
                   .exit_code = -1,
                   .duration_usec = UINT64_MAX,
                   .message = "x\ny"};
    api_event_to_json_line(&out, &e);
    assert_string_equal(out.s, "{\"time\":\"1970-01-01T00:00:00.000000Z\",\"level\":\"error\","
                               "\"event\":\"spawn_failed\",\"step\":\"exec\",\"errno\":2,"
                               "\"error\":\"No such file or directory\",\"message\":\"x\\ny\"}");
    text_done(&out);
}

/* In the log, and nowhere else. */
static void test_facts_in_log_line(void **state) {
    Text out = {0};
    ApiFacts facts = {
        .user = "nobody", .cpu_usec = 0, .memory = 2048, .bytes_in = 7, .bytes_out = UINT64_MAX};
    ApiEvent e = {.event = "ended", .exit_code = -1, .duration_usec = UINT64_MAX, .facts = &facts};
    (void)state;
    api_event_to_json_line(&out, &e);
    assert_string_equal(out.s, "{\"time\":\"1970-01-01T00:00:00.000000Z\",\"event\":\"ended\",\"bytes_in\":7,"
                               "\"cpu_usec\":0,\"memory\":2048,\"user\":\"nobody\"}");
    text_reset(&out);
    api_encode_events(&out, &e, 1, 0, false);
    assert_null(strstr(out.s, "nobody"));
    assert_null(strstr(out.s, "cpu_usec"));
    text_done(&out);
}

static void test_what(void **state) {
    static const char *const expected[SAMPLE_EVENTS] = {
        "generation 7",
        "listening",
        "started",
        "ended: exit 0 after 4.1 s",
        "ended: SIGKILL after 10m 1s, timeouts.lifetime",
        "refused: per_source",
        "spawn_failed: exec: No such file or directory",
        "evil \\x1b]0;title\\x07\\x0aforged line",
        "fatal: the remote end hung up\\x09unexpectedly",
    };
    Sample s;
    (void)state;
    sample_init(&s, 20 * USEC_PER_SEC);
    for (size_t i = 0; i < SAMPLE_EVENTS; i++) {
        Text out = {0};
        api_event_what(&out, &s.events[i]);
        assert_string_equal(out.s, expected[i]);
        text_done(&out);
    }
}

static void test_duration(void **state) {
    static const struct {
        uint64_t usec;
        const char *expect;
    } cases[] = {
        {0, "0.0 ms"},         {350, "0.3 ms"},         {12345, "12 ms"},    {999999, "999 ms"},
        {4199999, "4.1 s"},    {59999999, "59.9 s"},    {60000000, "1m 0s"}, {3599999999, "59m 59s"},
        {7500000000, "2h 5m"}, {273600000000, "3d 4h"},
    };
    (void)state;
    for (size_t i = 0; i < ELEMENTS(cases); i++) {
        Text out = {0};
        api_add_duration(&out, cases[i].usec);
        assert_string_equal(out.s, cases[i].expect);
        text_done(&out);
    }
}

/* A status of 1,000 services, encoded a few times; the bound is generous, for slow and instrumented builds.
 */
static void test_many(void **state) {
    enum {
        SERVICES = 1000,
        ROUNDS = 5
    };
    Sample s;
    Text out = {0};
    (void)state;
    sample_init(&s, 1);
    ApiService *services = calloc(SERVICES, sizeof(*services));
    assert_non_null(services);
    for (size_t i = 0; i < SERVICES; i++)
        services[i] = s.services[i % SAMPLE_SERVICES];
    uint64_t start = clock_monotonic_usec();
    for (size_t i = 0; i < ROUNDS; i++) {
        text_reset(&out);
        api_encode_status(&out, &s.daemon, services, SERVICES);
    }
    uint64_t each = (clock_monotonic_usec() - start) / ROUNDS;
    print_message("status of %d services: %llu us, %zu bytes\n", SERVICES, (unsigned long long)each, out.len);
    assert_true(each < 500 * USEC_PER_MSEC);
    json_decref(take_reply(&out, METHOD_STATUS, false));
    free(services);
    text_done(&out);
}

/* As strftime(3) and printf(3) have it. */
static void test_time(void **state) {
    static const uint64_t times[] = {0,
                                     1,
                                     951782400ULL * 1000000 + 123,
                                     1709164799ULL * 1000000 + 999999,
                                     1763750000ULL * 1000000 + 50000,
                                     4102444799ULL * 1000000,
                                     253402300799ULL * 1000000 + 999999};
    (void)state;
    for (size_t i = 0; i < ELEMENTS(times); i++) {
        CLEANUP_TEXT Text got = {0};
        time_t second = (time_t)(times[i] / 1000000);
        struct tm tm = {0};
        char date[32], wanted[64];
        assert_non_null(gmtime_r(&second, &tm));
        assert_int_equal(strftime(date, sizeof(date), "%Y-%m-%dT%H:%M:%S", &tm), 19);
        (void)snprintf(wanted, sizeof(wanted), "%s.%06uZ", date, (unsigned)(times[i] % 1000000));
        api_add_time(&got, times[i]);
        assert_string_equal(got.s, wanted);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_time),
        cmocka_unit_test(test_status),
        cmocka_unit_test(test_status_order),
        cmocka_unit_test(test_describe),
        cmocka_unit_test(test_parts),
        cmocka_unit_test(test_events),
        cmocka_unit_test(test_reload),
        cmocka_unit_test(test_upgrade),
        cmocka_unit_test(test_errors),
        cmocka_unit_test(test_small),
        cmocka_unit_test(test_hostile_values),
        cmocka_unit_test(test_log_line),
        cmocka_unit_test(test_facts_in_log_line),
        cmocka_unit_test(test_what),
        cmocka_unit_test(test_duration),
        cmocka_unit_test(test_bans),
        cmocka_unit_test(test_limits),
        cmocka_unit_test(test_many),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
