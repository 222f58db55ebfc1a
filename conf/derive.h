/* SPDX-License-Identifier: MIT */
#pragma once
/* From what the config says to what it means: rules out of words and files, hours, exit codes, the bytes of
 * banners, the facts to log; and what is wrong with the words of lists. Done once, at load; what a file says
 * is read then. */
#include "conf/reader.h"

/* The keys that something is derived from, or whose words are looked at. */
typedef enum DerivedKey {
    DERIVED_ALLOW,
    DERIVED_DENY,
    DERIVED_HOURS,
    DERIVED_EXIT_CODES,
    DERIVED_GREETING,
    DERIVED_REFUSED,
    DERIVED_ACCEPT_FROM,
    DERIVED_SUCCESS,
    DERIVED_FAILURE,
    DERIVED_CAPABILITIES,
    DERIVED_SECCOMP,
    DERIVED_GROUPS,
    DERIVED_PASS_ENVIRONMENT,
    _DERIVED_KEY_MAX,
} DerivedKey;

/* "access.allow". */
const char *derived_key_path(DerivedKey key);

/* Where a key's value stands; value NULL: nowhere that is known. */
typedef struct DerivedPlace {
    const YamlNode *value;
    bool quiet; /* in `defaults`, which were judged before */
} DerivedPlace;

/* Fills what belongs to the fields of @s that are set; @places is one for each key. @r has lookups and rules.
 * What is merely missing becomes s->problem where the context tolerates it, and s->incomplete is set. Returns
 * 0, -EINVAL (told) or -ENOMEM. */
int derive_service(Reader *r, const DerivedPlace places[static _DERIVED_KEY_MAX], ServiceConfig *s);
/* The same for a service as it was loaded, whose places are not known any more; without a problem it is
 * complete. */
int derive_again(Reader *r, ServiceConfig *s);
