/* SPDX-License-Identifier: MIT */
/* Any bytes as the fields of a config in a blob: refused, or a config that is the same when it is written and
 * read again, alone or beside itself. The names of the keys come first, as no fuzzer would find them. */
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "conf/config-blob.h"
#include "conf/key-blob.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#define KEY_NAMES 1

static void require(bool holds) {
    if (!holds)
        abort();
}

static Config *decode(const uint8_t *data, size_t n, Config *old, size_t step) {
    BlobSource source;
    BlobReader r;
    Config *c = NULL;
    int k = blob_source_init(&source, data, n, BLOB_CONFIG, &r);
    ConfigDecoder *d = k == 0 ? config_decoder_new(&r, old) : NULL;
    for (k = d ? 1 : k; k == 1;)
        k = config_decoder_step(d, step);
    require(k == 0 || (k == -EBADMSG && blob_is_spoilt(&source)));
    if (k == 0)
        c = config_decoder_take(d);
    config_decoder_free(d);
    blob_source_done(&source);
    return c;
}

static void encode(const Config *c, BlobWriter *w) {
    blob_begin(w, BLOB_CONFIG);
    config_put(w, c);
    require(blob_end(w) == 0);
}

static void check_again(Config *c) {
    CLEANUP_BLOB BlobWriter one = {0};
    CLEANUP_BLOB BlobWriter other = {0};
    encode(c, &one);
    CLEANUP_CONFIG Config *again = decode(one.data, one.n, NULL, 1000);
    require(again != NULL);
    encode(again, &other);
    require(one.n == other.n && memcmp(one.data, other.data, one.n) == 0);
    CLEANUP_CONFIG Config *beside = decode(one.data, one.n, again, 1);
    require(beside && beside->n_services == again->n_services);
    for (size_t i = 0; i < beside->n_services; i++) {
        const ServiceConfig *s = again->services[i];
        require((beside->services[i] == s) == (!s->problem && !s->incomplete));
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    CLEANUP_BLOB BlobWriter w = {0};
    blob_begin(&w, BLOB_CONFIG);
    key_map_put(&w, KEY_NAMES);
    /* As if they were one field's: room for them, and then no head. */
    size_t at = w.n;
    blob_put_bytes(&w, KEY_NAMES, data, size);
    require(!w.failed);
    memmove(w.data + at, w.data + w.n - size, size);
    w.n = at + size;
    require(blob_end(&w) == 0);
    CLEANUP_CONFIG Config *c = decode(w.data, w.n, NULL, 1 + size % 3);
    if (c)
        check_again(c);
    return 0;
}
