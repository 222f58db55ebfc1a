/* SPDX-License-Identifier: MIT */
#include "daemon/offence.h"

#include <inttypes.h>
#include <sys/wait.h>
#include <time.h>

#include "conf/value.h"
#include "daemon/base/clock.h"
#include "daemon/gate.h"
#include "daemon/service.h"

/* "banned until 2026-05-04T12:30:00Z for 10m: refused too often (5 in 1m)" */
static void write_message(const Service *s, BanCause cause, Text *out) {
    static const char *const why[_BAN_CAUSE_MAX] = {
        [BAN_REFUSALS] = "refused too often",
        [BAN_FAILURES] = "failed too often",
        [BAN_REPORTED] = "its process said BAN=1",
        [BAN_SENSOR] = "it touched a sensor",
    };
    const BanConfig *b = &s->config->terms->ban;
    time_t until = (time_t)((clock_realtime_usec() + b->for_usec) / USEC_PER_SEC);
    struct tm tm;
    char time[32] = "";
    if (gmtime_r(&until, &tm))
        (void)strftime(time, sizeof(time), "%Y-%m-%dT%H:%M:%SZ", &tm);
    text_addf(out, "banned until %s, for ", time);
    value_duration_format(b->for_usec, out);
    text_addf(out, ": %s", why[cause]);
    if (cause != BAN_REFUSALS && cause != BAN_FAILURES)
        return;
    text_addf(out, " (%" PRIu64 " in ", b->after.count);
    value_duration_format(b->after.per_usec, out);
    text_addc(out, ')');
}

static void tell(Service *s, const Peer *peer, BanCause cause) {
    CLEANUP_TEXT Text message = {0};
    char text[PEER_TEXT_MAX];
    write_message(s, cause, &message);
    ApiEvent e = eventlog_event(LOG_LEVEL_WARNING, "banned");
    e.service = s->name;
    e.peer = peer_format(peer, s->rt->log_addresses, text);
    e.reason = ban_cause_to_string(cause);
    e.message = message.s ? message.s : "banned";
    service_emit_limited(s, LIMITED_BANNED, &e);
}

uint64_t offence_ban(Service *s, const Peer *peer, BanCause cause) {
    const BanConfig *b = &s->config->terms->ban;
    uint64_t now = clock_usec(CLOCK_BOOTTIME);
    bool is_new = false;
    if (peer->kind == PEER_NONE)
        return 0;
    int r = bans_add(s->rt->bans, peer, s->limits->source_ipv4, s->limits->source_ipv6, b->sensor ? 0 : s->id,
                     s->name, cause, now, b->for_usec, &is_new);
    if (r >= 0 && is_new) {
        service_history(s)->counters.bans[cause]++;
        tell(s, peer, cause);
    }
    return b->for_usec;
}

void offence_count(Service *s, const Peer *peer, BanCause cause) {
    const Rate *after = &s->config->terms->ban.after;
    if (after->count == 0 || peer->kind == PEER_NONE)
        return;
    uint64_t now = clock_monotonic_usec();
    Peer prefix = gate_prefix(s, peer);
    Source *source = sources_find(s->rt->sources, s->id, &prefix);
    if (!source)
        source = sources_visit(s->rt->sources, s->id, &prefix, now);
    if (source && strikes_add(&source->strikes, after, now))
        (void)offence_ban(s, peer, cause);
}

bool offence_is_refusal(RefuseReason reason) {
    return reason != REFUSE_HOURS && reason != REFUSE_BANNED && reason != REFUSE_PROXY;
}

void offence_on_end(const Instance *i, int status) {
    const BanConfig *b = &i->service->config->terms->ban;
    if (!WIFEXITED(status) || i->asked || i->timed_out != TIMEOUT_NONE)
        return;
    unsigned code = (unsigned)WEXITSTATUS(status);
    if (b->exit_code_bits[code / 64] & (UINT64_C(1) << (code % 64)))
        offence_count(i->service, &i->peer, BAN_FAILURES);
}
