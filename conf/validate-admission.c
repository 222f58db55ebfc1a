/* SPDX-License-Identifier: MIT */
#include "conf/validate-admission.h"

#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "conf/decode.h"
#include "conf/validate.h"
#include "daemon/base/clock.h"

#define TCPMUX_NAME_MAX 64

/* Who takes what comes in, and so who could refuse it. */
typedef enum Door {
    DOOR_DAEMON,    /* it accepts each connection */
    DOOR_DATAGRAMS, /* it looks at the datagram that starts the process */
    DOOR_PROCESS,   /* a process accepts: nobody is asked */
    DOOR_NOBODY,    /* what comes has no sender */
} Door;

static bool has_kind(const ServiceConfig *s, bool (*is)(EndpointKind kind)) {
    for (size_t i = 0; i < s->n_listen; i++)
        if (is(s->listen[i].endpoint.kind))
            return true;
    return false;
}

static bool has_no_sender(EndpointKind kind) {
    return kind == ENDPOINT_FIFO || kind == ENDPOINT_MQUEUE;
}

static Door door_of(const ServiceConfig *s) {
    if (service_config_accepts(s) ||
        (s->model == MODEL_POOL && s->terms->pool.handoff == POOL_HANDOFF_CONNECTION))
        return DOOR_DAEMON;
    if (s->model == MODEL_POOL || has_kind(s, endpoint_kind_is_stream))
        return DOOR_PROCESS;
    return has_kind(s, has_no_sender) ? DOOR_NOBODY : DOOR_DATAGRAMS;
}

static bool has_allow(const ServiceConfig *s) {
    return s->terms->access.allow && (s->terms->access.rules || s->incomplete);
}

static bool has_deny(const ServiceConfig *s) {
    return s->terms->access.deny && s->terms->access.deny[0] && (s->terms->access.rules || s->incomplete);
}

static bool has_hours(const ServiceConfig *s) {
    return s->terms->access.open;
}

static bool has_per_source(const ServiceConfig *s) {
    return s->terms->limits.per_source > 0;
}

static bool has_rate_per_source(const ServiceConfig *s) {
    return s->terms->limits.rate_per_source.count > 0;
}

static bool has_rate(const ServiceConfig *s) {
    return s->terms->limits.rate.count > 0;
}

static bool has_load(const ServiceConfig *s) {
    return s->terms->limits.load > 0;
}

static bool has_ban(const ServiceConfig *s) {
    return s->terms->ban.after.count > 0;
}

static bool is_sensor(const ServiceConfig *s) {
    return s->terms->ban.sensor;
}

static bool has_greeting(const ServiceConfig *s) {
    return s->terms->banner.greeting && *s->terms->banner.greeting;
}

static bool has_refused(const ServiceConfig *s) {
    return s->terms->banner.refused && *s->terms->banner.refused;
}

static bool has_trusted(const ServiceConfig *s) {
    return s->terms->proxy_accept_from && s->terms->proxy_accept_from[0];
}

#define D(door) (1U << DOOR_##door)

/* What holds only behind some doors, and what to write for it not to be there. */
static const struct {
    const char *path;
    bool (*is_set)(const ServiceConfig *s);
    unsigned doors;
    const char *off;
} held[] = {
    {"access.allow", has_allow, D(DAEMON) | D(DATAGRAMS), "access: {allow: [any]}"},
    {"access.deny", has_deny, D(DAEMON) | D(DATAGRAMS), "access: {deny: []}"},
    {"access.hours", has_hours, D(DAEMON) | D(DATAGRAMS), "access: {hours: [\"00:00-24:00\"]}"},
    {"limits.per_source", has_per_source, D(DAEMON), "limits: {per_source: none}"},
    {"limits.rate_per_source", has_rate_per_source, D(DAEMON) | D(DATAGRAMS),
     "limits: {rate_per_source: none}"},
    {"ban.after", has_ban, D(DAEMON) | D(DATAGRAMS), "ban: {after: none}"},
    {"sensor", is_sensor, D(DAEMON) | D(DATAGRAMS), "sensor: false"},
    {"banner.greeting", has_greeting, D(DAEMON), "banner: {greeting: \"\"}"},
    {"banner.refused", has_refused, D(DAEMON), "banner: {refused: \"\"}"},
    {"proxy_protocol.accept_from", has_trusted, D(DAEMON), "proxy_protocol: {accept_from: []}"},
};

