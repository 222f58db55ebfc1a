/* SPDX-License-Identifier: MIT */
#include "daemon/bind.h"

#include <fcntl.h>
#include <limits.h>
#include <net/if.h>
#include <netinet/tcp.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>

#include "daemon/bind-node.h"

/* The same number everywhere; glibc 2.36 does not know it yet. */
#define SYS_FCHMODAT2 452

static int set_int(int fd, int level, int option, int value, const char *step, const char **ret_step) {
    if (setsockopt(fd, level, option, &value, sizeof(value)) == 0)
        return 0;
    *ret_step = step;
    return -errno;
}

int bind_set_options(int fd, const ListenConfig *c, const char **ret_step) {
    int r = 0;
    if (c->nodelay >= 0)
        r = set_int(fd, IPPROTO_TCP, TCP_NODELAY, c->nodelay, "nodelay", ret_step);
    if (r >= 0 && c->keepalive)
        r = set_int(fd, SOL_SOCKET, SO_KEEPALIVE, 1, "keepalive", ret_step);
    if (r >= 0 && c->keepalive && c->keepalive_idle_sec > 0)
        r = set_int(fd, IPPROTO_TCP, TCP_KEEPIDLE, c->keepalive_idle_sec, "keepalive", ret_step);
    if (r >= 0 && c->keepalive && c->keepalive_interval_sec > 0)
        r = set_int(fd, IPPROTO_TCP, TCP_KEEPINTVL, c->keepalive_interval_sec, "keepalive", ret_step);
    if (r >= 0 && c->keepalive && c->keepalive_count > 0)
        r = set_int(fd, IPPROTO_TCP, TCP_KEEPCNT, c->keepalive_count, "keepalive", ret_step);
    if (r >= 0 && c->defer_accept_sec > 0)
        r = set_int(fd, IPPROTO_TCP, TCP_DEFER_ACCEPT, c->defer_accept_sec, "defer_accept", ret_step);
    if (r >= 0 && c->fast_open > 0)
        r = set_int(fd, IPPROTO_TCP, TCP_FASTOPEN, c->fast_open, "fast_open", ret_step);
    if (r >= 0 && c->mark >= 0)
        r = set_int(fd, SOL_SOCKET, SO_MARK, (int)c->mark, "mark", ret_step);
    if (r >= 0 && c->receive_buffer > 0)
        r = set_int(fd, SOL_SOCKET, SO_RCVBUF, c->receive_buffer, "receive_buffer", ret_step);
    if (r >= 0 && c->send_buffer > 0)
        r = set_int(fd, SOL_SOCKET, SO_SNDBUF, c->send_buffer, "send_buffer", ret_step);
    return r;
}

/* What has to stand before bind(2). */
/* An option that is a number to the kernel. */
typedef struct IntOption {
    const char *step;
    int level, name;
    int value; /* -1: not given */
} IntOption;

#define INT_OPTIONS 10

static void list_options(const ListenConfig *c, IntOption ret[static INT_OPTIONS]) {
    const IntOption all[INT_OPTIONS] = {
        {"reuse_port", SOL_SOCKET, SO_REUSEPORT,
         endpoint_kind_is_inet(c->endpoint.kind) ? c->reuse_port : -1},
        {"nodelay", IPPROTO_TCP, TCP_NODELAY, c->nodelay},
        {"keepalive", SOL_SOCKET, SO_KEEPALIVE, c->keepalive ? 1 : -1},
        {"keepalive", IPPROTO_TCP, TCP_KEEPIDLE, c->keepalive_idle_sec > 0 ? c->keepalive_idle_sec : -1},
        {"keepalive", IPPROTO_TCP, TCP_KEEPINTVL,
         c->keepalive_interval_sec > 0 ? c->keepalive_interval_sec : -1},
        {"keepalive", IPPROTO_TCP, TCP_KEEPCNT, c->keepalive_count > 0 ? c->keepalive_count : -1},
        {"defer_accept", IPPROTO_TCP, TCP_DEFER_ACCEPT, c->defer_accept_sec > 0 ? c->defer_accept_sec : -1},
        {"fast_open", IPPROTO_TCP, TCP_FASTOPEN, c->fast_open > 0 ? c->fast_open : -1},
        {"receive_buffer", SOL_SOCKET, SO_RCVBUF, c->receive_buffer > 0 ? c->receive_buffer : -1},
        {"send_buffer", SOL_SOCKET, SO_SNDBUF, c->send_buffer > 0 ? c->send_buffer : -1},
    };
    memcpy(ret, all, sizeof(all));
}

