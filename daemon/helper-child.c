/* SPDX-License-Identifier: MIT */
#include "daemon/helper-child.h"

#include <fcntl.h>
#include <grp.h>
#include <linux/capability.h>
#include <signal.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "daemon/base/cleanup.h"
#include "daemon/base/sanitized.h"

#define NOBODY 65534U
#define CAPABILITIES_MAX 64U

typedef struct __user_cap_header_struct CapHeader;
typedef struct __user_cap_data_struct CapData[_LINUX_CAPABILITY_U32S_3];

static CapHeader cap_header(void) {
    return (CapHeader){.version = _LINUX_CAPABILITY_VERSION_3};
}

static uint64_t permitted_capabilities(void) {
    CapHeader header = cap_header();
    CapData data = {{0}};
    if (syscall(SYS_capget, &header, data) < 0)
        return 0;
    return (uint64_t)data[1].permitted << 32 | data[0].permitted;
}

/* Those to have, and those that may come through execve(2). */
static void set_capabilities(uint64_t set, uint64_t inheritable) {
    CapHeader header = cap_header();
    CapData data = {{0}};
    for (size_t i = 0; i < _LINUX_CAPABILITY_U32S_3; i++) {
        data[i].permitted = data[i].effective = (uint32_t)(set >> (32 * i));
        data[i].inheritable = (uint32_t)(inheritable >> (32 * i));
    }
    (void)syscall(SYS_capset, &header, data);
}

/* What reading as root takes: the capability to do just that, or where a container does not have it the one
 * to read and write; with neither of them root reads what belongs to it, like any user. */
static uint64_t reading_capability(uint64_t permitted) {
    static const unsigned choices[] = {CAP_DAC_READ_SEARCH, CAP_DAC_OVERRIDE};
    for (size_t i = 0; i < ELEMENTS(choices); i++)
        if (permitted & (uint64_t)1 << choices[i])
            return (uint64_t)1 << choices[i];
    return 0;
}

/* What a blind one takes through execve(2) to give it up there. As long as it has a capability more than they
 * have, other processes of nobody's cannot trace it before it has closed itself to them; with one capability
 * that is enough, and that of reading is the one that a helper has otherwise. */
static uint64_t shielding_capability(uint64_t permitted) {
    uint64_t reading = reading_capability(permitted);
    return reading ? reading : permitted & -permitted;
}

/* Each step is tried, whatever the others gave: where an id is not mapped, the capabilities go all the same.
 */
static bool become_nobody(void) {
    bool groups = setgroups(0, NULL) == 0;
    bool group = setresgid(NOBODY, NOBODY, NOBODY) == 0;
    bool user = setresuid(NOBODY, NOBODY, NOBODY) == 0;
    return groups && group && user;
}

/* As far as it can be done: in a container some of the steps may not be possible. */
static void drop_root(bool blind) {
    if (geteuid() != 0)
        return;
    uint64_t all = permitted_capabilities();
    uint64_t kept = blind ? shielding_capability(all) : reading_capability(all);
    /* Only what is in the bounding set can become inheritable, so that one goes afterwards. */
    set_capabilities(all, kept);
    for (unsigned i = 0; i < CAPABILITIES_MAX; i++)
        (void)prctl(PR_CAPBSET_DROP, i, 0, 0, 0);
    if (kept || blind) {
        /* However many processes that user has: setrlimit(2), RLIMIT_NPROC, and execve(2), EAGAIN. */
        const struct rlimit any = {.rlim_cur = RLIM_INFINITY, .rlim_max = RLIM_INFINITY};
        (void)setrlimit(RLIMIT_NPROC, &any);
        if (kept)
            (void)prctl(PR_SET_KEEPCAPS, 1, 0, 0, 0);
        (void)become_nobody();
    }
    set_capabilities(kept, kept);
    (void)prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_CLEAR_ALL, 0, 0, 0);
    for (unsigned i = 0; i < CAPABILITIES_MAX; i++)
        if (kept & (uint64_t)1 << i)
            (void)prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_RAISE, i, 0, 0);
}

