/* SPDX-License-Identifier: MIT */
#include "daemon/knock.h"

#include <string.h>
#include <sys/socket.h>

#include "conf/access.h"
#include "daemon/base/cleanup.h"
#include "daemon/base/clock.h"
#include "daemon/base/passed.h"
#include "daemon/launch.h"
#include "daemon/refusal.h"
#include "daemon/service.h"

/* The most that one wake-up refuses, so that a flood starves nobody. */
#define LOOKS_MAX 16

/* Who sent the datagram at the head of the queue. */
typedef struct Sender {
    Addr addr;
    bool has_credentials;
    struct ucred credentials;
    bool descriptors; /* some have come along */
} Sender;

bool knock_is_asked(const Listener *l) {
    return l->kind == ENDPOINT_UDP || l->kind == ENDPOINT_UNIX_DGRAM;
}

/* Whether anything of the service depends on who it is. */
static bool wants_users(const Service *s) {
    const ServiceConfig *c = s->config;
    return c->terms->access.rules || s->limits->rate_per_source.count > 0 || c->terms->ban.after.count > 0 ||
           c->terms->ban.sensor;
}

void knock_prepare(Listener *l) {
    int on = 1;
    /* The kernel notes the sender when he sends, and only while this is set: it stays, and his process may
     * see it, too. */
    if (l->kind == ENDPOINT_UNIX_DGRAM && wants_users(l->service))
        (void)setsockopt(l->fd, SOL_SOCKET, SO_PASSCRED, &on, sizeof(on));
}

/* The sender */

/* Looks at the next datagram and leaves it there. 0 or a negative errno. */
static int peek(Listener *l, Sender *ret) {
    PassedLook look;
    *ret = (Sender){.addr.len = 0};
    /* A process that had the socket may have changed that. */
    knock_prepare(l);
    if (passed_peek(l->fd, NULL, 0, &look) < 0)
        return -errno;
    memcpy(&ret->addr.storage, &look.from, sizeof(look.from));
    ret->addr.len = look.n_from;
    addr_unmap(&ret->addr);
    ret->descriptors = look.descriptors;
    /* What was sent before the kernel was asked to note it has no process. */
    ret->has_credentials = wants_users(l->service) && look.sender.pid > 0;
    ret->credentials = look.sender;
    return 0;
}

/* The empty ones as well. Whether it is gone. */
static bool take_away(Listener *l, const Sender *sender) {
    if (sender->descriptors)
        listener_take_away(l);
    else
        (void)recv(l->fd, NULL, 0, MSG_DONTWAIT | MSG_TRUNC);
    return !sender->descriptors;
}

/* Guards */

static bool is_forged(const Addr *from) {
    if (from->sa.sa_family == AF_INET) {
        in_addr_t a = ntohl(from->in.sin_addr.s_addr);
        return a == INADDR_ANY || a == INADDR_BROADCAST || IN_MULTICAST(a);
    }
    return from->sa.sa_family == AF_INET6 &&
           (IN6_IS_ADDR_UNSPECIFIED(&from->in6.sin6_addr) || IN6_IS_ADDR_MULTICAST(&from->in6.sin6_addr));
}

static bool is_inet(const Addr *a) {
    return a->sa.sa_family == AF_INET || a->sa.sa_family == AF_INET6;
}

static bool is_itself(const Addr *from, bool is_local, const Addr *own) {
    if (addr_equal(from, own))
        return true;
    return is_inet(from) && is_local && addr_is_wildcard(own) && from->sa.sa_family == own->sa.sa_family &&
           addr_port(from) == addr_port(own);
}

const char *knock_suspicion(const Addr *from, bool is_local, const Addr *own[], size_t n) {
    if (is_inet(from) && addr_port(from) == 0)
        return "a forged sender: port 0";
    if (is_forged(from))
        return "a forged sender: nobody's address";
    for (size_t i = 0; i < n && from->len > sizeof(sa_family_t); i++)
        if (is_itself(from, is_local, own[i]))
            return "a loop: the sender is this service";
    return NULL;
}

