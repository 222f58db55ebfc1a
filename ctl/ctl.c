/* SPDX-License-Identifier: MIT */
#include "ctl/ctl.h"

#include <stdarg.h>
#include <string.h>

#include "conf/load.h"
#include "ctl/diagnostics.h"
#include "ctl/fields.h"
#include "ctl/status-hints.h"
#include "daemon/base/clock.h"

/* How long a call that the daemon answers at once may take. */
#define ANSWER_TIMEOUT_USEC (30 * USEC_PER_SEC)
/* And a question that only makes a message better. */
#define ASIDE_TIMEOUT_USEC (2 * USEC_PER_SEC)
#define SYSTEM_SOCKET "/run/mpinetd/control.sock"

int ctl_fail(Ctl *c, CtlStatus status, const char *hint, const char *format, ...) {
    va_list ap;
    /* What was found out before is shown before. */
    (void)ctl_flush(c);
    (void)fputs("mpctl: ", stderr);
    va_start(ap, format);
    (void)vfprintf(stderr, format, ap);
    va_end(ap);
    (void)fputc('\n', stderr);
    if (hint)
        (void)fprintf(stderr, "hint: %s\n", hint);
    return (int)status;
}

int ctl_flush(Ctl *c) {
    if (options_has(&c->options, OPTION(QUIET)) && text_ok(&c->out))
        text_reset(&c->out);
    bool bad = !text_ok(&c->out) || (c->out.len > 0 && fwrite(c->out.s, 1, c->out.len, stdout) != c->out.len);
    bad = fflush(stdout) != 0 || bad;
    text_reset(&c->out);
    if (!bad)
        return 0;
    /* A reader that has seen enough is no news. */
    if (errno != EPIPE)
        (void)fprintf(stderr, "mpctl: cannot write: %s\n", strerror(errno));
    return CTL_FAILED;
}

bool ctl_wants_json(const Ctl *c) {
    return c->options.format == OUTPUT_JSON;
}

/* jansson leaves DEL and C1 as they are, and a terminal would obey them. They stand within strings only. */
static void add_harmless(Text *out, const char *json) {
    for (const unsigned char *s = (const unsigned char *)json; *s; s++) {
        if (*s == 0x7f)
            text_add(out, "\\u007f");
        else if (s[0] == 0xc2 && s[1] >= 0x80 && s[1] < 0xa0)
            text_addf(out, "\\u00%02x", *++s);
        else
            text_addc(out, (char)*s);
    }
}

void ctl_add_json(Ctl *c, const json_t *document) {
    CLEANUP_FREE char *text = json_dumps(document, JSON_COMPACT | JSON_REAL_PRECISION(15));
    if (!text) {
        c->out.failed = true;
        return;
    }
    add_harmless(&c->out, text);
    text_addc(&c->out, '\n');
}

/* Nothing answers there. */
static bool is_absent(int r) {
    return r == -ENOENT || r == -ECONNREFUSED || r == -ENOTDIR;
}

static int fail_connect(Ctl *c, const char *path, int r) {
    CLEANUP_TEXT Text shown = {0};
    text_add_escaped(&shown, path, strlen(path));
    if (is_absent(r))
        return ctl_fail(c, CTL_NO_DAEMON, "systemctl start mpinetd, or name another socket with -s",
                        "mpinetd is not running (nothing listens at %s)", shown.s);
    if (r == -EACCES || r == -EPERM)
        return ctl_fail(c, CTL_NOT_ALLOWED, "run it as root, or join the group that control.group names",
                        "cannot open %s: %s", shown.s, strerror(-r));
    if (r == -EAGAIN)
        return ctl_fail(c, CTL_NO_DAEMON, "it may be stopped or overloaded; look at its log",
                        "mpinetd does not take the connection to %s", shown.s);
    if (r == -ENAMETOOLONG)
        return ctl_fail(c, CTL_USAGE, NULL, "the socket's path is too long (at most 107 bytes): %s", shown.s);
    return ctl_fail(c, CTL_FAILED, NULL, "cannot connect to %s: %s", shown.s, strerror(-r));
}

/* Tries one socket, and keeps its name for a message. */
static int open_path(Ctl *c, const char *path, char **ret_path) {
    if (ret_path) {
        free(*ret_path);
        *ret_path = strdup(path);
    }
    return client_open_within(path, c->connect_timeout_usec, &c->client);
}

int ctl_open(Ctl *c, char **ret_path) {
    const char *named = c->options.values[OPTION_SOCKET], *path = named ? named : getenv("MPCTL_SOCKET");
    /* A variable that is empty is none; what was named is never taken for another. */
    if (named || (path && *path))
        return open_path(c, path, ret_path);
    /* The user's own daemon, if it is there, else the system's. */
    CLEANUP_FREE char *own = config_default_socket(geteuid(), environ);
    int r = own && !streq(own, SYSTEM_SOCKET) ? open_path(c, own, ret_path) : -ENOENT;
    return is_absent(r) ? open_path(c, SYSTEM_SOCKET, ret_path) : r;
}

