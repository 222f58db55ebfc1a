/* SPDX-License-Identifier: MIT */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include <errno.h>
#include <sched.h>
#include <stdio.h>

#include "daemon/base/cleanup.h"
#include "daemon/base/text.h"
#include "daemon/sandbox.h"

static const SandboxContext root = {.is_root = true, .landlock_abi = 3, .libexecdir = "/no/such/folder"};
static const SandboxContext ordinary = {.uid = 1000, .gid = 1000, .landlock_abi = 3};

static const char *const op_letters = "abrpqtlwmdnfkxh";

/* The steps as letters, so that a row can have them: the operations in the order of MountOp. */
static const char *letters(const SandboxPlan *p, char *buf) {
    size_t n = 0;
    for (size_t i = 0; i < p->n_mounts; i++)
        buf[n++] = op_letters[p->mounts[i].op];
    buf[n] = '\0';
    return buf;
}

static void mounts_stand_in_order(void **state) {
    (void)state;
    char *slash[] = {(char *)"/", NULL}, *two[] = {(char *)"/a", (char *)"-/b", NULL};
    const struct {
        SandboxConfig config;
        const char *root_directory, *letters;
        unsigned namespaces;
    } cases[] = {
        {{0}, NULL, "", 0},
        {{.private_ipc = true}, NULL, "aq", CLONE_NEWNS | CLONE_NEWIPC | CLONE_NEWUTS},
        {{.private_tmp = true}, NULL, "amm", CLONE_NEWNS},
        {{.private_pids = true}, NULL, "ap", CLONE_NEWNS | CLONE_NEWPID},
        {{.read_only = slash}, NULL, "aw", CLONE_NEWNS},
        {{.read_only = slash, .read_write = two}, NULL, "attwll", CLONE_NEWNS},
        {{.read_write = two}, NULL, "", 0},
        {{.hidden = two}, NULL, "ahh", CLONE_NEWNS},
        {{.devices = SANDBOX_DEVICES_MINIMAL}, NULL, "atmflnnnnnnnxfdkfmkkkk", CLONE_NEWNS},
        {{.private_tmp = true}, "/srv", "abrmm", CLONE_NEWNS},
        {{.private_ipc = true}, "/srv", "abrq", CLONE_NEWNS | CLONE_NEWIPC | CLONE_NEWUTS},
        {{.devices = SANDBOX_DEVICES_MINIMAL, .read_only = two, .read_write = slash, .hidden = slash},
         "/srv",
         "abtrtlwwmflnnnnnnnxfdkfmkkkkh",
         CLONE_NEWNS},
    };
    for (size_t i = 0; i < ELEMENTS(cases); i++) {
        SandboxConfig sandbox = cases[i].config;
        ServiceConfig config = {.sandbox = &sandbox,
                                .root_directory = (char *)(uintptr_t)cases[i].root_directory};
        CLEANUP(sandbox_plan_freep) SandboxPlan *p = NULL;
        unsigned which = 0;
        char buf[64];
        assert_int_equal(sandbox_plan_draw(&config, &root, &p, &which), 0);
        assert_string_equal(letters(p, buf), cases[i].letters);
        assert_int_equal(p->namespaces, cases[i].namespaces);
    }
}

static void words_may_be_missing(void **state) {
    (void)state;
    char *words[] = {(char *)"/a", (char *)"-/b", NULL};
    SandboxConfig sandbox = {.hidden = words, .landlock_read = words};
    ServiceConfig config = {.sandbox = &sandbox};
    CLEANUP(sandbox_plan_freep) SandboxPlan *p = NULL;
    unsigned which = 0;
    assert_int_equal(sandbox_plan_draw(&config, &root, &p, &which), 0);
    assert_string_equal(p->mounts[1].path, "/a");
    assert_false(p->mounts[1].optional);
    assert_string_equal(p->mounts[2].path, "/b");
    assert_true(p->mounts[2].optional);
    assert_false(p->rules[0].optional);
    assert_string_equal(p->rules[1].path, "/b");
    assert_true(p->rules[1].optional);
}

