/* SPDX-License-Identifier: MIT */
/* RFC 867: the local date and time as text, to whoever connects or sends anything. */
#include <string.h>

#include "services/replies.h"
#include "services/serve.h"

static size_t daytime(unsigned char *buf, size_t size) {
    char text[DAYTIME_MAX];
    /* The time zone may change while the process lives; localtime_r(3) alone would look once. */
    tzset();
    time_t now = time(NULL);
    struct tm tm;
    if (!localtime_r(&now, &tm))
        return 0;
    size_t n = daytime_format(&tm, text);
    if (n > size)
        return 0;
    memcpy(buf, text, n);
    return n;
}

static size_t produce(uint64_t offset, unsigned char *buf, size_t size, bool *ret_end) {
    (void)offset;
    *ret_end = true;
    return daytime(buf, size);
}

static ssize_t reply(unsigned char *data, size_t n, size_t size, uint64_t number) {
    (void)n;
    (void)number;
    size_t length = daytime(data, size);
    return length > 0 ? (ssize_t)length : -1;
}

static const Protocol protocol = {
    .name = "mp-daytime",
    .about = "tells the local date and time as text (RFC 867)",
    .stream = {.produce = produce},
    .reply = reply,
};

int main(int argc, char **argv) {
    return serve_main(&protocol, argc, argv);
}
