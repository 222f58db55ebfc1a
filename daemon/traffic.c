/* SPDX-License-Identifier: MIT */
#include "daemon/traffic.h"

#include <string.h>

#include "daemon/base/blob-rows.h"
#include "daemon/base/clock.h"

/* States in which the end of the peer's stream has come, and in which the end of ours is still on its way: as
 * in the kernel's tcp_states.h. */
enum {
    FIN_WAIT1 = 4,
    FIN_WAIT2 = 5,
    CLOSE_WAIT = 8,
    LAST_ACK = 9,
    CLOSING = 11
};

struct Flow {
    HashNode node; /* by its cookie */
    Traffic *traffic;
    SockName name;
    bool over, known;
    Bytes bytes;
    List waiting; /* once its process has ended */
    uint64_t due_usec;
    FlowDone done;
    void *userdata;
};

struct Traffic {
    sd_event *loop;
    SockQuery *query;
    EventLog *log;
    SockEnds *ends;
    HashTable flows;
    List waiting; /* in the order of their times */
    size_t n_waiting;
    sd_event_source *timer;
    bool wanted;
    bool told_blind;
    Ratelimit lost;
    void (*settled)(void *userdata);
    void *userdata;
};

bool traffic_of_living(const SockInfo *info, Bytes *ret) {
    uint8_t s = info->state;
    if (!info->has_figures)
        return false;
    bool peer_has_ended = s == CLOSE_WAIT || s == LAST_ACK || s == CLOSING;
    /* The end of the stream goes last. */
    bool end_waits = info->not_sent > 0 && (s == FIN_WAIT1 || s == LAST_ACK || s == CLOSING);
    *ret = (Bytes){
        .in = info->data_segments_in == 0 ? 0 : info->received - (peer_has_ended && info->received > 0),
        .out = info->sent + info->not_sent - end_waits,
    };
    return true;
}

/* The end of a stream counts as one byte received; whether it has come is not told, but follows from the
 * rest: where both have ended, and nothing waits, we were the last; where something waits, we were the first.
 * One that was reset has not ended in this sense. */
bool traffic_of_ended(const SockInfo *last, uint8_t rest_state, Bytes *ret) {
    if (!last->has_figures)
        return false;
    bool our_end_arrived = last->acked > last->sent;
    bool peer_has_ended = our_end_arrived && rest_state != FIN_WAIT2 && last->received > 0;
    *ret = (Bytes){
        .in = last->data_segments_in == 0 ? 0 : last->received - peer_has_ended,
        .out = last->sent,
    };
    return true;
}

/* All of them */

static uint32_t hash_of(uint64_t cookie) {
    /* The kernel counts them up. */
    return (uint32_t)cookie;
}

static bool set_timer(Traffic *t, uint64_t at_usec);

static void settle(Flow *f, bool known, const Bytes *bytes) {
    f->over = true;
    f->known = known;
    if (known)
        f->bytes = *bytes;
}

static void on_told(uint64_t cookie, const SockInfo *last, void *userdata) {
    Traffic *t = userdata;
    HashNode *next;
    for (HashNode *node = hash_table_first(&t->flows, hash_of(cookie)); node; node = next) {
        Flow *f = HASH_ENTRY(node, Flow, node);
        next = hash_table_next(node);
        if (f->name.cookie != cookie || f->over)
            continue;
        SockInfo rest = {0};
        Bytes bytes;
        (void)sock_query_ask(t->query, &f->name, &rest);
        bool known = traffic_of_ended(last, rest.rest_state, &bytes);
        settle(f, known, &bytes);
        if (f->done)
            flow_give_up(f);
    }
}

static void on_lost(uint64_t times, void *userdata) {
    Traffic *t = userdata;
    if (ratelimit_pass(&t->lost, 1, 1, clock_monotonic_usec()))
        eventlog_say(
            t->log, LOG_LEVEL_WARNING, "traffic",
            "more connections ended at once than the kernel could tell of: the traffic of some is not "
            "known (%llu times so far)",
            (unsigned long long)times);
}

/* Of those that there are still it is told. */
static void rest(Traffic *t) {
    if (!t->wanted && t->flows.n == 0)
        t->ends = sock_ends_free(t->ends);
}

bool traffic_is_awaited(const Traffic *t) {
    return t->n_waiting > 0;
}

