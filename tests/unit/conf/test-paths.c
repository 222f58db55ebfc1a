/* SPDX-License-Identifier: MIT */
/* Where the config, the programs and the control socket are when nobody says so. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

#include <cmocka.h>

#include "build-config.h"
#include "daemon/base/text.h"
#include "fixture.h"

#define SYSTEM_FILE MP_SYSCONFDIR "/mpinetd/mpinetd.yaml"

static void test_socket(void **state) {
    static const struct {
        uid_t euid;
        const char *variable, *socket;
    } cases[] = {
        {0, "XDG_RUNTIME_DIR=/run/user/0", "/run/mpinetd/control.sock"},
        {0, "OTHER=1", "/run/mpinetd/control.sock"},
        {1000, "XDG_RUNTIME_DIR=/run/user/1000", "/run/user/1000/mpinetd/control.sock"},
        {1000, "XDG_RUNTIME_DIR=", NULL},
        {1000, "XDG_RUNTIME_DIR=relative", NULL},
        {1000, "XDG_RUNTIME_DIRECTORY=/x", NULL},
        {1000, "OTHER=1", NULL},
    };
    (void)state;
    for (size_t i = 0; i < ELEMENTS(cases); i++) {
        CLEANUP_FREE char *variable = strdup(cases[i].variable);
        char *const environment[] = {variable, NULL};
        CLEANUP_FREE char *socket = config_default_socket(cases[i].euid, environment);
        assert_true(streq_null(socket, cases[i].socket));
    }
    assert_null(config_default_socket(1000, NULL));
}

static void test_libexecdir(void **state) {
    char folder[] = "MPINETD_LIBEXECDIR=/opt/libexec", relative[] = "MPINETD_LIBEXECDIR=build/services";
    (void)state;
    assert_string_equal(config_libexecdir((char *const[]){folder, NULL}), "/opt/libexec");
    /* A relative one would change its meaning with the working directory. */
    assert_string_equal(config_libexecdir((char *const[]){relative, NULL}), MP_LIBEXECDIR);
    assert_string_equal(config_libexecdir(NULL), MP_LIBEXECDIR);
}

static void expect_path(uid_t euid, const char *name, const char *folder, const char *path) {
    char variable[256];
    (void)snprintf(variable, sizeof(variable), "%s=%s", name, folder);
    CLEANUP_FREE char *got = config_default_path(euid, (char *const[]){variable, NULL});
    assert_string_equal(got, path);
}

static void test_path(void **state) {
    const Fixture *f = *state;
    const char *own = fixture_path(f, "mpinetd/mpinetd.yaml");
    const char *home = fixture_path(f, ".config/mpinetd/mpinetd.yaml");
    expect_path(1000, "XDG_CONFIG_HOME", f->folder, SYSTEM_FILE); /* it is not there yet */
    assert_int_equal(mkdir(fixture_path(f, "mpinetd"), 0755), 0);
    fixture_write(f, "mpinetd/mpinetd.yaml", "version: 1\n", 0644);
    expect_path(1000, "XDG_CONFIG_HOME", f->folder, own);
    expect_path(0, "XDG_CONFIG_HOME", f->folder, SYSTEM_FILE);
    expect_path(1000, "HOME", f->folder, SYSTEM_FILE);
    assert_int_equal(mkdir(fixture_path(f, ".config"), 0755), 0);
    assert_int_equal(mkdir(fixture_path(f, ".config/mpinetd"), 0755), 0);
    fixture_write(f, ".config/mpinetd/mpinetd.yaml", "version: 1\n", 0644);
    expect_path(1000, "HOME", f->folder, home);
    expect_path(0, "HOME", f->folder, SYSTEM_FILE);
    CLEANUP_FREE char *bare = config_default_path(1000, NULL);
    assert_string_equal(bare, SYSTEM_FILE);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_socket),
        cmocka_unit_test(test_libexecdir),
        cmocka_unit_test_setup_teardown(test_path, fixture_setup, fixture_teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
