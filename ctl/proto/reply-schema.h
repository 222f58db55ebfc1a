/* SPDX-License-Identifier: MIT */
#pragma once
/* The JSON Schema (draft-07) of replies, out of the tables of the interface. Its definitions are: each type
 * by its name, the parameters of each reply and error by its qualified name ("dev.mpinetd.Control.Status"),
 * and the documents that the caller names. Pure. */
#include "ctl/proto/methods.h"

/* What a verb of mpctl prints: one of the three says what it is. */
typedef struct ReplyDocument {
    const char *verb; /* its definition is "mpctl.VERB" */
    const char *doc;
    const char *method;     /* the reply of this method of dev.mpinetd.Control */
    const char *type;       /* a type of the interface */
    const ApiField *fields; /* a struct of its own; its types may also be qualified names of methods */
} ReplyDocument;

/* Appends the schema, indented, ended by a newline. As a whole it takes any of @documents, and
 * {"error", "parameters"}, which is the definition "mpctl.error". Returns 0 or -ENOMEM. */
int reply_schema_format(const ReplyDocument *documents, size_t n, Text *out);
