/* SPDX-License-Identifier: MIT */
#include "daemon/spawn.h"

#include <fcntl.h>
#include <linux/close_range.h>
#include <stdio.h>
#include <string.h>

#include "daemon/base/cleanup.h"
#include "daemon/base/errors.h"
#include "daemon/base/proc-file.h"
#include "daemon/base/sanitized.h"
#include "daemon/flight.h"
#include "daemon/rawcall.h"

/* PF_FORKNOEXEC of the kernel's sched.h, the same since 2.4. */
#define FORKED_WITHOUT_EXEC 0x40U

/* From such a table of descriptors on it is shared at first; it is looked at now and then. */
#define FILES_MANY 512
#define FILES_LOOK_EACH 1024

static const char *const spawn_step_table[_STEP_MAX] = {
    [STEP_LIMIT] = "limit",
    [STEP_FORK] = "fork",
    [STEP_FDS] = "fds",
    [STEP_SESSION] = "session",
    [STEP_RLIMITS] = "rlimits",
    [STEP_PRIORITY] = "priority",
    [STEP_CGROUP] = "cgroup",
    [STEP_NAMESPACES] = "namespaces",
    [STEP_ROOT_DIRECTORY] = "root_directory",
    [STEP_WORKING_DIRECTORY] = "working_directory",
    [STEP_GROUPS] = "groups",
    [STEP_USER] = "user",
    [STEP_SANDBOX] = "sandbox",
    [STEP_EXEC] = "exec",
};
DEFINE_STRTAB(spawn_step, SpawnStep, spawn_step_table);

static const char *const spawn_mode_table[_SPAWN_MODE_MAX] = {
    [SPAWN_SHARED] = "shared",
    [SPAWN_FILES] = "files",
    [SPAWN_VFORK] = "vfork",
};
DEFINE_STRTAB(spawn_mode, SpawnMode, spawn_mode_table);

/* The value of @name, or NULL. */
static const char *value_of(char *const *env, const char *name) {
    size_t n = strlen(name);
    for (char *const *v = env; v && *v; v++)
        if (strncmp(*v, name, n) == 0 && (*v)[n] == '=')
            return *v + n + 1;
    return NULL;
}

SpawnMode spawn_mode_for(char *const *env, bool sanitized) {
    const char *wanted = value_of(env, "MPINETD_SPAWN"), *preloaded = value_of(env, "LD_PRELOAD");
    int mode = wanted ? spawn_mode_from_string(wanted) : -1;
    if (!RAWCALL_IS_APART)
        return SPAWN_VFORK;
    if (mode >= 0)
        return (SpawnMode)mode;
    /* valgrind ends a program that makes a process in its memory without waiting for it. */
    if (sanitized || (preloaded && strstr(preloaded, "vgpreload")))
        return SPAWN_VFORK;
    return SPAWN_SHARED;
}

const char *spawn_mode_unknown(char *const *env) {
    const char *wanted = value_of(env, "MPINETD_SPAWN");
    return wanted && spawn_mode_from_string(wanted) < 0 ? wanted : NULL;
}

/* FDSize of proc(5): for so many descriptors the kernel has room, and copies as much as is used of it. */
static unsigned long files_size(void) {
    char text[1024];
    CLEANUP_CLOSE int fd = open("/proc/self/status", O_RDONLY | O_CLOEXEC);
    ssize_t n = fd < 0 ? -1 : read(fd, text, sizeof(text) - 1);
    if (n <= 0)
        return 0;
    text[n] = '\0';
    const char *at = strstr(text, "\nFDSize:");
    return at ? strtoul(at + strlen("\nFDSize:"), NULL, 10) : 0;
}

bool spawner_shares_files(Spawner *s) {
    if (!s->can_share || s->mode == SPAWN_VFORK)
        return false;
    if (s->mode == SPAWN_FILES)
        return true;
    /* It grows with what is open, and never shrinks. */
    if (!s->has_many_files && s->n_started++ % FILES_LOOK_EACH == 0)
        s->has_many_files = files_size() > FILES_MANY;
    return s->has_many_files;
}

/* What a process of ours is and where, until that is changed: the daemon never changes it. */
static void learn_surroundings(Spawner *s) {
    uid_t uids[3] = {0};
    gid_t gids[3] = {0};
    char folder[2];
    bool known = getresuid(&uids[0], &uids[1], &uids[2]) == 0 && getresgid(&gids[0], &gids[1], &gids[2]) == 0;
    int n = getgroups(0, NULL);
    s->groups = n >= 0 ? calloc((size_t)n + 1, sizeof(gid_t)) : NULL;
    s->n_groups = s->groups && getgroups(n, s->groups) == n ? (size_t)n : 0;
    s->has_one_id = known && s->groups && uids[0] == uids[1] && uids[1] == uids[2] && gids[0] == gids[1] &&
                    gids[1] == gids[2];
    s->uid = uids[1];
    s->gid = gids[1];
    s->is_limited = geteuid() != 0;
    s->at_root = getcwd(folder, sizeof(folder)) && folder[0] == '/';
}

