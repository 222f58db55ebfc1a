/* SPDX-License-Identifier: MIT */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "ctl/proto/api.h"
#include "ctl/refusals.h"
#include "ctl/status-hints.h"

typedef struct Case {
    const char *description;
    const char *lines[STATUS_HINTS_MAX + 1];
} Case;

/* A service in @state, with more of its fields, and more of the description's. */
#define DESCRIBED(state, fields, rest)                                                                       \
    "{\"file\":\"/etc/s.yaml\",\"service\":{\"name\":\"git\",\"instances_limit\":50,"                        \
    "\"state\":\"" state "\"" fields "}" rest "}"

static const Case cases[] = {
    {DESCRIBED("listening", "", ""), {NULL}},
    {DESCRIBED("listening", ",\"refused\":{\"rate\":0,\"access\":0}", ""), {NULL}},
    {DESCRIBED("full", "", ""),
     {"to let more in now: mpctl set git limits.instances=100; who is connected: mpctl ps git"}},
    /* Refusals by what is said already. */
    {DESCRIBED("full", ",\"refused\":{\"instances\":3}", ""),
     {"to let more in now: mpctl set git limits.instances=100; who is connected: mpctl ps git"}},
    {DESCRIBED("listening", ",\"refused\":{\"instances\":3}", ""),
     {"refused by instances: too many instances run (limits.instances); to change it now: mpctl set git "
      "limits.instances=100"}},
    {DESCRIBED("listening", ",\"refused\":{\"instances\":3}",
               ",\"set\":[{\"key\":\"limits.rate\"},{\"key\":\"limits.instances\"}]"),
     {NULL}},
    {DESCRIBED("listening", ",\"refused\":{\"hours\":1}", ""),
     {"refused by hours: not at this time (access.hours); change it in /etc/s.yaml, then: mpctl reload"}},
    {DESCRIBED("paused", ",\"refused\":{\"rate\":1}", ""),
     {"what has come waits; to go on: mpctl resume git",
      "refused by rate: too many connections in a short time (limits.rate); to change it now: mpctl set git "
      "limits.rate=N/s"}},
    {DESCRIBED("throttled", ",\"waiting\":{\"reason\":\"load\"}", ""),
     {"the machine's load is too high, and what has come waits; to let more in now: mpctl set git "
      "limits.load=N"}},
    {DESCRIBED("throttled", ",\"waiting\":{\"reason\":\"rate\"},\"refused\":{\"rate\":3}", ""),
     {"too many connections in a short time, and what has come waits; to let more in now: mpctl set git "
      "limits.rate=N/s"}},
    {DESCRIBED("throttled", "", ""), {NULL}},
    {DESCRIBED("throttled", ",\"waiting\":{\"reason\":\"of another version\"}", ""), {NULL}},
    {DESCRIBED("listening", ",\"refused\":{\"banned\":1}", ""),
     {"refused by banned: the source is banned (ban); who, and until when: mpctl bans; to let one in now: "
      "mpctl unban PREFIX"}},
    {DESCRIBED("stopped", "", ""), {"to listen again: mpctl start git"}},
    {DESCRIBED("disabled", "", ""), {"to listen: 'enabled: true' in /etc/s.yaml, then: mpctl reload"}},
    {DESCRIBED("failed", ",\"last_error\":{\"file\":\"/etc/s.yaml\"}", ""),
     {"mend it or correct the config, then: mpctl reload, or mpctl start git"}},
    {DESCRIBED("failed", ",\"last_error\":{\"step\":\"bind\"}", ""), {"mend it, then: mpctl start git"}},
    {DESCRIBED("failed", ",\"last_error\":null", ""), {NULL}},
    /* What a daemon of another version may leave out. */
    {"{}", {NULL}},
    {"{\"service\":{\"name\":\"a\\u001b[2J\",\"state\":\"stopped\"}}",
     {"to listen again: mpctl start a\\x1b[2J"}},
};

static void test_cases(void **state) {
    (void)state;
    for (size_t i = 0; i < ELEMENTS(cases); i++) {
        CLEANUP_HINTS StatusHints hints;
        json_t *description = json_loads(cases[i].description, 0, NULL);
        assert_non_null(description);
        status_hints_find(&hints, description);
        for (size_t k = 0; k < hints.n; k++) {
            assert_non_null(cases[i].lines[k]);
            assert_string_equal(hints.lines[k].s, cases[i].lines[k]);
        }
        assert_null(cases[i].lines[hints.n]);
        json_decref(description);
    }
}

/* As many reasons as there are: some are left out, and nothing is overrun. */
static void test_many(void **state) {
    CLEANUP_HINTS StatusHints hints;
    json_t *refused = json_object();
    (void)state;
    for (size_t i = 0; i < _REFUSE_REASON_MAX; i++)
        (void)json_object_set_new(refused, refuse_reason_to_string((RefuseReason)i), json_integer(1));
    json_t *description =
        json_pack("{s:{s:s, s:s, s:o}}", "service", "name", "git", "state", "full", "refused", refused);
    status_hints_find(&hints, description);
    assert_int_equal(hints.n, STATUS_HINTS_MAX);
    json_decref(description);
}

/* Every reason has its words, and a letter of its own. */
static void test_reasons(void **state) {
    char letters[_REFUSE_REASON_MAX + 1] = {0};
    (void)state;
    for (size_t i = 0; i < _REFUSE_REASON_MAX; i++) {
        const Refusal *r = refusal(i);
        assert_non_null(r->meaning);
        assert_non_null(r->keys);
        assert_true(r->letter != '\0' && !strchr(letters, r->letter));
        letters[i] = r->letter;
    }
    assert_null(refusal(_REFUSE_REASON_MAX));
}

static void test_most(void **state) {
    json_t *refused = json_pack("{s:i, s:i, s:i}", "access", 3, "rate", 7, "proxy", 7);
    (void)state;
    assert_int_equal(refusals_most(refused), REFUSE_RATE);
    assert_int_equal(refusals_sum(refused), 17);
    assert_int_equal(refusals_most(NULL), -ENOENT);
    assert_int_equal(refusals_sum(NULL), 0);
    json_decref(refused);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_cases),
        cmocka_unit_test(test_many),
        cmocka_unit_test(test_reasons),
        cmocka_unit_test(test_most),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
