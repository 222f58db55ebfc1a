/* SPDX-License-Identifier: MIT */
/* The child that tries what it may not: each argument is one attempt, and for each it writes a line, "attempt
 * ok" or "attempt ERRNO" by its name. It writes to a connection that came as fd 3 by LISTEN_FDS, else to
 * stdout. --hold waits for the end of input, or for a signal. */
#include <arpa/inet.h>
#include <dirent.h>
#include <fcntl.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mount.h>
#include <sys/ptrace.h>
#include <sys/shm.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>

#include "daemon/base/cleanup.h"
#include "daemon/base/text.h"

static int result(long r) {
    return r < 0 ? -errno : 0;
}

static int try_read(const char *path) {
    char c;
    CLEANUP_CLOSE int fd = open(path, O_RDONLY | O_CLOEXEC);
    return fd < 0 ? -errno : result(read(fd, &c, 1));
}

/* Makes it if need be, and removes what it has made. */
static int try_write(const char *path) {
    bool was_there = access(path, F_OK) == 0;
    CLEANUP_CLOSE int fd = open(path, O_WRONLY | O_CREAT | O_CLOEXEC, 0600);
    if (fd < 0)
        return -errno;
    return was_there ? 0 : result(unlink(path));
}

static int try_make(const char *path) {
    CLEANUP_CLOSE int fd = open(path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
    return fd < 0 ? -errno : 0;
}

/* -ENODATA: there is nothing in it. */
static int try_list(const char *path) {
    DIR *dir = opendir(path);
    int n = 0;
    if (!dir)
        return -errno;
    while (readdir(dir))
        n++;
    (void)closedir(dir);
    return n > 2 ? 0 : -ENODATA;
}

static int try_truncate(const char *path) {
    return result(truncate(path, 0));
}

static int try_execute(const char *path) {
    char *const argv[] = {(char *)(uintptr_t)path, NULL};
    int status = 0;
    pid_t pid = fork();
    if (pid == 0) {
        (void)execv(path, argv);
        _exit(errno);
    }
    if (pid < 0 || waitpid(pid, &status, 0) < 0)
        return -errno;
    return -WEXITSTATUS(status);
}

/* By TCP to a port of this machine, as it sees it. */
static int try_connect(const char *port) {
    struct sockaddr_in a = {.sin_family = AF_INET,
                            .sin_port = htons((uint16_t)strtoul(port, NULL, 10)),
                            .sin_addr = {.s_addr = htonl(INADDR_LOOPBACK)}};
    CLEANUP_CLOSE int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    return fd < 0 ? -errno : result(connect(fd, (const struct sockaddr *)&a, sizeof(a)));
}

/* To itself, over loopback. */
static int try_loopback(const char *word) {
    struct sockaddr_in a = {.sin_family = AF_INET, .sin_addr = {.s_addr = htonl(INADDR_LOOPBACK)}};
    socklen_t n = sizeof(a);
    char port[16];
    (void)word;
    CLEANUP_CLOSE int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (fd < 0 || bind(fd, (const struct sockaddr *)&a, sizeof(a)) < 0 || listen(fd, 1) < 0 ||
        getsockname(fd, (struct sockaddr *)&a, &n) < 0)
        return -errno;
    (void)snprintf(port, sizeof(port), "%u", ntohs(a.sin_port));
    return try_connect(port);
}

static int try_bind(const char *port) {
    struct sockaddr_in a = {.sin_family = AF_INET,
                            .sin_port = htons((uint16_t)strtoul(port, NULL, 10)),
                            .sin_addr = {.s_addr = htonl(INADDR_LOOPBACK)}};
    CLEANUP_CLOSE int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    return fd < 0 ? -errno : result(bind(fd, (const struct sockaddr *)&a, sizeof(a)));
}

static int try_signal(const char *pid) {
    return result(kill((pid_t)strtol(pid, NULL, 10), 0));
}

static int try_kill(const char *pid) {
    return result(kill((pid_t)strtol(pid, NULL, 10), SIGKILL));
}

static int try_trace(const char *pid) {
    return result(ptrace(PTRACE_SEIZE, (pid_t)strtol(pid, NULL, 10), NULL, NULL));
}

static int try_mount(const char *path) {
    return result(mount("none", path, "tmpfs", 0, NULL));
}

static int try_remount(const char *path) {
    return result(mount(NULL, path, NULL, MS_REMOUNT | MS_BIND, NULL));
}

static int try_unmount(const char *path) {
    return result(umount2(path, MNT_DETACH));
}

static int try_unshare(const char *word) {
    return result(unshare(streq(word, "user") ? CLONE_NEWUSER : CLONE_NEWNS));
}

static int try_user(const char *uid) {
    return result(setuid((uid_t)strtoul(uid, NULL, 10)));
}

static int try_host_name(const char *name) {
    return result(sethostname(name, strlen(name)));
}

/* The key of a segment that somebody else has made. */
static int try_shared(const char *key) {
    return result(shmget((key_t)strtol(key, NULL, 10), 1, 0));
}

/* By a second root, which leaves the working directory above it: then @path from there. */
static int try_escape(const char *path) {
    char name[] = "/tmp/escape-XXXXXX";
    if (!mkdtemp(name) || chdir("/") < 0)
        return -errno;
    int r = result(chroot(name));
    for (int i = 0; i < 64 && r == 0; i++)
        r = result(chdir(".."));
    if (r == 0)
        r = result(chroot("."));
    return r < 0 ? r : try_read(path);
}

static int try_chroot(const char *path) {
    return result(chroot(path));
}

static int try_node(const char *path) {
    return result(mknod(path, S_IFCHR | 0600, 0x103));
}

/* Raw: number of the call. */
static int try_call(const char *number) {
    return result(syscall(strtol(number, NULL, 10), -1, -1, -1, -1, -1, -1));
}

static const struct {
    const char *name;
    int (*attempt)(const char *word);
} attempts[] = {
    {"read", try_read},       {"write", try_write},       {"make", try_make},
    {"list", try_list},       {"truncate", try_truncate}, {"execute", try_execute},
    {"connect", try_connect}, {"loopback", try_loopback}, {"bind", try_bind},
    {"signal", try_signal},   {"kill", try_kill},         {"trace", try_trace},
    {"mount", try_mount},     {"remount", try_remount},   {"unmount", try_unmount},
    {"unshare", try_unshare}, {"user", try_user},         {"host", try_host_name},
    {"shared", try_shared},   {"chroot", try_chroot},     {"node", try_node},
    {"call", try_call},       {"escape", try_escape},
};

static int try_one(const char *word) {
    const char *colon = strchr(word, ':');
    size_t n = colon ? (size_t)(colon - word) : strlen(word);
    for (size_t i = 0; i < ELEMENTS(attempts); i++)
        if (strlen(attempts[i].name) == n && strncmp(attempts[i].name, word, n) == 0)
            return attempts[i].attempt(colon ? colon + 1 : "");
    return -EINVAL;
}

/* What it is, for those who look at it from outside. */
static void add_self(Text *out) {
    text_addf(out, "self %d %d %d %u %u\n", getpid(), getppid(), getsid(0), geteuid(), getegid());
}

int main(int argc, char **argv) {
    CLEANUP_TEXT Text t = {0};
    bool hold = false;
    int out = getenv("LISTEN_FDS") ? 3 : STDOUT_FILENO;
    (void)argc;
    add_self(&t);
    for (char **a = argv + 1; *a; a++) {
        hold |= streq(*a, "--hold");
        if (!streq(*a, "--hold")) {
            int r = try_one(*a);
            text_addf(&t, "%s %s\n", *a, r < 0 ? strerrorname_np(-r) : "ok");
        }
    }
    bool done = t.s && write(out, t.s, t.len) == (ssize_t)t.len;
    char c;
    while (hold && read(out == 3 ? 3 : STDIN_FILENO, &c, 1) > 0)
        ;
    return done ? 0 : 99;
}
