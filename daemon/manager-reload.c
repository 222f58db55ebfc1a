/* SPDX-License-Identifier: MIT */
/* Loading the config again: check, apply, remember, tell. */
#include <string.h>

#include "daemon/account.h"
#include "daemon/base/clock.h"
#include "daemon/manager-private.h"

void manager_apply_log_config(Manager *m) {
    Logger *logger = m->rt.events.logger;
    logger_set_level(logger, m->options->has_level ? m->options->level : m->config->log_level);
    logger_set_format(logger, m->options->has_format ? m->options->format : m->config->log_format);
    m->rt.log_addresses = m->rt.events.addresses = m->config->log_addresses;
    bool traffic = false;
    for (size_t i = 0; i < m->config->n_services; i++)
        traffic = traffic || service_config_counts_traffic(m->config->services[i]);
    traffic_set_wanted(m->rt.traffic, traffic);
}

static void remember_reload(Manager *m, bool ok, const DiagList *diags) {
    Text error CLEANUP_TEXT = {0};
    for (size_t i = 0; !ok && i < diags->n && error.len == 0; i++)
        if (diags->items[i].severity == DIAG_ERROR)
            diag_format_line(&diags->items[i], &error);
    free(m->last_reload.error);
    m->last_reload.ok = ok;
    m->last_reload.error = ok ? NULL : strdup(error.s ? error.s : "out of memory");
    m->last_reload.time_usec = clock_realtime_usec();
    if (ok)
        m->last_reload.success_usec = m->last_reload.time_usec;
}

static void tell_reload(Manager *m, bool ok, const DiagList *diags, const Changes *changes) {
    EventLog *log = &m->rt.events;
    if (ok) {
        eventlog_say(log, LOG_LEVEL_INFO, "reloaded", "generation %llu is in force, changes: %zu",
                     (unsigned long long)m->generation, changes->n);
        return;
    }
    for (size_t i = 0; i < diags->n && i < 20; i++) {
        Text line CLEANUP_TEXT = {0};
        if (diags->items[i].severity != DIAG_ERROR)
            continue;
        diag_format_line(&diags->items[i], &line);
        eventlog_say(log, LOG_LEVEL_ERROR, "reload_failed", "%s", line.s ? line.s : "");
    }
    eventlog_say(log, LOG_LEVEL_ERROR, "reload_failed", "errors: %zu; generation %llu stays in force",
                 diags->n_errors, (unsigned long long)m->generation);
}

int manager_check(Manager *m, DiagList *diags, Changes *changes) {
    Config *next CLEANUP_CONFIG = NULL;
    LoadContext strict = m->load;
    strict.tolerate_missing = false;
    strict.absolute_names = true;
    int r = config_load(m->config->path, &strict, diags, &next);
    return r < 0 ? r : changes_between(m->config, next, &m->services, changes);
}

static int load_and_apply(Manager *m, DiagList *diags, Changes *changes) {
    Config *next CLEANUP_CONFIG = NULL;
    LoadContext strict = m->load;
    strict.tolerate_missing = false;
    strict.absolute_names = true;
    int r = config_load(m->config->path, &strict, diags, &next);
    if (r >= 0)
        r = changes_between(m->config, next, &m->services, changes);
    PlanItems items CLEANUP(plan_items_done) = {0};
    if (r >= 0)
        r = reload_apply(&m->rt, &m->services, next, m->generation + 1, diags, &items);
    if (r < 0)
        return r;
    m->generation++;
    config_unref(m->config);
    m->config = TAKE_PTR(next);
    manager_apply_log_config(m);
    control_refresh(m->control, m->config);
    return 0;
}

int manager_reload(Manager *m, DiagList *diags, Changes *changes) {
    if (m->state != MANAGER_RUNNING)
        return -ESHUTDOWN;
    manager_tell_reloading(m);
    int r = load_and_apply(m, diags, changes);
    remember_reload(m, r >= 0, diags);
    tell_reload(m, r >= 0, diags, changes);
    manager_tell_reloaded(m);
    return r;
}
