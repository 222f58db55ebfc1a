/* SPDX-License-Identifier: MIT */
/* Who has given an order to services waits until it is done, and is told meanwhile how far it is. Whoever
 * goes loses the answer, not the deed. An order that another has overtaken so that it cannot be done any more
 * ends with InvalidState; one that leads to the same end (stop during drain) goes on. */
#include <string.h>

#include "daemon/base/clock.h"
#include "daemon/control-private.h"

/* How often one client is told. */
#define PROGRESS_USEC (200 * USEC_PER_MSEC)

typedef enum Outcome {
    OUTCOME_DONE,
    OUTCOME_WAITS,
    OUTCOME_FAILED,
    OUTCOME_OVERTAKEN,
} Outcome;

/* What starts at once is waited for until it is ready; else listening is all that was asked for. */
static Outcome outcome_of_start(const Service *s, bool overtaken) {
    if (s->state == SERVICE_STARTING || service_is_looked_for(s))
        return OUTCOME_WAITS;
    if (!service_state_is_running(s->state))
        return overtaken ? OUTCOME_OVERTAKEN : OUTCOME_FAILED;
    if (service_start_is_held(s))
        return OUTCOME_WAITS;
    return service_restart_failed(s) ? OUTCOME_FAILED : OUTCOME_DONE;
}

static Outcome outcome_of_stop(const Service *s, bool overtaken) {
    if (overtaken && service_order_listens(s->order))
        return OUTCOME_OVERTAKEN;
    return s->n_instances == 0 && s->state != SERVICE_DRAINING ? OUTCOME_DONE : OUTCOME_WAITS;
}

static Outcome outcome_of_restart(const Service *s, bool overtaken) {
    if (overtaken && s->verb != VERB_RESTART && s->verb != VERB_START && s->verb != VERB_RESUME)
        return OUTCOME_OVERTAKEN;
    if (!service_is_restarted(s) || service_is_looked_for(s))
        return OUTCOME_WAITS;
    if (s->state == SERVICE_STARTING)
        return OUTCOME_WAITS;
    if (service_restart_failed(s))
        return OUTCOME_FAILED;
    return s->order == ORDER_PAUSE || service_state_is_running(s->state) ? OUTCOME_DONE : OUTCOME_FAILED;
}

static Outcome outcome_of(const Service *s, ServiceVerb verb, bool overtaken) {
    switch (verb) {
    case VERB_START:
        return outcome_of_start(s, overtaken);
    case VERB_STOP:
    case VERB_DRAIN:
        return outcome_of_stop(s, overtaken);
    case VERB_RESTART:
        return outcome_of_restart(s, overtaken);
    case VERB_PAUSE:
    case VERB_RESUME:
    case _SERVICE_VERB_MAX:
        return OUTCOME_DONE;
    }
    return OUTCOME_DONE;
}

static uint64_t count_open(const Service *s) {
    uint64_t n = 0;
    for (size_t i = 0; i < s->n_listeners; i++)
        n += listener_is_open(s->listeners[i]);
    return n;
}

/* How far a drain is. */
typedef enum Stage {
    STAGE_QUEUED,
    STAGE_TOLD,
    STAGE_CLOSED,
} Stage;

static Stage stage_of(const Service *s) {
    if (count_open(s) == 0)
        return STAGE_CLOSED;
    LIST_FOREACH (i, &s->instances, Instance, link)
        if (i->state != INSTANCE_STOPPING)
            return STAGE_QUEUED;
    return s->n_instances > 0 ? STAGE_TOLD : STAGE_QUEUED;
}

/* What the services of one call are waited for: the first that decides, and a number that changes whenever
 * there is something new to tell. */
typedef struct Progress {
    Outcome outcome;
    const Service *first; /* NULL: all are done */
    size_t waiting;
    uint64_t mark;
} Progress;

static Progress look(const Calls *calls, const Client *client) {
    const ServiceSet *set = manager_services(calls->manager);
    Progress p = {.outcome = OUTCOME_DONE};
    for (size_t i = 0; client->services[i]; i++) {
        const Service *s = service_set_find(set, client->services[i]);
        /* A reload has taken it away: only its end can still be waited for. */
        if (!s || (s->removed && client->verb != VERB_STOP && client->verb != VERB_DRAIN))
            continue;
        Outcome outcome = outcome_of(s, client->verb, s->n_orders != client->orders[i]);
        if (outcome == OUTCOME_DONE)
            continue;
        if (outcome > p.outcome) {
            p.outcome = outcome;
            p.first = s;
        }
        p.waiting++;
        p.mark += (client->verb == VERB_RESTART ? s->n_old : s->n_instances) * 4 + stage_of(s);
    }
    p.mark = p.mark * 1024 + p.waiting;
    return p;
}

