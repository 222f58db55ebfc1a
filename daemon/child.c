/* SPDX-License-Identifier: MIT */
#include "daemon/child.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/capability.h>
#include <linux/close_range.h>
#include <linux/prctl.h>
#include <signal.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <time.h>

#include "daemon/child-private.h"
#include "daemon/sandbox.h"

/* dup2(2) does not exist everywhere; a move onto itself only loses close-on-exec. */
static long move_fd(int source, int target) {
    if (source == target)
        return call3(SYS_fcntl, target, F_SETFD, 0);
    return call3(SYS_dup3, source, target, 0);
}

/* Sources that a target would overwrite go above all targets first. */
static long save_sources(ChildPlan *p) {
    for (size_t i = 0; i < p->n_moves; i++) {
        FdMove *move = &p->moves[i];
        if (move->source >= p->first_closed || move->source == move->target)
            continue;
        long fd = call3(SYS_fcntl, move->source, F_DUPFD_CLOEXEC, p->first_closed);
        if (fd < 0)
            return fd;
        for (size_t k = i + 1; k < p->n_moves; k++)
            if (p->moves[k].source == move->source)
                p->moves[k].source = (int)fd;
        move->source = (int)fd;
    }
    return 0;
}

/* The numbers of a connection that is still to come are free, so that it arrives at the first of them: also
 * where resources.nofile leaves room for no other. */
static void free_connection_numbers(const ChildPlan *p) {
    for (size_t i = 0; i < p->wait.n_connection; i++)
        (void)call1(SYS_close, p->wait.connection[i]);
}

/* All that is above what it is to have is not even copied: whatever there is costs nothing. */
static long take_own_files(ChildPlan *p) {
    if (!p->shares_files)
        return 0;
    long r = call3(SYS_close_range, p->highest + 1, ~0U, CLOSE_RANGE_UNSHARE);
    p->has_own_files = r >= 0;
    return r;
}

static long step_fds(ChildPlan *p) {
    long r = take_own_files(p);
    if (r >= 0)
        r = save_sources(p);
    for (size_t i = 0; i < p->n_moves && r >= 0; i++)
        r = move_fd(p->moves[i].source, p->moves[i].target);
    if (r < 0)
        return r;
    r = call3(SYS_close_range, p->first_closed, ~0U, 0);
    /* Kernels before 5.9: all of ours are close-on-exec from birth. */
    if (r < 0 && r != -ENOSYS)
        return r;
    r = 0;
    free_connection_numbers(p);
    const int ending[] = {p->tether, p->sandbox.user_fd, p->sandbox.network_fd, p->sandbox.init_fd};
    for (size_t i = 0; i < sizeof(ending) / sizeof(ending[0]) && r >= 0; i++)
        r = ending[i] >= 0 ? call3(SYS_fcntl, ending[i], F_SETFD, FD_CLOEXEC) : 0;
    p->apart = true;
    return r;
}

/* From the change of user on, whoever has that user may stop us with a signal. Where the daemon waits for
 * exec a timer, which exec removes, ends a child that does not come that far. SIGKILL reaches a stopped
 * process as well. */
static long step_guard(ChildPlan *p) {
    struct sigevent event = {.sigev_notify = SIGEV_SIGNAL, .sigev_signo = SIGKILL};
    struct itimerspec at = {.it_value = {.tv_sec = CHILD_SECONDS_MAX}};
    int id = 0;
    /* Without a timer (RLIMIT_SIGPENDING) it goes on as it is. */
    if (p->guarded && call3(SYS_timer_create, CLOCK_MONOTONIC, (long)&event, (long)&id) >= 0)
        (void)rawcall(SYS_timer_settime, id, 0, (long)&at, 0, 0);
    return 0;
}

/* Where it could not be made there. It has the daemon's descriptors still. */
static long step_cgroup(ChildPlan *p) {
    if (p->cgroup < 0)
        return 0;
    long fd = rawcall(SYS_openat, p->cgroup, (long)"cgroup.procs", O_WRONLY | O_CLOEXEC, 0, 0);
    if (fd < 0)
        return fd;
    long r = call3(SYS_write, fd, (long)"0", 1);
    (void)call1(SYS_close, (int)fd);
    return r < 0 ? r : 0;
}

