/* SPDX-License-Identifier: MIT */
#include "daemon/sandbox.h"

#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <stdio.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "daemon/base/cleanup.h"
#include "daemon/base/text.h"
#include "daemon/namespaces.h"
#include "daemon/sandbox-mounts.h"

#define INIT_PROGRAM "mp-init"

/* linux/landlock.h, which older headers have only in part. */
#define LANDLOCK_CREATE_RULESET_VERSION 1U
#define ACCESS_EXECUTE (1ULL << 0)
#define ACCESS_READ_FILE (1ULL << 2)
#define ACCESS_READ_DIR (1ULL << 3)
#define ACCESS_READ (ACCESS_EXECUTE | ACCESS_READ_FILE | ACCESS_READ_DIR)

/* What each version knows of the file system: so many bits. */
static const unsigned char landlock_bits[] = {0, 13, 14, 15, 15, 16};

static const char *const part_words[_SANDBOX_PART_MAX] = {
    [SANDBOX_PART_NONE] = "",
    [SANDBOX_PART_USERS] = "user namespace",
    [SANDBOX_PART_NETWORK] = "network none",
    [SANDBOX_PART_NAMESPACES] = "own namespaces",
    [SANDBOX_PART_PIDS] = "private_pids",
    [SANDBOX_PART_INIT] = INIT_PROGRAM,
    [SANDBOX_PART_MOUNT] = "mounts",
    [SANDBOX_PART_CAPABILITIES] = "capabilities",
    [SANDBOX_PART_LANDLOCK] = "landlock",
    [SANDBOX_PART_RULE] = "landlock",
    [SANDBOX_PART_SECCOMP] = "seccomp",
};

int landlock_abi(void) {
    long r = syscall(SYS_landlock_create_ruleset, NULL, 0, LANDLOCK_CREATE_RULESET_VERSION);
    return r < 0 ? 0 : (int)r;
}

/* Drawing */

static int add_rules(SandboxPlan *p, const char *key, char *const *words, uint64_t access) {
    for (size_t i = 0; words && words[i]; i++) {
        LandlockRule *grown = reallocarray(p->rules, p->n_rules + 1, sizeof(*grown));
        if (!grown)
            return -ENOMEM;
        p->rules = grown;
        bool optional = words[i][0] == '-';
        grown[p->n_rules] = (LandlockRule){
            .optional = optional, .access = access, .key = key, .path = strdup(words[i] + optional)};
        if (!grown[p->n_rules++].path)
            return -ENOMEM;
    }
    return 0;
}

static int draw_landlock(SandboxPlan *p, const SandboxConfig *s, int abi, unsigned *ret_which) {
    if (!s->landlock_read && !s->landlock_write)
        return 0;
    *ret_which = SANDBOX_WHICH(SANDBOX_PART_LANDLOCK, 0);
    if (abi <= 0)
        return -EOPNOTSUPP;
    size_t known = (size_t)abi < ELEMENTS(landlock_bits) ? (size_t)abi : ELEMENTS(landlock_bits) - 1;
    p->landlock = (1ULL << landlock_bits[known]) - 1;
    int r = add_rules(p, "landlock.read", s->landlock_read, ACCESS_READ);
    return r < 0 ? r : add_rules(p, "landlock.write", s->landlock_write, p->landlock);
}

static unsigned namespaces_of(const SandboxPlan *p, const SandboxConfig *s) {
    unsigned flags = 0;
    if (p->n_mounts > 0)
        flags |= CLONE_NEWNS;
    if (s->private_ipc)
        flags |= CLONE_NEWIPC | CLONE_NEWUTS;
    if (s->private_pids)
        flags |= CLONE_NEWPID;
    return flags;
}