/* What a new socket of this kind has. */
static int standard_option(const ListenConfig *c, const IntOption *o, int *ret) {
    socklen_t n = sizeof(*ret);
    int family = endpoint_addr(&c->endpoint, 0).sa.sa_family;
    CLEANUP_CLOSE int fd = socket(family, endpoint_socket_type(c->endpoint.kind) | SOCK_CLOEXEC, 0);
    if (fd < 0 || getsockopt(fd, o->level, o->name, ret, &n) < 0)
        return -errno;
    /* socket(7): the kernel doubles what it is given for a buffer. */
    if (o->level == SOL_SOCKET && (o->name == SO_RCVBUF || o->name == SO_SNDBUF))
        *ret /= 2;
    return 0;
}

int bind_change_options(int fd, const ListenConfig *from, const ListenConfig *to, const char **ret_step) {
    IntOption old[INT_OPTIONS], new[INT_OPTIONS];
    list_options(from, old);
    list_options(to, new);
    for (size_t i = 0; i < INT_OPTIONS; i++) {
        int value = new[i].value, r = 0;
        if (value == old[i].value)
            continue;
        if (value < 0)
            r = standard_option(to, &new[i], &value);
        if (r >= 0)
            r = set_int(fd, new[i].level, new[i].name, value, new[i].step, ret_step);
        if (r < 0) {
            *ret_step = new[i].step;
            return r;
        }
    }
    /* Not among them: it may be any number of 32 bits. 0 is what a new socket has. */
    if (from->mark != to->mark)
        return set_int(fd, SOL_SOCKET, SO_MARK, to->mark >= 0 ? (int)to->mark : 0, "mark", ret_step);
    return 0;
}

void bind_share(int fd, bool shared) {
    int value = shared;
    (void)setsockopt(fd, SOL_SOCKET, SO_REUSEPORT, &value, sizeof(value));
}

int bind_unhook(int fd) {
    /* The kernel looks for a listener among those that are bound to the interface by which something came, or
     * to none; this one does not exist. */
    int none = INT_MAX;
    return setsockopt(fd, SOL_SOCKET, SO_BINDTOIFINDEX, &none, sizeof(none)) < 0 ? -errno : 0;
}

int bind_hook(int fd, const char *device) {
    const char *name = device ? device : "";
    return setsockopt(fd, SOL_SOCKET, SO_BINDTODEVICE, name, (socklen_t)strlen(name) + 1) < 0 ? -errno : 0;
}

static int set_bind_options(int fd, const ListenConfig *c, int family, int type, const char **ret_step) {
    int r = 0;
    /* Without it a restart would wait for old connections to time out. Never for UDP, where it would let
     * another process bind the same port and take what is ours: socket(7). */
    if (family != AF_UNIX && type == SOCK_STREAM)
        r = set_int(fd, SOL_SOCKET, SO_REUSEADDR, 1, "socket", ret_step);
    if (r >= 0 && c->reuse_port)
        r = set_int(fd, SOL_SOCKET, SO_REUSEPORT, 1, "reuse_port", ret_step);
    if (r >= 0 && family == AF_INET6)
        r = set_int(fd, IPPROTO_IPV6, IPV6_V6ONLY, c->endpoint.both_families || c->only_v6, "only_v6",
                    ret_step);
    if (r >= 0 && c->freebind)
        r = family == AF_INET6 ? set_int(fd, IPPROTO_IPV6, IPV6_FREEBIND, 1, "freebind", ret_step)
                               : set_int(fd, IPPROTO_IP, IP_FREEBIND, 1, "freebind", ret_step);
    if (r >= 0 && c->device &&
        setsockopt(fd, SOL_SOCKET, SO_BINDTODEVICE, c->device, (socklen_t)strlen(c->device) + 1) < 0) {
        *ret_step = "device";
        r = -errno;
    }
    return r;
}

