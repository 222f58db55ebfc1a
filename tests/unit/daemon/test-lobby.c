/* SPDX-License-Identifier: MIT */
/* Listeners that nobody has come to yet, by pipes. */
#include "daemon/lobby.h"

#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <sys/epoll.h>
#include <unistd.h>

#include <cmocka.h>

#include "daemon/base/cleanup.h"
#include "daemon/listener.h"

/* What a call finds by its listener. */
typedef struct Door {
    Listener listener; /* the first */
    Lobby *lobby;
    struct Door *other; /* taken out together with it */
    int read_fd, write_fd;
    unsigned calls;
    uint32_t revents;
} Door;

static void on_call(Listener *l, uint32_t revents) {
    Door *d = (Door *)(void *)l;
    d->calls++;
    d->revents = revents;
    lobby_remove(d->lobby, d->read_fd);
    if (d->other)
        lobby_remove(d->lobby, d->other->read_fd);
}

static void open_door(Door *d, Lobby *lobby) {
    int fds[2];
    assert_int_equal(pipe2(fds, O_CLOEXEC | O_NONBLOCK), 0);
    *d = (Door){.lobby = lobby, .read_fd = fds[0], .write_fd = fds[1]};
    assert_int_equal(lobby_add(lobby, d->read_fd, &d->listener), 0);
}

static void run(sd_event *loop) {
    while (sd_event_run(loop, 0) > 0)
        continue;
}

static void test_lobby(void **state) {
    (void)state;
    sd_event *loop = NULL;
    Lobby *lobby = NULL;
    Door doors[4];
    assert_true(sd_event_new(&loop) >= 0);
    assert_int_equal(lobby_new(loop, on_call, &lobby), 0);
    for (size_t i = 0; i < ELEMENTS(doors); i++)
        open_door(&doors[i], lobby);
    assert_int_equal(lobby_add(lobby, doors[0].read_fd, &doors[0].listener), -EEXIST);
    run(loop);
    for (size_t i = 0; i < ELEMENTS(doors); i++)
        assert_int_equal(doors[i].calls, 0);
    /* All that have something are called, but for one that another has taken away before its turn. */
    for (size_t i = 0; i < 3; i++)
        assert_int_equal(write(doors[i].write_fd, "x", 1), 1);
    doors[0].other = &doors[1];
    doors[1].other = &doors[0];
    run(loop);
    assert_int_equal(doors[0].calls + doors[1].calls, 1);
    assert_int_equal(doors[2].calls, 1);
    assert_int_equal(doors[2].revents, EPOLLIN);
    assert_int_equal(doors[3].calls, 0);
    /* What else may happen. */
    doors[3].write_fd = fd_close(doors[3].write_fd);
    run(loop);
    assert_int_equal(doors[3].calls, 1);
    assert_true(doors[3].revents & EPOLLHUP);
    for (size_t i = 0; i < ELEMENTS(doors); i++) {
        (void)fd_close(doors[i].read_fd);
        (void)fd_close(doors[i].write_fd);
    }
    lobby_free(lobby);
    assert_null(lobby_free(NULL));
    sd_event_unref(loop);
}

int main(void) {
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_lobby)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
