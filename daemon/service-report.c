/* SPDX-License-Identifier: MIT */
/* What the processes of a service say of themselves, by status pipe or notify socket. */
#include "daemon/base/clock.h"
#include "daemon/base/text.h"
#include "daemon/forward.h"
#include "daemon/offence.h"
#include "daemon/pool.h"
#include "daemon/service-private.h"

static void take_requests(Service *s, const Report *r, int64_t before) {
    int64_t more = r->requests - (before > 0 ? before : 0);
    /* A count that goes back is a process that has counted anew. */
    if (more > 0)
        service_history(s)->counters.requests += (uint64_t)more;
}

static void take_status(Service *s, const Instance *i) {
    char peer[PEER_TEXT_MAX];
    if (streq_null(s->status, i->report->status))
        return;
    char *status = i->report->status ? strdup(i->report->status) : NULL;
    free(s->status);
    s->status = status;
    ApiEvent e = instance_event(i, LOG_LEVEL_INFO, "status", peer);
    e.message = s->status;
    service_emit_limited(s, LIMITED_STATUS, &e);
}

void service_take_ready(Service *s, Instance *i) {
    char peer[PEER_TEXT_MAX];
    bool awaited = i->unready;
    if (awaited && i->state != INSTANCE_STARTING)
        return; /* too late: it is being ended */
    instance_set_ready(i);
    if (!i->told_ready) {
        i->told_ready = true;
        ApiEvent e = instance_event(i, LOG_LEVEL_INFO, "ready", peer);
        e.message = "ready";
        service_emit(s, &e);
    }
    if (awaited)
        service_update(s, "ready");
}

/* Whom to ban is only known of a process that serves one peer. */
static void ban_peer(Service *s, const Instance *i) {
    if (i->peer.kind == PEER_NONE)
        service_history(s)->counters.report_errors++;
    else
        (void)offence_ban(s, &i->peer, BAN_REPORTED);
}

void service_on_report(Service *s, Instance *i, const char *line, size_t n) {
    /* Its pipes could not be watched. */
    if (!i->report)
        return;
    int64_t before = i->report->requests;
    ReportKind kind = report_line(i->report, line, n);
    if (i->role == ROLE_FORWARD && forward_on_report(i, kind))
        return;
    switch (kind) {
    case REPORT_MALFORMED:
        service_history(s)->counters.report_errors++;
        break;
    case REPORT_READY:
        service_take_ready(s, i);
        break;
    case REPORT_STATUS:
        take_status(s, i);
        break;
    case REPORT_STOPPING:
        if (!i->unready)
            instance_unwatch(i);
        break;
    case REPORT_WATCHDOG:
        instance_set_alive(i);
        break;
    case REPORT_TRIGGER:
        instance_trigger_watchdog(i);
        break;
    case REPORT_ACTIVE:
        if (i->report->active > 0)
            i->quiet_usec = 0;
        else if (i->quiet_usec == 0)
            i->quiet_usec = clock_monotonic_usec();
        break;
    case REPORT_BAN:
        ban_peer(s, i);
        break;
    case REPORT_REQUESTS:
        take_requests(s, i->report, before);
        break;
    case REPORT_RELOADING:
    case REPORT_ERRNO:
    case REPORT_QUEUED:
    case REPORT_CAPACITY:
    case REPORT_METRIC:
        break;
    }
    if (i->worker && i->worker->pool)
        pool_on_report(i->worker->pool, i, kind);
}
