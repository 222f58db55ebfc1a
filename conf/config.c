/* SPDX-License-Identifier: MIT */
#include "conf/config.h"

#include <stdlib.h>

#include "conf/config-build.h"
#include "conf/part.h"
#include "conf/schema.h"
#include "conf/service-intern.h"
#include "daemon/base/clock.h"

static const char *const models[] = {
    [MODEL_PER_CONNECTION] = "per-connection",
    [MODEL_ON_DEMAND] = "on-demand",
    [MODEL_POOL] = "pool",
    [MODEL_FORWARD] = "forward",
    [MODEL_TCPMUX] = "tcpmux",
};
DEFINE_STRTAB(model, Model, models);

static const char *const handoffs[] = {[HANDOFF_STDIO] = "stdio", [HANDOFF_LISTEN_FDS] = "listen_fds"};
DEFINE_STRTAB(handoff, Handoff, handoffs);

static const char *const pool_handoffs[] = {
    [POOL_HANDOFF_LISTENER] = "listener",
    [POOL_HANDOFF_CONNECTION] = "connection",
};
DEFINE_STRTAB(pool_handoff, PoolHandoff, pool_handoffs);

static const char *const stderr_targets[] = {
    [STDERR_LOG] = "log",
    [STDERR_SOCKET] = "socket",
    [STDERR_DISCARD] = "discard",
    [STDERR_INHERIT] = "inherit",
};
DEFINE_STRTAB(stderr_target, StderrTarget, stderr_targets);

static const char *const when_fulls[] = {[WHEN_FULL_WAIT] = "wait", [WHEN_FULL_REFUSE] = "refuse"};
DEFINE_STRTAB(when_full, WhenFull, when_fulls);

static const char *const refuse_withs[] = {
    [REFUSE_WITH_CLOSE] = "close",
    [REFUSE_WITH_BANNER] = "banner",
    [REFUSE_WITH_RESET] = "reset",
};
DEFINE_STRTAB(refuse_with, RefuseWith, refuse_withs);

static const char *const log_facts[] = {
    [LOG_FACT_PID] = "pid",   [LOG_FACT_PEER] = "peer",         [LOG_FACT_USER] = "user",
    [LOG_FACT_EXIT] = "exit", [LOG_FACT_DURATION] = "duration", [LOG_FACT_TRAFFIC] = "traffic",
    [LOG_FACT_CPU] = "cpu",   [LOG_FACT_MEMORY] = "memory",
};
DEFINE_STRTAB(log_fact, LogFact, log_facts);

static const char *const restart_policies[] = {
    [RESTART_NEVER] = "never",
    [RESTART_ON_FAILURE] = "on-failure",
    [RESTART_ALWAYS] = "always",
};
DEFINE_STRTAB(restart_policy, RestartPolicy, restart_policies);

static const char *const notify_modes[] = {
    [NOTIFY_NONE] = "none",
    [NOTIFY_STATUS] = "status",
    [NOTIFY_SD_NOTIFY] = "sd_notify",
};
DEFINE_STRTAB(notify_mode, NotifyMode, notify_modes);

static const char *const proxy_sends[] = {
    [PROXY_SEND_NONE] = "none",
    [PROXY_SEND_V1] = "v1",
    [PROXY_SEND_V2] = "v2",
};
DEFINE_STRTAB(proxy_send, ProxySend, proxy_sends);

static const char *const log_levels[] = {
    [LOG_LEVEL_ERROR] = "error",
    [LOG_LEVEL_WARNING] = "warning",
    [LOG_LEVEL_INFO] = "info",
    [LOG_LEVEL_DEBUG] = "debug",
};
DEFINE_STRTAB(log_level, LogLevel, log_levels);

static const char *const log_formats[] = {[LOG_FORMAT_TEXT] = "text", [LOG_FORMAT_JSON] = "json"};
DEFINE_STRTAB(log_format, LogFormat, log_formats);

