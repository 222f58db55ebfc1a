/* SPDX-License-Identifier: MIT */
#include "daemon/bans-private.h"
#include "daemon/base/text.h"

/* Never used again for something else. */
enum {
    BANS_COUNTS = 1, /* the newest number, how many were dropped */
    BANS_ITEM,       /* of it: */
    ITEM_PREFIX = 1,
    ITEM_NUMBERS, /* number, service, since, until */
    ITEM_NAME,
    ITEM_CAUSE, /* its word */
};

void bans_save(BlobWriter *w, const Bans *b) {
    const uint64_t counts[] = {b->newest, b->dropped};
    blob_put_u64s(w, BANS_COUNTS, counts, ELEMENTS(counts));
    LIST_FOREACH (e, &b->list, const BanEntry, link) {
        const uint64_t numbers[] = {e->ban.number, e->ban.service, e->ban.since_usec, e->ban.until_usec};
        size_t at = blob_open(w, BANS_ITEM);
        prefix_put(w, ITEM_PREFIX, &e->ban.prefix);
        blob_put_u64s(w, ITEM_NUMBERS, numbers, ELEMENTS(numbers));
        blob_put_str(w, ITEM_NAME, e->name);
        blob_put_str(w, ITEM_CAUSE, ban_cause_to_string(e->ban.cause));
        blob_close(w, at);
    }
}

/* Whether it can be kept: of somebody, for a cause that is known here. *ret_name is to be freed. */
static bool read_one(BlobReader r, Ban *ret, char **ret_name) {
    BlobField f;
    uint64_t numbers[4] = {0};
    int cause = -EINVAL;
    *ret = (Ban){.prefix.kind = PEER_NONE};
    while (blob_next(&r, &f)) {
        char *word CLEANUP_FREE = NULL;
        if (f.tag == ITEM_PREFIX) {
            ret->prefix = prefix_take(&f);
        } else if (f.tag == ITEM_NUMBERS) {
            blob_u64s(&f, numbers, ELEMENTS(numbers));
        } else if (f.tag == ITEM_NAME) {
            blob_take_str(&f, ret_name);
        } else if (f.tag == ITEM_CAUSE) {
            word = blob_str(&f);
            cause = word ? ban_cause_from_string(word) : -EINVAL;
        }
    }
    ret->number = numbers[0];
    ret->service = (uint32_t)numbers[1];
    ret->since_usec = numbers[2];
    ret->until_usec = numbers[3];
    ret->cause = cause < 0 ? BAN_REFUSALS : (BanCause)cause;
    ret->name = *ret_name;
    return cause >= 0 && ret->prefix.kind != PEER_NONE && ret->name && !blob_is_spoilt(r.source);
}

static void restore_one(BlobReader r, Bans *b, BanOwner owner, void *userdata) {
    char *name CLEANUP_FREE = NULL;
    Ban ban;
    if (!read_one(r, &ban, &name))
        return;
    bool of_one = ban.service != 0;
    if (of_one && owner)
        ban.service = owner(name, userdata);
    if (!of_one || ban.service != 0)
        (void)bans_put_back(b, &ban);
}

int bans_restore_of(BlobReader r, Bans *b, BanOwner owner, void *userdata) {
    BlobField f;
    uint64_t counts[2] = {0};
    while (blob_next(&r, &f)) {
        if (f.tag == BANS_COUNTS)
            blob_u64s(&f, counts, ELEMENTS(counts));
        else if (f.tag == BANS_ITEM)
            restore_one(blob_enter(&f), b, owner, userdata);
    }
    /* With those that did not fit. */
    b->newest = counts[0] > b->newest && counts[0] <= UINT64_MAX / 2 ? counts[0] : b->newest;
    b->dropped += counts[1];
    return blob_is_spoilt(r.source) ? -EBADMSG : 0;
}

int bans_restore(BlobReader r, Bans *b) {
    return bans_restore_of(r, b, NULL, NULL);
}
