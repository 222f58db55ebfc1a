/* SPDX-License-Identifier: MIT */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "daemon/base/addr.h"

#define TAG 7

/* What comes back of @n @bytes; whether they were taken. */
static bool get(const void *bytes, size_t n, Addr *ret) {
    CLEANUP_BLOB BlobWriter w = {0};
    BlobSource source;
    BlobReader r;
    BlobField f;
    blob_begin(&w, BLOB_STATE);
    blob_put_bytes(&w, TAG, bytes, n);
    assert_int_equal(blob_end(&w), 0);
    assert_int_equal(blob_source_init(&source, w.data, w.n, BLOB_STATE, &r), 0);
    assert_true(blob_next(&r, &f));
    *ret = addr_get(&f);
    bool good = !blob_is_spoilt(&source);
    blob_source_done(&source);
    return good;
}

static void test_round_trip(void **state) {
    (void)state;
    Addr addrs[6] = {{.len = 0}}, back;
    assert_int_equal(addr_parse_ip("192.0.2.1", 80, &addrs[0]), 0);
    assert_int_equal(addr_parse_ip("2001:db8::1", 443, &addrs[1]), 0);
    assert_int_equal(addr_set_unix("/run/x.sock", &addrs[2]), 0);
    assert_int_equal(addr_set_unix("@abstract", &addrs[3]), 0);
    addrs[4].vm = (struct sockaddr_vm){.svm_family = AF_VSOCK, .svm_cid = 3, .svm_port = 1024};
    addrs[4].len = sizeof(addrs[4].vm);
    /* An unnamed one. */
    addrs[5].sa.sa_family = AF_UNIX;
    addrs[5].len = sizeof(sa_family_t);
    for (size_t i = 0; i < ELEMENTS(addrs); i++) {
        assert_true(get(&addrs[i].storage, addrs[i].len, &back));
        assert_int_equal(back.len, addrs[i].len);
        assert_true(addr_equal(&addrs[i], &back));
    }
}

static void test_no_address(void **state) {
    (void)state;
    Addr v4, v6, other = {.len = 0}, back;
    unsigned char much[sizeof(struct sockaddr_storage) + 1] = {0};
    assert_int_equal(addr_parse_ip("192.0.2.1", 80, &v4), 0);
    assert_int_equal(addr_parse_ip("2001:db8::1", 80, &v6), 0);
    other.sa.sa_family = AF_NETLINK;
    const struct {
        const void *bytes;
        size_t n;
    } cases[] = {
        {&v4.storage, 0},          {&v4.storage, 1},
        {&v4.storage, v4.len - 1}, {&v4.storage, v4.len + 1},
        {&v6.storage, v4.len},     {&other.storage, sizeof(struct sockaddr_in)},
        {much, sizeof(much)},      {much, sizeof(struct sockaddr_in)},
    };
    for (size_t i = 0; i < ELEMENTS(cases); i++) {
        assert_false(get(cases[i].bytes, cases[i].n, &back));
        assert_int_equal(back.len, 0);
    }
}

static void test_left_out(void **state) {
    (void)state;
    CLEANUP_BLOB BlobWriter w = {0};
    Addr none = {.len = 0};
    blob_begin(&w, BLOB_STATE);
    size_t n = w.n;
    addr_put(&w, TAG, &none);
    assert_int_equal(w.n, n);
    assert_int_equal(addr_parse_ip("::1", 1, &none), 0);
    addr_put(&w, TAG, &none);
    assert_true(w.n > n);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_round_trip),
        cmocka_unit_test(test_no_address),
        cmocka_unit_test(test_left_out),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
