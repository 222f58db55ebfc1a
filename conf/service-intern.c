/* SPDX-License-Identifier: MIT */
#include "conf/service-intern.h"

#include <stdlib.h>
#include <string.h>

#include "conf/access.h"
#include "conf/config-build.h"
#include "conf/hours.h"

/* A field of a struct that is a word, or a vector of words that ends with NULL. */
typedef struct Field {
    size_t offset;
    bool is_vector;
} Field;

#define WORD(type, member)                                                                                   \
    { offsetof(type, member), false }
#define WORDS(type, member)                                                                                  \
    { offsetof(type, member), true }

static const Field of_service[] = {
    WORD(ServiceConfig, name),
    WORD(ServiceConfig, description),
    WORD(ServiceConfig, to),
    WORD(ServiceConfig, tcpmux),
    WORDS(ServiceConfig, exec),
    WORD(ServiceConfig, argv0),
    WORD(ServiceConfig, user),
    WORD(ServiceConfig, group),
    WORDS(ServiceConfig, supplementary_groups),
    WORD(ServiceConfig, working_directory),
    WORD(ServiceConfig, root_directory),
    WORDS(ServiceConfig, environment),
    WORDS(ServiceConfig, pass_environment),
};

static const Field of_found[] = {
    WORD(ServiceConfig, resolved.program),   WORD(ServiceConfig, resolved.forward),
    WORD(ServiceConfig, resolved.user_name), WORD(ServiceConfig, resolved.home),
    WORD(ServiceConfig, resolved.shell),
};

static const Field of_listener[] = {
    WORD(ListenConfig, name),
    WORD(ListenConfig, device),
    WORD(ListenConfig, user_name),
    WORD(ListenConfig, group_name),
};

static const Field of_terms[] = {
    WORDS(ServiceTerms, access.allow),      WORDS(ServiceTerms, access.deny),
    WORDS(ServiceTerms, access.hours),      WORDS(ServiceTerms, ban.exit_codes),
    WORD(ServiceTerms, banner.greeting),    WORD(ServiceTerms, banner.refused),
    WORDS(ServiceTerms, log.success),       WORDS(ServiceTerms, log.failure),
    WORDS(ServiceTerms, proxy_accept_from),
};

static const Field of_sandbox[] = {
    WORDS(SandboxConfig, capabilities),  WORDS(SandboxConfig, seccomp),
    WORDS(SandboxConfig, read_only),     WORDS(SandboxConfig, read_write),
    WORDS(SandboxConfig, landlock_read), WORDS(SandboxConfig, landlock_write),
};

/* What is looked up may change it: preset_unhide(). */
static const Field of_sandbox_found[] = {
    WORDS(SandboxConfig, hidden),
};

static void *load(const void *base, size_t offset) {
    void *p;
    memcpy((void *)&p, (const char *)base + offset, sizeof(p));
    return p;
}

static void store(void *base, size_t offset, const void *p) {
    memcpy((char *)base + offset, (const void *)&p, sizeof(p));
}

static int intern_fields(Interned *in, void *base, const Field *fields, size_t n) {
    for (size_t i = 0; i < n; i++) {
        void *own = load(base, fields[i].offset);
        if (!own)
            continue;
        const void *shared =
            fields[i].is_vector ? (const void *)interned_strv(in, own) : interned_string(in, own);
        if (!shared)
            return -ENOMEM;
        store(base, fields[i].offset, shared);
        if (fields[i].is_vector)
            strv_free(own);
        else
            free(own);
    }
    return 0;
}

/* @n bytes at @offset of @base that are no text. */
static int intern_bytes(Interned *in, void *base, size_t offset, size_t n) {
    void *own = load(base, offset);
    const void *shared = own && n > 0 ? interned_bytes(in, own, n) : NULL;
    if (!own || n == 0)
        return 0;
    if (!shared)
        return -ENOMEM;
    store(base, offset, shared);
    free(own);
    return 0;
}

static void move_file(ConfigPos *pos, char *const *from, char *const *to) {
    for (size_t i = 0; pos->file && from[i]; i++)
        if (pos->file == from[i]) {
            pos->file = to[i];
            return;
        }
}

static int intern_files(Interned *in, ServiceConfig *s) {
    char **own = s->files, **shared = own ? interned_strv(in, own) : NULL;
    if (!own)
        return 0;
    if (!shared)
        return -ENOMEM;
    ConfigPos *const places[] = {&s->pos, &s->exec_pos, &s->user_pos};
    for (size_t i = 0; i < ELEMENTS(places); i++)
        move_file(places[i], own, shared);
    for (size_t i = 0; i < s->n_listen; i++)
        move_file(&s->listen[i].pos, own, shared);
    for (size_t i = 0; i < s->n_origins; i++)
        move_file(&s->origins[i].pos, own, shared);
    s->files = shared;
    strv_free(own);
    return 0;
}

