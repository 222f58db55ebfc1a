/* SPDX-License-Identifier: MIT */
/* mpinetd: the command line, the surroundings in which the daemon runs, and its exit status. */
#include <fcntl.h>
#include <linux/close_range.h>
#include <locale.h>
#include <malloc.h>
#include <signal.h>
#include <string.h>
#include <sys/resource.h>

#include "conf/judge.h"
#include "daemon/attempt.h"
#include "daemon/config-child.h"
#include "daemon/control.h"
#include "daemon/handover.h"
#include "daemon/helper.h"
#include "daemon/inherit.h"
#include "daemon/interpreter.h"
#include "daemon/manager.h"
#include "daemon/program-path.h"
#include "daemon/rescue.h"
#include "daemon/seclusion.h"
#include "daemon/takeover.h"
#include "daemon/upgrade.h"

/* Of descriptors that were left open for us, without close_range(2): more is not looked for. */
#define INHERITED_MAX 65536

/* Descriptors 0 to 2 are always something: the first socket must not end up as somebody's stderr. */
static int fill_standard_fds(void) {
    for (int fd = STDIN_FILENO; fd <= STDERR_FILENO; fd++)
        /* The lowest one that is free. */
        if (fcntl(fd, F_GETFD) < 0 && open("/dev/null", O_RDWR) != fd)
            return -errno;
    return 0;
}

/* What whoever started us has left open is nobody's else: close_range(2) in the child may not be there, or be
 * forbidden. Sockets that were passed are dealt with later. */
static void keep_descriptors_in(void) {
    struct rlimit limit = {0};
    if (close_range(STDERR_FILENO + 1, ~0U, CLOSE_RANGE_CLOEXEC) == 0)
        return;
    (void)getrlimit(RLIMIT_NOFILE, &limit);
    for (int fd = STDERR_FILENO + 1; (rlim_t)fd < limit.rlim_cur && fd < INHERITED_MAX; fd++)
        (void)fcntl(fd, F_SETFD, FD_CLOEXEC);
}

/* Every signal at its default, whatever we were started with: our children inherit what is ignored. Those
 * that the loop reads are blocked, and SIGPIPE and SIGXFSZ with them, as writing must never kill us; children
 * unblock all. */
static void set_up_signals(void) {
    for (int s = 1; s < NSIG; s++)
        (void)signal(s, SIG_DFL);
    sigset_t set;
    (void)sigemptyset(&set);
    static const int blocked[] = {SIGCHLD, SIGTERM, SIGINT,  SIGHUP,  SIGUSR1,
                                  SIGUSR2, SIGQUIT, SIGPIPE, SIGXFSZ, SIGXCPU};
    for (size_t i = 0; i < ELEMENTS(blocked); i++)
        (void)sigaddset(&set, blocked[i]);
    (void)sigprocmask(SIG_SETMASK, &set, NULL);
}

static void unblock_signals(void) {
    sigset_t none;
    (void)sigemptyset(&none);
    (void)sigprocmask(SIG_SETMASK, &none, NULL);
}

static void print_diags(const DiagList *diags, const char *tail) {
    Text text CLEANUP_TEXT = {0};
    diag_list_format(diags, tail, &text);
    if (text.s)
        (void)fputs(text.s, stderr);
}

/* Other errors have been told with what they are about; of this one whoever met it could say nothing more. */
static int not_started(int error) {
    if (error == -ENOMEM)
        (void)fputs("mpinetd: not started: out of memory\n", stderr);
    return EXIT_FAILURE;
}

/* The config: of --try, of -c, or of the usual place. */
static int load(const Options *o, const LoadContext *context, DiagList *diags, Config **ret) {
    if (o->attempt)
        return config_new_try(o->endpoints, o->command, context, diags, ret);
    char *path CLEANUP_FREE =
        o->config ? strdup(o->config) : config_default_path(context->euid, context->environ);
    return path ? config_load(path, context, diags, ret) : -ENOMEM;
}

static int check(const Options *o, LoadContext *context) {
    DiagList diags CLEANUP_DIAGS = {0};
    Config *config CLEANUP_CONFIG = NULL;
    Text judge CLEANUP_TEXT = {0};
    context->tolerate_missing = false;
    int r = load(o, context, &diags, &config);
    judge_add_words(context->euid, &judge);
    print_diags(&diags, judge.s);
    if (r < 0)
        return not_started(r);
    (void)printf("%s: good, %zu service%s (%s)\n", config->path, config->n_services,
                 config->n_services == 1 ? "" : "s", judge.s ? judge.s : "");
    return EXIT_SUCCESS;
}

