/* SPDX-License-Identifier: MIT */
#pragma once
/* The one place that knows libyaml: a file's text becomes a tree of nodes with their places. Aliases are
 * expanded (shared, counted), merge keys `<<` resolved, keys checked for duplicates; bounded in every way. */
#include <stdbool.h>
#include <stddef.h>

#include "conf/diag.h"

typedef enum YamlKind {
    YAML_NULL, /* nothing stands there: "key:" or "~" */
    YAML_SCALAR,
    YAML_SEQUENCE,
    YAML_MAPPING,
} YamlKind;

typedef struct YamlNode YamlNode;

typedef struct YamlPair {
    YamlNode *key; /* always a scalar */
    YamlNode *value;
    bool merged; /* came in by `<<`: a key of the mapping itself takes its place without complaint */
} YamlPair;

struct YamlNode {
    YamlKind kind;
    bool faulty;      /* what is wrong with it was told: yaml_diag() says no more of it */
    bool quoted;      /* scalar: in ' or ", or a block scalar */
    const char *text; /* scalar: NUL-terminated, no NUL within, ${…} expanded when that was asked for */
    DiagPos pos;      /* scalar: its text; collections: their first character */
    size_t n;
    union {
        YamlNode **items; /* sequence */
        YamlPair *pairs;  /* mapping, in the order written */
    };
};

/* Counted over all files of one load; start it as {0}. */
typedef struct YamlBudget {
    size_t events;
    size_t files;
} YamlBudget;

#define YAML_FILE_MAX ((size_t)1 << 20)
#define YAML_DEPTH_MAX 32
#define YAML_FILE_EVENTS_MAX 200000 /* aliases counted expanded */
#define YAML_EVENTS_MAX 1000000
#define YAML_FILES_MAX 512

/* One file's tree with its text, which owns every node. */
typedef struct YamlFile YamlFile;

/* Looks @name up for ${name}; NULL when it is not set. */
typedef const char *(*YamlLookup)(const char *name, void *userdata);

/* Parses @text (@n bytes, any bytes) of the file shown as @name. ${VAR} is expanded in scalar values (not
 * keys) by @lookup, if it is given. What is wrong goes to @diags; returns 0 with a file (its root NULL when
 * the document is empty), -EINVAL when there is no tree worth looking at, -ENOMEM. A file with errors in it
 * may still come back, so that more errors can be found: look at diags->n_errors. */
int yaml_parse(const char *name, const char *text, size_t n, YamlBudget *budget, YamlLookup lookup,
               void *userdata, DiagList *diags, YamlFile **ret);
YamlFile *yaml_file_free(YamlFile *f); /* returns NULL */
const YamlNode *yaml_file_root(const YamlFile *f);
const char *yaml_file_name(const YamlFile *f);

/* The value of @key in mapping @node, or NULL. */
const YamlNode *yaml_get(const YamlNode *node, const char *key);

/* Adds a diagnostic at @node (its excerpt comes from the file the node is of). */
void yaml_diag(const YamlFile *f, const YamlNode *node, DiagList *diags, DiagSeverity severity, DiagCode code,
               const char *hint, const char *format, ...) __attribute__((format(printf, 7, 8)));
/* The text of line @line (1-based) of @f up to its newline, for an excerpt; NULL past the end. Borrowed, not
 * NUL-terminated there: the length goes to @ret_n. */
const char *yaml_file_line(const YamlFile *f, unsigned line, size_t *ret_n);