static int intern_listener(Interned *in, ListenConfig *l) {
    const char *text = l->text ? interned_string(in, l->text) : "";
    if (!text)
        return -ENOMEM;
    if (l->text) {
        if (l->endpoint.path)
            l->endpoint.path = text + (l->endpoint.path - l->endpoint.text);
        l->endpoint.text = text;
        free(l->text);
        l->text = (char *)(uintptr_t)text;
    }
    return intern_fields(in, l, of_listener, ELEMENTS(of_listener));
}

static int intern_terms(Interned *in, ServiceConfig *s) {
    ServiceTerms *t = service_config_terms(s);
    if (intern_fields(in, t, of_terms, ELEMENTS(of_terms)) < 0 ||
        intern_bytes(in, t, offsetof(ServiceTerms, access.open), sizeof(Hours)) < 0 ||
        intern_bytes(in, t, offsetof(ServiceTerms, banner.greeting_bytes), t->banner.n_greeting) < 0 ||
        intern_bytes(in, t, offsetof(ServiceTerms, banner.refused_bytes), t->banner.n_refused) < 0)
        return -ENOMEM;
    return intern_bytes(in, s, offsetof(ServiceConfig, terms), sizeof(ServiceTerms));
}

static int intern_sandbox(Interned *in, SandboxConfig *sandbox) {
    if (!sandbox)
        return 0;
    if (intern_fields(in, sandbox, of_sandbox, ELEMENTS(of_sandbox)) < 0)
        return -ENOMEM;
    return intern_bytes(in, sandbox, offsetof(SandboxConfig, filter),
                        sandbox->n_filter * sizeof(*sandbox->filter));
}

int service_config_intern(ServiceConfig *s, Interned *in) {
    if (s->incomplete || s->interned)
        return 0;
    s->interned = interned_ref(in);
    if (intern_fields(in, s, of_service, ELEMENTS(of_service)) < 0)
        return -ENOMEM;
    for (size_t i = 0; i < s->n_listen; i++)
        if (intern_listener(in, &s->listen[i]) < 0)
            return -ENOMEM;
    if (intern_sandbox(in, s->sandbox) < 0)
        return -ENOMEM;
    return intern_terms(in, s);
}

int service_config_intern_found(ServiceConfig *s) {
    if (!s->interned || s->problem)
        return 0;
    if (intern_files(s->interned, s) < 0 || intern_fields(s->interned, s, of_found, ELEMENTS(of_found)) < 0)
        return -ENOMEM;
    if (s->sandbox &&
        intern_fields(s->interned, s->sandbox, of_sandbox_found, ELEMENTS(of_sandbox_found)) < 0)
        return -ENOMEM;
    return intern_bytes(s->interned, s, offsetof(ServiceConfig, resolved.groups),
                        s->resolved.n_groups * sizeof(gid_t));
}

static void release(const Interned *in, void *p) {
    if (!interned_has(in, p))
        free(p);
}

static void release_fields(const Interned *in, const void *base, const Field *fields, size_t n) {
    for (size_t i = 0; i < n; i++) {
        void *p = load(base, fields[i].offset);
        if (!p || interned_has(in, p))
            continue;
        if (fields[i].is_vector)
            strv_free(p);
        else
            free(p);
    }
}

static void release_terms(const Interned *in, const ServiceTerms *t) {
    if (!t)
        return;
    release_fields(in, t, of_terms, ELEMENTS(of_terms));
    access_rules_unref(t->access.rules);
    access_rules_unref(t->proxy_trusted);
    release(in, t->access.open);
    release(in, t->banner.greeting_bytes);
    release(in, t->banner.refused_bytes);
    release(in, (void *)(uintptr_t)t);
}

static void release_sandbox(const Interned *in, const SandboxConfig *sandbox) {
    if (!sandbox)
        return;
    release_fields(in, sandbox, of_sandbox, ELEMENTS(of_sandbox));
    release_fields(in, sandbox, of_sandbox_found, ELEMENTS(of_sandbox_found));
    release(in, sandbox->filter);
}

void service_config_release(ServiceConfig *s) {
    const Interned *in = s->interned;
    release_terms(in, s->terms);
    release_sandbox(in, s->sandbox);
    for (size_t i = 0; i < s->n_listen; i++) {
        release(in, s->listen[i].text);
        release_fields(in, &s->listen[i], of_listener, ELEMENTS(of_listener));
    }
    release(in, s->resolved.groups);
    release_fields(in, s, of_service, ELEMENTS(of_service));
    release_fields(in, s, of_found, ELEMENTS(of_found));
    if (!interned_has(in, (const void *)s->files))
        strv_free(s->files);
    free(s->sandbox);
    s->terms = NULL;
    s->sandbox = NULL;
    s->interned = interned_unref(s->interned);
}
