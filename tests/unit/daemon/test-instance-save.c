/* SPDX-License-Identifier: MIT */
/* Instances with all that belongs to them, saved in one runtime and restored in another. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <signal.h>
#include <sys/socket.h>
#include <sys/un.h>

#include "daemon/base/text.h"
#include "tests/unit/daemon/side.h"

static uint64_t time_of(sd_event_source *source) {
    uint64_t usec = 0;
    assert_non_null(source);
    assert_true(sd_event_source_get_time(source, &usec) >= 0);
    return usec;
}

static void test_plain(void **state) {
    Side from, to;
    (void)state;
    side_init(&from);
    side_init(&to);
    Instance *i = add_instance(&from, INSTANCE_STOPPING);
    uint64_t later = LATER;
    i->number = 41;
    i->generation = 2;
    i->asked = i->told_ready = i->stray = i->waits = i->answered = i->unready = true;
    i->timed_out = TIMEOUT_LIFETIME;
    i->retired_at = 12;
    i->alive_usec = 5;
    i->quiet_usec = 6;
    i->role = ROLE_FORWARD;
    i->peer = peer_from_uid(1000);
    i->groups = calloc(2, sizeof(gid_t));
    i->groups[0] = 1000;
    i->groups[1] = 27;
    i->n_groups = 2;
    i->uid = 33;
    i->own_pids = true;
    assert_int_equal(instance_set_timer(i, TIMER_KILL, later), 0);
    Instance *got = move(i, &to);
    assert_non_null(got);
    assert_true(got->uid == 33 && got->own_pids);
    assert_int_equal(got->number, 41);
    assert_int_equal(to.rt.next_instance, 41);
    assert_int_equal(got->generation, 2);
    assert_int_equal(got->pid, i->pid);
    assert_ptr_equal(instance_table_find(&to.rt.instances, i->pid), got);
    assert_int_equal(got->state, INSTANCE_STOPPING);
    assert_int_equal(got->role, ROLE_FORWARD);
    assert_int_equal(got->timed_out, TIMEOUT_LIFETIME);
    assert_true(got->asked && got->told_ready && got->stray && got->waits && got->answered && got->unready);
    assert_false(got->only_told || got->untold || got->counts_traffic);
    assert_true(got->retired_at == 12 && got->alive_usec == 5 && got->quiet_usec == 6);
    assert_true(got->started_usec == i->started_usec);
    assert_true(got->started_realtime_usec == i->started_realtime_usec);
    assert_true(peer_equal(&got->peer, &i->peer));
    assert_int_equal(got->n_groups, 2);
    assert_true(got->groups[0] == 1000 && got->groups[1] == 27);
    assert_int_equal(got->timer_is, TIMER_KILL);
    assert_true(time_of(got->timer) == later);
    assert_null(got->watch);
    assert_true(to.s.n_instances == 1 && to.s.n_starting == 1 && to.s.n_strays == 1);
    assert_true(to.s.backend.n_waiting == 1 && to.s.backend.n_processes == 0);
    side_done(&from);
    side_done(&to);
}

/* Which timers there are in which state of life. */
static void test_timers(void **state) {
    static const struct {
        InstanceState state;
        InstanceTimer timer;
        InstanceWatch watch;
    } cases[] = {
        {INSTANCE_RUNNING, TIMER_NONE, WATCH_NONE},      {INSTANCE_RUNNING, TIMER_LIFETIME, WATCH_ALIVE},
        {INSTANCE_STARTING, TIMER_NONE, WATCH_START},    {INSTANCE_STARTING, TIMER_LIFETIME, WATCH_CLOSED},
        {INSTANCE_STOPPING, TIMER_LIFETIME, WATCH_NONE}, {INSTANCE_STOPPING, TIMER_KILL, WATCH_NONE},
    };
    (void)state;
    for (size_t k = 0; k < ELEMENTS(cases); k++) {
        Side from, to;
        side_init(&from);
        side_init(&to);
        Instance *i = add_instance(&from, cases[k].state);
        uint64_t one = LATER, other = one + 1000;
        if (cases[k].timer)
            assert_int_equal(instance_set_timer(i, cases[k].timer, one), 0);
        if (cases[k].watch)
            assert_int_equal(instance_set_watch(i, cases[k].watch, other), 0);
        const Instance *got = move(i, &to);
        assert_non_null(got);
        if (!got) /* an optimising gcc does not know that the assertion does not return */
            return;
        assert_int_equal(got->state, cases[k].state);
        assert_int_equal(got->timer_is, cases[k].timer);
        assert_int_equal(got->watch_is, cases[k].watch);
        if (cases[k].timer)
            assert_true(time_of(got->timer) == one);
        if (cases[k].watch)
            assert_true(time_of(got->watch) == other);
        side_done(&from);
        side_done(&to);
    }
}

