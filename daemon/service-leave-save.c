/* SPDX-License-Identifier: MIT */
/* Listeners that a reload has taken from a service, over an upgrade in place: who waits there is still to be
 * served. Their config is gone; they bring along what they need of it. */
#include <string.h>

#include "conf/config-build.h"
#include "conf/service-blob-parts.h"
#include "daemon/base/blob-rows.h"
#include "daemon/service-save.h"

/* Never used again for something else. */
enum {
    LEAVING_ENDPOINT = 1,
    LEAVING_INDEX,
    LEAVING_NAME,
    LEAVING_DEVICE,
    LEAVING_BACKLOG,
    LEAVING_ONLY_V6,
    LEAVING_REUSE_PORT,
    LEAVING_REMOVE_ON_STOP,
    LEAVING_SOCKET, /* what every listener has */
};

static const BlobRow rows[] = {
    BLOB_ROW(LEAVING_NAME, ListenConfig, name),
    BLOB_ROW(LEAVING_DEVICE, ListenConfig, device),
    BLOB_ROW(LEAVING_BACKLOG, ListenConfig, backlog),
    BLOB_ROW(LEAVING_ONLY_V6, ListenConfig, only_v6),
    BLOB_ROW(LEAVING_REUSE_PORT, ListenConfig, reuse_port),
};

void leaving_save(BlobWriter *w, const Listener *l) {
    endpoint_put(w, LEAVING_ENDPOINT, &l->config->endpoint);
    blob_put_u64(w, LEAVING_INDEX, l->index);
    blob_put_rows(w, rows, ELEMENTS(rows), l->config);
    /* True is not what is left out of a blob. */
    blob_put_u64(w, LEAVING_REMOVE_ON_STOP, l->config->remove_on_stop);
    size_t at = blob_open(w, LEAVING_SOCKET);
    listener_save(w, l, 0);
    blob_close(w, at);
}

static void config_free(ListenConfig *c) {
    listen_config_done(c);
    free(c);
}

static ListenConfig *take_config(BlobReader r, size_t *ret_index) {
    ListenConfig *c = calloc(1, sizeof(*c));
    BlobField f;
    if (!c)
        return NULL;
    listen_config_init(c);
    *ret_index = 0;
    while (blob_next(&r, &f)) {
        if (f.tag == LEAVING_ENDPOINT)
            endpoint_get(&f, &c->endpoint, &c->text);
        else if (f.tag == LEAVING_INDEX)
            *ret_index = blob_u64(&f);
        else if (f.tag == LEAVING_REMOVE_ON_STOP)
            c->remove_on_stop = blob_u64_max(&f, 1);
        else
            (void)blob_get_row(&f, rows, ELEMENTS(rows), c);
    }
    if (!c->text)
        blob_spoil(r.source, "a listener that was leaving has no endpoint");
    return c;
}

int leaving_restore(BlobReader r, Service *s) {
    size_t index;
    BlobField f;
    ListenConfig *c = take_config(r, &index);
    Listener *l = c && !blob_is_spoilt(r.source) ? listener_new(s, s->rt->loop, c, index) : NULL;
    if (!l) {
        if (c)
            config_free(c);
        return blob_is_spoilt(r.source) ? -EBADMSG : -ENOMEM;
    }
    l->own_config = c;
    list_append(&s->leaving, &l->link);
    while (blob_next(&r, &f))
        if (f.tag == LEAVING_SOCKET)
            listener_load(blob_enter(&f), l);
    if (!listener_is_open(l))
        blob_spoil(r.source, "the service %.64s has lost a listener that it was giving up", s->name);
    return blob_is_spoilt(r.source) ? -EBADMSG : 0;
}
