/* SPDX-License-Identifier: MIT */
/* Rules that hold between keys, and between services: each has a config that breaks it and one that does not.
 */
#include "conf/validate.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

#include "conf/overlap.h"
#include "daemon/base/text.h"
#include "fixture.h"

#define TCP "    listen: tcp:7007\n    "
#define UDP "    listen: udp:7007\n    "
#define DEMAND "    listen: tcp:7007\n    model: on-demand\n    "

static void test_service_rules(void **state) {
    static const struct {
        const char *body, *codes, *text;
    } cases[] = {
        /* connections */
        {"    listen: [tcp:7, unix:/run/x]\n    model: per-connection", "", NULL},
        {UDP "model: per-connection", "conflict", "does not fit udp:7007, which has no connections"},
        {"    listen: [tcp:7, udp:8, unix-dgram:/run/x]\n    model: per-connection", "conflict conflict",
         "write model: on-demand"},
        /* one endpoint on stdio */
        {"    listen: [udp:7, udp:8]\n    pass: listen_fds", "", NULL},
        {UDP "pass: stdio", "", NULL},
        {"    listen: [tcp:7, tcp:8]\n    pass: stdio", "", NULL},
        {"    listen: [udp:7, udp:8]\n    pass: stdio", "conflict", "takes one endpoint"},
        /* stderr to the peer */
        {TCP "stderr: socket", "", NULL},
        {TCP "stderr: socket\n    pass: listen_fds", "conflict",
         "stderr: socket needs a connection on stdio"},
        {DEMAND "stderr: socket\n    pass: stdio", "conflict", "write stderr: log"},
        {UDP "stderr: log", "", NULL},
        /* lifetime */
        {TCP "timeouts: {lifetime: 1h}", "", NULL},
        {UDP "timeouts: {lifetime: 1h}", "", NULL},
        {DEMAND "timeouts: {lifetime: none}", "", NULL},
        {DEMAND "timeouts: {lifetime: 1h}", "conflict", "timeouts.lifetime cannot hold"},
        {"    listen: [udp:7, tcp:8]\n    model: on-demand\n    timeouts: {lifetime: 1h}", "conflict",
         "on-demand service of stream endpoints"},
        /* a pipe to be heard by */
        {TCP "notify: status", "", NULL},
        {TCP "notify: status\n    report: true", "", NULL},
        {TCP "notify: status\n    report: false", "conflict", "notify: status needs the status pipe"},
        {TCP "notify: sd_notify\n    report: false\n    timeouts: {watchdog: 5s}", "", NULL},
        {DEMAND "timeouts: {watchdog: 5s}\n    report: false", "conflict",
         "timeouts.watchdog needs the status pipe"},
        {UDP "pass: stdio\n    timeouts: {watchdog: 5s}", "", NULL},
        /* delays */
        {UDP "restart: {delay: 5s, max_delay: 5s}", "", NULL},
        {UDP "restart: {delay: 31s}", "conflict", "restart.delay is longer than restart.max_delay"},
        {UDP "restart: {max_delay: 99ms}", "conflict", "restart.delay is longer than restart.max_delay"},
        /* names handed on */
        {TCP "pass_environment: [TZ, \"LC_*\", \"A[0-9]?\"]", "", NULL},
        {TCP "pass_environment: [\"TZ=UTC\"]", "bad-value", "values go into 'environment'"},
        {TCP "pass_environment: [\"\", \"A B\"]", "bad-value bad-value", "names such as TZ"},
        {TCP "pass_environment: [1B]", "bad-value", "'1B' is not the name of a variable"},
        {TCP "environment: {1B: x}", "bad-value", "'1B' is not the name of a variable"},
        /* groups */
        {TCP "supplementary_groups: [5, 6]", "", NULL},
        {TCP "supplementary_groups: [5, \"\"]", "bad-value", "supplementary_groups: an empty name"},
    };
    Fixture *f = *state;
    for (size_t i = 0; i < ELEMENTS(cases); i++) {
        (void)fixture_load_service(f, cases[i].body);
        fixture_expect(f, cases[i].body, cases[i].codes, cases[i].text);
    }
}

