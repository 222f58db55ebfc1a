/* SPDX-License-Identifier: MIT */
#include "conf/config-blob.h"

#include <assert.h>
#include <dirent.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "conf/access.h"
#include "conf/field.h"
#include "conf/hours.h"
#include "conf/part.h"
#include "conf/schema.h"
#include "fixture.h"

#define EVERY_KEY SOURCE_ROOT "/tests/fuzz/corpus/config-blob.yaml"

typedef struct Bytes {
    uint8_t *data;
    size_t n;
} Bytes;

static void bytes_done(Bytes *b) {
    free(b->data);
}
#define CLEANUP_BYTES CLEANUP(bytes_done)

static Bytes encode(const Config *c) {
    BlobWriter w = {0};
    blob_begin(&w, BLOB_CONFIG);
    config_put(&w, c);
    assert_int_equal(blob_end(&w), 0);
    Bytes b = {.data = malloc(w.n), .n = w.n};
    assert_non_null(b.data);
    memcpy(b.data, w.data, w.n);
    blob_writer_done(&w);
    return b;
}

/* 0 with @ret, or -EBADMSG with @why; in steps of @step. */
static int decode(const Bytes *b, Config *old, size_t step, Config **ret, char why[static 128]) {
    BlobSource source;
    BlobReader r;
    int k = blob_source_init(&source, b->data, b->n, BLOB_CONFIG, &r);
    ConfigDecoder *d = k == 0 ? config_decoder_new(&r, old) : NULL;
    for (k = d ? 1 : k; k == 1;)
        k = config_decoder_step(d, step);
    assert_true(k == 0 || k == -EBADMSG);
    assert_int_equal(k == -EBADMSG, blob_is_spoilt(&source));
    if (d && k == 0)
        *ret = config_decoder_take(d);
    memcpy(why, source.why, sizeof(source.why));
    config_decoder_free(d);
    blob_source_done(&source);
    return k;
}

static Config *decode_good(const Bytes *b, Config *old, size_t step) {
    Config *c = NULL;
    char why[128];
    if (decode(b, old, step, &c, why) < 0)
        fail_msg("spoilt: %s", why);
    assert_non_null(c);
    return c;
}

/* What follows pointers is compared by the bytes of a second encoding; all else must be the same bit by bit,
 * so that no field can be forgotten. Listeners have holes between their fields: a new one shows here. */
static_assert(sizeof(void *) != 8 || sizeof(ListenConfig) == 264, "is it in service-blob.c and here?");
static_assert(sizeof(void *) != 8 || sizeof(Endpoint) == 112, "is it in service-blob-parts.c and here?");

static void assert_same_bytes(const void *a, size_t n_a, const void *b, size_t n_b) {
    assert_int_equal(n_a, n_b);
    assert_int_equal(a == NULL, b == NULL);
    if (n_a > 0)
        assert_memory_equal(a, b, n_a);
}

static void assert_same_listener(const ListenConfig *a, const ListenConfig *b) {
    const Endpoint *x = &a->endpoint, *y = &b->endpoint;
    CLEANUP_TEXT Text one = {0};
    CLEANUP_TEXT Text other = {0};
    assert_string_equal(x->text, y->text);
    assert_true(streq_null(x->path, y->path));
    assert_string_equal(x->scope, y->scope);
    assert_true(x->kind == y->kind && x->both_families == y->both_families && x->n_addrs == y->n_addrs);
    for (size_t i = 0; i < x->n_addrs; i++) {
        const Addr one_addr = endpoint_addr(x, i), other_addr = endpoint_addr(y, i);
        assert_same_bytes(&one_addr.storage, one_addr.len, &other_addr.storage, other_addr.len);
    }
    for (size_t i = 0; i < schema_n_keys(); i++) {
        if (schema_key(i)->scope != KEY_SCOPE_LISTEN || schema_key(i)->size == 0)
            continue;
        field_format(schema_key(i), a, &one);
        field_format(schema_key(i), b, &other);
    }
    assert_string_equal(one.s, other.s);
    assert_true(a->keepalive == b->keepalive && a->user == b->user && a->group == b->group);
}

