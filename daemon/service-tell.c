/* SPDX-License-Identifier: MIT */
/* What a service has to say: its events, each kind bounded, and its last error. */
#include <inttypes.h>
#include <string.h>

#include "daemon/base/clock.h"
#include "daemon/ending.h"
#include "daemon/service-private.h"

/* Lines of a kind: so many a second after a burst. */
#define LINES_PER_SECOND 10
#define LINES_BURST 100

/* An instance that has ended, and has not been told of yet. */
typedef struct Telling {
    List link; /* in its service */
    Service *service;
    Flow *flow;
    Ending ending;
} Telling;

static void tell_ending(Service *s, const Ending *ending, const Bytes *bytes) {
    char peer[PEER_TEXT_MAX];
    CLEANUP_TEXT Text message = {0};
    ApiFacts facts;
    ending_format(ending, bytes, &message);
    ApiEvent e = ending_event(ending, bytes, s->name, peer_format(&ending->peer, s->rt->log_addresses, peer),
                              message.s ? message.s : "ended", &facts);
    service_emit(s, &e);
}

static void on_traffic(const Bytes *bytes, void *userdata) {
    Telling *t = userdata;
    Service *s = t->service;
    list_remove(&t->link);
    tell_ending(t->service, &t->ending, bytes);
    flow_free(t->flow);
    free(t);
    /* It stays until this has been told. */
    if (s->removed)
        traffic_settle(s->rt->traffic);
}

void service_tell_end(Service *s, Instance *i, int status, ExitResult result, uint64_t lived_usec,
                      const struct rusage *usage) {
    Ending ending = ending_of(i, status, result, lived_usec, usage);
    bool waits = i->flow && (ending.facts & LOG_FACT_BIT(LOG_FACT_TRAFFIC));
    Telling *t = waits ? malloc(sizeof(*t)) : NULL;
    if (!t) {
        tell_ending(s, &ending, NULL);
        return;
    }
    *t = (Telling){.service = s, .ending = ending};
    t->flow = TAKE_PTR(i->flow);
    list_append(&s->endings, &t->link);
    flow_finish(t->flow, on_traffic, t);
}

void service_tell_endings(Service *s) {
    LIST_FOREACH_SAFE (t, &s->endings, Telling, link)
        flow_give_up(t->flow);
}

void service_tell_start(Service *s, const Instance *i) {
    char peer[PEER_TEXT_MAX], user[64], message[96];
    ApiEvent e = instance_event(i, LOG_LEVEL_INFO, "started", peer);
    ApiFacts facts = log_facts_plain(log_facts_wanted(&s->config->terms->log, true));
    e.message = i->role == ROLE_BACKEND ? "started the backend" : "started";
    if (facts.logged & LOG_FACT_BIT(LOG_FACT_USER)) {
        facts.user = ending_user(s->config, user, sizeof(user));
        (void)snprintf(message, sizeof(message), "%s, user %s", e.message, facts.user);
        e.message = message;
    }
    e.facts = &facts;
    service_emit(s, &e);
}

void service_tell_idle_blind(Service *s, int error) {
    char message[160];
    const char *why = error == EXDEV          ? "the connections are of another network namespace"
                      : error == EAFNOSUPPORT ? "the connections are not of TCP"
                                              : strerror(error);
    if (s->told_idle_blind)
        return;
    s->told_idle_blind = true;
    (void)snprintf(message, sizeof(message), "timeouts.idle does not hold, the kernel does not tell: %s",
                   why);
    service_set_error(s, "idle", error, message, &s->config->pos);
}

void service_set_error(Service *s, const char *step, int error, const char *message, const ConfigPos *pos) {
    char text[160];
    if (!message) {
        (void)snprintf(text, sizeof(text), "%s: %s", step, strerror(error));
        message = text;
    } else {
        ApiEvent e = eventlog_event(LOG_LEVEL_ERROR, "error");
        e.service = s->name;
        e.step = step;
        e.error = error;
        e.message = message;
        service_emit_limited(s, LIMITED_ERROR, &e);
    }
    service_keep_error(s, step, error, message, pos);
}

