/* SPDX-License-Identifier: MIT */
#include "conf/validate.h"

#include <stdlib.h>
#include <string.h>

#include "conf/decode.h"
#include "conf/overlap.h"
#include "conf/target.h"
#include "conf/validate-admission.h"
#include "conf/validate-isolation.h"
#include "daemon/base/clock.h"

typedef void (*ServiceRule)(Reader *r, const ServiceConfig *s);

static void broken_at(Reader *r, const ServiceConfig *s, const ConfigOrigin *origin, DiagSeverity severity,
                      DiagCode code, const char *hint, const char *message) {
    CLEANUP_TEXT Text text = {0};
    text_addf(&text, "service '%s': %s%s", s->name, message,
              origin && origin->from_defaults ? " (from defaults)" : "");
    reader_diag_at(r, origin ? &origin->pos : &s->pos, severity, code, hint, text.s ? text.s : message);
}

void validate_broken(Reader *r, const ServiceConfig *s, const char *path, DiagSeverity severity,
                     DiagCode code, const char *hint, const char *message) {
    broken_at(r, s, service_origin(s, path), severity, code, hint, message);
}

void validate_broken_item(Reader *r, const ServiceConfig *s, const char *path, size_t i,
                          DiagSeverity severity, DiagCode code, const char *hint, const char *message) {
    broken_at(r, s, service_item_origin(s, path, i), severity, code, hint, message);
}

static void conflict(Reader *r, const ServiceConfig *s, const char *path, const char *hint,
                     const char *message) {
    validate_broken(r, s, path, DIAG_ERROR, DIAG_CONFLICT, hint, message);
}

static bool has_stream(const ServiceConfig *s) {
    for (size_t i = 0; i < s->n_listen; i++)
        if (endpoint_kind_is_stream(s->listen[i].endpoint.kind))
            return true;
    return false;
}

/* A process for each connection needs connections. */
static void rule_connections(Reader *r, const ServiceConfig *s) {
    if (s->model != MODEL_PER_CONNECTION)
        return;
    for (size_t i = 0; i < s->n_listen; i++) {
        const ListenConfig *l = &s->listen[i];
        if (endpoint_kind_is_stream(l->endpoint.kind))
            continue;
        CLEANUP_TEXT Text message = {0};
        text_addf(&message, "service '%s': model per-connection does not fit %s, which has no connections",
                  s->name, l->endpoint.text);
        reader_diag_at(r, &l->pos, DIAG_ERROR, DIAG_CONFLICT, "write model: on-demand",
                       message.s ? message.s : "");
    }
}

/* inetd's wait: there is one pair of fds 0 and 1. */
static void rule_stdio_one_endpoint(Reader *r, const ServiceConfig *s) {
    if (s->model == MODEL_ON_DEMAND && s->pass == HANDOFF_STDIO && s->n_listen > 1)
        conflict(r, s, "pass", "write pass: listen_fds, or make a service of each endpoint",
                 "on-demand with pass: stdio takes one endpoint");
}

static void rule_stderr_socket(Reader *r, const ServiceConfig *s) {
    if (s->stderr_target == STDERR_SOCKET && (s->model != MODEL_PER_CONNECTION || s->pass != HANDOFF_STDIO))
        conflict(r, s, "stderr", "write stderr: log",
                 "stderr: socket needs a connection on stdio (model per-connection, pass: stdio)");
}

/* The daemon does not see the connections of such a process, so it cannot end them. */
static void rule_lifetime(Reader *r, const ServiceConfig *s) {
    if (s->model == MODEL_ON_DEMAND && has_stream(s) && s->terms->timeout_lifetime_usec != USEC_INFINITY)
        conflict(r, s, "timeouts.lifetime",
                 "leave it out for this service, or write timeouts: {lifetime: none}",
                 "timeouts.lifetime cannot hold for an on-demand service of stream endpoints");
}

/* To be heard takes a pipe. */
static void rule_report(Reader *r, const ServiceConfig *s) {
    if (s->report)
        return;
    if (s->notify == NOTIFY_STATUS)
        conflict(r, s, "report", "leave report out, or write notify: sd_notify",
                 "notify: status needs the status pipe, which report: false takes away");
    else if (s->terms->timeout_watchdog_usec != USEC_INFINITY && s->notify == NOTIFY_NONE)
        conflict(r, s, "report", "leave report out, or write notify: sd_notify",
                 "timeouts.watchdog needs the status pipe, which report: false takes away");
}