/* Half a line is read before, the rest after; what is not read yet stays in the pipe. */
static void test_half_lines(void **state) {
    Side from, to;
    int err[2], status[2];
    (void)state;
    side_init(&from);
    side_init(&to);
    assert_int_equal(pipe2(err, O_CLOEXEC), 0);
    assert_int_equal(pipe2(status, O_CLOEXEC), 0);
    Instance *i = add_instance(&from, INSTANCE_RUNNING);
    assert_int_equal(instance_read_pipes(i, err[0], status[0]), 0);
    assert_int_equal(write(err[1], "one\nha", 6), 6);
    assert_int_equal(write(status[1], "REQUESTS=3\nACT", 14), 14);
    run(&from);
    assert_string_equal(from.heard, "stderr:one|");
    assert_int_equal(write(err[1], "lf\nfd=3\n", 8), 8);
    assert_int_equal(write(status[1], "IVE=2\nREQUESTS=4\n", 17), 17);
    Instance *got = move(i, &to);
    assert_non_null(got);
    assert_int_equal(got->report->requests, 3);
    run(&to);
    assert_string_equal(to.heard, "stderr:half|stderr:fd=3|");
    assert_int_equal(got->report->requests, 4);
    assert_int_equal(got->report->active, 2);
    assert_int_equal(got->report->malformed, 0);
    /* The end of the pipes is seen when the last one has closed them. */
    (void)close(err[1]);
    (void)close(status[1]);
    run(&to);
    assert_true(!got->stderr_pipe && !got->status_pipe);
    side_done(&from);
    side_done(&to);
}

/* What a process says is data: it comes out as it went in, or not at all. */
static void test_report(void **state) {
    static const char nasty[] = "ok\xc3\xa9\rfd=3\x1b]0;x \"}],\\";
    Side from, to;
    int status[2];
    (void)state;
    side_init(&from);
    side_init(&to);
    assert_int_equal(pipe2(status, O_CLOEXEC), 0);
    Instance *i = add_instance(&from, INSTANCE_RUNNING);
    assert_int_equal(instance_read_pipes(i, -EBADF, status[0]), 0);
    CLEANUP_TEXT Text text = {0};
    text_addf(&text, "STATUS=%s\nX_A=1.5\nX_B_2=-3e8\nQUEUED=7\nCAPACITY=9\nERRNO=2\nSTOPPING=1\n", nasty);
    assert_int_equal(write(status[1], text.s, text.len), text.len);
    assert_int_equal(write(status[1], "STATUS=a\0b\nnonsense\n", 20), 20);
    run(&from);
    assert_int_equal(i->report->malformed, 2);
    const Instance *got = move(i, &to);
    assert_non_null(got);
    const Report *r = got->report;
    assert_string_equal(r->status, nasty);
    assert_int_equal(r->n_metrics, 2);
    assert_string_equal(r->metrics[0].name, "A");
    assert_string_equal(r->metrics[1].name, "B_2");
    assert_true(r->metrics[0].value == 1.5 && r->metrics[1].value == -3e8);
    assert_true(r->queued == 7 && r->capacity == 9 && r->error == 2 && r->active == -1 && r->requests == -1);
    assert_true(r->stopping && !r->ready && !r->reloading);
    assert_true(r->lines == i->report->lines && r->malformed == 2);
    (void)close(status[1]);
    side_done(&from);
    side_done(&to);
}

