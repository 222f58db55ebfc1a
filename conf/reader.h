/* SPDX-License-Identifier: MIT */
#pragma once
/* One load under way: its context, the files read so far and the diagnostics; for the parts of the reader
 * (conf/). */
#include "conf/diag.h"
#include "conf/load.h"
#include "conf/yaml.h"

typedef struct Reader {
    const LoadContext *context;
    DiagList *diags;
    YamlFile **files; /* owned; the main file is the first */
    char **names;     /* of the files, in their order: what the Config takes over */
    size_t n_files;
    YamlBudget budget;
    struct Lookups *lookups;   /* owned */
    struct RuleBook *rules;    /* owned */
    struct Seccomp *seccomp;   /* owned */
    struct Interned *interned; /* what services have in common; owned */
    bool quiet;                /* report nothing: what is read was judged before */
    bool no_memory;            /* sticky */
} Reader;

/* Adds a diagnostic at @node, of whichever file it is. */
void reader_diag(Reader *r, const YamlNode *node, DiagSeverity severity, DiagCode code, const char *hint,
                 const char *format, ...) __attribute__((format(printf, 6, 7)));
#define reader_error(r, node, code, hint, ...) reader_diag(r, node, DIAG_ERROR, code, hint, __VA_ARGS__)

/* Adds a diagnostic at @pos, with the excerpt of its line if it is in a file that was read; none where what
 * stands there was told to be wrong: what it would be, nobody knows. */
void reader_diag_at(Reader *r, const ConfigPos *pos, DiagSeverity severity, DiagCode code, const char *hint,
                    const char *message);
/* The place of @node, its file being the one of r->names. */
ConfigPos reader_pos(const Reader *r, const YamlNode *node);
/* Makes what a whole load needs; done with reader_done() in every case. Returns 0 or -ENOMEM. */
int reader_init(Reader *r, const LoadContext *context, DiagList *diags);
void reader_done(Reader *r);
#define CLEANUP_READER CLEANUP(reader_done)
