# SPDX-License-Identifier: MIT
"""Limits that cannot be written, on a tree of plain files that the daemon takes for control groups, as this machine may have
none with controllers; and kernels without cgroup.kill, on real ones."""
import errno
import os
import unittest

from faults import FaultTest, Injection, tracing_works
from harness import need_program, need_root, process_alive, wait_until
from test_cgroup import ESCAPES, CgroupTest

FILES = ("cgroup.procs", "cgroup.subtree_control", "cgroup.events", "memory.max", "memory.high", "memory.oom.group", "pids.max",
         "cpu.max", "io.weight")
# Shows the files to the daemon alone.
SHOW = 'mount --bind "$1/mountinfo" /proc/$$/mountinfo && mount --bind "$1/cgroup" /proc/$$/cgroup && shift && exec "$@"'


@need_root
@need_program("strace", "unshare", "mount")
class Files(FaultTest):
    def setUp(self):
        if not tracing_works():
            self.skipTest("processes cannot be traced here")
        self.folder = self.temporary_folder()
        self.tree = self.folder + "/tree/own"
        self.group("", "cgroup.controllers", "cgroup.type")
        self.write("tree/own/cgroup.controllers", "cpu io memory pids\n")
        self.write("mountinfo", f"30 25 0:26 / {self.folder}/tree rw - cgroup2 cgroup2 rw\n")
        self.write("cgroup", "0::/own\n")
        try:
            os.setxattr(self.tree, "trusted.delegate", b"1")
        except OSError as error:
            self.skipTest(f"no attributes on {self.folder}: {error.strerror}")
        for path in ("s", "s/all", "mpinetd"):
            self.group(path)

    def write(self, name, text):
        with open(f"{self.folder}/{name}", "w", encoding="utf-8") as file:
            file.write(text)

    def group(self, path, *more):
        os.makedirs(f"{self.tree}/{path}", exist_ok=True)
        for name in (*FILES, *more):
            self.write(f"tree/own/{path}/{name}", "")

    def read(self, name):
        with open(f"{self.tree}/{name}", encoding="utf-8") as file:
            return file.read().strip()

    LIMITS = {"memory_max": "64M", "pids_max": 5, "cpu_max": "50%", "io_weight": 50}

    def config(self, **limits):
        return {"services": {"s": {"listen": "tcp:127.0.0.1:0", "exec": ["mp-echo"], "user": "root",
                                   "cgroup": {**self.LIMITS, **limits}},
                             "t": {"listen": "tcp:127.0.0.1:0", "exec": ["mp-echo"], "user": "root"}}}

    def begin(self, config=None):
        wrap = ["unshare", "-m", "sh", "-c", SHOW, "sh", self.folder]
        d = self.daemon(config or self.config(), wrap=wrap)
        self.assertEqual(d.ask("t", b"hello"), b"hello")
        return d

    def failed(self, d, error, *words):
        """The service alone, with what, where, and what to do."""
        s = wait_until(lambda: (s := d.service("s"))["state"] == "failed" and s, "the service to be failed")
        self.assertEqual((s["last_error"]["step"], s["last_error"]["errno"]), ("cgroup", error), s)
        for word in words:
            self.assertIn(word, s["last_error"]["message"])
        self.assertEqual(d.ask("t", b"hello"), b"hello")

    def test_all_is_well(self):
        d = self.begin()
        self.assertEqual(d.service("s")["state"], "listening", d.log_text()[-2000:])
        self.assertEqual((self.read("s/pids.max"), self.read("s/memory.max"), self.read("s/cpu.max")),
                         ("5", str(64 << 20), "50000 100000"))

    def changes(self, d, name, error, *words):
        """A reload with other limits does not come through; when it can, all is as before."""
        d.write_config(self.config(pids_max=6, memory_max="65M", cpu_max="51%", io_weight=51))
        d.call("Reload")
        self.failed(d, error, "the control group of 's'", self.tree, f"{name}: {os.strerror(error)}", *words)

    def comes_back(self, d):
        d.write_config(self.config())
        d.call("Reload")
        wait_until(lambda: d.service("s")["state"] == "listening", "it to come back")
        self.assertEqual((self.read("s/pids.max"), self.read("s/io.weight")), ("5", "default 50"))

    def test_no_such_file(self):
        d = self.begin()
        for name in ("pids.max", "memory.max", "cpu.max", "io.weight"):
            with self.subTest(name):
                os.rename(f"{self.tree}/s/{name}", f"{self.folder}/{name}")
                self.changes(d, name, errno.ENOENT, "leave it out")
                os.rename(f"{self.folder}/{name}", f"{self.tree}/s/{name}")
                self.comes_back(d)

    def test_what_the_kernel_does_not_take(self):
        d = self.begin()
        for name, word, hint in (("pids.max", "EINVAL", "does not take"), ("memory.max", "EBUSY", "memory.max: "),
                                 ("cpu.max", "EACCES", "Delegate=yes"), ("io.weight", "ERANGE", "does not take")):
            with self.subTest(name=name, error=word):
                with Injection(d.pid, f"write:error={word}", path=f"{self.tree}/s/{name}"):
                    self.changes(d, name, getattr(errno, word), hint)
                self.comes_back(d)

    def test_controllers_that_cannot_be_given(self):
        alone = {"services": {"t": self.config()["services"]["t"]}}
        d = self.begin(alone)
        for word in ("EROFS", "EINVAL", "EBUSY", "EOPNOTSUPP"):
            with self.subTest(error=word):
                with Injection(d.pid, f"write:error={word}", path=f"{self.tree}/cgroup.subtree_control"):
                    d.write_config(self.config())
                    d.call("Reload")
                    error = getattr(errno, word)
                    self.failed(d, error, self.tree, "controllers", "cannot be given", os.strerror(error))
                self.comes_back(d)
                d.write_config(alone)
                d.call("Reload")
                wait_until(lambda: len(d.status()["services"]) == 1, "it to be gone")
                self.group("s")
                self.group("s/all")


@need_program("strace")
class WithoutKill(CgroupTest, FaultTest):
    """Before Linux 5.14 there is no cgroup.kill: those that are to end are frozen and killed one by one."""

    def setUp(self):
        super().setUp()
        if not tracing_works():
            self.skipTest("processes cannot be traced here")

    def test_nothing_is_left(self):
        for per_instance in (True, False):
            with self.subTest(per_instance=per_instance):
                program = ["/bin/sh", "-c", ESCAPES[2].replace("setsid sh", "trap '' TERM; setsid sh")]
                d = self.daemon({"services": {"s": {"listen": "tcp:127.0.0.1:0", "user": "root", "exec": program,
                                                    "timeouts": {"stop": "300ms"}, "cgroup": {"per_instance": per_instance}}}})
                path = self.group(d, "s")["path"]
                with Injection(d.pid, "openat:error=ENOENT", path="cgroup.kill") as injection:
                    pid = int(d.ask("s"))
                    d.wait_idle("s")
                    d.call("Stop", services=["s"])
                    wait_until(lambda pid=pid: not process_alive(pid), "what was left to end")
                    wait_until(lambda path=path: not os.path.exists(path), "the group to be removed")
                self.assertIn("(INJECTED)", injection.text)
                d.stop()


# Those of the other file are run there.
del CgroupTest

if __name__ == "__main__":
    unittest.main()
