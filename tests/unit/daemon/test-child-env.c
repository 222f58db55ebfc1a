/* SPDX-License-Identifier: MIT */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include <sys/socket.h>

#include "daemon/base/text.h"
#include "daemon/child-env.h"

static const char *value_of(char *const *env, const char *name) {
    size_t n = strlen(name);
    const char *found = NULL;
    for (; *env; env++) {
        if (strncmp(*env, name, n) != 0 || (*env)[n] != '=')
            continue;
        assert_null(found); /* never twice */
        found = *env + n + 1;
    }
    return found;
}

static void assert_value(char *const *env, const char *name, const char *value) {
    const char *found = value_of(env, name);
    if (!streq_null(found, value))
        fail_msg("%s is %s, not %s", name, found ? found : "unset", value ? value : "unset");
}

static char *outer[] = {(char *)"SECRET=x",
                        (char *)"LANG=de_DE.UTF-8",
                        (char *)"OTEL_A=1",
                        (char *)"OTEL_B=2",
                        (char *)"TZ=UTC",
                        (char *)"LD_PRELOAD=/evil.so",
                        NULL};

static ServiceConfig service = {
    .name = (char *)"web",
    .resolved = {.home = (char *)"/home/u", .user_name = (char *)"u", .shell = (char *)"/bin/sh"},
};

static void test_base(void **state) {
    (void)state;
    ChildEnv e;
    EnvBuilder b = {0};
    char *pass[] = {(char *)"OTEL_*", (char *)"TZ", NULL};
    char *set[] = {(char *)"HOME=/elsewhere", (char *)"TZ=CET", (char *)"EMPTY=", NULL};
    ServiceConfig c = service;
    c.pass_environment = pass;
    c.environment = set;
    assert_int_equal(child_env_init(&e, &c, outer), 0);
    assert_int_equal(env_builder_begin(&b, &e), 0);
    char **env = env_builder_finish(&b);
    assert_value(env, "PATH", "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin");
    assert_value(env, "LANG", "de_DE.UTF-8");
    assert_value(env, "HOME", "/elsewhere");
    assert_value(env, "USER", "u");
    assert_value(env, "LOGNAME", "u");
    assert_value(env, "SHELL", "/bin/sh");
    assert_value(env, "MP_SERVICE", "web");
    assert_value(env, "OTEL_A", "1");
    assert_value(env, "OTEL_B", "2");
    assert_value(env, "TZ", "CET");
    assert_value(env, "EMPTY", "");
    assert_value(env, "SECRET", NULL);
    assert_value(env, "LD_PRELOAD", NULL);
    child_env_done(&e);
    env_builder_done(&b);
}

static char **connect_from(EnvBuilder *b, ChildEnv *e, const char *remote, const char *local) {
    Addr from, to;
    assert_int_equal(addr_parse_ip(remote, 4711, &from), 0);
    assert_int_equal(addr_parse_ip(local, 80, &to), 0);
    assert_int_equal(env_builder_begin(b, e), 0);
    assert_int_equal(env_builder_set_connection(b, &from, &to, NULL), 0);
    return env_builder_finish(b);
}

static void test_connection(void **state) {
    (void)state;
    ChildEnv e;
    EnvBuilder b = {0};
    assert_int_equal(child_env_init(&e, &service, outer), 0);
    char **env = connect_from(&b, &e, "192.0.2.1", "192.0.2.2");
    assert_value(env, "PROTO", "TCP");
    assert_value(env, "TCPREMOTEIP", "192.0.2.1");
    assert_value(env, "TCPREMOTEPORT", "4711");
    assert_value(env, "TCPLOCALIP", "192.0.2.2");
    assert_value(env, "TCPLOCALPORT", "80");
    assert_value(env, "REMOTE_ADDR", "192.0.2.1");
    assert_value(env, "REMOTE_PORT", "4711");
    env = connect_from(&b, &e, "::ffff:192.0.2.1", "::ffff:192.0.2.2");
    assert_value(env, "PROTO", "TCP");
    assert_value(env, "TCPREMOTEIP", "192.0.2.1");
    assert_value(env, "TCPLOCALIP", "192.0.2.2");
    env = connect_from(&b, &e, "2001:db8::1", "2001:db8::2");
    assert_value(env, "PROTO", "TCP6");
    assert_value(env, "TCPREMOTEIP", "2001:db8::1");
    child_env_done(&e);
    env_builder_done(&b);
}

