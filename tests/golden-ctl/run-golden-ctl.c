/* SPDX-License-Identifier: MIT */
/* run-golden-ctl FOLDER: what mpctl shows of the fake daemon's sample, at several widths, with colours and
 * without UTF-8, against the files there, at a clock that stands still. */
#include <fcntl.h>
#include <locale.h>
#include <signal.h>
#include <string.h>
#include <sys/wait.h>

#include "ctl/verbs.h"
#include "daemon/base/clock.h"
#include "tests/unit/ctl/fake-daemon.h"

/* 2026-11-21 14:10:41 UTC. */
#define NOW_USEC (1795270241 * USEC_PER_SEC)
#define WORDS_MAX 6

typedef struct View {
    const char *suffix;
    size_t width;
    bool ascii, color;
} View;

static const View views[] = {
    {"50", 50, false, false},      {"80", 80, false, false},      {"140", 140, false, false},
    {"80-ascii", 80, true, false}, {"80-color", 80, false, true}, {"pipe", 0, false, false},
};

typedef struct Case {
    const char *name;
    FakeMode mode;
    const char *words[WORDS_MAX];
} Case;

static const Case cases[] = {
    {"status", FAKE_NORMAL, {"status"}},
    {"status-more", FAKE_NORMAL, {"status", "-o", "+queued,p50,p99,last-error"}},
    {"status-failed", FAKE_NORMAL, {"status", "--failed"}},
    {"status-git", FAKE_NORMAL, {"status", "git"}},
    {"status-others", FAKE_NORMAL, {"status", "finger", "tftp", "web"}},
    {"status-throttled", FAKE_NORMAL, {"status", "rsync"}},
    {"bans", FAKE_NORMAL, {"bans"}},
    {"unban", FAKE_NORMAL, {"unban", "203.0.113.7", "192.0.2.1", "nobody"}},
    {"ps", FAKE_NORMAL, {"ps"}},
    {"events", FAKE_NORMAL, {"events"}},
    {"logs", FAKE_NORMAL, {"logs", "git"}},
    {"reload-dry-run", FAKE_NORMAL, {"reload", "--dry-run"}},
    {"reload-invalid", FAKE_INVALID, {"reload"}},
    {"denied", FAKE_DENIED, {"stop", "git"}},
};

typedef struct World {
    const char *folder; /* of the expected files */
    char socket[64];
    pid_t fake;
    FakeMode mode;
    bool update;
    int failures;
} World;

static void start_fake(World *w, FakeMode mode) {
    if (w->fake > 0) {
        (void)kill(w->fake, SIGKILL);
        (void)waitpid(w->fake, NULL, 0);
    }
    (void)unlink(w->socket);
    int fd = fake_listen(w->socket);
    w->mode = mode;
    w->fake = fd >= 0 ? fork() : -1;
    if (w->fake == 0) {
        fake_serve_at(fd, mode, NOW_USEC);
        _exit(0);
    }
    (void)fd_close(fd);
}

/* In the child, whose stdout and stderr are @out and @err: mpctl, but for the clock and the terminal. */
static int run_mpctl(const World *w, const Case *c, const View *view) {
    char *argv[WORDS_MAX + 4] = {(char *)"mpctl", (char *)"-s", (char *)w->socket};
    CLEANUP_TEXT Text error = {0};
    Ctl ctl = {0};
    int argc = 3;
    for (; c->words[argc - 3]; argc++)
        argv[argc] = (char *)c->words[argc - 3];
    if (!setlocale(LC_CTYPE, view->ascii ? "C" : "C.UTF-8") ||
        options_parse(argc, argv, &ctl.options, &error) < 0)
        return 127;
    ctl.style =
        (Style){.color = view->color, .utf8 = !view->ascii, .width = view->width, .now_usec = NOW_USEC};
    int status = verb_find(ctl.options.verb)->run(&ctl, ctl.options.args);
    (void)ctl_flush(&ctl);
    client_free(ctl.client);
    text_done(&ctl.out);
    options_done(&ctl.options);
    return status;
}

static void slurp(int fd, Text *ret) {
    char part[4096];
    ssize_t n;
    (void)lseek(fd, 0, SEEK_SET);
    while ((n = read(fd, part, sizeof(part))) > 0)
        text_add_n(ret, part, (size_t)n);
}

/* What is seen: stdout, stderr if there is any, and the exit status if it is not 0. */
static void look(const World *w, const Case *c, const View *view, Text *ret) {
    CLEANUP_CLOSE int out = open("/tmp", O_TMPFILE | O_RDWR | O_CLOEXEC, 0600);
    CLEANUP_CLOSE int err = open("/tmp", O_TMPFILE | O_RDWR | O_CLOEXEC, 0600);
    int status = 0;
    (void)fflush(NULL);
    pid_t pid = fork();
    if (pid == 0) {
        (void)dup2(out, STDOUT_FILENO);
        (void)dup2(err, STDERR_FILENO);
        status = run_mpctl(w, c, view);
        (void)fflush(NULL);
        _exit(status);
    }
    if (pid < 0 || waitpid(pid, &status, 0) != pid)
        return;
    CLEANUP_TEXT Text words = {0};
    slurp(out, ret);
    slurp(err, &words);
    if (words.len > 0)
        text_addf(ret, "--- stderr\n%s", words.s);
    if (status != 0)
        text_addf(ret, "--- exit %d\n", WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status));
}

static int read_file(const char *path, Text *ret) {
    CLEANUP_CLOSE int fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0)
        return -errno;
    slurp(fd, ret);
    return 0;
}

static int write_file(const char *path, const Text *text) {
    CLEANUP_FCLOSE FILE *f = fopen(path, "we");
    return f && fwrite(text->s, 1, text->len, f) == text->len ? 0 : -EIO;
}

static void check(World *w, const Case *c, const View *view) {
    CLEANUP_TEXT Text seen = {0}, expected = {0}, path = {0};
    text_addf(&path, "%s/%s-%s.txt", w->folder, c->name, view->suffix);
    if (w->mode != c->mode || w->fake <= 0)
        start_fake(w, c->mode);
    look(w, c, view, &seen);
    (void)read_file(path.s, &expected);
    if (streq_null(seen.s, expected.s))
        return;
    if (w->update && seen.s && write_file(path.s, &seen) == 0)
        return;
    w->failures++;
    (void)printf("%s differs; it is now:\n%s", path.s, seen.s ? seen.s : "(nothing)\n");
}

int main(int argc, char **argv) {
    World w = {.folder = argc == 2 ? argv[1] : ".", .update = getenv("GOLDEN_UPDATE") != NULL};
    char folder[] = "/tmp/golden-ctl-XXXXXX";
    if (!mkdtemp(folder))
        return 1;
    (void)setenv("TZ", "UTC", 1);
    (void)snprintf(w.socket, sizeof(w.socket), "%s/socket", folder);
    for (size_t i = 0; i < ELEMENTS(cases); i++)
        for (size_t k = 0; k < ELEMENTS(views); k++)
            check(&w, &cases[i], &views[k]);
    if (w.fake > 0) {
        (void)kill(w.fake, SIGKILL);
        (void)waitpid(w.fake, NULL, 0);
    }
    (void)unlink(w.socket);
    (void)rmdir(folder);
    if (w.failures > 0)
        (void)printf("%d of %zu differ; if that is meant, run it with GOLDEN_UPDATE=1\n", w.failures,
                     ELEMENTS(cases) * ELEMENTS(views));
    return w.failures > 0 ? 1 : 0;
}