/* "41m": one unit is enough. */
static void add_age(Text *out, uint64_t usec) {
    uint64_t sec = usec / USEC_PER_SEC;
    static const struct {
        uint64_t sec;
        char unit;
    } units[] = {{86400, 'd'}, {3600, 'h'}, {60, 'm'}, {1, 's'}};
    size_t i = 0;
    while (i + 1 < ELEMENTS(units) && sec < units[i].sec)
        i++;
    text_addf(out, "%llu%c", (unsigned long long)(sec / units[i].sec), units[i].unit);
}

static void add_running(Text *out, const Service *s, uint64_t n, const char *words) {
    if (n == 0)
        return;
    text_addf(out, "%llu %s", (unsigned long long)n, words);
    if (list_is_empty(&s->instances))
        return;
    const Instance *oldest = LIST_ENTRY(s->instances.next, Instance, link);
    text_add(out, " (oldest ");
    add_age(out, clock_monotonic_usec() - oldest->started_usec);
    text_addc(out, ')');
}

static void add_progress(Text *out, const Service *s, ServiceVerb verb) {
    static const char *const stages[] = {
        [STAGE_QUEUED] = "serving what is queued",
        [STAGE_TOLD] = "told to end",
        [STAGE_CLOSED] = "closed to new connections",
    };
    text_addf(out, "%s: ", s->name);
    if (service_is_looked_for(s)) {
        text_add(out, "what it lacks is looked up again");
    } else if (verb == VERB_RESTART && s->n_old == 0) {
        text_add(out, "starting again");
    } else if (verb == VERB_START) {
        text_add(out, "started, not ready yet");
    } else if (verb == VERB_DRAIN && s->order == ORDER_DRAIN) {
        text_add(out, stages[stage_of(s)]);
        text_add(out, s->n_instances > 0 ? ", " : "");
        add_running(out, s, s->n_instances, "running");
    } else {
        add_running(out, s, verb == VERB_RESTART ? s->n_old : s->n_instances, "still running");
    }
}

/* Whether there is more to tell, at a later time. */
static bool tell_progress(Client *client, const Progress *p) {
    uint64_t now = clock_monotonic_usec();
    if (!client->more || p->mark == client->told_mark)
        return false;
    if (client->told_usec > 0 && (now - client->told_usec < PROGRESS_USEC || client_unsent(client) > 0))
        return true;
    Text text CLEANUP_TEXT = {0};
    add_progress(&text, p->first, client->verb);
    if (p->waiting > 1)
        text_addf(&text, "; and %zu more", p->waiting - 1);
    client->told_mark = p->mark;
    client->told_usec = now;
    api_encode_done(client_out(client), (const char *const *)client->services, text.s ? text.s : "", true);
    client_flush_later(client);
    return false;
}

static void answer_failed(Client *client, const Service *s) {
    const LastError *e = &service_past(s)->last_error;
    api_encode_error(client_out(client), API_FAILED, e->step,
                     e->message ? e->message : "it could not be started", e->error);
}

static void answer_overtaken(Client *client, const Service *s) {
    char why[64];
    /* One that went and came back by reloads has had no order at all. */
    if (s->n_orders == 0)
        (void)snprintf(why, sizeof(why), "reloads have removed it and made it anew");
    else
        (void)snprintf(why, sizeof(why), "%s was asked for meanwhile", service_verb_to_string(s->verb));
    api_encode_error(client_out(client), API_INVALID_STATE, s->name, why, 0);
}

bool calls_check_wait(Calls *calls, Client *client) {
    Progress p = look(calls, client);
    if (p.outcome == OUTCOME_WAITS)
        return tell_progress(client, &p);
    if (p.outcome == OUTCOME_FAILED)
        answer_failed(client, p.first);
    else if (p.outcome == OUTCOME_OVERTAKEN)
        answer_overtaken(client, p.first);
    else
        api_encode_done(client_out(client), (const char *const *)client->services, NULL, false);
    client_forget_call(client);
    client_go_on(client);
    return false;
}
