/* SPDX-License-Identifier: MIT */
#pragma once
/* From a file's name to a checked Config: reading, includes, merging, decoding, checking, resolving. */
#include <stdbool.h>
#include <sys/types.h>

#include "conf/config.h"
#include "conf/diag.h"

/* With whose eyes a config is judged. */
typedef struct LoadContext {
    uid_t euid;             /* who would run it */
    gid_t egid;             /* his group */
    bool has_egid;          /* else it is this process's, if it is his, or the user's own */
    const char *libexecdir; /* where the mp-* programs are */
    char *const *environ;   /* for ${VAR} */
    bool absolute_names;    /* diagnostics name files by absolute path (the daemon's replies) */
    /* At start: a service for which something is merely missing (not-found, not-allowed) is kept with its
     * `problem` set, and only warned of. Otherwise any such thing is an error. */
    bool tolerate_missing;
} LoadContext;

/* Loads @path. Returns 0 with @ret (a reference of the caller's; @diags may hold warnings), -EINVAL when
 * there is an error in @diags, -ENOMEM. */
int config_load(const char *path, const LoadContext *context, DiagList *diags, Config **ret);

/* Looks up a service's program, user, groups and directories again (see Resolved). Returns 0, or -ENOENT or
 * -EPERM with s->problem set to why not. */
int service_config_resolve(ServiceConfig *s, const LoadContext *context);

/* The config file to use when none is named: for an ordinary user $XDG_CONFIG_HOME/mpinetd/mpinetd.yaml (or
 * ~/.config/…) if it exists, else SYSCONFDIR/mpinetd/mpinetd.yaml. The caller frees it. */
char *config_default_path(uid_t euid, char *const *environment);
/* MPINETD_LIBEXECDIR, or the folder that the build was configured with. Borrowed. */
const char *config_libexecdir(char *const *environment);
/* The control socket to use: the user's own ($XDG_RUNTIME_DIR/mpinetd/control.sock) or
 * /run/mpinetd/control.sock for root. NULL when an ordinary user has no XDG_RUNTIME_DIR. The caller frees it.
 */
char *config_default_socket(uid_t euid, char *const *environment);
