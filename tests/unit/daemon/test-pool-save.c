/* SPDX-License-Identifier: MIT */
/* A pool, its board, its workers and the connections that it holds, saved in one runtime and restored in
 * another. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <sys/mman.h>
#include <sys/socket.h>

#include "daemon/handoff.h"
#include "tests/unit/daemon/side.h"

/* Both with a pool. */
static void begin(Side *from, Side *to) {
    Side *const sides[] = {from, to};
    for (size_t i = 0; i < ELEMENTS(sides); i++) {
        side_init(sides[i]);
        sides[i]->config.model = MODEL_POOL;
        sides[i]->terms.pool = (PoolConfig){1, 8, 1, 4, 0, POOL_HANDOFF_CONNECTION};
        sides[i]->s.pool = &sides[i]->pool;
    }
}

static void end(Side *from, Side *to) {
    handoff_drop_held(&from->pool);
    handoff_drop_held(&to->pool);
    side_done(from);
    side_done(to);
    env_builder_done(&from->rt.env);
}

static int move_pool(Side *from, Side *to) {
    Handover h, again;
    BlobReader r = {0};
    handover_begin(&h);
    pool_save(&h.w, &from->pool);
    assert_true(handover_turn(&h, &r));
    int e = pool_restore(r, &to->pool);
    handover_begin(&again);
    pool_save(&again.w, &to->pool);
    if (e >= 0 && !handover_is_same(&h, &again))
        fail_msg("the pool has changed on its way");
    handover_end(&again);
    handover_end(&h);
    return e;
}

static Instance *add_worker(Side *side) {
    Instance *i = add_instance(side, INSTANCE_RUNNING);
    int its_end;
    i->worker = worker_new(&side->pool);
    assert_non_null(i->worker);
    assert_int_equal(handoff_open(i->worker, &its_end), 0);
    return i;
}

/* A connection by TCP that ends here; its other end is the caller's. */
static void pass_one(Side *side, Instance *to, uint16_t port, int *ret_other) {
    int pair[2];
    assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair), 0);
    Connection c = {.fd = pair[0]};
    c.remote.len = c.local.len = sizeof(c.remote.in);
    c.remote.in = (struct sockaddr_in){.sin_family = AF_INET, .sin_port = htons(port)};
    c.remote.in.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    c.local.in = c.remote.in;
    assert_int_equal(handoff_pass(&side->pool, to, &c), 0);
    (void)close(pair[0]);
    *ret_other = pair[1];
}

/* As the worker does: a descriptor, with its variables in @text. */
static int receive(const Worker *w, char *text, size_t size) {
    union {
        struct cmsghdr header;
        char bytes[CMSG_SPACE(sizeof(int))];
    } control = {0};
    struct iovec iov = {.iov_base = text, .iov_len = size - 1};
    struct msghdr m = {.msg_iov = &iov,
                       .msg_iovlen = 1,
                       .msg_control = control.bytes,
                       .msg_controllen = sizeof(control.bytes)};
    ssize_t n = recvmsg(w->its_fd, &m, MSG_DONTWAIT | MSG_CMSG_CLOEXEC);
    int fd = -EBADF;
    text[n < 0 ? 0 : n] = '\0';
    const struct cmsghdr *c = n > 0 ? CMSG_FIRSTHDR(&m) : NULL;
    if (c)
        memcpy(&fd, CMSG_DATA(c), sizeof(fd));
    return fd;
}

