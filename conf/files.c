/* SPDX-License-Identifier: MIT */
#include "conf/files.h"

#include <glob.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "conf/regular-file.h"
#include "daemon/base/text.h"

/* A file by which it is known again under another name. */
typedef struct FileId {
    dev_t dev;
    ino_t ino;
} FileId;

/* The files that are being read, from the innermost to the main one. */
typedef struct Chain {
    const struct Chain *up;
    FileId id;
} Chain;

/* What asks for a file: an include, or (node NULL) whoever wants the config. */
typedef struct Including {
    const Chain *chain;
    const YamlNode *node;
    bool by_glob;
} Including;

typedef struct FileReader {
    Reader *r;
    FileId seen[YAML_FILES_MAX];
    size_t n_seen;
    bool full; /* told that there are too many */
} FileReader;

static const char *lookup_environment(const char *name, void *userdata) {
    char *const *environment = userdata;
    size_t n = strlen(name);
    for (; environment && *environment; environment++)
        if (strncmp(*environment, name, n) == 0 && (*environment)[n] == '=')
            return *environment + n + 1;
    return NULL;
}

/* Tells of what is wrong with a whole file: where it is included, or without a place. */
static void file_error(FileReader *f, const Including *by, const char *name, DiagSeverity severity,
                       DiagCode code, const char *what) {
    CLEANUP_TEXT Text shown = {0};
    text_add_escaped(&shown, name, strlen(name));
    const char *s = shown.s ? shown.s : "";
    if (by->node) {
        reader_diag(f->r, by->node, severity, code, NULL, "%s: %s", s, what);
        return;
    }
    const DiagPos nowhere = {.file = name};
    diag_add(f->r->diags, severity, code, &nowhere, NULL, NULL, "%s", what);
}

/* Returns the descriptor, or -1 (told). */
static int open_regular(FileReader *f, const Including *by, const char *name, struct stat *st) {
    char buf[64];
    int fd = regular_file_open(name, YAML_FILE_MAX, st);
    if (fd == -ENOENT && by->by_glob && lstat(name, st) < 0)
        return -1; /* it went away while the folder was read */
    if (fd < 0) {
        file_error(f, by, name, DIAG_ERROR, regular_file_code(fd),
                   regular_file_error(fd, YAML_FILE_MAX, buf));
        return -1;
    }
    if ((st->st_mode & S_IWOTH) != 0 && f->r->context->euid == 0)
        file_error(f, by, name, DIAG_WARNING, DIAG_NOT_ALLOWED, "everybody may write to this file");
    return fd;
}

static int read_file(FileReader *f, const Including *by, const char *name);

/* "FOLDER/WORD", the folder being the one of @includer. */
static char *join(const char *includer, const char *word) {
    const char *slash = strrchr(includer, '/');
    CLEANUP_TEXT Text text = {0};
    if (word[0] != '/' && slash)
        text_add_n(&text, includer, (size_t)(slash - includer) + 1);
    text_add(&text, word);
    return text_take(&text);
}

static int compare_names(const void *a, const void *b) {
    return strcmp(*(char *const *)a, *(char *const *)b);
}

static int read_glob(FileReader *f, const Including *by, const char *pattern) {
    glob_t found = {0};
    int k = glob(pattern, GLOB_NOSORT, NULL, &found);
    int result = 0;
    if (k == GLOB_NOSPACE) {
        result = -ENOMEM;
    } else if (k == GLOB_ABORTED) {
        file_error(f, by, pattern, DIAG_ERROR, DIAG_NOT_ALLOWED, "a folder cannot be read");
    } else if (k == 0) {
        qsort((void *)found.gl_pathv, found.gl_pathc, sizeof(char *), compare_names);
        for (size_t i = 0; i < found.gl_pathc && result == 0; i++)
            result = read_file(f, by, found.gl_pathv[i]);
    }
    globfree(&found);
    return result;
}

static int read_include(FileReader *f, const Chain *chain, const YamlNode *item, const char *includer) {
    if (item->kind != YAML_SCALAR || !*item->text) {
        reader_error(f->r, item, item->kind == YAML_SCALAR ? DIAG_BAD_VALUE : DIAG_WRONG_TYPE,
                     "write: include: [services.d/*.yaml]", "include takes paths and globs");
        return 0;
    }
    CLEANUP_FREE char *name = join(includer, item->text);
    if (!name)
        return -ENOMEM;
    const Including by = {.chain = chain, .node = item, .by_glob = strpbrk(item->text, "*?[") != NULL};
    return by.by_glob ? read_glob(f, &by, name) : read_file(f, &by, name);
}

