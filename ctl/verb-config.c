/* SPDX-License-Identifier: MIT */
/* mpctl reload, check, explain, schema: what has to do with the config. */
#include <string.h>

#include "conf/explain.h"
#include "conf/field.h"
#include "conf/json-schema.h"
#include "conf/judge.h"
#include "conf/load.h"
#include "ctl/diagnostics.h"
#include "ctl/fields.h"
#include "ctl/progress.h"
#include "ctl/proto/reply-schema.h"
#include "ctl/security-view.h"
#include "ctl/verbs.h"
#include "daemon/base/clock.h"

static void show_reload(Ctl *c, const json_t *parameters, bool dry_run) {
    size_t n = json_array_size(json_object_get(parameters, "changes"));
    unsigned long long generation = (unsigned long long)field_count(parameters, "generation");
    if (dry_run)
        text_addf(&c->out,
                  n > 0 ? "would change, from generation %llu:\n" : "nothing would change; generation %llu\n",
                  generation);
    else
        text_addf(&c->out, n > 0 ? "generation %llu:\n" : "generation %llu; nothing has changed\n",
                  generation);
    changes_format(c, parameters, &c->out);
    plan_format(parameters, &c->out);
    if (dry_run && n > 0)
        text_add(&c->out, "nothing changed yet; run 'mpctl reload' to apply\n");
}

/* A load may take half a minute, and the one before it as well. */
#define RELOAD_TIMEOUT_USEC (90 * USEC_PER_SEC)

/* The daemon reads its config while it serves: that may take its time. */
static int ask_reload(Ctl *c, Method method, json_t **ret) {
    CLEANUP_REPLY Reply reply = {0};
    CLEANUP_PROGRESS Progress progress = {0};
    int status = progress_ask(&progress, c, method, "mpinetd reads its config");
    if (status != 0)
        return status;
    int r = progress_receive(&progress, progress_timeout(&progress, RELOAD_TIMEOUT_USEC), &reply);
    if (r == -EINTR)
        return progress_interrupted(&progress);
    progress_end(&progress);
    if (r == -ETIMEDOUT)
        return progress_give_up(&progress, "'mpctl status' shows whether it comes to an end",
                                "not done in time; mpinetd goes on with it");
    if (r < 0 || reply.error)
        return ctl_fail_reply(c, method, r, &reply);
    *ret = json_incref(reply.parameters);
    return CTL_DONE;
}

int verb_reload(Ctl *c, char *const *args) {
    bool dry_run = options_has(&c->options, OPTION(DRY_RUN));
    json_t *parameters = NULL;
    (void)args;
    int status = ask_reload(c, dry_run ? METHOD_CHECK_CONFIG : METHOD_RELOAD, &parameters);
    if (status != 0)
        return status;
    bool ok = json_is_true(json_object_get(parameters, "ok"));
    if (ctl_wants_json(c)) {
        ctl_add_json(c, parameters);
    } else if (ok) {
        CLEANUP_TEXT Text warnings = {0};
        diagnostics_format(parameters, NULL, &warnings);
        (void)fputs(warnings.s ? warnings.s : "", stderr);
        show_reload(c, parameters, dry_run);
    }
    if (!ok)
        status = diagnostics_report_refusal(c, parameters);
    json_decref(parameters);
    return status;
}

static void show_check(Ctl *c, const char *path, const Config *config, const DiagList *diags) {
    if (ctl_wants_json(c)) {
        CLEANUP_TEXT Text reply = {0};
        ApiReload document = {.ok = config != NULL, .diagnostics = diags};
        api_encode_reload(&reply, &document);
        json_t *root = text_ok(&reply) ? json_loadb(reply.s, reply.len - 1, 0, NULL) : NULL;
        ctl_add_json(c, json_object_get(root, "parameters"));
        json_decref(root);
        return;
    }
    if (!config)
        return;
    text_add_escaped(&c->out, path, strlen(path));
    text_addf(&c->out, ": ok, %zu service%s in %zu file%s; ", config->n_services,
              config->n_services == 1 ? "" : "s", strv_length(config->files),
              strv_length(config->files) == 1 ? "" : "s");
    judge_add_words(geteuid(), &c->out);
    text_addc(&c->out, '\n');
}

