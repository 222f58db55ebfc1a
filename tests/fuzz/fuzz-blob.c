/* SPDX-License-Identifier: MIT */
/* Any bytes as a blob: no crash, nothing read outside of it, and no more fields once it is spoilt. The first
 * byte says who restores himself from the rest; what he then saves he restores to the same again. */
#include <fcntl.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>

#include <linux/netlink.h>

#include "daemon/backoff.h"
#include "daemon/bans.h"
#include "daemon/base/peer.h"
#include "daemon/bucket.h"
#include "daemon/client.h"
#include "daemon/eventlog.h"
#include "daemon/histogram.h"
#include "daemon/rate-window.h"
#include "daemon/ratelimit.h"
#include "daemon/sock-ends.h"
#include "daemon/sources.h"
#include "daemon/top-sources.h"

#define HEADER_BYTES 32
#define TABLE_MAX 16 /* small, so that it overflows */
#define FIELD_BYTES 8
#define FD_KIND 9
#define FDS_MAX 8

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void require(bool holds) {
    if (!holds)
        abort();
}

/* Takes all of it, each field as what it says to be. */
static void walk(BlobReader r) {
    BlobField f;
    while (blob_next(&r, &f)) {
        uint64_t numbers[3];
        uint8_t copy[4];
        size_t n = 0;
        if (f.kind == 5 && blob_bytes(&f, &n) && n == sizeof(copy))
            blob_copy(&f, copy, n);
        if (f.kind == 6)
            free(blob_str(&f));
        if (f.kind == 7)
            strv_free(blob_strv(&f));
        if (f.kind == 1)
            (void)blob_u64(&f);
        if (f.kind == 2)
            (void)blob_i64_range(&f, -1000, INT64_MAX);
        if (f.kind == 3)
            (void)blob_bool(&f);
        if (f.kind == 4)
            (void)blob_double(&f);
        if (f.kind == 8)
            blob_u64s(&f, numbers, ELEMENTS(numbers));
        if (f.kind == 10)
            walk(blob_enter(&f));
    }
    require(!blob_next(&r, &f));
}

/* Whether a descriptor that is open is named in it: it would be taken for the blob's own, and closed. */
static bool names_open_fds(BlobReader r) {
    BlobField f;
    while (blob_next(&r, &f)) {
        int32_t fd = -1;
        if (f.kind == FD_KIND && f.n == sizeof(fd)) {
            memcpy(&fd, f.data, sizeof(fd));
            if (fd > STDERR_FILENO && fcntl(fd, F_GETFD) >= 0)
                return true;
        }
        if (f.kind == 10 && names_open_fds(blob_enter(&f)))
            return true;
    }
    return false;
}

static void try_whole(const uint8_t *data, size_t n, BlobPurpose purpose) {
    BlobSource s;
    BlobReader r;
    if (blob_source_init(&s, data, n, purpose, &r) == 0)
        walk(r);
    else
        require(blob_is_spoilt(&s));
    blob_source_done(&s);
}

/* Who can restore himself; *x is one that is new. */
typedef struct Noun {
    void *(*make)(void);
    int (*restore)(BlobReader r, void *x);
    void (*save)(BlobWriter *w, const void *x);
    void (*use)(void *x);
    void (*destroy)(void *x);
} Noun;

static const uint8_t key[16] = "a secret key";

static void *make_sources(void) {
    return sources_new(TABLE_MAX, key);
}

static int restore_sources(BlobReader r, void *x) {
    return sources_restore(r, x);
}

static void save_sources(BlobWriter *w, const void *x) {
    sources_save(w, x);
}

static void use_sources(void *x) {
    const Rate rate = {3, 1000000, 3};
    const Source *top[4];
    for (uint32_t i = 0; i < 2 * TABLE_MAX; i++) {
        Peer p = {.kind = i % 2 ? PEER_INET : PEER_INET6, .in.s_addr = i};
        Source *s = sources_visit(x, 1, &p, UINT64_MAX / 2 + i);
        require(s != NULL);
        (void)bucket_take(&s->rate, &rate, i);
        (void)strikes_add(&s->strikes, &rate, i);
        sources_hold(x, s);
        sources_release(x, s);
    }
    (void)sources_top(x, 1, top, ELEMENTS(top));
    sources_forget(x, &(Gone){{1}, 1});
}

static void destroy_sources(void *x) {
    sources_free(x);
}

static void *make_bans(void) {
    return bans_new(TABLE_MAX, key);
}

static int restore_bans(BlobReader r, void *x) {
    return bans_restore(r, x);
}

static void save_bans(BlobWriter *w, const void *x) {
    bans_save(w, x);
}

