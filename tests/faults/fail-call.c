/* SPDX-License-Identifier: MIT */
/* Lets one system call fail: of a process, of what it becomes by execve(2), or of one that it starts.
 *
 *   fail-call FILE PID IMAGE CALL NUMBER ERROR
 *   fail-call FILE PID IMAGE CALL NUMBER ERROR PROGRAM [ARGUMENT...]
 *
 * IMAGE is 0 for the process itself, 1 for the first one that it starts from now on, and so on; with a +
 * behind it, what runs there after the next execve(2). Of that the NUMBER-th CALL (a number as well) is not
 * made, and fails with ERROR. With a program that is run in this process, and its calls stand behind 0+; PID
 * is ignored.
 *
 * FILE, or stdout for -, gets a word a line: "ready" when it watches, "failed" when the call has, and of a
 * process that was started what became of it: "exec", or "ended" and its status. It ends with SIGTERM, or
 * when nothing is left to see; whoever is watched then goes on. strace(1) can do the same to a process and to
 * all that it starts, but not to one of these alone. */
#include <elf.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/ptrace.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <sys/user.h>
#include <sys/wait.h>
#include <unistd.h>

/* ptrace(2); glibc has it under two names. */
struct ptrace_syscall_info_head {
    uint8_t op;
    uint8_t pad[3];
    uint32_t arch;
    uint64_t instruction_pointer, stack_pointer, nr;
    uint64_t rest[8];
};
#define OP_ENTRY 1
#define OP_EXIT 2
#define EVENT_STOP 128
#define CALL_STOP (SIGTRAP | 0x80)

typedef struct Task {
    pid_t pid; /* 0: none */
    bool counting;
    unsigned long n;
    bool failing; /* between the two sides of the call */
    unsigned long argument;
    bool failed;
} Task;

typedef struct Watch {
    FILE *out;
    unsigned long image, call, number;
    bool behind_exec;
    long error;
    unsigned long n_started;
    bool ready;
    int gate;           /* closed when it watches */
    Task root, started; /* the process itself, and who is meant if it is another one */
} Watch;

static void say(const Watch *w, const char *what, int status) {
    if (status >= 0)
        (void)fprintf(w->out, "%s %d\n", what, status);
    else
        (void)fprintf(w->out, "%s\n", what);
    (void)fflush(w->out);
}

/* The call that it is about to make becomes another one; and what it returns. Of brk(2) the argument: the
 * kernel says how far the memory goes now, whatever was asked for, and who has asked sees that it is not
 * enough. */
#if defined(__x86_64__)
static void set_argument(pid_t pid, unsigned long value) {
    (void)ptrace(PTRACE_POKEUSER, pid, (void *)offsetof(struct user, regs.rdi), (void *)value);
}
static void set_call(pid_t pid, long nr) {
    (void)ptrace(PTRACE_POKEUSER, pid, (void *)offsetof(struct user, regs.orig_rax), (void *)nr);
}
static void set_result(pid_t pid, long result) {
    (void)ptrace(PTRACE_POKEUSER, pid, (void *)offsetof(struct user, regs.rax), (void *)result);
}
#elif defined(__aarch64__)
static void set_call(pid_t pid, long nr) {
    int value = (int)nr;
    struct iovec v = {.iov_base = &value, .iov_len = sizeof(value)};
    (void)ptrace(PTRACE_SETREGSET, pid, (void *)(long)NT_ARM_SYSTEM_CALL, &v);
}
static void set_result(pid_t pid, long result) {
    struct user_regs_struct regs;
    struct iovec v = {.iov_base = &regs, .iov_len = sizeof(regs)};
    if (ptrace(PTRACE_GETREGSET, pid, (void *)(long)NT_PRSTATUS, &v) < 0)
        return;
    regs.regs[0] = (unsigned long long)result;
    (void)ptrace(PTRACE_SETREGSET, pid, (void *)(long)NT_PRSTATUS, &v);
}
/* In the register of the result: what is put there behind the call is no argument any more. */
static void set_argument(pid_t pid, unsigned long value) {
    if (value == 0)
        set_result(pid, 0);
}
#else
#error "how a system call is replaced on this architecture is not known here"
#endif