/* What is executed, and as whom. */
static void test_identity_rules(void **state) {
    static const struct {
        uid_t euid;
        const char *keys, *codes, *text;
    } cases[] = {
        {FIXTURE_ROOT, "exec: [mp-echo], user: root", "", NULL},
        {FIXTURE_ROOT, "exec: [./mp-echo], user: root", "bad-value", "an absolute path or a plain name"},
        {FIXTURE_ROOT, "exec: bin/mp-echo, user: root", "bad-value",
         "write the whole path, or the name alone"},
        {FIXTURE_ROOT, "exec: [mp-echo], user: 0", "bad-value", "user 0 is not taken as a number"},
        {FIXTURE_ROOT, "exec: [mp-echo], user: \"000\"", "bad-value", "write user: root if that is meant"},
        {FIXTURE_ROOT, "exec: [mp-echo], user: self", "~not-allowed", "user: self runs it as root"},
        {FIXTURE_USER, "exec: [mp-echo], user: self", "", NULL},
        {FIXTURE_USER, "exec: [mp-echo]", "", NULL},
    };
    Fixture *f = *state;
    for (size_t i = 0; i < ELEMENTS(cases); i++) {
        char text[256];
        (void)snprintf(text, sizeof(text), "version: 1\nservices: {s: {listen: tcp:7, %s}}\n", cases[i].keys);
        f->context.euid = cases[i].euid;
        (void)fixture_load_text(f, text);
        fixture_expect(f, text, cases[i].codes, cases[i].text);
    }
}

/* A rule is told of at the key that breaks it, wherever it was given. */
static void test_place(void **state) {
    Fixture *f = *state;
    (void)fixture_load_text(f, "version: 1\n"
                               "defaults: {user: root, timeouts: {lifetime: 1h}}\n"
                               "services:\n"
                               "  s: {listen: tcp:7, model: on-demand, exec: [mp-echo]}\n");
    fixture_expect(f, "lifetime", "conflict", "service 's': timeouts.lifetime");
    assert_int_equal(f->diags.items[0].line, 2);
    assert_string_equal(f->diags.items[0].excerpt, "defaults: {user: root, timeouts: {lifetime: 1h}}");
    /* The service with other errors is not judged by the rules, the others are. */
    (void)fixture_load_text(f, "version: 1\n"
                               "defaults: {user: root, exec: [no]}\n"
                               "services:\n"
                               "  a: {listen: udp:7, model: per-connection, exec: [mp-echo], umask: 9}\n"
                               "  b: {listen: udp:8, model: per-connection, exec: [mp-echo]}\n");
    fixture_expect(f, "others", "conflict bad-value conflict", "does not fit udp:8");
}

/* Of a list it is the item that is wrong; the places are of what was found, in its order. */
static void test_item_place(void **state) {
    static const struct {
        uid_t euid;
        const char *keys;
        unsigned lines[3]; /* 0: no more */
    } cases[] = {
        {FIXTURE_ROOT,
         "user: root\n    supplementary_groups:\n    - \"0\"\n    - no-such-a\n    - no-such-b",
         {9, 10}},
        {FIXTURE_ROOT, "user: root\n    supplementary_groups:\n    - \"0\"\n    - \"\"", {9}},
        {FIXTURE_ROOT, "user: root\n    supplementary_groups: no-such", {7}},
        {FIXTURE_ROOT,
         "user: root\n    pass_environment:\n    - A\n    - 1B\n    - 'A=B'\n    - ''",
         {9, 10, 11}},
        {FIXTURE_ROOT, "user: root\n    exec:\n    - ''\n    - a", {8}},
        {FIXTURE_ROOT,
         "user: root\n    sandbox:\n     read_only: [/usr]\n     read_write:\n     - /usr/a\n     - /a\n     "
         "- /b",
         {11, 12}},
        {FIXTURE_ROOT,
         "user: root\n    exec: /bin/sh\n    working_directory: /usr\n    sandbox:\n     hidden:\n     - "
         "/srv\n"
         "     - /usr\n     - /bin",
         {12, 13}},
        {FIXTURE_ROOT, "user: root\n    sandbox:\n     hidden:\n     - /srv\n     - /", {10}},
        {FIXTURE_USER, "sandbox:\n     capabilities:\n     - CHOWN\n     - CAP_SYS_ADMIN", {8, 9}},
    };
    Fixture *f = *state;
    for (size_t i = 0; i < ELEMENTS(cases); i++) {
        char text[512];
        size_t n = 0;
        (void)snprintf(text, sizeof(text), "version: 1\nservices:\n  s:\n    listen: tcp:7\n    %s\n    %s\n",
                       strstr(cases[i].keys, "exec:") ? "#" : "exec: mp-echo", cases[i].keys);
        f->context.euid = cases[i].euid;
        (void)fixture_load_text(f, text);
        while (n < ELEMENTS(cases[i].lines) && cases[i].lines[n] > 0)
            n++;
        if (f->diags.n != n)
            fail_msg("%s: %zu told, not %zu: %s", text, f->diags.n, n, fixture_codes(f));
        for (size_t k = 0; k < n; k++)
            if (f->diags.items[k].line != cases[i].lines[k])
                fail_msg("%s: %s: line %u", text, f->diags.items[k].message, f->diags.items[k].line);
    }
}

