/* SPDX-License-Identifier: MIT */
#include "daemon/ledger.h"

#include <fcntl.h>
#include <inttypes.h>
#include <stdatomic.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>

#include "daemon/base/clock.h"
#include "daemon/base/siphash.h"

#define LEDGER_VERSION 1U
#define LEDGER_MAGIC "MPLEDGER"
/* So that nobody who has a descriptor of it can take memory away from under us. */
#define LEDGER_SEALS (F_SEAL_SHRINK | F_SEAL_GROW)
#define EMPTY 0U
#define VALID 0x76616c69U

typedef struct LedgerHeader {
    char magic[8];
    uint32_t version, record_size, n_records;
    _Atomic uint32_t n_used; /* places behind it have never been used: they take no memory */
    char boot_id[40];
    uint8_t reserved[64];
} LedgerHeader;

_Static_assert(sizeof(LedgerHeader) == 128 && sizeof(LedgerRecord) == 128, "a layout that others read");
_Static_assert(sizeof(Peer) == 28, "a layout that others read");

#define LEDGER_BYTES (sizeof(LedgerHeader) + (size_t)LEDGER_RECORDS * sizeof(LedgerRecord))

struct Ledger {
    int fd;
    LedgerHeader *header; /* mapped */
    LedgerRecord *records;
    uint32_t *free; /* places that have been used and are empty */
    size_t n_free, capacity;
};

uint64_t ledger_service(const char *name) {
    /* No secret: who can choose the names has nothing to gain here. */
    static const uint8_t key[SIPHASH_KEY_BYTES] = "mpinetd  ledger";
    return siphash24(key, name, strlen(name));
}

static void read_boot_id(char ret[static 40]) {
    memset(ret, 0, 40);
    CLEANUP_CLOSE int fd = open("/proc/sys/kernel/random/boot_id", O_RDONLY | O_CLOEXEC);
    /* Without it records of another boot are told by their times alone. */
    if (fd >= 0 && read(fd, ret, 36) != 36)
        memset(ret, 0, 40);
}

static int map(int fd, Ledger **ret) {
    CLEANUP_CLOSE int own = fd;
    Ledger *l = calloc(1, sizeof(*l));
    if (!l)
        return -ENOMEM;
    void *at = mmap(NULL, LEDGER_BYTES, PROT_READ | PROT_WRITE, MAP_SHARED, own, 0);
    if (at == MAP_FAILED) {
        int r = -errno;
        free(l);
        return r;
    }
    l->fd = TAKE_FD(own);
    l->header = at;
    l->records = (LedgerRecord *)(void *)((char *)at + sizeof(LedgerHeader));
    *ret = l;
    return 0;
}

int ledger_new(Ledger **ret) {
    CLEANUP_CLOSE int fd = memfd_create("mpinetd-ledger", MFD_CLOEXEC | MFD_ALLOW_SEALING);
    Ledger *l = NULL;
    if (fd < 0 || ftruncate(fd, (off_t)LEDGER_BYTES) < 0 || fcntl(fd, F_ADD_SEALS, LEDGER_SEALS) < 0)
        return -errno;
    int r = map(TAKE_FD(fd), &l);
    if (!l)
        return r;
    memcpy(l->header->magic, LEDGER_MAGIC, sizeof(l->header->magic));
    l->header->version = LEDGER_VERSION;
    l->header->record_size = sizeof(LedgerRecord);
    l->header->n_records = LEDGER_RECORDS;
    read_boot_id(l->header->boot_id);
    *ret = l;
    return 0;
}

/* A place is remembered as free if memory allows: else it stays empty until the next daemon. */
static void remember_free(Ledger *l, uint32_t place) {
    if (l->n_free == l->capacity) {
        size_t capacity = l->capacity > 0 ? l->capacity * 2 : 64;
        uint32_t *more = realloc(l->free, capacity * sizeof(*more));
        if (!more)
            return;
        l->free = more;
        l->capacity = capacity;
    }
    l->free[l->n_free++] = place;
}

static int check_header(const LedgerHeader *h) {
    char boot_id[40];
    if (memcmp(h->magic, LEDGER_MAGIC, sizeof(h->magic)) != 0 || h->version != LEDGER_VERSION ||
        h->record_size != sizeof(LedgerRecord) || h->n_records != LEDGER_RECORDS ||
        atomic_load(&h->n_used) > LEDGER_RECORDS)
        return -EBADMSG;
    read_boot_id(boot_id);
    return memcmp(boot_id, h->boot_id, sizeof(boot_id)) == 0 ? 0 : -ESTALE;
}

