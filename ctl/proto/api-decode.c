/* SPDX-License-Identifier: MIT */
/* From a call's JSON to an ApiRequest. Bytes come from anyone who can open the socket. */
#include <string.h>

#include "ctl/proto/json-reader.h"
#include "ctl/proto/methods.h"

typedef struct Call {
    const char *method;
    json_t *parameters; /* borrowed; NULL stands for {} */
    bool oneway, more, upgrade;
} Call;

void api_request_done(ApiRequest *r) {
    strv_free(r->services);
    free(r->service);
    free(r->interface);
    free(r->source);
    free(r->signal);
    free(r->prefix);
    strv_free(r->limits);
    *r = (ApiRequest){.last = -1, .pid = -1};
}

/* Jansson's own bound on depth (2048) is fixed when it is built, and its recursion is on our stack: so count
 * first. What is no JSON at all may pass; it is refused later. */
static bool is_too_deep(const char *json, size_t n) {
    size_t depth = 0;
    bool in_string = false;
    for (size_t i = 0; i < n; i++) {
        char c = json[i];
        if (in_string) {
            if (c == '\\')
                i++;
            else if (c == '"')
                in_string = false;
        } else if (c == '"') {
            in_string = true;
        } else if (c == '{' || c == '[') {
            if (++depth > REQUEST_DEPTH_MAX)
                return true;
        } else if ((c == '}' || c == ']') && depth > 0) {
            depth--;
        }
    }
    return false;
}

/* The call object itself: nothing but the specification's keys (varlink.org, "Call"). */
static int decode_call(json_t *root, Call *ret) {
    Call call = {0};
    const char *key;
    json_t *value;
    if (!json_is_object(root))
        return -EBADMSG;
    json_object_foreach(root, key, value) {
        bool *flag = streq(key, "oneway")    ? &call.oneway
                     : streq(key, "more")    ? &call.more
                     : streq(key, "upgrade") ? &call.upgrade
                                             : NULL;
        if (flag && json_is_boolean(value))
            *flag = json_is_true(value);
        else if (streq(key, "method") && json_is_string(value))
            call.method = json_string_value(value);
        else if (streq(key, "parameters") && json_is_object(value))
            call.parameters = value;
        else if (!streq(key, "parameters") || !json_is_null(value))
            return -EBADMSG;
    }
    /* No method of ours becomes another protocol. */
    if (!call.method || (call.more && call.oneway) || call.upgrade)
        return -EBADMSG;
    *ret = call;
    return 0;
}

/* The name of the first parameter that is unknown, of the wrong type or missing; NULL when all is well. */
static const char *find_invalid_parameter(const ApiField *fields, json_t *parameters) {
    const char *key;
    json_t *value;
    json_object_foreach(parameters, key, value) {
        const ApiField *f = fields;
        while (f->name && !streq(f->name, key))
            f++;
        if (!f->name || !api_value_is(f->type, value, false))
            return key;
    }
    for (const ApiField *f = fields; f->name; f++)
        if (f->type[0] != '?' && !json_object_get(parameters, f->name))
            return f->name;
    return NULL;
}

static int copy_strings(const json_t *array, char ***ret) {
    CLEANUP_STRV char **v = (char **)calloc(2, sizeof(char *));
    if (!v)
        return -ENOMEM;
    size_t n = json_array_size(array);
    for (size_t i = 0; i < n; i++) {
        int r = strv_push(&v, strdup(json_string_value(json_array_get(array, i))));
        if (r < 0)
            return r;
    }
    *ret = TAKE_PTR(v);
    return 0;
}

/* A string or a number, as new text; NULL when memory runs out. */
static char *scalar_text(const json_t *value) {
    char *text = NULL;
    if (json_is_string(value))
        return strdup(json_string_value(value));
    if (json_is_integer(value))
        return asprintf(&text, "%lld", (long long)json_integer_value(value)) < 0 ? NULL : text;
    if (!json_is_real(value))
        return NULL;
    char digits[64];
    size_t n = json_dumpb(value, digits, sizeof(digits), JSON_ENCODE_ANY | JSON_REAL_PRECISION(15));
    return n > 0 && n < sizeof(digits) ? strndup(digits, n) : NULL;
}

/* The members of an object as "KEY=VALUE". -EINVAL for one that is neither text nor number. */
static int copy_members(const json_t *object, char ***ret) {
    CLEANUP_STRV char **v = (char **)calloc(2, sizeof(char *));
    const char *key;
    json_t *value;
    if (!v)
        return -ENOMEM;
    json_object_foreach((json_t *)object, key, value) {
        CLEANUP_FREE char *text = NULL, *pair = NULL;
        if (!json_is_string(value) && !json_is_number(value))
            return -EINVAL;
        text = scalar_text(value);
        if (!text || asprintf(&pair, "%s=%s", key, text) < 0)
            return -ENOMEM;
        int r = strv_push(&v, TAKE_PTR(pair));
        if (r < 0)
            return r;
    }
    *ret = TAKE_PTR(v);
    return 0;
}

