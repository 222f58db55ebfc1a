/* SPDX-License-Identifier: MIT */
#include "tests/fuzz/dispatch-world.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <sys/mman.h>
#include <sys/socket.h>

#include "daemon/base/clock.h"
#include "daemon/flight.h"
#include "daemon/helper.h"
#include "daemon/interpreter.h"
#include "daemon/service.h"
#include "tests/fuzz/require.h"

#define FIRST_PID 4194401 /* above what the kernel gives out */
#define STRANGER 12345

static const char text[] = "version: 1\n"
                           "control: {manage: []}\n"
                           "defaults: {user: %s}\n"
                           "services:\n"
                           "  web:\n"
                           "    listen: [tcp:127.0.0.1:0, tcp:127.0.0.1:0]\n"
                           "    exec: [/bin/cat]\n"
                           "    limits: {instances: 50, per_source: 5, rate: 100/s}\n"
                           "    environment: {SECRET: \"hidden\"}\n"
                           "  eager:\n"
                           "    listen: udp:127.0.0.1:0\n"
                           "    model: on-demand\n"
                           "    exec: [/bin/cat]\n"
                           "    start: now\n"
                           "  many:\n"
                           "    listen: tcp:127.0.0.1:0\n"
                           "    model: pool\n"
                           "    exec: [/bin/cat]\n"
                           "    pool: {min: 1, max: 4}\n"
                           "  off:\n"
                           "    listen: tcp:127.0.0.1:0\n"
                           "    enabled: false\n"
                           "    exec: [/bin/cat]\n"
                           "  door: {listen: tcp:127.0.0.1:0, model: tcpmux}\n";

/* What is shared by all inputs. The wrapped calls have no other way to know who asks. */
static World *current;
static WorldClient connecting;
static struct {
    Config *config;
    Logger *logger;
    char socket[64];
    LoadContext load;
    pid_t ended[8]; /* by a signal */
    size_t n_ended;
} shared;

/* What must not happen */

int __real_client_new(sd_event *loop, int fd, const ClientHandler *handler, Client **ret);
int __wrap_client_new(sd_event *loop, int fd, const ClientHandler *handler, Client **ret);
int __wrap_client_new(sd_event *loop, int fd, const ClientHandler *handler, Client **ret) {
    int r = __real_client_new(loop, fd, handler, ret);
    if (r >= 0) {
        (*ret)->uid = connecting == CLIENT_MANAGES ? 0 : STRANGER;
        (*ret)->gid = (*ret)->uid;
        (*ret)->n_groups = 0;
    }
    return r;
}

int __wrap_flight_start(Flight *f, SpawnStep *ret_step);
int __wrap_flight_start(Flight *f, SpawnStep *ret_step) {
    (void)f;
    current->n_started++;
    *ret_step = STEP_FORK;
    return -EAGAIN;
}

int __wrap_helper_start(Helpers *h, sd_event *loop, const HelperPlan *plan, HelperDone done, void *userdata,
                        Helper **ret);
int __wrap_helper_start(Helpers *h, sd_event *loop, const HelperPlan *plan, HelperDone done, void *userdata,
                        Helper **ret) {
    (void)h;
    (void)loop;
    (void)plan;
    (void)done;
    (void)userdata;
    (void)ret;
    current->n_helpers++;
    return -EAGAIN;
}

/* What would be read by a process of its own is read here, and comes back as from there. */

typedef struct Answer {
    List link;
    BlobWriter blob;
    InterpreterDone done;
    void *asker;
    sd_event_source *source;
} Answer;

static List answers = {&answers, &answers};

static void free_answer(Answer *a) {
    list_remove(&a->link);
    sd_event_source_disable_unref(a->source);
    blob_writer_done(&a->blob);
    free(a);
}

static int on_answer(sd_event_source *s, void *userdata) {
    Answer *a = userdata;
    RequestReply reply = {0};
    InterpreterDone done = a->done;
    void *asker = a->asker;
    (void)s;
    require(request_blob_read(a->blob.data, a->blob.n, &reply) == 0);
    free_answer(a);
    done(&reply, asker);
    request_reply_done(&reply);
    return 0;
}

