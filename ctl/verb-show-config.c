/* SPDX-License-Identifier: MIT */
/* mpctl config: the config that is in force, or that a file comes to, and where each value came from. */
#include <string.h>

#include "conf/load.h"
#include "ctl/fields.h"
#include "ctl/names.h"
#include "ctl/verbs.h"
#include "ctl/yaml-print.h"
#include "daemon/base/clock.h"

#define PART_TIMEOUT_USEC (30 * USEC_PER_SEC)

/* Lines for scripts have origins whether asked for or not. */
static bool wants_origins(const Ctl *c) {
    return options_has(&c->options, OPTION(ORIGIN)) || c->options.format == OUTPUT_PLAIN;
}

/* Puts another part of the reply to the first. */
static void merge_part(json_t *document, const json_t *part) {
    json_t *config = json_object_get(document, "config"), *more = json_object_get(part, "config");
    json_t *services = json_object_get(config, "services");
    if (!services) {
        services = json_object();
        (void)json_object_set_new(config, "services", services);
    }
    (void)json_object_update(services, json_object_get(more, "services"));
    (void)json_array_extend(json_object_get(document, "origins"), json_object_get(part, "origins"));
}

static int ask_daemon(Ctl *c, json_t **ret) {
    json_t *document = NULL;
    bool continues = true;
    int status = ctl_send(c, METHOD_GET_CONFIG, json_pack("{s:b}", "origin", wants_origins(c)), true);
    while (status == 0 && continues) {
        CLEANUP_REPLY Reply part = {0};
        status = ctl_receive(c, METHOD_GET_CONFIG, PART_TIMEOUT_USEC, &part);
        continues = part.continues;
        if (status == 0 && document)
            merge_part(document, part.parameters);
        else if (status == 0)
            document = json_incref(part.parameters);
    }
    if (status == 0)
        *ret = document;
    else
        json_decref(document);
    return status;
}

/* A reply as it would come over the wire. */
static json_t *parse_reply(const Text *reply) {
    return text_ok(reply) ? json_loadb(reply->s, reply->len - 1, 0, NULL) : NULL;
}

static int refuse_file(Ctl *c, const DiagList *diags) {
    CLEANUP_TEXT Text text = {0};
    const ApiReload document = {.diagnostics = diags};
    api_encode_invalid_config(&text, &document);
    CLEANUP_REPLY Reply reply = {.root = parse_reply(&text)};
    reply.error = json_string_value(json_object_get(reply.root, "error"));
    reply.parameters = json_object_get(reply.root, "parameters");
    if (!reply.error || !reply.parameters)
        return ctl_fail(c, CTL_FAILED, NULL, "out of memory");
    return ctl_report_error(c, METHOD_GET_CONFIG, &reply);
}

static json_t *document_of(const Config *config, bool origin) {
    CLEANUP_TEXT Text text = {0};
    const ApiConfig document = {
        .config = config,
        .services = (const ServiceConfig *const *)config->services,
        .n_services = config->n_services,
        .globals = true,
        .secrets = true, /* whoever reads the file may see them */
        .origin = origin,
    };
    api_encode_config(&text, &document, false);
    json_t *root = parse_reply(&text), *parameters = json_incref(json_object_get(root, "parameters"));
    json_decref(root);
    return parameters;
}

/* What they are is not what was asked for. */
static void tell_warnings(const char *path, size_t n) {
    CLEANUP_TEXT Text shown = {0};
    text_add_escaped(&shown, path, strlen(path));
    (void)fprintf(stderr, "%zu warning%s: 'mpctl check %s' shows %s\n", n, n == 1 ? "" : "s",
                  shown.s ? shown.s : "", n == 1 ? "it" : "them");
}

