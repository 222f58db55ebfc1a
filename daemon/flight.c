/* SPDX-License-Identifier: MIT */
#include "daemon/flight.h"

#include <fcntl.h>
#include <linux/futex.h>
#include <poll.h>
#include <sched.h>
#include <signal.h>
#include <stdalign.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <time.h>

#include "daemon/base/clock.h"
#include "daemon/clone-into.h"
#include "daemon/process-reserve.h"
#include "daemon/rawcall.h"

/* The deepest chain of child_main() takes a few hundred bytes; the kernel's frame of a signal never lies
 * here. */
#define STACK_SIZE ((size_t)16384)
#define GUARD_SIZE ((size_t)4096)
/* So much memory is kept for the next ones. */
#define FREE_MAX FLIGHTS_OF_SERVICE_MAX

/* How often is looked what has become of them, at first and in the end. */
#define LOOK_MIN_USEC USEC_PER_MSEC
#define LOOK_MAX_USEC (20 * USEC_PER_MSEC)
/* The longest that is waited until they have closed what is not their own. */
#define PART_USEC (100 * USEC_PER_MSEC)

/* What the process and the daemon have in common, above its stack. */
typedef struct Image {
    alignas(64) _Atomic int aboard;
    ChildPlan plan;
    EnvBuilder env;
    char *envp[];
} Image;

/* Memory */

static Image *image_of(const Flight *f) {
    return (Image *)(void *)(f->memory + GUARD_SIZE + STACK_SIZE);
}

static size_t size_for(size_t capacity) {
    return GUARD_SIZE + STACK_SIZE + sizeof(Image) + capacity * sizeof(char *);
}

static Flight *map(Spawner *s, size_t size) {
    Flight *f = calloc(1, sizeof(*f));
    /* Shared: one with memory of its own has this part in common with us as well. */
    void *p = f ? mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0)
                : MAP_FAILED;
    if (p == MAP_FAILED) {
        free(f);
        return NULL;
    }
    list_init(&f->link);
    f->spawner = s;
    f->memory = p;
    f->size = size;
    if (mprotect(p, GUARD_SIZE, PROT_NONE) < 0) {
        flight_unmap(f);
        return NULL;
    }
    return f;
}

void flight_unmap(Flight *f) {
    list_remove(&f->link);
    f->recipe = recipe_unref(f->recipe);
    (void)munmap(f->memory, f->size);
    free(f);
}

static void close_kept(Flight *f) {
    while (f->n_kept > 0)
        (void)fd_close(f->kept[--f->n_kept]);
    f->connection = fd_close(f->connection);
}

static void recycle(Flight *f) {
    Spawner *s = f->spawner;
    list_remove(&f->link);
    close_kept(f);
    f->recipe = recipe_unref(f->recipe);
    /* What has memory of its own may still be at it. */
    if (!f->ended || s->n_free == FREE_MAX) {
        flight_unmap(f);
        return;
    }
    s->n_free++;
    list_append(&s->free, &f->link);
}

/* One that has been used lately is still in the processor's memory. */
static Flight *take_free(Spawner *s, size_t size) {
    LIST_FOREACH_SAFE (f, &s->left, Flight, link)
        if (flight_has_ended(f))
            recycle(f);
    if (s->n_free == 0)
        return map(s, size);
    Flight *f = LIST_ENTRY(s->free.prev, Flight, link);
    list_remove(&f->link);
    s->n_free--;
    if (f->size >= size)
        return f;
    flight_unmap(f);
    return map(s, size);
}

int flight_new(Spawner *s, Recipe *recipe, Flight **ret) {
    Flight *f = take_free(s, size_for(env_builder_capacity(&recipe->env)));
    if (!f)
        return -ENOMEM;
    Image *image = image_of(f);
    *f = (Flight){.link = f->link,
                  .spawner = s,
                  .recipe = recipe_ref(recipe),
                  .plan = &image->plan,
                  .env = &image->env,
                  .ended = true,
                  .tether = -EBADF,
                  .connection = -EBADF,
                  .cgroup = -EBADF,
                  .memory = f->memory,
                  .size = f->size};
    list_init(&f->link);
    /* Of the moves only those that are there are looked at. */
    memset(f->plan, 0, offsetof(ChildPlan, moves));
    f->plan->tether = f->plan->cgroup = -EBADF;
    f->plan->sandbox.user_fd = f->plan->sandbox.network_fd = f->plan->sandbox.init_fd = -EBADF;
    f->plan->step = STEP_FORK;
    env_builder_place(f->env, image->envp, (f->size - size_for(0)) / sizeof(char *));
    *ret = f;
    return env_builder_begin(f->env, &recipe->env);
}

