/* SPDX-License-Identifier: MIT */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include <fcntl.h>
#include <sys/socket.h>

#include "daemon/base/clock.h"
#include "daemon/control-private.h"
#include "daemon/metrics.h"
#include "tests/unit/blob.h"

/* The tags that a test writes by itself. */
enum {
    CLIENT_FD = 1,
    CLIENT_UID = 2,
    CLIENT_WAIT = 13,
    CLIENT_SERVICES = 15,
    CLIENT_VERB = 16,
    CLIENT_ORDERS = 17,
    CLIENT_STREAM = 20,
};

/* Answers each message with itself in brackets. */
typedef struct Fixture {
    sd_event *loop;
    ClientHandler handler;
    Client *client;
    int peer;
    Client *due;
    unsigned gone;
} Fixture;

static int on_message(Client *c, const char *json, size_t n, void *userdata) {
    (void)userdata;
    text_addc(client_out(c), '[');
    text_add_n(client_out(c), json, n);
    text_addc(client_out(c), ']');
    return 0;
}

static void on_turn(Client *c, void *userdata) {
    ((Fixture *)userdata)->due = c;
}

static void on_room(Client *c, void *userdata) {
    (void)c;
    (void)userdata;
}

static void on_gone(Client *c, void *userdata) {
    Fixture *x = userdata;
    x->gone++;
    x->client = client_free(c);
}

static void set_up(Fixture *x) {
    int fds[2];
    *x = (Fixture){0};
    x->handler = (ClientHandler){on_message, on_turn, on_room, on_gone, x};
    assert_true(sd_event_new(&x->loop) >= 0);
    assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0, fds), 0);
    x->peer = fds[1];
    assert_int_equal(client_new(x->loop, fds[0], &x->handler, &x->client), 0);
}

static void tear_down(Fixture *x) {
    client_free(x->client);
    (void)close(x->peer);
    sd_event_unref(x->loop);
}

/* Until there is nothing more to do. */
static void run(Fixture *x) {
    for (;;) {
        Client *due = x->due;
        x->due = NULL;
        if (due)
            client_take_turn(due);
        else if (sd_event_run(x->loop, 0) <= 0)
            return;
    }
}

static void say(const Fixture *x, const char *bytes, size_t n) {
    assert_int_equal(send(x->peer, bytes, n, 0), (ssize_t)n);
}

static void assert_heard(const Fixture *x, const char *expected) {
    char buf[256] = {0};
    ssize_t n = recv(x->peer, buf, sizeof(buf) - 1, MSG_DONTWAIT);
    assert_int_equal(n < 0 ? 0 : n, strlen(expected));
    assert_memory_equal(buf, expected, strlen(expected));
}

/* The one of the old program is gone, with all but its descriptor. */
static void forget(Fixture *x) {
    x->client->asleep = true;
    x->client->fd = -EBADF;
    x->client = client_free(x->client);
}

static void hand_over(Fixture *x) {
    TestBlob b;
    assert_true(client_can_be_saved(x->client));
    test_blob_begin(&b);
    client_save(&b.w, x->client);
    forget(x);
    test_blob_end(&b);
    assert_int_equal(client_restore(b.r, x->loop, &x->handler, &x->client), 0);
    assert_non_null(x->client);
    test_blob_done(&b);
}

static void hand_over_and_resume(Fixture *x) {
    hand_over(x);
    client_resume(x->client);
}

/* Wherever a request is cut in two. */
static void test_half_a_request(void **state) {
    (void)state;
    static const char messages[] = "one\0two\0three";
    for (size_t cut = 0; cut <= sizeof(messages); cut++) {
        Fixture x;
        set_up(&x);
        say(&x, messages, cut);
        run(&x);
        hand_over_and_resume(&x);
        say(&x, messages + cut, sizeof(messages) - cut);
        run(&x);
        assert_heard(&x, "[one][two][three]");
        tear_down(&x);
    }
}

/* What was received and not looked at is looked at. */
static void test_pipelined(void **state) {
    (void)state;
    Fixture x;
    set_up(&x);
    say(&x, "a\0b\0c", 6);
    (void)sd_event_run(x.loop, 0);
    assert_heard(&x, "[a]");
    x.due = NULL;
    hand_over_and_resume(&x);
    assert_ptr_equal(x.due, x.client);
    run(&x);
    assert_heard(&x, "[b][c]");
    /* It sends no more: the answers come all the same, and then it goes. */
    say(&x, "d\0e", 4);
    (void)shutdown(x.peer, SHUT_WR);
    (void)sd_event_run(x.loop, 0);
    x.due = NULL;
    hand_over_and_resume(&x);
    run(&x);
    assert_heard(&x, "[d][e]");
    assert_int_equal(x.gone, 1);
    tear_down(&x);
}

