/* SPDX-License-Identifier: MIT */
#pragma once
/* Fields that are lists of strings: lists, commands, environments. For field.c. */
#include "conf/reader.h"
#include "conf/schema.h"

/* Decodes a KEY_LIST, KEY_COMMAND or KEY_ENVIRONMENT into @field; an environment is added to what is there,
 * the others replace it. Returns 0, -EINVAL (told) or -ENOMEM. */
int field_list_decode(Reader *r, const Key *key, const YamlNode *name, const YamlNode *value, char ***field);
/* Where it is told that @value will not do: of nothing at all at @name, its key; of what was told to be wrong
 * at itself, where no more is told. */
const YamlNode *field_place(const YamlNode *name, const YamlNode *value);
/* Says that @value, under @name, is not of the type that @key takes. @hint may be NULL. */
void field_wrong_type(Reader *r, const Key *key, const YamlNode *name, const YamlNode *value,
                      const char *hint);
