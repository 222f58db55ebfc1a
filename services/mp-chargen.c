/* SPDX-License-Identifier: MIT */
/* RFC 864: a pattern of characters, over a connection without end until the client leaves, in a datagram as
 * long as the request, so that nobody's forged request makes more traffic than it is itself. */
#include "services/replies.h"
#include "services/serve.h"

static size_t produce(uint64_t offset, unsigned char *buf, size_t size, bool *ret_end) {
    chargen_fill(offset, buf, size);
    *ret_end = false;
    return size;
}

/* Each datagram begins with the next line of the pattern. */
static ssize_t reply(unsigned char *data, size_t n, size_t size, uint64_t number) {
    size_t length = n < CHARGEN_DATAGRAM_MAX ? n : CHARGEN_DATAGRAM_MAX;
    if (length > size)
        length = size;
    chargen_fill(number * CHARGEN_LINE, data, length);
    return (ssize_t)length;
}

static const Protocol chargen = {
    .name = "mp-chargen",
    .about = "sends a pattern of characters (RFC 864)",
    .stream = {.produce = produce},
    .reply = reply,
};

int main(int argc, char **argv) {
    return serve_main(&chargen, argc, argv);
}
