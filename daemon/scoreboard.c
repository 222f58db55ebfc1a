/* SPDX-License-Identifier: MIT */
#include "daemon/scoreboard.h"

#include <fcntl.h>
#include <string.h>
#include <sys/mman.h>

#include "daemon/base/cleanup.h"

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

int scoreboard_new(Scoreboard **ret) {
    Scoreboard *b = calloc(1, sizeof(*b));
    if (!b)
        return -ENOMEM;
    b->fd = make_memory();
    if (b->fd < 0) {
        int r = b->fd;
        free(b);
        return r;
    }
    void *p = mmap(NULL, BOARD_BYTES, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_NORESERVE, b->fd, 0);
    if (p == MAP_FAILED) {
        int r = -errno;
        (void)fd_close(b->fd);
        free(b);
        return r;
    }
    b->slots = p;
    *ret = b;
    return 0;
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
