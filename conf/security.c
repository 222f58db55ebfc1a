/* SPDX-License-Identifier: MIT */
#include "conf/security.h"

#include <assert.h>
#include <linux/capability.h>
#include <stdlib.h>
#include <string.h>

#include "conf/decode.h"
#include "conf/part.h"
#include "conf/path.h"
#include "conf/seccomp-sets.h"
#include "daemon/base/clock.h"

static const char *const ratings[] = {
    [SECURITY_SAFE] = "safe",
    [SECURITY_FAIR] = "fair",
    [SECURITY_EXPOSED] = "exposed",
    [SECURITY_UNSAFE] = "unsafe",
};
DEFINE_STRTAB(security_rating, SecurityRating, ratings);

/* How bad something is, in tenths of its check's weight. */
#define GOOD 0
#define BAD 10

/* The most exposure, in thousandths, of each rating but the last. */
static const unsigned rating_most[] = {2500, 5000, 7500};

static const SandboxConfig *sandbox_of(const ServiceConfig *s) {
    return part_get(s, KEY_PART_SANDBOX);
}

static const CgroupConfig *cgroup_of(const ServiceConfig *s) {
    return part_get(s, KEY_PART_CGROUP);
}

static unsigned unless(bool good) {
    return good ? GOOD : BAD;
}

/* Whom a check is for: of who is not among them nothing could be lost */

/* It has a program that a sandbox is for. */
static bool has_program(const ServiceConfig *s) {
    return s->exec && service_config_has_processes(s);
}

/* Whether somebody on another machine can reach @e. */
static bool is_public(const Endpoint *e) {
    if (e->kind == ENDPOINT_SYSTEMD) /* it cannot be known here */
        return true;
    if (!endpoint_kind_is_inet(e->kind))
        return false;
    for (size_t i = 0; i < e->n_addrs; i++) {
        const Addr a = endpoint_addr(e, i);
        bool loopback = a.sa.sa_family == AF_INET ? (ntohl(a.in.sin_addr.s_addr) >> 24) == IN_LOOPBACKNET
                                                  : IN6_IS_ADDR_LOOPBACK(&a.in6.sin6_addr);
        if (!loopback)
            return true;
    }
    return false;
}

/* Other machines reach it, and it is there for them. */
static bool serves_strangers(const ServiceConfig *s) {
    for (size_t i = 0; i < s->n_listen; i++)
        if (is_public(&s->listen[i].endpoint))
            return !s->terms->ban.sensor;
    return false;
}

/* The daemon sees each connection, so that it can count them by their source. */
static bool admits(const ServiceConfig *s) {
    return service_config_accepts(s) ||
           (s->model == MODEL_POOL && s->terms->pool.handoff == POOL_HANDOFF_CONNECTION);
}

static bool admits_processes(const ServiceConfig *s) {
    return admits(s) && service_config_has_processes(s);
}

static bool admits_strangers(const ServiceConfig *s) {
    return admits(s) && serves_strangers(s);
}

/* A worker of a pool ends its connections itself. */
static bool holds_strangers(const ServiceConfig *s) {
    return admits_processes(s) && serves_strangers(s) && s->model != MODEL_POOL;
}

static bool has_unix_socket(const ServiceConfig *s) {
    for (size_t i = 0; i < s->n_listen; i++)
        if (endpoint_kind_is_unix(s->listen[i].endpoint.kind))
            return true;
    return false;
}

/* How bad it is */

static bool runs_as_root(const ServiceConfig *s) {
    return s->resolved.user_name ? s->resolved.uid == 0 : s->user && streq(s->user, "root");
}

static unsigned judge_user(const ServiceConfig *s) {
    if (!runs_as_root(s))
        return GOOD;
    return sandbox_of(s)->capabilities && !sandbox_of(s)->capabilities[0] ? 6 : BAD;
}

static unsigned judge_privileges(const ServiceConfig *s) {
    return unless(s->no_new_privileges);
}

/* Those by which a process gets all others, or the machine. */
#define DANGEROUS                                                                                            \
    (UINT64_C(1) << CAP_SYS_ADMIN | UINT64_C(1) << CAP_SYS_MODULE | UINT64_C(1) << CAP_SYS_RAWIO |           \
     UINT64_C(1) << CAP_SYS_PTRACE | UINT64_C(1) << CAP_DAC_OVERRIDE | UINT64_C(1) << CAP_SETUID |           \
     UINT64_C(1) << CAP_SETPCAP | UINT64_C(1) << CAP_SYS_BOOT | UINT64_C(1) << CAP_MKNOD)

static unsigned judge_capabilities(const ServiceConfig *s) {
    const SandboxConfig *sandbox = sandbox_of(s);
    if (!sandbox->capabilities)
        return runs_as_root(s) ? BAD : s->no_new_privileges ? 1 : 4;
    return sandbox->capability_set & DANGEROUS ? 7 : sandbox->capability_set ? 2 : GOOD;
}

