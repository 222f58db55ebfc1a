/* SPDX-License-Identifier: MIT */
#include "daemon/sock-ends.h"

#include <arpa/inet.h>
#include <errno.h>
#include <linux/netlink.h>
#include <linux/sock_diag.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>

#include "daemon/base/fd-kind.h"

/* What is told of one connection is some 400 bytes. */
#define MESSAGE_BYTES 4096
/* So many a turn of the loop. */
#define TURN_READS 64
/* Whoever waits for one looks through so many. */
#define READS_MAX 1024
/* Room for some thousand while the loop is busy with other things. */
#define RECEIVE_BUFFER (4 << 20)

struct SockEnds {
    int fd;
    sd_event_source *source;
    SockEndsTold told;
    SockEndsLost lost;
    void *userdata;
    uint16_t ports[SOCK_ENDS_PORTS_MAX];
    size_t n_ports;
    bool all; /* there are too many of them to be told apart */
    uint64_t times_lost;
};

SockEnds *sock_ends_free(SockEnds *e) {
    if (!e)
        return NULL;
    e->source = sd_event_source_disable_unref(e->source);
    (void)fd_close(e->fd);
    free(e);
    return NULL;
}

size_t sock_ends_filter(const uint16_t *ports, size_t n,
                        struct sock_filter ret[static SOCK_ENDS_FILTER_MAX]) {
    enum {
        OWN_PORT = NLMSG_HDRLEN + offsetof(struct inet_diag_msg, id.idiag_sport)
    };
    ret[0] = (struct sock_filter)BPF_STMT(BPF_LD | BPF_H | BPF_ABS, OWN_PORT);
    for (size_t i = 0; i < n; i++)
        ret[1 + i] = (struct sock_filter)BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, ports[i], (uint8_t)(n - i), 0);
    ret[1 + n] = (struct sock_filter)BPF_STMT(BPF_RET | BPF_K, 0);
    ret[2 + n] = (struct sock_filter)BPF_STMT(BPF_RET | BPF_K, UINT32_MAX);
    return n + 3;
}

static int apply_filter(SockEnds *e) {
    struct sock_filter code[SOCK_ENDS_FILTER_MAX];
    struct sock_fprog program = {.filter = code};
    int none = 0;
    if (e->all)
        return setsockopt(e->fd, SOL_SOCKET, SO_DETACH_FILTER, &none, sizeof(none)) < 0 ? -errno : 0;
    program.len = (unsigned short)sock_ends_filter(e->ports, e->n_ports, code);
    return setsockopt(e->fd, SOL_SOCKET, SO_ATTACH_FILTER, &program, sizeof(program)) < 0 ? -errno : 0;
}

int sock_ends_add_port(SockEnds *e, uint16_t port) {
    if (e->all)
        return 0;
    for (size_t i = 0; i < e->n_ports; i++)
        if (e->ports[i] == port)
            return 0;
    if (e->n_ports == SOCK_ENDS_PORTS_MAX)
        e->all = true;
    else
        e->ports[e->n_ports++] = port;
    return apply_filter(e);
}

bool sock_ends_parse(const char *data, size_t n, uint64_t *ret_cookie, SockInfo *ret) {
    struct nlmsghdr h;
    struct inet_diag_sockid id;
    uint32_t inode;
    if (n < sizeof(h))
        return false;
    memcpy(&h, data, sizeof(h));
    if (h.nlmsg_len < NLMSG_HDRLEN || h.nlmsg_len > n || h.nlmsg_type != SOCK_DIAG_BY_FAMILY ||
        !sock_info_read(data + NLMSG_HDRLEN, h.nlmsg_len - NLMSG_HDRLEN, ret, &id, &inode))
        return false;
    *ret_cookie = sock_id_cookie(&id);
    return true;
}

/* True while there may be more. */
static bool read_one(SockEnds *e) {
    char data[MESSAGE_BYTES];
    struct sockaddr_nl from = {0};
    socklen_t from_length = sizeof(from);
    SockInfo last;
    uint64_t cookie;
    ssize_t n = recvfrom(e->fd, data, sizeof(data), MSG_DONTWAIT, (struct sockaddr *)&from, &from_length);
    if (n < 0 && errno == ENOBUFS) {
        e->lost(++e->times_lost, e->userdata);
        return true;
    }
    if (n < 0)
        return errno == EINTR;
    if (from.nl_pid == 0 && sock_ends_parse(data, (size_t)n, &cookie, &last))
        e->told(cookie, &last, e->userdata);
    return true;
}

void sock_ends_read(SockEnds *e) {
    for (unsigned i = 0; i < READS_MAX && read_one(e); i++)
        continue;
}

static int on_readable(sd_event_source *s, int fd, uint32_t revents, void *userdata) {
    (void)s;
    (void)fd;
    (void)revents;
    for (unsigned i = 0; i < TURN_READS && read_one(userdata); i++)
        continue;
    return 0;
}

