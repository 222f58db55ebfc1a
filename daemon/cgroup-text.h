/* SPDX-License-Identifier: MIT */
#pragma once
/* Control groups (cgroups(7), version 2) as text: what the kernel says of them, what it is told, and what
 * they are called. Pure. */
#include <inttypes.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "conf/config.h"
#include "daemon/base/strtab.h"
#include "daemon/base/text.h"

/* Those that limits of a service need. A set of them is bits CGROUP_BIT(x). */
typedef enum CgroupController {
    CGROUP_CPU,
    CGROUP_IO,
    CGROUP_MEMORY,
    CGROUP_PIDS,
    _CGROUP_CONTROLLER_MAX,
} CgroupController;
DECLARE_STRTAB(cgroup_controller, CgroupController); /* "cpu", … */
#define CGROUP_BIT(controller) (1U << (controller))

/* Where the daemon itself is, below the group that it was given: the kernel gives limits only to groups whose
 * parent has no processes. */
#define CGROUP_LEAF "mpinetd"
/* Where the processes of a service are that has one group for all of them. */
#define CGROUP_ALL "all"

/* Of /proc/PID/cgroup: appends the path in the hierarchy of version 2. 0; -ENODATA: there is none; -ENOENT:
 * it has been removed. */
int cgroup_parse_membership(const char *text, Text *ret);
/* Of /proc/self/mountinfo: appends the folder at which the group @path is seen. 0; -ENODEV: no version 2 is
 * mounted; -ENXIO: it is, without that group. */
int cgroup_parse_mounts(const char *mountinfo, const char *path, Text *ret);
/* A list of controllers as a set; those that nobody asks for are left out. */
unsigned cgroup_parse_controllers(const char *text);
/* The other way round: "memory and pids". */
void cgroup_format_controllers(unsigned set, Text *out);
/* The number behind @key in a file of such lines (memory.events, cgroup.events, cpu.stat); 0: it is not
 * there. */
uint64_t cgroup_parse_count(const char *text, const char *key);

/* What the group of @service is called: no two have the same, and none is called like a file of the kernel's
 * or like the daemon's own. */
void cgroup_format_name(const char *service, Text *out);
/* What stands before that where several daemons have one tree: by the underscore no service is called so. */
#define CGROUP_MARK "_%08" PRIx32 "."
/* Whether the group @name is that of @service, of whatever daemon. */
bool cgroup_is_of(const char *name, const char *service);
/* What the group of an instance is called; and whether @name is that of one. */
#define CGROUP_NUMBER_MAX 24
bool cgroup_parse_number(const char *name, uint64_t *ret);

/* The controllers that @c needs. */
unsigned cgroup_controllers_of(const CgroupConfig *c);
/* One file to write. */
typedef struct CgroupSetting {
    const char *file;
    CgroupController controller;
    bool lifts; /* it takes a limit away: where the file is not there, there is none */
    char value[48];
} CgroupSetting;
#define CGROUP_SETTINGS_MAX 6
/* As @from: nobody knows which limits a group has, so that all are written. */
extern const CgroupConfig cgroup_limits_unknown;
/* What is to be written so that a group with the limits @from (NULL: a new one) has those of @to (NULL:
 * none). @alone: it is that of one instance, of which the kernel is to kill all or nothing. Returns how many.
 */
size_t cgroup_settings(const CgroupConfig *from, const CgroupConfig *to, bool alone,
                       CgroupSetting ret[static CGROUP_SETTINGS_MAX]);

/* What the daemon may divide among its services. */
typedef struct CgroupFacts {
    bool machine;          /* it is in the root of the machine: nobody divides anything there */
    bool delegated;        /* whoever made its group says that it is the daemon's to divide (user.delegate) */
    bool namespace_root;   /* its group is all that it sees: that of a container */
    bool alone;            /* nobody else is in its group */
    bool unit;             /* it is one of systemd's units, which takes controllers back from below */
    bool in_leaf;          /* its group is called like the one that it moves to itself */
    bool parent_delegated; /* the group above is the daemon's to divide */
} CgroupFacts;

typedef enum CgroupClaim {
    CGROUP_CLAIM_NONE,  /* it is others', too */
    CGROUP_CLAIM_HERE,  /* its own group */
    CGROUP_CLAIM_ABOVE, /* the one above: it has moved to its own already, or has been put there */
    CGROUP_CLAIM_BELOW, /* one that it makes below the root of the machine */
} CgroupClaim;
CgroupClaim cgroup_claim(const CgroupFacts *f);
/* Whether the group @name is called like a unit that processes are in. */
bool cgroup_is_unit(const char *name);
