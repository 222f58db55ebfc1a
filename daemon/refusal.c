/* SPDX-License-Identifier: MIT */
#include "daemon/refusal.h"

#include <string.h>
#include <sys/socket.h>

#include "conf/access.h"
#include "daemon/base/clock.h"
#include "daemon/gate.h"
#include "daemon/launch.h"
#include "daemon/linger.h"
#include "daemon/offence.h"
#include "daemon/service.h"

static void count(Service *s, const Peer *peer, RefuseReason reason) {
    service_history(s)->counters.refused[reason]++;
    Prefix source_prefix = prefix_of_source(peer, s->limits->source_ipv4, s->limits->source_ipv6);
    top_sources_add(&service_history(s)->refused_sources, &source_prefix, reason, clock_realtime_usec());
    if (peer->kind != PEER_NONE) {
        Peer prefix = gate_prefix(s, peer);
        Source *source = sources_find(s->rt->sources, s->id, &prefix);
        if (source)
            source->refused++;
    }
}

static void tell(Service *s, const Peer *peer, const Admission *a, const char *detail) {
    CLEANUP_TEXT Text message = {0};
    char text[PEER_TEXT_MAX];
    text_add(&message, "refused: ");
    admission_format(a, clock_monotonic_nsec(), &message);
    if (detail)
        text_addf(&message, " (%s)", detail);
    ApiEvent e = eventlog_event(LOG_LEVEL_WARNING, "refused");
    e.service = s->name;
    e.peer = peer_format(peer, s->rt->log_addresses, text);
    e.reason = refuse_reason_to_string(a->reason);
    e.message = message.s ? message.s : "refused";
    service_emit(s, &e);
}

void refusal_tell(Service *s, const Peer *peer, const Admission *a, const char *detail) {
    count(s, peer, a->reason);
    /* In a flood most are left out, and cost nothing more. */
    if (service_may_tell(s, LIMITED_REFUSED))
        tell(s, peer, a, detail);
    if (offence_is_refusal(a->reason))
        offence_count(s, peer, BAN_REFUSALS);
}

/* "deny 192.0.2.0/24": the rule that keeps it out. */
static void write_rule(const Service *s, const Connection *c, Text *out) {
    AccessRule rule;
    if (!access_allows(s->config->terms->access.rules, &c->peer, c->groups, c->n_groups, &rule))
        gate_explain(s, &rule, out);
}

/* The answer to its tcpmux name, and banner.refused. A new socket has room for all of it. */
static void say(Service *s, Connection *c) {
    const BannerConfig *b = &s->config->terms->banner;
    struct iovec parts[2];
    size_t n_parts = 0;
    if (c->last_word)
        parts[n_parts++] = (struct iovec){.iov_base = (char *)c->last_word, .iov_len = strlen(c->last_word)};
    if (s->limits->refuse_with == REFUSE_WITH_BANNER && b->n_refused > 0)
        parts[n_parts++] = (struct iovec){.iov_base = b->refused_bytes, .iov_len = b->n_refused};
    struct msghdr m = {.msg_iov = parts, .msg_iovlen = n_parts};
    ssize_t n = n_parts > 0 ? sendmsg(c->fd, &m, MSG_DONTWAIT | MSG_NOSIGNAL) : 0;
    if (n > 0 && c->fd < s->rt->fd_ceiling)
        linger_add(s->rt->linger, TAKE_FD(c->fd));
    else
        c->fd = linger_not(s->rt->discard, c->fd);
}

static void reset(const Connection *c) {
    struct linger none = {.l_onoff = 1, .l_linger = 0};
    (void)setsockopt(c->fd, SOL_SOCKET, SO_LINGER, &none, sizeof(none));
}

void refusal_refuse(Service *s, Connection *c, const Admission *a, const char *detail) {
    CLEANUP_TEXT Text rule = {0};
    if (a->reason == REFUSE_ACCESS && !detail) {
        write_rule(s, c, &rule);
        detail = rule.s;
    }
    refusal_tell(s, &c->peer, a, detail);
    /* A datagram's sender has no connection. */
    if (c->fd < 0)
        return;
    if (s->limits->refuse_with == REFUSE_WITH_RESET)
        reset(c);
    else
        say(s, c);
    c->fd = discard_socket(s->rt->discard, c->fd);
}
