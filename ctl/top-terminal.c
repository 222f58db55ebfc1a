/* SPDX-License-Identifier: MIT */
#include "ctl/top-terminal.h"

#include <signal.h>
#include <string.h>
#include <sys/ioctl.h>
#include <termios.h>
#include <time.h>
#include <unistd.h>

#define NCURSES_NOMACROS
#include <ncurses.h>
#include <term.h>

#include "ctl/top-keys.h"
#include "daemon/base/cleanup.h"

/* Those after which there is nobody left to give the terminal back. */
static const int crashes[] = {SIGSEGV, SIGABRT, SIGBUS, SIGFPE, SIGILL};

/* A signal handler has no other way to know about it. */
static struct {
    SCREEN *screen; /* NULL: not started */
    bool color;
    struct termios before;
    char restore[256]; /* what the terminal is to be sent */
    size_t n_restore;
    struct sigaction old[ELEMENTS(crashes)];
} terminal;

/* When the program crashes. Async-signal-safe: signal-safety(7). */
static void on_crash(int signal) {
    (void)!write(STDOUT_FILENO, terminal.restore, terminal.n_restore);
    (void)tcsetattr(STDIN_FILENO, TCSANOW, &terminal.before);
    for (size_t i = 0; i < ELEMENTS(crashes); i++)
        (void)sigaction(crashes[i], &terminal.old[i], NULL);
    (void)raise(signal);
}

static int keep_byte(int c) {
    if (terminal.n_restore < sizeof(terminal.restore))
        terminal.restore[terminal.n_restore++] = (char)c;
    return c;
}

/* In the order in which endwin(3) does it. */
static void prepare_restore(void) {
    static const char *const names[] = {"op", "sgr0", "rmkx", "cnorm", "rmcup"};
    terminal.n_restore = 0;
    for (size_t i = 0; i < ELEMENTS(names); i++) {
        const char *s = tigetstr(names[i]);
        if (s && s != (const char *)-1) /* NOLINT(performance-no-int-to-ptr): terminfo(3) says so */
            (void)tputs(s, 1, keep_byte);
    }
}

static void watch_crashes(void) {
    struct sigaction action = {.sa_handler = on_crash};
    (void)sigemptyset(&action.sa_mask);
    for (size_t i = 0; i < ELEMENTS(crashes); i++)
        (void)sigaction(crashes[i], &action, &terminal.old[i]);
}

static TerminalError check_term(void) {
    const char *name = getenv("TERM");
    int error = 0;
    if (!name || !*name)
        return TERMINAL_NO_NAME;
    if (setupterm(name, STDOUT_FILENO, &error) == ERR)
        /* Known, but with no cursor that moves: "dumb", or a printer. */
        return error == 1 ? TERMINAL_DUMB : TERMINAL_UNKNOWN;
    const char *move = tigetstr("cup");
    bool dumb = !move || move == (const char *)-1; /* NOLINT(performance-no-int-to-ptr): terminfo(3) */
    (void)del_curterm(cur_term);
    return dumb ? TERMINAL_DUMB : TERMINAL_OK;
}

static void start_colors(void) {
    terminal.color = terminal.color && has_colors() && start_color() == OK;
    if (!terminal.color)
        return;
    short background = use_default_colors() == OK ? (short)-1 : (short)0;
    for (short i = 0; i < TERMINAL_COLORS; i++)
        (void)init_pair((short)(i + 1), i, background);
}

TerminalError terminal_start(bool color) {
    TerminalError error = check_term();
    if (error != TERMINAL_OK)
        return error;
    if (tcgetattr(STDIN_FILENO, &terminal.before) < 0)
        return TERMINAL_FAILED;
    /* The size is the window's, whatever LINES and COLUMNS say. */
    use_env(FALSE);
    use_tioctl(TRUE);
    terminal.screen = newterm(NULL, stdout, stdin);
    if (!terminal.screen)
        return TERMINAL_FAILED;
    terminal.color = color;
    prepare_restore();
    watch_crashes();
    start_colors();
    (void)cbreak();
    (void)noecho();
    (void)nonl();
    (void)intrflush(stdscr, FALSE);
    (void)keypad(stdscr, TRUE);
    (void)nodelay(stdscr, TRUE);
    (void)set_escdelay(25);
    (void)curs_set(0);
    return TERMINAL_OK;
}

void terminal_stop(void) {
    if (!terminal.screen)
        return;
    (void)endwin();
    for (size_t i = 0; i < ELEMENTS(crashes); i++)
        (void)sigaction(crashes[i], &terminal.old[i], NULL);
    delscreen(terminal.screen);
    terminal.screen = NULL;
}

