/* SPDX-License-Identifier: MIT */
#pragma once
/* Inside of the YAML reader: the file that owns the tree, and the parser that builds it. */
#include <yaml.h>

#include "conf/yaml-text.h"
#include "conf/yaml.h"

/* A node with what only the parser needs to know of it. */
typedef struct YamlItem {
    YamlNode node;
    size_t weight;   /* events that it stands for, aliases counted expanded */
    unsigned height; /* levels of collections in it, itself included */
    bool open;       /* its end has not come: an alias to it would be a circle */
    bool merge_key;  /* `<<` */
} YamlItem;

typedef struct YamlChunk YamlChunk;

struct YamlFile {
    char *name;
    YamlText text;
    YamlChunk *chunks; /* the arena of all nodes */
    const YamlNode *root;
};

/* @n bytes of zeros that live as long as @f, or NULL. */
void *yaml_alloc(YamlFile *f, size_t n);

/* A collection that is being read: its nodes so far; of a mapping key and value in turn. */
typedef struct YamlFrame {
    YamlItem *item;
    YamlItem **nodes; /* owned by the parser, used again by the next one at this depth */
    size_t n, cap;
} YamlFrame;

typedef struct YamlParser {
    YamlFile *file;
    YamlBudget *budget;
    YamlLookup lookup;
    void *userdata;
    DiagList *diags;
    yaml_parser_t libyaml;
    YamlFrame frames[YAML_DEPTH_MAX];
    size_t depth;
    size_t events;
    size_t expanded; /* bytes that expansion has made */
    size_t documents;
    YamlCursor cursor;
    void *anchors; /* a tsearch(3) tree of YamlAnchor */
    size_t n_anchors;
    yaml_mark_t quote, quote_end; /* the last quoted scalar, for who forgot to close it */
    bool finished;
} YamlParser;

#define YAML_CORE_TAG "tag:yaml.org,2002:"

/* The steps of reading an event: 0, -EINVAL with an error told that ends the reading, or -ENOMEM. */

/* Takes @weight events from the budgets. */
int yaml_spend(YamlParser *p, size_t weight, const yaml_mark_t *mark);
/* A node for @event: placed, anchored, its tag looked at; NULL when memory runs out. */
YamlItem *yaml_item_new(YamlParser *p, const yaml_event_t *event, YamlKind kind);
/* Gives @item to the collection that is open, or makes it the root. */
int yaml_item_add(YamlParser *p, YamlItem *item);
int yaml_on_scalar(YamlParser *p, const yaml_event_t *event);
/* Tells of a limit that ends the reading; -EINVAL. */
int yaml_refuse(YamlParser *p, const yaml_mark_t *mark, const char *hint, const char *message);

/* Whether the next node is a mapping's key. */
bool yaml_key_is_next(YamlParser *p);
/* The tag that was written before the node, or NULL. */
const char *yaml_tag_of(const yaml_event_t *event);
/* A copy in the arena, or NULL. */
char *yaml_keep_text(YamlParser *p, const char *s, size_t n);

/* Turns the nodes of @frame into the pairs of its mapping: keys checked, duplicates told, `<<` merged. 0 or
 * -ENOMEM. */
int yaml_mapping_finish(YamlParser *p, YamlFrame *frame);

/* Adds an error at a place of the file that is being read. */
void yaml_error_at(YamlParser *p, const DiagPos *pos, DiagCode code, const char *hint, const char *format,
                   ...) __attribute__((format(printf, 5, 6)));
/* Tells in our words what libyaml complains of. */
void yaml_translate_problem(YamlParser *p);
