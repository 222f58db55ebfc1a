/* SPDX-License-Identifier: MIT */
#include "conf/preset.h"

#include <stdlib.h>
#include <string.h>

#include "conf/decode.h"
#include "conf/field.h"
#include "conf/key-reference.h"
#include "conf/path.h"

#define SECCOMP_BASIC                                                                                        \
    "~@clock ~@cpu-emulation ~@debug ~@keyring ~@module ~@mount ~@namespaces ~@obsolete ~@raw-io ~@reboot "  \
    "~@swap ~bpf ~userfaultfd"

static const PresetRow rows[] = {
    {"sandbox.capabilities", {NULL, "", ""}},
    {"sandbox.seccomp", {NULL, SECCOMP_BASIC, "@service"}},
    {"sandbox.network", {NULL, NULL, "none"}},
    {"sandbox.read_only", {NULL, "-/usr -/boot -/efi -/etc", "/"}},
    {"sandbox.hidden", {NULL, NULL, "-/home -/root -/run/user"}},
    {"sandbox.private_tmp", {NULL, "true", "true"}},
    {"sandbox.private_users", {NULL, NULL, "true"}},
    {"sandbox.private_pids", {NULL, NULL, "true"}},
    {"sandbox.private_ipc", {NULL, "true", "true"}},
    {"sandbox.devices", {NULL, "minimal", "minimal"}},
};

const PresetRow *preset_row(size_t i) {
    return i < ELEMENTS(rows) ? &rows[i] : NULL;
}

static bool row_gives(const ServiceConfig *s, const PresetRow *row) {
    return row->values[s->sandbox->preset] && !service_origin(s, row->key);
}

int preset_apply(ServiceConfig *s) {
    for (size_t i = 0; s->sandbox && i < ELEMENTS(rows); i++) {
        const Key *key = schema_find(KEY_SCOPE_SERVICE, rows[i].key);
        if (row_gives(s, &rows[i]) && field_set_text(key, rows[i].values[s->sandbox->preset], s) < 0)
            return -ENOMEM;
    }
    return 0;
}

bool preset_gives(const ServiceConfig *s, const Key *key) {
    for (size_t i = 0; s->sandbox && key->scope == KEY_SCOPE_SERVICE && i < ELEMENTS(rows); i++)
        if (streq(rows[i].key, key->path))
            return row_gives(s, &rows[i]);
    return false;
}

void preset_unhide(ServiceConfig *s, const char *own) {
    if (!own || !s->sandbox || !s->sandbox->hidden || service_origin(s, "sandbox.hidden"))
        return;
    char **to = s->sandbox->hidden;
    for (char **v = to; *v; v++) {
        if (path_is_below(own, path_of_item(*v)))
            free(*v);
        else
            *to++ = *v;
    }
    *to = NULL;
}

/* "[a, b]" of a list, a single value as it is. */
static void add_value(const Key *key, const char *value, Text *out) {
    bool list = key->type == KEY_LIST || key->type == KEY_PATHS;
    text_add(out, list ? "[" : "");
    for (const char *s = value; *s;) {
        size_t n = strcspn(s, " ");
        CLEANUP_TEXT Text word = {0};
        text_add_n(&word, s, n);
        reference_add_plain(word.s ? word.s : "", out);
        s += n + strspn(s + n, " ");
        text_add(out, *s ? ", " : "");
    }
    text_add(out, list ? "]" : "");
}

void preset_reference_format(Text *out) {
    for (SandboxPreset preset = SANDBOX_NONE + 1; preset < _SANDBOX_PRESET_MAX; preset++) {
        text_addf(out, "*%s*\n", sandbox_preset_to_string(preset));
        for (size_t i = 0; i < ELEMENTS(rows); i++) {
            const Key *key = schema_find(KEY_SCOPE_SERVICE, rows[i].key);
            if (!rows[i].values[preset])
                continue;
            text_addf(out, "\t- *");
            reference_add_plain(schema_leaf(key), out);
            text_add(out, "*: ");
            add_value(key, rows[i].values[preset], out);
            text_addc(out, '\n');
        }
        text_addc(out, '\n');
    }
}
