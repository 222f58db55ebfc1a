/* SPDX-License-Identifier: MIT */
/* What there is of seccomp.h where this program is built without libseccomp. */
#include <errno.h>
#include <stdlib.h>

#include "conf/seccomp.h"

struct Seccomp {
    char nothing;
};

Seccomp *seccomp_new(void) {
    return calloc(1, sizeof(Seccomp));
}

Seccomp *seccomp_free(Seccomp *s) {
    free(s);
    return NULL;
}

int seccomp_compile(Seccomp *s, char *const *words, SeccompFault fault, void *userdata,
                    struct sock_filter **ret, size_t *ret_n) {
    (void)s, (void)words, (void)fault, (void)userdata, (void)ret, (void)ret_n;
    return -EOPNOTSUPP;
}