static uint64_t answer_timeout(const Ctl *c) {
    return c->options.timeout_usec == USEC_INFINITY ? ANSWER_TIMEOUT_USEC : c->options.timeout_usec;
}

int ctl_connect(Ctl *c) {
    CLEANUP_FREE char *path = NULL;
    if (c->client)
        return 0;
    if (c->connect_timeout_usec == 0)
        c->connect_timeout_usec = answer_timeout(c) > 0 ? answer_timeout(c) : 1;
    int r = ctl_open(c, &path);
    return r < 0 ? fail_connect(c, path ? path : "", r) : 0;
}

static int fail_receive(Ctl *c, int r) {
    if (r == -ETIMEDOUT)
        return ctl_fail(c, CTL_NO_DAEMON, "it may be stopped or overloaded; look at its log",
                        "mpinetd does not answer in time");
    if (r == -ECONNRESET || r == -EPIPE)
        return ctl_fail(c, CTL_NO_DAEMON, "it may have ended just now; look at its log",
                        "mpinetd closed the connection without an answer");
    if (r == -EBADMSG || r == -EMSGSIZE)
        return ctl_fail(c, CTL_FAILED, "name the socket of mpinetd with -s, or in MPCTL_SOCKET",
                        "what listens there does not talk as mpinetd does");
    return ctl_fail(c, CTL_FAILED, NULL, "cannot talk to mpinetd: %s", strerror(-r));
}

int ctl_send(Ctl *c, Method m, json_t *parameters, bool more) {
    int status = ctl_connect(c);
    if (status != 0) {
        json_decref(parameters);
        return status;
    }
    int r = client_send(c->client, method_name(m), parameters, more);
    /* A daemon that has no place for us may close at once, and has then said why in a reply. */
    return r < 0 && r != -EPIPE && r != -ECONNRESET ? fail_receive(c, r) : 0;
}

int ctl_fail_reply(Ctl *c, Method m, int r, const Reply *reply) {
    return r < 0 || !reply ? fail_receive(c, r) : ctl_report_error(c, m, reply);
}

int ctl_receive(Ctl *c, Method m, uint64_t timeout_usec, Reply *ret) {
    Reply reply = {0};
    int r = client_receive(c->client, timeout_usec, &reply);
    if (r < 0 || reply.error) {
        int status = ctl_fail_reply(c, m, r, &reply);
        reply_done(&reply);
        return status;
    }
    *ret = reply;
    return 0;
}

int ctl_call(Ctl *c, Method m, json_t *parameters, json_t **ret) {
    int status = ctl_send(c, m, parameters, false);
    CLEANUP_REPLY Reply reply = {0};
    if (status == 0)
        status = ctl_receive(c, m, answer_timeout(c), &reply);
    if (status == 0)
        *ret = json_incref(reply.parameters);
    return status;
}

/* What an error of the interface is to the user of mpctl. */
typedef struct ErrorMeaning {
    ApiError error;
    CtlStatus status;
    const char *words;     /* before the text of @parameter */
    const char *parameter; /* shown in quotes */
    const char *hint;
} ErrorMeaning;

static const ErrorMeaning meanings[] = {
    {API_NO_SUCH_SERVICE, CTL_NO_SERVICE, "no service", "service", "'mpctl status' lists them"},
    {API_NO_SUCH_INSTANCE, CTL_FAILED, "no instance", "instance", "'mpctl ps' lists them"},
    {API_METHOD_NOT_FOUND, CTL_FAILED, "this mpinetd does not know", "method",
     "it is of another version than mpctl: see 'mpctl version'"},
    {API_INVALID_PARAMETER, CTL_FAILED, "this mpinetd does not take the parameter", "parameter",
     "it is of another version than mpctl: see 'mpctl version'"},
};

/* The words of the call as they were given: "start web". */
static void add_call(const Ctl *c, Text *out) {
    text_add(out, c->options.verb ? c->options.verb : "status");
    for (char **arg = c->options.args; *arg; arg++) {
        text_addc(out, ' ');
        text_add_escaped(out, *arg, strlen(*arg));
    }
}

static int report_failed(Ctl *c, const json_t *parameters) {
    CLEANUP_TEXT Text what = {0};
    add_call(c, &what);
    text_add(&what, ": ");
    last_error_what(parameters, &what);
    return ctl_fail(c, CTL_FAILED, "'mpctl status --failed' and 'mpctl events' tell more", "%s", what.s);
}

/* Whether the call names just that service, so that it need not be named again. */
static bool names_only(const Ctl *c, const char *service) {
    return c->options.args[0] && !c->options.args[1] && streq(c->options.args[0], service);
}