int __wrap_interpreter_ask(Interpreter *i, const char *json, size_t n, InterpreterDone done, void *asker);
int __wrap_interpreter_ask(Interpreter *i, const char *json, size_t n, InterpreterDone done, void *asker) {
    Answer *a = calloc(1, sizeof(*a));
    (void)i;
    require(a != NULL && interpreter_answer(1, json, n, &a->blob) == 0);
    list_init(&a->link);
    list_append(&answers, &a->link);
    a->done = done;
    a->asker = asker;
    require(sd_event_add_defer(manager_runtime(current->manager)->loop, &a->source, on_answer, a) >= 0);
    return 0;
}

void __wrap_interpreter_forget(Interpreter *i, const void *asker);
void __wrap_interpreter_forget(Interpreter *i, const void *asker) {
    (void)i;
    LIST_FOREACH_SAFE (a, &answers, Answer, link)
        if (a->asker == asker)
            free_answer(a);
}

Interpreter *__real_interpreter_free(Interpreter *i);
Interpreter *__wrap_interpreter_free(Interpreter *i);
Interpreter *__wrap_interpreter_free(Interpreter *i) {
    LIST_FOREACH_SAFE (a, &answers, Answer, link)
        free_answer(a);
    return __real_interpreter_free(i);
}

/* A process group is named by its leader, with a minus. */
int __wrap_kill(pid_t pid, int number);
int __wrap_kill(pid_t pid, int number) {
    if (pid < 0)
        pid = -pid;
    require(pid >= FIRST_PID && number >= 0 && number <= SIGRTMAX);
    if (number == 0)
        return 0;
    current->n_signals++;
    current->last_signal = number;
    bool ends = number == SIGTERM || number == SIGKILL;
    if (ends && shared.n_ended < ELEMENTS(shared.ended))
        shared.ended[shared.n_ended++] = pid;
    return 0;
}

void __wrap_logger_event(Logger *l, LogLevel level, const ApiEvent *e);
void __wrap_logger_event(Logger *l, LogLevel level, const ApiEvent *e) {
    CLEANUP_TEXT Text line = {0};
    (void)l;
    (void)level;
    event_format(e, &line);
}

/* Those of the fuzzer go on to end it. */
int __real_sd_event_add_signal(sd_event *loop, sd_event_source **ret, int number,
                               sd_event_signal_handler_t handler, void *userdata);
int __wrap_sd_event_add_signal(sd_event *loop, sd_event_source **ret, int number,
                               sd_event_signal_handler_t handler, void *userdata);
int __wrap_sd_event_add_signal(sd_event *loop, sd_event_source **ret, int number,
                               sd_event_signal_handler_t handler, void *userdata) {
    return __real_sd_event_add_signal(loop, ret, SIGRTMIN + 2 + number % 24, handler, userdata);
}

/* Its making */

static void load_config(void) {
    char path[32];
    CLEANUP_DIAGS DiagList diags = {0};
    CLEANUP_TEXT Text shown = {0};
    shared.load = (LoadContext){.euid = geteuid(), .libexecdir = "/usr/libexec", .environ = environ};
    shared.load.tolerate_missing = true;
    text_addf(&shown, text, geteuid() == 0 ? "root" : "self");
    CLEANUP_CLOSE int fd = memfd_create("fuzz-dispatch", MFD_CLOEXEC);
    require(fd >= 0 && text_ok(&shown) && write(fd, shown.s, shown.len) == (ssize_t)shown.len);
    (void)snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
    if (config_load(path, &shared.load, &diags, &shared.config) < 0) {
        CLEANUP_TEXT Text why = {0};
        diag_list_format(&diags, NULL, &why);
        (void)fputs(why.s, stderr);
        abort();
    }
}

static void take_socket_away(void) {
    char lock[sizeof(shared.socket) + 8];
    (void)snprintf(lock, sizeof(lock), "%s.lock", shared.socket);
    (void)unlink(lock);
    (void)unlink(shared.socket);
    *strrchr(shared.socket, '/') = '\0';
    (void)rmdir(shared.socket);
}

