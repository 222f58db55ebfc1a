/* SPDX-License-Identifier: MIT */
#pragma once
/* What to say about a key that the table does not have: a foreign word, a near miss, or a key that belongs
 * elsewhere. */
#include "conf/reader.h"
#include "conf/schema.h"

/* @parent: the section that it stands in (NULL: the top of @scope). @where: how messages call that mapping.
 */
void unknown_key_report(Reader *r, KeyScope scope, const Key *parent, const char *where, const YamlNode *name,
                        const YamlNode *value);
