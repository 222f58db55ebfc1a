/* SPDX-License-Identifier: MIT */
/* A request while memory runs out: refused, or the same as ever, and never another one. The linker wraps
 * malloc(3) (meson.build). */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "ctl/proto/methods.h"

#define SERVICE "a-service-whose-name-is-longer-than-what-is-asked-for-at-first"
#define JSON "{\"method\":\"dev.mpinetd.Control.Describe\",\"parameters\":{\"service\":\"" SERVICE "\"}}"

void *__real_malloc(size_t size);
void *__wrap_malloc(size_t size);

static unsigned n_allocations, fails_at; /* the first is 1; 0: none */

void *__wrap_malloc(size_t size) {
    return ++n_allocations == fails_at ? NULL : __real_malloc(size);
}

static int parse(unsigned at, char **ret_service) {
    ApiRequest request = {0};
    ApiRefusal refusal = {0};
    n_allocations = 0;
    fails_at = at;
    int r = api_parse(JSON, strlen(JSON), &request, &refusal);
    fails_at = 0;
    assert_int_not_equal(r, 1);
    *ret_service = r == 0 ? strdup(request.service) : NULL;
    if (r == 0)
        api_request_done(&request);
    api_refusal_done(&refusal);
    return r;
}

static void test_each_allocation(void **state) {
    (void)state;
    char *service = NULL;
    assert_int_equal(parse(0, &service), 0);
    assert_string_equal(service, SERVICE);
    free(service);
    unsigned n = n_allocations;
    /* A word is grown more than once. */
    assert_true(n > 8);
    for (unsigned at = 1; at <= n; at++) {
        assert_int_equal(parse(at, &service), -EBADMSG);
        assert_int_equal(parse(0, &service), 0);
        assert_string_equal(service, SERVICE);
        free(service);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_each_allocation)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
