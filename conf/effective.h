/* SPDX-License-Identifier: MIT */
#pragma once
/* The effective config: every key that holds, with its value and where it came from, nested as in a file.
 * What is visited, written as a file, loads to the same config again. include, defaults and x-* are resolved
 * away. Pure. */
#include "conf/field.h"

typedef enum ConfigFrom {
    CONFIG_FROM_DEFAULT,  /* built in, or worked out from other keys */
    CONFIG_FROM_FILE,     /* outside of services */
    CONFIG_FROM_DEFAULTS, /* `defaults` */
    CONFIG_FROM_SERVICE,
    CONFIG_FROM_SET,    /* changed until the next reload */
    CONFIG_FROM_PRESET, /* sandbox.preset */
    _CONFIG_FROM_MAX,
} ConfigFrom;
DECLARE_STRTAB(config_from, ConfigFrom);

typedef struct EffectiveOrigin {
    const char *key; /* "services.git.limits.instances", "services.git.listen[0].backlog", "control.mode" */
    ConfigFrom from;
    ConfigPos pos;    /* line 0: none */
    const char *note; /* why a key of `defaults` was not applied; NULL: it was, or it is no such key */
} EffectiveOrigin;

/* What is called on the way; what is NULL is left out. @name is NULL in a list. Strings are borrowed, for the
 * time of the call. */
typedef struct EffectiveVisitor {
    void (*open_map)(const char *name, void *userdata);
    void (*close_map)(void *userdata);
    void (*open_list)(const char *name, void *userdata);
    void (*close_list)(void *userdata);
    /* A bool, an integer or a text; @secret: it is not for everybody's eyes. */
    void (*value)(const char *name, const FieldValue *value, bool secret, void *userdata);
    void (*origin)(const EffectiveOrigin *origin, void *userdata);
} EffectiveVisitor;

/* What stands outside of services, `version` first; its sections are opened within whatever is open. Returns
 * 0 or -ENOMEM. */
int effective_globals(const Config *c, const EffectiveVisitor *visitor, void *userdata);
/* One service: a map of its name. @limits: as they are now, or NULL: as configured. Returns 0 or -ENOMEM. */
int effective_service(const ServiceConfig *s, const LimitsConfig *limits, const EffectiveVisitor *visitor,
                      void *userdata);
