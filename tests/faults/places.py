#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Each place of the daemon from which a call is made that can fail has it fail once (tests/faults/places.c), in a daemon
that does what is asked of it meanwhile: afterwards it serves as before. Unlike the sweep, which fails each occurrence,
this comes to every error return in a minute or two, and runs where nothing may be traced and with sanitizers."""
import argparse
import contextlib
import mmap
import os
import socket
import struct
import subprocess
import sys
import tempfile
import time


def arguments():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--build", default="build")
    parser.add_argument("--most", type=int, help="so many places of each phase, and no more")
    parser.add_argument("phase", nargs="*")
    return parser.parse_args()


if __name__ == "__main__":
    OPTIONS = arguments()
    os.environ["BUILD_DIR"] = OPTIONS.build
sys.path.insert(0, os.path.join(os.path.dirname(os.path.realpath(__file__)), "..", "integration"))
from harness import BUILD, PATIENCE, Daemon, VarlinkError, exchange, free_port, wait_until  # noqa: E402

PROGRAM = os.path.join(BUILD, "tests", "faults", "mpinetd-places")
# How long a client waits for what may never come, since a fault may take it.
SHORT = 0.4
TALKER = "while read x; do echo STATUS=$x >&$MP_STATUS_FD; echo said $x >&2; echo done; done"
SOON = {"delay": "10ms", "max_delay": "20ms", "limit": "1000/1s"}
CAT = ["/bin/cat"]


class Board:
    """The file that places.c maps."""
    FORMAT = struct.Struct("IIII4Q32s")
    SIZE = FORMAT.size + 8 * 8192

    def __init__(self):
        self.file = tempfile.NamedTemporaryFile(prefix="mpt-places-")
        self.file.truncate(self.SIZE)
        os.chmod(self.file.name, 0o666)
        self.page = mmap.mmap(self.file.fileno(), self.SIZE)

    @property
    def environment(self):
        return {"MP_PLACES": self.file.name}

    def arm(self, armed=True):
        self.page[:8] = struct.pack("II", armed, 0)

    def has_fired(self):
        return self.FORMAT.unpack(self.page[:self.FORMAT.size])[1] != 0

    def fired(self):
        """What has failed since, as "calloc < plan_make < ..."; None when nothing has. Nothing fails any more."""
        _, failed, _, n, *frames, name = self.FORMAT.unpack(self.page[:self.FORMAT.size])
        self.arm(False)
        return (name.split(b"\0")[0].decode(), frames[:n]) if failed else None


def place_text(place):
    """By way of which functions it came there."""
    name, frames = place
    run = subprocess.run(["addr2line", "-f", "-s", "-e", PROGRAM, *(hex(at - 1) for at in frames)], stdout=subprocess.PIPE, text=True, check=False)
    lines = run.stdout.splitlines()
    return " < ".join([name, *(f"{function} ({where})" for function, where in zip(lines[::2], lines[1::2]))])


def config(n, ports):
    """One of two that differ in what a reload can do."""
    echo = {"listen": "tcp:127.0.0.1:0", "exec": ["mp-echo"]}
    unix = {name: {"listen": "unix:{dir}/" + name, "exec": ["mp-echo"]} for name in ("spare", "slot", "pool", "passed", "talker", "own", "box", "forward")}
    services = {
        "s": {**echo, "listen": [{"endpoint": "tcp:127.0.0.1:0", "backlog": 100 + n},
                                 {"endpoint": "unix:{dir}/s", "mode": ("0600", "0660")[n]}], "access": {"allow": ["any"]}},
        "spare": {**unix["spare"], "prespawn": 1},
        "slot": {**unix["slot"], "listen": ["unix:{dir}/slot", "unix:{dir}/slot-%d" % n], "model": "on-demand", "environment": {"N": str(n)}, "restart": SOON},
        "pool": {**unix["pool"], "model": "pool", "pool": {"min": 1, "max": 1, "spare_min": 0, "spare_max": 1}, "environment": {"N": str(n)}, "restart": SOON},
        "passed": {**unix["passed"], "model": "pool", "pool": {"min": 1, "max": 1, "spare_min": 0, "spare_max": 1, "handoff": "connection"}, "restart": SOON},
        "talker": {**unix["talker"], "exec": ["/bin/sh", "-c", TALKER], "report": True},
        "own": {**unix["own"], "exec": CAT, "resources": {"oom_score_adjust": 500}},
        "box": {**unix["box"], "exec": CAT, "sandbox": {"preset": "strict"}},
        "forward": {"listen": "unix:{dir}/forward", "model": "forward", "to": "unix:{dir}/s"},
        "moves": {**echo, "listen": (f"tcp:127.0.0.1:{ports[0]}", f"tcp:0.0.0.0:{ports[0]}")[n]},
        "on": {**echo, "listen": "unix:{dir}/on", "enabled": n == 1},
        # Of TCP it listens for a moment longer than it is there, and may be back by then.
        ("comes", "goes")[n]: {**echo, "listen": ["unix:{dir}/%d.sock" % n, f"tcp:127.0.0.1:{ports[1 + n]}"]}}
    return {"services": services}


# By way of what they are connected to, and what they are to answer.
SERVED = ("s", "spare", "slot", "pool", "passed", "talker", "own", "box", "forward")
CONTROLS = (("CheckConfig", {}), ("Status", {}), ("Describe", {"service": "s"}), ("Instances", {}), ("Events", {"last": 3}), ("Pause", {"services": ["on"]}), ("Resume", {"services": ["on"]}))


class Broken(AssertionError):
    """What does not hold after a fault."""


class Sweep:
    def __init__(self, most=None):
        self.board, self.most, self.ports = Board(), most, [free_port() for _ in range(3)]
        self.n, self.d, self.broken = 0, None, []
        self.more = {}  # services

    # ---- the daemon
    def begin(self, wait=True):
        self.n = 0
        wanted = config(0, self.ports)
        wanted["services"].update(self.more)
        self.d = Daemon(wanted, wait=None, environment=self.board.environment, program=PROGRAM)
        self.d.start(wait=wait)

    def end(self):
        d, self.d = self.d, None
        if d is None:
            return
        try:
            d.stop(check=False)
            if d.log_problems():
                raise Broken("; ".join(d.log_problems()) + "\n" + d.log_text()[-4000:])
        finally:
            d.remove()

    def ended(self):
        """Whether it has ended, and said why."""
        d = self.d
        if d.process.poll() is None:
            return False
        if d.process.returncode != 1 or not d.log_text().strip():
            raise Broken(f"it ended with {d.process.returncode}")
        return True

    # ---- what it is asked for, while something may fail
    def call(self, method, parameters=None, timeout=SHORT * 2):
        try:
            with self.d.connect(timeout) as control:
                return control.call(method, **(parameters or {}))
        except VarlinkError as error:
            return error
        except OSError:
            return None

    def ask(self, name, timeout=SHORT):
        with contextlib.suppress(OSError), socket.socket(socket.AF_UNIX) as c:
            c.settimeout(timeout)
            c.connect(self.d.path(name))
            return exchange(c, b"x\n")
        return None

    def reload(self):
        self.d.write_config(config(1 - self.n, self.ports))
        reply = self.call("Reload", timeout=PATIENCE)
        if not isinstance(reply, VarlinkError):
            self.n = 1 - self.n

    def processes(self, name):
        with contextlib.suppress(VarlinkError, OSError, AssertionError):
            return {i["pid"] for i in self.d.instances(name)}
        return set()

    def connect_while(self, do):
        """Somebody is there."""
        with contextlib.suppress(OSError), socket.socket(socket.AF_UNIX) as c:
            c.settimeout(SHORT)
            c.connect(self.d.path("s"))
            do()

    # ---- what holds
    def look(self, names):
        d = self.d
        if d.process.poll() is not None:
            raise Broken(f"it ended with {d.process.returncode}")
        if d.call("Ping")["pid"] != d.pid:
            raise Broken("another process answers")
        for name in names:
            wanted = b"done\n" if name == "talker" else b"x\n"
            wait_until(lambda name=name, wanted=wanted: self.ask(name, PATIENCE) == wanted, f"{name} to answer", deadline=PATIENCE, interval=0.05)

    def right_config(self):
        self.d.write_config(config(self.n, self.ports))
        self.d.call("Reload")

    # ---- phases
    def places(self, what, do, check, settle=0.0):
        """Until nothing fails that has not failed before. Returns how many there were."""
        n = misses = 0
        while misses < 2 and (self.most is None or n < self.most):
            self.board.arm()
            do()
            if settle:
                time.sleep(settle)
            place = self.board.fired()
            misses = 0 if place else misses + 1
            n += place is not None
            if place:
                self.judge(what, place, check)
        return n

    def judge(self, what, place, check):
        try:
            check()
        except (AssertionError, OSError, VarlinkError) as error:
            log = self.d.log_text()[-3000:] if self.d else ""
            self.broken.append(f"{what}: {place_text(place)}: {error}\n{log}")
            print("BROKEN", self.broken[-1], flush=True)
            with contextlib.suppress(AssertionError):
                self.end()
            self.begin()

    def start(self):
        def check():
            try:
                if self.ended():
                    return
                self.d.wait_ready()
                self.look(("s", "slot"))
            finally:
                self.end()

        def do():
            self.begin(wait=False)
            wait_until(lambda: self.d.process.poll() is not None or self.call("Ping"), "its control socket, or its end", deadline=PATIENCE)

        def once():
            self.end()
            do()
        n = self.places("start", once, check)
        self.end()
        return n

    def connect(self):
        self.begin()
        return sum(self.places(f"connect to {name}", lambda name=name: self.ask(name), lambda name=name: self.look((name,)), 0.01) for name in SERVED)

    def control(self):
        self.begin()
        return sum(self.places(method, lambda method=method, parameters=parameters: self.call(method, parameters),
                               lambda: self.look(("s",))) for method, parameters in CONTROLS)

    def config(self):
        self.begin()

        def check():
            self.right_config()
            self.look(("s", "slot", "pool"))

        def do():
            before = self.processes("slot")
            self.connect_while(self.reload)
            # It has a listener that it had not before, and another process, which has to be waited for.
            wait_until(lambda: self.board.has_fired() or (self.ask("slot") and before.isdisjoint(self.processes("slot"))),
                       "the next process of slot, or a fault", deadline=PATIENCE)
        return self.places("reload", do, check)

    def lacks(self):
        """A service whose program is missing is looked at again, and taken once that is there."""
        with tempfile.TemporaryDirectory(prefix="mpt-lacks-") as folder:
            os.chmod(folder, 0o755)
            tool = folder + "/tool"
            self.more = {"lacks": {"listen": "unix:{dir}/lacks", "exec": [tool]}}
            start = ("Start", {"services": ["lacks"]})

            def is_missing():
                self.look(("s",))
                reply = self.call(*start, timeout=PATIENCE)
                if "there is no" not in str(getattr(reply, "parameters", "")):
                    raise Broken(f"it is told: {reply} {getattr(reply, 'parameters', '')}")

            def comes():
                os.symlink("/bin/cat", tool)
                self.call(*start)

            def is_there():
                # By itself, if it was not found then.
                self.look(("s", "lacks"))
                self.end()
                os.unlink(tool)
                self.begin()

            def comes_anew():
                if os.path.lexists(tool):
                    self.end()
                    os.unlink(tool)
                    self.begin()
                self.board.arm()
                comes()
            self.begin()
            n = self.places("look again", lambda: self.call(*start), is_missing)
            return n + self.places("found", comes_anew, is_there)

    def upgrade(self):
        self.begin()

        def check():
            if self.ended():
                self.end()
                self.begin()
            # What could not be taken over is started anew in this process, which takes a moment.
            wait_until(lambda: self.d.process.poll() is not None or self.call("Ping"), "it to answer again", deadline=PATIENCE, interval=0.05)
            if self.ended():
                self.end()
                self.begin()
            self.look(("s", "slot", "pool", "passed"))

        return self.places("upgrade", lambda: self.connect_while(lambda: self.call("Upgrade", timeout=PATIENCE)), check)


PHASES = ("start", "connect", "control", "config", "lacks", "upgrade")


def run(phase, most=None):
    """(how many places have failed, [what was broken])"""
    sweep = Sweep(most)
    try:
        n = getattr(sweep, phase)()
    finally:
        try:
            sweep.end()
        except AssertionError as error:
            sweep.broken.append(f"{phase}: at its end: {error}")
    return n, sweep.broken


def main():
    bad = 0
    for phase in OPTIONS.phase or PHASES:
        begun = time.monotonic()
        n, broken = run(phase, OPTIONS.most)
        bad += len(broken)
        print(f"{phase}: {n} places, {len(broken)} broke something, {time.monotonic() - begun:.0f} s", flush=True)
        for text in broken:
            print(text)
    return 1 if bad else 0


if __name__ == "__main__":
    sys.exit(main())
