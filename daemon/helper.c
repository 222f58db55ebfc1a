/* SPDX-License-Identifier: MIT */
#include "daemon/helper.h"

#include <fcntl.h>
#include <signal.h>
#include <string.h>
#include <sys/auxv.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/wait.h>

#include "daemon/base/clock.h"
#include "daemon/base/text.h"
#include "daemon/helper-child.h"

struct Helper {
    List link;
    pid_t pid;
    int result_fd;
    uint64_t time_usec;
    sd_event_source *timer;
    HelperDone done; /* NULL: nobody wants to know any more */
    void *userdata;
};

int helper_init(Helpers *h) {
    list_init(&h->list);
    h->path = (const char *)(uintptr_t)getauxval(AT_EXECFN);
    h->exe_fd = open("/proc/self/exe", O_PATH | O_CLOEXEC);
    /* Without /proc: now it still is the file that we came from. */
    if (h->exe_fd < 0 && h->path)
        h->exe_fd = open(h->path, O_PATH | O_CLOEXEC);
    return h->exe_fd < 0 ? -errno : 0;
}

static void free_helper(Helper *helper) {
    sd_event_source_disable_unref(helper->timer);
    (void)fd_close(helper->result_fd);
    list_remove(&helper->link);
    free(helper);
}

void helpers_done(Helpers *h) {
    if (!h->list.next) /* never begun */
        return;
    LIST_FOREACH_SAFE (helper, &h->list, Helper, link) {
        (void)kill(helper->pid, SIGKILL);
        free_helper(helper);
    }
    h->exe_fd = fd_close(h->exe_fd);
}

Helper *helper_free(Helper *helper) {
    if (!helper)
        return NULL;
    /* It stays in the list until it has been reaped, so that it is known as one of ours. */
    helper->done = NULL;
    helper->timer = sd_event_source_disable_unref(helper->timer);
    helper->result_fd = fd_close(helper->result_fd);
    (void)kill(helper->pid, SIGKILL);
    return NULL;
}

static void tell(Helper *helper, const HelperEnd *end) {
    HelperDone done = helper->done;
    helper->done = NULL;
    if (done)
        done(end, helper->userdata);
}

/* One that waits for a disk does not end by being killed: whoever waits for it is told at once. */
static int on_late(sd_event_source *s, uint64_t usec, void *userdata) {
    Helper *helper = userdata;
    const HelperEnd end = {.too_late = true, .time_usec = helper->time_usec};
    (void)s;
    (void)usec;
    (void)kill(helper->pid, SIGKILL);
    tell(helper, &end);
    return 0;
}

static int compare_fds(const void *a, const void *b) {
    int x = *(const int *)a, y = *(const int *)b;
    return (x > y) - (x < y);
}

/* All that it keeps, sorted, each once. */
static int *collect_fds(const HelperPlan *plan, const int *more, size_t n_more, size_t *ret_n) {
    int *fds = calloc(plan->n_fds + n_more + 1, sizeof(int));
    size_t n = 0, kept = 0;
    for (size_t i = 0; fds && i < plan->n_fds; i++)
        fds[n++] = plan->fds[i];
    for (size_t i = 0; fds && i < n_more; i++)
        fds[n++] = more[i];
    if (fds)
        qsort(fds, n, sizeof(int), compare_fds);
    for (size_t i = 0; i < n; i++)
        if (fds[i] > STDERR_FILENO && (kept == 0 || fds[kept - 1] != fds[i]))
            fds[kept++] = fds[i];
    *ret_n = kept;
    return fds;
}

static char **make_argv(const HelperPlan *plan, int result_fd) {
    CLEANUP_STRV char **argv = strv_copy(plan->argv);
    char *word = NULL;
    if (!argv || asprintf(&word, HELPER_RESULT_WORD "%d", result_fd) < 0)
        return NULL;
    return strv_push(&argv, word) < 0 ? NULL : TAKE_PTR(argv);
}

static int run(Helpers *h, const HelperPlan *plan, Helper *helper) {
    const int more[] = {helper->result_fd, h->exe_fd};
    CLEANUP_STRV char **argv = make_argv(plan, helper->result_fd);
    HelperChild child = {
        .plan = plan,
        .exe_fd = h->exe_fd,
        .path = h->path,
        .argv = argv,
        .result_fd = helper->result_fd,
        .parent = getpid(),
    };
    CLEANUP_FREE int *fds = collect_fds(plan, more, ELEMENTS(more), &child.n_fds);
    if (!argv || !fds)
        return -ENOMEM;
    child.fds = fds;
    helper->pid = fork();
    if (helper->pid < 0)
        return -errno;
    if (helper->pid == 0)
        helper_child_main(&child);
    return 0;
}

