/* SPDX-License-Identifier: MIT */
#include "daemon/control-socket.h"

#include <fcntl.h>
#include <signal.h>
#include <string.h>
#include <sys/file.h>
#include <sys/socket.h>
#include <sys/stat.h>

#include "daemon/base/clock.h"
#include "daemon/base/fd-kind.h"
#include "daemon/base/passed.h"
#include "daemon/bind.h"

/* What a daemon that was killed had started last has its lock and its socket until it comes to exec, or is
 * dead itself. The next one waits so long for that, and looks so often: each look takes a place in the queue
 * of that socket. */
#define LEFT_USEC (5 * USEC_PER_SEC)
#define LOOK_USEC (50 * USEC_PER_MSEC)

static char *parent_of(const char *path) {
    const char *slash = strrchr(path, '/');
    if (!slash)
        return strdup(".");
    return slash == path ? strdup("/") : strndup(path, (size_t)(slash - path));
}

/* Whoever can write to the folder could put another socket in place of ours. */
static int check_folder(const char *folder) {
    struct stat st;
    if (stat(folder, &st) < 0)
        return -errno;
    if (!S_ISDIR(st.st_mode))
        return -ENOTDIR;
    if (st.st_uid != 0 && st.st_uid != geteuid())
        return -EPERM;
    if ((st.st_mode & (S_IWGRP | S_IWOTH)) && !(st.st_mode & S_ISVTX))
        return -EPERM;
    return 0;
}

static int take_folder(const char *path, const char **ret_step) {
    char *folder CLEANUP_FREE = parent_of(path);
    if (!folder)
        return -ENOMEM;
    *ret_step = "folder of the control socket";
    if (mkdir(folder, 0755) < 0 && errno != EEXIST)
        return -errno;
    return check_folder(folder);
}

static int open_lock(ControlSocket *s, const char **ret_step) {
    char *lock CLEANUP_FREE = NULL;
    *ret_step = "lock of the control socket";
    if (asprintf(&lock, "%s.lock", s->path) < 0)
        return -ENOMEM;
    s->lock_fd = open(lock, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW | O_NOCTTY, 0600);
    return s->lock_fd < 0 ? -errno : 0;
}

static int take_node(const ControlSocket *s, const Addr *addr, const char **ret_step) {
    *ret_step = "lock of the control socket";
    if (flock(s->lock_fd, LOCK_EX | LOCK_NB) < 0)
        return errno == EWOULDBLOCK ? -EADDRINUSE : -errno;
    *ret_step = "control socket";
    int r = bind_probe_node(addr);
    if (r == 1)
        return -EADDRINUSE;
    if (r == 0 && unlink(s->path) < 0)
        return -errno;
    return r == -ENOENT ? 0 : r;
}

/* Whether nobody listens there, or one who is no more: of that the kernel keeps the number. */
static bool has_gone(const Addr *addr) {
    struct ucred owner = {0};
    socklen_t n = sizeof(owner);
    CLEANUP_CLOSE int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if (fd < 0)
        return false;
    if (connect(fd, &addr->sa, addr->len) < 0)
        return errno == ECONNREFUSED || errno == ENOENT;
    /* 0: of another namespace. */
    if (getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &owner, &n) < 0 || owner.pid <= 0)
        return false;
    return kill(owner.pid, 0) < 0 && errno == ESRCH;
}

int control_socket_take(ControlSocket *s, const char *path, const char **ret_step) {
    static const struct timespec moment = {.tv_nsec = LOOK_USEC * NSEC_PER_USEC};
    *s = (ControlSocket){.path = strdup(path), .lock_fd = -EBADF, .fd = -EBADF};
    Addr addr;
    *ret_step = "control socket";
    if (!s->path)
        return -ENOMEM;
    int r = addr_set_unix(path, &addr);
    if (r >= 0)
        r = take_folder(path, ret_step);
    if (r >= 0)
        r = open_lock(s, ret_step);
    if (r < 0)
        return r;
    uint64_t until = clock_monotonic_usec() + LEFT_USEC;
    r = take_node(s, &addr, ret_step);
    while (r == -EADDRINUSE && has_gone(&addr) && clock_monotonic_usec() < until) {
        (void)nanosleep(&moment, NULL);
        r = take_node(s, &addr, ret_step);
    }
    return r;
}