static const char *const log_address_words[] = {
    [LOG_ADDRESSES_FULL] = "full",
    [LOG_ADDRESSES_PREFIX] = "prefix",
    [LOG_ADDRESSES_NONE] = "none",
};
DEFINE_STRTAB(log_addresses, LogAddresses, log_address_words);

static const char *const shutdown_words[] = {[SHUTDOWN_END] = "end", [SHUTDOWN_LEAVE] = "leave"};
DEFINE_STRTAB(shutdown_children, ShutdownChildren, shutdown_words);

void listen_config_init(ListenConfig *l) {
    *l = (ListenConfig){
        .endpoint.text = "",
        .backlog = -1,
        .nodelay = -1,
        .keepalive_idle_sec = -1,
        .keepalive_interval_sec = -1,
        .keepalive_count = -1,
        .defer_accept_sec = -1,
        .fast_open = -1,
        .mark = -1,
        .receive_buffer = -1,
        .send_buffer = -1,
        .mode = 0666,
        .user = (uid_t)-1,
        .group = (gid_t)-1,
        .remove_on_stop = true,
        .max_messages = -1,
        .message_size = -1,
    };
}

void listen_config_done(ListenConfig *l) {
    free(l->text);
    free(l->name);
    free(l->device);
    free(l->user_name);
    free(l->group_name);
}

void resolved_done(Resolved *r) {
    free(r->program);
    free(r->forward);
    free(r->groups);
    free(r->user_name);
    free(r->home);
    free(r->shell);
    *r = (Resolved){0};
}

Diag *diag_free(Diag *d) {
    if (d)
        diag_done(d);
    free(d);
    return NULL;
}

ServiceConfig *service_config_new(void) {
    ServiceConfig *s = calloc(1, sizeof(ServiceConfig));
    if (!s)
        return NULL;
    s->refs = 1;
    return part_make(s, KEY_PART_TERMS) ? s : service_config_unref(s);
}

ServiceTerms *service_config_terms(ServiceConfig *s) {
    return part_make(s, KEY_PART_TERMS);
}

ServiceConfig *service_config_ref(ServiceConfig *s) {
    s->refs++;
    return s;
}

static int own_file(ServiceConfig *s, ConfigPos *pos) {
    for (char **file = s->files; pos->file && file && *file; file++) {
        if (!streq(*file, pos->file))
            continue;
        pos->file = *file;
        return 0;
    }
    if (!pos->file)
        return 0;
    if (strv_push(&s->files, strdup(pos->file)) < 0)
        return -ENOMEM;
    pos->file = s->files[strv_length(s->files) - 1];
    return 0;
}

int service_config_own_files(ServiceConfig *s) {
    ConfigPos *const places[] = {&s->pos, &s->exec_pos, &s->user_pos};
    int r = 0;
    for (size_t i = 0; i < ELEMENTS(places) && r == 0; i++)
        r = own_file(s, places[i]);
    for (size_t i = 0; i < s->n_listen && r == 0; i++)
        r = own_file(s, &s->listen[i].pos);
    for (size_t i = 0; i < s->n_origins && r == 0; i++)
        r = own_file(s, &s->origins[i].pos);
    return r;
}

ServiceConfig *service_config_unref(ServiceConfig *s) {
    if (!s || --s->refs > 0)
        return NULL;
    service_config_release(s);
    parts_done(s);
    free(s->listen);
    free(s->origins);
    s->problem = diag_free(s->problem);
    free(s);
    return NULL;
}

static bool rate_equal(const Rate *a, const Rate *b) {
    return a->count == b->count && a->per_usec == b->per_usec && a->burst == b->burst;
}

