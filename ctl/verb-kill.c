/* SPDX-License-Identifier: MIT */
/* mpctl kill: a signal to the instances of a service, to one by its pid, or to those of a source. */
#include <signal.h>
#include <string.h>

#include "conf/suggest.h"
#include "conf/value.h"
#include "ctl/fields.h"
#include "ctl/names.h"
#include "ctl/verbs.h"
#include "daemon/base/clock.h"

/* How long an answer may take that is given at once. */
#define ANSWER_TIMEOUT_USEC (30 * USEC_PER_SEC)

/* Only words of digits are pids, where no service has that name. */
static bool is_number(const char *word) {
    return *word && word[strspn(word, "0123456789")] == '\0';
}

static int fail_signal(Ctl *c, const char *word) {
    CLEANUP_TEXT Text names = {0}, shown = {0}, best = {0};
    Suggestion s = {.word = word};
    bool prefixed = strncasecmp(word, "SIG", 3) == 0;
    text_add_escaped(&shown, word, strlen(word));
    for (int i = 1; i <= SIGRTMAX; i++) {
        text_reset(&names);
        value_signal_format(i, &names);
        const char *name = names.s ? names.s + (prefixed ? 0 : 3) : "";
        size_t before = s.best ? s.distance : SIZE_MAX;
        suggestion_offer(&s, name);
        if (s.best && s.distance < before) {
            text_reset(&best);
            text_add(&best, name);
        }
        s.best = s.best ? best.s : NULL;
    }
    if (s.best)
        return ctl_fail(c, CTL_USAGE, NULL, "no signal '%s'; did you mean '%s'?", shown.s ? shown.s : "",
                        best.s);
    return ctl_fail(c, CTL_USAGE, "a name like HUP or SIGHUP, or a number: 'kill -l' lists them",
                    "no signal '%s'", shown.s ? shown.s : "");
}

static int decode_signal(Ctl *c, int *ret) {
    const char *word = c->options.values[OPTION_SIGNAL];
    *ret = SIGTERM;
    return word && value_signal(word, ret, NULL) < 0 ? fail_signal(c, word) : CTL_DONE;
}

/* "git: 3 instances signalled by SIGTERM"; for a pid or a source @what stands before, and whose they are
 * behind. */
static void show_signalled(Ctl *c, const json_t *reply, const char *what, int signal, bool named) {
    const json_t *services = json_object_get(reply, "services");
    uint64_t n = field_count(reply, "signaled");
    text_add_escaped(&c->out, what, strlen(what));
    text_addf(&c->out, ": %llu instance%s", (unsigned long long)n, n == 1 ? "" : "s");
    for (size_t i = 0; !named && i < json_array_size(services); i++) {
        const char *name = json_string_value(json_array_get(services, i));
        text_add(&c->out, i == 0 ? " of " : ", ");
        text_add_escaped(&c->out, name ? name : "", name ? strlen(name) : 0);
    }
    text_add(&c->out, " signalled by ");
    value_signal_format(signal, &c->out);
    text_addc(&c->out, '\n');
}

static bool holds(const json_t *array, const json_t *value) {
    for (size_t i = 0; i < json_array_size(array); i++)
        if (json_equal(json_array_get(array, i), value))
            return true;
    return false;
}

/* Adds what @reply says to the one document for all. */
static void add_to_document(json_t *document, const json_t *reply) {
    json_t *services = json_object_get(document, "services");
    const json_t *more = json_object_get(reply, "services");
    for (size_t i = 0; i < json_array_size(more); i++)
        if (!holds(services, json_array_get(more, i)))
            (void)json_array_append(services, json_array_get(more, i));
    int64_t n = field_number(document, "signaled") + field_number(reply, "signaled");
    (void)json_object_set_new(document, "signaled", json_integer(n));
}

static int fail_no_instance(Ctl *c, const char *what) {
    CLEANUP_TEXT Text shown = {0};
    text_add_escaped(&shown, what, strlen(what));
    return ctl_fail(c, CTL_FAILED, "'mpctl ps' lists the instances", "%s: no instance to signal",
                    shown.s ? shown.s : "");
}

static bool is_error(const Reply *reply, ApiError error) {
    return reply->error && streq(reply->error, api_error(error)->name);
}

static bool is_bad_source(const Reply *reply) {
    return is_error(reply, API_INVALID_PARAMETER) &&
           streq(field_text(reply->parameters, "parameter"), "source");
}

static int fail_source(Ctl *c, const char *source, const Reply *reply) {
    CLEANUP_TEXT Text shown = {0};
    text_add_escaped(&shown, source, strlen(source));
    if (ctl_wants_json(c))
        ctl_add_error(c, reply);
    return ctl_fail(c, CTL_USAGE, "for example 203.0.113.7, 2001:db8::/48, or uid:1000",
                    "'%s' is no address or prefix", shown.s ? shown.s : "");
}

