/* SPDX-License-Identifier: MIT */
#include "daemon/child-env.h"

#include <fnmatch.h>
#include <string.h>

#include "daemon/base/text.h"

/* PATH of a process: the folders in which programs are looked for, field of environ(7). */
#define DEFAULT_PATH "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"

/* As they stand before the value. */
#define VARIABLE(name)                                                                                       \
    { name "=", sizeof(name) }
static const struct {
    const char *name;
    size_t length;
} variables[_ENV_VARIABLE_MAX] = {
    [ENV_MP_INSTANCE] = VARIABLE("MP_INSTANCE"),
    [ENV_MP_STATUS_FD] = VARIABLE("MP_STATUS_FD"),
    [ENV_LISTEN_PID] = VARIABLE("LISTEN_PID"),
    [ENV_LISTEN_FDS] = VARIABLE("LISTEN_FDS"),
    [ENV_NOTIFY_SOCKET] = VARIABLE("NOTIFY_SOCKET"),
    [ENV_WATCHDOG_USEC] = VARIABLE("WATCHDOG_USEC"),
    [ENV_WATCHDOG_PID] = VARIABLE("WATCHDOG_PID"),
    [ENV_LISTEN_FDNAMES] = VARIABLE("LISTEN_FDNAMES"),
    [ENV_PROTO] = VARIABLE("PROTO"),
    [ENV_TCPREMOTEIP] = VARIABLE("TCPREMOTEIP"),
    [ENV_TCPREMOTEPORT] = VARIABLE("TCPREMOTEPORT"),
    [ENV_TCPLOCALIP] = VARIABLE("TCPLOCALIP"),
    [ENV_TCPLOCALPORT] = VARIABLE("TCPLOCALPORT"),
    [ENV_REMOTE_ADDR] = VARIABLE("REMOTE_ADDR"),
    [ENV_REMOTE_PORT] = VARIABLE("REMOTE_PORT"),
    [ENV_UNIXREMOTEEUID] = VARIABLE("UNIXREMOTEEUID"),
    [ENV_UNIXREMOTEEGID] = VARIABLE("UNIXREMOTEEGID"),
    [ENV_UNIXREMOTEPID] = VARIABLE("UNIXREMOTEPID"),
    [ENV_UNIXLOCALPATH] = VARIABLE("UNIXLOCALPATH"),
    [ENV_MP_CONNECTION_FD] = VARIABLE("MP_CONNECTION_FD"),
    [ENV_MP_SCOREBOARD_FD] = VARIABLE("MP_SCOREBOARD_FD"),
    [ENV_MP_SCOREBOARD_SLOT] = VARIABLE("MP_SCOREBOARD_SLOT"),
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
        if (same_name(assignment, variables[v].name))
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
            if (same_name(*i, variables[v].name))
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
    if (!b->placed)
        free((void *)b->envp);
    b->envp = NULL;
    b->capacity = 0;
}

size_t env_builder_capacity(const ChildEnv *e) {
    return e->n_base + _ENV_VARIABLE_MAX + 1;
}

void env_builder_place(EnvBuilder *b, char **envp, size_t capacity) {
    b->envp = envp;
    b->capacity = capacity;
    b->placed = true;
}