static int read_includes(FileReader *f, const Chain *chain, const YamlFile *file, const char *includer) {
    const YamlNode *root = yaml_file_root(file);
    const YamlNode *include = root && root->kind == YAML_MAPPING ? yaml_get(root, "include") : NULL;
    if (!include || include->kind == YAML_NULL)
        return 0;
    if (include->kind != YAML_SEQUENCE)
        return read_include(f, chain, include, includer);
    int result = 0;
    for (size_t i = 0; i < include->n && result == 0; i++)
        result = read_include(f, chain, include->items[i], includer);
    return result;
}

static bool is_same(const FileId *a, const FileId *b) {
    return a->dev == b->dev && a->ino == b->ino;
}

/* Whether this file is to be read: not when it was, not when there are too many. */
static bool is_wanted(FileReader *f, const Including *by, const char *name, const FileId *id) {
    for (const Chain *up = by->chain; up; up = up->up) {
        if (is_same(&up->id, id)) {
            file_error(f, by, name, DIAG_ERROR, DIAG_CONFLICT, "a file cannot include itself");
            return false;
        }
    }
    for (size_t i = 0; i < f->n_seen; i++)
        if (is_same(&f->seen[i], id))
            return false;
    if (f->n_seen < YAML_FILES_MAX) {
        f->seen[f->n_seen++] = *id;
        return true;
    }
    if (!f->full)
        file_error(f, by, name, DIAG_ERROR, DIAG_LIMIT, "more than 512 files");
    f->full = true;
    return false;
}

/* Puts a parsed file to the others; takes @file over. */
static int keep_file(Reader *r, const char *name, YamlFile *file) {
    YamlFile **bigger = (YamlFile **)reallocarray((void *)r->files, r->n_files + 1, sizeof(YamlFile *));
    if (bigger)
        r->files = bigger;
    if (!bigger || strv_push(&r->names, strdup(name)) < 0) {
        yaml_file_free(file);
        return -ENOMEM;
    }
    r->files[r->n_files++] = file;
    return 0;
}

static int parse_file(FileReader *f, const Including *by, const char *name, int fd, YamlFile **ret) {
    CLEANUP_FREE char *text = NULL;
    char buf[64];
    size_t n = 0;
    int k = regular_file_read(fd, YAML_FILE_MAX, &text, &n);
    if (k == -ENOMEM)
        return k;
    if (k < 0) {
        file_error(f, by, name, DIAG_ERROR, regular_file_code(k), regular_file_error(k, YAML_FILE_MAX, buf));
        return -EINVAL;
    }
    Reader *r = f->r;
    return yaml_parse(name, text, n, &r->budget, lookup_environment, (void *)(uintptr_t)r->context->environ,
                      r->diags, ret);
}

static int read_file(FileReader *f, const Including *by, const char *name) {
    struct stat st = {0};
    CLEANUP_CLOSE int fd = open_regular(f, by, name, &st);
    if (fd < 0)
        return 0;
    const Chain link = {.up = by->chain, .id = {.dev = st.st_dev, .ino = st.st_ino}};
    if (!is_wanted(f, by, name, &link.id))
        return 0;
    YamlFile *file = NULL;
    int k = parse_file(f, by, name, fd, &file);
    (void)fd_close(TAKE_FD(fd)); /* includes may go deep */
    if (k == -ENOMEM)
        return k;
    if (k < 0)
        return 0;
    k = keep_file(f->r, name, file);
    return k < 0 ? k : read_includes(f, &link, file, name);
}

/* PATH as it is shown: absolute where that is asked for. */
static char *shown_path(const char *path, bool absolute) {
    if (!absolute || path[0] == '/')
        return strdup(path);
    CLEANUP_FREE char *cwd = getcwd(NULL, 0);
    CLEANUP_TEXT Text text = {0};
    text_addf(&text, "%s/%s", cwd ? cwd : "", starts_with(path, "./") ? path + 2 : path);
    return text_take(&text);
}

int files_read(Reader *r, const char *path) {
    FileReader f = {.r = r};
    const Including by = {0};
    CLEANUP_FREE char *name = shown_path(path, r->context->absolute_names);
    return name ? read_file(&f, &by, name) : -ENOMEM;
}
