/* SPDX-License-Identifier: MIT */
/* One direction between two socket pairs, by splice(2), by memory, and by messages. */
#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdint.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>

#include <cmocka.h>

#include "daemon/base/cleanup.h"
#include "services/forward-flow.h"

typedef struct Wire {
    int source; /* the far ends */
    int destination;
    End from, to;
    Flow flow;
    CarrierStock stock;
} Wire;

static void wire_init(Wire *w, int type, bool splices) {
    int in[2], out[2];
    assert_int_equal(socketpair(AF_UNIX, type | SOCK_NONBLOCK | SOCK_CLOEXEC, 0, in), 0);
    assert_int_equal(socketpair(AF_UNIX, type | SOCK_NONBLOCK | SOCK_CLOEXEC, 0, out), 0);
    *w = (Wire){.source = in[0], .destination = out[1]};
    end_init(&w->from, in[1], type);
    end_init(&w->to, out[0], type);
    assert_int_equal(w->from.splice_in, type == SOCK_STREAM);
    w->from.splice_in = w->from.splice_in && splices;
    w->from.readable = w->to.writable = true;
}

static void wire_done(Wire *w) {
    flow_break(&w->flow, &w->stock);
    carrier_stock_done(&w->stock);
    fd_close(w->source);
    fd_close(w->destination);
    fd_close(w->from.fd);
    fd_close(w->to.fd);
}

static FlowStep step(Wire *w) {
    return flow_step(&w->flow, &w->from, &w->to, &w->stock);
}

static void put(const Wire *w, const char *s) {
    assert_int_equal(send(w->source, s, strlen(s), MSG_NOSIGNAL), strlen(s));
}

static void expect(const Wire *w, const char *s) {
    char got[256] = "";
    ssize_t n = recv(w->destination, got, sizeof(got) - 1, 0);
    if (n < 0 || strcmp(got, s) != 0)
        fail_msg("'%s' instead of '%s'", n < 0 ? strerror(errno) : got, s);
}

typedef struct Kind {
    const char *name;
    int type;
    bool splices;
} Kind;

static const Kind kinds[] = {
    {"splice", SOCK_STREAM, true},
    {"memory", SOCK_STREAM, false},
    {"messages", SOCK_SEQPACKET, false},
};

static void test_passes_on(void **state) {
    (void)state;
    for (size_t i = 0; i < ELEMENTS(kinds); i++) {
        Wire w;
        wire_init(&w, kinds[i].type, kinds[i].splices);
        put(&w, "hello");
        assert_int_equal(step(&w), FLOW_WAITS);
        expect(&w, "hello");
        assert_int_equal(w.flow.bytes, 5);
        assert_null(w.flow.carrier);
        w.from.readable = true;
        assert_int_equal(step(&w), FLOW_WAITS);
        assert_false(w.from.readable);
        assert_true(w.to.writable);
        wire_done(&w);
    }
}

/* The end comes after all that came before it, and only once. */
static void test_end(void **state) {
    (void)state;
    for (size_t i = 0; i < ELEMENTS(kinds); i++) {
        Wire w;
        wire_init(&w, kinds[i].type, kinds[i].splices);
        put(&w, "last");
        assert_int_equal(shutdown(w.source, SHUT_WR), 0);
        while (!w.flow.shut) {
            w.from.readable = true;
            assert_int_equal(step(&w), FLOW_WAITS);
        }
        expect(&w, "last");
        expect(&w, "");
        assert_true(w.flow.ended && !w.flow.broken && !w.from.dead);
        assert_int_equal(step(&w), FLOW_WAITS);
        /* The other direction of the same sockets is open. */
        assert_int_equal(send(w.destination, "x", 1, 0), 1);
        wire_done(&w);
    }
}

/* A destination that takes nothing holds the source up: what is between stays bounded, and all of it arrives.
 */
static void test_slow(void **state) {
    (void)state;
    for (size_t i = 0; i < 2; i++) {
        Wire w;
        wire_init(&w, SOCK_STREAM, kinds[i].splices);
        static unsigned char block[65536];
        size_t sent = 0, got = 0;
        int full = 0;
        while (full < 3) {
            for (size_t at = 0; at < sizeof(block); at++)
                block[at] = (unsigned char)((sent + at) % 251);
            ssize_t n = send(w.source, block, sizeof(block), MSG_NOSIGNAL);
            if (n > 0)
                sent += (size_t)n;
            else
                full++;
            w.from.readable = true;
            (void)step(&w);
            assert_true(!w.flow.carrier || w.flow.carrier->waiting <= CARRIER_PIPE_BYTES);
        }
        assert_false(w.to.writable);
        assert_true(sent < (4U << 20));
        shutdown(w.source, SHUT_WR);
        for (ssize_t n = 1; n != 0;) {
            n = recv(w.destination, block, sizeof(block), 0);
            for (ssize_t at = 0; at < n; at++)
                assert_int_equal(block[at], (got + (size_t)at) % 251);
            got += n > 0 ? (size_t)n : 0;
            w.from.readable = w.to.writable = true;
            (void)step(&w);
        }
        assert_int_equal(got, sent);
        wire_done(&w);
    }
}

