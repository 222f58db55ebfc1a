/* SPDX-License-Identifier: MIT */
/* What differs between two loaded configs; see config.h. Driven by the key table. */
#include <string.h>

#include "conf/access.h"
#include "conf/config.h"
#include "conf/field.h"
#include "conf/schema.h"

typedef struct Diff {
    ConfigDiffEmit emit;
    void *userdata;
    size_t n;
} Diff;

static const char *value_of(const Text *t) {
    return t->len > 0 ? t->s : NULL;
}

static void emit_texts(Diff *d, const char *key, const Text *from, const Text *to) {
    d->n++;
    if (d->emit)
        d->emit(key, value_of(from), value_of(to), d->userdata);
}

static void diff_key(Diff *d, const Key *key, const void *a, const void *b) {
    if (field_equal(key, a, b))
        return;
    CLEANUP_TEXT Text from = {0};
    CLEANUP_TEXT Text to = {0};
    char label[64];
    field_label(key, label);
    if (key->flags & KEY_SECRET) {
        text_add(&from, "…");
        text_add(&to, "…");
    } else {
        field_format(key, a, &from);
        field_format(key, b, &to);
    }
    emit_texts(d, label, &from, &to);
}

static void diff_scope(Diff *d, KeyScope scope, const void *a, const void *b) {
    for (size_t i = 0; i < schema_n_keys(); i++)
        if (schema_key(i)->scope == scope)
            diff_key(d, schema_key(i), a, b);
}

static void format_endpoints(const ServiceConfig *s, Text *out) {
    text_addc(out, '[');
    for (size_t i = 0; i < s->n_listen; i++) {
        text_add(out, i > 0 ? ", " : "");
        text_add(out, s->listen[i].endpoint.text);
    }
    text_addc(out, ']');
}

static bool same_endpoints(const ServiceConfig *a, const ServiceConfig *b) {
    bool same = a->n_listen == b->n_listen;
    for (size_t i = 0; i < a->n_listen && same; i++)
        same = streq(a->listen[i].endpoint.text, b->listen[i].endpoint.text);
    return same;
}

static const ListenConfig *find_endpoint(const ServiceConfig *s, const ListenConfig *l) {
    for (size_t i = 0; i < s->n_listen; i++)
        if (streq(s->listen[i].endpoint.text, l->endpoint.text))
            return &s->listen[i];
    return NULL;
}

static void diff_listen(Diff *d, const ServiceConfig *a, const ServiceConfig *b) {
    bool same = same_endpoints(a, b);
    if (!same) {
        CLEANUP_TEXT Text from = {0};
        CLEANUP_TEXT Text to = {0};
        format_endpoints(a, &from);
        format_endpoints(b, &to);
        emit_texts(d, "listen", &from, &to);
    }
    for (size_t i = 0; i < a->n_listen; i++) {
        const ListenConfig *other = same ? &b->listen[i] : find_endpoint(b, &a->listen[i]);
        if (other)
            diff_scope(d, KEY_SCOPE_LISTEN, &a->listen[i], other);
    }
}

/* What a file says may change while the words that name it stay: then how much it says is shown, "(12
 * rules)". */
static void emit_contents(Diff *d, const char *path, const void *a, const void *b, const char *unit,
                          size_t had, size_t has) {
    const Key *key = schema_find(KEY_SCOPE_SERVICE, path);
    CLEANUP_TEXT Text from = {0};
    CLEANUP_TEXT Text to = {0};
    field_format(key, a, &from);
    field_format(key, b, &to);
    text_addf(&from, " (%zu %s%s)", had, unit, had == 1 ? "" : "s");
    text_addf(&to, " (%zu %s%s%s)", has, had == has ? "other " : "", unit, has == 1 ? "" : "s");
    emit_texts(d, path, &from, &to);
}

static bool same_words(const char *path, const void *a, const void *b) {
    return field_equal(schema_find(KEY_SCOPE_SERVICE, path), a, b);
}

