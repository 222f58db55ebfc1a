/* SPDX-License-Identifier: MIT */
/* mpctl ping, version, shutdown: the daemon itself. */
#include "build-config.h"
#include "ctl/fields.h"
#include "ctl/progress.h"
#include "ctl/verbs.h"
#include "daemon/base/clock.h"

/* How long is waited for what may be missing. */
#define ASIDE_TIMEOUT_USEC (2 * USEC_PER_SEC)

int verb_ping(Ctl *c, char *const *args) {
    json_t *pong = NULL;
    (void)args;
    int status = ctl_call(c, METHOD_PING, NULL, &pong);
    if (status != 0)
        return status;
    if (ctl_wants_json(c)) {
        ctl_add_json(c, pong);
    } else {
        text_add(&c->out, "mpinetd ");
        field_show(&c->out, pong, "version");
        text_addf(&c->out, " answers, pid %lld\n", (long long)field_number(pong, "pid"));
    }
    json_decref(pong);
    return CTL_DONE;
}

/* What the daemon says of itself, or NULL: here it is no error that none answers. */
static json_t *ask_daemon(Ctl *c) {
    CLEANUP_REPLY Reply reply = {0};
    c->connect_timeout_usec = ASIDE_TIMEOUT_USEC;
    if (ctl_open(c, NULL) < 0 || client_send(c->client, method_name(METHOD_PING), NULL, false) < 0 ||
        client_receive(c->client, ASIDE_TIMEOUT_USEC, &reply) < 0 || reply.error)
        return NULL;
    return json_incref(reply.parameters);
}

int verb_version(Ctl *c, char *const *args) {
    json_t *daemon = ask_daemon(c);
    (void)args;
    if (ctl_wants_json(c)) {
        json_t *document = json_pack("{s:s, s:O?}", "mpctl", MP_VERSION, "mpinetd", daemon);
        ctl_add_json(c, document);
        json_decref(document);
    } else {
        text_add(&c->out, "mpctl " MP_VERSION "\n");
        if (daemon) {
            text_add(&c->out, "mpinetd ");
            field_show(&c->out, daemon, "version");
            text_addf(&c->out, " (pid %lld)\n", (long long)field_number(daemon, "pid"));
        } else {
            text_add(&c->out, "mpinetd is not running\n");
        }
    }
    json_decref(daemon);
    return CTL_DONE;
}

/* What the end of the waiting means: an answer, an error, or a daemon that is gone. */
static int show_end(Progress *p, int r, const Reply *reply) {
    Ctl *c = p->ctl;
    progress_end(p);
    if (r == -EINTR)
        return progress_interrupted(p);
    if (r == 0 && reply->error)
        return ctl_report_error(c, METHOD_SHUTDOWN, reply);
    if (r == -ETIMEDOUT && c->options.timeout_usec == USEC_INFINITY)
        return ctl_fail_reply(c, METHOD_SHUTDOWN, r, NULL);
    if (r == -ETIMEDOUT)
        return progress_give_up(p, "'mpctl ps' lists what still runs",
                                "not ended in time; mpinetd goes on with it");
    /* A daemon that is gone without a word has done as asked. */
    if (r < 0) {
        static const char words[] = "mpinetd closed the connection, but still listens";
        c->client = client_free(c->client);
        if (ctl_open(c, NULL) == 0) {
            if (ctl_wants_json(c))
                ctl_add_failed(c, -r, words);
            return ctl_fail(c, CTL_FAILED, "'mpctl ping' tells whether it is another one", "%s", words);
        }
    }
    if (ctl_wants_json(c)) {
        text_add(&c->out, "{}\n");
        return CTL_DONE;
    }
    if (r == 0 && reply->continues) {
        text_add(&c->out, "mpinetd: ending\n");
        return CTL_DONE;
    }
    text_add(&c->out, "mpinetd has ended");
    progress_add_time(p, &c->out);
    text_addc(&c->out, '\n');
    return CTL_DONE;
}

int verb_shutdown(Ctl *c, char *const *args) {
    CLEANUP_REPLY Reply reply = {0};
    CLEANUP_PROGRESS Progress progress = {0};
    (void)args;
    int status =
        progress_ask(&progress, c, METHOD_SHUTDOWN, "mpinetd ends; what runs has shutdown.drain to end");
    if (status != 0)
        return status;
    int r = progress_receive(&progress, progress_timeout(&progress, USEC_INFINITY), &reply);
    return show_end(&progress, r, &reply);
}
