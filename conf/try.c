/* SPDX-License-Identifier: MIT */
/* The config of `mpinetd --try`: one service without a file; see config.h. */
#include <stdlib.h>
#include <string.h>

#include "conf/config-build.h"
#include "conf/decode.h"
#include "conf/derive.h"
#include "conf/resolve.h"
#include "conf/validate.h"

static const DiagPos nowhere = {.file = ""};

static int add_endpoint(ServiceConfig *s, const char *text, DiagList *diags) {
    ListenConfig *l = &s->listen[s->n_listen];
    const char *why = NULL, *hint = NULL;
    listen_config_init(l);
    l->text = strdup(text);
    if (!l->text)
        return -ENOMEM;
    if (endpoint_parse(l->text, &l->endpoint, &why, &hint) < 0) {
        listen_config_done(l);
        diag_add(diags, DIAG_ERROR, DIAG_BAD_VALUE, &nowhere, NULL, hint, "endpoint '%s': %s", text,
                 why ? why : "not an endpoint");
        return 0;
    }
    if (!endpoint_kind_is_stream(l->endpoint.kind) || endpoint_socket_type(l->endpoint.kind) == 0) {
        listen_config_done(l);
        diag_add(diags, DIAG_ERROR, DIAG_CONFLICT, &nowhere, NULL,
                 "try tcp:, unix: or unix-seqpacket:", "endpoint '%s' has no connections to serve", text);
        return 0;
    }
    l->name = strdup("try");
    s->n_listen++;
    return l->name ? 0 : -ENOMEM;
}

/* The caller stands somewhere: a relative path is his, unlike in a config. */
static int set_command(ServiceConfig *s, char *const *command, DiagList *diags) {
    s->exec = strv_copy(command);
    if (!s->exec)
        return -ENOMEM;
    if (command[0][0] == '/' || !strchr(command[0], '/'))
        return 0;
    char *real = realpath(command[0], NULL);
    if (!real && errno == ENOMEM)
        return -ENOMEM;
    if (!real) {
        DiagCode code = errno == ENOENT || errno == ENOTDIR ? DIAG_NOT_FOUND : DIAG_NOT_ALLOWED;
        diag_add(diags, DIAG_ERROR, code, &nowhere, NULL, NULL, "%s: %s", command[0], strerror(errno));
        return 0;
    }
    s->argv0 = TAKE_PTR(s->exec[0]);
    s->exec[0] = real;
    return 0;
}

static int fill_service(ServiceConfig *s, char *const *endpoints, char *const *command, DiagList *diags) {
    if (decode_standards(KEY_SCOPE_SERVICE, s) < 0)
        return -ENOMEM;
    s->name = strdup("try");
    s->user = strdup("self");
    s->listen = calloc(strv_length(endpoints) + 1, sizeof(ListenConfig));
    if (!s->name || !s->user || !s->listen || set_command(s, command, diags) < 0)
        return -ENOMEM;
    for (; *endpoints; endpoints++)
        if (add_endpoint(s, *endpoints, diags) < 0)
            return -ENOMEM;
    return 0;
}

static void on_found(const char *key, const ConfigPos *pos, DiagCode code, const char *hint,
                     const char *message, void *userdata) {
    (void)key;
    (void)pos;
    diag_add(userdata, DIAG_ERROR, code, &nowhere, NULL, hint, "%s", message);
}

static int check(Config *c, const LoadContext *context, DiagList *diags) {
    CLEANUP_LOOKUPS Lookups *lookups = lookups_new();
    Reader r = {.context = context, .diags = diags};
    if (!lookups || resolve_service(c->services[0], context, lookups, on_found, diags) < 0)
        return -ENOMEM;
    if (derive_again(&r, c->services[0]) == -ENOMEM)
        return -ENOMEM;
    validate_config(&r, c);
    if (context->euid == 0)
        diag_add(diags, DIAG_WARNING, DIAG_NOT_ALLOWED, &nowhere, NULL, NULL, "the command will run as root");
    return r.no_memory ? -ENOMEM : 0;
}

int config_new_try(char *const *endpoints, char *const *command, const struct LoadContext *context,
                   DiagList *diags, Config **ret) {
    if (!endpoints || !endpoints[0] || !command || !command[0] || !*command[0]) {
        diag_add(diags, DIAG_ERROR, DIAG_MISSING_KEY, &nowhere, NULL, NULL,
                 "--try takes an endpoint at least, then -- and a command");
        return -EINVAL;
    }
    size_t errors = diags->n_errors;
    CLEANUP_CONFIG Config *c = config_new();
    ServiceConfig *s = service_config_new();
    if (c)
        c->services = (ServiceConfig **)calloc(1, sizeof(ServiceConfig *));
    if (!c || !s || !c->services) {
        service_config_unref(s);
        return -ENOMEM;
    }
    c->services[c->n_services++] = s;
    c->path = strdup("--try");
    c->files = strv_copy(NULL);
    if (!c->path || !c->files || decode_standards(KEY_SCOPE_FILE, c) < 0 ||
        fill_service(s, endpoints, command, diags) < 0 || check(c, context, diags) < 0)
        return -ENOMEM;
    if (diags->n_errors > errors)
        return -EINVAL;
    *ret = TAKE_PTR(c);
    return 0;
}
