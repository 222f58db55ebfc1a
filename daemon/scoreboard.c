/* SPDX-License-Identifier: MIT */
#include "daemon/scoreboard.h"

#include <fcntl.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>

#include "daemon/base/fd-kind.h"

#define BOARD_BYTES (SCOREBOARD_SLOTS * SCORE_BYTES)
#define WORD_BITS ((size_t)64)

struct Scoreboard {
    int fd;
    ScoreSlot *slots;
    uint64_t used[SCOREBOARD_SLOTS / WORD_BITS];
};

/* A worker that made it shorter would take the daemon's memory from under it. */
static int make_memory(void) {
    CLEANUP_CLOSE int fd = memfd_create("mpinetd-scoreboard", MFD_CLOEXEC | MFD_ALLOW_SEALING);
    if (fd < 0 || ftruncate(fd, (off_t)BOARD_BYTES) < 0 ||
        fcntl(fd, F_ADD_SEALS, F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_SEAL) < 0)
        return -errno;
    return TAKE_FD(fd);
}

/* Takes @fd over. */
static int map(int fd, Scoreboard **ret) {
    CLEANUP_CLOSE int owned = fd;
    Scoreboard *b = calloc(1, sizeof(*b));
    if (!b)
        return -ENOMEM;
    void *p = mmap(NULL, BOARD_BYTES, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_NORESERVE, fd, 0);
    if (p == MAP_FAILED) {
        int r = -errno;
        free(b);
        return r;
    }
    b->fd = TAKE_FD(owned);
    b->slots = p;
    *ret = b;
    return 0;
}

int scoreboard_new(Scoreboard **ret) {
    int fd = make_memory();
    return fd < 0 ? fd : map(fd, ret);
}

Scoreboard *scoreboard_free(Scoreboard *b) {
    if (!b)
        return NULL;
    (void)munmap(b->slots, BOARD_BYTES);
    (void)fd_close(b->fd);
    free(b);
    return NULL;
}

int scoreboard_fd(const Scoreboard *b) {
    return b->fd;
}

int64_t scoreboard_take(Scoreboard *b) {
    for (size_t w = 0; w < SCOREBOARD_SLOTS / WORD_BITS; w++) {
        if (b->used[w] == UINT64_MAX)
            continue;
        size_t bit = (size_t)__builtin_ctzll(~b->used[w]);
        b->used[w] |= UINT64_C(1) << bit;
        size_t slot = w * WORD_BITS + bit;
        memset(&b->slots[slot], 0, sizeof(b->slots[slot]));
        return (int64_t)slot;
    }
    return -1;
}

void scoreboard_give(Scoreboard *b, int64_t slot) {
    if (slot >= 0)
        b->used[(size_t)slot / WORD_BITS] &= ~(UINT64_C(1) << (size_t)slot % WORD_BITS);
}

ScoreSlot *scoreboard_slot(Scoreboard *b, int64_t slot) {
    return &b->slots[slot];
}

bool scoreboard_claim(Scoreboard *b, int64_t slot) {
    if (slot < 0 || (uint64_t)slot >= SCOREBOARD_SLOTS)
        return false;
    uint64_t *word = &b->used[(size_t)slot / WORD_BITS], bit = UINT64_C(1) << (size_t)slot % WORD_BITS;
    bool is_free = !(*word & bit);
    *word |= bit;
    return is_free;
}

/* The upgrade in place */

enum {
    BOARD_FD = 1,
    BOARD_SLOT_BYTES,
};

void scoreboard_save(BlobWriter *w, const Scoreboard *b) {
    blob_put_fd(w, BOARD_FD, b->fd);
    blob_put_u64(w, BOARD_SLOT_BYTES, SCORE_BYTES);
}

int scoreboard_restore(BlobReader in, Scoreboard **ret) {
    CLEANUP_CLOSE int fd = -EBADF;
    uint64_t slot_bytes = 0;
    struct stat st;
    BlobField f;
    *ret = NULL;
    while (blob_next(&in, &f)) {
        if (f.tag == BOARD_FD && fd < 0)
            fd = blob_fd_of(&f, FD_MEMORY);
        else if (f.tag == BOARD_SLOT_BYTES)
            slot_bytes = blob_u64(&f);
    }
    if (blob_is_spoilt(in.source))
        return -EBADMSG;
    /* What is shorter, or could become so, would be no memory to read. */
    if (fd < 0 || slot_bytes != SCORE_BYTES || fstat(fd, &st) < 0 || st.st_size != (off_t)BOARD_BYTES ||
        !(fcntl(fd, F_GET_SEALS) & F_SEAL_SHRINK))
        return 0;
    return map(TAKE_FD(fd), ret);
}