/* When the destination is gone, what still comes is taken and thrown away, up to its end. */
static void test_broken(void **state) {
    (void)state;
    for (size_t i = 0; i < ELEMENTS(kinds); i++) {
        Wire w;
        wire_init(&w, kinds[i].type, kinds[i].splices);
        w.destination = fd_close(w.destination);
        put(&w, "for nobody");
        (void)step(&w);
        assert_true(w.flow.broken);
        assert_null(w.flow.carrier);
        for (int more = 0; more < 3; more++) {
            put(&w, "more");
            w.from.readable = true;
            (void)step(&w);
        }
        assert_int_equal(w.flow.bytes, 0);
        shutdown(w.source, SHUT_WR);
        w.from.readable = true;
        (void)step(&w);
        assert_true(w.flow.ended && !w.flow.shut);
        wire_done(&w);
    }
}

/* The close that follows tells the end: no shutdown(2) is needed. */
static void test_last(void **state) {
    (void)state;
    Wire w;
    wire_init(&w, SOCK_STREAM, true);
    w.flow.last = true;
    put(&w, "last");
    shutdown(w.source, SHUT_WR);
    (void)step(&w);
    assert_true(w.flow.shut);
    expect(&w, "last");
    char c;
    assert_int_equal(recv(w.destination, &c, 1, 0), -1);
    assert_int_equal(errno, EAGAIN);
    wire_done(&w);
}

static void test_prepend(void **state) {
    (void)state;
    for (size_t i = 0; i < 2; i++) {
        Wire w;
        wire_init(&w, SOCK_STREAM, kinds[i].splices);
        put(&w, "client");
        assert_int_equal(flow_prepend(&w.flow, &w.stock, (const unsigned char *)"header ", 7), 0);
        (void)step(&w);
        expect(&w, "header client");
        wire_done(&w);
    }
}

/* Each message stays one, also the longest; one that is longer ends the flow. */
static void test_messages(void **state) {
    (void)state;
    Wire w;
    wire_init(&w, SOCK_SEQPACKET, false);
    put(&w, "one");
    put(&w, "two");
    (void)step(&w);
    expect(&w, "one");
    expect(&w, "two");
    const int size = 1 << 20;
    (void)setsockopt(w.source, SOL_SOCKET, SO_SNDBUFFORCE, &size, sizeof(size));
    static unsigned char large[CARRIER_MESSAGE_BYTES + 1];
    if (send(w.source, large, sizeof(large), MSG_NOSIGNAL) > 0) { /* not every user may send so much */
        w.from.readable = true;
        (void)step(&w);
        assert_true(w.flow.ended && w.from.dead);
    }
    wire_done(&w);
}

/* Many small pieces in one wake-up: others get their turn. */
static void test_turns(void **state) {
    (void)state;
    Wire w;
    wire_init(&w, SOCK_SEQPACKET, false);
    int sent = 0;
    while (sent < 100 && send(w.source, "x", 1, MSG_NOSIGNAL) > 0)
        sent++;
    int turns = 1;
    while (step(&w) == FLOW_MORE)
        turns++;
    assert_true(turns > 1);
    wire_done(&w);
}

/* A destination that splice(2) does not know: what is in the pipe goes on as memory. A file opened to append
 * is one; that send(2) refuses it too is the end of the flow here. */
static void test_no_splice(void **state) {
    (void)state;
    Wire w;
    wire_init(&w, SOCK_STREAM, true);
    int socket = w.to.fd;
    w.to.fd = memfd_create("appended", MFD_CLOEXEC);
    assert_true(w.to.fd >= 0);
    assert_int_equal(fcntl(w.to.fd, F_SETFL, O_APPEND), 0);
    put(&w, "data");
    (void)step(&w);
    assert_false(w.to.splice_out);
    assert_true(w.flow.broken);
    assert_int_equal(w.stock.n_memories, 1);
    fd_close(socket);
    wire_done(&w);
}

/* Carriers come from the stock and go back to it, empty ones only. */
static void test_stock(void **state) {
    (void)state;
    CarrierStock stock = {0};
    Carrier *pipe = carrier_take(&stock, true), *memory = carrier_take(&stock, false);
    assert_non_null(pipe);
    assert_non_null(memory);
    assert_null(pipe->data);
    assert_non_null(memory->data);
    carrier_give_back(&stock, pipe);
    carrier_give_back(&stock, memory);
    assert_ptr_equal(carrier_take(&stock, true), pipe);
    assert_ptr_equal(carrier_take(&stock, false), memory);
    pipe->waiting = 1;
    carrier_give_back(&stock, pipe);
    assert_int_equal(stock.n_pipes, 0);
    memory->waiting = 1;
    carrier_give_back(&stock, memory);
    assert_int_equal(stock.memories->waiting, 0);
    carrier_stock_done(&stock);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_passes_on), cmocka_unit_test(test_end),   cmocka_unit_test(test_slow),
        cmocka_unit_test(test_broken),    cmocka_unit_test(test_last),  cmocka_unit_test(test_prepend),
        cmocka_unit_test(test_messages),  cmocka_unit_test(test_turns), cmocka_unit_test(test_no_splice),
        cmocka_unit_test(test_stock),
    };
    /* As in the forwarder: splice(2) cannot be told not to raise it. */
    if (signal(SIGPIPE, SIG_IGN) == SIG_ERR)
        return 1;
    return cmocka_run_group_tests(tests, NULL, NULL);
}
