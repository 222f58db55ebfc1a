/* SPDX-License-Identifier: MIT */
#pragma once
/* What the presets of `sandbox` contain: one table, of which the config, the manual page and its tests are
 * made. Pure. */
#include "conf/schema.h"

/* A key with what it is in each preset, as in presets of SandboxPreset. */
typedef struct PresetRow {
    const char *key; /* "sandbox.private_tmp" */
    const char
        *values[_SANDBOX_PRESET_MAX]; /* words with blanks between where it is a list; NULL: left alone */
} PresetRow;

/* NULL past the end. */
const PresetRow *preset_row(size_t i);

/* Fills those keys of s->sandbox that its config does not give. Returns 0 or -ENOMEM. */
int preset_apply(ServiceConfig *s);
/* Takes out of what the preset hides the paths above @own (NULL: none), something that the service needs.
 * Paths that its config hides stay. */
void preset_unhide(ServiceConfig *s, const char *own);
/* Whether @key has its value from the preset of @s. */
bool preset_gives(const ServiceConfig *s, const Key *key);
/* The presets as a part of mpinetd.yaml(5), in scdoc(5)'s form. */
void preset_reference_format(Text *out);
