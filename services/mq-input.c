/* SPDX-License-Identifier: MIT */
#include "services/mq-input.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* What is read at once beyond a message. */
#define AHEAD 4096U

bool input_split(InputForm form, const char *buf, size_t n, bool ended, size_t *ret_n, size_t *ret_taken) {
    const char *end = form == INPUT_RAW || n == 0 ? NULL : memchr(buf, form == INPUT_NULL ? '\0' : '\n', n);
    if (!end && (!ended || n == 0))
        return false;
    *ret_n = end ? (size_t)(end - buf) : n;
    *ret_taken = *ret_n + (end != NULL);
    return true;
}

int input_init(Input *i, int fd, InputForm form, size_t max) {
    *i = (Input){.fd = fd, .form = form, .max = max, .room = max + AHEAD, .buf = malloc(max + AHEAD)};
    return i->buf ? 0 : -ENOMEM;
}

void input_done(Input *i) {
    free(i->buf);
    *i = (Input){0};
}

static int read_more(Input *i) {
    memmove(i->buf, i->buf + i->start, i->end - i->start);
    i->end -= i->start;
    i->start = 0;
    ssize_t n;
    do
        n = read(i->fd, i->buf + i->end, i->room - i->end);
    while (n < 0 && errno == EINTR);
    if (n < 0)
        return -errno;
    i->ended = n == 0;
    i->end += (size_t)n;
    return 0;
}

int input_next(Input *i, const char **ret, size_t *ret_n) {
    size_t taken;
    for (;;) {
        const char *at = i->buf + i->start;
        size_t n = i->end - i->start;
        if (input_split(i->form, at, n, i->ended, ret_n, &taken)) {
            if (*ret_n > i->max)
                return -EMSGSIZE;
            *ret = at;
            i->start += taken;
            return 1;
        }
        if (i->ended)
            return 0;
        if (n > i->max)
            return -EMSGSIZE;
        int r = read_more(i);
        if (r < 0)
            return r;
    }
}
