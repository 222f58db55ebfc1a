/* SPDX-License-Identifier: MIT */
/* What the keys of admission mean once they are loaded: rules out of files, hours, banners, exit codes. */
#include "conf/derive.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

#include "conf/access.h"
#include "conf/hours.h"
#include "conf/rule-book.h"
#include "fixture.h"

#define TCP "    listen: tcp:7\n    "
#define ALLOW_FILE TCP "access: {allow: [\"file:${FOLDER}/list\"]}"

static bool allows(const AccessRules *rules, const char *address) {
    Addr a;
    assert_int_equal(addr_parse_ip(address, 1, &a), 0);
    const Peer peer = peer_from_addr(&a);
    return access_allows(rules, &peer, NULL, 0, NULL);
}

static void test_files(void **state) {
    static const struct {
        const char *text;
        size_t n;
    } files[] = {
        {"", 0},
        {"\n\n", 0},
        {"10.0.0.0/8", 1},
        {"10.0.0.0/8\n", 1},
        {"\xef\xbb\xbf"
         "10.0.0.0/8\r\n192.0.2.1\r\n",
         2},
        {"# a list\n10.0.0.0/8 # ours\n\t \n  2001:db8::/32\t\n#\n", 2},
        {"uid:0\ngid:0\nvsock:3\nany\nuid:root\n", 4},
        {"10.0.0.0/8\n10.0.0.0/8\n", 1},
        {"10.0.0.0/8#ours\n", 1},
        {"# \xff\xfe bytes that are no text\n10.0.0.0/8\n", 1},
    };
    Fixture *f = *state;
    for (size_t i = 0; i < ELEMENTS(files); i++) {
        fixture_write(f, "list", files[i].text, 0644);
        (void)fixture_load_service(f, ALLOW_FILE);
        const ServiceConfig *s = fixture_service(f, files[i].text, "s");
        assert_int_equal(access_rules_count(s->terms->access.rules), files[i].n);
        assert_false(s->incomplete);
        if (files[i].n > 0 && strstr(files[i].text, "10.0.0.0/8")) {
            assert_true(allows(s->terms->access.rules, "10.1.2.3"));
            assert_false(allows(s->terms->access.rules, "11.1.2.3"));
        }
    }
}

/* Each mistake at its place in the file. */
static void test_bad_files(void **state) {
    static const struct {
        const char *text, *codes, *said;
        unsigned line, column, end_column;
    } files[] = {
        {"10.0.0.0/8\nwww.example.org\n", "bad-value", "names of hosts are not looked up", 2, 1, 16},
        {"\xef\xbb\xbf"
         "10.0.0.0/8\r\n  10.0.0/33 \r\n",
         "bad-value", "is not an address or a prefix", 2, 3, 12},
        {"10.0.0.0/8 10.0.0.1\n", "bad-value", "a line has one rule", 1, 11, 20},
        {"10.0.0.0/8, 10.0.0.1", "bad-value", "a line has one rule", 1, 11, 21},
        {"1.10.16.0/20 ; SBL256894\n", "bad-value", "# before a comment", 1, 13, 25},
        {"- 10.0.0.0/8\n", "bad-value", "a line has one rule", 1, 2, 13},
        {"file:/etc/other\n", "bad-value", "cannot name another", 1, 1, 16},
        {"\xc3\xa4\xc3\xb6\n", "bad-value", "is not a rule", 1, 1, 3},
        {"ok \xff\n", "bad-value", "a line has one rule", 1, 3, 5},
        {"a\nb\n10.0.0.0/8\nc\n", "bad-value bad-value bad-value", "is not an address", 1, 1, 2},
        {"\x1b[31m\n", "bad-value", "'\\x1b[31m' is not a rule", 1, 1, 6},
        {"uid:no-such-user\n", "not-found", "'no-such-user' is not a user", 1, 1, 17},
    };
    Fixture *f = *state;
    for (size_t i = 0; i < ELEMENTS(files); i++) {
        fixture_write(f, "list", files[i].text, 0644);
        (void)fixture_load_service(f, ALLOW_FILE);
        fixture_expect(f, files[i].text, files[i].codes, files[i].said);
        const Diag *d = &f->diags.items[0];
        assert_string_equal(d->file, fixture_path(f, "list"));
        assert_int_equal(d->line, files[i].line);
        assert_int_equal(d->column, files[i].column);
        assert_int_equal(d->end_column, files[i].end_column);
        assert_int_not_equal(strlen(d->excerpt), 0);
    }
}

