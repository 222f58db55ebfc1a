/* SPDX-License-Identifier: MIT */
/* Each step of the child between fork and exec, with each of its system calls failing: it ends there, and
 * says so. A filter in a process of its own has one of them fail, and lets those that change mounts, users
 * and rights seem to succeed: so nothing of it takes rights. */
#include <errno.h>
#include <fcntl.h>
#include <linux/filter.h>
#include <linux/prctl.h>
#include <linux/seccomp.h>
#include <sched.h>
#include <setjmp.h>
#include <signal.h>
#include <stdalign.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#include "daemon/base/cleanup.h"
#include "daemon/child.h"
#include "daemon/sandbox.h"
#include "daemon/spawn.h"

#define STACK ((size_t)65536)
#define ANY (-1)
#define NOTHING (-1)
/* As child-pids.c makes its two. */
#define INNER_FLAGS (CLONE_VM | CLONE_VFORK | CLONE_PARENT_SETTID | CLONE_CHILD_CLEARTID | SIGCHLD)

#define PRETENDED_MAX 32

/* What the process that is tried has in common with the test. */
typedef struct Stage {
    ChildPlan plan;
    SandboxPlan sandbox;
    ResourceConfig resources;
    MountStep mounts[4];
    LandlockRule rules[1];
    struct sock_filter filter[1], code[2 * PRETENDED_MAX + 8];
    struct sock_fprog program;
    char *argv[2], *envp[1], folder[64];
    bool refused; /* there are no filters here */
    alignas(64) char stack[STACK];
    alignas(64) char inner[STACK];
} Stage;

static void of_nothing(Stage *s) {
    (void)s;
}

/* Descriptors */

static void with_copies(Stage *s) {
    s->plan.first_closed = 6;
    assert_int_equal(child_plan_move_fd(&s->plan, 0, 4), 0);
    assert_int_equal(child_plan_move_fd(&s->plan, 0, 5), 0);
}

static void with_shared_files(Stage *s) {
    s->plan.shares_files = true;
    s->plan.highest = 3;
}

static void with_tether(Stage *s) {
    s->plan.tether = 0;
}

/* A folder that is none of a group, with or without the file. */
static void with_folder(Stage *s) {
    s->plan.cgroup = open(s->folder, O_PATH | O_DIRECTORY | O_CLOEXEC);
}

static void with_group(Stage *s) {
    char path[128];
    (void)snprintf(path, sizeof(path), "%s/cgroup.procs", s->folder);
    CLEANUP_CLOSE __attribute__((unused)) int fd = open(path, O_WRONLY | O_CREAT | O_CLOEXEC, 0600);
    with_folder(s);
}

/* Limits and priorities */

static void with_few_processes(Stage *s) {
    s->plan.processes = RLIM_INFINITY - 1;
    (void)setrlimit(RLIMIT_NPROC, &(struct rlimit){.rlim_cur = 1000, .rlim_max = 1000});
}

static void with_nofile(Stage *s) {
    s->plan.restore_nofile = true;
    s->plan.nofile = 20;
    s->plan.nofile_hard = 10;
}

static void with_core(Stage *s) {
    s->plan.restore_core = true;
    s->plan.core = 20;
    s->plan.core_hard = 10;
}

static void with_priorities(Stage *s) {
    s->resources.has_nice = s->resources.has_io_priority = s->resources.has_cpus = true;
    s->resources.has_oom_score_adjust = true;
    s->resources.nice = 1;
    s->resources.oom_score_adjust = -5;
}

/* Folders, users */

static void with_root(Stage *s) {
    s->plan.root_directory = s->plan.working_directory = "/";
}

static void with_user(Stage *s) {
    s->plan.change_ids = s->plan.seclude = true;
    s->plan.uid = s->plan.gid = 65534;
}

static void with_parent(Stage *s) {
    s->plan.parent = getpid();
}

static void with_another_parent(Stage *s) {
    s->plan.parent = 1;
}

static void without_privileges(Stage *s) {
    s->plan.no_new_privileges = true;
}

/* Waiting for a connection, which does not come as it should. */

static void with_wait(Stage *s, int number, const struct msghdr *message) {
    int fds[2];
    if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, fds) < 0)
        abort();
    s->plan.wait = (ChildWait){.connection = {number}, .n_connection = 1};
    s->plan.tether = 4;
    s->plan.first_closed = 4;
    (void)child_plan_move_fd(&s->plan, fds[0], 4);
    if (message && sendmsg(fds[1], message, 0) < 0)
        abort();
    if (!message)
        (void)close(fds[1]);
}

