/* SPDX-License-Identifier: MIT */
#include "conf/derive.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "conf/access.h"
#include "conf/capability.h"
#include "conf/config-build.h"
#include "conf/decode.h"
#include "conf/hours.h"
#include "conf/regular-file.h"
#include "conf/rule-book.h"
#include "conf/seccomp.h"
#include "conf/suggest.h"
#include "conf/value.h"
#include "conf/variable.h"

#define FILE_WORD "file:"
#define STANDARD_FACTS                                                                                       \
    (1U << LOG_FACT_PID | 1U << LOG_FACT_PEER | 1U << LOG_FACT_EXIT | 1U << LOG_FACT_DURATION)

static const char *const paths[_DERIVED_KEY_MAX] = {
    [DERIVED_ALLOW] = "access.allow",
    [DERIVED_DENY] = "access.deny",
    [DERIVED_HOURS] = "access.hours",
    [DERIVED_EXIT_CODES] = "ban.exit_codes",
    [DERIVED_GREETING] = "banner.greeting",
    [DERIVED_REFUSED] = "banner.refused",
    [DERIVED_ACCEPT_FROM] = "proxy_protocol.accept_from",
    [DERIVED_SUCCESS] = "log.success",
    [DERIVED_FAILURE] = "log.failure",
    [DERIVED_CAPABILITIES] = "sandbox.capabilities",
    [DERIVED_SECCOMP] = "sandbox.seccomp",
    [DERIVED_GROUPS] = "supplementary_groups",
    [DERIVED_PASS_ENVIRONMENT] = "pass_environment",
};

const char *derived_key_path(DerivedKey key) {
    return paths[key];
}

typedef struct Deriver {
    Reader *r;
    ServiceConfig *s;
    ServiceTerms *terms; /* of the same */
    const DerivedPlace *places;
    DerivedKey allow, deny; /* the keys of the rules that are being compiled */
    bool bad;
} Deriver;

/* A service with something missing is kept, and told of later. */
static void keep_problem(Deriver *d, const char *key, const ConfigPos *pos, DiagCode code, const char *hint,
                         const char *message) {
    ServiceConfig *s = d->s;
    s->incomplete = true;
    if (s->problem)
        return;
    s->problem = calloc(1, sizeof(Diag));
    if (!s->problem)
        return;
    *s->problem = (Diag){
        .severity = DIAG_WARNING,
        .code = code,
        .file = strdup(pos->file ? pos->file : ""),
        .line = pos->line,
        .column = pos->column,
        .end_column = pos->end_column,
        .message = strdup(message),
        .hint = strdup(hint ? hint : ""),
        .excerpt = strdup(""),
        .key = strdup(key),
    };
    const Diag *p = s->problem;
    if (!p->file || !p->message || !p->hint || !p->excerpt)
        s->problem = diag_free(s->problem);
}

static void tell(Deriver *d, DerivedKey key, size_t item, DiagSeverity severity, DiagCode code,
                 const char *hint, const char *message) {
    Reader *r = d->r;
    const DerivedPlace *place = &d->places[key];
    const YamlNode *node = place->value;
    CLEANUP_TEXT Text text = {0};
    text_addf(&text, "%s: %s", paths[key], message);
    const char *whole = text.s ? text.s : message;
    if (node && node->kind == YAML_SEQUENCE && item < node->n)
        node = node->items[item];
    const ConfigOrigin *origin = service_item_origin(d->s, paths[key], item);
    const ConfigPos pos = node ? reader_pos(r, node) : origin ? origin->pos : d->s->pos;
    bool missing = code == DIAG_NOT_FOUND || code == DIAG_NOT_ALLOWED;
    bool kept = severity == DIAG_ERROR && missing && r->context->tolerate_missing;
    size_t n = r->diags->n;
    bool quiet = r->quiet;
    r->quiet = quiet || place->quiet;
    if (node)
        reader_diag(r, node, kept ? DIAG_WARNING : severity, code, hint, "%s", whole);
    else if (severity == DIAG_ERROR)
        reader_diag_at(r, &pos, severity, code, hint, whole);
    r->quiet = quiet;
    diag_list_about(r->diags, n, paths[key]);
    if (kept)
        keep_problem(d, paths[key], &pos, code, hint, whole);
    else if (severity == DIAG_ERROR)
        d->bad = true;
}