int ledger_open(int fd, Ledger **ret) {
    CLEANUP_CLOSE int own = fd;
    struct stat st;
    Ledger *l = NULL;
    if (fstat(own, &st) < 0 || !S_ISREG(st.st_mode) || st.st_size != (off_t)LEDGER_BYTES)
        return -EBADMSG;
    int seals = fcntl(own, F_GET_SEALS);
    if (seals < 0 || (seals & LEDGER_SEALS) != LEDGER_SEALS)
        return -EBADMSG;
    int r = map(TAKE_FD(own), &l);
    if (!l)
        return r;
    r = check_header(l->header);
    if (r < 0) {
        ledger_free(l);
        return r;
    }
    for (uint32_t place = atomic_load(&l->header->n_used); place > 0; place--)
        if (atomic_load(&l->records[place - 1].valid) != VALID)
            remember_free(l, place);
    *ret = l;
    return 0;
}

Ledger *ledger_free(Ledger *l) {
    if (!l)
        return NULL;
    (void)munmap(l->header, LEDGER_BYTES);
    (void)fd_close(l->fd);
    free(l->free);
    free(l);
    return NULL;
}

int ledger_fd(const Ledger *l) {
    return l ? l->fd : -EBADF;
}

uint32_t ledger_add(Ledger *l, const LedgerRecord *r) {
    if (!l)
        return 0;
    uint32_t place = 0, n_used = atomic_load(&l->header->n_used);
    if (l->n_free > 0) {
        place = l->free[--l->n_free];
    } else if (n_used < LEDGER_RECORDS) {
        place = n_used + 1;
        atomic_store_explicit(&l->header->n_used, place, memory_order_release);
    } else {
        return 0;
    }
    LedgerRecord *to = &l->records[place - 1];
    size_t after = offsetof(LedgerRecord, pid);
    memcpy((char *)to + after, (const char *)r + after, sizeof(*to) - after);
    atomic_store_explicit(&to->valid, VALID, memory_order_release);
    return place;
}

void ledger_remove(Ledger *l, uint32_t *place) {
    if (l && *place > 0 && *place <= LEDGER_RECORDS) {
        atomic_store_explicit(&l->records[*place - 1].valid, EMPTY, memory_order_release);
        remember_free(l, *place);
    }
    *place = 0;
}

bool ledger_next(const Ledger *l, uint32_t *place, LedgerRecord *ret) {
    uint32_t n = l ? atomic_load(&l->header->n_used) : 0;
    if (n > LEDGER_RECORDS)
        n = LEDGER_RECORDS;
    while (*place < n) {
        const LedgerRecord *r = &l->records[(*place)++];
        if (atomic_load_explicit(&r->valid, memory_order_acquire) != VALID)
            continue;
        memcpy((void *)ret, (const void *)r, sizeof(*ret));
        ret->name[LEDGER_NAME_MAX - 1] = '\0';
        if (ret->kind < _LEDGER_KIND_MAX && ret->pid > 1 && ret->peer.kind <= PEER_VSOCK)
            return true;
    }
    return false;
}

enum {
    TAG_FD = 1
};

void ledger_save(BlobWriter *w, const Ledger *l) {
    blob_put_fd(w, TAG_FD, ledger_fd(l));
}

int ledger_restore(BlobReader r, Ledger **ret) {
    BlobField f;
    Ledger *l = NULL;
    while (blob_next(&r, &f)) {
        if (f.tag != TAG_FD || l)
            continue;
        int fd = blob_fd(&f);
        /* What the next daemon could adopt can be done without. */
        if (fd >= 0)
            (void)ledger_open(fd, &l);
    }
    *ret = l;
    return blob_is_spoilt(r.source) ? -EBADMSG : 0;
}

bool ledger_parse_stat(const char *text, char *ret_state, uint64_t *ret_ticks) {
    /* proc(5): the name in brackets may hold anything, brackets too; the start is field 22. */
    const char *at = strrchr(text, ')');
    return at && sscanf(at + 1,
                        " %c %*d %*d %*d %*d %*d %*u %*u %*u %*u %*u %*u %*u %*d %*d %*d %*d %*d %*d "
                        "%" SCNu64,
                        ret_state, ret_ticks) == 2;
}

bool ledger_is_same(const LedgerRecord *r, uint64_t ticks, uint64_t hz) {
    if (hz == 0 || ticks > UINT64_MAX / USEC_PER_SEC)
        return false;
    /* The kernel rounds down to a tick, and its clock and ours are read one after the other. */
    uint64_t tick = USEC_PER_SEC / hz, since = ticks * USEC_PER_SEC / hz;
    return since + 2 * tick >= r->born_usec && since <= r->known_usec + tick;
}
