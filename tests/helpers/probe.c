/* SPDX-License-Identifier: MIT */
/* The child that tells what it got: one JSON object a line, each with what its name says. The integration
 * tests run it as a service and compare. Usage: probe [--to FILE] [--hold] [--exit STATUS] [ARGUMENT...] It
 * writes to FILE (under a name of its own first, so that the file is whole when it is there), else to a
 * connection that came as fd 3 by LISTEN_FDS, else to stdout. --hold waits for the end of input, or for a
 * signal. */
#include <dirent.h>
#include <fcntl.h>
#include <inttypes.h>
#include <sched.h>
#include <stdio.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/un.h>

#include "daemon/base/cleanup.h"
#include "daemon/base/text.h"

static void add_string(Text *out, const char *s) {
    text_add_json(out, s, strlen(s));
}

static void add_strings(Text *out, const char *name, char *const *v) {
    text_addf(out, "{\"%s\": [", name);
    for (size_t i = 0; v[i]; i++) {
        if (i > 0)
            text_add(out, ", ");
        add_string(out, v[i]);
    }
    text_add(out, "]}\n");
}

static const char *type_name(mode_t mode) {
    switch (mode & S_IFMT) {
    case S_IFSOCK:
        return "socket";
    case S_IFIFO:
        return "pipe";
    case S_IFCHR:
        return "device";
    case S_IFREG:
        return "file";
    case S_IFDIR:
        return "folder";
    default:
        return "other";
    }
}

static int socket_option(int fd, int option) {
    int value = -1;
    socklen_t n = sizeof(value);
    return getsockopt(fd, SOL_SOCKET, option, &value, &n) < 0 ? -1 : value;
}

static void add_fd(Text *out, int fd) {
    char path[32], target[512];
    (void)snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
    ssize_t n = readlink(path, target, sizeof(target) - 1);
    target[n < 0 ? 0 : n] = '\0';
    struct stat st = {0};
    (void)fstat(fd, &st);
    int flags = fcntl(fd, F_GETFL);
    text_addf(out,
              "{\"fd\": %d, \"type\": \"%s\", \"inode\": %ju, \"cloexec\": %s, \"nonblock\": %s, \"access\": "
              "%d, \"target\": ",
              fd, type_name(st.st_mode), (uintmax_t)st.st_ino,
              (fcntl(fd, F_GETFD) & FD_CLOEXEC) ? "true" : "false", (flags & O_NONBLOCK) ? "true" : "false",
              flags & O_ACCMODE);
    add_string(out, target);
    if (S_ISSOCK(st.st_mode))
        text_addf(out, ", \"socktype\": %d, \"family\": %d, \"listening\": %s", socket_option(fd, SO_TYPE),
                  socket_option(fd, SO_DOMAIN), socket_option(fd, SO_ACCEPTCONN) == 1 ? "true" : "false");
    text_addc(out, '}');
}

static void add_fds(Text *out) {
    text_add(out, "{\"fds\": [");
    DIR *dir = opendir("/proc/self/fd");
    bool first = true;
    const struct dirent *entry;
    while (dir && (entry = readdir(dir))) {
        char *end;
        long fd = strtol(entry->d_name, &end, 10);
        if (end == entry->d_name || fd == dirfd(dir))
            continue;
        if (!first)
            text_add(out, ", ");
        first = false;
        add_fd(out, (int)fd);
    }
    if (dir)
        (void)closedir(dir);
    text_add(out, "]}\n");
}

static void add_limits(Text *out) {
    static const struct {
        const char *name;
        int resource;
    } limits[] = {
        {"as", RLIMIT_AS},           {"core", RLIMIT_CORE},     {"cpu", RLIMIT_CPU},
        {"data", RLIMIT_DATA},       {"fsize", RLIMIT_FSIZE},   {"nproc", RLIMIT_NPROC},
        {"memlock", RLIMIT_MEMLOCK}, {"nofile", RLIMIT_NOFILE}, {"stack", RLIMIT_STACK},
    };
    text_add(out, "{\"rlimits\": {");
    for (size_t i = 0; i < ELEMENTS(limits); i++) {
        struct rlimit l = {0};
        (void)getrlimit((__rlimit_resource_t)limits[i].resource, &l);
        text_addf(out, "%s\"%s\": [%" PRId64 ", %" PRId64 "]", i ? ", " : "", limits[i].name,
                  (int64_t)l.rlim_cur, (int64_t)l.rlim_max);
    }
    text_add(out, "}}\n");
}