static void test_nul_byte(void **state) {
    Fixture *f = *state;
    FILE *file = fopen(fixture_path(f, "list"), "we");
    assert_non_null(file);
    assert_int_equal(fwrite("10.0.0.0/8\n10\0.0.0.1\n", 1, 21, file), 21);
    assert_int_equal(fclose(file), 0);
    (void)fixture_load_service(f, ALLOW_FILE);
    fixture_expect(f, "a NUL byte", "bad-value", "there is a NUL byte");
    assert_int_equal(f->diags.items[0].line, 2);
}

/* What cannot be read is told where it is named. */
static void test_unreadable(void **state) {
    static const char *const services[] = {
        ALLOW_FILE,
        TCP "access: {deny: [\"file:${FOLDER}/list\"]}",
        TCP "proxy_protocol: {accept_from: \"file:${FOLDER}/list\"}",
        TCP "banner: {greeting: \"file:${FOLDER}/list\"}",
        TCP "banner: {refused: \"file:${FOLDER}/list\"}",
    };
    Fixture *f = *state;
    char list[128];
    (void)snprintf(list, sizeof(list), "%s", fixture_path(f, "list"));
    for (size_t i = 0; i < ELEMENTS(services); i++) {
        (void)fixture_load_service(f, services[i]);
        fixture_expect(f, services[i], "not-found", "/list: No such file or directory");
        assert_int_equal(f->diags.items[0].line, 7);
        assert_int_equal(mkdir(list, 0755), 0);
        (void)fixture_load_service(f, services[i]);
        fixture_expect(f, services[i], "not-allowed", "/list: a folder, not a file");
        assert_int_equal(rmdir(list), 0);
        assert_int_equal(mkfifo(list, 0644), 0);
        (void)fixture_load_service(f, services[i]);
        fixture_expect(f, services[i], "not-allowed", "/list: not a regular file");
        assert_int_equal(unlink(list), 0);
    }
}

static void test_too_large(void **state) {
    Fixture *f = *state;
    fixture_write(f, "list", "10.0.0.0/8\n", 0644);
    assert_int_equal(truncate(fixture_path(f, "list"), (off_t)RULE_FILE_MAX + 1), 0);
    (void)fixture_load_service(f, ALLOW_FILE);
    fixture_expect(f, "a large list", "limit", "larger than 16 MiB");
    assert_int_equal(truncate(fixture_path(f, "list"), (off_t)BANNER_MAX + 1), 0);
    (void)fixture_load_service(f, TCP "banner: {refused: \"file:${FOLDER}/list\"}");
    fixture_expect(f, "a large banner", "limit", "larger than 4096 bytes");
}

static void test_too_many(void **state) {
    Fixture *f = *state;
    CLEANUP_TEXT Text text = {0};
    text_add(&text,
             "version: 1\nservices: {s: {listen: tcp:7, exec: [mp-echo], user: root, access: {deny: [");
    for (unsigned i = 0; i <= RULE_FILES_MAX; i++) {
        char name[32];
        (void)snprintf(name, sizeof(name), "list%u", i);
        fixture_write(f, name, "10.0.0.0/8\n", 0644);
        text_addf(&text, "%s'file:${FOLDER}/%s', 'file:${FOLDER}/%s'", i > 0 ? ", " : "", name, name);
    }
    text_add(&text, "]}}}\n");
    (void)fixture_load_text(f, text.s);
    fixture_expect(f, "many files", "limit limit", "/list512: more files of rules than 512");
}

static void test_open_to_all(void **state) {
    Fixture *f = *state;
    fixture_write(f, "list", "10.0.0.0/8\n", 0666);
    (void)fixture_load_service(f, ALLOW_FILE);
    fixture_expect(f, "as root", "~not-allowed", "everybody may write to this file");
    f->context.euid = FIXTURE_USER;
    (void)fixture_load_service(f, ALLOW_FILE);
    fixture_expect(f, "as somebody", "", NULL);
}

