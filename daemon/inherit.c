/* SPDX-License-Identifier: MIT */
#include "daemon/inherit.h"

#include <fcntl.h>
#include <mqueue.h>
#include <poll.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <systemd/sd-daemon.h>

#include "daemon/base/text.h"
#include "daemon/bind-node.h"
#include "daemon/service.h"

/* Whether the path of the UNIX socket @addr leads to it: connecting cannot tell whose it is, but the kernel's
 * table of sockets and the node's existence are what sd_is_socket_unix(3) has to go by as well. */
static bool path_is_there(const Addr *addr) {
    struct stat st;
    if (addr->un.sun_path[0] == '\0')
        return true;
    return lstat(addr->un.sun_path, &st) == 0 && S_ISSOCK(st.st_mode);
}

static int examine_socket(PassedSocket *p) {
    int type = 0, listening = 0;
    socklen_t n = sizeof(type);
    if (getsockopt(p->fd, SOL_SOCKET, SO_TYPE, &type, &n) < 0)
        return -errno;
    n = sizeof(listening);
    if (getsockopt(p->fd, SOL_SOCKET, SO_ACCEPTCONN, &listening, &n) < 0)
        return -errno;
    p->listening = listening != 0;
    p->addr.len = sizeof(p->addr.storage);
    if (getsockname(p->fd, &p->addr.sa, &p->addr.len) < 0)
        return -errno;
    p->kind = endpoint_kind_of_socket(p->addr.sa.sa_family, type);
    if (p->kind == _ENDPOINT_KIND_MAX || (type != SOCK_DGRAM && !p->listening))
        return -EINVAL;
    return 0;
}

/* Everything else than sockets that has a place among the endpoints. */
static int examine(PassedSocket *p) {
    struct stat st;
    struct mq_attr attributes;
    if (fstat(p->fd, &st) < 0)
        return -errno;
    if (S_ISSOCK(st.st_mode))
        return examine_socket(p);
    int flags = fcntl(p->fd, F_GETFL);
    if (flags < 0 || (flags & O_ACCMODE) == O_WRONLY)
        return -EINVAL;
    /* A pipe is a fifo to fstat(2), but nothing has its name. */
    if (S_ISFIFO(st.st_mode))
        p->kind = ENDPOINT_FIFO;
    else if (S_ISREG(st.st_mode) && mq_getattr(p->fd, &attributes) == 0)
        p->kind = ENDPOINT_MQUEUE;
    else
        return -EINVAL;
    return 0;
}

/* How many were passed, and their names where those make sense: the sockets are good without them. The
 * variables go. */
static int take_announcement(char ***ret_names, EventLog *log) {
    int n = sd_listen_fds_with_names(0, ret_names);
    if (n < 0) {
        int r = n;
        n = sd_listen_fds(0);
        if (n > 0)
            eventlog_say(
                log, LOG_LEVEL_WARNING, "inherit",
                "LISTEN_FDNAMES does not fit the %d sockets passed in (%s): they are matched by address", n,
                strerror(-r));
    }
    (void)sd_listen_fds(1);
    return n;
}

static void refuse(Inherited *in, PassedSocket *p, const char *name, EventLog *log) {
    /* Not worth a line: the probe of a daemon that is gone. */
    bool ours = strncmp(name, FD_STORE_PREFIX, strlen(FD_STORE_PREFIX)) == 0;
    eventlog_say(log, ours ? LOG_LEVEL_DEBUG : LOG_LEVEL_WARNING, "inherit",
                 "descriptor %d ('%s') was passed in, but is nothing to listen on: closed", p->fd, name);
    p->fd = fd_close(p->fd);
    /* Of these there is one, however often it has come. */
    if (!streq(name, LEDGER_FD_NAME) && !streq(name, STATE_FD_NAME))
        fd_store_forget(in->store, name);
}

/* What is nothing to listen on, and yet wanted. */
static bool take_apart(Inherited *in, int fd, const char *name) {
    int *to = streq(name, LEDGER_FD_NAME) ? &in->ledger : streq(name, STATE_FD_NAME) ? &in->state : NULL;
    if (!to || *to >= 0 || fcntl(fd, F_GETFD) < 0)
        return false;
    *to = fd;
    return true;
}

