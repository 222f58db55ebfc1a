/* SPDX-License-Identifier: MIT */
/* The whole state as a blob, and back. The order of the fields is that of StateTag: what stands behind refers
 * to what stands before. */
#include <string.h>

#include "build-config.h"
#include "conf/config-blob.h"
#include "daemon/base/clock.h"
#include "daemon/handover.h"
#include "daemon/ledger.h"
#include "daemon/manager-private.h"
#include "daemon/runtime-save.h"

enum {
    MANAGER_GENERATION = 1,
    MANAGER_STARTED_USEC, /* monotonic */
    MANAGER_RELOAD_OK,
    MANAGER_RELOAD_ERROR,
    MANAGER_RELOAD_USEC, /* since 1970 */
    MANAGER_RELOAD_SUCCESS_USEC,
    MANAGER_STRANGERS,
    MANAGER_PROGRAM,
    MANAGER_UPGRADE_BEGAN_USEC, /* monotonic */
    MANAGER_UPGRADE_PAUSED_USEC,
    MANAGER_N_SERVICES,
    MANAGER_LOG,
    MANAGER_LOADS_BEGUN,
    MANAGER_LOADS_ASKED,
    MANAGER_HELPER, /* once for each that has not been reaped: nobody waits for it any more */
};

static void put_helper(pid_t pid, void *userdata) {
    blob_put_u64(userdata, MANAGER_HELPER, (uint64_t)pid);
}

static void save_manager(BlobWriter *w, const Manager *m) {
    blob_put_u64(w, MANAGER_GENERATION, m->generation);
    blob_put_u64(w, MANAGER_STARTED_USEC, m->started_usec);
    blob_put_bool(w, MANAGER_RELOAD_OK, m->last_reload.ok);
    blob_put_str(w, MANAGER_RELOAD_ERROR, m->last_reload.error);
    blob_put_u64(w, MANAGER_RELOAD_USEC, m->last_reload.time_usec);
    blob_put_u64(w, MANAGER_RELOAD_SUCCESS_USEC, m->last_reload.success_usec);
    blob_put_u64(w, MANAGER_STRANGERS, m->strangers);
    blob_put_str(w, MANAGER_PROGRAM, m->options->program);
    blob_put_u64(w, MANAGER_UPGRADE_BEGAN_USEC, m->upgrade.began_usec);
    blob_put_u64(w, MANAGER_UPGRADE_PAUSED_USEC, m->upgrade.paused_usec);
    blob_put_u64(w, MANAGER_N_SERVICES, m->services.n);
    blob_put_u64(w, MANAGER_LOADS_BEGUN, m->reload.begun);
    blob_put_u64(w, MANAGER_LOADS_ASKED, m->reload.asked);
    helpers_each(&m->helpers, put_helper, w);
    size_t at = blob_open(w, MANAGER_LOG);
    logger_save(w, m->rt.events.logger);
    blob_close(w, at);
}

#define SAVE(tag, call)                                                                                      \
    do {                                                                                                     \
        size_t at_ = blob_open(w, tag);                                                                      \
        call;                                                                                                \
        blob_close(w, at_);                                                                                  \
    } while (0)

int manager_save(BlobWriter *w, const Manager *m) {
    const Runtime *rt = &m->rt;
    blob_begin(w, BLOB_STATE);
    blob_put_str(w, STATE_VERSION, MP_VERSION);
    SAVE(STATE_CONFIG, config_put(w, m->config));
    SAVE(STATE_RUNTIME, runtime_save(w, rt));
    SAVE(STATE_MANAGER, save_manager(w, m));
    SAVE(STATE_SOURCES, sources_save(w, rt->sources));
    SAVE(STATE_BANS, bans_save(w, rt->bans));
    SAVE(STATE_EVENTS, eventlog_save(w, &rt->events));
    SAVE(STATE_TRAFFIC, traffic_save(w, rt->traffic));
    for (size_t i = 0; i < m->services.n; i++)
        SAVE(STATE_SERVICE, service_save(w, m->services.items[i], m->config));
    SAVE(STATE_LINGER, linger_save(w, rt->linger));
    SAVE(STATE_CONTROL, control_save(w, m->control));
    SAVE(STATE_LEDGER, ledger_save(w, rt->ledger));
    return blob_end(w);
}

/* Restoring */

static int restore_config(Manager *m, BlobReader r, Logger *logger) {
    ConfigDecoder *d = config_decoder_new(&r, NULL);
    int e = d ? 1 : -ENOMEM;
    while (e > 0)
        e = config_decoder_step(d, SIZE_MAX);
    if (e == 0)
        m->config = config_decoder_take(d);
    config_decoder_free(d);
    return e < 0 ? e : manager_init_runtime(m, logger);
}

static uint64_t earlier(uint64_t a, uint64_t b) {
    return a < b ? a : b;
}

