/* SPDX-License-Identifier: MIT */
/* What a service needs of the system: its program, its user and groups, its directories. */
#include "conf/resolve.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/openat2.h>
#include <netdb.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <cmocka.h>

#include "daemon/base/cleanup.h"
#include "daemon/base/text.h"
#include "fixture.h"

#define ROOT "\n    user: root"
#define OTHER "\n    user: 12345\n    group: 12345"

static void load(Fixture *f, const char *body) {
    char text[1024];
    (void)snprintf(text, sizeof(text), "version: 1\nservices:\n  s:\n    listen: tcp:7007\n    %s\n", body);
    (void)fixture_load_text(f, text);
}

/* A jail, programs of all sorts, a folder that only its owner may enter. */
static int setup(void **state) {
    static const char *const folders[] = {"jail", "jail/usr", "jail/usr/bin", "closed", "libexec/false"};
    static const struct {
        const char *name;
        unsigned mode;
    } files[] = {
        {"jail/usr/bin/inside", 0755},
        {"closed/prog", 0755},
        {"prog", 0755},
        {"plain", 0644},
        {"owner", 0700},
        {"group", 0750},
        {"libexec/env", 0755},
        {"libexec/true", 0644},
        {"libexec/plain", 0644},
    };
    if (fixture_setup(state) < 0)
        return -1;
    const Fixture *f = *state;
    for (size_t i = 0; i < ELEMENTS(folders); i++)
        if (mkdir(fixture_path(f, folders[i]), 0755) < 0 || chmod(fixture_path(f, folders[i]), 0755) < 0)
            return -1;
    for (size_t i = 0; i < ELEMENTS(files); i++)
        fixture_write(f, files[i].name, "", files[i].mode);
    if (symlink("/usr/bin/inside", fixture_path(f, "jail/link")) < 0 ||
        symlink("prog", fixture_path(f, "alias")) < 0)
        return -1;
    return chmod(fixture_path(f, "closed"), 0700);
}

/* @program is what is found: below the folder with a '+' in front, else as it ends. NULL: nothing. */
static void test_program(void **state) {
    static const struct {
        const char *body, *program, *codes, *text;
    } cases[] = {
        {"exec: [mp-echo]" ROOT, "+libexec/mp-echo", "", NULL},
        {"exec: [env]" ROOT, "+libexec/env", "", NULL}, /* before the one of the system */
        {"exec: [sh]" ROOT, "bin/sh", "", NULL},
        {"exec: [\"true\"]" ROOT, "bin/true", "", NULL}, /* what cannot be run is passed over */
        {"exec: [\"false\"]" ROOT, "bin/false", "", NULL},
        {"exec: [\"${FOLDER}/prog\"]" ROOT, "+prog", "", NULL},
        {"exec: [\"${FOLDER}/alias\"]" ROOT, "+alias", "", NULL},
        {"exec: [\"${FOLDER}/prog\"]" OTHER, "+prog", "", NULL},
        {"exec: [\"${FOLDER}/owner\"]" ROOT, "+owner", "", NULL},
        {"exec: [\"${FOLDER}/closed/prog\"]" ROOT, "+closed/prog", "", NULL},
        {"exec: [no-such-program]" ROOT, NULL, "not-found", "there is no program 'no-such-program'"},
        {"exec: [\"${FOLDER}/missing\"]" ROOT, NULL, "not-found", "install it, or correct the path"},
        {"exec: [\"${FOLDER}/prog/x\"]" ROOT, NULL, "not-found", "exec: there is no"},
        {"exec: [\"${FOLDER}/plain\"]" ROOT, NULL, "not-allowed", "user 'root' cannot run"},
        {"exec: [plain]" ROOT, NULL, "not-allowed", "user 'root' cannot run 'plain'"},
        {"exec: [\"${FOLDER}/jail\"]" ROOT, NULL, "not-allowed", "is not a regular file"},
        {"exec: [\"${FOLDER}/owner\"]" OTHER, NULL, "not-allowed", "user '12345' cannot run"},
        {"exec: [\"${FOLDER}/closed/prog\"]" OTHER, NULL, "not-allowed", "cannot run"},
        {"exec: [\"${FOLDER}/group\"]" OTHER, NULL, "not-allowed", "cannot run"},
        /* Below a root: */
        {"exec: [/usr/bin/inside]\n    root_directory: ${FOLDER}/jail" ROOT, "/usr/bin/inside", "", NULL},
        {"exec: [inside]\n    root_directory: ${FOLDER}/jail" ROOT, "/usr/bin/inside", "", NULL},
        {"exec: [inside]\n    root_directory: ${FOLDER}/jail" OTHER, "/usr/bin/inside", "", NULL},
        {"exec: [mp-echo]\n    root_directory: ${FOLDER}/jail" ROOT, NULL, "not-found", "in /tmp/"},
        {"exec: [sh]\n    root_directory: ${FOLDER}/jail" ROOT, NULL, "not-found", "in /tmp/"},
        {"exec: [/bin/sh]\n    root_directory: ${FOLDER}/jail" ROOT, NULL, "not-found",
         "there is no /bin/sh in"},
    };
    Fixture *f = *state;
    for (size_t i = 0; i < ELEMENTS(cases); i++) {
        load(f, cases[i].body);
        fixture_expect(f, cases[i].body, cases[i].codes, cases[i].text);
        const char *want = cases[i].program;
        if (!want)
            continue;
        const Resolved *got = &f->config->services[0]->resolved;
        size_t n = strlen(got->program), tail = strlen(want);
        assert_true(got->ok && got->program[0] == '/');
        if (want[0] == '+' ? !streq(got->program, fixture_path(f, want + 1))
                           : n < tail || !streq(got->program + n - tail, want))
            fail_msg("%s: %s", cases[i].body, got->program);
    }
}

