/* SPDX-License-Identifier: MIT */
#pragma once
/* A key's field in the typed config: from a node, back to text, and compared. The struct is the one of the
 * key's scope. */
#include "conf/reader.h"
#include "conf/schema.h"
#include "conf/yaml.h"

/* Decodes @value, which stands under @name, into the field of @key in @base, replacing what was there
 * (variables of an environment one by one). @r may be NULL: nothing is reported. Returns 0, -EINVAL when it
 * was not right (and told), or -ENOMEM. */
int field_decode(Reader *r, const Key *key, const YamlNode *name, const YamlNode *value, void *base);
/* Sets the built-in default, if the table has one. Returns 0 or -ENOMEM. */
int field_set_standard(const Key *key, void *base);
/* Sets a key of a service from @text, as a default would be written; a list from words with blanks between.
 * What is wrong is left alone. Returns 0 or -ENOMEM. */
int field_set_text(const Key *key, const char *text, void *base);
/* The same, by what it is in @from, where it has been set already. */
int field_copy_standard(const Key *key, const void *from, void *base);
/* The struct that has the field of @key, of the scope's struct @base: that itself, or a part of it. */
const void *field_home(const Key *key, const void *base);
/* The same to write to; NULL when memory runs out. */
void *field_make_home(const Key *key, void *base);
/* Appends the value as it would be written; nothing where none is set. */
void field_format(const Key *key, const void *base, Text *out);
/* The same typed, for documents. */
typedef enum FieldKind {
    FIELD_NONE, /* not given */
    FIELD_BOOL,
    FIELD_INTEGER,
    FIELD_NUMBER, /* with a fraction, in thousandths */
    FIELD_TEXT,
    FIELD_LIST,
} FieldKind;

typedef struct FieldValue {
    FieldKind kind;
    bool truth;
    int64_t number;    /* of both kinds */
    const char *text;  /* as it would be written, but for quotes: borrowed from the field or the buffer */
    char *const *list; /* borrowed; of an environment "NAME=VALUE" each */
} FieldValue;

/* The value of @key; @buffer holds its text until the next call, and may run out of memory (text_ok()). */
void field_get(const Key *key, const void *base, Text *buffer, FieldValue *ret);
bool field_equal(const Key *key, const void *a, const void *b);
/* How messages call the key: "limits.instances", "listen.backlog". */
void field_label(const Key *key, char buf[static 64]);
