/* SPDX-License-Identifier: MIT */
#include "services/shape-scoreboard.h"

#include <errno.h>
#include <sys/mman.h>

static size_t size_for(size_t n) {
    return sizeof(Scoreboard) + n * sizeof(ScoreboardSlot);
}

Scoreboard *scoreboard_new(size_t n) {
    /* Zeroed by the kernel: every slot idle, nothing done. */
    void *memory = mmap(NULL, size_for(n), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    if (memory == MAP_FAILED)
        return NULL;
    Scoreboard *s = memory;
    int r = bell_init(&s->bell);
    if (r < 0) {
        (void)munmap(memory, size_for(n));
        errno = -r;
        return NULL;
    }
    return s;
}

Scoreboard *scoreboard_free(Scoreboard *s, size_t n) {
    if (!s)
        return NULL;
    bell_done(&s->bell);
    (void)munmap(s, size_for(n));
    return NULL;
}

void scoreboard_begin(Scoreboard *s, size_t slot) {
    (void)atomic_fetch_or(&s->slots[slot].word, 1);
    bell_ring(&s->bell);
}

void scoreboard_end(Scoreboard *s, size_t slot) {
    /* From 2n + 1 to 2n + 2: idle, and one request more, in one step. */
    (void)atomic_fetch_add(&s->slots[slot].word, 1);
    bell_ring(&s->bell);
}

Score scoreboard_read(const Scoreboard *s, size_t slot) {
    uint64_t word = atomic_load(&s->slots[slot].word);
    return (Score){.busy = word & 1, .requests = word >> 1};
}

void scoreboard_clear(Scoreboard *s, size_t slot) {
    atomic_store(&s->slots[slot].word, 0);
}
