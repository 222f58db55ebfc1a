/* SPDX-License-Identifier: MIT */
#pragma once
/* Messages out of a stream of bytes: lines, what NULs separate, or all of it. */
#include <stdbool.h>
#include <stddef.h>

typedef enum InputForm {
    INPUT_LINES,
    INPUT_NULL,
    INPUT_RAW,
} InputForm;

typedef struct Input {
    int fd;
    InputForm form;
    size_t max; /* bytes of a message */
    char *buf;  /* owned */
    size_t start, end, room;
    bool ended;
} Input;

/* Returns 0 or -ENOMEM; input_done() in any case. */
int input_init(Input *i, int fd, InputForm form, size_t max);
void input_done(Input *i);
/* The next message, in *@ret until the next call, without what ends it. Returns 1; 0 at the end; -EMSGSIZE:
 * it is longer than a message may be; or another negative errno. */
int input_next(Input *i, const char **ret, size_t *ret_n);

/* Whether there is a message at the beginning of the @n bytes at @buf: its length in *@ret_n, with what ends
 * it
 * *@ret_taken bytes. @ended: nothing more comes. Pure.
 */
bool input_split(InputForm form, const char *buf, size_t n, bool ended, size_t *ret_n, size_t *ret_taken);
