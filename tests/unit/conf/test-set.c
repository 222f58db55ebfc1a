/* SPDX-License-Identifier: MIT */
/* Limits that are set one by one, and what differs between them. */
#include "conf/set.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "daemon/base/clock.h"

static const LimitsConfig standard = {
    .instances = 1000,
    .source_ipv4 = 32,
    .source_ipv6 = 64,
    .when_full = WHEN_FULL_WAIT,
};

static void emit(const char *key, const char *from, const char *to, void *userdata) {
    text_addf(userdata, "%s: %s -> %s\n", key, from ? from : "", to ? to : "");
}

static void test_good(void **state) {
    static const struct {
        const char *key, *value, *differences;
    } cases[] = {
        {"limits.instances", "80", "limits.instances: 1000 -> 80\n"},
        {"instances", "80", "limits.instances: 1000 -> 80\n"},
        {"instances", "1", "limits.instances: 1000 -> 1\n"},
        {"instances", "1000000", "limits.instances: 1000 -> 1000000\n"},
        {"instances", "1000", ""},
        {"limits.when_full", "refuse", "limits.when_full: wait -> refuse\n"},
        {"when_full", "wait", ""},
        {"limits.rate", "50/s", "limits.rate:  -> 50/s\n"},
        {"rate", "50/s burst 100", "limits.rate:  -> 50/s burst 100\n"},
        {"rate", "none", ""},
        {"rate_per_source", "100/m", "limits.rate_per_source:  -> 100/m\n"},
        {"per_source", "5", "limits.per_source:  -> 5\n"},
        {"limits.per_source", "none", ""},
        {"load", "8.5", "limits.load:  -> 8.5\n"},
        {"load", "0.000001", "limits.load:  -> 0.000001\n"},
        {"load", "1000000", "limits.load:  -> 1000000\n"},
        {"load", "none", ""},
        {"limits.source_prefix.ipv4", "24", "limits.source_prefix.ipv4: 32 -> 24\n"},
        {"source_prefix.ipv4", "0", "limits.source_prefix.ipv4: 32 -> 0\n"},
        {"source_prefix.ipv6", "128", "limits.source_prefix.ipv6: 64 -> 128\n"},
        {"refuse_with", "reset", "limits.refuse_with: close -> reset\n"},
    };
    (void)state;
    for (size_t i = 0; i < ELEMENTS(cases); i++) {
        CLEANUP_DIAGS DiagList diags = {0};
        CLEANUP_TEXT Text text = {0};
        LimitsConfig l = standard;
        assert_int_equal(limits_config_set(&l, cases[i].key, cases[i].value, &diags), 0);
        assert_int_equal(diags.n, 0);
        size_t n = limits_config_diff(&standard, &l, emit, &text);
        assert_string_equal(text.s ? text.s : "", cases[i].differences);
        assert_int_equal(n, *cases[i].differences != '\0');
        assert_int_equal(limits_config_diff(&l, &standard, NULL, NULL), n);
        assert_int_equal(limits_config_equal(&standard, &l), n == 0);
    }
}

static void test_both(void **state) {
    CLEANUP_DIAGS DiagList diags = {0};
    CLEANUP_TEXT Text text = {0};
    LimitsConfig l = standard;
    (void)state;
    assert_int_equal(limits_config_set(&l, "when_full", "refuse", &diags), 0);
    assert_int_equal(limits_config_set(&l, "instances", "5", &diags), 0);
    assert_int_equal(limits_config_diff(&standard, &l, emit, &text), 2);
    assert_string_equal(text.s, "limits.instances: 1000 -> 5\nlimits.when_full: wait -> refuse\n");
}

/* What the config gave can be taken away. */
static void test_none(void **state) {
    static const LimitsConfig some = {.instances = 5,
                                      .per_source = 5,
                                      .rate = {5, 1000000, 5},
                                      .rate_per_source = {5, 1000000, 5},
                                      .load = 5};
    static const char *const keys[] = {"per_source", "rate", "rate_per_source", "load"};
    (void)state;
    LimitsConfig l = some;
    CLEANUP_DIAGS DiagList diags = {0};
    for (size_t i = 0; i < ELEMENTS(keys); i++)
        assert_int_equal(limits_config_set(&l, keys[i], "none", &diags), 0);
    assert_int_equal(l.per_source, 0);
    assert_int_equal(l.rate.count, 0);
    assert_int_equal(l.rate_per_source.count, 0);
    assert_true(l.load == 0);
    assert_int_equal(l.instances, 5);
}

