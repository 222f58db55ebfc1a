/* SPDX-License-Identifier: MIT */
/* Children that misbehave, and small servers for the models; each mode is one row of the table at the end.
 * Usage: bad-child MODE [NUMBER | TEXT...] */
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <time.h>

#include "daemon/base/cleanup.h"
#include "daemon/base/text.h"

static long number(char **args, long otherwise) {
    return args[0] ? strtol(args[0], NULL, 10) : otherwise;
}

static int status_fd(void) {
    const char *s = getenv("MP_STATUS_FD");
    return s ? (int)strtol(s, NULL, 10) : -1;
}

static void nap(long msec) {
    struct timespec t = {.tv_sec = msec / 1000, .tv_nsec = msec % 1000 * 1000000};
    while (nanosleep(&t, &t) < 0 && errno == EINTR)
        ;
}

static _Noreturn void sleep_for_ever(void) {
    for (;;)
        (void)pause();
}

static void put(int fd, const char *s, size_t n) {
    while (n > 0) {
        ssize_t done = write(fd, s, n);
        if (done < 0 && errno == EAGAIN) {
            nap(1);
            continue;
        }
        if (done < 0)
            return;
        s += done;
        n -= (size_t)done;
    }
}

static void puts_to(int fd, const char *s) {
    put(fd, s, strlen(s));
}

static int mode_exit(char **args) {
    return (int)number(args, 0);
}

static int mode_abort(char **args) {
    (void)args;
    abort();
}

/* Lives until it is told to end. */
static int mode_sleep(char **args) {
    if (!args[0])
        sleep_for_ever();
    nap(number(args, 0));
    return 0;
}

/* Only KILL helps. */
static int mode_hang(char **args) {
    (void)args;
    (void)signal(SIGTERM, SIG_IGN);
    (void)signal(SIGHUP, SIG_IGN);
    (void)signal(SIGINT, SIG_IGN);
    puts_to(STDOUT_FILENO, "hanging\n");
    sleep_for_ever();
}

/* The process that the daemon knows ends at once; what it leaves behind lives on in a session of its own. */
static int mode_daemonise(char **args) {
    if (fork() == 0) {
        (void)setsid();
        if (fork() == 0) {
            for (int fd = 0; fd < 64; fd++)
                (void)close(fd);
            nap(number(args, 3000));
        }
        _exit(0);
    }
    (void)wait(NULL);
    return 0;
}

/* The same, but the rest keeps every descriptor open: end of file does not come with the end of the process.
 */
static int mode_grandchild(char **args) {
    if (fork() == 0) {
        (void)setsid();
        nap(number(args, 3000));
        _exit(0);
    }
    return 0;
}

/* A child that dies with its group only. */
static int mode_group(char **args) {
    (void)args;
    if (fork() == 0)
        sleep_for_ever();
    (void)signal(SIGTERM, SIG_IGN);
    puts_to(STDOUT_FILENO, "group\n");
    sleep_for_ever();
}

/* Takes another session, group and user, as far as it may, ignores TERM, and leaves a child in a session of
 * its own. */
static int mode_escape(char **args) {
    (void)args;
    (void)signal(SIGTERM, SIG_IGN);
    (void)setsid();
    (void)setpgid(0, 0);
    pid_t child = fork();
    if (child == 0) {
        (void)setsid();
        for (int fd = 0; fd < 64; fd++)
            (void)close(fd);
        sleep_for_ever();
    }
    if (geteuid() == 0 && setresuid(65534, 65534, 65534) < 0)
        return 3;
    char line[32];
    (void)snprintf(line, sizeof(line), "%d\n", child);
    puts_to(STDOUT_FILENO, line);
    sleep_for_ever();
}

/* Opens so many descriptors, makes all that it has non-blocking, says so to whoever is connected, and waits.
 */
static int mode_nonblock(char **args) {
    static const char word[] = "non-blocking\n";
    for (long i = 0; i < number(args, 0); i++)
        (void)open("/dev/null", O_RDWR | O_CLOEXEC);
    for (int fd = 0; fd < 65536; fd++) {
        int flags = fcntl(fd, F_GETFL);
        if (flags >= 0)
            (void)fcntl(fd, F_SETFL, flags | O_NONBLOCK);
    }
    (void)send(STDOUT_FILENO, word, sizeof(word) - 1, MSG_NOSIGNAL);
    sleep_for_ever();
}

static int mode_stop_self(char **args) {
    (void)args;
    puts_to(STDOUT_FILENO, "stopping\n");
    (void)raise(SIGSTOP);
    return 0;
}

/* \n, \0, \a, \e and \f stand for characters that no config can have; \f for 0xff. */
static void unescape(Text *t, const char *s) {
    static const char names[] = "n0aef", bytes[] = "\n\0\a\033\377";
    for (; *s; s++) {
        const char *name = s[0] == '\\' && s[1] ? strchr(names, s[1]) : NULL;
        text_addc(t, name ? bytes[name - names] : *s);
        s += name ? 1 : 0;
    }
}

/* Writes each argument at once. */
static void put_each(int fd, char **args) {
    for (; *args; args++) {
        CLEANUP_TEXT Text t = {0};
        unescape(&t, *args);
        put(fd, t.s ? t.s : "", t.len);
    }
}

