/* SPDX-License-Identifier: MIT */
/* Run by the build: prints what is made from the key table. `gen-keys schema` prints the JSON Schema,
 * `gen-keys man FILE` the manual page's source, FILE with its lines @KEYS@, @DIAGNOSTICS@, @PRESETS@ and
 * @SECCOMP_SETS@, and
 * @SYSCONFDIR@ anywhere, replaced. */
#include <stdio.h>
#include <string.h>

#include "build-config.h"
#include "conf/json-schema.h"
#include "conf/key-reference.h"
#include "conf/preset.h"
#include "daemon/base/text.h"

#define FOLDER "@SYSCONFDIR@"

static void add_line(const char *line, Text *out) {
    for (const char *at; (at = strstr(line, FOLDER)); line = at + strlen(FOLDER)) {
        text_add_n(out, line, (size_t)(at - line));
        text_add(out, MP_SYSCONFDIR);
    }
    text_add(out, line);
}

static int fill_template(const char *path, Text *out) {
    CLEANUP_FCLOSE FILE *f = fopen(path, "re");
    char line[1024];
    if (!f)
        return -errno;
    while (fgets(line, sizeof(line), f)) {
        if (streq(line, "@KEYS@\n"))
            key_reference_format(out);
        else if (streq(line, "@DIAGNOSTICS@\n"))
            diagnostics_reference_format(out);
        else if (streq(line, "@PRESETS@\n"))
            preset_reference_format(out);
        else if (streq(line, "@SECCOMP_SETS@\n"))
            seccomp_reference_format(out);
        else
            add_line(line, out);
    }
    return ferror(f) ? -EIO : 0;
}

int main(int argc, char **argv) {
    CLEANUP_TEXT Text out = {0};
    int r;
    if (argc == 2 && streq(argv[1], "schema")) {
        r = json_schema_format(&out);
    } else if (argc == 3 && streq(argv[1], "man")) {
        r = fill_template(argv[2], &out);
    } else {
        (void)fputs("usage: gen-keys schema | gen-keys man FILE\n", stderr);
        return 2;
    }
    if (r < 0 || !text_ok(&out) || fputs(out.s ? out.s : "", stdout) < 0 || fflush(stdout) != 0) {
        (void)fprintf(stderr, "gen-keys: %s\n", r < 0 ? strerror(-r) : "cannot write");
        return 1;
    }
    return 0;
}