static void on_rule(bool deny, size_t i, DiagSeverity severity, DiagCode code, const char *hint,
                    const char *message, void *userdata) {
    Deriver *d = userdata;
    tell(d, deny ? d->deny : d->allow, i, severity, code, hint, message);
}

static int derive_rules(Deriver *d, DerivedKey allow, DerivedKey deny, const RuleLists *lists,
                        AccessRules **field) {
    d->allow = allow;
    d->deny = deny;
    *field = access_rules_unref(*field);
    if (!lists->allow && !lists->deny)
        return 0;
    size_t n = d->r->diags->n;
    int k = rule_book_compile(d->r->rules, d->r, d->r->lookups, lists, on_rule, d, field);
    /* What stands in their files. */
    diag_list_about(d->r->diags, n, paths[allow]);
    d->bad = d->bad || (k == -EINVAL && !d->s->incomplete);
    return k == -ENOMEM ? k : 0;
}

static int derive_access(Deriver *d) {
    AccessConfig *a = &d->terms->access;
    const RuleLists lists = {.allow = a->allow, .deny = a->deny};
    int k = derive_rules(d, DERIVED_ALLOW, DERIVED_DENY, &lists, &a->rules);
    if (a->rules && access_rules_admit_all(a->rules))
        a->rules = access_rules_unref(a->rules);
    return k;
}

/* Nobody is believed by an empty list, as without one. */
static int derive_trusted(Deriver *d) {
    char *const *words = d->terms->proxy_accept_from;
    const RuleLists lists = {.allow = words && *words ? words : NULL};
    return derive_rules(d, DERIVED_ACCEPT_FROM, DERIVED_ACCEPT_FROM, &lists, &d->terms->proxy_trusted);
}

static int derive_hours(Deriver *d) {
    char *const *words = d->terms->access.hours;
    Hours hours = {0};
    free(d->terms->access.open);
    d->terms->access.open = NULL;
    if (words && !*words)
        tell(d, DERIVED_HOURS, 0, DIAG_ERROR, DIAG_BAD_VALUE, "for always write [\"00:00-24:00\"]",
             "it would never be open");
    for (size_t i = 0; words && words[i]; i++) {
        const char *why = "";
        if (hours_add(&hours, words[i], &why) < 0)
            tell(d, DERIVED_HOURS, i, DIAG_ERROR, DIAG_BAD_VALUE,
                 "such as \"Mon-Fri 08:00-18:00\", \"22:00-06:00\" or \"Sat,Sun\"", why);
    }
    if (!words || hours_always(&hours))
        return 0;
    d->terms->access.open = malloc(sizeof(Hours));
    if (!d->terms->access.open)
        return -ENOMEM;
    *d->terms->access.open = hours;
    return 0;
}

static int derive_exit_codes(Deriver *d) {
    char *const *words = d->terms->ban.exit_codes;
    memset(d->terms->ban.exit_code_bits, 0, sizeof(d->terms->ban.exit_code_bits));
    for (size_t i = 0; words && words[i]; i++) {
        ValueError error = {0};
        uint64_t first = 0, last = 0;
        int k = value_exit_codes(words[i], &first, &last, &error);
        if (k < 0)
            tell(d, DERIVED_EXIT_CODES, i, DIAG_ERROR, k == -ERANGE ? DIAG_OUT_OF_RANGE : DIAG_BAD_VALUE,
                 error.hint, error.why);
        for (uint64_t code = first; k == 0 && code <= last; code++)
            d->terms->ban.exit_code_bits[code / 64] |= (uint64_t)1 << (code % 64);
    }
    return 0;
}

