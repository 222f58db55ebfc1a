/* SPDX-License-Identifier: MIT */
#include "conf/seccomp-sets.h"

#include "daemon/base/text.h"

#define CALLS(...)                                                                                           \
    (const char *const[]) {                                                                                  \
        __VA_ARGS__, NULL                                                                                    \
    }

static const SeccompSet sets[] = {
    {"@default", "what starts a program and runs it at all; in every list, and never taken away",
     CALLS("arch_prctl", "brk", "cacheflush", "clock_getres", "clock_getres_time64", "clock_gettime",
           "clock_gettime64", "clock_nanosleep", "clock_nanosleep_time64", "close", "close_range", "dup",
           "dup2", "dup3", "execve", "execveat", "exit", "exit_group", "fcntl", "fcntl64", "futex",
           "futex_time64", "get_robust_list", "get_thread_area", "getegid", "getegid32", "geteuid",
           "geteuid32", "getgid", "getgid32", "getgroups", "getgroups32", "getpgid", "getpgrp", "getpid",
           "getppid", "getrandom", "getresgid", "getresgid32", "getresuid", "getresuid32", "getrlimit",
           "getsid", "gettid", "gettimeofday", "getuid", "getuid32", "membarrier", "mmap", "mmap2",
           "mprotect", "mremap", "munmap", "nanosleep", "pause", "prlimit64", "recvmsg", "restart_syscall",
           "rseq", "rt_sigaction", "rt_sigprocmask", "rt_sigreturn", "sched_getaffinity", "sched_yield",
           "set_robust_list", "set_thread_area", "set_tid_address", "set_tls", "sigreturn", "time",
           "ugetrlimit")},
    {"@service",
     "what ordinary network programs need: files, sockets, memory, threads, processes, signals, times",
     CALLS("@basic-io", "@chown", "@file-system", "@io-event", "@ipc", "@network-io", "@process", "@setuid",
           "@signal", "@sync", "@timer", "capget", "copy_file_range", "fadvise64", "fadvise64_64",
           "get_mempolicy", "getcpu", "getpriority", "ioctl", "ioprio_get", "landlock_add_rule",
           "landlock_create_ruleset", "landlock_restrict_self", "madvise", "mincore", "mlock", "mlock2",
           "mlockall", "munlock", "munlockall", "name_to_handle_at", "pkey_alloc", "pkey_free",
           "pkey_mprotect", "readahead", "sched_get_priority_max", "sched_get_priority_min", "sched_getattr",
           "sched_getparam", "sched_getscheduler", "sched_rr_get_interval", "sched_setaffinity", "seccomp",
           "sendfile", "sendfile64", "setpriority", "setrlimit", "splice", "sysinfo", "tee", "umask", "uname",
           "vmsplice")},
    {"@aio", "asynchronous input and output, io_uring with it",
     CALLS("io_cancel", "io_destroy", "io_getevents", "io_pgetevents", "io_pgetevents_time64", "io_setup",
           "io_submit", "io_uring_enter", "io_uring_register", "io_uring_setup")},
    {"@basic-io", "reading, writing and seeking of what is open",
     CALLS("_llseek", "close", "dup", "dup2", "dup3", "lseek", "pread64", "preadv", "preadv2", "pwrite64",
           "pwritev", "pwritev2", "read", "readv", "write", "writev")},
    {"@bpf", "programs for the kernel", CALLS("bpf")},
    {"@chown", "owners of files",
     CALLS("chown", "chown32", "fchown", "fchown32", "fchownat", "lchown", "lchown32")},
    {"@clock", "setting the clock",
     CALLS("adjtimex", "clock_adjtime", "clock_adjtime64", "clock_settime", "clock_settime64", "settimeofday",
           "stime")},
    {"@cpu-emulation", "old modes of the processor",
     CALLS("modify_ldt", "subpage_prot", "switch_endian", "vm86", "vm86old")},
    {"@debug", "looking into other processes",
     CALLS("kcmp", "lookup_dcookie", "perf_event_open", "pidfd_getfd", "process_madvise", "process_vm_readv",
           "process_vm_writev", "ptrace", "rtas", "sys_debug_setcontext")},
    {"@file-system", "files and folders: opening, making, renaming, removing, watching",
     CALLS("access", "chdir", "chmod", "close", "creat", "faccessat", "faccessat2", "fallocate", "fchdir",
           "fchmod", "fchmodat", "fchmodat2", "fcntl", "fcntl64", "fgetxattr", "flistxattr", "flock",
           "fremovexattr", "fsetxattr", "fstat", "fstat64", "fstatat64", "fstatfs", "fstatfs64", "ftruncate",
           "ftruncate64", "futimesat", "getcwd", "getdents", "getdents64", "getxattr", "inotify_add_watch",
           "inotify_init", "inotify_init1", "inotify_rm_watch", "lgetxattr", "link", "linkat", "listxattr",
           "llistxattr", "lremovexattr", "lsetxattr", "lstat", "lstat64", "memfd_create", "mkdir", "mkdirat",
           "mknod", "mknodat", "newfstatat", "oldfstat", "oldlstat", "oldstat", "open", "openat", "openat2",
           "readlink", "readlinkat", "removexattr", "rename", "renameat", "renameat2", "rmdir", "setxattr",
           "stat", "stat64", "statfs", "statfs64", "statx", "symlink", "symlinkat", "truncate", "truncate64",
           "unlink", "unlinkat", "utime", "utimensat", "utimensat_time64", "utimes")},
    {"@io-event", "waiting for descriptors",
     CALLS("_newselect", "epoll_create", "epoll_create1", "epoll_ctl", "epoll_ctl_old", "epoll_pwait",
           "epoll_pwait2", "epoll_wait", "epoll_wait_old", "eventfd", "eventfd2", "poll", "ppoll",
           "ppoll_time64", "pselect6", "pselect6_time64", "select")},
    {"@ipc", "pipes, System V IPC, message queues",
     CALLS("ipc", "mq_getsetattr", "mq_notify", "mq_open", "mq_timedreceive", "mq_timedreceive_time64",
           "mq_timedsend", "mq_timedsend_time64", "mq_unlink", "msgctl", "msgget", "msgrcv", "msgsnd", "pipe",
           "pipe2", "semctl", "semget", "semop", "semtimedop", "semtimedop_time64", "shmat", "shmctl",
           "shmdt", "shmget")},
    {"@keyring", "keys that the kernel keeps", CALLS("add_key", "keyctl", "request_key")},
    {"@memlock", "memory that is never paged out",
     CALLS("mlock", "mlock2", "mlockall", "munlock", "munlockall")},
    {"@module", "the kernel's modules, and another kernel",
     CALLS("delete_module", "finit_module", "init_module", "kexec_file_load", "kexec_load")},
    {"@mount", "file systems, and another root",
     CALLS("chroot", "fsconfig", "fsmount", "fsopen", "fspick", "mount", "mount_setattr", "move_mount",
           "open_tree", "pivot_root", "umount", "umount2")},
    {"@namespaces", "namespaces of its own; without them clone(2) makes none, and clone3(2) is not there",
     CALLS("setns", "unshare")},
    {"@network-io", "sockets",
     CALLS("accept", "accept4", "bind", "connect", "getpeername", "getsockname", "getsockopt", "listen",
           "recv", "recvfrom", "recvmmsg", "recvmmsg_time64", "recvmsg", "send", "sendmmsg", "sendmsg",
           "sendto", "setsockopt", "shutdown", "socket", "socketcall", "socketpair")},
    {"@obsolete", "what has been replaced or never was",
     CALLS("_sysctl", "afs_syscall", "bdflush", "break", "create_module", "ftime", "get_kernel_syms",
           "getpmsg", "gtty", "idle", "lock", "mpx", "prof", "profil", "putpmsg", "query_module", "security",
           "sgetmask", "ssetmask", "stty", "sysfs", "tuxcall", "ulimit", "uselib", "ustat", "vserver")},
    {"@pkey", "protection keys of memory", CALLS("pkey_alloc", "pkey_free", "pkey_mprotect")},
    {"@privileged", "what only root can do",
     CALLS("@chown", "@clock", "@module", "@raw-io", "@reboot", "@swap", "acct", "bpf", "capset", "chroot",
           "fanotify_init", "fanotify_mark", "nfsservctl", "open_by_handle_at", "pivot_root", "quotactl",
           "quotactl_fd", "setdomainname", "setfsuid", "setfsuid32", "setgroups", "setgroups32",
           "sethostname", "setresuid", "setresuid32", "setreuid", "setreuid32", "setuid", "setuid32",
           "vhangup")},
    {"@process", "processes and threads, those of its own namespaces",
     CALLS("capget", "clone", "clone3", "fork", "getrusage", "kill", "pidfd_open", "pidfd_send_signal",
           "prctl", "rt_sigqueueinfo", "rt_tgsigqueueinfo", "setpgid", "setsid", "swapcontext", "tgkill",
           "times", "tkill", "vfork", "wait4", "waitid", "waitpid")},
    {"@raw-io", "ports and the memory of devices",
     CALLS("ioperm", "iopl", "pciconfig_iobase", "pciconfig_read", "pciconfig_write", "s390_pci_mmio_read",
           "s390_pci_mmio_write")},
    {"@reboot", "restarting the machine", CALLS("kexec_file_load", "kexec_load", "reboot")},
    {"@resources", "priorities and limits",
     CALLS("ioprio_set", "mbind", "migrate_pages", "move_pages", "nice", "sched_setaffinity", "sched_setattr",
           "sched_setparam", "sched_setscheduler", "set_mempolicy", "set_mempolicy_home_node", "setpriority",
           "setrlimit")},
    {"@setuid", "other users and groups",
     CALLS("capset", "setfsgid", "setfsgid32", "setfsuid", "setfsuid32", "setgid", "setgid32", "setgroups",
           "setgroups32", "setregid", "setregid32", "setresgid", "setresgid32", "setresuid", "setresuid32",
           "setreuid", "setreuid32", "setuid", "setuid32")},
    {"@signal", "what happens at a signal",
     CALLS("rt_sigaction", "rt_sigpending", "rt_sigprocmask", "rt_sigsuspend", "rt_sigtimedwait",
           "rt_sigtimedwait_time64", "sigaction", "sigaltstack", "signal", "signalfd", "signalfd4",
           "sigpending", "sigprocmask", "sigsuspend")},
    {"@swap", "swap files", CALLS("swapoff", "swapon")},
    {"@sync", "writing to disks at once",
     CALLS("fdatasync", "fsync", "msync", "sync", "sync_file_range", "sync_file_range2", "syncfs")},
    {"@system-service", "what systemd calls so: more than service, with io_uring, keys and priorities",
     CALLS("@service", "@aio", "@keyring", "@memlock", "@resources", "kcmp", "personality", "userfaultfd")},
    {"@timer", "timers",
     CALLS("alarm", "getitimer", "setitimer", "timer_create", "timer_delete", "timer_getoverrun",
           "timer_gettime", "timer_gettime64", "timer_settime", "timer_settime64", "timerfd_create",
           "timerfd_gettime", "timerfd_gettime64", "timerfd_settime", "timerfd_settime64", "times")},
};

const SeccompSet *seccomp_set(size_t i) {
    return i < ELEMENTS(sets) ? &sets[i] : NULL;
}

const SeccompSet *seccomp_set_find(const char *name) {
    for (size_t i = 0; i < ELEMENTS(sets); i++)
        if (streq(sets[i].name, name))
            return &sets[i];
    return NULL;
}

bool seccomp_list_allows(char *const *words) {
    for (; *words; words++)
        if (**words != '~')
            return true;
    return false;
}
