/* SPDX-License-Identifier: MIT */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include <sys/socket.h>
#include <sys/un.h>

#include "daemon/base/text.h"
#include "daemon/fd-store.h"

/* A manager that reads when it is told to, and closes what it gets. */
typedef struct Manager {
    char folder[32], path[48];
    int fd;
    sd_event *loop;
    Notifier *notifier;
} Manager;

static int set_up(void **state) {
    static Manager m;
    m = (Manager){.folder = "/tmp/fd-store-XXXXXX"};
    struct sockaddr_un a = {.sun_family = AF_UNIX};
    assert_non_null(mkdtemp(m.folder));
    (void)snprintf(m.path, sizeof(m.path), "%s/notify", m.folder);
    (void)snprintf(a.sun_path, sizeof(a.sun_path), "%s", m.path);
    m.fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    assert_int_equal(bind(m.fd, (struct sockaddr *)&a, sizeof(a)), 0);
    assert_int_equal(sd_event_new(&m.loop), 0);
    assert_int_equal(notifier_new(m.loop, m.path, &m.notifier), 0);
    *state = &m;
    return 0;
}

static int tear_down(void **state) {
    Manager *m = *state;
    notifier_free(m->notifier);
    sd_event_unref(m->loop);
    (void)close(m->fd);
    (void)unlink(m->path);
    (void)rmdir(m->folder);
    return 0;
}

/* The next message; "" when there is none. */
static const char *next(const Manager *m) {
    static char text[512];
    char control[CMSG_SPACE(8 * sizeof(int))];
    struct iovec io = {.iov_base = text, .iov_len = sizeof(text) - 1};
    struct msghdr message = {
        .msg_iov = &io, .msg_iovlen = 1, .msg_control = control, .msg_controllen = sizeof(control)};
    ssize_t n = recvmsg(m->fd, &message, MSG_CMSG_CLOEXEC);
    struct cmsghdr *c = n >= 0 ? CMSG_FIRSTHDR(&message) : NULL;
    if (c) {
        int fd;
        memcpy(&fd, CMSG_DATA(c), sizeof(fd));
        (void)close(fd);
    }
    text[n > 0 ? n : 0] = '\0';
    return text;
}

static void test_keep_and_release(void **state) {
    const Manager *m = *state;
    FdStore *s = NULL;
    size_t unsent = 0;
    assert_int_equal(fd_store_new(m->notifier, &s), 0);
    /* Before it is sure that we go on nothing is taken out. */
    StoredFd *e = fd_store_known(s, "mpinetd.0", STDIN_FILENO);
    assert_false(stored_fd_goes(e));
    assert_null(stored_fd_release(e));
    assert_string_equal(next(m), "");
    fd_store_begin(s);
    e = fd_store_keep(s, "mpinetd.a", STDIN_FILENO);
    assert_string_equal(next(m), "FDSTORE=1\nFDNAME=mpinetd.a\nFDPOLL=0");
    assert_int_equal(fd_store_count(s, &unsent), 1);
    assert_int_equal(unsent, 0);
    assert_true(stored_fd_goes(e));
    e = stored_fd_release(e);
    assert_string_equal(next(m), "FDSTOREREMOVE=1\nFDNAME=mpinetd.a");
    assert_null(stored_fd_release(e));
    assert_int_equal(fd_store_count(s, &unsent), 0);
    /* What was not wanted goes with all of its name, and what is wanted of it is given again. */
    e = fd_store_known(s, "mpinetd.a", STDIN_FILENO);
    fd_store_forget(s, "mpinetd.a");
    assert_string_equal(next(m), "FDSTOREREMOVE=1\nFDNAME=mpinetd.a");
    assert_string_equal(next(m), "FDSTORE=1\nFDNAME=mpinetd.a\nFDPOLL=0");
    /* Once it is left, nothing is taken out any more. */
    assert_false(stored_fd_stays(e));
    fd_store_leave(s);
    assert_true(stored_fd_stays(e));
    (void)stored_fd_release(e);
    assert_string_equal(next(m), "");
    assert_null(fd_store_keep(s, "mpinetd.b", STDIN_FILENO));
    fd_store_free(s);
}

