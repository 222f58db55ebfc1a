/* SPDX-License-Identifier: MIT */
#include "daemon/child-env.h"

#include <fnmatch.h>
#include <stdarg.h>
#include <string.h>

#include "daemon/base/text.h"

/* PATH of a process: the folders in which programs are looked for, field of environ(7). */
#define DEFAULT_PATH "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"

static const char *const variable_names[_ENV_VARIABLE_MAX] = {
    [ENV_MP_INSTANCE] = "MP_INSTANCE",
    [ENV_MP_STATUS_FD] = "MP_STATUS_FD",
    [ENV_LISTEN_PID] = "LISTEN_PID",
    [ENV_LISTEN_FDS] = "LISTEN_FDS",
    [ENV_NOTIFY_SOCKET] = "NOTIFY_SOCKET",
    [ENV_WATCHDOG_USEC] = "WATCHDOG_USEC",
    [ENV_WATCHDOG_PID] = "WATCHDOG_PID",
    [ENV_LISTEN_FDNAMES] = "LISTEN_FDNAMES",
    [ENV_PROTO] = "PROTO",
    [ENV_TCPREMOTEIP] = "TCPREMOTEIP",
    [ENV_TCPREMOTEPORT] = "TCPREMOTEPORT",
    [ENV_TCPLOCALIP] = "TCPLOCALIP",
    [ENV_TCPLOCALPORT] = "TCPLOCALPORT",
    [ENV_REMOTE_ADDR] = "REMOTE_ADDR",
    [ENV_REMOTE_PORT] = "REMOTE_PORT",
    [ENV_UNIXREMOTEEUID] = "UNIXREMOTEEUID",
    [ENV_UNIXREMOTEEGID] = "UNIXREMOTEEGID",
    [ENV_UNIXREMOTEPID] = "UNIXREMOTEPID",
    [ENV_UNIXLOCALPATH] = "UNIXLOCALPATH",
    [ENV_MP_CONNECTION_FD] = "MP_CONNECTION_FD",
    [ENV_MP_SCOREBOARD_FD] = "MP_SCOREBOARD_FD",
    [ENV_MP_SCOREBOARD_SLOT] = "MP_SCOREBOARD_SLOT",
};

static size_t name_length(const char *assignment) {
    return strcspn(assignment, "=");
}

static bool same_name(const char *a, const char *b) {
    size_t n = name_length(a);
    return n == name_length(b) && memcmp(a, b, n) == 0;
}

/* Adds NAME=VALUE to the base, in place of an earlier one of the same name. Takes @assignment over. */
static int base_set(char ***base, char *assignment) {
    if (!assignment)
        return -ENOMEM;
    for (char **i = *base; i && *i; i++) {
        if (same_name(*i, assignment)) {
            free(*i);
            *i = assignment;
            return 0;
        }
    }
    return strv_push(base, assignment);
}

static int base_setf(char ***base, const char *name, const char *value) {
    char *s = NULL;
    if (!value)
        return 0;
    if (asprintf(&s, "%s=%s", name, value) < 0)
        return -ENOMEM;
    return base_set(base, s);
}

static const char *env_get(char *const *env, const char *name) {
    size_t n = strlen(name);
    for (char *const *i = env; i && *i; i++)
        if (strncmp(*i, name, n) == 0 && (*i)[n] == '=')
            return *i + n + 1;
    return NULL;
}

/* What tells of one process is never the daemon's own to pass on. */
static bool is_of_process(const char *assignment) {
    for (size_t v = 0; v < _ENV_VARIABLE_MAX; v++)
        if (same_name(assignment, variable_names[v]))
            return true;
    return false;
}

/* Copies what the globs of pass_environment match. */
static int base_pass(char ***base, char *const *patterns, char *const *env) {
    for (char *const *i = env; i && *i; i++) {
        char *name CLEANUP_FREE = strndup(*i, name_length(*i));
        if (!name)
            return -ENOMEM;
        if (is_of_process(*i))
            continue;
        for (char *const *p = patterns; p && *p; p++) {
            if (fnmatch(*p, name, 0) != 0)
                continue;
            int r = base_set(base, strdup(*i));
            if (r < 0)
                return r;
            break;
        }
    }
    return 0;
}

int child_env_init(ChildEnv *e, const ServiceConfig *service, char *const *env) {
    const Resolved *id = &service->resolved;
    const char *lang = env_get(env, "LANG");
    CLEANUP_STRV char **base = NULL;
    int r = base_setf(&base, "PATH", DEFAULT_PATH);
    if (r >= 0)
        r = base_setf(&base, "LANG", lang ? lang : "C.UTF-8");
    if (r >= 0)
        r = base_setf(&base, "HOME", id->home);
    if (r >= 0)
        r = base_setf(&base, "USER", id->user_name);
    if (r >= 0)
        r = base_setf(&base, "LOGNAME", id->user_name);
    if (r >= 0)
        r = base_setf(&base, "SHELL", id->shell);
    if (r >= 0)
        r = base_pass(&base, service->pass_environment, env);
    if (r >= 0)
        r = base_setf(&base, "MP_SERVICE", service->name);
    uint32_t overridden = 0;
    for (char *const *i = service->environment; r >= 0 && i && *i; i++) {
        r = base_set(&base, strdup(*i));
        for (size_t v = 0; v < _ENV_VARIABLE_MAX; v++)
            if (same_name(*i, variable_names[v]))
                overridden |= 1U << v;
    }
    if (r < 0)
        return r;
    *e = (ChildEnv){.n_base = strv_length(base), .overridden = overridden};
    e->base = TAKE_PTR(base);
    return 0;
}

