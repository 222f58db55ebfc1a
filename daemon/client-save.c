/* SPDX-License-Identifier: MIT */
/* A client of the control socket over an upgrade in place: it goes on in the middle of what it is sending, of
 * what it is being sent, and of the call that it waits for. */
#include <string.h>

#include "daemon/base/blob-rows.h"
#include "daemon/base/fd-kind.h"
#include "daemon/client.h"
#include "daemon/timer-save.h"

/* Never used again for something else. */
enum {
    CLIENT_FD = 1,
    CLIENT_UID,
    CLIENT_GID,
    CLIENT_GROUPS,
    CLIENT_DEADLINE,
    CLIENT_TAKEN,
    CLIENT_SENT_EVER,
    CLIENT_SENT_SEEN,
    CLIENT_QUEUE_SEEN,
    CLIENT_IN,  /* received, not taken up */
    CLIENT_OUT, /* not sent */
    CLIENT_ENDED,
    CLIENT_WAIT, /* its word */
    CLIENT_MORE,
    CLIENT_SERVICES,
    CLIENT_VERB,
    CLIENT_ORDERS,
    CLIENT_TOLD_MARK,
    CLIENT_TOLD,
    CLIENT_STREAM,
    CLIENT_FOLLOWING,
    CLIENT_FOLLOW,
    CLIENT_MISSED,
    CLIENT_LOAD,
};

static const BlobRow rows[] = {
    BLOB_ROW(CLIENT_TAKEN, Client, taken_usec),    BLOB_ROW(CLIENT_SENT_EVER, Client, sent_ever),
    BLOB_ROW(CLIENT_SENT_SEEN, Client, sent_seen), BLOB_ROW(CLIENT_QUEUE_SEEN, Client, queue_seen),
    BLOB_ROW(CLIENT_ENDED, Client, ended),         BLOB_ROW(CLIENT_MORE, Client, more),
    BLOB_ROW(CLIENT_TOLD_MARK, Client, told_mark), BLOB_ROW(CLIENT_TOLD, Client, told_usec),
    BLOB_ROW(CLIENT_FOLLOWING, Client, following), BLOB_ROW(CLIENT_FOLLOW, Client, follow),
    BLOB_ROW(CLIENT_MISSED, Client, missed),       BLOB_ROW(CLIENT_LOAD, Client, load),
};

/* One without a word has nothing to wait for in the program that takes over. */
static const char *const waits[] = {
    [WAIT_ORDER] = "order",
    [WAIT_SHUTDOWN] = "shutdown",
    [WAIT_UPGRADE] = "upgrade",
    [WAIT_RELOAD] = "reload",
};

static const char *word_of(ClientWait wait) {
    return (size_t)wait < ELEMENTS(waits) ? waits[wait] : NULL;
}

bool client_can_be_saved(const Client *c) {
    if (c->failed || !text_ok(&c->out) || (c->stream && !stream_can_be_saved(c->stream)))
        return false;
    return c->wait == WAIT_NOTHING || c->wait == WAIT_READING || word_of(c->wait);
}

static void save_call(BlobWriter *w, const Client *c) {
    if (word_of(c->wait))
        blob_put_str(w, CLIENT_WAIT, word_of(c->wait));
    if (c->wait == WAIT_ORDER) {
        blob_put_strv(w, CLIENT_SERVICES, c->services);
        blob_put_str(w, CLIENT_VERB, service_verb_to_string(c->verb));
        blob_put_u64s(w, CLIENT_ORDERS, c->orders, strv_length(c->services));
    }
    if (c->stream) {
        size_t at = blob_open(w, CLIENT_STREAM);
        stream_save(w, c->stream);
        blob_close(w, at);
    }
}

void client_save(BlobWriter *w, const Client *c) {
    uint64_t groups[64];
    blob_put_fd(w, CLIENT_FD, c->fd);
    /* Root's number is 0, and no row for it would be there. */
    blob_put_u64(w, CLIENT_UID, c->uid);
    blob_put_u64(w, CLIENT_GID, c->gid);
    blob_put_rows(w, rows, ELEMENTS(rows), c);
    timer_put(w, CLIENT_DEADLINE, c->deadline);
    /* In portions, for there may be tens of thousands. */
    for (size_t i = 0, n = 0; i < c->n_groups; i += n) {
        for (n = 0; n < ELEMENTS(groups) && i + n < c->n_groups; n++)
            groups[n] = c->groups[i + n];
        blob_put_u64s(w, CLIENT_GROUPS, groups, n);
    }
    /* What is being read is received once more. */
    if (c->wait == WAIT_READING)
        blob_put_bytes(w, CLIENT_IN, c->reading.s, c->reading.len + 1);
    if (frame_pending(&c->in) > 0)
        blob_put_bytes(w, CLIENT_IN, c->in.buf + c->in.start, frame_pending(&c->in));
    if (client_unsent(c) > 0)
        blob_put_bytes(w, CLIENT_OUT, c->out.s + c->sent, client_unsent(c));
    save_call(w, c);
}

