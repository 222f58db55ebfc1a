/* SPDX-License-Identifier: MIT */
#include "daemon/cgroup-limits.h"

#include <fcntl.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "daemon/base/cleanup.h"
#include "daemon/base/clock.h"
#include "daemon/cgroup-file.h"
#include "daemon/cgroup.h"

/* So long the daemon waits until the other process has set the limit, and that one until all keep to it. */
#define SET_USEC (20 * USEC_PER_MSEC)
#define ASIDE_SECONDS 60

/* The kernel sets the limit first, and then frees what is above it, by swapping and killing if need be, until
 * write(2) returns, or its caller has a signal. Nothing of the daemon's stays open in it. */
static _Noreturn void write_and_end(int fd, const char *value, pid_t parent) {
    sigset_t none;
    /* Nothing of the daemon is left when that has ended. */
    (void)prctl(PR_SET_PDEATHSIG, SIGKILL, 0, 0, 0);
    if (getppid() != parent)
        _exit(1);
    (void)sigemptyset(&none);
    (void)signal(SIGALRM, SIG_DFL);
    (void)sigprocmask(SIG_SETMASK, &none, NULL);
    (void)alarm(ASIDE_SECONDS);
    if (fd != 0)
        (void)dup2(fd, 0);
    errand_close_from(1);
    (void)!write(0, value, strlen(value));
    _exit(0);
}

/* The kernel has it in pages. */
static bool has_limit(int dir, const CgroupSetting *s, uint64_t limit) {
    uint64_t now = cgroup_count(dir, s->file, NULL);
    return now <= limit && limit - now < (uint64_t)sysconf(_SC_PAGESIZE);
}

static bool has_ended(pid_t pid) {
    siginfo_t info = {0};
    return waitid(P_PID, (id_t)pid, &info, WEXITED | WNOHANG | WNOWAIT) == 0 && info.si_pid == pid;
}

/* Whether @pid has set the limit, or is still about to. */
static bool await_limit(int dir, const CgroupSetting *s, uint64_t limit, pid_t pid) {
    static const struct timespec moment = {.tv_nsec = 100000};
    uint64_t until = clock_monotonic_usec() + SET_USEC;
    bool over = false;
    while (!has_limit(dir, s, limit) && !over && clock_monotonic_usec() < until) {
        (void)nanosleep(&moment, NULL);
        over = has_ended(pid);
    }
    return !over || has_limit(dir, s, limit);
}

static int write_aside(int dir, const CgroupSetting *s, uint64_t limit, Errands *errands) {
    CLEANUP_CLOSE int fd = openat(dir, s->file, O_WRONLY | O_CLOEXEC);
    if (fd < 0)
        return -errno;
    pid_t parent = getpid(), pid = fork();
    if (pid == 0)
        write_and_end(fd, s->value, parent);
    if (pid > 0)
        errands_note(errands, pid);
    if (pid > 0 && await_limit(dir, s, limit, pid))
        return 0;
    /* Without one, or where it could not, it is done here, as well as the kernel can without waiting. */
    return cgroup_write(dir, s->file, s->value);
}

/* Whether @s is a limit of memory that is used up by more than it is. */
static bool is_exceeded(int dir, const CgroupSetting *s, uint64_t *ret_limit) {
    if (s->controller != CGROUP_MEMORY || s->lifts || streq(s->file, "memory.oom.group"))
        return false;
    uint64_t used = cgroup_count(dir, "memory.current", NULL);
    *ret_limit = strtoull(s->value, NULL, 10);
    return used != UINT64_MAX && used > *ret_limit;
}

int cgroup_limits_apply(int dir, const CgroupConfig *from, const CgroupConfig *to, bool alone,
                        unsigned enabled, Errands *errands, const char **ret_refused) {
    CgroupSetting settings[CGROUP_SETTINGS_MAX];
    size_t n = cgroup_settings(from, to, alone, settings);
    for (size_t i = 0; i < n; i++) {
        const CgroupSetting *s = &settings[i];
        uint64_t limit = 0;
        if (!(enabled & CGROUP_BIT(s->controller)))
            continue;
        int r = is_exceeded(dir, s, &limit) ? write_aside(dir, s, limit, errands)
                                            : cgroup_write(dir, s->file, s->value);
        /* Before 4.19: without memory.oom.group one process is killed rather than all. */
        bool needless = s->lifts || streq(s->file, "memory.oom.group");
        if (r < 0 && !(r == -ENOENT && needless)) {
            *ret_refused = s->file;
            return r;
        }
    }
    return 0;
}

/* What @dir has of the limit @s, into it; whether that is one. */
static bool take_limit(int dir, CgroupSetting *s) {
    char now[CGROUP_FILE_MAX];
    if (cgroup_read(dir, s->file, now, sizeof(now)) < 0)
        return false;
    /* io.weight: the first line is that of all devices. */
    now[strcspn(now, "\n")] = '\0';
    if (!now[0] || streq(now, s->value) || strlen(now) >= sizeof(s->value))
        return false;
    memcpy(s->value, now, strlen(now) + 1);
    return true;
}

int cgroup_limits_hand_down(int dir, int below, unsigned enabled) {
    CgroupSetting settings[CGROUP_SETTINGS_MAX];
    size_t n = cgroup_settings(&cgroup_limits_unknown, NULL, false, settings);
    for (size_t i = 0; i < n; i++) {
        if (!(enabled & CGROUP_BIT(settings[i].controller)) || !take_limit(dir, &settings[i]))
            continue;
        int r = cgroup_enable(dir, CGROUP_BIT(settings[i].controller));
        if (r >= 0)
            r = cgroup_write(below, settings[i].file, settings[i].value);
        if (r < 0)
            return r;
    }
    return 0;
}