static void with_no_daemon(Stage *s) {
    with_wait(s, 0, NULL);
}

static void with_no_descriptor(Stage *s) {
    struct iovec data = {.iov_base = &(char){0}, .iov_len = 1};
    with_wait(s, 0, &(struct msghdr){.msg_iov = &data, .msg_iovlen = 1});
}

static void with_no_such_number(Stage *s) {
    union {
        struct cmsghdr header;
        char bytes[CMSG_SPACE(sizeof(int))];
    } control = {
        .header = {.cmsg_len = CMSG_LEN(sizeof(int)), .cmsg_level = SOL_SOCKET, .cmsg_type = SCM_RIGHTS}};
    struct iovec data = {.iov_base = &(char){0}, .iov_len = 1};
    memset(CMSG_DATA(&control.header), 0, sizeof(int));
    with_wait(
        s, 1 << 24,
        &(struct msghdr){
            .msg_iov = &data, .msg_iovlen = 1, .msg_control = &control, .msg_controllen = sizeof(control)});
    s->plan.first_closed = 5;
}

/* The sandbox */

static void with_sandbox(Stage *s) {
    s->plan.sandbox.plan = &s->sandbox;
}

static void with_namespaces(Stage *s) {
    with_sandbox(s);
    s->sandbox.namespaces = CLONE_NEWNS;
    s->plan.sandbox.network_fd = 0;
    s->plan.sandbox.user_fd = 0;
}

static void with_users_first(Stage *s) {
    with_namespaces(s);
    s->sandbox.users_first = true;
}

static void with_processes(Stage *s) {
    with_sandbox(s);
    s->sandbox.namespaces = CLONE_NEWPID;
    s->plan.sandbox.init_fd = fcntl(open("/bin/true", O_PATH | O_CLOEXEC), F_DUPFD_CLOEXEC, 10);
    s->plan.first_closed = s->plan.sandbox.init_fd + 1;
}

static void with_processes_of_user(Stage *s) {
    with_processes(s);
    with_user(s);
}

static void with_processes_of_parent(Stage *s) {
    with_processes(s);
    s->plan.parent = 1;
}

static void with_mount(Stage *s, MountOp op) {
    static char path[] = "/tmp";
    with_sandbox(s);
    s->mounts[s->sandbox.n_mounts++] = (MountStep){.op = op, .path = path, .source = "/y", .key = "key"};
}

#define WITH_MOUNT(name, op)                                                                                 \
    static void with_##name(Stage *s) {                                                                      \
        with_mount(s, op);                                                                                   \
    }
WITH_MOUNT(apart, MOUNT_OP_APART)
WITH_MOUNT(bind, MOUNT_OP_BIND)
WITH_MOUNT(new_root, MOUNT_OP_ROOT)
WITH_MOUNT(proc, MOUNT_OP_PROC)
WITH_MOUNT(mqueue, MOUNT_OP_MQUEUE)
WITH_MOUNT(read_only, MOUNT_OP_READ_ONLY)
WITH_MOUNT(tmpfs, MOUNT_OP_TMPFS)
WITH_MOUNT(devpts, MOUNT_OP_DEVPTS)
WITH_MOUNT(node, MOUNT_OP_NODE)
WITH_MOUNT(made_folder, MOUNT_OP_FOLDER)
WITH_MOUNT(link, MOUNT_OP_LINK)
WITH_MOUNT(detach, MOUNT_OP_DETACH)
WITH_MOUNT(hide, MOUNT_OP_HIDE)

static void with_trees(Stage *s) {
    with_mount(s, MOUNT_OP_TAKE);
    with_mount(s, MOUNT_OP_PLACE);
    with_mount(s, MOUNT_OP_PLACE);
}

static void with_a_tree_left(Stage *s) {
    with_mount(s, MOUNT_OP_TAKE);
}

static void with_optional(Stage *s) {
    with_mount(s, MOUNT_OP_BIND);
    with_mount(s, MOUNT_OP_TMPFS);
    s->mounts[0].optional = true;
    s->mounts[0].n_skipped = 1;
}

static void with_capabilities(Stage *s) {
    with_sandbox(s);
    s->sandbox.limit_capabilities = true;
    s->sandbox.capabilities = 1;
    s->plan.uid = 1;
}

static void with_capabilities_of_no_privileges(Stage *s) {
    with_capabilities(s);
    without_privileges(s);
}

