/* SPDX-License-Identifier: MIT */
#include "tests/unit/ctl/fake-daemon.h"

#include <string.h>
#include <sys/socket.h>

#include "ctl/proto/frame.h"
#include "daemon/base/addr.h"
#include "daemon/base/clock.h"
#include "tests/unit/ctl/sample.h"

typedef struct Fake {
    Sample sample;
    FakeMode mode;
    bool stop;
} Fake;

int fake_listen(const char *path) {
    Addr addr;
    int r = addr_set_unix(path, &addr);
    if (r < 0)
        return r;
    CLEANUP_CLOSE int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (fd < 0 || bind(fd, &addr.sa, addr.len) < 0 || listen(fd, 16) < 0)
        return -errno;
    return TAKE_FD(fd);
}

static void answer_status(const Fake *f, const ApiRequest *r, Text *out) {
    ApiService chosen[SAMPLE_SERVICES];
    size_t n = 0;
    for (size_t i = 0; i < strv_length(r->services); i++) {
        const ApiService *s = sample_service(&f->sample, r->services[i]);
        if (!s) {
            api_encode_error(out, API_NO_SUCH_SERVICE, r->services[i], NULL, 0);
            return;
        }
        chosen[n++] = *s;
    }
    if (r->services)
        api_encode_status(out, &f->sample.daemon, chosen, n);
    else
        api_encode_status(out, &f->sample.daemon, f->sample.services, SAMPLE_SERVICES);
}

static void answer_describe(const Fake *f, const ApiRequest *r, Text *out) {
    const ApiService *s = sample_service(&f->sample, r->service);
    if (!s) {
        api_encode_error(out, API_NO_SUCH_SERVICE, r->service, NULL, 0);
        return;
    }
    ApiDescription d = sample_description(&f->sample, s);
    api_encode_description(out, &d);
}

static void answer_instances(const Fake *f, const ApiRequest *r, Text *out) {
    if (!r->more) {
        api_encode_instances(out, f->sample.instances, SAMPLE_INSTANCES, false);
        return;
    }
    api_encode_instances(out, f->sample.instances, 1, true);
    api_encode_instances(out, f->sample.instances + 1, SAMPLE_INSTANCES - 1, false);
}

/* As the daemon has it: the stderr of services is sent only to who asks for one service. A stream has one
 * more reply with one event, and ends. */
static void answer_events(const Fake *f, const ApiRequest *r, Text *out) {
    ApiEvent chosen[SAMPLE_EVENTS];
    size_t n = 0;
    for (size_t i = 0; i < SAMPLE_EVENTS; i++) {
        const ApiEvent *e = &f->sample.events[i];
        if (r->service ? streq_null(e->service, r->service) : !streq(e->event, "stderr"))
            chosen[n++] = *e;
    }
    size_t last = r->last < 0 || (size_t)r->last > n ? n : (size_t)r->last;
    api_encode_events(out, chosen + n - last, last, 0, r->more);
    if (r->more)
        api_encode_events(out, f->sample.events, 1, 37, false);
}

static void answer_reload(const Fake *f, Method m, Text *out) {
    DiagList diags = {0};
    ApiReload reload = {
        .ok = f->mode != FAKE_INVALID,
        .generation = m == METHOD_RELOAD && f->mode != FAKE_INVALID ? 8 : 7,
        .diagnostics = &diags,
    };
    if (reload.ok) {
        reload.changes = sample_changes;
        reload.n_changes = SAMPLE_CHANGES;
        reload.plan = sample_plan;
        reload.n_plan = SAMPLE_PLAN;
    } else {
        sample_diagnostics(&diags);
    }
    if (reload.ok || m == METHOD_CHECK_CONFIG)
        api_encode_reload(out, &reload);
    else
        api_encode_invalid_config(out, &reload);
    diag_list_done(&diags);
}

static void answer_upgrade(const Fake *f, const ApiRequest *r, Text *out) {
    ApiUpgrade u = {.version = "0.2.0", .previous = "0.1.0", .pause_usec = 12345, .duration_usec = 98765};
    ApiUpgrade begun = {.begun = true, .version = "0.1.0"};
    if (r->more)
        api_encode_upgrade(out, &begun);
    if (f->mode == FAKE_INVALID)
        answer_reload(f, METHOD_RELOAD, out);
    else if (f->mode != FAKE_SLOW)
        api_encode_upgrade(out, &u);
}

