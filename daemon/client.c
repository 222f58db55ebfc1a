/* SPDX-License-Identifier: MIT */
#include "daemon/client.h"

#include <linux/sockios.h>
#include <sys/ioctl.h>
#include <sys/socket.h>

#include "daemon/base/clock.h"
#include "daemon/base/passed.h"

#define DEADLINE_ACCURACY_USEC USEC_PER_SEC

static int read_credentials(Client *c) {
    struct ucred credentials;
    socklen_t n = sizeof(credentials);
    if (getsockopt(c->fd, SOL_SOCKET, SO_PEERCRED, &credentials, &n) < 0)
        return -errno;
    c->uid = credentials.uid;
    c->gid = credentials.gid;
    n = 64 * sizeof(gid_t);
    for (int tries = 0; tries < 2; tries++) {
        gid_t *groups = realloc(c->groups, n);
        if (!groups)
            return -ENOMEM;
        c->groups = groups;
        if (getsockopt(c->fd, SOL_SOCKET, SO_PEERGROUPS, groups, &n) == 0) {
            c->n_groups = n / sizeof(gid_t);
            return 0;
        }
        /* socket(7), SO_PEERGROUPS: ERANGE, and the length that it takes. */
        if (errno != ERANGE)
            return errno == ENOPROTOOPT ? 0 : -errno;
    }
    return 0;
}

static void fail(Client *c) {
    c->failed = true;
    c->source = sd_event_source_disable_unref(c->source);
    c->deadline = sd_event_source_disable_unref(c->deadline);
    c->stall = sd_event_source_disable_unref(c->stall);
    if (!c->busy)
        c->handler->gone(c, c->handler->userdata);
}

static int on_deadline(sd_event_source *s, uint64_t usec, void *userdata) {
    /* Where the daemon itself was away, the rest of the request may be there already. */
    uint64_t now = clock_monotonic_usec();
    if (!clock_timer_is_late(usec + DEADLINE_ACCURACY_USEC, now) ||
        sd_event_source_set_time(s, now + USEC_PER_SEC) < 0 ||
        sd_event_source_set_enabled(s, SD_EVENT_ONESHOT) < 0)
        fail(userdata);
    return 0;
}

size_t client_unsent(const Client *c) {
    return c->out.len - c->sent;
}

bool client_is_waiting(const Client *c) {
    return c->wait != WAIT_NOTHING || c->following || c->stream;
}

static bool takes_requests(const Client *c) {
    return !c->failed && !client_is_waiting(c) && client_unsent(c) < CLIENT_OUTPUT_PAUSE;
}

/* A request that has begun must end in time. */
static void watch_request(Client *c) {
    if (frame_pending(&c->in) == 0 || !takes_requests(c)) {
        c->deadline = sd_event_source_disable_unref(c->deadline);
        return;
    }
    if (!c->deadline &&
        sd_event_add_time_relative(c->loop, &c->deadline, CLOCK_MONOTONIC, CLIENT_REQUEST_TIME_USEC,
                                   DEADLINE_ACCURACY_USEC, on_deadline, c) < 0)
        c->failed = true;
}

bool client_wants_turn(const Client *c) {
    return takes_requests(c) && frame_has_next(&c->in);
}

/* Notes whether bytes have moved since the last look: into the socket, or out of it at the other end. */
static bool has_moved(Client *c) {
    int queue = 0;
    (void)ioctl(c->fd, SIOCOUTQ, &queue);
    bool moved = c->sent_ever != c->sent_seen || queue != c->queue_seen;
    c->sent_seen = c->sent_ever;
    c->queue_seen = queue;
    return moved;
}

static int on_stall(sd_event_source *s, uint64_t usec, void *userdata) {
    Client *c = userdata;
    (void)usec;
    uint64_t now = clock_monotonic_usec();
    if (has_moved(c))
        c->taken_usec = now;
    if (now - c->taken_usec >= CLIENT_STALL_TIME_USEC ||
        sd_event_source_set_time(s, now + CLIENT_STALL_LOOK_USEC) < 0 ||
        sd_event_source_set_enabled(s, SD_EVENT_ONESHOT) < 0)
        fail(c);
    return 0;
}

