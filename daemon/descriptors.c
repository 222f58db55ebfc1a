/* SPDX-License-Identifier: MIT */
#include "daemon/descriptors.h"

#include <fcntl.h>
#include <limits.h>

#include "daemon/base/cleanup.h"
#include "daemon/sandbox.h"
#include "daemon/service.h"

/* Kept free of connections: for control clients, for the pipes of one more process, for a reload. Half of
 * them go to services that hardly run anything. */
#define RESERVED 16
#define FEW_INSTANCES 2
/* What the daemon itself has open, and is about to open for a first client and a first process. */
#define OWN 16U
/* What one connection takes: its own, and two pipes. */
#define A_CONNECTION 5

/* What the control group of a service takes: its folder, and that of all its processes. */
#define A_CGROUP 2U

/* So many a process has room for at once, in the kernel: whatever is below costs a child nothing. */
#define LOW 64
/* What is open for long is below that or from here on: what is open for a moment finds room between. */
#define LASTING 256

static void set_ceilings(Runtime *rt, rlim_t limit) {
    int most = limit < (rlim_t)INT_MAX ? (int)limit : INT_MAX;
    bool small = most <= 2 * RESERVED;
    rt->fd_ceiling = small ? most / 2 : most - RESERVED;
    rt->fd_ceiling_few = small ? most / 2 : most - RESERVED / 2;
}

void descriptors_init(Runtime *rt) {
    struct rlimit limit;
    if (getrlimit(RLIMIT_NOFILE, &limit) < 0)
        return;
    rt->nofile = (RlimitConfig){.resource = RLIMIT_NOFILE, .value = limit.rlim_cur};
    rt->nofile_hard = limit.rlim_max;
    if (limit.rlim_cur < limit.rlim_max) {
        limit.rlim_cur = limit.rlim_max;
        rt->nofile_raised = setrlimit(RLIMIT_NOFILE, &limit) == 0;
    }
    set_ceilings(rt, rt->nofile_raised ? rt->nofile_hard : rt->nofile.value);
}

size_t descriptors_lacking(const Config *config, uint64_t *ret_limit) {
    size_t needed = OWN;
    struct rlimit limit;
    for (size_t i = 0; i < config->n_services; i++) {
        const ServiceConfig *c = config->services[i];
        /* Those of its sandbox, and the folders of its control group. */
        if (c->enabled)
            needed += sandbox_descriptors(c, geteuid() == 0) + (c->cgroup ? A_CGROUP : 0);
        for (size_t k = 0; c->enabled && k < c->n_listen; k++)
            needed += c->listen[k].endpoint.n_addrs > 0 ? c->listen[k].endpoint.n_addrs : 1;
    }
    if (getrlimit(RLIMIT_NOFILE, &limit) < 0 || needed <= limit.rlim_cur)
        return 0;
    *ret_limit = limit.rlim_cur;
    return needed;
}

void descriptors_refresh(Runtime *rt) {
    struct rlimit limit;
    rt->crowded = true;
    if (getrlimit(RLIMIT_NOFILE, &limit) == 0)
        set_ceilings(rt, limit.rlim_cur);
}

/* The kernel gives the lowest free number: the last of some tells how many are free below a ceiling. */
bool descriptors_are_scarce(const Service *s) {
    Runtime *rt = s->rt;
    int probes[A_CONNECTION], last = -1, n = 0;
    if (!rt->crowded)
        return false;
    while (n < A_CONNECTION) {
        last = probes[n] = fcntl(rt->null_fd, F_DUPFD_CLOEXEC, 0);
        if (last < 0)
            break;
        n++;
    }
    while (n > 0)
        (void)fd_close(probes[--n]);
    rt->crowded = last < 0 || last >= rt->fd_ceiling;
    /* One that fills the rest does not shut out all others. */
    return last < 0 || last >= (s->n_instances < FEW_INSTANCES ? rt->fd_ceiling_few : rt->fd_ceiling);
}

int descriptors_lift(int fd, int ceiling) {
    if (fd < LOW || fd >= LASTING)
        return fd;
    int lifted = fcntl(fd, F_DUPFD_CLOEXEC, LASTING);
    /* What is kept free stays free. */
    if (lifted >= ceiling)
        lifted = fd_close(lifted);
    if (lifted < 0)
        return fd;
    (void)fd_close(fd);
    return lifted;
}

void descriptors_fence(DescriptorFence *f, const Runtime *rt) {
    f->n = 0;
    while (f->n < ELEMENTS(f->fds) && rt->fd_ceiling > 2 * LASTING) {
        int fd = fcntl(rt->null_fd, F_DUPFD_CLOEXEC, LOW);
        if (fd >= LASTING)
            (void)fd_close(fd);
        if (fd < 0 || fd >= LASTING)
            break;
        f->fds[f->n++] = fd;
    }
}

void descriptors_unfence(DescriptorFence *f) {
    while (f->n > 0)
        (void)fd_close(f->fds[--f->n]);
}
