/* SPDX-License-Identifier: MIT */
#pragma once
/* What the bare limit loops share: a listener, and reaping. They do what a super-server must at the very
 * least. */
#include <errno.h>
#include <netinet/in.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

static inline int limit_fail(const char *what) {
    (void)fprintf(stderr, "%s: %s\n", what, strerror(errno));
    return EXIT_FAILURE;
}

/* Only interrupts accept(2), so that the ended ones are reaped soon. */
static inline void limit_on_child(int signal) {
    (void)signal;
}

/* A listener on 127.0.0.1:@port, or -1. */
static inline int limit_listen(const char *port) {
    const struct sigaction on_child = {.sa_handler = limit_on_child};
    if (sigaction(SIGCHLD, &on_child, NULL) < 0)
        return -1;
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    const int on = 1;
    const struct sockaddr_in address = {.sin_family = AF_INET,
                                        .sin_port = htons((uint16_t)strtoul(port, NULL, 10)),
                                        .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    if (fd < 0 || setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on)) < 0 ||
        bind(fd, (const struct sockaddr *)&address, sizeof(address)) < 0 || listen(fd, 4096) < 0)
        return -1;
    return fd;
}

static inline void limit_reap(void) {
    while (waitpid(-1, NULL, WNOHANG) > 0)
        continue;
}
