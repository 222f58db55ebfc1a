/* SPDX-License-Identifier: MIT */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include <fcntl.h>
#include <mqueue.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include "daemon/bind-node.h"

static char folder[] = "/tmp/mpinetd-test-node-XXXXXX";

static void set_config(ListenConfig *c, const char *format, const char *path) {
    static char text[ENDPOINT_TEXT_MAX]; /* until the next one */
    *c = (ListenConfig){.max_messages = -1, .message_size = -1, .user = (uid_t)-1, .group = (gid_t)-1};
    (void)snprintf(text, sizeof(text), "%s%s", format, path);
    assert_int_equal(endpoint_parse(text, &c->endpoint, NULL, NULL), 0);
    c->mode = endpoint_standard_mode(c->endpoint.kind);
}

static int make_folder(void **state) {
    (void)state;
    return mkdtemp(folder) ? 0 : -1;
}

static int remove_folder(void **state) {
    (void)state;
    return rmdir(folder);
}

static int open_it(const ListenConfig *c, BoundSocket *ret, const char **ret_step) {
    return bind_open(c, 0, 0, ret, ret_step);
}

/* The write bits show that umask has no say. */
static void test_fifo_made(void **state) {
    (void)state;
    char path[64];
    ListenConfig c;
    BoundSocket first, second;
    struct stat st;
    const char *step = NULL;
    (void)snprintf(path, sizeof(path), "%s/f", folder);
    set_config(&c, "fifo:", path);
    c.mode = 0622;
    assert_int_equal(open_it(&c, &first, &step), 0);
    assert_int_equal(lstat(path, &st), 0);
    assert_true(S_ISFIFO(st.st_mode));
    assert_int_equal(st.st_mode & 07777, 0622);
    assert_int_equal(st.st_ino, first.ino);
    assert_int_equal(st.st_dev, first.dev);
    assert_int_equal(first.addr.len, 0);
    assert_int_equal(fcntl(first.fd, F_GETFD) & FD_CLOEXEC, FD_CLOEXEC);
    assert_int_equal(fcntl(first.fd, F_GETFL) & O_ACCMODE, O_RDWR);
    /* Nobody else has it as long as there is a descriptor, copies in processes included. */
    c.mode = 0600;
    int copy = dup(first.fd);
    (void)close(first.fd);
    assert_int_equal(open_it(&c, &second, &step), -EADDRINUSE);
    (void)close(copy);
    /* The second one finds it, and is not to remove it. */
    assert_int_equal(open_it(&c, &second, &step), 0);
    assert_int_equal(second.ino, 0);
    assert_true(bind_node_is(&c.endpoint, second.fd));
    assert_int_equal(lstat(path, &st), 0);
    assert_int_equal(st.st_mode & 07777, 0622);
    first.fd = second.fd;
    assert_int_equal(bind_adjust(&c, first.fd, first.dev, first.ino), 0);
    assert_int_equal(lstat(path, &st), 0);
    assert_int_equal(st.st_mode & 07777, 0600);
    bind_remove(&c.endpoint, first.dev, first.ino + 1);
    assert_int_equal(access(path, F_OK), 0);
    bind_remove(&c.endpoint, first.dev, first.ino);
    assert_int_equal(access(path, F_OK), -1);
    assert_false(bind_node_is(&c.endpoint, first.fd));
    assert_int_equal(bind_adjust(&c, first.fd, first.dev, first.ino), -ENOENT);
    (void)close(first.fd);
}

/* Without writers it is not readable, and no hang-up either; what was written stays when the writer goes. */
static void test_fifo_without_writers(void **state) {
    (void)state;
    char path[64];
    ListenConfig c;
    BoundSocket s;
    const char *step = NULL;
    (void)snprintf(path, sizeof(path), "%s/f", folder);
    set_config(&c, "fifo:", path);
    assert_int_equal(open_it(&c, &s, &step), 0);
    struct pollfd p = {.fd = s.fd, .events = POLLIN};
    for (int with_data = 0; with_data <= 1; with_data++) {
        int writer = open(path, O_WRONLY | O_NONBLOCK | O_CLOEXEC);
        assert_true(writer >= 0);
        if (with_data)
            assert_int_equal(write(writer, "x", 1), 1);
        (void)close(writer);
        assert_int_equal(poll(&p, 1, 0), with_data);
        assert_int_equal(p.revents, with_data ? POLLIN : 0);
    }
    bind_remove(&c.endpoint, s.dev, s.ino);
    (void)close(s.fd);
}

static void test_no_fifo(void **state) {
    (void)state;
    char path[64], target[64];
    ListenConfig c;
    BoundSocket s;
    const char *step = NULL;
    (void)snprintf(path, sizeof(path), "%s/x", folder);
    (void)snprintf(target, sizeof(target), "%s/target", folder);
    set_config(&c, "fifo:", path);
    assert_int_equal(mkdir(path, 0700), 0);
    assert_int_equal(open_it(&c, &s, &step), -EEXIST);
    assert_string_equal(step, "fifo");
    assert_int_equal(rmdir(path), 0);
    /* Not even one that leads to a fifo: who may write there could lead it elsewhere. */
    assert_int_equal(mkfifo(target, 0600), 0);
    assert_int_equal(symlink(target, path), 0);
    assert_int_equal(open_it(&c, &s, &step), -EEXIST);
    assert_int_equal(unlink(path), 0);
    assert_int_equal(unlink(target), 0);
    int file = open(path, O_CREAT | O_WRONLY | O_CLOEXEC, 0600);
    assert_true(file >= 0);
    (void)close(file);
    assert_int_equal(open_it(&c, &s, &step), -EEXIST);
    assert_int_equal(access(path, F_OK), 0);
    assert_int_equal(unlink(path), 0);
    (void)snprintf(path, sizeof(path), "%s/no/f", folder);
    set_config(&c, "fifo:", path);
    assert_int_equal(open_it(&c, &s, &step), -ENOENT);
}

