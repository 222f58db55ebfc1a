/* SPDX-License-Identifier: MIT */
/* mpctl top: the loop over keys, the daemon's answers and the clock. */
#include <poll.h>
#include <signal.h>
#include <string.h>
#include <sys/signalfd.h>

#include "conf/suggest.h"
#include "ctl/top-table.h"
#include "ctl/top-terminal.h"
#include "ctl/top.h"
#include "ctl/verbs.h"
#include "daemon/base/clock.h"

#define DELAY_USEC USEC_PER_SEC

static void top_done(Top *t) {
    terminal_stop();
    top_model_done(&t->model);
    top_screen_done(&t->screen);
    top_daemon_done(&t->daemon);
    text_done(&t->prompt);
    free(t->kill_service);
}

/* The screen. */

static TerminalInk ink_of(Color color) {
    static const TerminalInk inks[_COLOR_MAX] = {
        [COLOR_NONE] = {.foreground = -1},
        [COLOR_GREEN] = {.foreground = 2},
        [COLOR_YELLOW] = {.foreground = 3},
        [COLOR_RED] = {.foreground = 1, .bold = true},
        [COLOR_GREY] = {.foreground = -1, .dim = true},
        [COLOR_BOLD] = {.foreground = -1, .bold = true},
    };
    return inks[color];
}

static void paint_line(size_t i, const TopLine *line) {
    const TerminalInk selected = {.foreground = -1, .reverse = true};
    const char *s = line->text.s, *text;
    size_t n = line->text.len, len, taken, column = 0;
    Color color;
    if (line->selected)
        terminal_fill(i, selected);
    while (n > 0 && (taken = style_next_run(s, n, &text, &len, &color)) > 0) {
        column = terminal_put(i, column, text, len, line->selected ? selected : ink_of(color));
        s += taken;
        n -= taken;
    }
}

static void paint(Top *t) {
    size_t height;
    terminal_size(&t->style.width, &height);
    t->style.now_usec = clock_realtime_usec();
    bool trouble = t->daemon.trouble.len > 0;
    t->look.notice = trouble                  ? t->daemon.trouble.s
                     : t->daemon.said.len > 0 ? t->daemon.said.s
                     : !t->model.status       ? "asking mpinetd"
                                              : NULL;
    t->look.notice_bad = trouble || t->daemon.said_bad;
    t->look.prompt = t->mode == TOP_MODE_LISTS ? NULL : t->prompt.s;
    if (top_view(&t->model, &t->look, &t->style, height, &t->screen) < 0)
        return;
    terminal_begin();
    for (size_t i = 0; i < t->screen.n_lines; i++)
        paint_line(i, &t->screen.lines[i]);
    terminal_show();
    t->changed = false;
}

/* The loop. */

static void on_signal(Top *t, int fd) {
    struct signalfd_siginfo info;
    while (read(fd, &info, sizeof(info)) == (ssize_t)sizeof(info)) {
        t->changed = true;
        switch (info.ssi_signo) {
        case SIGWINCH:
            break;
        case SIGTSTP:
            terminal_suspend();
            break;
        case SIGCONT:
            terminal_resume();
            break;
        default:
            t->signal = (int)info.ssi_signo;
            t->ended = true;
        }
    }
}

static int wait_msec(uint64_t next_usec, uint64_t now_usec) {
    if (next_usec == USEC_INFINITY)
        return -1;
    if (next_usec <= now_usec)
        return 0;
    uint64_t msec = (next_usec - now_usec + USEC_PER_MSEC - 1) / USEC_PER_MSEC;
    return msec > INT32_MAX ? INT32_MAX : (int)msec;
}

static void run(Top *t, int signal_fd) {
    TopLook *look = &t->look;
    while (!t->ended) {
        uint64_t now = clock_monotonic_usec();
        if (top_daemon_ask(&t->daemon, &t->model, look->delay_usec, look->paused, look->instances, now))
            t->changed = true;
        if (t->changed)
            paint(t);
        struct pollfd fds[] = {
            {.fd = signal_fd, .events = POLLIN},
            {.fd = STDIN_FILENO, .events = POLLIN},
            {.fd = top_daemon_fd(&t->daemon), .events = POLLIN},
        };
        (void)poll(fds, ELEMENTS(fds), wait_msec(top_daemon_next(&t->daemon, look->paused), now));
        now = clock_monotonic_usec();
        if (fds[0].revents)
            on_signal(t, signal_fd);
        if (fds[2].revents && top_daemon_read(&t->daemon, &t->model, look->delay_usec, now))
            t->changed = true;
        if (fds[1].revents & POLLIN)
            for (uint32_t key; !t->ended && (key = terminal_key()) != 0;)
                top_on_key(t, key, now);
        else if (fds[1].revents)
            t->ended = true; /* the terminal has gone */
    }
}

