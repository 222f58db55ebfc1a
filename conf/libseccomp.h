/* SPDX-License-Identifier: MIT */
#pragma once
/* The library that makes filters of lists of system calls. It is loaded where a config asks for one, and only
 * there: the daemon and whoever has no filters does without. */
#include <seccomp.h>

typedef struct Libseccomp {
    void *handle;
    scmp_filter_ctx (*init)(uint32_t def_action);
    void (*release)(scmp_filter_ctx ctx);
    int (*attr_set)(scmp_filter_ctx ctx, enum scmp_filter_attr attr, uint32_t value);
    int (*rule_add_array)(scmp_filter_ctx ctx, uint32_t action, int call, unsigned n,
                          const struct scmp_arg_cmp *args);
    int (*export_bpf)(const scmp_filter_ctx ctx, int fd);
    int (*resolve_name)(const char *name);
    char *(*resolve_number)(uint32_t arch, int number); /* the caller frees */
    uint32_t (*native)(void);
} Libseccomp;

/* Returns 0, or -ENOENT where it is not installed or too old. */
int libseccomp_open(Libseccomp *ret);
void libseccomp_close(Libseccomp *l);