static const char *why_not(const ServiceConfig *s, Door door) {
    switch (door) {
    case DOOR_PROCESS:
        return s->model == MODEL_POOL ? "where the workers of a pool accept (handoff: listener)"
                                      : "for an on-demand service of stream endpoints: its process accepts";
    case DOOR_DATAGRAMS:
        return "for datagrams: one process serves all of them";
    case DOOR_NOBODY:
        return "for a fifo or a message queue: nobody knows who writes to it";
    case DOOR_DAEMON:
        break;
    }
    return "";
}

static void cannot_hold(Reader *r, const ServiceConfig *s, const char *path, const char *off) {
    Door door = door_of(s);
    CLEANUP_TEXT Text message = {0};
    CLEANUP_TEXT Text hint = {0};
    text_addf(&message, "%s cannot hold %s", path, why_not(s, door));
    if (s->model == MODEL_POOL && has_kind(s, endpoint_kind_is_stream))
        text_add(&hint, "write pool: {handoff: connection}, or ");
    text_addf(&hint, "leave it out for this service, or write %s", off);
    validate_broken(r, s, path, DIAG_ERROR, DIAG_CONFLICT, hint.s, message.s ? message.s : "");
}

static void rule_doors(Reader *r, const ServiceConfig *s, const char *prefix) {
    unsigned door = 1U << door_of(s);
    for (size_t i = 0; i < ELEMENTS(held); i++)
        if ((held[i].doors & door) == 0 && starts_with(held[i].path, prefix) && held[i].is_set(s))
            cannot_hold(r, s, held[i].path, held[i].off);
}

/* The workers of such a pool are there already: nothing is held back by not starting them. */
static void rule_pool_rates(Reader *r, const ServiceConfig *s) {
    if (s->model != MODEL_POOL || s->terms->pool.handoff != POOL_HANDOFF_LISTENER)
        return;
    if (has_rate(s))
        cannot_hold(r, s, "limits.rate", "limits: {rate: none}");
    if (has_load(s))
        cannot_hold(r, s, "limits.load", "limits: {load: none}");
}

static void rule_sensor(Reader *r, const ServiceConfig *s) {
    if (s->terms->ban.sensor && door_of(s) == DOOR_DAEMON && s->model != MODEL_PER_CONNECTION)
        validate_broken(r, s, "sensor", DIAG_ERROR, DIAG_CONFLICT, "leave model out",
                        "a sensor starts nothing: it is of model per-connection, or for datagrams on-demand");
}

static void rule_refuse_banner(Reader *r, const ServiceConfig *s) {
    if (s->terms->limits.refuse_with == REFUSE_WITH_BANNER && !has_refused(s))
        validate_broken(r, s, "limits.refuse_with", DIAG_ERROR, DIAG_MISSING_KEY,
                        "write: banner: {refused: \"TEXT\"}",
                        "limits.refuse_with: banner needs a text to send, banner.refused");
}

static void rule_ban(Reader *r, const ServiceConfig *s) {
    const ConfigOrigin *codes = service_origin(s, "ban.exit_codes");
    bool wanted = s->terms->ban.exit_codes && s->terms->ban.exit_codes[0] && codes && !codes->from_defaults;
    if (wanted && !has_ban(s) && !s->terms->ban.sensor)
        validate_broken(r, s, "ban.exit_codes", DIAG_ERROR, DIAG_MISSING_KEY, "such as ban: {after: 5/1m}",
                        "ban.exit_codes say nothing without ban.after");
    bool told = door_of(s) == DOOR_PROCESS || door_of(s) == DOOR_NOBODY; /* of ban.after */
    if (wanted && !told && !service_config_accepts(s))
        validate_broken(r, s, "ban.exit_codes", DIAG_ERROR, DIAG_CONFLICT, "leave them out for this service",
                        "ban.exit_codes cannot hold where one process serves many peers");
}

