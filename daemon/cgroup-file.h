/* SPDX-License-Identifier: MIT */
#pragma once
/* One control group (cgroups(7), version 2), by a descriptor of its folder: its files, its processes, the
 * groups below it. Nothing of it waits for a process. Negative errno for errors, ENODEV for a group that has
 * been removed. */
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

/* The longest file that is read whole: a few lines of counters. */
#define CGROUP_FILE_MAX 4096

/* Makes the group @name below @at, unless it is there. Its folder, or a negative errno; @ret_new (NULL is
 * fine): whether it was not. */
int cgroup_make(int at, const char *name, bool *ret_new);
/* Opens it. */
int cgroup_open(int at, const char *name);

/* Reads a file of the group into @buf, with a NUL behind it. */
int cgroup_read(int dir, const char *file, char *buf, size_t size);
int cgroup_write(int dir, const char *file, const char *value);
/* The number behind @key in @file; that in a file of one number with @key NULL. UINT64_MAX: it cannot be
 * read, or is "max". */
uint64_t cgroup_count(int dir, const char *file, const char *key);

/* Whether there is a process in it, or in a group below. */
bool cgroup_is_populated(int dir);
/* Calls @each with the number of each process of it, not of groups below, until that returns a negative
 * number, which is then the result. Else how many. Processes of another pid namespace, which have no number,
 * are called 0. */
typedef int (*CgroupEach)(pid_t pid, void *userdata);
int cgroup_each(int dir, CgroupEach each, void *userdata);
/* Moves all processes of @from itself to @to. 0; -EBUSY: more and more come; or a negative errno. */
int cgroup_move_all(int from, int to);

/* Sends @signal to all processes, of groups below as well. Those that come meanwhile may miss it. */
void cgroup_signal(int dir, int signal);
/* Kills all of them. Where the kernel cannot do that in one go (before 5.14), those that are there; to be
 * done again as long as there are some. */
void cgroup_kill(int dir);
/* Removes the group @name below @at with the groups below it. 0, also when it is not there; -EBUSY: there are
 * processes in it. */
int cgroup_remove(int at, const char *name);
/* Calls @each with the name of each group right below @dir. */
void cgroup_each_group(int dir, void (*each)(int dir, const char *name, void *userdata), void *userdata);
