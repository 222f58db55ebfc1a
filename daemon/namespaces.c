/* SPDX-License-Identifier: MIT */
#include "daemon/namespaces.h"

#include <fcntl.h>
#include <linux/capability.h>
#include <net/if.h>
#include <poll.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "daemon/base/text.h"
#include "daemon/errand.h"

/* user_namespaces(7): so many lines a map may have. */
#define MAP_LINES_MAX 340

struct NamespaceMaker {
    NamespaceOrder order;
    pid_t pid;
    int fd;
};

/* What the one that makes them says, when it cannot; else it is a program of ours by then, and says a byte.
 */
typedef struct Report {
    int error; /* negative errno */
    bool of_network;
} Report;

/* Making: in a process of its own */

static int bring_loopback_up(void) {
    struct ifreq request = {.ifr_name = "lo"};
    int fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    int r = fd < 0 || ioctl(fd, SIOCGIFFLAGS, &request) < 0 ? -errno : 0;
    request.ifr_flags = (short)(request.ifr_flags | IFF_UP);
    if (r == 0 && ioctl(fd, SIOCSIFFLAGS, &request) < 0)
        r = -errno;
    if (fd >= 0)
        (void)close(fd);
    return r;
}

static int enter_new(int flag) {
    return unshare(flag) < 0 ? -errno : 0;
}

static int make_network(void) {
    int r = enter_new(CLONE_NEWNET);
    return r < 0 ? r : bring_loopback_up();
}

/* What the daemon does not use itself it cannot look into: capabilities(7), ptrace(2). */
static void keep_effective(void) {
    struct __user_cap_header_struct header = {.version = _LINUX_CAPABILITY_VERSION_3};
    struct __user_cap_data_struct data[_LINUX_CAPABILITY_U32S_3] = {{0}};
    if (syscall(SYS_capget, &header, data) < 0)
        return;
    for (size_t i = 0; i < ELEMENTS(data); i++)
        data[i].permitted = data[i].effective;
    (void)syscall(SYS_capset, &header, data);
}

static Report make(const NamespaceOrder *order) {
    Report report = {0};
    if (order->users && order->within)
        report.error = enter_new(CLONE_NEWUSER);
    if (report.error == 0 && order->network) {
        report.error = make_network();
        report.of_network = report.error < 0;
    }
    if (report.error == 0 && order->users && !order->within)
        report.error = enter_new(CLONE_NEWUSER);
    return report;
}

/* The socket on 0, the program on 1. Nothing else of the daemon's stays open in it: what ends meanwhile has
 * ended for everybody. */
static int keep_two(int fd, int program_fd) {
    int socket_fd = fcntl(fd, F_DUPFD_CLOEXEC, STDERR_FILENO + 1);
    program_fd = fcntl(program_fd, F_DUPFD_CLOEXEC, STDERR_FILENO + 1);
    if (socket_fd < 0 || program_fd < 0 || dup2(socket_fd, 0) < 0 || dup3(program_fd, 1, O_CLOEXEC) < 0)
        return -errno;
    errand_close_from(2);
    return 0;
}

/* Another program holds them until they have been taken: its maps can be written only where its user may look
 * into it, and that is to see nothing of the daemon's memory. */
static int execute_holder(void) {
    char name[] = "mp-init", what[] = "hold", *argv[] = {name, what, NULL}, *none[] = {NULL};
    /* No more capabilities by that than it has. */
    if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) < 0)
        return -errno;
    (void)syscall(SYS_execveat, 1, "", argv, none, AT_EMPTY_PATH);
    return -errno;
}

static _Noreturn void maker_main(const NamespaceOrder *order, int fd, pid_t parent) {
    Report report = {0};
    (void)prctl(PR_SET_PDEATHSIG, SIGKILL, 0, 0, 0);
    if (getppid() != parent)
        _exit(1);
    keep_effective();
    report.error = keep_two(fd, order->holder_fd);
    if (report.error == 0) {
        fd = 0;
        report = make(order);
    }
    if (report.error == 0)
        report.error = execute_holder();
    (void)!write(fd, &report, sizeof(report));
    _exit(1);
}

/* The daemon's side */

static int write_file(pid_t pid, const char *name, const char *text) {
    char path[64];
    (void)snprintf(path, sizeof(path), "/proc/%d/%s", (int)pid, name);
    CLEANUP_CLOSE int fd = open(path, O_WRONLY | O_CLOEXEC);
    if (fd < 0)
        return -errno;
    ssize_t n = write(fd, text, strlen(text));
    return n < 0 ? -errno : 0;
}

static void add_line(Text *map, unsigned id) {
    text_addf(map, "%u %u 1\n", id, id);
}

static bool is_among(const gid_t *groups, size_t n, gid_t gid) {
    for (size_t i = 0; i < n; i++)
        if (groups[i] == gid)
            return true;
    return false;
}

