/* SPDX-License-Identifier: MIT */
#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

#include <cmocka.h>

#include "daemon/base/cleanup.h"
#include "daemon/base/hash-table.h"
#include "tests/unit/random.h"

typedef struct Item {
    HashNode node;
    bool in;
} Item;

static bool holds(const HashTable *t, const Item *item) {
    size_t found = 0;
    for (HashNode *n = hash_table_first(t, item->node.hash); n; n = hash_table_next(n)) {
        assert_int_equal(n->hash, item->node.hash);
        found += HASH_ENTRY(n, Item, node) == item;
    }
    assert_true(found <= 1);
    return found == 1;
}

static void test_empty(void **state) {
    (void)state;
    HashTable t = {0};
    assert_null(hash_table_first(&t, 0));
    assert_null(hash_table_first(&t, UINT32_MAX));
    hash_table_done(&t);
}

/* All that is in is found, all that is not is not, whatever is being moved just then. */
static void test_adds_and_removes(void **state) {
    (void)state;
    enum {
        N = 3000
    };
    Item *items = calloc(N, sizeof(*items));
    assert_non_null(items);
    for (uint64_t seed = 1; seed <= 6; seed++) {
        HashTable t = {0};
        uint64_t random = seed;
        size_t n = 0;
        for (size_t i = 0; i < N; i++) /* with odd seeds, many share a hash */
            items[i] =
                (Item){.node.hash = (uint32_t)random_next(&random) & (seed % 2 ? 0xff00ff : UINT32_MAX)};
        for (size_t step = 0; step < 20000; step++) {
            Item *item = &items[random_below(&random, N)];
            /* More come than go, then more go than come. */
            bool wanted = random_below(&random, 4) < (step < 12000 ? 3 : 1);
            if (wanted && !item->in) {
                assert_int_equal(hash_table_add(&t, &item->node), 0);
                n++;
            } else if (!wanted && item->in) {
                hash_table_remove(&t, &item->node);
                n--;
            } else {
                continue;
            }
            item->in = wanted;
            assert_int_equal(t.n, n);
            for (size_t k = 0; k < 8; k++) {
                Item *other = &items[random_below(&random, N)];
                assert_int_equal(holds(&t, other), other->in);
            }
        }
        for (size_t i = 0; i < N; i++)
            assert_int_equal(holds(&t, &items[i]), items[i].in);
        hash_table_done(&t);
    }
    free(items);
}

/* It has grown as much as its content, and no change moves more than a few. */
static void test_grows_in_steps(void **state) {
    (void)state;
    enum {
        N = 100000
    };
    HashTable t = {0};
    Item *items = calloc(N, sizeof(*items));
    assert_non_null(items);
    size_t moved = 0, buckets = 0;
    for (size_t i = 0; i < N; i++) {
        items[i].node.hash = (uint32_t)(i * 2654435761U);
        assert_int_equal(hash_table_add(&t, &items[i].node), 0);
        assert_true(t.n <= t.n_buckets + 1);
        if (t.old && t.n_buckets == buckets)
            assert_true(t.n_moved - moved <= 4);
        moved = t.old ? t.n_moved : 0;
        buckets = t.n_buckets;
    }
    assert_true(t.n_buckets >= N / 2 && t.n_buckets <= (size_t)2 * N);
    for (size_t i = 0; i < N; i++)
        assert_true(holds(&t, &items[i]));
    hash_table_done(&t);
    assert_int_equal(t.n, 0);
    free(items);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_empty),
        cmocka_unit_test(test_adds_and_removes),
        cmocka_unit_test(test_grows_in_steps),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
