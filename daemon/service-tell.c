/* SPDX-License-Identifier: MIT */
/* What a service has to say: its events, each kind bounded, and its last error. */
#include <inttypes.h>
#include <string.h>
#include <sys/wait.h>

#include "daemon/base/clock.h"
#include "daemon/service-private.h"

/* Lines of a kind: so many a second after a burst. */
#define LINES_PER_SECOND 10
#define LINES_BURST 100

/* "0.8 ms", "4.1 s", "12 min", "3.2 h": as exact as anybody wants to know. Returns @buf. */
static const char *format_length(uint64_t usec, char buf[static 32]) {
    static const struct {
        double usec;
        const char *unit;
    } units[] = {{3600e6, "h"}, {60e6, "min"}, {1e6, "s"}, {1e3, "ms"}};
    size_t i = 0;
    while (i + 1 < ELEMENTS(units) && (double)usec < units[i].usec)
        i++;
    (void)snprintf(buf, 32, "%.1f %s", (double)usec / units[i].usec, units[i].unit);
    return buf;
}

void service_tell_end(Service *s, const Instance *i, int status, ExitResult result, uint64_t lived_usec) {
    char peer[PEER_TEXT_MAX], message[128], lived[32];
    const char *timeout = instance_timeout_to_string(i->timed_out);
    char why[64] = "";
    if (timeout)
        (void)snprintf(why, sizeof(why), " (%s)", timeout);
    else if (i->asked)
        (void)snprintf(why, sizeof(why), " (as asked)");
    else if (i->unready)
        (void)snprintf(why, sizeof(why), " before it was ready");
    ApiEvent e = instance_event(i, LOG_LEVEL_INFO, "ended", peer);
    e.reason = exit_result_to_string(result);
    e.duration_usec = lived_usec;
    if (WIFSIGNALED(status)) {
        e.signal = WTERMSIG(status);
        const char *name = sigabbrev_np(e.signal);
        (void)snprintf(message, sizeof(message), "ended: killed by SIG%s after %s%s", name ? name : "?",
                       format_length(lived_usec, lived), why);
    } else {
        e.exit_code = WEXITSTATUS(status);
        (void)snprintf(message, sizeof(message), "ended: exit %d after %s%s", e.exit_code,
                       format_length(lived_usec, lived), why);
    }
    e.message = message;
    service_emit(s, &e);
}

void service_set_error(Service *s, const char *step, int error, const char *message, const ConfigPos *pos) {
    LastError *last = &s->last_error;
    char text[160];
    if (!message) {
        (void)snprintf(text, sizeof(text), "%s: %s", step, strerror(error));
        message = text;
    } else {
        /* Not told elsewhere: failures of processes have an event of their own. */
        ApiEvent e = eventlog_event(LOG_LEVEL_ERROR, "error");
        e.service = s->name;
        e.step = step;
        e.error = error;
        e.message = message;
        service_emit_limited(s, LIMITED_ERROR, &e);
    }
    char *copy = strdup(message), *file = pos && pos->line ? strdup(pos->file ? pos->file : "") : NULL;
    free(last->message);
    free(last->file);
    *last = (LastError){
        .time_usec = clock_realtime_usec(),
        .step = step,
        .error = error,
        .message = copy,
        .file = file,
        .line = pos ? pos->line : 0,
    };
}

void service_emit(Service *s, const ApiEvent *e) {
    eventlog_emit(&s->rt->events, e, &s->ring);
}

void service_emit_limited(Service *s, LimitedLine line, const ApiEvent *e) {
    if (ratelimit_pass(&s->limited[line], LINES_PER_SECOND, LINES_BURST, clock_monotonic_usec()))
        service_emit(s, e);
    else if (s->rt->on_suppressed)
        s->rt->on_suppressed(s->rt->on_suppressed_userdata);
}

bool service_tell_suppressed(Service *s, uint64_t now_usec) {
    static const char *const kinds[_LIMITED_MAX] = {
        [LIMITED_REFUSED] = "refused", [LIMITED_BANNED] = "banned", [LIMITED_SPAWN_FAILED] = "spawn_failed",
        [LIMITED_GONE] = "gone",       [LIMITED_STATUS] = "status", [LIMITED_STATE] = "state",
        [LIMITED_ERROR] = "error",
    };
    bool more = false;
    for (size_t i = 0; i < _LIMITED_MAX; i++) {
        uint64_t n = ratelimit_take_suppressed(&s->limited[i], now_usec);
        if (n > 0) {
            char message[96];
            (void)snprintf(message, sizeof(message), "%" PRIu64 " more lines of '%s' left out", n, kinds[i]);
            ApiEvent e = eventlog_event(LOG_LEVEL_WARNING, kinds[i]);
            e.service = s->name;
            e.message = message;
            service_emit(s, &e);
        }
        more = more || s->limited[i].suppressed > 0;
    }
    return more;
}
