/* SPDX-License-Identifier: MIT */
#pragma once
/* Who may connect: prefixes, users and groups that are allowed or denied, compiled so that a decision costs
 * the same however many there are. Immutable and counted, since services with the same rules share them.
 * Pure. */
#include <stdbool.h>
#include <stddef.h>

#include "conf/prefix.h"
#include "daemon/base/text.h"

/* One rule, as parsed: "any", a prefix (prefix_parse()), "uid:1000", "gid:1000". */
typedef enum AccessRuleKind {
    ACCESS_RULE_ANY,
    ACCESS_RULE_PREFIX, /* of addresses, a user, a CID */
    ACCESS_RULE_GROUP,
} AccessRuleKind;

typedef struct AccessRule {
    AccessRuleKind kind;
    bool deny;
    Prefix prefix;
    gid_t gid;
} AccessRule;

typedef struct AccessRules AccessRules;

/* Compiles @n rules. A rule that stands in both lists is one of deny. @has_allow: what matches nothing is
 * refused (an empty list of allow refuses everybody). 0 or -ENOMEM. */
int access_rules_new(const AccessRule *rules, size_t n, bool has_allow, AccessRules **ret);
AccessRules *access_rules_ref(AccessRules *r);
AccessRules *access_rules_unref(AccessRules *r); /* returns NULL; NULL is fine */
size_t access_rules_count(const AccessRules *r);
/* Whether both have the same rules: all of them, or those of one list. Told by a digest. */
typedef enum AccessSide {
    ACCESS_ALLOW,
    ACCESS_DENY,
    ACCESS_BOTH,
} AccessSide;
bool access_rules_equal(const AccessRules *a, const AccessRules *b, AccessSide side);
/* How many there are of one list, a rule that stands in both counting as one of deny. */
size_t access_rules_count_side(const AccessRules *r, AccessSide side);
/* Whether they admit everybody, so that they might as well not be there. */
bool access_rules_admit_all(const AccessRules *r);
/* Whether the groups of a UNIX peer matter. */
bool access_rules_want_groups(const AccessRules *r);

/* Whether @peer may connect: the longest prefix that has it decides, a user before a group before any, and of
 * equal ones deny. @groups are all of a UNIX peer's groups. @r NULL: everybody may. @ret_rule, unless NULL,
 * is the rule that decided; its `kind` is ACCESS_RULE_ANY with `deny` set when it was that none matched. */
bool access_allows(const AccessRules *r, const Peer *peer, const gid_t *groups, size_t n_groups,
                   AccessRule *ret_rule);
/* "203.0.113.0/24", "uid:1000", "gid:4", "any". */
void access_rule_format(const AccessRule *rule, Text *out);
