/* SPDX-License-Identifier: MIT */
#include "conf/validate-isolation.h"

#include <string.h>
#include <unistd.h>

#include "conf/decode.h"
#include "conf/path.h"
#include "conf/target.h"
#include "conf/validate.h"

static void conflict(Reader *r, const ServiceConfig *s, const char *path, const char *hint,
                     const char *message) {
    validate_broken(r, s, path, DIAG_ERROR, DIAG_CONFLICT, hint, message);
}

/* The key @path where it is given, or that of the preset that gives it. */
static const char *given_by(const ServiceConfig *s, const char *path) {
    return service_origin(s, path) ? path : "sandbox.preset";
}

static bool has_items(char *const *v) {
    return v && *v;
}

/* seccomp(2) and landlock_restrict_self(2) refuse it without, for a set-user-ID program would be confined as
 * well, and could be confused by that. */
static void rule_privileges(Reader *r, const ServiceConfig *s) {
    const SandboxConfig *sandbox = s->sandbox;
    if (s->no_new_privileges)
        return;
    if (has_items(sandbox->seccomp))
        conflict(r, s, given_by(s, "sandbox.seccomp"),
                 "leave no_new_privileges out, or write seccomp: [] to do without",
                 "sandbox.seccomp cannot be had with no_new_privileges: false");
    if (sandbox->landlock_read || sandbox->landlock_write)
        conflict(r, s, sandbox->landlock_read ? "sandbox.landlock.read" : "sandbox.landlock.write",
                 "leave one of them out", "sandbox.landlock cannot be had with no_new_privileges: false");
}

static void rule_read_write(Reader *r, const ServiceConfig *s) {
    const SandboxConfig *sandbox = s->sandbox;
    for (size_t i = 0; sandbox->read_write && sandbox->read_write[i]; i++) {
        const char *path = path_of_item(sandbox->read_write[i]);
        if (path_find_above(path, sandbox->read_only) >= 0)
            continue;
        CLEANUP_TEXT Text message = {0};
        text_addf(&message, "sandbox.read_write: %s is not below a path of read_only, so it says nothing",
                  path);
        validate_broken_item(r, s, "sandbox.read_write", i, DIAG_WARNING, DIAG_CONFLICT,
                             "leave it out, or write read_only: [/]", message.s ? message.s : "");
    }
}

/* What is hidden cannot be what it needs. */
static void check_hidden(Reader *r, const ServiceConfig *s, const char *key, const char *own) {
    ssize_t i = own ? path_find_above(own, s->sandbox->hidden) : -1;
    if (i < 0)
        return;
    CLEANUP_TEXT Text message = {0};
    text_addf(&message, "sandbox.hidden hides %s of %s", own, key);
    validate_broken_item(r, s, "sandbox.hidden", (size_t)i, DIAG_ERROR, DIAG_CONFLICT,
                         "leave that path out of hidden", message.s ? message.s : "");
}

static void check_hidden_list(Reader *r, const ServiceConfig *s, const char *key, char *const *v) {
    for (; v && *v; v++)
        if (**v != '-')
            check_hidden(r, s, key, *v);
}

static void rule_hidden(Reader *r, const ServiceConfig *s) {
    const SandboxConfig *sandbox = s->sandbox;
    if (!service_origin(s, "sandbox.hidden")) /* those of a preset make room */
        return;
    ssize_t i = path_find_above("/", sandbox->hidden);
    if (i >= 0) {
        validate_broken_item(r, s, "sandbox.hidden", (size_t)i, DIAG_ERROR, DIAG_CONFLICT,
                             "list the folders that it shall not see, such as /home",
                             "sandbox.hidden: without / there is nothing to run");
        return;
    }
    bool root = s->root_directory;
    check_hidden(r, s, "exec", s->exec && s->exec[0][0] == '/' ? s->exec[0] : NULL);
    check_hidden(r, s, "working_directory", root ? NULL : s->working_directory);
    check_hidden_list(r, s, "sandbox.read_write", sandbox->read_write);
    check_hidden_list(r, s, "sandbox.landlock.write", sandbox->landlock_write);
}

