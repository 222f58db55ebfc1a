/* SPDX-License-Identifier: MIT */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>
#include <errno.h>

#include "daemon/cgroup-text.h"

#define NONE UINT64_MAX
#define NO_LIMITS .memory_max = NONE, .memory_high = NONE, .cpu_max = NONE, .pids_max = NONE

static void test_membership(void **state) {
    static const struct {
        const char *text, *path;
        int error;
    } cases[] = {
        {"0::/\n", "/", 0},
        {"0::/system.slice/mpinetd.service\n", "/system.slice/mpinetd.service", 0},
        {"9:name=systemd:/\n4:memory:/a/b\n0::/user.slice\n", "/user.slice", 0},
        {"0::/a:b c\n", "/a:b c", 0},
        {"0::/../other", "/../other", 0},
        {"4:memory:/a\n1:cpu:/\n", NULL, -ENODATA},
        {"10::/a\n", NULL, -ENODATA},
        {"0::\n", NULL, -ENODATA},
        {"", NULL, -ENODATA},
        {"0::/gone (deleted)\n", NULL, -ENOENT},
    };
    (void)state;
    for (size_t i = 0; i < ELEMENTS(cases); i++) {
        CLEANUP_TEXT Text path = {0};
        assert_int_equal(cgroup_parse_membership(cases[i].text, &path), cases[i].error);
        if (cases[i].path)
            assert_string_equal(path.s, cases[i].path);
        else
            assert_int_equal(path.len, 0);
    }
}

#define PROC "22 1 0:20 / /proc rw - proc proc rw\n"
#define V1 "30 1 0:30 / /sys/fs/cgroup/memory rw,relatime - cgroup cgroup rw,memory\n"
#define V2 "41 31 0:38 / /sys/fs/cgroup/unified rw,relatime shared:9 - cgroup2 cgroup2 rw\n"
#define V2_PART "41 31 0:38 /a/b /box\\040of\\134b rw - cgroup2 cgroup2 rw\n"

static void test_mounts(void **state) {
    static const struct {
        const char *mounts, *path, *folder;
        int error;
    } cases[] = {
        {PROC V1 V2, "/", "/sys/fs/cgroup/unified", 0},
        {V2 PROC, "/a/b", "/sys/fs/cgroup/unified/a/b", 0},
        {V2_PART, "/a/b", "/box of\\b", 0},
        {V2_PART, "/a/b/c", "/box of\\b/c", 0},
        {V2_PART, "/a/bc", NULL, -ENXIO},
        {V2_PART, "/", NULL, -ENXIO},
        {V2_PART V2, "/x", "/sys/fs/cgroup/unified/x", 0},
        {PROC V1, "/", NULL, -ENODEV},
        {"", "/", NULL, -ENODEV},
        {"41 31 - cgroup2 ", "/", NULL, -ENODEV},
        {" - cgroup2 ", "/", NULL, -ENODEV},
        {"1 2 3 \\0 \\04 rw - cgroup2 x rw", "\\0", "\\04", 0},
    };
    (void)state;
    for (size_t i = 0; i < ELEMENTS(cases); i++) {
        CLEANUP_TEXT Text folder = {0};
        assert_int_equal(cgroup_parse_mounts(cases[i].mounts, cases[i].path, &folder), cases[i].error);
        if (cases[i].folder)
            assert_string_equal(folder.s, cases[i].folder);
        else
            assert_int_equal(folder.len, 0);
    }
}

static void test_controllers(void **state) {
    static const struct {
        const char *text;
        unsigned set;
        const char *words;
    } cases[] = {
        {"", 0, ""},
        {"hugetlb\n", 0, ""},
        {"cpuset cpu io memory hugetlb pids rdma misc\n", 15, "cpu, io, memory and pids"},
        {"memory", CGROUP_BIT(CGROUP_MEMORY), "memory"},
        {"memory pids\n", CGROUP_BIT(CGROUP_MEMORY) | CGROUP_BIT(CGROUP_PIDS), "memory and pids"},
        {"pids io cpu\n", CGROUP_BIT(CGROUP_PIDS) | CGROUP_BIT(CGROUP_IO) | CGROUP_BIT(CGROUP_CPU),
         "cpu, io and pids"},
        {"memor memoryx  pid", 0, ""},
    };
    (void)state;
    for (size_t i = 0; i < ELEMENTS(cases); i++) {
        CLEANUP_TEXT Text words = {0};
        assert_int_equal(cgroup_parse_controllers(cases[i].text), cases[i].set);
        cgroup_format_controllers(cases[i].set, &words);
        assert_string_equal(words.s ? words.s : "", cases[i].words);
    }
}

