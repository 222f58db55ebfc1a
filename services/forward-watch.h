/* SPDX-License-Identifier: MIT */
#pragma once
/* A descriptor that epoll(7) watches, and whom to tell. The epoll descriptor belongs to the loop, which calls
 * on_event(); its owner must not be freed before the wake-up that told of it is over. */
#include <errno.h>
#include <stdint.h>
#include <sys/epoll.h>

typedef struct Watch {
    void (*on_event)(void *owner, uint32_t events);
    void *owner;
} Watch;

/* 0 or a negative errno. */
static inline int watch_add(int epoll, Watch *w, int fd, uint32_t events) {
    struct epoll_event e = {.events = events, .data.ptr = w};
    return epoll_ctl(epoll, EPOLL_CTL_ADD, fd, &e) < 0 ? -errno : 0;
}
static inline void watch_remove(int epoll, int fd) {
    (void)epoll_ctl(epoll, EPOLL_CTL_DEL, fd, NULL);
}
