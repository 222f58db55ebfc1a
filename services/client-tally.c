/* SPDX-License-Identifier: MIT */
#include "services/client-tally.h"

#include <errno.h>
#include <inttypes.h>
#include <string.h>

#include "daemon/base/clock.h"

/* From so much on, in percent of one processor, this client may be what limits. */
#define BUSY_PERCENT 85

static const struct {
    const char *word, *text;
} failures[] = {
    [FAILURE_LOCAL] = {"local", "not begun, for want of something on this side"},
    [FAILURE_CONNECT] = {"connect", "not connected"},
    [FAILURE_EMPTY] = {"no-reply", "closed by the server without a byte of reply"},
    [FAILURE_SHORT] = {"short", "closed by the server within a reply"},
    [FAILURE_WRONG] = {"wrong", "answered with wrong bytes"},
    [FAILURE_EXCESS] = {"excess", "answered with more bytes than expected"},
    [FAILURE_BROKEN] = {"broken", "broken off"},
    [FAILURE_TIMEOUT] = {"timeout", "not answered in time"},
};
_Static_assert(ELEMENTS(failures) == _FAILURE_MAX, "a text for each");

static const struct {
    const char *word, *name;
    uint32_t share;
} quantiles[] = {
    {"p50", "p50", 500000},    {"p90", "p90", 900000},  {"p99", "p99", 990000},
    {"p999", "p99.9", 999000}, {"max", "max", 1000000},
};

static uint64_t *errnos_of(Tally *t, Failure failure) {
    if (failure == FAILURE_LOCAL)
        return t->local_errnos;
    if (failure == FAILURE_CONNECT)
        return t->connect_errnos;
    return failure == FAILURE_BROKEN ? t->broken_errnos : NULL;
}

void tally_fail(Tally *t, Failure failure, int error) {
    t->failed[failure]++;
    uint64_t *errnos = errnos_of(t, failure);
    if (errnos)
        errnos[error > 0 && error < TALLY_ERRNO_MAX ? error : 0]++;
}

uint64_t tally_failures(const Tally *t) {
    uint64_t n = 0;
    for (size_t i = 0; i < _FAILURE_MAX; i++)
        n += t->failed[i];
    return n;
}

/* connect(2), ip(7): EADDRNOTAVAIL is what a client gets when all its ports to that address are in use. */
bool tally_errno_is_local(int error) {
    return error == EADDRNOTAVAIL || error == EMFILE || error == ENFILE || error == ENOMEM ||
           error == ENOBUFS || error == EAFNOSUPPORT;
}

static double seconds_of(const Tally *t) {
    return t->end_usec > t->begin_usec ? (double)(t->end_usec - t->begin_usec) / (double)USEC_PER_SEC : 0;
}

static double rate(uint64_t n, double seconds) {
    return seconds > 0 ? (double)n / seconds : 0;
}

static unsigned cpu_percent(const Tally *t) {
    uint64_t usec = t->end_usec - t->begin_usec;
    return usec > 0 && t->end_usec > t->begin_usec ? (unsigned)(t->cpu_usec * 100 / usec) : 0;
}

/* What who reads the figures must know of how they came about; NULL: no more notes than @index. */
static bool note(const Tally *t, const TallyFacts *f, unsigned index, Text *out) {
    if (index == 0 && t->failed[FAILURE_LOCAL] > 0 && t->local_errnos[EADDRNOTAVAIL] > 0)
        text_add(out,
                 "this side ran out of free ports (net.ipv4.ip_local_port_range): a limit of this client, "
                 "not of the server; fewer connections, more requests on each");
    else if (index == 1 && cpu_percent(t) >= BUSY_PERCENT)
        text_addf(out,
                  "this client was busy %u %% of the time: it may be what limits the rate, not the server",
                  cpu_percent(t));
    else if (index == 2 && t->most_open < f->at_once && t->answered > 0)
        text_addf(out, "never more than %" PRIu64 " connections were open at once", t->most_open);
    else if (index == 3 && t->queue_full > 0)
        text_addf(out, "the queue of the listener was full %" PRIu64 " times, and waited for", t->queue_full);
    else if (index == 4 && t->interrupted > 0)
        text_addf(out, "ended early: %" PRIu64 " connections under way are not counted", t->interrupted);
    else
        return false;
    return true;
}
#define NOTES 5U

static void describe(const TallyFacts *f, uint64_t connections, Text *out) {
    text_addf(out, "%s", f->endpoint);
    if (f->address && *f->address)
        text_addf(out, " (%s)", f->address);
    text_addf(out, ": %" PRIu64 " connections, %" PRIu64 " at once, ", connections, f->at_once);
    if (f->read)
        text_add(out, "read to the end\n");
    else
        text_addf(out, "%" PRIu64 " request%s of %" PRIu64 " bytes each\n", f->requests,
                  f->requests == 1 ? "" : "s", f->size);
}

static void latency_row(const char *name, const Latency *l, Text *out) {
    text_addf(out, "  %-13s", name);
    for (size_t i = 0; i < ELEMENTS(quantiles); i++)
        text_addf(out, "%11.3f", (double)latency_quantile(l, quantiles[i].share) / (double)USEC_PER_MSEC);
    text_addc(out, '\n');
}

static void latency_rows(const Tally *t, const TallyFacts *f, Text *out) {
    if (t->connect.count == 0)
        return;
    text_add(out, "  milliseconds ");
    for (size_t i = 0; i < ELEMENTS(quantiles); i++)
        text_addf(out, "%11s", quantiles[i].name);
    text_addc(out, '\n');
    latency_row("connect", &t->connect, out);
    if (!f->read)
        latency_row("request", &t->request, out);
    latency_row("whole", &t->whole, out);
}