static int read_banner(Deriver *d, DerivedKey key, const char *path, char **ret, size_t *ret_n) {
    struct stat st;
    char buf[64];
    CLEANUP_CLOSE int fd = path[0] == '/' ? regular_file_open(path, BANNER_MAX, &st) : -EINVAL;
    if (path[0] != '/') {
        tell(d, key, 0, DIAG_ERROR, DIAG_BAD_VALUE, "write file: and the whole path",
             "the path of a banner is absolute");
        return 0;
    }
    int k = fd < 0 ? fd : regular_file_read(fd, BANNER_MAX, ret, ret_n);
    if (k == 0 || k == -ENOMEM)
        return k;
    CLEANUP_TEXT Text message = {0};
    text_add_escaped(&message, path, strlen(path));
    text_addf(&message, ": %s", regular_file_error(k, BANNER_MAX, buf));
    tell(d, key, 0, DIAG_ERROR, regular_file_code(k), k == -EFBIG ? "a banner has 4096 bytes at most" : NULL,
         message.s ? message.s : "");
    return 0;
}

static int derive_banner(Deriver *d, DerivedKey key, const char *text, char **bytes, size_t *n) {
    free(*bytes);
    *bytes = NULL;
    *n = 0;
    if (!text || !*text)
        return 0;
    if (starts_with(text, FILE_WORD))
        return read_banner(d, key, text + strlen(FILE_WORD), bytes, n);
    *bytes = strdup(text);
    *n = *bytes ? strlen(text) : 0;
    return *bytes ? 0 : -ENOMEM;
}

static int derive_banners(Deriver *d) {
    BannerConfig *b = &d->terms->banner;
    int k = derive_banner(d, DERIVED_GREETING, b->greeting, &b->greeting_bytes, &b->n_greeting);
    return k < 0 ? k : derive_banner(d, DERIVED_REFUSED, b->refused, &b->refused_bytes, &b->n_refused);
}

static void tell_fact(Deriver *d, DerivedKey key, size_t i, const char *word) {
    CLEANUP_TEXT Text message = {0};
    CLEANUP_TEXT Text hint = {0};
    Suggestion near = {.word = word};
    text_add(&message, "there is no fact '");
    text_add_escaped(&message, word, strnlen(word, 60));
    text_add(&message, "'");
    for (LogFact fact = 0; fact < _LOG_FACT_MAX; fact++)
        suggestion_offer(&near, log_fact_to_string(fact));
    if (strcasecmp(word, "host") == 0 || strcasecmp(word, "attempt") == 0)
        near.best = log_fact_to_string(LOG_FACT_PEER);
    else if (strcasecmp(word, "userid") == 0)
        near.best = log_fact_to_string(LOG_FACT_USER);
    if (near.best)
        text_addf(&hint, "did you mean '%s'?", near.best);
    else
        text_add(&hint, "pid, peer, user, exit, duration, traffic, cpu or memory");
    tell(d, key, i, DIAG_ERROR, DIAG_BAD_VALUE, hint.s, message.s ? message.s : "");
}

static unsigned derive_facts(Deriver *d, DerivedKey key, char *const *words) {
    unsigned facts = 0;
    if (!words)
        return STANDARD_FACTS;
    for (size_t i = 0; words[i]; i++) {
        int fact = log_fact_from_string(words[i]);
        if (fact < 0)
            tell_fact(d, key, i, words[i]);
        else
            facts |= 1U << fact;
    }
    return facts;
}

static void tell_capability(Deriver *d, size_t i, const char *word) {
    CLEANUP_TEXT Text message = {0};
    CLEANUP_TEXT Text hint = {0};
    Suggestion near = {.word = strncasecmp(word, "CAP_", 4) == 0 ? word + 4 : word};
    const char *name;
    text_add(&message, "there is no capability '");
    text_add_escaped(&message, word, strnlen(word, 60));
    text_add(&message, "'");
    for (unsigned c = 0; (name = capability_name(c)); c++)
        suggestion_offer(&near, name);
    if (near.best)
        text_addf(&hint, "did you mean '%s'?", near.best);
    else
        text_add(&hint, "such as NET_BIND_SERVICE or SYS_CHROOT, see capabilities(7); for none write []");
    tell(d, DERIVED_CAPABILITIES, i, DIAG_ERROR, DIAG_BAD_VALUE, hint.s, message.s ? message.s : "");
}

static void derive_capabilities(Deriver *d) {
    SandboxConfig *sandbox = d->s->sandbox;
    if (!sandbox)
        return;
    sandbox->capability_set = 0;
    for (size_t i = 0; sandbox->capabilities && sandbox->capabilities[i]; i++) {
        int c = capability_from_name(sandbox->capabilities[i]);
        if (c < 0)
            tell_capability(d, i, sandbox->capabilities[i]);
        else
            sandbox->capability_set |= UINT64_C(1) << (unsigned)c;
    }
}