/* One with a filter of its calls would be killed for -1; this one does nothing, and no filter forbids it. */
static long harmless_call(pid_t pid) {
    char path[32], line[256];
    bool filtered = false;
    (void)snprintf(path, sizeof(path), "/proc/%d/status", (int)pid);
    FILE *f = fopen(path, "re");
    while (f && fgets(line, sizeof(line), f))
        filtered |= strncmp(line, "Seccomp:\t2", 10) == 0;
    if (f)
        (void)fclose(f);
    return filtered ? SYS_restart_syscall : -1;
}

static bool is_target(const Watch *w, const Task *t) {
    return t == (w->image == 0 ? &w->root : &w->started);
}

static void go_on(const Task *t, int sig) {
    (void)ptrace(t->counting ? PTRACE_SYSCALL : PTRACE_CONT, t->pid, NULL, (void *)(long)sig);
}

static void let_go(Task *t, int sig) {
    (void)ptrace(PTRACE_DETACH, t->pid, NULL, (void *)(long)sig);
    *t = (Task){0};
}

/* A new one stops before its first instruction. */
static void on_start(Watch *w, Task *t) {
    unsigned long pid = 0;
    int status = 0;
    if (ptrace(PTRACE_GETEVENTMSG, t->pid, NULL, &pid) < 0 || waitpid((pid_t)pid, &status, __WALL) < 0) {
        go_on(t, 0);
        return;
    }
    bool meant = t == &w->root && ++w->n_started == w->image;
    if (meant && WIFSTOPPED(status)) {
        w->started = (Task){.pid = (pid_t)pid, .counting = !w->behind_exec};
        go_on(&w->started, 0);
    } else if (WIFSTOPPED(status)) {
        (void)ptrace(PTRACE_DETACH, (pid_t)pid, NULL, NULL);
    }
    if (meant)
        let_go(t, 0);
    else
        go_on(t, 0);
}

static void on_exec(const Watch *w, Task *t) {
    if (is_target(w, t) && w->behind_exec && !t->counting && !t->failed) {
        t->counting = true;
        go_on(t, 0);
    } else if (is_target(w, t)) {
        if (t->failed)
            say(w, "exec", -1);
        let_go(t, 0);
    } else {
        go_on(t, 0);
    }
}

static void on_call(const Watch *w, Task *t) {
    struct ptrace_syscall_info_head info = {0};
    (void)ptrace(PTRACE_GET_SYSCALL_INFO, t->pid, (void *)sizeof(info), &info);
    if (info.op == OP_ENTRY && info.nr == w->call && ++t->n == w->number) {
        if (w->call == SYS_brk)
            set_argument(t->pid, 0);
        else
            set_call(t->pid, harmless_call(t->pid));
        t->failing = true;
        t->argument = info.rest[0];
    } else if (info.op == OP_EXIT && t->failing) {
        /* Whoever calls relies on his registers. */
        if (w->call == SYS_brk)
            set_argument(t->pid, t->argument);
        else
            set_result(t->pid, -w->error);
        t->failing = t->counting = false;
        t->failed = true;
        say(w, "failed", -1);
        if (t == &w->root) {
            let_go(t, 0);
            return;
        }
    }
    go_on(t, 0);
}

static void on_stop(Watch *w, Task *t, int status) {
    int sig = WSTOPSIG(status), event = status >> 16;
    if (!w->ready) {
        w->ready = true;
        say(w, "ready", -1);
        (void)close(w->gate);
    }
    if (event == PTRACE_EVENT_FORK || event == PTRACE_EVENT_VFORK || event == PTRACE_EVENT_CLONE)
        on_start(w, t);
    else if (event == PTRACE_EVENT_EXEC)
        on_exec(w, t);
    else if (event == EVENT_STOP && sig != SIGTRAP)
        (void)ptrace(PTRACE_LISTEN, t->pid, NULL, NULL); /* it is to stay stopped */
    else if (event != 0)
        go_on(t, 0);
    else if (sig == CALL_STOP)
        on_call(w, t);
    else
        go_on(t, sig);
}

/* Whether there was anything to see. */
static bool look(Watch *w, Task *t) {
    int status = 0;
    if (t->pid == 0)
        return false;
    pid_t pid = waitpid(t->pid, &status, __WALL | WNOHANG);
    if (pid == 0)
        return false;
    if (pid > 0 && WIFSTOPPED(status)) {
        on_stop(w, t, status);
        return true;
    }
    if (pid > 0 && t->failed)
        say(w, "ended", status);
    *t = (Task){0};
    return true;
}