static void answer_shutdown(Fake *f, const ApiRequest *r, Text *out) {
    if (r->more)
        api_encode_empty(out, true);
    if (f->mode == FAKE_SLOW)
        return;
    api_encode_empty(out, false);
    f->stop = true;
}

static void answer_act(const Fake *f, const ApiRequest *r, Text *out) {
    const char *const *services = (const char *const *)r->services;
    if (r->more)
        api_encode_done(out, services, "echo: 3 running", true);
    if (f->mode != FAKE_SLOW)
        api_encode_done(out, services, NULL, false);
}

/* In parts that break within a line. */
static void answer_metrics(const ApiRequest *r, Text *out) {
    static const char text[] = "# TYPE mpinetd_config_generation gauge\nmpinetd_config_generation 7\n";
    size_t n = strlen(text), first = r->more ? 11 : n;
    api_encode_metrics(out, text, first, r->more);
    if (r->more)
        api_encode_metrics(out, text + first, n - first, false);
}

/* As with unban, what has no colon or dot is no prefix. */
static void answer_signal(const ApiRequest *r, Text *out) {
    const char *const services[] = {r->service ? r->service : "git", NULL};
    if (r->source && !strpbrk(r->source, ".:"))
        api_encode_error(out, API_INVALID_PARAMETER, "source", NULL, 0);
    else if (r->pid == 4)
        api_encode_error(out, API_NO_SUCH_INSTANCE, "4", NULL, 0);
    else
        api_encode_signaled(out, services, streq(services[0], "rsync") ? 0 : 3);
}

static void answer_bans(const Fake *f, const ApiRequest *r, Text *out) {
    if (!r->more) {
        api_encode_bans(out, f->sample.bans, SAMPLE_BANS, false);
        return;
    }
    api_encode_bans(out, f->sample.bans, 1, true);
    api_encode_bans(out, f->sample.bans + 1, SAMPLE_BANS - 1, false);
}

/* 203.0.113.* has one ban, uid:1 has two, and what has no colon or dot is no prefix. */
static void answer_unban(const ApiRequest *r, Text *out) {
    if (!strpbrk(r->prefix, ".:"))
        api_encode_error(out, API_INVALID_PARAMETER, "prefix", NULL, 0);
    else
        api_encode_unbanned(out, starts_with(r->prefix, "203.0.113.") ? 1
                                 : streq(r->prefix, "uid:1")          ? 2
                                                                      : 0);
}

/* The key that is none has no place in a file. */
static void answer_set(const Fake *f, Text *out) {
    DiagPos nowhere = {.file = ""};
    CLEANUP_DIAGS DiagList diags = {0};
    ApiReload reload = {.generation = 7, .diagnostics = &diags};
    if (f->mode != FAKE_INVALID) {
        api_encode_set(out, sample_changes + 1, 1);
        return;
    }
    diag_add(&diags, DIAG_ERROR, DIAG_UNKNOWN_KEY, &nowhere, NULL, "did you mean 'instances'?",
             "unknown key 'instance' in limits");
    api_encode_invalid_config(out, &reload);
}

/* With its NUL. */
static const char config_reply[] =
    "{\"parameters\":{\"generation\":7,\"path\":\"/etc/mpinetd/mpinetd.yaml\",\"files\":[],"
    "\"config\":{\"control\":{\"manage\":[\"root\",\"%sudo\"]}},\"origins\":[]}}";