static void with_landlock(Stage *s) {
    static char path[] = "/";
    with_sandbox(s);
    s->sandbox.landlock = 0xf;
    s->rules[0] = (LandlockRule){.path = path, .access = 0xf, .key = "key"};
    s->sandbox.n_rules = 1;
}

static void with_optional_rule(Stage *s) {
    static char path[] = "/no/such/path";
    with_landlock(s);
    s->rules[0].path = path;
    s->rules[0].optional = true;
}

static void with_missing_rule(Stage *s) {
    with_optional_rule(s);
    s->rules[0].optional = false;
}

static void with_no_program(Stage *s) {
    with_landlock(s);
    s->plan.program = "/no/such/program";
}

static void with_filter(Stage *s) {
    with_sandbox(s);
    s->filter[0] = (struct sock_filter)BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW);
    s->sandbox.filter.len = 1;
}

/* @value: of the argument @arg, if not ANY; @error 0: what is set is enough for it to fail. */
typedef struct Case {
    const char *what;
    void (*set)(Stage *s);
    long nr;
    int arg;
    unsigned value;
    int error;
    SpawnStep step;
    int expected; /* errno; 0: it comes to exec */
} Case;

static const Case cases[] = {
    {"nothing fails", of_nothing, NOTHING, ANY, 0, 0, STEP_EXEC, 0},
    {"copy of a descriptor", with_copies, SYS_fcntl, 1, F_DUPFD_CLOEXEC, EMFILE, STEP_FDS, EMFILE},
    {"place of a descriptor", with_copies, SYS_dup3, ANY, 0, EBUSY, STEP_FDS, EBUSY},
    {"table of its own", with_shared_files, SYS_close_range, ANY, 0, EMFILE, STEP_FDS, EMFILE},
    {"closing", of_nothing, SYS_close_range, ANY, 0, EPERM, STEP_FDS, EPERM},
    {"closing, on an old kernel", of_nothing, SYS_close_range, ANY, 0, ENOSYS, STEP_EXEC, 0},
    {"tether", with_tether, SYS_fcntl, 1, F_SETFD, EBADF, STEP_FDS, EBADF},
    {"no group", with_folder, NOTHING, ANY, 0, 0, STEP_CGROUP, ENOENT},
    {"group", with_group, SYS_write, ANY, 0, EBUSY, STEP_CGROUP, EBUSY},
    {"session", of_nothing, SYS_setsid, ANY, 0, EPERM, STEP_SESSION, EPERM},
    {"signals", of_nothing, SYS_rt_sigprocmask, ANY, 0, EINVAL, STEP_SESSION, EINVAL},
    {"processes", with_few_processes, NOTHING, ANY, 0, 0, STEP_RLIMITS, EINVAL},
    {"nofile", with_nofile, NOTHING, ANY, 0, 0, STEP_RLIMITS, EINVAL},
    {"core", with_core, NOTHING, ANY, 0, 0, STEP_RLIMITS, EINVAL},
    {"nice", with_priorities, SYS_setpriority, ANY, 0, EACCES, STEP_PRIORITY, EACCES},
    {"io_priority", with_priorities, SYS_ioprio_set, ANY, 0, EPERM, STEP_PRIORITY, EPERM},
    {"cpus", with_priorities, SYS_sched_setaffinity, ANY, 0, EINVAL, STEP_PRIORITY, EINVAL},
    {"oom_score_adjust, no /proc", with_priorities, SYS_openat, ANY, 0, ENOENT, STEP_PRIORITY, ENOENT},
    {"oom_score_adjust, of root", with_priorities, SYS_openat, ANY, 0, EACCES, STEP_PRIORITY, EACCES},
    {"oom_score_adjust", with_priorities, SYS_write, ANY, 0, EACCES, STEP_PRIORITY, EACCES},
    {"chroot", with_root, SYS_chroot, ANY, 0, EPERM, STEP_ROOT_DIRECTORY, EPERM},
    {"chdir", with_root, SYS_chdir, ANY, 0, EACCES, STEP_ROOT_DIRECTORY, EACCES},
    {"groups", with_user, SYS_setgroups, ANY, 0, EPERM, STEP_GROUPS, EPERM},
    {"group", with_user, SYS_setresgid, ANY, 0, EPERM, STEP_GROUPS, EPERM},
    {"user", with_user, SYS_setresuid, ANY, 0, EAGAIN, STEP_USER, EAGAIN},
    {"capabilities", with_user, SYS_capset, ANY, 0, EPERM, STEP_USER, EPERM},
    {"parent", with_parent, SYS_prctl, 0, PR_SET_PDEATHSIG, EINVAL, STEP_SESSION, EINVAL},
    {"parent that has gone", with_another_parent, NOTHING, ANY, 0, 0, STEP_SESSION, ESRCH},
    {"no_new_privileges", without_privileges, SYS_prctl, 0, PR_SET_NO_NEW_PRIVS, EINVAL, STEP_SANDBOX,
     EINVAL},
    {"daemon that has gone", with_no_daemon, NOTHING, ANY, 0, 0, STEP_FDS, ECANCELED},
    {"connection", with_no_daemon, SYS_recvmsg, ANY, 0, ENOMEM, STEP_FDS, ENOMEM},
    {"connection without descriptor", with_no_descriptor, NOTHING, ANY, 0, 0, STEP_FDS, EMFILE},
    {"number of a connection", with_no_such_number, NOTHING, ANY, 0, 0, STEP_FDS, EBADF},
    {"exec", of_nothing, SYS_execve, ANY, 0, ETXTBSY, STEP_EXEC, ETXTBSY},
    {"network", with_namespaces, SYS_setns, 1, CLONE_NEWNET, EPERM, STEP_NAMESPACES, EPERM},
    {"users", with_namespaces, SYS_setns, 1, CLONE_NEWUSER, EPERM, STEP_NAMESPACES, EPERM},
    {"users, first", with_users_first, SYS_setns, 1, CLONE_NEWUSER, EPERM, STEP_NAMESPACES, EPERM},
    {"namespaces", with_namespaces, SYS_unshare, ANY, 0, ENOSPC, STEP_NAMESPACES, ENOSPC},
    {"mounts apart", with_apart, SYS_mount, ANY, 0, EPERM, STEP_NAMESPACES, EPERM},
    {"bind", with_bind, SYS_mount, ANY, 0, ENOENT, STEP_ROOT_DIRECTORY, ENOENT},
    {"bind, left out", with_optional, SYS_mount, ANY, 0, ENOENT, STEP_EXEC, 0},
    {"new root, folder", with_new_root, SYS_chdir, ANY, 0, ENOENT, STEP_ROOT_DIRECTORY, ENOENT},
    {"new root, pivot", with_new_root, SYS_pivot_root, ANY, 0, EPERM, STEP_ROOT_DIRECTORY, EPERM},
    {"new root, on the kernel's first", with_new_root, SYS_pivot_root, ANY, 0, EINVAL, STEP_EXEC, 0},
    {"new root, old one", with_new_root, SYS_umount2, ANY, 0, EBUSY, STEP_ROOT_DIRECTORY, EBUSY},
    {"proc", with_proc, SYS_mount, ANY, 0, EPERM, STEP_NAMESPACES, EPERM},
    {"mqueue", with_mqueue, SYS_mount, ANY, 0, EPERM, STEP_NAMESPACES, EPERM},
    {"tree", with_trees, SYS_open_tree, ANY, 0, ENOENT, STEP_NAMESPACES, ENOENT},
    {"place of a tree", with_trees, SYS_move_mount, ANY, 0, ENOENT, STEP_NAMESPACES, ENOENT},
    {"trees", with_trees, NOTHING, ANY, 0, 0, STEP_EXEC, 0},
    {"tree that is left", with_a_tree_left, NOTHING, ANY, 0, 0, STEP_EXEC, 0},
    {"read_only, mount", with_read_only, SYS_mount, ANY, 0, EPERM, STEP_NAMESPACES, EPERM},
    {"read_only", with_read_only, SYS_mount_setattr, ANY, 0, EPERM, STEP_NAMESPACES, EPERM},
    {"tmpfs", with_tmpfs, SYS_mount, ANY, 0, ENOMEM, STEP_NAMESPACES, ENOMEM},
    {"devpts", with_devpts, SYS_mount, ANY, 0, ENOMEM, STEP_NAMESPACES, ENOMEM},
    {"node, file", with_node, SYS_openat, ANY, 0, EEXIST, STEP_NAMESPACES, EEXIST},
    {"folder", with_made_folder, SYS_mkdirat, ANY, 0, ENOSPC, STEP_NAMESPACES, ENOSPC},
    {"link", with_link, SYS_symlinkat, ANY, 0, ENOSPC, STEP_NAMESPACES, ENOSPC},
    {"detach", with_detach, SYS_umount2, ANY, 0, EINVAL, STEP_NAMESPACES, EINVAL},
    {"detach, folder", with_detach, SYS_unlinkat, ANY, 0, EBUSY, STEP_NAMESPACES, EBUSY},
    {"hide", with_hide, SYS_mount, ANY, 0, EPERM, STEP_NAMESPACES, EPERM},
    {"hide, file", with_hide, SYS_mount, ANY, 0, ENOTDIR, STEP_NAMESPACES, ENOTDIR},
    {"bounding set", with_capabilities, SYS_prctl, 0, PR_CAPBSET_DROP, EPERM, STEP_SANDBOX, EPERM},
    {"bounding set, with no_new_privileges", with_capabilities_of_no_privileges, SYS_prctl, 0,
     PR_CAPBSET_DROP, EPERM, STEP_EXEC, 0},
    {"bounding set, of a kernel that knows few", with_capabilities, SYS_prctl, 0, PR_CAPBSET_DROP, EINVAL,
     STEP_EXEC, 0},
    {"capabilities to keep", with_capabilities, SYS_prctl, 0, PR_SET_KEEPCAPS, EPERM, STEP_SANDBOX, EPERM},
    {"capabilities", with_capabilities, SYS_capset, ANY, 0, EPERM, STEP_SANDBOX, EPERM},
    {"ambient set", with_capabilities, SYS_prctl, 0, PR_CAP_AMBIENT, EPERM, STEP_SANDBOX, EPERM},
    {"ruleset", with_landlock, SYS_landlock_create_ruleset, ANY, 0, EOPNOTSUPP, STEP_SANDBOX, EOPNOTSUPP},
    {"rule", with_landlock, SYS_landlock_add_rule, ANY, 0, ENOMEM, STEP_SANDBOX, ENOMEM},
    {"rule of a file", with_landlock, SYS_landlock_add_rule, ANY, 0, EINVAL, STEP_SANDBOX, EINVAL},
    {"rule, missing", with_missing_rule, NOTHING, ANY, 0, 0, STEP_SANDBOX, ENOENT},
    {"rule, left out", with_optional_rule, NOTHING, ANY, 0, 0, STEP_EXEC, 0},
    {"restriction", with_landlock, SYS_landlock_restrict_self, ANY, 0, E2BIG, STEP_SANDBOX, E2BIG},
    {"no program", with_no_program, NOTHING, ANY, 0, 0, STEP_EXEC, ENOENT},
    {"filter", with_filter, SYS_seccomp, ANY, 0, EINVAL, STEP_SANDBOX, EINVAL},
    {"processes of its own", with_processes, NOTHING, ANY, 0, 0, STEP_EXEC, 0},
    {"processes, pipe", with_processes, SYS_pipe2, ANY, 0, EMFILE, STEP_NAMESPACES, EMFILE},
    {"processes, clone", with_processes, SYS_clone, 0, INNER_FLAGS, EAGAIN, STEP_NAMESPACES, EAGAIN},
    {"processes, word", with_processes, SYS_read, ANY, 0, EIO, STEP_NAMESPACES, EIO},
    {"processes, end", with_processes, SYS_prctl, 0, PR_SET_PDEATHSIG, EPERM, STEP_NAMESPACES, EPERM},
    {"processes, no word", with_processes, SYS_write, ANY, 0, EPIPE, STEP_NAMESPACES, EPIPE},
    {"processes, copy", with_processes, SYS_fcntl, 1, F_DUPFD_CLOEXEC, EMFILE, STEP_NAMESPACES, EMFILE},
    {"processes, place", with_processes, SYS_dup3, ANY, 0, EBUSY, STEP_NAMESPACES, EBUSY},
    {"processes, program", with_processes, SYS_execveat, ANY, 0, EACCES, STEP_NAMESPACES, EACCES},
    {"processes, rights", with_processes, SYS_prctl, 0, PR_SET_NO_NEW_PRIVS, EPERM, STEP_NAMESPACES, EPERM},
    {"processes, group", with_processes_of_user, SYS_setgroups, ANY, 0, EPERM, STEP_NAMESPACES, EPERM},
    {"processes, user", with_processes_of_user, SYS_setresuid, ANY, 0, EPERM, STEP_NAMESPACES, EPERM},
    {"processes, parent that has gone", with_processes_of_parent, NOTHING, ANY, 0, 0, STEP_EXEC, ESRCH},
};

