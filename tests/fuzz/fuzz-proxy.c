/* SPDX-License-Identifier: MIT */
/* The header of the PROXY protocol: any bytes get a verdict that more bytes do not change, and what is
 * accepted is written such that it reads the same. */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "daemon/base/proxy-header.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void require(bool condition) {
    if (!condition)
        abort();
}

static void check_again(const ProxyHeader *h) {
    unsigned char out[PROXY_HEADER_MAX];
    ProxyHeader again;
    size_t length = 0;
    const char *why = "";
    size_t n = proxy_header_write(h->version, &h->source, &h->destination, out);
    require(n <= sizeof(out) && proxy_header_parse(out, n, &again, &length, &why) == PROXY_OK && length == n);
    /* Mapped addresses are written as what they stand for. */
    Addr source = h->source;
    addr_unmap(&source);
    Addr read = again.source;
    addr_unmap(&read);
    require(source.sa.sa_family == AF_UNIX || source.sa.sa_family == AF_UNSPEC || addr_equal(&source, &read));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    ProxyResult before = PROXY_MORE;
    size_t length_before = 0;
    for (size_t n = 0; n <= size && n <= PROXY_HEADER_ACCEPT_MAX + 1; n += n < 300 ? 1 : 97) {
        ProxyHeader h;
        size_t length = 0;
        const char *why = NULL;
        ProxyResult r = proxy_header_parse(data, n, &h, &length, &why);
        require(before == PROXY_MORE || (r == before && length == length_before));
        require((r == PROXY_BAD) == (why != NULL));
        require(r != PROXY_OK || (length > 0 && length <= n));
        require(r != PROXY_MORE || n < PROXY_HEADER_ACCEPT_MAX);
        if (r == PROXY_OK && before == PROXY_MORE)
            check_again(&h);
        before = r;
        length_before = length;
    }
    return 0;
}
