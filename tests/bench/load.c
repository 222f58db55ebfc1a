/* SPDX-License-Identifier: MIT */
/* load: keeps N connections to 127.0.0.1:PORT open at once, reads each to its end, compares every byte with
 * what is expected, and prints one line of JSON: how many, how fast, latencies from connect to end, and what
 * went wrong. */
#include <errno.h>
#include <getopt.h>
#include <netinet/in.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

#include "daemon/base/cleanup.h"
#include "daemon/base/clock.h"
#include "tests/bench/latency.h"

#define MAX_ERRNO 256
/* A connection that takes longer is an error, ETIMEDOUT. */
#define TIMEOUT_USEC (10 * USEC_PER_SEC)
/* A socket's buffer holds so much without its reader, whatever its settings. */
#define AT_ONCE 4096

typedef struct Plan {
    uint16_t port;
    size_t concurrency;
    uint64_t duration_usec; /* begin no more after it */
    uint64_t connections;   /* nor more than so many */
    const char *send;
    const char *expect;
} Plan;

typedef struct Connection {
    int fd;
    size_t got;  /* bytes of the reply, all as expected */
    size_t sent; /* bytes of the request */
    bool wrong;  /* some byte was not */
    uint64_t begin_usec;
} Connection;

typedef struct Load {
    Plan plan;
    int epoll;
    Connection *connections;
    size_t open;
    uint64_t begin_usec, end_usec;
    uint64_t begun;
    Latencies latencies; /* of those that were answered */
    uint64_t wrong;      /* answered, but not as expected */
    uint64_t errors[MAX_ERRNO];
} Load;

static bool count_error(Load *l, int error) {
    l->errors[error > 0 && error < MAX_ERRNO ? error : 0]++;
    return false;
}

/* What fits into the socket is looked at once, at the end: that is when its latency ends, and each look takes
 * CPU time from the server that is measured. */
static uint32_t wait_for_reply(const Plan *plan) {
    return strlen(plan->expect) <= AT_ONCE ? EPOLLRDHUP : EPOLLIN;
}

/* Begins a connection; false when it failed at once, which is counted. */
static bool begin(Load *l, Connection *c, uint64_t now) {
    *c =
        (Connection){.fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0), .begin_usec = now};
    if (c->fd < 0)
        return count_error(l, errno);
    const struct sockaddr_in address = {
        .sin_family = AF_INET, .sin_port = htons(l->plan.port), .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    struct epoll_event event = {.events = l->plan.send ? EPOLLOUT : wait_for_reply(&l->plan), .data.ptr = c};
    if ((connect(c->fd, (const struct sockaddr *)&address, sizeof(address)) < 0 && errno != EINPROGRESS) ||
        epoll_ctl(l->epoll, EPOLL_CTL_ADD, c->fd, &event) < 0) {
        count_error(l, errno);
        c->fd = fd_close(c->fd);
        return false;
    }
    l->open++;
    return true;
}

static void end(Load *l, Connection *c) {
    c->fd = fd_close(c->fd);
    l->open--;
}

/* Sends on, and turns to reading when all is out. Returns an errno, or 0. */
static int send_request(Load *l, Connection *c) {
    size_t n = strlen(l->plan.send);
    ssize_t sent = send(c->fd, l->plan.send + c->sent, n - c->sent, MSG_NOSIGNAL);
    if (sent < 0)
        return errno == EAGAIN ? 0 : errno;
    c->sent += (size_t)sent;
    if (c->sent < n)
        return 0;
    struct epoll_event event = {.events = wait_for_reply(&l->plan), .data.ptr = c};
    if (shutdown(c->fd, SHUT_WR) < 0 || epoll_ctl(l->epoll, EPOLL_CTL_MOD, c->fd, &event) < 0)
        return errno;
    return 0;
}

static void check_reply(const Plan *plan, Connection *c, const char *buf, size_t n) {
    size_t left = strlen(plan->expect) - c->got;
    if (n > left || memcmp(buf, plan->expect + c->got, n) != 0)
        c->wrong = true;
    else
        c->got += n;
}

/* Reads what is there. Returns 1 at the end, 0 when more is to come, or a negative errno. */
static int read_reply(Load *l, Connection *c) {
    char buf[16384];
    for (;;) {
        ssize_t n = recv(c->fd, buf, sizeof(buf), 0);
        if (n < 0)
            return errno == EAGAIN ? 0 : -errno;
        if (n == 0)
            return 1;
        check_reply(&l->plan, c, buf, (size_t)n);
    }
}

static bool may_begin(const Load *l, uint64_t now) {
    return now - l->begin_usec < l->plan.duration_usec && l->begun < l->plan.connections;
}

/* Keeps the place of @c in use. A server that refuses would make this endless: one try a wake-up. */
static void begin_next(Load *l, Connection *c, uint64_t now) {
    if (!may_begin(l, now))
        return;
    l->begun++;
    (void)begin(l, c, now);
}

static int on_event(Load *l, Connection *c, uint64_t now) {
    int r = 0;
    if (l->plan.send && c->sent < strlen(l->plan.send))
        r = -send_request(l, c);
    else
        r = read_reply(l, c);
    if (r == 0)
        return 0;
    if (r < 0)
        count_error(l, -r);
    else if (c->wrong || c->got != strlen(l->plan.expect))
        l->wrong++;
    else
        latency_add(&l->latencies, now - c->begin_usec);
    l->end_usec = now;
    end(l, c);
    begin_next(l, c, now);
    return 0;
}

