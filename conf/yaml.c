/* SPDX-License-Identifier: MIT */
#include "conf/yaml.h"

#include <errno.h>
#include <search.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "conf/suggest.h"
#include "conf/yaml-parser.h"
#include "daemon/base/text.h"

/* Names are only suggested among so many, and for so many errors: the search is linear. */
#define SUGGEST_ANCHORS_MAX 100
#define SUGGEST_ERRORS_MAX 20

typedef struct YamlAnchor {
    const char *name;
    YamlItem *item;
} YamlAnchor;

static int compare_anchors(const void *a, const void *b) {
    return strcmp(((const YamlAnchor *)a)->name, ((const YamlAnchor *)b)->name);
}

static void keep_anchor(void *anchor) {
    (void)anchor; /* it lives in the arena */
}

void yaml_error_at(YamlParser *p, const DiagPos *pos, DiagCode code, const char *hint, const char *format,
                   ...) {
    CLEANUP_FREE char *message = NULL;
    va_list ap;
    va_start(ap, format);
    if (vasprintf(&message, format, ap) < 0)
        message = NULL;
    va_end(ap);
    diag_add(p->diags, DIAG_ERROR, code, pos, yaml_text_line_start(&p->file->text, pos->line), hint, "%s",
             message ? message : "");
}

static DiagPos pos_of_mark(const YamlParser *p, const yaml_mark_t *mark) {
    return (DiagPos){
        .file = p->file->name,
        .line = (unsigned)mark->line + 1,
        .column = (unsigned)mark->column + 1,
        .end_column = (unsigned)mark->column + 2,
    };
}

/* An error that ends the reading. */
int yaml_refuse(YamlParser *p, const yaml_mark_t *mark, const char *hint, const char *message) {
    DiagPos pos = pos_of_mark(p, mark);
    yaml_error_at(p, &pos, DIAG_LIMIT, hint, "%s", message);
    return -EINVAL;
}

/* Takes @weight events from the budgets. */
int yaml_spend(YamlParser *p, size_t weight, const yaml_mark_t *mark) {
    p->events += weight;
    p->budget->events += weight;
    if (p->events > YAML_FILE_EVENTS_MAX)
        return yaml_refuse(p, mark, "split the file; what an alias stands for counts each time",
                           "there is more in this file than 200000 keys, values and brackets");
    if (p->budget->events > YAML_EVENTS_MAX)
        return yaml_refuse(p, mark, "what an alias stands for counts each time",
                           "there is more in all files together than 1000000 keys, values and brackets");
    return 0;
}

/* Where a node begins that has an anchor or a tag: behind those, when it is on the same line. */
static unsigned skip_properties(YamlParser *p, const yaml_mark_t *mark) {
    const char *start = yaml_text_seek(&p->file->text, &p->cursor, mark->index), *s = start;
    while (*s == '&' || *s == '!') {
        s += strcspn(s, " \t\r\n,[]{}");
        s += strspn(s, " \t");
    }
    bool nothing = *s == '\0' || strchr("\r\n#,]}", *s) != NULL;
    return nothing ? 0 : (unsigned)utf8_length(start, (size_t)(s - start));
}

static DiagPos pos_of_node(YamlParser *p, const yaml_event_t *event, bool properties) {
    const yaml_mark_t *start = &event->start_mark, *end = &event->end_mark;
    DiagPos pos = pos_of_mark(p, start);
    if (properties)
        pos.column += skip_properties(p, start);
    if (end->line == start->line && end->column >= pos.column)
        pos.end_column = (unsigned)end->column + 1;
    if (pos.end_column <= pos.column)
        pos.end_column = pos.column + 1;
    return pos;
}

static const char *anchor_of(const yaml_event_t *event) {
    if (event->type == YAML_SCALAR_EVENT)
        return (const char *)event->data.scalar.anchor;
    if (event->type == YAML_SEQUENCE_START_EVENT)
        return (const char *)event->data.sequence_start.anchor;
    return (const char *)event->data.mapping_start.anchor;
}

const char *yaml_tag_of(const yaml_event_t *event) {
    if (event->type == YAML_SCALAR_EVENT)
        return (const char *)event->data.scalar.tag;
    if (event->type == YAML_SEQUENCE_START_EVENT)
        return (const char *)event->data.sequence_start.tag;
    return (const char *)event->data.mapping_start.tag;
}

static YamlFrame *top(YamlParser *p) {
    return p->depth > 0 ? &p->frames[p->depth - 1] : NULL;
}