static void use_bans(void *x) {
    bool is_new = false;
    for (uint32_t i = 0; i < 2 * TABLE_MAX; i++) {
        Peer p = {.kind = i % 2 ? PEER_INET : PEER_INET6, .in.s_addr = i};
        (void)bans_find(x, &p, 1, i);
        require(bans_add(x, &p, i % 33, i % 129, i % 3, "web", BAN_SENSOR, i, 1000, &is_new) == 0);
    }
    for (const Ban *ban = NULL; (ban = bans_next(x, ban ? ban->number : 0, 40));)
        require(ban->name && ban->until_usec > 40);
    (void)bans_lift(x, NULL, 50);
    require(bans_count(x, 50) == 0);
}

static void destroy_bans(void *x) {
    bans_free(x);
}

static void *make_events(void) {
    EventLog *l = calloc(1, sizeof(*l));
    require(l != NULL);
    event_ring_init(&l->ring, TABLE_MAX, 4096);
    return l;
}

static int restore_events(BlobReader r, void *x) {
    return eventlog_restore(r, x);
}

static void save_events(BlobWriter *w, const void *x) {
    eventlog_save(w, x);
}

static void use_events(void *x) {
    const EventLog *l = x;
    Text text CLEANUP_TEXT = {0};
    for (size_t i = 0; i < l->ring.n; i++) {
        ApiEvent e = event_shown(event_ring_get(&l->ring, i), LOG_ADDRESSES_NONE);
        event_format(&e, &text);
        api_encode_events(&text, &e, 1, 0, true);
    }
}

static void destroy_events(void *x) {
    EventLog *l = x;
    event_ring_done(&l->ring);
    free(l);
}

/* Those that are a few numbers, one behind the other. */
typedef struct Measured {
    Histogram *histogram;
    TopSources *top;
    RateWindow window;
    Ratelimit limit;
    Backoff backoff;
    Bucket bucket;
} Measured;

static void *make_measured(void) {
    return calloc(1, sizeof(Measured));
}

static int restore_measured(BlobReader r, void *x) {
    Measured *m = x;
    BlobField f;
    while (blob_next(&r, &f)) {
        BlobReader inner = blob_enter(&f);
        switch (f.tag) {
        case 1:
            (void)histogram_restore(inner, &m->histogram);
            break;
        case 2:
            (void)top_sources_restore(inner, &m->top);
            break;
        case 3:
            (void)rate_window_restore(inner, &m->window);
            break;
        case 4:
            (void)ratelimit_restore(inner, &m->limit);
            break;
        case 5:
            (void)backoff_restore(inner, &m->backoff);
            break;
        default:
            (void)bucket_restore(inner, &m->bucket);
            break;
        }
    }
    return blob_is_spoilt(r.source) ? -EBADMSG : 0;
}

static void save_measured(BlobWriter *w, const void *x) {
    const Measured *m = x;
    size_t at = blob_open(w, 1);
    histogram_save(w, m->histogram);
    blob_close(w, at);
    at = blob_open(w, 2);
    top_sources_save(w, m->top);
    blob_close(w, at);
    at = blob_open(w, 3);
    rate_window_save(w, &m->window);
    blob_close(w, at);
    at = blob_open(w, 4);
    ratelimit_save(w, &m->limit);
    blob_close(w, at);
    at = blob_open(w, 5);
    backoff_save(w, &m->backoff);
    blob_close(w, at);
    at = blob_open(w, 6);
    bucket_save(w, &m->bucket);
    blob_close(w, at);
}

static void use_measured(void *x) {
    Measured *m = x;
    const Rate rate = {3, 1000000, 3};
    SourceTexts texts;
    ApiSource list[TOP_SOURCES];
    histogram_add(&m->histogram, 17);
    (void)histogram_quantile(m->histogram, 990);
    (void)top_sources_list(m->top, LOG_ADDRESSES_FULL, texts, list);
    for (uint64_t now = 1; now < UINT64_MAX / 64; now *= 64) {
        (void)rate_window_milli(&m->window, now);
        rate_window_add(&m->window, now);
        (void)ratelimit_pass(&m->limit, 10, 100, now);
        (void)ratelimit_take_suppressed(&m->limit, now);
        (void)backoff_on_end(&m->backoff, &rate, 1000, 1000000, true, 1, now);
        (void)bucket_take(&m->bucket, &rate, now);
    }
}

static void destroy_measured(void *x) {
    Measured *m = x;
    free(m->histogram);
    free(m->top);
    free(m);
}

/* A reply that is half made; and one like it of a client, but for his connection. */
typedef struct Reply {
    Stream *stream;
} Reply;

