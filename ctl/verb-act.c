/* SPDX-License-Identifier: MIT */
/* mpctl start, stop, restart, pause, resume, drain: what the daemon does for services by name, with progress.
 */
#include <string.h>

#include "ctl/fields.h"
#include "ctl/names.h"
#include "ctl/progress.h"
#include "ctl/verbs.h"
#include "daemon/base/clock.h"

/* How long an answer may take that is given at once. */
#define ANSWER_TIMEOUT_USEC (30 * USEC_PER_SEC)

typedef struct Act {
    Method method;
    const char *done;  /* what the services then are */
    const char *begun; /* with --no-wait */
} Act;

static void show_done(const Progress *p, const json_t *parameters, const char *done) {
    Ctl *c = p->ctl;
    const json_t *services = json_object_get(parameters, "services");
    if (ctl_wants_json(c)) {
        ctl_add_json(c, parameters);
        return;
    }
    for (size_t i = 0; i < json_array_size(services); i++) {
        const char *name = json_string_value(json_array_get(services, i));
        text_add_escaped(&c->out, name ? name : "", name ? strlen(name) : 0);
        text_addf(&c->out, ": %s", done);
        progress_add_time(p, &c->out);
        text_addc(&c->out, '\n');
    }
}

/* No answer in time, or SIGINT. */
static int stop_waiting(Progress *p, const Act *act, int r) {
    Ctl *c = p->ctl;
    CLEANUP_TEXT Text words = {0};
    if (r == -EINTR)
        return progress_interrupted(p);
    progress_end(p);
    /* Where the time was not the caller's word, it is the daemon that does not answer. */
    if (r != -ETIMEDOUT || c->options.timeout_usec == USEC_INFINITY)
        return ctl_fail_reply(c, act->method, r, NULL);
    text_addf(&words, "not done in time (%s); mpinetd goes on with it", p->words.s ? p->words.s : "");
    return progress_give_up(p, "'mpctl status' and 'mpctl ps' show how far it is", words.s ? words.s : "");
}

/* Replies until the last one, or with --no-wait until the first, which says that it has begun. */
static int wait_done(Progress *p, const Act *act, bool wait, uint64_t timeout) {
    for (;;) {
        CLEANUP_REPLY Reply reply = {0};
        int r = progress_receive(p, timeout, &reply);
        if (r < 0)
            return stop_waiting(p, act, r);
        if (!reply.error && reply.continues && wait) {
            progress_say(p, reply.parameters);
            continue;
        }
        progress_end(p);
        if (reply.error)
            return ctl_fail_reply(p->ctl, act->method, 0, &reply);
        show_done(p, reply.parameters, reply.continues ? act->begun : act->done);
        return CTL_DONE;
    }
}

/* @waits: it may take its time, and --no-wait and --timeout go with it. */
static int act(Ctl *c, char *const *args, bool waits, const Act *what) {
    /* A name that no service has: says so before anything is done, with the nearest name. */
    int status = names_require(c, args, NULL);
    if (status != 0)
        return status;
    CLEANUP_PROGRESS Progress progress = {0};
    json_t *names = json_array();
    for (; *args; args++)
        (void)json_array_append_new(names, json_string(*args));
    progress_begin(&progress, c);
    progress_await(&progress, "waiting for mpinetd");
    status = ctl_send(c, what->method, json_pack("{s:o}", "services", names), true);
    if (status != 0)
        return status;
    return wait_done(&progress, what, !options_has(&c->options, OPTION(NO_WAIT)),
                     progress_timeout(&progress, waits ? USEC_INFINITY : ANSWER_TIMEOUT_USEC));
}

int verb_start(Ctl *c, char *const *args) {
    return act(c, args, true, &(Act){METHOD_START, "started", "starting"});
}

int verb_stop(Ctl *c, char *const *args) {
    return act(c, args, true, &(Act){METHOD_STOP, "stopped", "stopping"});
}

int verb_restart(Ctl *c, char *const *args) {
    return act(c, args, true, &(Act){METHOD_RESTART, "restarted", "restarting"});
}

int verb_pause(Ctl *c, char *const *args) {
    return act(c, args, false, &(Act){METHOD_PAUSE, "paused", "pausing"});
}

int verb_resume(Ctl *c, char *const *args) {
    return act(c, args, false, &(Act){METHOD_RESUME, "resumed", "resuming"});
}

int verb_drain(Ctl *c, char *const *args) {
    return act(c, args, true, &(Act){METHOD_DRAIN, "drained", "draining"});
}
