/* SPDX-License-Identifier: MIT */
#include "daemon/lobby.h"

#include <stdlib.h>
#include <sys/epoll.h>

#include "daemon/base/cleanup.h"

struct Lobby {
    int fd;
    LobbyCall call;
    sd_event_source *source;
};

/* One at a time: what follows from one may take others away. The kernel goes on with the next one then. */
static int on_io(sd_event_source *s, int fd, uint32_t revents, void *userdata) {
    Lobby *lobby = userdata;
    struct epoll_event e;
    (void)s;
    (void)revents;
    if (epoll_wait(fd, &e, 1, 0) == 1)
        lobby->call(e.data.ptr, e.events);
    return 0;
}

int lobby_new(sd_event *loop, LobbyCall call, Lobby **ret) {
    Lobby *lobby = calloc(1, sizeof(*lobby));
    if (!lobby)
        return -ENOMEM;
    *lobby = (Lobby){.fd = epoll_create1(EPOLL_CLOEXEC), .call = call};
    int r = lobby->fd < 0 ? -errno : sd_event_add_io(loop, &lobby->source, lobby->fd, EPOLLIN, on_io, lobby);
    if (r < 0)
        lobby_free(lobby);
    else
        *ret = lobby;
    return r < 0 ? r : 0;
}

Lobby *lobby_free(Lobby *lobby) {
    if (!lobby)
        return NULL;
    sd_event_source_disable_unref(lobby->source);
    lobby->fd = fd_close(lobby->fd);
    free(lobby);
    return NULL;
}

int lobby_add(Lobby *lobby, int fd, struct Listener *l) {
    struct epoll_event e = {.events = EPOLLIN, .data.ptr = l};
    return epoll_ctl(lobby->fd, EPOLL_CTL_ADD, fd, &e) < 0 ? -errno : 0;
}

void lobby_remove(Lobby *lobby, int fd) {
    (void)epoll_ctl(lobby->fd, EPOLL_CTL_DEL, fd, NULL);
}