static void forget_pointers_of_terms(ServiceTerms *t) {
    t->proxy_accept_from = t->access.allow = t->access.deny = t->access.hours = NULL;
    t->proxy_trusted = t->access.rules = NULL;
    t->access.open = NULL;
    t->ban.exit_codes = t->log.success = t->log.failure = NULL;
    t->banner.greeting = t->banner.refused = t->banner.greeting_bytes = t->banner.refused_bytes = NULL;
}

static void forget_pointers(ServiceConfig *s) {
    s->refs = 0;
    s->interned = NULL;
    s->terms = NULL;
    s->digest[0] = s->digest[1] = 0;
    s->files = NULL;
    s->name = s->description = s->to = s->tcpmux = s->argv0 = s->user = s->group = NULL;
    s->working_directory = s->root_directory = NULL;
    memset(&s->pos, 0, sizeof(s->pos)); /* they have holes */
    memset(&s->exec_pos, 0, sizeof(s->exec_pos));
    memset(&s->user_pos, 0, sizeof(s->user_pos));
    s->listen = NULL;
    s->exec = s->supplementary_groups = s->environment = s->pass_environment = NULL;
    s->resources = NULL;
    s->sandbox = NULL;
    s->cgroup = NULL;
    s->origins = NULL;
    s->resolved.program = s->resolved.forward = s->resolved.user_name = NULL;
    s->resolved.home = s->resolved.shell = NULL;
    s->resolved.groups = NULL;
    s->problem = NULL;
}

static void assert_same_rules(const struct AccessRules *a, const struct AccessRules *b) {
    assert_int_equal(a == NULL, b == NULL);
    if (a)
        assert_true(access_rules_equal(a, b, ACCESS_BOTH));
}

static void assert_same_pos(const ConfigPos *a, const ConfigPos *b) {
    assert_true(streq_null(a->file, b->file));
    assert_true(a->line == b->line && a->column == b->column && a->end_column == b->end_column);
}

static void assert_same_pointees(const ServiceConfig *a, const ServiceConfig *b) {
    assert_same_rules(a->terms->access.rules, b->terms->access.rules);
    assert_same_rules(a->terms->proxy_trusted, b->terms->proxy_trusted);
    assert_int_equal(a->terms->access.open == NULL, b->terms->access.open == NULL);
    if (a->terms->access.open)
        assert_memory_equal(a->terms->access.open, b->terms->access.open, sizeof(Hours));
    assert_true(strv_equal(a->exec, b->exec) && strv_equal(a->environment, b->environment));
    assert_true(strv_equal(a->files, b->files));
    assert_memory_equal(service_config_resources(a), service_config_resources(b), sizeof(ResourceConfig));
    for (KeyPart part = KEY_PART_NONE + 1; part < _KEY_PART_MAX; part++)
        assert_int_equal(part_is_there(a, part), part_is_there(b, part));
    assert_same_bytes(a->terms->banner.greeting_bytes, a->terms->banner.n_greeting,
                      b->terms->banner.greeting_bytes, b->terms->banner.n_greeting);
    assert_same_bytes(a->terms->banner.refused_bytes, a->terms->banner.n_refused,
                      b->terms->banner.refused_bytes, b->terms->banner.n_refused);
    assert_same_bytes(a->resolved.groups, a->resolved.n_groups * sizeof(gid_t), b->resolved.groups,
                      b->resolved.n_groups * sizeof(gid_t));
    assert_true(resolved_is_same(&a->resolved, &b->resolved));
    assert_true(streq_null(a->resolved.home, b->resolved.home));
    for (size_t i = 0; i < a->n_origins; i++) {
        const ConfigOrigin *x = &a->origins[i], *y = &b->origins[i];
        assert_same_pos(&x->pos, &y->pos);
        assert_true(x->key == y->key && x->item == y->item && x->from_defaults == y->from_defaults &&
                    x->ignored == y->ignored);
    }
}

