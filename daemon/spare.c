/* SPDX-License-Identifier: MIT */
#include "daemon/spare.h"

#include <poll.h>
#include <sched.h>
#include <signal.h>
#include <stdalign.h>
#include <stdint.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>

#include "daemon/base/text.h"
#include "daemon/process-reserve.h"
#include "daemon/rawcall.h"

#define STACK_SIZE ((size_t)16384)
#define GUARD_SIZE ((size_t)4096)
/* For the variables of a connection: names, numbers, at most two paths of UNIX sockets. */
#define ROOM_SIZE ((size_t)4096)
/* Between two things in an image. */
#define ALIGNMENT alignof(max_align_t)
/* The longest that is waited for a process which is on its way to its end. */
#define END_MSEC 1000

/* All that the process reads and writes, in one piece of memory with its stack. */
typedef struct Image {
    ChildPlan plan;
    ResourceConfig resources;
    RlimitConfig nofile;
    size_t n_base; /* of plan.envp */
    size_t n_envp; /* for so many there is room */
    char *room;
} Image;

struct Spare {
    pid_t pid;
    int socket;
    bool given;
    bool ended; /* it runs in our memory no more */
    char *memory;
    size_t size;
    Image *image;
};

/* What is left of the memory of an image while it is being made. */
typedef struct Arena {
    char *at;
    size_t left;
} Arena;

static size_t padded(size_t n) {
    return (n + ALIGNMENT - 1) / ALIGNMENT * ALIGNMENT;
}

/* There is always enough: image_size() has counted. */
static void *arena_take(Arena *a, size_t n) {
    void *p = a->at;
    a->at += padded(n);
    a->left -= padded(n);
    return p;
}

static void *arena_copy(Arena *a, const void *from, size_t n) {
    void *p = arena_take(a, n);
    if (n > 0)
        memcpy(p, from, n);
    return p;
}

static char *arena_string(Arena *a, const char *s) {
    return s ? arena_copy(a, s, strlen(s) + 1) : NULL;
}

static size_t string_size(const char *s) {
    return s ? padded(strlen(s) + 1) : 0;
}

static size_t strings_size(char *const *strings) {
    size_t n = 0;
    for (char *const *s = strings; *s; s++)
        n += string_size(*s);
    return n;
}

static char **arena_strings(Arena *a, char *const *strings, size_t capacity) {
    char **copy = arena_take(a, capacity * sizeof(char *));
    size_t n = 0;
    for (char *const *s = strings; *s; s++)
        copy[n++] = arena_string(a, *s);
    copy[n] = NULL;
    return copy;
}

static size_t image_size(const ChildPlan *plan) {
    size_t pointers = strv_length(plan->argv) + 1 + strv_length(plan->envp) + _ENV_VARIABLE_MAX + 1;
    return padded(sizeof(Image)) + string_size(plan->program) + strings_size(plan->argv) +
           strings_size(plan->envp) + string_size(plan->root_directory) +
           string_size(plan->working_directory) + padded(plan->n_groups * sizeof(gid_t)) +
           padded(pointers * sizeof(char *)) + 2 * ALIGNMENT + ROOM_SIZE;
}

static Image *make_image(const ChildPlan *plan, Arena *a) {
    Image *image = arena_take(a, sizeof(Image));
    ChildPlan *p = &image->plan;
    *p = *plan;
    image->n_base = strv_length(plan->envp);
    image->n_envp = image->n_base + _ENV_VARIABLE_MAX + 1;
    p->program = arena_string(a, plan->program);
    p->argv = arena_strings(a, plan->argv, strv_length(plan->argv) + 1);
    p->envp = arena_strings(a, plan->envp, image->n_envp);
    p->root_directory = arena_string(a, plan->root_directory);
    p->working_directory = arena_string(a, plan->working_directory);
    p->groups = arena_copy(a, plan->groups, plan->n_groups * sizeof(gid_t));
    image->resources = *plan->resources;
    p->resources = &image->resources;
    if (plan->restore_nofile) {
        image->nofile = *plan->restore_nofile;
        p->restore_nofile = &image->nofile;
    }
    image->room = arena_take(a, ROOM_SIZE);
    p->listen_pid = NULL;
    p->wait.waits = true;
    p->wait.taken = false;
    p->step = STEP_FORK;
    p->error = 0;
    return image;
}

