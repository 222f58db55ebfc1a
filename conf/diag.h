/* SPDX-License-Identifier: MIT */
#pragma once
/* Diagnostics: what is wrong in a config, where, and what to do. Collected, all of them, then shown. */
#include <stdbool.h>
#include <stddef.h>

#include "daemon/base/strtab.h"
#include "daemon/base/text.h"

typedef enum DiagCode {
    DIAG_YAML,
    DIAG_UNKNOWN_KEY,
    DIAG_FOREIGN_KEY,
    DIAG_DUPLICATE_KEY,
    DIAG_WRONG_TYPE,
    DIAG_BAD_VALUE,
    DIAG_OUT_OF_RANGE,
    DIAG_MISSING_KEY,
    DIAG_CONFLICT,
    DIAG_NOT_FOUND,
    DIAG_NOT_ALLOWED,
    DIAG_LIMIT,
    _DIAG_CODE_MAX,
} DiagCode;

/* "yaml", "unknown-key", … as the contract names them. */
DECLARE_STRTAB(diag_code, DiagCode);

typedef enum DiagSeverity {
    DIAG_ERROR,
    DIAG_WARNING,
    _DIAG_SEVERITY_MAX,
} DiagSeverity;

DECLARE_STRTAB(diag_severity, DiagSeverity); /* "error", "warning" */

/* A place in a file; line and columns are 1-based, columns counted in characters. end_column is one past the
 * last character marked (column + 1 at least). line 0: no place, and a diagnostic has no columns then. */
typedef struct DiagPos {
    const char *file; /* borrowed */
    unsigned line;
    unsigned column;
    unsigned end_column;
} DiagPos;

typedef struct Diag {
    DiagSeverity severity;
    DiagCode code;
    char *file; /* "" when it belongs to no file */
    unsigned line, column, end_column;
    char *message; /* "unknown key 'per_sorce' in limits" */
    char *hint;    /* "did you mean 'per_source'?", or "" */
    char *excerpt; /* the line of the file, for the caret; "" when not known */
    char *key;     /* "access.allow": of a service, what it is about; NULL: not known */
} Diag;

void diag_done(Diag *d);

typedef struct DiagList {
    Diag *items;
    size_t n;
    size_t n_errors;
    size_t n_dropped; /* errors past the bound of the list (1,000) */
} DiagList;

void diag_list_done(DiagList *l);
#define CLEANUP_DIAGS CLEANUP(diag_list_done)

/* Adds one; @hint may be NULL; @excerpt is the text of the line (borrowed, up to its newline) or NULL. A
 * second warning of the same code at the same place is not added. Memory that runs out loses the text but
 * still counts the error. */
void diag_add(DiagList *l, DiagSeverity severity, DiagCode code, const DiagPos *pos, const char *excerpt,
              const char *hint, const char *format, ...) __attribute__((format(printf, 7, 8)));
/* Those from the @first-th on are about @key, unless it is known better. */
void diag_list_about(DiagList *l, size_t first, const char *key);
/* Copies all of @from to the end of @to. */
void diag_list_copy(DiagList *to, const DiagList *from);
/* Moves all of @from to the end of @to. */
void diag_list_move(DiagList *to, DiagList *from);

/* "FILE:L:C: error: message [code]\n" and, where there is an excerpt, the line and the caret with the hint,
 * each ended by a newline; what comes from the file is escaped. */
void diag_format(const Diag *d, Text *out);
/* The first 20 in full, then "… and N more errors", then the count: "3 errors in 2 files". @tail is appended
 * to the count's line after "; " if not NULL ("generation 7 stays in force"). Nothing for an empty list. */
void diag_list_format(const DiagList *l, const char *tail, Text *out);
/* The same without an excerpt, on one line: for logs and last_error. */
void diag_format_line(const Diag *d, Text *out);