static void assert_same_service(const ServiceConfig *a, const ServiceConfig *b) {
    ServiceConfig *x = malloc(sizeof(*x)), *y = malloc(sizeof(*y));
    assert_true(x && y);
    assert_string_equal(a->name, b->name);
    assert_int_equal(a->n_listen, b->n_listen);
    assert_int_equal(a->n_origins, b->n_origins);
    assert_same_pointees(a, b);
    assert_same_pos(&a->pos, &b->pos);
    assert_same_pos(&a->exec_pos, &b->exec_pos);
    assert_same_pos(&a->user_pos, &b->user_pos);
    for (size_t i = 0; i < a->n_listen; i++)
        assert_same_listener(&a->listen[i], &b->listen[i]);
    *x = *a;
    *y = *b;
    forget_pointers(x);
    forget_pointers(y);
    assert_memory_equal(x, y, sizeof(*x));
    ServiceTerms p = *a->terms, q = *b->terms;
    forget_pointers_of_terms(&p);
    forget_pointers_of_terms(&q);
    assert_memory_equal(&p, &q, sizeof(p));
    free(x);
    free(y);
}

static void on_difference(const char *key, const char *from, const char *to, void *userdata) {
    (void)userdata;
    fail_msg("%s: %s became %s", key, from ? from : "", to ? to : "");
}

static void assert_same_config(const Config *a, const Config *b) {
    assert_string_equal(a->path, b->path);
    assert_true(strv_equal(a->files, b->files));
    assert_int_equal(config_diff_globals(a, b, on_difference, NULL), 0);
    assert_int_equal(a->control_gid, b->control_gid);
    assert_same_bytes(a->manage_uids, a->n_manage_uids * sizeof(uid_t), b->manage_uids,
                      b->n_manage_uids * sizeof(uid_t));
    assert_same_bytes(a->manage_gids, a->n_manage_gids * sizeof(gid_t), b->manage_gids,
                      b->n_manage_gids * sizeof(gid_t));
    assert_int_equal(a->n_origins, b->n_origins);
    assert_int_equal(a->n_services, b->n_services);
    for (size_t i = 0; i < a->n_services; i++) {
        assert_int_equal(service_config_diff(a->services[i], b->services[i], on_difference, NULL), 0);
        assert_same_service(a->services[i], b->services[i]);
    }
}

/* There and back, at any pace; and once more beside the old one, which then is shared. */
static void check_round_trip(Config *c) {
    CLEANUP_BYTES Bytes bytes = encode(c);
    CLEANUP_CONFIG Config *back = decode_good(&bytes, NULL, 1);
    assert_same_config(c, back);
    CLEANUP_BYTES Bytes again = encode(back);
    assert_same_bytes(bytes.data, bytes.n, again.data, again.n);
    CLEANUP_CONFIG Config *shared = decode_good(&bytes, c, 1000);
    CLEANUP_CONFIG Config *shared_again = decode_good(&bytes, back, 7);
    assert_same_config(c, shared);
    for (size_t i = 0; i < c->n_services; i++) {
        bool whole = !c->services[i]->problem && !c->services[i]->incomplete;
        assert_int_equal(shared->services[i] == c->services[i], whole);
        assert_int_equal(shared_again->services[i] == back->services[i], whole);
    }
}

