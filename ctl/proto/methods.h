/* SPDX-License-Identifier: MIT */
#pragma once
/* The control interface as tables: methods, errors, types. The dispatch, the check of parameters and the
 * description that clients fetch all read these rows, so they cannot differ. Types are written as Varlink
 * writes them: "string", "int", "float", "bool", "object", the name of a type, with "[]" before a list and
 * "?" before what may be null; and "scalar" for a string or a number, which Varlink has no word for but
 * "object". */
#include <jansson.h>

#include "ctl/proto/api.h"

#define INTERFACE_CONTROL "dev.mpinetd.Control"
#define INTERFACE_SERVICE "org.varlink.service"

/* Deepest nesting of a request; its own braces count as one. */
#define REQUEST_DEPTH_MAX 16

/* One field. Lists of fields end with a row without a name. */
typedef struct ApiField {
    const char *name;
    const char *type;
    const char *doc;
    size_t offset; /* of a parameter: where in ApiRequest it goes */
} ApiField;

/* A type with a name: a struct of @fields, or where @word is given, its words (up to NULL) as an enum, or as
 * a struct of that many counters. */
typedef struct ApiType {
    const char *name;
    const char *doc;
    const ApiField *fields;
    const char *(*word)(size_t i);
    bool counters;
} ApiType;

typedef struct ApiMethod {
    const char *interface;
    const char *name; /* qualified */
    MethodAccess access;
    const ApiField *in, *out;
    const char *doc;
} ApiMethod;

typedef struct ApiErrorRow {
    const char *interface;
    const char *name; /* qualified */
    const ApiField *fields;
    const char *doc;
} ApiErrorRow;

const ApiMethod *api_method(Method m);
/* The method of that qualified name, or -ENOENT. */
int api_method_find(const char *name);
/* By ApiError; NULL past the last. */
const ApiErrorRow *api_error(size_t e);
/* The @i-th type of dev.mpinetd.Control, NULL past the last. */
const ApiType *api_type(size_t i);
/* NULL when there is none of that name. */
const ApiType *api_type_find(const char *name, size_t n);

bool api_interface_exists(const char *interface);
/* The description of one interface in Varlink's definition language. */
void api_interface_describe(Text *out, const char *interface);

/* Whether @value is of @type. A member that is absent counts as null, unless @all_present, as in replies,
 * where every field is always there. Pure. */
bool api_value_is(const char *type, const json_t *value, bool all_present);
