/* SPDX-License-Identifier: MIT */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "daemon/base/cleanup.h"
#include "daemon/prelude-data.h"

/* What a client sends: a socket's queue, of which some bytes have come. */
typedef struct Stream {
    unsigned char bytes[2 * PRELUDE_MAX];
    size_t n;     /* sent */
    size_t taken; /* from the queue */
} Stream;

static const char client_data[] = "GET / HTTP/1.0\r\n\r\nPROXY \0\r\n";

static void stream_add(Stream *s, const void *bytes, size_t n) {
    assert_true(s->n + n <= sizeof(s->bytes));
    memcpy(s->bytes + s->n, bytes, n);
    s->n += n;
}

/* One look at the queue as it is with @arrived bytes sent. The copy is of just its size, so that a sanitizer
 * sees a byte too far. */
static PreludeResult look(PreludeData *d, Stream *s, size_t arrived, const char **why) {
    size_t there = arrived - s->taken, room = prelude_data_room(d), take = SIZE_MAX;
    assert_true(room > 0);
    if (there == 0)
        return PRELUDE_MORE;
    if (there > room)
        there = room;
    unsigned char *copy = malloc(there ? there : 1);
    assert_non_null(copy);
    memcpy(copy, s->bytes + s->taken, there);
    PreludeResult r = prelude_data_add(d, copy, there, &take, why);
    free(copy);
    if (r == PRELUDE_BAD)
        return r;
    assert_true(take <= there);
    /* What is left in the queue would wake the loop for ever. */
    if (r == PRELUDE_MORE)
        assert_int_equal(take, there);
    s->taken += take;
    return r;
}

/* Reads it as it comes in pieces that end at @cuts. */
static PreludeResult read_in_pieces(PreludeData *d, Stream *s, const size_t *cuts, size_t n_cuts,
                                    const char **why) {
    PreludeResult r = PRELUDE_MORE;
    for (size_t i = 0; i <= n_cuts && r == PRELUDE_MORE; i++)
        r = look(d, s, i < n_cuts ? cuts[i] : s->n, why);
    return r;
}

static size_t write_header(ProxyVersion version, const char *source, const char *destination,
                           unsigned char out[static PROXY_HEADER_MAX]) {
    Addr from, to;
    assert_int_equal(addr_parse_ip(source, 1234, &from), 0);
    assert_int_equal(addr_parse_ip(destination, 443, &to), 0);
    return proxy_header_write(version, &from, &to, out);
}

static const struct {
    ProxyVersion version;
    const char *source, *destination;
} headers[] = {
    {PROXY_V1, "192.0.2.1", "198.51.100.2"},
    {PROXY_V1, "2001:db8::1", "2001:db8::2"},
    {PROXY_V2, "192.0.2.1", "198.51.100.2"},
    {PROXY_V2, "2001:db8::1", "2001:db8::2"},
};

/* However a header is cut into pieces, with or without data behind it, just the data is left. */
static void test_header_in_two_cuts(void **state) {
    (void)state;
    for (size_t i = 0; i < ELEMENTS(headers); i++) {
        unsigned char header[PROXY_HEADER_MAX];
        size_t length = write_header(headers[i].version, headers[i].source, headers[i].destination, header);
        for (size_t a = 0; a <= length + 2; a++) {
            for (size_t b = a; b <= length + 2; b++) {
                PreludeData d = {.kind = PRELUDE_HEADER};
                Stream s = {0};
                const char *why = NULL;
                stream_add(&s, header, length);
                stream_add(&s, client_data, sizeof(client_data));
                assert_int_equal(read_in_pieces(&d, &s, (size_t[]){a, b}, 2, &why), PRELUDE_DONE);
                assert_int_equal(s.taken, length);
                assert_memory_equal(s.bytes + s.taken, client_data, sizeof(client_data));
                assert_int_equal(addr_port(&d.header.source), 1234);
                assert_int_equal(addr_port(&d.header.destination), 443);
                prelude_data_done(&d);
            }
        }
    }
}

