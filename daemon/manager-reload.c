/* SPDX-License-Identifier: MIT */
/* Loading the config again: asked for, applied or shown, remembered, told. */
#include <stdlib.h>
#include <string.h>

#include "daemon/account.h"
#include "daemon/base/clock.h"
#include "daemon/cgroup.h"
#include "daemon/manager-private.h"
#include "daemon/seclusion.h"

/* Services, in one step of what is done before the change-over. */
#define PREPARED_AT_ONCE 16

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

/* The first error, or why there is no config to have errors. */
static void remember_reload(Manager *m, const LoadReport *report) {
    Text error CLEANUP_TEXT = {0};
    const DiagList *diags = report->diags;
    bool ok = report->error >= 0;
    if (report->why)
        text_add(&error, report->why);
    for (size_t i = 0; !ok && i < diags->n && error.len == 0; i++)
        if (diags->items[i].severity == DIAG_ERROR)
            diag_format_line(&diags->items[i], &error);
    free(m->last_reload.error);
    m->last_reload.ok = ok;
    m->last_reload.error = ok ? NULL : strdup(error.s ? error.s : strerror(-report->error));
    m->last_reload.time_usec = clock_realtime_usec();
    if (ok)
        m->last_reload.success_usec = m->last_reload.time_usec;
}

static void tell_reload(Manager *m, const LoadReport *report) {
    EventLog *log = &m->rt.events;
    const DiagList *diags = report->diags;
    if (report->error >= 0) {
        eventlog_say(log, LOG_LEVEL_INFO, "reloaded", "generation %llu is in force, changes: %zu",
                     (unsigned long long)m->generation, report->changes->n);
        return;
    }
    for (size_t i = 0; i < diags->n && i < 20; i++) {
        Text line CLEANUP_TEXT = {0};
        if (diags->items[i].severity != DIAG_ERROR)
            continue;
        diag_format_line(&diags->items[i], &line);
        eventlog_say(log, LOG_LEVEL_ERROR, "reload_failed", "%s", line.s ? line.s : "");
    }
    if (report->why || report->error != -EINVAL)
        eventlog_say(log, LOG_LEVEL_ERROR, "reload_failed", "%s",
                     report->why ? report->why : strerror(-report->error));
    eventlog_say(log, LOG_LEVEL_ERROR, "reload_failed", "errors: %zu; generation %llu stays in force",
                 diags->n_errors, (unsigned long long)m->generation);
}

static int apply(Manager *m, Config *next, Comparison *known, DiagList *diags, Changes *changes,
                 PlanItems *plan) {
    int r = changes_between(m->config, next, &m->services, known, changes);
    if (r >= 0)
        r = reload_apply(&m->rt, &m->services, next, known, m->generation + 1, diags, plan);
    if (r < 0)
        return r;
    m->generation++;
    config_unref(m->config);
    m->config = config_ref(next);
    config_loads_set_old(m->loads, m->config);
    manager_apply_log_config(m);
    seclusion_look(&m->rt);
    control_refresh(m->control, m->config);
    return 0;
}

static void forget_preparations(ManagerLoad *l) {
    comparison_done(&l->comparison);
    l->n_touched = 0;
}

/* Since the helper was forked each page of memory costs a fault when it is next written to: the change-over
 * writes to every service. */
static bool touch_services(ManagerLoad *l) {
    const ServiceSet *set = &l->manager->services;
    for (size_t n = PREPARED_AT_ONCE; n > 0 && l->n_touched < set->n; n--, l->n_touched++) {
        volatile uint8_t *bytes = (volatile uint8_t *)set->items[l->n_touched];
        uint8_t first = bytes[0], last = bytes[sizeof(Service) - 1];
        bytes[0] = first;
        bytes[sizeof(Service) - 1] = last;
    }
    return l->n_touched < set->n;
}

/* Without memory for it the reload itself looks for what differs. */
static bool prepare(const Config *next, void *userdata) {
    ManagerLoad *l = userdata;
    if (comparison_step(&l->comparison, l->manager->config, next, PREPARED_AT_ONCE) == 1)
        return true;
    return l->applies && touch_services(l);
}

static int begin(ManagerLoad *l);

/* An upgrade whose next step needs that no reload is under way would hardly come to it if one followed the
 * other: who asks meanwhile is served behind that step, be it by the next program. While the new program
 * proves itself they go on. */
static bool is_held(const ManagerLoad *l) {
    const ManagerUpgrade *u = &l->manager->upgrade;
    return l->applies && u->running && !u->helper;
}

static void outcome_done(LoadOutcome *o) {
    changes_done(&o->changes);
    plan_items_done(&o->plan);
    diag_list_done(&o->diags);
    *o = (LoadOutcome){0};
}

static LoadReport report_of(const Manager *m, const LoadOutcome *o) {
    return (LoadReport){.error = o->error,
                        .why = o->why,
                        .generation = m->generation,
                        .diags = &o->diags,
                        .changes = &o->changes,
                        .plan = &o->plan};
}

