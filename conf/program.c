/* SPDX-License-Identifier: MIT */
#include "conf/program.h"

#include <fcntl.h>
#include <linux/openat2.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/xattr.h>

#include "daemon/base/text.h"

static const char search_path[] = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";

/* stat(2) as it would be after chroot(2): absolute links stay inside. */
static int stat_below(const char *root, const char *path, struct stat *st) {
    if (!root)
        return stat(path, st) < 0 ? -errno : 0;
    CLEANUP_CLOSE int base = open(root, O_PATH | O_DIRECTORY | O_CLOEXEC);
    if (base < 0)
        return -errno;
    struct open_how how = {.flags = O_PATH | O_CLOEXEC, .resolve = RESOLVE_IN_ROOT};
    CLEANUP_CLOSE int fd = (int)syscall(SYS_openat2, base, path, &how, sizeof(how));
    if (fd >= 0)
        return fstat(fd, st) < 0 ? -errno : 0;
    if (errno != ENOSYS && errno != EPERM)
        return -errno;
    /* A kernel or a filter without openat2(2): links are then followed out of the root. */
    return fstatat(base, path + strspn(path, "/"), st, 0) < 0 ? -errno : 0;
}

static bool in_groups(const ProgramUser *user, gid_t gid) {
    if (user->gid == gid)
        return true;
    for (size_t i = 0; i < user->n_groups; i++)
        if (user->groups[i] == gid)
            return true;
    return false;
}

/* The execute bit that counts for @user, path_resolution(7). */
static bool bits_allow(const struct stat *st, const ProgramUser *user) {
    if (user->uid == 0)
        return S_ISDIR(st->st_mode) || (st->st_mode & 0111) != 0;
    if (st->st_uid == user->uid)
        return (st->st_mode & S_IXUSR) != 0;
    if (in_groups(user, st->st_gid))
        return (st->st_mode & S_IXGRP) != 0;
    return (st->st_mode & S_IXOTH) != 0;
}

/* acl(5): where there is a list, the bits do not tell. */
static bool allows(const char *root, const char *path, const struct stat *st, const ProgramUser *user) {
    return bits_allow(st, user) || (!root && getxattr(path, "system.posix_acl_access", NULL, 0) > 0);
}

/* Whether @user can search every folder above @path. */
static bool folders_allow(const char *root, const char *path, const ProgramUser *user) {
    CLEANUP_FREE char *folder = strdup(path);
    if (!folder || user->uid == 0)
        return true;
    for (char *slash = folder; (slash = strchr(slash + 1, '/'));) {
        struct stat st = {0};
        *slash = '\0';
        if (stat_below(root, folder, &st) == 0 && !allows(root, folder, &st, user))
            return false;
        *slash = '/';
    }
    return true;
}

/* @other: the error when it is there, but not of @type (inode(7)). */
static int judge(const char *root, const char *path, const ProgramUser *user, mode_t type, int other) {
    struct stat st = {0};
    int r = stat_below(root, path, &st);
    if (r == -EACCES || r == -EPERM)
        return -EACCES;
    if (r < 0)
        return -ENOENT;
    if ((st.st_mode & S_IFMT) != type)
        return other;
    return allows(root, path, &st, user) && folders_allow(root, path, user) ? 0 : -EACCES;
}

static int judge_file(const char *root, const char *path, const ProgramUser *user) {
    return judge(root, path, user, S_IFREG, -EISDIR);
}

static int take_path(char *path, char **ret) {
    *ret = path;
    return path ? 0 : -ENOMEM;
}

/* Tries @word in the folder that is the first @n bytes of @folder. */
static int try_folder(const char *folder, size_t n, const char *word, const char *root,
                      const ProgramUser *user, char **ret) {
    CLEANUP_TEXT Text path = {0};
    text_add_n(&path, folder, n);
    text_addc(&path, '/');
    text_add(&path, word);
    if (!text_ok(&path))
        return -ENOMEM;
    int r = judge_file(root, path.s, user);
    return r == 0 ? take_path(text_take(&path), ret) : r;
}

int program_find(const char *word, const char *libexecdir, const char *root, const ProgramUser *user,
                 char **ret) {
    if (word[0] == '/') {
        int r = judge_file(root, word, user);
        return r == 0 ? take_path(strdup(word), ret) : r;
    }
    if (strchr(word, '/') || !*word)
        return -ENOENT;
    int worst = -ENOENT;
    if (libexecdir && *libexecdir == '/') {
        int r = try_folder(libexecdir, strlen(libexecdir), word, root, user, ret);
        if (r == 0 || r == -ENOMEM)
            return r;
        worst = r == -EACCES ? r : worst;
    }
    for (const char *folder = search_path; *folder;) {
        size_t n = strcspn(folder, ":");
        int r = try_folder(folder, n, word, root, user, ret);
        if (r == 0 || r == -ENOMEM)
            return r;
        worst = r == -EACCES ? r : worst;
        folder += n + (folder[n] == ':');
    }
    return worst;
}

int program_directory(const char *path, const char *root, const ProgramUser *user) {
    return judge(root, path, user, S_IFDIR, -ENOTDIR);
}