int control_socket_listen(ControlSocket *s, mode_t mode, gid_t gid, const char **ret_step) {
    Addr addr;
    struct stat st;
    *ret_step = "control socket";
    int r = addr_set_unix(s->path, &addr);
    if (r < 0)
        return r;
    s->fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if (s->fd < 0)
        return -errno;
    /* The group comes after the node: until then nobody but its owner gets in. */
    mode_t saved = umask(0777 & ~(gid == (gid_t)-1 ? mode : (mode & 0700)));
    r = bind(s->fd, &addr.sa, addr.len) < 0 ? -errno : 0;
    (void)umask(saved);
    if (r < 0)
        return r;
    if (lstat(s->path, &st) < 0) {
        /* Nobody else makes one there while we hold the lock. */
        r = -errno;
        (void)unlink(s->path);
        return r;
    }
    s->dev = st.st_dev;
    s->ino = st.st_ino;
    if (gid != (gid_t)-1) {
        if (lchown(s->path, (uid_t)-1, gid) < 0) {
            *ret_step = "control.group";
            return -errno;
        }
        if (chmod(s->path, mode) < 0)
            return -errno;
    }
    passed_forbid(s->fd);
    return listen(s->fd, SOMAXCONN) < 0 ? -errno : 0;
}

void control_socket_done(ControlSocket *s) {
    s->fd = fd_close(s->fd);
    if (s->ino != 0)
        bind_remove_node(s->path, s->dev, s->ino);
    s->ino = 0;
    /* The lock file stays: removing it would let two daemons hold two different ones. */
    s->lock_fd = fd_close(s->lock_fd);
    free(s->path);
    s->path = NULL;
}

int control_socket_refresh(const ControlSocket *s, mode_t mode, gid_t gid) {
    struct stat st;
    if (lstat(s->path, &st) < 0)
        return -errno;
    if (st.st_dev != s->dev || st.st_ino != s->ino)
        return -ESTALE;
    if (gid != (gid_t)-1 && st.st_gid != gid && lchown(s->path, (uid_t)-1, gid) < 0)
        return -errno;
    return (st.st_mode & 07777) != mode && chmod(s->path, mode) < 0 ? -errno : 0;
}

/* Never used again for something else. */
enum {
    SOCKET_PATH = 1,
    SOCKET_FD,
    SOCKET_LOCK,
    SOCKET_NODE, /* device, inode */
};

void control_socket_save(BlobWriter *w, const ControlSocket *s) {
    const uint64_t node[] = {s->dev, s->ino};
    blob_put_str(w, SOCKET_PATH, s->path);
    blob_put_fd(w, SOCKET_FD, s->fd);
    blob_put_fd(w, SOCKET_LOCK, s->lock_fd);
    blob_put_u64s(w, SOCKET_NODE, node, ELEMENTS(node));
}

int control_socket_restore(BlobReader r, ControlSocket *s) {
    uint64_t node[2] = {0};
    BlobField f;
    *s = (ControlSocket){.lock_fd = -EBADF, .fd = -EBADF};
    while (blob_next(&r, &f)) {
        if (f.tag == SOCKET_PATH)
            blob_take_str(&f, &s->path);
        else if (f.tag == SOCKET_FD && s->fd < 0)
            s->fd = blob_fd_of(&f, FD_UNIX_STREAM);
        else if (f.tag == SOCKET_LOCK && s->lock_fd < 0)
            s->lock_fd = blob_fd(&f);
        else if (f.tag == SOCKET_NODE)
            blob_u64s(&f, node, ELEMENTS(node));
    }
    s->dev = (dev_t)node[0];
    s->ino = (ino_t)node[1];
    if (!s->path || s->fd < 0 || s->lock_fd < 0 || s->ino == 0)
        blob_spoil(r.source, "the control socket is not complete");
    return blob_is_spoilt(r.source) ? -EBADMSG : 0;
}

bool control_socket_admits_others(mode_t mode, gid_t gid, const gid_t *manage_gids, size_t n) {
    if (mode & S_IWOTH)
        return true;
    /* Who else has the daemon's own group, nobody has said. */
    if (!(mode & S_IWGRP) || gid == (gid_t)-1)
        return false;
    for (size_t i = 0; i < n; i++)
        if (manage_gids[i] == gid && gid != ID_NOBODY)
            return false;
    return true;
}