static int run(Options *o, LoadContext *context) {
    DiagList diags CLEANUP_DIAGS = {0};
    Config *config CLEANUP_CONFIG = NULL;
    Attempt attempt CLEANUP(attempt_done) = {0};
    Logger *logger CLEANUP(logger_freep) = NULL;
    Manager *manager CLEANUP(manager_freep) = NULL;
    int r = load(o, context, &diags, &config);
    print_diags(&diags, NULL);
    if (r < 0)
        return not_started(r);
    if (o->attempt && !o->socket) {
        r = attempt_init(&attempt, &o->socket);
        if (r < 0) {
            (void)fprintf(stderr, "mpinetd: no place for the control socket: %s\n", strerror(-r));
            return EXIT_FAILURE;
        }
    }
    r = logger_new(o->target, &logger);
    if (r >= 0)
        r = manager_new(o, TAKE_PTR(config), context, logger, &manager);
    return r < 0 ? not_started(r) : manager_run(manager);
}

/* Goes on where the program before has left off in this process; or, when that cannot be, starts anew with
 * its listeners. */
static int take_over(Options *o, LoadContext *context, int state_fd, bool parsed) {
    Attempt attempt CLEANUP(attempt_done) = {0};
    Logger *logger CLEANUP(logger_freep) = NULL;
    Rescue rescue CLEANUP_RESCUE = {0};
    Manager *manager = NULL;
    if (parsed)
        (void)logger_new(o->target, &logger);
    if (takeover_restore(o, context, logger, state_fd, &rescue, &manager) < 0) {
        int r = rescue_execute(&rescue, o->program ? o->program : "/proc/self/exe", o->argv);
        (void)fprintf(stderr, "mpinetd: cannot start anew: %s\n", strerror(-r));
        return EXIT_FAILURE;
    }
    rescue_done(&rescue);
    if (o->attempt && !o->socket && attempt_resume(&attempt, manager_control_path(manager)) < 0)
        (void)fputs("mpinetd: the folder of the control socket will be left behind\n", stderr);
    int status = manager_run(manager);
    manager_free(manager);
    return status;
}

/* What a long reply or a flood took is given back when it is over, for we may run for months: without this
 * the allocator raises its threshold for memory of its own with each big block that is freed, mallopt(3). */
static void give_memory_back(void) {
    (void)mallopt(M_MMAP_THRESHOLD, 128 * 1024);
    (void)mallopt(M_TRIM_THRESHOLD, 128 * 1024);
}

/* As the helper of an upgrade: takes the words that it got for it out of @argv, which are the first behind
 * its name and the last. Returns the descriptor of the state, -EBADF when it is none. */
static int take_accept_words(int *argc, char ***argv, int *ret_result_fd) {
    char *end = NULL;
    if (*argc < 3 || !starts_with((*argv)[1], UPGRADE_ACCEPT_WORD))
        return -EBADF;
    long fd = strtol((*argv)[1] + strlen(UPGRADE_ACCEPT_WORD), &end, 10);
    *ret_result_fd = helper_result_fd(*argc, *argv);
    (*argv)[1] = (*argv)[0];
    (*argv)[*argc - 1] = NULL;
    (*argv)++;
    *argc -= 2;
    return *end == '\0' && fd > STDERR_FILENO && fd <= INT32_MAX ? (int)fd : -EBADF;
}

int main(int argc, char **argv) {
    Options options CLEANUP(options_done) = {0};
    int result_fd = -EBADF, state_fd = handover_from_environment();
    int proven_fd = take_accept_words(&argc, &argv, &result_fd);
    seclusion_begin(environ);
    give_memory_back();
    /* Only so that carets stand below wide characters; numbers and messages stay as they are. */
    (void)setlocale(LC_CTYPE, "C.UTF-8");
    if (fill_standard_fds() < 0) {
        (void)fprintf(stderr, "mpinetd: descriptors 0 to 2 are not all open, and /dev/null cannot be: %s\n",
                      strerror(errno));
        return EXIT_FAILURE;
    }
    int announced = inherited_check_announcement();
    keep_descriptors_in();
    /* From here on whoever ends us is obeyed in order, however early. */
    set_up_signals();
    if (config_child_is_asked(argc, argv))
        return config_child_main(argc, argv);
    if (interpreter_child_is_asked(argc, argv))
        return interpreter_child_main(argc, argv);
    int status = options_parse(&options, argc, argv);
    bool parsed = status == OPTIONS_GO_ON;
    if (!parsed && (status >= 0 || state_fd < 0))
        return status < 0 ? not_started(status) : status;
    LoadContext context = {
        .euid = geteuid(),
        .libexecdir = config_libexecdir(environ),
        .environ = environ,
        .tolerate_missing = true,
    };
    if (options.check) {
        unblock_signals();
        return check(&options, &context);
    }
    if (proven_fd >= 0)
        takeover_prove(&options, &context, proven_fd, result_fd);
    options.announced = announced;
    options.program = program_path();
    return state_fd >= 0 ? take_over(&options, &context, state_fd, parsed) : run(&options, &context);
}