static int run_on_terminal(Ctl *c, Top *t, sigset_t *signals) {
    static const struct {
        const char *what, *hint;
    } errors[] = {
        [TERMINAL_NO_NAME] = {"top needs to know the terminal, and TERM is not set",
                              "set it: export TERM=xterm; or use 'mpctl status'"},
        [TERMINAL_UNKNOWN] = {"top does not know this kind of terminal (TERM)",
                              "set another: export TERM=xterm; or use 'mpctl status'"},
        [TERMINAL_DUMB] = {"top needs a terminal whose cursor can be moved, and this one (TERM) has none",
                           "use 'mpctl status', or --json for programs"},
    };
    TerminalError error = terminal_start(c->style.color);
    if (error == TERMINAL_FAILED)
        return ctl_fail(c, CTL_FAILED, NULL, "cannot use the terminal");
    if (error != TERMINAL_OK)
        return ctl_fail(c, CTL_USAGE, errors[error].hint, "%s", errors[error].what);
    CLEANUP_CLOSE int fd = signalfd(-1, signals, SFD_CLOEXEC | SFD_NONBLOCK);
    if (fd >= 0)
        run(t, fd);
    terminal_stop();
    return fd >= 0 ? CTL_DONE : ctl_fail(c, CTL_FAILED, NULL, "cannot watch for signals");
}

/* Ends as the signal would have ended it, so that whoever started it sees that. */
static void end_by(int signal, const sigset_t *signals) {
    (void)sigaction(signal, &(struct sigaction){.sa_handler = SIG_DFL}, NULL);
    (void)raise(signal);
    (void)sigprocmask(SIG_UNBLOCK, signals, NULL);
}

static int decode_sort(Ctl *c, TopColumn *ret) {
    const char *word = c->options.values[OPTION_SORT];
    Suggestion s = {.word = word};
    CLEANUP_TEXT Text shown = {0};
    if (!word)
        return CTL_DONE;
    for (size_t i = 0; i < _TOP_COLUMN_MAX; i++) {
        const char *name = top_column_to_string((TopColumn)i);
        if (strcasecmp(name, word) == 0) {
            *ret = (TopColumn)i;
            return CTL_DONE;
        }
        suggestion_offer(&s, name);
    }
    text_add_escaped(&shown, word, strlen(word));
    if (s.best)
        return ctl_fail(c, CTL_USAGE, NULL, "no column '%s'; did you mean '%s'?", shown.s, s.best);
    return ctl_fail(c, CTL_USAGE, "'mpctl top -o help' lists them", "no column '%s'", shown.s ? shown.s : "");
}

static int check_usage(Ctl *c) {
    if (c->options.format != OUTPUT_TEXT)
        return ctl_fail(c, CTL_USAGE, "'mpctl status' has --json and --plain, and so has 'mpctl ps'",
                        "'top' is for people: it has neither --json nor --plain");
    if (c->options.values[OPTION_COLUMNS])
        return ctl_fail(c, CTL_USAGE, "-S names the column by which it sorts; '-o help' lists them",
                        "'top' chooses its columns by the width of the terminal");
    if (!isatty(STDIN_FILENO) || !isatty(STDOUT_FILENO))
        return ctl_fail(c, CTL_USAGE, "'mpctl status' shows the same once, with --json for programs",
                        "'top' needs a terminal");
    return CTL_DONE;
}

int verb_top(Ctl *c, char *const *args) {
    const char *columns = c->options.values[OPTION_COLUMNS];
    TopColumn sort = TOP_SERVICE;
    (void)args;
    if (columns && strcasecmp(columns, "help") == 0) {
        top_list_columns(&c->out);
        return CTL_DONE;
    }
    int status = check_usage(c);
    if (status == 0)
        status = decode_sort(c, &sort);
    if (status != 0)
        return status;
    Top t = {.style = c->style, .look = {.instances = true, .delay_usec = DELAY_USEC}};
    if (c->options.delay_usec != USEC_INFINITY)
        t.look.delay_usec = c->options.delay_usec;
    /* Where the terminal has no colours, the attributes stay. */
    t.style.color = true;
    top_model_init(&t.model, sort);
    top_model_only_failed(&t.model, options_has(&c->options, OPTION(FAILED)));
    status = top_daemon_open(&t.daemon, c);
    if (status == 0) {
        static const int watched[] = {SIGINT, SIGTERM, SIGHUP, SIGQUIT, SIGTSTP, SIGCONT, SIGWINCH};
        sigset_t signals, before;
        (void)sigemptyset(&signals);
        for (size_t i = 0; i < ELEMENTS(watched); i++)
            (void)sigaddset(&signals, watched[i]);
        (void)sigprocmask(SIG_BLOCK, &signals, &before);
        status = run_on_terminal(c, &t, &signals);
        if (t.signal)
            end_by(t.signal, &signals);
        (void)sigprocmask(SIG_SETMASK, &before, NULL);
    }
    top_done(&t);
    return status;
}
