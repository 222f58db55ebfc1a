/* SPDX-License-Identifier: MIT */
#include "daemon/listener.h"

#include <fcntl.h>
#include <limits.h>
#include <linux/filter.h>
#include <mqueue.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <string.h>

#include "conf/config-build.h"
#include "daemon/backoff.h"
#include "daemon/base/clock.h"
#include "daemon/base/text.h"
#include "daemon/bind.h"
#include "daemon/descriptors.h"
#include "daemon/fd-store.h"
#include "daemon/flight.h"
#include "daemon/lobby.h"
#include "daemon/service.h"
#include "daemon/unix-queue.h"

#define PAUSE_MIN_USEC (10 * USEC_PER_MSEC)
/* Within a second of the end of the shortage it goes on, late timers included. */
#define PAUSE_MAX_USEC (500 * USEC_PER_MSEC)

Listener *listener_new(struct Service *service, sd_event *loop, const ListenConfig *config, size_t index) {
    Listener *l = calloc(1, sizeof(*l));
    if (!l)
        return NULL;
    *l = (Listener){.service = service,
                    .loop = loop,
                    .config = config,
                    .index = (uint32_t)index,
                    .kind = config->endpoint.kind,
                    .fd = -EBADF,
                    .parked = -EBADF,
                    .budget = 1};
    list_init(&l->link);
    if (!endpoint_kind_is_unix(l->kind) && index < config->endpoint.n_addrs)
        l->addr = config->endpoint.addrs[index];
    return l;
}

/* So that the next one is kept, and this one is not. */
static void mark_change(const Listener *l) {
    if (l->service)
        l->service->rt->listeners_changed = true;
}

/* The service manager has a copy for a moment longer: nobody is to come to wait there, and the address is to
 * be free at once. Only where no process of the service has a copy, too. Whether it keeps it beyond our end.
 */
static bool leave_store(Listener *l) {
    bool stays = stored_fd_stays(l->kept);
    if (stays)
        l->ino = 0;
    else if (stored_fd_goes(l->kept) && l->fd >= 0 && l->kind == ENDPOINT_TCP && l->service &&
             service_config_accepts(l->service->config))
        (void)shutdown(l->fd, SHUT_RD);
    l->kept = stored_fd_release(l->kept);
    return stays;
}

/* The same of the helper that proves an upgrade, which may hang. One that was passed in goes on. */
static void leave_helper(const Listener *l) {
    if (!l->service || !l->service->rt->proving || l->fd < 0 || l->adopted ||
        !endpoint_kind_is_stream(l->kind) || !service_config_accepts(l->service->config))
        return;
    (void)shutdown(l->fd, SHUT_RD);
}

/* Those who wait in its queue, and nobody but the daemon has it. */
static void empty_queue(const Listener *l, Discard *d) {
    int fd;
    (void)shutdown(l->fd, SHUT_RDWR);
    while ((fd = accept4(l->fd, NULL, NULL, SOCK_CLOEXEC)) >= 0 || errno == EINTR)
        (void)discard_socket(d, fd);
}

/* In the queue of a UNIX socket may be descriptors, which are not for the daemon to close (base/passed.h). */
static void give_up(Listener *l) {
    Discard *d = l->service ? l->service->rt->discard : NULL;
    if (d && l->untouched && endpoint_kind_is_stream(l->kind)) {
        empty_queue(l, d);
    } else if (d && l->untouched) {
        l->fd = discard_socket(d, l->fd);
    } else if (d && !l->exhausted && listener_has_waiting(l)) {
        l->fd = discard_copy(d, l->fd);
        /* Its address is to be free soon. */
        (void)discard_now(d);
    }
}