/* What was found for one service serves for the next, but only for one that would find the same. */
static void test_found_once(void **state) {
    static const struct {
        const char *second, *codes, *program;
    } cases[] = {
        {"exec: [\"${FOLDER}/owner\"]" ROOT, "", "+owner"},
        {"exec: [\"${FOLDER}/owner\"]" OTHER, "not-allowed", NULL},
        {"exec: [\"${FOLDER}/owner\"]\n    root_directory: ${FOLDER}/jail" ROOT, "not-found", NULL},
        {"exec: [\"${FOLDER}/prog\"]\n    working_directory: ${FOLDER}/closed" ROOT, "", "+prog"},
        {"exec: [\"${FOLDER}/prog\"]\n    working_directory: ${FOLDER}/closed" OTHER, "not-allowed", NULL},
    };
    Fixture *f = *state;
    for (size_t i = 0; i < ELEMENTS(cases); i++) {
        char body[640];
        (void)snprintf(body, sizeof(body),
                       "exec: [\"${FOLDER}/owner\"]\n    working_directory: ${FOLDER}/closed" ROOT
                       "\n  t:\n    listen: tcp:7008\n    %s",
                       cases[i].second);
        load(f, body);
        fixture_expect(f, cases[i].second, cases[i].codes, NULL);
        if (!cases[i].program)
            continue;
        assert_string_equal(f->config->services[0]->resolved.program, fixture_path(f, "owner"));
        assert_string_equal(f->config->services[1]->resolved.program, fixture_path(f, cases[i].program + 1));
    }
}

/* The group's bit counts for the group that the process will have, main or supplementary. */
static void test_program_groups(void **state) {
    Fixture *f = *state;
    struct stat st;
    char body[256];
    assert_int_equal(stat(fixture_path(f, "group"), &st), 0);
    for (int supplementary = 0; supplementary < 2; supplementary++) {
        (void)snprintf(body, sizeof(body), "exec: [\"${FOLDER}/group\"]\n    user: 12345\n    %s: %u",
                       supplementary ? "group: 12345\n    supplementary_groups" : "group",
                       (unsigned)st.st_gid);
        load(f, body);
        fixture_expect(f, body, "", NULL);
    }
}

/* Links in a root stay in it, where the kernel can say so. */
static void test_links_stay_inside(void **state) {
    Fixture *f = *state;
    struct open_how how = {.flags = O_PATH | O_CLOEXEC, .resolve = RESOLVE_IN_ROOT};
    CLEANUP_CLOSE int fd = (int)syscall(SYS_openat2, AT_FDCWD, ".", &how, sizeof(how));
    if (fd < 0)
        skip();
    load(f, "exec: [/link]\n    root_directory: ${FOLDER}/jail" ROOT);
    fixture_expect(f, "link", "", NULL);
}

