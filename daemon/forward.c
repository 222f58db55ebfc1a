/* SPDX-License-Identifier: MIT */
#include "daemon/forward.h"

#include <string.h>

#include "conf/value.h"
#include "daemon/backend.h"
#include "daemon/base/clock.h"
#include "daemon/base/text.h"
#include "daemon/recipe.h"

#define PROGRAM "mp-forward"
/* The longest times that it takes. */
#define TIME_MAX (365ULL * 86400 * USEC_PER_SEC)
/* Of datagrams nobody can tell whether an answer is still to come. */
#define DATAGRAM_DRAIN "1s"

static int add(char ***v, const char *word) {
    char *copy = strdup(word);
    return copy ? strv_push(v, copy) : -ENOMEM;
}

static int add_time(char ***v, const char *option, uint64_t usec) {
    CLEANUP_TEXT Text text = {0};
    value_duration_format(usec < TIME_MAX ? usec : TIME_MAX, &text);
    int r = text_ok(&text) && text.s ? add(v, option) : -ENOMEM;
    return r < 0 ? r : add(v, text.s);
}

/* One process for all senders, each forgotten after a while; with none it ends. */
static int add_datagram_options(char ***v, const ServiceConfig *c) {
    int r = 0;
    if (c->terms->timeout_idle_usec != USEC_INFINITY) {
        r = add_time(v, "--udp-idle", c->terms->timeout_idle_usec);
        if (r == 0)
            r = add_time(v, "--exit-idle", c->terms->timeout_idle_usec);
    }
    /* A backend of its own may just be coming. */
    if (r == 0 && service_config_has_backend(c))
        r = add_time(v, "--retry", c->terms->timeout_start_usec);
    if (r == 0)
        r = add(v, "--drain");
    return r < 0 ? r : add(v, DATAGRAM_DRAIN);
}

static int add_connection_options(char ***v, const ServiceConfig *c, bool by_tcp) {
    int r = 0;
    if (by_tcp && c->terms->timeout_idle_usec != USEC_INFINITY)
        r = add_time(v, "--idle", c->terms->timeout_idle_usec);
    /* A backend of its own may just be coming. */
    if (r == 0 && service_config_has_backend(c))
        r = add_time(v, "--retry", c->terms->timeout_start_usec);
    if (r == 0 && c->proxy_send != PROXY_SEND_NONE)
        r = add(v, "--proxy");
    if (r == 0 && c->proxy_send != PROXY_SEND_NONE)
        r = add(v, proxy_send_to_string(c->proxy_send));
    return r;
}

char **forward_argv(const ServiceConfig *config, bool by_tcp) {
    CLEANUP_STRV char **v = NULL;
    int r = add(&v, PROGRAM);
    if (r == 0)
        r = service_config_accepts(config) ? add_connection_options(&v, config, by_tcp)
                                           : add_datagram_options(&v, config);
    if (r == 0)
        r = add(&v, config->to);
    return r < 0 ? NULL : TAKE_PTR(v);
}

static void note_change(const char *key, const char *from, const char *to, void *userdata) {
    static const char *const told[] = {"to", "timeouts.idle", "timeouts.start"};
    bool *keeps = userdata;
    (void)from;
    (void)to;
    for (size_t i = 0; i < ELEMENTS(told); i++)
        if (streq(key, told[i]))
            *keeps = false;
    /* New limits of its group come to it as it runs. */
    if (backend_is_made_of(key) && !starts_with(key, "cgroup"))
        *keeps = false;
}

bool forward_config_keeps_process(const ServiceConfig *a, const ServiceConfig *b) {
    bool keeps = service_config_accepts(a) == service_config_accepts(b);
    (void)service_config_diff(a, b, note_change, &keeps);
    return keeps;
}

void forward_plan(const Service *s, bool by_tcp, ChildPlan *plan) {
    plan->program = s->config->resolved.forward;
    plan->sandbox.plan = NULL; /* of the backend */
    plan->argv = s->recipe->forward_argv[by_tcp];
    /* Those are the backend's. */
    plan->root_directory = NULL;
    plan->working_directory = s->rt->spawner->at_root ? NULL : "/";
}

bool forward_on_report(Instance *i, ReportKind said) {
    if (said == REPORT_READY) {
        i->answered = true;
        backend_answers(i);
    }
    /* A status is of one connection, and not of the service. */
    return said == REPORT_READY || said == REPORT_STATUS;
}

void forward_on_end(Instance *i, ExitResult result) {
    Service *s = i->service;
    if (result == EXIT_FAILED && !i->answered) {
        char message[256];
        const char *status = i->report ? i->report->status : NULL;
        if (!status)
            (void)snprintf(message, sizeof(message), "%s was not reached", s->config->to);
        service_set_error(s, "connect", 0, status ? status : message, &s->config->pos);
    }
    backend_on_connection_end(i);
}