static int draw(SandboxPlan *p, const ServiceConfig *c, const SandboxContext *context, unsigned *ret_which) {
    const SandboxConfig *s = c->sandbox;
    int r = sandbox_draw_mounts(p, c, ret_which);
    if (r < 0)
        return r;
    p->namespaces = namespaces_of(p, s);
    p->users_first =
        !context->is_root && (p->namespaces || s->private_users || s->network == SANDBOX_NETWORK_NONE);
    p->limit_capabilities = s->capabilities;
    p->capabilities = s->capability_set;
    p->filter = (struct sock_fprog){.len = (unsigned short)s->n_filter, .filter = s->filter};
    if (s->n_filter > BPF_MAXINSNS) {
        *ret_which = SANDBOX_WHICH(SANDBOX_PART_SECCOMP, 0);
        return -E2BIG;
    }
    return draw_landlock(p, s, context->landlock_abi, ret_which);
}

int sandbox_plan_draw(const ServiceConfig *config, const SandboxContext *context, SandboxPlan **ret,
                      unsigned *ret_which) {
    SandboxPlan *p = calloc(1, sizeof(*p));
    *ret = p;
    *ret_which = 0;
    if (!p)
        return -ENOMEM;
    p->user_fd = p->network_fd = p->init_fd = -EBADF;
    return draw(p, config, context, ret_which);
}

/* Making */

static bool has_users(const SandboxConfig *s, bool users_first) {
    return users_first || s->private_users;
}

static bool has_network(const SandboxConfig *s) {
    return s->network == SANDBOX_NETWORK_NONE;
}

static int begin_namespaces(SandboxPlan *p, const ServiceConfig *c, const SandboxContext *context,
                            unsigned *ret_which) {
    const Resolved *who = &c->resolved;
    NamespaceOrder order = {
        .users = has_users(c->sandbox, p->users_first),
        .network = has_network(c->sandbox),
        .within = p->users_first,
        .with_root = context->is_root,
        .uid = who->change_ids ? who->uid : context->uid,
        .gid = who->change_ids ? who->gid : context->gid,
        .groups = context->is_root ? who->groups : NULL,
        .n_groups = context->is_root ? who->n_groups : 0,
        .holder_fd = p->init_fd,
    };
    p->making = SANDBOX_WHICH(order.network ? SANDBOX_PART_NETWORK : SANDBOX_PART_USERS, 0);
    *ret_which = p->making;
    return namespaces_begin(&order, &p->maker);
}

static int open_init(SandboxPlan *p, const SandboxContext *context, unsigned *ret_which) {
    char *path CLEANUP_FREE = NULL;
    *ret_which = SANDBOX_WHICH(SANDBOX_PART_INIT, 0);
    if (asprintf(&path, "%s/" INIT_PROGRAM, context->libexecdir) < 0)
        return -ENOMEM;
    p->init_fd = open(path, O_PATH | O_CLOEXEC);
    return p->init_fd < 0 ? -errno : 0;
}

/* Of mp-init nothing is needed any more, unless processes are to have it. */
static void end_making(SandboxPlan *p) {
    p->maker = namespaces_free(p->maker);
    if (!(p->namespaces & CLONE_NEWPID))
        p->init_fd = fd_close(p->init_fd);
}

int sandbox_plan_new(const ServiceConfig *config, const SandboxContext *context, SandboxPlan **ret,
                     unsigned *ret_which) {
    const SandboxConfig *s = config->sandbox;
    int r = sandbox_plan_draw(config, context, ret, ret_which);
    if (r < 0)
        return r;
    SandboxPlan *p = *ret;
    bool ahead = has_users(s, p->users_first) || has_network(s);
    if (ahead || s->private_pids)
        r = open_init(p, context, ret_which);
    return r >= 0 && ahead ? begin_namespaces(p, config, context, ret_which) : r;
}

bool sandbox_plan_is_under_way(const SandboxPlan *p) {
    return p->maker;
}

int sandbox_plan_fd(const SandboxPlan *p) {
    return namespaces_fd(p->maker);
}

pid_t sandbox_plan_pid(const SandboxPlan *p) {
    return namespaces_pid(p->maker);
}

int sandbox_plan_finish(SandboxPlan *p, unsigned *ret_which) {
    bool of_network = false;
    int r = namespaces_take(p->maker, &p->user_fd, &p->network_fd, &of_network);
    if (r == -EAGAIN)
        return r;
    *ret_which = SANDBOX_WHICH(of_network ? SANDBOX_PART_NETWORK : SANDBOX_PART_USERS, 0);
    end_making(p);
    return r;
}