bool yaml_key_is_next(YamlParser *p) {
    const YamlFrame *frame = top(p);
    return frame && frame->item->node.kind == YAML_MAPPING && frame->n % 2 == 0;
}

/* Gives @item to the collection that is open, or makes it the root. */
int yaml_item_add(YamlParser *p, YamlItem *item) {
    YamlFrame *frame = top(p);
    if (!frame) {
        if (!p->file->root)
            p->file->root = &item->node;
        return 0;
    }
    if (frame->n == frame->cap) {
        size_t cap = frame->cap ? frame->cap * 2 : 16;
        YamlItem **nodes = (YamlItem **)realloc((void *)frame->nodes, cap * sizeof(YamlItem *));
        if (!nodes)
            return -ENOMEM;
        frame->nodes = nodes;
        frame->cap = cap;
    }
    frame->nodes[frame->n++] = item;
    frame->item->weight += item->weight;
    if (frame->item->height <= item->height)
        frame->item->height = item->height + 1;
    return 0;
}

char *yaml_keep_text(YamlParser *p, const char *s, size_t n) {
    char *copy = yaml_alloc(p->file, n + 1);
    if (copy && n > 0)
        memcpy(copy, s, n);
    return copy;
}

/* A later anchor of the same name takes the place of the earlier one, as YAML has it. */
static int add_anchor(YamlParser *p, const char *name, YamlItem *item) {
    YamlAnchor *anchor = yaml_alloc(p->file, sizeof(*anchor));
    if (!anchor)
        return -ENOMEM;
    *anchor = (YamlAnchor){.name = yaml_keep_text(p, name, strlen(name)), .item = item};
    if (!anchor->name)
        return -ENOMEM;
    YamlAnchor **found = (YamlAnchor **)tsearch(anchor, &p->anchors, compare_anchors);
    if (!found)
        return -ENOMEM;
    if (*found == anchor)
        p->n_anchors++;
    (*found)->item = item;
    return 0;
}

typedef struct TagRow {
    const char *tag;
    YamlKind kind;
} TagRow;

static bool tag_fits(const char *tag, YamlKind kind) {
    static const TagRow tags[] = {
        {"!", YAML_SCALAR},
        {YAML_CORE_TAG "str", YAML_SCALAR},
        {YAML_CORE_TAG "int", YAML_SCALAR},
        {YAML_CORE_TAG "float", YAML_SCALAR},
        {YAML_CORE_TAG "bool", YAML_SCALAR},
        {YAML_CORE_TAG "null", YAML_SCALAR},
        {YAML_CORE_TAG "merge", YAML_SCALAR},
        {YAML_CORE_TAG "seq", YAML_SEQUENCE},
        {YAML_CORE_TAG "map", YAML_MAPPING},
    };
    for (size_t i = 0; i < ELEMENTS(tags); i++)
        if (streq(tags[i].tag, tag) && tags[i].kind == kind)
            return true;
    return false;
}

static void complain_tag(YamlParser *p, const yaml_event_t *event, const char *tag) {
    static const struct {
        const char *tag;
        const char *hint;
    } foreign[] = {
        {"!include", "there is a key for it: include: [FILE]"},
        {"!env", "write ${VAR}"},
        {"!ENV", "write ${VAR}"},
        {"!env_var", "write ${VAR}"},
    };
    const char *hint = "leave it out; quote a value that begins with '!'";
    for (size_t i = 0; i < ELEMENTS(foreign); i++)
        if (streq(foreign[i].tag, tag))
            hint = foreign[i].hint;
    bool core = starts_with(tag, YAML_CORE_TAG);
    DiagPos pos = pos_of_mark(p, &event->start_mark);
    CLEANUP_TEXT Text shown = {0};
    text_add_escaped(&shown, tag + (core ? strlen(YAML_CORE_TAG) : 0),
                     strlen(tag) - (core ? strlen(YAML_CORE_TAG) : 0));
    yaml_error_at(p, &pos, DIAG_YAML, hint, "the tag '%s%.80s' cannot stand here", core ? "!!" : "",
                  shown.s ? shown.s : "");
}

/* A node for @event: placed, anchored, its tag looked at. */
YamlItem *yaml_item_new(YamlParser *p, const yaml_event_t *event, YamlKind kind) {
    const char *anchor = anchor_of(event), *tag = yaml_tag_of(event);
    YamlItem *item = yaml_alloc(p->file, sizeof(*item));
    if (!item)
        return NULL;
    item->node.kind = kind;
    item->node.pos = pos_of_node(p, event, anchor || tag);
    item->weight = kind == YAML_SCALAR ? 1 : 2;
    item->height = kind == YAML_SCALAR ? 0 : 1;
    item->open = kind != YAML_SCALAR;
    if (tag && !tag_fits(tag, kind)) {
        complain_tag(p, event, tag);
        item->node.faulty = kind == YAML_SCALAR;
    }
    return anchor && add_anchor(p, anchor, item) < 0 ? NULL : item;
}