static void restore_in(const BlobField *f, Client *c) {
    size_t n = 0, room = 0;
    const char *bytes = blob_bytes(f, &n);
    char *at = NULL;
    for (; n > 0 && !c->failed; n -= room, bytes += room) {
        if (frame_space(&c->in, &at, &room) < 0) {
            c->failed = true;
            return;
        }
        room = room < n ? room : n;
        memcpy(at, bytes, room);
        frame_advance(&c->in, room);
    }
}

static void restore_groups(const BlobField *f, Client *c) {
    uint64_t numbers[64] = {0};
    size_t n = f->n / sizeof(numbers[0]);
    n = n < ELEMENTS(numbers) ? n : ELEMENTS(numbers);
    blob_u64s(f, numbers, n);
    gid_t *groups = reallocarray(c->groups, c->n_groups + n + 1, sizeof(gid_t));
    if (!groups) {
        c->failed = true;
        return;
    }
    c->groups = groups;
    for (size_t i = 0; i < n; i++)
        c->groups[c->n_groups++] = (gid_t)numbers[i];
}

static void restore_wait(const BlobField *f, Client *c) {
    char *word CLEANUP_FREE = blob_str(f);
    for (size_t i = 0; word && i < ELEMENTS(waits); i++)
        if (waits[i] && streq(waits[i], word))
            c->wait = (ClientWait)i;
    if (c->wait == WAIT_NOTHING)
        c->failed = true;
}

static void restore_orders(const BlobField *f, Client *c) {
    size_t n = f->n / sizeof(uint64_t);
    free(c->orders);
    c->orders = calloc(n + 1, sizeof(uint64_t));
    if (c->orders)
        blob_u64s(f, c->orders, n);
    /* As many as there are services, which stand before. */
    if (!c->orders || n != strv_length(c->services))
        c->failed = true;
}

static void restore_verb(const BlobField *f, Client *c) {
    char *word CLEANUP_FREE = blob_str(f);
    int verb = word ? service_verb_from_string(word) : -EINVAL;
    if (verb < 0)
        c->failed = true;
    else
        c->verb = (ServiceVerb)verb;
}

static void restore_stream(const BlobField *f, Client *c) {
    stream_free(c->stream);
    c->stream = stream_restore(blob_enter(f));
    if (!c->stream)
        c->failed = true;
}

static void restore_bytes(const BlobField *f, Client *c) {
    size_t n = 0;
    const char *bytes = blob_bytes(f, &n);
    if (n > 0)
        text_add_n(&c->out, bytes, n);
}

static void restore_fd(const BlobField *f, Client *c) {
    if (c->fd < 0)
        c->fd = blob_fd_of(f, FD_UNIX_STREAM);
}

static void restore_uid(const BlobField *f, Client *c) {
    c->uid = (uid_t)blob_u64_max(f, UINT32_MAX);
}

static void restore_gid(const BlobField *f, Client *c) {
    c->gid = (gid_t)blob_u64_max(f, UINT32_MAX);
}

static void restore_deadline(const BlobField *f, Client *c) {
    c->deadline_usec = blob_u64(f);
}

static void restore_services(const BlobField *f, Client *c) {
    blob_take_strv(f, &c->services);
}

static const struct {
    uint16_t tag;
    void (*restore)(const BlobField *f, Client *c);
} others[] = {
    {CLIENT_FD, restore_fd},         {CLIENT_UID, restore_uid},           {CLIENT_GID, restore_gid},
    {CLIENT_GROUPS, restore_groups}, {CLIENT_DEADLINE, restore_deadline}, {CLIENT_IN, restore_in},
    {CLIENT_OUT, restore_bytes},     {CLIENT_WAIT, restore_wait},         {CLIENT_SERVICES, restore_services},
    {CLIENT_VERB, restore_verb},     {CLIENT_ORDERS, restore_orders},     {CLIENT_STREAM, restore_stream},
};

static void restore_field(const BlobField *f, Client *c) {
    if (blob_get_row(f, rows, ELEMENTS(rows), c))
        return;
    for (size_t i = 0; i < ELEMENTS(others); i++)
        if (others[i].tag == f->tag)
            others[i].restore(f, c);
}

/* What is taken for granted of one. */
static bool is_whole(const Client *c) {
    if (c->failed || c->fd < 0 || !text_ok(&c->out))
        return false;
    return c->wait != WAIT_ORDER || (c->services && c->orders);
}

int client_restore(BlobReader r, sd_event *loop, const ClientHandler *handler, Client **ret) {
    BlobField f;
    *ret = NULL;
    Client *c = calloc(1, sizeof(*c));
    if (!c)
        return 0;
    /* Who has no number in the blob is nobody. */
    *c = (Client){
        .fd = -EBADF, .loop = loop, .handler = handler, .asleep = true, .uid = (uid_t)-1, .gid = (gid_t)-1};
    list_init(&c->link);
    frame_init(&c->in, CLIENT_REQUEST_MAX);
    while (blob_next(&r, &f))
        restore_field(&f, c);
    bool spoilt = blob_is_spoilt(r.source);
    if (spoilt || !is_whole(c))
        c = client_free(c);
    *ret = c;
    return spoilt ? -EBADMSG : 0;
}
