/* SPDX-License-Identifier: MIT */
/* A service that lacks something: told, looked up again, and taken into service once it is there. */
#include <string.h>

#include "conf/config-build.h"
#include "daemon/base/clock.h"
#include "daemon/resolver.h"
#include "daemon/service-private.h"
#include "daemon/slot.h"

bool service_is_looked_for(const Service *s) {
    return !list_is_empty(&s->look_link);
}

/* Each thing once, as long as nothing else goes wrong. */
static void tell(Service *s, const char *step, int error, const char *message, const ConfigPos *pos) {
    if (!streq_null(service_past(s)->last_error.message, message))
        service_set_error(s, step, error, message, pos);
}

/* The step of its start that a process of it would fail in, or else the group of keys that it is about. */
static void step_of(const Diag *problem, char *buf, size_t size) {
    static const struct {
        const char *key, *step;
    } others[] = {{"group", "groups"}, {"supplementary_groups", "groups"}, {"model", "exec"}};
    const char *key = problem->key ? problem->key : "config";
    for (size_t i = 0; i < ELEMENTS(others); i++)
        if (streq(key, others[i].key))
            key = others[i].step;
    (void)snprintf(buf, size, "%.*s", (int)strcspn(key, "."), key);
}

static void tell_problem(Service *s) {
    const Diag *d = s->config->problem;
    const ConfigPos pos = {.file = d->file, .line = d->line, .column = d->column};
    char step[32];
    step_of(d, step, sizeof(step));
    tell(s, step, d->code == DIAG_NOT_ALLOWED ? EPERM : ENOENT, d->message, &pos);
}

void service_look(Service *s) {
    /* Of a later try what comes of it is told, if that is something else. */
    if (s->retry_level == 0)
        tell_problem(s);
    int r = resolver_ask(s->rt->resolver, s);
    if (r < 0)
        service_fail_look(s, -r, strerror(-r));
}

/* Somebody may wait for the answer, though the state is what it was. */
static void tell_waiting(Service *s) {
    if (s->rt->on_state)
        s->rt->on_state(s, s->rt->on_state_userdata);
}

/* What it still lacks may be something else by now. */
static void keep_problem(Service *s, ServiceConfig *found) {
    diag_free(s->config->problem);
    s->config->problem = TAKE_PTR(found->problem);
    s->config->digest[0] = s->config->digest[1] = 0;
    tell_problem(s);
}

static bool listens_alike(const ServiceConfig *a, const ServiceConfig *b) {
    bool alike = a->n_listen == b->n_listen;
    for (size_t i = 0; alike && i < a->n_listen; i++) {
        const Endpoint *x = &a->listen[i].endpoint, *y = &b->listen[i].endpoint;
        alike = streq(x->text, y->text) && x->n_addrs == y->n_addrs;
    }
    return alike;
}

/* Its listeners and slots are for that, too. A helper that goes by what it was sent changes nothing of it. */
static bool fits(const Service *s, const ServiceConfig *found) {
    const ServiceConfig *c = s->config;
    return found->model == c->model && found->enabled == c->enabled && listens_alike(found, c) &&
           slot_count(found, s->n_listeners) == slot_count(c, s->n_listeners);
}

void service_take_found(Service *s, ServiceConfig *found) {
    if (!fits(s, found)) {
        service_fail_look(s, EBADMSG,
                          "the helper that looks for users and programs has found something else");
        return;
    }
    if (found->problem) {
        keep_problem(s, found);
        service_retry_later(s);
        tell_waiting(s);
        return;
    }
    service_renew_found(s, found);
    (void)service_open(s);
    service_update(s, "tried again");
    slots_go_on(s);
    service_start_now(s);
    tell_waiting(s);
}

void service_fail_look(Service *s, int error, const char *why) {
    char message[320];
    (void)snprintf(message, sizeof(message), "what it lacks was not looked for: %s", why);
    tell(s, "exec", error, message, &s->config->pos);
    service_retry_later(s);
    tell_waiting(s);
}

void service_end_retry(Service *s) {
    s->retry = sd_event_source_disable_unref(s->retry);
    list_remove(&s->look_link);
}
