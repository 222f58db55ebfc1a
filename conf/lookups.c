/* SPDX-License-Identifier: MIT */
#include "conf/lookups.h"

#include <grp.h>
#include <pwd.h>
#include <search.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include "daemon/base/text.h"

#define BUFFER_MAX ((size_t)1 << 20)
#define GROUPS_MAX 65536

/* What a look-up gave, found again by its key. */
typedef struct Entry {
    char *key;
    int error; /* 0, or as the look-up failed */
    UserEntry user;
    gid_t gid;
    char *found;
} Entry;

struct Lookups {
    void *users, *groups, *found; /* tsearch(3) trees of Entry */
};

static int compare_entries(const void *a, const void *b) {
    return strcmp(((const Entry *)a)->key, ((const Entry *)b)->key);
}

static void free_entry(void *p) {
    Entry *e = p;
    free(e->key);
    free(e->user.name);
    free(e->user.home);
    free(e->user.shell);
    free(e->user.groups);
    free(e->found);
    free(e);
}

Lookups *lookups_new(void) {
    return calloc(1, sizeof(Lookups));
}

Lookups *lookups_free(Lookups *l) {
    if (!l)
        return NULL;
    tdestroy(l->users, free_entry);
    tdestroy(l->groups, free_entry);
    tdestroy(l->found, free_entry);
    free(l);
    return NULL;
}

bool lookups_is_number(const char *s, uid_t *ret) {
    uint64_t value = 0;
    if (!*s || strlen(s) > 10)
        return false;
    for (; *s; s++) {
        if (*s < '0' || *s > '9')
            return false;
        value = value * 10 + (uint64_t)(*s - '0');
    }
    if (value >= UINT32_MAX)
        return false;
    *ret = (uid_t)value;
    return true;
}

/* The supplementary groups of @user, by getgrouplist(3). */
static int fetch_groups(UserEntry *user) {
    for (int n = 32; n <= GROUPS_MAX; n *= 2) {
        gid_t *groups = reallocarray(user->groups, (size_t)n, sizeof(gid_t));
        if (!groups)
            return -ENOMEM;
        user->groups = groups;
        int got = n;
        if (getgrouplist(user->name, user->gid, groups, &got) >= 0) {
            user->n_groups = (size_t)got;
            return 0;
        }
    }
    return -E2BIG;
}

static int fill_user(Entry *e, const struct passwd *pw) {
    e->user = (UserEntry){
        .name = strdup(pw->pw_name),
        .uid = pw->pw_uid,
        .gid = pw->pw_gid,
        .home = strdup(pw->pw_dir && *pw->pw_dir ? pw->pw_dir : "/"),
        .shell = strdup(pw->pw_shell && *pw->pw_shell ? pw->pw_shell : "/bin/sh"),
    };
    if (!e->user.name || !e->user.home || !e->user.shell)
        return -ENOMEM;
    return fetch_groups(&e->user);
}

/* getpwnam_r(3): ENOENT, ESRCH, EBADF and EPERM may all mean that there is no such entry. */
static int no_such_entry(int error) {
    return error == 0 || error == ENOENT || error == ESRCH || error == EBADF || error == EPERM ? -ENOENT
                                                                                               : -error;
}

static int fetch_user(Entry *e, const char *name) {
    uid_t uid;
    bool number = lookups_is_number(name, &uid);
    for (size_t size = 1024; size <= BUFFER_MAX; size *= 2) {
        CLEANUP_FREE char *buffer = malloc(size);
        struct passwd pw, *found = NULL;
        if (!buffer)
            return -ENOMEM;
        int error =
            number ? getpwuid_r(uid, &pw, buffer, size, &found) : getpwnam_r(name, &pw, buffer, size, &found);
        if (found)
            return fill_user(e, found);
        if (error != ERANGE)
            return no_such_entry(error);
    }
    return -ERANGE;
}

static int fetch_group(Entry *e, const char *name) {
    for (size_t size = 1024; size <= BUFFER_MAX; size *= 2) {
        CLEANUP_FREE char *buffer = malloc(size);
        struct group gr, *found = NULL;
        if (!buffer)
            return -ENOMEM;
        int error = getgrnam_r(name, &gr, buffer, size, &found);
        if (found) {
            e->gid = found->gr_gid;
            return 0;
        }
        if (error != ERANGE)
            return no_such_entry(error);
    }
    return -ERANGE;
}

static int look_up(void **root, const char *name, int (*fetch)(Entry *e, const char *name),
                   const Entry **ret) {
    Entry key = {.key = strdup(name)};
    CLEANUP_FREE char *owned = key.key;
    if (!owned)
        return -ENOMEM;
    Entry **found = (Entry **)tfind(&key, root, compare_entries);
    if (!found) {
        Entry *e = calloc(1, sizeof(Entry));
        if (!e)
            return -ENOMEM;
        e->key = TAKE_PTR(owned);
        e->error = fetch(e, name);
        found = (Entry **)tsearch(e, root, compare_entries);
        if (!found) {
            free_entry(e);
            return -ENOMEM;
        }
    }
    *ret = *found;
    return (*found)->error;
}

int lookups_user(Lookups *l, const char *name, const UserEntry **ret) {
    const Entry *e;
    int r = look_up(&l->users, name, fetch_user, &e);
    if (r == 0)
        *ret = &e->user;
    return r;
}

int lookups_uid(Lookups *l, uid_t uid, const UserEntry **ret) {
    char name[16];
    (void)snprintf(name, sizeof(name), "%u", (unsigned)uid);
    return lookups_user(l, name, ret);
}

int lookups_group(Lookups *l, const char *name, gid_t *ret) {
    uid_t number;
    if (lookups_is_number(name, &number)) {
        *ret = (gid_t)number;
        return 0;
    }
    const Entry *e;
    int r = look_up(&l->groups, name, fetch_group, &e);
    if (r == 0)
        *ret = e->gid;
    return r;
}

const char *lookups_known(const Lookups *l, const char *key) {
    const Entry wanted = {.key = (char *)key};
    Entry *const *e = tfind(&wanted, &l->found, compare_entries);
    return e ? (*e)->found : NULL;
}

void lookups_keep(Lookups *l, const char *key, const char *found) {
    Entry *e = calloc(1, sizeof(*e));
    if (!e)
        return;
    e->key = strdup(key);
    e->found = strdup(found);
    Entry **kept = e->key && e->found ? tsearch(e, &l->found, compare_entries) : NULL;
    if (!kept || *kept != e)
        free_entry(e);
}
