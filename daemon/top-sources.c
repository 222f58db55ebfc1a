/* SPDX-License-Identifier: MIT */
#include "daemon/top-sources.h"

#include <stdlib.h>
#include <string.h>

#include "daemon/base/text.h"

/* Of an IPv6 address: what is one customer's, RFC 6177. */
#define IPV4_BITS 32
#define IPV6_BITS 64

static Peer source_of(const Peer *p) {
    return peer_mask(p, IPV4_BITS, IPV6_BITS);
}

/* Its place; else a free one; else that of the one with the lowest count, of several the longest unseen. */
static TopSource *find_place(TopSources *t, const Peer *source) {
    TopSource *least = NULL;
    for (size_t i = 0; i < t->n; i++) {
        TopSource *item = &t->items[i];
        if (peer_equal(&item->source, source))
            return item;
        if (!least || item->count < least->count ||
            (item->count == least->count && item->time_usec < least->time_usec))
            least = item;
    }
    if (!least || t->n < TOP_SOURCES)
        least = &t->items[t->n++];
    uint64_t inherited = least->count;
    *least = (TopSource){.source = *source, .count = inherited, .inherited = inherited};
    return least;
}

void top_sources_add(TopSources **t, const Peer *peer, RefuseReason reason, uint64_t time_usec) {
    if (peer->kind == PEER_NONE)
        return;
    if (!*t)
        *t = calloc(1, sizeof(**t));
    if (!*t)
        return;
    Peer source = source_of(peer);
    TopSource *item = find_place(*t, &source);
    item->count++;
    item->reason = reason;
    item->time_usec = time_usec;
}

const char *source_format(const Peer *p, LogAddresses how, char buf[static PEER_TEXT_MAX]) {
    if (p->kind == PEER_VSOCK && how == LOG_ADDRESSES_FULL)
        how = LOG_ADDRESSES_PREFIX;
    if (p->kind == PEER_NONE || p->kind == PEER_UNIX || how != LOG_ADDRESSES_FULL)
        return peer_format(p, how, buf);
    Addr a = {0};
    char host[ADDR_TEXT_MAX];
    Peer source = source_of(p);
    if (p->kind == PEER_INET)
        a.in = (struct sockaddr_in){.sin_family = AF_INET, .sin_addr = source.in};
    else
        a.in6 = (struct sockaddr_in6){.sin6_family = AF_INET6, .sin6_addr = source.in6};
    (void)snprintf(buf, PEER_TEXT_MAX, "%.70s%s", addr_format_host(&a, host),
                   p->kind == PEER_INET ? "" : "/64");
    return buf;
}

static int compare_refused(const void *a, const void *b) {
    const ApiSource *x = a, *y = b;
    if (x->refused != y->refused)
        return x->refused < y->refused ? 1 : -1;
    if (x->last_time_usec != y->last_time_usec)
        return x->last_time_usec < y->last_time_usec ? 1 : -1;
    return strcmp(x->source, y->source);
}

size_t top_sources_list(const TopSources *t, LogAddresses how, SourceTexts texts,
                        ApiSource ret[static TOP_SOURCES]) {
    size_t n = 0;
    for (size_t i = 0; t && i < t->n; i++) {
        const TopSource *item = &t->items[i];
        const char *text = source_format(&item->source, how, texts[n]);
        if (!text)
            continue;
        size_t k = 0;
        while (k < n && !streq(ret[k].source, text))
            k++;
        if (k == n)
            ret[n++] = (ApiSource){.source = text};
        ret[k].refused += item->count - item->inherited;
        if (item->time_usec >= ret[k].last_time_usec) {
            ret[k].was_refused = true;
            ret[k].reason = item->reason;
            ret[k].last_time_usec = item->time_usec;
        }
    }
    if (n > 0)
        qsort(ret, n, sizeof(*ret), compare_refused);
    return n;
}