/* Whether the address is one of this machine: then it is also the one that the way there begins at. Sends
 * nothing. */
static bool is_of_this_machine(const Addr *a) {
    if (a->sa.sa_family == AF_INET && ntohl(a->in.sin_addr.s_addr) >> 24 == IN_LOOPBACKNET)
        return true;
    Addr own = {.len = sizeof(own.storage)};
    CLEANUP_CLOSE int fd = socket(a->sa.sa_family, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    return fd >= 0 && connect(fd, &a->sa, a->len) == 0 && getsockname(fd, &own.sa, &own.len) == 0 &&
           addr_host_equal(a, &own);
}

static const char *suspicion_of(const Service *s, const Addr *from) {
    bool is_local = false;
    for (size_t i = 0; i < s->n_listeners; i++) {
        const Listener *l = s->listeners[i];
        if (!knock_is_asked(l) || !listener_is_open(l))
            continue;
        const Addr addr = listener_addr(l), *own[] = {&addr};
        /* Only who has its port number is looked at more closely. */
        if (is_inet(from) && addr_port(from) != 0 && addr_port(from) == addr_port(&addr))
            is_local = is_of_this_machine(from);
        const char *why = knock_suspicion(from, is_local, own, 1);
        if (why)
            return why;
    }
    return NULL;
}

/* Admission */

static void introduce(const Service *s, const Sender *sender, Connection *c) {
    c->fd = -EBADF;
    c->remote = sender->addr;
    if (sender->addr.sa.sa_family == AF_INET || sender->addr.sa.sa_family == AF_INET6)
        c->peer = peer_from_addr(&sender->addr);
    if (!sender->has_credentials)
        return;
    c->has_credentials = true;
    c->uid = sender->credentials.uid;
    c->gid = sender->credentials.gid;
    c->pid = sender->credentials.pid;
    c->peer = peer_from_uid(c->uid);
    /* The kernel tells the one group of a datagram's sender. */
    if (s->config->terms->access.rules && access_rules_want_groups(s->config->terms->access.rules))
        c->groups = malloc(sizeof(gid_t));
    if (c->groups) {
        c->groups[0] = c->gid;
        c->n_groups = 1;
    }
}

/* Whether it may start a process; if not, it has been told of. */
static bool is_admitted(Service *s, const Sender *sender, const Admission *before) {
    Connection c = {.fd = -EBADF};
    introduce(s, sender, &c);
    const char *why = suspicion_of(s, &sender->addr);
    Admission a = {.verdict = VERDICT_REFUSE, .reason = REFUSE_ACCESS};
    if (!why)
        a = gate_admit(s, &c, before);
    if (a.verdict == VERDICT_REFUSE)
        refusal_refuse(s, &c, &a, why);
    else
        /* It is taken once for each start, by who starts the process. */
        bucket_give_back(&s->gate.rate, &s->limits->rate);
    /* The process is there for all who come. */
    gate_release(s->rt, &c.source);
    connection_done(s->rt, &c);
    return a.verdict == VERDICT_SERVE;
}

bool knock_may_start(Listener *l) {
    Service *s = l->service;
    for (unsigned i = 0; i < LOOKS_MAX && !l->taking; i++) {
        Admission before = gate_ask(s);
        if (before.verdict == VERDICT_WAIT) {
            service_update(s, NULL);
            return false;
        }
        Sender sender;
        int r = peek(l, &sender);
        /* Nothing is there although it was said to be: a process that had the socket may have called
         * shutdown(2), and then that is said for ever. */
        if (r == -ENOMEM || r == -ENOBUFS || r == -EBADF || (r == -EAGAIN && i == 0))
            listener_pause(l);
        if (r == -EAGAIN || r == -ENOMEM || r == -ENOBUFS || r == -EBADF)
            return false;
        /* An error that an earlier answer has come back with (ICMP) is gone once it has been told. */
        if (r < 0)
            continue;
        listener_relax(l);
        if (is_admitted(s, &sender, &before))
            return true;
        if (!take_away(l, &sender))
            return false;
    }
    return false;
}
