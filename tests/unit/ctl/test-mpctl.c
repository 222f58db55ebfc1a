/* SPDX-License-Identifier: MIT */
/* mpctl, the program (its path in MPCTL), against a fake daemon: exit statuses, and what is said where. */
#include <fcntl.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>

#include <cmocka.h>
#include <jansson.h>

#include "daemon/base/cleanup.h"
#include "daemon/base/text.h"
#include "tests/unit/ctl/fake-daemon.h"

#define WORDS_MAX 12

typedef struct World {
    char folder[64];
    char socket[96];
    pid_t fake;     /* 0: none runs */
    bool interrupt; /* each mpctl is sent SIGINT while it waits */
} World;

typedef struct Result {
    int status;
    Text out, err;
} Result;

static void stop_fake(World *w) {
    if (w->fake > 0) {
        (void)kill(w->fake, SIGKILL);
        (void)waitpid(w->fake, NULL, 0);
    }
    w->fake = 0;
    (void)unlink(w->socket);
}

/* It listens when this returns. */
static void start_fake(World *w, FakeMode mode) {
    stop_fake(w);
    int fd = fake_listen(w->socket);
    assert_true(fd >= 0);
    w->fake = fork();
    assert_true(w->fake >= 0);
    if (w->fake == 0) {
        fake_serve(fd, mode);
        _exit(0);
    }
    (void)fd_close(fd);
}

static int set_up(void **state) {
    World *w = calloc(1, sizeof(*w));
    if (!w)
        return -1;
    (void)snprintf(w->folder, sizeof(w->folder), "/tmp/test-mpctl-XXXXXX");
    if (!mkdtemp(w->folder)) {
        free(w);
        return -1;
    }
    (void)snprintf(w->socket, sizeof(w->socket), "%s/control.sock", w->folder);
    *state = w;
    return 0;
}

static int tear_down(void **state) {
    World *w = *state;
    stop_fake(w);
    (void)rmdir(w->folder);
    free(w);
    return 0;
}

/* In the child: a small environment of its own. */
static void exec_mpctl(const World *w, const char *width, const char *const *words, int out, int err) {
    const char *program = getenv("MPCTL");
    char *argv[WORDS_MAX + 2] = {(char *)"mpctl"};
    for (size_t i = 0; i < WORDS_MAX && words[i]; i++)
        argv[i + 1] = (char *)words[i];
    (void)dup2(out, STDOUT_FILENO);
    (void)dup2(err, STDERR_FILENO);
    (void)clearenv();
    (void)setenv("LC_ALL", "C.UTF-8", 1);
    (void)setenv("TZ", "UTC", 1);
    (void)setenv("MPCTL_SOCKET", w->socket, 1);
    if (width)
        (void)setenv("COLUMNS", width, 1);
    (void)execv(program ? program : "mpctl", argv);
    _exit(127);
}

/* Both ends are small files, so that neither can block. */
static int scratch(const World *w) {
    int fd = open(w->folder, O_TMPFILE | O_RDWR | O_CLOEXEC, 0600);
    assert_true(fd >= 0);
    return fd;
}

static void slurp(int fd, Text *ret) {
    char part[4096];
    ssize_t n;
    text_add(ret, "");
    (void)lseek(fd, 0, SEEK_SET);
    while ((n = read(fd, part, sizeof(part))) > 0)
        text_add_n(ret, part, (size_t)n);
    (void)fd_close(fd);
}

/* As soon as it has said something. */
static void interrupt(pid_t pid, int err) {
    struct stat st = {0};
    for (int i = 0; i < 5000 && st.st_size == 0; i++) {
        (void)usleep(1000);
        assert_int_equal(fstat(err, &st), 0);
    }
    assert_int_equal(kill(pid, SIGINT), 0);
}

static Result run_wide(const World *w, const char *width, const char *const *words) {
    Result r = {0};
    int out = scratch(w), err = scratch(w), status;
    pid_t pid = fork();
    assert_true(pid >= 0);
    if (pid == 0)
        exec_mpctl(w, width, words, out, err);
    if (w->interrupt)
        interrupt(pid, err);
    assert_int_equal(waitpid(pid, &status, 0), pid);
    r.status = WIFEXITED(status) ? WEXITSTATUS(status) : -WTERMSIG(status);
    slurp(out, &r.out);
    slurp(err, &r.err);
    return r;
}

#define RUN(w, ...) run_wide((w), NULL, (const char *const[]){__VA_ARGS__, NULL})

static void result_done(Result *r) {
    text_done(&r->out);
    text_done(&r->err);
}

typedef struct Case {
    FakeMode mode;
    int status;
    const char *words[WORDS_MAX];
    const char *out; /* parts of stdout and stderr; NULL: it is empty */
    const char *err;
} Case;

