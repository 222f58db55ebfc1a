/* SPDX-License-Identifier: MIT */
#include <ctype.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "ctl/proto/methods.h"

/* `[A-Za-z](_?[A-Za-z0-9])*`: the names that every parser takes. */
static bool is_field_name(const char *s) {
    if (!isalpha((unsigned char)*s))
        return false;
    for (; *s; s++) {
        if (*s == '_' && !isalnum((unsigned char)s[1]))
            return false;
        if (*s != '_' && !isalnum((unsigned char)*s))
            return false;
    }
    return true;
}

static bool is_member_name(const char *s) {
    if (!isupper((unsigned char)*s))
        return false;
    for (; *s; s++)
        if (!isalnum((unsigned char)*s))
            return false;
    return true;
}

/* A type that is known, written as the strictest parser takes it: "?" before, "[]" once, nothing nested. */
static void assert_type(const char *type) {
    static const char *const plain[] = {"string", "int", "float", "bool", "object", "scalar"};
    type += *type == '?';
    type += starts_with(type, "[]") ? 2 : 0;
    for (size_t i = 0; i < ELEMENTS(plain); i++)
        if (streq(plain[i], type))
            return;
    if (!api_type_find(type, strlen(type)))
        print_error("unknown type %s\n", type);
    assert_non_null(api_type_find(type, strlen(type)));
}

static void assert_fields(const ApiField *fields) {
    for (const ApiField *f = fields; f->name; f++) {
        assert_true(is_field_name(f->name));
        assert_type(f->type);
        for (const ApiField *other = fields; other != f; other++)
            assert_string_not_equal(other->name, f->name);
    }
}

static void test_types(void **state) {
    const ApiType *type;
    (void)state;
    for (size_t i = 0; (type = api_type(i)); i++) {
        assert_true(is_member_name(type->name));
        assert_ptr_equal(api_type_find(type->name, strlen(type->name)), type);
        assert_int_equal(!type->fields, !!type->word);
        if (type->fields) {
            assert_non_null(type->fields->name); /* no empty struct */
            assert_fields(type->fields);
        }
        const char *word;
        for (size_t w = 0; type->word && (word = type->word(w)); w++)
            assert_true(is_field_name(word));
        assert_true(!type->word || type->word(0));
    }
}

static void test_methods(void **state) {
    (void)state;
    for (Method m = 0; m < _METHOD_MAX; m++) {
        const ApiMethod *row = api_method(m);
        assert_true(api_interface_exists(row->interface));
        assert_true(starts_with(row->name, row->interface));
        assert_true(is_member_name(row->name + strlen(row->interface) + 1));
        assert_int_equal(api_method_find(row->name), m);
        assert_true(row->access == METHOD_READS || row->access == METHOD_CHANGES);
        assert_non_null(row->doc);
        assert_fields(row->in);
        assert_fields(row->out);
        for (const ApiField *f = row->in; f->name; f++)
            assert_true(f->offset > 0 && f->offset < sizeof(ApiRequest));
    }
    assert_int_equal(api_method_find("dev.mpinetd.Control."), -ENOENT);
}

static void assert_has(const char *description, const char *keyword, const char *name, const char *after) {
    Text line = {0};
    text_addf(&line, "\n%s %s%s", keyword, name, after);
    if (!strstr(description, line.s))
        print_error("not described:%s\n", line.s);
    assert_non_null(strstr(description, line.s));
    text_done(&line);
}

/* Every row is in the description of its interface, and of no other. */
static void test_complete(void **state) {
    static const char *const interfaces[] = {INTERFACE_CONTROL, INTERFACE_SERVICE};
    (void)state;
    for (size_t i = 0; i < ELEMENTS(interfaces); i++) {
        Text text = {0};
        size_t members = 0, expected = 0;
        const ApiErrorRow *error;
        api_interface_describe(&text, interfaces[i]);
        assert_true(text_ok(&text));
        for (Method m = 0; m < _METHOD_MAX; m++) {
            if (!streq(api_method(m)->interface, interfaces[i]))
                continue;
            assert_has(text.s, "method", strrchr(api_method(m)->name, '.') + 1, "(");
            expected++;
        }
        for (size_t e = 0; (error = api_error(e)); e++) {
            if (!streq(error->interface, interfaces[i]))
                continue;
            assert_has(text.s, "error", strrchr(error->name, '.') + 1, " (");
            expected++;
        }
        for (const char *at = text.s; (at = strchr(at, '\n')); at++)
            members += starts_with(at + 1, "method ") || starts_with(at + 1, "error ");
        assert_int_equal(members, expected);
        text_done(&text);
    }
}

/* What systemd's parser is known to refuse does not stand in it. */
static void test_strict(void **state) {
    static const char *const bad[] = {"??", "[][]", "[]?", ",\n)", ", )", ": ()", "()\ntype"};
    Text text = {0};
    (void)state;
    api_interface_describe(&text, INTERFACE_CONTROL);
    for (size_t i = 0; i < ELEMENTS(bad); i++)
        assert_null(strstr(text.s, bad[i]));
    text_done(&text);
}

static void test_running(void **state) {
    static const bool running[_SERVICE_STATE_MAX] = {
        [SERVICE_LISTENING] = true, [SERVICE_ACTIVE] = true,   [SERVICE_FULL] = true,
        [SERVICE_THROTTLED] = true, [SERVICE_STARTING] = true, [SERVICE_DRAINING] = true,
        [SERVICE_BACKOFF] = true,
    };
    (void)state;
    for (size_t i = 0; i < _SERVICE_STATE_MAX; i++) {
        assert_int_equal(service_state_is_running((ServiceState)i), running[i]);
        assert_int_equal(service_state_from_string(service_state_to_string((ServiceState)i)), (int)i);
    }
    assert_null(service_state_to_string(_SERVICE_STATE_MAX));
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_types),  cmocka_unit_test(test_methods), cmocka_unit_test(test_complete),
        cmocka_unit_test(test_strict), cmocka_unit_test(test_running),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