/* What `defaults` have wrong is told once, at the item. */
static void test_item_of_defaults(void **state) {
    Fixture *f = *state;
    (void)fixture_load_text(f, "version: 1\n"
                               "defaults:\n"
                               "  user: root\n"
                               "  pass_environment:\n"
                               "  - TZ\n"
                               "  - 'A B'\n"
                               "services:\n"
                               "  a: {listen: tcp:7, exec: [mp-echo]}\n"
                               "  b: {listen: tcp:8, exec: [mp-echo]}\n");
    fixture_expect(f, "defaults", "bad-value", "'A B' is not the name of a variable");
    assert_int_equal(f->diags.items[0].line, 6);
}

/* Who owns a socket's node stands in its own place. */
static void test_owner_place(void **state) {
    Fixture *f = *state;
    (void)fixture_load_text(f, "version: 1\n"
                               "services:\n"
                               "  s:\n"
                               "    listen:\n"
                               "    - tcp:7\n"
                               "    - endpoint: unix:/run/s.sock\n"
                               "      mode: \"0600\"\n"
                               "      user: no-such\n"
                               "      group: no-such\n"
                               "    exec: mp-echo\n"
                               "    user: root\n");
    fixture_expect(f, "owner", "not-found not-found", "there is no group 'no-such'");
    assert_int_equal(f->diags.items[0].line, 8);
    assert_int_equal(f->diags.items[1].line, 9);
    assert_int_equal(f->diags.items[1].column, 14);
}

/* By tcpmux it is the service of that model that asks for the header of a proxy. */
static void test_tcpmux_proxies(void **state) {
    static const struct {
        const char *door, *service, *codes; /* what they accept from, and more; "": nothing */
    } cases[] = {
        {"", "", ""},
        {"accept_from: [10.0.0.0/8]", "", ""},
        {"accept_from: [10.0.0.0/8]", "accept_from: [10.0.0.0/8]", ""},
        {"accept_from: [192.0.2.1, 10.0.0.0/8]", "accept_from: 10.0.0.0/8", ""},
        {"accept_from: [any]", "accept_from: [10.0.0.0/8]", ""},
        {"", "accept_from: []", ""},
        {"", "accept_from: [10.0.0.0/8]", "~conflict"},
        {"accept_from: [10.0.0.0/8]", "accept_from: [10.0.0.0/8, 192.0.2.1]", "~conflict"},
        {"accept_from: [10.0.0.0/8]", "accept_from: [any]", "~conflict"},
        {"}, enabled: false, limits: {", "accept_from: [10.0.0.0/8]", ""},
        {"", "accept_from: [10.0.0.0/8]}, enabled: false, limits: {", ""},
    };
    Fixture *f = *state;
    for (size_t i = 0; i < ELEMENTS(cases); i++) {
        char text[512];
        (void)snprintf(text, sizeof(text),
                       "version: 1\nservices:\n"
                       "  door: {listen: tcp:1, model: tcpmux, proxy_protocol: {%s}}\n"
                       "  s: {exec: [mp-echo], user: root, proxy_protocol: {%s},\n"
                       "      tcpmux: echo}\n",
                       cases[i].door, cases[i].service);
        (void)fixture_load_text(f, text);
        fixture_expect(f, text, cases[i].codes, *cases[i].codes ? "by 'door' it is reached without" : NULL);
        if (f->diags.n > 0)
            assert_int_equal(f->diags.items[0].line, 5);
    }
    (void)fixture_load_text(f, "version: 1\n"
                               "defaults: {user: root, proxy_protocol: {accept_from: [10.0.0.0/8]}}\n"
                               "services:\n"
                               "  a: {exec: [mp-echo], tcpmux: a}\n"
                               "  b: {listen: tcp:1, model: tcpmux}\n"
                               "  c: {listen: tcp:2, model: tcpmux, proxy_protocol: {accept_from: []}}\n");
    fixture_expect(f, "two doors", "~conflict", "write the same proxy_protocol.accept_from in 'c'");
}