static const Case cases[] = {
    {FAKE_NORMAL, 0, {NULL}, "● git      full", NULL},
    {FAKE_NORMAL,
     0,
     {"status"},
     "(7 services: 2 ok, 1 disabled, 1 paused, 1 full, 1 throttled, 1 failed)",
     NULL},
    {FAKE_NORMAL, 0, {"status"}, "\"warming \\x1b[31mcache\\x0anow\"", NULL},
    {FAKE_NORMAL,
     0,
     {"status"},
     "tftp: exec: No such file or directory (/etc/mpinetd/services.d/tftp.yaml:4)",
     NULL},
    {FAKE_NORMAL, 0, {"status", "--failed"}, "× tftp", NULL},
    {FAKE_NORMAL, 0, {"status"}, "  12.4  1 216 r  8m           31 waiting\n", NULL},
    {FAKE_NORMAL, 0, {"status"}, "  0.0        0  40s by root\n", NULL},
    {FAKE_NORMAL,
     0,
     {"status"},
     "\nrefused: a access (the address is not allowed), r rate (too many connections in a short time); ",
     NULL},
    {FAKE_NORMAL,
     0,
     {"--plain", "-o", "P50,p99,duration", "status"},
     "\n0.000900\t0.003100\t0.210000\n-\t-\t-\n",
     NULL},
    {FAKE_NORMAL, 0, {"status", "git"}, "(set: limits.instances 40 → 50, until the next reload)\n", NULL},
    {FAKE_NORMAL,
     0,
     {"status", "git"},
     "    of whom: 198.51.100.7   1 190  last by rate_per_source at ",
     NULL},
    {FAKE_NORMAL,
     0,
     {"status", "git"},
     " What to do: to let more in now: mpctl set git limits.instances=100; who is connected: mpctl ps git\n",
     NULL},
    {FAKE_NORMAL, 0, {"status", "git"}, "; served again at ", NULL},
    {FAKE_NORMAL, 0, {"status", "git"}, "             2001:db8::/64     26  banned until ", NULL},
    {FAKE_NORMAL,
     0,
     {"status", "git"},
     "    Sources: 192.0.2.9     0 now, 12 000 accepted in 1d 0h, the last at ",
     NULL},
    {FAKE_NORMAL,
     0,
     {"status", "git"},
     "     Limits: instances 50 (50 in use), per_source 8, rate 50/10s burst 100, rate_per_source 20/m, a "
     "source is a /32 or /64, load 8.00 (now 3.21), when full wait, refuse with close, lifetime 10m, stop "
     "10s\n",
     NULL},
    {FAKE_NORMAL, 0, {"status", "git"}, "     Access: 12 rules; open until ", NULL},
    {FAKE_NORMAL, 0, {"status", "git"}, "; 3 bans (mpctl bans)\n", NULL},
    {FAKE_NORMAL, 0, {"status"}, "by rate\n", NULL},
    {FAKE_NORMAL, 0, {"bans", "--plain"}, "uid:1000\tweb\tweb\treported\t18", NULL},
    {FAKE_NORMAL, 0, {"bans", "-o", "source,why"}, "203.0.113.0/24  touched a sensor\n", NULL},
    {FAKE_NORMAL, 0, {"bans", "-o", "source,why"}, "\n–               its processes failed\n", NULL},
    {FAKE_NORMAL, 0, {"bans", "-o", "help"}, "SOURCE       who is banned", NULL},
    {FAKE_NORMAL, 0, {"--json", "bans"}, "{\"bans\":[{\"prefix\":\"203.0.113.0/24\",\"service\":null", NULL},
    {FAKE_NORMAL, 2, {"bans", "x"}, NULL, "mpctl: 'bans' takes no arguments"},
    {FAKE_NORMAL, 0, {"unban", "203.0.113.7"}, "203.0.113.7: 1 ban lifted\n", NULL},
    {FAKE_NORMAL,
     1,
     {"unban", "uid:2", "uid:1"},
     "uid:1: 2 bans lifted\n",
     "mpctl: uid:2: nobody is banned there\nhint: 'mpctl bans' lists who is\n"},
    {FAKE_NORMAL, 0, {"--json", "unban", "uid:1", "203.0.113.7"}, "{\"lifted\":3}\n", NULL},
    {FAKE_NORMAL, 1, {"--json", "unban", "uid:2"}, "{\"lifted\":0}\n", "nobody is banned there"},
    {FAKE_NORMAL,
     2,
     {"unban", "nope\033"},
     NULL,
     "mpctl: 'nope\\x1b' is no address or prefix\nhint: for example "},
    {FAKE_NORMAL,
     2,
     {"--json", "unban", "nope"},
     "InvalidParameter\",\"parameters\":{\"parameter\":\"prefix\"}}\n",
     "mpctl: 'nope' is no address or prefix\n"},
    {FAKE_NORMAL, 2, {"unban", ""}, NULL, "mpctl: an argument of 'unban' is empty\nhint: "},
    {FAKE_NORMAL, 2, {"unban"}, NULL, "mpctl: 'unban' needs PREFIX...\n"},
    {FAKE_DENIED, 5, {"unban", "uid:1", "uid:1"}, NULL, "mpctl: unban needs the right to manage mpinetd"},
    {FAKE_NORMAL, 3, {"status", "finger"}, "      State: paused by root since ", NULL},
    {FAKE_NORMAL, 3, {"status", "finger"}, "to go on: mpctl resume finger\n", NULL},
    {FAKE_NORMAL,
     0,
     {"status", "git"},
     "● git - Git repositories, read only\n      State: full (50 of 50",
     NULL},
    {FAKE_NORMAL, 0, {"status", "gi*"}, "    Refused: access 12, rate 1 204", NULL},
    {FAKE_NORMAL, 3, {"status", "tftp"}, " Last error: ", NULL},
    {FAKE_NORMAL, 3, {"status", "git", "chargen"}, "○ chargen", NULL},
    {FAKE_NORMAL, 3, {"status", "finger"}, "paused", NULL},
    {FAKE_NORMAL, 4, {"status", "gti"}, NULL, "mpctl: no service 'gti'; did you mean 'git'?\n"},
    {FAKE_NORMAL, 4, {"status", "tftp", "gti"}, "× tftp", "mpctl: no service 'gti'"},
    {FAKE_NORMAL, 4, {"status", "x*"}, NULL, "mpctl: no service matches 'x*'\nhint: "},
    {FAKE_NORMAL, 4, {"status", "\033[2J"}, NULL, "\\x1b[2J"},
    {FAKE_NORMAL, 4, {"--json", "status", "gti"}, "\"services\":[]", "mpctl: no service 'gti'"},
    {FAKE_NORMAL, 0, {"--plain", "-o", "service,state", "status", "git"}, "git\tfull\n", NULL},
    {FAKE_NORMAL, 0, {"-o", "help"}, "LAST-ERROR", NULL},
    {FAKE_NORMAL, 2, {"-o", "STAET"}, NULL, "mpctl: no column 'STAET'; did you mean 'STATE'?"},
    {FAKE_NORMAL, 0, {"is-active", "git", "echo"}, NULL, NULL},
    {FAKE_NORMAL, 3, {"is-active", "git", "tftp"}, NULL, NULL},
    {FAKE_NORMAL, 4, {"is-active", "tftp", "nope"}, NULL, "mpctl: no service 'nope'"},
    {FAKE_NORMAL, 2, {"is-active"}, NULL, "mpctl: 'is-active' needs NAME...\n"},
    {FAKE_NORMAL, 0, {"ps"}, "30161  git      198.51.100.7:40112  running", NULL},
    {FAKE_NORMAL, 0, {"ps", "--plain", "-o", "pid", "git"}, "30161\n", NULL},
    {FAKE_NORMAL, 0, {"ps", "echo"}, "no instances\n", NULL},
    {FAKE_NORMAL, 4, {"ps", "nope"}, NULL, "mpctl: no service 'nope'"},
    {FAKE_NORMAL, 0, {"events"}, "git[30161] 198.51.100.7:40112 ended: exit 0 after 4.1 s\n", NULL},
    {FAKE_NORMAL, 0, {"events"}, "web[29000]: evil \\x1b]0;title\\x07\\x0aforged line\n", NULL},
    {FAKE_NORMAL,
     0,
     {"events", "--plain"},
     "Z\tinfo\trefused\tgit\t-\t198.51.100.7:40113\trefused: per_source\n",
     NULL},
    {FAKE_NORMAL,
     0,
     {"events", "-f", "-n", "0"},
     "mpinetd: generation 7\n",
     "mpctl: 37 events were not read in time and are left out\n"},
    {FAKE_NORMAL, 0, {"events", "--plain", "-k", "refused,gone"}, "Z\tinfo\trefused\tgit", NULL},
    {FAKE_NORMAL, 0, {"events", "--plain", "-k", "reloaded", "-n", "1"}, "Z\tinfo\treloaded\t-", NULL},
    {FAKE_NORMAL, 0, {"events", "-k", "reloaded", "--since", "10m"}, NULL, NULL},
    {FAKE_NORMAL, 0, {"events", "-k", "reloaded", "--since", "2d"}, " mpinetd: generation 7\n", NULL},
    {FAKE_NORMAL, 0, {"events", "--since", "10m", "-n", "0"}, NULL, NULL},
    {FAKE_NORMAL, 2, {"events", "-k", "refuse"}, NULL, "mpctl: no event 'refuse'; did you mean 'refused'?\n"},
    {FAKE_NORMAL, 2, {"events", "-k", "x\033"}, NULL, "mpctl: no event 'x\\x1b'\nhint: listening, "},
    {FAKE_NORMAL, 2, {"events", "-k", "stderr"}, NULL, "'mpctl logs NAME' shows it"},
    {FAKE_NORMAL, 2, {"events", "-k", ","}, NULL, "mpctl: --kind names no event\n"},
    {FAKE_NORMAL, 0, {"events", "--service", "tftp"}, "tftp: spawn_failed: exec: No such file", NULL},
    {FAKE_NORMAL, 0, {"events", "--service", "w*", "-n", "1"}, "web[29000]: evil", NULL},
    {FAKE_NORMAL, 0, {"events", "--service", "rsync"}, NULL, NULL},
    {FAKE_NORMAL,
     0,
     {"logs", "git", "-n", "1"},
     " [30161] fatal: the remote end hung up\\x09unexpectedly\n",
     NULL},
    {FAKE_NORMAL, 0, {"logs", "gi?", "--since", "1m"}, " 198.51.100.7:40113 refused: per_source\n", NULL},
    {FAKE_NORMAL, 0, {"logs", "git", "-f", "-n", "0"}, " generation 7\n", "mpctl: 37 events were"},
    {FAKE_NORMAL, 2, {"logs", "*"}, NULL, "mpctl: 'logs' shows one service, and '*' matches 7\nhint: "},
    {FAKE_NORMAL, 2, {"logs", "git", "echo"}, NULL, "mpctl: 'logs' takes at most 1 argument\n"},
    {FAKE_NORMAL, 4, {"logs", "gti"}, NULL, "did you mean 'git'?"},
    {FAKE_NORMAL, 4, {"events", "--service", "gti"}, NULL, "did you mean 'git'?"},
    {FAKE_NORMAL, 0, {"start", "echo", "git"}, "echo: started\ngit: started\n", "echo: 3 running\n"},
    {FAKE_NORMAL, 0, {"stop", "-q", "echo"}, NULL, NULL},
    {FAKE_NORMAL, 0, {"stop", "echo", "--no-wait"}, "echo: stopping\n", NULL},
    {FAKE_NORMAL, 4, {"stop", "ech"}, NULL, "mpctl: no service 'ech'; did you mean 'echo'?"},
    {FAKE_NORMAL, 2, {"stop"}, NULL, "mpctl: 'stop' needs NAME...\nhint: try 'mpctl stop --help'\n"},
    {FAKE_NORMAL, 0, {"restart", "echo"}, "echo: restarted\n", "echo: 3 running\n"},
    {FAKE_NORMAL, 0, {"pause", "echo", "git"}, "echo: paused\ngit: paused\n", "echo: 3 running\n"},
    {FAKE_NORMAL, 0, {"resume", "echo"}, "echo: resumed\n", "echo: 3 running\n"},
    {FAKE_NORMAL, 0, {"drain", "echo"}, "echo: drained\n", "echo: 3 running\n"},
    {FAKE_NORMAL, 0, {"--json", "drain", "echo"}, "{\"services\":[\"echo\"],\"progress\":null}\n", NULL},
    {FAKE_NORMAL, 2, {"pause", "echo", "--no-wait"}, NULL, "mpctl: 'pause' takes no option --no-wait\n"},
    {FAKE_NORMAL, 0, {"kill", "git"}, "git: 3 instances signalled by SIGTERM\n", NULL},
    {FAKE_NORMAL,
     0,
     {"kill", "-s", "hup", "git", "30161"},
     "git: 3 instances signalled by SIGHUP\n30161: 3 instances of git signalled by SIGHUP\n",
     NULL},
    {FAKE_NORMAL,
     0,
     {"kill", "--source", "192.0.2.0/24"},
     "192.0.2.0/24: 3 instances of git signalled by SIGTERM\n",
     NULL},
    {FAKE_NORMAL, 0, {"kill", "--json", "git", "30161"}, "{\"services\":[\"git\"],\"signaled\":6}\n", NULL},
    {FAKE_NORMAL, 4, {"kill", "gti"}, NULL, "mpctl: no service 'gti'; did you mean 'git'?\n"},
    {FAKE_NORMAL,
     1,
     {"kill", "4"},
     NULL,
     "mpctl: 4: no instance to signal\nhint: 'mpctl ps' lists the instances\n"},
    {FAKE_NORMAL, 1, {"kill", "rsync"}, NULL, "mpctl: rsync: no instance to signal\nhint: "},
    {FAKE_NORMAL,
     1,
     {"kill", "rsync", "git"},
     "git: 3 instances",
     "mpctl: rsync: no instance to signal\nhint: "},
    {FAKE_NORMAL, 1, {"--json", "kill", "4"}, "NoSuchInstance\",", "mpctl: no instance '4'\n"},
    {FAKE_NORMAL,
     2,
     {"kill", "--source", "any\033"},
     NULL,
     "mpctl: 'any\\x1b' is no address or prefix\nhint: for example 203.0.113.7, "},
    {FAKE_NORMAL,
     2,
     {"--json", "kill", "--source", "junk"},
     "InvalidParameter\",\"parameters\":{\"parameter\":\"source\"}}\n",
     "mpctl: 'junk' is no address or prefix\n"},
    {FAKE_NORMAL, 2, {"kill", "--source", "\xff"}, NULL, "mpctl: what --source names is not UTF-8\n"},
    {FAKE_NORMAL, 2, {"kill", "--source="}, NULL, "mpctl: the value of --source is empty\nhint: "},
    {FAKE_NORMAL, 2, {"kill", "git", ""}, NULL, "mpctl: an argument of 'kill' is empty\n"},
    {FAKE_NORMAL, 2, {"kill", "1"}, NULL, "mpctl: 1 cannot be the pid of an instance\n"},
    {FAKE_NORMAL, 2, {"kill"}, NULL, "mpctl: 'kill' needs NAME, PID or --source PREFIX\n"},
    {FAKE_NORMAL, 2, {"kill", "git", "--source", "::/0"}, NULL, "mpctl: 'kill' takes either"},
    {FAKE_NORMAL, 2, {"kill", "-s", "SIGHPU", "git"}, NULL, "no signal 'SIGHPU'; did you mean 'SIGHUP'?\n"},
    {FAKE_NORMAL, 2, {"kill", "-s", "USR", "git"}, NULL, "no signal 'USR'; did you mean 'USR1'?\n"},
    {FAKE_NORMAL, 2, {"kill", "-s", "x\033", "git"}, NULL, "mpctl: no signal 'x\\x1b'\nhint: "},
    {FAKE_NORMAL,
     0,
     {"set", "git", "limits.instances=80"},
     "  ~ git  limits.instances 50 → 80\nin force until the next reload; to keep it, write it into "
     "/etc/mpinetd/services.d/git.yaml and run 'mpctl reload'\n",
     NULL},
    {FAKE_NORMAL, 0, {"--json", "set", "git", "instances=80"}, "{\"changes\":[{\"service\":\"git\"", NULL},
    {FAKE_NORMAL, 2, {"set", "git", "80"}, NULL, "mpctl: 'set' takes KEY=VALUE, not '80'\nhint: "},
    {FAKE_NORMAL, 2, {"set", "git", "=80"}, NULL, "mpctl: 'set' takes KEY=VALUE, not '=80'\n"},
    {FAKE_NORMAL, 2, {"set", "git", "rate=1/s", "rate=2/s"}, NULL, "mpctl: 'rate' is given twice\n"},
    {FAKE_NORMAL, 2, {"set", "gi*", "rate=1/s"}, NULL, "mpctl: 'set' changes one service at a time\n"},
    {FAKE_NORMAL, 2, {"set", "git"}, NULL, "mpctl: 'set' needs NAME KEY=VALUE..."},
    {FAKE_NORMAL, 4, {"set", "gti", "rate=1/s"}, NULL, "did you mean 'git'?"},
    {FAKE_NORMAL,
     0,
     {"metrics"},
     "# TYPE mpinetd_config_generation gauge\nmpinetd_config_generation 7\n",
     NULL},
    {FAKE_NORMAL, 0, {"--json", "metrics"}, "{\"metrics\":\"# TYPE mpinetd_config_generation gauge\\n", NULL},
    {FAKE_NORMAL,
     0,
     {"reload"},
     "generation 8:\n  + finger  new: tcp:79\n  ~ git  limits.instances 50 → 80\n"
     "  - chargen\n  ~ mpinetd  log.level info → debug\n",
     NULL},
    {FAKE_NORMAL, 0, {"reload", "--dry-run"}, "nothing changed yet", NULL},
    {FAKE_NORMAL, 2, {"reload", "x"}, NULL, "mpctl: 'reload' takes no arguments"},
    {FAKE_NORMAL, 2, {"status", "-f"}, NULL, "mpctl: 'status' takes no option --follow"},
    {FAKE_NORMAL, 0, {"ping"}, "mpinetd 0.1.0 answers, pid 812\n", NULL},
    {FAKE_NORMAL, 0, {"version"}, "mpinetd 0.1.0 (pid 812)\n", NULL},
    {FAKE_NORMAL, 0, {"--version"}, "mpctl ", NULL},
    {FAKE_NORMAL, 0, {"--help"}, "Usage: mpctl", NULL},
    {FAKE_NORMAL, 0, {"-h", "stop"}, "Usage: mpctl stop", NULL},
    {FAKE_NORMAL,
     2,
     {"stauts"},
     NULL,
     "mpctl: unknown verb 'stauts'; did you mean 'status'?\nhint: try 'mpctl --help'\n"},
    {FAKE_NORMAL, 2, {"top"}, NULL, "mpctl: 'top' needs a terminal\n"},
    {FAKE_NORMAL, 0, {"upgrade"}, "mpinetd 0.2.0 runs in place of 0.1.0; the pause was 12 ms\n", NULL},
    {FAKE_NORMAL, 0, {"--json", "upgrade"}, "{\"version\":\"0.2.0\",\"previous\":\"0.1.0\",", NULL},
    {FAKE_NORMAL, 0, {"upgrade", "--no-wait"}, "mpinetd: upgrading\n", NULL},
    {FAKE_NORMAL,
     0,
     {"--json", "upgrade", "--no-wait"},
     "{\"version\":\"0.1.0\",\"previous\":null,\"pause_usec\":null,\"duration_usec\":null}\n",
     NULL},
    {FAKE_NORMAL, 2, {"upgrade", "now"}, NULL, "mpctl: 'upgrade' takes no arguments"},
    {FAKE_INVALID, 1, {"upgrade"}, NULL, "unknown key 'per_sorce'"},
    {FAKE_FAILED, 1, {"upgrade"}, NULL, "mpctl: upgrade: bind: "},
    {FAKE_NORMAL, 2, {"import", "x"}, NULL, "mpctl: 'import' is not in this version\n"},
    {FAKE_NORMAL, 2, {"-s", "", "stop", "git"}, NULL, "mpctl: the value of --socket is empty\nhint: try "},
    {FAKE_NORMAL, 2, {"config", "-c", ""}, NULL, "mpctl: the value of --config is empty\n"},
    {FAKE_NORMAL, 2, {"events", "--service", ""}, NULL, "mpctl: the value of --service is empty\n"},
    {FAKE_NORMAL, 2, {"explain", ""}, NULL, "mpctl: an argument of 'explain' is empty\n"},
    {FAKE_NORMAL,
     2,
     {"stop", "git", "--timeout", "0"},
     NULL,
     "mpctl: --timeout takes a time longer than 0\n"
     "hint: 'mpctl stop --no-wait' does not wait until it is done\n"},
    {FAKE_NORMAL,
     2,
     {"--timeout", "0s", "ping"},
     NULL,
     "mpctl: --timeout takes a time longer than 0\nhint: for example: mpctl ping --timeout 5s\n"},
    {FAKE_NORMAL, 2, {"--nope"}, NULL, "mpctl: unknown option '--nope'\nhint: try 'mpctl --help'\n"},
    {FAKE_NORMAL, 2, {"events", "--folow"}, NULL, "unknown option '--folow'; did you mean '--follow'?\n"},
    {FAKE_NORMAL, 2, {"--jsno=1"}, NULL, "unknown option '--jsno=1'; did you mean '--json'?\n"},
    {FAKE_NORMAL,
     6,
     {"-s", "/nonexistent/x", "status"},
     NULL,
     "mpctl: mpinetd is not running (nothing listens at /nonexistent/x)\nhint: "},
    {FAKE_NORMAL, 0, {"-s", "/nonexistent/x", "version"}, "mpinetd is not running\n", NULL},
    {FAKE_DENIED,
     5,
     {"reload"},
     NULL,
     "mpctl: reload needs the right to manage mpinetd\nhint: run it as root, or add "
     "your user or group to control.manage (now: root, %sudo) in /etc/mpinetd/mpinetd.yaml\n"},
    {FAKE_DENIED, 5, {"stop", "echo"}, NULL, "mpctl: stop needs the right"},
    {FAKE_DENIED, 5, {"kill", "git", "echo"}, NULL, "mpctl: kill needs the right"},
    {FAKE_DENIED, 5, {"set", "git", "rate=1/s"}, NULL, "mpctl: set needs the right"},
    {FAKE_DENIED, 5, {"shutdown"}, NULL, "mpctl: shutdown needs the right"},
    {FAKE_DENIED, 5, {"shutdown", "--no-wait"}, NULL, "mpctl: shutdown needs the right"},
    {FAKE_DENIED, 5, {"upgrade", "--no-wait"}, NULL, "mpctl: upgrade needs the right"},
    {FAKE_DENIED, 0, {"reload", "--dry-run"}, "would change", NULL},
    {FAKE_DENIED,
     5,
     {"--json", "reload"},
     "{\"error\":\"dev.mpinetd.Control.NotAllowed\",\"parameters\":{\"method\"",
     "mpctl: reload needs the right"},
    {FAKE_INVALID,
     1,
     {"reload"},
     NULL,
     "services.d/web.yaml:7:7: error: unknown key 'per_sorce' in limits [unknown-key]"},
    {FAKE_INVALID, 1, {"reload"}, NULL, "2 errors in 2 files; generation 7 stays in force\n"},
    {FAKE_INVALID, 1, {"reload", "--dry-run"}, NULL, "2 errors in 2 files; generation 7 stays in force\n"},
    {FAKE_INVALID, 1, {"--json", "reload"}, "\"error\":\"dev.mpinetd.Control.InvalidConfig\"", "mpctl: "},
    {FAKE_INVALID,
     1,
     {"--json", "reload", "--dry-run"},
     "{\"ok\":false,\"generation\":7,\"diagnostics\":[{",
     "mpctl: "},
    {FAKE_INVALID,
     1,
     {"set", "git", "instance=1"},
     NULL,
     "mpctl: unknown key 'instance' in limits\nhint: did you mean 'instances'?\n"},
    {FAKE_FAILED, 1, {"start", "echo"}, NULL, "mpctl: start echo: bind: Address already in use\n"},
    {FAKE_HANGUP, 6, {"ping"}, NULL, "mpctl: mpinetd closed the connection without an answer\n"},
    {FAKE_SILENT, 6, {"ping", "--timeout", "50ms"}, NULL, "mpctl: mpinetd does not answer in time\n"},
    {FAKE_GARBAGE,
     1,
     {"ping"},
     NULL,
     "mpctl: what listens there does not talk as mpinetd does\nhint: name the socket"},
    {FAKE_SLOW,
     1,
     {"stop", "echo", "--timeout", "50ms"},
     NULL,
     "echo: 3 running\nmpctl: not done in time (echo: 3 running); mpinetd goes on with it\nhint: "},
    {FAKE_SLOW, 0, {"stop", "echo", "--no-wait"}, "echo: stopping\n", NULL},
    {FAKE_SLOW,
     1,
     {"--json", "stop", "echo", "--timeout", "50ms"},
     "{\"services\":[\"echo\"],\"progress\":\"echo: 3 running\"}\n",
     "mpctl: not done in time (echo: 3 running); mpinetd goes on with it\nhint: "},
    {FAKE_SLOW, 0, {"upgrade", "--no-wait"}, "mpinetd: upgrading\n", NULL},
    {FAKE_SLOW, 0, {"shutdown", "--no-wait"}, "mpinetd: ending\n", NULL},
    {FAKE_SLOW, 0, {"--json", "shutdown", "--no-wait"}, "{}\n", NULL},
    {FAKE_SLOW,
     1,
     {"--json", "reload", "--timeout", "50ms"},
     "Failed\",\"parameters\":{\"step\":\"reload\",\"errno\":110,\"message\":\"not done in time; ",
     "mpctl: not done in time; mpinetd goes on with it\nhint: "},
    {FAKE_SLOW,
     1,
     {"--json", "upgrade", "--timeout", "50ms"},
     "Failed\",\"parameters\":{\"step\":\"upgrade\",\"errno\":110,\"message\":\"not upgraded in time; ",
     "mpctl: not upgraded in time; mpinetd goes on with it\nhint: "},
    {FAKE_SLOW,
     1,
     {"--json", "shutdown", "--timeout", "50ms"},
     "Failed\",\"parameters\":{\"step\":\"shutdown\",\"errno\":110,\"message\":\"not ended in time; ",
     "mpctl: not ended in time; mpinetd goes on with it\nhint: "},
};

