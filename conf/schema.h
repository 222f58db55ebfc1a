/* SPDX-License-Identifier: MIT */
#pragma once
/* The key table: every key that a config may have, what it takes and where it goes. The decoder, its
 * messages, `explain`, the JSON Schema and the key part of mpinetd.yaml(5) are all made from it, so that they
 * cannot differ. Pure. */
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "conf/config.h"
#include "daemon/base/text.h"

/* Which mapping a key stands in: the file itself, a service (or `defaults`), the long form of an endpoint. */
typedef enum KeyScope {
    KEY_SCOPE_FILE,
    KEY_SCOPE_SERVICE,
    KEY_SCOPE_LISTEN,
    _KEY_SCOPE_MAX,
} KeyScope;

typedef enum KeyType {
    KEY_SECTION,   /* keys of its own */
    KEY_EXTENSION, /* x-*: anything */
    KEY_DEFAULTS,
    KEY_SERVICES,
    KEY_LISTEN,
    KEY_ENDPOINT,
    KEY_BOOL,
    KEY_WORD,
    KEY_INTEGER,
    KEY_NUMBER,
    KEY_DURATION,
    KEY_SIZE,
    KEY_RATE,
    KEY_MODE,
    KEY_TEXT,
    KEY_PATH,
    KEY_FDNAME,
    KEY_USER,
    KEY_GROUP,
    KEY_LIST,
    KEY_PATHS,
    KEY_COMMAND,
    KEY_ENVIRONMENT,
    KEY_RLIMIT_COUNT,
    KEY_RLIMIT_SIZE,
    KEY_RLIMIT_TIME,
    KEY_IO_PRIORITY,
    KEY_CPUS,
    KEY_PROCESSORS,
    _KEY_TYPE_MAX,
} KeyType;

typedef enum KeyFlag {
    KEY_REQUIRED = 1 << 0,    /* its mapping must have it */
    KEY_NO_DEFAULTS = 1 << 1, /* cannot stand in `defaults` */
    KEY_OR_NONE = 1 << 2,     /* it may also be `none` */
    KEY_SECRET = 1 << 3,      /* its value is not for everybody's eyes */
    KEY_OF_EXEC = 1 << 4,     /* of the program alone: of no use to a forward without one */
    KEY_OF_PROCESS = 1 << 5,  /* of a process: of no use to model tcpmux, which has none */
    KEY_PLACES = 1 << 6,      /* where each item of its list stands is kept (ConfigOrigin) */
} KeyFlag;

/* The struct of a service that a key's field is in, where it is not the scope's own: conf/part.h. */
typedef enum KeyPart {
    KEY_PART_NONE,
    KEY_PART_TERMS,
    KEY_PART_RESOURCES,
    KEY_PART_SANDBOX,
    KEY_PART_CGROUP,
    _KEY_PART_MAX,
} KeyPart;

typedef struct Key {
    const char *path; /* within its scope: "limits.instances" */
    KeyScope scope;
    KeyType type;
    unsigned flags;
    unsigned models; /* bits 1 << MODEL_x that it fits; 0: all of them */
    unsigned kinds;  /* of a listen option: bits 1 << ENDPOINT_x; 0: all */
    int64_t min,
        max; /* integers as they are, durations in microseconds, sizes in bytes; both 0: the type's own */
    int64_t none;      /* what stands for `none` in its field, where it is not 0; durations have their own */
    const char *words; /* of a KEY_WORD: "never|on-failure|always"; the index is the value */
    int resource;      /* of a KEY_RLIMIT_x: RLIMIT_x */
    KeyPart part;
    size_t offset; /* of its field in the part; else in Config, ServiceConfig or ListenConfig, as the scope
                      says */
    size_t size;   /* of that field; 0: it has none */
    size_t has;    /* offset in the same of the bool that says that it was given; 0: there is none */
    const char *standard;      /* the default as it would be written; NULL: none */
    const char *standard_note; /* the default in words, where it is not one value */
    const char *help;          /* one line */
    const char *more;          /* more sentences, or NULL */
    const char *example;       /* YAML */
} Key;

/* The table: sections stand before their keys. */
size_t schema_n_keys(void);
const Key *schema_key(size_t i);
size_t schema_index(const Key *key);

/* The key at @path in @scope, or NULL. */
const Key *schema_find(KeyScope scope, const char *path);
/* The key right below section @parent (NULL: at the top of @scope) that is named @name, or NULL. Any key of
 * the file that begins with "x-" is the extension key. */
const Key *schema_child(KeyScope scope, const Key *parent, const char *name);
/* The next key right below @parent in @scope; start with *@at = 0. NULL at the end. */
const Key *schema_next_child(KeyScope scope, const Key *parent, size_t *at);
/* The last part of its path. */
const char *schema_leaf(const Key *key);

/* Whether it is one of limits.*, a part of LimitsConfig. */
bool schema_is_limit(const Key *key);
/* Whether it may be set for a service of @model. */
bool schema_fits_model(const Key *key, Model model);
bool schema_fits_endpoint(const Key *key, EndpointKind kind);
/* "per-connection and on-demand", for messages. */
void schema_models_format(unsigned models, Text *out);
void schema_kinds_format(unsigned kinds, Text *out);

/* "a duration such as 10s", for messages and help. */
const char *schema_type_describe(KeyType type);
/* "duration". */
const char *schema_type_name(KeyType type);
/* "1 to 100", in the units of the type; nothing where it has no bounds. */
void schema_range_format(const Key *key, Text *out);

/* The words of a KEY_WORD: the index of @s, or -EINVAL. */
int schema_word_find(const Key *key, const char *s);
/* Word number @i, into @buf; NULL past the end. */
const char *schema_word(const Key *key, size_t i, char buf[static 32]);