static void test_unix(void **state) {
    (void)state;
    ChildEnv e;
    EnvBuilder b = {0};
    Addr from = {.un = {.sun_family = AF_UNIX}, .len = sizeof(sa_family_t)}, to;
    struct ucred credentials = {.pid = 12, .uid = 1000, .gid = 100};
    assert_int_equal(addr_set_unix("/run/x.sock", &to), 0);
    assert_int_equal(child_env_init(&e, &service, outer), 0);
    assert_int_equal(env_builder_begin(&b, &e), 0);
    assert_int_equal(env_builder_set_connection(&b, &from, &to, &credentials), 0);
    char **env = env_builder_finish(&b);
    assert_value(env, "PROTO", "UNIX");
    assert_value(env, "UNIXREMOTEEUID", "1000");
    assert_value(env, "UNIXREMOTEEGID", "100");
    assert_value(env, "UNIXREMOTEPID", "12");
    assert_value(env, "UNIXLOCALPATH", "/run/x.sock");
    assert_value(env, "REMOTE_ADDR", NULL);
    assert_value(env, "TCPREMOTEIP", NULL);
    child_env_done(&e);
    env_builder_done(&b);
}

static void test_vsock(void **state) {
    (void)state;
    ChildEnv e;
    EnvBuilder b = {0};
    Addr from = {.vm = {.svm_family = AF_VSOCK, .svm_cid = 3, .svm_port = 1024}, .len = sizeof(from.vm)},
         to = from;
    assert_int_equal(child_env_init(&e, &service, outer), 0);
    assert_int_equal(env_builder_begin(&b, &e), 0);
    assert_int_equal(env_builder_set_connection(&b, &from, &to, NULL), 0);
    char **env = env_builder_finish(&b);
    assert_value(env, "PROTO", "VSOCK");
    assert_value(env, "REMOTE_ADDR", "3");
    assert_value(env, "REMOTE_PORT", "1024");
    for (char **v = env; *v; v++)
        assert_int_not_equal(strncmp(*v, "TCP", 3), 0);
    child_env_done(&e);
    env_builder_done(&b);
}

static void test_configured_wins(void **state) {
    (void)state;
    ChildEnv e;
    EnvBuilder b = {0};
    char *set[] = {(char *)"REMOTE_ADDR=hidden", (char *)"LISTEN_PID=1", NULL};
    ServiceConfig c = service;
    c.environment = set;
    assert_int_equal(child_env_init(&e, &c, outer), 0);
    char **env = connect_from(&b, &e, "192.0.2.1", "192.0.2.2");
    assert_value(env, "REMOTE_ADDR", "hidden");
    assert_value(env, "TCPREMOTEIP", "192.0.2.1");
    assert_int_equal(env_builder_set_listen(&b, 1, "connection"), 0);
    assert_null(b.listen_pid);
    env = env_builder_finish(&b);
    assert_value(env, "LISTEN_PID", "1");
    assert_value(env, "LISTEN_FDS", "1");
    child_env_done(&e);
    env_builder_done(&b);
}

static void test_listen(void **state) {
    (void)state;
    ChildEnv e;
    EnvBuilder b = {0};
    assert_int_equal(child_env_init(&e, &service, outer), 0);
    assert_int_equal(env_builder_begin(&b, &e), 0);
    assert_int_equal(env_builder_set_listen(&b, 2, "web:web"), 0);
    assert_non_null(b.listen_pid);
    memcpy(b.listen_pid, "4242", 5);
    char **env = env_builder_finish(&b);
    assert_value(env, "LISTEN_PID", "4242");
    assert_value(env, "LISTEN_FDS", "2");
    assert_value(env, "LISTEN_FDNAMES", "web:web");
    child_env_done(&e);
    env_builder_done(&b);
}

static void test_too_much(void **state) {
    (void)state;
    static char names[CHILD_ENV_BYTES + 1];
    ChildEnv e;
    EnvBuilder b = {0};
    memset(names, 'x', CHILD_ENV_BYTES);
    assert_int_equal(child_env_init(&e, &service, outer), 0);
    assert_int_equal(env_builder_begin(&b, &e), 0);
    assert_int_equal(env_builder_set_listen(&b, 2, names), -E2BIG);
    /* The last byte is that of the NUL. */
    size_t name = strlen("PROTO=");
    assert_int_equal(env_builder_begin(&b, &e), 0);
    assert_int_equal(env_builder_set(&b, ENV_PROTO, names + name), -E2BIG);
    assert_int_equal(env_builder_set(&b, ENV_PROTO, names + name + 1), 0);
    assert_int_equal(env_builder_set(&b, ENV_PROTO, ""), -E2BIG);
    assert_int_equal(env_builder_set_number(&b, ENV_REMOTE_PORT, 1), -E2BIG);
    assert_value(env_builder_finish(&b), "PROTO", names + name + 1);
    child_env_done(&e);
    env_builder_done(&b);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_base),
        cmocka_unit_test(test_connection),
        cmocka_unit_test(test_vsock),
        cmocka_unit_test(test_unix),
        cmocka_unit_test(test_configured_wins),
        cmocka_unit_test(test_listen),
        cmocka_unit_test(test_too_much),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
