/* SPDX-License-Identifier: MIT */
/* This very program is its own helper: see main(). */
#include "daemon/config-child.h"

#include <fcntl.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#include "conf/config-blob.h"
#include "daemon/base/clock.h"
#include "daemon/base/text.h"

#define PEOPLE 5

typedef struct Person {
    struct Fixture *fixture;
    unsigned told;
    int error;
    char why[256], diag[256];
    Config *config;
} Person;

typedef struct Fixture {
    char folder[64], path[96];
    Helpers helpers;
    sd_event *loop;
    LoadContext context;
    ConfigLoads *loads;
    Person people[PEOPLE];
    unsigned ended; /* helpers */
    int victim;     /* the signal for the next helper */
    struct Lacking *lacking;
} Fixture;

static int on_child(sd_event_source *s, const struct signalfd_siginfo *si, void *userdata) {
    Fixture *f = userdata;
    int status;
    pid_t pid;
    (void)s;
    (void)si;
    while ((pid = waitpid(-1, &status, WNOHANG)) > 0) {
        assert_true(helpers_on_end(&f->helpers, pid, status));
        f->ended++;
    }
    return 0;
}

static void write_file(const Fixture *f, const char *text) {
    CLEANUP_CLOSE int fd = open(f->path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
    assert_int_equal(write(fd, text, strlen(text)), (ssize_t)strlen(text));
}

static int setup(void **state) {
    Fixture *f = calloc(1, sizeof(*f));
    sigset_t set;
    (void)sigemptyset(&set);
    (void)sigaddset(&set, SIGCHLD);
    (void)sigprocmask(SIG_BLOCK, &set, NULL);
    *state = f;
    (void)snprintf(f->folder, sizeof(f->folder), "/tmp/mpinetd-child-XXXXXX");
    if (!mkdtemp(f->folder) || chmod(f->folder, 0700) < 0)
        return -1;
    (void)snprintf(f->path, sizeof(f->path), "%s/x.yaml", f->folder);
    f->context = (LoadContext){.euid = geteuid(), .libexecdir = "", .environ = environ};
    if (helper_init(&f->helpers) < 0 || sd_event_new(&f->loop) < 0 ||
        sd_event_add_signal(f->loop, NULL, SIGCHLD, on_child, f) < 0)
        return -1;
    f->loads = config_loads_new(f->loop, &f->helpers, &f->context);
    for (size_t i = 0; i < PEOPLE; i++)
        f->people[i].fixture = f;
    return f->loads ? 0 : -1;
}

static int teardown(void **state) {
    Fixture *f = *state;
    for (size_t i = 0; i < PEOPLE; i++)
        config_unref(f->people[i].config);
    config_loads_free(f->loads);
    helpers_done(&f->helpers);
    sd_event_unref(f->loop);
    (void)unlink(f->path);
    (void)rmdir(f->folder);
    free(f);
    return 0;
}

static void on_load(const LoadResult *result, void *userdata) {
    Person *p = userdata;
    p->told++;
    p->error = result->error;
    (void)snprintf(p->why, sizeof(p->why), "%s", result->why ? result->why : "");
    const Diag *d = NULL;
    for (size_t i = 0; i < result->diags->n && !d; i++)
        if (result->diags->items[i].severity == DIAG_ERROR)
            d = &result->diags->items[i];
    (void)snprintf(p->diag, sizeof(p->diag), "%s", d ? d->message : "");
    config_unref(p->config);
    p->config = result->config ? config_ref(result->config) : NULL;
    assert_int_equal(result->error == 0, result->config != NULL);
}

static void ask(Fixture *f, size_t i) {
    f->people[i].told = 0;
    assert_int_equal(config_loads_ask(f->loads, f->path, NULL, on_load, &f->people[i]), 0);
    /* Nobody is told before the loop goes on. */
    assert_int_equal(f->people[i].told, 0);
}

static void wait_for(Fixture *f, size_t i) {
    uint64_t end = clock_monotonic_usec() + 60 * USEC_PER_SEC;
    while (f->people[i].told == 0 && clock_monotonic_usec() < end)
        (void)sd_event_run(f->loop, USEC_PER_SEC / 10);
    assert_int_equal(f->people[i].told, 1);
}

/* Of all helpers. */
static void wait_for_ends(Fixture *f) {
    for (unsigned i = 0; i < 600 && !list_is_empty(&f->helpers.list); i++)
        (void)sd_event_run(f->loop, USEC_PER_SEC / 10);
    assert_true(list_is_empty(&f->helpers.list));
}

static const char good[] = "version: 1\nservices:\n  a: {listen: tcp:1, user: self, exec: [/bin/cat]}\n"
                           "  b: {listen: tcp:2, user: self, exec: [/bin/cat]}\n";

static void test_good(void **state) {
    Fixture *f = *state;
    write_file(f, good);
    ask(f, 0);
    wait_for(f, 0);
    assert_string_equal(f->people[0].why, "");
    assert_int_equal(f->people[0].error, 0);
    const Config *c = f->people[0].config;
    assert_int_equal(c->n_services, 2);
    assert_string_equal(c->services[0]->resolved.program, "/bin/cat");
    /* It judges as who asked, though it is nobody itself. */
    assert_int_equal(c->services[0]->resolved.uid, geteuid());
    assert_int_equal(c->services[0]->resolved.gid, getegid());
    config_loads_set_old(f->loads, f->people[0].config);
    ask(f, 1);
    wait_for(f, 1);
    assert_ptr_equal(f->people[1].config->services[1], c->services[1]);
    assert_ptr_not_equal(f->people[1].config, c);
    /* What is given up goes in turns of the loop; whoever still has it keeps it whole. */
    config_loads_set_old(f->loads, f->people[1].config);
    for (unsigned i = 0; i < 10; i++)
        (void)sd_event_run(f->loop, 0);
    assert_int_equal(c->n_services, 2);
    assert_int_equal(c->refs, 1);
    f->people[0].config = config_unref_some(f->people[0].config, 1);
    assert_int_equal(f->people[0].config->n_services, 1);
    f->people[0].config = config_unref_some(f->people[0].config, 1);
    assert_null(f->people[0].config);
    assert_string_equal(f->people[1].config->services[0]->name, "a");
}

static void test_errors(void **state) {
    Fixture *f = *state;
    static const struct {
        const char *text, *diag;
    } cases[] = {
        {"version: 1\nservices: {a: {listen: tcp:1, user: self, exec: [/no/such]}}\n",
         "service 'a': exec: there is no /no/such"},
        {"version: 2\n", "version: the number is out of range"},
        {"a: [", NULL},
    };
    for (size_t i = 0; i < ELEMENTS(cases); i++) {
        write_file(f, cases[i].text);
        ask(f, 0);
        wait_for(f, 0);
        assert_int_equal(f->people[0].error, -EINVAL);
        if (cases[i].diag && i != 1)
            assert_string_equal(f->people[0].diag, cases[i].diag);
        assert_true(f->people[0].diag[0]);
    }
    (void)unlink(f->path);
    ask(f, 0);
    wait_for(f, 0);
    assert_int_equal(f->people[0].error, -EINVAL);
    assert_non_null(strstr(f->people[0].diag, "No such file"));
}

/* Who asks while a load is under way gets the next one, and all of them the same. */
static void test_coalesced(void **state) {
    Fixture *f = *state;
    write_file(f, good);
    ask(f, 0);
    ask(f, 1);
    while (list_is_empty(&f->helpers.list))
        (void)sd_event_run(f->loop, USEC_PER_SEC / 10);
    ask(f, 2);
    ask(f, 3);
    ask(f, 4);
    config_loads_forget(f->loads, &f->people[3]);
    wait_for(f, 4);
    assert_int_equal(f->ended, 2);
    assert_ptr_equal(f->people[0].config, f->people[1].config);
    assert_ptr_equal(f->people[2].config, f->people[4].config);
    assert_ptr_not_equal(f->people[0].config, f->people[2].config);
    assert_int_equal(f->people[3].told, 0);
}

static pid_t helper_pid(Fixture *f) {
    char path[64];
    (void)snprintf(path, sizeof(path), "/proc/self/task/%d/children", getpid());
    for (;;) {
        CLEANUP_FCLOSE FILE *file = fopen(path, "re");
        char line[32] = "";
        if (file && fgets(line, sizeof(line), file))
            return (pid_t)strtol(line, NULL, 10);
        (void)sd_event_run(f->loop, 0);
    }
}

static void test_killed(void **state) {
    Fixture *f = *state;
    static const struct {
        int signal;
        const char *why;
    } cases[] = {
        {SIGKILL, "the helper that reads the config was killed by SIGKILL"},
        {SIGABRT, "the helper that reads the config was killed by SIGABRT"},
    };
    write_file(f, good);
    for (size_t i = 0; i < ELEMENTS(cases); i++) {
        ask(f, 0);
        pid_t pid = helper_pid(f);
        (void)kill(pid, SIGSTOP);
        (void)kill(pid, cases[i].signal);
        (void)kill(pid, SIGCONT);
        wait_for(f, 0);
        assert_int_equal(f->people[0].error, -EIO);
        assert_string_equal(f->people[0].why, cases[i].why);
    }
    /* The next one is good again. */
    ask(f, 0);
    wait_for(f, 0);
    assert_int_equal(f->people[0].error, 0);
}

static void test_freed(void **state) {
    Fixture *f = *state;
    write_file(f, good);
    ask(f, 0);
    ask(f, 1);
    (void)helper_pid(f);
    ask(f, 2);
    f->loads = config_loads_free(f->loads);
    wait_for_ends(f);
    assert_int_equal(f->people[0].told + f->people[1].told + f->people[2].told, 0);
}

/* Services that lack something, and what is written of them. */
typedef struct Lacking {
    Config *config;
    int error; /* instead */
    unsigned n_put, n_prepared;
} Lacking;

static int put_lacking(BlobWriter *w, void *userdata) {
    Lacking *l = ((Person *)userdata)->fixture->lacking;
    l->n_put++;
    if (l->error == 0)
        config_put_some(w, l->config, l->config->services, l->config->n_services - 1);
    return l->error;
}

static bool prepare_lacking(const Config *next, void *userdata) {
    Lacking *l = ((Person *)userdata)->fixture->lacking;
    assert_int_equal(next->n_services, 2);
    return ++l->n_prepared < 3;
}

static void look(Fixture *f, size_t i) {
    f->people[i].told = 0;
    assert_int_equal(config_loads_look_again(f->loads, put_lacking, prepare_lacking, on_load, &f->people[i]),
                     0);
    assert_int_equal(f->people[i].told, 0);
}

static void begin_lacking(Fixture *f, Lacking *l) {
    LoadContext tolerant = f->context;
    CLEANUP_DIAGS DiagList diags = {0};
    char text[512];
    tolerant.tolerate_missing = true;
    (void)snprintf(
        text, sizeof(text),
        "version: 1\nservices:\n  a: {listen: tcp:1, user: self, exec: [%s/tool]}\n"
        "  b: {listen: tcp:2, user: self, exec: [/bin/cat], access: {allow: [\"file:%s/rules\"]}}\n"
        "  c: {listen: tcp:3, user: self, exec: [/bin/cat]}\n",
        f->folder, f->folder);
    write_file(f, text);
    assert_int_equal(config_load(f->path, &tolerant, &diags, &l->config), 0);
    assert_non_null(l->config->services[0]->problem);
    assert_true(l->config->services[1]->incomplete);
    f->lacking = l;
}

/* What is there by now is found, and what is not is told; the file of the config is not looked at. */
static void test_looks_again(void **state) {
    Fixture *f = *state;
    Lacking l = {0};
    char tool[96], rules[96];
    (void)snprintf(tool, sizeof(tool), "%s/tool", f->folder);
    (void)snprintf(rules, sizeof(rules), "%s/rules", f->folder);
    begin_lacking(f, &l);
    write_file(f, "version: 2\n");
    look(f, 0);
    wait_for(f, 0);
    assert_string_equal(f->people[0].why, "");
    const Config *c = f->people[0].config;
    assert_int_equal(c->n_services, 2);
    assert_non_null(strstr(c->services[0]->problem->message, "there is no"));
    assert_true(c->services[1]->incomplete);
    assert_int_equal(l.n_prepared, 3);
    assert_int_equal(symlink("/bin/cat", tool), 0);
    CLEANUP_CLOSE int fd = open(rules, O_WRONLY | O_CREAT | O_CLOEXEC, 0600);
    assert_int_equal(write(fd, "10.0.0.0/8\n", 11), 11);
    look(f, 1);
    wait_for(f, 1);
    c = f->people[1].config;
    assert_null(c->services[0]->problem);
    assert_string_equal(c->services[0]->resolved.program, tool);
    assert_int_equal(c->services[0]->resolved.uid, geteuid());
    assert_null(c->services[1]->problem);
    assert_false(c->services[1]->incomplete);
    assert_non_null(c->services[1]->terms->access.rules);
    assert_int_equal(l.n_put, 2);
    (void)unlink(tool);
    (void)unlink(rules);
    config_unref(l.config);
}

/* It may be killed, have nothing to do any more, or be called off. */
static void test_does_not_look(void **state) {
    Fixture *f = *state;
    Lacking l = {0};
    begin_lacking(f, &l);
    look(f, 0);
    (void)kill(helper_pid(f), SIGKILL);
    wait_for(f, 0);
    assert_int_equal(f->people[0].error, -EIO);
    assert_string_equal(f->people[0].why,
                        "the helper that looks for users and programs was killed by SIGKILL");
    l.error = -ECANCELED;
    look(f, 0);
    wait_for(f, 0);
    assert_int_equal(f->people[0].error, -ECANCELED);
    assert_int_equal(f->ended, 1);
    l.error = 0;
    look(f, 0);
    pid_t pid = helper_pid(f);
    (void)kill(pid, SIGSTOP);
    /* Who asked later is served. */
    write_file(f, good);
    ask(f, 1);
    config_loads_cancel(f->loads);
    wait_for(f, 1);
    assert_int_equal(f->people[1].error, 0);
    assert_int_equal(f->people[0].told, 0);
    /* The one that was called off has ended as well, be it later. */
    wait_for_ends(f);
    assert_int_equal(f->ended, 3);
    config_unref(l.config);
}

/* What the daemon gives it, and nothing else. */
static void test_words(void **state) {
    (void)state;
    static const struct {
        const char *words[7];
    } cases[] = {
        {{"mpinetd", "--load-config"}},
        {{"mpinetd", "--load-config", "/x", "--euid=0", "--egid=0", "7"}},
        {{"mpinetd", "--load-config", "/x", "euid=0", "--egid=0", "--result-fd=7"}},
        {{"mpinetd", "--load-config", "/x", "--euid=0x", "--egid=0", "--result-fd=7"}},
        {{"mpinetd", "--load-config", "/x", "--euid=0", "--egid=", "--result-fd=7"}},
        {{"mpinetd", "--load-config", "/x", "--euid=0", "--egid=4294967296", "--result-fd=7"}},
        {{"mpinetd", "--look-again", "7", "--euid=0", "--egid=0", "7"}},
    };
    for (size_t i = 0; i < ELEMENTS(cases); i++) {
        char **argv = (char **)(uintptr_t)cases[i].words;
        int argc = 0;
        while (argv[argc])
            argc++;
        assert_true(config_child_is_asked(argc, argv));
        assert_int_equal(config_child_main(argc, argv), 2);
    }
}

int main(int argc, char **argv) {
    if (config_child_is_asked(argc, argv))
        return config_child_main(argc, argv);
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_good, setup, teardown),
        cmocka_unit_test_setup_teardown(test_errors, setup, teardown),
        cmocka_unit_test_setup_teardown(test_coalesced, setup, teardown),
        cmocka_unit_test_setup_teardown(test_killed, setup, teardown),
        cmocka_unit_test_setup_teardown(test_freed, setup, teardown),
        cmocka_unit_test_setup_teardown(test_looks_again, setup, teardown),
        cmocka_unit_test_setup_teardown(test_does_not_look, setup, teardown),
        cmocka_unit_test(test_words),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
