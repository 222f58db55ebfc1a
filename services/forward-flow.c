/* SPDX-License-Identifier: MIT */
#include "services/forward-flow.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "daemon/base/cleanup.h"

/* Turns of taking in and giving out before another connection has its turn. */
#define FLOW_TURNS 8

void end_init(End *e, int fd, int type) {
    bool messages = type == SOCK_SEQPACKET;
    *e = (End){.fd = fd, .messages = messages, .splice_in = !messages, .splice_out = !messages};
}

int flow_prepend(Flow *f, CarrierStock *stock, const unsigned char *data, size_t n) {
    Carrier *c = carrier_take(stock, false);
    if (!c)
        return -ENOMEM;
    memcpy(c->data, data, n);
    c->waiting = n;
    f->carrier = c;
    return 0;
}

void flow_break(Flow *f, CarrierStock *stock) {
    if (!f->shut)
        f->broken = true;
    f->carrier = carrier_give_back(stock, f->carrier);
}

/* An error ends both directions of a socket; what it had said before was taken in already. */
static void end_fails(End *e) {
    e->dead = true;
}

/* splice(2): EINVAL where one of the two cannot, as a socket of a family that never learned it. */
static bool errno_is_no_splice(int e) {
    return e == EINVAL || e == ENOSYS || e == EOPNOTSUPP;
}

static bool errno_is_wait(int e) {
    return e == EAGAIN || e == EINTR;
}

/* Reads a message into memory; one that is longer than that is an error: half a message is none. */
static ssize_t receive_message(const End *from, Carrier *c) {
    struct iovec iov = {.iov_base = c->data, .iov_len = CARRIER_MESSAGE_BYTES};
    struct msghdr msg = {.msg_iov = &iov, .msg_iovlen = 1};
    ssize_t n = recvmsg(from->fd, &msg, MSG_DONTWAIT);
    if (n >= 0 && msg.msg_flags & MSG_TRUNC) {
        errno = EMSGSIZE;
        return -1;
    }
    return n;
}

static ssize_t receive(const End *from, Carrier *c) {
    if (!c->data)
        return splice(from->fd, NULL, c->pipe[1], NULL, CARRIER_PIPE_BYTES,
                      SPLICE_F_MOVE | SPLICE_F_NONBLOCK);
    if (from->messages)
        return receive_message(from, c);
    return recv(from->fd, c->data, CARRIER_STREAM_BYTES, MSG_DONTWAIT);
}

/* Takes in what has come. */
static void take_in(Flow *f, End *from, const End *to, CarrierStock *stock) {
    Carrier *c = carrier_take(stock, from->splice_in && to->splice_out);
    if (!c) {
        end_fails(from);
        f->ended = true;
        return;
    }
    ssize_t n = receive(from, c);
    int error = errno;
    if (n > 0) {
        c->start = 0;
        c->waiting = (size_t)n;
        f->carrier = c;
        /* epoll(7): less than was asked for says that nothing is left. A pipe may have been full of small
         * pieces. */
        if (c->data && !from->messages && n < (ssize_t)CARRIER_STREAM_BYTES)
            from->readable = false;
        return;
    }
    bool is_pipe = !c->data;
    carrier_give_back(stock, c);
    if (n == 0)
        f->ended = true;
    else if (error == EAGAIN)
        from->readable = false;
    else if (is_pipe && errno_is_no_splice(error))
        from->splice_in = false;
    else if (error != EINTR) {
        end_fails(from);
        f->ended = true;
    }
}

/* What is in the pipe goes on in memory: the destination turned out not to know splice(2). */
static int unsplice(Flow *f, CarrierStock *stock) {
    Carrier *pipe = f->carrier, *c = carrier_take(stock, false);
    if (!c)
        return -ENOMEM;
    f->carrier = c;
    if (pipe->waiting > CARRIER_MESSAGE_BYTES) {
        unsigned char *larger = realloc(c->data, pipe->waiting);
        if (!larger) {
            carrier_give_back(stock, pipe);
            return -ENOMEM;
        }
        c->data = larger;
    }
    while (pipe->waiting > 0) {
        ssize_t n = read(pipe->pipe[0], c->data + c->waiting, pipe->waiting);
        if (n <= 0)
            break;
        c->waiting += (size_t)n;
        pipe->waiting -= (size_t)n;
    }
    bool all = pipe->waiting == 0;
    carrier_give_back(stock, pipe);
    return all ? 0 : -EIO;
}

static ssize_t transmit(const Carrier *c, const End *to) {
    if (!c->data)
        return splice(c->pipe[0], NULL, to->fd, NULL, c->waiting, SPLICE_F_MOVE | SPLICE_F_NONBLOCK);
    return send(to->fd, c->data + c->start, c->waiting, MSG_DONTWAIT | MSG_NOSIGNAL);
}

/* Gives out what waits. */
static void give_out(Flow *f, End *to, CarrierStock *stock) {
    Carrier *c = f->carrier;
    ssize_t n = transmit(c, to);
    if (n > 0) {
        c->start += (size_t)n;
        c->waiting -= (size_t)n;
        f->bytes += (uint64_t)n;
        if (c->waiting == 0)
            f->carrier = carrier_give_back(stock, c);
        return;
    }
    int error = n == 0 ? EPIPE : errno;
    if (error == EAGAIN) {
        to->writable = false;
    } else if (!c->data && errno_is_no_splice(error)) {
        to->splice_out = false;
        if (unsplice(f, stock) < 0)
            flow_break(f, stock);
    } else if (error != EINTR) {
        flow_break(f, stock);
    }
}

/* The destination takes no more, but to leave the rest unread would reset the connection when it is closed
 * (RFC 2525, 2.17), and the source could lose what it was told. */
static void throw_away(Flow *f, End *from) {
    unsigned char scrap[16384];
    ssize_t n = recv(from->fd, scrap, sizeof(scrap), MSG_DONTWAIT);
    if (n < 0 && errno == EAGAIN)
        from->readable = false;
    else if (n == 0 || (n < 0 && !errno_is_wait(errno)))
        f->ended = true;
}

/* The source has ended and all is given out. */
static void pass_end(Flow *f, const End *to) {
    if (!f->last)
        (void)shutdown(to->fd, SHUT_WR);
    f->shut = true;
}

FlowStep flow_step(Flow *f, End *from, End *to, CarrierStock *stock) {
    for (int i = 0; i < FLOW_TURNS; i++) {
        if (f->carrier) {
            if (!to->writable)
                return FLOW_WAITS;
            give_out(f, to, stock);
        } else if (f->ended) {
            if (!f->shut && !f->broken)
                pass_end(f, to);
            return FLOW_WAITS;
        } else if (!from->readable) {
            return FLOW_WAITS;
        } else if (f->broken) {
            throw_away(f, from);
        } else {
            take_in(f, from, to, stock);
        }
    }
    return FLOW_MORE;
}