static void set_up_signals(void) {
    sigset_t none;
    for (int s = 1; s < NSIG; s++)
        (void)signal(s, SIG_DFL);
    (void)sigemptyset(&none);
    (void)sigprocmask(SIG_SETMASK, &none, NULL);
}

/* Those in between are closed. Where close_range(2) is missing, before Linux 5.9, exec does it: all of ours
 * are close-on-exec from birth. */
static int keep_descriptors(const HelperChild *c) {
    unsigned next = STDERR_FILENO + 1;
    for (size_t i = 0; i < c->n_fds; i++) {
        unsigned fd = (unsigned)c->fds[i];
        if (fd > next)
            (void)close_range(next, fd - 1, 0);
        next = fd + 1;
        if (c->fds[i] != c->exe_fd && fcntl(c->fds[i], F_SETFD, 0) < 0)
            return -errno;
    }
    (void)close_range(next, ~0U, 0);
    return 0;
}

/* At most what it has. Of time the hard limit comes a second later: the soft one says what it was about. */
static void set_limit(__rlimit_resource_t resource, rlim_t value) {
    struct rlimit limit;
    if (value == 0 || getrlimit(resource, &limit) < 0)
        return;
    rlim_t hard = resource == RLIMIT_CPU ? value + 1 : value;
    limit.rlim_max = hard < limit.rlim_max ? hard : limit.rlim_max;
    limit.rlim_cur = value < limit.rlim_max ? value : limit.rlim_max;
    (void)setrlimit(resource, &limit);
}

static void set_limits(const HelperLimits *l) {
    const struct rlimit none = {0};
    (void)setrlimit(RLIMIT_CORE, &none);
    set_limit(RLIMIT_CPU, l->cpu_seconds);
    /* A limit on memory would be one on the sanitizer's own. */
    set_limit(RLIMIT_AS, HAS_ADDRESS_SANITIZER ? 0 : l->memory);
    set_limit(RLIMIT_FSIZE, l->file_size);
    set_limit(RLIMIT_NOFILE, l->descriptors);
}

/* What it writes is memory, and not what a limit of the daemon's own is there for. Root may raise it. */
static void allow_result(const HelperLimits *l) {
    const struct rlimit limit = {.rlim_cur = l->file_size, .rlim_max = l->file_size};
    if (l->file_size > 0)
        (void)setrlimit(RLIMIT_FSIZE, &limit);
}

/* Returns only when it has failed, as a negative errno. */
static int execute(const HelperChild *c) {
    const HelperPlan *plan = c->plan;
    if (plan->path) {
        (void)execve(plan->path, c->argv, plan->environ);
        return -errno;
    }
    (void)execveat(c->exe_fd, "", c->argv, plan->environ, AT_EMPTY_PATH);
    if (errno != ENOSYS || !c->path)
        return -errno;
    (void)execve(c->path, c->argv, plan->environ);
    return -errno;
}

static int prepare(const HelperChild *c) {
    int r = keep_descriptors(c);
    if (r < 0)
        return r;
    /* On a terminal it is not the one that Ctrl-C is for. */
    (void)setsid();
    set_up_signals();
    allow_result(&c->plan->limits);
    if (c->plan->drop_root || c->plan->blind)
        drop_root(c->plan->blind);
    set_limits(&c->plan->limits);
    (void)prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0);
    /* prctl(2): a change of ids forgets it, so it comes behind them. The daemon may have gone before. */
    (void)prctl(PR_SET_PDEATHSIG, SIGKILL, 0, 0, 0);
    return getppid() == c->parent ? 0 : -ESRCH;
}

_Noreturn void helper_child_main(const HelperChild *c) {
    int r = prepare(c);
    if (r == 0)
        r = execute(c);
    int error = -r;
    ssize_t n = pwrite(c->result_fd, &error, sizeof(error), 0);
    _exit(n == (ssize_t)sizeof(error) ? HELPER_NOT_STARTED : EXIT_FAILURE);
}

void helper_settle(void) {
    (void)prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_CLEAR_ALL, 0, 0, 0);
    set_capabilities(permitted_capabilities(), 0);
    (void)prctl(PR_SET_PDEATHSIG, SIGKILL, 0, 0, 0);
}