int bind_probe_node(const Addr *addr) {
    struct stat st;
    if (lstat(addr->un.sun_path, &st) < 0)
        return -errno;
    if (!S_ISSOCK(st.st_mode))
        return -EEXIST;
    /* Of datagrams, whatever stands there: one that listens says EPROTOTYPE then, and has nothing in its
     * queue that would wake it. It may be a process that lives on, and is asked about again and again. */
    CLEANUP_CLOSE int fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if (fd < 0)
        return -errno;
    /* Only a refused connection proves that nobody is there. */
    if (connect(fd, &addr->sa, addr->len) < 0) {
        if (errno == ECONNREFUSED)
            return 0;
        if (errno == ENOENT)
            return -ENOENT;
    }
    return 1;
}

static int make_way_for_node(const Addr *addr) {
    int r = bind_probe_node(addr);
    if (r == 1)
        return -EADDRINUSE;
    if (r == 0)
        return unlink(addr->un.sun_path) < 0 && errno != ENOENT ? -errno : 0;
    return r == -ENOENT ? 0 : r;
}

static bool is_node(const struct stat *st, dev_t dev, ino_t ino) {
    return (S_ISSOCK(st->st_mode) || S_ISFIFO(st->st_mode)) && st->st_dev == dev && st->st_ino == ino;
}

int bind_adjust_node(const char *path, dev_t dev, ino_t ino, uid_t user, gid_t group, mode_t mode) {
    char by_number[40];
    struct stat st;
    CLEANUP_CLOSE int node = open(path, O_PATH | O_NOFOLLOW | O_CLOEXEC);
    if (node < 0 || fstat(node, &st) < 0)
        return -errno;
    if (!is_node(&st, dev, ino))
        return -ESTALE;
    if ((user != (uid_t)-1 || group != (gid_t)-1) && fchownat(node, "", user, group, AT_EMPTY_PATH) < 0)
        return -errno;
    if ((st.st_mode & 07777) == mode)
        return 0;
    /* fchmod(2) refuses a descriptor of O_PATH; its link in /proc leads to the node itself. */
    (void)snprintf(by_number, sizeof(by_number), "/proc/self/fd/%d", node);
    if (chmod(by_number, mode) == 0)
        return 0;
    /* Where /proc is not mounted, kernels from 6.6 on do it without. */
    return errno == ENOENT && syscall(SYS_FCHMODAT2, node, "", mode, AT_EMPTY_PATH) == 0 ? 0 : -errno;
}

static int bind_unix(int fd, const ListenConfig *c, const Addr *addr, BoundSocket *ret) {
    bool abstract = addr->un.sun_path[0] == '\0';
    int r = abstract ? 0 : make_way_for_node(addr);
    if (r < 0)
        return r;
    /* The node has its mode from the first moment on. */
    mode_t saved = umask(0777 & ~c->mode);
    r = bind(fd, &addr->sa, addr->len) < 0 ? -errno : 0;
    (void)umask(saved);
    if (r < 0 || abstract)
        return r;
    struct stat st;
    if (lstat(addr->un.sun_path, &st) < 0)
        return -errno;
    ret->dev = st.st_dev;
    ret->ino = st.st_ino;
    if (c->user == (uid_t)-1 && c->group == (gid_t)-1)
        return 0;
    r = bind_adjust_node(addr->un.sun_path, st.st_dev, st.st_ino, c->user, c->group, c->mode);
    if (r < 0)
        bind_remove_node(addr->un.sun_path, st.st_dev, st.st_ino);
    return r;
}