/* What seems to succeed: where the kernel would do it, rights are needed, or the test would not find back. */
static const long pretended[] = {
    SYS_mount,
    SYS_umount2,
    SYS_pivot_root,
    SYS_move_mount,
    SYS_mount_setattr,
    SYS_open_tree,
    SYS_chroot,
    SYS_unshare,
    SYS_setns,
    SYS_setgroups,
    SYS_setresgid,
    SYS_setresuid,
    SYS_capset,
    SYS_seccomp,
    SYS_mkdirat,
    SYS_symlinkat,
    SYS_unlinkat,
    SYS_ioprio_set,
    SYS_setpriority,
    SYS_sched_setaffinity,
    SYS_prctl,
    SYS_landlock_create_ruleset,
    SYS_landlock_add_rule,
    SYS_landlock_restrict_self,
};

/* The lower half of an argument comes first on the machines that there are. */
static void write_code(Stage *s, const Case *c) {
    struct sock_filter *code = s->code;
    size_t n = 0;
    bool any = c->arg == ANY;
#define PUT(...) code[n++] = (struct sock_filter)__VA_ARGS__
#define LOAD(what) PUT(BPF_STMT(BPF_LD | BPF_W | BPF_ABS, (unsigned)(what)))
    LOAD(offsetof(struct seccomp_data, nr));
    if (c->nr != NOTHING) {
        PUT(BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, (unsigned)c->nr, 0, any ? 1 : 3));
        if (!any) {
            LOAD(offsetof(struct seccomp_data, args) + 8 * (size_t)c->arg);
            PUT(BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, c->value, 0, 1));
        }
        PUT(BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ERRNO | (unsigned)c->error));
    }
    LOAD(offsetof(struct seccomp_data, nr));
    for (size_t i = 0; i < ELEMENTS(pretended); i++) {
        PUT(BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, (unsigned)pretended[i], 0, 1));
        PUT(BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ERRNO));
    }
    PUT(BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW));
