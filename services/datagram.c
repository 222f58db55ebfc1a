/* SPDX-License-Identifier: MIT */
#include "services/datagram.h"

#include <errno.h>
#include <netinet/in.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

#include "services/mp-service.h"

/* The largest payload over IPv4 is 65507 bytes, over IPv6 65527 (udp(7), RFC 768); UNIX datagrams may be
 * larger, and are cut. */
#define DATAGRAM_MAX (64U << 10)
/* Datagrams of one socket for each wake-up, so that a flood of one does not starve the others. */
#define DATAGRAM_BATCH 64

struct Datagram {
    DatagramReply *reply;
    int fd;
    struct sockaddr_storage own; /* the address that the socket is bound to */
    socklen_t own_len;
    DatagramCount count;
    unsigned char data[DATAGRAM_MAX];
};

/* One request's way in and out: recvmsg(2)'s view of it, and room for what the kernel tells of its address.
 */
typedef struct Exchange {
    struct sockaddr_storage peer;
    struct iovec iov;
    struct msghdr msg;
    _Alignas(struct cmsghdr) char control[CMSG_SPACE(sizeof(struct in_pktinfo)) +
                                          CMSG_SPACE(sizeof(struct in6_pktinfo))];
} Exchange;

Datagram *datagram_new(DatagramReply *reply, int fd) {
    Datagram *d = malloc(sizeof(*d));
    if (!d)
        return NULL;
    d->reply = reply;
    d->fd = fd;
    d->count = (DatagramCount){0};
    memset(&d->own, 0, sizeof(d->own));
    d->own_len = sizeof(d->own);
    if (getsockname(fd, (struct sockaddr *)&d->own, &d->own_len) < 0)
        d->own_len = 0;
    /* Without it answers still leave, only from the address that routing picks: no reason to fail. */
    const int on = 1;
    if (d->own.ss_family == AF_INET)
        (void)setsockopt(fd, IPPROTO_IP, IP_PKTINFO, &on, sizeof(on));
    else if (d->own.ss_family == AF_INET6)
        (void)setsockopt(fd, IPPROTO_IPV6, IPV6_RECVPKTINFO, &on, sizeof(on));
    return d;
}

Datagram *datagram_free(Datagram *d) {
    free(d);
    return NULL;
}

int datagram_fd(const Datagram *d) {
    return d->fd;
}

DatagramCount datagram_count(const Datagram *d) {
    return d->count;
}

/* Where an IPv4 datagram was sent to, kept as the answer's source: ip(7) reads ipi_spec_dst when sending. */
static void use_pktinfo4(struct cmsghdr *c, struct sockaddr_storage *local, bool *ret_many) {
    struct in_pktinfo info;
    memcpy(&info, CMSG_DATA(c), sizeof(info));
    /* Of a datagram that came before the option was set, as the first one of an on-demand service, the kernel
     * knows only where it was sent to. To answer from there then fails for an address that is not ours alone.
     */
    if (info.ipi_spec_dst.s_addr == htonl(INADDR_ANY))
        info.ipi_spec_dst = info.ipi_addr;
    /* They differ for broadcast and multicast: asked of many at once. */
    *ret_many = info.ipi_spec_dst.s_addr != info.ipi_addr.s_addr;
    struct sockaddr_in *in = (struct sockaddr_in *)local;
    in->sin_addr = info.ipi_addr;
    /* Routing picks the way back, as for any other answer. */
    info.ipi_ifindex = 0;
    memcpy(CMSG_DATA(c), &info, sizeof(info));
}

static void use_pktinfo6(struct cmsghdr *c, struct sockaddr_storage *local) {
    struct in6_pktinfo info;
    memcpy(&info, CMSG_DATA(c), sizeof(info));
    struct sockaddr_in6 *in6 = (struct sockaddr_in6 *)local;
    in6->sin6_addr = info.ipi6_addr;
    /* A link-local address means nothing without its interface, ipv6(7). */
    if (!IN6_IS_ADDR_LINKLOCAL(&info.ipi6_addr))
        info.ipi6_ifindex = 0;
    memcpy(CMSG_DATA(c), &info, sizeof(info));
}