static void read_byte_by_byte(PreludeData *d, Stream *s, size_t length) {
    const char *why = NULL;
    for (size_t i = 1; i < length; i++) {
        assert_int_equal(look(d, s, i, &why), PRELUDE_MORE);
        assert_int_equal(s->taken, i);
    }
    assert_int_equal(look(d, s, length, &why), PRELUDE_DONE);
    assert_int_equal(s->taken, length);
}

static void test_header_byte_by_byte(void **state) {
    (void)state;
    for (size_t i = 0; i < ELEMENTS(headers); i++) {
        unsigned char header[PROXY_HEADER_MAX];
        size_t length = write_header(headers[i].version, headers[i].source, headers[i].destination, header);
        PreludeData d = {.kind = PRELUDE_HEADER};
        Stream s = {0};
        stream_add(&s, header, length);
        read_byte_by_byte(&d, &s, length);
        prelude_data_done(&d);
    }
}

/* A version 2 header whose TLVs make it @length bytes long. */
static size_t write_long(unsigned char *out, size_t length) {
    size_t n = write_header(PROXY_V2, "192.0.2.1", "198.51.100.2", out), value = length - n - 3;
    memset(out + n, 'x', length - n);
    out[n] = 0x04; /* PP2_TYPE_NOOP */
    out[n + 1] = (unsigned char)(value >> 8);
    out[n + 2] = (unsigned char)value;
    out[14] = (unsigned char)((length - 16) >> 8);
    out[15] = (unsigned char)(length - 16);
    return length;
}

static void test_longest_header(void **state) {
    (void)state;
    unsigned char header[PRELUDE_MAX + 1];
    PreludeData d = {.kind = PRELUDE_HEADER};
    Stream s = {0};
    stream_add(&s, header, write_long(header, PRELUDE_MAX));
    stream_add(&s, client_data, sizeof(client_data));
    read_byte_by_byte(&d, &s, PRELUDE_MAX);
    prelude_data_done(&d);

    /* All of it at once, and data behind it. */
    const char *why = NULL;
    s.taken = 0;
    assert_int_equal(look(&d, &s, s.n, &why), PRELUDE_DONE);
    assert_int_equal(s.taken, PRELUDE_MAX);
    assert_null(d.bytes);

    s = (Stream){0};
    stream_add(&s, header, write_long(header, PRELUDE_MAX + 1));
    d = (PreludeData){.kind = PRELUDE_HEADER};
    assert_int_equal(look(&d, &s, 16, &why), PRELUDE_BAD);
    assert_string_equal(why, "too long");
    prelude_data_done(&d);
}

static const struct {
    const char *name, *sent;
    PreludeKind kind;
    const char *why; /* NULL: not bad (yet) */
    const char *read;
} cases[] = {
    {"a request", "GET / HTTP/1.0\r\n", PRELUDE_HEADER, "no header of the PROXY protocol", NULL},
    {"one wrong byte", "G", PRELUDE_HEADER, "no header of the PROXY protocol", NULL},
    {"half of a header", "PROXY TCP4 192.0.2.1", PRELUDE_HEADER, NULL, NULL},
    {"wrong words", "PROXY TCP4 nowhere 1.2.3.4 1 2\r\n", PRELUDE_HEADER, "the addresses or ports are wrong",
     NULL},
    {"a name", "echo\r\n", PRELUDE_NAME, NULL, "echo"},
    {"a name, LF alone", "echo\n", PRELUDE_NAME, NULL, "echo"},
    {"an empty name", "\r\n", PRELUDE_NAME, NULL, ""},
    {"a name as it was written", "Ec HO\r\n", PRELUDE_NAME, NULL, "Ec HO"},
    {"half of a name", "ech", PRELUDE_NAME, NULL, NULL},
    {"CR alone", "ec\rho\r\n", PRELUDE_NAME, "the name has a byte that does not belong there", NULL},
    {"a control character", "ec\x1bho\r\n", PRELUDE_NAME, "the name has a byte that does not belong there",
     NULL},
    {"no ASCII", "\xc3\xa9\r\n", PRELUDE_NAME, "the name has a byte that does not belong there", NULL},
};