static void answer(Fake *f, const ApiRequest *r, Text *out) {
    if (method_access(r->method) == METHOD_CHANGES && f->mode == FAKE_DENIED) {
        api_encode_error(out, API_NOT_ALLOWED, method_name(r->method), NULL, 0);
        return;
    }
    if (method_access(r->method) == METHOD_CHANGES && f->mode == FAKE_FAILED) {
        api_encode_error(out, API_FAILED, "bind", NULL, EADDRINUSE);
        return;
    }
    switch (r->method) {
    case METHOD_GET_INFO:
        api_encode_info(out, "0.1.0");
        break;
    case METHOD_GET_INTERFACE_DESCRIPTION:
        if (api_encode_interface_description(out, r->interface) < 0)
            api_encode_error(out, API_INTERFACE_NOT_FOUND, r->interface, NULL, 0);
        break;
    case METHOD_PING:
        api_encode_ping(out, "0.1.0", 812);
        break;
    case METHOD_STATUS:
        answer_status(f, r, out);
        break;
    case METHOD_DESCRIBE:
        answer_describe(f, r, out);
        break;
    case METHOD_INSTANCES:
        answer_instances(f, r, out);
        break;
    case METHOD_EVENTS:
        answer_events(f, r, out);
        break;
    case METHOD_CHECK_CONFIG:
    case METHOD_RELOAD:
        if (f->mode != FAKE_SLOW || r->method != METHOD_RELOAD)
            answer_reload(f, r->method, out);
        break;
    case METHOD_START:
    case METHOD_STOP:
    case METHOD_RESTART:
    case METHOD_PAUSE:
    case METHOD_RESUME:
    case METHOD_DRAIN:
        answer_act(f, r, out);
        break;
    case METHOD_METRICS:
        answer_metrics(r, out);
        break;
    case METHOD_GET_CONFIG:
        text_add_n(out, config_reply, sizeof(config_reply));
        break;
    case METHOD_SIGNAL:
        answer_signal(r, out);
        break;
    case METHOD_SET:
        answer_set(f, out);
        break;
    case METHOD_BANS:
        answer_bans(f, r, out);
        break;
    case METHOD_UNBAN:
        answer_unban(r, out);
        break;
    case METHOD_UPGRADE:
        answer_upgrade(f, r, out);
        break;
    case METHOD_SHUTDOWN:
        answer_shutdown(f, r, out);
        break;
    case _METHOD_MAX:
        break;
    }
}

static int handle(Fake *f, const char *message, size_t n, Text *out) {
    ApiRequest request;
    int r = api_decode(message, n, &request, out);
    if (r != 0)
        return r;
    if (!request.oneway)
        answer(f, &request, out);
    api_request_done(&request);
    return 0;
}

static int send_text(int fd, Text *out) {
    for (size_t sent = 0; sent < out->len;) {
        ssize_t n = send(fd, out->s + sent, out->len - sent, MSG_NOSIGNAL);
        if (n < 0)
            return -errno;
        sent += (size_t)n;
    }
    text_reset(out);
    return 0;
}

static void serve_client(Fake *f, int fd) {
    Frame frame;
    Text out = {0};
    frame_init(&frame, 65536);
    for (;;) {
        char *space;
        const char *message;
        size_t n;
        int r;
        if (frame_space(&frame, &space, &n) < 0)
            break;
        ssize_t got = recv(fd, space, n, 0);
        if (got <= 0)
            break;
        frame_advance(&frame, (size_t)got);
        while ((r = frame_next(&frame, &message, &n)) > 0 && f->mode != FAKE_SILENT) {
            if (f->mode == FAKE_GARBAGE)
                text_add_n(&out, "HTTP/1.0 400 Bad Request\r\n", 27);
            else if (handle(f, message, n, &out) < 0)
                break;
        }
        if (r < 0 || send_text(fd, &out) < 0 || (r > 0 && f->mode != FAKE_SILENT) || f->stop)
            break;
    }
    text_done(&out);
    frame_done(&frame);
}

void fake_serve(int listen_fd, FakeMode mode) {
    fake_serve_at(listen_fd, mode, clock_realtime_usec());
}

void fake_serve_at(int listen_fd, FakeMode mode, uint64_t now_usec) {
    Fake fake = {.mode = mode};
    sample_init(&fake.sample, now_usec);
    while (!fake.stop) {
        int fd = accept4(listen_fd, NULL, NULL, SOCK_CLOEXEC);
        if (fd < 0)
            return;
        if (mode != FAKE_HANGUP)
            serve_client(&fake, fd);
        (void)fd_close(fd);
    }
}
