# SPDX-License-Identifier: MIT
"""System calls as strace -f writes them. It stops a process at each call: everything is slow, and what depends on who is
first is not as it is else. What it counts of children before exec is exact. parse() is pure."""
import contextlib
import os
import re
import shutil
import signal
import subprocess
import time

from traces import Call

# "123   close(5) = 0", "123  <... wait4 resumed>) = 0", "123   +++ exited with 0 +++", "123   --- SIGCHLD {...} ---"
LINE = re.compile(r"^(?P<pid>\d+) +(?P<rest>.*)$")
CALL = re.compile(r"^(?P<name>[a-z0-9_]+)\((?P<arguments>.*)$")
RESUMED = re.compile(r"^<\.\.\. (?P<name>[a-z0-9_]+) resumed>(?P<arguments>.*)$")
RESULT = re.compile(r"\) += (?P<result>0x[0-9a-f]+|-?\d+|\?)(?: .*)?$")


def result_of(text):
    """The number that a call has returned, None where the text has none."""
    found = RESULT.search(text)
    if not found or found["result"] == "?":
        return None
    return int(found["result"], 0)


def parse(lines):
    """[Call, ...] of the lines of strace -f -o FILE."""
    calls, unfinished = [], {}
    for line in lines:
        found = LINE.match(line.rstrip("\n"))
        if not found:
            continue
        pid, rest = int(found["pid"]), found["rest"]
        resumed = RESUMED.match(rest)
        if resumed:
            # What had begun before strace came has no beginning here: it is no call of the time that is looked at.
            call = unfinished.pop(pid, None)
            if call:
                call.result = result_of(resumed["arguments"])
            continue
        begun = CALL.match(rest)
        if not begun:
            continue
        call = Call(pid, begun["name"])
        calls.append(call)
        if rest.endswith("<unfinished ...>"):
            unfinished[pid] = call
        else:
            call.result = result_of(begun["arguments"])
    return calls


def tracer_of(pid):
    with contextlib.suppress(FileNotFoundError), open(f"/proc/{pid}/status", encoding="utf-8") as status:
        for line in status:
            if line.startswith("TracerPid:"):
                return int(line.split()[1])
    return 0


class Trace:
    """While it lasts, strace writes the calls of a process, and of all that it starts, to a file; afterwards they are in
    `calls`."""

    def __init__(self, pid, folder):
        self.pid, self.path, self.calls, self.process = pid, os.path.join(folder, "strace"), [], None

    def __enter__(self):
        program = shutil.which("strace")
        if not program:
            raise RuntimeError("strace is not installed")
        # Signals are left out, and of strings and structures nothing is needed.
        self.process = subprocess.Popen(
            [program, "-f", "-qq", "-s", "0", "-e", "signal=none", "-e", "abbrev=all", "-o", self.path, "-p", str(self.pid)],
            stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True)
        end = time.monotonic() + 20
        while tracer_of(self.pid) != self.process.pid:
            if self.process.poll() is not None:
                said = self.process.stderr.read().strip()
                self.process.stderr.close()
                raise RuntimeError(f"strace may not trace here: {said}")
            if time.monotonic() > end:
                self.__exit__()
                raise RuntimeError("strace did not attach")
            time.sleep(0.01)
        return self

    def __exit__(self, *_):
        self.process.send_signal(signal.SIGINT)
        self.process.communicate()
        if os.path.exists(self.path):
            with open(self.path, encoding="utf-8", errors="replace") as lines:
                self.calls = parse(lines)
