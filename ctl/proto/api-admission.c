/* SPDX-License-Identifier: MIT */
/* Replies about who is let in: limits, sources, bans. */
#include "conf/value.h"
#include "ctl/proto/reply.h"

/* As it is written in the config. */
static void add_rate(JsonWriter *w, const char *key, const Rate *rate) {
    CLEANUP_TEXT Text text = {0};
    if (rate->count > 0)
        value_rate_format(rate, &text);
    json_add_string(w, key, text.s);
}

void reply_add_limits(JsonWriter *w, const LimitsConfig *limits) {
    json_open_object(w, "limits");
    json_add_uint(w, "instances", limits->instances);
    json_add_uint_or_null(w, "per_source", limits->per_source, 0);
    json_open_object(w, "source_prefix");
    json_add_uint(w, "ipv4", limits->source_ipv4);
    json_add_uint(w, "ipv6", limits->source_ipv6);
    json_close_object(w);
    add_rate(w, "rate", &limits->rate);
    add_rate(w, "rate_per_source", &limits->rate_per_source);
    if (limits->load > 0)
        json_add_milli(w, "load", (uint64_t)(limits->load * 1000));
    else
        json_add_null(w, "load");
    json_add_string(w, "when_full", when_full_to_string(limits->when_full));
    json_add_string(w, "refuse_with", refuse_with_to_string(limits->refuse_with));
    json_close_object(w);
}

void reply_add_hours(JsonWriter *w, const ApiHours *hours) {
    if (!hours->present) {
        json_add_null(w, "hours");
        return;
    }
    json_open_object(w, "hours");
    json_add_bool(w, "open", hours->open);
    json_add_uint_or_null(w, "until_usec", hours->until_usec, 0);
    json_close_object(w);
}

void reply_add_sources(JsonWriter *w, const ApiSource *sources, size_t n) {
    json_open_array(w, "sources");
    for (const ApiSource *s = sources; s < sources + n; s++) {
        json_open_object(w, NULL);
        json_add_string(w, "source", s->source);
        json_add_uint(w, "active", s->active);
        json_add_uint(w, "accepted", s->accepted);
        json_add_uint(w, "refused", s->refused);
        json_add_string(w, "reason", s->was_refused ? refuse_reason_to_string(s->reason) : NULL);
        json_add_uint_or_null(w, "last_time_usec", s->was_refused ? s->last_time_usec : 0, 0);
        json_add_uint_or_null(w, "first_time_usec", s->first_usec, 0);
        json_add_uint_or_null(w, "newest_time_usec", s->newest_usec, 0);
        json_add_bool(w, "banned", s->banned);
        json_add_uint_or_null(w, "until_usec", s->until_usec, 0);
        json_close_object(w);
    }
    json_close_array(w);
}

void api_encode_bans_begin(Text *out) {
    JsonWriter w = reply_begin(out);
    json_open_array(&w, "bans");
}

void api_encode_bans_part(Text *out, const ApiBan *bans, size_t n, bool first) {
    JsonWriter w = {.out = out, .comma = !first};
    for (const ApiBan *b = bans; b < bans + n; b++) {
        json_open_object(&w, NULL);
        json_add_string(&w, "prefix", b->prefix);
        json_add_string(&w, "service", b->service);
        json_add_string(&w, "by", b->by);
        json_add_string(&w, "cause", ban_cause_to_string(b->cause));
        json_add_uint(&w, "since_usec", b->since_usec);
        json_add_uint(&w, "until_usec", b->until_usec);
        json_add_uint(&w, "remaining_usec", b->remaining_usec);
        json_close_object(&w);
    }
}

void api_encode_bans_end(Text *out, bool continues) {
    reply_end_list(out, continues);
}

void api_encode_bans(Text *out, const ApiBan *bans, size_t n, bool continues) {
    api_encode_bans_begin(out);
    api_encode_bans_part(out, bans, n, true);
    api_encode_bans_end(out, continues);
}

void api_encode_unbanned(Text *out, uint64_t n) {
    JsonWriter w = reply_begin(out);
    json_add_uint(&w, "lifted", n);
    reply_end(&w, false);
}
