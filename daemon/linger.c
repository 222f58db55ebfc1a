/* SPDX-License-Identifier: MIT */
#include "daemon/linger.h"

#include <sys/epoll.h>
#include <sys/socket.h>

#include "daemon/base/cleanup.h"
#include "daemon/base/clock.h"
#include "daemon/base/list.h"
#include "daemon/base/passed.h"

/* What is thrown away of one in a turn of the loop, and in all: who sends more than that does not read. */
#define READS_A_TURN 4
#define READ_BYTES 4096
#define READS_AT_ONCE 16
#define BYTES_MAX (1U << 20)

typedef struct Leaving {
    List link; /* in the order in which they came, which is that of their ends */
    Linger *linger;
    int fd;
    uint64_t until_usec;
    size_t taken;
    sd_event_source *source;
} Leaving;

struct Linger {
    sd_event *loop;
    Discard *discard;
    List items;
    size_t n;
    sd_event_source *timer;
};

int linger_new(sd_event *loop, Discard *discard, Linger **ret) {
    Linger *l = calloc(1, sizeof(*l));
    if (!l)
        return -ENOMEM;
    l->loop = loop;
    l->discard = discard;
    list_init(&l->items);
    *ret = l;
    return 0;
}

/* Returns its descriptor. */
static int forget(Leaving *i) {
    int fd = i->fd;
    i->linger->n--;
    list_remove(&i->link);
    i->source = sd_event_source_disable_unref(i->source);
    free(i);
    return fd;
}

static void let_go(Leaving *i) {
    Discard *discard = i->linger->discard;
    (void)discard_socket(discard, forget(i));
}

Linger *linger_free(Linger *l) {
    if (!l)
        return NULL;
    LIST_FOREACH_SAFE (i, &l->items, Leaving, link)
        let_go(i);
    l->timer = sd_event_source_disable_unref(l->timer);
    free(l);
    return NULL;
}

/* Whether more may come. */
static bool take_in(Leaving *i) {
    char sent[READ_BYTES];
    for (unsigned k = 0; k < READS_A_TURN; k++) {
        ssize_t n = passed_recv(i->fd, sent, sizeof(sent));
        if (n < 0)
            return errno == EAGAIN || errno == EINTR;
        i->taken += (size_t)n;
        if (n == 0 || i->taken > BYTES_MAX)
            return false;
    }
    return true;
}

static int on_io(sd_event_source *s, int fd, uint32_t revents, void *userdata) {
    (void)s;
    (void)fd;
    (void)revents;
    if (!take_in(userdata))
        let_go(userdata);
    return 0;
}

static int on_time(sd_event_source *s, uint64_t usec, void *userdata);

static void wait_for_first(Linger *l) {
    l->timer = sd_event_source_disable_unref(l->timer);
    if (list_is_empty(&l->items))
        return;
    Leaving *first = LIST_ENTRY(l->items.next, Leaving, link);
    if (sd_event_add_time(l->loop, &l->timer, CLOCK_MONOTONIC, first->until_usec, 10 * USEC_PER_MSEC, on_time,
                          l) >= 0)
        return;
    /* Nobody would end them. */
    LIST_FOREACH_SAFE (i, &l->items, Leaving, link)
        let_go(i);
}

static int on_time(sd_event_source *s, uint64_t usec, void *userdata) {
    Linger *l = userdata;
    uint64_t now = clock_monotonic_usec();
    (void)s;
    (void)usec;
    LIST_FOREACH_SAFE (i, &l->items, Leaving, link) {
        if (i->until_usec > now)
            break;
        let_go(i);
    }
    wait_for_first(l);
    return 0;
}

/* NULL: there are too many, or no memory. */
static Leaving *add(Linger *l, int fd, uint64_t until_usec) {
    Leaving *i = l->n < LINGER_MAX ? calloc(1, sizeof(*i)) : NULL;
    if (!i)
        return NULL;
    *i = (Leaving){.linger = l, .fd = fd, .until_usec = until_usec};
    list_append(&l->items, &i->link);
    l->n++;
    return i;
}

static int watch(Leaving *i) {
    Linger *l = i->linger;
    int r = sd_event_add_io(l->loop, &i->source, i->fd, EPOLLIN, on_io, i);
    if (r >= 0 && !l->timer)
        wait_for_first(l);
    return r;
}

void linger_add(Linger *l, int fd) {
    (void)shutdown(fd, SHUT_WR);
    Leaving *i = add(l, fd, clock_monotonic_usec() + LINGER_USEC);
    if (!i)
        (void)discard_socket(l->discard, fd);
    else if (!take_in(i) || watch(i) < 0)
        let_go(i);
}

int linger_not(Discard *discard, int fd) {
    char sent[READ_BYTES];
    (void)shutdown(fd, SHUT_WR);
    for (unsigned i = 0; i < READS_AT_ONCE && passed_recv(fd, sent, sizeof(sent)) > 0; i++)
        continue;
    return discard_socket(discard, fd);
}

/* Never used again for something else. */
enum {
    LINGER_ITEM = 1, /* of it: */
    ITEM_FD = 1,
    ITEM_NUMBERS, /* until when, bytes taken */
};

void linger_save(BlobWriter *w, const Linger *l) {
    LIST_FOREACH (i, &l->items, const Leaving, link) {
        const uint64_t numbers[] = {i->until_usec, i->taken};
        size_t at = blob_open(w, LINGER_ITEM);
        blob_put_fd(w, ITEM_FD, i->fd);
        blob_put_u64s(w, ITEM_NUMBERS, numbers, ELEMENTS(numbers));
        blob_close(w, at);
    }
}

static void restore_one(BlobReader r, Linger *l) {
    CLEANUP_CLOSE int fd = -EBADF;
    uint64_t numbers[2] = {0};
    BlobField f;
    while (blob_next(&r, &f)) {
        if (f.tag == ITEM_FD && fd < 0)
            fd = blob_fd(&f);
        else if (f.tag == ITEM_NUMBERS)
            blob_u64s(&f, numbers, ELEMENTS(numbers));
    }
    uint64_t latest = clock_monotonic_usec() + LINGER_USEC;
    Leaving *i = fd < 0 ? NULL : add(l, fd, numbers[0] < latest ? numbers[0] : latest);
    if (!i)
        return;
    (void)TAKE_FD(fd);
    i->taken = (size_t)numbers[1];
    /* Nothing but closed: this may be the helper that proves an upgrade, and its copy not the only one. */
    if (watch(i) < 0)
        (void)fd_close(forget(i));
}

int linger_restore(BlobReader r, Linger *l) {
    BlobField f;
    while (blob_next(&r, &f))
        if (f.tag == LINGER_ITEM)
            restore_one(blob_enter(&f), l);
    return blob_is_spoilt(r.source) ? -EBADMSG : 0;
}