void bind_remove_node(const char *path, dev_t dev, ino_t ino) {
    struct stat st;
    if (lstat(path, &st) == 0 && is_node(&st, dev, ino))
        (void)unlink(path);
}

/* A name, or a number as in %2. */
static unsigned find_interface(const char *scope) {
    unsigned index = if_nametoindex(scope);
    return index > 0 ? index : (unsigned)strtoul(scope, NULL, 10);
}

/* Where the kernel had something to choose; @a is what was asked for. */
static void ask_address(int fd, Addr *a) {
    Addr own = {.len = sizeof(own.storage)};
    bool inet = a->sa.sa_family == AF_INET || a->sa.sa_family == AF_INET6;
    if ((!inet || addr_port(a) == 0) && getsockname(fd, &own.sa, &own.len) == 0)
        *a = own;
}

int bind_socket(const ListenConfig *c, size_t i, uint16_t port, BoundSocket *ret, const char **ret_step) {
    Addr addr = endpoint_addr(&c->endpoint, i);
    int type = endpoint_socket_type(c->endpoint.kind), family = addr.sa.sa_family;
    if (port != 0)
        addr_set_port(&addr, port);
    *ret_step = "interface";
    if (c->endpoint.scope[0]) {
        addr.in6.sin6_scope_id = find_interface(c->endpoint.scope);
        if (addr.in6.sin6_scope_id == 0)
            return -ENODEV;
    }
    *ret_step = "socket";
    /* As the daemon needs it. To processes, which may expect it to block, it is handed as they do. */
    CLEANUP_CLOSE int fd = socket(family, type | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if (fd < 0)
        return -errno;
    BoundSocket bound = {.fd = -EBADF, .addr = addr};
    int r = set_bind_options(fd, c, family, type, ret_step);
    if (r >= 0)
        r = bind_set_options(fd, c, ret_step);
    if (r < 0)
        return r;
    *ret_step = "bind";
    if (family == AF_UNIX)
        r = bind_unix(fd, c, &addr, &bound);
    else
        r = bind(fd, &addr.sa, addr.len) < 0 ? -errno : 0;
    if (r < 0)
        return r;
    *ret_step = "listen";
    if (type != SOCK_DGRAM && listen(fd, c->backlog > 0 ? c->backlog : INT_MAX) < 0) {
        r = -errno;
        if (bound.ino)
            bind_remove_node(addr.un.sun_path, bound.dev, bound.ino);
        return r;
    }
    ask_address(fd, &bound.addr);
    bound.fd = TAKE_FD(fd);
    *ret = bound;
    return 0;
}

int bind_open(const ListenConfig *c, size_t i, uint16_t port, BoundSocket *ret, const char **ret_step) {
    if (c->endpoint.kind == ENDPOINT_FIFO)
        return bind_fifo(c, ret, ret_step);
    if (c->endpoint.kind == ENDPOINT_MQUEUE)
        return bind_mqueue(c, ret, ret_step);
    if (c->endpoint.kind != ENDPOINT_SYSTEMD)
        return bind_socket(c, i, port, ret, ret_step);
    *ret_step = "adopt";
    return -ENOENT;
}

bool bind_remove(const Endpoint *e, dev_t dev, ino_t ino) {
    if (e->kind == ENDPOINT_MQUEUE)
        return bind_remove_mqueue(e->path, dev, ino);
    if (e->path)
        bind_remove_node(e->path, dev, ino);
    return true;
}

bool bind_is_open_on(int fd, dev_t dev, ino_t ino) {
    struct stat st;
    return fstat(fd, &st) == 0 && st.st_dev == dev && st.st_ino == ino;
}

int bind_adjust(const ListenConfig *c, int fd, dev_t dev, ino_t ino) {
    if (c->endpoint.kind == ENDPOINT_MQUEUE)
        return bind_adjust_mqueue(c, fd);
    return bind_adjust_node(c->endpoint.path, dev, ino, c->user, c->group, c->mode);
}
