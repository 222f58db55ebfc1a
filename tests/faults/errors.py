# SPDX-License-Identifier: MIT
"""How each system call of the daemon can fail, by its manual page, and which of these come from outside of the daemon."""
import re

_DESCRIPTORS = ("EMFILE", "ENFILE", "ENOMEM")
_FILE = ("EACCES", "ENOENT", "ENOMEM", "EIO")
_OUT = ("EAGAIN", "EINTR", "EPIPE", "EIO", "ENOSPC", "ENOBUFS")
_IN = ("EAGAIN", "EINTR", "EIO", "ENOMEM")

# Of fcntl(2) and epoll_ctl(2) by what they are asked for, of read(2) by what is read: a pipe, or a descriptor
# of events; of wait4(2) and waitid(2) by whether they wait. That a process of ours which is not reaped yet were not
# there (ECHILD, ESRCH) cannot be.
ERRORS = {
    "accept4": ("EAGAIN", "EINTR", "ECONNABORTED", "EMFILE", "ENFILE", "ENOBUFS", "ENOMEM", "EPROTO", "EPERM"),
    "access": _FILE, "faccessat2": _FILE, "bind": ("EADDRINUSE", "EACCES", "EADDRNOTAVAIL", "ENOMEM", "EROFS"), "brk": ("ENOMEM",),
    "capset": ("EPERM",), "chdir": ("EACCES", "ENOENT", "EIO"), "chmod": ("EPERM", "EROFS"), "fchmod": ("EPERM",), "fchmodat": ("EPERM", "EROFS"),
    "fchown": ("EPERM",), "fchownat": ("EPERM", "EROFS"), "clone": ("EAGAIN", "ENOMEM"), "clone3": ("EAGAIN", "ENOMEM", "ENOSYS"), "fork": ("EAGAIN", "ENOMEM"),
    "vfork": ("EAGAIN", "ENOMEM"), "close_range": ("ENOSYS", "ENOMEM"), "connect": ("EAGAIN", "ECONNREFUSED", "ENOENT", "EINTR"), "dup": ("EMFILE",),
    "dup3": ("EMFILE", "EBUSY"), "EPOLL_CTL_ADD": ("ENOMEM", "ENOSPC"), "EPOLL_CTL_MOD": ("ENOMEM",), "epoll_create1": _DESCRIPTORS, "epoll_wait": ("EINTR",),
    "epoll_pwait": ("EINTR",), "epoll_pwait2": ("EINTR",), "eventfd2": _DESCRIPTORS, "execve": ("EACCES", "ENOENT", "ENOMEM", "ETXTBSY", "E2BIG", "ENOEXEC", "EIO", "EMFILE"),
    "F_ADD_SEALS": ("EBUSY", "EPERM"), "F_DUPFD": ("EMFILE",), "F_DUPFD_CLOEXEC": ("EMFILE",), "F_SETPIPE_SZ": ("EPERM", "EBUSY", "ENOMEM"), "F_SETFL": ("EPERM",),
    "flock": ("EINTR", "EAGAIN", "ENOLCK"), "fstat": ("ENOMEM", "EIO"), "fstatfs": ("EIO", "ENOSYS"), "ftruncate": ("EINTR", "EIO", "ENOSPC"), "getdents64": ("EIO",),
    "getpeername": ("ENOTCONN", "ENOBUFS"), "getrandom": ("EINTR", "EAGAIN", "ENOSYS"), "getsockopt": ("ENOBUFS", "ENOPROTOOPT"),
    "getxattr": ("ENODATA", "ENOTSUP"), "ioctl": ("ENOTTY", "EIO"), "kill": ("EPERM",), "link": ("EEXIST", "EPERM"), "listen": ("EADDRINUSE",), "lseek": ("ESPIPE",),
    "madvise": ("ENOMEM", "EAGAIN"), "memfd_create": _DESCRIPTORS, "mkdir": ("EACCES", "EEXIST", "ENOSPC", "EROFS"), "mmap": ("ENOMEM", "EAGAIN"), "mprotect": ("ENOMEM",),
    "mremap": ("ENOMEM",), "munmap": ("ENOMEM",), "name_to_handle_at": ("EOPNOTSUPP",), "newfstatat": _FILE, "openat": ("EACCES", "ENOENT", "EMFILE", "ENFILE", "ENOMEM", "EIO", "EINTR"),
    "pidfd_open": (*_DESCRIPTORS, "ESRCH", "ENOSYS"), "pidfd_send_signal": ("ESRCH", "EPERM"), "pipe2": _DESCRIPTORS, "poll": ("EINTR", "ENOMEM"), "ppoll": ("EINTR", "ENOMEM"),
    "prctl": ("EINVAL", "EPERM"), "pread64": _IN, "preadv2": ("EAGAIN", "EINTR", "EOPNOTSUPP", "EIO"), "prlimit64": ("EPERM",), "read": _IN, "read-event": ("EAGAIN", "EINTR"), "read-pipe": ("EAGAIN", "EINTR"), "readv": _IN, "readlink": _FILE,
    "readlinkat": _FILE, "recvfrom": ("EAGAIN", "EINTR", "ENOMEM", "ECONNRESET"), "recvmsg": ("EAGAIN", "EINTR", "ENOMEM", "ECONNRESET"), "rename": ("EACCES", "ENOSPC"),
    "sched_setaffinity": ("EINVAL", "EPERM"), "sendmsg": (*_OUT, "ECONNREFUSED", "ETOOMANYREFS"), "sendmmsg": _OUT, "sendto": (*_OUT, "ECONNREFUSED"),
    "setpriority": ("EACCES", "EPERM"), "setsockopt": ("ENOMEM", "EPERM", "ENOPROTOOPT"), "signalfd4": _DESCRIPTORS, "socket": (*_DESCRIPTORS, "ENOBUFS", "EAFNOSUPPORT", "EACCES"),
    "socketpair": (*_DESCRIPTORS, "ENOBUFS"), "stat": _FILE, "statfs": ("EIO", "ENOSYS"), "statx": _FILE, "symlink": ("EACCES", "EEXIST"), "timerfd_create": _DESCRIPTORS,
    "chroot": ("EPERM", "ENOENT", "EACCES", "EIO"), "setgroups": ("EPERM", "ENOMEM"), "setresgid": ("EPERM", "EAGAIN"), "setresuid": ("EPERM", "EAGAIN"), "setsid": ("EPERM",),
    "execveat": ("EACCES", "ENOENT", "ENOMEM", "E2BIG", "ENOEXEC", "EIO", "EMFILE", "ENOSYS"), "pwrite64": ("EINTR", "EIO", "ENOSPC"), "timer_create": ("EAGAIN", "ENOMEM"),
    "ioprio_set": ("EPERM", "EINVAL"), "F_SETFD": ("EBADF",),
    "unlink": ("EACCES", "ENOENT", "EBUSY", "EROFS"), "unlinkat": ("EACCES", "ENOENT", "EBUSY"), "utimensat": ("EPERM", "EROFS"), "wait4": ("EINTR",),
    "waitid": ("EINTR",), "getcwd": ("ENOENT", "EACCES", "ENOMEM"), "write": _OUT, "writev": _OUT,
}