static void test_counts(void **state) {
    static const char events[] = "low 0\nhigh 3\nmax 12\noom 2\noom_kill 1\noom_group_kill 7\n";
    (void)state;
    assert_int_equal(cgroup_parse_count(events, "oom_kill"), 1);
    assert_int_equal(cgroup_parse_count(events, "oom"), 2);
    assert_int_equal(cgroup_parse_count(events, "max"), 12);
    assert_int_equal(cgroup_parse_count(events, "ma"), 0);
    assert_int_equal(cgroup_parse_count(events, "kill"), 0);
    assert_int_equal(cgroup_parse_count("", "max"), 0);
    assert_int_equal(cgroup_parse_count("max", "max"), 0);
    assert_int_equal(cgroup_parse_count("max ", "max"), 0);
    assert_true(cgroup_parse_count("n 18446744073709551615\n", "n") == UINT64_MAX);
}

/* No two services may meet in one group, nor in the daemon's, nor in a file of the kernel's. */
static void test_names(void **state) {
    static const struct {
        const char *service, *name;
    } cases[] = {
        {"echo", "echo"},
        {"mpinetd", "_mpinetd"},
        {"mpinetd2", "mpinetd2"},
        {"cgroup.procs", "_cgroup.procs"},
        {"memory.max", "_memory.max"},
        {"memory", "memory"},
        {"memory-x.y", "memory-x.y"},
        {"io.stat", "_io.stat"},
        {"cpu.echo", "_cpu.echo"},
        {"a@b.c+d", "a@b.c+d"},
        {"7", "7"},
    };
    (void)state;
    for (size_t i = 0; i < ELEMENTS(cases); i++) {
        CLEANUP_TEXT Text name = {0};
        cgroup_format_name(cases[i].service, &name);
        assert_string_equal(name.s, cases[i].name);
    }
}

static void test_numbers(void **state) {
    static const struct {
        const char *name;
        uint64_t number;
    } cases[] = {
        {"1", 1},
        {"120", 120},
        {"999999999999999999", 999999999999999999},
        {"0", 0},
        {"01", 0},
        {"", 0},
        {"all", 0},
        {"1a", 0},
        {"-1", 0},
        {" 1", 0},
        {"+1", 0},
        {"1 ", 0},
        {"18446744073709551615", 0},
    };
    (void)state;
    for (size_t i = 0; i < ELEMENTS(cases); i++) {
        uint64_t number = 0;
        assert_int_equal(cgroup_parse_number(cases[i].name, &number), cases[i].number > 0);
        assert_true(number == cases[i].number);
    }
}

static void test_needs(void **state) {
    static const struct {
        CgroupConfig config;
        unsigned set;
    } cases[] = {
        {{NO_LIMITS}, 0},
        {{NO_LIMITS, .per_instance = true}, 0},
        {{.memory_max = 1, .memory_high = NONE, .cpu_max = NONE, .pids_max = NONE},
         CGROUP_BIT(CGROUP_MEMORY)},
        {{.memory_max = NONE, .memory_high = 1, .cpu_max = NONE, .pids_max = NONE},
         CGROUP_BIT(CGROUP_MEMORY)},
        {{.memory_max = NONE, .memory_high = NONE, .cpu_max = 500, .pids_max = 3},
         CGROUP_BIT(CGROUP_CPU) | CGROUP_BIT(CGROUP_PIDS)},
        {{NO_LIMITS, .io_weight = 10}, CGROUP_BIT(CGROUP_IO)},
    };
    (void)state;
    for (size_t i = 0; i < ELEMENTS(cases); i++)
        assert_int_equal(cgroup_controllers_of(&cases[i].config), cases[i].set);
}

static const CgroupConfig all_limits = {
    .memory_max = 64 << 20, .memory_high = 48 << 20, .cpu_max = 1500, .pids_max = 32, .io_weight = 50};
static const CgroupConfig tiny = {.memory_max = NONE, .memory_high = NONE, .cpu_max = 1, .pids_max = NONE};
static const CgroupConfig no_limits = {NO_LIMITS};
static const CgroupConfig smallest = {
    .memory_max = 1, .memory_high = 1, .cpu_max = 1, .pids_max = 1, .io_weight = 1};

static void test_marks(void **state) {
    (void)state;
    assert_true(cgroup_is_of("git", "git"));
    assert_true(cgroup_is_of("_0123abcd.git", "git"));
    assert_true(cgroup_is_of("_mpinetd", "mpinetd"));
    assert_true(cgroup_is_of("_0123abcd._mpinetd", "mpinetd"));
    assert_false(cgroup_is_of("_0123abcd.git", "0123abcd.git"));
    assert_false(cgroup_is_of("0123abcd.git", "git"));
    assert_false(cgroup_is_of("_0123abc.git", "git"));
    assert_false(cgroup_is_of("_0123abcd", "git"));
    assert_false(cgroup_is_of("", "git"));
}