static long step_session(ChildPlan *p) {
    const uint64_t all = ~(uint64_t)0;
    long r = call0(SYS_setsid);
    /* One of those that dump core would do so with all that is in its memory, before it is closed. */
    if (r >= 0 && p->seclude)
        r = rawcall(SYS_rt_sigprocmask, SIG_SETMASK, (long)&all, 0, sizeof(all), 0);
    return r < 0 ? r : 0;
}

/* Their handling is at its default already, as the daemon sets it at its start. Last of all, so that nothing
 * that is told to the daemon and its processes in common ends one halfway. */
static long step_signals(ChildPlan *p) {
    (void)p;
    uint64_t none = 0;
    return rawcall(SYS_rt_sigprocmask, SIG_SETMASK, (long)&none, 0, sizeof(none), 0);
}

static long set_rlimit(int resource, rlim_t soft, rlim_t hard) {
    struct rlimit limit = {.rlim_cur = soft, .rlim_max = hard};
    return rawcall(SYS_prlimit64, 0, resource, (long)&limit, 0, 0);
}

static long step_rlimits(ChildPlan *p) {
    const ResourceConfig *res = p->resources;
    struct rlimit processes = {0};
    if (p->processes > 0 && rawcall(SYS_prlimit64, 0, RLIMIT_NPROC, 0, (long)&processes, 0) >= 0) {
        long r = set_rlimit(RLIMIT_NPROC, p->processes, processes.rlim_max);
        if (r < 0)
            return r;
    }
    if (p->restore_nofile) {
        long r = set_rlimit(RLIMIT_NOFILE, p->nofile, p->nofile_hard);
        if (r < 0)
            return r;
    }
    if (p->restore_core) {
        long r = set_rlimit(RLIMIT_CORE, p->core, p->core_hard);
        if (r < 0)
            return r;
    }
    for (size_t i = 0; i < res->n_rlimits; i++) {
        long r = set_rlimit(res->rlimits[i].resource, res->rlimits[i].value, res->rlimits[i].value);
        if (r < 0)
            return r;
    }
    return 0;
}

static long open_oom_score(void) {
    static const char path[] = "/proc/self/oom_score_adj";
    long fd = rawcall(SYS_openat, AT_FDCWD, (long)path, O_WRONLY | O_CLOEXEC, 0, 0);
    if (fd != -EACCES)
        return fd;
    /* proc(5): of a process that nobody may look into it belongs to root. This one has memory of its own
     * (flight.c), so that the daemon stays as it is. */
    (void)rawcall(SYS_prctl, PR_SET_DUMPABLE, 1, 0, 0, 0);
    fd = rawcall(SYS_openat, AT_FDCWD, (long)path, O_WRONLY | O_CLOEXEC, 0, 0);
    (void)rawcall(SYS_prctl, PR_SET_DUMPABLE, 0, 0, 0, 0);
    return fd;
}

static long write_oom_score(int value) {
    char digits[12];
    size_t at = sizeof(digits);
    unsigned left = value < 0 ? (unsigned)-value : (unsigned)value;
    do
        digits[--at] = (char)('0' + left % 10);
    while (left /= 10);
    if (value < 0)
        digits[--at] = '-';
    long fd = open_oom_score();
    if (fd < 0)
        return fd;
    long r = call3(SYS_write, fd, (long)(digits + at), (long)(sizeof(digits) - at));
    (void)call1(SYS_close, fd);
    return r < 0 ? r : 0;
}

static long step_priority(ChildPlan *p) {
    const ResourceConfig *res = p->resources;
    long r = 0;
    if (res->has_nice)
        r = call3(SYS_setpriority, PRIO_PROCESS, 0, res->nice);
    if (r >= 0 && res->has_io_priority)
        r = call3(SYS_ioprio_set, 1 /* IOPRIO_WHO_PROCESS */, 0, res->io_priority);
    if (r >= 0 && res->has_cpus)
        r = call3(SYS_sched_setaffinity, 0, sizeof(res->cpus), (long)res->cpus);
    if (r >= 0 && res->has_oom_score_adjust)
        r = write_oom_score(res->oom_score_adjust);
    return r;
}

