/* SPDX-License-Identifier: MIT */
#include "daemon/program-path.h"

#include <limits.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/auxv.h>
#include <sys/stat.h>

#include "daemon/base/cleanup.h"

static char *absolute(const char *path) {
    char folder[PATH_MAX], *whole = NULL;
    if (path[0] == '/')
        return strdup(path);
    if (!getcwd(folder, sizeof(folder)) || folder[0] != '/')
        return NULL;
    while (path[0] == '.' && path[1] == '/')
        path += 2;
    return asprintf(&whole, "%s/%s", strcmp(folder, "/") == 0 ? "" : folder, path) < 0 ? NULL : whole;
}

/* Whether @path is the file that runs here: not so when another program (a loader, a descriptor) was named.
 * Without /proc it is believed. @link: what /proc/self/exe says, or NULL. Under valgrind that is right, while
 * the file behind it is valgrind. */
static bool is_this(const char *path, const char *link) {
    struct stat st, exe;
    if (stat(path, &st) < 0 || !S_ISREG(st.st_mode))
        return false;
    if ((link && strcmp(path, link) == 0) || stat("/proc/self/exe", &exe) < 0)
        return true;
    return st.st_dev == exe.st_dev && st.st_ino == exe.st_ino;
}

char *program_path(void) {
    char link[PATH_MAX];
    ssize_t n = readlink("/proc/self/exe", link, sizeof(link) - 1);
    link[n > 0 ? n : 0] = '\0';
    /* getauxval(3): the pathname that was given to execve(2). That of fexecve(3) means nothing later. */
    const char *given = (const char *)getauxval(AT_EXECFN); /* NOLINT(performance-no-int-to-ptr) */
    char *path CLEANUP_FREE = given && strncmp(given, "/dev/fd/", 8) != 0 ? absolute(given) : NULL;
    if (path && is_this(path, link))
        return TAKE_PTR(path);
    return link[0] == '/' && is_this(link, NULL) ? strdup(link) : NULL;
}
