/* SPDX-License-Identifier: MIT */
/* What the kernel is asked about connections, and what it tells of them, over a hand-over in its midst. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <netinet/in.h>
#include <sys/socket.h>

#include "daemon/ending.h"
#include "daemon/idle-connection.h"
#include "tests/unit/daemon/side.h"

/* Said: which ones they are stands beside it. */
static char *words[] = {NULL};

/* Both ends of a connection over TCP. */
static void connect_pair(int ret[2]) {
    struct sockaddr_in a = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t n = sizeof(a);
    CLEANUP_CLOSE int listener = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    assert_int_equal(bind(listener, (struct sockaddr *)&a, n), 0);
    assert_int_equal(listen(listener, 1), 0);
    assert_int_equal(getsockname(listener, (struct sockaddr *)&a, &n), 0);
    ret[0] = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    assert_int_equal(connect(ret[0], (struct sockaddr *)&a, n), 0);
    ret[1] = accept4(listener, NULL, NULL, SOCK_CLOEXEC);
    assert_true(ret[1] >= 0);
}

/* False where the kernel does not tell of ends. */
static bool move_traffic(Side *from, Side *to) {
    Handover h, again;
    BlobReader r = {0};
    handover_begin(&h);
    traffic_save(&h.w, from->rt.traffic);
    bool tells = h.w.n_fds == 1;
    assert_true(handover_turn(&h, &r));
    assert_int_equal(traffic_restore(r, to->rt.traffic), 0);
    handover_begin(&again);
    traffic_save(&again.w, to->rt.traffic);
    assert_true(handover_is_same(&h, &again));
    handover_end(&again);
    handover_end(&h);
    return tells;
}

static void wait_for(Side *side, const char *what) {
    uint64_t end = clock_monotonic_usec() + 10 * USEC_PER_SEC;
    while (!strstr(side->heard, what) && clock_monotonic_usec() < end)
        assert_true(sd_event_run(side->rt.loop, USEC_PER_SEC / 10) >= 0);
    if (!strstr(side->heard, what))
        fail_msg("heard: %s", side->heard);
}

/* An end that the kernel tells of while nobody reads it is known afterwards. */
static void test_end_in_between(void **state) {
    Side from, to;
    int pair[2];
    SockName name;
    (void)state;
    side_init(&from);
    side_init(&to);
    traffic_set_wanted(from.rt.traffic, true);
    connect_pair(pair);
    assert_int_equal(sock_query_name(from.rt.sockets, pair[1], &name), 0);
    Instance *i = add_instance(&from, INSTANCE_RUNNING);
    i->flow = flow_new(from.rt.traffic, &name);
    i->counts_traffic = true;
    assert_non_null(i->flow);
    bool tells = move_traffic(&from, &to);
    assert_int_equal(write(pair[0], "12345", 5), 5);
    char buf[8];
    assert_int_equal(read(pair[1], buf, sizeof(buf)), 5);
    assert_int_equal(write(pair[1], "123", 3), 3);
    assert_int_equal(read(pair[0], buf, sizeof(buf)), 3);
    (void)close(pair[0]);
    (void)close(pair[1]);
    Instance *got = move(i, &to);
    assert_non_null(got);
    if (!got) /* an optimising gcc does not know that the assertion does not return */
        return;
    assert_non_null(got->flow);
    assert_true(got->counts_traffic);
    struct rusage usage = {0};
    LogFacts *log = &to.terms.log;
    log->success = words;
    log->success_facts = LOG_FACT_BIT(LOG_FACT_EXIT) | LOG_FACT_BIT(LOG_FACT_TRAFFIC);
    service_tell_end(&to.s, got, 0, EXIT_OK, 1, &usage);
    wait_for(&to, tells ? "ended:ended: exit 0, 5 B in, 3 B out|" : "ended:ended: exit 0, traffic unknown|");
    side_done(&from);
    side_done(&to);
}

