# SPDX-License-Identifier: MIT
"""The two means by which something fails once in a daemon, or in a process of ours that it starts: a system call, by
fail-call.c, after strace(1) has said which there are; an allocation, by fail-malloc.c.

An image is what runs in a process: "0" the daemon as it is, "0+" what it becomes by execve(2); "1" the first process that it
starts, before its program, "1+" the program of ours that it runs then; and so on."""
import collections
import contextlib
import ctypes
import errno
import functools
import mmap
import os
import re
import struct
import subprocess
import tempfile

import errors
from faults import tracer_of
from harness import BUILD, MPINETD, PATIENCE, program, wait_until

FAIL_CALL = os.path.join(BUILD, "tests", "faults", "fail-call")
FAIL_MALLOC = os.path.join(BUILD, "tests", "faults", "fail-malloc.so")
DAEMON, SUCCESSOR = "0", "0+"


class Fault(collections.namedtuple("Fault", "image call number error")):
    def __str__(self):
        where = {DAEMON: "", SUCCESSOR: " behind execve(2)"}.get(self.image)
        if where is None:
            where = f" of process {self.image.rstrip('+')}" + (", behind its execve(2)" if self.image.endswith("+") else "")
        return f"{self.error} of {self.call} {self.number}{where}"

    @property
    def errno(self):
        return getattr(errno, self.error)

    @property
    def in_child(self):
        return self.image not in (DAEMON, SUCCESSOR)


@functools.cache
def number_of(call):
    return ctypes.CDLL("libseccomp.so.2").seccomp_syscall_resolve_name(call.encode())


class Outcome:
    """Whether the fault happened; and of a process that the daemon has started, whether it went on to its program, and its
    wait status once it has ended. in_libc: whether it was one of libc's own for its tables of users, which of glibc 2.36 ends
    the process (nss_database.c looks at no result)."""

    def __init__(self):
        self.reached = self.went_on = self.in_libc = False
        self.ended = None

    def take(self, text):
        self.reached = "failed" in text
        self.went_on = "exec" in text
        match = re.search(r"ended (\d+)", text)
        self.ended = int(match[1]) if match else None


# ---------------------------------------------------------------------------------------------------- what the calls are
_EXECUTED = re.compile(r"(?m)^execve(?:at)?\(.*= 0$")
_STARTED = re.compile(r"(?m)^(?:clone|clone3|fork|vfork)\(.*= (\d+)$")


def own_calls(text):
    """Of what a program calls from its first one on, what comes behind its loader."""
    # The loader lets go of its cache when it has all libraries.
    cache = re.search(r"(?m)^mmap\(.*/etc/ld\.so\.cache>.* = (0x[0-9a-f]+)$", text)
    begin = text.find(f"munmap({cache[1]},", cache.end()) if cache else -1
    if begin < 0:
        return []
    return errors.calls_of(text)[len(errors.calls_of(text[:begin])) + 1:]


def parts_of(text):
    """(its calls up to execve(2), the ones behind it; None when there was none; whether that is a program of ours)"""
    match = _EXECUTED.search(text)
    if not match:
        return errors.calls_of(text), None, False
    return errors.calls_of(text[:match.end()]), own_calls(text[match.end():]), MPINETD in match[0]


def images_of(folder, pid):
    """{image: calls} of what strace has left of each process."""
    texts = {}
    for name in os.listdir(folder):
        with open(os.path.join(folder, name), encoding="utf-8", errors="replace") as file:
            texts[int(name.rpartition(".")[2])] = file.read()
    before, behind, _ = parts_of(texts.get(pid, ""))
    found = {DAEMON: before, SUCCESSOR: behind or []}
    for n, child in enumerate(_STARTED.findall(texts.get(pid, "")), 1):
        before, behind, ours = parts_of(texts.get(int(child), ""))
        found[str(n)] = before
        found[f"{n}+"] = behind if ours and behind else []
    return found


@contextlib.contextmanager
def listening(pid, folder):
    """While it lasts strace writes there what the process calls, and those that it starts."""
    command = [program("strace"), "-ff", "-y", "-o", os.path.join(folder, "t"), "-p", str(pid), "-e", "signal=none"]
    process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        wait_until(lambda: process.poll() is not None or tracer_of(pid) == process.pid, "strace to attach")
        yield
    finally:
        process.terminate()
        process.wait(PATIENCE)


