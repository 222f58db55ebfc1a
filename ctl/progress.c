/* SPDX-License-Identifier: MIT */
#include "ctl/progress.h"

#include <string.h>
#include <sys/ioctl.h>
#include <sys/signalfd.h>

#include "daemon/base/clock.h"

/* 128 + SIGINT, as shells have it. */
#define STATUS_INTERRUPTED 130

static size_t terminal_width(void) {
    struct winsize size;
    return ioctl(STDERR_FILENO, TIOCGWINSZ, &size) == 0 ? size.ws_col : 0;
}

void progress_begin(Progress *p, Ctl *c) {
    const char *term = getenv("TERM");
    sigset_t mask;
    *p = (Progress){
        .ctl = c,
        .silent = options_has(&c->options, OPTION(QUIET)) || ctl_wants_json(c),
        .rewrites = isatty(STDERR_FILENO) && !(term && streq(term, "dumb")),
        .width = terminal_width(),
        .start_usec = clock_monotonic_usec(),
    };
    (void)sigemptyset(&mask);
    (void)sigaddset(&mask, SIGINT);
    (void)sigprocmask(SIG_BLOCK, &mask, &p->old_mask);
    p->signals = signalfd(-1, &mask, SFD_CLOEXEC | SFD_NONBLOCK);
}

bool progress_ask(Progress *p, Ctl *c, Method method, const char *words, int *ret_status) {
    *ret_status = ctl_connect(c);
    if (*ret_status != 0)
        return false;
    progress_begin(p, c);
    *ret_status = ctl_send(c, method, NULL, false);
    if (*ret_status != 0 || options_has(&c->options, OPTION(NO_WAIT)))
        return false;
    progress_await(p, words);
    return true;
}

void progress_done(Progress *p) {
    if (!p->ctl)
        return;
    progress_end(p);
    p->signals = fd_close(p->signals);
    (void)sigprocmask(SIG_SETMASK, &p->old_mask, NULL);
    text_done(&p->words);
    p->ctl = NULL;
}

static void add_elapsed(const Progress *p, uint64_t now, Text *out) {
    uint64_t sec = (now - p->start_usec) / USEC_PER_SEC;
    if (sec < 60)
        text_addf(out, "%llu s", (unsigned long long)sec);
    else
        format_age(out, now - p->start_usec);
}

static void show(Progress *p) {
    const Style *style = &p->ctl->style;
    uint64_t now = clock_monotonic_usec();
    CLEANUP_TEXT Text line = {0}, cut = {0};
    if (p->silent || p->words.len == 0)
        return;
    if (!p->rewrites && p->shown_usec != 0 && now - p->shown_usec < USEC_PER_SEC)
        return;
    text_add(&line, p->words.s);
    if (now - p->start_usec >= USEC_PER_SEC) {
        text_addf(&line, " %s ", style_ellipsis(style));
        add_elapsed(p, now, &line);
    }
    /* A line that goes over the edge cannot be rewritten. */
    style_add_cut(style, &cut, line.s ? line.s : "", p->rewrites && p->width > 1 ? p->width - 1 : SIZE_MAX);
    (void)fprintf(stderr, p->rewrites ? "\r\033[K%s" : "%s\n", cut.s ? cut.s : "");
    (void)fflush(stderr);
    p->open = p->rewrites;
    p->shown_usec = now;
}

void progress_say(Progress *p, const char *words) {
    text_reset(&p->words);
    text_add_escaped(&p->words, words, strlen(words));
    show(p);
}

void progress_await(Progress *p, const char *words) {
    text_reset(&p->words);
    text_add(&p->words, words);
}

void progress_end(Progress *p) {
    if (p->open)
        (void)fputs("\r\033[K", stderr);
    p->open = false;
}

int progress_receive(Progress *p, uint64_t timeout_usec, Reply *ret) {
    for (;;) {
        uint64_t gone = clock_monotonic_usec() - p->start_usec,
                 left = timeout_usec == USEC_INFINITY ? USEC_INFINITY
                        : timeout_usec > gone         ? timeout_usec - gone
                                                      : 0,
                 tick = USEC_PER_SEC - gone % USEC_PER_SEC;
        int r = client_receive_or(p->ctl->client, left < tick ? left : tick, p->signals, ret);
        if (r != -ETIMEDOUT || left <= tick)
            return r;
        show(p);
    }
}

void progress_add_time(const Progress *p, Text *out) {
    uint64_t now = clock_monotonic_usec();
    if (now - p->start_usec < USEC_PER_SEC)
        return;
    text_add(out, " (");
    add_elapsed(p, now, out);
    text_addc(out, ')');
}

int progress_interrupted(Progress *p) {
    struct signalfd_siginfo taken;
    progress_end(p);
    /* Else it would still end us, as soon as it is not blocked any more. */
    (void)!read(p->signals, &taken, sizeof(taken));
    (void)ctl_fail(p->ctl, CTL_FAILED, NULL, "interrupted; mpinetd goes on with it");
    return STATUS_INTERRUPTED;
}