static int report_state(Ctl *c, const json_t *parameters) {
    const char *service = field_text(parameters, "service");
    CLEANUP_TEXT Text what = {0}, hint = {0};
    add_call(c, &what);
    text_add(&what, ": ");
    if (*service && !names_only(c, service)) {
        field_show(&what, parameters, "service");
        text_add(&what, ": ");
    }
    if (field_given(parameters, "reason"))
        field_show(&what, parameters, "reason");
    else
        text_add(&what, "not possible in its state");
    text_add(&hint, "mpctl status ");
    text_add_escaped(&hint, service, strlen(service));
    return ctl_fail(c, CTL_FAILED, *service ? hint.s : NULL, "%s", what.s);
}

static bool is_error(const Reply *reply, ApiError error) {
    return streq(reply->error, api_error(error)->name);
}

/* What control.manage is now, as the config in force has it; nothing where that cannot be found out. */
static void add_managers(Ctl *c, Text *out) {
    CLEANUP_REPLY Reply reply = {0};
    /* What comes behind the first part is of no use, so the connection is not used any more. */
    c->client = client_free(c->client);
    if (ctl_open(c, NULL) == 0 && client_send(c->client, method_name(METHOD_GET_CONFIG), NULL, true) == 0)
        (void)client_receive(c->client, ASIDE_TIMEOUT_USEC, &reply);
    c->client = client_free(c->client);
    const json_t *control = json_object_get(json_object_get(reply.parameters, "config"), "control"),
                 *manage = json_object_get(control, "manage");
    for (size_t i = 0; i < json_array_size(manage); i++) {
        const char *name = json_string_value(json_array_get(manage, i));
        text_add(out, i == 0 ? " (now: " : ", ");
        text_add_escaped(out, name ? name : "", name ? strlen(name) : 0);
    }
    text_add(out, json_array_size(manage) > 0 ? ")" : "");
    if (field_given(reply.parameters, "path")) {
        text_add(out, " in ");
        field_show(out, reply.parameters, "path");
    }
}

static int report_not_allowed(Ctl *c, Method m) {
    CLEANUP_TEXT Text hint = {0};
    text_add(&hint, "run it as root, or add your user or group to control.manage");
    add_managers(c, &hint);
    return ctl_fail(c, CTL_NOT_ALLOWED, hint.s, "%s needs the right to manage mpinetd",
                    c->options.verb ? c->options.verb : method_name(m));
}

/* Takes @document over. */
static void add_error(Ctl *c, json_t *document) {
    if (!c->in_parts) {
        ctl_add_json(c, document);
        json_decref(document);
    } else if (!c->part_error) {
        c->part_error = document;
    } else {
        json_decref(document);
    }
}

void ctl_add_error(Ctl *c, const Reply *reply) {
    add_error(c, json_pack("{s:s, s:O}", "error", reply->error, "parameters", reply->parameters));
}

void ctl_add_failed(Ctl *c, int error, const char *message) {
    const char *verb = c->options.verb ? c->options.verb : "status";
    add_error(c, json_pack("{s:s, s:{s:s, s:i, s:s}}", "error", api_error(API_FAILED)->name, "parameters",
                           "step", verb, "errno", error, "message", message));
}

void ctl_begin_parts(Ctl *c) {
    c->in_parts = true;
}

void ctl_end_parts(Ctl *c, const json_t *document) {
    c->in_parts = false;
    if (ctl_wants_json(c) && (document || c->part_error))
        ctl_add_json(c, document ? document : c->part_error);
    json_decref(c->part_error);
    c->part_error = NULL;
}

int ctl_report_error(Ctl *c, Method m, const Reply *reply) {
    const json_t *parameters = reply->parameters;
    if (ctl_wants_json(c))
        ctl_add_error(c, reply);
    if (is_error(reply, API_NOT_ALLOWED))
        return report_not_allowed(c, m);
    if (is_error(reply, API_INVALID_CONFIG))
        return diagnostics_report_refusal(c, parameters);
    if (is_error(reply, API_FAILED))
        return report_failed(c, parameters);
    if (is_error(reply, API_INVALID_STATE))
        return report_state(c, parameters);
    CLEANUP_TEXT Text text = {0};
    for (size_t i = 0; i < ELEMENTS(meanings); i++) {
        if (!is_error(reply, meanings[i].error))
            continue;
        field_show(&text, parameters, meanings[i].parameter);
        return ctl_fail(c, meanings[i].status, meanings[i].hint, "%s '%s'", meanings[i].words,
                        text.s ? text.s : "");
    }
    text_add_escaped(&text, reply->error, strlen(reply->error));
    return ctl_fail(c, CTL_FAILED, NULL, "mpinetd answers with the error %s", text.s);
}
