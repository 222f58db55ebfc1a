/* SPDX-License-Identifier: MIT */
#pragma once
/* The environment of a process: a base that is the same for each process of a service, built when the config
 * is loaded, and the variables of one process behind it. What `environment` sets wins over everything. */
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "conf/config.h"
#include "daemon/base/addr.h"

/* Variables of one process, as bits of what `environment` overrides. */
typedef enum EnvVariable {
    ENV_MP_INSTANCE,
    ENV_MP_STATUS_FD,
    ENV_NOTIFY_SOCKET,
    ENV_WATCHDOG_USEC,
    ENV_WATCHDOG_PID, /* not set: whoever has WATCHDOG_USEC may report, sd_watchdog_enabled(3) */
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
    ENV_MP_CONNECTION_FD,
    ENV_MP_SCOREBOARD_FD,
    ENV_MP_SCOREBOARD_SLOT,
    _ENV_VARIABLE_MAX,
} EnvVariable;

#define CHILD_ENV_BYTES 16384

/* The base; one for each service. */
typedef struct ChildEnv {
    char **base; /* owned */
    size_t n_base;
    uint32_t overridden; /* bit of each EnvVariable that `environment` sets */
} ChildEnv;

/* Builds the base for @service: PATH, LANG, HOME and the like of its user, MP_SERVICE, what pass_environment
 * takes from the daemon's own environment @env, and `environment`. 0 or -ENOMEM. */
int child_env_init(ChildEnv *e, const ServiceConfig *service, char *const *env);
void child_env_done(ChildEnv *e);

/* The whole environment of one process. Starts as {0}; or as what env_builder_place() makes of it. */
typedef struct EnvBuilder {
    const ChildEnv *of;
    char **envp; /* its strings are the base's and those in `bytes` */
    size_t n, capacity;
    bool placed;      /* `envp` is somebody else's */
    char *listen_pid; /* into `bytes`: the digits of LISTEN_PID, room for 11 bytes, or NULL */
    size_t used;
    char bytes[CHILD_ENV_BYTES];
} EnvBuilder;

void env_builder_done(EnvBuilder *b);
/* So many pointers an environment on the base @e takes. */
size_t env_builder_capacity(const ChildEnv *e);
/* Its environments are to stand in @envp, which has room for @capacity pointers and stays the caller's. */
void env_builder_place(EnvBuilder *b, char **envp, size_t capacity);
/* Starts with the base @e alone. 0 or -ENOMEM. */
int env_builder_begin(EnvBuilder *b, const ChildEnv *e);
/* Sets one variable, to a text or a number; nothing when `environment` has it. -E2BIG when it does not fit.
 */
int env_builder_set(EnvBuilder *b, EnvVariable v, const char *value);
int env_builder_set_number(EnvBuilder *b, EnvVariable v, uint64_t value);
/* LISTEN_PID with room for the child to write its own pid, LISTEN_FDS and LISTEN_FDNAMES. */
int env_builder_set_listen(EnvBuilder *b, size_t n_fds, const char *names);
/* UCSPI's and systemd's variables of a TCP or UNIX connection (@credentials for the latter). */
struct ucred;
int env_builder_set_connection(EnvBuilder *b, const Addr *peer, const Addr *local,
                               const struct ucred *credentials);
/* NULL-terminated; valid until the next call with @b. */
char **env_builder_finish(EnvBuilder *b);
