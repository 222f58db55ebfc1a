/* SPDX-License-Identifier: MIT */
#include "ctl/names.h"

#include <fnmatch.h>
#include <string.h>

#include "conf/suggest.h"
#include "ctl/fields.h"
#include "ctl/proto/api.h"

bool names_match(char *const *patterns, const char *name) {
    if (!patterns || !*patterns)
        return true;
    for (; *patterns; patterns++)
        if (fnmatch(*patterns, name, 0) == 0)
            return true;
    return false;
}

int names_fail(Ctl *c, const char *name, const json_t *services) {
    CLEANUP_TEXT Text shown = {0}, best = {0};
    Suggestion s = {.word = name};
    for (size_t i = 0; i < json_array_size(services); i++)
        suggestion_offer(&s, field_text(json_array_get(services, i), "name"));
    text_add_escaped(&shown, name, strlen(name));
    if (strpbrk(name, "*?["))
        return ctl_fail(c, CTL_NO_SERVICE, "'mpctl status' lists them", "no service matches '%s'", shown.s);
    if (!s.best)
        return ctl_fail(c, CTL_NO_SERVICE, "'mpctl status' lists them", "no service '%s'",
                        shown.s ? shown.s : "");
    text_add_escaped(&best, s.best, strlen(s.best));
    return ctl_fail(c, CTL_NO_SERVICE, NULL, "no service '%s'; did you mean '%s'?", shown.s, best.s);
}

static bool matches_any(const char *pattern, const json_t *services) {
    for (size_t i = 0; i < json_array_size(services); i++)
        if (fnmatch(pattern, field_text(json_array_get(services, i), "name"), 0) == 0)
            return true;
    return false;
}

int names_status(Ctl *c, char *const *patterns, json_t **ret) {
    json_t *status = NULL;
    int result = ctl_call(c, METHOD_STATUS, NULL, &status);
    if (result != 0)
        return result;
    const json_t *services = json_object_get(status, "services");
    json_t *chosen = json_array();
    for (size_t i = 0; i < json_array_size(services); i++) {
        json_t *service = json_array_get(services, i);
        if (names_match(patterns, field_text(service, "name")))
            (void)json_array_append(chosen, service);
    }
    for (; patterns && *patterns; patterns++)
        if (!matches_any(*patterns, services))
            result = names_fail(c, *patterns, services);
    (void)json_object_set_new(status, "services", chosen);
    *ret = status;
    return result;
}

static void add_no_service(Ctl *c, char *const *patterns, const json_t *services) {
    for (; *patterns; patterns++) {
        if (matches_any(*patterns, services))
            continue;
        /* A document is UTF-8, whatever was typed. */
        CLEANUP_TEXT Text name = {0};
        text_add_escaped(&name, *patterns, strlen(*patterns));
        json_t *document = json_pack("{s:s, s:{s:s}}", "error", api_error(API_NO_SUCH_SERVICE)->name,
                                     "parameters", "service", text_ok(&name) && name.s ? name.s : "");
        ctl_add_json(c, document);
        json_decref(document);
        return;
    }
}

int names_require(Ctl *c, char *const *patterns, json_t **ret) {
    json_t *status = NULL;
    int result = names_status(c, patterns, &status);
    if (result == CTL_NO_SERVICE && ctl_wants_json(c))
        add_no_service(c, patterns, json_object_get(status, "services"));
    if (result == 0 && ret)
        *ret = json_incref(status);
    json_decref(status);
    return result;
}
