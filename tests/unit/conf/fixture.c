/* SPDX-License-Identifier: MIT */
#include "fixture.h"

#include <errno.h>
#include <fcntl.h>
#include <ftw.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include <cmocka.h>

#include "daemon/base/cleanup.h"
#include "daemon/base/text.h"

static char set_variable[] = "SET=value";

static int remove_entry(const char *path, const struct stat *st, int type, struct FTW *where) {
    (void)st;
    (void)type;
    (void)where;
    return remove(path);
}

int fixture_setup(void **state) {
    Fixture *f = calloc(1, sizeof(Fixture));
    if (!f)
        return -1;
    (void)snprintf(f->folder, sizeof(f->folder), "/tmp/mpinetd-conf-XXXXXX");
    if (!mkdtemp(f->folder) || chmod(f->folder, 0755) < 0) {
        free(f);
        return -1;
    }
    (void)snprintf(f->libexecdir, sizeof(f->libexecdir), "%s/libexec", f->folder);
    if (mkdir(f->libexecdir, 0755) < 0 || chmod(f->libexecdir, 0755) < 0)
        return -1;
    fixture_write(f, "libexec/mp-echo", "", 0755);
    (void)snprintf(f->variable, sizeof(f->variable), "FOLDER=%s", f->folder);
    f->environment[0] = set_variable;
    f->environment[1] = f->variable;
    f->context = (LoadContext){.euid = FIXTURE_ROOT, .libexecdir = f->libexecdir, .environ = f->environment};
    *state = f;
    return 0;
}

static void forget(Fixture *f) {
    diag_list_done(&f->diags);
    f->diags = (DiagList){0};
    f->config = config_unref(f->config);
}

int fixture_teardown(void **state) {
    Fixture *f = *state;
    forget(f);
    (void)nftw(f->folder, remove_entry, 16, FTW_DEPTH | FTW_PHYS);
    free(f);
    return 0;
}

const char *fixture_path(const Fixture *f, const char *name) {
    static char buffers[8][256];
    static unsigned next;
    char *buffer = buffers[next++ % 8];
    (void)snprintf(buffer, sizeof(buffers[0]), "%s/%s", f->folder, name);
    return buffer;
}

void fixture_write(const Fixture *f, const char *name, const char *text, unsigned mode) {
    const char *path = fixture_path(f, name);
    CLEANUP_CLOSE int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, mode);
    size_t n = strlen(text);
    if (fd < 0 || write(fd, text, n) != (ssize_t)n || fchmod(fd, mode) < 0) {
        perror(path);
        abort();
    }
}

int fixture_load(Fixture *f, const char *name) {
    forget(f);
    f->result = config_load(fixture_path(f, name), &f->context, &f->diags, &f->config);
    return f->result;
}

int fixture_load_text(Fixture *f, const char *text) {
    fixture_write(f, "test.yaml", text, 0644);
    return fixture_load(f, "test.yaml");
}

int fixture_load_service(Fixture *f, const char *service) {
    char text[8192];
    (void)snprintf(text, sizeof(text), "version: 1\nservices:\n  s:\n    exec: [mp-echo]\n    user: %s\n%s\n",
                   f->context.euid == 0 ? "root" : "self", service);
    return fixture_load_text(f, text);
}

bool fixture_has(const Fixture *f, DiagCode code, const char *message) {
    for (size_t i = 0; i < f->diags.n; i++)
        if (f->diags.items[i].code == code && strstr(f->diags.items[i].message, message))
            return true;
    return false;
}

const char *fixture_codes(const Fixture *f) {
    static char codes[1024];
    size_t n = 0;
    codes[0] = '\0';
    for (size_t i = 0; i < f->diags.n && n < sizeof(codes) - 32; i++)
        n += (size_t)snprintf(codes + n, sizeof(codes) - n, "%s%s%s", i > 0 ? " " : "",
                              f->diags.items[i].severity == DIAG_WARNING ? "~" : "",
                              diag_code_to_string(f->diags.items[i].code));
    return codes;
}

static bool says(const Fixture *f, const char *text) {
    for (size_t i = 0; i < f->diags.n; i++)
        if (strstr(f->diags.items[i].message, text) || strstr(f->diags.items[i].hint, text))
            return true;
    return false;
}

void fixture_expect(const Fixture *f, const char *what, const char *codes, const char *text) {
    int result = f->diags.n_errors > 0 ? -EINVAL : 0;
    if (f->result == result && streq(fixture_codes(f), codes) && (!text || says(f, text)))
        return;
    CLEANUP_TEXT Text shown = {0};
    diag_list_format(&f->diags, NULL, &shown);
    fail_msg("%s\ngave %d \"%s\", not \"%s\" with \"%s\":\n%s", what, f->result, fixture_codes(f), codes,
             text ? text : "", shown.s ? shown.s : "");
}

ServiceConfig *fixture_service(const Fixture *f, const char *what, const char *name) {
    fixture_expect(f, what, "", NULL);
    ServiceConfig *s = config_find(f->config, name);
    assert_non_null(s);
    return s;
}