void listener_close(Listener *l, bool remove_node) {
    if (l->taking)
        discard_forget(l->service->rt->discard, l);
    l->taking = false;
    listener_disarm(l);
    bool stays = leave_store(l);
    leave_helper(l);
    mark_change(l);
    l->pause_timer = sd_event_source_disable_unref(l->pause_timer);
    if (l->adopted && l->fd >= 0)
        l->parked = TAKE_FD(l->fd);
    /* Nor may a process that is on its way to exec still have one. */
    if (l->fd >= 0 && l->service)
        flights_part(l->service->rt->spawner);
    /* When it is not for good, others have copies. */
    if (l->fd >= 0 && remove_node && !stays && endpoint_kind_is_unix(l->kind))
        give_up(l);
    l->fd = fd_close(l->fd);
    l->untouched = false;
    if (l->parked < 0)
        l->cut = false;
    l->sealed = l->exhausted = false;
    if (remove_node && l->ino != 0 && l->config->remove_on_stop &&
        bind_remove(&l->config->endpoint, l->dev, l->ino))
        l->ino = 0;
}

Listener *listener_free(Listener *l, bool remove_node) {
    if (!l)
        return NULL;
    listener_close(l, remove_node);
    l->parked = fd_close(l->parked);
    list_remove(&l->link);
    if (l->own_config) {
        listen_config_done(l->own_config);
        free(l->own_config);
    }
    free(l->error_step);
    free(l);
    return NULL;
}

int listener_keep_config(Listener *l) {
    ListenConfig *own = malloc(sizeof(*own));
    if (!own)
        return -ENOMEM;
    *own = *l->config;
    own->user_name = own->group_name = NULL;
    own->pos = (ConfigPos){0};
    own->name = strdup(l->config->name ? l->config->name : "");
    own->device = l->config->device ? strdup(l->config->device) : NULL;
    own->text = strdup(l->config->endpoint.text);
    if (!own->name || (l->config->device && !own->device) || !own->text) {
        listen_config_done(own);
        free(own);
        return -ENOMEM;
    }
    own->endpoint.text = own->text;
    if (own->endpoint.path)
        own->endpoint.path = own->text + (l->config->endpoint.path - l->config->endpoint.text);
    l->own_config = own;
    l->config = own;
    return 0;
}

bool listener_is_open(const Listener *l) {
    return l->fd >= 0;
}

Addr listener_addr(const Listener *l) {
    const Endpoint *e = &l->config->endpoint;
    if (l->addr.sa.sa_family != AF_UNSPEC || !endpoint_kind_is_unix(l->kind))
        return endpoint_addr_widen(&l->addr);
    if (endpoint_kind_is_unix(e->kind))
        return endpoint_addr(e, l->index);
    /* Of one that was passed in by its name only the kernel knows it. */
    Addr a = {.len = sizeof(a.storage)};
    return getsockname(l->fd >= 0 ? l->fd : l->parked, &a.sa, &a.len) == 0 ? a : (Addr){0};
}

bool listener_has_socket(const Listener *l) {
    return l->fd >= 0 || l->parked >= 0;
}

bool listener_family_is_missing(const Listener *l, int error) {
    return l->config->endpoint.both_families && l->index > 0 &&
           (error == EAFNOSUPPORT || error == EADDRNOTAVAIL || error == EPROTONOSUPPORT);
}

void listener_lift(Listener *l) {
    if (l->service && l->fd >= 0)
        l->fd = descriptors_lift(l->fd, l->service->rt->fd_ceiling);
}

int listener_open(Listener *l, uint16_t port) {
    BoundSocket bound;
    const char *step = "adopt";
    if (l->parked >= 0) {
        l->fd = TAKE_FD(l->parked);
        l->error = 0;
        listener_readmit(l);
        return 0;
    }
    int r = l->unsuitable ? -EPROTOTYPE : bind_open(l->config, l->index, port, &bound, &step);
    l->error = r < 0 ? -r : 0;
    free(l->error_step);
    l->error_step = r < 0 ? strdup(step) : NULL;
    if (r < 0)
        return r;
    l->fd = bound.fd;
    l->addr = endpoint_addr_narrow(&bound.addr);
    /* A fifo or a queue that it has made before, and left, is still its own. */
    if (bound.ino != 0 || (l->ino != 0 && !bind_is_open_on(l->fd, l->dev, l->ino))) {
        l->dev = bound.dev;
        l->ino = bound.ino;
    }
    l->adopted = l->restored = false;
    l->untouched = endpoint_socket_type(l->kind) != 0;
    listener_lift(l);
    mark_change(l);
    return 0;
}

