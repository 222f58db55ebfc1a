/* SPDX-License-Identifier: MIT */
/* RFC 868: the seconds since 1900 as 32 bits, to whoever connects or sends anything. */
#include "services/replies.h"
#include "services/serve.h"

static size_t produce(uint64_t offset, unsigned char *buf, size_t size, bool *ret_end) {
    (void)offset;
    *ret_end = true;
    if (size < TIME_LENGTH)
        return 0;
    time_encode(time(NULL), buf);
    return TIME_LENGTH;
}

static ssize_t reply(unsigned char *data, size_t n, size_t size, uint64_t number) {
    (void)n;
    (void)number;
    if (size < TIME_LENGTH)
        return -1;
    time_encode(time(NULL), data);
    return TIME_LENGTH;
}

static const Protocol protocol = {
    .name = "mp-time",
    .about = "tells the seconds since 1900 in 32 bits (RFC 868)",
    .stream = {.produce = produce},
    .reply = reply,
};

int main(int argc, char **argv) {
    return serve_main(&protocol, argc, argv);
}
