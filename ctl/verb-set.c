/* SPDX-License-Identifier: MIT */
/* mpctl set: limits of a service, changed until the next reload. */
#include <string.h>

#include "ctl/diagnostics.h"
#include "ctl/fields.h"
#include "ctl/names.h"
#include "ctl/verbs.h"

/* "KEY=VALUE" of the command line into @limits. */
static int add_pair(Ctl *c, json_t *limits, const char *word) {
    CLEANUP_TEXT Text shown = {0};
    const char *equals = strchr(word, '=');
    text_add_escaped(&shown, word, strlen(word));
    if (!equals || equals == word || !equals[1])
        return ctl_fail(c, CTL_USAGE, "for example: mpctl set git limits.instances=80",
                        "'set' takes KEY=VALUE, not '%s'", shown.s ? shown.s : "");
    CLEANUP_FREE char *key = strndup(word, (size_t)(equals - word));
    if (!key || !utf8_valid(word, strlen(word)))
        return ctl_fail(c, CTL_USAGE, NULL, "'%s' is not UTF-8", shown.s ? shown.s : "");
    if (json_object_get(limits, key))
        return ctl_fail(c, CTL_USAGE, NULL, "'%.*s' is given twice", (int)(shown.len - strlen(equals)),
                        shown.s);
    (void)json_object_set_new(limits, key, json_string(equals + 1));
    return CTL_DONE;
}

/* The service itself: a glob would change what was not named. */
static int check_name(Ctl *c, char *name) {
    char *const names[] = {name, NULL};
    json_t *status = NULL;
    int result = names_require(c, names, &status);
    const json_t *services = json_object_get(status, "services");
    if (result == 0 && !streq(field_text(json_array_get(services, 0), "name"), name))
        result = ctl_fail(c, CTL_USAGE, "give its whole name", "'set' changes one service at a time");
    json_decref(status);
    return result;
}

/* The changes as a reload prints them, for how long they hold, and where to write what is to stay. */
static void show(Ctl *c, const json_t *reply, const char *name) {
    json_t *described = NULL;
    if (json_array_size(json_object_get(reply, "changes")) == 0) {
        text_add(&c->out, "nothing changes: it is like that already\n");
        return;
    }
    changes_format(c, reply, &c->out);
    text_add(&c->out, "in force until the next reload; to keep it, write it into ");
    if (ctl_call(c, METHOD_DESCRIBE, json_pack("{s:s}", "service", name), &described) == 0 &&
        field_given(described, "file"))
        field_show(&c->out, described, "file");
    else
        text_add(&c->out, "the config");
    text_add(&c->out, " and run 'mpctl reload'\n");
    json_decref(described);
}

int verb_set(Ctl *c, char *const *args) {
    json_t *limits = json_object(), *reply = NULL;
    int status = CTL_DONE;
    for (size_t i = 1; args[i] && status == 0; i++)
        status = add_pair(c, limits, args[i]);
    if (status == 0)
        status = check_name(c, args[0]);
    if (status == 0)
        status =
            ctl_call(c, METHOD_SET, json_pack("{s:s, s:O}", "service", args[0], "limits", limits), &reply);
    json_decref(limits);
    if (status != 0)
        return status;
    if (ctl_wants_json(c))
        ctl_add_json(c, reply);
    else
        show(c, reply, args[0]);
    json_decref(reply);
    return CTL_DONE;
}