int listener_open_beside(Listener *l, uint16_t port) {
    const ListenConfig *config = l->config;
    ListenConfig shared = *config;
    shared.reuse_port = true;
    l->config = &shared;
    int r = listener_open(l, port);
    l->config = config;
    if (r >= 0 && !config->reuse_port)
        bind_share(l->fd, false);
    return r;
}

/* What @from has is @to's: with its node and those who wait there. */
static void pass_on(Listener *from, Listener *to) {
    listener_disarm(from);
    to->fd = TAKE_FD(from->fd);
    to->addr = from->addr;
    to->dev = from->dev;
    to->ino = from->ino;
    from->ino = 0;
    to->error = 0;
    to->sealed = from->sealed;
    to->cut = from->cut;
    to->untouched = from->untouched;
    mark_change(to);
}

int listener_come_back(Listener *l, Listener *leaving) {
    const char *step = NULL;
    int r = endpoint_kind_is_inet(leaving->kind) ? bind_hook(leaving->fd, l->config->device) : 0;
    if (r >= 0)
        r = bind_change_options(leaving->fd, leaving->config, l->config, &step);
    if (r >= 0 && leaving->ino != 0)
        r = bind_adjust(l->config, leaving->fd, leaving->dev, leaving->ino);
    if (r < 0)
        return r;
    pass_on(leaving, l);
    listener_refresh(l);
    return 0;
}

void listener_give_back(Listener *l, Listener *leaving) {
    const char *step = NULL;
    pass_on(l, leaving);
    (void)bind_change_options(leaving->fd, l->config, leaving->config, &step);
    if (leaving->ino != 0)
        (void)bind_adjust(leaving->config, leaving->fd, leaving->dev, leaving->ino);
    listener_unhook(leaving, true);
}

void listener_adopt(Listener *l, int fd, EndpointKind kind, const Addr *addr) {
    l->fd = fd;
    l->kind = kind;
    l->addr = endpoint_addr_narrow(addr);
    l->adopted = true;
    l->error = 0;
    l->ino = 0; /* the node belongs to who passed the socket */
    listener_lift(l);
}

void listener_restore(Listener *l, int fd, const Addr *addr, dev_t dev, ino_t ino) {
    int unused = 0;
    l->fd = fd;
    l->addr = endpoint_addr_narrow(addr);
    l->restored = true;
    l->error = 0;
    l->dev = dev;
    l->ino = ino;
    /* An earlier daemon may have died while it drained. */
    if (endpoint_kind_is_inet(l->kind))
        (void)setsockopt(fd, SOL_SOCKET, SO_DETACH_FILTER, &unused, sizeof(unused));
    listener_lift(l);
    mark_change(l);
}

static bool is_stream(const Listener *l) {
    return endpoint_kind_is_stream(l->kind);
}

static void set_backlog(const Listener *l, int backlog) {
    if (is_stream(l))
        (void)listen(l->fd, backlog);
}

static int whole_backlog(const Listener *l) {
    return l->config->backlog > 0 ? l->config->backlog : INT_MAX;
}

/* Whether a filter keeps packets out before they reach its queue. Another's socket has its own ways. */
static bool takes_filter(const Listener *l) {
    return endpoint_kind_is_inet(l->kind) && !l->adopted;
}

void listener_cut(Listener *l) {
    if (l->cut)
        return;
    l->cut = true;
    set_backlog(l, 0);
    if (!is_stream(l))
        listener_seal(l, true);
}

