/* SPDX-License-Identifier: MIT */
/* Any bytes as a config file: no crash, every message can be shown, no pointer outlives its file. */
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

#include "conf/yaml.h"
#include "daemon/base/text.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static const char *lookup(const char *name, void *userdata) {
    (void)userdata;
    return name[0] == 'A' ? "value" : name[0] == 'B' ? "" : NULL;
}

/* Reads every byte of the tree, so that the sanitizers look at it; aliases are bounded by the reader. */
static size_t walk(const YamlFile *file, const YamlNode *node, DiagList *diags) {
    size_t sum = node->pos.line;
    if (node->kind == YAML_SCALAR) {
        for (const char *p = node->text; *p; p++)
            sum += (unsigned char)*p;
        yaml_diag(file, node, diags, DIAG_WARNING, DIAG_BAD_VALUE, NULL, "seen");
    }
    for (size_t i = 0; node->kind == YAML_SEQUENCE && i < node->n; i++)
        sum += walk(file, node->items[i], diags);
    for (size_t i = 0; node->kind == YAML_MAPPING && i < node->n; i++) {
        if (!yaml_get(node, node->pairs[i].key->text))
            abort();
        sum += walk(file, node->pairs[i].value, diags);
    }
    return sum;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    YamlBudget budget = {0};
    CLEANUP_DIAGS DiagList diags = {0};
    YamlFile *file = NULL;
    int r = yaml_parse("fuzz.yaml", (const char *)data, size, &budget, lookup, NULL, &diags, &file);
    if (r < 0 && diags.n_errors == 0)
        abort();
    if (r == 0 && yaml_file_root(file))
        (void)walk(file, yaml_file_root(file), &diags);
    yaml_file_free(file);
    CLEANUP_TEXT Text out = {0};
    diag_list_format(&diags, NULL, &out);
    for (size_t i = 0; i < out.len; i++)
        if ((out.s[i] < 0x20 && out.s[i] >= 0 && out.s[i] != '\n') || out.s[i] == 0x7f)
            abort();
    return 0;
}