static void on_seccomp_fault(size_t i, const char *hint, const char *message, void *userdata) {
    tell(userdata, DERIVED_SECCOMP, i, DIAG_ERROR, DIAG_BAD_VALUE, hint, message);
}

static int derive_seccomp(Deriver *d) {
    SandboxConfig *sandbox = d->s->sandbox;
    if (!sandbox)
        return 0;
    free(sandbox->filter);
    sandbox->filter = NULL;
    sandbox->n_filter = 0;
    if (!sandbox->seccomp || !sandbox->seccomp[0])
        return 0;
    char buf[64];
    int k = seccomp_compile(d->r->seccomp, sandbox->seccomp, on_seccomp_fault, d, &sandbox->filter,
                            &sandbox->n_filter);
    if (k == -ENOMEM || k == 0 || k == -EINVAL)
        return k == -EINVAL ? 0 : k;
    if (k == -ENOENT)
        tell(d, DERIVED_SECCOMP, 0, DIAG_ERROR, DIAG_NOT_FOUND,
             "install libseccomp2, or write seccomp: [] to do without", "libseccomp is not there");
    else if (k == -EOPNOTSUPP)
        tell(d, DERIVED_SECCOMP, 0, DIAG_ERROR, DIAG_NOT_ALLOWED, "write seccomp: [] to do without",
             "this program is built without seccomp");
    else
        tell(d, DERIVED_SECCOMP, 0, DIAG_ERROR, DIAG_NOT_ALLOWED, NULL, strerror_r(-k, buf, sizeof(buf)));
    return 0;
}

static void judge_groups(Deriver *d) {
    char *const *words = d->s->supplementary_groups;
    for (size_t i = 0; words && words[i]; i++)
        if (!*words[i])
            tell(d, DERIVED_GROUPS, i, DIAG_ERROR, DIAG_BAD_VALUE, "write the name of a group, or its number",
                 "an empty name");
}

static void tell_variable(Deriver *d, size_t i, const char *word) {
    CLEANUP_TEXT Text message = {0};
    text_addc(&message, '\'');
    text_add_escaped(&message, word, strnlen(word, 60));
    text_add(&message, "' is not the name of a variable");
    tell(d, DERIVED_PASS_ENVIRONMENT, i, DIAG_ERROR, DIAG_BAD_VALUE,
         strchr(word, '=') ? "values go into 'environment'"
                           : "names such as TZ, or globs such as OTEL_*: letters, digits and '_', not "
                             "beginning with a digit",
         message.s ? message.s : "not the name of a variable");
}

static void judge_variables(Deriver *d) {
    char *const *words = d->s->pass_environment;
    for (size_t i = 0; words && words[i]; i++)
        if (!variable_is_pattern(words[i]))
            tell_variable(d, i, words[i]);
}

int derive_service(Reader *r, const DerivedPlace places[static _DERIVED_KEY_MAX], ServiceConfig *s) {
    Deriver d = {.r = r, .s = s, .terms = service_config_terms(s), .places = places};
    s->incomplete = false;
    if (derive_access(&d) < 0 || derive_trusted(&d) < 0 || derive_hours(&d) < 0 ||
        derive_exit_codes(&d) < 0 || derive_banners(&d) < 0)
        return -ENOMEM;
    d.terms->log.success_facts = derive_facts(&d, DERIVED_SUCCESS, d.terms->log.success);
    d.terms->log.failure_facts = derive_facts(&d, DERIVED_FAILURE, d.terms->log.failure);
    derive_capabilities(&d);
    judge_groups(&d);
    judge_variables(&d);
    if (derive_seccomp(&d) < 0)
        return -ENOMEM;
    return d.bad ? -EINVAL : 0;
}

int derive_again(Reader *r, ServiceConfig *s) {
    const DerivedPlace places[_DERIVED_KEY_MAX] = {0};
    int k = derive_service(r, places, s);
    s->incomplete = s->incomplete || k < 0;
    return k;
}
