/* SPDX-License-Identifier: MIT */
#pragma once
/* The environment of a process: a base that is the same for each process of a service, built when the config is loaded, and the
 * variables of one process behind it. What `environment` sets wins over everything. */
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "conf/config.h"
#include "daemon/base/addr.h"

/* Variables of one process, as bits of what `environment` overrides. */
typedef enum EnvVariable {
    ENV_MP_INSTANCE,
    ENV_MP_STATUS_FD,
    ENV_LISTEN_PID,
    ENV_LISTEN_FDS,
    ENV_LISTEN_FDNAMES,
    ENV_PROTO,
    ENV_TCPREMOTEIP,
    ENV_TCPREMOTEPORT,
    ENV_TCPLOCALIP,
    ENV_TCPLOCALPORT,
    ENV_REMOTE_ADDR,
    ENV_REMOTE_PORT,
    ENV_UNIXREMOTEEUID,
    ENV_UNIXREMOTEEGID,
    ENV_UNIXREMOTEPID,
    ENV_UNIXLOCALPATH,
    _ENV_VARIABLE_MAX,
} EnvVariable;

#define CHILD_ENV_BYTES 4096

typedef struct ChildEnv {
    char **base; /* owned: strings of the base */
    size_t n_base;
    char **envp; /* owned: n_base borrowed pointers, room for every variable and NULL */
    size_t n;
    uint32_t overridden; /* bit of each EnvVariable that `environment` sets */
    char *listen_pid;    /* into `bytes`: the digits of LISTEN_PID, room for 11 bytes, or NULL */
    size_t used;
    char bytes[CHILD_ENV_BYTES];
} ChildEnv;

/* Builds the base for @service: PATH, LANG, HOME and the like of its user, MP_SERVICE, what pass_environment takes from
 * @environ, and `environment`. 0 or -ENOMEM. */
int child_env_init(ChildEnv *e, const ServiceConfig *service, char *const *environ);
void child_env_done(ChildEnv *e);

/* Starts the environment of one process: only the base. */
void child_env_begin(ChildEnv *e);
/* Sets one variable; nothing when `environment` has it. -E2BIG when it does not fit. */
int child_env_set(ChildEnv *e, EnvVariable v, const char *format, ...) __attribute__((format(printf, 3, 4)));
/* LISTEN_PID with room for the child to write its own pid, LISTEN_FDS and LISTEN_FDNAMES. */
int child_env_set_listen(ChildEnv *e, size_t n_fds, const char *names);
/* UCSPI's and systemd's variables of a TCP or UNIX connection (@credentials for the latter). */
struct ucred;
int child_env_set_connection(ChildEnv *e, const Addr *peer, const Addr *local, const struct ucred *credentials);
/* NULL-terminated; valid until the next call with @e. */
char **child_env_finish(ChildEnv *e);
