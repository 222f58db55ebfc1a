# SPDX-License-Identifier: MIT
"""What the tests of `sandbox` share: a daemon of root or of an ordinary user, in a folder that its services can look into
whatever is hidden from them, and a child that makes attempts."""
import ctypes
import os
import shutil
import subprocess
import tempfile

from harness import MPINETD, SANITIZED, SERVICES, DaemonTest, children_of

NOBODY = 65534
AS_NOBODY = ["setpriv", f"--reuid={NOBODY}", f"--regid={NOBODY}", "--clear-groups"]


def has_user_namespaces():
    wrap = AS_NOBODY if os.geteuid() == 0 else []
    try:
        return subprocess.run([*wrap, "unshare", "--user", "true"], check=False, stderr=subprocess.DEVNULL).returncode == 0
    except FileNotFoundError:
        return False


def landlock_abi():
    try:
        with open("/sys/kernel/security/lsm", encoding="utf-8") as names:
            return "landlock" in names.read()
    except OSError:
        return ctypes.CDLL(None, use_errno=True).syscall(444, None, 0, 1) > 0


def is_gone(pid):
    """Whether it has ended, or does: the first of a namespace is there until somebody has reaped all others."""
    try:
        with open(f"/proc/{pid}/cmdline", "rb") as line:
            return not line.read()
    except OSError:
        return True


def descendants_of(pid):
    found = []
    for child, _ in children_of(pid):
        found += [child, *descendants_of(child)]
    return found


class SandboxTest(DaemonTest):
    """A service that makes attempts, each with what came of it."""
    AS_ROOT = True
    HELPERS = ("probe", "bad-child", "trial")
    PROGRAMS = ("mp-init", "mp-echo", "mp-forward")

    def begin(self, services, **environment):
        """A daemon; each service listens on a port of its own."""
        # A service that is built with sanitizers cannot look for leaks in a sandbox: that takes ptrace(2).
        more = {"environment": {"ASAN_OPTIONS": "detect_leaks=0"}} if SANITIZED else {}
        return self.begin_with({"services": {name: {"listen": "tcp:127.0.0.1:0", **more, **service}
                                             for name, service in services.items()}}, **environment)

    def begin_with(self, config, **environment):
        """The same with a whole config, a dict or text."""
        folder = self.lasting_folder()
        return self.daemon(config, folder=folder, wrap=self.wrap(), program=os.path.join(folder, "mpinetd"),
                           environment={"MPINETD_LIBEXECDIR": folder, **environment})

    def wrap(self):
        return [] if self.AS_ROOT or os.geteuid() != 0 else [*AS_NOBODY, "--"]

    def lasting_folder(self):
        """One with the programs that is still there where /tmp is another, and that every user may look into."""
        folder = self.folder_for_all()
        for name in self.HELPERS:
            shutil.copy(os.path.join(os.path.dirname(MPINETD), "..", "tests", "helpers", name), folder)
        for path in (MPINETD, *(os.path.join(SERVICES, name) for name in self.PROGRAMS)):
            shutil.copy(path, folder)
        self.give(folder)
        return folder

    def folder_for_all(self):
        for base in ("/srv", "/opt", os.path.expanduser("~")):
            if os.access(base, os.W_OK):
                folder = tempfile.mkdtemp(prefix="mpt-", dir=base)
                self.addCleanup(shutil.rmtree, folder, ignore_errors=True)
                os.chmod(folder, 0o755)
                return folder
        return self.skipTest("no folder outside of /tmp to write to")

    def give(self, path):
        """To the daemon's user."""
        if self.wrap():
            os.chown(path, NOBODY, NOBODY)

    def outcome(self, d, name="e"):
        """{attempt: result} of one connection."""
        lines = d.ask(name, b"").decode().splitlines()
        self.assertTrue(lines, d.log_text()[-2000:])
        return dict(line.rsplit(" ", 1) for line in lines if not line.startswith("self "))

    def tried(self, sandbox, *attempts, **service):
        d = self.begin({"e": {"exec": ["{trial}", *attempts], "sandbox": sandbox, **service}})
        return self.outcome(d)
