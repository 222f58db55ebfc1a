/* SPDX-License-Identifier: MIT */
#include <errno.h>
#include <fcntl.h>
#include <linux/capability.h>
#include <linux/prctl.h>
#include <linux/seccomp.h>

#include "daemon/child-private.h"

/* linux/landlock.h, for headers without it: the oldest form of the ruleset, which newer kernels take. */
#define RULE_PATH_BENEATH 1
#define FILE_ACCESS ((1ULL << 0) | (1ULL << 1) | (1ULL << 2) | (1ULL << 14) | (1ULL << 15))
#define PROGRAM_ACCESS ((1ULL << 0) | (1ULL << 2)) /* execute, read */

typedef struct RulesetAttributes {
    uint64_t file_system;
} RulesetAttributes;

typedef struct __attribute__((packed)) PathAttributes {
    uint64_t access;
    int32_t fd;
} PathAttributes;

/* Capabilities */

static long set_capabilities(uint64_t set) {
    struct __user_cap_header_struct header = {.version = _LINUX_CAPABILITY_VERSION_3};
    struct __user_cap_data_struct data[_LINUX_CAPABILITY_U32S_3];
    for (unsigned i = 0; i < _LINUX_CAPABILITY_U32S_3; i++)
        data[i].permitted = data[i].effective = data[i].inheritable = (uint32_t)(set >> (32 * i));
    return call2(SYS_capset, (long)&header, (long)data);
}

/* Of those that this kernel knows. */
static long drop_bounds(uint64_t keep) {
    for (unsigned i = 0; i < 64; i++) {
        if (keep & (uint64_t)1 << i)
            continue;
        long r = call2(SYS_prctl, PR_CAPBSET_DROP, i);
        if (r < 0)
            return r == -EINVAL ? 0 : r;
    }
    return 0;
}

static long raise_ambient(uint64_t set) {
    long r = rawcall(SYS_prctl, PR_CAP_AMBIENT, PR_CAP_AMBIENT_CLEAR_ALL, 0, 0, 0);
    for (unsigned i = 0; i < 64 && r >= 0; i++)
        if (set & (uint64_t)1 << i)
            r = rawcall(SYS_prctl, PR_CAP_AMBIENT, PR_CAP_AMBIENT_RAISE, i, 0, 0);
    return r;
}

long child_step_bounds(ChildPlan *p) {
    const SandboxPlan *plan = p->sandbox.plan;
    if (!plan || !plan->limit_capabilities)
        return 0;
    child_at(p, SANDBOX_PART_CAPABILITIES, 0);
    long r = drop_bounds(plan->capabilities);
    /* Who has not got the right to it can get none of them either, where no program gives any. */
    if (r == -EPERM && p->no_new_privileges)
        r = 0;
    if (r >= 0 && plan->capabilities)
        r = rawcall(SYS_prctl, PR_SET_KEEPCAPS, 1, 0, 0, 0);
    if (r >= 0)
        child_at(p, SANDBOX_PART_NONE, 0);
    return r;
}

/* Root's programs get what the bounding set has left. */
long child_keep_capabilities(ChildPlan *p) {
    uint64_t set = p->sandbox.plan->capabilities;
    p->step = STEP_SANDBOX;
    child_at(p, SANDBOX_PART_CAPABILITIES, 0);
    long r = set_capabilities(set);
    if (r >= 0)
        r = raise_ambient(p->uid == 0 ? 0 : set);
    if (r >= 0)
        child_at(p, SANDBOX_PART_NONE, 0);
    return r;
}

long child_give_up_capabilities(uint64_t keep) {
    long r = rawcall(SYS_prctl, PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0);
    (void)drop_bounds(keep);
    (void)rawcall(SYS_prctl, PR_CAP_AMBIENT, PR_CAP_AMBIENT_CLEAR_ALL, 0, 0, 0);
    return r;
}

/* Landlock */

static long allow(int ruleset, const char *path, uint64_t access) {
    long fd = rawcall(SYS_openat, AT_FDCWD, (long)path, O_PATH | O_CLOEXEC, 0, 0);
    if (fd < 0)
        return fd;
    PathAttributes attributes = {.access = access, .fd = (int32_t)fd};
    long r = rawcall(SYS_landlock_add_rule, ruleset, RULE_PATH_BENEATH, (long)&attributes, 0, 0);
    /* What is meant for folders is refused for a file. */
    attributes.access = access & FILE_ACCESS;
    if (r == -EINVAL && attributes.access != access)
        r = rawcall(SYS_landlock_add_rule, ruleset, RULE_PATH_BENEATH, (long)&attributes, 0, 0);
    (void)call1(SYS_close, fd);
    return r;
}

static long allow_all(ChildPlan *p, int ruleset) {
    const SandboxPlan *plan = p->sandbox.plan;
    for (size_t i = 0; i < plan->n_rules; i++) {
        const LandlockRule *rule = &plan->rules[i];
        child_at(p, SANDBOX_PART_RULE, i);
        long r = allow(ruleset, rule->path, rule->access);
        if (r < 0 && !(r == -ENOENT && rule->optional))
            return r;
    }
    child_at(p, SANDBOX_PART_LANDLOCK, 0);
    /* Of a program that is missing exec has more to say. */
    long r = allow(ruleset, p->program, PROGRAM_ACCESS & plan->landlock);
    return r == -ENOENT ? 0 : r;
}

static long restrict_files(ChildPlan *p) {
    const RulesetAttributes attributes = {.file_system = p->sandbox.plan->landlock};
    if (!attributes.file_system)
        return 0;
    child_at(p, SANDBOX_PART_LANDLOCK, 0);
    long ruleset = call3(SYS_landlock_create_ruleset, (long)&attributes, sizeof(attributes), 0);
    if (ruleset < 0)
        return ruleset;
    long r = allow_all(p, (int)ruleset);
    if (r >= 0)
        r = call2(SYS_landlock_restrict_self, ruleset, 0);
    (void)call1(SYS_close, ruleset);
    return r;
}

long child_confine(ChildPlan *p) {
    const struct sock_fprog *filter = &p->sandbox.plan->filter;
    long r = restrict_files(p);
    if (r >= 0 && filter->len > 0) {
        child_at(p, SANDBOX_PART_SECCOMP, 0);
        r = call3(SYS_seccomp, SECCOMP_SET_MODE_FILTER, 0, (long)filter);
    }
    /* Of what fails from here on it is not the cause. */
    if (r >= 0)
        child_at(p, SANDBOX_PART_NONE, 0);
    return r;
}