# What is not made to fail, and why.
NEVER = {
    "close": "it lets go of the descriptor whatever it says, which a call that is not made does not",
    "EPOLL_CTL_DEL": "of a descriptor that is watched, and it is, it cannot fail",
    "timerfd_settime": "of a timer and a time that are right it cannot fail",
    "exit_group": "it does not return", "exit": "it does not return",
    "getsockname": "the kernel has the address of a socket that is bound, and needs nothing to tell it",
    "wait4-now": "of a child that nobody else waits for it cannot fail", "waitid-now": "the same",
    "F_GETFL": "of a descriptor that is open it cannot fail", "F_GETFD": "the same", "F_GET_SEALS": "the same", "F_GETPIPE_SZ": "the same",
    "shutdown": "of a connection that has ended it says so, and that is all that can be wrong",
    **{call: "it has no way to fail" for call in (
        "arch_prctl", "capget", "fadvise64", "futex", "getegid", "geteuid", "getgid", "getgroups", "getpgid", "getpid", "getppid", "getpriority", "getresgid", "getresuid", "getsid",
        "gettid", "getuid", "restart_syscall", "rseq", "rt_sigaction", "rt_sigprocmask", "rt_sigreturn", "sched_getaffinity", "sched_yield", "set_robust_list", "set_tid_address",
        "sysinfo", "timer_settime", "umask", "uname", "clock_gettime", "clock_nanosleep", "times", "getrusage", "sigaltstack", "prlimit64-get")},
}

_CALL = re.compile(r"^(\w+)\((.*)")


def kind_of(call, arguments):
    """What its errors are looked up by."""
    if call in ("fcntl", "epoll_ctl"):
        return arguments.split(",")[1].strip().rstrip(")").split(")")[0]
    if call == "read":
        target = re.match(r"\d+<([^>]*)>", arguments)
        what = target[1] if target else ""
        if what.startswith("anon_inode:"):
            return "read-event"
        return "read-pipe" if what.startswith("pipe:") else "read"
    if call in ("wait4", "waitid") and "WNOHANG" in arguments:
        return call + "-now"
    if call == "prlimit64" and re.match(r"\d+, \w+, NULL", arguments):
        return "prlimit64-get"
    return call


def calls_of(text):
    """[(call, the how manieth of that call, kind)] of what strace has seen, in order."""
    numbers, found = {}, []
    for line in text.splitlines():
        match = _CALL.match(line)
        if match and not line.startswith("strace:"):
            call = match[1]
            numbers[call] = numbers.get(call, 0) + 1
            found.append((call, numbers[call], kind_of(call, match[2])))
    return found


def faults_of(calls):
    """[(call, number, error)] of all that can fail, and {kind} of what the table does not know."""
    unknown = {kind for _, _, kind in calls if kind not in ERRORS and kind not in NEVER}
    return [(call, number, error) for call, number, kind in calls for error in ERRORS.get(kind, ())], unknown