static void create_shared(void) {
    char folder[] = "/tmp/mpinetd-fuzz-XXXXXX";
    sigset_t ours;
    if (shared.config)
        return;
    (void)sigemptyset(&ours);
    for (int number = SIGRTMIN; number <= SIGRTMAX; number++)
        (void)sigaddset(&ours, number);
    require(sigprocmask(SIG_BLOCK, &ours, NULL) == 0 && mkdtemp(folder) != NULL);
    (void)snprintf(shared.socket, sizeof(shared.socket), "%s/control.sock", folder);
    require(atexit(take_socket_away) == 0 && logger_new(LOG_TARGET_STDERR, &shared.logger) == 0);
    load_config();
}

static void add_processes(Manager *m) {
    Runtime *rt = manager_runtime(m);
    Service *s = service_set_find(manager_services(m), "web");
    for (unsigned i = 0; i < 3; i++) {
        Peer peer = {.kind = PEER_INET, .in.s_addr = 0x010200c0 + (i << 24)}; /* 192.0.2.1, .2, .3 */
        Instance *one = instance_new(rt, s, &peer);
        require(one != NULL);
        one->pid = FIRST_PID + (pid_t)i;
        one->state = INSTANCE_RUNNING;
        require(instance_table_add(&rt->instances, one) == 0);
        list_append(&s->instances, &one->link);
        s->n_instances++;
    }
}

static void add_bans(Manager *m) {
    Runtime *rt = manager_runtime(m);
    bool is_new = false;
    uint64_t now = clock_monotonic_usec();
    Peer four = {.kind = PEER_INET, .in.s_addr = 0x097100cb};
    Peer six = {.kind = PEER_INET6, .in6.s6_addr = {0x20, 1, 0xd, 0xb8}};
    require(bans_add(rt->bans, &four, 32, 64, 0, "", BAN_SENSOR, now, 3600 * USEC_PER_SEC, &is_new) == 0);
    require(bans_add(rt->bans, &six, 32, 64, 1, "web", BAN_SENSOR, now, 3600 * USEC_PER_SEC, &is_new) == 0);
}

void world_connect(World *w, WorldClient who) {
    Addr addr;
    require(addr_set_unix(shared.socket, &addr) == 0);
    w->fds[who] = fd_close(w->fds[who]);
    w->fds[who] = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    connecting = who;
    require(w->fds[who] >= 0 && connect(w->fds[who], &addr.sa, addr.len) == 0);
}

void world_forget(World *w) {
    w->n_signals = w->n_started = w->n_helpers = 0;
    w->last_signal = 0;
}

bool world_end_processes(World *w) {
    bool any = false;
    const struct rusage usage = {0};
    for (size_t i = 0; i < shared.n_ended; i++) {
        Instance *one = instance_table_find(&manager_runtime(w->manager)->instances, shared.ended[i]);
        if (one)
            service_on_instance_end(one->service, one, SIGTERM, &usage);
        any |= one != NULL;
    }
    shared.n_ended = 0;
    return any;
}

static int on_idle(sd_event_source *source, void *userdata) {
    World *w = userdata;
    (void)source;
    if (!w->idle(w, w->userdata))
        (void)sd_event_exit(manager_runtime(w->manager)->loop, 0);
    return 0;
}

void world_run(bool (*idle)(World *w, void *userdata), void *userdata) {
    World w = {.fds = {-EBADF, -EBADF}, .idle = idle, .userdata = userdata};
    sd_event_source *source = NULL;
    create_shared();
    const Options options = {.socket = shared.socket, .has_level = true, .level = LOG_LEVEL_ERROR};
    current = &w;
    shared.n_ended = 0;
    require(manager_new(&options, config_ref(shared.config), &shared.load, shared.logger, &w.manager) == 0);
    add_processes(w.manager);
    add_bans(w.manager);
    require(sd_event_add_defer(manager_runtime(w.manager)->loop, &source, on_idle, &w) >= 0);
    require(sd_event_source_set_enabled(source, SD_EVENT_ON) >= 0);
    require(sd_event_source_set_priority(source, PRIORITY_AHEAD + 1) >= 0);
    (void)manager_run(w.manager);
    sd_event_source_disable_unref(source);
    manager_free(w.manager);
    for (size_t i = 0; i < _WORLD_CLIENTS; i++)
        (void)fd_close(w.fds[i]);
    current = NULL;
}
