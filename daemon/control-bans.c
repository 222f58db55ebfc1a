/* SPDX-License-Identifier: MIT */
/* The calls about bans: Bans, Unban. */
#include <string.h>

#include "daemon/base/clock.h"
#include "daemon/control-private.h"

/* In one part of a reply: less than a microsecond each. */
#define BANS_IN_PART 250

typedef struct BansPart {
    ApiBan items[BANS_IN_PART];
    char prefixes[BANS_IN_PART][PEER_TEXT_MAX];
    size_t n;
} BansPart;

/* The table's clock goes on while the machine sleeps, and knows nothing of 1970. */
typedef struct Clocks {
    uint64_t boot_usec, realtime_usec;
} Clocks;

static void fill_ban(const Ban *ban, LogAddresses addresses, const Clocks *now,
                     char prefix[static PEER_TEXT_MAX], ApiBan *ret) {
    uint64_t ago = now->boot_usec - ban->since_usec, left = ban->until_usec - now->boot_usec;
    *ret = (ApiBan){
        .prefix = peer_format_prefix(&ban->prefix, addresses, prefix),
        /* One service bans from itself, or from all. */
        .service = ban->service != 0 ? ban->name : NULL,
        .by = ban->name,
        .cause = ban->cause,
        .since_usec = now->realtime_usec > ago ? now->realtime_usec - ago : 0,
        .until_usec = left < INT64_MAX - now->realtime_usec ? now->realtime_usec + left : INT64_MAX,
        .remaining_usec = left,
    };
}

/* 1 at the end of the list, 0 when there is more. */
static int collect(Bans *bans, LogAddresses addresses, Stream *s, BansPart *part) {
    Clocks now = {clock_usec(CLOCK_BOOTTIME), clock_realtime_usec()};
    while (part->n < BANS_IN_PART) {
        const Ban *ban = bans_next(bans, s->number, now.boot_usec);
        if (!ban || ban->number > s->last_number)
            return 1;
        fill_ban(ban, addresses, &now, part->prefixes[part->n], &part->items[part->n]);
        part->n++;
        s->number = ban->number;
    }
    return 0;
}

int calls_bans_part(Calls *calls, Client *client, Stream *s, Text *out) {
    BansPart *part CLEANUP_FREE = malloc(sizeof(*part));
    if (!part)
        return -ENOMEM;
    part->n = 0;
    int last = collect(manager_runtime(calls->manager)->bans, calls_addresses(calls, client), s, part);
    if (stream_begins_message(s))
        api_encode_bans_begin(out);
    s->begun = true;
    api_encode_bans_part(out, part->items, part->n, s->more || !s->any);
    s->any = s->any || part->n > 0;
    if (stream_ends_message(s, last))
        api_encode_bans_end(out, !last);
    return last;
}

void call_bans(Calls *calls, Client *client, ApiRequest *r) {
    Stream *s = stream_new(calls_bans_part, r->more);
    /* Those that are imposed from now on are left out, so that it comes to an end. */
    if (s)
        s->last_number = bans_newest(manager_runtime(calls->manager)->bans);
    calls_stream(client, s);
}

/* "2 bans lifted by uid 0"; where is said as peers are. */
static void tell(Calls *calls, const Prefix *prefix, size_t n, uid_t uid) {
    char text[PEER_TEXT_MAX], message[64];
    (void)snprintf(message, sizeof(message), "%zu ban%s lifted by uid %u", n, n == 1 ? "" : "s", uid);
    ApiEvent e = eventlog_event(LOG_LEVEL_INFO, "unbanned");
    e.peer = prefix ? peer_format_prefix(prefix, calls->log->addresses, text) : NULL;
    e.message = message;
    eventlog_emit(calls->log, &e, NULL);
}

void call_unban(Calls *calls, Client *client, ApiRequest *r) {
    bool any = streq(r->prefix, "any");
    Prefix prefix;
    if (!any && prefix_parse(r->prefix, &prefix) < 0) {
        api_encode_error(client_out(client), API_INVALID_PARAMETER, "prefix", NULL, 0);
        return;
    }
    size_t n =
        bans_lift(manager_runtime(calls->manager)->bans, any ? NULL : &prefix, clock_usec(CLOCK_BOOTTIME));
    if (n > 0)
        tell(calls, any ? NULL : &prefix, n, client->uid);
    api_encode_unbanned(client_out(client), n);
}