/* One that has ended, and whose traffic is still to be told, is told by the next program, and once. */
static void test_ending(void **state) {
    Side from, to;
    struct rusage usage = {.ru_utime.tv_sec = 2, .ru_maxrss = 1 << 30};
    (void)state;
    side_init(&from);
    side_init(&to);
    traffic_set_wanted(from.rt.traffic, true);
    Instance *i = add_instance(&from, INSTANCE_STOPPING);
    int pair[2];
    SockName name;
    connect_pair(pair);
    assert_int_equal(sock_query_name(from.rt.sockets, pair[1], &name), 0);
    /* There is none of that number: the kernel will never tell. */
    name.cookie = UINT64_MAX - 1;
    name.inet.idiag_cookie[0] = (uint32_t)name.cookie;
    name.inet.idiag_cookie[1] = UINT32_MAX;
    i->flow = flow_new(from.rt.traffic, &name);
    i->counts_traffic = true;
    i->peer = peer_from_uid(1000);
    i->timed_out = TIMEOUT_LIFETIME;
    from.terms.log.failure = to.terms.log.failure = words;
    from.terms.log.failure_facts = to.terms.log.failure_facts =
        LOG_FACT_BIT(LOG_FACT_EXIT) | LOG_FACT_BIT(LOG_FACT_TRAFFIC) | LOG_FACT_BIT(LOG_FACT_CPU) |
        LOG_FACT_BIT(LOG_FACT_MEMORY) | LOG_FACT_BIT(LOG_FACT_DURATION);
    service_tell_end(&from.s, i, 15, EXIT_TIMEOUT, 3 * USEC_PER_SEC, &usage);
    Handover h, again;
    BlobReader r = {0};
    bool tells = move_traffic(&from, &to);
    handover_begin(&h);
    service_save_endings(&h.w, &from.s);
    assert_true(handover_turn(&h, &r));
    assert_int_equal(service_restore_endings(r, &to.s), 0);
    handover_begin(&again);
    service_save_endings(&again.w, &to.s);
    assert_true(handover_is_same(&h, &again));
    handover_end(&again);
    handover_end(&h);
    static const char line[] =
        "ended:ended: killed by SIGTERM after 3.0 s (timeouts.lifetime), traffic unknown, cpu 2.0 s, memory "
        "1.0 TiB|";
    assert_int_equal(traffic_is_awaited(to.rt.traffic), tells);
    if (tells)
        wait_for(&to, line);
    else
        wait_for(&from, line);
    assert_true(list_is_empty(&to.s.endings));
    (void)close(pair[0]);
    (void)close(pair[1]);
    side_done(&from);
    side_done(&to);
}

/* Those that wait are told in the order of their times, whatever the order in which they come. */
static void test_order(void **state) {
    Side to;
    (void)state;
    side_init(&to);
    uint64_t now = clock_monotonic_usec();
    static const unsigned msec[] = {30, 10, 20};
    for (size_t k = 0; k < ELEMENTS(msec); k++) {
        Handover h;
        BlobReader r = {0};
        handover_begin(&h);
        size_t one = blob_open(&h.w, 1), at = blob_open(&h.w, 1);
        ending_save(&h.w, &(Ending){.result = EXIT_FAILED, .status = (int)msec[k] << 8, .pid = PID});
        blob_close(&h.w, at);
        at = blob_open(&h.w, 2);
        sock_name_put(&h.w, 1, &(SockName){.family = AF_INET, .cookie = k});
        blob_put_u64(&h.w, 6, now + msec[k] * USEC_PER_MSEC);
        blob_close(&h.w, at);
        blob_close(&h.w, one);
        assert_true(handover_turn(&h, &r));
        assert_int_equal(service_restore_endings(r, &to.s), 0);
        handover_end(&h);
    }
    wait_for(&to, "exit 30");
    const char *first = strstr(to.heard, "exit 10"), *second = strstr(to.heard, "exit 20");
    assert_true(first && second && first < second && second < strstr(to.heard, "exit 30"));
    side_done(&to);
}

static void test_idle_connection(void **state) {
    Side from, to;
    int pair[2];
    SockName name;
    (void)state;
    side_init(&from);
    side_init(&to);
    from.terms.timeout_idle_usec = to.terms.timeout_idle_usec = USEC_PER_SEC / 5;
    connect_pair(pair);
    assert_int_equal(sock_query_name(from.rt.sockets, pair[1], &name), 0);
    Instance *i = add_instance(&from, INSTANCE_RUNNING);
    uint64_t began = clock_monotonic_usec();
    assert_int_equal(idle_connection_new(i, &name, &i->idle), 0);
    Instance *got = move(i, &to);
    assert_non_null(got);
    if (!got) /* an optimising gcc does not know that the assertion does not return */
        return;
    assert_non_null(got->idle);
    uint64_t end = clock_monotonic_usec() + 10 * USEC_PER_SEC;
    while (got->timed_out == TIMEOUT_NONE && clock_monotonic_usec() < end)
        assert_true(sd_event_run(to.rt.loop, USEC_PER_SEC / 10) >= 0);
    assert_int_equal(got->timed_out, TIMEOUT_IDLE);
    assert_true(clock_monotonic_usec() - began >= USEC_PER_SEC / 5);
    (void)close(pair[0]);
    (void)close(pair[1]);
    side_done(&from);
    side_done(&to);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_end_in_between),
        cmocka_unit_test(test_ending),
        cmocka_unit_test(test_order),
        cmocka_unit_test(test_idle_connection),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