static void failure_rows(const Tally *t, Text *out) {
    if (tally_failures(t) == 0)
        text_add(out, "  failures     none\n");
    for (size_t i = 0; i < _FAILURE_MAX; i++) {
        if (t->failed[i] == 0)
            continue;
        const uint64_t *errnos = errnos_of((Tally *)t, (Failure)i);
        if (!errnos)
            text_addf(out, "  failures     %" PRIu64 " %s\n", t->failed[i], failures[i].text);
        for (int e = 0; errnos && e < TALLY_ERRNO_MAX; e++)
            if (errnos[e] > 0)
                text_addf(out, "  failures     %" PRIu64 " %s: %s\n", errnos[e], failures[i].text,
                          strerror(e));
    }
}

void tally_text(const Tally *t, const TallyFacts *f, Text *out) {
    double seconds = seconds_of(t);
    describe(f, t->begun, out);
    text_addf(out, "  answered     %" PRIu64 " in %.3f s\n", t->answered, seconds);
    text_addf(out, "  rate         %.1f connections/s", rate(t->answered, seconds));
    if (f->requests > 1)
        text_addf(out, ", %.1f requests/s", rate(t->requests, seconds));
    text_addf(out, "\n  bytes        %" PRIu64 " sent, %" PRIu64 " received", t->sent, t->received);
    text_addf(out, " (%.2f MiB/s both ways)\n", rate(t->sent + t->received, seconds) / (1 << 20));
    latency_rows(t, f, out);
    failure_rows(t, out);
    for (unsigned i = 0; i < NOTES; i++) {
        CLEANUP_TEXT Text line = {0};
        if (note(t, f, i, &line))
            text_addf(out, "  note         %s\n", line.s ? line.s : "");
    }
}

static void json_string(Text *out, const char *s) {
    text_add_json(out, s, strlen(s));
}

static void json_latency(const char *name, const Latency *l, Text *out) {
    text_addf(out, "\"%s\": {", name);
    for (size_t i = 0; i < ELEMENTS(quantiles); i++)
        text_addf(out, "\"%s\": %" PRIu64 ", ", quantiles[i].word, latency_quantile(l, quantiles[i].share));
    text_addf(out, "\"mean\": %" PRIu64 ", \"count\": %" PRIu64 "}", latency_mean(l), l->count);
}

static void json_failures(const Tally *t, Text *out) {
    const char *comma = "";
    for (size_t i = 0; i < _FAILURE_MAX; i++) {
        const uint64_t *errnos = errnos_of((Tally *)t, (Failure)i);
        for (int e = 0; e < TALLY_ERRNO_MAX; e++) {
            uint64_t count = errnos ? errnos[e] : e == 0 ? t->failed[i] : 0;
            if (count == 0)
                continue;
            const char *name = strerrorname_np(e);
            text_addf(out, "%s{\"kind\": \"%s\", \"count\": %" PRIu64 ", \"errno\": ", comma,
                      failures[i].word, count);
            if (e == 0)
                text_add(out, "null}");
            else
                text_addf(out, "\"%s\"}", name ? name : "?");
            comma = ", ";
        }
    }
}

void tally_json(const Tally *t, const TallyFacts *f, Text *out) {
    double seconds = seconds_of(t);
    text_add(out, "{\"endpoint\": ");
    json_string(out, f->endpoint);
    text_add(out, ", \"address\": ");
    json_string(out, f->address ? f->address : "");
    text_addf(out, ", \"at_once\": %" PRIu64 ", \"most_open\": %" PRIu64 ", \"begun\": %" PRIu64, f->at_once,
              t->most_open, t->begun);
    text_addf(out, ", \"answered\": %" PRIu64 ", \"failed\": %" PRIu64 ", \"interrupted\": %" PRIu64,
              t->answered, tally_failures(t), t->interrupted);
    text_addf(out, ", \"seconds\": %.6f, \"rate\": %.1f, \"requests\": %" PRIu64 ", \"request_rate\": %.1f",
              seconds, rate(t->answered, seconds), t->requests, rate(t->requests, seconds));
    text_addf(out, ", \"sent_bytes\": %" PRIu64 ", \"received_bytes\": %" PRIu64 ", \"latency_usec\": {",
              t->sent, t->received);
    json_latency("connect", &t->connect, out);
    text_add(out, ", ");
    json_latency("request", &t->request, out);
    text_add(out, ", ");
    json_latency("whole", &t->whole, out);
    text_add(out, "}, \"failures\": [");
    json_failures(t, out);
    text_addf(out, "], \"cpu_percent\": %u, \"notes\": [", cpu_percent(t));
    const char *comma = "";
    for (unsigned i = 0; i < NOTES; i++) {
        CLEANUP_TEXT Text line = {0};
        if (!note(t, f, i, &line) || !line.s)
            continue;
        text_add(out, comma);
        json_string(out, line.s);
        comma = ", ";
    }
    text_add(out, "]}\n");
}

void tally_progress(const Tally *t, uint64_t of, uint64_t open, uint64_t now_usec, Text *out) {
    uint64_t ended = t->answered + tally_failures(t);
    double seconds = now_usec > t->begin_usec ? (double)(now_usec - t->begin_usec) / (double)USEC_PER_SEC : 0;
    text_addf(out, "%" PRIu64, ended);
    if (of != UINT64_MAX)
        text_addf(out, " of %" PRIu64, of);
    text_addf(out, " connections in %.1f s, %.0f/s, %" PRIu64 " open", seconds, rate(t->answered, seconds),
              open);
    if (ended > t->answered)
        text_addf(out, ", %" PRIu64 " FAILED", ended - t->answered);
}