/* More than fits into the socket: nothing is lost, and nothing comes twice. */
static void test_half_a_reply(void **state) {
    (void)state;
    enum {
        N = 1 << 20
    };
    Fixture x;
    char buf[8192];
    size_t got = 0;
    ssize_t n = 0;
    set_up(&x);
    for (size_t i = 0; i < N; i++)
        text_addc(client_out(x.client), (char)('a' + i % 23));
    client_flush(x.client);
    assert_true(client_unsent(x.client) > 0 && client_unsent(x.client) < N);
    for (unsigned turn = 0; got < N; turn++) {
        if (turn % 8 == 0)
            hand_over_and_resume(&x);
        n = recv(x.peer, buf, sizeof(buf), MSG_DONTWAIT);
        assert_true(n > 0);
        for (ssize_t i = 0; i < n; i++)
            assert_int_equal(buf[i], 'a' + got++ % 23);
        run(&x);
    }
    assert_int_equal(client_unsent(x.client), 0);
    assert_null(x.client->stall);
    tear_down(&x);
}

/* Time that was used up stays used up. */
static void test_times(void **state) {
    (void)state;
    Fixture x;
    uint64_t before = 0, after = 0;
    char big[300000] = {0};
    set_up(&x);
    say(&x, "{", 1);
    run(&x);
    assert_int_equal(sd_event_source_get_time(x.client->deadline, &before), 0);
    hand_over_and_resume(&x);
    assert_int_equal(sd_event_source_get_time(x.client->deadline, &after), 0);
    assert_true(before == after);
    assert_null(x.client->stall);
    text_add_n(client_out(x.client), big, sizeof(big));
    client_flush(x.client);
    uint64_t taken = x.client->taken_usec = clock_monotonic_usec() - 5 * USEC_PER_SEC;
    hand_over_and_resume(&x);
    assert_non_null(x.client->stall);
    assert_true(x.client->taken_usec == taken);
    tear_down(&x);
    /* A request that is late by now. */
    set_up(&x);
    say(&x, "{", 1);
    run(&x);
    assert_int_equal(sd_event_source_set_time(x.client->deadline, 1), 0);
    hand_over_and_resume(&x);
    while (x.gone == 0)
        assert_true(sd_event_run(x.loop, 10 * USEC_PER_SEC) > 0);
    tear_down(&x);
}

static void test_call(void **state) {
    (void)state;
    Fixture x;
    set_up(&x);
    Client *c = x.client;
    c->uid = 0;
    c->gid = 4294967294U;
    c->n_groups = 200;
    c->groups = realloc(c->groups, 200 * sizeof(gid_t));
    for (unsigned i = 0; i < 200; i++)
        c->groups[i] = i * i;
    c->wait = WAIT_ORDER;
    c->verb = VERB_DRAIN;
    c->more = true;
    assert_int_equal(strv_push(&c->services, strdup("git")), 0);
    assert_int_equal(strv_push(&c->services, strdup("web")), 0);
    c->orders = calloc(3, sizeof(uint64_t));
    c->orders[1] = 7;
    c->told_mark = 5;
    c->told_usec = 6;
    hand_over(&x);
    c = x.client;
    assert_true(c->uid == 0 && c->gid == 4294967294U && c->n_groups == 200);
    for (unsigned i = 0; i < 200; i++)
        assert_int_equal(c->groups[i], i * i);
    assert_true(c->wait == WAIT_ORDER && c->verb == VERB_DRAIN && c->more && !c->following && !c->stream);
    assert_true(c->orders[0] == 0 && c->orders[1] == 7 && c->told_mark == 5 && c->told_usec == 6);
    assert_true(streq(c->services[0], "git") && streq(c->services[1], "web") && !c->services[2]);
    client_resume(c);
    client_forget_call(c);
    /* Without services there is nothing to wait for, and that is known. */
    c->wait = WAIT_ORDER;
    c->services = calloc(1, sizeof(char *));
    c->orders = calloc(1, sizeof(uint64_t));
    hand_over(&x);
    assert_true(x.client->wait == WAIT_ORDER && !x.client->services[0]);
    client_resume(x.client);
    client_forget_call(x.client);
    x.client->following = true;
    x.client->follow = strdup("web");
    x.client->missed = 3;
    hand_over_and_resume(&x);
    assert_true(x.client->following && x.client->missed == 3 && streq(x.client->follow, "web"));
    tear_down(&x);
}

