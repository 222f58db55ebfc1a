/* SPDX-License-Identifier: MIT */
/* The interpreter's own side: what it gives up, and then one message after the other. */
#include <string.h>
#include <sys/resource.h>
#include <sys/socket.h>

#include <jansson.h>

#include "daemon/base/sanitized.h"
#if HAS_ADDRESS_SANITIZER
#include <sanitizer/lsan_interface.h>
#endif
#include "daemon/base/text.h"
#include "daemon/call-filter.h"
#include "daemon/capabilities.h"
#include "daemon/interpreter.h"

/* In a build with AddressSanitizer. */
#define LOOKED_BEHIND 16

bool interpreter_child_is_asked(int argc, char *const *argv) {
    return argc > 1 && streq(argv[1], INTERPRETER_WORD);
}

int interpreter_answer(uint64_t id, const char *json, size_t n, BlobWriter *w) {
    RequestReply reply = {.id = id};
    reply.result = api_parse(json, n, &reply.request, &reply.refusal);
    int r = request_blob_write(w, &reply);
    request_reply_done(&reply);
    return r;
}

static int socket_of(const char *word) {
    char *end = NULL;
    if (!starts_with(word, INTERPRETER_SOCKET_WORD))
        return -EBADF;
    long fd = strtol(word + strlen(INTERPRETER_SOCKET_WORD), &end, 10);
    return *end == '\0' && fd > STDERR_FILENO && fd <= INT32_MAX ? (int)fd : -EBADF;
}

/* LeakSanitizer wants some of it back. */
static void limit(__rlimit_resource_t resource) {
    struct rlimit none = {0};
    if (HAS_ADDRESS_SANITIZER && getrlimit(resource, &none) == 0)
        none.rlim_cur = 0;
    (void)setrlimit(resource, &none);
}

#if HAS_ADDRESS_SANITIZER
static void lift(__rlimit_resource_t resource) {
    struct rlimit limit;
    if (getrlimit(resource, &limit) < 0)
        return;
    limit.rlim_cur = limit.rlim_max;
    (void)setrlimit(resource, &limit);
}

/* Whether something is lost, which is told on stderr. This process does not come to an end of its own, where
 * that would be looked for: it is killed. So it is with each of the first messages, and then whenever there
 * have been twice as many, since LeakSanitizer opens files and starts a process for it. */
static bool has_leaks(uint64_t messages) {
    if (messages > LOOKED_BEHIND && (messages & (messages - 1)) != 0)
        return false;
    lift(RLIMIT_NOFILE);
    lift(RLIMIT_NPROC);
    bool found = __lsan_do_recoverable_leak_check() != 0;
    limit(RLIMIT_NOFILE);
    limit(RLIMIT_NPROC);
    return found;
}
#else
static bool has_leaks(uint64_t messages) {
    (void)messages;
    return false;
}
#endif

/* The daemon's log is not for it to write to. */
static void close_output(void) {
    for (int fd = STDIN_FILENO; fd <= STDERR_FILENO; fd++)
        (void)fd_close(fd);
}

/* Without a descriptor to spare there is no file, no socket and no namespace to be had; without the filter
 * that is all there is. Returns what became of the filter. */
static int give_up_all(void) {
    /* Its first object would look for random numbers in a file. */
    json_object_seed(0);
    capabilities_drop();
    limit(RLIMIT_NOFILE);
    limit(RLIMIT_NPROC);
    limit(RLIMIT_FSIZE);
    limit(RLIMIT_CORE);
    if (IS_SANITIZED)
        return 0;
    close_output();
    return call_filter_install();
}

static int answer(int fd, const char *bytes, size_t n) {
    CLEANUP_BLOB BlobWriter w = {0};
    uint64_t id = 0;
    if (n < INTERPRETER_HEAD)
        return -EBADMSG;
    memcpy(&id, bytes, INTERPRETER_HEAD);
    int r = interpreter_answer(id, bytes + INTERPRETER_HEAD, n - INTERPRETER_HEAD, &w);
    if (r < 0 || has_leaks(id))
        return r < 0 ? r : -EIO;
    return send(fd, w.data, w.n, MSG_NOSIGNAL) == (ssize_t)w.n ? 0 : -EIO;
}

int interpreter_child_main(int argc, char *const *argv) {
    int fd = argc == 4 ? socket_of(argv[2]) : -EBADF;
    char *bytes = malloc(INTERPRETER_HEAD + INTERPRETER_MESSAGE_MAX);
    if (fd < 0 || !bytes)
        return 2;
    helper_settle();
    (void)fd_close(helper_result_fd(argc, argv));
    int32_t filter = give_up_all();
    ssize_t n = send(fd, &filter, sizeof(filter), MSG_NOSIGNAL);
    while (n > 0) {
        n = recv(fd, bytes, INTERPRETER_HEAD + INTERPRETER_MESSAGE_MAX, 0);
        if (n > 0 && answer(fd, bytes, (size_t)n) < 0)
            break;
        n = n < 0 && errno == EINTR ? 1 : n;
    }
    /* The end of the stream is the daemon's. What runs at exit is not for a process like this. */
    _exit(n == 0 ? EXIT_SUCCESS : EXIT_FAILURE);
}
