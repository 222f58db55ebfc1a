/* SPDX-License-Identifier: MIT */
/* The loop, from the first turn to the last. */
#include <string.h>
#include <time.h>

#include "daemon/base/clock.h"
#include "daemon/failed-turns.h"
#include "daemon/launch.h"
#include "daemon/manager-private.h"

/* When the loop is to turn though nothing has happened. */
static uint64_t next_due(const Manager *m, uint64_t now) {
    const uint64_t dues[] = {late_readers_due(&m->rt.late_readers), manager_reap_due(m),
                             launch_due(&m->rt, m->alarm.needless, now)};
    uint64_t due = USEC_INFINITY;
    for (size_t i = 0; i < ELEMENTS(dues); i++)
        due = dues[i] < due ? dues[i] : due;
    return due;
}

/* What is due though nothing may have happened. */
static void do_what_is_due(Manager *m) {
    uint64_t now = 0;
    (void)sd_event_now(m->rt.loop, CLOCK_MONOTONIC, &now);
    late_readers_look(&m->rt.late_readers, now);
    if (manager_reap_due(m) <= now) {
        manager_reap(m);
        manager_finish_if_empty(m);
    }
}

/* As sd_event_run(3), but that it is known who has come to exec before what he writes is read, or that he has
 * ended. */
static int take_turn(Manager *m) {
    uint64_t now = 0;
    (void)sd_event_now(m->rt.loop, CLOCK_MONOTONIC, &now);
    uint64_t due = next_due(m, now);
    if (due > now)
        alarm_set(&m->alarm, due);
    int r = sd_event_prepare(m->rt.loop);
    if (r == 0)
        r = sd_event_wait(m->rt.loop, due > now ? USEC_INFINITY : 0);
    launch_settle_all(&m->rt);
    return r > 0 ? sd_event_dispatch(m->rt.loop) : r;
}

/* A short wait is all that can be done: what lacks is missing for everybody. */
static bool try_again(Manager *m, FailedTurns *failed, int error) {
    FailedTurnVerdict verdict = failed_turns_add(failed, error, clock_monotonic_usec());
    if (verdict.tell)
        eventlog_say(&m->rt.events, LOG_LEVEL_ERROR, "error", "the loop failed: %s", strerror(-error));
    if (!verdict.again)
        return false;
    if (error == -ENOMEM)
        memory_reserve_use(&m->rt.memory);
    (void)nanosleep(&(struct timespec){.tv_nsec = (long)(FAILED_TURN_WAIT_USEC * NSEC_PER_USEC)}, NULL);
    return true;
}

int manager_serve(Manager *m) {
    Logger *logger = m->rt.events.logger;
    FailedTurns failed = {0};
    while (sd_event_get_state(m->rt.loop) != SD_EVENT_FINISHED) {
        logger_flush(logger);
        manager_keep_listeners(m);
        int r = take_turn(m);
        if (r < 0) {
            if (!try_again(m, &failed, r))
                return EXIT_FAILURE;
            continue;
        }
        failed_turns_end(&failed);
        do_what_is_due(m);
    }
    logger_flush(logger);
    return m->exit_status;
}
