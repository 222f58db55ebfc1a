/* SPDX-License-Identifier: MIT */
#pragma once
/* All access rules of one load: each file of prefixes is read once, and lists with the same words share what
 * they were compiled to, so that ten thousand services with the rules of `defaults` cost as much as one. */
#include "conf/access.h"
#include "conf/lookups.h"
#include "conf/reader.h"

/* A file of prefixes: so many bytes at most. */
#define RULE_FILE_MAX ((size_t)16 << 20)
/* So many of them in a config. */
#define RULE_FILES_MAX 512U

typedef struct RuleBook RuleBook;

/* A list of rules, as the config has them; NULL: not given. */
typedef struct RuleLists {
    char *const *allow, *const *deny;
} RuleLists;

/* Something about word @i of allow or deny. @hint may be NULL. */
typedef void (*RuleTell)(bool deny, size_t i, DiagSeverity severity, DiagCode code, const char *hint,
                         const char *message, void *userdata);

RuleBook *rule_book_new(void);
RuleBook *rule_book_free(RuleBook *b); /* returns NULL */
DEFINE_CLEANUP(RuleBook *, rule_book_free);
#define CLEANUP_RULE_BOOK CLEANUP(rule_book_freep)

/* Compiles @lists. What is wrong with a word is told; what is wrong in a file of prefixes goes to @r's
 * diagnostics, once. Returns 0 with @ret, a reference of the caller's; -EINVAL (told), or -ENOMEM. */
int rule_book_compile(RuleBook *b, Reader *r, Lookups *lookups, const RuleLists *lists, RuleTell tell,
                      void *userdata, AccessRules **ret);