/* Nobody reads: it is sent later, in its order, and what was given up meanwhile is not sent at all. */
static void test_full_queue(void **state) {
    const Manager *m = *state;
    FdStore *s = NULL;
    enum {
        MANY = 2000
    };
    static StoredFd *entries[MANY];
    size_t unsent = 0, sent = 0;
    char name[32];
    assert_int_equal(fd_store_new(m->notifier, &s), 0);
    for (unsigned i = 0; i < MANY; i++) {
        (void)snprintf(name, sizeof(name), "mpinetd.%u", i);
        entries[i] = fd_store_keep(s, name, STDIN_FILENO);
        assert_non_null(entries[i]);
    }
    assert_int_equal(fd_store_count(s, &unsent), MANY);
    assert_true(unsent > 0);
    notifier_say(m->notifier, "STATUS=a");
    notifier_say(m->notifier, "STATUS=b");
    notifier_say(m->notifier, "READY=1");
    entries[MANY - 1] = stored_fd_release(entries[MANY - 1]);
    size_t ready = 0, status = 0;
    for (unsigned turns = 0; turns < 5000 && unsent > 0; turns++) {
        for (const char *text; *(text = next(m));) {
            ready += streq(text, "READY=1");
            status += strncmp(text, "STATUS=", 7) == 0;
            assert_string_not_equal(text, "STATUS=a");
            if (strncmp(text, "FDSTORE=1", 9) != 0)
                continue;
            (void)snprintf(name, sizeof(name), "FDSTORE=1\nFDNAME=mpinetd.%zu\n", sent++);
            assert_int_equal(strncmp(text, name, strlen(name)), 0);
        }
        (void)sd_event_run(m->loop, 10000);
        (void)fd_store_count(s, &unsent);
    }
    while (*next(m))
        sent++;
    assert_int_equal(sent, MANY - 1);
    assert_int_equal(ready, 1);
    assert_int_equal(status, 1);
    fd_store_free(s);
}

/* Taking out many at once: while nobody reads, what was not taken waits, and goes by itself. */
static void test_many_removed(void **state) {
    const Manager *m = *state;
    FdStore *s = NULL;
    enum {
        MANY = 2000
    };
    static StoredFd *entries[MANY];
    size_t removed = 0;
    char name[32];
    assert_int_equal(fd_store_new(m->notifier, &s), 0);
    fd_store_begin(s);
    for (unsigned i = 0; i < MANY; i++) {
        (void)snprintf(name, sizeof(name), "mpinetd.%u", i);
        entries[i] = fd_store_known(s, name, STDIN_FILENO);
        assert_non_null(entries[i]);
    }
    for (unsigned i = 0; i < MANY; i++)
        entries[i] = stored_fd_release(entries[i]);
    for (unsigned turns = 0; turns < 5000 && removed < MANY; turns++) {
        for (const char *text; *(text = next(m));) {
            (void)snprintf(name, sizeof(name), "mpinetd.%zu", removed++);
            assert_int_equal(strncmp(text, "FDSTOREREMOVE=1\nFDNAME=", 23), 0);
            assert_string_equal(text + 23, name);
        }
        (void)sd_event_run(m->loop, 10000);
    }
    assert_int_equal(removed, MANY);
    fd_store_free(s);
}

static void on_lost(void *userdata) {
    *(bool *)userdata = true;
}

/* One that keeps nothing shows by the probe. */
static void test_probe(void **state) {
    const Manager *m = *state;
    FdStore *s = NULL;
    bool lost = false;
    assert_int_equal(fd_store_new(m->notifier, &s), 0);
    StoredFd *e = fd_store_keep(s, "mpinetd.a", STDIN_FILENO);
    fd_store_watch(s, m->loop, on_lost, &lost);
    assert_string_equal(next(m), "FDSTORE=1\nFDNAME=mpinetd.a\nFDPOLL=0");
    (void)sd_event_run(m->loop, 0);
    assert_false(lost);
    assert_string_equal(next(m), "FDSTORE=1\nFDNAME=mpinetd.probe");
    for (unsigned turns = 0; turns < 100 && !lost; turns++)
        (void)sd_event_run(m->loop, 10000);
    assert_true(lost);
    fd_store_leave(s);
    assert_false(stored_fd_stays(e));
    fd_store_free(s);
}

/* It is gone, and comes back in the same place. */
static void test_gone(void **state) {
    Manager *m = *state;
    struct sockaddr_un a = {.sun_family = AF_UNIX};
    (void)close(m->fd);
    notifier_say(m->notifier, "STATUS=nobody");
    (void)unlink(m->path);
    notifier_say(m->notifier, "STATUS=nothing");
    (void)snprintf(a.sun_path, sizeof(a.sun_path), "%s", m->path);
    m->fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    assert_int_equal(bind(m->fd, (struct sockaddr *)&a, sizeof(a)), 0);
    notifier_say(m->notifier, "STATUS=again");
    assert_string_equal(next(m), "STATUS=again");
    Notifier *n = NULL;
    assert_int_equal(notifier_new(m->loop, "vsock:2:1", &n), -EAFNOSUPPORT);
    assert_int_equal(notifier_send_fd(NULL, "x", -1), -ENOTCONN);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_keep_and_release, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_full_queue, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_many_removed, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_probe, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_gone, set_up, tear_down),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