/* A worker of a pool that accepts by itself has many connections as well, and refuses nobody for us. */
static void rule_pool_accepts(Reader *r, const ServiceConfig *s) {
    if (s->model != MODEL_POOL || s->terms->pool.handoff != POOL_HANDOFF_LISTENER || !has_stream(s))
        return;
    if (s->terms->timeout_lifetime_usec != USEC_INFINITY)
        conflict(r, s, "timeouts.lifetime",
                 "write pool: {handoff: connection}, or leave it out for this service",
                 "timeouts.lifetime cannot hold where the workers of a pool accept (handoff: listener)");
    if (s->terms->limits.when_full == WHEN_FULL_REFUSE)
        conflict(
            r, s, "limits.when_full", "write pool: {handoff: connection}, or leave it out for this service",
            "limits.when_full: refuse cannot hold where the workers of a pool accept (handoff: listener)");
}

static void rule_pool_connections(Reader *r, const ServiceConfig *s) {
    for (size_t i = 0; i < s->n_listen; i++) {
        const ListenConfig *l = &s->listen[i];
        if (s->model != MODEL_POOL || s->terms->pool.handoff != POOL_HANDOFF_CONNECTION ||
            endpoint_kind_is_stream(l->endpoint.kind))
            continue;
        CLEANUP_TEXT Text message = {0};
        text_addf(&message,
                  "service '%s': pool.handoff: connection does not fit %s, which has no connections", s->name,
                  l->endpoint.text);
        reader_diag_at(r, &l->pos, DIAG_ERROR, DIAG_CONFLICT, "write pool: {handoff: listener}",
                       message.s ? message.s : "");
    }
}

static void rule_pool_sizes(Reader *r, const ServiceConfig *s) {
    if (s->model != MODEL_POOL)
        return;
    if (s->terms->pool.min > s->terms->pool.max)
        conflict(r, s, service_origin(s, "pool.min") ? "pool.min" : "pool.max", NULL,
                 "pool.min is larger than pool.max");
    if (s->terms->pool.spare_min > s->terms->pool.spare_max)
        conflict(r, s, service_origin(s, "pool.spare_min") ? "pool.spare_min" : "pool.spare_max", NULL,
                 "pool.spare_min is larger than pool.spare_max");
}

static void rule_delays(Reader *r, const ServiceConfig *s) {
    if (s->terms->restart_delay_usec > s->terms->restart_max_delay_usec)
        conflict(r, s, service_origin(s, "restart.delay") ? "restart.delay" : "restart.max_delay", NULL,
                 "restart.delay is longer than restart.max_delay");
}

static void rule_exec_word(Reader *r, const ServiceConfig *s) {
    const char *word = s->exec ? s->exec[0] : NULL;
    if (word && word[0] != '/' && strchr(word, '/'))
        validate_broken(r, s, "exec", DIAG_ERROR, DIAG_BAD_VALUE, "write the whole path, or the name alone",
                        "the program of exec is an absolute path or a plain name");
}

static bool is_zero(const char *s) {
    return *s && s[strspn(s, "0")] == '\0';
}

/* To run as root takes the word; a number could be a slip. */
static void rule_user_zero(Reader *r, const ServiceConfig *s) {
    if (s->user && is_zero(s->user))
        validate_broken(r, s, "user", DIAG_ERROR, DIAG_BAD_VALUE, "write user: root if that is meant",
                        "user 0 is not taken as a number");
}

static void rule_user_self(Reader *r, const ServiceConfig *s) {
    if (s->user && streq(s->user, "self") && r->context->euid == 0)
        validate_broken(r, s, "user", DIAG_WARNING, DIAG_NOT_ALLOWED, "write user: root if that is meant",
                        "user: self runs it as root");
}

static bool is_datagram(EndpointKind kind) {
    return kind == ENDPOINT_UDP || kind == ENDPOINT_UNIX_DGRAM;
}

