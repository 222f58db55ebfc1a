/* SPDX-License-Identifier: MIT */
/* RFC 863: what comes is thrown away; nothing is ever sent. */
#include "services/serve.h"

static ssize_t reply(unsigned char *data, size_t n, size_t size, uint64_t number) {
    (void)data;
    (void)n;
    (void)size;
    (void)number;
    return -1;
}

static const Protocol discard = {
    .name = "mp-discard",
    .about = "throws away whatever it is sent (RFC 863)",
    .stream = {.echo = false},
    .reply = reply,
};

int main(int argc, char **argv) {
    return serve_main(&discard, argc, argv);
}