static void *make_reply(void) {
    return calloc(1, sizeof(Reply));
}

static int restore_reply(BlobReader r, void *x) {
    Reply *reply = x;
    Client *client = NULL;
    BlobReader again = r;
    reply->stream = stream_restore(r);
    (void)client_restore(again, NULL, NULL, &client);
    require(client == NULL);
    return reply->stream ? 0 : -EBADMSG;
}

static void save_reply(BlobWriter *w, const void *x) {
    const Reply *reply = x;
    require(stream_can_be_saved(reply->stream));
    stream_save(w, reply->stream);
}

static void use_reply(void *x) {
    const Reply *reply = x;
    const ServiceSet none = {0};
    if (reply->stream->patterns)
        (void)selection_step(&reply->stream->selection, &none, 1, 100);
}

static void destroy_reply(void *x) {
    Reply *reply = x;
    stream_free(reply->stream);
    free(reply);
}

/* Connections, by the names under which the kernel knows them. */
typedef struct Names {
    SockName names[4];
    size_t n;
} Names;

static void *make_names(void) {
    return calloc(1, sizeof(Names));
}

static int restore_names(BlobReader r, void *x) {
    Names *names = x;
    BlobField f;
    while (names->n < ELEMENTS(names->names) && blob_next(&r, &f))
        names->names[names->n++] = sock_name_take(&f);
    return blob_is_spoilt(r.source) ? -EBADMSG : 0;
}

static void save_names(BlobWriter *w, const void *x) {
    const Names *names = x;
    for (size_t i = 0; i < names->n; i++)
        sock_name_put(w, 1, &names->names[i]);
}

static void use_names(void *x) {
    const Names *names = x;
    char question[SOCK_QUERY_REQUEST_MAX];
    for (size_t i = 0; i < names->n; i++) {
        SockFate fate = SOCK_UNKNOWN;
        SockInfo info = {0};
        size_t n = sock_query_request(&names->names[i], 1, question);
        require(n <= sizeof(question));
        if (n > 0)
            (void)sock_query_answer(&names->names[i], 1, question, n, &fate, &info);
    }
}

/* The socket by which the kernel tells of ends. It is there, or what should not be, whatever number stands
 * in the bytes: that says which of them. */
typedef struct Ends {
    SockEnds *ends;
} Ends;

typedef struct Opened {
    int fds[FDS_MAX];
    size_t n;
} Opened;

static int open_one(uint8_t which) {
    switch (which % 4) {
    case 0:
        return socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC | SOCK_NONBLOCK, NETLINK_SOCK_DIAG);
    case 1:
        return socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    case 2:
        return memfd_create("fuzz-blob", MFD_CLOEXEC);
    default:
        return -EBADF;
    }
}

static void open_named(BlobReader r, Opened *o) {
    BlobField f;
    while (blob_next(&r, &f)) {
        int32_t fd = -EBADF;
        if (f.kind == 10)
            open_named(blob_enter(&f), o);
        if (f.kind != FD_KIND || f.n != sizeof(fd))
            continue;
        if (o->n < FDS_MAX)
            fd = open_one(f.data[0]);
        if (fd >= 0)
            o->fds[o->n++] = fd;
        /* They are our own bytes, from restore_ends(). */
        memcpy((uint8_t *)(uintptr_t)f.data, &fd, sizeof(fd));
    }
}

static void on_told(uint64_t cookie, const SockInfo *last, void *userdata) {
    (void)cookie;
    (void)last;
    (void)userdata;
}

static void on_lost(uint64_t times, void *userdata) {
    (void)times;
    (void)userdata;
}

static sd_event *loop(void) {
    static sd_event *e;
    if (!e)
        require(sd_event_new(&e) >= 0);
    return e;
}

static void *make_ends(void) {
    require(loop() != NULL);
    return calloc(1, sizeof(Ends));
}

static void wrap(BlobWriter *w, BlobPurpose purpose, const uint8_t *fields, size_t n);

/* Of a blob that is refused half-way not all descriptors are closed. */
static int restore_ends(BlobReader r, void *x) {
    Ends *e = x;
    CLEANUP_BLOB BlobWriter state = {0};
    BlobSource s = {0};
    Opened opened = {0};
    size_t n = (size_t)(r.end - r.at);
    uint8_t *fields CLEANUP_FREE = malloc(n + 1);
    require(fields != NULL);
    if (n > 0)
        memcpy(fields, r.at, n);
    open_named((BlobReader){.source = &s, .at = fields, .end = fields + n}, &opened);
    wrap(&state, BLOB_STATE, fields, n);
    int error = blob_source_init(&s, state.data, state.n, BLOB_STATE, &r);
    if (error == 0)
        error = sock_ends_restore(r, loop(), on_told, on_lost, NULL, &e->ends);
    require((error == 0) == (e->ends != NULL));
    blob_source_done(&s);
    for (size_t i = 0; i < opened.n && error < 0; i++)
        (void)close(opened.fds[i]);
    return error;
}

