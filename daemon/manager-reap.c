/* SPDX-License-Identifier: MIT */
/* Reaping. Signals do not queue: one SIGCHLD may stand for many children, and names one of them. To ask the
 * kernel for any child that has ended has it look through all of them, which takes 70 us where 2,000 are
 * running: so where there are many, the one that was named and the newest are asked for by their numbers, and
 * all of them a little later. */
#include <signal.h>
#include <sys/signalfd.h>
#include <sys/wait.h>

#include "daemon/base/clock.h"
#include "daemon/manager-private.h"

/* Up to so many are looked through each time: it costs no more than two calls do. */
#define REAP_MANY 64
#define REAP_ALL_USEC (20 * USEC_PER_MSEC)

/* @pid has ended, how wait4(2) tells; whether it has been taken. @by_itself: it was not a signal that ended
 * it, so that it has come to exec, or said why not. */
static bool take_end(Manager *m, pid_t pid, bool by_itself) {
    int status = 0;
    struct rusage usage;
    Instance *i = instance_table_find(&m->rt.instances, pid);
    if (i && !by_itself)
        i->before_exec = !spawn_came_to_exec(pid);
    if (wait4(pid, &status, WNOHANG, &usage) <= 0)
        return false;
    if (!i && (errands_on_end(&m->rt.errands, pid) || helpers_on_end(&m->helpers, pid, status)))
        return true;
    if (!i) {
        m->strangers++; /* as PID 1: somebody's orphan */
        return true;
    }
    Service *s = i->service;
    service_on_instance_end(s, i, status, &usage);
    if (service_is_over(s))
        (void)sd_event_source_set_enabled(m->sweep, SD_EVENT_ONESHOT);
    return true;
}

/* One of those that @type and @id stand for; whether there was one. */
static bool reap_one(Manager *m, idtype_t type, id_t id) {
    siginfo_t ended = {0};
    if (waitid(type, id, &ended, WEXITED | WNOHANG | WNOWAIT) < 0 || ended.si_pid <= 0)
        return false;
    return take_end(m, ended.si_pid, ended.si_code == CLD_EXITED);
}

void manager_reap(Manager *m) {
    while (reap_one(m, P_ALL, 0))
        continue;
    m->reaped_usec = clock_monotonic_usec();
    m->reap_again = false;
}

uint64_t manager_reap_due(const Manager *m) {
    return m->reap_again ? m->reaped_usec + REAP_ALL_USEC : USEC_INFINITY;
}

/* Most of those that end at the same time have begun at the same time, not long ago. */
static void reap_newest(Manager *m) {
    pid_t newest[INSTANCES_NEWEST];
    size_t n = instance_table_newest(&m->rt.instances, newest);
    for (size_t i = 0; i < n; i++)
        (void)reap_one(m, P_PID, (id_t)newest[i]);
}

void manager_on_child(Manager *m, const struct signalfd_siginfo *si) {
    pid_t pid = (pid_t)si->ssi_pid;
    bool many = m->rt.instances.n > REAP_MANY;
    /* Who was named may have been reaped since, together with an earlier one. */
    if (pid > 0 && si->ssi_code == CLD_EXITED)
        (void)take_end(m, pid, true);
    else if (pid > 0 && many)
        (void)reap_one(m, P_PID, (id_t)pid);
    if (many) {
        reap_newest(m);
        m->reap_again = true;
    } else {
        manager_reap(m);
    }
}