bool limits_config_equal(const LimitsConfig *a, const LimitsConfig *b) {
    return a->instances == b->instances && a->per_source == b->per_source &&
           a->source_ipv4 == b->source_ipv4 && a->source_ipv6 == b->source_ipv6 &&
           rate_equal(&a->rate, &b->rate) && rate_equal(&a->rate_per_source, &b->rate_per_source) &&
           a->load == b->load && a->when_full == b->when_full && a->refuse_with == b->refuse_with;
}

bool service_config_accepts(const ServiceConfig *s) {
    bool forward = s->model == MODEL_FORWARD && s->n_listen > 0;
    return s->model == MODEL_PER_CONNECTION || s->model == MODEL_TCPMUX ||
           (forward && endpoint_kind_is_stream(s->listen[0].endpoint.kind));
}

size_t service_config_count_sockets(const ServiceConfig *s) {
    size_t n = 0;
    for (size_t i = 0; i < s->n_listen; i++)
        n += s->listen[i].endpoint.n_addrs;
    return n;
}

bool service_config_has_processes(const ServiceConfig *s) {
    return s->model != MODEL_TCPMUX && !s->terms->ban.sensor;
}

bool service_config_has_backend(const ServiceConfig *s) {
    return s->model == MODEL_FORWARD && s->exec;
}

const ResourceConfig *service_config_resources(const ServiceConfig *s) {
    return s->resources ? s->resources : &resource_standard;
}

Config *config_new(void) {
    Config *c = calloc(1, sizeof(Config));
    if (!c)
        return NULL;
    c->refs = 1;
    c->control_mode = 0660;
    c->control_gid = (gid_t)-1;
    c->log_level = LOG_LEVEL_INFO;
    c->shutdown_drain_usec = 10 * USEC_PER_SEC;
    return c;
}

Config *config_ref(Config *c) {
    c->refs++;
    return c;
}

Config *config_unref(Config *c) {
    if (!c || --c->refs > 0)
        return NULL;
    for (size_t i = 0; i < c->n_services; i++)
        service_config_unref(c->services[i]);
    free((void *)c->services);
    free(c->path);
    strv_free(c->files);
    free(c->control_socket);
    free(c->control_group);
    strv_free(c->control_manage);
    free(c->manage_uids);
    free(c->manage_gids);
    free(c->origins);
    free(c);
    return NULL;
}

Config *config_unref_some(Config *c, size_t n) {
    if (c->refs > 1)
        return config_unref(c);
    for (; n > 0 && c->n_services > 0; n--)
        service_config_unref(c->services[--c->n_services]);
    return c->n_services > 0 ? c : config_unref(c);
}

int config_origin_add(ConfigOrigin **v, size_t *n, const ConfigOrigin *origin) {
    ConfigOrigin *bigger = reallocarray(*v, *n + 1, sizeof(ConfigOrigin));
    if (!bigger)
        return -ENOMEM;
    *v = bigger;
    (*v)[(*n)++] = *origin;
    return 0;
}

static int compare_name(const void *name, const void *service) {
    return strcmp(name, (*(ServiceConfig *const *)service)->name);
}

static ServiceConfig **find_place(const Config *c, const char *name) {
    if (c->n_services == 0)
        return NULL;
    return bsearch(name, (const void *)c->services, c->n_services, sizeof(ServiceConfig *), compare_name);
}

ConfigPos config_place(const Config *c, const char *path) {
    const Key *key = schema_find(KEY_SCOPE_FILE, path);
    for (size_t i = 0; key && i < c->n_origins; i++)
        if (c->origins[i].key == schema_index(key))
            return c->origins[i].pos;
    return (ConfigPos){0};
}

ServiceConfig *config_find(const Config *c, const char *name) {
    ServiceConfig **found = find_place(c, name);
    return found ? *found : NULL;
}

bool config_replace(Config *c, ServiceConfig *s) {
    ServiceConfig **place = find_place(c, s->name);
    if (!place)
        return false;
    ServiceConfig *before = *place;
    *place = service_config_ref(s);
    service_config_unref(before);
    return true;
}
