/* SPDX-License-Identifier: MIT */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include "daemon/bind.h"

static char folder[] = "/tmp/mpinetd-test-bind-XXXXXX";

static ListenConfig config_for(const char *format, const char *path) {
    ListenConfig c = {.nodelay = -1, .mark = -1, .mode = 0640, .user = (uid_t)-1, .group = (gid_t)-1};
    Endpoint *e = &c.endpoint;
    static char texts[8][ENDPOINT_TEXT_MAX]; /* of the newest ones */
    static unsigned n;
    char *text = texts[n++ % ELEMENTS(texts)];
    (void)snprintf(text, ENDPOINT_TEXT_MAX, "%s%s", format, path);
    assert_int_equal(endpoint_parse(text, e, NULL, NULL), 0);
    return c;
}

static int open_it(ListenConfig *c, size_t i, BoundSocket *ret) {
    const char *step = NULL;
    return bind_socket(c, i, 0, ret, &step);
}

static int make_folder(void **state) {
    (void)state;
    return mkdtemp(folder) ? 0 : -1;
}

static int remove_folder(void **state) {
    (void)state;
    return rmdir(folder);
}

static void test_inet(void **state) {
    (void)state;
    ListenConfig c = config_for("tcp:127.0.0.1:", "0");
    BoundSocket first, second;
    const char *step = NULL;
    assert_int_equal(open_it(&c, 0, &first), 0);
    assert_true(addr_port(&first.addr) > 0);
    assert_int_equal(bind_socket(&c, 0, addr_port(&first.addr), &second, &step), -EADDRINUSE);
    assert_string_equal(step, "bind");
    (void)close(first.fd);
    assert_int_equal(bind_socket(&c, 0, addr_port(&first.addr), &second, &step), 0);
    (void)close(second.fd);
}

static void test_datagram_port_is_not_shared(void **state) {
    (void)state;
    ListenConfig c = config_for("udp:127.0.0.1:", "0");
    BoundSocket first, second;
    const char *step = NULL;
    assert_int_equal(open_it(&c, 0, &first), 0);
    assert_int_equal(bind_socket(&c, 0, addr_port(&first.addr), &second, &step), -EADDRINUSE);
    (void)close(first.fd);
}

static void test_unix_nodes(void **state) {
    (void)state;
    char path[64];
    BoundSocket first, second;
    struct stat st;
    static const char *const kinds[] = {"unix:", "unix-dgram:", "unix-seqpacket:"};
    for (size_t i = 0; i < ELEMENTS(kinds); i++) {
        (void)snprintf(path, sizeof(path), "%s/s%zu", folder, i);
        ListenConfig c = config_for(kinds[i], path);
        assert_int_equal(open_it(&c, 0, &first), 0);
        assert_int_equal(lstat(path, &st), 0);
        assert_int_equal(st.st_mode & 0777, 0640);
        assert_int_equal(st.st_ino, first.ino);
        /* A live one is never taken, whatever type asks. */
        for (size_t k = 0; k < ELEMENTS(kinds); k++) {
            ListenConfig other = config_for(kinds[k], path);
            assert_int_equal(open_it(&other, 0, &second), -EADDRINUSE);
        }
        /* A stale one is replaced. */
        (void)close(first.fd);
        assert_int_equal(open_it(&c, 0, &second), 0);
        /* The node is not removed for somebody who had another one there. */
        bind_remove_node(path, second.dev, second.ino + 1);
        assert_int_equal(access(path, F_OK), 0);
        bind_remove_node(path, second.dev, second.ino);
        assert_int_equal(access(path, F_OK), -1);
        (void)close(second.fd);
    }
}

static void test_other_files_are_left_alone(void **state) {
    (void)state;
    char path[64];
    BoundSocket s;
    (void)snprintf(path, sizeof(path), "%s/file", folder);
    FILE *f = fopen(path, "we");
    assert_non_null(f);
    (void)fclose(f);
    ListenConfig c = config_for("unix:", path);
    assert_int_equal(open_it(&c, 0, &s), -EEXIST);
    bind_remove_node(path, 0, 0);
    assert_int_equal(unlink(path), 0);
    assert_int_equal(symlink("/no/such/target", path), 0);
    assert_int_equal(open_it(&c, 0, &s), -EEXIST);
    assert_int_equal(unlink(path), 0);
}

static void test_abstract(void **state) {
    (void)state;
    char name[64];
    BoundSocket first, second;
    (void)snprintf(name, sizeof(name), "@%s", folder);
    ListenConfig c = config_for("unix:", name);
    assert_int_equal(open_it(&c, 0, &first), 0);
    assert_int_equal(first.ino, 0);
    assert_int_equal(open_it(&c, 0, &second), -EADDRINUSE);
    (void)close(first.fd);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_inet),       cmocka_unit_test(test_datagram_port_is_not_shared),
        cmocka_unit_test(test_unix_nodes), cmocka_unit_test(test_other_files_are_left_alone),
        cmocka_unit_test(test_abstract),
    };
    return cmocka_run_group_tests(tests, make_folder, remove_folder);
}