static unsigned judge_seccomp(const ServiceConfig *s) {
    char *const *list = sandbox_of(s)->seccomp;
    return !list || !*list ? BAD : seccomp_list_allows(list) ? GOOD : 4;
}

static bool covers_root(char *const *paths) {
    for (; paths && *paths; paths++)
        if (streq(path_of_item(*paths), "/"))
            return true;
    return false;
}

static unsigned judge_files(const ServiceConfig *s) {
    const SandboxConfig *sandbox = sandbox_of(s);
    if (covers_root(sandbox->landlock_write))
        return BAD;
    if (sandbox->landlock_write || sandbox->landlock_read || covers_root(sandbox->read_only))
        return GOOD;
    return s->root_directory || (sandbox->read_only && *sandbox->read_only) ? 5 : BAD;
}

static unsigned judge_homes(const ServiceConfig *s) {
    const SandboxConfig *sandbox = sandbox_of(s);
    bool narrow = sandbox->landlock_read && !covers_root(sandbox->landlock_read);
    if (s->root_directory || narrow)
        return GOOD;
    for (char *const *v = sandbox->hidden; v && *v; v++)
        if (path_is_below("/home", path_of_item(*v)))
            return GOOD;
    return BAD;
}

static unsigned judge_network(const ServiceConfig *s) {
    return unless(sandbox_of(s)->network == SANDBOX_NETWORK_NONE);
}

static unsigned judge_tmp(const ServiceConfig *s) {
    return unless(sandbox_of(s)->private_tmp || s->root_directory);
}

static unsigned judge_users(const ServiceConfig *s) {
    return unless(sandbox_of(s)->private_users);
}

static unsigned judge_pids(const ServiceConfig *s) {
    return unless(sandbox_of(s)->private_pids);
}

static unsigned judge_ipc(const ServiceConfig *s) {
    return unless(sandbox_of(s)->private_ipc);
}

static unsigned judge_devices(const ServiceConfig *s) {
    return unless(sandbox_of(s)->devices == SANDBOX_DEVICES_MINIMAL);
}

/* @whole bounds all of it together; @resource each of its processes alone, which is less. */
static unsigned judge_bound(const ServiceConfig *s, uint64_t whole, int resource) {
    const ResourceConfig *r = service_config_resources(s);
    if (whole != UINT64_MAX)
        return GOOD;
    for (size_t i = 0; i < r->n_rlimits; i++)
        if (r->rlimits[i].resource == resource && r->rlimits[i].value != RLIM_INFINITY)
            return 3;
    return BAD;
}

static unsigned judge_memory(const ServiceConfig *s) {
    return judge_bound(s, cgroup_of(s)->memory_max, RLIMIT_AS);
}

static unsigned judge_processes(const ServiceConfig *s) {
    return judge_bound(s, cgroup_of(s)->pids_max, RLIMIT_NPROC);
}

static unsigned judge_instances(const ServiceConfig *s) {
    return unless(service_origin(s, "limits.instances"));
}

static unsigned judge_sources(const ServiceConfig *s) {
    return unless(s->terms->limits.per_source > 0);
}

static unsigned judge_rates(const ServiceConfig *s) {
    bool some = s->terms->limits.rate.count > 0 || s->terms->ban.after.count > 0;
    return s->terms->limits.rate_per_source.count > 0 ? GOOD : some ? 4 : BAD;
}

static unsigned judge_timeouts(const ServiceConfig *s) {
    return unless(s->terms->timeout_idle_usec != USEC_INFINITY ||
                  s->terms->timeout_lifetime_usec != USEC_INFINITY);
}

static unsigned judge_access(const ServiceConfig *s) {
    return s->terms->access.allow ? GOOD : s->terms->access.deny ? 7 : BAD;
}

/* Sockets that everybody on this machine can use. */
static unsigned judge_nodes(const ServiceConfig *s) {
    bool good = true;
    for (size_t i = 0; i < s->n_listen; i++) {
        const ListenConfig *l = &s->listen[i];
        if (endpoint_kind_is_unix(l->endpoint.kind))
            good = good && endpoint_has_node(&l->endpoint) && (l->mode & 0002) == 0;
    }
    return unless(good || s->terms->access.allow);
}

