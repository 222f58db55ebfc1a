/* SPDX-License-Identifier: MIT */
#include "daemon/inherit.h"

#include <fcntl.h>
#include <mqueue.h>
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

int inherited_init(Inherited *in, EventLog *log) {
    CLEANUP_STRV char **names = NULL;
    *in = (Inherited){0};
    int n = take_announcement(&names, log);
    if (n <= 0)
        return n;
    in->sockets = calloc((size_t)n, sizeof(PassedSocket));
    if (!in->sockets)
        return -ENOMEM;
    for (int i = 0; i < n; i++) {
        const char *name = names ? names[i] : "unknown";
        PassedSocket p = {.fd = SD_LISTEN_FDS_START + i};
        int r = examine(&p);
        if (r < 0) {
            eventlog_say(log, LOG_LEVEL_WARNING, "inherit",
                         "descriptor %d ('%s') was passed in, but is nothing to listen on: closed", p.fd,
                         name);
            (void)close(p.fd);
            continue;
        }
        p.name = strdup(name);
        if (!p.name)
            return -ENOMEM;
        in->sockets[in->n++] = p;
    }
    return 0;
}

bool inherited_matches(const PassedSocket *socket, const ListenConfig *config, size_t index, bool by_name) {
    const Endpoint *e = &config->endpoint;
    const Addr *wanted = &e->addrs[index];
    if (socket->fd >= 0 && e->kind == ENDPOINT_SYSTEMD)
        return by_name && streq(socket->name, e->path);
    if (socket->fd < 0 || socket->kind != e->kind || socket->addr.sa.sa_family != wanted->sa.sa_family)
        return false;
    if (endpoint_kind_is_unix(e->kind) && !(addr_equal(&socket->addr, wanted) && path_is_there(wanted)))
        return false;
    if (wanted->len == 0 && !bind_node_is(e, socket->fd))
        return false;
    return by_name ? streq(socket->name, config->name) : addr_equal(&socket->addr, wanted);
}

/* Who takes connections needs a socket that has them. */
static bool suits_model(const PassedSocket *p, const Listener *l) {
    return l->config->endpoint.kind != ENDPOINT_SYSTEMD || p->listening ||
           l->service->config->model == MODEL_ON_DEMAND;
}

bool inherited_adopt(Inherited *in, Listener *l) {
    for (int by_name = 0; by_name <= 1; by_name++) {
        for (size_t i = 0; i < in->n; i++) {
            PassedSocket *p = &in->sockets[i];
            if (!inherited_matches(p, l->config, l->index, by_name))
                continue;
            l->unsuitable = !suits_model(p, l);
            if (l->unsuitable)
                continue;
            listener_adopt(l, TAKE_FD(p->fd), p->kind, &p->addr);
            return true;
        }
    }
    return false;
}

void inherited_done(Inherited *in, EventLog *log) {
    for (size_t i = 0; i < in->n; i++) {
        PassedSocket *p = &in->sockets[i];
        char text[ADDR_TEXT_MAX];
        if (p->fd >= 0) {
            eventlog_say(log, LOG_LEVEL_WARNING, "inherit",
                         "%s '%s' (%s) was passed in, but no service listens there: closed",
                         p->addr.len > 0 ? "socket" : endpoint_kind_to_string(p->kind), p->name,
                         p->addr.len > 0 ? addr_format(&p->addr, text) : "by its name");
            (void)close(p->fd);
        }
        free(p->name);
    }
    free(in->sockets);
    *in = (Inherited){0};
}