static void test_directories(void **state) {
    static const struct {
        uid_t euid;
        const char *keys, *codes, *text;
    } cases[] = {
        {FIXTURE_ROOT, "working_directory: ${FOLDER}/closed" ROOT, "", NULL},
        {FIXTURE_ROOT, "working_directory: ${FOLDER}/jail" OTHER, "", NULL},
        {FIXTURE_ROOT, "working_directory: ${FOLDER}/closed" OTHER, "not-allowed", "'12345' cannot enter"},
        {FIXTURE_ROOT, "working_directory: ${FOLDER}/none" ROOT, "not-found",
         "working_directory: there is no"},
        {FIXTURE_ROOT, "working_directory: ${FOLDER}/prog" ROOT, "not-found", "is not a directory"},
        {FIXTURE_ROOT, "root_directory: ${FOLDER}/none" ROOT, "not-found", "root_directory: there is no"},
        {FIXTURE_ROOT, "root_directory: ${FOLDER}/prog" ROOT, "not-found", "is not a directory"},
        {FIXTURE_ROOT, "root_directory: ${FOLDER}\n    working_directory: /jail" OTHER, "", NULL},
        {FIXTURE_ROOT, "root_directory: ${FOLDER}\n    working_directory: /tmp" OTHER, "not-found", "/tmp"},
        {FIXTURE_USER, "root_directory: ${FOLDER}", "not-allowed", "it cannot have a root_directory"},
    };
    Fixture *f = *state;
    for (size_t i = 0; i < ELEMENTS(cases); i++) {
        char body[256];
        const char *exec = strstr(cases[i].keys, "root_directory") ? "/prog" : "mp-echo";
        (void)snprintf(body, sizeof(body), "exec: [%s]\n    %s", exec, cases[i].keys);
        f->context.euid = cases[i].euid;
        load(f, body);
        fixture_expect(f, body, cases[i].codes, cases[i].text);
    }
}

static void test_identity(void **state) {
    static const struct {
        const char *keys, *name, *codes;
        uid_t euid, uid;
        gid_t gid;
        bool change;
    } cases[] = {
        {"user: root", "root", "", FIXTURE_ROOT, 0, 0, true},
        {"user: root\n    group: 77", "root", "", FIXTURE_ROOT, 0, 77, true},
        {"user: root\n    group: root", "root", "", FIXTURE_ROOT, 0, 0, true},
        {"user: 12345\n    group: 54321", "12345", "", FIXTURE_ROOT, 12345, 54321, true},
        {"user: \"12345\"\n    group: \"0\"", "12345", "", FIXTURE_ROOT, 12345, 0, true},
        {"user: self\n    group: 77", "root", "~not-allowed", FIXTURE_ROOT, 0, 77, true},
        {"user: self", "12345", "", FIXTURE_USER, FIXTURE_USER, FIXTURE_USER, false},
        {"umask: 022", "12345", "", FIXTURE_USER, FIXTURE_USER, FIXTURE_USER, false},
        {"user: 12345", "12345", "", FIXTURE_USER, FIXTURE_USER, FIXTURE_USER, false},
        {"group: 12345", "12345", "", FIXTURE_USER, FIXTURE_USER, FIXTURE_USER, false},
        {"supplementary_groups: []", "12345", "", FIXTURE_USER, FIXTURE_USER, FIXTURE_USER, false},
    };
    Fixture *f = *state;
    if (geteuid() == FIXTURE_USER)
        skip(); /* it would have our own groups */
    for (size_t i = 0; i < ELEMENTS(cases); i++) {
        char body[256];
        (void)snprintf(body, sizeof(body), "exec: [mp-echo]\n    %s", cases[i].keys);
        f->context.euid = cases[i].euid;
        load(f, body);
        fixture_expect(f, body, cases[i].codes, NULL);
        const Resolved *got = &f->config->services[0]->resolved;
        if (got->uid != cases[i].uid || got->gid != cases[i].gid || got->change_ids != cases[i].change)
            fail_msg("%s: %u:%u %d", body, (unsigned)got->uid, (unsigned)got->gid, got->change_ids);
        assert_string_equal(got->user_name, cases[i].name);
        assert_true(got->home[0] == '/' && got->shell[0] == '/');
    }
}

