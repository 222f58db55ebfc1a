/* SPDX-License-Identifier: MIT */
#include "daemon/fd-store.h"

#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>

#include "daemon/base/list.h"
#include "daemon/base/text.h"

#define PROBE_NAME FD_STORE_PREFIX "probe"

typedef enum StoredState {
    STORED_UNSENT,
    STORED_KEPT,
    STORED_TO_REMOVE,
} StoredState;

struct StoredFd {
    List link; /* in the store: among what is to be sent, or what is kept */
    FdStore *store;
    StoredState state;
    int fd; /* borrowed */
    char name[FD_STORE_NAME_MAX];
};

struct FdStore {
    Notifier *notifier;
    List waiting; /* to be sent, in this order */
    List kept;
    size_t n, n_unsent;
    bool begun, left;
    sd_event *loop;
    FdStoreLost on_lost;
    void *userdata;
    sd_event_source *probe; /* our end, owned by it */
    size_t n_probed;        /* so many were kept when it was sent */
    bool probe_wanted;
    bool lost;
};

static int on_probe(sd_event_source *source, int fd, uint32_t revents, void *userdata) {
    FdStore *s = userdata;
    (void)source;
    (void)fd;
    (void)revents;
    s->probe = sd_event_source_disable_unref(s->probe);
    if (s->left)
        return 0;
    s->lost = true;
    s->on_lost(s->userdata);
    return 0;
}

/* Its end hangs up with ours, and the manager drops what does (FDPOLL). */
static void send_probe(FdStore *s) {
    int pair[2];
    if (s->lost || socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0, pair) < 0)
        return;
    CLEANUP_CLOSE int theirs = pair[1], ours = pair[0];
    s->probe = sd_event_source_disable_unref(s->probe);
    if (notifier_send_fd(s->notifier, "FDSTORE=1\nFDNAME=" PROBE_NAME, theirs) < 0)
        return;
    s->n_probed = s->n;
    s->probe_wanted = false;
    if (sd_event_add_io(s->loop, &s->probe, ours, EPOLLIN | EPOLLRDHUP, on_probe, s) < 0)
        return;
    (void)TAKE_FD(ours);
    (void)sd_event_source_set_io_fd_own(s->probe, true);
}

/* Sends as much as is taken now. */
static void send_waiting(void *userdata) {
    FdStore *s = userdata;
    char text[FD_STORE_NAME_MAX + 64];
    LIST_FOREACH_SAFE (e, &s->waiting, StoredFd, link) {
        bool keep = e->state == STORED_UNSENT;
        /* FDPOLL=0: a listener that hangs up, as one does that somebody has shut down, is not to be dropped:
         * it can be revived. */
        (void)snprintf(text, sizeof(text), "FDSTORE%s=1\nFDNAME=%s%s", keep ? "" : "REMOVE", e->name,
                       keep ? "\nFDPOLL=0" : "");
        if (notifier_send_fd(s->notifier, text, keep ? e->fd : -EBADF) == -EAGAIN)
            return;
        list_remove(&e->link);
        if (keep) {
            e->state = STORED_KEPT;
            s->n_unsent--;
            list_append(&s->kept, &e->link);
        } else {
            free(e);
        }
    }
    if (s->probe_wanted)
        send_probe(s);
}

int fd_store_new(Notifier *n, FdStore **ret) {
    FdStore *s = calloc(1, sizeof(*s));
    if (!s)
        return -ENOMEM;
    s->notifier = n;
    list_init(&s->waiting);
    list_init(&s->kept);
    notifier_on_room(n, send_waiting, s);
    *ret = s;
    return 0;
}

FdStore *fd_store_free(FdStore *s) {
    if (!s)
        return NULL;
    notifier_on_room(s->notifier, NULL, NULL);
    sd_event_source_disable_unref(s->probe);
    sd_event_unref(s->loop);
    LIST_FOREACH_SAFE (e, &s->waiting, StoredFd, link)
        free(e);
    LIST_FOREACH_SAFE (e, &s->kept, StoredFd, link)
        free(e);
    free(s);
    return NULL;
}

static StoredFd *add(FdStore *s, const char *name, int fd, StoredState state) {
    StoredFd *e = s && strlen(name) < FD_STORE_NAME_MAX ? calloc(1, sizeof(*e)) : NULL;
    if (!e)
        return NULL;
    e->store = s;
    e->state = state;
    e->fd = fd;
    (void)snprintf(e->name, sizeof(e->name), "%s", name);
    s->n += state != STORED_TO_REMOVE;
    s->n_unsent += state == STORED_UNSENT;
    list_append(state == STORED_KEPT ? &s->kept : &s->waiting, &e->link);
    return e;
}

StoredFd *fd_store_keep(FdStore *s, const char *name, int fd) {
    if (!s || s->left)
        return NULL;
    StoredFd *e = add(s, name, fd, STORED_UNSENT);
    if (e)
        send_waiting(s);
    return e;
}

StoredFd *fd_store_known(FdStore *s, const char *name, int fd) {
    return add(s, name, fd, STORED_KEPT);
}

const char *stored_fd_name(const StoredFd *e) {
    return e->name;
}

bool stored_fd_is_sent(const StoredFd *e) {
    return e && e->state == STORED_KEPT;
}

StoredFd *stored_fd_release(StoredFd *e) {
    if (!e)
        return NULL;
    FdStore *s = e->store;
    bool sent = e->state == STORED_KEPT;
    list_remove(&e->link);
    s->n--;
    s->n_unsent -= !sent;
    /* Also of a store that has not all: it may have this one, and nobody is to wait in its queue. */
    if (!sent || !s->begun || s->left) {
        free(e);
        return NULL;
    }
    e->state = STORED_TO_REMOVE;
    e->fd = -EBADF;
    list_append(&s->waiting, &e->link);
    send_waiting(s);
    return NULL;
}

bool stored_fd_goes(const StoredFd *e) {
    return e && e->state == STORED_KEPT && e->store->begun && !e->store->left;
}

bool stored_fd_stays(const StoredFd *e) {
    return e && e->state == STORED_KEPT && e->store->left && !e->store->lost;
}

void fd_store_forget(FdStore *s, const char *name) {
    if (!add(s, name, -EBADF, STORED_TO_REMOVE))
        return;
    /* All of a name go at once: what is wanted of them is sent again. */
    LIST_FOREACH_SAFE (e, &s->kept, StoredFd, link) {
        if (!streq(e->name, name))
            continue;
        list_remove(&e->link);
        e->state = STORED_UNSENT;
        s->n_unsent++;
        list_append(&s->waiting, &e->link);
    }
    send_waiting(s);
}

void fd_store_leave(FdStore *s) {
    if (!s || s->left)
        return;
    s->probe_wanted = false;
    send_waiting(s);
    s->left = true;
    if (s->probe)
        (void)notifier_send_fd(s->notifier, "FDSTOREREMOVE=1\nFDNAME=" PROBE_NAME, -EBADF);
}

void fd_store_watch(FdStore *s, sd_event *loop, FdStoreLost lost, void *userdata) {
    if (!s)
        return;
    s->loop = sd_event_ref(loop);
    s->on_lost = lost;
    s->userdata = userdata;
    fd_store_settle(s);
}

void fd_store_begin(FdStore *s) {
    if (s)
        s->begun = true;
}

void fd_store_settle(FdStore *s) {
    if (!s)
        return;
    s->probe_wanted = s->loop && s->n > s->n_probed;
    send_waiting(s);
}

size_t fd_store_count(const FdStore *s, size_t *ret_unsent) {
    *ret_unsent = s ? s->n_unsent : 0;
    return s ? s->n : 0;
}
