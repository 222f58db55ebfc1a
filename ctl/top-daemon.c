/* SPDX-License-Identifier: MIT */
#include "ctl/top-daemon.h"

#include <string.h>

#include "ctl/fields.h"
#include "daemon/base/clock.h"

/* A daemon that hangs may leave us in its queue; keys are not looked at meanwhile. */
#define CONNECT_TIMEOUT_USEC (50 * USEC_PER_MSEC)
/* Without an answer for so long, that is said; and then the connection is given up. */
#define PATIENCE_USEC (3 * USEC_PER_SEC)
#define GIVE_UP_USEC (30 * USEC_PER_SEC)
#define RETRY_MAX_USEC USEC_PER_SEC
/* Rates need two looks; the first are worth having soon. */
#define FIRST_DELAY_USEC (500 * USEC_PER_MSEC)

#define AWAY "mpinetd does not answer; trying again"

int top_daemon_open(TopDaemon *d, Ctl *c) {
    int r = ctl_open(c, &d->path);
    if (r < 0) {
        /* Tries once more, and says why not. */
        int status = ctl_connect(c);
        if (status != 0)
            return status;
    }
    if (!d->path)
        return ctl_fail(c, CTL_FAILED, NULL, "out of memory");
    d->client = TAKE_PTR(c->client);
    return CTL_DONE;
}

static void forget_calls(TopDaemon *d) {
    d->n_calls = 0;
    json_decref(d->parts);
    d->parts = NULL;
    d->instances_asked = false;
}

void top_daemon_done(TopDaemon *d) {
    forget_calls(d);
    d->client = client_free(d->client);
    free(d->path);
    free(d->instances_of);
    text_done(&d->trouble);
    text_done(&d->said);
}

int top_daemon_fd(const TopDaemon *d) {
    return d->client ? client_fd(d->client) : -EBADF;
}

static void set_trouble(TopDaemon *d, const char *s) {
    text_reset(&d->trouble);
    text_add(&d->trouble, s);
}

static uint64_t retry_usec(uint64_t delay_usec) {
    return delay_usec < RETRY_MAX_USEC ? delay_usec : RETRY_MAX_USEC;
}

static void lose(TopDaemon *d, const char *why, uint64_t delay_usec, uint64_t now_usec) {
    d->client = client_free(d->client);
    forget_calls(d);
    set_trouble(d, why);
    d->status_due_usec = now_usec + retry_usec(delay_usec);
}

static void connect_again(TopDaemon *d, uint64_t delay_usec, uint64_t now_usec) {
    int r = client_open_within(d->path, CONNECT_TIMEOUT_USEC, &d->client);
    d->status_due_usec = now_usec;
    if (r == 0)
        return;
    lose(d, AWAY, delay_usec, now_usec);
    if (r == -EACCES || r == -EPERM)
        text_addf(&d->trouble, " (%s)", strerror(-r));
}

static bool awaits(const TopDaemon *d, Method m) {
    for (size_t i = 0; i < d->n_calls; i++)
        if (d->calls[i] == m)
            return true;
    return false;
}

/* A request is small, and few are under way: it always has room in the socket's buffer. */
static bool call(TopDaemon *d, Method m, json_t *parameters, bool more, uint64_t now_usec) {
    if (!d->client || awaits(d, m)) {
        json_decref(parameters);
        return false;
    }
    if (client_send(d->client, method_name(m), parameters, more) < 0)
        return false;
    if (d->n_calls == 0)
        d->asked_usec = now_usec;
    d->calls[d->n_calls++] = m;
    return true;
}

static void ask_status(TopDaemon *d, uint64_t delay_usec, uint64_t now_usec) {
    if (awaits(d, METHOD_STATUS) || now_usec < d->status_due_usec)
        return;
    (void)call(d, METHOD_STATUS, NULL, false, now_usec);
    d->status_due_usec += delay_usec;
    if (d->status_due_usec <= now_usec)
        d->status_due_usec = now_usec + delay_usec;
    d->instances_due = true;
}

static void ask_instances(TopDaemon *d, const TopModel *m, uint64_t now_usec) {
    const char *service;
    if (awaits(d, METHOD_INSTANCES) || !top_model_wants_instances(m, &service))
        return;
    if (!d->instances_due && d->instances_asked && streq_null(service, d->instances_of))
        return;
    json_t *parameters = service ? json_pack("{s:s}", "service", service) : NULL;
    if (!call(d, METHOD_INSTANCES, parameters, true, now_usec))
        return;
    free(d->instances_of);
    d->instances_of = service ? strdup(service) : NULL;
    d->instances_asked = true;
    d->instances_due = false;
    json_decref(d->parts);
    d->parts = json_array();
}