/* Starting */

/* proc(5), oom_score_adj: of processes that share their memory, vfork(2) aside, all get the value that one is
 * given. Such a one is forked, copying the daemon's tables of pages. */
static bool needs_own_memory(const ChildPlan *p) {
    return p->own_memory || p->resources->has_oom_score_adjust;
}

/* How one is made: the flags of clone(2). */
static int flags_for(const Spawner *s, const ChildPlan *p) {
    if (needs_own_memory(p) || (s->mode == SPAWN_VFORK && child_plan_waits(p)))
        return SIGCHLD;
    if (s->mode == SPAWN_VFORK)
        return CLONE_VM | CLONE_VFORK | SIGCHLD;
    return CLONE_VM | CLONE_CHILD_CLEARTID | SIGCHLD | (p->shares_files ? CLONE_FILES : 0);
}

/* A descriptor that the child has above those of its program, until exec; -EBADF without one. */
static int lend(ChildPlan *p, int fd, int *ret_number) {
    if (fd < 0)
        return 0;
    *ret_number = p->first_closed > STDERR_FILENO ? p->first_closed : STDERR_FILENO + 1;
    return child_plan_move_fd(p, fd, *ret_number);
}

/* The ends of what ties it to us: by a socket a spare gets its connection, by the end of a pipe is seen that
 * one with memory of its own has come to exec. */
static int open_tether(Flight *f, int flags, int *ret_childs) {
    ChildPlan *p = f->plan;
    bool waits = child_plan_waits(p);
    int fds[2], r = 0;
    if (!waits && (flags & CLONE_CHILD_CLEARTID))
        return 0;
    r = waits ? socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, fds) : pipe2(fds, O_CLOEXEC);
    if (r < 0)
        return -errno;
    f->tether = fds[0];
    *ret_childs = fds[1];
    return lend(p, fds[1], &p->tether);
}

static int lend_namespaces(Flight *f) {
    ChildSandbox *s = &f->plan->sandbox;
    if (!s->plan)
        return 0;
    /* The upper half is the child's own. */
    s->stack = f->memory + GUARD_SIZE + STACK_SIZE / 2;
    int r = lend(f->plan, s->plan->user_fd, &s->user_fd);
    if (r >= 0)
        r = lend(f->plan, s->plan->network_fd, &s->network_fd);
    return r < 0 ? r : lend(f->plan, s->plan->init_fd, &s->init_fd);
}

static int highest_source(const ChildPlan *p) {
    int highest = p->first_closed;
    for (size_t i = 0; i < p->n_moves; i++)
        if (p->moves[i].source > highest)
            highest = p->moves[i].source;
    return highest;
}

/* A filter of system calls, or a kernel or tool that does not know them, refuses what vfork(2) has not. */
static bool is_refusal(int error) {
    return error == ENOSYS || error == EPERM || error == EINVAL;
}

/* Of a group it is in from birth, so that nothing of it is ever outside; where that cannot be had, it goes
 * there as its first step. */
static pid_t call_clone(Flight *f, int flags, Image *image) {
    char *stack = f->memory + GUARD_SIZE;
    if (f->cgroup >= 0 && !f->spawner->enters_by_itself) {
        pid_t pid = clone_into(child_main, stack, STACK_SIZE, flags, f->plan, &image->aboard, f->cgroup);
        if (!is_refusal(-pid) && pid != -E2BIG)
            return pid;
        f->spawner->enters_by_itself = true;
    }
    if (f->cgroup >= 0) {
        /* The folder is to be there as long as it needs it. */
        flags &= ~CLONE_FILES;
        f->plan->shares_files = false;
        f->plan->cgroup = f->cgroup;
    }
    pid_t pid = clone(child_main, stack + STACK_SIZE, flags, f->plan, NULL, NULL, &image->aboard);
    return pid < 0 ? -errno : pid;
}

static pid_t make_process(Flight *f, int flags) {
    ChildPlan *p = f->plan;
    Image *image = image_of(f);
    ProcessReserve reserve = {0};
    if (f->spawner->is_limited)
        reserve = process_reserve_hold();
    p->processes = reserve.held ? reserve.before.rlim_cur : 0;
    p->guarded = flags & CLONE_VFORK;
    f->aboard = flags & CLONE_CHILD_CLEARTID ? &image->aboard : NULL;
    f->ended = false;
    atomic_store_explicit(&image->aboard, 1, memory_order_relaxed);
    int r = call_clone(f, flags, image);
    process_reserve_let_go(&reserve);
    f->ended = r < 0;
    return r;
}

