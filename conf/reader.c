/* SPDX-License-Identifier: MIT */
#include "conf/reader.h"

#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include "conf/interned.h"
#include "conf/lookups.h"
#include "conf/rule-book.h"
#include "conf/seccomp.h"

/* Nodes name their file by one string for all of them, so comparing pointers will do; a position that has
 * outlived its reader is compared by text. */
static size_t find_file(const Reader *r, const char *name) {
    for (size_t i = 0; i < r->n_files; i++)
        if (yaml_file_name(r->files[i]) == name || r->names[i] == name)
            return i;
    for (size_t i = 0; i < r->n_files; i++)
        if (name && streq(r->names[i], name))
            return i;
    return SIZE_MAX;
}

void reader_diag(Reader *r, const YamlNode *node, DiagSeverity severity, DiagCode code, const char *hint,
                 const char *format, ...) {
    if (!r || r->quiet)
        return;
    char message[1024];
    va_list ap;
    va_start(ap, format);
    (void)vsnprintf(message, sizeof(message), format, ap);
    va_end(ap);
    size_t i = find_file(r, node->pos.file);
    if (i != SIZE_MAX)
        yaml_diag(r->files[i], node, r->diags, severity, code, hint, "%s", message);
    else
        diag_add(r->diags, severity, code, &node->pos, NULL, hint, "%s", message);
}

void reader_diag_at(Reader *r, const ConfigPos *pos, DiagSeverity severity, DiagCode code, const char *hint,
                    const char *message) {
    CLEANUP_FREE char *excerpt = NULL;
    if (pos->faulty)
        return;
    size_t i = find_file(r, pos->file);
    if (i != SIZE_MAX && pos->line > 0) {
        size_t n = 0;
        const char *line = yaml_file_line(r->files[i], pos->line, &n);
        excerpt = line ? strndup(line, n) : NULL;
    }
    DiagPos at = {.file = pos->file, .line = pos->line, .column = pos->column, .end_column = pos->end_column};
    diag_add(r->diags, severity, code, &at, excerpt, hint, "%s", message);
}

int reader_init(Reader *r, const LoadContext *context, DiagList *diags) {
    *r = (Reader){
        .context = context,
        .diags = diags,
        .lookups = lookups_new(),
        .rules = rule_book_new(),
        .seccomp = seccomp_new(),
        .interned = interned_new(),
    };
    return r->lookups && r->rules && r->seccomp && r->interned ? 0 : -ENOMEM;
}

ConfigPos reader_pos(const Reader *r, const YamlNode *node) {
    size_t i = find_file(r, node->pos.file);
    return (ConfigPos){
        .file = i != SIZE_MAX ? r->names[i] : NULL,
        .line = node->pos.line,
        .column = node->pos.column,
        .end_column = node->pos.end_column,
        .faulty = node->faulty,
    };
}

void reader_done(Reader *r) {
    for (size_t i = 0; i < r->n_files; i++)
        yaml_file_free(r->files[i]);
    free((void *)r->files);
    strv_free(r->names);
    lookups_free(r->lookups);
    rule_book_free(r->rules);
    seccomp_free(r->seccomp);
    if (r->interned)
        interned_finish(r->interned);
    interned_unref(r->interned);
    *r = (Reader){0};
}
