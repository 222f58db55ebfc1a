/* SPDX-License-Identifier: MIT */
#pragma once
/* How the processes of a service are isolated, as the config says and as it was worked out when that was
 * loaded. What of it is not given comes from the preset. */
#include <linux/filter.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "daemon/base/strtab.h"

typedef enum SandboxPreset {
    SANDBOX_NONE,
    SANDBOX_BASIC,
    SANDBOX_STRICT,
    _SANDBOX_PRESET_MAX,
} SandboxPreset;
DECLARE_STRTAB(sandbox_preset, SandboxPreset); /* "none", "basic", "strict" */

typedef enum SandboxNetwork {
    SANDBOX_NETWORK_HOST,
    SANDBOX_NETWORK_NONE, /* a network namespace of the service's own, with nothing but loopback */
    _SANDBOX_NETWORK_MAX,
} SandboxNetwork;
DECLARE_STRTAB(sandbox_network, SandboxNetwork);

typedef enum SandboxDevices {
    SANDBOX_DEVICES_ALL,
    SANDBOX_DEVICES_MINIMAL, /* null, zero, full, random, urandom, tty, and the links */
    _SANDBOX_DEVICES_MAX,
} SandboxDevices;
DECLARE_STRTAB(sandbox_devices, SandboxDevices);

/* Lists are as written, NULL where they are given neither by the config nor by the preset. Paths are
 * absolute, without "." and ".." and needless slashes; one with "-" in front may be missing. */
typedef struct SandboxConfig {
    SandboxPreset preset;
    char **capabilities;        /* those that it keeps */
    uint64_t capability_set;    /* the same, bits 1 << CAP_x; with `capabilities` only */
    char **seccomp;             /* what it may call: sets, names, and with `~` what it may not */
    struct sock_filter *filter; /* the same, compiled when the config was loaded; what a process does between
                                   the filter and the start of its program is among what it may */
    size_t n_filter;            /* instructions, as seccomp(2) takes them; 0: none */
    SandboxNetwork network;
    char **read_only;      /* paths that are mounted read-only, with all that is mounted below; "/" is one */
    char **read_write;     /* what below them is not */
    char **hidden;         /* paths of which there is nothing to be seen */
    char **landlock_read;  /* with one of both: all else of the file system is out of reach */
    char **landlock_write; /* with what is readable */
    bool private_tmp;      /* /tmp and /var/tmp of its own, for each process */
    bool private_users;    /* a user namespace with nobody but root, its user and groups */
    bool private_pids;     /* it sees no process but its own */
    bool private_ipc;      /* System V's IPC, POSIX message queues and the host's name, of its own */
    SandboxDevices devices;
} SandboxConfig;
