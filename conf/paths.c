/* SPDX-License-Identifier: MIT */
/* Where things are when nobody says so; see load.h. */
#include <pwd.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "build-config.h"
#include "conf/load.h"
#include "daemon/base/text.h"

/* An absolute path from the environment; anything else does not count, as the XDG specification has it. */
static const char *environment_path(char *const *environment, const char *name) {
    size_t n = strlen(name);
    for (; environment && *environment; environment++)
        if (strncmp(*environment, name, n) == 0 && (*environment)[n] == '=')
            return (*environment)[n + 1] == '/' ? *environment + n + 1 : NULL;
    return NULL;
}

static char *join(const char *folder, const char *rest) {
    CLEANUP_TEXT Text path = {0};
    text_add(&path, folder);
    text_add(&path, rest);
    return text_take(&path);
}

char *config_default_path(uid_t euid, char *const *environment) {
    const char *config = environment_path(environment, "XDG_CONFIG_HOME");
    const char *home = environment_path(environment, "HOME");
    if (euid != 0 && (config || home)) {
        CLEANUP_FREE char *own =
            join(config ? config : home, config ? "/mpinetd/mpinetd.yaml" : "/.config/mpinetd/mpinetd.yaml");
        if (own && access(own, F_OK) == 0)
            return TAKE_PTR(own);
    }
    return strdup(MP_SYSCONFDIR "/mpinetd/mpinetd.yaml");
}

const char *config_libexecdir(char *const *environment) {
    const char *folder = environment_path(environment, "MPINETD_LIBEXECDIR");
    return folder ? folder : MP_LIBEXECDIR;
}

char *config_default_socket(uid_t euid, char *const *environment) {
    if (euid == 0)
        return strdup("/run/mpinetd/control.sock");
    const char *runtime = environment_path(environment, "XDG_RUNTIME_DIR");
    return runtime ? join(runtime, "/mpinetd/control.sock") : NULL;
}