/* The kernel's account is one of TCP connections. */
static void rule_idle(Reader *r, const ServiceConfig *s) {
    if (s->model != MODEL_PER_CONNECTION || s->terms->timeout_idle_usec == USEC_INFINITY)
        return;
    for (size_t i = 0; i < s->n_listen; i++) {
        EndpointKind kind = s->listen[i].endpoint.kind;
        if (kind == ENDPOINT_TCP || kind == ENDPOINT_SYSTEMD)
            continue;
        CLEANUP_TEXT Text message = {0};
        text_addf(&message, "timeouts.idle cannot hold for the connections of %s, only for those of TCP",
                  s->listen[i].endpoint.text);
        validate_broken(r, s, "timeouts.idle", DIAG_ERROR, DIAG_CONFLICT,
                        "leave it out for this service, or write timeouts: {idle: none}",
                        message.s ? message.s : "");
        return;
    }
}

static void rule_tcpmux_endpoints(Reader *r, const ServiceConfig *s) {
    for (size_t i = 0; s->model == MODEL_TCPMUX && i < s->n_listen; i++) {
        const ListenConfig *l = &s->listen[i];
        EndpointKind kind = l->endpoint.kind;
        if (kind == ENDPOINT_TCP || kind == ENDPOINT_UNIX || kind == ENDPOINT_SYSTEMD)
            continue;
        CLEANUP_TEXT Text message = {0};
        text_addf(&message, "service '%s': model tcpmux does not fit %s", s->name, l->endpoint.text);
        reader_diag_at(r, &l->pos, DIAG_ERROR, DIAG_CONFLICT,
                       "it listens on tcp:, as in tcp:1, or on unix:", message.s ? message.s : "");
    }
    if (s->model == MODEL_TCPMUX && has_greeting(s))
        validate_broken(r, s, "banner.greeting", DIAG_ERROR, DIAG_CONFLICT,
                        "write it in the services that it reaches, or banner: {greeting: \"\"}",
                        "a client of tcpmux speaks first");
}

/* As clients ask for it. */
static const char *bare_name(const char *name) {
    return *name == '+' ? name + 1 : name;
}

static void rule_tcpmux_name(Reader *r, const ServiceConfig *s) {
    if (!s->tcpmux)
        return;
    const char *name = bare_name(s->tcpmux);
    bool ok = *name && *name != '+' && strlen(name) <= TCPMUX_NAME_MAX;
    for (const char *c = name; *c && ok; c++)
        ok = *c > 0x20 && *c < 0x7f;
    if (!ok)
        validate_broken(r, s, "tcpmux", DIAG_ERROR, DIAG_BAD_VALUE, "such as echo, or +echo",
                        "a name for tcpmux has 1 to 64 ASCII characters and no blanks");
    else if (strcasecmp(name, "help") == 0)
        validate_broken(r, s, "tcpmux", DIAG_ERROR, DIAG_BAD_VALUE, "give it another name",
                        "tcpmux answers 'help' itself, with a list of names");
}

void validate_admission_limits(Reader *r, const ServiceConfig *s) {
    rule_doors(r, s, "limits.");
    rule_pool_rates(r, s);
    rule_refuse_banner(r, s);
}

void validate_admission(Reader *r, const ServiceConfig *s) {
    rule_doors(r, s, "");
    rule_pool_rates(r, s);
    rule_refuse_banner(r, s);
    rule_sensor(r, s);
    rule_ban(r, s);
    rule_idle(r, s);
    rule_tcpmux_endpoints(r, s);
    rule_tcpmux_name(r, s);
}

