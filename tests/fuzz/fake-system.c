/* SPDX-License-Identifier: MIT */
#include "tests/fuzz/fake-system.h"

#include <errno.h>
#include <fcntl.h>
#include <fnmatch.h>
#include <glob.h>
#include <grp.h>
#include <limits.h>
#include <netdb.h>
#include <pwd.h>
#include <stdarg.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/xattr.h>

#include "daemon/base/cleanup.h"
#include "daemon/base/text.h"
#include "tests/fuzz/require.h"

#define FILES_MAX 16
#define MARK "#file "

typedef struct FakeFile {
    char name[128];
    const uint8_t *data;
    size_t n;
} FakeFile;

static FakeFile files[FILES_MAX];
static size_t n_files;

static const uint8_t *find_mark(const uint8_t *from, const uint8_t *end) {
    for (const uint8_t *at = from; at && at < end;) {
        if ((size_t)(end - at) > strlen(MARK) && memcmp(at, MARK, strlen(MARK)) == 0)
            return at;
        at = memchr(at, '\n', (size_t)(end - at));
        at = at ? at + 1 : NULL;
    }
    return end;
}

void fake_system_set(const uint8_t *data, size_t n) {
    const uint8_t *end = data + n, *next = find_mark(data, end);
    n_files = 1;
    files[0] = (FakeFile){.name = FAKE_MAIN, .data = data, .n = (size_t)(next - data)};
    while (next < end && n_files < FILES_MAX) {
        const uint8_t *name = next + strlen(MARK), *newline = memchr(name, '\n', (size_t)(end - name));
        FakeFile *f = &files[n_files];
        if (!newline || (size_t)(newline - name) >= sizeof(f->name) - strlen("/etc/mpinetd/"))
            return;
        *f = (FakeFile){.data = newline + 1};
        next = find_mark(newline + 1, end);
        f->n = (size_t)(next - f->data);
        (void)snprintf(f->name, sizeof(f->name), "%s%.*s", *name == '/' ? "" : "/etc/mpinetd/",
                       (int)(newline - name), (const char *)name);
        n_files++;
    }
}

void fake_system_replace(const char *text, size_t n) {
    files[0].data = (const uint8_t *)text;
    files[0].n = n;
}

static const FakeFile *find_file(const char *path) {
    for (size_t i = 0; i < n_files; i++)
        if (strcmp(files[i].name, path) == 0)
            return &files[i];
    return NULL;
}

static int fail(int error) {
    errno = error;
    return -1;
}

/* libFuzzer's own files, among them the corpus, are none of this. */
int __real_open64(const char *path, int flags, ...);