#undef LOAD
#undef PUT
    s->program = (struct sock_fprog){.len = (unsigned short)n, .filter = code};
}

static void prepare(Stage *s, const Case *c) {
    static char name[] = "true";
    s->argv[0] = name;
    s->plan.program = "/bin/true";
    s->plan.argv = s->argv;
    s->plan.envp = s->envp;
    s->plan.resources = &s->resources;
    s->plan.first_closed = 3;
    s->plan.tether = s->plan.cgroup = -EBADF;
    s->plan.sandbox.user_fd = s->plan.sandbox.network_fd = s->plan.sandbox.init_fd = -EBADF;
    s->plan.sandbox.stack = s->inner + STACK;
    s->sandbox.mounts = s->mounts;
    s->sandbox.rules = s->rules;
    s->sandbox.filter.filter = s->filter;
    c->set(s);
}

static int take_steps(void *stage) {
    Stage *s = stage;
    if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) == 0 &&
        prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &s->program) == 0)
        return child_main(&s->plan);
    s->refused = true;
    _exit(0);
}

/* In a process of its own, whose memory has what becomes of the one with the filter, as the daemon's has. */
static _Noreturn void perform(Stage *s, const Case *c) {
    prepare(s, c);
    write_code(s, c);
    pid_t pid = clone(take_steps, s->stack + STACK, CLONE_VM | CLONE_VFORK | SIGCHLD, s);
    if (pid > 0)
        (void)waitpid(pid, NULL, 0);
    _exit(pid < 0);
}