static void test_identity_refused(void **state) {
    static const struct {
        uid_t euid;
        const char *keys, *codes, *text;
    } cases[] = {
        {FIXTURE_ROOT, "user: no-such-user", "not-found", "there is no user 'no-such-user'"},
        {FIXTURE_ROOT, "user: 12345", "not-found", "give its group, too"},
        {FIXTURE_ROOT, "user: 4294967295", "not-found", "there is no user"},
        {FIXTURE_ROOT, "user: root\n    group: no-such-group", "not-found",
         "there is no group 'no-such-group'"},
        {FIXTURE_ROOT, "user: root\n    supplementary_groups: [5, no-such-group]", "not-found",
         "no-such-group"},
        {FIXTURE_USER, "user: root", "not-allowed", "it cannot run as user 'root'"},
        {FIXTURE_USER, "user: 12346", "not-allowed", "only a daemon that runs as root"},
        {FIXTURE_USER, "user: no-such-user", "not-found", "there is no user"},
        {FIXTURE_USER, "group: 12346", "not-allowed", "it cannot run as group '12346'"},
        {FIXTURE_USER, "supplementary_groups: [5]", "not-allowed", "it cannot have other groups"},
    };
    Fixture *f = *state;
    for (size_t i = 0; i < ELEMENTS(cases); i++) {
        char body[256];
        (void)snprintf(body, sizeof(body), "exec: [mp-echo]\n    %s", cases[i].keys);
        f->context.euid = cases[i].euid;
        load(f, body);
        fixture_expect(f, body, cases[i].codes, cases[i].text);
    }
}

static void test_groups(void **state) {
    Fixture *f = *state;
    load(f, "exec: [mp-echo]\n    user: 12345\n    group: 7\n    supplementary_groups: [20, \"10\", root]");
    fixture_expect(f, "groups", "", NULL);
    const Resolved *got = &f->config->services[0]->resolved;
    assert_int_equal(got->n_groups, 3);
    assert_int_equal(got->groups[0], 20);
    assert_int_equal(got->groups[1], 10);
    assert_int_equal(got->groups[2], 0);
    load(f, "exec: [mp-echo]" ROOT "\n    supplementary_groups: []");
    fixture_expect(f, "no groups", "", NULL);
    assert_int_equal(f->config->services[0]->resolved.n_groups, 0);
    /* The groups that the user data base has, the main one as it was written. */
    load(f, "exec: [mp-echo]" ROOT "\n    group: 54321");
    fixture_expect(f, "own groups", "", NULL);
    got = &f->config->services[0]->resolved;
    assert_true(got->n_groups >= 1);
    for (size_t i = 0; i < got->n_groups; i++)
        assert_int_not_equal(got->groups[i], 0);
}

/* Of a forward, whose backend the daemon itself connects to: a port by its name is looked up here. */
static void test_target(void **state) {
    static const struct {
        const char *to;
        uint16_t port;
    } cases[] = {
        {"tcp:127.0.0.1:ssh", 22},
        {"tcp:127.0.0.1:22", 0},
        {"unix:/run/x", 0},
    };
    Fixture *f = *state;
    fixture_write(f, "libexec/mp-forward", "", 0755);
    if (!getservbyname("ssh", "tcp"))
        skip(); /* no services(5) here */
    for (size_t i = 0; i < ELEMENTS(cases); i++) {
        char body[128];
        (void)snprintf(body, sizeof(body), "model: forward\n    to: %s\n    exec: [mp-echo]" ROOT,
                       cases[i].to);
        load(f, body);
        fixture_expect(f, body, "", NULL);
        assert_int_equal(f->config->services[0]->resolved.to_port, cases[i].port);
    }
}

