/* SPDX-License-Identifier: MIT */
/* forward-end: the backend behind the forwarders that are measured, on a listener at descriptor 3, until it
 * is killed. Without an argument: a connection says a number of bytes, in decimals and a newline, and gets
 * "+"; then so many bytes are taken in and thrown away without being copied, and it gets "done". With the
 * argument "greet": a connection gets "hello" and the end. */
#include <errno.h>
#include <pthread.h>
#include <stdint.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

#include "daemon/base/cleanup.h"

#define LISTENER 3
#define PIECE (1U << 20)

static void *take_in(void *argument) {
    CLEANUP_CLOSE int fd = (int)(intptr_t)argument;
    char text[32] = "";
    ssize_t n = recv(fd, text, sizeof(text) - 1, 0);
    uint64_t left = strtoull(text, NULL, 10);
    (void)send(fd, "+", 1, MSG_NOSIGNAL);
    while (left > 0 && n > 0) {
        n = recv(fd, NULL, left < PIECE ? left : PIECE, MSG_TRUNC);
        left -= n > 0 ? (uint64_t)n : 0;
    }
    if (left == 0)
        (void)send(fd, "done", 4, MSG_NOSIGNAL);
    return NULL;
}

static void greet(int fd) {
    (void)send(fd, "hello", 5, MSG_NOSIGNAL);
    (void)close(fd);
}

int main(int argc, char **argv) {
    (void)argv;
    pthread_attr_t attributes;
    (void)pthread_attr_init(&attributes);
    (void)pthread_attr_setdetachstate(&attributes, PTHREAD_CREATE_DETACHED);
    (void)pthread_attr_setstacksize(&attributes, 65536);
    for (;;) {
        pthread_t thread;
        int fd = accept4(LISTENER, NULL, NULL, SOCK_CLOEXEC);
        if (fd < 0 && (errno == EINVAL || errno == EBADF || errno == ENOTSOCK))
            return EXIT_FAILURE;
        if (fd < 0)
            continue;
        if (argc > 1)
            greet(fd);
        else if (pthread_create(&thread, &attributes, take_in, (void *)(intptr_t)fd) != 0)
            (void)close(fd);
    }
}
