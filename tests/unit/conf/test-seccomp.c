/* SPDX-License-Identifier: MIT */
/* Lists of system calls and the filters that come of them: what an interpreter of BPF says of a call, and
 * what the kernel does. */
#include "conf/seccomp.h"

#include <errno.h>
#include <linux/audit.h>
#include <linux/seccomp.h>
#include <sched.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#include "conf/libseccomp.h"
#include "conf/seccomp-sets.h"
#include "daemon/base/text.h"

#define ALLOW SECCOMP_RET_ALLOW
#define DENY (SECCOMP_RET_ERRNO | EPERM)
#define ABSENT (SECCOMP_RET_ERRNO | ENOSYS)
#define X32_GETPID (0x40000000U | 39U)

typedef struct Filter {
    struct sock_filter *code;
    size_t n;
} Filter;

static void filter_done(Filter *f) {
    free(f->code);
}

typedef struct Faults {
    char text[512]; /* of the last one: "1: message; hint" */
    size_t n;
} Faults;

static void on_fault(size_t i, const char *hint, const char *message, void *userdata) {
    Faults *faults = userdata;
    faults->n++;
    (void)snprintf(faults->text, sizeof(faults->text), "%zu: %s; %s", i, message, hint ? hint : "");
}

static char **words_of(const char *list) {
    char **v = strv_copy(NULL);
    for (const char *s = list; *s;) {
        size_t n = strcspn(s, " ");
        assert_int_equal(strv_push(&v, strndup(s, n)), 0);
        s += n + strspn(s + n, " ");
    }
    return v;
}

static int compile(const char *list, Filter *ret, Faults *faults) {
    CLEANUP_SECCOMP Seccomp *s = seccomp_new();
    CLEANUP_STRV char **words = words_of(list);
    *faults = (Faults){.n = 0};
    *ret = (Filter){.code = NULL};
    return seccomp_compile(s, words, on_fault, faults, &ret->code, &ret->n);
}

/* What the kernel would answer: the instructions that libseccomp and we make, on 32-bit words of the data. */
static uint32_t run(const Filter *f, const struct seccomp_data *data) {
    uint32_t a = 0;
    for (size_t pc = 0; pc < f->n; pc++) {
        const struct sock_filter *i = &f->code[pc];
        bool hit = false;
        switch (i->code) {
        case BPF_LD | BPF_W | BPF_ABS:
            assert_true(i->k + sizeof(a) <= sizeof(*data) && i->k % 4 == 0);
            memcpy(&a, (const char *)data + i->k, sizeof(a));
            continue;
        case BPF_ALU | BPF_AND | BPF_K:
            a &= i->k;
            continue;
        case BPF_RET | BPF_K:
            return i->k;
        case BPF_JMP | BPF_JA:
            pc += i->k;
            continue;
        case BPF_JMP | BPF_JEQ | BPF_K:
            hit = a == i->k;
            break;
        case BPF_JMP | BPF_JGE | BPF_K:
            hit = a >= i->k;
            break;
        case BPF_JMP | BPF_JGT | BPF_K:
            hit = a > i->k;
            break;
        case BPF_JMP | BPF_JSET | BPF_K:
            hit = (a & i->k) != 0;
            break;
        default:
            fail_msg("instruction %#x", i->code);
        }
        pc += hit ? i->jt : i->jf;
    }
    fail_msg("the filter has no end");
    return 0;
}

static uint32_t native_architecture(void) {
    Libseccomp l;
    assert_int_equal(libseccomp_open(&l), 0);
    uint32_t native = l.native();
    libseccomp_close(&l);
    return native;
}