static void tell_all(Manager *m, const LoadReport *report) {
    remember_reload(m, report);
    tell_reload(m, report);
    manager_tell_reloaded(m);
}

static void conclude(ManagerLoad *l) {
    Manager *m = l->manager;
    LoadOutcome outcome CLEANUP(outcome_done) = l->outcome;
    const LoadReport report = report_of(m, &outcome);
    uint64_t number = l->begun;
    l->outcome = (LoadOutcome){0};
    if (l->applies)
        tell_all(m, &report);
    l->loading = false;
    if (l->asked > number && !is_held(l) && begin(l) < 0)
        number = l->asked;
    control_on_load(m->control, l->applies, number, &report);
    if (!m->reload.loading)
        manager_go_on_upgrading(m);
}

void manager_tell_put_off(Manager *m) {
    ManagerLoad *l = &m->reload;
    if (!l->put_off || !cgroup_spread_is_over(&m->rt))
        return;
    l->put_off = false;
    conclude(l);
}

/* Where it is has become known to all who talk to it. */
static void look_at_socket(const Manager *m, const Config *next, DiagList *diags) {
    char *standard CLEANUP_FREE = NULL;
    const char *now = control_path(m->control), *then = manager_socket_path(m, next, &standard);
    if (m->options->socket || !then || streq(then, now))
        return;
    const ConfigPos p = config_place(next, "control.socket");
    const DiagPos at = {p.file, p.line, p.column, p.end_column};
    diag_add(diags, DIAG_WARNING, DIAG_NOT_ALLOWED, &at, NULL, "start the daemon anew",
             "control.socket: it stays at %s for as long as the daemon runs", now);
}

static void on_loaded(const LoadResult *result, void *userdata) {
    ManagerLoad *l = userdata;
    Manager *m = l->manager;
    LoadOutcome *o = &l->outcome;
    int r = result->error;
    diag_list_copy(&o->diags, result->diags);
    if (r >= 0)
        look_at_socket(m, result->config, &o->diags);
    if (r >= 0)
        r = cgroup_check_config(&m->rt, result->config, &o->diags);
    if (r >= 0 && l->applies) {
        r = apply(m, result->config, &l->comparison, &o->diags, &o->changes, &o->plan);
    } else if (r >= 0) {
        r = changes_between(m->config, result->config, &m->services, &l->comparison, &o->changes);
        if (r >= 0)
            r = reload_plan(&m->services, result->config, &l->comparison, &o->plan);
    }
    o->error = r;
    o->why = result->why;
    forget_preparations(l);
    l->put_off = r >= 0 && l->applies;
    if (l->put_off)
        manager_tell_put_off(m);
    else
        conclude(l);
}

static int begin(ManagerLoad *l) {
    Manager *m = l->manager;
    l->begun = l->asked;
    int r = config_loads_ask(m->loads, m->config->path, prepare, on_loaded, l);
    l->loading = r >= 0;
    /* Nobody is told of an end that does not come. */
    if (r >= 0 && l->applies)
        manager_tell_reloading(m);
    return r;
}

static int ask(Manager *m, ManagerLoad *l, bool applies, uint64_t *ret_number) {
    int r = 0;
    if (m->state != MANAGER_RUNNING)
        return -ESHUTDOWN;
    l->manager = m;
    l->applies = applies;
    /* One that is under way may have read the files before they were as they are now. */
    if (l->asked == l->begun)
        l->asked++;
    if (!l->loading && !is_held(l))
        r = begin(l);
    *ret_number = l->asked;
    return r;
}

void manager_go_on_loading(Manager *m) {
    ManagerLoad *l = &m->reload;
    if (l->loading || l->asked <= l->begun || m->state != MANAGER_RUNNING)
        return;
    l->manager = m;
    l->applies = true;
    int r = is_held(l) ? 0 : begin(l);
    const LoadReport report = {.error = r};
    if (r < 0)
        control_on_load(m->control, true, l->asked, &report);
}

int manager_reload(Manager *m, uint64_t *ret_number) {
    return ask(m, &m->reload, true, ret_number);
}

int manager_check(Manager *m, uint64_t *ret_number) {
    return ask(m, &m->check, false, ret_number);
}

bool manager_is_reloading(const Manager *m) {
    return m->reload.loading;
}

static void forget(ManagerLoad *l, Manager *m, int error) {
    const LoadReport report = {.error = error};
    config_loads_forget(m->loads, l);
    forget_preparations(l);
    l->loading = false;
    /* It is in force, whoever has not got his limit yet. */
    if (l->put_off) {
        const LoadReport done = report_of(m, &l->outcome);
        l->put_off = false;
        tell_all(m, &done);
        control_on_load(m->control, true, l->begun, &done);
        outcome_done(&l->outcome);
    }
    control_on_load(m->control, l == &m->reload, UINT64_MAX, &report);
}

void manager_forget_loads(Manager *m) {
    forget(&m->reload, m, -ESHUTDOWN);
    forget(&m->check, m, -ESHUTDOWN);
}

void manager_forget_checks(Manager *m) {
    forget(&m->check, m, -ECANCELED);
    config_loads_cancel(m->loads);
}