/* Whatever it is stopped by, it goes on as if nobody had watched. */
static void release(Task *t) {
    int status = 0;
    if (t->pid == 0)
        return;
    (void)ptrace(PTRACE_INTERRUPT, t->pid, NULL, NULL);
    if (waitpid(t->pid, &status, __WALL) != t->pid || !WIFSTOPPED(status))
        return;
    int sig = WSTOPSIG(status), event = status >> 16;
    unsigned long pid = 0;
    if ((event == PTRACE_EVENT_FORK || event == PTRACE_EVENT_VFORK || event == PTRACE_EVENT_CLONE) &&
        ptrace(PTRACE_GETEVENTMSG, t->pid, NULL, &pid) == 0 && waitpid((pid_t)pid, NULL, __WALL) > 0)
        (void)ptrace(PTRACE_DETACH, (pid_t)pid, NULL, NULL);
    let_go(t, event == 0 && sig != CALL_STOP ? sig : 0);
}

static int watch(Watch *w, pid_t pid, const sigset_t *signals) {
    long options = PTRACE_O_TRACESYSGOOD | PTRACE_O_TRACEEXEC;
    if (w->image > 0)
        options |= PTRACE_O_TRACEFORK | PTRACE_O_TRACEVFORK | PTRACE_O_TRACECLONE;
    if (ptrace(PTRACE_SEIZE, pid, NULL, (void *)options) < 0 || ptrace(PTRACE_INTERRUPT, pid, NULL, NULL) < 0)
        return -errno;
    w->root = (Task){.pid = pid, .counting = w->image == 0 && !w->behind_exec};
    while (w->root.pid > 0 || w->started.pid > 0) {
        bool seen = look(w, &w->root);
        seen |= look(w, &w->started);
        if (!seen && sigwaitinfo(signals, NULL) == SIGTERM)
            break;
    }
    release(&w->root);
    release(&w->started);
    return 0;
}

/* Runs the program in this process, once it is watched; comes back only in the process that is to watch it:
 * the child of a child, so that the program has none that it does not know. */
static void run(Watch *w, char *const *program) {
    int gate[2];
    char byte = 0;
    if (pipe2(gate, O_CLOEXEC) < 0)
        exit(EXIT_FAILURE);
    pid_t between = fork();
    if (between == 0 && fork() != 0)
        _exit(EXIT_SUCCESS);
    if (between == 0) {
        (void)close(gate[0]);
        w->gate = gate[1];
        return;
    }
    (void)prctl(PR_SET_PTRACER, PR_SET_PTRACER_ANY, 0, 0, 0);
    (void)close(gate[1]);
    (void)waitpid(between, NULL, 0);
    while (read(gate[0], &byte, 1) < 0 && errno == EINTR)
        ;
    (void)execv(program[0], program);
    perror(program[0]);
    _exit(EXIT_FAILURE);
}

int main(int argc, char **argv) {
    sigset_t signals;
    char *end = NULL;
    if (argc < 7) {
        (void)fprintf(stderr, "usage: fail-call FILE PID IMAGE CALL NUMBER ERROR [PROGRAM ARGUMENT...]\n");
        return EXIT_FAILURE;
    }
    Watch w = {
        .out = strcmp(argv[1], "-") == 0 ? stdout : fopen(argv[1], "ae"),
        .image = strtoul(argv[3], &end, 10),
        .call = strtoul(argv[4], NULL, 10),
        .number = strtoul(argv[5], NULL, 10),
        .error = strtol(argv[6], NULL, 10),
        .gate = -1,
    };
    w.behind_exec = *end == '+';
    pid_t pid = argc > 7 ? getpid() : (pid_t)strtol(argv[2], NULL, 10);
    if (w.out && argc > 7)
        run(&w, argv + 7);
    (void)sigemptyset(&signals);
    (void)sigaddset(&signals, SIGCHLD);
    (void)sigaddset(&signals, SIGTERM);
    (void)sigprocmask(SIG_BLOCK, &signals, NULL);
    int r = w.out ? watch(&w, pid, &signals) : -errno;
    if (r == 0)
        return EXIT_SUCCESS;
    (void)fprintf(stderr, "fail-call: process %d cannot be watched: %s\n", (int)pid, strerror(-r));
    return EXIT_FAILURE;
}