static void test_notify(void **state) {
    Side from, to;
    (void)state;
    side_init(&from);
    side_init(&to);
    Instance *i = add_instance(&from, INSTANCE_RUNNING);
    instance_table_remove(&from.rt.instances, i);
    i->pid = getpid();
    assert_int_equal(instance_table_add(&from.rt.instances, i), 0);
    instance_know_config(i);
    assert_int_equal(instance_open_notify(i), 0);
    assert_int_equal(instance_read_pipes(i, -EBADF, -EBADF), 0);
    const char *name = notify_socket_name(i->notify);
    struct sockaddr_un sun = {.sun_family = AF_UNIX};
    memcpy(sun.sun_path + 1, name + 1, strlen(name) - 1);
    CLEANUP_CLOSE int fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    socklen_t n = (socklen_t)(offsetof(struct sockaddr_un, sun_path) + strlen(name));
    assert_int_equal(connect(fd, (struct sockaddr *)&sun, n), 0);
    assert_int_equal(write(fd, "ACTIVE=4", 8), 8);
    run(&from);
    assert_int_equal(i->report->active, 4);
    assert_int_equal(write(fd, "ACTIVE=5", 8), 8);
    /* One that only proves that it can leaves everything there. */
    Side proof;
    side_init(&proof);
    assert_non_null(move(i, &proof));
    side_done(&proof);
    Instance *got = move(i, &to);
    assert_non_null(got);
    assert_string_equal(notify_socket_name(got->notify), name);
    assert_int_equal(got->report->active, 4);
    instance_resume(got);
    run(&to);
    assert_int_equal(got->report->active, 5);
    side_done(&from);
    side_done(&to);
}

static void test_ghosts(void **state) {
    Side from, to;
    int err[2];
    (void)state;
    side_init(&from);
    side_init(&to);
    assert_int_equal(pipe2(err, O_CLOEXEC), 0);
    Instance *ghost = add_instance(&from, INSTANCE_GHOST), *none = add_instance(&from, INSTANCE_SPAWN_FAILED);
    assert_int_equal(instance_read_pipes(ghost, err[0], -EBADF), 0);
    none->pid = PID + 5;
    Instance *got = move(ghost, &to);
    assert_non_null(got);
    assert_int_equal(got->state, INSTANCE_GHOST);
    assert_non_null(move(none, &to));
    assert_int_equal(to.rt.instances.n, 1);
    assert_int_equal(instance_table_find(&to.rt.instances, PID + 5)->state, INSTANCE_SPAWN_FAILED);
    assert_true(to.s.n_instances == 0 && list_is_empty(&to.s.instances));
    assert_int_equal(write(err[1], "last\n", 5), 5);
    (void)close(err[1]);
    run(&to);
    assert_string_equal(to.heard, "stderr:last|");
    /* It went with its pipe. */
    assert_int_equal(LIST_ENTRY(to.s.ghosts.next, Instance, link)->state, INSTANCE_SPAWN_FAILED);
    side_done(&from);
    side_done(&to);
}

static void test_source_and_slot(void **state) {
    Side from, to;
    Peer prefix = peer_from_uid(1000);
    (void)state;
    side_init(&from);
    side_init(&to);
    Instance *i = add_instance(&from, INSTANCE_RUNNING);
    i->source = sources_visit(from.rt.sources, 7, &prefix, 1);
    sources_hold(from.rt.sources, i->source);
    i->slot = &from.slots[1];
    from.slots[1].instance = i;
    Instance *got = move(i, &to);
    assert_non_null(got);
    assert_int_equal(got->source->active, 1);
    assert_true(got->source == sources_find(to.rt.sources, 7, &prefix));
    assert_ptr_equal(got->slot, &to.slots[1]);
    assert_ptr_equal(to.slots[1].instance, got);
    assert_null(to.slots[0].instance);
    /* The slot is taken, and so is the process. */
    assert_null(move(i, &to));
    i->slot = NULL;
    assert_null(move(i, &to));
    assert_int_equal(to.s.n_instances, 1);
    assert_int_equal(got->source->active, 1);
    to.slots[1].instance = from.slots[1].instance = NULL;
    side_done(&from);
    side_done(&to);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_plain),           cmocka_unit_test(test_timers),
        cmocka_unit_test(test_half_lines),      cmocka_unit_test(test_report),
        cmocka_unit_test(test_notify),          cmocka_unit_test(test_ghosts),
        cmocka_unit_test(test_source_and_slot),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
