/* SPDX-License-Identifier: MIT */
/* From the event of a scalar to its node: what it may hold, expansion, and whether it is nothing at all. */
#include <errno.h>
#include <string.h>

#include "conf/expand.h"
#include "conf/yaml-parser.h"
#include "daemon/base/text.h"

/* What all expansions of a file may make together. */
#define EXPANDED_MAX ((size_t)8 << 20)

/* YAML's escapes can write what a file cannot hold; of those only a carriage return has a use (banners). */
static bool check_characters(YamlParser *p, YamlItem *item, const char *s, size_t n) {
    for (size_t i = 0; i < n; i++) {
        unsigned char c = (unsigned char)s[i];
        if ((c >= 0x20 && c != 0x7f) || c == '\t' || c == '\n' || c == '\r')
            continue;
        yaml_error_at(p, &item->node.pos, DIAG_BAD_VALUE, "leave it out",
                      "the control character \\x%02x cannot stand in a %s", c,
                      yaml_key_is_next(p) ? "key" : "value");
        item->node.faulty = true;
        return false;
    }
    return true;
}

/* The mark of an error within a scalar: exact where the file has it as it is, else the whole scalar. */
static DiagPos pos_within(YamlParser *p, const yaml_event_t *event, const YamlItem *item,
                          const ExpandError *error) {
    DiagPos pos = item->node.pos;
    const char *value = (const char *)event->data.scalar.value;
    size_t properties = pos.column - 1 - event->start_mark.column;
    const char *raw = yaml_text_seek(&p->file->text, &p->cursor, event->start_mark.index + properties);
    size_t left = p->file->text.n - (size_t)(raw - p->file->text.s);
    size_t quote = *raw == '"' || *raw == '\'' ? 1 : 0;
    size_t n = event->data.scalar.length;
    if (event->start_mark.line != event->end_mark.line || left < n + quote ||
        memcmp(raw + quote, value, n) != 0)
        return pos;
    pos.column += (unsigned)quote + (unsigned)utf8_length(value, error->begin);
    pos.end_column = pos.column + (unsigned)utf8_length(value + error->begin, error->end - error->begin);
    return pos;
}

static int expand_scalar(YamlParser *p, const yaml_event_t *event, YamlItem *item) {
    const char *value = (const char *)event->data.scalar.value;
    CLEANUP_TEXT Text text = {0};
    ExpandError error = {0};
    int r = expand(value, p->lookup, p->userdata, &text, &error);
    if (r == -ENOMEM)
        return r;
    if (r == 0) {
        p->expanded += text.len;
        if (p->expanded > EXPANDED_MAX)
            return yaml_refuse(p, &event->start_mark, "",
                               "the values that ${…} makes are longer than 8 MiB together");
        if (!check_characters(p, item, text.s ? text.s : "", text.len) ||
            !utf8_valid(text.s ? text.s : "", text.len)) {
            if (!item->node.faulty)
                yaml_error_at(p, &item->node.pos, DIAG_BAD_VALUE, "", "what ${…} puts in is not UTF-8");
            item->node.faulty = true;
            return 0;
        }
        item->node.text = yaml_keep_text(p, text.s ? text.s : "", text.len);
        return item->node.text ? 0 : -ENOMEM;
    }
    DiagPos pos = pos_within(p, event, item, &error);
    yaml_error_at(p, &pos, r == -E2BIG ? DIAG_LIMIT : DIAG_BAD_VALUE, error.hint, "%s", error.why);
    item->node.faulty = true;
    return 0;
}

static bool is_null(const char *s) {
    static const char *const words[] = {"", "~", "null", "Null", "NULL"};
    for (size_t i = 0; i < ELEMENTS(words); i++)
        if (streq(s, words[i]))
            return true;
    return false;
}

/* What kind of scalar it is: nothing, `<<`, or text. */
static void classify_scalar(YamlItem *item, const yaml_event_t *event, bool key) {
    const char *tag = yaml_tag_of(event);
    bool plain = event->data.scalar.style == YAML_PLAIN_SCALAR_STYLE;
    item->node.quoted = !plain || (tag && (streq(tag, "!") || streq(tag, YAML_CORE_TAG "str")));
    bool null = tag && streq(tag, YAML_CORE_TAG "null");
    if (null || (!item->node.quoted && is_null(item->node.text) && !(key && *item->node.text)))
        item->node.kind = YAML_NULL;
    item->merge_key = key && streq(item->node.text, "<<") && !item->node.quoted;
}

int yaml_on_scalar(YamlParser *p, const yaml_event_t *event) {
    const char *value = (const char *)event->data.scalar.value;
    size_t n = event->data.scalar.length;
    int r = yaml_spend(p, 1, &event->start_mark);
    if (r < 0)
        return r;
    YamlItem *item = yaml_item_new(p, event, YAML_SCALAR);
    if (!item)
        return -ENOMEM;
    bool key = yaml_key_is_next(p);
    if (event->data.scalar.style != YAML_PLAIN_SCALAR_STYLE) {
        p->quote = event->start_mark;
        p->quote_end = event->end_mark;
    }
    item->node.text = "";
    if (check_characters(p, item, value, n)) {
        item->node.text = yaml_keep_text(p, value, n);
        if (!item->node.text)
            return -ENOMEM;
        classify_scalar(item, event, key);
        if (p->lookup && !key && strchr(item->node.text, '$'))
            r = expand_scalar(p, event, item);
    }
    return r < 0 ? r : yaml_item_add(p, item);
}