/* What would not hold for a service is refused, as in its config. */
static void test_fit(void **state) {
    static const struct {
        Model model;
        EndpointKind kind;
        PoolHandoff handoff;
        const char *key, *value, *message; /* NULL: it fits */
    } cases[] = {
        {MODEL_PER_CONNECTION, ENDPOINT_TCP, 0, "per_source", "5", NULL},
        {MODEL_ON_DEMAND, ENDPOINT_TCP, 0, "per_source", "5",
         "limits.per_source cannot hold for an on-demand"},
        {MODEL_ON_DEMAND, ENDPOINT_TCP, 0, "rate_per_source", "5/s", "limits.rate_per_source cannot hold"},
        {MODEL_ON_DEMAND, ENDPOINT_TCP, 0, "rate", "5/s", NULL},
        {MODEL_ON_DEMAND, ENDPOINT_TCP, 0, "load", "5", NULL},
        {MODEL_ON_DEMAND, ENDPOINT_TCP, 0, "per_source", "none", NULL},
        {MODEL_ON_DEMAND, ENDPOINT_UDP, 0, "rate_per_source", "5/s", NULL},
        {MODEL_ON_DEMAND, ENDPOINT_UDP, 0, "per_source", "5", "limits.per_source cannot hold for datagrams"},
        {MODEL_POOL, ENDPOINT_TCP, POOL_HANDOFF_LISTENER, "rate", "5/s", "limits.rate cannot hold"},
        {MODEL_POOL, ENDPOINT_TCP, POOL_HANDOFF_LISTENER, "load", "5", "limits.load cannot hold"},
        {MODEL_POOL, ENDPOINT_TCP, POOL_HANDOFF_LISTENER, "when_full", "refuse", "limits.when_full: refuse"},
        {MODEL_POOL, ENDPOINT_TCP, POOL_HANDOFF_LISTENER, "instances", "5", NULL},
        {MODEL_POOL, ENDPOINT_TCP, POOL_HANDOFF_CONNECTION, "per_source", "5", NULL},
        {MODEL_POOL, ENDPOINT_TCP, POOL_HANDOFF_CONNECTION, "rate", "5/s", NULL},
        {MODEL_TCPMUX, ENDPOINT_TCP, 0, "per_source", "5", NULL},
        {MODEL_PER_CONNECTION, ENDPOINT_TCP, 0, "refuse_with", "banner", "banner.refused"},
        {MODEL_PER_CONNECTION, ENDPOINT_TCP, 0, "refuse_with", "reset", NULL},
    };
    static char name[] = "s";
    (void)state;
    for (size_t i = 0; i < ELEMENTS(cases); i++) {
        CLEANUP_DIAGS DiagList diags = {0};
        ListenConfig listen = {.endpoint = {.kind = cases[i].kind}};
        ServiceTerms terms = {.limits = standard,
                              .timeout_lifetime_usec = USEC_INFINITY,
                              .pool = {.handoff = cases[i].handoff}};
        const ServiceConfig s = {
            .name = name, .model = cases[i].model, .terms = &terms, .listen = &listen, .n_listen = 1};
        LimitsConfig l = standard;
        assert_int_equal(limits_config_set(&l, cases[i].key, cases[i].value, &diags), 0);
        int r = limits_config_check(&s, &l, &diags);
        const char *message = diags.n > 0 ? diags.items[0].message : "";
        if (r != (cases[i].message ? -EINVAL : 0) ||
            !strstr(message, cases[i].message ? cases[i].message : ""))
            fail_msg("%s=%s of %s: %d, %s", cases[i].key, cases[i].value, model_to_string(s.model), r,
                     message);
        if (r < 0)
            assert_int_equal(diags.items[0].line, 0);
    }
}