static void test_golden(void **state) {
    Fixture *f = *state;
    char port[] = "PORT=7100", name[] = "NAME=golden", empty[] = "EMPTY=";
    char *environment[] = {port, name, empty, NULL};
    static const char *const programs[] = {"libexec/mp-time", "libexec/mp-discard", "libexec/mp-forward"};
    struct dirent **entries = NULL;
    size_t good = 0;
    for (size_t i = 0; i < ELEMENTS(programs); i++)
        fixture_write(f, programs[i], "", 0755);
    f->context.environ = environment;
    assert_int_equal(chdir(SOURCE_ROOT "/tests/golden"), 0);
    int n = scandir(".", &entries, NULL, alphasort);
    assert_true(n > 50);
    for (int i = 0; i < n; i++) {
        size_t length = strlen(entries[i]->d_name);
        bool is_yaml = length > 5 && streq(entries[i]->d_name + length - 5, ".yaml");
        for (unsigned pass = 0; is_yaml && pass < 4; pass++) {
            CLEANUP_DIAGS DiagList diags = {0};
            CLEANUP_CONFIG Config *c = NULL;
            LoadContext context = f->context;
            context.euid = pass & 1 ? FIXTURE_USER : FIXTURE_ROOT;
            context.tolerate_missing = (pass & 2) != 0;
            if (config_load(entries[i]->d_name, &context, &diags, &c) < 0)
                continue;
            check_round_trip(c);
            good++;
        }
        free(entries[i]);
    }
    free((void *)entries);
    assert_true(good > 20);
}

static bool is_given(const Config *c, size_t key) {
    for (size_t i = 0; i < c->n_origins; i++)
        if (c->origins[i].key == key)
            return true;
    for (size_t i = 0; i < c->n_services; i++)
        for (size_t k = 0; k < c->services[i]->n_origins; k++)
            if (c->services[i]->origins[k].key == key && !c->services[i]->origins[k].ignored)
                return true;
    return false;
}

static Config *load_every_key(Fixture *f) {
    fixture_write(f, "libexec/mp-forward", "", 0755);
    fixture_write(f, "rules.txt", "192.0.2.0/24\n2001:db8::/32\n10.0.0.0/8\n10.1.0.0/16\n", 0644);
    fixture_write(f, "banner.txt", "hello\n", 0644);
    f->context.tolerate_missing = true; /* libseccomp */
    f->result = config_load(EVERY_KEY, &f->context, &f->diags, &f->config);
    fixture_expect(f, EVERY_KEY, f->diags.n > 0 ? fixture_codes(f) : "", NULL);
    assert_int_equal(f->diags.n_errors, 0);
    return f->config;
}

/* Every key of the table that this version has. */
static void test_every_key(void **state) {
    Fixture *f = *state;
    const Config *c = load_every_key(f);
    for (size_t i = 0; i < schema_n_keys(); i++) {
        const Key *key = schema_key(i);
        if (key->size > 0 && key->type != KEY_SECTION && !is_given(c, i))
            fail_msg("the config has no %s", key->path);
    }
    for (size_t i = 0; i < c->n_services; i++)
        if (c->services[i]->to)
            c->services[i]->resolved.to_port = 7007;
    check_round_trip(f->config);
    /* For the corpus of the fuzzer, which brings the header and the names of the keys itself. */
    const char *path = getenv("CONFIG_BLOB_CORPUS");
    if (path) {
        CLEANUP_BYTES Bytes bytes = encode(c);
        CLEANUP_FCLOSE FILE *file = fopen(path, "we");
        size_t names = 40 + (size_t)bytes.data[36] + ((size_t)bytes.data[37] << 8);
        assert_int_equal(fwrite(bytes.data + names, 1, bytes.n - names, file), bytes.n - names);
    }
}

/* A service that could not be found at load. */
static void test_problem(void **state) {
    Fixture *f = *state;
    f->context.tolerate_missing = true;
    (void)fixture_load_text(f, "version: 1\nservices:\n  a:\n    listen: tcp:1\n    user: nobody\n"
                               "    exec: [no-such-program]\n  b:\n    listen: tcp:2\n    user: nobody\n"
                               "    exec: [mp-echo]\n    access: {allow: [\"file:/no/such/file\"]}\n");
    assert_non_null(f->config);
    assert_non_null(f->config->services[0]->problem);
    assert_true(f->config->services[1]->incomplete);
    check_round_trip(f->config);
    CLEANUP_BYTES Bytes bytes = encode(f->config);
    CLEANUP_CONFIG Config *c = decode_good(&bytes, NULL, 1);
    assert_string_equal(c->services[0]->problem->message, f->config->services[0]->problem->message);
    assert_string_equal(c->services[0]->problem->file, f->config->services[0]->problem->file);
}

