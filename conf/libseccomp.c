/* SPDX-License-Identifier: MIT */
#include "conf/libseccomp.h"

#include <dlfcn.h>
#include <errno.h>
#include <stdbool.h>
#include <string.h>

#include "daemon/base/text.h"

#define LIBRARY "libseccomp.so.2"

/* A symbol is a function where it is stored: POSIX has dlsym(3) so. */
static bool find(void *handle, const char *name, void *field, size_t size) {
    void *symbol = dlsym(handle, name);
    memcpy(field, (const void *)&symbol, size);
    return symbol;
}

int libseccomp_open(Libseccomp *ret) {
    Libseccomp l = {.handle = dlopen(LIBRARY, RTLD_NOW | RTLD_LOCAL)};
    if (!l.handle)
        return -ENOENT;
    const struct {
        const char *name;
        void *field;
    } symbols[] = {
        {"seccomp_init", (void *)&l.init},
        {"seccomp_release", (void *)&l.release},
        {"seccomp_attr_set", (void *)&l.attr_set},
        {"seccomp_rule_add_array", (void *)&l.rule_add_array},
        {"seccomp_export_bpf", (void *)&l.export_bpf},
        {"seccomp_syscall_resolve_name", (void *)&l.resolve_name},
        {"seccomp_syscall_resolve_num_arch", (void *)&l.resolve_number},
        {"seccomp_arch_native", (void *)&l.native},
    };
    bool good = true;
    for (size_t i = 0; i < ELEMENTS(symbols); i++)
        good = find(l.handle, symbols[i].name, symbols[i].field, sizeof(void *)) && good;
    if (!good) {
        libseccomp_close(&l);
        return -ENOENT;
    }
    *ret = l;
    return 0;
}

void libseccomp_close(Libseccomp *l) {
    if (l->handle)
        (void)dlclose(l->handle);
    *l = (Libseccomp){0};
}