static int map_image(const ChildPlan *plan, Spare *s) {
    size_t below = GUARD_SIZE + STACK_SIZE, n = image_size(plan);
    s->size = below + n;
    /* Shared: one with memory of its own has this part in common with us as well. */
    void *p = mmap(NULL, s->size, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    if (p == MAP_FAILED)
        return -ENOMEM;
    s->memory = p;
    if (mprotect(p, GUARD_SIZE, PROT_NONE) < 0)
        return -errno;
    Arena arena = {.at = s->memory + below, .left = n};
    s->image = make_image(plan, &arena);
    return 0;
}

/* proc(5), oom_score_adj: of processes that share their memory, vfork(2) aside, all get the value that one is
 * given. Such a one is forked, copying the daemon's tables of pages. */
static bool needs_own_memory(const ChildPlan *plan) {
    return plan->resources->has_oom_score_adjust || !RAWCALL_IS_APART;
}

/* Until it has closed all that is not its own: else a listener that is closed next would still be open there.
 * A process that does not come that far is stopped, or worse. */
static void wait_until_apart(const Spare *s) {
    struct pollfd p = {.fd = s->socket, .events = POLLIN};
    char byte = 0;
    int r = 0;
    do
        r = poll(&p, 1, CHILD_SECONDS_MAX * 1000);
    while (r < 0 && errno == EINTR);
    if (r == 0)
        (void)kill(s->pid, SIGKILL);
    else
        (void)recv(s->socket, &byte, 1, MSG_DONTWAIT);
}

static int start(Spare *s, int child_socket, SpawnStep *ret_step) {
    if (!s->image)
        return -EINVAL;
    ChildPlan *p = &s->image->plan;
    int target = p->first_closed > STDERR_FILENO ? p->first_closed : STDERR_FILENO + 1;
    p->wait.socket = target;
    int r = child_plan_move_fd(p, child_socket, target);
    if (r < 0)
        return r;
    int sharing = needs_own_memory(p) ? 0 : CLONE_VM;
    ProcessReserve reserve = process_reserve_hold();
    p->processes = reserve.held ? reserve.before.rlim_cur : 0;
    pid_t pid = clone(child_main, s->memory + GUARD_SIZE + STACK_SIZE, sharing | SIGCHLD, p);
    r = pid < 0 ? -errno : 0;
    process_reserve_let_go(&reserve);
    if (pid < 0) {
        *ret_step = spawn_clone_step(-r);
        return r;
    }
    s->pid = pid;
    return 0;
}

int spare_start(const ChildPlan *plan, Spare **ret, pid_t *ret_pid, SpawnStep *ret_step) {
    int fds[2];
    *ret_step = STEP_FDS;
    if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, fds) < 0)
        return -errno;
    CLEANUP_CLOSE int own = fds[0], childs = fds[1];
    CLEANUP(spare_freep) Spare *s = calloc(1, sizeof(*s));
    if (!s)
        return -ENOMEM;
    s->socket = TAKE_FD(own);
    s->ended = true;
    int r = map_image(plan, s);
    if (r >= 0)
        r = start(s, childs, ret_step);
    if (r < 0)
        return r;
    s->ended = false;
    /* Its own is the only one left: its end is seen. */
    (void)fd_close(TAKE_FD(childs));
    wait_until_apart(s);
    *ret_pid = s->pid;
    *ret = TAKE_PTR(s);
    return 0;
}

int spare_fd(const Spare *s) {
    return s->socket;
}

/* Takes the byte that says it is apart, and looks for the end. */
static bool has_ended(Spare *s) {
    char byte = 0;
    ssize_t n = 0;
    do
        n = recv(s->socket, &byte, 1, MSG_DONTWAIT);
    while (n > 0 || (n < 0 && errno == EINTR));
    s->ended = s->ended || n == 0 || errno != EAGAIN;
    return s->ended;
}

SpareEnd spare_look(Spare *s) {
    const ChildPlan *p = &s->image->plan;
    if (!has_ended(s))
        return (SpareEnd){.fate = SPARE_WAITS};
    SpareEnd end = {.fate = SPARE_LOST, .step = p->step, .error = p->error};
    if (!p->wait.taken)
        return end;
    if (end.error)
        end.fate = SPARE_FAILED;
    else if (end.step == STEP_EXEC)
        end.fate = SPARE_STARTED;
    return end;
}

int spare_give(Spare *s, int fd, const EnvBuilder *env) {
    Image *image = s->image;
    size_t n_base = env->of->n_base;
    if (s->given || env->used > ROOM_SIZE || n_base != image->n_base || env->n >= image->n_envp)
        return -E2BIG;
    memcpy(image->room, env->bytes, env->used);
    for (size_t i = n_base; i < env->n; i++)
        image->plan.envp[i] = image->room + (env->envp[i] - env->bytes);
    image->plan.envp[env->n] = NULL;
    if (env->listen_pid)
        image->plan.listen_pid = image->room + (env->listen_pid - env->bytes);
    union {
        struct cmsghdr header;
        char bytes[CMSG_SPACE(sizeof(int))];
    } control = {
        .header = {.cmsg_len = CMSG_LEN(sizeof(int)), .cmsg_level = SOL_SOCKET, .cmsg_type = SCM_RIGHTS}};
    memcpy(CMSG_DATA(&control.header), &fd, sizeof(fd));
    struct iovec data = {.iov_base = &(char){0}, .iov_len = 1};
    struct msghdr message = {
        .msg_iov = &data, .msg_iovlen = 1, .msg_control = &control, .msg_controllen = sizeof(control)};
    s->given = true;
    return sendmsg(s->socket, &message, MSG_DONTWAIT | MSG_NOSIGNAL) < 0 ? -errno : 0;
}

Spare *spare_free(Spare *s) {
    if (!s)
        return NULL;
    if (!s->ended && !s->given)
        (void)kill(s->pid, SIGKILL);
    struct pollfd p = {.fd = s->socket, .events = POLLRDHUP};
    if (!s->ended && poll(&p, 1, END_MSEC) > 0)
        (void)has_ended(s);
    (void)fd_close(s->socket);
    /* Where it still runs the memory stays, for ever. */
    if (s->ended && s->memory)
        (void)munmap(s->memory, s->size);
    free(s);
    return NULL;
}