/* Puts one checked value where its row says. -EINVAL when its type did not say all. */
static int store(const ApiField *f, const json_t *value, ApiRequest *request) {
    char *place = (char *)request + f->offset;
    if (streq(f->type, "scalar")) {
        char *s = scalar_text(value);
        if (!s)
            return -ENOMEM;
        memcpy(place, (void *)&s, sizeof(s));
        return 0;
    }
    if (json_is_boolean(value)) {
        *(bool *)place = json_is_true(value);
        return 0;
    }
    if (json_is_integer(value)) {
        int64_t number = json_integer_value(value);
        memcpy(place, &number, sizeof(number));
        return 0;
    }
    if (json_is_string(value)) {
        char *s = strdup(json_string_value(value));
        if (!s)
            return -ENOMEM;
        memcpy(place, (void *)&s, sizeof(s));
        return 0;
    }
    if (json_is_array(value) || json_is_object(value)) {
        char **v = NULL;
        int r = json_is_array(value) ? copy_strings(value, &v) : copy_members(value, &v);
        if (r < 0)
            return r;
        memcpy(place, (void *)&v, sizeof(v));
    }
    return 0;
}

static bool needs_services(Method m) {
    const ApiField *f = api_method(m)->in;
    return f->name && streq(f->name, "services") && f->type[0] != '?';
}

/* Exactly one of the three says who gets it. */
static const char *find_bad_target(const ApiRequest *r) {
    if (r->service)
        return r->pid != -1 ? "pid" : r->source ? "source" : NULL;
    if (r->pid != -1)
        return r->source ? "source" : NULL;
    return r->source ? NULL : "service";
}

/* What the types cannot say. */
const char *api_request_out_of_range(const ApiRequest *r) {
    if (r->last < -1)
        return "last";
    if (needs_services(r->method) && strv_length(r->services) == 0)
        return "services";
    if (r->method == METHOD_SIGNAL)
        return r->pid != -1 && r->pid <= 1 ? "pid" : find_bad_target(r);
    if (r->method == METHOD_SET && strv_length(r->limits) == 0)
        return "limits";
    return NULL;
}

/* -1 stands for what is not given, and is not to be given itself. */
static const char *find_minus_one(const ApiRequest *r, const json_t *parameters) {
    if (r->last == -1 && json_is_integer(json_object_get(parameters, "last")))
        return "last";
    return r->pid == -1 && json_is_integer(json_object_get(parameters, "pid")) ? "pid" : NULL;
}

static const char *find_out_of_range(const ApiRequest *r, const json_t *parameters) {
    const char *bad = find_minus_one(r, parameters);
    return bad ? bad : api_request_out_of_range(r);
}

static int decode_parameters(const ApiMethod *method, json_t *parameters, ApiRequest *request,
                             const char **ret_bad) {
    const char *bad = find_invalid_parameter(method->in, parameters);
    for (const ApiField *f = method->in; !bad && f->name; f++) {
        int r = store(f, json_object_get(parameters, f->name), request);
        if (r == -EINVAL)
            bad = f->name;
        else if (r < 0)
            return r;
    }
    *ret_bad = bad ? bad : find_out_of_range(request, parameters);
    return 0;
}

void api_refusal_done(ApiRefusal *r) {
    free(r->what);
    *r = (ApiRefusal){0};
}

static int refuse(const Call *call, ApiError error, const char *what, ApiRefusal *ret) {
    char *copy = strdup(what);
    if (!copy)
        return -EBADMSG;
    *ret = (ApiRefusal){.oneway = call->oneway, .error = error, .what = copy};
    return 1;
}

static int parse_root(json_t *root, ApiRequest *ret, ApiRefusal *ret_refusal) {
    Call call;
    int r = decode_call(root, &call);
    if (r < 0)
        return r;
    int m = api_method_find(call.method);
    if (m < 0)
        return refuse(&call, API_METHOD_NOT_FOUND, call.method, ret_refusal);
    ApiRequest request = {
        .method = (Method)m, .more = call.more, .oneway = call.oneway, .last = -1, .pid = -1};
    const char *bad = NULL;
    r = decode_parameters(api_method((Method)m), call.parameters, &request, &bad);
    if (r < 0 || bad) {
        api_request_done(&request);
        return r < 0 ? -EBADMSG : refuse(&call, API_INVALID_PARAMETER, bad, ret_refusal);
    }
    *ret = request;
    return 0;
}

int api_parse(const char *json, size_t n, ApiRequest *ret, ApiRefusal *ret_refusal) {
    if (is_too_deep(json, n))
        return -EBADMSG;
    json_t *root = json_reader_load(json, n);
    if (!root)
        return -EBADMSG;
    int r = parse_root(root, ret, ret_refusal);
    json_reader_done(root);
    return r;
}

void api_encode_refusal(Text *out, const ApiRefusal *r) {
    if (!r->oneway)
        api_encode_error(out, r->error, r->what, NULL, 0);
}

int api_decode(const char *json, size_t n, ApiRequest *ret, Text *reply) {
    ApiRefusal refusal = {0};
    int r = api_parse(json, n, ret, &refusal);
    if (r == 1)
        api_encode_refusal(reply, &refusal);
    api_refusal_done(&refusal);
    return r;
}