Traffic *traffic_new(sd_event *loop, SockQuery *query, EventLog *log, void (*settled)(void *userdata),
                     void *userdata) {
    Traffic *t = calloc(1, sizeof(*t));
    if (!t)
        return NULL;
    *t = (Traffic){.loop = loop, .query = query, .log = log, .settled = settled, .userdata = userdata};
    list_init(&t->waiting);
    return t;
}

Traffic *traffic_free(Traffic *t) {
    if (!t)
        return NULL;
    t->timer = sd_event_source_disable_unref(t->timer);
    t->ends = sock_ends_free(t->ends);
    hash_table_done(&t->flows);
    free(t);
    return NULL;
}

void traffic_set_wanted(Traffic *t, bool wanted) {
    t->wanted = wanted;
    rest(t);
    if (!wanted || t->ends)
        return;
    int r = sock_ends_new(t->loop, on_told, on_lost, t, &t->ends);
    if (r < 0 && !t->told_blind)
        eventlog_say(
            t->log, LOG_LEVEL_WARNING, "traffic",
            "the traffic of most connections is not known: the kernel does not tell of their ends: %s",
            strerror(-r));
    t->told_blind = r < 0;
}

/* Waiting */

static void stop_waiting(Flow *f) {
    Traffic *t = f->traffic;
    if (list_is_empty(&f->waiting))
        return;
    list_remove(&f->waiting);
    /* Whoever waits for that is not told in the middle of something else. */
    if (--t->n_waiting == 0)
        traffic_settle(t);
}

void flow_give_up(Flow *f) {
    FlowDone done = f->done;
    stop_waiting(f);
    f->done = NULL;
    if (done)
        done(f->known ? &f->bytes : NULL, f->userdata);
}

void traffic_settle(Traffic *t) {
    (void)set_timer(t, 0);
}

static int on_due(sd_event_source *source, uint64_t usec, void *userdata) {
    Traffic *t = userdata;
    (void)source;
    /* What has come while the loop was busy has come in time. */
    if (t->ends)
        sock_ends_read(t->ends);
    while (!list_is_empty(&t->waiting)) {
        Flow *f = LIST_ENTRY(t->waiting.next, Flow, waiting);
        if (f->due_usec > usec && set_timer(t, f->due_usec))
            break;
        flow_give_up(f);
    }
    rest(t);
    t->settled(t->userdata);
    return 0;
}

static bool set_timer(Traffic *t, uint64_t at_usec) {
    if (t->timer)
        return sd_event_source_set_time(t->timer, at_usec) >= 0 &&
               sd_event_source_set_enabled(t->timer, SD_EVENT_ONESHOT) >= 0;
    int r = sd_event_add_time(t->loop, &t->timer, CLOCK_MONOTONIC, at_usec, 10 * USEC_PER_MSEC, on_due, t);
    return r >= 0;
}

/* One of them */

static Flow *add(Traffic *t, const SockName *name) {
    Flow *f = calloc(1, sizeof(*f));
    if (!f)
        return NULL;
    *f = (Flow){.traffic = t, .name = *name, .node.hash = hash_of(name->cookie)};
    list_init(&f->waiting);
    if (hash_table_add(&t->flows, &f->node) == 0)
        return f;
    free(f);
    return NULL;
}

Flow *flow_new(Traffic *t, const SockName *name) {
    Flow *f = t->wanted && name->family != AF_UNIX ? add(t, name) : NULL;
    if (f && t->ends)
        (void)sock_ends_add_port(t->ends, ntohs(name->inet.idiag_sport));
    return f;
}

Flow *flow_free(Flow *f) {
    if (!f)
        return NULL;
    Traffic *t = f->traffic;
    stop_waiting(f);
    hash_table_remove(&t->flows, &f->node);
    free(f);
    if (!t->wanted && t->flows.n == 0)
        traffic_settle(t);
    return NULL;
}

/* Whether there is nothing more to wait for. */
static bool look(Flow *f) {
    Traffic *t = f->traffic;
    SockInfo info;
    Bytes bytes;
    if (t->ends && !f->over)
        sock_ends_read(t->ends);
    if (f->over)
        return true;
    SockFate fate = sock_query_ask(t->query, &f->name, &info);
    if (fate == SOCK_HELD || fate == SOCK_CLOSING)
        settle(f, traffic_of_living(&info, &bytes), &bytes);
    return f->over || !t->ends || fate == SOCK_UNKNOWN || t->n_waiting >= TRAFFIC_WAITING_MAX;
}