static int map_users(const NamespaceOrder *o, pid_t pid) {
    CLEANUP_TEXT Text map = {0};
    if (o->with_root && o->uid != 0)
        add_line(&map, 0);
    add_line(&map, o->uid);
    return text_ok(&map) ? write_file(pid, "uid_map", map.s) : -ENOMEM;
}

static int map_groups(const NamespaceOrder *o, pid_t pid) {
    CLEANUP_TEXT Text map = {0};
    size_t n_lines = 1;
    if (o->with_root && o->gid != 0)
        add_line(&map, 0);
    add_line(&map, o->gid);
    for (size_t i = 0; i < o->n_groups; i++) {
        gid_t gid = o->groups[i];
        if (gid == o->gid || (o->with_root && gid == 0) || is_among(o->groups, i, gid))
            continue;
        add_line(&map, gid);
        n_lines++;
    }
    if (n_lines + o->with_root > MAP_LINES_MAX)
        return -E2BIG;
    /* user_namespaces(7): without root a group can be mapped only where none can be given up. */
    int r = o->with_root ? 0 : write_file(pid, "setgroups", "deny");
    if (r < 0)
        return r;
    return text_ok(&map) ? write_file(pid, "gid_map", map.s) : -ENOMEM;
}

static int open_namespace(pid_t pid, const char *name) {
    char path[64];
    (void)snprintf(path, sizeof(path), "/proc/%d/ns/%s", (int)pid, name);
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    return fd < 0 ? -errno : fd;
}

static int hold(const NamespaceOrder *o, pid_t pid, int *ret_user_fd, int *ret_network_fd) {
    CLEANUP_CLOSE int user_fd = -EBADF;
    int r = o->users ? map_groups(o, pid) : 0;
    if (r >= 0 && o->users)
        r = map_users(o, pid);
    if (r >= 0 && o->users)
        r = user_fd = open_namespace(pid, "user");
    if (r >= 0 && o->network)
        r = *ret_network_fd = open_namespace(pid, "net");
    if (r < 0)
        return r;
    *ret_user_fd = TAKE_FD(user_fd);
    return 0;
}

static int read_report(int fd, Report *ret) {
    ssize_t n = recv(fd, ret, sizeof(*ret), MSG_DONTWAIT);
    if (n < 0)
        return errno == EINTR || errno == EWOULDBLOCK ? -EAGAIN : -errno;
    if (n == 1) {
        *ret = (Report){0};
        return 0;
    }
    /* An error of its own is none of ours: there is nothing to wait for. */
    return n == (ssize_t)sizeof(*ret) && ret->error != -EAGAIN ? ret->error : -ECHILD;
}

/* Whether it is still there: nobody else has the other end. Only as long as it is, its number is its own: it
 * is reaped elsewhere, and the number may be anybody's then. */
static bool is_there(const NamespaceMaker *m) {
    struct pollfd p = {.fd = m->fd}; /* that it is closed is told in any case */
    return m->pid > 0 && m->fd >= 0 && poll(&p, 1, 0) == 0;
}

int namespaces_begin(const NamespaceOrder *order, NamespaceMaker **ret) {
    int fds[2];
    NamespaceMaker *m = calloc(1, sizeof(*m));
    if (!m)
        return -ENOMEM;
    *m = (NamespaceMaker){.order = *order, .fd = -EBADF};
    if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, fds) < 0) {
        int r = -errno;
        (void)namespaces_free(m);
        return r;
    }
    m->fd = fds[0];
    pid_t parent = getpid();
    m->pid = fork();
    int r = m->pid < 0 ? -errno : 0;
    if (m->pid == 0)
        maker_main(order, fds[1], parent);
    (void)close(fds[1]);
    if (r < 0)
        (void)namespaces_free(m);
    else
        *ret = m;
    return r;
}

int namespaces_fd(const NamespaceMaker *m) {
    return m->fd;
}

pid_t namespaces_pid(const NamespaceMaker *m) {
    return m->pid;
}

int namespaces_take(const NamespaceMaker *m, int *ret_user_fd, int *ret_network_fd, bool *ret_of_network) {
    Report report = {0};
    int r = read_report(m->fd, &report);
    *ret_of_network = report.of_network || !m->order.users;
    /* What is written there would be written to another, and what is opened be another's. */
    if (r >= 0 && !is_there(m))
        r = -ECHILD;
    if (r >= 0)
        r = hold(&m->order, m->pid, ret_user_fd, ret_network_fd);
    if (r < 0 || is_there(m))
        return r;
    *ret_user_fd = fd_close(*ret_user_fd);
    *ret_network_fd = fd_close(*ret_network_fd);
    return -ECHILD;
}

NamespaceMaker *namespaces_free(NamespaceMaker *m) {
    if (!m)
        return NULL;
    /* Also one that somebody has stopped. */
    if (is_there(m))
        (void)kill(m->pid, SIGKILL);
    (void)fd_close(m->fd);
    free(m);
    return NULL;
}