int inherited_check_announcement(void) {
    int n = sd_listen_fds(0);
    return n < 0 ? n : 0;
}

/* Of what would be looked at some may be ours by now. */
static int give_up_announcement(int error) {
    (void)sd_listen_fds(1);
    return error;
}

int inherited_init(Inherited *in, FdStore *store, EventLog *log, int announced) {
    CLEANUP_STRV char **names = NULL;
    *in = (Inherited){.store = store, .ledger = -EBADF, .state = -EBADF};
    if (announced < 0)
        return give_up_announcement(announced);
    int n = take_announcement(&names, log);
    if (n <= 0)
        return n;
    in->sockets = calloc((size_t)n, sizeof(PassedSocket));
    if (!in->sockets)
        return -ENOMEM;
    for (int i = 0; i < n; i++) {
        const char *name = names ? names[i] : "unknown";
        PassedSocket p = {.fd = SD_LISTEN_FDS_START + i};
        if (take_apart(in, p.fd, name))
            continue;
        int r = examine(&p);
        if (r < 0) {
            refuse(in, &p, name, log);
            continue;
        }
        p.ours = keep_name_parse(name, &p.kept);
        p.name = strdup(name);
        if (!p.name)
            return -ENOMEM;
        in->sockets[in->n++] = p;
    }
    return 0;
}

bool inherited_matches(const PassedSocket *socket, const ListenConfig *config, size_t index, bool by_name) {
    const Endpoint *e = &config->endpoint;
    const Addr wanted = endpoint_addr(e, index);
    if (socket->ours)
        return false;
    if (socket->fd >= 0 && e->kind == ENDPOINT_SYSTEMD)
        return by_name && streq(socket->name, e->path);
    if (socket->fd < 0 || socket->kind != e->kind || socket->addr.sa.sa_family != wanted.sa.sa_family)
        return false;
    if (endpoint_kind_is_unix(e->kind) && !(addr_equal(&socket->addr, &wanted) && path_is_there(&wanted)))
        return false;
    if (wanted.len == 0 && !bind_node_is(e, socket->fd))
        return false;
    return by_name ? streq(socket->name, config->name) : addr_equal(&socket->addr, &wanted);
}

/* Who takes connections needs a socket that has them. */
static bool suits_model(const PassedSocket *p, const Listener *l) {
    return l->config->endpoint.kind != ENDPOINT_SYSTEMD || p->listening ||
           l->service->config->model == MODEL_ON_DEMAND;
}

/* A UNIX socket that was sealed while it drained lets in nobody any more, whatever is done to it. */
static bool is_sealed(const PassedSocket *p) {
    struct pollfd poll_for = {.fd = p->fd, .events = POLLIN};
    return p->addr.sa.sa_family == AF_UNIX && p->listening && poll(&poll_for, 1, 0) > 0 &&
           (poll_for.revents & POLLHUP);
}

bool inherited_is_kept(const PassedSocket *p, const ListenConfig *config, size_t index, uint64_t digest,
                       bool by_name) {
    const Endpoint *e = &config->endpoint;
    const Addr wanted = endpoint_addr(e, index);
    if (p->fd < 0 || !p->ours || p->kind != e->kind || p->addr.sa.sa_family != wanted.sa.sa_family)
        return false;
    if (wanted.len == 0)
        return bind_node_is(e, p->fd);
    bool chosen = endpoint_kind_is_inet(e->kind) && addr_port(&wanted) == 0;
    if (chosen ? !(by_name && p->kept.digest == digest && addr_host_equal(&p->addr, &wanted))
               : !addr_equal(&p->addr, &wanted))
        return false;
    return endpoint_kind_is_unix(e->kind) ? path_is_there(&wanted) : keep_fits(p->fd, config);
}

