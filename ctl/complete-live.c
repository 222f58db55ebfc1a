/* SPDX-License-Identifier: MIT */
/* Names and processes from the daemon, for completion. Whatever is wrong there is no matter here: nothing is
 * said, and nobody waits for long. */
#include <string.h>

#include "ctl/complete.h"
#include "ctl/fields.h"
#include "daemon/base/clock.h"

#define LIVE_TIMEOUT_USEC (900 * USEC_PER_MSEC)

/* What a shell takes as it is, and the config allows in a name. */
#define HARMLESS "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789._@+-"

static bool is_harmless(const char *s) {
    return *s && *s != '-' && strspn(s, HARMLESS) == strlen(s);
}

/* "listening, tcp:7" */
static void offer_service(const CompletePlace *p, Text *out, const json_t *service) {
    const char *name = field_text(service, "name");
    const json_t *listen = json_object_get(service, "listen");
    CLEANUP_TEXT Text what = {0};
    if (!is_harmless(name) || complete_is_given(p, name))
        return;
    text_add(&what, field_text(service, "state"));
    for (size_t i = 0; i < json_array_size(listen); i++) {
        const char *endpoint = json_string_value(json_array_get(listen, i));
        text_addf(&what, ", %s", endpoint ? endpoint : "");
    }
    complete_offer(p, out, name, what.s);
}

/* "git 198.51.100.7:40112" */
static void offer_instance(const CompletePlace *p, Text *out, const json_t *instance) {
    CLEANUP_TEXT Text pid = {0}, what = {0};
    text_addf(&pid, "%lld", (long long)field_number(instance, "pid"));
    if (!pid.s || complete_is_given(p, pid.s))
        return;
    text_addf(&what, "%s %s", field_text(instance, "service"), field_text(instance, "peer"));
    complete_offer(p, out, pid.s, what.s);
}

/* "refusals by git" */
static void offer_ban(const CompletePlace *p, Text *out, const json_t *ban) {
    const char *prefix = field_text(ban, "prefix");
    CLEANUP_TEXT Text what = {0};
    if (!*prefix || strspn(prefix, HARMLESS ":/%") != strlen(prefix) || complete_is_given(p, prefix))
        return;
    text_addf(&what, "%s by %s", field_text(ban, "cause"), field_text(ban, "by"));
    complete_offer(p, out, prefix, what.s);
}

typedef void (*Offer)(const CompletePlace *p, Text *out, const json_t *item);

/* Calls @m and offers each item of the list @key of its reply, or of all its parts that come in time. */
static int offer_list(Ctl *c, const CompletePlace *p, Method m, const char *key, uint64_t until_usec,
                      Offer offer) {
    int r = client_send(c->client, method_name(m), NULL, m == METHOD_INSTANCES || m == METHOD_BANS);
    for (bool more = true; r == 0 && more;) {
        CLEANUP_REPLY Reply reply = {0};
        uint64_t now = clock_monotonic_usec();
        r = client_receive(c->client, until_usec > now ? until_usec - now : 0, &reply);
        const json_t *list = json_object_get(reply.parameters, key);
        for (size_t i = 0; r == 0 && i < json_array_size(list); i++)
            offer(p, &c->out, json_array_get(list, i));
        more = reply.continues;
    }
    return r;
}

/* What the shell would have put in the place of "~/". */
static char *expand_home(const char *path) {
    const char *home = getenv("HOME");
    CLEANUP_TEXT Text text = {0};
    if (home && starts_with(path, "~/"))
        text_add(&text, home);
    text_add(&text, home && starts_with(path, "~/") ? path + 1 : path);
    return text_take(&text);
}

/* Connects; 0 or a negative errno. */
static int open_quietly(Ctl *c, const CompletePlace *p) {
    CLEANUP_FREE char *socket = p->socket ? expand_home(p->socket) : NULL;
    c->options.values[OPTION_SOCKET] = socket;
    c->connect_timeout_usec = LIVE_TIMEOUT_USEC;
    int r = ctl_open(c, NULL);
    c->options.values[OPTION_SOCKET] = NULL;
    return r;
}

void complete_add_live(Ctl *c, const CompletePlace *p, bool pids) {
    uint64_t until = clock_monotonic_usec() + LIVE_TIMEOUT_USEC;
    int r = open_quietly(c, p);
    if (r == 0)
        r = offer_list(c, p, METHOD_STATUS, "services", until, offer_service);
    if (r == 0 && pids)
        (void)offer_list(c, p, METHOD_INSTANCES, "instances", until, offer_instance);
}

void complete_add_bans(Ctl *c, const CompletePlace *p) {
    uint64_t until = clock_monotonic_usec() + LIVE_TIMEOUT_USEC;
    if (open_quietly(c, p) == 0)
        (void)offer_list(c, p, METHOD_BANS, "bans", until, offer_ban);
}