static void suggest_anchor(const void *node, VISIT visit, void *userdata) {
    if (visit == postorder || visit == leaf)
        suggestion_offer(userdata, (*(const YamlAnchor *const *)node)->name);
}

static void complain_alias(YamlParser *p, const char *name, const DiagPos *pos) {
    Suggestion s = {.word = name};
    if (p->n_anchors <= SUGGEST_ANCHORS_MAX && p->diags->n < SUGGEST_ERRORS_MAX)
        twalk_r(p->anchors, suggest_anchor, &s);
    CLEANUP_TEXT Text hint = {0};
    if (s.best)
        text_addf(&hint, "did you mean '*%.60s'?", s.best);
    else
        text_add(&hint, "an anchor, &NAME, must stand before it; quote a value that begins with '*'");
    yaml_error_at(p, pos, DIAG_YAML, hint.s, "nothing before has the anchor '&%.60s'", name);
}

static int on_alias(YamlParser *p, const yaml_event_t *event) {
    const char *name = (const char *)event->data.alias.anchor;
    DiagPos pos = pos_of_node(p, event, false);
    YamlAnchor wanted = {.name = name};
    YamlAnchor **found = (YamlAnchor **)tfind(&wanted, &p->anchors, compare_anchors);
    YamlItem *item = found ? (*found)->item : NULL;
    if (item && !item->open) {
        int r = yaml_spend(p, item->weight, &event->start_mark);
        if (r < 0)
            return r;
        if (p->depth + item->height > YAML_DEPTH_MAX)
            return yaml_refuse(p, &event->start_mark, "",
                               "with what this alias stands for, there are more than 32 levels");
        return yaml_item_add(p, item);
    }
    if (item)
        yaml_error_at(p, &pos, DIAG_YAML, "an anchor can be used after the end of what it names",
                      "the alias '*%.60s' stands within what it names", name);
    else
        complain_alias(p, name, &pos);
    YamlItem *nothing = yaml_alloc(p->file, sizeof(*nothing));
    if (!nothing)
        return -ENOMEM;
    *nothing = (YamlItem){.node = {.kind = YAML_NULL, .faulty = true, .text = "", .pos = pos}, .weight = 1};
    int r = yaml_spend(p, 1, &event->start_mark);
    return r < 0 ? r : yaml_item_add(p, nothing);
}

static int open_collection(YamlParser *p, const yaml_event_t *event, YamlKind kind) {
    int r = yaml_spend(p, 2, &event->start_mark);
    if (r < 0)
        return r;
    if (p->depth == YAML_DEPTH_MAX)
        return yaml_refuse(p, &event->start_mark, "", "there are more than 32 levels of lists and mappings");
    YamlItem *item = yaml_item_new(p, event, kind);
    if (!item)
        return -ENOMEM;
    YamlFrame *frame = &p->frames[p->depth++];
    frame->item = item;
    frame->n = 0;
    return 0;
}

static int on_sequence(YamlParser *p, const yaml_event_t *event) {
    return open_collection(p, event, YAML_SEQUENCE);
}

static int on_mapping(YamlParser *p, const yaml_event_t *event) {
    return open_collection(p, event, YAML_MAPPING);
}

static int on_collection_end(YamlParser *p, const yaml_event_t *event) {
    (void)event;
    YamlFrame *frame = &p->frames[p->depth - 1];
    YamlItem *item = frame->item;
    if (item->node.kind == YAML_MAPPING) {
        int r = yaml_mapping_finish(p, frame);
        if (r < 0)
            return r;
    } else {
        item->node.items = yaml_alloc(p->file, frame->n * sizeof(YamlNode *));
        if (!item->node.items)
            return -ENOMEM;
        for (size_t i = 0; i < frame->n; i++)
            item->node.items[i] = &frame->nodes[i]->node;
        item->node.n = frame->n;
    }
    item->open = false;
    p->depth--;
    return yaml_item_add(p, item);
}

static int on_document(YamlParser *p, const yaml_event_t *event) {
    if (p->documents++ == 0)
        return 0;
    DiagPos pos = pos_of_mark(p, &event->start_mark);
    yaml_error_at(p, &pos, DIAG_YAML, "put it into a file of its own, for include:",
                  "a second document begins here: a file holds one");
    p->finished = true;
    return 0;
}