class Calls:
    """Each system call with each errno that it has."""
    kind, environment = "calls", {}

    def __init__(self):
        self.unknown = set()

    def stop(self):
        """Nothing fails any more: it is over with each fault."""

    def faults(self, pid, run):
        """Of all that is called while run() runs."""
        with tempfile.TemporaryDirectory(prefix="mpt-calls-") as folder:
            with listening(pid, folder):
                run()
            return self.faults_of(images_of(folder, pid))

    def faults_of(self, images):
        found = []
        for image, calls in images.items():
            some, unknown = errors.faults_of(calls)
            self.unknown |= unknown
            found += [Fault(image, *fault) for fault in some]
        return found

    @staticmethod
    def command(path, pid, fault):
        return [FAIL_CALL, path, str(pid), fault.image, str(number_of(fault.call)), str(fault.number), str(fault.errno)]

    @contextlib.contextmanager
    def failing(self, pid, fault):
        outcome = Outcome()
        process = subprocess.Popen(self.command("-", pid, fault), stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, text=True)
        try:
            if process.stdout.readline() != "ready\n":
                raise AssertionError(f"fail-call ended with {process.wait()}")
            yield outcome
        finally:
            process.terminate()
            outcome.take(process.communicate(timeout=PATIENCE)[0])

    # ---- from the start of a program on
    def start_faults(self, run):
        """run(wrap) starts it, behind those words, and waits until it is up."""
        with tempfile.NamedTemporaryFile(prefix="mpt-calls-") as out:
            run([program("strace"), "-D", "-o", out.name, "-y", "-e", "signal=none"])
            with open(out.name, encoding="utf-8", errors="replace") as file:
                text = file.read().partition("\n")[2]
        return self.faults_of({SUCCESSOR: own_calls(text)})

    @contextlib.contextmanager
    def starting(self, fault):
        """(the words to start it by, the outcome)"""
        outcome = Outcome()
        with tempfile.NamedTemporaryFile(prefix="mpt-calls-", mode="r", encoding="utf-8") as out:
            try:
                yield self.command(out.name, 0, fault), outcome
            finally:
                outcome.take(out.read())


class Allocations:
    """Each allocation of memory, by a page that fail-malloc.c looks at."""
    kind, unknown = "allocations", frozenset()

    def __init__(self):
        self.file = tempfile.NamedTemporaryFile(prefix="mpt-order-")
        self.file.write(bytes(4096))
        self.file.flush()
        os.chmod(self.file.name, 0o666)  # the helper of a reload is nobody
        self.page = mmap.mmap(self.file.fileno(), 4096)
        self.environment = {"LD_PRELOAD": FAIL_MALLOC, "MP_FAIL_MALLOC": self.file.name}
        self.stop()

    def put(self, pid, fail_at, behind_exec=False):
        self.page[:24] = struct.pack("iIIIIi", pid, fail_at, 0, 0, 0, behind_exec)

    def stop(self):
        self.put(-1, 0)

    def get(self):
        """(allocations, failed ones, of these in libc itself) since then."""
        return struct.unpack("III", self.page[8:20])

    def look(self, outcome):
        _, failed, in_libc = self.get()
        outcome.reached, outcome.in_libc = failed > 0, in_libc > 0

    def choose(self, pid, image, fail_at):
        """Of who is started, the first of our programs that looks is meant."""
        self.put(0 if image.startswith("1") else pid, fail_at, image == SUCCESSOR)

    def faults(self, pid, run, images=(DAEMON,)):
        found = []
        for image in images:
            self.choose(pid, image, 0)
            run()
            found += [Fault(image, "malloc", number, "ENOMEM") for number in range(1, self.get()[0] + 1)]
            self.stop()
        return found

    @contextlib.contextmanager
    def failing(self, pid, fault):
        outcome = Outcome()
        self.choose(pid, fault.image, fault.number)
        try:
            yield outcome
        finally:
            self.look(outcome)
            self.stop()

    def start_faults(self, run):
        self.put(0, 0)
        run([])
        n = self.get()[0]
        self.stop()
        return [Fault(SUCCESSOR, "malloc", number, "ENOMEM") for number in range(1, n + 1)]

    @contextlib.contextmanager
    def starting(self, fault):
        outcome = Outcome()
        self.put(0, fault.number)
        try:
            yield [], outcome
        finally:
            self.look(outcome)
            self.stop()


MEANS = {means.kind: means for means in (Calls, Allocations)}
