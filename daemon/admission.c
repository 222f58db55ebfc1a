/* SPDX-License-Identifier: MIT */
#include "daemon/admission.h"

#include <inttypes.h>

#include "conf/value.h"
#include "daemon/base/clock.h"

/* An answer, or that nothing stands against it: VERDICT_SERVE. */
static Admission ask_hours(const ServiceUsage *usage) {
    if (!usage->closed)
        return (Admission){.verdict = VERDICT_SERVE};
    return (Admission){.verdict = VERDICT_REFUSE, .reason = REFUSE_HOURS, .until_nsec = usage->opens_nsec};
}

static uint64_t hundredths(double x) {
    return (uint64_t)(x * 100);
}

/* Load, rate and instances: what holds for all sources alike, and may be waited for. */
static Admission ask_room(const LimitsConfig *limits, const ServiceUsage *usage) {
    Verdict over = limits->when_full == WHEN_FULL_REFUSE ? VERDICT_REFUSE : VERDICT_WAIT;
    if (limits->load > 0 && usage->load > limits->load)
        return (Admission){.verdict = over,
                           .reason = REFUSE_LOAD,
                           .used = hundredths(usage->load),
                           .limit = hundredths(limits->load)};
    uint64_t ready_at =
        usage->rate ? bucket_ready_at(usage->rate, &limits->rate, usage->now_nsec) : usage->now_nsec;
    if (ready_at > usage->now_nsec)
        return (Admission){.verdict = over, .reason = REFUSE_RATE, .until_nsec = ready_at};
    if (usage->instances >= limits->instances)
        return (Admission){.verdict = over,
                           .reason = REFUSE_INSTANCES,
                           .used = usage->instances,
                           .limit = limits->instances};
    return (Admission){.verdict = VERDICT_SERVE};
}

Admission admission_of_service(const LimitsConfig *limits, const ServiceUsage *usage) {
    Admission a = ask_hours(usage);
    return a.verdict == VERDICT_SERVE ? ask_room(limits, usage) : a;
}

/* Who it is. */
static Admission ask_identity(const SourceUsage *source) {
    if (source->banned)
        return (Admission){
            .verdict = VERDICT_REFUSE, .reason = REFUSE_BANNED, .until_nsec = source->banned_until_nsec};
    if (source->denied)
        return (Admission){.verdict = VERDICT_REFUSE, .reason = REFUSE_ACCESS};
    return (Admission){.verdict = VERDICT_SERVE};
}

/* How much it has had. */
static Admission ask_share(const LimitsConfig *limits, const SourceUsage *source, uint64_t now_nsec) {
    uint64_t ready_at =
        source->rate ? bucket_ready_at(source->rate, &limits->rate_per_source, now_nsec) : now_nsec;
    if (ready_at > now_nsec)
        return (Admission){
            .verdict = VERDICT_REFUSE, .reason = REFUSE_RATE_PER_SOURCE, .until_nsec = ready_at};
    if (limits->per_source > 0 && source->active >= limits->per_source)
        return (Admission){.verdict = VERDICT_REFUSE,
                           .reason = REFUSE_PER_SOURCE,
                           .used = source->active,
                           .limit = limits->per_source};
    return (Admission){.verdict = VERDICT_SERVE};
}

Admission admission_of_source(const LimitsConfig *limits, const ServiceUsage *usage,
                              const SourceUsage *source) {
    Admission a = ask_hours(usage);
    if (a.verdict == VERDICT_SERVE)
        a = ask_identity(source);
    if (a.verdict == VERDICT_SERVE && limits->when_full == WHEN_FULL_REFUSE)
        a = ask_room(limits, usage);
    if (a.verdict == VERDICT_SERVE)
        a = ask_share(limits, source, usage->now_nsec);
    return a;
}

static const struct {
    bool counts, hundredths;
} reasons[_REFUSE_REASON_MAX] = {
    [REFUSE_LOAD] = {.hundredths = true},
    [REFUSE_INSTANCES] = {.counts = true},
    [REFUSE_PER_SOURCE] = {.counts = true},
};

/* Rounded up, and not finer than is worth reading. */
static void format_time(uint64_t nsec, Text *out) {
    uint64_t usec = nsec / NSEC_PER_USEC + (nsec % NSEC_PER_USEC > 0);
    uint64_t unit = usec > USEC_PER_SEC ? USEC_PER_SEC : USEC_PER_MSEC;
    value_duration_format((usec + unit - 1) / unit * unit, out);
}

void admission_format(const Admission *a, uint64_t now_nsec, Text *out) {
    if (a->verdict == VERDICT_SERVE)
        return;
    text_add(out, refuse_reason_to_string(a->reason));
    if (a->limit > 0 && reasons[a->reason].counts)
        text_addf(out, " (%" PRIu64 " of %" PRIu64 ")", a->used, a->limit);
    else if (a->limit > 0 && reasons[a->reason].hundredths)
        text_addf(out, " (%" PRIu64 ".%02" PRIu64 " of %" PRIu64 ".%02" PRIu64 ")", a->used / 100,
                  a->used % 100, a->limit / 100, a->limit % 100);
    if (a->until_nsec > now_nsec && a->until_nsec < UINT64_MAX) {
        text_add(out, ", for another ");
        format_time(a->until_nsec - now_nsec, out);
    }
}