bool top_daemon_ask(TopDaemon *d, const TopModel *m, uint64_t delay_usec, bool paused, bool instances,
                    uint64_t now_usec) {
    bool changed = false;
    if (!d->client && now_usec >= d->status_due_usec) {
        connect_again(d, delay_usec, now_usec);
        changed = !d->client;
    }
    if (!d->client)
        return changed;
    if (d->n_calls > 0 && now_usec - d->asked_usec >= GIVE_UP_USEC) {
        lose(d, AWAY, delay_usec, now_usec);
        return true;
    }
    if (d->n_calls > 0 && now_usec - d->asked_usec >= PATIENCE_USEC && d->trouble.len == 0) {
        set_trouble(d, AWAY);
        changed = true;
    }
    if (!paused)
        ask_status(d, !m->status && delay_usec > FIRST_DELAY_USEC ? FIRST_DELAY_USEC : delay_usec, now_usec);
    if (instances)
        ask_instances(d, m, now_usec);
    return changed;
}

uint64_t top_daemon_next(const TopDaemon *d, bool paused) {
    uint64_t next = USEC_INFINITY;
    if (!d->client || (!paused && !awaits(d, METHOD_STATUS)))
        next = d->status_due_usec;
    if (d->client && d->n_calls > 0) {
        uint64_t patience = d->asked_usec + (d->trouble.len == 0 ? PATIENCE_USEC : GIVE_UP_USEC);
        next = patience < next ? patience : next;
    }
    return next;
}

void top_daemon_kill(TopDaemon *d, const char *service, int64_t pid, uint64_t now_usec) {
    json_t *parameters =
        pid < 0 ? json_pack("{s:s, s:n, s:n, s:s}", "service", service, "pid", "source", "signal", "SIGTERM")
                : json_pack("{s:n, s:I, s:n, s:s}", "service", "pid", (json_int_t)pid, "source", "signal",
                            "SIGTERM");
    text_reset(&d->said);
    d->said_bad = !call(d, METHOD_SIGNAL, parameters, false, now_usec);
    text_add(&d->said, d->said_bad ? "mpinetd does not answer: nothing was sent" : "sending TERM");
}

/* Answers. */

static void say_error(Text *out, const Reply *reply) {
    const char *name = strrchr(reply->error, '.'), *key;
    json_t *value;
    if (streq(reply->error, api_error(API_NOT_ALLOWED)->name)) {
        text_add(out, "not allowed: only who may manage mpinetd");
        return;
    }
    name = name ? name + 1 : reply->error;
    text_add_escaped(out, name, strlen(name));
    json_object_foreach(reply->parameters, key, value) {
        const char *s = json_string_value(value);
        text_add(out, s ? ": " : "");
        text_add_escaped(out, s ? s : "", s ? strlen(s) : 0);
    }
}

static void take_signaled(TopDaemon *d, const Reply *reply) {
    text_reset(&d->said);
    d->said_bad = reply->error != NULL;
    if (reply->error) {
        say_error(&d->said, reply);
        return;
    }
    uint64_t n = field_count(reply->parameters, "signaled");
    text_addf(&d->said, "TERM was sent to %llu process%s", (unsigned long long)n, n == 1 ? "" : "es");
}

static void take_status(TopDaemon *d, TopModel *m, const Reply *reply, uint64_t now_usec) {
    text_reset(&d->trouble);
    if (reply->error)
        say_error(&d->trouble, reply);
    else if (top_model_take_status(m, json_incref(reply->parameters), now_usec) < 0)
        set_trouble(d, "out of memory");
}

/* One that has gone meanwhile has none. */
static void take_instances(TopDaemon *d, TopModel *m, const Reply *reply, uint64_t now_usec) {
    const json_t *part = json_object_get(reply->parameters, "instances");
    if (!reply->error)
        (void)json_array_extend(d->parts, (json_t *)part);
    if (reply->continues)
        return;
    json_t *all = TAKE_PTR(d->parts);
    if (top_model_take_instances(m, all ? all : json_array(), now_usec) < 0)
        set_trouble(d, "out of memory");
}

static void take(TopDaemon *d, TopModel *m, const Reply *reply, uint64_t now_usec) {
    Method method = d->calls[0];
    d->asked_usec = now_usec;
    if (method == METHOD_STATUS)
        take_status(d, m, reply, now_usec);
    else if (method == METHOD_INSTANCES)
        take_instances(d, m, reply, now_usec);
    else
        take_signaled(d, reply);
    if (reply->continues)
        return;
    d->n_calls--;
    memmove(d->calls, d->calls + 1, d->n_calls * sizeof(d->calls[0]));
}

bool top_daemon_read(TopDaemon *d, TopModel *m, uint64_t delay_usec, uint64_t now_usec) {
    bool changed = false;
    while (d->client) {
        CLEANUP_REPLY Reply reply = {0};
        int r = client_receive(d->client, 0, &reply);
        if (r == -ETIMEDOUT)
            return changed;
        changed = true;
        if (r < 0)
            lose(d, r == -EBADMSG ? "what answers does not talk as mpinetd does; trying again" : AWAY,
                 delay_usec, now_usec);
        else if (d->n_calls == 0)
            lose(d, "what answers does not talk as mpinetd does; trying again", delay_usec, now_usec);
        else
            take(d, m, &reply, now_usec);
    }
    return changed;
}