void service_keep_error(Service *s, const char *step, int error, const char *message, const ConfigPos *pos) {
    LastError *last = &service_history(s)->last_error;
    char *copy = strdup(message), *file = pos && pos->line ? strdup(pos->file ? pos->file : "") : NULL;
    free(last->message);
    free(last->file);
    *last = (LastError){
        .time_usec = clock_realtime_usec(),
        .error = error,
        .message = copy,
        .file = file,
        .line = pos ? pos->line : 0,
    };
    (void)snprintf(last->step, sizeof(last->step), "%s", step);
}

void service_emit(Service *s, const ApiEvent *e) {
    if (!streq(e->event, "refused")) {
        eventlog_emit(&s->rt->events, e, &s->ring);
        return;
    }
    ApiFacts facts = log_facts_plain(log_facts_wanted(&s->config->terms->log, false));
    ApiEvent refused = *e;
    refused.facts = &facts;
    eventlog_emit(&s->rt->events, &refused, &s->ring);
}

bool service_may_tell(Service *s, LimitedLine line) {
    if (ratelimit_pass(&service_history(s)->limited[line], LINES_PER_SECOND, LINES_BURST,
                       clock_monotonic_usec()))
        return true;
    if (s->rt->on_suppressed)
        s->rt->on_suppressed(s->rt->on_suppressed_userdata);
    return false;
}

void service_emit_limited(Service *s, LimitedLine line, const ApiEvent *e) {
    if (service_may_tell(s, line))
        service_emit(s, e);
}

bool service_tell_suppressed(Service *s, uint64_t now_usec) {
    static const char *const kinds[_LIMITED_MAX] = {
        [LIMITED_REFUSED] = "refused", [LIMITED_BANNED] = "banned", [LIMITED_SPAWN_FAILED] = "spawn_failed",
        [LIMITED_GONE] = "gone",       [LIMITED_STATUS] = "status", [LIMITED_STATE] = "state",
        [LIMITED_ERROR] = "error",
    };
    History *h = s->history;
    bool more = false;
    for (size_t i = 0; h && i < _LIMITED_MAX; i++) {
        uint64_t n = ratelimit_take_suppressed(&h->limited[i], now_usec);
        if (n > 0) {
            char message[96];
            (void)snprintf(message, sizeof(message), "%" PRIu64 " more lines of '%s' left out", n, kinds[i]);
            ApiEvent e = eventlog_event(LOG_LEVEL_WARNING, kinds[i]);
            e.service = s->name;
            e.message = message;
            service_emit(s, &e);
        }
        more = more || h->limited[i].suppressed > 0;
    }
    return more;
}

/* The upgrade in place */

enum {
    ENDINGS_ONE = 1, /* once for each */
};
enum {
    TELLING_ENDING = 1,
    TELLING_FLOW,
};

void service_save_endings(BlobWriter *w, const Service *s) {
    LIST_FOREACH (t, &s->endings, Telling, link) {
        size_t one = blob_open(w, ENDINGS_ONE);
        size_t at = blob_open(w, TELLING_ENDING);
        ending_save(w, &t->ending);
        blob_close(w, at);
        at = blob_open(w, TELLING_FLOW);
        flow_save(w, t->flow);
        blob_close(w, at);
        blob_close(w, one);
    }
}

static int restore_ending(BlobReader in, Service *s) {
    BlobField f;
    Telling *t = calloc(1, sizeof(*t));
    int r = t ? 0 : -ENOMEM;
    if (t)
        t->service = s;
    while (r >= 0 && blob_next(&in, &f)) {
        if (f.tag == TELLING_ENDING)
            r = ending_restore(blob_enter(&f), &s->config->terms->log, &t->ending);
        else if (f.tag == TELLING_FLOW && !t->flow)
            r = flow_restore(blob_enter(&f), s->rt->traffic, on_traffic, t, &t->flow);
    }
    if (r >= 0 && !t->flow)
        blob_spoil(in.source, "an ending waits for nothing");
    if (r >= 0 && !blob_is_spoilt(in.source)) {
        list_append(&s->endings, &t->link);
        return 0;
    }
    if (t)
        flow_free(t->flow);
    free(t);
    return r < 0 ? r : -EBADMSG;
}

int service_restore_endings(BlobReader in, Service *s) {
    BlobField f;
    int r = 0;
    while (r >= 0 && blob_next(&in, &f))
        if (f.tag == ENDINGS_ONE)
            r = restore_ending(blob_enter(&f), s);
    return blob_is_spoilt(in.source) ? -EBADMSG : r;
}
