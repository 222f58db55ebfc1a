/* SPDX-License-Identifier: MIT */
/* Endpoints in their long form. */
#include "conf/listen.h"

#include <setjmp.h>
#include <stdarg.h>
#include <string.h>

#include <cmocka.h>

#include "daemon/base/text.h"
#include "fixture.h"

#define LONG(options) "    listen: [{endpoint: tcp:7007, " options "}]"
#define LONG_UNIX(options) "    listen: [{endpoint: unix:/run/x.sock, " options "}]"

static void test_listen(void **state) {
    Fixture *f = *state;
    (void)fixture_load_service(
        f, "    listen:\n"
           "      - tcp:7007\n"
           "      - endpoint: tcp:[::1]:7008\n"
           "        name: web\n        backlog: 5\n        device: lo\n"
           "        freebind: true\n        reuse_port: on\n        only_v6: true\n"
           "        nodelay: false\n        keepalive: {idle: 1m, interval: 10, count: 5}\n"
           "        defer_accept: 5s\n        fast_open: 16\n        mark: 4294967295\n"
           "        receive_buffer: 64K\n        send_buffer: 4096\n"
           "      - {endpoint: unix:/run/x.sock, mode: 0600, user: 5, group: 6,\n"
           "         remove_on_stop: false}\n"
           "      - {endpoint: tcp:7009, keepalive: {}}");
    const ServiceConfig *s = fixture_service(f, "listen", "s");
    assert_int_equal(s->n_listen, 4);
    const ListenConfig *l = &s->listen[0];
    assert_string_equal(l->name, "s");
    assert_int_equal(l->backlog, -1);
    assert_int_equal(l->nodelay, -1);
    assert_int_equal(l->mark, -1);
    assert_true(!l->keepalive && !l->freebind && !l->reuse_port && !l->device);
    l = &s->listen[1];
    assert_string_equal(l->endpoint.text, "tcp:[::1]:7008");
    assert_string_equal(l->name, "web");
    assert_string_equal(l->device, "lo");
    assert_int_equal(l->backlog, 5);
    assert_true(l->freebind && l->reuse_port && l->only_v6 && l->keepalive);
    assert_int_equal(l->nodelay, 0);
    assert_int_equal(l->keepalive_idle_sec, 60);
    assert_int_equal(l->keepalive_interval_sec, 10);
    assert_int_equal(l->keepalive_count, 5);
    assert_int_equal(l->defer_accept_sec, 5);
    assert_int_equal(l->fast_open, 16);
    assert_true(l->mark == 4294967295);
    assert_int_equal(l->receive_buffer, 65536);
    assert_int_equal(l->send_buffer, 4096);
    assert_int_equal(l->pos.line, 8);
    l = &s->listen[2];
    assert_string_equal(l->endpoint.path, "/run/x.sock");
    assert_int_equal(l->mode, 0600);
    assert_int_equal(l->user, 5);
    assert_int_equal(l->group, 6);
    assert_false(l->remove_on_stop);
    assert_true(s->listen[3].keepalive);
    assert_int_equal(s->listen[3].keepalive_idle_sec, -1);
}

static void test_listen_refused(void **state) {
    static const struct {
        const char *body, *codes, *text;
    } cases[] = {
        {"    listen: {endpoint: tcp:7}", "", NULL},
        /* One that is wrong is left out of what is looked at next. */
        {"    listen: [{endpoint: tcp:7, backlog: 0}, {endpoint: tcp:7, backlog: 0}]",
         "out-of-range out-of-range", NULL},
        {"    listen: [{endpoint: udp:7, backlog: 5}, tcp:7]", "conflict", "does not fit a udp endpoint"},
        {"    listen: [{backlog: 5}]", "missing-key", "the long form of listen needs 'endpoint'"},
        {"    listen: [{}]", "missing-key", "write: endpoint: tcp:PORT"},
        {"    listen: [{endpoint: [tcp:7]}]", "wrong-type", "listen.endpoint takes"},
        {LONG("backlg: 5"), "unknown-key", "did you mean 'backlog'?"},
        {LONG("backlog: 0"), "out-of-range", "listen.backlog"},
        {LONG("mode: 0600"), "conflict", "'mode' does not fit a tcp endpoint"},
        {LONG("only_v6: true"), "conflict", "it has a socket for each family anyway"},
        {LONG("only_v6: false"), "", NULL},
        {LONG("max_messages: 5"), "conflict", "'max_messages' does not fit a tcp endpoint"},
        {LONG("name: a:b"), "bad-value", "listen.name"},
        {LONG("name: \"\""), "bad-value", "listen.name"},
        {LONG("device: a23456789b123456"), "out-of-range", "longer than 15 bytes"},
        {LONG("keepalive: {idle: 1500ms}"), "bad-value", "only whole seconds"},
        {LONG("keepalive: {count: 128}"), "out-of-range", "listen.keepalive.count"},
        {LONG("keepalive: 5"), "wrong-type", "listen.keepalive"},
        {LONG("mark: 4294967296"), "out-of-range", "listen.mark"},
        {LONG("receive_buffer: 2G"), "out-of-range", "listen.receive_buffer"},
        {LONG_UNIX("mode: 0600"), "", NULL},
        {LONG_UNIX("backlog: 5"), "", NULL},
        {LONG_UNIX("nodelay: true"), "conflict", "'nodelay' does not fit a unix endpoint"},
        {LONG_UNIX("keepalive: {idle: 5}"), "conflict", "'keepalive' does not fit a unix endpoint"},
        {"    listen: [{endpoint: unix:@x, mode: 0600}]", "conflict", "an abstract socket has no node"},
        {"    listen: [{endpoint: udp:7, backlog: 5}]", "conflict", "'backlog' does not fit a udp endpoint"},
        {"    listen: [{endpoint: tcp:127.0.0.1:7, only_v6: true}]", "conflict", "it is no IPv6 address"},
        {"    listen: [{endpoint: fifo:/x, message_size: 10}]", "conflict", "does not fit a fifo endpoint"},
        {"    listen: [{endpoint: fifo:/x, backlog: 10}]", "conflict", "does not fit a fifo endpoint"},
        {"    listen: [{endpoint: mqueue:/x, max_messages: 0}]", "out-of-range", "max_messages"},
        {"    listen: [{endpoint: mqueue:/x, max_messages: 65537}]", "out-of-range", "max_messages"},
        {"    listen: [{endpoint: mqueue:/x, message_size: 17M}]", "out-of-range", "message_size"},
        {"    listen: [{endpoint: vsock:any:80, mode: \"0600\"}]", "conflict",
         "does not fit a vsock endpoint"},
        {"    listen: [{endpoint: systemd:web, backlog: 5}]", "conflict", "does not fit a systemd endpoint"},
    };
    Fixture *f = *state;
    for (size_t i = 0; i < ELEMENTS(cases); i++) {
        (void)fixture_load_service(f, cases[i].body);
        fixture_expect(f, cases[i].body, cases[i].codes, cases[i].text);
    }
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, fixture_setup, fixture_teardown)

int main(void) {
    const struct CMUnitTest tests[] = {TEST(test_listen), TEST(test_listen_refused)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
