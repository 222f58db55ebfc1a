/* SPDX-License-Identifier: MIT */
/* Linked into a daemon in place of calls that can fail (meson.build): each place that makes one fails once,
 * one of them each time that it is asked for. A place is a call and by way of which functions it came there.
 * Those that have failed stand in a file that the test maps as well, so that it knows them after an upgrade,
 * and of the processes that the daemon makes. */
#include <errno.h>
#include <execinfo.h>
#include <fcntl.h>
#include <sched.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/types.h>
#include <unistd.h>

#include <systemd/sd-event.h>

#include "daemon/cgroup-spread.h"
#include "daemon/runtime.h"

/* So many functions above the call tell two places apart. */
#define DEPTH 4
#define PLACES_MAX 8192

typedef struct Board {
    _Atomic uint32_t armed, failed; /* the test writes them: 1 and 0 */
    _Atomic uint32_t n;
    uint32_t n_frames;
    uint64_t frames[DEPTH]; /* of what has failed last, from where the program begins */
    char name[32];
    uint64_t places[PLACES_MAX];
} Board;

extern const char __executable_start, etext;

static Board *board;

/* The helper that reads a config is a program of its own, and its places are those of config_load(). */
__attribute__((constructor)) static void map_board(int argc, char **argv) {
    const char *path = getenv("MP_PLACES");
    if (!path || (argc > 1 && strcmp(argv[1], "--load-config") == 0 && !getenv("MP_PLACES_OF_HELPER")))
        return;
    int fd = open(path, O_RDWR | O_CLOEXEC);
    if (fd < 0)
        return;
    void *p = mmap(NULL, sizeof(Board), PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    (void)close(fd);
    if (p != MAP_FAILED)
        board = p;
}

/* Whoever called, without what is not this program's: elsewhere addresses differ from one run to the next. */
static uint64_t look_where(uint64_t *frames, uint32_t *ret_n) {
    void *all[24];
    int n = backtrace(all, (int)(sizeof(all) / sizeof(all[0])));
    uint64_t hash = 14695981039346656037ULL;
    uint32_t kept = 0;
    for (int i = 2; i < n && kept < DEPTH; i++) {
        uintptr_t at = (uintptr_t)all[i], start = (uintptr_t)&__executable_start;
        if (at < start || at >= (uintptr_t)&etext)
            continue;
        frames[kept] = at - start;
        hash = (hash ^ frames[kept++]) * 1099511628211ULL;
    }
    *ret_n = kept;
    return hash;
}

static bool is_known(uint64_t place) {
    for (uint32_t i = 0; i < board->n; i++)
        if (board->places[i] == place)
            return true;
    return false;
}

__attribute__((noinline)) static bool fails(const char *name, int error) {
    uint64_t frames[DEPTH] = {0};
    uint32_t n = 0;
    if (!board || !board->armed || board->failed || board->n == PLACES_MAX)
        return false;
    int kept = errno;
    uint64_t place = look_where(frames, &n);
    errno = kept;
    if (is_known(place))
        return false;
    board->places[board->n] = place;
    board->n++;
    memcpy(board->frames, frames, sizeof(frames));
    board->n_frames = n;
    (void)snprintf(board->name, sizeof(board->name), "%s", name);
    board->failed = 1;
    errno = error;
    return true;
}

#define CALL(type, name, parameters, arguments, error, result)                                               \
    type __real_##name parameters;                                                                           \
    type __wrap_##name parameters;                                                                           \
    type __wrap_##name parameters {                                                                          \
        return fails(#name, error) ? (result) : __real_##name arguments;                                     \
    }

/* NOLINTBEGIN(bugprone-macro-parentheses) */
CALL(void *, malloc, (size_t size), (size), ENOMEM, NULL)
CALL(void *, calloc, (size_t n, size_t size), (n, size), ENOMEM, NULL)
CALL(void *, realloc, (void *p, size_t size), (p, size), ENOMEM, NULL)
CALL(void *, reallocarray, (void *p, size_t n, size_t size), (p, n, size), ENOMEM, NULL)
CALL(char *, strdup, (const char *s), (s), ENOMEM, NULL)
CALL(char *, strndup, (const char *s, size_t n), (s, n), ENOMEM, NULL)
CALL(void *, mmap64, (void *p, size_t n, int prot, int flags, int fd, off64_t at),
     (p, n, prot, flags, fd, at), ENOMEM, MAP_FAILED)
CALL(int, mprotect, (void *p, size_t n, int prot), (p, n, prot), ENOMEM, -1)
CALL(int, memfd_create, (const char *name, unsigned flags), (name, flags), EMFILE, -1)
CALL(int, pipe2, (int *fds, int flags), (fds, flags), EMFILE, -1)
CALL(int, socketpair, (int domain, int type, int protocol, int *fds), (domain, type, protocol, fds), EMFILE,
     -1)
CALL(int, socket, (int domain, int type, int protocol), (domain, type, protocol), EMFILE, -1)
CALL(int, open64, (const char *path, int flags, mode_t mode), (path, flags, mode), EMFILE, -1)
CALL(int, fstat64, (int fd, struct stat64 *st), (fd, st), EIO, -1)
CALL(ssize_t, write, (int fd, const void *data, size_t n), (fd, data, n), ENOSPC, -1)
CALL(ssize_t, sendmsg, (int fd, const struct msghdr *m, int flags), (fd, m, flags), ENOBUFS, -1)
CALL(int, setsockopt, (int fd, int level, int name, const void *value, socklen_t n),
     (fd, level, name, value, n), ENOMEM, -1)
CALL(int, listen, (int fd, int backlog), (fd, backlog), EADDRINUSE, -1)
CALL(pid_t, fork, (void), (), EAGAIN, -1)
CALL(int, clone,
     (int (*fn)(void *), void *stack, int flags, void *arg, pid_t *parent, void *tls, pid_t *child),
     (fn, stack, flags, arg, parent, tls, child), EAGAIN, -1)
CALL(int, execve, (const char *path, char *const *argv, char *const *envp), (path, argv, envp), EACCES, -1)
CALL(int, sd_event_add_io,
     (sd_event * e, sd_event_source **s, int fd, uint32_t events, sd_event_io_handler_t call, void *data),
     (e, s, fd, events, call, data), ENOMEM, -ENOMEM)
CALL(int, sd_event_add_time,
     (sd_event * e, sd_event_source **s, clockid_t clock, uint64_t usec, uint64_t accuracy,
      sd_event_time_handler_t call, void *data),
     (e, s, clock, usec, accuracy, call, data), ENOMEM, -ENOMEM)
CALL(int, sd_event_add_time_relative,
     (sd_event * e, sd_event_source **s, clockid_t clock, uint64_t usec, uint64_t accuracy,
      sd_event_time_handler_t call, void *data),
     (e, s, clock, usec, accuracy, call, data), ENOMEM, -ENOMEM)
CALL(int, sd_event_add_defer, (sd_event * e, sd_event_source **s, sd_event_handler_t call, void *data),
     (e, s, call, data), ENOMEM, -ENOMEM)
CALL(int, sd_event_new, (sd_event * *ret), (ret), ENOMEM, -ENOMEM)
/* NOLINTEND(bugprone-macro-parentheses) */

/* fcntl(2): of a descriptor that is open the rest cannot fail; that one is not to be kept is close to it. */
static bool can_fail(int command, long argument) {
    return command == F_DUPFD_CLOEXEC || command == F_ADD_SEALS || command == F_SETFL ||
           (command == F_SETFD && argument == 0);
}

int __real_fcntl64(int fd, int command, long argument);
int __wrap_fcntl64(int fd, int command, long argument);
int __wrap_fcntl64(int fd, int command, long argument) {
    if (can_fail(command, argument) && fails("fcntl", EMFILE))
        return -1;
    return __real_fcntl64(fd, command, argument);
}

static int on_settled(sd_event_source *source, uint64_t usec, void *userdata) {
    Runtime *rt = userdata;
    (void)source;
    (void)usec;
    rt->on_settled(rt->on_settled_userdata);
    return 0;
}

/* Processes that get new limits have them in later turns of the loop, where there are enough of them. */
bool __real_cgroup_spread_is_over(const Runtime *rt);
bool __wrap_cgroup_spread_is_over(const Runtime *rt);
bool __wrap_cgroup_spread_is_over(const Runtime *rt) {
    sd_event_source *later = NULL;
    if (!__real_cgroup_spread_is_over(rt))
        return false;
    if (!fails("cgroup_spread_is_over", 0) ||
        __real_sd_event_add_time_relative(rt->loop, &later, CLOCK_MONOTONIC, 1000, 1, on_settled,
                                          (void *)(uintptr_t)rt) < 0)
        return true;
    (void)sd_event_source_set_floating(later, true);
    sd_event_source_unref(later);
    return false;
}

int __wrap_asprintf(char **ret, const char *format, ...) __attribute__((format(printf, 2, 3)));
int __wrap_asprintf(char **ret, const char *format, ...) {
    va_list arguments;
    if (fails("asprintf", ENOMEM))
        return -1;
    va_start(arguments, format);
    int n = vasprintf(ret, format, arguments);
    va_end(arguments);
    return n;
}

/* The same where _FORTIFY_SOURCE is set. */
int __wrap___asprintf_chk(char **ret, int flag, const char *format, ...)
    __attribute__((format(printf, 3, 4)));
int __wrap___asprintf_chk(char **ret, int flag, const char *format, ...) {
    va_list arguments;
    (void)flag;
    if (fails("asprintf", ENOMEM))
        return -1;
    va_start(arguments, format);
    int n = vasprintf(ret, format, arguments);
    va_end(arguments);
    return n;
}
