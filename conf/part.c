/* SPDX-License-Identifier: MIT */
#include "conf/part.h"

#include <stdlib.h>
#include <string.h>

#include "conf/config-build.h"

const ResourceConfig resource_standard = {.n_rlimits = 0};

/* A service has its own from the beginning, with the defaults of the key table. */
static const ServiceTerms terms_standard = {.proxy_trusted = NULL};

static const SandboxConfig sandbox_standard = {.preset = SANDBOX_NONE};

static const CgroupConfig cgroup_standard = {
    .memory_max = UINT64_MAX,
    .memory_high = UINT64_MAX,
    .cpu_max = UINT64_MAX,
    .pids_max = UINT64_MAX,
};

static const struct {
    size_t pointer; /* offset in a ServiceConfig */
    size_t size;
    const void *standard; /* what holds where nothing is given */
} parts[_KEY_PART_MAX] = {
    [KEY_PART_TERMS] = {offsetof(ServiceConfig, terms), sizeof(ServiceTerms), &terms_standard},
    [KEY_PART_RESOURCES] = {offsetof(ServiceConfig, resources), sizeof(ResourceConfig), &resource_standard},
    [KEY_PART_SANDBOX] = {offsetof(ServiceConfig, sandbox), sizeof(SandboxConfig), &sandbox_standard},
    [KEY_PART_CGROUP] = {offsetof(ServiceConfig, cgroup), sizeof(CgroupConfig), &cgroup_standard},
};

static void *load(const ServiceConfig *s, KeyPart part) {
    void *p;
    memcpy((void *)&p, (const char *)s + parts[part].pointer, sizeof(p));
    return p;
}

static void store(ServiceConfig *s, KeyPart part, void *p) {
    memcpy((char *)s + parts[part].pointer, (const void *)&p, sizeof(p));
}

const void *part_get(const ServiceConfig *s, KeyPart part) {
    const void *p = load(s, part);
    return p ? p : parts[part].standard;
}

bool part_is_there(const ServiceConfig *s, KeyPart part) {
    return load(s, part);
}

void *part_make(ServiceConfig *s, KeyPart part) {
    void *p = load(s, part);
    if (p)
        return p;
    p = malloc(parts[part].size);
    if (!p)
        return NULL;
    memcpy(p, parts[part].standard, parts[part].size);
    store(s, part, p);
    return p;
}

void parts_done(ServiceConfig *s) {
    for (KeyPart part = KEY_PART_NONE + 1; part < _KEY_PART_MAX; part++) {
        free(load(s, part));
        store(s, part, NULL);
    }
}

size_t part_size(KeyPart part) {
    return parts[part].size;
}