static void test_verdicts(void **state) {
    static const struct {
        const char *list;
        long call;
        uint64_t flags; /* the first argument */
        uint32_t verdict;
    } cases[] = {
        {"@service", SYS_read, 0, ALLOW},
        {"@service", SYS_execve, 0, ALLOW},
        {"@service", SYS_socket, 0, ALLOW},
        {"@service", SYS_mount, 0, DENY},
        {"@service", SYS_ptrace, 0, DENY},
        {"@service", SYS_bpf, 0, DENY},
        {"@service", SYS_keyctl, 0, DENY},
        {"@service", SYS_unshare, 0, DENY},
        {"@service", SYS_setns, 0, DENY},
        {"@service", SYS_io_uring_setup, 0, DENY},
        {"@service", SYS_clone, SIGCHLD, ALLOW},
        {"@service", SYS_clone, CLONE_VM | CLONE_VFORK | SIGCHLD, ALLOW},
        {"@service", SYS_clone, CLONE_NEWUSER | SIGCHLD, DENY},
        {"@service", SYS_clone, CLONE_NEWNET | CLONE_NEWNS, DENY},
        {"@service", SYS_clone3, 0, ABSENT},
        {"@service", 1000, 0, ABSENT},
        {"@service @mount", SYS_mount, 0, ALLOW},
        {"@service ~@network-io", SYS_socket, 0, DENY},
        {"@service ~@network-io", SYS_recvmsg, 0, ALLOW}, /* a process that waits before exec needs it */
        {"@service ~socket", SYS_socket, 0, DENY},
        {"@service ~@network-io socket", SYS_socket, 0, ALLOW},
        {"@service @namespaces", SYS_clone, CLONE_NEWUSER, ALLOW},
        {"@service @namespaces", SYS_clone3, 0, ALLOW},
        {"read", SYS_read, 0, ALLOW},
        {"read", SYS_write, 0, DENY},
        {"read", SYS_mmap, 0, ALLOW},
        {"read", SYS_exit_group, 0, ALLOW},
        {"read", SYS_clone, 0, DENY},
        {"read", SYS_clone3, 0, DENY},
        {"~@mount", SYS_mount, 0, DENY},
        {"~@mount", SYS_read, 0, ALLOW},
        {"~@mount", SYS_clone, CLONE_NEWNS, ALLOW},
        {"~@mount", 1000, 0, ALLOW},
        {"~@mount ~@namespaces", SYS_clone, CLONE_NEWNS, DENY},
        {"~@mount ~@namespaces", SYS_clone, CLONE_NEWUSER | SIGCHLD, DENY},
        {"~@mount ~@namespaces", SYS_clone, SIGCHLD, ALLOW},
        {"~@mount ~@namespaces", SYS_clone3, 0, ABSENT},
        {"~@namespaces ~clone", SYS_clone3, 0, ABSENT},
        {"~@namespaces ~clone", SYS_clone, SIGCHLD, DENY},
        {"~@namespaces ~clone3", SYS_clone3, 0, ABSENT},
        {"~@namespaces ~clone3", SYS_clone, CLONE_NEWUSER | SIGCHLD, DENY},
        {"~@namespaces ~clone3", SYS_clone, SIGCHLD, ALLOW},
        {"read clone3", SYS_clone3, 0, ABSENT},
        {"read clone", SYS_clone3, 0, ABSENT},
        {"read clone", SYS_clone, SIGCHLD, ALLOW},
        {"~@mount ~@namespaces", SYS_unshare, 0, DENY},
        {"~@file-system", SYS_close, 0, ALLOW},
        {"~@file-system", SYS_openat, 0, DENY},
        {"~@privileged", SYS_init_module, 0, DENY}, /* a set in a set */
    };
    uint32_t native = native_architecture();
    (void)state;
    for (size_t i = 0; i < ELEMENTS(cases); i++) {
        CLEANUP(filter_done) Filter f;
        Faults faults;
        assert_int_equal(compile(cases[i].list, &f, &faults), 0);
        const struct seccomp_data data = {.nr = (int)cases[i].call, .arch = native, .args = {cases[i].flags}};
        uint32_t verdict = run(&f, &data);
        if (verdict != cases[i].verdict)
            fail_msg("%s: call %ld: %#x", cases[i].list, cases[i].call, verdict);
    }
}