/* At start a service whose list is missing is kept, and does not run without its rules. */
static void test_tolerated(void **state) {
    static const char *const services[] = {
        ALLOW_FILE,
        TCP "banner: {refused: \"file:${FOLDER}/list\"}",
        TCP "proxy_protocol: {accept_from: [\"file:${FOLDER}/list\"]}",
    };
    Fixture *f = *state;
    f->context.tolerate_missing = true;
    for (size_t i = 0; i < ELEMENTS(services); i++) {
        (void)unlink(fixture_path(f, "list"));
        (void)fixture_load_service(f, services[i]);
        fixture_expect(f, services[i], "~not-found", "No such file or directory");
        ServiceConfig *s = f->config->services[0];
        assert_non_null(s->problem);
        assert_int_equal(s->problem->code, DIAG_NOT_FOUND);
        assert_int_equal(s->problem->line, 7);
        assert_true(s->incomplete);
        /* Still not there. */
        assert_int_equal(service_config_resolve(s, &f->context), -ENOENT);
        assert_non_null(strstr(s->problem->message, "No such file"));
        assert_true(s->incomplete);
        fixture_write(f, "list", "10.0.0.0/8\n", 0644);
        assert_int_equal(service_config_resolve(s, &f->context), 0);
        assert_null(s->problem);
        assert_false(s->incomplete);
        assert_true(s->terms->access.rules || s->terms->banner.n_refused == 11 || s->terms->proxy_trusted);
        assert_int_equal(s->terms->limits.refuse_with, i == 1 ? REFUSE_WITH_BANNER : REFUSE_WITH_CLOSE);
    }
}

/* A list that comes with a mistake in it does not open the service. */
static void test_tolerated_then_bad(void **state) {
    Fixture *f = *state;
    f->context.tolerate_missing = true;
    (void)fixture_load_service(f, ALLOW_FILE);
    fixture_expect(f, "missing", "~not-found", NULL);
    ServiceConfig *s = f->config->services[0];
    for (int i = 0; i < 3; i++) {
        fixture_write(f, "list", "10.0.0.0/8\nnonsense\n", 0644);
        assert_true(service_config_resolve(s, &f->context) < 0);
        assert_non_null(s->problem);
        assert_int_equal(s->problem->line, 2);
        assert_string_equal(s->problem->file, fixture_path(f, "list"));
        assert_true(s->incomplete);
        assert_null(s->terms->access.rules);
    }
    fixture_write(f, "list", "10.0.0.0/8\n", 0644);
    assert_int_equal(service_config_resolve(s, &f->context), 0);
    assert_false(allows(s->terms->access.rules, "192.0.2.1"));
}

/* Every service of `defaults` with a missing list is kept back, and it is told once. */
static void test_tolerated_defaults(void **state) {
    Fixture *f = *state;
    f->context.tolerate_missing = true;
    (void)fixture_load_text(f, "version: 1\n"
                               "defaults: {user: root, access: {deny: [\"file:${FOLDER}/none\", 10.0.0.1]}}\n"
                               "services:\n"
                               "  a: {listen: tcp:7, exec: [mp-echo]}\n"
                               "  b: {listen: tcp:8, exec: [mp-echo]}\n"
                               "  c: {listen: tcp:9, exec: [mp-echo], access: {deny: []}}\n");
    fixture_expect(f, "defaults", "~not-found", "/none: No such file or directory");
    assert_int_equal(f->diags.items[0].line, 2);
    for (size_t i = 0; i < 3; i++) {
        const ServiceConfig *s = f->config->services[i];
        assert_int_equal(s->problem != NULL, i < 2);
        assert_int_equal(s->incomplete, i < 2);
        if (s->problem)
            assert_int_equal(s->problem->line, 2);
    }
}

/* A list with a mistake is told once however many services have it. */
static void test_told_once(void **state) {
    Fixture *f = *state;
    fixture_write(f, "list", "10.0.0.0/8\nnonsense\n", 0644);
    (void)fixture_load_text(
        f, "version: 1\n"
           "defaults: {user: root, access: {deny: [\"file:${FOLDER}/list\"]}}\n"
           "services:\n"
           "  a: {listen: tcp:7, exec: [mp-echo]}\n"
           "  b: {listen: tcp:8, exec: [mp-echo], access: {allow: [any]}}\n"
           "  c: {listen: tcp:9, exec: [mp-echo], access: {deny: [\"file:${FOLDER}/list\"]}}\n");
    fixture_expect(f, "defaults", "bad-value", "'nonsense' is not an address");
}