/* /tmp and /var/tmp are empty ones: nothing that is needed is there. */
static void check_tmp(Reader *r, const ServiceConfig *s, const char *key, const char *own) {
    bool below = own && ((path_is_below(own, "/tmp") && !streq(own, "/tmp")) ||
                         (path_is_below(own, "/var/tmp") && !streq(own, "/var/tmp")));
    if (!below)
        return;
    CLEANUP_TEXT Text message = {0};
    text_addf(&message, "with private_tmp %s of %s is not there", own, key);
    conflict(r, s, given_by(s, "sandbox.private_tmp"), "put it elsewhere, or write private_tmp: false",
             message.s ? message.s : "");
}

static void check_tmp_list(Reader *r, const ServiceConfig *s, const char *key, char *const *v) {
    for (; v && *v; v++)
        if (**v != '-')
            check_tmp(r, s, key, *v);
}

static void rule_tmp(Reader *r, const ServiceConfig *s) {
    const SandboxConfig *sandbox = s->sandbox;
    if (!sandbox->private_tmp)
        return;
    check_tmp(r, s, "exec", s->exec && s->exec[0][0] == '/' ? s->exec[0] : NULL);
    check_tmp(r, s, "working_directory", s->working_directory);
    check_tmp_list(r, s, "sandbox.hidden", sandbox->hidden);
    check_tmp_list(r, s, "sandbox.landlock.read", sandbox->landlock_read);
    check_tmp_list(r, s, "sandbox.landlock.write", sandbox->landlock_write);
}

/* NOTIFY_SOCKET has no path, and names without one belong to a network. */
static void rule_notify(Reader *r, const ServiceConfig *s) {
    if (s->sandbox->network == SANDBOX_NETWORK_NONE && s->notify == NOTIFY_SD_NOTIFY)
        conflict(r, s, given_by(s, "sandbox.network"), "write notify: status, or network: host",
                 "with network: none the socket of notify: sd_notify cannot be reached");
}

/* Its backend is in a network of its own, and mp-forward is not. */
static void rule_forward(Reader *r, const ServiceConfig *s) {
    Endpoint to;
    if (s->model != MODEL_FORWARD || !s->to || target_parse(s->to, &to, NULL, NULL) < 0)
        return;
    bool node = to.path && to.path[0] == '/';
    if (s->sandbox->network == SANDBOX_NETWORK_NONE && !node)
        conflict(r, s, given_by(s, "sandbox.network"), "let it listen on unix:/path, or write network: host",
                 "with network: none the backend cannot be reached where 'to' says");
    bool tmp = node && (path_is_below(to.path, "/tmp") || path_is_below(to.path, "/var/tmp"));
    if (s->sandbox->private_tmp && tmp)
        conflict(r, s, given_by(s, "sandbox.private_tmp"), "let it listen below /run",
                 "with private_tmp the socket of the backend cannot be reached where 'to' says");
}

static void rule_memory(Reader *r, const ServiceConfig *s) {
    const CgroupConfig *c = s->cgroup;
    if (c->memory_max != UINT64_MAX && c->memory_high != UINT64_MAX && c->memory_high > c->memory_max)
        conflict(r, s, service_origin(s, "cgroup.memory_high") ? "cgroup.memory_high" : "cgroup.memory_max",
                 NULL, "cgroup.memory_high is larger than cgroup.memory_max");
}

/* "50" for "50%" would be no limit at all. */
static void rule_processors(Reader *r, const ServiceConfig *s) {
    long n = sysconf(_SC_NPROCESSORS_CONF);
    if (s->cgroup->cpu_max == UINT64_MAX || n <= 0 || s->cgroup->cpu_max <= (uint64_t)n * 1000)
        return;
    CLEANUP_TEXT Text message = {0};
    text_addf(&message, "cgroup.cpu_max is more than the %ld processors that there are", n);
    validate_broken(r, s, "cgroup.cpu_max", DIAG_WARNING, DIAG_OUT_OF_RANGE,
                    "for half of one processor write 50%", message.s ? message.s : "");
}

void validate_isolation(Reader *r, const ServiceConfig *s) {
    if (s->sandbox) {
        rule_privileges(r, s);
        rule_read_write(r, s);
        rule_hidden(r, s);
        rule_tmp(r, s);
        rule_notify(r, s);
        rule_forward(r, s);
    }
    if (s->cgroup) {
        rule_memory(r, s);
        rule_processors(r, s);
    }
}