void listener_seal(Listener *l, bool shared) {
    /* Nothing gets in: neither the first packet of a connection nor the last of its handshake. Who has come
     * that far tries again, and is refused once the socket is closed. */
    struct sock_filter nothing[] = {BPF_STMT(BPF_RET | BPF_K, 0)};
    struct sock_fprog program = {.len = ELEMENTS(nothing), .filter = nothing};
    if (l->sealed)
        return;
    if (takes_filter(l))
        l->sealed =
            setsockopt(l->fd, SOL_SOCKET, SO_ATTACH_FILTER, &program, (socklen_t)sizeof(program)) == 0;
    else if (endpoint_kind_is_unix(l->kind) && is_stream(l) && !l->adopted && !shared)
        /* unix(7) sockets refuse from then on, and what is queued can be accepted. */
        l->sealed = shutdown(l->fd, SHUT_RD) == 0;
}

void listener_unhook(Listener *l, bool shared) {
    if (l->adopted || l->fd < 0)
        return;
    if (endpoint_kind_is_inet(l->kind) && (is_stream(l) || !shared) && bind_unhook(l->fd) >= 0)
        return;
    if (is_stream(l) || !shared)
        listener_seal(l, shared);
}

void listener_refresh(Listener *l) {
    set_backlog(l, whole_backlog(l));
    listener_readmit(l);
}

void listener_readmit(Listener *l) {
    int unused = 0;
    if (!l->cut)
        return;
    l->cut = false;
    set_backlog(l, whole_backlog(l));
    if (l->sealed && takes_filter(l)) {
        (void)setsockopt(l->fd, SOL_SOCKET, SO_DETACH_FILTER, &unused, sizeof(unused));
        l->sealed = l->exhausted = false;
    }
}

bool listener_has_queued(const Listener *l) {
    struct pollfd p = {.fd = l->fd, .events = POLLIN};
    return l->fd >= 0 && poll(&p, 1, 0) > 0 && (p.revents & POLLIN);
}

bool listener_has_waiting(const Listener *l) {
    int64_t queued = -1, backlog = -1;
    if (!listener_has_queued(l))
        return false;
    if (l->sealed)
        listener_queue(l, &queued, &backlog);
    return queued != 0;
}

/* A process may have called shutdown(2) on the socket that it shares with us: the kernel then reports a
 * hang-up for ever, and only listen(2) brings it back. */
static void revive(Listener *l) {
    set_backlog(l, l->cut ? 0 : whole_backlog(l));
    listener_pause(l);
}

static void take_up(Listener *l, uint32_t revents) {
    if ((revents & (EPOLLHUP | EPOLLERR)) && !(revents & EPOLLIN))
        revive(l);
    else
        l->wake(l);
}

static int on_io(sd_event_source *s, int fd, uint32_t revents, void *userdata) {
    (void)s;
    (void)fd;
    take_up(userdata, revents);
    return 0;
}

static Lobby *lobby_of(const Listener *l) {
    return l->service && !l->visited ? l->service->rt->lobby : NULL;
}

static int watch(Listener *l) {
    Lobby *lobby = lobby_of(l);
    int r = lobby ? lobby_add(lobby, l->fd, l) : 0;
    if (!lobby)
        return sd_event_add_io(l->loop, &l->source, l->fd, EPOLLIN, on_io, l);
    l->in_lobby = r >= 0;
    return r;
}

static void unwatch(Listener *l) {
    l->source = sd_event_source_disable_unref(l->source);
    if (l->in_lobby)
        lobby_remove(l->service->rt->lobby, l->fd);
    l->in_lobby = false;
}

void listener_leave_lobby(Listener *l, uint32_t revents) {
    unwatch(l);
    l->visited = true;
    if (listener_arm(l, l->wake) >= 0)
        take_up(l, revents);
}

int listener_arm(Listener *l, ListenerWake wake) {
    l->wake = wake;
    l->armed = true;
    if (l->pause_timer || l->in_lobby || l->taking)
        return 0;
    if (l->source)
        return sd_event_source_set_enabled(l->source, SD_EVENT_ON);
    int r = watch(l);
    if (r < 0)
        listener_pause(l); /* tried again when that is over */
    return r;
}

void listener_disarm(Listener *l) {
    l->armed = false;
    /* Taken out of epoll, before any close: a copy of the socket in a child would keep firing there. */
    unwatch(l);
}

