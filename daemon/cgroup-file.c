/* SPDX-License-Identifier: MIT */
#include "daemon/cgroup-file.h"

#include <dirent.h>
#include <fcntl.h>
#include <signal.h>
#include <string.h>
#include <sys/stat.h>

#include "daemon/base/cleanup.h"
#include "daemon/base/text.h"
#include "daemon/cgroup-text.h"

/* So often the processes of a group are moved before it is given up: each time there are those that have been
 * forked meanwhile. */
#define MOVE_ROUNDS 32
/* Groups have few below them. */
#define DEPTH_MAX 4

int cgroup_open(int at, const char *name) {
    int fd = openat(at, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
    return fd < 0 ? -errno : fd;
}

int cgroup_make(int at, const char *name, bool *ret_new) {
    bool is_new = mkdirat(at, name, 0755) == 0;
    if (!is_new && errno != EEXIST)
        return -errno;
    if (ret_new)
        *ret_new = is_new;
    return cgroup_open(at, name);
}

int cgroup_read(int dir, const char *file, char *buf, size_t size) {
    CLEANUP_CLOSE int fd = openat(dir, file, O_RDONLY | O_CLOEXEC);
    ssize_t n = fd < 0 ? -1 : read(fd, buf, size - 1);
    if (n < 0)
        return -errno;
    buf[n] = '\0';
    return (int)n;
}

/* cgroup-v2.rst, memory.max: without O_NONBLOCK who lowers it waits until what is above is free. */
int cgroup_write(int dir, const char *file, const char *value) {
    CLEANUP_CLOSE int fd = openat(dir, file, O_WRONLY | O_CLOEXEC | O_NONBLOCK);
    if (fd < 0 || write(fd, value, strlen(value)) < 0)
        return -errno;
    return 0;
}

uint64_t cgroup_count(int dir, const char *file, const char *key) {
    char text[CGROUP_FILE_MAX];
    if (cgroup_read(dir, file, text, sizeof(text)) < 0)
        return UINT64_MAX;
    if (key)
        return cgroup_parse_count(text, key);
    return text[0] >= '0' && text[0] <= '9' ? strtoull(text, NULL, 10) : UINT64_MAX;
}

bool cgroup_is_populated(int dir) {
    return cgroup_count(dir, "cgroup.events", "populated") == 1;
}

/* Processes */

int cgroup_each(int dir, CgroupEach each, void *userdata) {
    CLEANUP_CLOSE int fd = openat(dir, "cgroup.procs", O_RDONLY | O_CLOEXEC);
    CLEANUP_FCLOSE FILE *f = fd < 0 ? NULL : fdopen(fd, "re");
    int n = 0;
    long long pid;
    if (!f)
        return -errno;
    (void)TAKE_FD(fd);
    while (fscanf(f, "%lld", &pid) == 1) {
        int r = each((pid_t)pid, userdata);
        if (r < 0)
            return r;
        n++;
    }
    return ferror(f) ? -EIO : n;
}

static int move(pid_t pid, void *userdata) {
    char text[16];
    (void)snprintf(text, sizeof(text), "%d", (int)pid);
    int r = cgroup_write(*(int *)userdata, "cgroup.procs", text);
    /* It has ended meanwhile; or it is seen in no other way, and cannot be moved. */
    return r == -ESRCH ? 0 : r;
}

int cgroup_move_all(int from, int to) {
    for (unsigned round = 0; round < MOVE_ROUNDS; round++) {
        int r = cgroup_each(from, move, &to);
        if (r <= 0)
            return r;
    }
    return -EBUSY;
}

static int send_to(pid_t pid, void *userdata) {
    if (pid > 1)
        (void)kill(pid, *(int *)userdata);
    return 0;
}

/* Below */

typedef struct Below {
    int signal;
    unsigned depth;
} Below;

void cgroup_each_group(int dir, void (*each)(int dir, const char *name, void *userdata), void *userdata) {
    int fd = openat(dir, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    DIR *d = fd < 0 ? NULL : fdopendir(fd);
    if (!d) {
        (void)fd_close(fd);
        return;
    }
    for (const struct dirent *e = readdir(d); e; e = readdir(d))
        if (e->d_type == DT_DIR && e->d_name[0] != '.')
            each(dir, e->d_name, userdata);
    (void)closedir(d);
}

static void signal_below(int dir, const char *name, void *userdata) {
    Below *b = userdata;
    CLEANUP_CLOSE int fd = cgroup_open(dir, name);
    if (fd < 0 || b->depth == DEPTH_MAX)
        return;
    b->depth++;
    (void)cgroup_each(fd, send_to, &b->signal);
    cgroup_each_group(fd, signal_below, b);
    b->depth--;
}

void cgroup_signal(int dir, int signal) {
    Below b = {.signal = signal};
    (void)cgroup_each(dir, send_to, &signal);
    cgroup_each_group(dir, signal_below, &b);
}

void cgroup_kill(int dir) {
    if (cgroup_write(dir, "cgroup.kill", "1") >= 0)
        return;
    /* Who is frozen forks no more, and takes SIGKILL nevertheless. */
    (void)cgroup_write(dir, "cgroup.freeze", "1");
    cgroup_signal(dir, SIGKILL);
    (void)cgroup_write(dir, "cgroup.freeze", "0");
}

static void remove_below(int dir, const char *name, void *userdata) {
    unsigned *depth = userdata;
    if (*depth == DEPTH_MAX)
        return;
    CLEANUP_CLOSE int fd = cgroup_open(dir, name);
    (*depth)++;
    if (fd >= 0)
        cgroup_each_group(fd, remove_below, depth);
    (*depth)--;
    (void)unlinkat(dir, name, AT_REMOVEDIR);
}

int cgroup_remove(int at, const char *name) {
    unsigned depth = 0;
    if (unlinkat(at, name, AT_REMOVEDIR) == 0 || errno == ENOENT)
        return 0;
    remove_below(at, name, &depth);
    if (unlinkat(at, name, AT_REMOVEDIR) == 0 || errno == ENOENT)
        return 0;
    return -errno;
}