static void test_pool(void **state) {
    Side from, to;
    (void)state;
    begin(&from, &to);
    Pool *p = &from.pool;
    p->n_started = 40;
    p->n_died = 2;
    p->pace = (PoolPace){.batch = 8, .next_usec = 1234567};
    p->backoff = (Backoff){.window_start_usec = 1, .charged = 6, .level = 3, .until_usec = 4};
    p->starved = 2;
    p->start_failed = p->roll = p->full = p->drained = p->blocked = true;
    p->full_usec = 99;
    p->drain_starts = 2;
    p->delayed = true;
    uint64_t later = LATER, usec = 0;
    assert_true(sd_event_add_time(from.rt.loop, &p->delay_timer, CLOCK_MONOTONIC, later, 0, NULL, NULL) >= 0);
    assert_int_equal(move_pool(&from, &to), 0);
    const Pool *q = &to.pool;
    assert_true(q->n_started == 40 && q->n_died == 2 && q->pace.batch == 8 && q->pace.next_usec == 1234567);
    assert_true(q->backoff.charged == 6 && q->backoff.level == 3 && q->backoff.until_usec == 4);
    assert_true(q->starved == 2 && q->full_usec == 99 && q->drain_starts == 2);
    assert_true(q->start_failed && q->roll && q->full && q->drained && q->blocked && q->delayed);
    assert_true(sd_event_source_get_time(q->delay_timer, &usec) >= 0 && usec == later);
    assert_true(!q->board && !q->look_timer && list_is_empty(&q->held));
    end(&from, &to);
}

static void test_board(void **state) {
    Side from, to;
    (void)state;
    begin(&from, &to);
    assert_int_equal(scoreboard_new(&from.pool.board), 0);
    Instance *workers[3], *moved[3];
    for (size_t k = 0; k < ELEMENTS(workers); k++) {
        workers[k] = add_worker(&from);
        workers[k]->worker->slot = scoreboard_take(from.pool.board);
        score_write(scoreboard_slot(from.pool.board, workers[k]->worker->slot), &(Score){.active = k});
    }
    /* The one in the middle is gone: its place is free on the other side, too. */
    instance_table_remove(&from.rt.instances, workers[1]);
    instance_free(workers[1]);
    assert_int_equal(move_pool(&from, &to), 0);
    assert_non_null(to.pool.board);
    for (size_t k = 0; k < ELEMENTS(workers); k += 2) {
        moved[k] = move(workers[k], &to);
        assert_non_null(moved[k]);
        assert_ptr_equal(moved[k]->worker->pool, &to.pool);
        assert_int_equal(moved[k]->worker->slot, workers[k]->worker->slot);
    }
    /* It is the same memory. */
    Score score = {0};
    score_write(scoreboard_slot(from.pool.board, 2), &(Score){.active = 17});
    assert_true(score_read(scoreboard_slot(to.pool.board, 2), &score));
    assert_int_equal(score.active, 17);
    assert_int_equal(scoreboard_take(to.pool.board), 1);
    assert_int_equal(scoreboard_take(to.pool.board), 3);
    end(&from, &to);
}

/* A board that somebody could make shorter, or that has another layout, is not read. */
static void test_other_board(void **state) {
    Side from, to;
    (void)state;
    begin(&from, &to);
    Instance *i = add_worker(&from);
    i->worker->slot = 5;
    Handover h;
    BlobReader r = {0};
    handover_begin(&h);
    CLEANUP_CLOSE int fd = memfd_create("test", MFD_CLOEXEC);
    assert_int_equal(ftruncate(fd, (off_t)(SCOREBOARD_SLOTS * SCORE_BYTES)), 0);
    blob_put_fd(&h.w, 1, fd);
    blob_put_u64(&h.w, 2, SCORE_BYTES);
    assert_true(handover_turn(&h, &r));
    assert_int_equal(scoreboard_restore(r, &to.pool.board), 0);
    assert_null(to.pool.board);
    handover_end(&h);
    /* Who has a part of it is replaced. */
    handover_begin(&h);
    instance_save(&h.w, i);
    assert_true(handover_turn(&h, &r));
    Instance *got = NULL;
    assert_int_equal(instance_restore(r, &to.rt, &to.s, &got), 0);
    assert_int_equal(got->worker->slot, -1);
    assert_true(got->worker->old && !i->worker->old);
    handover_end(&h);
    end(&from, &to);
}