/* The same words are the same rules. */
static void test_shared(void **state) {
    Fixture *f = *state;
    fixture_write(f, "list", "10.0.0.0/8\n", 0644);
    (void)fixture_load_text(
        f, "version: 1\n"
           "defaults: {user: root, access: {deny: [\"file:${FOLDER}/list\"]}}\n"
           "services:\n"
           "  a: {listen: tcp:7, exec: [mp-echo]}\n"
           "  b: {listen: tcp:8, exec: [mp-echo]}\n"
           "  c: {listen: tcp:9, exec: [mp-echo], access: {deny: [\"file:${FOLDER}/list\"]}}\n"
           "  d: {listen: tcp:10, exec: [mp-echo], access: {allow: [\"file:${FOLDER}/list\"], "
           "deny: []}}\n");
    fixture_expect(f, "shared", "", NULL);
    ServiceConfig *const *s = f->config->services;
    assert_non_null(s[0]->terms->access.rules);
    assert_ptr_equal(s[1]->terms->access.rules, s[0]->terms->access.rules);
    assert_ptr_equal(s[2]->terms->access.rules, s[0]->terms->access.rules);
    assert_ptr_not_equal(s[3]->terms->access.rules, s[0]->terms->access.rules);
    assert_false(allows(s[1]->terms->access.rules, "10.0.0.1"));
    assert_true(allows(s[3]->terms->access.rules, "10.0.0.1"));
    assert_false(allows(s[3]->terms->access.rules, "11.0.0.1"));
}

static void test_rules(void **state) {
    static const struct {
        const char *access;
        bool rules;
    } cases[] = {
        {"{}", false},
        {"{allow: [any]}", false},
        {"{allow: any, deny: []}", false},
        {"{deny: []}", false},
        {"{allow: []}", true},
        {"{deny: [any]}", true},
        {"{allow: [any, 10.0.0.0/8]}", true},
        {"{allow: [uid:root, gid:root]}", true},
    };
    Fixture *f = *state;
    for (size_t i = 0; i < ELEMENTS(cases); i++) {
        char body[256];
        (void)snprintf(body, sizeof(body), TCP "access: %s", cases[i].access);
        (void)fixture_load_service(f, body);
        const ServiceConfig *s = fixture_service(f, body, "s");
        assert_int_equal(s->terms->access.rules != NULL, cases[i].rules);
        assert_null(s->terms->access.open);
        assert_null(s->terms->proxy_trusted);
    }
    const Peer root = peer_from_uid(0);
    const gid_t groups[] = {0};
    const AccessRules *rules = f->config->services[0]->terms->access.rules;
    assert_true(access_allows(rules, &root, NULL, 0, NULL));
    const Peer other = peer_from_uid(4711);
    assert_true(access_allows(rules, &other, groups, 1, NULL));
    assert_false(access_allows(rules, &other, NULL, 0, NULL));
}

static void test_trusted(void **state) {
    Fixture *f = *state;
    (void)fixture_load_service(f, TCP "proxy_protocol: {accept_from: []}");
    assert_null(fixture_service(f, "nobody", "s")->terms->proxy_trusted);
    (void)fixture_load_service(f, TCP "proxy_protocol: {accept_from: [any]}");
    assert_true(allows(fixture_service(f, "all", "s")->terms->proxy_trusted, "192.0.2.1"));
    (void)fixture_load_service(f, TCP "proxy_protocol: {accept_from: [10.0.0.0/8, \"::1\"]}");
    const AccessRules *trusted = fixture_service(f, "some", "s")->terms->proxy_trusted;
    assert_true(allows(trusted, "10.0.0.1"));
    assert_true(allows(trusted, "::1"));
    assert_false(allows(trusted, "192.0.2.1"));
}

static void test_values(void **state) {
    Fixture *f = *state;
    (void)fixture_load_service(f, TCP "access: {hours: [Mon, \"08:00-18:00\"]}\n"
                                      "    ban: {after: 5/1m, exit_codes: [1, 63-65, 255]}\n"
                                      "    limits: {load: 2.5, rate: 10/10s burst 20, per_source: 3}\n"
                                      "    log: {success: [traffic, cpu], failure: []}");
    const ServiceConfig *s = fixture_service(f, "values", "s");
    assert_non_null(s->terms->access.open);
    assert_int_equal(s->terms->ban.exit_code_bits[0], (uint64_t)1 << 1 | (uint64_t)1 << 63);
    assert_int_equal(s->terms->ban.exit_code_bits[1], 3);
    assert_int_equal(s->terms->ban.exit_code_bits[2], 0);
    assert_true(s->terms->ban.exit_code_bits[3] == (uint64_t)1 << 63);
    assert_int_equal(s->terms->ban.after.count, 5);
    assert_int_equal(s->terms->ban.for_usec, 600 * 1000000U);
    assert_true(s->terms->limits.load == 2.5);
    assert_int_equal(s->terms->limits.rate.burst, 20);
    assert_int_equal(s->terms->limits.per_source, 3);
    assert_int_equal(s->terms->log.success_facts, 1U << LOG_FACT_TRAFFIC | 1U << LOG_FACT_CPU);
    assert_int_equal(s->terms->log.failure_facts, 0);
    (void)fixture_load_service(f, TCP "access: {hours: [\"00:00-24:00\"]}");
    s = fixture_service(f, "standards", "s");
    unsigned standard =
        1U << LOG_FACT_PID | 1U << LOG_FACT_PEER | 1U << LOG_FACT_EXIT | 1U << LOG_FACT_DURATION;
    assert_null(s->terms->access.open);
    assert_int_equal(s->terms->log.success_facts, standard);
    assert_int_equal(s->terms->log.failure_facts, standard);
    assert_int_equal(s->terms->limits.source_ipv4, 32);
    assert_int_equal(s->terms->limits.source_ipv6, 64);
    assert_int_equal(s->terms->limits.refuse_with, REFUSE_WITH_CLOSE);
    assert_true(s->terms->limits.load == 0);
}

