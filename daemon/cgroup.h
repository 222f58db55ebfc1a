/* SPDX-License-Identifier: MIT */
#pragma once
/* The tree of control groups (cgroups(7), version 2) that the daemon may divide among its services:
 *
 *   BASE ─┬─ mpinetd         the daemon, and services without `cgroup`
 *         ├─ SERVICE ── all  those of one group, with the limits on SERVICE
 *         └─ SERVICE ─┬─ 1   with per_instance: each process has one, and the limits
 *                     └─ 2
 *
 * BASE is the group that the daemon was started in, if that is the daemon's own: as a service manager says of
 * it (Delegate=yes), as all that a container sees, or because nobody else is in it, and it is no unit's. In
 * the root of a machine that nobody divides it is a group made there, called after the control socket.
 * Nothing of it is touched before a service asks for a group. */
#include <stdbool.h>

#include "conf/diag.h"
#include "daemon/cgroup-text.h"

typedef struct CgroupTree {
    int base;
    char *path;         /* of BASE, for people */
    int root;           /* of the machine, if BASE was made there; -EBADF: it was not */
    char name[32];      /* then: what BASE is called */
    char mark[16];      /* before the names of groups, where other daemons may have theirs beside; else "" */
    unsigned available; /* controllers that there are */
    unsigned enabled;   /* those that groups of services have */
} CgroupTree;

/* Why something cannot be had. */
typedef struct CgroupProblem {
    int error; /* errno */
    char text[320];
} CgroupProblem;
/* Fills @why, and returns @error, which is negative. */
int cgroup_problem(CgroupProblem *why, int error, const char *format, ...)
    __attribute__((format(printf, 3, 4)));

/* Finds the tree of this process, and moves it, with what else is in its group, out of the way. @in_leaf: it
 * has been moved before, by the program that ran in this process (upgrade in place). @socket: the control
 * socket's path. 0, or a negative errno with @why. */
int cgroup_tree_new(bool in_leaf, const char *socket, CgroupTree **ret, CgroupProblem *why);
/* Lets go of it; BASE is removed if it was made and is empty. Returns NULL; NULL is fine. */
CgroupTree *cgroup_tree_free(CgroupTree *t);
/* What the group of @service is called in @t. */
void cgroup_tree_name(const CgroupTree *t, const char *service, Text *out);
/* Sees to it that groups of services have the controllers @set. 0, or a negative errno with @why. */
int cgroup_tree_enable(CgroupTree *t, unsigned set, CgroupProblem *why);
/* The same for a group: those of its own below it. */
int cgroup_enable(int dir, unsigned set);
/* Whether a tree could be had with the controllers @set, as things are: nothing is changed. 0, or a negative
 * errno with @why. */
int cgroup_tree_check(const CgroupTree *t, bool in_leaf, unsigned set, CgroupProblem *why);
/* The same for all services of @config; what cannot be had is in @diags. 0, or -EINVAL. */
struct Runtime;
int cgroup_check_config(const struct Runtime *rt, const Config *config, DiagList *diags);
