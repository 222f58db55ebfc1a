/* SPDX-License-Identifier: MIT */
#pragma once
/* A folder of its own for a test of the config reader, with a program in its libexecdir; files written into
 * it are loaded as the test says. Everything is removed in the end. */
#include "conf/load.h"

#define FIXTURE_ROOT 0
#define FIXTURE_USER 12345 /* who is in no data base */

typedef struct Fixture {
    char folder[64];
    char libexecdir[96];
    char variable[96];    /* FOLDER=… */
    char *environment[3]; /* and SET=value, for ${VAR} */
    LoadContext context;
    DiagList diags;
    Config *config; /* NULL when the load failed */
    int result;     /* of the last load */
} Fixture;

/* For cmocka's set-up and tear-down; *state is a Fixture, judged as by root. */
int fixture_setup(void **state);
int fixture_teardown(void **state);

/* FOLDER/NAME in a buffer that the next eight calls leave alone. */
const char *fixture_path(const Fixture *f, const char *name);
void fixture_write(const Fixture *f, const char *name, const char *text, unsigned mode);
/* Loads FOLDER/NAME afresh; returns what config_load() does. */
int fixture_load(Fixture *f, const char *name);
/* Writes @text as FOLDER/test.yaml and loads it. */
int fixture_load_text(Fixture *f, const char *text);
/* The same with @service, lines indented by four, as the body of service "s" of user root. */
int fixture_load_service(Fixture *f, const char *service);
/* Whether the diagnostics have this one. @message may be a part of it. */
bool fixture_has(const Fixture *f, DiagCode code, const char *message);
/* The codes of all diagnostics, "unknown-key ~conflict", in order, warnings with a ~; in a static buffer. */
const char *fixture_codes(const Fixture *f);
/* Fails the test, showing @what, unless the last load gave just @codes ("": none), its result fits them and a
 * message or a hint has @text in it (NULL: whatever). */
void fixture_expect(const Fixture *f, const char *what, const char *codes, const char *text);
/* Fails the test unless it gave no diagnostics at all; returns the service of that name. */
ServiceConfig *fixture_service(const Fixture *f, const char *what, const char *name);