static void test_other_architectures(void **state) {
    static const char *const lists[] = {"@service", "~@mount"};
    (void)state;
    for (size_t i = 0; i < ELEMENTS(lists); i++) {
        CLEANUP(filter_done) Filter f;
        Faults faults;
        assert_int_equal(compile(lists[i], &f, &faults), 0);
        const struct seccomp_data arm = {.nr = 20, .arch = AUDIT_ARCH_PPC64};
        assert_int_equal(run(&f, &arm), SECCOMP_RET_KILL_PROCESS);
#if defined(__x86_64__)
        const struct seccomp_data i386 = {.nr = 20, .arch = AUDIT_ARCH_I386};
        const struct seccomp_data x32 = {.nr = (int)X32_GETPID, .arch = AUDIT_ARCH_X86_64};
        assert_int_equal(run(&f, &i386), SECCOMP_RET_KILL_PROCESS);
        assert_int_equal(run(&f, &x32), SECCOMP_RET_KILL_PROCESS);
#endif
    }
}

static void test_faults(void **state) {
    static const struct {
        const char *list, *text;
    } cases[] = {
        {"@servcie", "0: there is no set of system calls '@servcie'; did you mean '@service'?"},
        {"@service ~@monut", "1: there is no set of system calls '@monut'; did you mean '@mount'?"},
        {"@service opneat", "1: there is no system call 'opneat'; did you mean 'openat'?"},
        {"service", "0: there is no system call 'service'; did you mean '@service'?"},
        {"~execve", "0: execve cannot be taken away: programs are started by it; leave it out"},
        {"~@default", "0: @default cannot be taken away: programs are started by it; leave it out"},
        {"zzzzzzzzzz", "0: there is no system call 'zzzzzzzzzz'; names as in syscalls(2)"},
        {"@zzzzzzzzz",
         "0: there is no set of system calls '@zzzzzzzzz'; such as \"@service\" or \"~@mount\""},
    };
    (void)state;
    for (size_t i = 0; i < ELEMENTS(cases); i++) {
        CLEANUP(filter_done) Filter f;
        Faults faults;
        assert_int_equal(compile(cases[i].list, &f, &faults), -EINVAL);
        assert_int_equal(faults.n, 1);
        assert_string_equal(faults.text, cases[i].text);
    }
}

/* Every name of a set is one of libseccomp's, or newer than it; sets in sets are there. */
static void test_sets(void **state) {
    const SeccompSet *set;
    (void)state;
    for (size_t i = 0; (set = seccomp_set(i)); i++) {
        CLEANUP(filter_done) Filter f;
        Faults faults;
        assert_ptr_equal(seccomp_set_find(set->name), set);
        assert_true(set->name[0] == '@' && *set->help);
        for (const char *const *name = set->calls; *name; name++) {
            assert_true(**name != '@' || seccomp_set_find(*name));
            assert_true(strspn(*name, "@-_abcdefghijklmnopqrstuvwxyz0123456789") == strlen(*name));
        }
        assert_int_equal(compile(set->name, &f, &faults), 0);
        assert_true(f.n > 10 && f.n < BPF_MAXINSNS);
    }
    assert_null(seccomp_set_find("@nothing"));
    char *both[] = {(char[]){"~a"}, (char[]){"b"}, NULL};
    assert_true(seccomp_list_allows(both));
    both[1] = NULL;
    assert_false(seccomp_list_allows(both));
}

/* The same list again comes from what is kept, and belongs to the caller. */
static void test_kept(void **state) {
    CLEANUP_SECCOMP Seccomp *s = seccomp_new();
    CLEANUP_STRV char **words = words_of("@service ~@setuid");
    CLEANUP(filter_done) Filter one = {.code = NULL};
    CLEANUP(filter_done) Filter two = {.code = NULL};
    Faults faults;
    (void)state;
    assert_int_equal(seccomp_compile(s, words, on_fault, &faults, &one.code, &one.n), 0);
    assert_int_equal(seccomp_compile(s, words, on_fault, &faults, &two.code, &two.n), 0);
    assert_true(one.code != two.code && one.n == two.n);
    assert_memory_equal(one.code, two.code, one.n * sizeof(*one.code));
}