static bool has_mqueue(ListenConfig *c) {
    char name[64];
    (void)snprintf(name, sizeof(name), "/%s", strrchr(folder, '/') + 1);
    set_config(c, "mqueue:", name);
    return access("/proc/sys/fs/mqueue", F_OK) == 0;
}

static void test_mqueue_made(void **state) {
    (void)state;
    ListenConfig c;
    BoundSocket first, second;
    struct mq_attr attributes;
    struct stat st;
    char note[96];
    const char *step = NULL;
    if (!has_mqueue(&c))
        skip();
    c.max_messages = 3;
    c.message_size = 50;
    c.mode = 0622;
    assert_int_equal(open_it(&c, &first, &step), 0);
    assert_int_equal(mq_getattr(first.fd, &attributes), 0);
    assert_int_equal(attributes.mq_maxmsg, 3);
    assert_int_equal(attributes.mq_msgsize, 50);
    assert_int_equal(fstat(first.fd, &st), 0);
    assert_int_equal(st.st_mode & 07777, 0622);
    assert_int_equal(st.st_ino, first.ino);
    assert_null(bind_node_note(&c, first.fd, 0, note, sizeof(note)));
    assert_int_equal(open_it(&c, &second, &step), -EADDRINUSE);
    (void)close(first.fd);
    assert_int_equal(open_it(&c, &second, &step), 0);
    assert_int_equal(second.ino, 0);
    first.fd = second.fd;
    c.max_messages = 4;
    assert_non_null(bind_node_note(&c, first.fd, 0, note, sizeof(note)));
    assert_string_equal(note, "the queue was there already and has max_messages 3, message_size 50");
    c.mode = 0600;
    assert_int_equal(bind_adjust(&c, first.fd, first.dev, first.ino), 0);
    assert_int_equal(fstat(first.fd, &st), 0);
    assert_int_equal(st.st_mode & 07777, 0600);
    bind_remove(&c.endpoint, first.dev, first.ino);
    assert_false(bind_node_is(&c.endpoint, first.fd));
    (void)close(first.fd);
}

static void test_mqueue_removed(void **state) {
    (void)state;
    ListenConfig c;
    BoundSocket s;
    char byte[8192];
    const char *step = NULL;
    if (!has_mqueue(&c))
        skip();
    assert_int_equal(open_it(&c, &s, &step), 0);
    bind_remove(&c.endpoint, s.dev, s.ino + 1);
    assert_true(bind_node_is(&c.endpoint, s.fd));
    /* Messages are never thrown away. */
    assert_int_equal(mq_send(s.fd, "x", 1, 0), 0);
    bind_remove(&c.endpoint, s.dev, s.ino);
    assert_true(bind_node_is(&c.endpoint, s.fd));
    assert_int_equal(mq_receive(s.fd, byte, sizeof(byte), NULL), 1);
    /* Also one that we may only write to can be removed, long after it was closed. */
    assert_int_equal(fchmod(s.fd, 0200), 0);
    (void)close(s.fd);
    bind_remove(&c.endpoint, s.dev, s.ino);
    assert_int_equal(mq_unlink(c.endpoint.path), -1);
}

static void test_mqueue_limits(void **state) {
    (void)state;
    ListenConfig c;
    BoundSocket s;
    const char *step = NULL;
    if (!has_mqueue(&c))
        skip();
    c.max_messages = 65537; /* HARD_MSGMAX of the kernel is 65536 */
    assert_int_equal(open_it(&c, &s, &step), -EINVAL);
    assert_string_equal(step, "above the limits in /proc/sys/fs/mqueue");
}

static void test_passed_only(void **state) {
    (void)state;
    ListenConfig c;
    BoundSocket s;
    const char *step = NULL;
    set_config(&c, "systemd:", "web");
    assert_int_equal(open_it(&c, &s, &step), -ENOENT);
    assert_string_equal(step, "adopt");
}

static void test_foreign_owner(void **state) {
    (void)state;
    char path[64], note[96];
    ListenConfig c;
    BoundSocket s;
    const char *step = NULL;
    if (geteuid() != 0)
        skip();
    (void)snprintf(path, sizeof(path), "%s/f", folder);
    set_config(&c, "fifo:", path);
    assert_int_equal(mkfifo(path, 0600), 0);
    assert_int_equal(chown(path, 4711, (gid_t)-1), 0);
    assert_int_equal(open_it(&c, &s, &step), 0);
    assert_non_null(bind_node_note(&c, s.fd, 0, note, sizeof(note)));
    assert_string_equal(note, "it was there already and belongs to uid 4711");
    assert_null(bind_node_note(&c, s.fd, 4711, note, sizeof(note)));
    c.user = 4711;
    assert_null(bind_node_note(&c, s.fd, 0, note, sizeof(note)));
    (void)close(s.fd);
    assert_int_equal(unlink(path), 0);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_fifo_made),      cmocka_unit_test(test_fifo_without_writers),
        cmocka_unit_test(test_no_fifo),        cmocka_unit_test(test_mqueue_made),
        cmocka_unit_test(test_mqueue_removed), cmocka_unit_test(test_mqueue_limits),
        cmocka_unit_test(test_passed_only),    cmocka_unit_test(test_foreign_owner),
    };
    return cmocka_run_group_tests(tests, make_folder, remove_folder);
}
