/* SPDX-License-Identifier: MIT */
#pragma once
/* One word of access.allow, access.deny or a file of them: "any", an address, a prefix, "uid:alice",
 * "gid:100", "vsock:3". Users and groups are looked up; hosts never are. */
#include "conf/access.h"
#include "conf/diag.h"
#include "conf/lookups.h"
#include "conf/value.h"

/* What is wrong with a word, already escaped for showing. */
typedef struct RuleWordError {
    DiagCode code; /* bad-value, or not-found */
    ValueError text;
} RuleWordError;

/* Returns 0 with @ret (`deny` is not set), -EINVAL with @error, or -ENOMEM. */
int rule_word_parse(const char *s, Lookups *lookups, AccessRule *ret, RuleWordError *error);
/* "192.168.1.0" is one address here, and was a network for xinetd: whether @rule, written as @s, may be meant
 * as one; @hint is what to write then. */
bool rule_word_is_doubtful(const char *s, const AccessRule *rule, char hint[static 192]);