static void confine(const Filter *f) {
    const struct sock_fprog program = {.len = (unsigned short)f->n, .filter = f->code};
    if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) < 0 ||
        syscall(SYS_seccomp, SECCOMP_SET_MODE_FILTER, 0, &program) < 0)
        _exit(99);
}

/* The number of the first thing that is not as it should be, as its exit status. */
static void try_calls(void) {
    if (syscall(SYS_mount, "", "/nowhere", "", 0, NULL) != -1 || errno != EPERM)
        _exit(1);
    if (syscall(SYS_unshare, CLONE_NEWUTS) != -1 || errno != EPERM)
        _exit(2);
    if (syscall(SYS_clone, CLONE_NEWUSER | SIGCHLD, NULL) != -1 || errno != EPERM)
        _exit(3);
    if (syscall(SYS_clone3, NULL, 0) != -1 || errno != ENOSYS)
        _exit(4);
    if (syscall(1000) != -1 || errno != ENOSYS)
        _exit(5);
    pid_t child = fork();
    if (child == 0)
        _exit(0);
    if (child < 0 || waitpid(child, NULL, 0) != child)
        _exit(6);
    _exit(0);
}

static int status_of(pid_t pid) {
    int status = -1;
    assert_true(pid > 0);
    assert_int_equal(waitpid(pid, &status, 0), pid);
    return WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
}

static void test_kernel(void **state) {
    CLEANUP(filter_done) Filter f;
    Faults faults;
    (void)state;
    assert_int_equal(compile("@service", &f, &faults), 0);
    pid_t pid = fork();
    if (pid == 0) {
        confine(&f);
        try_calls();
    }
    assert_int_equal(status_of(pid), 0);
}

/* Ordinary programs have what they need. */
static void test_programs(void **state) {
    static const struct {
        const char *program, *option, *argument;
    } commands[] = {
        {"cat", "/dev/null", NULL},
        {"sh", "-c", "ls / | sort >/dev/null && sleep 0.01 & wait"},
        {"python3", "-c",
         "import socket, subprocess, threading, tempfile; socket.socketpair(); "
         "t = threading.Thread(target=print); t.start(); t.join(); "
         "subprocess.run(['true'], check=True); tempfile.TemporaryFile().write(b'x')"},
        {"git", "--version", NULL},
    };
    static const char *const lists[] = {"@service", "~@mount ~@namespaces ~@debug ~@privileged"};
    (void)state;
    for (size_t i = 0; i < ELEMENTS(commands) * ELEMENTS(lists); i++) {
        CLEANUP(filter_done) Filter f;
        Faults faults;
        const char *program = commands[i / ELEMENTS(lists)].program;
        assert_int_equal(compile(lists[i % ELEMENTS(lists)], &f, &faults), 0);
        pid_t pid = fork();
        if (pid == 0) {
            if (!freopen("/dev/null", "w", stdout))
                _exit(97);
            confine(&f);
            (void)execlp(program, program, commands[i / ELEMENTS(lists)].option,
                         commands[i / ELEMENTS(lists)].argument, NULL);
            _exit(errno == ENOENT ? 0 : 98); /* it is not on this machine */
        }
        int status = status_of(pid);
        if (status != 0)
            fail_msg("%s under %s: %d", program, lists[i % ELEMENTS(lists)], status);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_verdicts), cmocka_unit_test(test_other_architectures),
        cmocka_unit_test(test_faults),   cmocka_unit_test(test_sets),
        cmocka_unit_test(test_kept),     cmocka_unit_test(test_kernel),
        cmocka_unit_test(test_programs),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
