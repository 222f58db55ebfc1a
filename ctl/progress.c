/* SPDX-License-Identifier: MIT */
#include "ctl/progress.h"

#include <string.h>
#include <sys/ioctl.h>
#include <sys/signalfd.h>

#include "ctl/fields.h"
#include "daemon/base/clock.h"

/* How long an answer may take that is given at once. */
#define ANSWER_TIMEOUT_USEC (30 * USEC_PER_SEC)
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

int progress_ask(Progress *p, Ctl *c, Method method, const char *words) {
    int status = ctl_connect(c);
    if (status != 0)
        return status;
    progress_begin(p, c);
    progress_await(p, words);
    return ctl_send(c, method, NULL, options_has(&c->options, OPTION(NO_WAIT)));
}

uint64_t progress_timeout(const Progress *p, uint64_t usec) {
    const Options *o = &p->ctl->options;
    if (o->timeout_usec != USEC_INFINITY)
        return o->timeout_usec;
    return options_has(o, OPTION(NO_WAIT)) ? ANSWER_TIMEOUT_USEC : usec;
}

void progress_done(Progress *p) {
    if (!p->ctl)
        return;
    progress_end(p);
    p->signals = fd_close(p->signals);
    (void)sigprocmask(SIG_SETMASK, &p->old_mask, NULL);
    text_done(&p->words);
    json_decref(p->last);
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

void progress_say(Progress *p, const json_t *parameters) {
    text_reset(&p->words);
    field_show(&p->words, parameters, "progress");
    json_decref(p->last);
    p->last = json_incref((json_t *)parameters);
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

static int give_up(Progress *p, int error, const char *hint, const char *words) {
    Ctl *c = p->ctl;
    progress_end(p);
    if (ctl_wants_json(c) && p->last)
        ctl_add_json(c, p->last);
    else if (ctl_wants_json(c))
        ctl_add_failed(c, error, words);
    return ctl_fail(c, CTL_FAILED, hint, "%s", words);
}

int progress_give_up(Progress *p, const char *hint, const char *words) {
    return give_up(p, ETIMEDOUT, hint, words);
}

int progress_interrupted(Progress *p) {
    struct signalfd_siginfo taken;
    /* Else it would still end us, as soon as it is not blocked any more. */
    (void)!read(p->signals, &taken, sizeof(taken));
    (void)give_up(p, EINTR, NULL, "interrupted; mpinetd goes on with it");
    return STATUS_INTERRUPTED;
}