static void count(Flight *f) {
    f->counted = true;
    if (f->spawner->n_flying++ == 0)
        f->spawner->looked_usec = f->began_usec;
    list_remove(&f->link);
    list_append(&f->spawner->flying, &f->link);
}

static int try_to_start(Flight *f, int *childs, SpawnStep *ret_step) {
    int flags = flags_for(f->spawner, f->plan);
    int r = f->tether < 0 ? open_tether(f, flags, childs) : 0;
    if (r < 0)
        return r;
    pid_t pid = make_process(f, flags);
    if (pid < 0) {
        *ret_step = spawn_clone_step(-pid, f->cgroup >= 0);
        return pid;
    }
    f->pid = pid;
    return 0;
}

int flight_start(Flight *f, SpawnStep *ret_step) {
    CLEANUP_CLOSE int childs = -EBADF;
    Spawner *s = f->spawner;
    size_t n_moves = f->plan->n_moves;
    int first_closed = f->plan->first_closed;
    *ret_step = STEP_FDS;
    f->plan->envp = env_builder_finish(f->env);
    f->plan->listen_pid = f->env->listen_pid;
    f->began_usec = clock_monotonic_usec();
    f->plan->shares_files = f->may_share_files && !needs_own_memory(f->plan) && spawner_shares_files(s);
    int r = lend_namespaces(f);
    if (r < 0)
        return r;
    f->plan->highest = highest_source(f->plan);
    r = try_to_start(f, &childs, ret_step);
    if (is_refusal(-r) && *ret_step == STEP_FORK && s->mode != SPAWN_VFORK) {
        s->mode = SPAWN_VFORK;
        f->plan->shares_files = false;
        r = try_to_start(f, &childs, ret_step);
    }
    if (r < 0) {
        /* The other end of the tether goes with this call. */
        f->tether = fd_close(f->tether);
        f->plan->tether = -EBADF;
        f->plan->n_moves = n_moves;
        f->plan->first_closed = first_closed;
    } else if (child_plan_waits(f->plan)) {
        list_append(&s->ahead, &f->link);
    } else {
        count(f);
    }
    return r;
}

void flight_keep(Flight *f, int fd) {
    if (fd < 0)
        return;
    if (f->plan->shares_files && f->n_kept < FLIGHT_KEPT_MAX)
        f->kept[f->n_kept++] = fd;
    else
        (void)fd_close(fd);
}

void flight_let_go(Flight *f, Discard *discard) {
    if (f->n_kept == 0 && f->connection < 0)
        return;
    bool ended = flight_has_ended(f);
    if (!ended && !f->plan->has_own_files)
        return;
    /* Of one that has failed nobody else has it; of another it may be the last copy by now. */
    if (ended && flight_look(f).fate != FLIGHT_STARTED)
        f->connection = discard_socket(discard, f->connection);
    else
        f->connection = discard_copy(discard, f->connection);
    close_kept(f);
}

void flight_keep_connection(Flight *f, int fd, Discard *discard) {
    bool has_copy = !f->plan->shares_files && !flight_has_ended(f);
    f->connection = has_copy ? fd_close(fd) : fd;
    flight_let_go(f, discard);
}

int flight_give(Flight *f, int fd) {
    union {
        struct cmsghdr header;
        char bytes[CMSG_SPACE(sizeof(int))];
    } control = {
        .header = {.cmsg_len = CMSG_LEN(sizeof(int)), .cmsg_level = SOL_SOCKET, .cmsg_type = SCM_RIGHTS}};
    memcpy(CMSG_DATA(&control.header), &fd, sizeof(fd));
    struct iovec data = {.iov_base = &(char){0}, .iov_len = 1};
    struct msghdr message = {
        .msg_iov = &data, .msg_iovlen = 1, .msg_control = &control, .msg_controllen = sizeof(control)};
    if (f->given)
        return -EALREADY;
    f->plan->envp = env_builder_finish(f->env);
    f->plan->listen_pid = f->env->listen_pid;
    f->given = true;
    f->began_usec = clock_monotonic_usec();
    if (sendmsg(f->tether, &message, MSG_DONTWAIT | MSG_NOSIGNAL) < 0)
        return -errno;
    count(f);
    return 0;
}

/* The end */

bool flight_has_ended(Flight *f) {
    struct pollfd p = {.fd = f->tether};
    /* One that it has made may outlive it there for a moment. */
    if (!f->ended && f->aboard)
        f->ended = atomic_load_explicit(f->aboard, memory_order_acquire) == 0 && f->plan->sandbox.inner == 0;
    else if (!f->ended)
        f->ended = poll(&p, 1, 0) > 0 && (p.revents & (POLLHUP | POLLERR));
    return f->ended;
}

