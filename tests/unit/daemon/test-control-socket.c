/* SPDX-License-Identifier: MIT */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "daemon/base/cleanup.h"
#include "daemon/control-socket.h"

static void admits_others(void **state) {
    static const gid_t managers[] = {27, 100, 65534};
    static const struct {
        mode_t mode;
        gid_t gid;
        size_t n;
        bool others;
    } cases[] = {
        {0600, (gid_t)-1, 2, false}, {0660, (gid_t)-1, 2, false}, {0660, (gid_t)-1, 0, false},
        {0660, 27, 2, false},        {0660, 100, 2, false},       {0660, 100, 1, true},
        {0660, 28, 2, true},         {0660, 0, 0, true},          {0640, 28, 2, false},
        {0666, (gid_t)-1, 2, true},  {0666, 27, 2, true},         {0602, 27, 2, true},
        {0664, 27, 2, false},        {0604, 28, 0, false},        {0606, 27, 2, true},
        {0000, 28, 0, false},        {0660, 65534, 3, true},
    };
    (void)state;
    for (size_t i = 0; i < ELEMENTS(cases); i++)
        assert_int_equal(control_socket_admits_others(cases[i].mode, cases[i].gid, managers, cases[i].n),
                         cases[i].others);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(admits_others),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