static void test_bad(void **state) {
    static const struct {
        const char *key, *value;
        DiagCode code;
        const char *message, *hint;
    } cases[] = {
        {"instances", "0", DIAG_OUT_OF_RANGE, "limits.instances: '0' is out of range", NULL},
        {"limits.instances", "1000001", DIAG_OUT_OF_RANGE, "limits.instances: ", NULL},
        {"instances", "-1", DIAG_OUT_OF_RANGE, "limits.instances: ", NULL},
        {"instances", "many", DIAG_BAD_VALUE, "limits.instances: 'many'", NULL},
        {"instances", "10 20", DIAG_BAD_VALUE, "limits.instances: ", NULL},
        {"instances", "010", DIAG_BAD_VALUE, "limits.instances: ", NULL},
        {"instances", "", DIAG_WRONG_TYPE, "limits.instances has no value", "write its value"},
        {"when_full", "refus", DIAG_BAD_VALUE, "unknown value 'refus' of limits.when_full",
         "did you mean 'refuse'?"},
        {"when_full", "\033[31m", DIAG_BAD_VALUE, "unknown value '\\x1b[31m'", "one of wait, refuse"},
        /* Keys */
        {"instance", "5", DIAG_UNKNOWN_KEY, "unknown key 'instance' in limits", "did you mean 'instances'?"},
        {"limits.instnces", "5", DIAG_UNKNOWN_KEY, "unknown key 'instnces' in limits",
         "did you mean 'instances'?"},
        {"nothing.at.all", "5", DIAG_UNKNOWN_KEY, "unknown key 'nothing' in limits", NULL},
        {"limits.", "5", DIAG_UNKNOWN_KEY, "unknown key '' in limits", NULL},
        {"", "5", DIAG_UNKNOWN_KEY, "unknown key '' in limits", NULL},
        {".", "5", DIAG_UNKNOWN_KEY, "unknown key '' in limits", NULL},
        {"\033", "5", DIAG_UNKNOWN_KEY, "unknown key '\\x1b' in limits", NULL},
        {"limits", "5", DIAG_WRONG_TYPE, "limits takes keys of its own", NULL},
        {"instances.more", "5", DIAG_UNKNOWN_KEY, "unknown key 'instances.more' in limits", NULL},
        {"limits.limits.instances", "5", DIAG_UNKNOWN_KEY, "unknown key 'limits' in limits", NULL},
        {"source_prefix.ipv5", "5", DIAG_UNKNOWN_KEY, "unknown key 'ipv5' in limits.source_prefix",
         "did you mean 'ipv4'?"},
        /* What is a word of others is told as in a config. */
        {"max_load", "5", DIAG_FOREIGN_KEY, "'max_load' is xinetd's word", "write: limits: {load:"},
        /* Values */
        {"rate", "5", DIAG_BAD_VALUE, "limits.rate: '5'", NULL},
        {"rate", "0/s", DIAG_OUT_OF_RANGE, "limits.rate: ", NULL},
        {"load", "0", DIAG_OUT_OF_RANGE, "limits.load: 0 would never be kept to", "or none"},
        {"load", "-1", DIAG_BAD_VALUE, "limits.load: '-1'", NULL},
        {"load", "1000001", DIAG_OUT_OF_RANGE, "limits.load: ", NULL},
        {"per_source", "0", DIAG_OUT_OF_RANGE, "limits.per_source: ", NULL},
        {"instances", "none", DIAG_BAD_VALUE, "limits.instances: ", NULL},
        {"limits.source_prefix.ipv4", "33", DIAG_OUT_OF_RANGE, "limits.source_prefix.ipv4: ", NULL},
        {"source_prefix.ipv6", "129", DIAG_OUT_OF_RANGE, "limits.source_prefix.ipv6: ", NULL},
        {"source_prefix", "24", DIAG_WRONG_TYPE, "limits.source_prefix takes keys of its own", NULL},
        {"refuse_with", "drops", DIAG_BAD_VALUE, "unknown value 'drops' of limits.refuse_with",
         "one of close, banner, reset"},
        {"refuse_with", "rst", DIAG_BAD_VALUE, "unknown value 'rst'", "write refuse_with: reset"},
        /* Other keys of the config */
        {"timeouts.stop", "5s", DIAG_CONFLICT, "'timeouts.stop' cannot be set: only limits can",
         "change the config, then: mpctl reload"},
        {"timeouts.stpo", "5s", DIAG_CONFLICT, "'timeouts.stpo' cannot be set", NULL},
        {"user", "root", DIAG_CONFLICT, "'user' cannot be set", NULL},
        {"user.\033", "root", DIAG_CONFLICT, "'user.\\x1b' cannot be set", NULL},
        {"log.level", "debug", DIAG_CONFLICT, "'log.level' cannot be set", NULL},
        {"services.s.limits.instances", "5", DIAG_CONFLICT, "cannot be set", NULL},
    };
    static char nothing[] = "";
    static const Diag none = {.file = nothing, .message = nothing, .hint = nothing};
    (void)state;
    for (size_t i = 0; i < ELEMENTS(cases); i++) {
        CLEANUP_DIAGS DiagList diags = {0};
        LimitsConfig l = standard;
        int r = limits_config_set(&l, cases[i].key, cases[i].value, &diags);
        const Diag *d = diags.n == 1 ? &diags.items[0] : &none;
        if (r != -EINVAL || diags.n_errors != 1 || d->code != cases[i].code ||
            !strstr(d->message, cases[i].message) || (cases[i].hint && !strstr(d->hint, cases[i].hint)))
            fail_msg("%s=%s gave %d, %s: %s (%s)", cases[i].key, cases[i].value, r,
                     diag_code_to_string(d->code), d->message, d->hint);
        /* It belongs to no file, and nothing has changed. */
        assert_string_equal(d->file, "");
        assert_int_equal(d->line, 0);
        assert_int_equal(limits_config_diff(&standard, &l, NULL, NULL), 0);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_good), cmocka_unit_test(test_both), cmocka_unit_test(test_none),
        cmocka_unit_test(test_fit),  cmocka_unit_test(test_bad),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