void child_env_done(ChildEnv *e) {
    strv_free(e->base);
    *e = (ChildEnv){0};
}

void env_builder_done(EnvBuilder *b) {
    free((void *)b->envp);
    b->envp = NULL;
    b->capacity = 0;
}

int env_builder_begin(EnvBuilder *b, const ChildEnv *e) {
    size_t need = e->n_base + _ENV_VARIABLE_MAX + 1;
    if (need > b->capacity) {
        char **envp = (char **)realloc((void *)b->envp, need * sizeof(char *));
        if (!envp)
            return -ENOMEM;
        b->envp = envp;
        b->capacity = need;
    }
    memcpy((void *)b->envp, (const void *)e->base, e->n_base * sizeof(char *));
    b->of = e;
    b->n = e->n_base;
    b->used = 0;
    b->listen_pid = NULL;
    return 0;
}

int env_builder_set(EnvBuilder *b, EnvVariable v, const char *format, ...) {
    if (b->of->overridden & (1U << v))
        return 0;
    size_t room = sizeof(b->bytes) - b->used;
    char *at = b->bytes + b->used;
    size_t name = strlen(variable_names[v]);
    if (name + 1 >= room)
        return -E2BIG;
    memcpy(at, variable_names[v], name);
    at[name] = '=';
    va_list ap;
    va_start(ap, format);
    int n = vsnprintf(at + name + 1, room - name - 1, format, ap);
    va_end(ap);
    if (n < 0 || (size_t)n >= room - name - 1)
        return -E2BIG;
    b->used += name + 1 + (size_t)n + 1;
    b->envp[b->n++] = at;
    return 0;
}

int env_builder_set_listen(EnvBuilder *b, size_t n_fds, const char *names) {
    /* Ten digits and their NUL: the child writes over them. */
    size_t before = b->used;
    int r = env_builder_set(b, ENV_LISTEN_PID, "%010d", 0);
    if (r >= 0 && b->used != before)
        b->listen_pid = b->bytes + before + strlen("LISTEN_PID=");
    if (r >= 0)
        r = env_builder_set(b, ENV_LISTEN_FDS, "%zu", n_fds);
    if (r >= 0)
        r = env_builder_set(b, ENV_LISTEN_FDNAMES, "%s", names);
    return r;
}

static int set_inet(EnvBuilder *b, const Addr *peer, const Addr *local) {
    char text[ADDR_TEXT_MAX];
    Addr from = *peer, to = *local;
    addr_unmap(&from);
    addr_unmap(&to);
    const char *remote = addr_format_host(&from, text);
    int r = env_builder_set(b, ENV_PROTO, "%s", from.sa.sa_family == AF_INET6 ? "TCP6" : "TCP");
    if (r >= 0)
        r = env_builder_set(b, ENV_TCPREMOTEIP, "%s", remote);
    if (r >= 0)
        r = env_builder_set(b, ENV_REMOTE_ADDR, "%s", remote);
    if (r >= 0)
        r = env_builder_set(b, ENV_TCPREMOTEPORT, "%u", addr_port(&from));
    if (r >= 0)
        r = env_builder_set(b, ENV_REMOTE_PORT, "%u", addr_port(&from));
    if (r >= 0)
        r = env_builder_set(b, ENV_TCPLOCALIP, "%s", addr_format_host(&to, text));
    if (r >= 0)
        r = env_builder_set(b, ENV_TCPLOCALPORT, "%u", addr_port(&to));
    return r;
}

static int set_unix(EnvBuilder *b, const Addr *peer, const Addr *local, const struct ucred *credentials) {
    char text[ADDR_TEXT_MAX];
    int r = env_builder_set(b, ENV_PROTO, "UNIX");
    if (r >= 0 && credentials) {
        r = env_builder_set(b, ENV_UNIXREMOTEEUID, "%u", credentials->uid);
        if (r >= 0)
            r = env_builder_set(b, ENV_UNIXREMOTEEGID, "%u", credentials->gid);
        if (r >= 0)
            r = env_builder_set(b, ENV_UNIXREMOTEPID, "%d", (int)credentials->pid);
    }
    if (r >= 0 && *addr_format(local, text))
        r = env_builder_set(b, ENV_UNIXLOCALPATH, "%s", text);
    /* systemd.exec(5): of a UNIX peer its path or @name, unset when it has none. */
    if (r >= 0 && *addr_format(peer, text))
        r = env_builder_set(b, ENV_REMOTE_ADDR, "%s", text);
    return r;
}

/* UCSPI has no names for it: systemd's alone. */
static int set_vsock(EnvBuilder *b, const Addr *peer) {
    int r = env_builder_set(b, ENV_PROTO, "VSOCK");
    if (r >= 0)
        r = env_builder_set(b, ENV_REMOTE_ADDR, "%u", peer->vm.svm_cid);
    return r < 0 ? r : env_builder_set(b, ENV_REMOTE_PORT, "%u", peer->vm.svm_port);
}

int env_builder_set_connection(EnvBuilder *b, const Addr *peer, const Addr *local,
                               const struct ucred *credentials) {
    if (peer->sa.sa_family == AF_UNIX)
        return set_unix(b, peer, local, credentials);
    if (peer->sa.sa_family == AF_VSOCK)
        return set_vsock(b, peer);
    return set_inet(b, peer, local);
}

char **env_builder_finish(EnvBuilder *b) {
    b->envp[b->n] = NULL;
    return b->envp;
}
