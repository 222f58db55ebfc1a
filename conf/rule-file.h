/* SPDX-License-Identifier: MIT */
#pragma once
/* A file of access rules: one a line, `#` begins a comment. A byte order mark, blanks and the line ends of
 * other systems do no harm. */
#include "conf/access.h"
#include "conf/diag.h"
#include "conf/lookups.h"

typedef struct RuleVector {
    AccessRule *items; /* owned */
    size_t n, cap;
} RuleVector;

int rule_vector_add(RuleVector *v, const AccessRule *rule); /* 0 or -ENOMEM */

/* Parses the @n bytes of @text, which a NUL follows, of the file shown as @name. What is wrong goes to
 * @diags. Returns 0 with the rules added to @ret (`deny` not set), -EINVAL when there was an error, or
 * -ENOMEM. */
int rule_file_parse(const char *name, char *text, size_t n, Lookups *lookups, DiagList *diags,
                    RuleVector *ret);