static long step_root_directory(ChildPlan *p) {
    /* Among the mounts it has its own place. */
    if (!p->root_directory || (p->sandbox.plan && p->sandbox.plan->n_mounts > 0))
        return 0;
    long r = call1(SYS_chroot, (long)p->root_directory);
    /* Nothing may stay open outside: the working directory follows below, from the new root. */
    return r < 0 ? r : call1(SYS_chdir, (long)"/");
}

static long step_umask(ChildPlan *p) {
    return p->set_umask ? (call1(SYS_umask, p->umask), 0) : 0;
}

/* As its user: a folder may be one that only he may enter, or that he may not. */
static long step_working_directory(ChildPlan *p) {
    return p->working_directory ? call1(SYS_chdir, (long)p->working_directory) : 0;
}

static long step_groups(ChildPlan *p) {
    if (!p->change_ids)
        return 0;
    long r = call2(SYS_setgroups, (long)p->n_groups, (long)p->groups);
    return r < 0 ? r : call3(SYS_setresgid, p->gid, p->gid, p->gid);
}

/* capabilities(7): a change from root to another user leaves the inheritable ones, and who has been somebody
 * else from the start hands the ambient ones on to each program. */
static long drop_capabilities(void) {
    struct __user_cap_header_struct header = {.version = _LINUX_CAPABILITY_VERSION_3};
    struct __user_cap_data_struct none[_LINUX_CAPABILITY_U32S_3] = {{0}};
    (void)rawcall(SYS_prctl, PR_CAP_AMBIENT, PR_CAP_AMBIENT_CLEAR_ALL, 0, 0, 0);
    return call2(SYS_capset, (long)&header, (long)none);
}

/* It shares the daemon's memory: whoever has its user may look into neither, whatever fs.suid_dumpable says,
 * which opens it with the change. Until it is closed again, for which that user may make it wait with a
 * signal, it keeps root's capabilities: nobody may look into a process that can do more than he can
 * (ptrace(2)). */
static long change_user(const ChildPlan *p, bool closes) {
    if (closes)
        (void)rawcall(SYS_prctl, PR_SET_KEEPCAPS, 1, 0, 0, 0);
    long r = call3(SYS_setresuid, p->uid, p->uid, p->uid);
    if (closes)
        (void)rawcall(SYS_prctl, PR_SET_DUMPABLE, 0, 0, 0, 0);
    return r;
}

static long step_user(ChildPlan *p) {
    bool closes = p->change_ids && (p->seclude || child_plan_waits(p));
    long r = p->change_ids ? change_user(p, closes) : 0;
    if (r >= 0 && p->sandbox.plan && p->sandbox.plan->limit_capabilities)
        return child_keep_capabilities(p);
    bool drops = p->drop_capabilities || (closes && p->uid != 0);
    return r >= 0 && drops ? drop_capabilities() : r;
}

/* prctl(2): a change of ids forgets it, so it comes behind them. */
static long step_parent(ChildPlan *p) {
    /* Where another one stands between it and the daemon, that is told, and tells it. */
    if (p->parent == 0 || child_has_own_pids(p))
        return 0;
    long r = rawcall(SYS_prctl, PR_SET_PDEATHSIG, SIGTERM, 0, 0, 0);
    /* It may have gone before. */
    if (r >= 0 && call0(SYS_getppid) != p->parent)
        return -ESRCH;
    return r;
}

static long step_sandbox(ChildPlan *p) {
    long r = p->no_new_privileges ? rawcall(SYS_prctl, PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) : 0;
    return r >= 0 && p->sandbox.plan ? child_confine(p) : r;
}

static long take_connection(ChildPlan *p, int fd) {
    bool among = false;
    for (size_t i = 0; i < p->wait.n_connection; i++) {
        long r = move_fd(fd, p->wait.connection[i]);
        if (r < 0)
            return r;
        among |= p->wait.connection[i] == fd;
    }
    if (!among)
        (void)call1(SYS_close, fd);
    p->wait.taken = true;
    return 0;
}

