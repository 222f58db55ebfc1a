/* SPDX-License-Identifier: MIT */
/* An upgrade in place: what upgrade.c says comes next, done. Until execve(2) has succeeded all of it can be
 * taken back, and is. */
#include <fcntl.h>
#include <string.h>

#include "build-config.h"
#include "daemon/base/clock.h"
#include "daemon/cgroup-spread.h"
#include "daemon/handover.h"
#include "daemon/launch.h"
#include "daemon/manager-private.h"
#include "daemon/resolver.h"
#include "daemon/seclusion.h"
#include "daemon/upgrade.h"

/* Where the next program is looked for. NULL: nobody knows. */
static const char *program_of(const Manager *m) {
    return m->restored.program ? m->restored.program : m->options->program;
}

/* The end of it */

/* What was held back for it goes on. */
static void release(Manager *m) {
    m->upgrade.settle_usec = 0;
    if (!m->rt.handing_over)
        return;
    m->rt.handing_over = false;
    for (size_t i = 0; i < m->services.n; i++)
        spares_update(m->services.items[i]);
}

static void forget(Manager *m) {
    ManagerUpgrade *u = &m->upgrade;
    m->rt.proving = false;
    u->helper = helper_free(u->helper);
    u->look = sd_event_source_disable_unref(u->look);
    free(u->version);
    *u = (ManagerUpgrade){0};
    release(m);
    manager_go_on_loading(m);
}

static void answer_failure(Manager *m, const UpgradeFailure *f, const DiagList *diags) {
    Text text CLEANUP_TEXT = {0};
    ApiReload reply = {.generation = m->generation, .diagnostics = diags};
    if (diags && diags->n_errors > 0)
        api_encode_invalid_config(&text, &reply);
    else if (m->rt.stopping)
        api_encode_error(&text, API_INVALID_STATE, NULL, f->why, 0);
    else
        api_encode_error(&text, API_FAILED, f->step, f->why, f->error);
    control_answer(m->control, WAIT_UPGRADE, &text);
}

static void fail(Manager *m, const UpgradeFailure *f, const DiagList *diags) {
    for (size_t i = 0; diags && i < diags->n && i < 20; i++) {
        Text line CLEANUP_TEXT = {0};
        if (diags->items[i].severity != DIAG_ERROR)
            continue;
        diag_format_line(&diags->items[i], &line);
        eventlog_say(&m->rt.events, LOG_LEVEL_ERROR, "upgrade_failed", "%s", line.s ? line.s : "");
    }
    ApiEvent e = eventlog_event(LOG_LEVEL_ERROR, "upgrade_failed");
    e.step = f->step;
    e.error = f->error;
    e.message = f->why;
    eventlog_emit(&m->rt.events, &e, NULL);
    forget(m);
    answer_failure(m, f, diags);
}

void manager_cancel_upgrade(Manager *m) {
    if (m->upgrade.running)
        fail(m, &(UpgradeFailure){.step = "stopping", .why = "the daemon is stopping"}, NULL);
}

/* One of its own steps has failed. */
static void fail_step(Manager *m, const char *step, int r) {
    Text text CLEANUP_TEXT = {0};
    text_addf(&text, "the state could not be handed over: %s; version " MP_VERSION " goes on", strerror(-r));
    fail(m, &(UpgradeFailure){.step = step, .error = -r, .why = text.s ? text.s : "out of memory"}, NULL);
}

/* The proof */

static void on_proof(const HelperEnd *end, void *userdata) {
    Manager *m = userdata;
    Text text CLEANUP_TEXT = {0};
    Proof proof CLEANUP_PROOF = {0};
    UpgradeFailure failure;
    m->rt.proving = false;
    m->upgrade.helper = NULL;
    if (!upgrade_judge(program_of(m), end, &proof, &text, &failure)) {
        fail(m, &failure, &proof.diags);
        return;
    }
    m->upgrade.proven = true;
    m->upgrade.version = TAKE_PTR(proof.version);
    m->upgrade.file = proof.file;
    manager_go_on_upgrading(m);
}

/* Its words are those of this daemon; first of all stands what it is to do, since behind `--` of --try all
 * belongs to the command. */
static char **make_argv(char *const *argv, int fd) {
    CLEANUP_STRV char **result = NULL;
    char *word = NULL;
    if (strv_push(&result, strdup(argv[0] ? argv[0] : "mpinetd")) < 0 ||
        asprintf(&word, UPGRADE_ACCEPT_WORD "%d", fd) < 0 || strv_push(&result, word) < 0)
        return NULL;
    for (char *const *s = argv + 1; argv[0] && *s; s++)
        if (strv_push(&result, strdup(*s)) < 0)
            return NULL;
    return TAKE_PTR(result);
}

