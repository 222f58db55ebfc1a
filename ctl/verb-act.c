/* SPDX-License-Identifier: MIT */
/* mpctl start, stop: what the daemon does for services by name, with progress. */
#include <string.h>

#include "ctl/fields.h"
#include "ctl/names.h"
#include "ctl/verbs.h"
#include "daemon/base/clock.h"

/* What is said while it is under way: one line, rewritten on a terminal, else a line a second at most. */
typedef struct Progress {
    bool terminal;
    bool open; /* the terminal's line is not ended */
    uint64_t last_usec;
} Progress;

static void progress_show(Progress *p, Ctl *c, const json_t *parameters) {
    CLEANUP_TEXT Text line = {0};
    uint64_t now = clock_monotonic_usec();
    field_show(&line, parameters, "progress");
    if (options_has(&c->options, OPTION(QUIET)) || ctl_wants_json(c) || line.len == 0)
        return;
    if (p->terminal) {
        (void)fprintf(stderr, "\r\033[K%s", line.s);
        (void)fflush(stderr);
        p->open = true;
    } else if (p->last_usec == 0 || now - p->last_usec >= USEC_PER_SEC) {
        (void)fprintf(stderr, "%s\n", line.s);
        p->last_usec = now;
    }
}

static void progress_end(Progress *p) {
    if (p->open)
        (void)fputs("\r\033[K", stderr);
    p->open = false;
}

static void show_done(Ctl *c, const json_t *parameters, const char *done) {
    const json_t *services = json_object_get(parameters, "services");
    if (ctl_wants_json(c)) {
        ctl_add_json(c, parameters);
        return;
    }
    for (size_t i = 0; i < json_array_size(services); i++) {
        const char *name = json_string_value(json_array_get(services, i));
        text_add_escaped(&c->out, name ? name : "", name ? strlen(name) : 0);
        text_addf(&c->out, ": %s\n", done);
    }
}

/* Replies until the last one, or with --no-wait until the first, which says that it has begun. */
static int wait_done(Ctl *c, Method m, const char *done, const char *begun) {
    bool wait = !options_has(&c->options, OPTION(NO_WAIT));
    uint64_t start = clock_monotonic_usec(), timeout = c->options.timeout_usec;
    Progress progress = {.terminal = isatty(STDERR_FILENO) != 0};
    for (;;) {
        Reply reply = {0};
        uint64_t left = timeout, gone = clock_monotonic_usec() - start;
        if (timeout != USEC_INFINITY)
            left = timeout > gone ? timeout - gone : 0;
        int r = client_receive(c->client, left, &reply);
        if (r == -ETIMEDOUT) {
            progress_end(&progress);
            return ctl_fail(c, CTL_FAILED, "'mpctl status' shows how far it is",
                            "not done in time; mpinetd goes on with it");
        }
        int status = r < 0 || reply.error ? ctl_fail_reply(c, m, r, &reply) : CTL_DONE;
        bool last = status != 0 || !reply.continues || !wait;
        if (!last)
            progress_show(&progress, c, reply.parameters);
        else
            progress_end(&progress);
        if (status == 0 && last)
            show_done(c, reply.parameters, reply.continues ? begun : done);
        reply_done(&reply);
        if (last)
            return status;
    }
}

/* A name without wildcards that no service has: says so before anything is done, with the nearest name. */
static int check_names(Ctl *c, char *const *args) {
    json_t *status = NULL;
    int result = names_status(c, args, &status);
    json_decref(status);
    return result;
}

static int act(Ctl *c, Method m, char *const *args, const char *done, const char *begun) {
    int status = check_names(c, args);
    if (status != 0)
        return status;
    json_t *names = json_array();
    for (; *args; args++)
        (void)json_array_append_new(names, json_string(*args));
    status = ctl_send(c, m, json_pack("{s:o}", "services", names), true);
    return status != 0 ? status : wait_done(c, m, done, begun);
}

int verb_start(Ctl *c, char *const *args) {
    return act(c, METHOD_START, args, "started", "starting");
}

int verb_stop(Ctl *c, char *const *args) {
    return act(c, METHOD_STOP, args, "stopped", "stopping");
}