/* The filter comes first: nothing is told that nobody has asked for. */
static int subscribe(SockEnds *e) {
    static const int groups[] = {SKNLGRP_INET_TCP_DESTROY, SKNLGRP_INET6_TCP_DESTROY};
    int size = RECEIVE_BUFFER;
    struct sockaddr_nl any = {.nl_family = AF_NETLINK};
    int r = apply_filter(e);
    if (r < 0)
        return r;
    /* Without a number of its own it would be taken for the sender, and left out. */
    if (bind(e->fd, (struct sockaddr *)&any, sizeof(any)) < 0)
        return -errno;
    /* Beyond net.core.rmem_max with the privilege only. */
    if (setsockopt(e->fd, SOL_SOCKET, SO_RCVBUFFORCE, &size, sizeof(size)) < 0)
        (void)setsockopt(e->fd, SOL_SOCKET, SO_RCVBUF, &size, sizeof(size));
    for (size_t i = 0; i < ELEMENTS(groups); i++) {
        if (setsockopt(e->fd, SOL_NETLINK, NETLINK_ADD_MEMBERSHIP, &groups[i], sizeof(groups[i])) < 0)
            return -errno;
    }
    return 0;
}

static int watch(SockEnds *e, sd_event *loop) {
    int r = sd_event_add_io(loop, &e->source, e->fd, EPOLLIN, on_readable, e);
    if (r >= 0)
        (void)sd_event_source_set_description(e->source, "sock-ends");
    return r < 0 ? r : 0;
}

int sock_ends_new(sd_event *loop, SockEndsTold told, SockEndsLost lost, void *userdata, SockEnds **ret) {
    SockEnds *e = calloc(1, sizeof(*e));
    if (!e)
        return -ENOMEM;
    *e = (SockEnds){.told = told, .lost = lost, .userdata = userdata};
    e->fd = socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC | SOCK_NONBLOCK, NETLINK_SOCK_DIAG);
    int r = e->fd < 0 ? -errno : subscribe(e);
    if (r >= 0)
        r = watch(e, loop);
    if (r < 0) {
        sock_ends_free(e);
        return r;
    }
    *ret = e;
    return 0;
}

/* The upgrade in place. The socket keeps its groups and its filter. */

enum {
    ENDS_FD = 1,
    ENDS_PORTS,
    ENDS_ALL,
    ENDS_TIMES_LOST,
};

void sock_ends_save(BlobWriter *w, const SockEnds *e) {
    uint64_t ports[SOCK_ENDS_PORTS_MAX];
    for (size_t i = 0; i < e->n_ports; i++)
        ports[i] = e->ports[i];
    blob_put_fd(w, ENDS_FD, e->fd);
    blob_put_u64s(w, ENDS_PORTS, ports, e->n_ports);
    blob_put_bool(w, ENDS_ALL, e->all);
    blob_put_u64(w, ENDS_TIMES_LOST, e->times_lost);
}

/* Of more than this version tells apart it is told of all. */
static void take_ports(const BlobField *f, SockEnds *e) {
    uint64_t ports[SOCK_ENDS_PORTS_MAX];
    blob_u64s(f, ports, SOCK_ENDS_PORTS_MAX);
    size_t n = f->n / sizeof(uint64_t);
    e->all = e->all || n > SOCK_ENDS_PORTS_MAX;
    e->n_ports = n < SOCK_ENDS_PORTS_MAX ? n : SOCK_ENDS_PORTS_MAX;
    for (size_t i = 0; i < e->n_ports; i++)
        e->ports[i] = (uint16_t)ports[i];
}

int sock_ends_restore(BlobReader in, sd_event *loop, SockEndsTold told, SockEndsLost lost, void *userdata,
                      SockEnds **ret) {
    BlobField f;
    SockEnds *e = calloc(1, sizeof(*e));
    if (!e)
        return -ENOMEM;
    *e = (SockEnds){.fd = -EBADF, .told = told, .lost = lost, .userdata = userdata};
    while (blob_next(&in, &f)) {
        if (f.tag == ENDS_FD && e->fd < 0)
            e->fd = blob_fd_of(&f, FD_NETLINK);
        else if (f.tag == ENDS_PORTS)
            take_ports(&f, e);
        else if (f.tag == ENDS_ALL)
            e->all = blob_bool(&f);
        else if (f.tag == ENDS_TIMES_LOST)
            e->times_lost = blob_u64(&f);
    }
    if (e->fd < 0)
        blob_spoil(in.source, "the socket that tells of ends is missing");
    int r = blob_is_spoilt(in.source) ? -EBADMSG : watch(e, loop);
    if (r < 0) {
        sock_ends_free(e);
        return r;
    }
    *ret = e;
    return 0;
}