int env_builder_begin(EnvBuilder *b, const ChildEnv *e) {
    size_t need = env_builder_capacity(e);
    if (need > b->capacity) {
        char **envp = b->placed ? NULL : (char **)realloc((void *)b->envp, need * sizeof(char *));
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

/* Where the value of @v goes, its name before it; NULL: there is no room for @length bytes of it. */
static char *begin_variable(EnvBuilder *b, EnvVariable v, size_t length) {
    char *at = b->bytes + b->used;
    size_t room = sizeof(b->bytes) - b->used;
    if (variables[v].length + length >= room)
        return NULL;
    memcpy(at, variables[v].name, variables[v].length);
    return at + variables[v].length;
}

/* @end is where the value ends that begins in what begin_variable() gave. */
static void end_variable(EnvBuilder *b, char *end) {
    b->envp[b->n++] = b->bytes + b->used;
    *end = '\0';
    b->used = (size_t)(end - b->bytes) + 1;
}

static bool is_overridden(const EnvBuilder *b, EnvVariable v) {
    return b->of->overridden & (1U << v);
}

static int set_text(EnvBuilder *b, EnvVariable v, const char *value, size_t length) {
    if (is_overridden(b, v))
        return 0;
    char *at = begin_variable(b, v, length);
    if (!at)
        return -E2BIG;
    end_variable(b, mempcpy(at, value, length));
    return 0;
}

int env_builder_set(EnvBuilder *b, EnvVariable v, const char *value) {
    return set_text(b, v, value, strlen(value));
}

int env_builder_set_number(EnvBuilder *b, EnvVariable v, uint64_t value) {
    if (is_overridden(b, v))
        return 0;
    char *at = begin_variable(b, v, DECIMAL_MAX);
    if (!at)
        return -E2BIG;
    end_variable(b, decimal_put(at, value));
    return 0;
}

int env_builder_set_listen(EnvBuilder *b, size_t n_fds, const char *names) {
    /* Ten digits and their NUL: the child writes over them. */
    size_t before = b->used;
    int r = env_builder_set(b, ENV_LISTEN_PID, "0000000000");
    if (r >= 0 && b->used != before)
        b->listen_pid = b->bytes + before + strlen("LISTEN_PID=");
    if (r >= 0)
        r = env_builder_set_number(b, ENV_LISTEN_FDS, n_fds);
    if (r >= 0)
        r = env_builder_set(b, ENV_LISTEN_FDNAMES, names);
    return r;
}

/* @a, or what it is in IPv4 in @room. */
static const Addr *unmapped(const Addr *a, Addr *room) {
    if (a->sa.sa_family != AF_INET6)
        return a;
    *room = *a;
    addr_unmap(room);
    return room;
}

/* Each under two names. */
static int set_remote(EnvBuilder *b, const Addr *from) {
    char host[ADDR_TEXT_MAX], port[DECIMAL_MAX];
    size_t n_host = strlen(addr_format_host(from, host));
    size_t n_port = (size_t)(decimal_put(port, addr_port(from)) - port);
    int r = env_builder_set(b, ENV_PROTO, from->sa.sa_family == AF_INET6 ? "TCP6" : "TCP");
    if (r >= 0)
        r = set_text(b, ENV_TCPREMOTEIP, host, n_host);
    if (r >= 0)
        r = set_text(b, ENV_REMOTE_ADDR, host, n_host);
    if (r >= 0)
        r = set_text(b, ENV_TCPREMOTEPORT, port, n_port);
    return r < 0 ? r : set_text(b, ENV_REMOTE_PORT, port, n_port);
}

static int set_inet(EnvBuilder *b, const Addr *peer, const Addr *local) {
    Addr room;
    char text[ADDR_TEXT_MAX];
    int r = set_remote(b, unmapped(peer, &room));
    const Addr *to = unmapped(local, &room);
    if (r >= 0)
        r = env_builder_set(b, ENV_TCPLOCALIP, addr_format_host(to, text));
    return r < 0 ? r : env_builder_set_number(b, ENV_TCPLOCALPORT, addr_port(to));
}

static int set_unix(EnvBuilder *b, const Addr *peer, const Addr *local, const struct ucred *credentials) {
    char text[ADDR_TEXT_MAX];
    int r = env_builder_set(b, ENV_PROTO, "UNIX");
    if (r >= 0 && credentials) {
        r = env_builder_set_number(b, ENV_UNIXREMOTEEUID, credentials->uid);
        if (r >= 0)
            r = env_builder_set_number(b, ENV_UNIXREMOTEEGID, credentials->gid);
        if (r >= 0)
            r = env_builder_set_number(b, ENV_UNIXREMOTEPID, (uint64_t)credentials->pid);
    }
    if (r >= 0 && *addr_format(local, text))
        r = env_builder_set(b, ENV_UNIXLOCALPATH, text);
    /* systemd.exec(5): of a UNIX peer its path or @name, unset when it has none. */
    if (r >= 0 && *addr_format(peer, text))
        r = env_builder_set(b, ENV_REMOTE_ADDR, text);
    return r;
}

/* UCSPI has no names for it: systemd's alone. */
static int set_vsock(EnvBuilder *b, const Addr *peer) {
    int r = env_builder_set(b, ENV_PROTO, "VSOCK");
    if (r >= 0)
        r = env_builder_set_number(b, ENV_REMOTE_ADDR, peer->vm.svm_cid);
    return r < 0 ? r : env_builder_set_number(b, ENV_REMOTE_PORT, peer->vm.svm_port);
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