/* Each argument is one write to the status pipe. Then it waits to be told to end. */
static int mode_status(char **args) {
    put_each(status_fd(), args);
    sleep_for_ever();
}

/* TEXT so many times to the status pipe, as fast as it takes it, and a last word. */
static int mode_repeat_status(char **args) {
    CLEANUP_TEXT Text one = {0};
    CLEANUP_TEXT Text block = {0};
    long left = args[0] ? number(args + 1, 1) : 0;
    unescape(&one, args[0] ? args[0] : "");
    while (block.len < 4000)
        text_add_n(&block, one.s, one.len);
    for (long n = (long)(block.len / one.len); left > 0; left -= n)
        put(status_fd(), block.s, (left < n ? (size_t)left : (size_t)n) * one.len);
    puts_to(status_fd(), "\nSTATUS=end\n");
    sleep_for_ever();
}

/* TEXT to the status pipe, a byte each so many milliseconds. */
static int mode_trickle_status(char **args) {
    CLEANUP_TEXT Text t = {0};
    unescape(&t, args[0] && args[1] ? args[1] : "");
    for (size_t i = 0; i < t.len; i++) {
        put(status_fd(), &t.s[i], 1);
        nap(number(args, 100));
    }
    sleep_for_ever();
}

/* So many lines, each longer than what a pipe takes in one piece, to stderr and to the status pipe, and then
 * one that is not; nothing is in them but its pid. */
static int mode_own_lines(char **args) {
    CLEANUP_TEXT Text line = {0};
    while (line.len < 5000)
        text_addf(&line, "%d ", getpid());
    text_addc(&line, '\n');
    for (long i = 0; i < number(args, 1); i++) {
        put(STDERR_FILENO, line.s, line.len);
        puts_to(status_fd(), "STATUS=");
        put(status_fd(), line.s, line.len);
    }
    text_reset(&line);
    text_addf(&line, "STATUS=%d\n", getpid());
    put(status_fd(), line.s, line.len);
    puts_to(STDOUT_FILENO, "written\n");
    sleep_for_ever();
}

static int mode_bad_status(char **args) {
    (void)args;
    int fd = status_fd();
    static const char lines[] = "READY=1\n"
                                "no equals sign\n"
                                "=value without a key\n"
                                "lower=1\n"
                                "ACTIVE=minus\n"
                                "ACTIVE=-1\n"
                                "REQUESTS=99999999999999999999999\n"
                                "\xff\xfe=1\n"
                                "STATUS=a \x1b[31mred\x1b[0m one\n";
    put(fd, lines, sizeof(lines) - 1);
    CLEANUP_TEXT Text big = {0};
    text_add(&big, "STATUS=");
    while (big.len < 8192) /* no line is that long */
        text_addc(&big, 'x');
    put(fd, big.s, big.len);
    puts_to(fd, "\nSTATUS=still here\n");
    sleep_for_ever();
}

/* As much as the pipe takes, for so many milliseconds, then one last word. */
static int mode_flood_status(char **args) {
    int fd = status_fd();
    char block[4000];
    for (size_t i = 0; i < sizeof(block); i++)
        block[i] = "READY=1\n"[i % 8];
    struct timespec start, now;
    (void)clock_gettime(CLOCK_MONOTONIC, &start);
    do {
        put(fd, block, sizeof(block));
        (void)clock_gettime(CLOCK_MONOTONIC, &now);
    } while ((now.tv_sec - start.tv_sec) * 1000 + (now.tv_nsec - start.tv_nsec) / 1000000 <
             number(args, 2000));
    puts_to(fd, "STATUS=flood over\n");
    sleep_for_ever();
}

static int mode_close_status(char **args) {
    (void)args;
    puts_to(status_fd(), "READY=1\nSTATUS=last words\n");
    (void)close(status_fd());
    sleep_for_ever();
}

/* Before it has said anything. */
static int mode_close_status_early(char **args) {
    (void)args;
    (void)close(status_fd());
    sleep_for_ever();
}

/* Each argument is one datagram to NOTIFY_SOCKET. Then it waits to be told to end. */
static int mode_notify(char **args) {
    const char *name = getenv("NOTIFY_SOCKET");
    struct sockaddr_un sun = {.sun_family = AF_UNIX};
    size_t n = name ? strlen(name) : 0;
    if (n < 2 || n >= sizeof(sun.sun_path))
        return 3;
    memcpy(sun.sun_path, name, n);
    if (name[0] == '@')
        sun.sun_path[0] = '\0';
    CLEANUP_CLOSE int fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    if (connect(fd, (struct sockaddr *)&sun, (socklen_t)(offsetof(struct sockaddr_un, sun_path) + n)) < 0)
        return 4;
    put_each(fd, args);
    sleep_for_ever();
}

/* Says it, and ends at once. */
static int mode_status_exit(char **args) {
    put_each(status_fd(), args);
    return 0;
}