int __wrap_open64(const char *path, int flags, ...);
int __wrap_open64(const char *path, int flags, ...) {
    const FakeFile *f = find_file(path);
    if (flags & O_PATH)
        return strstr(path, "absent") ? fail(ENOENT) : __real_open64("/", flags);
    if (!f && strstr(path, "denied"))
        return fail(EACCES);
    if (!f && strstr(path, "folder"))
        return __real_open64("/", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (!f)
        return fail(ENOENT);
    int fd = memfd_create("fake", MFD_CLOEXEC);
    require(fd >= 0 && pwrite(fd, f->data, f->n, 0) == (ssize_t)f->n);
    return fd;
}

static int tell(const char *path, struct stat *st) {
    const FakeFile *f = find_file(path);
    bool folder = strstr(path, "folder") || strcmp(path, "/") == 0;
    if (!f && strstr(path, "absent"))
        return fail(ENOENT);
    if (!f && strstr(path, "denied"))
        return fail(EACCES);
    *st = (struct stat){
        .st_dev = 1,
        .st_ino = f ? (ino_t)(f - files) + 1 : 1000,
        .st_mode =
            f ? S_IFREG | 0644 : (folder ? S_IFDIR : S_IFREG) | (strstr(path, "private") ? 0700 : 0755),
        .st_size = f ? (off_t)f->n : 0,
    };
    return 0;
}

int __wrap_stat64(const char *path, struct stat *st);
int __wrap_stat64(const char *path, struct stat *st) {
    return tell(path, st);
}

int __wrap_lstat64(const char *path, struct stat *st);
int __wrap_lstat64(const char *path, struct stat *st) {
    return tell(path, st);
}

ssize_t __wrap_getxattr(const char *path, const char *name, void *value, size_t size);
ssize_t __wrap_getxattr(const char *path, const char *name, void *value, size_t size) {
    (void)path;
    (void)name;
    (void)value;
    (void)size;
    return fail(ENODATA);
}

char *__wrap_realpath(const char *path, char *real);
char *__wrap_realpath(const char *path, char *real) {
    if (strstr(path, "absent") || strlen(path) >= PATH_MAX) {
        errno = ENOENT;
        return NULL;
    }
    require(real != NULL);
    memcpy(real, path, strlen(path) + 1);
    return real;
}

int __wrap_glob64(const char *pattern, int flags, int (*fails)(const char *path, int error), glob_t *ret);
int __wrap_glob64(const char *pattern, int flags, int (*fails)(const char *path, int error), glob_t *ret) {
    (void)flags;
    (void)fails;
    *ret = (glob_t){.gl_pathv = calloc(FILES_MAX + 1, sizeof(char *))};
    require(ret->gl_pathv != NULL);
    if (strstr(pattern, "denied"))
        return GLOB_ABORTED;
    for (size_t i = 0; i < n_files; i++)
        if (fnmatch(pattern, files[i].name, FNM_PATHNAME | FNM_PERIOD) == 0)
            ret->gl_pathv[ret->gl_pathc++] = files[i].name;
    return ret->gl_pathc > 0 ? 0 : GLOB_NOMATCH;
}

void __wrap_globfree64(glob_t *found);
void __wrap_globfree64(glob_t *found) {
    free((void *)found->gl_pathv);
}

/* Users */

static char name_root[] = "root", name_alice[] = "alice", name_bob[] = "bob", no_text[] = "",
            home[] = "/home/alice";
static const struct passwd users[] = {
    {.pw_name = name_root, .pw_dir = no_text, .pw_shell = no_text},
    {.pw_name = name_alice, .pw_uid = 1000, .pw_gid = 1000, .pw_dir = home, .pw_shell = no_text},
    {.pw_name = name_bob, .pw_uid = 1001, .pw_gid = 1001, .pw_dir = no_text, .pw_shell = no_text},
};

int __wrap_getpwnam_r(const char *name, struct passwd *pw, char *buf, size_t n, struct passwd **ret);
int __wrap_getpwnam_r(const char *name, struct passwd *pw, char *buf, size_t n, struct passwd **ret) {
    (void)buf;
    (void)n;
    *ret = NULL;
    if (strstr(name, "slow"))
        return EIO;
    for (size_t i = 0; i < ELEMENTS(users); i++) {
        if (strcmp(users[i].pw_name, name) != 0)
            continue;
        *pw = users[i];
        *ret = pw;
    }
    return 0;
}

int __wrap_getpwuid_r(uid_t uid, struct passwd *pw, char *buf, size_t n, struct passwd **ret);
int __wrap_getpwuid_r(uid_t uid, struct passwd *pw, char *buf, size_t n, struct passwd **ret) {
    *ret = NULL;
    for (size_t i = 0; i < ELEMENTS(users); i++)
        if (users[i].pw_uid == uid)
            return __wrap_getpwnam_r(users[i].pw_name, pw, buf, n, ret);
    return 0;
}

int __wrap_getgrnam_r(const char *name, struct group *gr, char *buf, size_t n, struct group **ret);
int __wrap_getgrnam_r(const char *name, struct group *gr, char *buf, size_t n, struct group **ret) {
    struct passwd pw, *found = NULL;
    int error = __wrap_getpwnam_r(name, &pw, buf, n, &found);
    *ret = found ? gr : NULL;
    if (found)
        *gr = (struct group){.gr_name = found->pw_name, .gr_gid = found->pw_gid};
    return error;
}

int __wrap_getgrouplist(const char *user, gid_t group, gid_t *groups, int *n);
int __wrap_getgrouplist(const char *user, gid_t group, gid_t *groups, int *n) {
    int wanted = strcmp(user, name_bob) == 0 ? 40 : 2, room = *n;
    for (int i = 0; i < wanted && i < room; i++)
        groups[i] = group + (gid_t)i;
    *n = wanted;
    return wanted > room ? -1 : wanted;
}

struct servent *__wrap_getservbyname(const char *name, const char *protocol);
struct servent *__wrap_getservbyname(const char *name, const char *protocol) {
    static struct servent http = {.s_name = name_root, .s_port = 0x5000};
    return strcmp(name, "http") == 0 && strcmp(protocol, "tcp") == 0 ? &http : NULL;
}