/* At start a service whose program is missing is kept, and heals when it appears. */
static void test_tolerated(void **state) {
    Fixture *f = *state;
    f->context.tolerate_missing = true;
    load(f, "exec: [\"${FOLDER}/later\"]" ROOT);
    assert_int_equal(f->result, 0);
    assert_string_equal(fixture_codes(f), "~not-found");
    assert_int_equal(f->diags.items[0].severity, DIAG_WARNING);
    ServiceConfig *s = f->config->services[0];
    assert_false(s->resolved.ok);
    assert_non_null(s->problem);
    assert_int_equal(s->problem->code, DIAG_NOT_FOUND);
    assert_int_equal(s->problem->line, 5);
    assert_non_null(strstr(s->problem->message, "exec: there is no"));
    assert_int_equal(service_config_resolve(s, &f->context), -ENOENT);
    fixture_write(f, "later", "", 0644);
    assert_int_equal(service_config_resolve(s, &f->context), -EPERM);
    assert_int_equal(s->problem->code, DIAG_NOT_ALLOWED);
    assert_false(s->resolved.ok);
    fixture_write(f, "later", "", 0755);
    assert_int_equal(service_config_resolve(s, &f->context), 0);
    assert_null(s->problem);
    assert_true(s->resolved.ok);
    assert_string_equal(s->resolved.program, fixture_path(f, "later"));
    /* And falls ill again. */
    assert_int_equal(unlink(fixture_path(f, "later")), 0);
    assert_int_equal(service_config_resolve(s, &f->context), -ENOENT);
    assert_false(s->resolved.ok);
    assert_null(s->resolved.program);
}

/* The first of several things that are missing is the problem; what is wrong in the text stays an error. */
static void test_tolerated_several(void **state) {
    Fixture *f = *state;
    f->context.tolerate_missing = true;
    load(f, "exec: [missing]" ROOT "\n    group: no-such-group\n    working_directory: /no/such");
    assert_int_equal(f->result, 0);
    assert_int_equal(f->diags.n, 3);
    assert_int_equal(f->diags.n_errors, 0);
    assert_non_null(strstr(f->config->services[0]->problem->message, "no-such-group"));
    load(f, "exec: [mp-echo]" ROOT "\n    group: no-such-group");
    fixture_expect(f, "group", "~not-found", NULL);
    assert_non_null(f->config->services[0]->resolved.program);
    assert_false(f->config->services[0]->resolved.ok);
    load(f, "exec: [missing]" ROOT "\n    umask: 9");
    assert_int_equal(f->result, -EINVAL);
    assert_null(f->config);
}

/* A later look, when the files are gone, tells of the same place. */
static void test_place_later(void **state) {
    static const struct {
        const char *body;
        unsigned line;
    } cases[] = {
        {"exec: [mp-echo]" ROOT "\n    access:\n     allow:\n     - 10.0.0.0/8\n     - file:/no/such\n", 10},
        {"exec: [mp-echo]" ROOT "\n    access:\n     deny:\n     - ::1\n     - fe80::1\n     - uid:no-such\n",
         11},
        {"exec: [mp-echo]" ROOT
         "\n    proxy_protocol:\n     accept_from:\n     - fe80::1%no-such0\n     - any\n",
         9},
        {"exec: [mp-echo]" ROOT "\n    supplementary_groups:\n     - '5'\n     - no-such\n", 9},
        {"exec: [mp-echo]" ROOT "\n    banner:\n     greeting: file:/no/such\n", 8},
    };
    Fixture *f = *state;
    f->context.tolerate_missing = true;
    for (size_t i = 0; i < ELEMENTS(cases); i++) {
        load(f, cases[i].body);
        fixture_expect(f, cases[i].body, "~not-found", NULL);
        ServiceConfig *s = f->config->services[0];
        for (int look = 0; look < 2; look++) {
            if (!s->problem || s->problem->line != cases[i].line)
                fail_msg("%s: look %d: line %u", cases[i].body, look, s->problem ? s->problem->line : 0);
            assert_int_equal(service_config_resolve(s, &f->context), -ENOENT);
        }
    }
}