/* Of one that is ours: the node or queue that goes with it. */
static void find_node(const PassedSocket *p, const Listener *l, struct stat *ret) {
    *ret = (struct stat){0};
    if (!p->kept.node)
        return;
    int r = endpoint_kind_is_unix(p->kind) ? lstat(l->config->endpoint.path, ret) : fstat(p->fd, ret);
    if (r < 0)
        *ret = (struct stat){0};
}

/* By its name first: what had the same name is the same service's. */
static bool restore(Inherited *in, Listener *l) {
    uint64_t digest = keep_digest(l->service, l);
    for (int by_name = 1; by_name >= 0; by_name--) {
        for (size_t i = 0; i < in->n; i++) {
            PassedSocket *p = &in->sockets[i];
            struct stat node;
            if ((by_name && p->kept.digest != digest) ||
                !inherited_is_kept(p, l->config, l->index, digest, by_name) || is_sealed(p))
                continue;
            find_node(p, l, &node);
            listener_restore(l, TAKE_FD(p->fd), &p->addr, node.st_dev, node.st_ino);
            l->kept = fd_store_known(in->store, p->name, l->fd);
            return true;
        }
    }
    return false;
}

bool inherited_adopt(Inherited *in, Listener *l, bool by_name) {
    if (in->n == 0)
        return false;
    if (!by_name && restore(in, l))
        return true;
    for (size_t i = 0; i < in->n; i++) {
        PassedSocket *p = &in->sockets[i];
        if (!inherited_matches(p, l->config, l->index, by_name))
            continue;
        l->unsuitable = !suits_model(p, l);
        if (l->unsuitable)
            continue;
        p->by_name = l->config->endpoint.kind == ENDPOINT_SYSTEMD;
        listener_adopt(l, TAKE_FD(p->fd), p->kind, &p->addr);
        return true;
    }
    return false;
}

/* A socket unit with two lines of Listen...= gives both one name: systemd:NAME takes one of them. */
static bool other_is_taken(const Inherited *in, const PassedSocket *p) {
    for (size_t i = 0; i < in->n; i++)
        if (in->sockets[i].by_name && streq(in->sockets[i].name, p->name))
            return true;
    return false;
}

static void tell_left(const Inherited *in, const PassedSocket *p, EventLog *log) {
    char text[ADDR_TEXT_MAX] = "";
    const char *kind = endpoint_kind_to_string(p->kind);
    if (p->addr.len > 0)
        (void)addr_format(&p->addr, text);
    if (!other_is_taken(in, p))
        eventlog_say(log, LOG_LEVEL_WARNING, "inherit",
                     "%s '%s' (%s) was passed in, but no service listens there: closed",
                     p->addr.len > 0 ? "socket" : kind, p->name, p->addr.len > 0 ? text : "by its name");
    else if (p->addr.len > 0)
        eventlog_say(log, LOG_LEVEL_WARNING, "inherit",
                     "socket '%s' (%s) was passed in, but systemd:%s has taken another of that name: closed; "
                     "to listen there as well, add %s:%s",
                     p->name, text, p->name, kind, text);
    else
        eventlog_say(log, LOG_LEVEL_WARNING, "inherit",
                     "%s '%s' was passed in, but systemd:%s has taken another of that name: closed; "
                     "give it a name of its own",
                     kind, p->name, p->name);
}

void inherited_done(Inherited *in, EventLog *log) {
    for (size_t i = 0; i < in->n; i++) {
        PassedSocket *p = &in->sockets[i];
        char text[ADDR_TEXT_MAX];
        if (p->fd >= 0 && p->ours) {
            eventlog_say(log, LOG_LEVEL_INFO, "inherit",
                         "what the service manager kept for %s is not listened on any more: closed",
                         p->addr.len > 0 ? addr_format(&p->addr, text) : p->name);
            p->fd = fd_close(p->fd);
            fd_store_forget(in->store, p->name);
        }
        if (p->fd >= 0) {
            tell_left(in, p, log);
            (void)close(p->fd);
        }
    }
    for (size_t i = 0; i < in->n; i++)
        free(in->sockets[i].name);
    in->ledger = fd_close(in->ledger);
    in->state = fd_close(in->state);
    free(in->sockets);
    *in = (Inherited){0};
}
