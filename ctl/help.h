/* SPDX-License-Identifier: MIT */
#pragma once
/* Help and manual out of the tables of verbs and options. Pure but for reading the manual's head. */
#include "ctl/verbs.h"

void help_all(Text *out);
void help_verb(const Verb *verb, Text *out);
/* The columns of a verb that has some, as its `-o help` prints them: lines "NAME   what it shows". */
void help_columns(const Verb *verb, Text *out);
/* A phrase of the tables as a sentence. */
void help_add_sentence(const char *s, Text *out);