static bool says(const Text *text, const char *part) {
    return part ? strstr(text->s, part) != NULL : text->len == 0;
}

static void test_cases(void **state) {
    World *w = *state;
    for (size_t i = 0; i < ELEMENTS(cases); i++) {
        const Case *c = &cases[i];
        if (i == 0 || c->mode != cases[i - 1].mode)
            start_fake(w, c->mode);
        Result r = run_wide(w, NULL, c->words);
        if (r.status != c->status || !says(&r.out, c->out) || !says(&r.err, c->err))
            print_error("case %zu (%s %s): exit %d\n--- stdout\n%s--- stderr\n%s", i,
                        c->words[0] ? c->words[0] : "", c->words[0] && c->words[1] ? c->words[1] : "",
                        r.status, r.out.s, r.err.s);
        assert_int_equal(r.status, c->status);
        assert_true(says(&r.out, c->out));
        assert_true(says(&r.err, c->err));
        result_done(&r);
    }
}

/* Nothing that the daemon passes on reaches the terminal as a control, in any form of output. */
static void test_no_controls(void **state) {
    static const char *const words[][4] = {
        {NULL},     {"status", "web"},     {"--plain"}, {"ps"},           {"ps", "--plain"},
        {"events"}, {"events", "--plain"}, {"--json"},  {"--json", "ps"}, {"--json", "events"},
    };
    World *w = *state;
    start_fake(w, FAKE_NORMAL);
    for (size_t i = 0; i < ELEMENTS(words); i++) {
        Result r = run_wide(w, NULL, words[i]);
        assert_int_equal(r.status, 0);
        for (const char *s = r.out.s; *s; s++)
            assert_true((unsigned char)*s >= 0x20 || *s == '\n' || *s == '\t');
        result_done(&r);
    }
}