/* Only what is the same is shared, and outlives the config that it came with. */
static void test_shared(void **state) {
    Fixture *f = *state;
    static const char text[] =
        "version: 1\ndefaults: {user: nobody, access: {allow: [10.0.0.0/8]}}\nservices:\n"
        "  a: {listen: tcp:1, exec: [mp-echo]}\n  b: {listen: tcp:%d, exec: [mp-echo]}\n"
        "  %s: {listen: tcp:9, exec: [mp-echo]}\n";
    char buf[512];
    (void)snprintf(buf, sizeof(buf), text, 2, "c");
    assert_int_equal(fixture_load_text(f, buf), 0);
    CLEANUP_BYTES Bytes first = encode(f->config);
    CLEANUP_CONFIG Config *one = decode_good(&first, NULL, 1);
    (void)snprintf(buf, sizeof(buf), text, 3, "d");
    assert_int_equal(fixture_load_text(f, buf), 0);
    CLEANUP_BYTES Bytes second = encode(f->config);
    CLEANUP_CONFIG Config *two = decode_good(&second, one, 2);
    assert_ptr_equal(one->services[0], two->services[0]);
    assert_ptr_not_equal(one->services[1], two->services[1]);
    assert_ptr_equal(one->services[1]->terms->access.rules, two->services[1]->terms->access.rules);
    assert_string_equal(two->services[2]->name, "d");
    config_unref(TAKE_PTR(one));
    assert_string_equal(two->services[0]->name, "a");
    assert_non_null(strstr(two->services[0]->pos.file, "test.yaml"));
    CLEANUP_BYTES Bytes again = encode(two);
    assert_same_bytes(second.data, second.n, again.data, again.n);
}

static void test_some(void **state) {
    Fixture *f = *state;
    Config *c = load_every_key(f);
    BlobWriter w = {0};
    blob_begin(&w, BLOB_CONFIG);
    config_put_some(&w, c, &c->services[1], 1);
    assert_int_equal(blob_end(&w), 0);
    const Bytes bytes = {.data = w.data, .n = w.n};
    CLEANUP_CONFIG Config *one = decode_good(&bytes, NULL, 1);
    assert_int_equal(one->n_services, 1);
    assert_same_service(one->services[0], c->services[1]);
    blob_writer_done(&w);
}

/* Whoever still has the one before keeps it. */
static void test_replace(void **state) {
    Fixture *f = *state;
    Config *c = load_every_key(f);
    CLEANUP_BYTES Bytes bytes = encode(c);
    CLEANUP_CONFIG Config *other = decode_good(&bytes, NULL, 1);
    for (size_t i = 0; i < c->n_services; i++) {
        CLEANUP_SERVICE ServiceConfig *before = service_config_ref(c->services[i]);
        assert_true(config_replace(c, other->services[i]));
        assert_ptr_equal(config_find(c, before->name), other->services[i]);
        assert_int_equal(before->refs, 1);
        assert_int_equal(other->services[i]->refs, 2);
    }
    CLEANUP_BYTES Bytes again = encode(c);
    assert_same_bytes(bytes.data, bytes.n, again.data, again.n);
    char name[] = "of nobody";
    ServiceConfig stranger = {.refs = 1, .name = name};
    assert_false(config_replace(c, &stranger));
    assert_int_equal(stranger.refs, 1);
}

