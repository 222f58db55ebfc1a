/* SPDX-License-Identifier: MIT */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <arpa/inet.h>
#include <string.h>

#include "daemon/base/peer.h"

static Peer save_and_restore(const Peer *p) {
    CLEANUP_BLOB BlobWriter w = {0};
    BlobSource s;
    BlobReader r;
    BlobField f;
    blob_begin(&w, BLOB_STATE);
    peer_put(&w, 3, p);
    assert_int_equal(blob_end(&w), 0);
    assert_int_equal(blob_source_init(&s, w.data, w.n, BLOB_STATE, &r), 0);
    assert_true(blob_next(&r, &f));
    Peer got = peer_take(&f);
    assert_false(blob_is_spoilt(&s));
    blob_source_done(&s);
    return got;
}

static void test_kinds(void **state) {
    (void)state;
    Peer peers[] = {
        {.kind = PEER_NONE},
        {.kind = PEER_INET, .in.s_addr = htonl(0xc0000201), .port = 65535},
        {.kind = PEER_INET6, .scope = 7, .port = 1},
        peer_from_uid(0xfffffffe),
        {.kind = PEER_VSOCK, .cid = 3, .vsock_port = 0xf0000001},
    };
    assert_int_equal(inet_pton(AF_INET6, "fe80::1:2", &peers[2].in6), 1);
    for (size_t i = 0; i < ELEMENTS(peers); i++) {
        Peer got = save_and_restore(&peers[i]);
        assert_int_equal(got.kind, peers[i].kind);
        assert_true(peer_equal(&got, &peers[i]));
    }
}

static void test_spoilt(void **state) {
    static const struct {
        const char *bytes;
        size_t n;
    } cases[] = {{"", 0}, {"\x05\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0", 23}, {"\x01", 22}};
    (void)state;
    for (size_t i = 0; i < ELEMENTS(cases); i++) {
        char bytes[32] = {0};
        CLEANUP_BLOB BlobWriter w = {0};
        BlobSource s;
        BlobReader r;
        BlobField f;
        memcpy(bytes, cases[i].bytes, cases[i].n == 22 ? 1 : cases[i].n);
        blob_begin(&w, BLOB_STATE);
        blob_put_bytes(&w, 3, bytes, cases[i].n);
        assert_int_equal(blob_end(&w), 0);
        assert_int_equal(blob_source_init(&s, w.data, w.n, BLOB_STATE, &r), 0);
        assert_true(blob_next(&r, &f));
        assert_int_equal(peer_take(&f).kind, PEER_NONE);
        assert_true(blob_is_spoilt(&s));
        blob_source_done(&s);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_kinds), cmocka_unit_test(test_spoilt)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