/* What a worker has not received is neither passed twice nor lost. */
static void test_handoff(void **state) {
    Side from, to;
    char text[1024];
    int others[4];
    (void)state;
    begin(&from, &to);
    Instance *i = add_worker(&from), *second;
    for (size_t k = 0; k < ELEMENTS(others); k++)
        pass_one(&from, i, (uint16_t)(4000 + k), &others[k]);
    CLEANUP_CLOSE int first = receive(i->worker, text, sizeof(text));
    assert_true(first >= 0);
    assert_non_null(strstr(text, "TCPREMOTEPORT=4000\n"));
    assert_int_equal(move_pool(&from, &to), 0);
    Instance *got = move(i, &to);
    assert_non_null(got);
    Worker *w = got->worker;
    assert_true(w->sent == 4 && w->sent_since == 4);
    assert_false(handoff_is_received(w));
    handoff_take_back(&to.pool, w);
    assert_true(handoff_is_received(w));
    assert_int_equal(receive(i->worker, text, sizeof(text)), -EBADF);
    /* They are held, and go to the next one: over another upgrade. */
    Side then;
    side_init(&then);
    then.s.pool = &then.pool;
    assert_int_equal(move_pool(&to, &then), 0);
    second = add_worker(&then);
    second->report = malloc(sizeof(Report));
    report_init(second->report);
    second->report->active = 0;
    second->report->capacity = 10;
    assert_true(handoff_pass_held(&then.pool));
    for (size_t k = 1; k < ELEMENTS(others); k++) {
        char expected[64], byte = 0;
        CLEANUP_CLOSE int fd = receive(second->worker, text, sizeof(text));
        (void)snprintf(expected, sizeof(expected), "TCPREMOTEPORT=%zu\n", 4000 + k);
        assert_non_null(strstr(text, expected));
        assert_int_equal(write(others[k], "x", 1), 1);
        assert_int_equal(read(fd, &byte, 1), 1);
    }
    assert_int_equal(service_past(&then.s)->counters.gone, 0);
    side_done(&then);
    end(&from, &to);
    for (size_t k = 0; k < ELEMENTS(others); k++)
        (void)close(others[k]);
}

static void test_worker(void **state) {
    Side from, to;
    (void)state;
    begin(&from, &to);
    Instance *i = add_worker(&from);
    Worker *w = i->worker;
    w->number = 9;
    w->max_requests = 100;
    w->old = w->old_by_order = w->replaces = w->retired = w->scores = true;
    w->received = 3;
    w->unread_usec = 4;
    w->stuck_until_usec = 5;
    w->retired_usec = 6;
    w->message_size = 7;
    handoff_close(w);
    const Instance *got = move(i, &to);
    assert_non_null(got);
    const Worker *v = got->worker;
    assert_true(v->number == 9 && v->max_requests == 100 && v->received == 3 && v->unread_usec == 4);
    assert_true(v->stuck_until_usec == 5 && v->retired_usec == 6 && v->message_size == 7 && v->slot == -1);
    assert_true(v->old && v->old_by_order && v->replaces && v->retired && v->scores);
    /* That it gets nothing more is a fact of the socket. */
    assert_int_equal(send(v->fd, "x", 1, MSG_NOSIGNAL), -1);
    /* A service without a pool has no workers. */
    to.s.pool = NULL;
    i->pid++;
    assert_null(move(i, &to));
    end(&from, &to);
}

/* A descriptor that is something else spoils the blob. */
static void test_wrong_descriptor(void **state) {
    Side from, to;
    (void)state;
    begin(&from, &to);
    Instance *i = add_worker(&from);
    CLEANUP_CLOSE int null = open("/dev/null", O_RDWR | O_CLOEXEC);
    assert_int_equal(dup3(null, i->worker->its_fd, O_CLOEXEC), i->worker->its_fd);
    assert_null(move(i, &to));
    assert_int_equal(to.rt.instances.n, 0);
    i->worker->its_fd = fd_close(i->worker->its_fd);
    assert_null(move(i, &to));
    end(&from, &to);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_pool),        cmocka_unit_test(test_board),
        cmocka_unit_test(test_other_board), cmocka_unit_test(test_handoff),
        cmocka_unit_test(test_worker),      cmocka_unit_test(test_wrong_descriptor),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
