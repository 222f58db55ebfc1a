/* SPDX-License-Identifier: MIT */
#pragma once
/* Users and groups, each looked up once while a config is loaded: a look-up may go over the network. And
 * files that were found and judged for one service already: ten thousand may run the same program. */
#include <stdbool.h>
#include <sys/types.h>

#include "daemon/base/cleanup.h"

typedef struct Lookups Lookups;

/* A user of the data base. */
typedef struct UserEntry {
    char *name;
    uid_t uid;
    gid_t gid;
    char *home, *shell;
    gid_t *groups; /* as of getgrouplist(3), without its primary group unless it is listed there */
    size_t n_groups;
} UserEntry;

Lookups *lookups_new(void);
Lookups *lookups_free(Lookups *l); /* returns NULL */
DEFINE_CLEANUP(Lookups *, lookups_free);
#define CLEANUP_LOOKUPS CLEANUP(lookups_freep)

/* The user that is called @name, a name or a decimal uid. Returns 0 with @ret borrowed until lookups_free(),
 * -ENOENT when there is none, or what the data base failed with. */
int lookups_user(Lookups *l, const char *name, const UserEntry **ret);
int lookups_uid(Lookups *l, uid_t uid, const UserEntry **ret);
/* The same for a group. */
int lookups_group(Lookups *l, const char *name, gid_t *ret);

/* What was found before for @key, which says all that it depends on: borrowed, until lookups_free(). NULL:
 * nothing yet. */
const char *lookups_known(const Lookups *l, const char *key);
/* Keeps it; without memory it is not known. */
void lookups_keep(Lookups *l, const char *key, const char *found);

/* Whether @s is a decimal id; (uid_t)-1 is none. */
bool lookups_is_number(const char *s, uid_t *ret);