/* After endwin(3): whatever was written meanwhile is painted over. */
static void take_again(void) {
    (void)clearok(curscr, TRUE);
    (void)refresh();
}

void terminal_suspend(void) {
    const struct timespec none = {0};
    sigset_t stop, go_on, before;
    (void)sigemptyset(&stop);
    (void)sigaddset(&stop, SIGTSTP);
    (void)sigemptyset(&go_on);
    (void)sigaddset(&go_on, SIGCONT);
    (void)endwin();
    (void)signal(SIGTSTP, SIG_DFL);
    (void)raise(SIGTSTP);
    /* Here it stands still, unless nobody could make it go on again: setpgid(2), orphaned groups. */
    (void)sigprocmask(SIG_UNBLOCK, &stop, &before);
    (void)sigprocmask(SIG_SETMASK, &before, NULL);
    /* That is known already. */
    (void)sigtimedwait(&go_on, NULL, &none);
    take_again();
}

void terminal_resume(void) {
    (void)endwin();
    take_again();
}

void terminal_size(size_t *ret_width, size_t *ret_height) {
    struct winsize size = {0};
    if (ioctl(STDOUT_FILENO, TIOCGWINSZ, &size) == 0 && size.ws_row > 0 && size.ws_col > 0 &&
        (size.ws_row != getmaxy(stdscr) || size.ws_col != getmaxx(stdscr)))
        (void)resizeterm(size.ws_row, size.ws_col);
    *ret_width = (size_t)getmaxx(stdscr);
    *ret_height = (size_t)getmaxy(stdscr);
}

void terminal_begin(void) {
    (void)erase();
}

static attr_t attributes_of(TerminalInk ink) {
    return (ink.bold ? A_BOLD : A_NORMAL) | (ink.dim ? A_DIM : A_NORMAL) |
           (ink.reverse ? A_REVERSE : A_NORMAL);
}

static void use(TerminalInk ink) {
    bool colored = terminal.color && ink.foreground >= 0 && ink.foreground < TERMINAL_COLORS;
    (void)attr_set(attributes_of(ink), colored ? (short)(ink.foreground + 1) : (short)0, NULL);
}

void terminal_fill(size_t line, TerminalInk ink) {
    use(ink);
    (void)mvhline((int)line, 0, ' ' | attributes_of(ink), getmaxx(stdscr));
}

size_t terminal_put(size_t line, size_t column, const char *text, size_t n, TerminalInk ink) {
    if (n == 0)
        return column;
    use(ink);
    /* Past the last place of the window it says ERR, and has written all the same. */
    if (mvaddnstr((int)line, (int)column, text, (int)n) == ERR)
        return (size_t)getmaxx(stdscr);
    return getcury(stdscr) == (int)line ? (size_t)getcurx(stdscr) : (size_t)getmaxx(stdscr);
}

void terminal_show(void) {
    (void)attr_set(A_NORMAL, 0, NULL);
    (void)refresh();
}

uint32_t terminal_key(void) {
    static const struct {
        wint_t from;
        uint32_t to;
    } keys[] = {
        {KEY_UP, TOP_KEY_UP},           {KEY_DOWN, TOP_KEY_DOWN},           {KEY_PPAGE, TOP_KEY_PAGE_UP},
        {KEY_NPAGE, TOP_KEY_PAGE_DOWN}, {KEY_HOME, TOP_KEY_HOME},           {KEY_END, TOP_KEY_END},
        {KEY_ENTER, TOP_KEY_ENTER},     {KEY_BACKSPACE, TOP_KEY_BACKSPACE},
    };
    static const struct {
        wint_t from;
        uint32_t to;
    } characters[] = {
        {'\r', TOP_KEY_ENTER},    {'\n', TOP_KEY_ENTER}, {'\b', TOP_KEY_BACKSPACE},
        {127, TOP_KEY_BACKSPACE}, {'\t', TOP_KEY_TAB},   {27, TOP_KEY_ESCAPE},
    };
    for (;;) {
        wint_t c = 0;
        int r = get_wch(&c);
        if (r == ERR)
            return 0;
        if (r == OK) {
            for (size_t i = 0; i < ELEMENTS(characters); i++)
                if (characters[i].from == c)
                    return characters[i].to;
            if (c >= ' ')
                return c;
            continue;
        }
        for (size_t i = 0; i < ELEMENTS(keys); i++)
            if (keys[i].from == c)
                return keys[i].to;
    }
}
