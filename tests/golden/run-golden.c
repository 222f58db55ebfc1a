/* SPDX-License-Identifier: MIT */
/* Loads every NAME.yaml of a folder and compares what the reader says with NAME.err, or what it has read with
 * NAME.ok, byte for byte. With GOLDEN_UPDATE=1 in the environment it writes these files instead. A first line
 * "# euid: N" says as whom the file is judged; without it, as root. */
#include <dirent.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "conf/field.h"
#include "conf/load.h"
#include "conf/schema.h"

static char port[] = "PORT=7100", name[] = "NAME=golden", empty[] = "EMPTY=";
static char *const environment[] = {port, name, empty, NULL};

typedef struct Run {
    const char *libexecdir;
    bool update;
    unsigned passed, failed;
} Run;

/* The programs that the good files name. */
static int make_programs(const char *folder) {
    static const char *const names[] = {"mp-echo", "mp-time", "mp-discard", "mp-forward"};
    for (size_t i = 0; i < ELEMENTS(names); i++) {
        char path[256];
        (void)snprintf(path, sizeof(path), "%s/%s", folder, names[i]);
        CLEANUP_CLOSE int fd = open(path, O_WRONLY | O_CREAT | O_CLOEXEC, 0755);
        if (fd < 0 || fchmod(fd, 0755) < 0)
            return -errno;
    }
    return 0;
}

static void remove_programs(const char *folder) {
    DIR *d = opendir(folder);
    const struct dirent *e;
    while (d && (e = readdir(d)))
        (void)unlinkat(dirfd(d), e->d_name, 0);
    if (d)
        (void)closedir(d);
    (void)rmdir(folder);
}

static void dump_scope(KeyScope scope, const char *indent, const void *base, Text *out) {
    for (size_t i = 0; i < schema_n_keys(); i++) {
        const Key *key = schema_key(i);
        CLEANUP_TEXT Text value = {0};
        if (key->scope != scope)
            continue;
        field_format(key, base, &value);
        if (value.s && *value.s && !(key->standard && streq(key->standard, value.s)))
            text_addf(out, "%s%s: %s\n", indent, key->path, value.s);
    }
}

static void dump(const Config *c, Text *out) {
    dump_scope(KEY_SCOPE_FILE, "", c, out);
    for (size_t i = 0; i < c->n_services; i++) {
        const ServiceConfig *s = c->services[i];
        text_addf(out, "%s:\n", s->name);
        for (size_t k = 0; k < s->n_listen; k++) {
            text_addf(out, "  listen: %s\n", s->listen[k].endpoint.text);
            dump_scope(KEY_SCOPE_LISTEN, "    ", &s->listen[k], out);
        }
        dump_scope(KEY_SCOPE_SERVICE, "  ", s, out);
        if (s->resolved.change_ids)
            text_addf(out, "  runs as: %s\n", s->resolved.user_name);
        for (size_t k = 0; k < s->n_origins; k++)
            if (s->origins[k].ignored)
                text_addf(out, "  not applied: %s\n", schema_key(s->origins[k].key)->path);
    }
}

static uid_t euid_of(const char *path) {
    CLEANUP_FCLOSE FILE *f = fopen(path, "re");
    unsigned euid = 0;
    return f && fscanf(f, "# euid: %u", &euid) == 1 ? (uid_t)euid
                                                    : 0; // NOLINT(cert-err34-c): the files are ours
}

/* What the reader makes of @path; returns the suffix that it belongs to. */
static const char *load(const Run *run, const char *path, Text *out) {
    const LoadContext context = {
        .euid = euid_of(path), .libexecdir = run->libexecdir, .environ = environment};
    CLEANUP_DIAGS DiagList diags = {0};
    CLEANUP_CONFIG Config *c = NULL;
    int r = config_load(path, &context, &diags, &c);
    diag_list_format(&diags, NULL, out);
    if (r == 0)
        dump(c, out);
    return r == 0 ? "ok" : "err";
}

static char *read_whole(const char *path) {
    CLEANUP_FCLOSE FILE *f = fopen(path, "re");
    CLEANUP_TEXT Text text = {0};
    char buffer[4096];
    size_t n;
    if (!f)
        return NULL;
    while ((n = fread(buffer, 1, sizeof(buffer), f)) > 0)
        text_add_n(&text, buffer, n);
    return text_take(&text);
}

static int write_whole(const char *path, const char *s) {
    CLEANUP_FCLOSE FILE *f = fopen(path, "we");
    return f && fputs(s, f) >= 0 ? 0 : -errno;
}

static void check(Run *run, const char *test) {
    char path[512], expected_path[512], other_path[512];
    CLEANUP_TEXT Text got = {0};
    (void)snprintf(path, sizeof(path), "%s.yaml", test);
    const char *suffix = load(run, path, &got);
    const char *text = got.s ? got.s : "";
    (void)snprintf(expected_path, sizeof(expected_path), "%s.%s", test, suffix);
    (void)snprintf(other_path, sizeof(other_path), "%s.%s", test, streq(suffix, "ok") ? "err" : "ok");
    if (run->update) {
        (void)unlink(other_path);
        if (write_whole(expected_path, text) < 0)
            run->failed++;
        return;
    }
    CLEANUP_FREE char *expected = read_whole(expected_path);
    if (expected && streq(expected, text)) {
        run->passed++;
        return;
    }
    run->failed++;
    (void)printf("FAIL %s\n--- %s%s\n%s+++ got\n%s\n", path, expected_path, expected ? "" : " (missing)",
                 expected ? expected : "", text);
}

static int compare_entries(const struct dirent **a, const struct dirent **b) {
    return strcmp((*a)->d_name, (*b)->d_name);
}

static int is_yaml(const struct dirent *e) {
    size_t n = strlen(e->d_name);
    return n > 5 && streq(e->d_name + n - 5, ".yaml");
}

int main(int argc, char **argv) {
    char folder[] = "/tmp/mpinetd-golden-XXXXXX";
    const char *update = getenv("GOLDEN_UPDATE");
    struct dirent **entries = NULL;
    if (argc != 2 || chdir(argv[1]) < 0 || !mkdtemp(folder) || chmod(folder, 0755) < 0 ||
        make_programs(folder) < 0) {
        (void)fprintf(stderr, "usage: run-golden FOLDER\n");
        return 2;
    }
    Run run = {.libexecdir = folder, .update = update && streq(update, "1")};
    int n = scandir(".", &entries, is_yaml, compare_entries);
    for (int i = 0; i < n; i++) {
        entries[i]->d_name[strlen(entries[i]->d_name) - 5] = '\0';
        check(&run, entries[i]->d_name);
        free(entries[i]);
    }
    free((void *)entries);
    remove_programs(folder);
    if (n <= 0 || run.failed > 0 || !run.update)
        (void)printf("%u passed, %u failed\n", run.passed, run.failed);
    return n <= 0 || run.failed > 0 ? 1 : 0;
}
