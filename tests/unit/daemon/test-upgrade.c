/* SPDX-License-Identifier: MIT */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "daemon/upgrade.h"

static void test_next(void **state) {
    static const struct {
        const char *what;
        UpgradeFacts facts;
        UpgradeStep step;
    } table[] = {
        {"asked for", {0}, UPGRADE_PROVE},
        {"during a reload", {.reloading = true}, UPGRADE_WAIT},
        {"while it is proven", {.proving = true}, UPGRADE_WAIT},
        {"proven", {.proven = true}, UPGRADE_SETTLE},
        {"proven, and settled", {.proven = true, .settled = true}, UPGRADE_EXECUTE},
        {"settled, and the config has changed since", {.settled = true}, UPGRADE_PROVE},
        {"a reload has begun since", {.proven = true, .settled = true, .reloading = true}, UPGRADE_WAIT},
        {"the daemon stops", {.stopping = true}, UPGRADE_CANCEL},
        {"it stops while it is proven", {.stopping = true, .proving = true}, UPGRADE_CANCEL},
        {"it stops at the last moment", {.stopping = true, .proven = true, .settled = true}, UPGRADE_CANCEL},
        {"it stops during a reload", {.stopping = true, .reloading = true}, UPGRADE_CANCEL},
    };
    (void)state;
    for (size_t i = 0; i < sizeof(table) / sizeof(table[0]); i++) {
        print_message("%s\n", table[i].what);
        assert_int_equal(upgrade_next(&table[i].facts), table[i].step);
    }
}

/* How the helper may end without a good word, and what is said of it. */
static void test_no_word(void **state) {
    static const uint8_t nonsense[] = "mpinetd 0.1.0\n";
    static const struct {
        HelperEnd end;
        const char *step, *part;
        int error;
    } table[] = {
        {{.error = -ENOENT}, "exec", "/x/mpinetd cannot be run: No such file or directory: put", ENOENT},
        {{.error = -EACCES}, "exec", "make it executable", EACCES},
        {{.error = -ENOEXEC}, "exec", "no program for this machine", ENOEXEC},
        {{.error = -ETXTBSY}, "exec", "renaming", ETXTBSY},
        {{.error = -EIO}, "exec", "Input/output error; version", EIO},
        {{.status = 1 << 8}, "proof", "it ended with exit status 1", 0},
        {{.status = 11}, "proof", "it was killed by SIGSEGV", 0},
        {{.too_late = true, .status = 9}, "proof", "it took longer than", 0},
        {{0}, "proof", "it ended without a word", 0},
        {{.result = nonsense, .n = sizeof(nonsense)}, "proof", "it ended without a word", 0},
    };
    (void)state;
    for (size_t i = 0; i < sizeof(table) / sizeof(table[0]); i++) {
        CLEANUP_PROOF Proof proof = {0};
        CLEANUP_TEXT Text text = {0};
        UpgradeFailure failure = {0};
        assert_false(upgrade_judge("/x/mpinetd", &table[i].end, &proof, &text, &failure));
        assert_string_equal(failure.step, table[i].step);
        assert_int_equal(failure.error, table[i].error);
        print_message("%s\n", failure.why);
        assert_non_null(strstr(failure.why, table[i].part));
        assert_non_null(strstr(failure.why, " goes on"));
    }
}

static void assert_judged(const Proof *given, bool good, const char *step, const char *part) {
    CLEANUP_BLOB BlobWriter w = {0};
    CLEANUP_PROOF Proof proof = {0};
    CLEANUP_TEXT Text text = {0};
    UpgradeFailure failure = {0};
    assert_int_equal(proof_write(&w, given), 0);
    HelperEnd end = {.result = w.data, .n = w.n};
    assert_int_equal(upgrade_judge("/x/mpinetd", &end, &proof, &text, &failure), good);
    assert_string_equal(proof.version, given->version);
    assert_int_equal(proof.diags.n, given->diags.n);
    assert_memory_equal(&proof.file, &given->file, sizeof(proof.file));
    if (good)
        return;
    assert_string_equal(failure.step, step);
    assert_non_null(strstr(failure.why, part));
    /* What it has written counts only when it has ended well. */
    end.status = 1 << 8;
    assert_false(upgrade_judge("/x/mpinetd", &end, &proof, &text, &failure));
    assert_string_equal(failure.step, "proof");
}

static void test_word(void **state) {
    char version[] = "9.1", step[] = "state", why[] = "it is of format 7";
    (void)state;
    assert_judged(&(Proof){.ok = true, .version = version}, true, NULL, NULL);
    assert_judged(&(Proof){.ok = true, .version = version, .file = {{1, 2, 3, UINT64_MAX}}}, true, NULL,
                  NULL);
    assert_judged(&(Proof){.version = version, .step = step, .why = why}, false, "state",
                  "/x/mpinetd (version 9.1) cannot take over: it is of format 7; version ");
    CLEANUP_PROOF Proof bad = {.version = strdup("9.1"), .step = strdup("config"), .why = strdup("see")};
    DiagPos nowhere = {.file = "a.yaml", .line = 3, .column = 1, .end_column = 2};
    diag_add(&bad.diags, DIAG_ERROR, DIAG_UNKNOWN_KEY, &nowhere, NULL, "a hint", "unknown key 'x'");
    assert_judged(&bad, false, "config", "cannot take over: see; version ");
}

static void test_file(void **state) {
    static const struct {
        ProofFile a, b;
        bool differs;
    } table[] = {
        {{{1, 2, 3, 4}}, {{1, 2, 3, 4}}, false}, {{{1, 2, 3, 4}}, {{2, 2, 3, 4}}, true},
        {{{1, 2, 3, 4}}, {{1, 3, 3, 4}}, true},  {{{1, 2, 3, 4}}, {{1, 2, 4, 4}}, true},
        {{{1, 2, 3, 4}}, {{1, 2, 3, 5}}, true},  {{{1, 2, 3, 4}}, {{0}}, false},
        {{{0}}, {{1, 2, 3, 4}}, false},          {{{0}}, {{0}}, false},
    };
    (void)state;
    for (size_t i = 0; i < sizeof(table) / sizeof(table[0]); i++)
        assert_int_equal(proof_file_differs(&table[i].a, &table[i].b), table[i].differs);
    ProofFile own = proof_file("/proc/self/exe"), none = proof_file("/does/not/exist");
    assert_int_not_equal(own.numbers[1], 0);
    assert_int_equal(none.numbers[1], 0);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_next),
        cmocka_unit_test(test_no_word),
        cmocka_unit_test(test_word),
        cmocka_unit_test(test_file),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