/* The state as it is now, with copies of all descriptors, to a helper. */
static int start_proof(Manager *m) {
    BlobWriter w CLEANUP_BLOB = {0};
    int r = manager_save(&w, m);
    CLEANUP_CLOSE int fd = r < 0 ? r : handover_write(&w);
    if (fd < 0)
        return fd;
    CLEANUP_STRV char **argv = make_argv(m->options->argv, fd);
    CLEANUP_FREE int *fds = calloc(w.n_fds + 1, sizeof(int));
    if (!argv || !fds)
        return -ENOMEM;
    if (w.n_fds > 0)
        memcpy(fds, w.fds, w.n_fds * sizeof(int));
    fds[w.n_fds] = fd;
    HelperPlan plan = {
        .path = program_of(m),
        .argv = argv,
        .environ = environ,
        .fds = fds,
        .n_fds = w.n_fds + 1,
        .limits = {.time_usec = UPGRADE_PROOF_USEC},
    };
    m->upgrade.generation = m->generation;
    m->upgrade.n_proofs++;
    r = helper_start(&m->helpers, m->rt.loop, &plan, on_proof, m, &m->upgrade.helper);
    m->rt.proving = r >= 0;
    return r;
}

static void prove(Manager *m) {
    release(m);
    free(m->upgrade.version);
    m->upgrade.version = NULL;
    m->upgrade.proven = false;
    if (!program_of(m)) {
        static const char why[] =
            "it is not known by which path the daemon was started: start it by a path, with /proc mounted";
        fail(m, &(UpgradeFailure){.step = "exec", .error = ENOENT, .why = why}, NULL);
        return;
    }
    int r = start_proof(m);
    if (r < 0)
        fail_step(m, "proof", r);
    else
        manager_go_on_loading(m);
}

/* Before execve(2) */

/* Processes that were set up ahead would wait for a program that is no more. */
static void settle(Manager *m) {
    if (m->rt.handing_over)
        return;
    m->rt.handing_over = true;
    m->upgrade.settle_usec = clock_monotonic_usec();
    for (size_t i = 0; i < m->services.n; i++)
        spares_update(m->services.items[i]);
}

static bool is_settled(const Manager *m) {
    if (!m->rt.handing_over)
        return false;
    if (clock_monotonic_usec() - m->upgrade.settle_usec >= UPGRADE_SETTLE_USEC)
        return true;
    for (size_t i = 0; i < m->services.n; i++)
        if (!launch_is_settled(m->services.items[i]))
            return false;
    return true;
}

/* The environment with the word for the new program. */
static char **make_environ(int fd, char *word, size_t size) {
    size_t n = strv_length(environ);
    char **result = (char **)calloc(n + 2, sizeof(char *));
    (void)snprintf(word, size, HANDOVER_VARIABLE "=%d:%d", (int)getpid(), fd);
    for (size_t i = 0; result && i < n; i++)
        result[i] = environ[i];
    if (result)
        result[n] = word;
    return result;
}

/* Returns only when it has failed, with all as it was; @ret_tried: execve(2) itself has. */
static int replace_program(const Manager *m, const BlobWriter *w, int fd, bool *ret_tried) {
    char word[64];
    CLEANUP_FREE char **envp = make_environ(fd, word, sizeof(word));
    if (!envp)
        return -ENOMEM;
    int r = handover_keep(w->fds, w->n_fds, true);
    if (r >= 0)
        r = handover_keep(&fd, 1, true);
    if (r >= 0) {
        /* What is closed by execve(2) is closed as by the daemon. */
        (void)discard_now(m->rt.discard);
        seclusion_lift(&m->rt);
        (void)execve(program_of(m), m->options->argv, envp);
        r = -errno;
        seclusion_resume(&m->rt);
        *ret_tried = true;
    }
    (void)handover_keep(w->fds, w->n_fds, false);
    (void)handover_keep(&fd, 1, false);
    return r;
}

