/* SPDX-License-Identifier: MIT */
#include "daemon/takeover.h"

#include <string.h>

#include "build-config.h"
#include "daemon/handover.h"
#include "daemon/helper.h"
#include "daemon/proof.h"
#include "daemon/rescue.h"

/* Without a logger there is but stderr. */
static void tell_failure(const char *why, Logger *logger) {
    Text text CLEANUP_TEXT = {0};
    static const char format[] =
        "version " MP_VERSION " runs, and cannot go on where the one before has left off (%s): it starts "
        "anew with its listeners, and knows nothing of the processes that run";
    if (!logger) {
        (void)fputs("mpinetd: upgrade_failed: ", stderr);
        (void)fprintf(stderr, format, why);
        (void)fputc('\n', stderr);
        return;
    }
    ApiEvent e = eventlog_event(LOG_LEVEL_ERROR, "upgrade_failed");
    text_addf(&text, format, why);
    e.message = text.s;
    logger_event(logger, LOG_LEVEL_ERROR, &e);
    logger_flush(logger);
}

int takeover_restore(const Options *options, const LoadContext *load, Logger *logger, int state_fd,
                     Rescue *rescue, Manager **ret) {
    Handover h CLEANUP_HANDOVER = {0};
    int r = logger ? handover_read(&h, state_fd, BLOB_STATE) : -ENOMEM;
    (void)fd_close(state_fd);
    if (logger && options->has_format)
        logger_set_format(logger, options->format);
    /* Copies of all that listens, since what fails half-way may close it. What was not read to its end does
     * not say which there are. */
    rescue_collect(rescue, r >= 0 ? h.source.fds : NULL, h.source.n_fds);
    if (r >= 0)
        r = manager_restore(options, load, logger, h.reader, false, ret);
    if (r >= 0)
        return 0;
    tell_failure(h.source.why[0] ? h.source.why : strerror(-r), logger);
    return r;
}

/* The config's files must be good as they are now, though what is in force comes with the state: the next
 * start would not get further. */
static int check_config(const Options *o, const Manager *m, const LoadContext *load, DiagList *diags) {
    Config *config CLEANUP_CONFIG = NULL;
    LoadContext strict = *load;
    strict.tolerate_missing = false;
    strict.absolute_names = true;
    if (o->attempt)
        return config_new_try(o->endpoints, o->command, &strict, diags, &config);
    return config_load(manager_config(m)->path, &strict, diags, &config);
}

static void judge(const Options *options, const LoadContext *load, int state_fd, Proof *v, Text *why) {
    Handover h = {0};
    Logger *logger = NULL;
    Manager *m = NULL;
    int r = handover_read(&h, state_fd, BLOB_STATE);
    if (r >= 0)
        r = logger_new(options->target, &logger);
    if (r >= 0)
        r = manager_restore(options, load, logger, h.reader, true, &m);
    if (r < 0) {
        v->step = strdup("state");
        text_addf(why, "it cannot read the state: %s",
                  blob_is_spoilt(&h.source) ? h.source.why : strerror(-r));
        return;
    }
    r = check_config(options, m, load, &v->diags);
    if (r < 0) {
        v->step = strdup("config");
        text_addf(why, "it refuses the config as its files are now: %s",
                  v->diags.n_errors > 0 ? "see its errors" : strerror(-r));
        return;
    }
    v->ok = true;
}

void takeover_prove(const Options *options, const LoadContext *load, int state_fd, int result_fd) {
    Proof v = {.version = strdup(MP_VERSION), .file = proof_file("/proc/self/exe")};
    Text why = {0};
    BlobWriter w = {0};
    helper_settle();
    judge(options, load, state_fd, &v, &why);
    v.why = v.ok ? NULL : why.s;
    int r = proof_write(&w, &v);
    if (r >= 0)
        r = helper_write_result(result_fd, w.data, w.n);
    /* Nothing is given back: that would take away what the daemon has. */
    _exit(r < 0 ? helper_tell_unwritten(result_fd, r) : EXIT_SUCCESS);
}