/* Of read_only and read_write the path that is nearest decides, whatever the order in the lists. */
static void the_nearest_path_decides(void **state) {
    (void)state;
    char *closed[] = {(char *)"/srv/rw/ro", (char *)"/", (char *)"/same", NULL};
    char *open[] = {(char *)"/srv/rw/ro/rw", (char *)"/srv/rw", (char *)"-/same", NULL};
    const struct {
        MountOp op;
        const char *path;
        unsigned slot;
    } expected[] = {
        {MOUNT_OP_READ_ONLY, "/", 0},          {MOUNT_OP_READ_ONLY, "/same", 0},
        {MOUNT_OP_PLACE, "/same", 3},          {MOUNT_OP_PLACE, "/srv/rw", 2},
        {MOUNT_OP_READ_ONLY, "/srv/rw/ro", 0}, {MOUNT_OP_PLACE, "/srv/rw/ro/rw", 1},
    };
    SandboxConfig sandbox = {.read_only = closed, .read_write = open};
    ServiceConfig config = {.sandbox = &sandbox};
    CLEANUP(sandbox_plan_freep) SandboxPlan *p = NULL;
    unsigned which = 0;
    assert_int_equal(sandbox_plan_draw(&config, &root, &p, &which), 0);
    assert_int_equal(p->n_mounts, 4 + ELEMENTS(expected));
    for (size_t i = 0; i < ELEMENTS(expected); i++) {
        assert_int_equal(p->mounts[4 + i].op, expected[i].op);
        assert_string_equal(p->mounts[4 + i].path, expected[i].path);
        assert_int_equal(p->mounts[4 + i].slot, expected[i].slot);
    }
}

/* Who is not root has a user namespace as soon as there is anything to be had in one only. */
static void ordinary_users_come_first(void **state) {
    (void)state;
    char *none[] = {NULL}, *some[] = {(char *)"/", NULL};
    const struct {
        SandboxConfig config;
        bool first;
    } cases[] = {
        {{0}, false},
        {{.capabilities = none}, false},
        {{.landlock_read = some}, false},
        {{.private_users = true}, true},
        {{.network = SANDBOX_NETWORK_NONE}, true},
        {{.private_tmp = true}, true},
        {{.private_ipc = true}, true},
        {{.hidden = some}, true},
    };
    for (size_t i = 0; i < ELEMENTS(cases); i++) {
        for (int as_root = 0; as_root < 2; as_root++) {
            SandboxConfig sandbox = cases[i].config;
            ServiceConfig config = {.sandbox = &sandbox};
            CLEANUP(sandbox_plan_freep) SandboxPlan *p = NULL;
            unsigned which = 0;
            assert_int_equal(sandbox_plan_draw(&config, as_root ? &root : &ordinary, &p, &which), 0);
            assert_int_equal(p->users_first, cases[i].first && !as_root);
        }
    }
}

static void landlock_is_as_the_kernel_knows_it(void **state) {
    (void)state;
    char *some[] = {(char *)"/srv", NULL};
    const struct {
        int abi, result;
        uint64_t access;
    } cases[] = {
        {0, -EOPNOTSUPP, 0}, {1, 0, 0x1fff}, {2, 0, 0x3fff}, {3, 0, 0x7fff},
        {4, 0, 0x7fff},      {5, 0, 0xffff}, {6, 0, 0xffff}, {99, 0, 0xffff},
    };
    for (size_t i = 0; i < ELEMENTS(cases); i++) {
        SandboxConfig sandbox = {.landlock_read = some, .landlock_write = some};
        ServiceConfig config = {.sandbox = &sandbox};
        SandboxContext context = {.is_root = true, .landlock_abi = cases[i].abi};
        CLEANUP(sandbox_plan_freep) SandboxPlan *p = NULL;
        unsigned which = 0;
        assert_int_equal(sandbox_plan_draw(&config, &context, &p, &which), cases[i].result);
        assert_int_equal(p->landlock, cases[i].access);
        if (cases[i].result < 0) {
            assert_int_equal(which & 0xff, SANDBOX_PART_LANDLOCK);
            assert_int_equal(sandbox_step(which), STEP_SANDBOX);
            continue;
        }
        assert_int_equal(p->n_rules, 2);
        assert_int_equal(p->rules[0].access, 0xd);
        assert_int_equal(p->rules[1].access, cases[i].access);
    }
}

static void trees_are_bounded(void **state) {
    (void)state;
    char *slash[] = {(char *)"/", NULL}, *many[SANDBOX_TREES_MAX + 1] = {0};
    SandboxConfig sandbox = {.read_only = slash, .read_write = many};
    ServiceConfig config = {.sandbox = &sandbox};
    for (size_t n = SANDBOX_TREES_MAX - 2; n <= SANDBOX_TREES_MAX; n++) {
        CLEANUP(sandbox_plan_freep) SandboxPlan *p = NULL;
        unsigned which = 0;
        for (size_t i = 0; i < n; i++)
            many[i] = (char *)"/srv/x";
        /* One is the devices'. */
        assert_int_equal(sandbox_plan_draw(&config, &root, &p, &which), n < SANDBOX_TREES_MAX ? 0 : -E2BIG);
        char buf[64];
        if (n == SANDBOX_TREES_MAX)
            assert_string_equal(sandbox_where(p, which, buf, sizeof(buf)), "read_write /srv/x");
    }
}

