/* SPDX-License-Identifier: MIT */
/* From the tables of methods.c to Varlink's interface definition language, in the subset that the strictest
 * parser seen (systemd's) takes: no empty structs as types, no nested arrays, no trailing commas. */
#include <string.h>

#include "ctl/proto/methods.h"

static const char *short_name(const char *qualified) {
    return strrchr(qualified, '.') + 1;
}

static void add_doc(Text *out, const char *indent, const char *doc) {
    if (doc)
        text_addf(out, "%s# %s\n", indent, doc);
}

/* A list of fields in parentheses; on a line each where one of them has something to say. */
static void add_fields(Text *out, const ApiField *fields) {
    bool lines = false;
    for (const ApiField *f = fields; f->name; f++)
        lines = lines || f->doc;
    text_addc(out, '(');
    for (const ApiField *f = fields; f->name; f++) {
        text_add(out, f == fields ? "" : lines ? "," : ", ");
        if (lines)
            text_addc(out, '\n');
        add_doc(out, "  ", f->doc);
        text_addf(out, "%s%s: %s", lines ? "  " : "", f->name, streq(f->type, "scalar") ? "object" : f->type);
    }
    text_add(out, lines ? "\n)" : ")");
}

static void add_words(Text *out, const ApiType *type) {
    text_addc(out, '(');
    const char *word;
    for (size_t i = 0; (word = type->word(i)); i++)
        text_addf(out, "%s%s%s", i > 0 ? ", " : "", word, type->counters ? ": int" : "");
    text_addc(out, ')');
}

static void add_types(Text *out) {
    const ApiType *type;
    for (size_t i = 0; (type = api_type(i)); i++) {
        text_addc(out, '\n');
        add_doc(out, "", type->doc);
        text_addf(out, "type %s ", type->name);
        if (type->word)
            add_words(out, type);
        else
            add_fields(out, type->fields);
        text_addc(out, '\n');
    }
}

void api_interface_describe(Text *out, const char *interface) {
    bool control = streq(interface, INTERFACE_CONTROL);
    add_doc(out, "", control ? "Watches and steers mpinetd." : "What every Varlink service answers.");
    text_addf(out, "interface %s\n", interface);
    if (control)
        add_types(out);
    for (Method m = 0; m < _METHOD_MAX; m++) {
        const ApiMethod *method = api_method(m);
        if (!streq(method->interface, interface))
            continue;
        text_addc(out, '\n');
        add_doc(out, "", method->doc);
        if (method->access == METHOD_CHANGES)
            add_doc(out, "", "For root, the daemon's own user, and control.manage.");
        text_addf(out, "method %s", short_name(method->name));
        add_fields(out, method->in);
        text_add(out, " -> ");
        add_fields(out, method->out);
        text_addc(out, '\n');
    }
    const ApiErrorRow *row;
    for (size_t e = 0; (row = api_error(e)); e++) {
        if (!streq(row->interface, interface))
            continue;
        text_addc(out, '\n');
        add_doc(out, "", row->doc);
        text_addf(out, "error %s ", short_name(row->name));
        add_fields(out, row->fields);
        text_addc(out, '\n');
    }
}
