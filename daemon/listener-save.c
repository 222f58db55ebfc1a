/* SPDX-License-Identifier: MIT */
/* A listener over an upgrade in place. Whether it is polled, and which slot it wakes, its service finds out
 * anew; how many connections a wake-up takes is learnt again. A socket that is not what it should be must not
 * pass: others would be served by it, or nobody. */
#include <mqueue.h>
#include <string.h>
#include <sys/stat.h>

#include "daemon/base/blob-rows.h"
#include "daemon/fd-store.h"
#include "daemon/service.h"
#include "daemon/timer-save.h"

enum {
    LISTENER_ENDPOINT = 1, /* its place in the config */
    LISTENER_INDEX,
    LISTENER_KIND,
    LISTENER_ADDR,
    LISTENER_FD,
    LISTENER_PARKED,
    LISTENER_ADOPTED,
    LISTENER_UNSUITABLE,
    LISTENER_DISPENSABLE,
    LISTENER_DEV,
    LISTENER_INO,
    LISTENER_PAUSE,
    LISTENER_PAUSE_LEVEL,
    LISTENER_SHORT,
    LISTENER_CUT,
    LISTENER_SEALED,
    LISTENER_EXHAUSTED,
    LISTENER_ADMITTED,
    LISTENER_ERROR,
    LISTENER_ERROR_STEP,
    LISTENER_RESTORED,
    LISTENER_LEFT,
    LISTENER_LEFT_INSTANCE,
    LISTENER_KEPT, /* under which name in the service manager's store */
    LISTENER_LEFT_SERVED,
};

static const BlobRow rows[] = {
    BLOB_ROW(LISTENER_ADOPTED, Listener, adopted),
    BLOB_ROW(LISTENER_RESTORED, Listener, restored),
    BLOB_ROW(LISTENER_LEFT, Listener, left_usec),
    BLOB_ROW(LISTENER_LEFT_INSTANCE, Listener, left_instance),
    BLOB_ROW(LISTENER_LEFT_SERVED, Listener, left_served),
    BLOB_ROW(LISTENER_UNSUITABLE, Listener, unsuitable),
    BLOB_ROW(LISTENER_DISPENSABLE, Listener, dispensable),
    BLOB_ROW(LISTENER_DEV, Listener, dev),
    BLOB_ROW(LISTENER_INO, Listener, ino),
    BLOB_ROW(LISTENER_PAUSE_LEVEL, Listener, pause_level),
    BLOB_ROW(LISTENER_SHORT, Listener, short_usec),
    BLOB_ROW(LISTENER_CUT, Listener, cut),
    BLOB_ROW(LISTENER_SEALED, Listener, sealed),
    BLOB_ROW(LISTENER_EXHAUSTED, Listener, exhausted),
    BLOB_ROW(LISTENER_ADMITTED, Listener, admitted),
    BLOB_ROW(LISTENER_ERROR, Listener, error),
};

void listener_save(BlobWriter *w, const Listener *l, size_t endpoint) {
    blob_put_u64(w, LISTENER_ENDPOINT, endpoint);
    blob_put_u64(w, LISTENER_INDEX, l->index);
    blob_put_str(w, LISTENER_KIND, endpoint_kind_to_string(l->kind));
    const Addr addr = listener_addr(l);
    addr_put(w, LISTENER_ADDR, &addr);
    blob_put_fd(w, LISTENER_FD, l->fd);
    blob_put_fd(w, LISTENER_PARKED, l->parked);
    blob_put_rows(w, rows, ELEMENTS(rows), l);
    blob_put_str(w, LISTENER_ERROR_STEP, l->error_step);
    timer_put(w, LISTENER_PAUSE, l->pause_timer);
    if (stored_fd_is_sent(l->kept))
        blob_put_str(w, LISTENER_KEPT, stored_fd_name(l->kept));
}

void listener_place(BlobReader r, size_t *ret_endpoint, size_t *ret_index) {
    BlobField f;
    *ret_endpoint = *ret_index = 0;
    while (blob_next(&r, &f)) {
        if (f.tag == LISTENER_ENDPOINT)
            *ret_endpoint = blob_u64_max(&f, SIZE_MAX);
        else if (f.tag == LISTENER_INDEX)
            *ret_index = blob_u64_max(&f, SIZE_MAX);
    }
}

static EndpointKind take_kind(const BlobField *f) {
    char *word CLEANUP_FREE = blob_str(f);
    int kind = word ? endpoint_kind_from_string(word) : -EINVAL;
    if (kind >= 0)
        return (EndpointKind)kind;
    blob_spoil(f->source, "a listener is of an unknown kind");
    return ENDPOINT_SYSTEMD;
}

/* Of a socket. One that somebody has called shutdown(2) on listens no more, and is still the one. */
static bool is_bound(const Listener *l, const Addr *addr, int fd) {
    Addr own = {.len = sizeof(own.storage)}, peer = {.len = sizeof(peer.storage)};
    int type = 0;
    socklen_t n = sizeof(type);
    return getsockopt(fd, SOL_SOCKET, SO_TYPE, &type, &n) == 0 && type == endpoint_socket_type(l->kind) &&
           getsockname(fd, &own.sa, &own.len) == 0 && addr_equal(&own, addr) &&
           (type == SOCK_DGRAM || getpeername(fd, &peer.sa, &peer.len) < 0);
}

static bool is_right(const Listener *l, const Addr *addr, int fd) {
    struct stat st;
    struct mq_attr attributes;
    if (fstat(fd, &st) < 0)
        return false;
    if (l->kind == ENDPOINT_FIFO)
        return S_ISFIFO(st.st_mode);
    if (l->kind == ENDPOINT_MQUEUE)
        return S_ISREG(st.st_mode) && mq_getattr(fd, &attributes) == 0;
    return S_ISSOCK(st.st_mode) && is_bound(l, addr, fd);
}

static void check(const Listener *l, const Addr *addr, int fd, BlobSource *source) {
    if (fd >= 0 && !is_right(l, addr, fd))
        blob_spoil(source, "descriptor %d is not the listener of %.64s", fd, l->config->endpoint.text);
}

void listener_load(BlobReader r, Listener *l) {
    BlobSource *source = r.source;
    char *kept CLEANUP_FREE = NULL;
    uint64_t pause = 0;
    Addr addr = listener_addr(l);
    BlobField f;
    while (blob_next(&r, &f)) {
        if (blob_get_row(&f, rows, ELEMENTS(rows), l))
            continue;
        if (f.tag == LISTENER_KIND)
            l->kind = take_kind(&f);
        else if (f.tag == LISTENER_ADDR)
            addr = addr_get(&f);
        else if (f.tag == LISTENER_FD && l->fd < 0)
            l->fd = blob_fd(&f);
        else if (f.tag == LISTENER_PARKED && l->parked < 0)
            l->parked = blob_fd(&f);
        else if (f.tag == LISTENER_ERROR_STEP)
            blob_take_str(&f, &l->error_step);
        else if (f.tag == LISTENER_PAUSE)
            pause = blob_u64(&f);
        else if (f.tag == LISTENER_KEPT)
            blob_take_str(&f, &kept);
    }
    l->addr = endpoint_addr_narrow(&addr);
    check(l, &addr, l->fd, source);
    check(l, &addr, l->parked, source);
    if (l->fd >= 0 && l->parked >= 0)
        blob_spoil(source, "the listener of %.64s has two sockets", l->config->endpoint.text);
    if (kept && listener_is_open(l))
        l->kept = fd_store_known(l->service->rt->store, kept, l->fd);
    if (pause > 0 && listener_is_open(l))
        listener_pause_until(l, pause);
}