/* Three widths: no line of the table is wider, and names and states are whole. */
static void test_widths(void **state) {
    static const char *const widths[] = {"132", "80", "59"};
    static const char *const none[] = {NULL};
    World *w = *state;
    start_fake(w, FAKE_NORMAL);
    for (size_t i = 0; i < ELEMENTS(widths); i++) {
        Result r = run_wide(w, widths[i], none);
        assert_int_equal(r.status, 0);
        char *line = strstr(r.out.s, "\n\n") + 2, *end = strstr(line, "\n\n");
        assert_non_null(end);
        *end = '\0';
        assert_non_null(strstr(line, "● rsync    throttled"));
        for (char *next; line; line = next) {
            next = strchr(line, '\n');
            if (next)
                *next++ = '\0';
            assert_true(utf8_columns(line) <= (size_t)atol(widths[i]));
        }
        result_done(&r);
    }
}

static json_t *parse_only(const Text *text) {
    json_t *root = json_loadb(text->s, text->len, JSON_REJECT_DUPLICATES, NULL);
    assert_non_null(root);
    return root;
}

static void test_json(void **state) {
    World *w = *state;
    start_fake(w, FAKE_NORMAL);
    Result r = RUN(w, "--json", "status", "git", "echo");
    json_t *root = parse_only(&r.out);
    assert_int_equal(json_integer_value(json_object_get(root, "api")), 1);
    assert_int_equal(json_array_size(json_object_get(root, "services")), 2);
    json_decref(root);
    result_done(&r);
    r = RUN(w, "ps", "--json");
    root = parse_only(&r.out);
    assert_int_equal(json_array_size(json_object_get(root, "instances")), 3);
    json_decref(root);
    result_done(&r);
    /* One object a line. */
    r = RUN(w, "events", "--json", "-n", "3");
    size_t lines = 0;
    for (char *line = r.out.s, *end; (end = strchr(line, '\n')); line = end + 1, lines++) {
        *end = '\0';
        root = json_loads(line, 0, NULL);
        assert_true(json_is_object(root));
        json_decref(root);
    }
    assert_int_equal(lines, 3);
    result_done(&r);
}