/* The environment stands in memory that is shared with the daemon: only the descriptor has to be passed. The
 * end of the stream is the end of the daemon, or of the need for spares. */
static long step_wait(ChildPlan *p) {
    union {
        struct cmsghdr header;
        char bytes[CMSG_SPACE(sizeof(int))];
    } control;
    control.header = (struct cmsghdr){0};
    char byte = 0;
    struct iovec data = {.iov_base = &byte, .iov_len = 1};
    struct msghdr message = {
        .msg_iov = &data, .msg_iovlen = 1, .msg_control = &control, .msg_controllen = sizeof(control)};
    long n = 0;
    int fd = 0;
    if (!child_plan_waits(p))
        return 0;
    do
        n = call3(SYS_recvmsg, p->tether, (long)&message, 0);
    while (n == -EINTR);
    if (n <= 0)
        return n < 0 ? n : -ECANCELED;
    /* Without room for a descriptor (resources.nofile) it comes without one. */
    if (message.msg_controllen < sizeof(struct cmsghdr) || control.header.cmsg_type != SCM_RIGHTS)
        return -EMFILE;
    memcpy(&fd, CMSG_DATA(&control.header), sizeof(fd));
    return take_connection(p, fd);
}

static long step_exec(ChildPlan *p) {
    if (p->listen_pid) {
        unsigned left = (unsigned)call0(SYS_getpid);
        char digits[11];
        size_t at = sizeof(digits), n = 0;
        do
            digits[--at] = (char)('0' + left % 10);
        while (left /= 10);
        while (at < sizeof(digits))
            p->listen_pid[n++] = digits[at++];
        p->listen_pid[n] = '\0';
    }
    return call3(SYS_execve, (long)p->program, (long)p->argv, (long)p->envp);
}

static const struct {
    SpawnStep step;
    long (*take)(ChildPlan *p);
} steps[] = {
    {STEP_FDS, step_guard},
    {STEP_CGROUP, step_cgroup},
    {STEP_FDS, step_fds},
    {STEP_SESSION, step_session},
    {STEP_RLIMITS, step_rlimits},
    {STEP_PRIORITY, step_priority},
    {STEP_NAMESPACES, child_step_namespaces},
    {STEP_NAMESPACES, child_step_pids},
    {STEP_NAMESPACES, child_step_mounts},
    {STEP_ROOT_DIRECTORY, step_root_directory},
    {STEP_SESSION, step_umask},
    {STEP_NAMESPACES, child_step_users},
    {STEP_SANDBOX, child_step_bounds},
    {STEP_GROUPS, step_groups},
    {STEP_USER, step_user},
    {STEP_WORKING_DIRECTORY, step_working_directory},
    {STEP_SESSION, step_parent},
    {STEP_SANDBOX, step_sandbox},
    {STEP_SESSION, step_signals},
    {STEP_FDS, step_wait},
    {STEP_EXEC, step_exec},
};

/* From @at on. */
static _Noreturn void take_steps(ChildPlan *p, size_t at) {
    for (size_t i = at; i < sizeof(steps) / sizeof(steps[0]); i++) {
        p->step = steps[i].step;
        long r = steps[i].take(p);
        if (r < 0) {
            p->error = (int)-r;
            break;
        }
    }
    child_exit();
}

int child_main(void *plan) {
    take_steps(plan, 0);
}

int child_main_within(void *plan) {
    ChildPlan *p = plan;
    size_t at = 0;
    while (steps[at].take != child_step_pids)
        at++;
    p->step = STEP_SESSION;
    long r = step_session(p);
    if (r < 0) {
        p->error = (int)-r;
        child_exit();
    }
    take_steps(p, at + 1);
}

/* What the service's process becomes as well, so that one who stands beside it is nobody to be asked for
 * more. */
long child_become_user(ChildPlan *p) {
    long r = step_groups(p);
    if (r < 0 || !p->change_ids)
        return r;
    r = change_user(p, true);
    return r < 0 || p->uid == 0 ? r : drop_capabilities();
}
