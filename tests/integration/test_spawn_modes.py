# SPDX-License-Identifier: MIT
"""Each way of making a process (MPINETD_SPAWN) leads to the same process, and tells the same failures."""
import errno
import unittest

import test_serving
from faults import FaultTest, Injection, tracing_works
from harness import need_program, need_root


class InMode:
    MODE = None

    def daemon(self, config, *arguments, **options):
        options["environment"] = {"MPINETD_SPAWN": self.MODE, **(options.get("environment") or {})}
        return super().daemon(config, *arguments, **options)


class Files(InMode, test_serving.PerConnection):
    MODE = "files"


class Vfork(InMode, test_serving.PerConnection):
    MODE = "vfork"


@need_root
@need_program("strace")
class Failures(FaultTest):
    """Each system call that a process makes before exec fails in turn, with what it can fail with: that is told by
    its step, leaves nothing behind, and the next connection is served."""
    SWEEP = {
        "dup3": ("fds", [errno.EBADF, errno.EMFILE, errno.EBUSY]),
        "close_range": ("fds", [errno.EINVAL, errno.ENOMEM]),
        "setsid": ("session", [errno.EPERM]),
        "rt_sigprocmask": ("session", [errno.EINVAL]),
        "prlimit64": ("rlimits", [errno.EPERM, errno.EINVAL]),
        "setpriority": ("priority", [errno.EACCES]),
        "chroot": ("root_directory", [errno.ENOENT, errno.EPERM]),
        "chdir": ("root_directory", [errno.EIO]),
        "chdir:when=2": ("working_directory", [errno.EACCES, errno.ENOENT]),
        "setgroups": ("groups", [errno.EPERM, errno.ENOMEM]),
        "setresgid": ("groups", [errno.EPERM]),
        "setresuid": ("user", [errno.EAGAIN, errno.EPERM]),
        "prctl": ("sandbox", [errno.EINVAL]),
        "execve": ("exec", [errno.ENOENT, errno.EACCES, errno.ENOMEM, errno.EAGAIN, errno.ETXTBSY, errno.EIO]),
    }
    SERVICE = {"exec": ["cat"], "user": "65534", "group": "65534", "root_directory": "/", "working_directory": "/tmp",
               "resources": {"core": 0, "nice": 1}}

    def setUp(self):
        if not tracing_works():
            self.skipTest("processes cannot be traced here")

    def fail_at(self, d, call, error, step):
        before = d.service("s")["spawn_failed"]
        name, _, when = call.partition(":")
        inject = f"{name}:error={errno.errorcode[error]}" + (f":{when}" if when else "")
        with Injection(d.pid, inject, children=True):
            self.assertEqual(d.ask("s", b""), b"")
            service = d.wait_service("s", spawn_failed=before + 1, active=0)
        last = service["last_error"]
        self.assertEqual((last["step"], last["errno"]), (step, error), inject)

    def sweep(self, mode):
        d = self.daemon({"services": {"s": {"listen": "tcp:127.0.0.1:0", **self.SERVICE}}}, environment={"MPINETD_SPAWN": mode})
        self.assertEqual(d.ask("s", b"x"), b"x")
        n = 0
        for call, (step, errors) in self.SWEEP.items():
            for error in errors:
                self.fail_at(d, call, error, step)
                n += 1
        self.assertEqual(d.ask("s", b"x"), b"x")
        service = d.wait_idle("s")
        self.assertEqual((service["spawned"], service["spawn_failed"], service["accepted"]), (2, n, n + 2))

    def test_shared(self):
        self.sweep("shared")

    def test_files(self):
        self.sweep("files")

    def test_vfork(self):
        self.sweep("vfork")


if __name__ == "__main__":
    unittest.main()