/* A call for several things has one document, whatever goes wrong with some of them. */
static void test_one_document(void **state) {
    static const struct {
        const char *words[6];
        int status;
        const char *out;
    } calls[] = {
        {{"--json", "kill", "4", "git", "4"}, 1, "{\"services\":[\"git\"],\"signaled\":3}\n"},
        {{"--json", "kill", "git", "4"}, 1, "{\"services\":[\"git\"],\"signaled\":3}\n"},
        {{"--json", "kill", "4", "4"},
         1,
         "{\"error\":\"dev.mpinetd.Control.NoSuchInstance\",\"parameters\":{\"instance\":\"4\"}}\n"},
        {{"--json", "unban", "nope", "uid:1"}, 2, "{\"lifted\":2}\n"},
        {{"--json", "unban", "nope", "nobody"},
         2,
         "{\"error\":\"org.varlink.service.InvalidParameter\",\"parameters\":{\"parameter\":\"prefix\"}}\n"},
    };
    World *w = *state;
    start_fake(w, FAKE_NORMAL);
    for (size_t i = 0; i < ELEMENTS(calls); i++) {
        Result r = run_wide(w, NULL, calls[i].words);
        assert_int_equal(r.status, calls[i].status);
        assert_string_equal(r.out.s, calls[i].out);
        result_done(&r);
    }
}