static int compare_names(const void *a, const void *b) {
    const ServiceConfig *x = *(ServiceConfig *const *)a, *y = *(ServiceConfig *const *)b;
    int k = strcasecmp(bare_name(x->tcpmux), bare_name(y->tcpmux));
    return k != 0 ? k : strcmp(x->name, y->name);
}

static void tell_twice(Reader *r, const ServiceConfig *first, const ServiceConfig *second) {
    const ConfigOrigin *origin = service_origin(first, "tcpmux");
    CLEANUP_TEXT Text message = {0};
    CLEANUP_TEXT Text hint = {0};
    text_addf(&message, "the name '%s' is one of service '%s', too", bare_name(second->tcpmux), first->name);
    if (origin)
        text_addf(&hint, "the other one is at %s:%u:%u", origin->pos.file ? origin->pos.file : "?",
                  origin->pos.line, origin->pos.column);
    validate_broken(r, second, "tcpmux", DIAG_ERROR, DIAG_CONFLICT, hint.s, message.s ? message.s : "");
}

static bool has_word(char *const *words, const char *word) {
    for (; words && *words; words++)
        if (streq(*words, word))
            return true;
    return false;
}

/* Whether @door asks for a header whoever @s asks for one, as far as the words tell. */
static bool asks_as_well(const ServiceConfig *door, const ServiceConfig *s) {
    char *const *asked = door->terms->proxy_accept_from;
    for (char *const *v = s->terms->proxy_accept_from; v && *v && !has_word(asked, "any"); v++)
        if (!has_word(asked, *v))
            return false;
    return true;
}

/* By tcpmux a connection has had its header, if any, before its name: the service's own rule comes too late.
 */
static void tell_unasked(Reader *r, const ServiceConfig *s, ServiceConfig *const *doors, size_t n) {
    for (size_t i = 0; i < n; i++) {
        if (!doors[i]->enabled || asks_as_well(doors[i], s))
            continue;
        CLEANUP_TEXT Text message = {0};
        CLEANUP_TEXT Text hint = {0};
        text_addf(&message,
                  "by '%s' it is reached without the header that its proxy_protocol.accept_from asks for",
                  doors[i]->name);
        text_addf(&hint,
                  "write the same proxy_protocol.accept_from in '%s': the header comes before the name",
                  doors[i]->name);
        validate_broken(r, s, "tcpmux", DIAG_WARNING, DIAG_CONFLICT, hint.s, message.s ? message.s : "");
        return;
    }
}

void validate_tcpmux(Reader *r, const Config *c) {
    CLEANUP_FREE ServiceConfig **named = (ServiceConfig **)calloc(c->n_services + 1, sizeof(ServiceConfig *));
    CLEANUP_FREE ServiceConfig **doors = (ServiceConfig **)calloc(c->n_services + 1, sizeof(ServiceConfig *));
    size_t n = 0, n_doors = 0;
    if (!named || !doors) {
        r->no_memory = true;
        return;
    }
    for (size_t i = 0; i < c->n_services; i++) {
        ServiceConfig *s = c->services[i];
        if (s->model == MODEL_TCPMUX)
            doors[n_doors++] = s;
        if (s->tcpmux && s->enabled)
            named[n++] = s;
    }
    qsort((void *)named, n, sizeof(ServiceConfig *), compare_names);
    for (size_t i = 1; i < n; i++)
        if (strcasecmp(bare_name(named[i - 1]->tcpmux), bare_name(named[i]->tcpmux)) == 0)
            tell_twice(r, named[i - 1], named[i]);
    for (size_t i = 0; i < n; i++)
        tell_unasked(r, named[i], doors, n_doors);
    for (size_t i = 0; i < n && n_doors == 0; i++)
        validate_broken(r, named[i], "tcpmux", DIAG_WARNING, DIAG_NOT_FOUND,
                        "such as tcpmux: {listen: tcp:1, model: tcpmux}",
                        "there is no service of model tcpmux that it could be reached by");
}
