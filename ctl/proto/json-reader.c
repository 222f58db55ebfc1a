/* SPDX-License-Identifier: MIT */
/* Jansson 2.14 does not look whether it got memory for the next letters of a word (lex_save()): it leaves
 * them out and goes on, with another word, or beyond its end. So its lexer never gets to see that there is
 * none: from the allocation that fails there is a jump out of it, and what it had is given back from a list.
 */
#include "ctl/proto/json-reader.h"

#include <setjmp.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdlib.h>

#include "daemon/base/list.h"

typedef struct Block {
    List link;
    max_align_t data[];
} Block;

/* Of this thread: Jansson tells its functions for memory nothing of who asks. */
static _Thread_local struct {
    bool loading;
    jmp_buf out;
    List blocks;
    json_malloc_t allocate;
    json_free_t release;
} reader;

static void *allocate(size_t n) {
    Block *b = n <= SIZE_MAX - sizeof(Block) ? malloc(sizeof(Block) + n) : NULL;
    if (!b && reader.loading)
        longjmp(reader.out, 1);
    if (!b)
        return NULL;
    list_append(&reader.blocks, &b->link);
    return b->data;
}

static void release(void *p) {
    if (!p)
        return;
    Block *b = (Block *)(void *)((char *)p - offsetof(Block, data));
    list_remove(&b->link);
    free(b);
}

json_t *json_reader_load(const char *json, size_t n) {
    json_t *volatile root = NULL;
    list_init(&reader.blocks);
    json_get_alloc_funcs(&reader.allocate, &reader.release);
    json_set_alloc_funcs(allocate, release);
    if (setjmp(reader.out) == 0) {
        reader.loading = true;
        root = json_loadb(json, n, JSON_REJECT_DUPLICATES, NULL);
    }
    reader.loading = false;
    if (!root)
        json_reader_done(NULL);
    return root;
}

void json_reader_done(json_t *root) {
    json_decref(root);
    LIST_FOREACH_SAFE (b, &reader.blocks, Block, link) {
        list_remove(&b->link);
        free(b);
    }
    json_set_alloc_funcs(reader.allocate, reader.release);
}
