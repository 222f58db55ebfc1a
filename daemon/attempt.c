/* SPDX-License-Identifier: MIT */
#include "daemon/attempt.h"

#include <string.h>
#include <sys/stat.h>

#include "build-config.h"

int attempt_init(Attempt *a, char **ret_socket) {
    const char *tmp = getenv("TMPDIR");
    char *folder CLEANUP_FREE = NULL;
    if (asprintf(&folder, "%s/mpinetd-try-XXXXXX", tmp && tmp[0] == '/' ? tmp : "/tmp") < 0)
        return -ENOMEM;
    if (!mkdtemp(folder))
        return -errno;
    a->folder = TAKE_PTR(folder);
    return asprintf(ret_socket, "%s/control.sock", a->folder) < 0 ? -ENOMEM : 0;
}

int attempt_resume(Attempt *a, const char *socket) {
    const char *slash = strrchr(socket, '/');
    a->folder = strndup(socket, slash ? (size_t)(slash - socket) : 0);
    return a->folder ? 0 : -ENOMEM;
}

void attempt_done(Attempt *a) {
    char *lock CLEANUP_FREE = NULL;
    if (a->folder && asprintf(&lock, "%s/control.sock.lock", a->folder) >= 0) {
        (void)unlink(lock);
        (void)rmdir(a->folder);
    }
    free(a->folder);
    a->folder = NULL;
}

static void say_how(const Listener *l) {
    char text[ADDR_TEXT_MAX];
    const Addr addr = listener_addr(l);
    const char *host = addr_format_host(&addr, text);
    const char *path = l->config->endpoint.path;
    if (addr.sa.sa_family == AF_INET || addr.sa.sa_family == AF_INET6) {
        if (addr_is_wildcard(&addr))
            host = addr.sa.sa_family == AF_INET ? "127.0.0.1" : "::1";
        (void)fprintf(stderr, "  try:   nc %s %u\n", host, addr_port(&addr));
    } else if (l->kind == ENDPOINT_VSOCK) {
        (void)fprintf(stderr, "  try:   socat - VSOCK-CONNECT:CID:%u\n", addr.vm.svm_port);
    } else if (endpoint_socket_type(l->config->endpoint.kind) == SOCK_SEQPACKET) {
        (void)fprintf(stderr, "  try:   socat - UNIX-CONNECT:%s,socktype=5\n", path);
    } else if (path[0] == '@') {
        (void)fprintf(stderr, "  try:   socat - ABSTRACT-CONNECT:%s\n", path + 1);
    } else {
        (void)fprintf(stderr, "  try:   nc -U %s\n", path);
    }
}

void attempt_say(const Service *s, const char *control_path) {
    (void)fprintf(stderr, "mpinetd %s: one '%s' for each connection\n", MP_VERSION, s->config->exec[0]);
    for (size_t i = 0; i < s->n_listeners; i++)
        if (listener_is_open(s->listeners[i]))
            say_how(s->listeners[i]);
    (void)fprintf(stderr, "  look:  mpctl -s %s\n  stop:  Ctrl-C\n", control_path);
}
