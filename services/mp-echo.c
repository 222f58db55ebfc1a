/* SPDX-License-Identifier: MIT */
/* RFC 862: what comes is sent back, in any of the classic shapes of a server. */
#include "services/serve.h"

static ssize_t reply(unsigned char *data, size_t n, size_t size, uint64_t number) {
    (void)data;
    (void)size;
    (void)number;
    return (ssize_t)n;
}

static const Protocol echo = {
    .name = "mp-echo",
    .about = "sends back whatever it is sent (RFC 862)",
    .stream = {.echo = true},
    .reply = reply,
    .shapes = true,
};

int main(int argc, char **argv) {
    return serve_main(&echo, argc, argv);
}