static bool is_hinted(const DiagList *l, const char *text) {
    for (size_t i = 0; i < l->n; i++)
        if (l->items[i].code == DIAG_CONFLICT && strstr(l->items[i].hint, text))
            return true;
    return false;
}

/* Where nobody could keep to a rule, it is refused, and what the hint has in its place is taken: a line that
 * says that there is none, so that a service can do without what `defaults` give to all others. */
static void test_rules_and_their_absence(void **state) {
    static const struct {
        const char *rule, *absence;
    } cases[] = {
        {"access: {allow: [10.0.0.0/8]}", "access: {allow: [any]}"},
        {"access: {deny: [10.0.0.1]}", "access: {deny: []}"},
        {"access: {hours: [Mon]}", "access: {hours: [\"00:00-24:00\"]}"},
        {"limits: {per_source: 3}", "limits: {per_source: none}"},
        {"limits: {rate_per_source: 3/s}", "limits: {rate_per_source: none}"},
        {"ban: {after: 5/1m}", "ban: {after: none}"},
        {"sensor: true", "sensor: false"},
        {"banner: {greeting: x}", "banner: {greeting: \"\"}"},
        {"banner: {refused: x}", "banner: {refused: \"\"}"},
        {"proxy_protocol: {accept_from: [10.0.0.1]}", "proxy_protocol: {accept_from: []}"},
    };
    static const char *const doors[] = {"listen: tcp:7007, model: on-demand", "listen: tcp:7007, model: pool",
                                        "listen: fifo:/run/x"};
    static const char format[] = "version: 1\ndefaults: {user: root, %s}\n"
                                 "services:\n  s: {%s, exec: [mp-echo], %s}\n";
    Fixture *f = *state;
    for (size_t i = 0; i < ELEMENTS(cases); i++)
        for (size_t k = 0; k < ELEMENTS(doors); k++) {
            char text[512];
            (void)snprintf(text, sizeof(text), format, "umask: 022", doors[k], cases[i].rule);
            assert_true(fixture_load_text(f, text) < 0);
            if (!is_hinted(&f->diags, cases[i].absence))
                fail_msg("%s\ndoes not hint at %s", text, cases[i].absence);
            (void)snprintf(text, sizeof(text), format, cases[i].rule, doors[k], cases[i].absence);
            (void)fixture_load_text(f, text);
            (void)fixture_service(f, text, "s");
        }
}