/* Each wait that one may be saved in is known again, and no other is saved. */
static void test_waits(void **state) {
    (void)state;
    for (ClientWait wait = WAIT_NOTHING; wait <= WAIT_UPGRADE; wait++) {
        Fixture x;
        if (wait == WAIT_ORDER)
            continue;
        set_up(&x);
        x.client->wait = wait;
        hand_over(&x);
        assert_int_equal(x.client->wait, wait);
        x.client->wait = (ClientWait)1000;
        assert_false(client_can_be_saved(x.client));
        x.client->wait = WAIT_NOTHING;
        x.client->failed = true;
        assert_false(client_can_be_saved(x.client));
        tear_down(&x);
    }
}

/* A message that is being read elsewhere is received once more, before what has come behind it. */
static void test_reading(void **state) {
    (void)state;
    Fixture x;
    set_up(&x);
    assert_int_equal(client_keep_reading(x.client, "one", 3), 0);
    say(&x, "two\0thr", 7);
    run(&x);
    assert_heard(&x, "");
    hand_over_and_resume(&x);
    assert_int_equal(x.client->wait, WAIT_NOTHING);
    say(&x, "ee", 3);
    run(&x);
    assert_heard(&x, "[one][two][three]");
    tear_down(&x);
}

/* And when it has been read, in a turn of the client's own. */
static void test_read(void **state) {
    (void)state;
    Fixture x;
    set_up(&x);
    assert_int_equal(client_keep_reading(x.client, "one", 3), 0);
    assert_true(client_is_waiting(x.client));
    say(&x, "two", 4);
    run(&x);
    client_begin_turn(x.client);
    text_add(client_out(x.client), "(one)");
    client_end_turn(x.client);
    run(&x);
    assert_heard(&x, "(one)[two]");
    /* Who has gone meanwhile is not told all the time that he has. */
    assert_int_equal(client_keep_reading(x.client, "three", 5), 0);
    (void)shutdown(x.peer, SHUT_RDWR);
    run(&x);
    assert_non_null(x.client);
    client_begin_turn(x.client);
    client_end_turn(x.client);
    run(&x);
    assert_null(x.client);
    tear_down(&x);
}

/* One that is only tried out leaves the connection as it is, and what lies in it. */
static void test_asleep(void **state) {
    (void)state;
    Fixture x;
    set_up(&x);
    int other = fcntl(x.client->fd, F_DUPFD_CLOEXEC, 3);
    say(&x, "unread", 6);
    hand_over(&x);
    assert_null(x.client->source);
    x.client = client_free(x.client);
    char buf[16];
    assert_int_equal(recv(other, buf, sizeof(buf), MSG_DONTWAIT), 6);
    assert_int_equal(send(x.peer, "on", 2, MSG_NOSIGNAL), 2);
    (void)close(other);
    tear_down(&x);
}

typedef struct OddCase {
    const char *name, *wait, *verb, *part;
    bool services, orders, socket, kept;
} OddCase;

static const OddCase odd[] = {
    {.name = "as it should be",
     .wait = "order",
     .verb = "stop",
     .services = true,
     .orders = true,
     .socket = true,
     .kept = true},
    {.name = "waits for nothing", .socket = true, .kept = true},
    {.name = "without a connection", .wait = "shutdown"},
    {.name = "waits for what is not known", .wait = "godot", .socket = true},
    {.name = "without services", .wait = "order", .verb = "stop", .socket = true},
    {.name = "without orders", .wait = "order", .verb = "stop", .services = true, .socket = true},
    {.name = "more orders than services", .wait = "order", .verb = "stop", .orders = true, .socket = true},
    {.name = "an order that is not known",
     .wait = "order",
     .verb = "dance",
     .services = true,
     .orders = true,
     .socket = true},
    {.name = "a reply that is known", .part = "status", .socket = true, .kept = true},
    {.name = "a reply that is not known", .part = "horoscope", .socket = true},
    {.name = "a reply that says too little", .part = "description", .socket = true},
};

static void put_odd(BlobWriter *w, const OddCase *t, int fd) {
    char git[] = "git", *services[] = {git, NULL};
    const uint64_t orders[] = {7};
    blob_put_fd(w, CLIENT_FD, t->socket ? fd : -EBADF);
    blob_put_str(w, CLIENT_WAIT, t->wait);
    if (t->services)
        blob_put_strv(w, CLIENT_SERVICES, services);
    blob_put_str(w, CLIENT_VERB, t->verb);
    if (t->orders)
        blob_put_u64s(w, CLIENT_ORDERS, orders, 1);
    if (t->part) {
        size_t at = blob_open(w, CLIENT_STREAM);
        blob_put_str(w, 1, t->part);
        blob_close(w, at);
    }
    blob_put_str(w, 500, "from the future");
}