/* What is to be written, as "FILE=VALUE,…". */
static void test_settings(void **state) {
    static const struct {
        const CgroupConfig *from, *to;
        bool alone;
        const char *text;
    } cases[] = {
        {NULL, &no_limits, false, ""},
        {NULL, &no_limits, true, ""},
        {NULL, NULL, false, ""},
        {NULL, &all_limits, false,
         "memory.high=50331648,memory.max=67108864,cpu.max=150000 100000,pids.max=32,io.weight=default 50,"},
        {NULL, &all_limits, true,
         "memory.oom.group=1,memory.high=50331648,memory.max=67108864,cpu.max=150000 100000,pids.max=32,"
         "io.weight=default 50,"},
        {&all_limits, &all_limits, true, ""},
        {&all_limits, NULL, false,
         "memory.high=max,memory.max=max,cpu.max=max 100000,pids.max=max,io.weight=default 100,"},
        {&all_limits, &no_limits, true,
         "memory.oom.group=0,memory.high=max,memory.max=max,cpu.max=max 100000,pids.max=max,"
         "io.weight=default 100,"},
        {NULL, &tiny, false, "cpu.max=1000 100000,"},
        {&tiny, &no_limits, false, "cpu.max=max 100000,"},
        {&cgroup_limits_unknown, &smallest, true,
         "memory.oom.group=1,memory.high=1,memory.max=1,cpu.max=1000 100000,pids.max=1,io.weight=default 1,"},
        {&cgroup_limits_unknown, NULL, true,
         "memory.oom.group=0,memory.high=max,memory.max=max,cpu.max=max 100000,pids.max=max,"
         "io.weight=default 100,"},
    };
    (void)state;
    for (size_t i = 0; i < ELEMENTS(cases); i++) {
        CgroupSetting settings[CGROUP_SETTINGS_MAX];
        CLEANUP_TEXT Text text = {0};
        size_t n = cgroup_settings(cases[i].from, cases[i].to, cases[i].alone, settings);
        for (size_t k = 0; k < n; k++) {
            const char *controller = cgroup_controller_to_string(settings[k].controller);
            assert_true(starts_with(settings[k].file, controller));
            assert_int_equal(settings[k].lifts, !cases[i].to || cases[i].to == &no_limits);
            text_addf(&text, "%s=%s,", settings[k].file, settings[k].value);
        }
        assert_string_equal(text.s ? text.s : "", cases[i].text);
    }
}

static void test_claims(void **state) {
    static const struct {
        CgroupFacts facts;
        CgroupClaim claim;
    } cases[] = {
        {{0}, CGROUP_CLAIM_NONE},
        {{.machine = true, .namespace_root = true, .alone = true}, CGROUP_CLAIM_BELOW},
        {{.delegated = true}, CGROUP_CLAIM_HERE},
        {{.namespace_root = true}, CGROUP_CLAIM_HERE},
        {{.alone = true}, CGROUP_CLAIM_HERE},
        {{.alone = true, .in_leaf = true}, CGROUP_CLAIM_HERE},
        {{.alone = true, .unit = true}, CGROUP_CLAIM_NONE},
        {{.alone = true, .unit = true, .delegated = true}, CGROUP_CLAIM_HERE},
        {{.namespace_root = true, .unit = true}, CGROUP_CLAIM_HERE},
        {{.in_leaf = true}, CGROUP_CLAIM_NONE},
        {{.parent_delegated = true}, CGROUP_CLAIM_NONE},
        {{.in_leaf = true, .parent_delegated = true}, CGROUP_CLAIM_ABOVE},
        {{.in_leaf = true, .parent_delegated = true, .alone = true}, CGROUP_CLAIM_ABOVE},
    };
    (void)state;
    for (size_t i = 0; i < ELEMENTS(cases); i++)
        assert_int_equal(cgroup_claim(&cases[i].facts), cases[i].claim);
    assert_true(cgroup_is_unit("mpinetd.service"));
    assert_true(cgroup_is_unit("run-r1.2.scope"));
    assert_false(cgroup_is_unit("mpinetd"));
    assert_false(cgroup_is_unit("service"));
    assert_false(cgroup_is_unit("mpinetd.service.d"));
    assert_false(cgroup_is_unit(""));
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_membership),  cmocka_unit_test(test_mounts),
        cmocka_unit_test(test_controllers), cmocka_unit_test(test_counts),
        cmocka_unit_test(test_names),       cmocka_unit_test(test_numbers),
        cmocka_unit_test(test_needs),       cmocka_unit_test(test_settings),
        cmocka_unit_test(test_claims),      cmocka_unit_test(test_marks),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