int verb_check(Ctl *c, char *const *args) {
    bool security = options_has(&c->options, OPTION(SECURITY));
    if (*args && args[1] && !security)
        return ctl_fail(c, CTL_USAGE, "names of services go with --security", "'check' takes one file");
    CLEANUP_FREE char *path = *args ? strdup(*args) : config_default_path(geteuid(), environ);
    CLEANUP_DIAGS DiagList diags = {0};
    CLEANUP_CONFIG Config *config = NULL;
    CLEANUP_TEXT Text text = {0}, judge = {0};
    if (!path)
        return ctl_fail(c, CTL_FAILED, NULL, "out of memory");
    LoadContext context = {
        .euid = geteuid(),
        .libexecdir = config_libexecdir(environ),
        .environ = environ,
    };
    int r = config_load(path, &context, &diags, &config);
    if (r < 0 && r != -EINVAL)
        return ctl_fail(c, CTL_FAILED, NULL, "cannot check %s: %s", path, strerror(-r));
    judge_add_words(geteuid(), &judge);
    diag_list_format(&diags, judge.s, &text);
    (void)fputs(text.s ? text.s : "", stderr);
    if (config && security)
        return security_show(c, config, *args ? args + 1 : args);
    show_check(c, path, config, &diags);
    return config ? CTL_DONE : CTL_FAILED;
}

/* The names of models or kinds of endpoints in a mask; all of them where it is empty. */
static json_t *explain_fits(const Key *key) {
    json_t *names = json_array();
    for (unsigned i = 0; key->scope == KEY_SCOPE_SERVICE && i < _MODEL_MAX; i++)
        if (key->models == 0 || key->models & (1U << i))
            (void)json_array_append_new(names, json_string(model_to_string((Model)i)));
    return names;
}

static void explain_key(const Key *key, void *userdata) {
    static const char *const scopes[] = {
        [KEY_SCOPE_FILE] = "file", [KEY_SCOPE_SERVICE] = "service", [KEY_SCOPE_LISTEN] = "listen"};
    CLEANUP_TEXT Text type = {0};
    char label[64];
    field_label(key, label);
    explain_type(key, &type);
    const char *standard = key->standard ? key->standard : key->standard_note;
    json_t *row = json_pack(
        "{s:s, s:s, s:s, s:b, s:s?, s:o, s:s, s:s?, s:s?}", "key", label, "scope", scopes[key->scope], "type",
        type.s ? type.s : "", "required", (key->flags & KEY_REQUIRED) != 0, "default", standard, "models",
        explain_fits(key), "meaning", key->help, "more", key->more, "example", key->example);
    (void)json_array_append_new(userdata, row);
}

static int explain_as_json(Ctl *c, const char *key) {
    json_t *keys = json_array();
    size_t n = explain_find(key, explain_key, keys);
    if (n > 0) {
        json_t *document = json_pack("{s:O}", "keys", keys);
        ctl_add_json(c, document);
        json_decref(document);
    }
    json_decref(keys);
    return n > 0 ? CTL_DONE : CTL_FAILED;
}

int verb_explain(Ctl *c, char *const *args) {
    CLEANUP_TEXT Text text = {0};
    if (ctl_wants_json(c) && explain_as_json(c, *args) == CTL_DONE)
        return CTL_DONE;
    if (explain_format(*args, &text) == 0) {
        text_add(&c->out, text.s ? text.s : "");
        return CTL_DONE;
    }
    if (ctl_wants_json(c)) {
        json_t *document = json_pack("{s:s, s:{s:s}}", "error", api_error(API_INVALID_PARAMETER)->name,
                                     "parameters", "parameter", "key");
        ctl_add_json(c, document);
        json_decref(document);
    }
    /* What was meant is in the text, a line of its own. */
    if (text.len > 0 && text.s[text.len - 1] == '\n')
        text.s[text.len - 1] = '\0';
    return ctl_fail(c, CTL_FAILED, "'mpctl explain' lists all keys", "%s", text.s ? text.s : "no such key");
}

#define DOCUMENTS_MAX 64

/* Of what each verb prints with --json. */
static int format_replies(Text *out) {
    ReplyDocument documents[DOCUMENTS_MAX];
    const Verb *verb;
    size_t n = 0;
    for (size_t i = 0; n < DOCUMENTS_MAX - 1 && (verb = verb_get(i)); i++)
        if (verb->run && (verb->prints || verb->prints_each || verb->prints_fields))
            documents[n++] = (ReplyDocument){
                .verb = verb->name,
                .doc = verb->summary,
                .method = verb->prints,
                .type = verb->prints_each,
                .fields = verb->prints_fields,
            };
    documents[n++] = (ReplyDocument){
        .verb = "check-security",
        .doc = "check --security, of a config without errors",
        .fields = security_document,
    };
    return reply_schema_format(documents, n, out);
}

int verb_schema(Ctl *c, char *const *args) {
    const char *which = *args ? *args : "config";
    int r;
    if (streq(which, "config"))
        r = json_schema_format(&c->out);
    else if (streq(which, "replies"))
        r = format_replies(&c->out);
    else
        return ctl_fail(c, CTL_USAGE, NULL, "there is a schema of 'config' and one of 'replies'");
    return r < 0 ? ctl_fail(c, CTL_FAILED, NULL, "out of memory") : CTL_DONE;
}
