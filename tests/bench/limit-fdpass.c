/* SPDX-License-Identifier: MIT */
/* limit-fdpass PORT N: accepts, and passes each connection with a line of text to one of N processes in turn,
 * over a SOCK_SEQPACKET pair; they write a line and close. The reference for pools to which connections are
 * passed. */
#include <fcntl.h>
#include <sys/prctl.h>

#include "tests/bench/limit.h"

#define WORKERS_MAX 64

static const char text[] = "PROTO=TCP\nTCPREMOTEIP=127.0.0.1\nREMOTE_ADDR=127.0.0.1\nTCPREMOTEPORT=40000\n"
                           "REMOTE_PORT=40000\nTCPLOCALIP=127.0.0.1\nTCPLOCALPORT=40000\n";

typedef union Control {
    struct cmsghdr header;
    char bytes[CMSG_SPACE(sizeof(int))];
} Control;

static int serve(int passing) {
    for (;;) {
        char buf[1024];
        Control control;
        struct iovec iov = {.iov_base = buf, .iov_len = sizeof(buf)};
        struct msghdr m = {.msg_iov = &iov,
                           .msg_iovlen = 1,
                           .msg_control = control.bytes,
                           .msg_controllen = sizeof(control.bytes)};
        if (recvmsg(passing, &m, MSG_CMSG_CLOEXEC) <= 0)
            return EXIT_SUCCESS;
        int fd = -1;
        const struct cmsghdr *c = CMSG_FIRSTHDR(&m);
        if (!c)
            continue;
        memcpy(&fd, CMSG_DATA(c), sizeof(fd));
        (void)!write(fd, "hello\n", 6);
        (void)close(fd);
    }
}

static int pass(int to, int fd) {
    Control control = {0};
    struct iovec iov = {.iov_base = (char *)text, .iov_len = sizeof(text) - 1};
    struct msghdr m = {.msg_iov = &iov,
                       .msg_iovlen = 1,
                       .msg_control = control.bytes,
                       .msg_controllen = sizeof(control.bytes)};
    struct cmsghdr *c = CMSG_FIRSTHDR(&m);
    c->cmsg_level = SOL_SOCKET;
    c->cmsg_type = SCM_RIGHTS;
    c->cmsg_len = CMSG_LEN(sizeof(int));
    memcpy(CMSG_DATA(c), &fd, sizeof(int));
    return sendmsg(to, &m, MSG_NOSIGNAL) < 0 ? -1 : 0;
}

int main(int argc, char **argv) {
    int workers[WORKERS_MAX];
    if (argc != 3)
        return 2;
    int listener = limit_listen(argv[1]);
    unsigned long n = strtoul(argv[2], NULL, 10);
    if (listener < 0 || n == 0 || n > WORKERS_MAX)
        return limit_fail("listen");
    for (unsigned long i = 0; i < n; i++) {
        int pair[2];
        if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair) < 0)
            return limit_fail("socketpair");
        workers[i] = pair[0];
        pid_t pid = fork();
        if (pid < 0)
            return limit_fail("fork");
        if (pid == 0) {
            (void)prctl(PR_SET_PDEATHSIG, SIGKILL);
            return serve(pair[1]);
        }
        (void)close(pair[1]);
    }
    for (unsigned long next = 0;; next = (next + 1) % n) {
        int fd = accept4(listener, NULL, NULL, SOCK_CLOEXEC);
        if (fd < 0 && errno != EINTR && errno != ECONNABORTED)
            return limit_fail("accept");
        if (fd < 0)
            continue;
        if (pass(workers[next], fd) < 0)
            return limit_fail("sendmsg");
        (void)close(fd);
    }
}