static void test_shutdown(void **state) {
    World *w = *state;
    start_fake(w, FAKE_NORMAL);
    Result r = RUN(w, "shutdown");
    assert_int_equal(r.status, 0);
    assert_string_equal(r.out.s, "mpinetd has ended\n");
    result_done(&r);
    /* The daemon is gone, and its socket's node is stale. */
    r = RUN(w, "ping");
    assert_int_equal(r.status, 6);
    result_done(&r);
}

static void test_interrupt(void **state) {
    World *w = *state;
    start_fake(w, FAKE_SLOW);
    w->interrupt = true;
    Result r = RUN(w, "drain", "echo");
    /* By itself: not by the signal, which is still pending at first. */
    assert_int_equal(r.status, 130);
    assert_string_equal(r.out.s, "");
    assert_string_equal(r.err.s, "echo: 3 running\nmpctl: interrupted; mpinetd goes on with it\n");
    result_done(&r);
}

/* On a terminal one line is rewritten, and taken away at the end. */
static void test_terminal(void **state) {
    static const char *const words[] = {"drain", "echo", NULL};
    World *w = *state;
    char seen[256] = {0};
    int status, out = scratch(w), master = posix_openpt(O_RDWR | O_NOCTTY | O_CLOEXEC);
    assert_true(master >= 0 && grantpt(master) == 0 && unlockpt(master) == 0);
    int terminal = open(ptsname(master), O_RDWR | O_NOCTTY | O_CLOEXEC);
    assert_true(terminal >= 0);
    start_fake(w, FAKE_NORMAL);
    pid_t pid = fork();
    assert_true(pid >= 0);
    if (pid == 0)
        exec_mpctl(w, NULL, words, out, terminal);
    assert_int_equal(waitpid(pid, &status, 0), pid);
    assert_int_equal(status, 0);
    assert_true(read(master, seen, sizeof(seen) - 1) > 0);
    assert_string_equal(seen, "\r\033[Kecho: 3 running\r\033[K");
    (void)fd_close(terminal);
    (void)fd_close(master);
    (void)fd_close(out);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_cases, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_no_controls, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_widths, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_json, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_one_document, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_shutdown, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_interrupt, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_terminal, set_up, tear_down),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