void flight_on_reaped(Flight *f) {
    static const struct timespec moment = {.tv_nsec = 50000};
    uint64_t until = clock_monotonic_usec() + PART_USEC;
    /* Where it had memory of its own nobody clears the word: there the tether says it. */
    while (f->plan->sandbox.inner != 0 && !flight_has_ended(f) && clock_monotonic_usec() < until)
        (void)nanosleep(&moment, NULL);
    f->ended = f->ended || f->plan->sandbox.inner == 0;
    f->overdue = f->overdue || !f->ended;
}

FlightEnd flight_look(Flight *f) {
    const ChildPlan *p = f->plan;
    if (!flight_has_ended(f) && !f->overdue)
        return (FlightEnd){.fate = FLIGHT_UNDER_WAY};
    /* Only now all of it has been written. */
    FlightEnd end = {.fate = FLIGHT_LOST, .step = p->step, .error = p->error, .which = p->sandbox.which};
    if (child_plan_waits(p) && !p->wait.taken)
        return end;
    if (f->overdue && !end.error)
        end.error = ETIMEDOUT;
    if (end.error)
        end.fate = FLIGHT_FAILED;
    else if (end.step == STEP_EXEC)
        end.fate = FLIGHT_STARTED;
    return end;
}

bool flight_wait(Flight *f, uint64_t usec) {
    struct timespec time = {.tv_nsec = (long)(usec % USEC_PER_SEC * 1000),
                            .tv_sec = (time_t)(usec / USEC_PER_SEC)};
    struct pollfd p = {.fd = f->tether};
    if (flight_has_ended(f))
        return true;
    if (f->aboard)
        (void)syscall(SYS_futex, f->aboard, FUTEX_WAIT, 1, &time, NULL, 0);
    else
        (void)ppoll(&p, 1, &time, NULL);
    return flight_has_ended(f);
}

void flight_end_overdue(Flight *f) {
    (void)kill(f->pid, SIGKILL);
    f->overdue = true;
}

Flight *flight_free(Flight *f) {
    if (!f)
        return NULL;
    bool ended = flight_has_ended(f);
    if (!ended && child_plan_waits(f->plan) && !f->given)
        (void)kill(f->pid, SIGKILL);
    f->tether = fd_close(f->tether);
    f->owner = NULL;
    f->spawner->n_flying -= f->counted;
    f->counted = false;
    list_remove(&f->link);
    if (ended || !f->aboard)
        recycle(f);
    else
        list_append(&f->spawner->left, &f->link);
    return NULL;
}

/* All */

static bool is_apart(Flight *f) {
    return f->plan->apart || f->unparted || flight_has_ended(f);
}

bool flights_are_apart(Spawner *s) {
    if (!s)
        return true;
    LIST_FOREACH (f, &s->flying, Flight, link)
        if (!is_apart(f))
            return false;
    LIST_FOREACH (f, &s->ahead, Flight, link)
        if (!is_apart(f))
            return false;
    return true;
}

void flights_part(Spawner *s) {
    static const struct timespec moment = {.tv_nsec = 50000};
    if (flights_are_apart(s))
        return;
    uint64_t until = clock_monotonic_usec() + PART_USEC;
    while (!flights_are_apart(s) && clock_monotonic_usec() < until)
        (void)nanosleep(&moment, NULL);
    /* One that is frozen, say, holds nobody up a second time. */
    LIST_FOREACH (f, &s->flying, Flight, link)
        f->unparted = true;
    LIST_FOREACH (f, &s->ahead, Flight, link)
        f->unparted = true;
}

void flights_postpone(Spawner *s, uint64_t usec, uint64_t now_usec) {
    LIST_FOREACH (f, &s->flying, Flight, link)
        f->began_usec = f->began_usec + usec < now_usec ? f->began_usec + usec : now_usec;
}

/* The time is that of the turn, in which they may have begun. */
static uint64_t age_of(const Flight *f, uint64_t now_usec) {
    return now_usec > f->began_usec ? now_usec - f->began_usec : 0;
}

uint64_t flights_patience(const Spawner *s, bool often, uint64_t now_usec) {
    uint64_t age = UINT64_MAX;
    LIST_FOREACH (f, &s->flying, Flight, link)
        if (!f->overdue && age_of(f, now_usec) < age)
            age = age_of(f, now_usec);
    if (age == UINT64_MAX)
        return age;
    if (age > LOOK_MAX_USEC || often)
        return LOOK_MAX_USEC;
    return age < LOOK_MIN_USEC ? LOOK_MIN_USEC : age;
}
