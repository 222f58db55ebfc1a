/* SPDX-License-Identifier: MIT */
/* What the daemon reads of an instance: its stderr, and what it says of itself. */
#include <sys/socket.h>

#include "daemon/base/clock.h"
#include "daemon/instance.h"
#include "daemon/service.h"
#include "daemon/spawn.h"

static const PipeLimit report_limit = {.bytes = 512 << 10, .interval_usec = 100 * USEC_PER_MSEC};
/* Each line becomes one of the log, with all that goes along: some thousand a second. */
static const PipeLimit stderr_limit = {
    .bytes = 256 << 10, .interval_usec = 100 * USEC_PER_MSEC, .line_bytes = 512};

static void on_stderr_line(const char *line, size_t n, bool truncated, void *userdata) {
    Instance *i = userdata;
    char peer[PEER_TEXT_MAX];
    Text text CLEANUP_TEXT = {0};
    text_add_escaped(&text, line, n);
    if (truncated)
        text_add(&text, "…");
    ApiEvent e = instance_event(i, LOG_LEVEL_INFO, "stderr", peer);
    e.message = text.s ? text.s : "";
    eventlog_emit(&i->rt->events, &e, &service_history(i->service)->lines);
}

static void on_stderr_end(PipeReader *r, void *userdata) {
    Instance *i = userdata;
    i->stderr_pipe = pipe_reader_free(r);
    if (i->state == INSTANCE_GHOST)
        instance_free(i);
}

static void on_status_line(const char *line, size_t n, bool truncated, void *userdata) {
    Instance *i = userdata;
    if (truncated)
        n = 0; /* too long is malformed, whatever it began with */
    service_on_report(i->service, i, line, n);
}

static void on_status_end(PipeReader *r, void *userdata) {
    Instance *i = userdata;
    i->status_pipe = pipe_reader_free(r);
    instance_cannot_be_ready(i);
}

static void on_notify_line(const char *line, size_t n, void *userdata) {
    Instance *i = userdata;
    service_on_report(i->service, i, line, n);
}

static bool may_notify(const struct ucred *sender, void *userdata) {
    const Instance *i = userdata;
    /* It leads a session: what it has forked is in there, unless it went on purpose. */
    pid_t session = sender->pid == i->pid ? i->pid : getsid(sender->pid);
    /* One that has sent it and is gone leaves its user alone to judge by. */
    if (session < 0)
        return sender->uid == i->uid;
    /* With process namespaces the daemon knows the one outside: what that stands for leads a session of its
     * own. */
    return session == i->pid || (i->own_pids && spawn_parent_of(session) == i->pid);
}

void instance_know_config(Instance *i) {
    const ServiceConfig *c = i->service->config;
    i->uid = c->resolved.change_ids ? c->resolved.uid : i->rt->spawner->uid;
    i->own_pids = c->sandbox && c->sandbox->private_pids && i->role != ROLE_FORWARD;
}

int instance_open_notify(Instance *i) {
    return notify_socket_new(i->rt->loop, i->rt->discard, may_notify, on_notify_line, i, &i->notify);
}

static int read_stderr(Instance *i, int fd) {
    int r = pipe_reader_new(i->rt->loop, &i->rt->late_readers, fd, on_stderr_line, on_stderr_end, i,
                            &i->stderr_pipe);
    if (r >= 0)
        pipe_reader_set_limit(i->stderr_pipe, stderr_limit);
    return r;
}

static int read_status(Instance *i, int fd) {
    int r = pipe_reader_new(i->rt->loop, NULL, fd, on_status_line, on_status_end, i, &i->status_pipe);
    if (r >= 0)
        pipe_reader_set_limit(i->status_pipe, report_limit);
    return r;
}

static int make_report(Instance *i) {
    i->report = malloc(sizeof(*i->report));
    if (!i->report)
        return -ENOMEM;
    report_init(i->report);
    return 0;
}

int instance_read_pipes(Instance *i, int stderr_fd, int status_fd) {
    CLEANUP_CLOSE int status = status_fd;
    int r = stderr_fd >= 0 ? read_stderr(i, stderr_fd) : 0;
    if (r < 0 || (status_fd < 0 && !i->notify))
        return r;
    r = make_report(i);
    return r < 0 || status_fd < 0 ? r : read_status(i, TAKE_FD(status));
}

void instance_drain_reports(Instance *i) {
    pipe_reader_drain(i->status_pipe);
    notify_socket_drain(i->notify);
}

void instance_drain_pipes(Instance *i) {
    pipe_reader_drain(i->status_pipe);
    notify_socket_last_words(i->notify);
    pipe_reader_drain(i->stderr_pipe);
}

/* The upgrade in place */

enum {
    PIPES_STDERR = 1,
    PIPES_STATUS,
    PIPES_NOTIFY,
    PIPES_REPORT,
    PIPES_UID,
    PIPES_OWN_PIDS,
};

static void save_reader(BlobWriter *w, uint16_t tag, const PipeReader *r) {
    if (!r)
        return;
    size_t at = blob_open(w, tag);
    pipe_reader_save(w, r);
    blob_close(w, at);
}

void instance_save_pipes(BlobWriter *w, const Instance *i) {
    save_reader(w, PIPES_STDERR, i->stderr_pipe);
    save_reader(w, PIPES_STATUS, i->status_pipe);
    if (i->notify) {
        size_t at = blob_open(w, PIPES_NOTIFY);
        notify_socket_save(w, i->notify);
        blob_close(w, at);
    }
    blob_put_u64(w, PIPES_UID, i->uid);
    blob_put_u64(w, PIPES_OWN_PIDS, i->own_pids);
    if (i->report) {
        size_t at = blob_open(w, PIPES_REPORT);
        report_save(w, i->report);
        blob_close(w, at);
    }
}

static int restore_reader(const BlobField *f, Instance *i) {
    bool is_stderr = f->tag == PIPES_STDERR;
    PipeReader **reader = is_stderr ? &i->stderr_pipe : &i->status_pipe;
    if (*reader)
        return 0;
    int r = pipe_reader_restore(blob_enter(f), i->rt->loop, is_stderr ? on_stderr_line : on_status_line,
                                is_stderr ? on_stderr_end : on_status_end, i, reader);
    if (r >= 0)
        pipe_reader_set_limit(*reader, is_stderr ? stderr_limit : report_limit);
    return r;
}

static int restore_report(const BlobField *f, Instance *i) {
    int r = i->report ? 0 : make_report(i);
    return r < 0 ? r : report_restore(blob_enter(f), i->report);
}

int instance_restore_pipes(BlobReader in, Instance *i) {
    BlobField f;
    int r = 0;
    /* An earlier version has not said it. */
    instance_know_config(i);
    while (r >= 0 && blob_next(&in, &f)) {
        if (f.tag == PIPES_UID)
            i->uid = (uid_t)blob_u64(&f);
        else if (f.tag == PIPES_OWN_PIDS)
            i->own_pids = blob_u64(&f) != 0;
        else if (f.tag == PIPES_STDERR || f.tag == PIPES_STATUS)
            r = restore_reader(&f, i);
        else if (f.tag == PIPES_NOTIFY && !i->notify)
            r = notify_socket_restore(blob_enter(&f), i->rt->loop, i->rt->discard, may_notify, on_notify_line,
                                      i, &i->notify);
        else if (f.tag == PIPES_REPORT)
            r = restore_report(&f, i);
    }
    /* Whatever is read of it has somewhere to go. */
    if (r >= 0 && (i->status_pipe || i->notify) && !i->report)
        r = make_report(i);
    return blob_is_spoilt(in.source) ? -EBADMSG : r;
}