/* Its own number is another one each time: in its place stands what open_one() makes one like it of. */
static void save_ends(BlobWriter *w, const void *x) {
    const Ends *e = x;
    size_t at = w->n;
    sock_ends_save(w, e->ends);
    require(!w->failed && w->data[at + 2] == FD_KIND);
    memset(w->data + at + FIELD_BYTES, 0, sizeof(int32_t));
}

static void use_ends(void *x) {
    const Ends *e = x;
    static const uint16_t ports[] = {7, 0, UINT16_MAX};
    for (size_t i = 0; i < ELEMENTS(ports); i++)
        require(sock_ends_add_port(e->ends, ports[i]) == 0);
    sock_ends_read(e->ends);
}

static void destroy_ends(void *x) {
    Ends *e = x;
    sock_ends_free(e->ends);
    free(e);
}

static const Noun nouns[] = {
    {make_sources, restore_sources, save_sources, use_sources, destroy_sources},
    {make_bans, restore_bans, save_bans, use_bans, destroy_bans},
    {make_events, restore_events, save_events, use_events, destroy_events},
    {make_measured, restore_measured, save_measured, use_measured, destroy_measured},
    {make_reply, restore_reply, save_reply, use_reply, destroy_reply},
    {make_names, restore_names, save_names, use_names, free},
    {make_ends, restore_ends, save_ends, use_ends, destroy_ends},
};

/* What is in @w, restored by a new one; NULL: it cannot be. */
static void *restore(const Noun *noun, const uint8_t *data, size_t n) {
    BlobSource s;
    BlobReader r;
    void *x = noun->make();
    int e = blob_source_init(&s, data, n, BLOB_CONFIG, &r);
    require(x && e == 0);
    if (noun->restore(r, x) < 0) {
        noun->destroy(x);
        x = NULL;
    }
    blob_source_done(&s);
    return x;
}

static void save(const Noun *noun, const void *x, BlobWriter *w) {
    blob_begin(w, BLOB_CONFIG);
    noun->save(w, x);
    require(blob_end(w) == 0);
}

/* What was held by somebody may be too much for a table once nobody holds it: so the second one counts. */
static void try_noun(const Noun *noun, const uint8_t *blob, size_t n) {
    BlobWriter saved[3] = {0};
    for (size_t i = 0; i < ELEMENTS(saved); i++) {
        void *x = i == 0 ? restore(noun, blob, n) : restore(noun, saved[i - 1].data, saved[i - 1].n);
        require(x || i == 0);
        if (!x)
            break;
        save(noun, x, &saved[i]);
        noun->use(x);
        noun->destroy(x);
    }
    require(saved[1].n == saved[2].n);
    if (saved[1].n > 0)
        require(memcmp(saved[1].data, saved[2].data, saved[1].n) == 0);
    for (size_t i = 0; i < ELEMENTS(saved); i++)
        blob_writer_done(&saved[i]);
}

/* @n bytes of fields, behind a header that is right: in place of a field that they are in. */
static void wrap(BlobWriter *w, BlobPurpose purpose, const uint8_t *fields, size_t n) {
    blob_begin(w, purpose);
    blob_put_bytes(w, 1, fields, n);
    require(!w->failed);
    memmove(w->data + HEADER_BYTES, fields, n);
    w->n = HEADER_BYTES + n;
    require(blob_end(w) == 0);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    /* As it is, which a header that is wrong ends soon. */
    try_whole(data, size, BLOB_CONFIG);
    try_whole(data, size, BLOB_STATE);
    if (size == 0)
        return 0;
    CLEANUP_BLOB BlobWriter config = {0}, state = {0};
    BlobSource s;
    BlobReader r;
    wrap(&config, BLOB_CONFIG, data + 1, size - 1);
    try_whole(config.data, config.n, BLOB_CONFIG);
    try_noun(&nouns[data[0] % ELEMENTS(nouns)], config.data, config.n);
    require(blob_source_init(&s, config.data, config.n, BLOB_CONFIG, &r) == 0);
    bool open = names_open_fds(r);
    blob_source_done(&s);
    wrap(&state, BLOB_STATE, data + 1, size - 1);
    if (!open)
        try_whole(state.data, state.n, BLOB_STATE);
    return 0;
}