/* What a daemon would make of @path at its start: what is merely missing is a warning. */
static int read_file(Ctl *c, const char *path, json_t **ret) {
    CLEANUP_DIAGS DiagList diags = {0};
    CLEANUP_CONFIG Config *config = NULL;
    const LoadContext context = {
        .euid = geteuid(),
        .libexecdir = config_libexecdir(environ),
        .environ = environ,
        .tolerate_missing = true,
    };
    int r = config_load(path, &context, &diags, &config);
    if (r == -EINVAL)
        return refuse_file(c, &diags);
    if (r == 0)
        *ret = document_of(config, wants_origins(c));
    if (r < 0 || !*ret)
        return ctl_fail(c, CTL_FAILED, NULL, "cannot read the config: %s", strerror(r < 0 ? -r : ENOMEM));
    if (diags.n > 0)
        tell_warnings(path, diags.n);
    return 0;
}

/* From the daemon, or where none answers, from the file that it would read. */
static int find_config(Ctl *c, json_t **ret) {
    const char *named = c->options.values[OPTION_CONFIG];
    if (named)
        return read_file(c, named, ret);
    int r = ctl_open(c, NULL);
    CLEANUP_FREE char *path = r < 0 ? config_default_path(geteuid(), environ) : NULL;
    bool absent = r == -ENOENT || r == -ECONNREFUSED || r == -ENOTDIR;
    if (!absent || !path || access(path, F_OK) < 0)
        return ask_daemon(c, ret);
    CLEANUP_TEXT Text shown = {0};
    text_add_escaped(&shown, path, strlen(path));
    (void)fprintf(stderr, "no daemon answers: %s as it would be loaded\n", shown.s ? shown.s : "");
    return read_file(c, path, ret);
}

/* Keeps the services that are named. Returns 0, or CTL_NO_SERVICE after saying which there is not. */
static int choose_services(Ctl *c, char *const *names, json_t *document) {
    json_t *services = json_object_get(json_object_get(document, "config"), "services");
    json_t *chosen = json_object(), *all = json_array();
    const char *name;
    json_t *service;
    int status = 0;
    json_object_foreach(services, name, service) {
        (void)json_array_append_new(all, json_pack("{s:s}", "name", name));
        if (names_match(names, name))
            (void)json_object_set(chosen, name, service);
    }
    for (; *names; names++) {
        char *const one[] = {*names, NULL};
        bool found = false;
        json_object_foreach(services, name, service) found = found || names_match(one, name);
        if (!found)
            status = names_fail(c, *names, all);
    }
    (void)json_object_set_new(document, "config", json_pack("{s:o}", "services", chosen));
    json_decref(all);
    return status;
}

/* Keeps the origins of the services that are there. */
static void choose_origins(json_t *document) {
    const json_t *services = json_object_get(json_object_get(document, "config"), "services");
    json_t *origins = json_object_get(document, "origins"), *chosen = json_array();
    for (size_t i = 0; i < json_array_size(origins); i++) {
        json_t *origin = json_array_get(origins, i);
        CLEANUP_TEXT Text service = {0};
        origin_service(origin, &service);
        if (service.s && json_object_get(services, service.s))
            (void)json_array_append(chosen, origin);
    }
    (void)json_object_set_new(document, "origins", chosen);
}

static void show(Ctl *c, const json_t *document) {
    const json_t *config = json_object_get(document, "config");
    if (ctl_wants_json(c)) {
        ctl_add_json(c, document);
        return;
    }
    CLEANUP_ORIGINS Origins origins;
    origins_init(&origins, json_object_get(document, "origins"), field_text(document, "path"));
    if (c->options.format == OUTPUT_PLAIN)
        yaml_print_plain(config, &origins, &c->out);
    else
        yaml_print(config, wants_origins(c) ? &origins : NULL, &c->style, &c->out);
}

int verb_config(Ctl *c, char *const *args) {
    json_t *document = NULL;
    int status = find_config(c, &document);
    if (status != 0)
        return status;
    if (*args) {
        status = choose_services(c, args, document);
        choose_origins(document);
    }
    bool found = json_object_size(json_object_get(json_object_get(document, "config"), "services")) > 0;
    if (found || !*args || ctl_wants_json(c))
        show(c, document);
    json_decref(document);
    return status;
}