/* Cut off anywhere, or with any bit turned, it is refused or another good config, and nothing crashes. */
static void test_spoilt(void **state) {
    Fixture *f = *state;
    const Config *c = load_every_key(f);
    CLEANUP_BYTES Bytes bytes = encode(c);
    char why[128];
    size_t refused = 0;
    for (size_t n = 0; n < bytes.n; n += n < 2000 ? 1 : 37) {
        Config *got = NULL;
        const Bytes cut = {.data = malloc(n + 1), .n = n};
        memcpy(cut.data, bytes.data, n);
        assert_int_equal(decode(&cut, NULL, 3, &got, why), -EBADMSG);
        free(cut.data);
    }
    for (size_t i = 32; i < bytes.n; i += i < 4000 ? 1 : 13) {
        Config *got = NULL;
        bytes.data[i] ^= (uint8_t)(1U << (i % 8));
        refused += decode(&bytes, NULL, 5, &got, why) < 0;
        bytes.data[i] ^= (uint8_t)(1U << (i % 8));
        config_unref(got);
    }
    assert_true(refused > 100);
}

/* A blob of another version, made field by field. */
static void test_refused(void **state) {
    (void)state;
    static const char *const names[] = {"f:version", "s:no.such.key", NULL};
    static const struct {
        uint16_t tag;
        const char *text, *why;
    } cases[] = {
        {2, "/x.yaml", "has no file"},
        {10, NULL, "no name"},
        {9, NULL, "incomplete"},
    };
    for (size_t i = 0; i < ELEMENTS(cases); i++) {
        BlobWriter w = {0};
        Config *got = NULL;
        char why[128];
        blob_begin(&w, BLOB_CONFIG);
        blob_put_strv(&w, 1, (char *const *)(uintptr_t)names);
        if (cases[i].text)
            blob_put_str(&w, cases[i].tag, cases[i].text);
        else
            blob_close(&w, blob_open(&w, cases[i].tag));
        assert_int_equal(blob_end(&w), 0);
        const Bytes bytes = {.data = w.data, .n = w.n};
        assert_int_equal(decode(&bytes, NULL, 1, &got, why), -EBADMSG);
        assert_non_null(strstr(why, cases[i].why));
        blob_writer_done(&w);
    }
}

static void test_diags(void **state) {
    (void)state;
    CLEANUP_DIAGS DiagList diags = {0};
    CLEANUP_DIAGS DiagList back = {0};
    const DiagPos pos = {.file = "a.yaml", .line = 3, .column = 4, .end_column = 9};
    for (unsigned i = 0; i < 1100; i++)
        diag_add(&diags, i % 2 ? DIAG_ERROR : DIAG_WARNING, DIAG_LIMIT, i % 3 ? &pos : NULL, "line", "hint %",
                 "message %u", i);
    BlobWriter w = {0};
    BlobSource source;
    BlobReader r;
    BlobField g;
    blob_begin(&w, BLOB_CONFIG);
    diags_put(&w, 1, &diags);
    assert_int_equal(blob_end(&w), 0);
    assert_int_equal(blob_source_init(&source, w.data, w.n, BLOB_CONFIG, &r), 0);
    assert_true(blob_next(&r, &g));
    diags_get(&g, &back);
    assert_false(blob_is_spoilt(&source));
    blob_writer_done(&w);
    blob_source_done(&source);
    assert_int_equal(back.n, diags.n);
    assert_int_equal(back.n_errors, diags.n_errors);
    assert_int_equal(back.n_dropped, diags.n_dropped);
    CLEANUP_TEXT Text a = {0};
    CLEANUP_TEXT Text b = {0};
    diag_list_format(&diags, "tail", &a);
    diag_list_format(&back, "tail", &b);
    assert_string_equal(a.s, b.s);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_golden, fixture_setup, fixture_teardown),
        cmocka_unit_test_setup_teardown(test_every_key, fixture_setup, fixture_teardown),
        cmocka_unit_test_setup_teardown(test_problem, fixture_setup, fixture_teardown),
        cmocka_unit_test_setup_teardown(test_shared, fixture_setup, fixture_teardown),
        cmocka_unit_test_setup_teardown(test_some, fixture_setup, fixture_teardown),
        cmocka_unit_test_setup_teardown(test_replace, fixture_setup, fixture_teardown),
        cmocka_unit_test_setup_teardown(test_spoilt, fixture_setup, fixture_teardown),
        cmocka_unit_test(test_refused),
        cmocka_unit_test(test_diags),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