/* Is ready, and from then on deaf to everything but KILL. */
static int mode_deaf(char **args) {
    (void)signal(SIGTERM, SIG_IGN);
    (void)signal(SIGABRT, SIG_IGN);
    puts_to(status_fd(), "READY=1\n");
    return mode_hang(args);
}

static int mode_stderr(char **args) {
    for (long i = 0; i < number(args, 1); i++) {
        char line[64];
        (void)snprintf(line, sizeof(line), "line %ld\n", i);
        puts_to(STDERR_FILENO, line);
    }
    return 0;
}

/* Each argument is one write to stderr. */
static int mode_say(char **args) {
    put_each(STDERR_FILENO, args);
    return 0;
}

static int mode_close_stderr(char **args) {
    (void)args;
    puts_to(STDERR_FILENO, "last line\n");
    (void)close(STDERR_FILENO);
    puts_to(STDOUT_FILENO, "closed\n");
    char c;
    while (read(STDIN_FILENO, &c, 1) > 0)
        ;
    return 0;
}

/* The socket of an on-demand service: fd 3 by LISTEN_FDS, else fd 0. */
static int listener(void) {
    return getenv("LISTEN_FDS") ? 3 : STDIN_FILENO;
}

/* Serves so many connections, one after the other, each with a line that says who and which, then ends. */
static int mode_accept(char **args) {
    int fd = listener();
    const char *fds = getenv("LISTEN_FDS"), *names = getenv("LISTEN_FDNAMES");
    for (long i = 0; i < number(args, 1); i++) {
        CLEANUP_CLOSE int c = accept4(fd, NULL, NULL, SOCK_CLOEXEC);
        if (c < 0)
            return 3;
        char line[256];
        (void)snprintf(line, sizeof(line), "pid %d connection %ld fds %s names %s\n", getpid(), i,
                       fds ? fds : "-", names ? names : "-");
        puts_to(c, line);
    }
    return 0;
}

/* Answers so many datagrams with their text in front of its pid, then ends; gives up after two quiet seconds.
 */
static int mode_udp(char **args) {
    int fd = listener();
    struct timeval patience = {.tv_sec = 2};
    (void)setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof(patience));
    for (long i = 0; i < number(args, 1); i++) {
        char text[1024], reply[1100];
        struct sockaddr_storage peer;
        socklen_t n = sizeof(peer);
        ssize_t got = recvfrom(fd, text, sizeof(text) - 1, 0, (struct sockaddr *)&peer, &n);
        if (got < 0)
            return errno == EAGAIN ? 0 : 3;
        text[got] = '\0';
        int length = snprintf(reply, sizeof(reply), "%s %d", text, getpid());
        if (sendto(fd, reply, (size_t)length, 0, (struct sockaddr *)&peer, n) < 0)
            return 4;
    }
    return 0;
}

/* Writes a line with its pid to the file, so that starts can be counted, and ends with the status given
 * second. */
static int mode_mark(char **args) {
    CLEANUP_CLOSE int fd =
        open(args[0] ? args[0] : "/dev/null", O_WRONLY | O_APPEND | O_CREAT | O_CLOEXEC, 0666);
    char line[32];
    (void)snprintf(line, sizeof(line), "%d\n", getpid());
    puts_to(fd, line);
    return args[0] ? (int)number(args + 1, 0) : 1;
}

/* Copies stdin to stdout until the end of input, then a last line: shows that half-close arrives. */
static int mode_half_close(char **args) {
    (void)args;
    char buf[4096];
    ssize_t n;
    long sum = 0;
    while ((n = read(STDIN_FILENO, buf, sizeof(buf))) > 0)
        sum += n;
    char line[64];
    (void)snprintf(line, sizeof(line), "got %ld bytes, then the end\n", sum);
    puts_to(STDOUT_FILENO, line);
    return 0;
}

static const struct {
    const char *name;
    int (*run)(char **args);
} modes[] = {
    {"abort", mode_abort},
    {"accept", mode_accept},
    {"bad-status", mode_bad_status},
    {"close-status", mode_close_status},
    {"close-status-early", mode_close_status_early},
    {"close-stderr", mode_close_stderr},
    {"daemonise", mode_daemonise},
    {"deaf", mode_deaf},
    {"escape", mode_escape},
    {"exit", mode_exit},
    {"flood-status", mode_flood_status},
    {"grandchild", mode_grandchild},
    {"group", mode_group},
    {"half-close", mode_half_close},
    {"hang", mode_hang},
    {"mark", mode_mark},
    {"nonblock", mode_nonblock},
    {"notify", mode_notify},
    {"own-lines", mode_own_lines},
    {"repeat-status", mode_repeat_status},
    {"say", mode_say},
    {"sleep", mode_sleep},
    {"status", mode_status},
    {"status-exit", mode_status_exit},
    {"stderr", mode_stderr},
    {"stop-self", mode_stop_self},
    {"trickle-status", mode_trickle_status},
    {"udp", mode_udp},
};

int main(int argc, char **argv) {
    for (size_t i = 0; argc > 1 && i < ELEMENTS(modes); i++)
        if (streq(argv[1], modes[i].name))
            return modes[i].run(argv + 2);
    (void)fprintf(stderr, "bad-child: no such mode\n");
    return 98;
}
