/* SPDX-License-Identifier: MIT */
/* Any text as a config with its included files and files of rules, all the way: decoded, checked, looked up,
 * compiled. Either it is refused, with messages that can be shown; or it is a config that
 *   - is the same on the other side of a blob, and does not differ from itself;
 *   - written as `mpctl config` shows it, loads again to one that does not differ from it.
 * The first line says by comments for whom: "#user" for an ordinary user, "#strict" for one that must be
 * whole. */
#include <stdio.h>

#include "conf/config-blob.h"
#include "conf/load.h"
#include "ctl/proto/api.h"
#include "ctl/proto/methods.h"
#include "ctl/yaml-print.h"
#include "daemon/base/text.h"
#include "tests/fuzz/fake-system.h"
#include "tests/fuzz/require.h"

static char variable[] = "A=value", empty[] = "EMPTY=";
static char *environment[] = {variable, empty, NULL};

static bool has_word(const uint8_t *data, size_t size, const char *word) {
    const uint8_t *end = memchr(data, '\n', size);
    return memmem(data, end ? (size_t)(end - data) : 0, word, strlen(word)) != NULL;
}

static void check_shown(const Text *text) {
    for (size_t i = 0; i < text->len; i++)
        require((text->s[i] >= 0x20 || text->s[i] < 0 || text->s[i] == '\n') && text->s[i] != 0x7f);
}

static int load(const LoadContext *context, Config **ret) {
    CLEANUP_DIAGS DiagList diags = {0};
    CLEANUP_TEXT Text text = {0};
    int r = config_load(FAKE_MAIN, context, &diags, ret);
    require((r == 0 && diags.n_errors == 0) || (r == -EINVAL && diags.n_errors > 0));
    diag_list_format(&diags, NULL, &text);
    check_shown(&text);
    return r;
}

static void encode(const Config *c, BlobWriter *w) {
    blob_begin(w, BLOB_CONFIG);
    config_put(w, c);
    require(blob_end(w) == 0);
}

static Config *decode(const BlobWriter *w, Config *old) {
    BlobSource source;
    BlobReader r;
    require(blob_source_init(&source, w->data, w->n, BLOB_CONFIG, &r) == 0);
    ConfigDecoder *d = config_decoder_new(&r, old);
    require(d != NULL);
    int k = 1;
    while (k == 1)
        k = config_decoder_step(d, 2);
    require(k == 0);
    Config *c = config_decoder_take(d);
    config_decoder_free(d);
    blob_source_done(&source);
    return c;
}

static void on_difference(const char *key, const char *from, const char *to, void *userdata) {
    (void)fprintf(stderr, "%s%s: %s -> %s\n", (const char *)userdata, key, from ? from : "", to ? to : "");
}

/* Of the same services, in the same order. */
static void check_same(const Config *a, const Config *b, const char *what) {
    char text[64];
    require(a->n_services == b->n_services);
    (void)snprintf(text, sizeof(text), "%s: ", what);
    require(config_diff_globals(a, b, on_difference, text) == 0);
    for (size_t i = 0; i < a->n_services; i++) {
        require(streq(a->services[i]->name, b->services[i]->name));
        require(service_config_diff(a->services[i], b->services[i], on_difference, text) == 0);
    }
}

static void send_by_blob(Config *c) {
    CLEANUP_BLOB BlobWriter one = {0}, other = {0};
    encode(c, &one);
    CLEANUP_CONFIG Config *again = decode(&one, NULL);
    encode(again, &other);
    require(one.n == other.n && memcmp(one.data, other.data, one.n) == 0);
    check_same(c, again, "blob");
    CLEANUP_CONFIG Config *beside = decode(&one, again);
    check_same(again, beside, "beside");
}

/* As mpctl config has it. */
static void show(const Config *c, Text *out) {
    CLEANUP_TEXT Text reply = {0};
    const Style style = {.width = 80};
    const ApiConfig document = {
        .config = c,
        .services = (const ServiceConfig *const *)c->services,
        .n_services = c->n_services,
        .globals = true,
        .secrets = true,
        .origin = true,
    };
    api_encode_config(&reply, &document, false);
    require(text_ok(&reply));
    json_error_t error;
    json_t *root = json_loadb(reply.s, reply.len - 1, JSON_REJECT_DUPLICATES, &error);
    const json_t *parameters = json_object_get(root, "parameters");
    require(root && api_value_is("object", parameters, true));
    const ApiMethod *method = api_method(METHOD_GET_CONFIG);
    for (const ApiField *f = method->out; f->name; f++)
        require(api_value_is(f->type, json_object_get(parameters, f->name), true));
    yaml_print(json_object_get(parameters, "config"), NULL, &style, out);
    require(text_ok(out));
    json_decref(root);
}

static void write_and_read(const Config *c, const LoadContext *context) {
    CLEANUP_TEXT Text text = {0};
    show(c, &text);
    fake_system_replace(text.s, text.len);
    CLEANUP_CONFIG Config *again = NULL;
    if (load(context, &again) < 0) {
        (void)fwrite(text.s, 1, text.len, stderr);
        abort();
    }
    check_same(c, again, "shown");
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    const LoadContext context = {
        .euid = has_word(data, size, "#user") ? 1000 : 0,
        .egid = has_word(data, size, "#user") ? 1000 : 0,
        .has_egid = true,
        .libexecdir = "/usr/libexec/mpinetd",
        .environ = environment,
        .tolerate_missing = !has_word(data, size, "#strict"),
    };
    CLEANUP_CONFIG Config *c = NULL;
    fake_system_set(data, size);
    if (load(&context, &c) < 0)
        return 0;
    send_by_blob(c);
    write_and_read(c, &context);
    return 0;
}