unsigned sandbox_plan_give_up(SandboxPlan *p) {
    end_making(p);
    return p->making;
}

size_t sandbox_descriptors(const ServiceConfig *config, bool is_root) {
    const SandboxConfig *s = config->sandbox;
    if (!s || !config->exec)
        return 0;
    bool users_first = !is_root;
    return (size_t)has_users(s, users_first) + has_network(s) + s->private_pids;
}

SandboxPlan *sandbox_plan_free(SandboxPlan *p) {
    if (!p)
        return NULL;
    for (size_t i = 0; i < p->n_mounts; i++)
        free(p->mounts[i].path);
    for (size_t i = 0; i < p->n_rules; i++)
        free(p->rules[i].path);
    free(p->mounts);
    free(p->rules);
    p->maker = namespaces_free(p->maker);
    (void)fd_close(p->user_fd);
    (void)fd_close(p->network_fd);
    (void)fd_close(p->init_fd);
    free(p);
    return NULL;
}

/* Telling */

SpawnStep sandbox_step(unsigned which) {
    unsigned part = which & 0xffU;
    return part >= SANDBOX_PART_CAPABILITIES && part < _SANDBOX_PART_MAX ? STEP_SANDBOX : STEP_NAMESPACES;
}

const char *sandbox_where(const SandboxPlan *plan, unsigned which, char *buf, size_t size) {
    unsigned part = which & 0xffU, number = which >> 8;
    if (part == SANDBOX_PART_MOUNT && plan && number < plan->n_mounts)
        (void)snprintf(buf, size, "%s %s", plan->mounts[number].key, plan->mounts[number].path);
    else if (part == SANDBOX_PART_RULE && plan && number < plan->n_rules)
        (void)snprintf(buf, size, "%s %s", plan->rules[number].key, plan->rules[number].path);
    else
        (void)snprintf(buf, size, "%s", part < _SANDBOX_PART_MAX ? part_words[part] : "");
    return buf;
}

static const struct {
    SandboxPart part;
    int error;
    const char *hint;
} hints[] = {
    {SANDBOX_PART_USERS, EPERM,
     "user namespaces are not allowed here: a container, or user.max_user_namespaces"},
    {SANDBOX_PART_USERS, ENOSPC, "user.max_user_namespaces is reached"},
    {SANDBOX_PART_NETWORK, EPERM, "namespaces need CAP_SYS_ADMIN, which a container may not have"},
    {SANDBOX_PART_NETWORK, ENOSPC, "user.max_net_namespaces is reached"},
    {SANDBOX_PART_USERS, ECHILD, "the process that makes it has been killed"},
    {SANDBOX_PART_NETWORK, ECHILD, "the process that makes it has been killed"},
    {SANDBOX_PART_USERS, ETIMEDOUT, "the kernel did not make it in time"},
    {SANDBOX_PART_NETWORK, ETIMEDOUT, "the kernel did not make it in time"},
    {SANDBOX_PART_NAMESPACES, EPERM, "namespaces need CAP_SYS_ADMIN, which a container may not have"},
    {SANDBOX_PART_MOUNT, ENOSYS, "this needs Linux 5.12"},
    {SANDBOX_PART_MOUNT, ENXIO, "there is no /dev/null to be put in place of a file"},
    {SANDBOX_PART_CAPABILITIES, EPERM, "the daemon does not have them itself"},
    {SANDBOX_PART_LANDLOCK, EOPNOTSUPP, "this kernel has no Landlock, or it is switched off"},
    {SANDBOX_PART_LANDLOCK, ENOSYS, "this kernel has no Landlock"},
    {SANDBOX_PART_SECCOMP, EINVAL, "this kernel has no filter of system calls"},
    {SANDBOX_PART_INIT, ENOENT, "a part of this installation is missing"},
};

const char *sandbox_hint(unsigned which, int error) {
    for (size_t i = 0; i < ELEMENTS(hints); i++)
        if ((which & 0xffU) == hints[i].part && error == hints[i].error)
            return hints[i].hint;
    return "";
}