static int on_pause_over(sd_event_source *s, uint64_t usec, void *userdata) {
    Listener *l = userdata;
    (void)s;
    (void)usec;
    l->pause_timer = sd_event_source_disable_unref(l->pause_timer);
    if (l->armed)
        (void)listener_arm(l, l->wake);
    return 0;
}

void listener_pause_until(Listener *l, uint64_t at_usec) {
    if (l->pause_timer)
        return;
    if (sd_event_add_time(l->loop, &l->pause_timer, CLOCK_MONOTONIC, at_usec, USEC_PER_MSEC, on_pause_over,
                          l) < 0)
        return;
    unwatch(l);
}

void listener_pause(Listener *l) {
    uint64_t delay = backoff_retry_delay(&l->pause_level, PAUSE_MIN_USEC, PAUSE_MAX_USEC);
    listener_pause_until(l, clock_monotonic_usec() + delay);
}

void listener_relax(Listener *l) {
    l->pause_level = 0;
}

static void on_taken(void *userdata) {
    Listener *l = userdata;
    l->taking = false;
    if (l->armed)
        (void)listener_arm(l, l->wake);
}

void listener_take_away(Listener *l) {
    l->taking = discard_next(l->service->rt->discard, l->fd, on_taken, l) >= 0;
    if (l->taking)
        unwatch(l);
    else
        listener_pause(l);
}

int listener_set_blocking(Listener *l, bool blocking) {
    /* Whoever gets it can change this at any time. */
    l->untouched = false;
    int flags = fcntl(l->fd, F_GETFL);
    if (flags < 0)
        return -errno;
    int wanted = blocking ? flags & ~O_NONBLOCK : flags | O_NONBLOCK;
    if (wanted != flags && fcntl(l->fd, F_SETFL, wanted) < 0)
        return -errno;
    return 0;
}

/* Of a listener, tcpi_unacked is the length of its queue and tcpi_sacked the limit: tcp_get_info() in the
 * kernel. */
static int tcp_queue_ask(int fd, int64_t *ret_queued, int64_t *ret_backlog) {
    struct tcp_info info;
    socklen_t n = sizeof(info);
    if (getsockopt(fd, IPPROTO_TCP, TCP_INFO, &info, &n) < 0)
        return -errno;
    *ret_queued = info.tcpi_unacked;
    *ret_backlog = info.tcpi_sacked;
    return 0;
}

static int message_queue_ask(int fd, int64_t *ret_queued, int64_t *ret_backlog) {
    struct mq_attr attributes;
    if (mq_getattr(fd, &attributes) < 0)
        return -errno;
    *ret_queued = attributes.mq_curmsgs;
    *ret_backlog = attributes.mq_maxmsg;
    return 0;
}

void listener_queue(const Listener *l, int64_t *ret_queued, int64_t *ret_backlog) {
    int r = -EBADF, fd = l->fd >= 0 ? l->fd : l->parked;
    if (fd >= 0 && l->kind == ENDPOINT_TCP)
        r = tcp_queue_ask(fd, ret_queued, ret_backlog);
    else if (fd >= 0 && (l->kind == ENDPOINT_UNIX || l->kind == ENDPOINT_UNIX_SEQPACKET))
        r = unix_queue_ask(fd, ret_queued, ret_backlog);
    else if (fd >= 0 && l->kind == ENDPOINT_MQUEUE)
        r = message_queue_ask(fd, ret_queued, ret_backlog);
    if (r < 0)
        *ret_queued = *ret_backlog = -1;
}

const char *listener_error_text(const Listener *l, char *buf, size_t size) {
    buf[0] = '\0';
    if (l->error && l->unsuitable)
        (void)snprintf(buf, size, "what was passed in has no connections: write model: on-demand");
    else if (l->error && l->kind == ENDPOINT_SYSTEMD)
        (void)snprintf(buf, size, "no socket of that name was passed in");
    else if (l->error)
        (void)snprintf(buf, size, "%s: %s", l->error_step ? l->error_step : "open", strerror(l->error));
    return buf;
}