/* What waits for it is to be taken in time, bit by bit. */
static void watch_output(Client *c) {
    if (client_unsent(c) == 0) {
        c->stall = sd_event_source_disable_unref(c->stall);
        return;
    }
    if (c->stall)
        return;
    (void)has_moved(c);
    c->taken_usec = clock_monotonic_usec();
    if (sd_event_add_time_relative(c->loop, &c->stall, CLOCK_MONOTONIC, CLIENT_STALL_LOOK_USEC, USEC_PER_SEC,
                                   on_stall, c) < 0)
        c->failed = true;
}

/* One message a turn: whoever sends many at once shares the loop with everybody else. */
static void handle_message(Client *c) {
    const char *json = NULL;
    size_t n = 0;
    if (!takes_requests(c))
        return;
    int r = frame_next(&c->in, &json, &n);
    if (r > 0) {
        c->deadline = sd_event_source_disable_unref(c->deadline);
        r = c->handler->message(c, json, n, c->handler->userdata);
    }
    if (r < 0)
        c->failed = true;
}

static bool send_some(Client *c) {
    while (client_unsent(c) > 0) {
        ssize_t n = send(c->fd, c->out.s + c->sent, client_unsent(c), MSG_DONTWAIT | MSG_NOSIGNAL);
        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0)
            return errno == EAGAIN;
        c->sent += (size_t)n;
        c->sent_ever += (size_t)n;
    }
    c->sent = 0;
    if (c->out.cap > CLIENT_OUTPUT_PAUSE)
        text_done(&c->out);
    else
        text_reset(&c->out);
    return true;
}

static void set_events(Client *c) {
    uint32_t events = 0;
    bool turn = client_wants_turn(c);
    if (takes_requests(c) && !turn && !c->ended)
        events |= EPOLLIN;
    if (client_unsent(c) > 0)
        events |= EPOLLOUT;
    /* Not when there is room to write: a client that writes on before it reads would wait for us. */
    if (turn)
        c->handler->turn(c, c->handler->userdata);
    (void)sd_event_source_set_io_events(c->source, events);
}

void client_flush(Client *c) {
    if (c->failed)
        return;
    if (!text_ok(&c->out) || !send_some(c)) {
        fail(c);
        return;
    }
    bool done = c->ended && client_unsent(c) == 0 && !client_is_waiting(c) && !frame_has_next(&c->in);
    watch_request(c);
    watch_output(c);
    if (done || c->failed)
        fail(c);
    else
        set_events(c);
}

void client_flush_later(Client *c) {
    if (c->failed || c->busy)
        return;
    watch_output(c);
    set_events(c);
}

/* Reads what there is, up to a bound; the end of the stream, or an error, is the client's end. */
static void read_some(Client *c) {
    char *at = NULL;
    size_t room = 0;
    if (frame_space(&c->in, &at, &room) < 0) {
        c->failed = true;
        return;
    }
    /* Who passes descriptors (EBADMSG) does not know whom he talks to. */
    ssize_t n = passed_recv(c->fd, at, room);
    if (n > 0)
        frame_advance(&c->in, (size_t)n);
    else if (n == 0)
        c->ended = true;
    else if (errno != EAGAIN && errno != EINTR)
        c->failed = true;
}

void client_end_turn(Client *c) {
    c->busy = false;
    if (c->failed)
        fail(c);
    else
        client_flush(c);
}

int client_keep_reading(Client *c, const char *json, size_t n) {
    text_add_n(&c->reading, json, n);
    c->wait = WAIT_READING;
    return text_ok(&c->reading) ? 0 : -ENOMEM;
}

void client_begin_turn(Client *c) {
    c->busy = true;
    c->wait = WAIT_NOTHING;
    text_done(&c->reading);
    (void)sd_event_source_set_enabled(c->source, SD_EVENT_ON);
}

/* Nobody is left to answer; calls that want no answer are done all the same. */
static void on_hangup(Client *c) {
    /* Its message is looked at when it has been read. That it is gone would be told all the time until then.
     */
    if (c->wait == WAIT_READING) {
        (void)sd_event_source_set_enabled(c->source, SD_EVENT_OFF);
        return;
    }
    if (!client_is_waiting(c) && !frame_has_next(&c->in))
        read_some(c);
    c->ended = true;
    if (client_is_waiting(c) || !frame_has_next(&c->in))
        c->failed = true;
}

