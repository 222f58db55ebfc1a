/* SPDX-License-Identifier: MIT */
#include "daemon/account.h"

#include <sys/socket.h>

#include "daemon/base/clock.h"
#include "daemon/ending.h"
#include "daemon/idle-connection.h"

bool service_config_counts_traffic(const ServiceConfig *c) {
    /* The workers of a pool have many, one after the other. */
    bool one_each = c->model == MODEL_PER_CONNECTION || c->model == MODEL_FORWARD;
    unsigned wanted = log_facts_wanted(&c->terms->log, true) | log_facts_wanted(&c->terms->log, false);
    return one_each && service_config_accepts(c) && (wanted & LOG_FACT_BIT(LOG_FACT_TRAFFIC));
}

/* mp-forward keeps the time by itself. */
static bool limits_idle(const ServiceConfig *c) {
    return c->model == MODEL_PER_CONNECTION && c->terms->timeout_idle_usec != USEC_INFINITY;
}

AccountName account_name(const Service *s, int fd) {
    AccountName n = {.wanted = limits_idle(s->config) || service_config_counts_traffic(s->config)};
    if (n.wanted)
        n.error = sock_query_name(s->rt->sockets, fd, &n.name);
    return n;
}

static void begin_idle(Instance *i, const AccountName *name) {
    int r = name->error == 0 && name->name.family == AF_UNIX ? -EAFNOSUPPORT : name->error;
    /* A connection that is over does not move any more. */
    if (r == 0 || r == -ENOTCONN)
        r = idle_connection_new(i, r == 0 ? &name->name : NULL, &i->idle);
    if (r < 0)
        service_tell_idle_blind(i->service, -r);
}

void account_begin(Instance *i, const AccountName *name) {
    if (!i || !name->wanted)
        return;
    if (limits_idle(i->service->config))
        begin_idle(i, name);
    bool by_tcp = name->error != -EAFNOSUPPORT && name->name.family != AF_UNIX;
    i->counts_traffic = by_tcp && service_config_counts_traffic(i->service->config);
    if (i->counts_traffic && name->error == 0)
        i->flow = flow_new(i->rt->traffic, &name->name);
}