static const struct {
    const char *name;
    unsigned weight;
    bool (*is_for)(const ServiceConfig *s);
    unsigned (*judge)(const ServiceConfig *s);
    const char *asks, *meaning, *mend;
} checks[] = {
    {"user", 20, service_config_has_processes, judge_user, "it does not run as root", "it runs as root",
     "user: nobody"},
    {"privileges", 8, service_config_has_processes, judge_privileges, "set-user-ID programs have no effect",
     "it can become another user by set-user-ID programs", "sandbox: {no_new_privileges: true}"},
    {"capabilities", 8, has_program, judge_capabilities, "it has no capabilities, or few and harmless ones",
     "it has, or can get, capabilities that it may not need", "sandbox: {capabilities: []}"},
    {"seccomp", 10, has_program, judge_seccomp, "a list of system calls is all that it can make",
     "it can make system calls that it may not need", "sandbox: {seccomp: \"@service\"}"},
    {"files", 8, has_program, judge_files, "it can write to few places", "it can write wherever its user may",
     "sandbox: {read_only: [/]}"},
    {"homes", 4, has_program, judge_homes, "it does not see users' files", "it sees users' files",
     "sandbox: {hidden: [/home, /root, /run/user]}"},
    {"network", 6, has_program, judge_network, "it has no network but what it is handed",
     "it can talk to other machines, and to what listens on this one", "sandbox: {network: none}"},
    {"users", 4, has_program, judge_users, "it is in a user namespace",
     "it sees all users, and its ids are real ones", "sandbox: {private_users: true}"},
    {"pids", 3, has_program, judge_pids, "it sees no processes but its own",
     "it sees, and can signal, other processes", "sandbox: {private_pids: true}"},
    {"tmp", 4, has_program, judge_tmp, "/tmp is its own", "it shares /tmp with others",
     "sandbox: {private_tmp: true}"},
    {"ipc", 2, has_program, judge_ipc, "shared memory and queues are its own",
     "it shares System V IPC with others", "sandbox: {private_ipc: true}"},
    {"devices", 4, has_program, judge_devices, "it has few devices", "it sees all devices",
     "sandbox: {devices: minimal}"},
    {"memory", 4, service_config_has_processes, judge_memory, "its memory has a limit",
     "it can use up all memory", "cgroup: {memory_max: 256M}"},
    {"processes", 3, service_config_has_processes, judge_processes, "the number of its processes has a limit",
     "it can start any number of processes", "cgroup: {pids_max: 64}"},
    {"instances", 2, admits_processes, judge_instances, "limits.instances is given",
     "1000 of it may run at once", "limits: {instances: 50}"},
    {"sources", 4, admits_strangers, judge_sources, "a source cannot have all connections",
     "one source can take all places", "limits: {per_source: 10}"},
    {"rates", 3, admits_strangers, judge_rates, "a source cannot connect as often as it likes",
     "one source can connect as often as it likes", "limits: {rate_per_source: 60/m}"},
    {"timeouts", 3, holds_strangers, judge_timeouts, "a connection does not last for ever",
     "a silent client keeps its place for ever", "timeouts: {idle: 5m}"},
    {"access", 3, serves_strangers, judge_access, "access.allow says who may connect",
     "everybody may connect", "access: {allow: [10.0.0.0/8]}"},
    {"sockets", 2, has_unix_socket, judge_nodes, "its UNIX sockets are not for everybody",
     "every user of this machine may connect", "access: {allow: [uid:0]}"},
};

static_assert(ELEMENTS(checks) <= SECURITY_FINDINGS_MAX, "there is room for all");

bool security_check(size_t i, const char **ret_name, unsigned *ret_weight, const char **ret_asks) {
    if (i >= ELEMENTS(checks))
        return false;
    *ret_name = checks[i].name;
    *ret_weight = checks[i].weight;
    *ret_asks = checks[i].asks;
    return true;
}

static int compare_findings(const void *a, const void *b) {
    const SecurityFinding *x = a, *y = b;
    if (x->exposure != y->exposure)
        return x->exposure > y->exposure ? -1 : 1;
    return strcmp(x->check, y->check);
}

void security_judge(const ServiceConfig *s, SecurityReport *ret) {
    unsigned whole = 0, sum = 0;
    *ret = (SecurityReport){.n = 0};
    for (size_t i = 0; i < ELEMENTS(checks); i++)
        whole += checks[i].weight;
    for (size_t i = 0; i < ELEMENTS(checks); i++) {
        unsigned verdict = checks[i].is_for(s) ? checks[i].judge(s) : GOOD;
        sum += checks[i].weight * verdict;
        if (verdict == GOOD)
            continue;
        ret->findings[ret->n++] = (SecurityFinding){
            .check = checks[i].name,
            .meaning = checks[i].meaning,
            .mend = checks[i].mend,
            .exposure = checks[i].weight * verdict * 1000 / whole,
        };
    }
    qsort(ret->findings, ret->n, sizeof(ret->findings[0]), compare_findings);
    ret->exposure = sum * 1000 / whole;
    while (ret->rating < SECURITY_UNSAFE && ret->exposure > rating_most[ret->rating])
        ret->rating++;
}

const char *security_daemon(const Config *c, const char **ret_mend) {
    if ((c->control_mode & 0007) == 0)
        return NULL;
    *ret_mend = "control: {mode: \"0660\"}";
    return "every user of this machine can look at services and their peers by the control socket";
}
