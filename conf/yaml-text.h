/* SPDX-License-Identifier: MIT */
#pragma once
/* The text of a file: checked to be what YAML is made of, and cut into lines as libyaml counts them. Pure. */
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "conf/diag.h"

typedef struct YamlText {
    char *s; /* owned; NUL-terminated; without a byte order mark */
    size_t n;
    uint32_t *lines; /* owned: offset of each line */
    size_t n_lines;
} YamlText;

/* What stands at a character (libyaml's mark.index). Walks on from where it was: cheap when asked for one
 * place after the other. */
typedef struct YamlCursor {
    size_t index;
    size_t offset;
} YamlCursor;

/* Why a text is refused, and where. */
typedef struct YamlTextError {
    unsigned line, column;
    char why[96];
    const char *hint;
} YamlTextError;

/* Copies @s. Returns 0; -EINVAL with @error filled when there are bytes in it that YAML does not allow (@ret
 * holds the text up to there, for an excerpt); -ENOMEM. The caller frees @ret with yaml_text_done() in every
 * case. */
int yaml_text_init(YamlText *ret, const char *s, size_t n, YamlTextError *error);
void yaml_text_done(YamlText *t);

/* Where line @line (1-based) begins, or NULL past the last one. */
const char *yaml_text_line_start(const YamlText *t, unsigned line);
/* The line up to its end, which is looked for; or NULL. */
const char *yaml_text_line(const YamlText *t, unsigned line, size_t *ret_n);
/* The text from @line and @column (1-based) on; the end of the line when it is shorter. */
const char *yaml_text_at(const YamlText *t, unsigned line, unsigned column);
/* The text from character @index on. */
const char *yaml_text_seek(const YamlText *t, YamlCursor *c, size_t index);
