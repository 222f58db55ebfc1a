# SPDX-License-Identifier: MIT
"""What the tests of faults (docs/faults.md) share: system calls of the daemon that fail, and what has to hold afterwards."""
import contextlib
import os
import re
import resource
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time

from harness import MPINETD, PATIENCE, ROOT, SANITIZED, SERVICES, DaemonTest, children_of, program, wait_until
from strain import Strain

sys.path.append(os.path.join(ROOT, "tests", "bench"))
from strace import tracer_of  # noqa: E402

# The canary's 99th percentile is some milliseconds where there is nothing else to do, and a tenth of a second at most. What
# is looked for are loops that stop for everybody: a verdict must not come from who else uses the machine.
CANARY_QUICK = 0.5 if SANITIZED else 0.25


def canary_quick():
    """So much slower may it be as the machine has more to do than it can."""
    return CANARY_QUICK * max(1.0, 2 * os.getloadavg()[0] / (os.cpu_count() or 1))


class Injection:
    """While it lasts, strace makes system calls of the process fail: `accept4:error=EMFILE`, one or more of them; with
    children, also those of processes that it starts; with path, only those that name it; with until_execve, no longer than until it runs another program; with targets, text says
    of each descriptor what it is.
    Afterwards `text` is what strace has seen."""

    def __init__(self, pid, *inject, children=False, trace=None, path=None, until_execve=False, targets=False):
        self.pid, self.text = pid, ""
        calls = trace or ",".join(sorted({what.split(":")[0] for what in inject}))
        self.command = [program("strace"), "-p", str(pid), "-e", "trace=" + calls, "-e", "signal=none"]
        for what in inject:
            self.command += ["-e", "inject=" + what]
        self.command += ["-f"] if children else []
        self.command += ["-P", path] if path else []
        self.command += ["-b", "execve"] if until_execve else []
        self.command += ["-y"] if targets else []

    def __enter__(self):
        self.out = tempfile.NamedTemporaryFile(prefix="mpt-strace-")
        self.process = subprocess.Popen(self.command, stdin=subprocess.DEVNULL, stdout=self.out, stderr=self.out)
        try:
            wait_until(lambda: self.process.poll() is not None or tracer_of(self.pid) == self.process.pid, "strace to attach")
        except AssertionError:
            self.__exit__()
            raise
        if self.process.poll() is not None:
            self.out.seek(0)
            said = self.out.read().decode(errors="replace")
            self.out.close()
            raise AssertionError(f"strace ended: {said[-500:]}")
        return self

    def __exit__(self, *_):
        self.process.send_signal(signal.SIGINT)
        try:
            self.process.wait(PATIENCE)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
        wait_until(lambda: tracer_of(self.pid) == 0, "strace to let go")
        self.out.seek(0)
        self.text = self.out.read().decode(errors="replace")
        self.out.close()

    def count(self, call):
        """How many of them have failed on purpose so far."""
        with open(self.out.name, encoding="utf-8", errors="replace") as text:
            return len(re.findall(rf"\b{call}\(.*\(INJECTED\)", text.read()))


def tracing_works():
    """Whether this user may trace its processes here."""
    child = subprocess.Popen(["sleep", "60"])
    try:
        with Injection(child.pid, "getpid:error=EPERM"):
            return True
    except AssertionError:
        return False
    finally:
        child.kill()
        child.wait()


class FaultTest(DaemonTest):
    """A daemon with a service `s` and a canary, and the invariants."""

    def start(self, service, options=(), others=None, **more):
        config = {"services": {"s": {"listen": "tcp:127.0.0.1:0", **service},
                               "canary": {"listen": "tcp:127.0.0.1:0", "exec": ["mp-echo"]}, **(others or {})}}
        return self.daemon(config, options=options, **more)

    def strain(self, daemon, service="canary", **more):
        return Strain(self, daemon, service, **{"quick": canary_quick(), **more})

    def check_sums(self, service):
        """INV-8: who came has been served or turned away, and who was served is still there or has ended."""
        self.assertEqual(service["spawned"], service["active"] + sum(service["exited"].values()), service)
        self.assertEqual(service["accepted"], service["spawned"] + service["spawn_failed"]
                         + sum(service["refused"].values()) + service["gone"], service)

    def rests(self, daemon, name="s"):
        """Nobody is there any more, and the counters add up."""
        service = daemon.wait_service(name, active=0, queued=0)
        wait_until(lambda: not children_of(daemon.pid), "no child")
        self.check_sums(daemon.service(name))
        return service

    def is_back(self, daemon, since, name="s", within=1.0):
        """It serves, and does so within a second of `since`; the machine's own slowness is added by who measures it."""
        with daemon.dial_fast(name) as s:
            s.sendall(b"back")
            got = s.recv(4)
        took = time.monotonic() - since
        self.assertEqual(got, b"back")
        self.assertLess(took, within + (6 if SANITIZED else 2), "seconds until it served again")


def dial_many(stack, port, n, host="127.0.0.1"):
    """Connections that are made at once and left alone."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft < n + 200:
        resource.setrlimit(resource.RLIMIT_NOFILE, (min(hard, n + 200), hard))
    made = []
    for _ in range(n):
        s = stack.enter_context(socket.socket())
        s.setblocking(False)
        with contextlib.suppress(BlockingIOError):
            s.connect((host, port))
        made.append(s)
    return made


def ends_by(s, seconds=None):
    """What comes until the other side closes: b"" when nothing did, None when it was reset."""
    s.settimeout(seconds or PATIENCE)
    parts = []
    try:
        while data := s.recv(65536):
            parts.append(data)
    except (ConnectionResetError, BrokenPipeError):
        return b"".join(parts) or None
    return b"".join(parts)


def set_limit(pid, which, soft, hard=None):
    resource.prlimit(pid, which, (soft, hard if hard is not None else resource.prlimit(pid, which)[1]))


def running_as_root():
    return os.geteuid() == 0


def ordinary_user(test, uid, *words, before=()):
    """How to start a daemon as somebody who is nobody else on this machine: options for Daemon. The program is taken to where
    he may find it; `words` are options of setpriv, `before` is what stands before the program."""
    folder = test.temporary_folder()
    for source, name in ((MPINETD, "mpinetd"), (os.path.join(SERVICES, "mp-echo"), "mp-echo")):
        shutil.copy(source, os.path.join(folder, name))
    place = test.temporary_folder()
    os.chown(place, uid, uid)
    return {"folder": place, "environment": {"MPINETD_LIBEXECDIR": folder},
            "wrap": ["setpriv", f"--reuid={uid}", f"--regid={uid}", "--clear-groups", *words, "--", *before, "sh", "-c",
                     f'shift; exec {folder}/mpinetd "$@"', "sh"]}