static void failures_have_words(void **state) {
    (void)state;
    char *words[] = {(char *)"/srv/x", NULL};
    SandboxConfig sandbox = {.read_only = words, .landlock_write = words};
    ServiceConfig config = {.sandbox = &sandbox};
    CLEANUP(sandbox_plan_freep) SandboxPlan *p = NULL;
    unsigned which = 0;
    const struct {
        unsigned which;
        const char *words;
        SpawnStep step;
    } cases[] = {
        {SANDBOX_WHICH(SANDBOX_PART_NONE, 0), "", STEP_NAMESPACES},
        {SANDBOX_WHICH(SANDBOX_PART_USERS, 0), "user namespace", STEP_NAMESPACES},
        {SANDBOX_WHICH(SANDBOX_PART_NETWORK, 0), "network none", STEP_NAMESPACES},
        {SANDBOX_WHICH(SANDBOX_PART_MOUNT, 1), "read_only /srv/x", STEP_NAMESPACES},
        {SANDBOX_WHICH(SANDBOX_PART_MOUNT, 99), "mounts", STEP_NAMESPACES},
        {SANDBOX_WHICH(SANDBOX_PART_INIT, 0), "mp-init", STEP_NAMESPACES},
        {SANDBOX_WHICH(SANDBOX_PART_RULE, 0), "landlock.write /srv/x", STEP_SANDBOX},
        {SANDBOX_WHICH(SANDBOX_PART_SECCOMP, 0), "seccomp", STEP_SANDBOX},
        {SANDBOX_WHICH(SANDBOX_PART_CAPABILITIES, 0), "capabilities", STEP_SANDBOX},
        {0xff, "", STEP_NAMESPACES},
    };
    assert_int_equal(sandbox_plan_draw(&config, &root, &p, &which), 0);
    for (size_t i = 0; i < ELEMENTS(cases); i++) {
        char buf[64];
        assert_string_equal(sandbox_where(p, cases[i].which, buf, sizeof(buf)), cases[i].words);
        assert_int_equal(sandbox_step(cases[i].which), cases[i].step);
    }
    assert_string_equal(sandbox_hint(SANDBOX_WHICH(SANDBOX_PART_LANDLOCK, 3), EOPNOTSUPP),
                        "this kernel has no Landlock, or it is switched off");
    assert_string_equal(sandbox_hint(SANDBOX_WHICH(SANDBOX_PART_LANDLOCK, 0), EIO), "");
    assert_string_equal(sandbox_hint(0, EPERM), "");
}

/* What cannot be had is told with its name, and leaves nothing open. */
static void init_is_missed(void **state) {
    (void)state;
    SandboxConfig sandbox = {.private_pids = true};
    ServiceConfig config = {.sandbox = &sandbox};
    CLEANUP(sandbox_plan_freep) SandboxPlan *p = NULL;
    unsigned which = 0;
    assert_int_equal(sandbox_plan_new(&config, &root, &p, &which), -ENOENT);
    assert_int_equal(which, SANDBOX_PART_INIT);
    assert_true(p->init_fd < 0);
}

/* What is open for as long as the plan is there. */
static void descriptors_are_counted(void **state) {
    (void)state;
    char name[] = "cat", *exec[] = {name, NULL};
    static const struct {
        SandboxConfig sandbox;
        bool as_root;
        size_t n;
    } cases[] = {
        {{.private_tmp = true}, true, 0},
        {{.private_tmp = true}, false, 1},
        {{.network = SANDBOX_NETWORK_NONE}, true, 1},
        {{.network = SANDBOX_NETWORK_NONE}, false, 2},
        {{.network = SANDBOX_NETWORK_NONE, .private_users = true, .private_pids = true}, true, 3},
    };
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        SandboxConfig sandbox = cases[i].sandbox;
        ServiceConfig config = {.sandbox = &sandbox, .exec = exec};
        assert_int_equal(sandbox_descriptors(&config, cases[i].as_root), cases[i].n);
    }
    assert_int_equal(sandbox_descriptors(&(ServiceConfig){.exec = exec}, false), 0);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(mounts_stand_in_order),
        cmocka_unit_test(words_may_be_missing),
        cmocka_unit_test(the_nearest_path_decides),
        cmocka_unit_test(ordinary_users_come_first),
        cmocka_unit_test(landlock_is_as_the_kernel_knows_it),
        cmocka_unit_test(trees_are_bounded),
        cmocka_unit_test(failures_have_words),
        cmocka_unit_test(init_is_missed),
        cmocka_unit_test(descriptors_are_counted),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
