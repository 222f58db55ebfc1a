/* SPDX-License-Identifier: MIT */
/* The tree of a file once it is read: its memory, and looking at it. */
#include <stdalign.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "conf/yaml-parser.h"
#include "daemon/base/text.h"

#define CHUNK_SIZE ((size_t)16 << 10)

struct YamlChunk {
    YamlChunk *next;
    size_t used, size;
    alignas(max_align_t) char bytes[];
};

void *yaml_alloc(YamlFile *f, size_t n) {
    size_t rounded = (n + alignof(max_align_t)) & ~(alignof(max_align_t) - 1);
    YamlChunk *chunk = f->chunks;
    if (!chunk || chunk->size - chunk->used < rounded) {
        size_t size = rounded > CHUNK_SIZE ? rounded : CHUNK_SIZE;
        chunk = calloc(1, sizeof(*chunk) + size);
        if (!chunk)
            return NULL;
        chunk->size = size;
        chunk->next = f->chunks;
        f->chunks = chunk;
    }
    void *p = chunk->bytes + chunk->used;
    chunk->used += rounded;
    return p;
}

YamlFile *yaml_file_free(YamlFile *f) {
    if (!f)
        return NULL;
    while (f->chunks) {
        YamlChunk *next = f->chunks->next;
        free(f->chunks);
        f->chunks = next;
    }
    yaml_text_done(&f->text);
    free(f->name);
    free(f);
    return NULL;
}

const YamlNode *yaml_file_root(const YamlFile *f) {
    return f->root;
}

const char *yaml_file_name(const YamlFile *f) {
    return f->name;
}

const char *yaml_file_line(const YamlFile *f, unsigned line, size_t *ret_n) {
    return yaml_text_line(&f->text, line, ret_n);
}

const YamlNode *yaml_get(const YamlNode *node, const char *key) {
    if (!node || node->kind != YAML_MAPPING)
        return NULL;
    for (size_t i = 0; i < node->n; i++)
        if (streq(node->pairs[i].key->text, key))
            return node->pairs[i].value;
    return NULL;
}

void yaml_diag(const YamlFile *f, const YamlNode *node, DiagList *diags, DiagSeverity severity, DiagCode code,
               const char *hint, const char *format, ...) {
    if (node->faulty)
        return;
    CLEANUP_FREE char *message = NULL;
    va_list ap;
    va_start(ap, format);
    if (vasprintf(&message, format, ap) < 0)
        message = NULL;
    va_end(ap);
    diag_add(diags, severity, code, &node->pos, yaml_text_line_start(&f->text, node->pos.line), hint, "%s",
             message ? message : "");
}