int spawner_new(char *const *env, Spawner **ret) {
    Spawner *s = calloc(1, sizeof(*s));
    if (!s)
        return -ENOMEM;
    list_init(&s->flying);
    list_init(&s->ahead);
    list_init(&s->free);
    list_init(&s->left);
    list_init(&s->waiting);
    s->mode = spawn_mode_for(env, IS_SANITIZED);
    learn_surroundings(s);
    /* Above the highest number there is nothing to close. */
    s->can_share = syscall(SYS_close_range, ~0U, ~0U, CLOSE_RANGE_UNSHARE) == 0;
    *ret = s;
    return 0;
}

/* Whether each of @groups but @gid is one of @others. */
static bool are_among(const gid_t *groups, size_t n, const gid_t *others, size_t n_others, gid_t gid) {
    for (size_t i = 0; i < n; i++) {
        bool found = groups[i] == gid;
        for (size_t k = 0; k < n_others && !found; k++)
            found = others[k] == groups[i];
        if (!found)
            return false;
    }
    return true;
}

bool spawner_has_ids(const Spawner *s, uid_t uid, gid_t gid, const gid_t *groups, size_t n_groups) {
    return s->has_one_id && uid == s->uid && gid == s->gid &&
           are_among(groups, n_groups, s->groups, s->n_groups, gid) &&
           are_among(s->groups, s->n_groups, groups, n_groups, gid);
}

Spawner *spawner_free(Spawner *s) {
    if (!s)
        return NULL;
    LIST_FOREACH_SAFE (f, &s->free, Flight, link)
        flight_unmap(f);
    LIST_FOREACH_SAFE (f, &s->left, Flight, link)
        if (flight_has_ended(f))
            flight_unmap(f);
    free(s->groups);
    free(s);
    return NULL;
}

int child_plan_move_fd(ChildPlan *plan, int source, int target) {
    if (plan->n_moves == CHILD_FDS_MAX)
        return -E2BIG;
    plan->moves[plan->n_moves++] = (FdMove){.source = source, .target = target};
    if (target >= plan->first_closed)
        plan->first_closed = target + 1;
    return 0;
}

SpawnStep spawn_clone_step(int error, bool into_cgroup) {
    /* clone(2): EAGAIN and ENOSPC are limits of processes, of the user, of the cgroup or of the machine. */
    if (error == EAGAIN || error == ENOSPC)
        return STEP_LIMIT;
    /* The same, CLONE_INTO_CGROUP: it may not be entered, has groups below with controllers, or is gone. */
    bool cgroup = error == EACCES || error == EBUSY || error == EOPNOTSUPP || error == ENODEV ||
                  error == ENOENT || error == EBADF;
    return into_cgroup && cgroup ? STEP_CGROUP : STEP_FORK;
}

bool spawn_came_to_exec(pid_t pid) {
    char text[512];
    if (proc_file_read(pid, "stat", text, sizeof(text)) == 0)
        return true;
    /* proc(5): "pid (comm) state ppid pgrp session tty_nr tpgid flags"; comm may have anything in it. */
    const char *at = strrchr(text, ')');
    unsigned flags = 0;
    return !at || sscanf(at + 1, " %*c %*d %*d %*d %*d %*d %u", &flags) != 1 ||
           !(flags & FORKED_WITHOUT_EXEC);
}

pid_t spawn_parent_of(pid_t pid) {
    char text[512];
    if (proc_file_read(pid, "stat", text, sizeof(text)) == 0)
        return 0;
    const char *at = strrchr(text, ')');
    int parent = 0;
    return at && sscanf(at + 1, " %*c %d", &parent) == 1 ? parent : 0;
}

/* mp-init's cmdline, proc(5): its name, the first process inside, and the service, each with a NUL. */
pid_t spawn_program_of(pid_t outer) {
    char text[64];
    size_t n = proc_file_read(outer, "cmdline", text, sizeof(text));
    if (n == 0)
        return outer;
    const char *first = text + strlen(text) + 1, *end = text + n;
    const char *second = first < end ? first + strlen(first) + 1 : end;
    long pid = second < end ? strtol(second, NULL, 10) : 0;
    return pid > 1 && pid <= INT32_MAX && spawn_parent_of((pid_t)pid) == outer ? (pid_t)pid : outer;
}

bool spawn_is_starved(SpawnStep step, int error) {
    /* execve(2), setuid(2): EAGAIN is the user's limit of processes. Too little memory for a program may be
     * the service's own limit. */
    if (error == EAGAIN)
        return true;
    return (step == STEP_LIMIT || step == STEP_FORK || step == STEP_FDS || step == STEP_NAMESPACES) &&
           errno_is_resource(error);
}