/* Gives up what takes too long, and uses places that are free because beginning failed. */
static void look_over(Load *l, uint64_t now) {
    for (size_t i = 0; i < l->plan.concurrency; i++) {
        Connection *c = &l->connections[i];
        if (c->fd >= 0 && now - c->begin_usec > TIMEOUT_USEC) {
            count_error(l, ETIMEDOUT);
            end(l, c);
        }
        if (c->fd < 0)
            begin_next(l, c, now);
    }
}

static int run(Load *l) {
    struct epoll_event events[64];
    l->begin_usec = l->end_usec = clock_monotonic_usec();
    uint64_t looked_usec = 0;
    for (uint64_t now = l->begin_usec; l->open > 0 || may_begin(l, now);) {
        if (now - looked_usec > 100 * USEC_PER_MSEC) {
            look_over(l, now);
            looked_usec = now;
        }
        int n = epoll_wait(l->epoll, events, (int)ELEMENTS(events), 100);
        if (n < 0 && errno != EINTR)
            return -errno;
        for (int i = 0; i < n; i++) {
            now = clock_monotonic_usec();
            int r = on_event(l, events[i].data.ptr, now);
            if (r < 0)
                return r;
        }
        now = clock_monotonic_usec();
    }
    return 0;
}

static void print_result(const Load *l) {
    static const struct {
        const char *name;
        unsigned permille;
    } quantiles[] = {{"p50_us", 500}, {"p90_us", 900}, {"p99_us", 990}, {"p999_us", 999}, {"max_us", 1000}};
    double seconds = (double)(l->end_usec - l->begin_usec) / 1e6;
    double rate = seconds > 0 ? (double)l->latencies.count / seconds : 0;
    printf("{\"connections\": %llu, \"seconds\": %.3f, \"rate\": %.1f, ",
           (unsigned long long)l->latencies.count, seconds, rate);
    for (size_t i = 0; i < ELEMENTS(quantiles); i++)
        printf("\"%s\": %u, ", quantiles[i].name, latency_quantile(&l->latencies, quantiles[i].permille));
    printf("\"wrong\": %llu, \"errors\": {", (unsigned long long)l->wrong);
    const char *comma = "";
    for (int e = 0; e < MAX_ERRNO; e++) {
        if (l->errors[e] == 0)
            continue;
        const char *name = strerrorname_np(e);
        printf("%s\"%s\": %llu", comma, name ? name : "?", (unsigned long long)l->errors[e]);
        comma = ", ";
    }
    printf("}}\n");
}

static int usage(void) {
    (void)fprintf(stderr, "usage: load --port PORT [--concurrency N] [--seconds S] [--connections M]\n"
                          "            [--send TEXT] [--expect TEXT]\n");
    return 2;
}

static bool parse(int argc, char **argv, Plan *plan) {
    static const struct option options[] = {
        {"port", required_argument, NULL, 'p'},
        {"concurrency", required_argument, NULL, 'c'},
        {"seconds", required_argument, NULL, 's'},
        {"connections", required_argument, NULL, 'n'},
        {"send", required_argument, NULL, 'S'},
        {"expect", required_argument, NULL, 'E'},
        {0},
    };
    for (int c; (c = getopt_long(argc, argv, "", options, NULL)) != -1;) {
        if (c == 'p')
            plan->port = (uint16_t)strtoul(optarg, NULL, 10);
        else if (c == 'c')
            plan->concurrency = strtoul(optarg, NULL, 10);
        else if (c == 's')
            plan->duration_usec = (uint64_t)(strtod(optarg, NULL) * 1e6);
        else if (c == 'n')
            plan->connections = strtoull(optarg, NULL, 10);
        else if (c == 'S')
            plan->send = optarg;
        else if (c == 'E')
            plan->expect = optarg;
        else
            return false;
    }
    return optind == argc && plan->port != 0 && plan->concurrency > 0 && plan->concurrency <= 20000;
}

int main(int argc, char **argv) {
    Load l = {
        .plan = {
            .concurrency = 1, .duration_usec = UINT64_MAX, .connections = UINT64_MAX, .expect = "hello\n"}};
    if (!parse(argc, argv, &l.plan))
        return usage();
    if (l.plan.duration_usec == UINT64_MAX && l.plan.connections == UINT64_MAX)
        l.plan.connections = 1;
    l.connections = calloc(l.plan.concurrency, sizeof(*l.connections));
    l.epoll = epoll_create1(EPOLL_CLOEXEC);
    if (!l.connections || l.epoll < 0) {
        perror("load");
        return EXIT_FAILURE;
    }
    for (size_t i = 0; i < l.plan.concurrency; i++)
        l.connections[i].fd = -EBADF;
    int r = run(&l);
    if (r < 0) {
        (void)fprintf(stderr, "load: %s\n", strerror(-r));
        return EXIT_FAILURE;
    }
    print_result(&l);
    free(l.connections);
    (void)fd_close(l.epoll);
    return EXIT_SUCCESS;
}
