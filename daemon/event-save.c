/* SPDX-License-Identifier: MIT */
#include "daemon/base/text.h"
#include "daemon/event.h"

/* Never used again for something else. */
enum {
    RING_EVENT = 1,    /* of it: */
    EVENT_NUMBERS = 1, /* seq, time, instance, pid, errno, exit code, signal, duration */
    EVENT_LEVEL,
    EVENT_EVENT,
    EVENT_SERVICE,
    EVENT_PEER,
    EVENT_ADDRESSES, /* as which the peer was written */
    EVENT_REASON,
    EVENT_STEP,
    EVENT_MESSAGE,
};

enum {
    NUMBERS = 8
};

static void save_one(BlobWriter *w, const Event *event) {
    const ApiEvent read = event_read(event), *e = &read;
    const uint64_t numbers[NUMBERS] = {
        event->seq,         e->time_usec,           e->instance,         (uint64_t)e->pid,
        (uint64_t)e->error, (uint64_t)e->exit_code, (uint64_t)e->signal, e->duration_usec,
    };
    size_t at = blob_open(w, RING_EVENT);
    blob_put_u64s(w, EVENT_NUMBERS, numbers, NUMBERS);
    blob_put_str(w, EVENT_LEVEL, e->level);
    blob_put_str(w, EVENT_EVENT, e->event);
    blob_put_str(w, EVENT_SERVICE, e->service);
    blob_put_str(w, EVENT_PEER, e->peer);
    blob_put_str(w, EVENT_ADDRESSES, log_addresses_to_string((LogAddresses)event->addresses));
    blob_put_str(w, EVENT_REASON, e->reason);
    blob_put_str(w, EVENT_STEP, e->step);
    blob_put_str(w, EVENT_MESSAGE, e->message);
    blob_close(w, at);
}

void event_ring_save(BlobWriter *w, const EventRing *q) {
    for (size_t i = 0; i < q->n; i++)
        save_one(w, event_ring_get(q, i));
}

/* The texts of one, as long as it is read. */
typedef struct Texts {
    char *level, *event, *service, *peer, *addresses, *reason, *step, *message;
} Texts;

static void texts_done(Texts *t) {
    char *const all[] = {t->level,     t->event,  t->service, t->peer,
                         t->addresses, t->reason, t->step,    t->message};
    for (size_t i = 0; i < ELEMENTS(all); i++)
        free(all[i]);
}

static char **text_of(Texts *t, uint16_t tag) {
    switch (tag) {
    case EVENT_LEVEL:
        return &t->level;
    case EVENT_EVENT:
        return &t->event;
    case EVENT_SERVICE:
        return &t->service;
    case EVENT_PEER:
        return &t->peer;
    case EVENT_ADDRESSES:
        return &t->addresses;
    case EVENT_REASON:
        return &t->reason;
    case EVENT_STEP:
        return &t->step;
    case EVENT_MESSAGE:
        return &t->message;
    default:
        return NULL;
    }
}

/* NULL: it cannot be kept. */
static Event *make(const uint64_t numbers[static NUMBERS], const Texts *t) {
    int level = t->level ? log_level_from_string(t->level) : -EINVAL;
    int addresses = t->addresses ? log_addresses_from_string(t->addresses) : -EINVAL;
    if (level < 0 || !t->event)
        return NULL;
    Event *e = event_new(&(ApiEvent){
        .time_usec = numbers[1],
        .level = log_level_to_string((LogLevel)level),
        .event = t->event,
        .service = t->service,
        .instance = numbers[2],
        .pid = (pid_t)numbers[3],
        /* Whoever may see less does not see what was written nobody knows how. */
        .peer = addresses < 0 ? NULL : t->peer,
        .reason = t->reason,
        .step = t->step,
        .error = (int)numbers[4],
        .exit_code = (int)numbers[5],
        .signal = (int)numbers[6],
        .duration_usec = numbers[7],
        .message = t->message,
    });
    if (e) {
        e->seq = numbers[0];
        e->addresses = (uint8_t)(addresses < 0 ? LOG_ADDRESSES_FULL : addresses);
    }
    return e;
}

static void restore_one(BlobReader r, EventRing *q) {
    CLEANUP(texts_done) Texts texts = {0};
    uint64_t numbers[NUMBERS] = {0};
    BlobField f;
    while (blob_next(&r, &f)) {
        char **text = text_of(&texts, f.tag);
        if (text)
            blob_take_str(&f, text);
        else if (f.tag == EVENT_NUMBERS)
            blob_u64s(&f, numbers, NUMBERS);
    }
    Event *e = blob_is_spoilt(r.source) ? NULL : make(numbers, &texts);
    if (e)
        event_ring_push(q, e);
    event_unref(e);
}

int event_ring_restore(BlobReader r, EventRing *q) {
    BlobField f;
    while (blob_next(&r, &f))
        if (f.tag == RING_EVENT)
            restore_one(blob_enter(&f), q);
    return blob_is_spoilt(r.source) ? -EBADMSG : 0;
}
