/* SPDX-License-Identifier: MIT */
/* limit-listen ADDRESS PORT N: listens on N ports from PORT on, by socket, SO_REUSEADDR, bind and listen, and
 * waits: the reference for how long a server takes from its start to the last of its listeners. */
#include <arpa/inet.h>
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <unistd.h>

/* As many descriptors as may be had. */
static int raise_limit(void) {
    struct rlimit limit;
    if (getrlimit(RLIMIT_NOFILE, &limit) < 0)
        return -1;
    limit.rlim_cur = limit.rlim_max;
    return setrlimit(RLIMIT_NOFILE, &limit);
}

static int listen_on(const struct sockaddr_in *address) {
    const int on = 1;
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if (fd < 0 || setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on)) < 0 ||
        bind(fd, (const struct sockaddr *)address, sizeof(*address)) < 0 || listen(fd, 4096) < 0)
        return -1;
    return fd;
}

int main(int argc, char **argv) {
    struct sockaddr_in address = {.sin_family = AF_INET};
    if (argc != 4 || inet_pton(AF_INET, argv[1], &address.sin_addr) != 1)
        return 2;
    unsigned long port = strtoul(argv[2], NULL, 10), n = strtoul(argv[3], NULL, 10);
    if (port + n > 65536 || raise_limit() < 0)
        return 2;
    for (unsigned long i = 0; i < n; i++) {
        address.sin_port = htons((uint16_t)(port + i));
        if (listen_on(&address) < 0) {
            perror("limit-listen");
            return EXIT_FAILURE;
        }
    }
    for (;;)
        (void)pause();
}