static int restore_manager(Manager *m, BlobReader r, size_t *ret_n_services) {
    BlobField f;
    m->last_reload.ok = false;
    while (blob_next(&r, &f)) {
        if (f.tag == MANAGER_GENERATION)
            m->generation = blob_u64(&f);
        else if (f.tag == MANAGER_STARTED_USEC)
            m->started_usec = earlier(blob_u64(&f), clock_monotonic_usec());
        else if (f.tag == MANAGER_RELOAD_OK)
            m->last_reload.ok = blob_bool(&f);
        else if (f.tag == MANAGER_RELOAD_ERROR)
            blob_take_str(&f, &m->last_reload.error);
        else if (f.tag == MANAGER_RELOAD_USEC)
            m->last_reload.time_usec = blob_u64(&f);
        else if (f.tag == MANAGER_RELOAD_SUCCESS_USEC)
            m->last_reload.success_usec = blob_u64(&f);
        else if (f.tag == MANAGER_STRANGERS)
            m->strangers = blob_u64(&f);
        else if (f.tag == MANAGER_PROGRAM)
            blob_take_str(&f, &m->restored.program);
        else if (f.tag == MANAGER_UPGRADE_BEGAN_USEC)
            m->upgrade.began_usec = blob_u64(&f);
        else if (f.tag == MANAGER_UPGRADE_PAUSED_USEC)
            m->upgrade.paused_usec = blob_u64(&f);
        else if (f.tag == MANAGER_N_SERVICES)
            *ret_n_services = (size_t)blob_u64(&f);
        else if (f.tag == MANAGER_LOADS_BEGUN)
            m->reload.begun = blob_u64(&f);
        else if (f.tag == MANAGER_LOADS_ASKED)
            m->reload.asked = blob_u64(&f);
        else if (f.tag == MANAGER_HELPER)
            errands_restore(&f, &m->rt.errands);
        else if (f.tag == MANAGER_LOG)
            logger_restore(blob_enter(&f), m->rt.events.logger);
    }
    return 0;
}

/* In the order of their names, as they are looked for. */
static int restore_service(Manager *m, BlobReader r) {
    ServiceSet *set = &m->services;
    Service *s = NULL;
    if ((set->n & (set->n - 1)) == 0) {
        Service **items =
            (Service **)reallocarray((void *)set->items, set->n ? set->n * 2 : 1, sizeof(Service *));
        if (!items)
            return -ENOMEM;
        set->items = items;
    }
    int e = service_restore(r, &m->rt, m->config, &s);
    if (e < 0)
        return e;
    if (set->n > 0 && strcmp(set->items[set->n - 1]->name, s->name) >= 0)
        blob_spoil(r.source, "services are not in the order of their names");
    set->items[set->n++] = s;
    return 0;
}

/* What is behind the config. */
static int restore_field(Manager *m, const BlobField *f, size_t *ret_n_services) {
    Runtime *rt = &m->rt;
    switch (f->tag) {
    case STATE_RUNTIME:
        return runtime_restore(blob_enter(f), rt);
    case STATE_MANAGER:
        return restore_manager(m, blob_enter(f), ret_n_services);
    case STATE_SOURCES:
        return sources_restore(blob_enter(f), rt->sources);
    case STATE_BANS:
        return bans_restore(blob_enter(f), rt->bans);
    case STATE_EVENTS:
        return eventlog_restore(blob_enter(f), &rt->events);
    case STATE_TRAFFIC:
        return traffic_restore(blob_enter(f), rt->traffic);
    case STATE_SERVICE:
        return restore_service(m, blob_enter(f));
    case STATE_LINGER:
        return linger_restore(blob_enter(f), rt->linger);
    case STATE_CONTROL:
        return control_restore(blob_enter(f), m, rt->loop, &rt->events, &m->control);
    case STATE_LEDGER:
        return ledger_restore(blob_enter(f), &rt->ledger);
    default:
        return 0; /* of a newer version */
    }
}

/* Whether all is there that is needed to go on. */
static void check_whole(const Manager *m, BlobSource *source, size_t n_services) {
    if (!m->restored.version)
        blob_spoil(source, "it does not say of which version it is");
    else if (!m->config)
        blob_spoil(source, "there is no config in it");
    else if (!m->control)
        blob_spoil(source, "there is no control socket in it");
    else if (n_services != m->services.n)
        blob_spoil(source, "%zu services of %zu are in it", m->services.n, n_services);
    for (size_t i = 0; m->config && i < m->config->n_services; i++)
        if (!service_set_find(&m->services, m->config->services[i]->name))
            blob_spoil(source, "service %s is not in it", m->config->services[i]->name);
}

static int restore_all(Manager *m, Logger *logger, BlobReader r) {
    size_t n_services = 0;
    BlobField f;
    int e = 0;
    while (e >= 0 && blob_next(&r, &f)) {
        if (f.tag == STATE_VERSION)
            blob_take_str(&f, &m->restored.version);
        else if (f.tag == STATE_CONFIG && !m->config)
            e = restore_config(m, blob_enter(&f), logger);
        else if (!m->config || f.tag == STATE_CONFIG)
            blob_spoil(r.source, "field %u stands in the wrong place", f.tag);
        else
            e = restore_field(m, &f, &n_services);
    }
    if (e < 0) {
        blob_spoil(r.source, "%s", strerror(-e));
        return e;
    }
    check_whole(m, r.source, n_services);
    return blob_is_spoilt(r.source) ? -EBADMSG : 0;
}

int manager_restore(const Options *options, const LoadContext *load, Logger *logger, BlobReader r,
                    bool copies, Manager **ret) {
    Manager *m = manager_alloc(options, load);
    if (!m)
        return -ENOMEM;
    m->rt.copies = copies;
    int e = restore_all(m, logger, r);
    if (e < 0)
        return e;
    manager_apply_log_config(m);
    config_loads_set_old(m->loads, m->config);
    m->rt.socket = control_path(m->control);
    tcpmux_collect(&m->rt, m->services.items, m->services.n);
    *ret = m;
    return 0;
}