/* One target; @parameters are taken over. */
static int signal_target(Ctl *c, json_t *parameters, const char *what, int signal, json_t *document) {
    CLEANUP_TEXT Text name = {0};
    CLEANUP_REPLY Reply reply = {0};
    bool is_service = field_given(parameters, "service"), named = is_service && !strpbrk(what, "*?[");
    value_signal_format(signal, &name);
    (void)json_object_set_new(parameters, "signal", json_string(name.s));
    int status = ctl_send(c, METHOD_SIGNAL, parameters, false);
    if (status != 0)
        return status;
    int r = client_receive(c->client, ANSWER_TIMEOUT_USEC, &reply);
    if (r == 0 && is_error(&reply, API_NO_SUCH_INSTANCE) && !ctl_wants_json(c))
        return fail_no_instance(c, what);
    if (r == 0 && is_bad_source(&reply))
        return fail_source(c, what, &reply);
    if (r < 0 || reply.error)
        return ctl_fail_reply(c, METHOD_SIGNAL, r, &reply);
    if (field_count(reply.parameters, "signaled") == 0)
        return fail_no_instance(c, what);
    if (ctl_wants_json(c))
        add_to_document(document, reply.parameters);
    else
        show_signalled(c, reply.parameters, what, signal, named);
    return CTL_DONE;
}

/* Whether there is a service of that name. 0 or the exit status, after saying what has gone wrong. */
static int find_service(Ctl *c, const char *name, bool *ret) {
    CLEANUP_REPLY Reply reply = {0};
    int status = ctl_send(c, METHOD_STATUS, json_pack("{s:[s]}", "services", name), false);
    if (status != 0)
        return status;
    int r = client_receive(c->client, ANSWER_TIMEOUT_USEC, &reply);
    *ret = r == 0 && !reply.error;
    return *ret || (r == 0 && is_error(&reply, API_NO_SUCH_SERVICE))
               ? CTL_DONE
               : ctl_fail_reply(c, METHOD_STATUS, r, &reply);
}

/* @word is a service, a glob, or a pid. */
static int signal_word(Ctl *c, const char *word, int signal, json_t *document) {
    bool is_service = true;
    int status = is_number(word) ? find_service(c, word, &is_service) : CTL_DONE;
    if (status != 0)
        return status;
    if (is_service)
        return signal_target(c, json_pack("{s:s}", "service", word), word, signal, document);
    uint64_t pid;
    if (value_unsigned(word, 2, INT32_MAX, &pid, NULL) < 0)
        return ctl_fail(c, CTL_USAGE, "'mpctl ps' lists the pids of instances",
                        "%s cannot be the pid of an instance", word);
    return signal_target(c, json_pack("{s:I}", "pid", (json_int_t)pid), word, signal, document);
}

/* Names that no service has: said before anything is done. */
static int check_names(Ctl *c, char *const *args) {
    char **names = (char **)calloc(strv_length(args) + 1, sizeof(char *));
    size_t n = 0;
    int result = CTL_DONE;
    for (; names && *args; args++)
        if (!is_number(*args))
            names[n++] = *args;
    if (!names)
        return ctl_fail(c, CTL_FAILED, NULL, "out of memory");
    if (n > 0)
        result = names_require(c, names, NULL);
    free((void *)names);
    return result;
}

static int check_usage(Ctl *c, char *const *args, int *ret_signal) {
    const char *source = c->options.values[OPTION_SOURCE];
    int status = decode_signal(c, ret_signal);
    if (status != 0)
        return status;
    if (!*args && !source)
        return ctl_fail(c, CTL_USAGE, "try 'mpctl kill --help'", "'kill' needs NAME, PID or --source PREFIX");
    if (source && !utf8_valid(source, strlen(source)))
        return ctl_fail(c, CTL_USAGE, NULL, "what --source names is not UTF-8");
    if (*args && source)
        return ctl_fail(c, CTL_USAGE, "without a name, --source goes over all services",
                        "'kill' takes either NAME or PID, or --source");
    return CTL_DONE;
}

int verb_kill(Ctl *c, char *const *args) {
    const char *source = c->options.values[OPTION_SOURCE];
    int signal;
    int status = check_usage(c, args, &signal);
    if (status == 0)
        status = check_names(c, args);
    if (status != 0)
        return status;
    json_t *document = json_pack("{s:[], s:i}", "services", "signaled", 0);
    ctl_begin_parts(c);
    if (source)
        status = signal_target(c, json_pack("{s:s}", "source", source), source, signal, document);
    /* What goes wrong with one says so, and the others are signalled all the same. */
    for (; *args; args++) {
        int one = signal_word(c, *args, signal, document);
        status = status != 0 ? status : one;
        if (one == CTL_NOT_ALLOWED || one == CTL_NO_DAEMON)
            break;
    }
    ctl_end_parts(c, json_integer_value(json_object_get(document, "signaled")) > 0 ? document : NULL);
    json_decref(document);
    return status;
}
