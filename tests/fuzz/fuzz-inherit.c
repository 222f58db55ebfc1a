/* SPDX-License-Identifier: MIT */
/* Any values of LISTEN_PID, LISTEN_FDS and LISTEN_FDNAMES, one a line, beside descriptors of every sort: no
 * crash, nothing taken that is nothing to listen on, nothing left open that nobody wants, and nothing closed
 * that was not passed. A '@' for LISTEN_PID stands for our own. */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <unistd.h>

#include "daemon/base/text.h"
#include "daemon/inherit.h"
#include "tests/fuzz/require.h"

#define FIRST 3 /* SD_LISTEN_FDS_START */
#define N_PASSED 8
#define ASIDE 300 /* from here on the descriptors stay that are copied there for each run */

typedef struct World {
    int kinds[N_PASSED]; /* of each sort one */
    Logger *logger;
    ListenConfig wanted[5];
} World;

static int socket_of(int family, int type, const char *host) {
    int fd = socket(family, type | SOCK_CLOEXEC, 0);
    Addr addr = {0};
    if (host)
        require(addr_parse_ip(host, 0, &addr) == 0 && bind(fd, &addr.sa, addr.len) == 0);
    require(fd >= 0 && (type == SOCK_DGRAM || listen(fd, 1) == 0));
    return fd;
}

/* Away from where the passed ones are. */
static int aside(int fd) {
    int copy = fcntl(fd, F_DUPFD_CLOEXEC, ASIDE);
    require(copy >= ASIDE && close(fd) == 0);
    return copy;
}

static void want(ListenConfig *c, const char *endpoint, const char *name) {
    *c = (ListenConfig){.name = strdup(name), .nodelay = -1, .mark = -1};
    require(c->name && endpoint_parse(endpoint, &c->endpoint, NULL, NULL) == 0);
}

static void create(World *w) {
    int pipes[2];
    require(pipe2(pipes, O_CLOEXEC) == 0);
    w->kinds[0] = aside(socket_of(AF_INET, SOCK_STREAM, "127.0.0.1"));
    w->kinds[1] = aside(socket_of(AF_INET6, SOCK_DGRAM, NULL));
    w->kinds[2] = aside(pipes[0]);
    w->kinds[3] = aside(pipes[1]);
    w->kinds[4] = aside(memfd_create("fuzz-inherit", MFD_CLOEXEC));
    w->kinds[5] = aside(socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0)); /* listens to nothing */
    w->kinds[6] = aside(socket_of(AF_INET, SOCK_DGRAM, "127.0.0.1"));
    w->kinds[7] = aside(open("/dev/null", O_RDWR | O_CLOEXEC));
    want(&w->wanted[0], "systemd:web", "web");
    want(&w->wanted[1], "tcp:127.0.0.1:0", "web");
    want(&w->wanted[2], "udp:0", "web");
    want(&w->wanted[3], "fifo:/no/such/fifo", "web");
    want(&w->wanted[4], "unix:@mpinetd-fuzz-inherit", "web");
    require(logger_new(LOG_TARGET_STDERR, &w->logger) == 0);
    logger_set_level(w->logger, LOG_LEVEL_ERROR);
}

/* Made once; what libFuzzer has open where the passed ones are to be goes on elsewhere. */
static World *world(void) {
    static World *w;
    if (!w) {
        w = calloc(1, sizeof(*w));
        require(w != NULL);
        create(w);
    }
    return w;
}

static void look_at(Inherited *in, const World *w) {
    for (size_t i = 0; i < in->n; i++) {
        const PassedSocket *p = &in->sockets[i];
        char name[FD_STORE_NAME_MAX];
        require(p->fd >= FIRST && p->fd < FIRST + N_PASSED && p->kind < _ENDPOINT_KIND_MAX && p->name);
        require(p->fd != FIRST + 3 && p->fd != FIRST + 4 && p->fd != FIRST + 5 && p->fd != FIRST + 7);
        if (p->ours)
            require(starts_with(keep_name_format(&p->kept, name), FD_STORE_PREFIX) && streq(name, p->name));
        for (size_t k = 0; k < ELEMENTS(w->wanted); k++)
            for (size_t a = 0; a < 2; a++) {
                bool by_address = inherited_matches(p, &w->wanted[k], a, false);
                bool by_name = inherited_matches(p, &w->wanted[k], a, true);
                require(!(p->ours && (by_address || by_name)));
                require(!by_name || streq(p->name, "web"));
                (void)inherited_is_kept(p, &w->wanted[k], a, p->kept.digest, a == 0);
            }
    }
}

static bool is_open(int fd) {
    return fcntl(fd, F_GETFD) >= 0;
}

/* Either none of what was passed is touched, or the first ones, as many as were announced: all are closed in
 * the end, since nobody wants them. */
static void take(const World *w) {
    EventLog log = {0};
    Inherited in = {0};
    int n_closed = 0;
    eventlog_init(&log, w->logger);
    int r = inherited_init(&in, NULL, &log, inherited_check_announcement());
    require(!getenv("LISTEN_PID") && !getenv("LISTEN_FDS") && !getenv("LISTEN_FDNAMES"));
    require(in.n <= N_PASSED && (r >= 0 || in.n == 0));
    look_at(&in, w);
    inherited_done(&in, &log);
    while (n_closed < N_PASSED && !is_open(FIRST + n_closed))
        n_closed++;
    for (int i = n_closed; i < N_PASSED; i++)
        require(is_open(FIRST + i));
    require(n_closed == 0 || r == 0);
    eventlog_done(&log);
}

/* The next line of @*text, which it ends; NULL: there is none. */
static char *next_line(char **text) {
    char *line = *text, *end = line ? strchr(line, '\n') : NULL;
    if (end)
        *end++ = '\0';
    *text = end;
    return line;
}

/* libFuzzer has files open there while it merges: they come back. */
static void put_in_place(const World *w, int saved[static N_PASSED]) {
    for (int i = 0; i < N_PASSED; i++) {
        saved[i] = is_open(FIRST + i) ? fcntl(FIRST + i, F_DUPFD_CLOEXEC, ASIDE) : -EBADF;
        require(dup3(w->kinds[i], FIRST + i, O_CLOEXEC) == FIRST + i);
    }
}

static void put_back(const int saved[static N_PASSED]) {
    for (int i = 0; i < N_PASSED; i++) {
        (void)close(FIRST + i);
        if (saved[i] < 0)
            continue;
        require(dup3(saved[i], FIRST + i, O_CLOEXEC) == FIRST + i);
        (void)close(saved[i]);
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    World *w = world();
    char *text = strndup((const char *)data, size), *rest = text, pid[16];
    int saved[N_PASSED];
    require(text != NULL);
    char *line = next_line(&rest);
    (void)snprintf(pid, sizeof(pid), "%d", getpid());
    (void)setenv("LISTEN_PID", streq(line, "@") ? pid : line, 1);
    line = next_line(&rest);
    if (line)
        (void)setenv("LISTEN_FDS", line, 1);
    if (rest)
        (void)setenv("LISTEN_FDNAMES", rest, 1);
    put_in_place(w, saved);
    take(w);
    put_back(saved);
    free(text);
    return 0;
}