/* Connections go to connections, datagrams to datagrams. */
static void rule_forward_kinds(Reader *r, const ServiceConfig *s) {
    Endpoint to;
    if (s->model != MODEL_FORWARD || !s->to || target_parse(s->to, &to, NULL, NULL) < 0)
        return;
    for (size_t i = 0; i < s->n_listen; i++) {
        const ListenConfig *l = &s->listen[i];
        const Endpoint *e = &l->endpoint;
        CLEANUP_TEXT Text message = {0};
        const char *hint = NULL;
        if (endpoint_kind_is_stream(e->kind) == is_datagram(to.kind)) {
            hint = "forward connections to tcp:, unix: or vsock:, datagrams to udp: or unix-dgram:";
            text_addf(&message, "service '%s': %s cannot be forwarded to %s", s->name, e->text, to.text);
        } else if (!endpoint_kind_is_stream(e->kind) && !is_datagram(e->kind)) {
            hint = "a forward listens on tcp:, udp:, unix:, unix-dgram:, unix-seqpacket: or vsock:";
            text_addf(&message, "service '%s': %s cannot be forwarded", s->name, e->text);
        } else if (target_is_own(&to, e)) {
            text_addf(&message, "service '%s': it would forward to itself, by %s", s->name, e->text);
        } else {
            continue;
        }
        reader_diag_at(r, &l->pos, DIAG_ERROR, DIAG_CONFLICT, hint, message.s ? message.s : "");
    }
}

static void rule_proxy_send(Reader *r, const ServiceConfig *s) {
    const ConfigOrigin *origin = service_origin(s, "proxy_protocol.send");
    if (origin && !origin->from_defaults && s->proxy_send != PROXY_SEND_NONE && !service_config_accepts(s))
        conflict(r, s, "proxy_protocol.send", "leave it out",
                 "the PROXY protocol does not go with datagrams");
}

static const ServiceRule service_rules[] = {
    rule_connections,  rule_stdio_one_endpoint, rule_stderr_socket, rule_lifetime,   rule_report,
    rule_pool_accepts, rule_pool_connections,   rule_pool_sizes,    rule_delays,     rule_exec_word,
    rule_user_zero,    rule_user_self,          rule_forward_kinds, rule_proxy_send,
};

void validate_service(Reader *r, const ServiceConfig *s) {
    for (size_t i = 0; i < ELEMENTS(service_rules); i++)
        service_rules[i](r, s);
    validate_admission(r, s);
    validate_isolation(r, s);
}

void validate_limits(Reader *r, const ServiceConfig *s) {
    rule_pool_accepts(r, s);
    validate_admission_limits(r, s);
}

static void on_overlap(const ListenConfig *first, const ServiceConfig *first_service,
                       const ListenConfig *second, const ServiceConfig *second_service, void *userdata) {
    Reader *r = userdata;
    CLEANUP_TEXT Text message = {0};
    CLEANUP_TEXT Text hint = {0};
    if (!streq(first->endpoint.text, second->endpoint.text))
        text_addf(&message, "%s overlaps with %s of service '%s'", second->endpoint.text,
                  first->endpoint.text, first_service->name);
    else if (first_service == second_service)
        text_addf(&message, "%s is there twice", second->endpoint.text);
    else
        text_addf(&message, "%s is an endpoint of service '%s', too", second->endpoint.text,
                  first_service->name);
    text_addf(&hint, "the other one is at %s:%u:%u", first->pos.file ? first->pos.file : "?", first->pos.line,
              first->pos.column);
    if (endpoint_kind_is_inet(second->endpoint.kind))
        text_add(&hint, "; or give both reuse_port: true");
    reader_diag_at(r, &second->pos, DIAG_ERROR, DIAG_CONFLICT, hint.s, message.s ? message.s : "");
}

static void check_control_socket(Reader *r, const Config *c) {
    for (size_t i = 0; c->control_socket && i < c->n_services; i++) {
        for (size_t k = 0; k < c->services[i]->n_listen; k++) {
            const ListenConfig *l = &c->services[i]->listen[k];
            if (endpoint_has_node(&l->endpoint) && streq(l->endpoint.path, c->control_socket))
                reader_diag_at(r, &l->pos, DIAG_ERROR, DIAG_CONFLICT, "give one of them another path",
                               "this is the path of the control socket (control.socket)");
        }
    }
}

void validate_config(Reader *r, const Config *c) {
    if (overlap_find(c, on_overlap, r) < 0)
        r->no_memory = true;
    check_control_socket(r, c);
    validate_tcpmux(r, c);
}