static void execute(Manager *m) {
    BlobWriter w CLEANUP_BLOB = {0};
    m->upgrade.paused_usec = clock_monotonic_usec();
    manager_forget_checks(m);
    resolver_suspend(m->rt.resolver);
    manager_tell_reloading(m);
    logger_flush(m->rt.events.logger);
    cgroup_spread_finish(&m->rt);
    int r = manager_save(&w, m);
    CLEANUP_CLOSE int fd = r < 0 ? r : handover_write(&w);
    bool tried = false;
    r = fd >= 0 ? replace_program(m, &w, fd, &tried) : fd;
    manager_tell_reloaded(m);
    resolver_resume(m->rt.resolver);
    if (!tried) {
        fail_step(m, "snapshot", r);
        return;
    }
    Text text CLEANUP_TEXT = {0};
    UpgradeFailure failure;
    upgrade_explain_exec(program_of(m), -r, &text, &failure);
    fail(m, &failure, NULL);
}

/* Somebody has put yet another program there since. */
static bool is_another(const Manager *m) {
    ProofFile now = proof_file(program_of(m));
    return m->upgrade.n_proofs < UPGRADE_PROOFS_MAX && proof_file_differs(&m->upgrade.file, &now);
}

/* What comes next */

static void look_later(Manager *m, uint64_t usec);

static UpgradeFacts facts_of(const Manager *m) {
    const ManagerUpgrade *u = &m->upgrade;
    return (UpgradeFacts){
        .stopping = m->rt.stopping,
        .reloading = manager_is_reloading(m),
        .proving = u->helper != NULL,
        .proven = u->proven && (u->generation == m->generation || u->n_proofs >= UPGRADE_PROOFS_MAX),
        .settled = is_settled(m),
    };
}

static int on_look(sd_event_source *s, uint64_t usec, void *userdata) {
    Manager *m = userdata;
    (void)s;
    (void)usec;
    m->upgrade.look = sd_event_source_disable_unref(m->upgrade.look);
    UpgradeFacts facts = facts_of(m);
    switch (upgrade_next(&facts)) {
    case UPGRADE_CANCEL:
        manager_cancel_upgrade(m);
        break;
    case UPGRADE_WAIT:
        release(m);
        break;
    case UPGRADE_PROVE:
        prove(m);
        break;
    case UPGRADE_SETTLE:
        settle(m);
        look_later(m, is_settled(m) ? 0 : UPGRADE_SETTLE_LOOK_USEC);
        break;
    case UPGRADE_EXECUTE:
        if (is_another(m))
            prove(m);
        else
            execute(m);
        break;
    }
    return 0;
}

static void look_later(Manager *m, uint64_t usec) {
    if (m->upgrade.look)
        return;
    int r = sd_event_add_time_relative(m->rt.loop, &m->upgrade.look, CLOCK_MONOTONIC, usec, 1, on_look, m);
    if (r < 0)
        fail_step(m, "proof", r);
}

void manager_go_on_upgrading(Manager *m) {
    if (m->upgrade.running)
        look_later(m, 0);
}

int manager_upgrade(Manager *m) {
    if (m->rt.stopping || m->state != MANAGER_RUNNING)
        return -ESHUTDOWN;
    if (m->upgrade.running)
        return -EALREADY;
    m->upgrade.running = true;
    m->upgrade.began_usec = clock_monotonic_usec();
    eventlog_say(&m->rt.events, LOG_LEVEL_INFO, "upgrade", "%s is to run in place of version " MP_VERSION,
                 program_of(m) ? program_of(m) : "a new program");
    look_later(m, 0);
    return 0;
}

/* The new program */

void manager_tell_upgraded(Manager *m) {
    uint64_t now = clock_monotonic_usec();
    Text text CLEANUP_TEXT = {0}, words CLEANUP_TEXT = {0};
    ApiUpgrade reply = {
        .version = MP_VERSION,
        .previous = m->restored.version,
        .pause_usec = now - m->upgrade.paused_usec,
        .duration_usec = now - m->upgrade.began_usec,
    };
    text_add(&words, "version " MP_VERSION " runs in place of ");
    text_add_escaped(&words, m->restored.version, strlen(m->restored.version));
    text_add(&words, "; the pause was ");
    api_add_duration(&words, reply.pause_usec);
    ApiEvent e = eventlog_event(LOG_LEVEL_INFO, "upgraded");
    e.message = words.s;
    e.duration_usec = reply.duration_usec;
    eventlog_emit(&m->rt.events, &e, NULL);
    logger_flush(m->rt.events.logger);
    api_encode_upgrade(&text, &reply);
    control_answer(m->control, WAIT_UPGRADE, &text);
    m->upgrade.began_usec = m->upgrade.paused_usec = 0;
}
