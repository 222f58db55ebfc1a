/* SPDX-License-Identifier: MIT */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include <fcntl.h>
#include <sys/mman.h>

#include "daemon/ledger.h"

static LedgerRecord record(pid_t pid, uint64_t number) {
    return (LedgerRecord){.pid = pid, .number = number, .service = ledger_service("s"), .name = "s"};
}

static size_t count(const Ledger *l) {
    uint32_t place = 0;
    LedgerRecord r;
    size_t n = 0;
    while (ledger_next(l, &place, &r))
        n++;
    return n;
}

static void test_places(void **state) {
    (void)state;
    Ledger *l = NULL;
    uint32_t places[300];
    assert_int_equal(ledger_new(&l), 0);
    for (uint32_t i = 0; i < ELEMENTS(places); i++) {
        LedgerRecord r = record((pid_t)i + 100, i);
        places[i] = ledger_add(l, &r);
        assert_int_equal(places[i], i + 1);
    }
    assert_int_equal(count(l), 300);
    for (size_t i = 0; i < 100; i++)
        ledger_remove(l, &places[i]);
    assert_int_equal(places[0], 0);
    assert_int_equal(count(l), 200);
    /* Twice is once. */
    ledger_remove(l, &places[0]);
    assert_int_equal(count(l), 200);
    /* Places that were used are used again, before memory that was not. */
    LedgerRecord r = record(7, 7);
    assert_true(ledger_add(l, &r) <= 100);
    ledger_free(l);
}

static void test_full(void **state) {
    (void)state;
    Ledger *l = NULL;
    assert_int_equal(ledger_new(&l), 0);
    LedgerRecord r = record(100, 1);
    for (uint32_t i = 0; i < LEDGER_RECORDS; i++)
        assert_int_not_equal(ledger_add(l, &r), 0);
    assert_int_equal(ledger_add(l, &r), 0);
    uint32_t place = 5;
    ledger_remove(l, &place);
    assert_int_equal(ledger_add(l, &r), 5);
    ledger_free(l);
}

static void test_goes_on(void **state) {
    (void)state;
    Ledger *l = NULL, *again = NULL;
    assert_int_equal(ledger_new(&l), 0);
    LedgerRecord r = record(100, 1), got;
    r.kind = LEDGER_SLOT;
    r.slot = 3;
    uint32_t first = ledger_add(l, &r), place = 0;
    r = record(101, 2);
    uint32_t second = ledger_add(l, &r);
    ledger_remove(l, &first);
    int fd = fcntl(ledger_fd(l), F_DUPFD_CLOEXEC, 3);
    /* The daemon is gone, without a word. */
    ledger_free(l);
    assert_int_equal(ledger_open(fd, &again), 0);
    assert_true(ledger_next(again, &place, &got));
    assert_int_equal(place, second);
    assert_int_equal(got.pid, 101);
    assert_int_equal(got.number, 2);
    assert_false(ledger_next(again, &place, &got));
    assert_int_equal(ledger_add(again, &r), 1);
    ledger_free(again);
}

/* What is no ledger, or not one of ours, is not believed; nor is what a record says. */
static void test_strange(void **state) {
    (void)state;
    Ledger *l = NULL, *other = NULL;
    assert_int_equal(ledger_open(open("/dev/null", O_RDWR | O_CLOEXEC), &l), -EBADMSG);
    assert_int_equal(ledger_open(memfd_create("x", MFD_CLOEXEC), &l), -EBADMSG);
    assert_int_equal(ledger_new(&l), 0);
    char *at = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED, ledger_fd(l), 0);
    assert_ptr_not_equal(at, MAP_FAILED);
    at[8]++; /* the version */
    assert_int_equal(ledger_open(fcntl(ledger_fd(l), F_DUPFD_CLOEXEC, 3), &other), -EBADMSG);
    at[8]--;
    at[24] = 'x'; /* the boot */
    assert_int_equal(ledger_open(fcntl(ledger_fd(l), F_DUPFD_CLOEXEC, 3), &other), -ESTALE);
    LedgerRecord r = record(1, 1);
    (void)ledger_add(l, &r);
    r = record(-1, 1);
    (void)ledger_add(l, &r);
    r = record(100, 1);
    r.kind = _LEDGER_KIND_MAX;
    (void)ledger_add(l, &r);
    r.kind = 0;
    memset(r.name, 'n', sizeof(r.name));
    (void)ledger_add(l, &r);
    uint32_t place = 0;
    assert_true(ledger_next(l, &place, &r));
    assert_int_equal(place, 4);
    assert_int_equal(strlen(r.name), LEDGER_NAME_MAX - 1);
    (void)munmap(at, 4096);
    ledger_free(l);
    /* Without one nothing is kept. */
    assert_int_equal(ledger_add(NULL, &r), 0);
    assert_false(ledger_next(NULL, &place, &r));
}

typedef struct StatCase {
    const char *text;
    bool good;
    char state;
    uint64_t ticks;
} StatCase;

static const StatCase stats[] = {
    {"7 (cat) S 1 7 7 0 -1 4194560 1 0 0 0 0 0 0 0 20 0 1 0 4711 2 3", true, 'S', 4711},
    {"7 (a) Z (b) R 1 7 7 0 -1 4194560 1 0 0 0 0 0 0 0 20 0 1 0 99 2 3", true, 'R', 99},
    {"7 (cat) S 1 7 7", false, 0, 0},
    {"", false, 0, 0},
};

static void test_stat(void **state) {
    (void)state;
    for (size_t i = 0; i < ELEMENTS(stats); i++) {
        char got = 0;
        uint64_t ticks = 0;
        assert_int_equal(ledger_parse_stat(stats[i].text, &got, &ticks), stats[i].good);
        if (stats[i].good) {
            assert_int_equal(got, stats[i].state);
            assert_int_equal(ticks, stats[i].ticks);
        }
    }
}

typedef struct SameCase {
    uint64_t born, known, ticks, hz;
    bool same;
} SameCase;

static const SameCase same_cases[] = {
    {5000000, 5004000, 500, 100, true},         {5000000, 5004000, 499, 100, true},
    {5000000, 5004000, 498, 100, true},         {5000000, 5004000, 497, 100, false},
    {5000000, 5004000, 501, 100, true},         {5000000, 5004000, 502, 100, false},
    {5000000, 9000000, 900, 100, true},         {5000000, 9000000, 902, 100, false},
    {5000000, 5004000, 5002, 1000, true},       {5000000, 5004000, 500, 0, false},
    {5000000, 5004000, UINT64_MAX, 100, false},
};

static void test_same(void **state) {
    (void)state;
    for (size_t i = 0; i < ELEMENTS(same_cases); i++) {
        const SameCase *t = &same_cases[i];
        LedgerRecord r = {.born_usec = t->born, .known_usec = t->known};
        if (ledger_is_same(&r, t->ticks, t->hz) != t->same)
            fail_msg("case %zu", i);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_places),  cmocka_unit_test(test_full), cmocka_unit_test(test_goes_on),
        cmocka_unit_test(test_strange), cmocka_unit_test(test_stat), cmocka_unit_test(test_same),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
