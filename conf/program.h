/* SPDX-License-Identifier: MIT */
#pragma once
/* Finding a program and judging whether a user can run it, by the access bits alone. Reads the file system.
 */
#include <stdbool.h>
#include <stddef.h>
#include <sys/types.h>

/* Who would run it. */
typedef struct ProgramUser {
    uid_t uid;
    gid_t gid;
    const gid_t *groups;
    size_t n_groups;
} ProgramUser;

/* Looks for @word, an absolute path or a plain name, as seen from below @root (NULL: /): names in
 * @libexecdir, then in the fixed list of folders. Returns 0 with its absolute path below @root in *@ret (the
 * caller's), -ENOENT when there is none, -EACCES when there is one that @user cannot run, -EISDIR when it is
 * no regular file, or -ENOMEM. */
int program_find(const char *word, const char *libexecdir, const char *root, const ProgramUser *user,
                 char **ret);
/* Whether @path below @root is a directory that @user can enter: 0, -ENOENT, -ENOTDIR or -EACCES. */
int program_directory(const char *path, const char *root, const ProgramUser *user);