static void diff_rules(Diff *d, const ServiceConfig *a, const ServiceConfig *b) {
    const struct {
        const char *path;
        char *const *words;
        const AccessRules *from, *to;
        AccessSide side;
    } lists[] = {
        {"access.allow", a->terms->access.allow, a->terms->access.rules, b->terms->access.rules,
         ACCESS_ALLOW},
        {"access.deny", a->terms->access.deny, a->terms->access.rules, b->terms->access.rules, ACCESS_DENY},
        {"proxy_protocol.accept_from", a->terms->proxy_accept_from, a->terms->proxy_trusted,
         b->terms->proxy_trusted, ACCESS_ALLOW},
    };
    for (size_t i = 0; i < ELEMENTS(lists); i++) {
        const AccessRules *from = lists[i].from, *to = lists[i].to;
        AccessSide side = lists[i].side;
        if (lists[i].words && same_words(lists[i].path, a, b) && !access_rules_equal(from, to, side))
            emit_contents(d, lists[i].path, a, b, "rule", access_rules_count_side(from, side),
                          access_rules_count_side(to, side));
    }
}

static void diff_banners(Diff *d, const ServiceConfig *a, const ServiceConfig *b) {
    const struct {
        const char *path, *from, *to;
        size_t n_from, n_to;
    } banners[] = {
        {"banner.greeting", a->terms->banner.greeting_bytes, b->terms->banner.greeting_bytes,
         a->terms->banner.n_greeting, b->terms->banner.n_greeting},
        {"banner.refused", a->terms->banner.refused_bytes, b->terms->banner.refused_bytes,
         a->terms->banner.n_refused, b->terms->banner.n_refused},
    };
    for (size_t i = 0; i < ELEMENTS(banners); i++) {
        size_t n = banners[i].n_from;
        bool same = n == banners[i].n_to && (n == 0 || memcmp(banners[i].from, banners[i].to, n) == 0);
        if (!same && same_words(banners[i].path, a, b))
            emit_contents(d, banners[i].path, a, b, "byte", n, banners[i].n_to);
    }
}

size_t service_config_diff(const ServiceConfig *a, const ServiceConfig *b, ConfigDiffEmit emit,
                           void *userdata) {
    Diff d = {.emit = emit, .userdata = userdata};
    diff_listen(&d, a, b);
    diff_scope(&d, KEY_SCOPE_SERVICE, a, b);
    diff_rules(&d, a, b);
    diff_banners(&d, a, b);
    return d.n;
}

size_t limits_config_diff(const LimitsConfig *a, const LimitsConfig *b, ConfigDiffEmit emit, void *userdata) {
    /* The key table knows limits as a part of a service. */
    ServiceTerms of_a = {.limits = *a}, of_b = {.limits = *b};
    const ServiceConfig x = {.terms = &of_a}, y = {.terms = &of_b};
    Diff d = {.emit = emit, .userdata = userdata};
    for (size_t i = 0; i < schema_n_keys(); i++)
        if (schema_is_limit(schema_key(i)))
            diff_key(&d, schema_key(i), &x, &y);
    return d.n;
}

size_t config_diff_globals(const Config *a, const Config *b, ConfigDiffEmit emit, void *userdata) {
    Diff d = {.emit = emit, .userdata = userdata};
    diff_scope(&d, KEY_SCOPE_FILE, a, b);
    return d.n;
}

bool resolved_is_same(const Resolved *a, const Resolved *b) {
    return a->ok == b->ok && streq_null(a->program, b->program) && a->uid == b->uid && a->gid == b->gid &&
           a->change_ids == b->change_ids && a->to_port == b->to_port && a->n_groups == b->n_groups &&
           (a->n_groups == 0 || memcmp(a->groups, b->groups, a->n_groups * sizeof(gid_t)) == 0) &&
           streq_null(a->user_name, b->user_name) && streq_null(a->home, b->home) &&
           streq_null(a->shell, b->shell);
}
