/* SPDX-License-Identifier: MIT */
#include "services/shape-life.h"

#include <poll.h>
#include <signal.h>
#include <sys/signalfd.h>

#include "daemon/base/cleanup.h"
#include "daemon/base/clock.h"
#include "services/mp-service.h"

int life_init(Life *l, const Options *options, LifeCount *count, const void *self, bool children) {
    *l = (Life){.options = options,
                .count = count,
                .self = self,
                .signals = -EBADF,
                .active_usec = clock_monotonic_usec(),
                .stop_usec = USEC_INFINITY};
    sigset_t mask;
    sigemptyset(&mask);
    sigaddset(&mask, SIGTERM);
    sigaddset(&mask, SIGINT);
    if (children)
        sigaddset(&mask, SIGCHLD);
    if (sigprocmask(SIG_BLOCK, &mask, NULL) < 0)
        return -errno;
    l->signals = signalfd(-1, &mask, SFD_CLOEXEC | SFD_NONBLOCK);
    return l->signals < 0 ? -errno : 0;
}

void life_done(Life *l) {
    l->signals = fd_close(l->signals);
}

bool life_is_stopping(const Life *l) {
    return l->stop_usec != USEC_INFINITY;
}

void life_stop(Life *l, uint64_t now_usec) {
    l->stop_usec = life_is_stopping(l) ? now_usec : now_usec + l->options->drain_sec * USEC_PER_SEC;
}

bool life_take_signals(Life *l, uint64_t now_usec) {
    struct signalfd_siginfo info;
    bool child = false;
    while (read(l->signals, &info, sizeof(info)) == (ssize_t)sizeof(info)) {
        if (info.ssi_signo == SIGCHLD) {
            child = true;
            continue;
        }
        if (!life_is_stopping(l))
            (void)mp_report("STOPPING=1\n");
        life_stop(l, now_usec);
    }
    return child;
}

static bool is_idle(const ProgressCount *c) {
    return c->active == 0 && c->queued == 0;
}

static uint64_t idle_until(const Life *l) {
    return l->options->idle_sec == 0 ? USEC_INFINITY : l->active_usec + l->options->idle_sec * USEC_PER_SEC;
}

LifeWish life_wish(const Life *l, const ProgressCount *c, uint64_t now_usec, bool waits) {
    if (!life_is_stopping(l))
        return is_idle(c) && now_usec >= idle_until(l) ? LIFE_STOP : LIFE_GO_ON;
    return now_usec >= l->stop_usec || (is_idle(c) && !waits) ? LIFE_END : LIFE_GO_ON;
}

static ProgressCount count(const Life *l) {
    ProgressCount c = {0};
    l->count(l->self, &c);
    return c;
}

LifeWish life_look(Life *l, uint64_t now_usec, bool waits) {
    ProgressCount c = count(l);
    if (!is_idle(&c) || c.requests != l->requests)
        l->active_usec = now_usec;
    l->requests = c.requests;
    progress_send(&l->progress, &c, now_usec);
    return life_wish(l, &c, now_usec, waits);
}

uint64_t life_until(const Life *l) {
    ProgressCount c = count(l);
    uint64_t until = progress_due(&l->progress, &c);
    uint64_t other = life_is_stopping(l) ? l->stop_usec : is_idle(&c) ? idle_until(l) : USEC_INFINITY;
    return other < until ? other : until;
}

void life_report_end(Life *l) {
    ProgressCount c = count(l);
    progress_send(&l->progress, &c, USEC_INFINITY - 1);
}

int life_timeout(uint64_t until_usec, uint64_t now_usec) {
    const uint64_t longest_msec = 3600000;
    if (until_usec == USEC_INFINITY)
        return -1;
    uint64_t left = until_usec > now_usec ? until_usec - now_usec : 0;
    uint64_t msec = left / USEC_PER_MSEC + (left % USEC_PER_MSEC != 0);
    return (int)(msec < longest_msec ? msec : longest_msec);
}

StreamState life_serve(Life *l, Stream *s) {
    for (;;) {
        StreamState state = stream_step(s);
        if (state != STREAM_OPEN)
            return state;
        uint64_t now = clock_monotonic_usec();
        if (life_look(l, now, true) == LIFE_END)
            return STREAM_GONE;
        short in = stream_wants_in(s), out = stream_wants_out(s);
        struct pollfd p[] = {
            {.fd = l->signals, .events = POLLIN},
            {.fd = in ? stream_in(s) : -1, .events = in},
            {.fd = out ? stream_out(s) : -1, .events = out},
        };
        if (poll(p, ELEMENTS(p), life_timeout(life_until(l), now)) > 0 && p[0].revents)
            (void)life_take_signals(l, clock_monotonic_usec());
    }
}
