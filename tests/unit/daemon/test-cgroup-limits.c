/* SPDX-License-Identifier: MIT */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "daemon/base/cleanup.h"
#include "daemon/base/text.h"
#include "daemon/cgroup-file.h"
#include "daemon/cgroup-limits.h"

#define ALL                                                                                                  \
    (CGROUP_BIT(CGROUP_CPU) | CGROUP_BIT(CGROUP_IO) | CGROUP_BIT(CGROUP_MEMORY) | CGROUP_BIT(CGROUP_PIDS))

/* A folder that looks like a group: what is written to a file begins at its first byte, as there. */
static const char *const files[] = {"memory.oom.group", "memory.high", "memory.max",
                                    "cpu.max",          "pids.max",    "io.weight"};
static const char *const nothing[] = {"0\n", "max\n", "max\n", "max 100000\n", "max\n", "default 100\n"};

static void put(int dir, const char *file, const char *text) {
    CLEANUP_CLOSE int fd = openat(dir, file, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0644);
    assert_true(fd >= 0);
    assert_int_equal(write(fd, text, strlen(text)), strlen(text));
}

static int make_group(char *path) {
    assert_non_null(mkdtemp(path));
    int dir = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    assert_true(dir >= 0);
    for (size_t i = 0; i < ELEMENTS(files); i++)
        put(dir, files[i], nothing[i]);
    put(dir, "cgroup.subtree_control", "");
    return dir;
}

static void remove_group(int dir, const char *path) {
    static const char *const others[] = {"cgroup.subtree_control", "memory.current"};
    for (size_t i = 0; i < ELEMENTS(files); i++)
        (void)unlinkat(dir, files[i], 0);
    for (size_t i = 0; i < ELEMENTS(others); i++)
        (void)unlinkat(dir, others[i], 0);
    (void)close(dir);
    assert_int_equal(rmdir(path), 0);
}

/* One in which more memory is used than @one_byte allows, whose limit is yet to be put there. */
static int make_full_group(char *path) {
    int dir = make_group(path);
    put(dir, "memory.current", "2\n");
    assert_int_equal(unlinkat(dir, "memory.max", 0), 0);
    return dir;
}

static const CgroupConfig none = {
    .memory_max = UINT64_MAX, .memory_high = UINT64_MAX, .cpu_max = UINT64_MAX, .pids_max = UINT64_MAX};
static const CgroupConfig one_byte = {
    .memory_max = 1, .memory_high = UINT64_MAX, .cpu_max = UINT64_MAX, .pids_max = UINT64_MAX};

static void assert_file(int dir, const char *file, const char *text) {
    char now[CGROUP_FILE_MAX];
    assert_true(cgroup_read(dir, file, now, sizeof(now)) >= 0);
    assert_int_equal(strncmp(now, text, strlen(text)), 0);
}

/* Who has more memory than he may: another process brings him below. */
static void test_aside(void **state) {
    const char *refused = NULL;
    static const struct {
        const char *used;
        size_t n_errands;
    } cases[] = {{"1048575\n", 0}, {"1048576\n", 0}, {"1048577\n", 1}, {NULL, 0}};
    CgroupConfig limits = none;
    (void)state;
    limits.memory_max = 1048576;
    limits.pids_max = 7;
    for (size_t i = 0; i < ELEMENTS(cases); i++) {
        char path[] = "/tmp/mpt-cgroup-XXXXXX";
        Errands errands = {0};
        int dir = make_group(path);
        if (cases[i].used)
            put(dir, "memory.current", cases[i].used);
        assert_int_equal(cgroup_limits_apply(dir, &none, &limits, false, ALL, &errands, &refused), 0);
        assert_int_equal(errands.n, cases[i].n_errands);
        for (size_t k = 0; k < errands.n; k++) {
            int status = -1;
            assert_int_equal(waitpid(errands.items[k].pid, &status, 0), errands.items[k].pid);
            assert_int_equal(status, 0);
        }
        assert_file(dir, "memory.max", "1048576");
        assert_file(dir, "memory.high", "max");
        assert_file(dir, "pids.max", "7");
        errands_done(&errands);
        remove_group(dir, path);
    }
}

static void test_what_is_not_there(void **state) {
    const char *refused = NULL;
    char path[] = "/tmp/mpt-cgroup-XXXXXX";
    Errands errands = {0};
    int dir = make_full_group(path);
    (void)state;
    assert_int_equal(cgroup_limits_apply(dir, NULL, &one_byte, false, ALL, &errands, &refused), -ENOENT);
    assert_non_null(refused);
    assert_int_equal(errands.n, 0);
    assert_int_equal(
        cgroup_limits_apply(dir, NULL, &one_byte, false, CGROUP_BIT(CGROUP_CPU), &errands, &refused), 0);
    /* A limit that is taken away was none. */
    assert_int_equal(cgroup_limits_apply(dir, &one_byte, NULL, false, ALL, &errands, &refused), 0);
    errands_done(&errands);
    remove_group(dir, path);
}

/* What the other process could not write is told, not taken for set. */
static void test_aside_refused(void **state) {
    const char *refused = NULL;
    char path[] = "/tmp/mpt-cgroup-XXXXXX";
    Errands errands = {0};
    int dir = make_full_group(path);
    (void)state;
    assert_int_equal(symlinkat("/dev/full", dir, "memory.max"), 0);
    assert_int_equal(cgroup_limits_apply(dir, &none, &one_byte, false, ALL, &errands, &refused), -ENOSPC);
    assert_string_equal(refused, "memory.max");
    assert_int_equal(errands.n, 1);
    assert_int_equal(waitpid(errands.items[0].pid, NULL, 0), errands.items[0].pid);
    errands_done(&errands);
    remove_group(dir, path);
}

/* All that the one has the other gets, and nothing else. */
static void test_hand_down(void **state) {
    char path[] = "/tmp/mpt-cgroup-XXXXXX", below_path[] = "/tmp/mpt-cgroup-XXXXXX";
    int dir = make_group(path), below = make_group(below_path);
    (void)state;
    for (size_t i = 0; i < ELEMENTS(files); i++)
        assert_int_equal(unlinkat(below, files[i], 0), 0);
    put(dir, "memory.max", "4096\n");
    put(dir, "cpu.max", "50000 100000\n");
    put(dir, "io.weight", "default 50\n8:0 70\n");
    put(below, "memory.max", "");
    put(below, "cpu.max", "");
    put(below, "io.weight", "");
    assert_int_equal(cgroup_limits_hand_down(dir, below, ALL), 0);
    assert_file(below, "memory.max", "4096");
    assert_file(below, "cpu.max", "50000 100000");
    assert_file(below, "io.weight", "default 50");
    assert_int_equal(faccessat(below, "pids.max", F_OK, 0), -1);
    put(dir, "pids.max", "3\n");
    assert_int_equal(cgroup_limits_hand_down(dir, below, CGROUP_BIT(CGROUP_MEMORY)), 0);
    /* One that cannot be had there is told. */
    assert_int_equal(cgroup_limits_hand_down(dir, below, ALL), -ENOENT);
    remove_group(below, below_path);
    remove_group(dir, path);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_aside),
        cmocka_unit_test(test_what_is_not_there),
        cmocka_unit_test(test_aside_refused),
        cmocka_unit_test(test_hand_down),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