/* The guard's verdict. Leaves as the message's control data what makes the answer come from the right
 * address, and nothing else that the kernel may have told. */
static bool is_refused(const Datagram *d, struct msghdr *msg) {
    struct sockaddr_storage local = d->own;
    struct cmsghdr *keep = NULL;
    bool many = false;
    for (struct cmsghdr *c = CMSG_FIRSTHDR(msg); c; c = CMSG_NXTHDR(msg, c)) {
        if (c->cmsg_level == IPPROTO_IP && c->cmsg_type == IP_PKTINFO && local.ss_family == AF_INET)
            use_pktinfo4(c, &local, &many);
        else if (c->cmsg_level == IPPROTO_IPV6 && c->cmsg_type == IPV6_PKTINFO && local.ss_family == AF_INET6)
            use_pktinfo6(c, &local);
        else
            continue;
        keep = c;
    }
    msg->msg_control = keep;
    msg->msg_controllen = keep ? keep->cmsg_len : 0;
    return many ||
           mp_datagram_refused(msg->msg_name, msg->msg_namelen, (struct sockaddr *)&local, d->own_len);
}

static void answer(Datagram *d, Exchange *x, size_t n) {
    ssize_t length = d->reply(d->data, n, sizeof(d->data), d->count.served);
    if (length > (ssize_t)n && !mp_datagram_is_local(x->msg.msg_name, x->msg.msg_namelen)) {
        d->count.refused++;
        return;
    }
    d->count.served++;
    if (length < 0)
        return;
    x->iov.iov_len = (size_t)length;
    /* A datagram may be lost: a full queue, a sender without an address (ENOTCONN), one that nothing leads
     * to. */
    (void)sendmsg(d->fd, &x->msg, MSG_DONTWAIT | MSG_NOSIGNAL);
}

/* errno values of recvmsg(2) that tell of an earlier answer that did not arrive (ICMP, udp(7)), or of a bad
 * moment; the socket goes on. */
static bool errno_is_passing(int e) {
    return e == ECONNREFUSED || e == ECONNRESET || e == EHOSTUNREACH || e == ENETUNREACH || e == EHOSTDOWN ||
           e == ENETDOWN || e == EMSGSIZE || e == EPROTO || e == ENOPROTOOPT || e == EACCES || e == EPERM ||
           e == EINTR || e == ENOMEM || e == ENOBUFS;
}

static ssize_t receive(Datagram *d, Exchange *x) {
    bool inet = d->own.ss_family == AF_INET || d->own.ss_family == AF_INET6;
    x->iov = (struct iovec){.iov_base = d->data, .iov_len = sizeof(d->data)};
    x->msg = (struct msghdr){
        .msg_name = &x->peer, .msg_namelen = sizeof(x->peer), .msg_iov = &x->iov, .msg_iovlen = 1};
    /* None for UNIX sockets: descriptors that somebody sends along are then closed by the kernel, unix(7). */
    if (inet) {
        x->msg.msg_control = x->control;
        x->msg.msg_controllen = sizeof(x->control);
    }
    return recvmsg(d->fd, &x->msg, MSG_DONTWAIT);
}

int datagram_serve(Datagram *d) {
    int did = 0;
    for (int i = 0; i < DATAGRAM_BATCH; i++) {
        Exchange x;
        ssize_t n = receive(d, &x);
        if (n < 0) {
            if (errno == EAGAIN)
                break;
            if (!errno_is_passing(errno))
                return -errno;
            continue;
        }
        did = 1;
        if (is_refused(d, &x.msg))
            d->count.refused++;
        else
            answer(d, &x, (size_t)n);
    }
    return did;
}