static int on_io(sd_event_source *s, int fd, uint32_t revents, void *userdata) {
    Client *c = userdata;
    (void)s;
    (void)fd;
    c->busy = true;
    if (revents & EPOLLIN)
        read_some(c);
    else if (revents & (EPOLLHUP | EPOLLERR))
        on_hangup(c);
    if (!c->failed && (revents & EPOLLOUT)) {
        if (!send_some(c))
            c->failed = true;
        else if (c->stream || c->following)
            c->handler->room(c, c->handler->userdata);
    }
    if (!c->failed)
        handle_message(c);
    client_end_turn(c);
    return 0;
}

void client_take_turn(Client *c) {
    c->busy = true;
    handle_message(c);
    client_end_turn(c);
}

void client_go_on(Client *c) {
    /* Within a turn of its own its end does that. */
    if (c->busy)
        return;
    if (c->failed)
        fail(c);
    else
        client_flush(c);
}

void client_forget_call(Client *c) {
    c->wait = WAIT_NOTHING;
    c->following = false;
    c->missed = 0;
    c->stream = stream_free(c->stream);
    strv_free(c->services);
    free(c->orders);
    free(c->follow);
    c->services = NULL;
    c->orders = NULL;
    c->follow = NULL;
}

Text *client_out(Client *c) {
    return &c->out;
}

int client_new(sd_event *loop, int fd, const ClientHandler *handler, Client **ret) {
    Client *c = calloc(1, sizeof(*c));
    if (!c) {
        (void)close(fd);
        return -ENOMEM;
    }
    *c = (Client){.fd = fd, .loop = loop, .handler = handler};
    list_init(&c->link);
    frame_init(&c->in, CLIENT_REQUEST_MAX);
    int r = read_credentials(c);
    if (r >= 0)
        r = sd_event_add_io(loop, &c->source, fd, EPOLLIN, on_io, c);
    if (r < 0) {
        client_free(c);
        return r;
    }
    *ret = c;
    return 0;
}

Client *client_free(Client *c) {
    if (!c)
        return NULL;
    list_remove(&c->link);
    sd_event_source_disable_unref(c->source);
    sd_event_source_disable_unref(c->deadline);
    sd_event_source_disable_unref(c->stall);
    frame_done(&c->in);
    text_done(&c->out);
    text_done(&c->reading);
    client_forget_call(c);
    free(c->groups);
    if (c->asleep)
        (void)fd_close(c->fd);
    else
        (void)discard_socket(c->handler->discard, c->fd);
    free(c);
    return NULL;
}

void client_resume(Client *c) {
    uint64_t taken_usec = c->taken_usec;
    c->asleep = false;
    int r = sd_event_add_io(c->loop, &c->source, c->fd, 0, on_io, c);
    if (r >= 0 && c->deadline_usec > 0)
        r = sd_event_add_time(c->loop, &c->deadline, CLOCK_MONOTONIC, c->deadline_usec, USEC_PER_SEC,
                              on_deadline, c);
    c->deadline_usec = 0;
    if (r < 0) {
        fail(c);
        return;
    }
    c->busy = true;
    client_flush(c);
    c->busy = false;
    if (c->failed)
        fail(c);
    else if (c->stall)
        c->taken_usec = taken_usec;
}

static bool is_managing_group(const Config *config, gid_t gid) {
    for (size_t i = 0; i < config->n_manage_gids && gid != ID_NOBODY; i++)
        if (config->manage_gids[i] == gid)
            return true;
    return false;
}

bool client_may_change(const Client *c, const Config *config) {
    if (c->uid == (uid_t)-1 || c->uid == ID_NOBODY)
        return c->uid == geteuid();
    if (c->uid == 0 || c->uid == geteuid())
        return true;
    for (size_t i = 0; i < config->n_manage_uids; i++)
        if (config->manage_uids[i] == c->uid)
            return true;
    for (size_t k = 0; k < c->n_groups; k++)
        if (is_managing_group(config, c->groups[k]))
            return true;
    return is_managing_group(config, c->gid);
}
