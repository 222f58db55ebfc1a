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

static const char *environ_get(char *const *environ, const char *name) {
    size_t n = strlen(name);
    for (char *const *i = environ; i && *i; i++)
        if (strncmp(*i, name, n) == 0 && (*i)[n] == '=')
            return *i + n + 1;
    return NULL;
}

/* Copies what the globs of pass_environment match. */
static int base_pass(char ***base, char *const *patterns, char *const *environ) {
    for (char *const *i = environ; i && *i; i++) {
        char *name CLEANUP_FREE = strndup(*i, name_length(*i));
        if (!name)
            return -ENOMEM;
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

int child_env_init(ChildEnv *e, const ServiceConfig *service, char *const *environ) {
    const Resolved *id = &service->resolved;
    const char *lang = environ_get(environ, "LANG");
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
        r = base_pass(&base, service->pass_environment, environ);
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
    size_t n = strv_length(base);
    char **envp = (char **)calloc(n + _ENV_VARIABLE_MAX + 1, sizeof(char *));
    if (!envp)
        return -ENOMEM;
    for (size_t i = 0; i < n; i++)
        envp[i] = base[i];
    *e = (ChildEnv){.base = TAKE_PTR(base), .n_base = n, .envp = envp, .n = n, .overridden = overridden};
    return 0;
}

void child_env_done(ChildEnv *e) {
    strv_free(e->base);
    free((void *)e->envp);
    e->base = e->envp = NULL;
}

void child_env_begin(ChildEnv *e) {
    e->n = e->n_base;
    e->used = 0;
    e->listen_pid = NULL;
}

int child_env_set(ChildEnv *e, EnvVariable v, const char *format, ...) {
    if (e->overridden & (1U << v))
        return 0;
    size_t room = sizeof(e->bytes) - e->used;
    char *at = e->bytes + e->used;
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
    e->used += name + 1 + (size_t)n + 1;
    e->envp[e->n++] = at;
    return 0;
}

int child_env_set_listen(ChildEnv *e, size_t n_fds, const char *names) {
    /* Ten digits and their NUL: the child writes over them. */
    size_t before = e->used;
    int r = child_env_set(e, ENV_LISTEN_PID, "%010d", 0);
    if (r >= 0 && e->used != before)
        e->listen_pid = e->bytes + before + strlen("LISTEN_PID=");
    if (r >= 0)
        r = child_env_set(e, ENV_LISTEN_FDS, "%zu", n_fds);
    if (r >= 0)
        r = child_env_set(e, ENV_LISTEN_FDNAMES, "%s", names);
    return r;
}

static int set_inet(ChildEnv *e, const Addr *peer, const Addr *local) {
    char text[ADDR_TEXT_MAX];
    Addr from = *peer, to = *local;
    addr_unmap(&from);
    addr_unmap(&to);
    const char *remote = addr_format_host(&from, text);
    int r = child_env_set(e, ENV_PROTO, "%s", from.sa.sa_family == AF_INET6 ? "TCP6" : "TCP");
    if (r >= 0)
        r = child_env_set(e, ENV_TCPREMOTEIP, "%s", remote);
    if (r >= 0)
        r = child_env_set(e, ENV_REMOTE_ADDR, "%s", remote);
    if (r >= 0)
        r = child_env_set(e, ENV_TCPREMOTEPORT, "%u", addr_port(&from));
    if (r >= 0)
        r = child_env_set(e, ENV_REMOTE_PORT, "%u", addr_port(&from));
    if (r >= 0)
        r = child_env_set(e, ENV_TCPLOCALIP, "%s", addr_format_host(&to, text));
    if (r >= 0)
        r = child_env_set(e, ENV_TCPLOCALPORT, "%u", addr_port(&to));
    return r;
}

static int set_unix(ChildEnv *e, const Addr *peer, const Addr *local, const struct ucred *credentials) {
    char text[ADDR_TEXT_MAX];
    int r = child_env_set(e, ENV_PROTO, "UNIX");
    if (r >= 0 && credentials) {
        r = child_env_set(e, ENV_UNIXREMOTEEUID, "%u", credentials->uid);
        if (r >= 0)
            r = child_env_set(e, ENV_UNIXREMOTEEGID, "%u", credentials->gid);
        if (r >= 0)
            r = child_env_set(e, ENV_UNIXREMOTEPID, "%d", (int)credentials->pid);
    }
    if (r >= 0 && *addr_format(local, text))
        r = child_env_set(e, ENV_UNIXLOCALPATH, "%s", text);
    /* systemd.exec(5): of a UNIX peer its path or @name, unset when it has none. */
    if (r >= 0 && *addr_format(peer, text))
        r = child_env_set(e, ENV_REMOTE_ADDR, "%s", text);
    return r;
}

int child_env_set_connection(ChildEnv *e, const Addr *peer, const Addr *local, const struct ucred *credentials) {
    if (peer->sa.sa_family == AF_UNIX)
        return set_unix(e, peer, local, credentials);
    return set_inet(e, peer, local);
}

char **child_env_finish(ChildEnv *e) {
    e->envp[e->n] = NULL;
    return e->envp;
}
