# SPDX-License-Identifier: MIT
"""System calls as the kernel's tracer writes them (tracefs): nobody is stopped, so that they are those which are made when
nobody looks. Needs root, and a kernel and container that have it. parse() and numbers() are pure."""
import contextlib
import functools
import os
import re
import subprocess

from traces import Call

ROOT = "/sys/kernel/tracing"
EVENTS = "events/raw_syscalls"
BUFFER_KIB = 8192
# "   mpinetd-123     [001] ..... 51980.445790: sys_enter: NR 288 (4, 0, 0, 80000, 0, 0)", "...: sys_exit: NR 288 = 9"
LINE = re.compile(
    r"-(?P<pid>\d+) +\[\d+\] \S+ +[\d.]+: sys_(?P<what>enter|exit): NR (?P<number>-?\d+) (?:\(.*\)|= (?P<result>-?\d+))$")
DEFINE = re.compile(r"^#define __NR_([a-z0-9_]+) (\d+)$", re.MULTILINE)


def numbers(text):
    """{number: name} of what the preprocessor writes of asm/unistd.h."""
    return {int(number): name for name, number in DEFINE.findall(text)}


@functools.cache
def names():
    with contextlib.suppress(FileNotFoundError):
        done = subprocess.run(["cc", "-E", "-dM", "-include", "asm/unistd.h", "-x", "c", "/dev/null"],
                              stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, check=False, text=True)
        return numbers(done.stdout)
    return {}


def parse(lines, known):
    """[Call, ...] in the order in which they were begun; @known: {number: name}."""
    calls, running = [], {}
    for line in lines:
        found = LINE.search(line.rstrip("\n"))
        if not found:
            continue
        pid, number = int(found["pid"]), int(found["number"])
        if found["what"] == "enter":
            running[pid] = Call(pid, known.get(number, f"number {number}"))
            calls.append(running[pid])
        elif pid in running:
            running.pop(pid).result = int(found["result"])
    return calls


class Trace:
    """While it lasts, the kernel writes down the calls of a process, and of all that it starts; afterwards they are in
    `calls`. Others may trace at the same time."""

    def __init__(self, pid, folder):
        self.pid, self.calls = pid, []
        self.folder = os.path.join(ROOT, "instances", "bench-" + re.sub("[^a-z0-9]+", "-", folder.lower()).strip("-"))

    def set(self, name, value):
        with open(os.path.join(self.folder, name), "w", encoding="ascii") as file:
            file.write(str(value))

    def __enter__(self):
        os.mkdir(self.folder)
        try:
            self.set("buffer_size_kb", BUFFER_KIB)
            self.set("set_event_pid", self.pid)
            self.set("options/event-fork", 1)
            for event in ("sys_enter", "sys_exit"):
                self.set(f"{EVENTS}/{event}/enable", 1)
        except BaseException:
            self.__exit__()
            raise
        return self

    def __exit__(self, *_):
        try:
            self.set("tracing_on", 0)
            with open(os.path.join(self.folder, "trace"), encoding="utf-8", errors="replace") as lines:
                self.calls = parse(lines, names())
        finally:
            os.rmdir(self.folder)


@functools.cache
def works():
    """Whether calls can be traced here."""
    trace = Trace(os.getpid(), f"/try/{os.getpid()}")
    with contextlib.suppress(OSError), trace:
        os.getppid()
    return any(call.name == "getppid" for call in trace.calls)