void flow_finish(Flow *f, FlowDone done, void *userdata) {
    Traffic *t = f->traffic;
    bool at_once = look(f);
    f->done = done;
    f->userdata = userdata;
    f->due_usec = clock_monotonic_usec() + TRAFFIC_WAIT_USEC;
    if (at_once || (list_is_empty(&t->waiting) && !set_timer(t, f->due_usec))) {
        flow_give_up(f);
        return;
    }
    list_append(&t->waiting, &f->waiting);
    t->n_waiting++;
}

/* The upgrade in place */

enum {
    TRAFFIC_WANTED = 1,
    TRAFFIC_TOLD_BLIND,
    TRAFFIC_ENDS,
};

void traffic_save(BlobWriter *w, const Traffic *t) {
    blob_put_bool(w, TRAFFIC_WANTED, t->wanted);
    blob_put_bool(w, TRAFFIC_TOLD_BLIND, t->told_blind);
    if (!t->ends)
        return;
    size_t at = blob_open(w, TRAFFIC_ENDS);
    sock_ends_save(w, t->ends);
    blob_close(w, at);
}

int traffic_restore(BlobReader r, Traffic *t) {
    BlobField f;
    int e = 0;
    while (e >= 0 && blob_next(&r, &f)) {
        if (f.tag == TRAFFIC_WANTED)
            t->wanted = blob_bool(&f);
        else if (f.tag == TRAFFIC_TOLD_BLIND)
            t->told_blind = blob_bool(&f);
        else if (f.tag == TRAFFIC_ENDS && !t->ends)
            e = sock_ends_restore(blob_enter(&f), t->loop, on_told, on_lost, t, &t->ends);
    }
    return blob_is_spoilt(r.source) ? -EBADMSG : e;
}

enum {
    FLOW_NAME = 1,
    FLOW_OVER,
    FLOW_KNOWN,
    FLOW_IN,
    FLOW_OUT,
    FLOW_DUE_USEC, /* of one that waits */
};

static const BlobRow flow_rows[] = {
    BLOB_ROW(FLOW_OVER, Flow, over),         BLOB_ROW(FLOW_KNOWN, Flow, known),
    BLOB_ROW(FLOW_IN, Flow, bytes.in),       BLOB_ROW(FLOW_OUT, Flow, bytes.out),
    BLOB_ROW(FLOW_DUE_USEC, Flow, due_usec),
};

void flow_save(BlobWriter *w, const Flow *f) {
    sock_name_put(w, FLOW_NAME, &f->name);
    blob_put_rows(w, flow_rows, ELEMENTS(flow_rows), f);
}

/* Those of one service come in the order of their times; of several they are mixed. */
static int wait_again(Flow *f) {
    Traffic *t = f->traffic;
    List *after = t->waiting.prev;
    while (after != &t->waiting && LIST_ENTRY(after, Flow, waiting)->due_usec > f->due_usec)
        after = after->prev;
    list_append(after->next, &f->waiting);
    t->n_waiting++;
    return set_timer(t, LIST_ENTRY(t->waiting.next, Flow, waiting)->due_usec) ? 0 : -ENOMEM;
}

int flow_restore(BlobReader in, Traffic *t, FlowDone done, void *userdata, Flow **ret) {
    BlobField field;
    Flow was = {0};
    while (blob_next(&in, &field)) {
        if (field.tag == FLOW_NAME)
            was.name = sock_name_take(&field);
        else
            (void)blob_get_row(&field, flow_rows, ELEMENTS(flow_rows), &was);
    }
    if (blob_is_spoilt(in.source))
        return -EBADMSG;
    Flow *f = add(t, &was.name);
    if (!f)
        return -ENOMEM;
    sock_query_know(t->query, &was.name);
    f->over = was.over;
    f->known = was.known;
    f->bytes = was.bytes;
    f->due_usec = was.due_usec;
    f->done = done;
    f->userdata = userdata;
    *ret = f;
    if (!done)
        return 0;
    int r = wait_again(f);
    if (r < 0) {
        f->done = NULL;
        *ret = flow_free(f);
    }
    return r;
}