static void look(Stage *s, const Case *c) {
    int status = 0;
    pid_t pid = fork();
    assert_true(pid >= 0);
    if (pid == 0)
        perform(s, c);
    assert_int_equal(waitpid(pid, &status, 0), pid);
    if (s->refused)
        skip();
    if (status != 0 || s->plan.step != c->step || s->plan.error != c->expected)
        fail_msg("%s: it ended at %s with %s, not at %s with %s (status %d)", c->what,
                 spawn_step_to_string(s->plan.step), strerror(s->plan.error), spawn_step_to_string(c->step),
                 strerror(c->expected), status);
}

static void test_each(void **state) {
    (void)state;
    for (size_t i = 0; i < ELEMENTS(cases); i++) {
        char path[128];
        Stage *s = mmap(NULL, sizeof(Stage), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
        assert_ptr_not_equal(s, MAP_FAILED);
        (void)snprintf(s->folder, sizeof(s->folder), "/tmp/mpinetd-steps-XXXXXX");
        assert_non_null(mkdtemp(s->folder));
        look(s, &cases[i]);
        (void)snprintf(path, sizeof(path), "%s/cgroup.procs", s->folder);
        (void)unlink(path);
        (void)rmdir(s->folder);
        (void)munmap(s, sizeof(Stage));
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_each)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