/* The lines of /proc/self/status, as strings. */
static void add_status(Text *out) {
    CLEANUP_FCLOSE FILE *f = fopen("/proc/self/status", "re");
    char line[4096];
    text_add(out, "{\"status\": {");
    for (bool first = true; f && fgets(line, sizeof(line), f);) {
        char *value = strchr(line, ':');
        if (!value)
            continue;
        *value++ = '\0';
        value += strspn(value, " \t");
        value[strcspn(value, "\n")] = '\0';
        if (!first)
            text_add(out, ", ");
        first = false;
        add_string(out, line);
        text_add(out, ": ");
        add_string(out, value);
    }
    text_add(out, "}}\n");
}

static long read_number(const char *path) {
    CLEANUP_FCLOSE FILE *f = fopen(path, "re");
    char line[64];
    return f && fgets(line, sizeof(line), f) ? strtol(line, NULL, 10) : -1;
}

static void add_rest(Text *out) {
    mode_t mask = umask(0);
    char cwd[4096];
    if (!getcwd(cwd, sizeof(cwd)))
        cwd[0] = '\0';
    gid_t groups[256];
    int n = getgroups(ELEMENTS(groups), groups);
    text_add(out, "{\"groups\": [");
    for (int i = 0; i < n; i++)
        text_addf(out, "%s%u", i ? ", " : "", groups[i]);
    text_addf(out, "], \"uids\": [%u, %u], \"gids\": [%u, %u]}\n", getuid(), geteuid(), getgid(), getegid());
    text_add(out, "{\"cwd\": ");
    add_string(out, cwd);
    text_addf(out, ", \"umask\": %u, \"pid\": %d, \"ppid\": %d, \"sid\": %d, \"pgid\": %d}\n", (unsigned)mask,
              getpid(), getppid(), getsid(0), getpgid(0));
    cpu_set_t cpus;
    CPU_ZERO(&cpus);
    (void)sched_getaffinity(0, sizeof(cpus), &cpus);
    text_addf(out, "{\"nice\": %d, \"oom_score_adj\": %ld, \"ioprio\": %ld, \"cpus\": %d}\n",
              getpriority(PRIO_PROCESS, 0), read_number("/proc/self/oom_score_adj"),
              syscall(SYS_ioprio_get, 1, 0), CPU_COUNT(&cpus));
}

static bool write_all(int fd, const char *s, size_t n) {
    while (n > 0) {
        ssize_t done = write(fd, s, n);
        if (done < 0)
            return false;
        s += done;
        n -= (size_t)done;
    }
    return true;
}

static bool write_file(const char *path, const Text *t) {
    char other[512];
    if ((size_t)snprintf(other, sizeof(other), "%s.%d", path, getpid()) >= sizeof(other))
        return false;
    CLEANUP_CLOSE int fd = open(other, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0644);
    return fd >= 0 && write_all(fd, t->s, t->len) && rename(other, path) == 0;
}

typedef struct Options {
    const char *to;
    bool hold;
    int status;
} Options;

static void options_parse(Options *o, char **argv) {
    for (char **a = argv + 1; *a; a++) {
        if (streq(*a, "--hold"))
            o->hold = true;
        else if (streq(*a, "--to") && a[1])
            o->to = *++a;
        else if (streq(*a, "--exit") && a[1])
            o->status = (int)strtol(*++a, NULL, 10);
    }
}

int main(int argc, char **argv) {
    (void)argc;
    Options options = {0};
    options_parse(&options, argv);
    CLEANUP_TEXT Text t = {0};
    add_fds(&t); /* before anything else is opened */
    add_strings(&t, "argv", argv);
    add_strings(&t, "environ", environ);
    add_limits(&t);
    add_status(&t);
    add_rest(&t);
    int connection = getenv("LISTEN_FDS") && socket_option(3, SO_ACCEPTCONN) == 0 ? 3 : STDOUT_FILENO;
    bool done = options.to ? write_file(options.to, &t) : write_all(connection, t.s, t.len);
    char c;
    while (options.hold && read(connection == 3 ? 3 : STDIN_FILENO, &c, 1) > 0)
        ;
    return done ? options.status : 99;
}