/* Two services with an endpoint each, as YAML; and what is said of the second one. */
static void test_overlap(void **state) {
    static const struct {
        const char *first, *second, *text; /* NULL: they can both be bound */
    } cases[] = {
        {"tcp:7", "tcp:7", "tcp:7 is an endpoint of service 'a', too"},
        {"tcp:7", "tcp:8", NULL},
        {"tcp:7", "udp:7", NULL},
        {"udp:7", "udp:7", "udp:7 is an endpoint of service 'a', too"},
        {"tcp:0", "tcp:0", NULL},
        {"tcp:127.0.0.1:7", "tcp:127.0.0.1:7", "too"},
        {"tcp:127.0.0.1:7", "tcp:127.0.0.2:7", NULL},
        {"tcp:127.0.0.1:7", "tcp:[::1]:7", NULL},
        {"tcp:127.0.0.1:7", "tcp:0.0.0.0:7", "tcp:0.0.0.0:7 overlaps with tcp:127.0.0.1:7 of service 'a'"},
        {"tcp:7", "tcp:127.0.0.1:7", "tcp:127.0.0.1:7 overlaps with tcp:7 of service 'a'"},
        {"tcp:7", "tcp:[::1]:7", "overlaps"},
        {"tcp:0.0.0.0:7", "tcp:[::1]:7", NULL},
        {"tcp:0.0.0.0:7", "tcp:[::]:7", "overlaps"},
        {"tcp:0.0.0.0:7", "{endpoint: \"tcp:[::]:7\", only_v6: true}", NULL},
        {"tcp:[::]:7", "tcp:127.0.0.1:7", "overlaps"},
        {"{endpoint: \"tcp:[::]:7\", only_v6: true}", "tcp:127.0.0.1:7", NULL},
        {"{endpoint: \"tcp:[::]:7\", only_v6: true}", "tcp:[::1]:7", "overlaps"},
        {"{endpoint: tcp:7, reuse_port: true}", "{endpoint: tcp:7, reuse_port: true}", NULL},
        {"{endpoint: tcp:7, reuse_port: true}", "tcp:7", "or give both reuse_port: true"},
        {"tcp:127.0.0.1:7", "{endpoint: tcp:7, reuse_port: true}", "overlaps"},
        {"{endpoint: tcp:7, device: eth0}", "{endpoint: tcp:7, device: eth1}", NULL},
        {"{endpoint: tcp:7, device: eth0}", "{endpoint: tcp:7, device: eth0}", "too"},
        {"{endpoint: tcp:7, device: eth0}", "tcp:7", "too"},
        {"\"tcp:[fe80::1%lo]:7\"", "\"tcp:[fe80::1%lo]:7\"", "too"},
        {"\"tcp:[fe80::1%lo]:7\"", "\"tcp:[fe80::1%none0]:7\"", NULL},
        {"\"tcp:[fe80::1%lo]:7\"", "\"tcp:[::]:7\"", "overlaps"},
        {"unix:/run/a.sock", "unix:/run/a.sock", "too"},
        {"unix:/run/a.sock", "unix-dgram:/run/a.sock", "overlaps"},
        {"unix:/run/a.sock", "unix:/run/b.sock", NULL},
        {"unix:@a", "unix:@a", "too"},
        {"unix:@a", "unix:@b", NULL},
        {"unix-dgram:@a", "unix-dgram:@a", "unix-dgram:@a is an endpoint of service 'a', too"},
        {"unix:@a", "unix-dgram:@a", NULL},
        {"unix:@a", "unix-seqpacket:@a", NULL},
        {"unix-seqpacket:@a", "unix-dgram:@a", NULL},
        {"unix:/run/a.sock", "unix-seqpacket:/run/a.sock", "overlaps"},
        {"unix:/run/a.sock", "fifo:/run/a.sock", "overlaps"},
        {"unix:/nowhere/./a", "unix:/nowhere/b", NULL},
    };
    Fixture *f = *state;
    for (size_t i = 0; i < ELEMENTS(cases); i++) {
        char text[512];
        (void)snprintf(text, sizeof(text),
                       "version: 1\ndefaults: {user: root}\nservices:\n"
                       "  a:\n    exec: [mp-echo]\n    listen: %s\n"
                       "  b:\n    exec: [mp-echo]\n    listen: %s\n",
                       cases[i].first, cases[i].second);
        (void)fixture_load_text(f, text);
        fixture_expect(f, text, cases[i].text ? "conflict" : "", cases[i].text);
        if (cases[i].text)
            assert_int_equal(f->diags.items[0].line, 9);
    }
}

