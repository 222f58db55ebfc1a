/* SPDX-License-Identifier: MIT */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "daemon/client.h"

typedef struct RightsCase {
    const char *name;
    uid_t uid;
    gid_t gid, other;
    bool may;
} RightsCase;

static const RightsCase cases[] = {
    {"root", 0, 0, 0, true},
    {"named user", 1000, 1000, 1000, true},
    {"named group, primary", 2000, 27, 2000, true},
    {"named group, supplementary", 2000, 2000, 27, true},
    {"stranger", 2000, 2000, 2000, false},
    {"whom the kernel could not name", 65534, 65534, 65534, false},
    {"in a group that the kernel could not name", 2000, 65534, 2000, false},
    {"in such a group besides", 2000, 2000, 65534, false},
    {"whom it could not name, in a named group", 65534, 27, 27, false},
    {"no user at all", (uid_t)-1, 2000, 2000, false},
    {"unsigned to the end", 4294967294U, 2000, 2000, false},
};

static void test_rights(void **state) {
    (void)state;
    uid_t uids[] = {1000, 65534};
    gid_t gids[] = {65534, 27};
    Config config = {.manage_uids = uids, .n_manage_uids = 2, .manage_gids = gids, .n_manage_gids = 2};
    for (size_t i = 0; i < ELEMENTS(cases); i++) {
        const RightsCase *t = &cases[i];
        gid_t groups[] = {t->other};
        Client c = {.uid = t->uid, .gid = t->gid, .groups = groups, .n_groups = 1};
        bool own = t->uid == geteuid();
        if (client_may_change(&c, &config) != (t->may || own))
            fail_msg("%s", t->name);
    }
    Client self = {.uid = geteuid()};
    assert_true(client_may_change(&self, &(Config){0}));
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_rights),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