int helper_start(Helpers *h, sd_event *loop, const HelperPlan *plan, HelperDone done, void *userdata,
                 Helper **ret) {
    Helper *helper = calloc(1, sizeof(*helper));
    if (!helper)
        return -ENOMEM;
    list_init(&helper->link);
    helper->done = done;
    helper->userdata = userdata;
    helper->time_usec = plan->limits.time_usec;
    helper->result_fd = memfd_create("mpinetd-result", MFD_CLOEXEC | MFD_ALLOW_SEALING);
    int r = helper->result_fd < 0 ? -errno : 0;
    /* The timer first: there is no way back from a fork. */
    if (r >= 0 && helper->time_usec > 0)
        r = sd_event_add_time_relative(loop, &helper->timer, CLOCK_MONOTONIC, helper->time_usec,
                                       USEC_PER_SEC / 10, on_late, helper);
    if (r >= 0)
        r = run(h, plan, helper);
    if (r < 0) {
        free_helper(helper);
        return r;
    }
    list_append(&h->list, &helper->link);
    *ret = helper;
    return 0;
}

/* Maps what it has written, once nobody can change it any more. */
static int map_result(int fd, HelperEnd *end) {
    struct stat st;
    if (fcntl(fd, F_ADD_SEALS, F_SEAL_WRITE | F_SEAL_GROW | F_SEAL_SHRINK | F_SEAL_SEAL) < 0 ||
        fstat(fd, &st) < 0)
        return -errno;
    if (st.st_size == 0)
        return 0;
    void *p = mmap(NULL, (size_t)st.st_size, PROT_READ, MAP_SHARED, fd, 0);
    if (p == MAP_FAILED)
        return -errno;
    end->result = p;
    end->n = (size_t)st.st_size;
    return 0;
}

/* The negative errno that it has left in the place of its result; 0: none. */
static int error_left(int fd) {
    int error = 0;
    if (pread(fd, &error, sizeof(error), 0) != (ssize_t)sizeof(error) || error <= 0)
        return 0;
    return -error;
}

/* It has ended by itself, and has no result. */
static void read_failure(int fd, HelperEnd *end) {
    int error = error_left(fd);
    if (WEXITSTATUS(end->status) == HELPER_NOT_STARTED)
        end->error = error < 0 ? error : -EIO;
    end->unwritten = WEXITSTATUS(end->status) == HELPER_NOT_WRITTEN;
    end->write_error = end->unwritten ? error : 0;
}

bool helpers_on_end(Helpers *h, pid_t pid, int status) {
    LIST_FOREACH (helper, &h->list, Helper, link) {
        if (helper->pid != pid)
            continue;
        bool kept = false;
        HelperEnd end = {.status = status, .time_usec = helper->time_usec, .kept = &kept};
        if (helper->done && WIFEXITED(status) && WEXITSTATUS(status) == 0)
            end.error = map_result(helper->result_fd, &end);
        else if (helper->done && WIFEXITED(status))
            read_failure(helper->result_fd, &end);
        tell(helper, &end);
        if (end.result && !kept)
            (void)munmap((void *)(uintptr_t)end.result, end.n);
        free_helper(helper);
        return true;
    }
    return false;
}

void helpers_each(const Helpers *h, void (*take)(pid_t pid, void *userdata), void *userdata) {
    LIST_FOREACH (helper, &h->list, Helper, link)
        take(helper->pid, userdata);
}

const char *helper_end_text(const HelperEnd *end, char *buf, size_t size) {
    const char *name = WIFSIGNALED(end->status) ? sigabbrev_np(WTERMSIG(end->status)) : NULL;
    if (end->error < 0)
        (void)snprintf(buf, size, "cannot be run: %s", strerror(-end->error));
    else if (end->unwritten)
        (void)snprintf(buf, size, "could not write what it found%s%s", end->write_error < 0 ? ": " : "",
                       end->write_error < 0 ? strerror(-end->write_error) : "");
    else if (end->too_late)
        (void)snprintf(buf, size, "took longer than %llu s",
                       (unsigned long long)(end->time_usec / USEC_PER_SEC));
    else if (name)
        (void)snprintf(buf, size, "was killed by SIG%s", name);
    else if (WIFSIGNALED(end->status))
        (void)snprintf(buf, size, "was killed by signal %d", WTERMSIG(end->status));
    else
        (void)snprintf(buf, size, "ended with exit status %d", WEXITSTATUS(end->status));
    return buf;
}

int helper_result_fd(int argc, char *const *argv) {
    const char *word = argc > 0 ? argv[argc - 1] : "";
    if (!starts_with(word, HELPER_RESULT_WORD))
        return -EBADF;
    char *end = NULL;
    const char *number = word + strlen(HELPER_RESULT_WORD);
    long fd = strtol(number, &end, 10);
    return *number && *end == '\0' && fd > STDERR_FILENO && fd <= INT32_MAX ? (int)fd : -EBADF;
}

int helper_write_result(int fd, const void *data, size_t n) {
    const char *from = data;
    size_t at = 0;
    /* What an earlier one has left is not part of this one. */
    if (n > 0 && ftruncate(fd, 0) < 0)
        return -errno;
    while (at < n) {
        ssize_t k = pwrite(fd, from + at, n - at, (off_t)at);
        if (k < 0 && errno != EINTR)
            return -errno;
        if (k > 0)
            at += (size_t)k;
    }
    return 0;
}

int helper_tell_unwritten(int fd, int error) {
    int positive = -error;
    /* What there is of it takes the room. */
    if (ftruncate(fd, 0) == 0)
        (void)!pwrite(fd, &positive, sizeof(positive), 0);
    return HELPER_NOT_WRITTEN;
}