/* More than two at once: each that cannot be bound is told of once. */
static void test_overlap_many(void **state) {
    static const struct {
        const char *listen[4];
        const char *codes, *text;
    } cases[] = {
        {{"[tcp:7, tcp:7]"}, "conflict", "tcp:7 is there twice"},
        {{"[\"tcp:[::1]:7\", tcp:127.0.0.1:7]"}, "", NULL},
        {{"tcp:7", "tcp:7", "tcp:7"}, "conflict conflict", "service 's0'"},
        {{"tcp:127.0.0.1:7", "tcp:127.0.0.2:7", "tcp:7"}, "conflict", "tcp:7 overlaps with tcp:127.0.0.1:7"},
        {{"tcp:7", "tcp:127.0.0.1:7", "tcp:127.0.0.2:7", "tcp:[::1]:7"},
         "conflict conflict conflict",
         "'s0'"},
        {{"{endpoint: tcp:7, reuse_port: true}", "{endpoint: tcp:7, reuse_port: true}", "tcp:127.0.0.1:7"},
         "conflict",
         "tcp:127.0.0.1:7 overlaps with tcp:7"},
        {{"{endpoint: tcp:7, device: a}", "{endpoint: tcp:7, device: b}", "{endpoint: tcp:7, device: a}"},
         "conflict",
         "service 's0'"},
        {{"tcp:7\n    enabled: false", "tcp:7"}, "", NULL},
        {{"tcp:7\n    enabled: false", "tcp:7", "tcp:7"}, "conflict", "service 's1'"},
    };
    Fixture *f = *state;
    for (size_t i = 0; i < ELEMENTS(cases); i++) {
        CLEANUP_TEXT Text text = {0};
        text_add(&text, "version: 1\ndefaults: {user: root}\nservices:\n");
        for (int k = 0; k < 4 && cases[i].listen[k]; k++)
            text_addf(&text, "  s%d:\n    exec: [mp-echo]\n    listen: %s\n", k, cases[i].listen[k]);
        (void)fixture_load_text(f, text.s);
        fixture_expect(f, text.s, cases[i].codes, cases[i].text);
    }
}

/* One folder by two names is one folder. */
static void test_overlap_links(void **state) {
    Fixture *f = *state;
    char text[1024];
    assert_int_equal(mkdir(fixture_path(f, "run"), 0755), 0);
    assert_int_equal(symlink("run", fixture_path(f, "link")), 0);
    for (int same = 0; same < 2; same++) {
        (void)snprintf(text, sizeof(text),
                       "version: 1\ndefaults: {user: root}\nservices:\n"
                       "  a: {exec: [mp-echo], listen: unix:%s/run/x}\n  b: {exec: [mp-echo], listen: "
                       "unix:%s/link/%s}\n",
                       f->folder, f->folder, same ? "x" : "y");
        (void)fixture_load_text(f, text);
        fixture_expect(f, text, same ? "conflict" : "", same ? "overlaps with unix:" : NULL);
    }
}

static void test_control_socket(void **state) {
    static const struct {
        const char *path, *codes;
    } cases[] = {{"/run/c.sock", "conflict"}, {"/run/d.sock", ""}};
    Fixture *f = *state;
    for (size_t i = 0; i < ELEMENTS(cases); i++) {
        char text[256];
        (void)snprintf(text, sizeof(text),
                       "version: 1\ncontrol: {socket: %s}\n"
                       "services: {s: {listen: [tcp:7, unix:/run/c.sock], exec: [mp-echo], user: root}}\n",
                       cases[i].path);
        (void)fixture_load_text(f, text);
        fixture_expect(f, text, cases[i].codes, *cases[i].codes ? "the path of the control socket" : NULL);
    }
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, fixture_setup, fixture_teardown)

int main(void) {
    const struct CMUnitTest tests[] = {
        TEST(test_service_rules), TEST(test_identity_rules),          TEST(test_place),
        TEST(test_overlap),       TEST(test_rules_and_their_absence), TEST(test_overlap_many),
        TEST(test_overlap_links), TEST(test_control_socket),          TEST(test_tcpmux_proxies),
        TEST(test_item_place),    TEST(test_item_of_defaults),        TEST(test_owner_place),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