static void test_cases(void **state) {
    (void)state;
    for (size_t i = 0; i < ELEMENTS(cases); i++) {
        print_message("  %s\n", cases[i].name);
        PreludeData d = {.kind = cases[i].kind};
        Stream s = {0};
        const char *why = NULL;
        stream_add(&s, cases[i].sent, strlen(cases[i].sent));
        PreludeResult r = look(&d, &s, s.n, &why);
        if (cases[i].why) {
            assert_int_equal(r, PRELUDE_BAD);
            assert_string_equal(why, cases[i].why);
            assert_int_equal(s.taken, 0);
        } else if (cases[i].read) {
            assert_int_equal(r, PRELUDE_DONE);
            assert_string_equal(d.name, cases[i].read);
            assert_int_equal(s.taken, s.n);
        } else {
            assert_int_equal(r, PRELUDE_MORE);
        }
        prelude_data_done(&d);
    }
}

static void test_datagram_header(void **state) {
    (void)state;
    unsigned char header[PROXY_HEADER_MAX];
    size_t length = write_header(PROXY_V2, "192.0.2.1", "198.51.100.2", header);
    header[13] = 0x12; /* UDP over IPv4 */
    PreludeData d = {.kind = PRELUDE_HEADER};
    Stream s = {0};
    const char *why = NULL;
    stream_add(&s, header, length);
    assert_int_equal(look(&d, &s, s.n, &why), PRELUDE_BAD);
    assert_string_equal(why, "it tells of datagrams");
}

/* A name of @n characters, its CRLF not counted, whole and byte by byte. */
static PreludeResult read_name_of(size_t n, bool by_bytes, const char **why) {
    PreludeData d = {.kind = PRELUDE_NAME};
    Stream s = {0};
    memset(s.bytes, 'n', n);
    s.n = n;
    stream_add(&s, "\r\n", 2);
    stream_add(&s, client_data, sizeof(client_data));
    PreludeResult r = PRELUDE_MORE;
    for (size_t i = by_bytes ? 1 : s.n; i <= s.n && r == PRELUDE_MORE; i++)
        r = look(&d, &s, i, why);
    if (r == PRELUDE_DONE) {
        assert_int_equal(s.taken, n + 2);
        assert_int_equal(strlen(d.name), n);
    }
    prelude_data_done(&d);
    return r;
}

static void test_longest_name(void **state) {
    (void)state;
    const char *why = NULL;
    for (int by_bytes = 0; by_bytes <= 1; by_bytes++) {
        assert_int_equal(read_name_of(PRELUDE_NAME_MAX - 2, by_bytes, &why), PRELUDE_DONE);
        for (size_t more = 1; more < 4; more++) {
            why = NULL;
            assert_int_equal(read_name_of(PRELUDE_NAME_MAX - 2 + more, by_bytes, &why), PRELUDE_BAD);
            assert_string_equal(why, "the name is too long");
        }
    }
}

static void test_name_in_pieces(void **state) {
    (void)state;
    static const char sent[] = "Some-Name\r\n";
    size_t length = sizeof(sent) - 1;
    for (size_t a = 0; a <= length + 2; a++) {
        for (size_t b = a; b <= length + 2; b++) {
            PreludeData d = {.kind = PRELUDE_NAME};
            Stream s = {0};
            const char *why = NULL;
            stream_add(&s, sent, length);
            stream_add(&s, client_data, sizeof(client_data));
            assert_int_equal(read_in_pieces(&d, &s, (size_t[]){a, b}, 2, &why), PRELUDE_DONE);
            assert_int_equal(s.taken, length);
            assert_string_equal(d.name, "Some-Name");
            prelude_data_done(&d);
        }
    }
}

int main(void) {
    static const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_header_in_two_cuts), cmocka_unit_test(test_header_byte_by_byte),
        cmocka_unit_test(test_longest_header),     cmocka_unit_test(test_cases),
        cmocka_unit_test(test_datagram_header),    cmocka_unit_test(test_longest_name),
        cmocka_unit_test(test_name_in_pieces),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
