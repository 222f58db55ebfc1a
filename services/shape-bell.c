/* SPDX-License-Identifier: MIT */
#include "services/shape-bell.h"

#include <sys/eventfd.h>

#include "daemon/base/cleanup.h"

int bell_init(Bell *b) {
    atomic_init(&b->armed, false);
    b->fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    return b->fd < 0 ? -errno : 0;
}

void bell_done(Bell *b) {
    b->fd = fd_close(b->fd);
}

/* Arming and ringing are sequentially consistent, as the changes are that they speak of: either the sleeper
 * sees the change when he looks, or the one who made it sees that the bell is armed. */
void bell_arm(Bell *b) {
    atomic_store(&b->armed, true);
}

void bell_ring(Bell *b) {
    /* A read before the exchange: while nobody sleeps the cache line stays shared. */
    if (atomic_load(&b->armed) && atomic_exchange(&b->armed, false))
        (void)eventfd_write(b->fd, 1);
}

bool bell_quiet(Bell *b) {
    eventfd_t count;
    atomic_store(&b->armed, false);
    return eventfd_read(b->fd, &count) == 0;
}