/* He alone loses his connection; and who has no number is nobody. */
static void test_odd(void **state) {
    (void)state;
    for (size_t i = 0; i < ELEMENTS(odd); i++) {
        int fds[2];
        TestBlob b;
        Client *c = NULL;
        assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, fds), 0);
        test_blob_begin(&b);
        put_odd(&b.w, &odd[i], fds[0]);
        test_blob_end(&b);
        assert_int_equal(client_restore(b.r, NULL, NULL, &c), 0);
        if (!c != !odd[i].kept)
            fail_msg("%s", odd[i].name);
        assert_true(!c || c->uid == (uid_t)-1);
        client_free(c);
        if (!odd[i].socket)
            (void)close(fds[0]);
        else
            assert_int_equal(fcntl(fds[0], F_GETFD), -1);
        test_blob_done(&b);
        (void)close(fds[1]);
    }
    /* What is no connection spoils the blob. */
    TestBlob b;
    Client *c = NULL;
    test_blob_begin(&b);
    blob_put_fd(&b.w, CLIENT_FD, open("/dev/null", O_RDONLY | O_CLOEXEC));
    test_blob_end(&b);
    assert_int_equal(client_restore(b.r, NULL, NULL, &c), -EBADMSG);
    assert_null(c);
    test_blob_done(&b);
}

static Stream *stream_over(const Stream *s) {
    Stream *restored = NULL;
    TestBlob b;
    assert_true(stream_can_be_saved(s));
    test_blob_begin(&b);
    stream_save(&b.w, s);
    test_blob_end(&b);
    restored = stream_restore(b.r);
    test_blob_done(&b);
    assert_non_null(restored);
    return restored;
}

static void test_streams(void **state) {
    (void)state;
    static const StreamPart parts[] = {calls_status_part, calls_description_part, calls_instances_part,
                                       calls_events_part, calls_metrics_part,     calls_config_part,
                                       calls_bans_part};
    for (size_t i = 0; i < ELEMENTS(parts); i++) {
        Stream *s = stream_new(parts[i], i % 2);
        s->begun = s->any = s->origin = i % 3;
        s->subject = strdup("web");
        s->last = -1;
        s->next_name = 1;
        s->section = i < metrics_families() ? i : 0;
        s->service = i % 2 ? strdup("git") : NULL;
        s->number = 7;
        s->pid = 8;
        s->last_number = UINT64_MAX;
        assert_int_equal(strv_push(&s->names, strdup("git")), 0);
        assert_int_equal(strv_push(&s->patterns, strdup("g*")), 0);
        Stream *t = stream_over(s);
        assert_true(t->part == s->part && t->more == s->more && t->begun == s->begun && t->any == s->any);
        assert_true(t->origin == s->origin && t->last == -1 && t->next_name == 1 && t->section == s->section);
        assert_true(streq_null(t->service, s->service) && streq(t->subject, "web"));
        assert_true(t->number == 7 && t->pid == 8 && t->last_number == UINT64_MAX);
        assert_true(strv_equal(t->names, s->names) && strv_equal(t->patterns, s->patterns));
        /* The globs are looked at again, from where the stream has them. */
        assert_ptr_equal(t->selection.patterns, t->patterns);
        stream_free(s);
        stream_free(t);
    }
}

/* Nothing is named that is not there. */
static void test_streams_that_are_odd(void **state) {
    (void)state;
    static const struct {
        const char *family;
        uint64_t next_name;
    } cases[] = {{"mpinetd_horoscopes", 0}, {NULL, 2}};
    for (size_t i = 0; i < ELEMENTS(cases); i++) {
        TestBlob b;
        test_blob_begin(&b);
        blob_put_str(&b.w, 1, "metrics");
        blob_put_str(&b.w, 11, cases[i].family);
        blob_put_u64(&b.w, 10, cases[i].next_name);
        test_blob_end(&b);
        assert_null(stream_restore(b.r));
        assert_false(blob_is_spoilt(&b.source));
        test_blob_done(&b);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_half_a_request), cmocka_unit_test(test_pipelined),
        cmocka_unit_test(test_half_a_reply),   cmocka_unit_test(test_times),
        cmocka_unit_test(test_call),           cmocka_unit_test(test_waits),
        cmocka_unit_test(test_reading),        cmocka_unit_test(test_read),
        cmocka_unit_test(test_asleep),         cmocka_unit_test(test_odd),
        cmocka_unit_test(test_streams),        cmocka_unit_test(test_streams_that_are_odd),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