static void test_banners(void **state) {
    Fixture *f = *state;
    FILE *file = fopen(fixture_path(f, "motd"), "we");
    assert_non_null(file);
    assert_int_equal(fwrite("a\0b\r\n", 1, 5, file), 5);
    assert_int_equal(fclose(file), 0);
    (void)fixture_load_service(f, TCP "banner: {greeting: \"file:${FOLDER}/motd\", refused: \"no\\n\"}");
    const ServiceConfig *s = fixture_service(f, "banners", "s");
    assert_int_equal(s->terms->banner.n_greeting, 5);
    assert_memory_equal(s->terms->banner.greeting_bytes, "a\0b\r\n", 5);
    assert_int_equal(s->terms->banner.n_refused, 3);
    assert_memory_equal(s->terms->banner.refused_bytes, "no\n", 3);
    assert_int_equal(s->terms->limits.refuse_with, REFUSE_WITH_BANNER);
    (void)fixture_load_service(f,
                               TCP "banner: {greeting: \"\", refused: no}\n    limits: {refuse_with: reset}");
    s = fixture_service(f, "given", "s");
    assert_null(s->terms->banner.greeting_bytes);
    assert_int_equal(s->terms->banner.n_greeting, 0);
    assert_int_equal(s->terms->limits.refuse_with, REFUSE_WITH_RESET);
    fixture_write(f, "motd", "", 0644);
    (void)fixture_load_service(f, TCP "banner: {greeting: \"file:${FOLDER}/motd\"}");
    assert_int_equal(fixture_service(f, "empty", "s")->terms->banner.n_greeting, 0);
    char body[BANNER_MAX + 100];
    (void)snprintf(body, sizeof(body), TCP "banner: {greeting: %0*d}", (int)BANNER_MAX + 1, 0);
    (void)fixture_load_service(f, body);
    fixture_expect(f, "long", "out-of-range", "banner.greeting: longer than 4096 bytes");
}

/* 10,000 services with the rules of defaults, a file among them, cost one of them. */
static void test_many(void **state) {
    Fixture *f = *state;
    CLEANUP_TEXT Text list = {0};
    CLEANUP_TEXT Text text = {0};
    for (unsigned i = 0; i < 50000; i++)
        text_addf(&list, "10.%u.%u.0/24\n", i / 250, i % 250);
    fixture_write(f, "list", list.s, 0644);
    text_add(&text,
             "version: 1\ndefaults: {user: root, access: {deny: [\"file:${FOLDER}/list\"]}}\nservices:\n");
    for (unsigned i = 0; i < 10000; i++)
        text_addf(&text, "  s%u: {listen: tcp:0, exec: [mp-echo]}\n", i);
    (void)fixture_load_text(f, text.s);
    fixture_expect(f, "many", "", NULL);
    assert_int_equal(f->config->n_services, 10000);
    for (size_t i = 0; i < 10000; i++)
        assert_ptr_equal(f->config->services[i]->terms->access.rules,
                         f->config->services[0]->terms->access.rules);
    assert_int_equal(access_rules_count(f->config->services[0]->terms->access.rules), 50000);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, fixture_setup, fixture_teardown)

int main(void) {
    const struct CMUnitTest tests[] = {
        TEST(test_files),
        TEST(test_bad_files),
        TEST(test_nul_byte),
        TEST(test_unreadable),
        TEST(test_too_large),
        TEST(test_too_many),
        TEST(test_open_to_all),
        TEST(test_tolerated),
        TEST(test_tolerated_then_bad),
        TEST(test_tolerated_defaults),
        TEST(test_told_once),
        TEST(test_shared),
        TEST(test_rules),
        TEST(test_trusted),
        TEST(test_values),
        TEST(test_banners),
        TEST(test_many),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