static void test_listeners(void **state) {
    static const struct {
        uid_t euid;
        const char *options, *codes, *text;
    } cases[] = {
        {FIXTURE_ROOT, "user: 5, group: 6", "", NULL},
        {FIXTURE_ROOT, "user: root, group: root", "", NULL},
        {FIXTURE_ROOT, "user: no-such-user", "not-found", "there is no user 'no-such-user'"},
        {FIXTURE_ROOT, "group: no-such-group", "not-found", "there is no group 'no-such-group'"},
        {FIXTURE_USER, "user: 12345", "", NULL},
        {FIXTURE_USER, "user: root", "not-allowed", "its socket cannot belong to user 'root'"},
    };
    Fixture *f = *state;
    for (size_t i = 0; i < ELEMENTS(cases); i++) {
        char text[512];
        (void)snprintf(
            text, sizeof(text),
            "version: 1\nservices: {s: {exec: [mp-echo], user: %s, listen: {endpoint: unix:/run/x, %s}}}\n",
            cases[i].euid == 0 ? "root" : "self", cases[i].options);
        f->context.euid = cases[i].euid;
        (void)fixture_load_text(f, text);
        fixture_expect(f, text, cases[i].codes, cases[i].text);
    }
}

/* To be named there is of no use to nobody, unless the daemon is nobody's. */
static void test_nobody_manages(void **state) {
    static const struct {
        uid_t euid;
        const char *names, *codes, *text;
    } cases[] = {
        {FIXTURE_ROOT, "root, 65533, \"%65533\"", "", NULL},
        {FIXTURE_ROOT, "root, \"65534\"", "~not-allowed", "'65534' may change nothing: user 65534 stands"},
        {FIXTURE_ROOT, "\"%65534\"", "~not-allowed", "'%65534' may change nothing: group 65534 stands"},
        {FIXTURE_ROOT, "65534, \"%65534\"", "~not-allowed ~not-allowed", "a user or a group of their own"},
        {FIXTURE_USER, "65534", "~not-allowed", "may change nothing"},
        {ID_NOBODY, "65534", "", NULL},
        {ID_NOBODY, "\"%65534\"", "~not-allowed", "group 65534 stands"},
    };
    Fixture *f = *state;
    for (size_t i = 0; i < ELEMENTS(cases); i++) {
        char text[256];
        (void)snprintf(text, sizeof(text), "version: 1\ncontrol:\n  manage: [%s]\n", cases[i].names);
        f->context.euid = cases[i].euid;
        (void)fixture_load_text(f, text);
        fixture_expect(f, text, cases[i].codes, cases[i].text);
        for (size_t k = 0; k < f->diags.n; k++)
            assert_true(f->diags.items[k].line == 3 && f->diags.items[k].column > 11);
    }
}

static void test_control(void **state) {
    Fixture *f = *state;
    (void)fixture_load_text(
        f, "version: 1\ncontrol: {group: root, manage: [root, 12345, \"%root\", \"%77\"]}\n");
    fixture_expect(f, "control", "", NULL);
    assert_int_equal(f->config->control_gid, 0);
    assert_int_equal(f->config->n_manage_uids, 2);
    assert_int_equal(f->config->manage_uids[0], 0);
    assert_int_equal(f->config->manage_uids[1], 12345);
    assert_int_equal(f->config->n_manage_gids, 2);
    assert_int_equal(f->config->manage_gids[0], 0);
    assert_int_equal(f->config->manage_gids[1], 77);
    static const char missing[] =
        "version: 1\ncontrol: {group: no-such-group, manage: [no-such-user, root, \"%no-such\"]}\n";
    (void)fixture_load_text(f, missing);
    fixture_expect(f, "missing", "not-found not-found not-found", "there is no group 'no-such'");
    f->context.tolerate_missing = true;
    (void)fixture_load_text(f, missing);
    fixture_expect(f, "tolerated", "~not-found ~not-found ~not-found", "there is no user 'no-such-user'");
    assert_int_equal(f->config->n_manage_uids, 1);
    assert_int_equal(f->config->n_manage_gids, 0);
    assert_true(f->config->control_gid == (gid_t)-1);
}

/* Of what was told to be wrong nobody knows what it would be: it is not looked up, and what hangs on it is
 * not judged. */
