/* SPDX-License-Identifier: MIT */
#include "ctl/client.h"

#include <fcntl.h>
#include <poll.h>
#include <string.h>
#include <sys/socket.h>

#include "ctl/proto/frame.h"
#include "daemon/base/addr.h"
#include "daemon/base/clock.h"

/* A status of 10,000 services is some 16 MiB. */
#define REPLY_MAX ((size_t)256 << 20)

struct Client {
    int fd;
    Frame frame;
};

void reply_done(Reply *r) {
    json_decref(r->root);
    *r = (Reply){0};
}

int client_open(const char *path, Client **ret) {
    return client_open_within(path, 0, ret);
}

int client_open_within(const char *path, uint64_t timeout_usec, Client **ret) {
    const struct timeval timeout = {(time_t)(timeout_usec / USEC_PER_SEC),
                                    (suseconds_t)(timeout_usec % USEC_PER_SEC)};
    Addr addr;
    int r = addr_set_unix(path, &addr);
    if (r < 0)
        return r;
    CLEANUP_CLOSE int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (fd < 0)
        return -errno;
    /* It bounds connect(2) too: unix(7). All zero is no bound. */
    (void)setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &timeout, sizeof(timeout));
    if (connect(fd, &addr.sa, addr.len) < 0)
        return -errno;
    Client *c = calloc(1, sizeof(*c));
    if (!c)
        return -ENOMEM;
    /* Where stdout is closed, what is printed must not go to the daemon. */
    c->fd = fd > STDERR_FILENO ? TAKE_FD(fd) : fcntl(fd, F_DUPFD_CLOEXEC, STDERR_FILENO + 1);
    if (c->fd < 0) {
        r = -errno;
        free(c);
        return r;
    }
    frame_init(&c->frame, REPLY_MAX);
    *ret = c;
    return 0;
}

Client *client_free(Client *c) {
    if (!c)
        return NULL;
    frame_done(&c->frame);
    c->fd = fd_close(c->fd);
    free(c);
    return NULL;
}

int client_fd(const Client *c) {
    return c->fd;
}

static int send_all(int fd, const char *s, size_t n) {
    while (n > 0) {
        ssize_t sent = send(fd, s, n, MSG_NOSIGNAL);
        if (sent < 0 && errno == EINTR)
            continue;
        if (sent < 0)
            return -errno;
        s += sent;
        n -= (size_t)sent;
    }
    return 0;
}

int client_send(Client *c, const char *method, json_t *parameters, bool more) {
    json_t *call = json_pack("{s:s, s:o*}", "method", method, "parameters", parameters);
    if (!call)
        return -ENOMEM;
    if (more)
        (void)json_object_set_new(call, "more", json_true());
    CLEANUP_FREE char *text = json_dumps(call, JSON_COMPACT);
    json_decref(call);
    return text ? send_all(c->fd, text, strlen(text) + 1) : -ENOMEM;
}

/* Reads once, when there is something to read before @until_usec, and before @other says something. */
static int fill(Client *c, uint64_t until_usec, int other) {
    struct pollfd p[] = {{.fd = c->fd, .events = POLLIN}, {.fd = other, .events = POLLIN}};
    int timeout = -1;
    if (until_usec != USEC_INFINITY) {
        uint64_t now = clock_monotonic_usec();
        uint64_t left_msec = until_usec > now ? (until_usec - now + USEC_PER_MSEC - 1) / USEC_PER_MSEC : 0;
        timeout = left_msec > INT32_MAX ? INT32_MAX : (int)left_msec;
    }
    int r = poll(p, ELEMENTS(p), timeout);
    if (r <= 0)
        return r == 0 ? -ETIMEDOUT : errno == EINTR ? 0 : -errno;
    if (p[1].revents)
        return -EINTR;
    char *space;
    size_t n;
    r = frame_space(&c->frame, &space, &n);
    if (r < 0)
        return r;
    ssize_t got = recv(c->fd, space, n, 0);
    if (got < 0)
        return errno == EINTR ? 0 : -errno;
    if (got == 0)
        return -ECONNRESET;
    frame_advance(&c->frame, (size_t)got);
    return 0;
}

static int decode_reply(const char *json, size_t n, Reply *ret) {
    json_t *root = json_loadb(json, n, 0, NULL);
    json_t *parameters = json_object_get(root, "parameters");
    if (json_is_object(root) && (!parameters || json_is_null(parameters))) {
        parameters = json_object();
        (void)json_object_set_new(root, "parameters", parameters);
    }
    if (!json_is_object(parameters)) {
        json_decref(root);
        return -EBADMSG;
    }
    *ret = (Reply){
        .root = root,
        .error = json_string_value(json_object_get(root, "error")),
        .parameters = parameters,
        .continues = json_is_true(json_object_get(root, "continues")),
    };
    return 0;
}

int client_receive(Client *c, uint64_t timeout_usec, Reply *ret) {
    return client_receive_or(c, timeout_usec, -EBADF, ret);
}

int client_receive_or(Client *c, uint64_t timeout_usec, int fd, Reply *ret) {
    uint64_t until = timeout_usec == USEC_INFINITY ? USEC_INFINITY : clock_monotonic_usec() + timeout_usec;
    for (;;) {
        const char *message;
        size_t n;
        int r = frame_next(&c->frame, &message, &n);
        if (r > 0)
            return decode_reply(message, n, ret);
        if (r == 0)
            r = fill(c, until, fd);
        if (r < 0)
            return r;
    }
}
