/* SPDX-License-Identifier: MIT */
#include "conf/key-reference.h"

#include <string.h>

#include "conf/diag.h"
#include "conf/field.h"
#include "conf/schema.h"
#include "conf/seccomp-sets.h"

static const char *const scope_titles[] = {
    [KEY_SCOPE_FILE] = "KEYS OF THE FILE",
    [KEY_SCOPE_SERVICE] = "KEYS OF A SERVICE",
    [KEY_SCOPE_LISTEN] = "OPTIONS OF AN ENDPOINT",
};

void reference_add_plain(const char *s, Text *out) {
    for (; *s; s++) {
        if (strchr("\\*_`#<>~|", *s))
            text_addc(out, '\\');
        text_addc(out, *s);
    }
}

static void add_words(const Key *key, Text *out) {
    char word[32];
    for (size_t i = 0; schema_word(key, i, word); i++) {
        text_add(out, i > 0 ? ", " : "");
        text_addc(out, '*');
        reference_add_plain(word, out);
        text_addc(out, '*');
    }
}

static void add_type(const Key *key, Text *out) {
    CLEANUP_TEXT Text range = {0};
    if (key->type == KEY_WORD) {
        add_words(key, out);
    } else {
        reference_add_plain(schema_type_name(key->type), out);
        schema_range_format(key, &range);
        if (range.s)
            text_addf(out, ", %s", range.s);
        if (key->flags & KEY_OR_NONE)
            text_add(out, ", or *none*");
    }
    text_add(out, ". ");
    if (key->flags & KEY_REQUIRED) {
        text_add(out, "It must be given.");
    } else if (key->standard || key->standard_note) {
        text_add(out, "Default: ");
        reference_add_plain(key->standard ? key->standard : key->standard_note, out);
        text_addc(out, '.');
    }
    text_addc(out, '\n');
}

static void add_fits(const Key *key, Text *out) {
    CLEANUP_TEXT Text names = {0};
    if (key->models != 0)
        schema_models_format(key->models, &names);
    else if (key->kinds != 0)
        schema_kinds_format(key->kinds, &names);
    if (!names.s)
        return;
    text_addf(out, "\tOnly for %s", key->models != 0 ? "model " : "");
    reference_add_plain(names.s, out);
    text_add(out, ".\n");
}

static void add_key(const Key *key, Text *out) {
    char label[64];
    field_label(key, label);
    text_addc(out, '*');
    reference_add_plain(label, out);
    text_add(out, "*\n\t");
    reference_add_plain(key->help, out);
    text_add(out, ".\n");
    if (key->more) {
        text_addc(out, '\t');
        reference_add_plain(key->more, out);
        text_addc(out, '\n');
    }
    text_add(out, "\n\t");
    add_type(key, out);
    add_fits(key, out);
    text_addc(out, '\n');
}

void key_reference_format(Text *out) {
    for (KeyScope scope = 0; scope < _KEY_SCOPE_MAX; scope++) {
        text_addf(out, "# %s\n\n", scope_titles[scope]);
        for (size_t i = 0; i < schema_n_keys(); i++) {
            const Key *key = schema_key(i);
            if (key->scope == scope && key->type != KEY_SECTION)
                add_key(key, out);
        }
    }
}

static const char *const code_help[_DIAG_CODE_MAX] = {
    [DIAG_YAML] = "The text is not YAML, or uses something of YAML that is not taken here.",
    [DIAG_UNKNOWN_KEY] = "There is no such key.",
    [DIAG_FOREIGN_KEY] =
        "The key is a word of xinetd, systemd, compose or the like; the line to write is shown.",
    [DIAG_DUPLICATE_KEY] = "A key, or a service, is there twice; the other place is shown.",
    [DIAG_WRONG_TYPE] = "A list stands where a value should be, or the like.",
    [DIAG_BAD_VALUE] = "The value is not one that the key takes.",
    [DIAG_OUT_OF_RANGE] = "The value is too small or too large.",
    [DIAG_MISSING_KEY] = "A key that must be there is not.",
    [DIAG_CONFLICT] =
        "Two keys, or two endpoints, do not go together; or a key does not fit the service's model.",
    [DIAG_NOT_FOUND] = "A program, user, group, directory or file does not exist.",
    [DIAG_NOT_ALLOWED] = "It exists, but may not be used so.",
    [DIAG_LIMIT] = "A file or a list is larger than what is taken.",
};

void diagnostics_reference_format(Text *out) {
    for (DiagCode code = 0; code < _DIAG_CODE_MAX; code++)
        text_addf(out, "*%s*\n\t%s\n\n", diag_code_to_string(code), code_help[code]);
}

void seccomp_reference_format(Text *out) {
    const SeccompSet *set;
    for (size_t i = 0; (set = seccomp_set(i)); i++) {
        text_addf(out, "*%s*\n\t", set->name);
        reference_add_plain(set->help, out);
        text_add(out, ":");
        for (const char *const *name = set->calls; *name; name++) {
            text_add(out, name == set->calls ? " " : ", ");
            reference_add_plain(*name, out);
        }
        text_add(out, ".\n\n");
    }
}