static void test_wrong_already(void **state) {
    static const struct {
        const char *body, *codes;
    } cases[] = {
        {"exec: [mp-echo]\n    user: '${NO}'", "bad-value"},
        {"exec: [mp-echo]\n    group: '${NO}'" ROOT, "bad-value"},
        {"exec: [mp-echo]\n    supplementary_groups: ['0', '${NO}']" ROOT, "bad-value"},
        {"exec: [mp-echo]\n    supplementary_groups: '${NO}'" ROOT, "bad-value"},
        {"exec: [mp-echo]\n    supplementary_groups: [\"\\x01\"]" ROOT, "bad-value"},
        {"exec: [mp-echo]\n    pass_environment: ['${NO}']" ROOT, "bad-value"},
        {"exec: '${NO}'" ROOT, "bad-value"},
        {"exec: '${NO} a'" ROOT, "bad-value"},
        {"exec: ['/no/${NO}', a]" ROOT, "bad-value"},
        {"exec: [\"\\x01\"]" ROOT, "bad-value"},
        {"exec: [mp-echo]\n    working_directory: '${NO}'" ROOT, "bad-value"},
        {"exec: [mp-echo]\n    working_directory: '/no/${NO}'" ROOT, "bad-value"},
        {"exec: [mp-echo]\n    root_directory: '/no/${NO}'" ROOT, "bad-value"},
        {"exec: [/usr/bin/inside]\n    root_directory: '${NO}'" ROOT, "bad-value"},
        {"exec: [/usr/bin/inside]\n    working_directory: /no\n    root_directory: jail" ROOT, "bad-value"},
        {"exec: [mp-echo]\n    tcpmux: '${NO}'" ROOT, "bad-value"},
        {"exec: [mp-echo]\n    sandbox: {capabilities: ['${NO}'], hidden: ['/bin/${NO}']}" ROOT,
         "bad-value bad-value"},
        {"exec: [mp-echo]\n    umask: *no" ROOT, "yaml"},
        {"exec: *no" ROOT, "yaml"},
        {"exec: [mp-echo]\n    environment: {A: *no}" ROOT, "yaml"},
        {"exec: [mp-echo]\n    environment: *no" ROOT, "yaml"},
        /* who is in a group that is not known may do what others may not */
        {"exec: [\"${FOLDER}/group\"]\n    user: 12345\n    group: '${NO}'", "bad-value"},
        {"exec: [\"${FOLDER}/group\"]\n    user: 12345\n    group: no-such", "not-found"},
        {"exec: [\"${FOLDER}/group\"]\n    user: 12345", "not-found"},
        {"exec: [\"${FOLDER}/group\"]\n    supplementary_groups: [no-such]" OTHER, "not-found"},
        {"exec: [mp-echo]\n    supplementary_groups: [no-such]\n    working_directory: "
         "\"${FOLDER}/closed\"" OTHER,
         "not-found"},
        {"exec: [no-such]\n    supplementary_groups: [no-such]" OTHER, "not-found not-found"},
    };
    Fixture *f = *state;
    for (size_t i = 0; i < ELEMENTS(cases); i++) {
        load(f, cases[i].body);
        fixture_expect(f, cases[i].body, cases[i].codes, NULL);
    }
    (void)fixture_load_text(f, "version: 1\n"
                               "services:\n"
                               "  a: {listen: 'unix:/run/${NO}', exec: [mp-echo], user: root}\n"
                               "  b: {listen: 'unix:/run/${NO}', exec: [mp-echo], user: root}\n"
                               "  c:\n"
                               "    listen: {endpoint: 'unix:/run/x', user: '${NO}', group: '${NO}'}\n"
                               "    exec: [mp-echo]\n"
                               "    user: root\n"
                               "  d: {listen: *no, exec: [mp-echo], user: root}\n"
                               "  e: *no\n");
    fixture_expect(f, "listen", "bad-value bad-value bad-value bad-value yaml yaml", NULL);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, fixture_teardown)

int main(void) {
    const struct CMUnitTest tests[] = {
        TEST(test_place_later),
        TEST(test_nobody_manages),
        TEST(test_wrong_already),
        TEST(test_program),
        TEST(test_found_once),
        TEST(test_program_groups),
        TEST(test_links_stay_inside),
        TEST(test_directories),
        TEST(test_identity),
        TEST(test_identity_refused),
        TEST(test_groups),
        TEST(test_tolerated),
        TEST(test_tolerated_several),
        TEST(test_listeners),
        TEST(test_control),
        TEST(test_target),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