static int on_stream_end(YamlParser *p, const yaml_event_t *event) {
    (void)event;
    p->finished = true;
    return 0;
}

typedef int (*EventHandler)(YamlParser *p, const yaml_event_t *event);

static const EventHandler handlers[] = {
    [YAML_STREAM_END_EVENT] = on_stream_end,
    [YAML_DOCUMENT_START_EVENT] = on_document,
    [YAML_ALIAS_EVENT] = on_alias,
    [YAML_SCALAR_EVENT] = yaml_on_scalar,
    [YAML_SEQUENCE_START_EVENT] = on_sequence,
    [YAML_SEQUENCE_END_EVENT] = on_collection_end,
    [YAML_MAPPING_START_EVENT] = on_mapping,
    [YAML_MAPPING_END_EVENT] = on_collection_end,
};

static int read_events(YamlParser *p) {
    if (!yaml_parser_initialize(&p->libyaml))
        return -ENOMEM;
    yaml_parser_set_encoding(&p->libyaml, YAML_UTF8_ENCODING);
    yaml_parser_set_input_string(&p->libyaml, (const unsigned char *)p->file->text.s, p->file->text.n);
    int r = 0;
    while (r == 0 && !p->finished) {
        yaml_event_t event;
        if (!yaml_parser_parse(&p->libyaml, &event)) {
            if (p->libyaml.error == YAML_MEMORY_ERROR) {
                r = -ENOMEM;
            } else {
                yaml_translate_problem(p);
                r = -EINVAL;
            }
            break;
        }
        EventHandler handler = event.type < ELEMENTS(handlers) ? handlers[event.type] : NULL;
        if (handler)
            r = handler(p, &event);
        yaml_event_delete(&event);
    }
    yaml_parser_delete(&p->libyaml);
    for (size_t i = 0; i < ELEMENTS(p->frames); i++)
        free((void *)p->frames[i].nodes);
    tdestroy(p->anchors, keep_anchor);
    return r;
}

/* What can be said of a file before its first character is read as YAML. */
static int check_size(YamlParser *p, size_t n) {
    const DiagPos whole = {.file = p->file->name};
    if (++p->budget->files > YAML_FILES_MAX) {
        yaml_error_at(p, &whole, DIAG_LIMIT, "", "there are more than %d files", YAML_FILES_MAX);
        return -EINVAL;
    }
    if (n > YAML_FILE_MAX) {
        yaml_error_at(p, &whole, DIAG_LIMIT, "split it", "the file is larger than 1 MiB");
        return -EINVAL;
    }
    return 0;
}

static int read_file(YamlParser *p, const char *text, size_t n) {
    int r = check_size(p, n);
    if (r < 0)
        return r;
    YamlTextError error = {0};
    r = yaml_text_init(&p->file->text, text, n, &error);
    if (r == -EINVAL) {
        DiagPos pos = {p->file->name, error.line, error.column, error.column + 1};
        yaml_error_at(p, &pos, DIAG_YAML, error.hint, "%s", error.why);
    }
    if (r < 0)
        return r;
    r = read_events(p);
    if (r == 0 && p->file->root && p->file->root->kind == YAML_NULL)
        p->file->root = NULL;
    return r;
}

static int compare_places(const void *a, const void *b) {
    const Diag *x = a, *y = b;
    if (x->line != y->line)
        return x->line < y->line ? -1 : 1;
    return x->column < y->column ? -1 : x->column > y->column;
}

int yaml_parse(const char *name, const char *text, size_t n, YamlBudget *budget, YamlLookup lookup,
               void *userdata, DiagList *diags, YamlFile **ret) {
    YamlFile *file = calloc(1, sizeof(*file));
    YamlParser *p = calloc(1, sizeof(*p));
    CLEANUP_DIAGS DiagList found = {0};
    int r = -ENOMEM;
    if (file && p && (file->name = strdup(name))) {
        p->file = file;
        p->budget = budget;
        p->lookup = lookup;
        p->userdata = userdata;
        p->diags = &found;
        r = read_file(p, text, n);
    }
    free(p);
    /* What is wrong with a mapping is known at its end, after what is wrong within: people read from the top.
     */
    if (found.n > 1)
        qsort(found.items, found.n, sizeof(*found.items), compare_places);
    diag_list_move(diags, &found);
    if (r < 0)
        yaml_file_free(file);
    else
        *ret = file;
    return r;
}
