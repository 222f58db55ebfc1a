#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""One fault at a time: each system call that the daemon makes in a phase fails once with each errno that it has, and each
allocation fails once; after each the daemon is whole again (scenario.py).

    sweep.py [--build build] [--phase NAME]... [--sample N] [--seed TEXT] [--calls | --allocations] [--list]

Without --sample all of them: an hour or two. With it, so many of each phase, which ones the seed says. What came of it is
printed, and written to BUILD/sweep.json; the exit status is 0 when the invariants held after each."""
import argparse
import contextlib
import ctypes
import json
import mmap
import os
import random
import re
import signal
import struct
import subprocess
import sys
import tempfile
import time

HERE = os.path.dirname(os.path.realpath(__file__))
sys.path[:0] = [HERE, os.path.join(HERE, "..", "integration")]


def parse_arguments():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--build", default="build")
    parser.add_argument("--phase", action="append", help="only this one, or these")
    parser.add_argument("--sample", type=int, help="so many of each phase")
    parser.add_argument("--seed", default="", help="which ones; otherwise others on each day")
    parser.add_argument("--calls", action="store_true", help="only system calls")
    parser.add_argument("--allocations", action="store_true", help="only allocations")
    parser.add_argument("--list", action="store_true", help="what would be run")
    parser.add_argument("--out", help="where the report goes; otherwise BUILD/sweep.json")
    parser.add_argument("--seconds", type=float, help="end each phase after so long")
    return parser.parse_args()


OPTIONS = parse_arguments() if __name__ == "__main__" else None
if OPTIONS:
    os.environ["BUILD_DIR"] = os.path.realpath(OPTIONS.build)
import errors  # noqa: E402
from faults import Injection  # noqa: E402
from harness import BUILD, PATIENCE, SANITIZER_WORDS, program, wait_until  # noqa: E402
from scenario import Broken, Scenario, settle  # noqa: E402

PHASES = ("connect", "report", "control", "reload", "upgrade")
SHIM = os.path.join(BUILD, "tests", "faults", "fail-malloc.so")


class Count:
    """What came of a phase's cases."""

    def __init__(self):
        self.run = self.reached = self.ended = 0
        self.broken, self.unknown, self.kinds = [], set(), {}

    def add(self, call, reached, ended):
        self.run += 1
        self.reached += reached
        self.ended += ended
        self.kinds[call] = self.kinds.get(call, 0) + reached


def trace(scenario, phase):
    """What the daemon calls in that phase: of two runs the one that has more."""
    seen = ""
    for _ in range(2):
        with Injection(scenario.d.pid, trace="all", targets=True) as injection:
            getattr(scenario, phase)()
        scenario.whole()
        seen = max(seen, injection.text, key=len)
    # Behind it there is nobody to go back to: the loader's calls come first, and then the new program's, which says why it ends.
    return errors.calls_of(seen.partition("execve(")[0] + ("execve(\n" if "execve(" in seen else ""))


def ended_well(scenario):
    """Whether it has said why it ended, and with the status of a failure."""
    status = scenario.d.process.poll()
    said = scenario.d.log_text()
    # With a call less before execve(2) than in the run that was traced, it is the loader that it hits.
    if status == 127 and "error while loading shared libraries" in said:
        return True
    return status == 1 and bool(said.strip()) and not any(word in said for word in SANITIZER_WORDS)


class Calls:
    """The phases of a running daemon."""

    def __init__(self, phase, count):
        self.phase, self.count = phase, count
        self.scenario = Scenario()

    def fresh(self):
        self.scenario.stop()
        self.scenario = Scenario()
        self.scenario.start()
        self.scenario.get_ready()

    def cases(self):
        self.fresh()
        cases, self.count.unknown = errors.faults_of(trace(self.scenario, self.phase))
        return cases

    def case(self, case):
        call, number, error = case
        scenario = self.scenario
        lines = len(scenario.d.log_text())
        with Injection(scenario.d.pid, f"{call}:error={error}:when={number}", trace=call) as injection:
            getattr(scenario, self.phase)()
        reached = "INJECTED" in injection.text
        if self.phase == "upgrade" and scenario.d.process.poll() is not None and ended_well(scenario):
            self.count.add(call, reached, True)
            self.fresh()
            return
        self.count.add(call, reached, False)
        try:
            scenario.whole()
        except Broken as broken:
            self.count.broken.append({"case": f"{error} of {call} {number}", "what": str(broken)[:600],
                                      "log": scenario.d.log_text()[lines:][-6000:]})
            print(f"      BROKEN {self.phase}: {error} of {call} {number}: {str(broken)[:300]}", flush=True)
            self.fresh()

    def done(self):
        self.scenario.stop()


class Start:
    """From the first call of its own until it serves: it goes on, or says why it ends."""

    def __init__(self, _, count):
        self.count = count

    def wrap(self, out, *words):
        return [program("strace"), "-D", "-o", out, "-y", "-e", "signal=none", *words]

    def cases(self):
        with tempfile.NamedTemporaryFile(prefix="mpt-strace-") as out:
            scenario = Scenario()
            scenario.start(wrap=self.wrap(out.name))
            try:
                self.ready(scenario)
                with open(out.name, encoding="utf-8", errors="replace") as file:
                    text = file.read()
            finally:
                self.end(scenario)
        # What the loader does is not the daemon's: it begins when the libraries are there.
        own = text.rindex("/etc/ld.so.cache")
        own = text.index("munmap(", own)
        loaders = len(errors.calls_of(text[:own])) + 1
        cases, self.count.unknown = errors.faults_of(errors.calls_of(text)[loaders:])
        return cases

    @staticmethod
    def ready(scenario):
        d = scenario.d

        def there():
            if d.process.poll() is not None:
                return True
            try:
                with d.connect() as control:
                    return control.call("Ping")
            except OSError:
                return None
        wait_until(there, "its control socket, or its end", deadline=PATIENCE)
        return d.process.poll() is None

    @staticmethod
    def end(scenario):
        """strace ends with what it traces; the daemon itself is its child."""
        process = scenario.d.process
        if process.poll() is None:
            process.terminate()
            with contextlib.suppress(subprocess.TimeoutExpired):
                process.wait(5)
        scenario.stop()

    def case(self, case):
        call, number, error = case
        with tempfile.NamedTemporaryFile(prefix="mpt-strace-") as out:
            scenario = Scenario()
            scenario.start(wrap=self.wrap(out.name, "-e", f"trace={call}", "-e", f"inject={call}:error={error}:when={number}"))
            d = scenario.d
            try:
                self.judge(scenario)
            except (Broken, AssertionError, OSError) as broken:
                self.count.broken.append({"case": f"{error} of {call} {number}", "what": str(broken)[:600], "log": d.log_text()[-6000:]})
                print(f"      BROKEN start: {error} of {call} {number}: {str(broken)[:300]}", flush=True)
            finally:
                ended = d.process is not None and d.process.poll() is not None
                with open(out.name, encoding="utf-8", errors="replace") as file:
                    reached = "INJECTED" in file.read()
                self.count.add(call, reached, ended)
                self.end(scenario)

    @staticmethod
    def judge(scenario):
        d = scenario.d
        if not Start.ready(scenario):
            if d.process.returncode != 1 or not d.log_text().strip():
                raise Broken(f"it ended with {d.process.returncode}, and said {d.log_text()!r}")
            if os.path.exists(d.socket):
                raise Broken("it ended, and left its control socket")
            return
        # What could not be had at once is tried again.
        wait_until(scenario.settled, "all services to be in order", interval=0.05, deadline=PATIENCE * 2)
        for name in ("s", "w"):
            if d.ask(name, b"x") != b"x":
                raise Broken(f"{name} does not answer")

    def done(self):
        pass


class Stop(Calls):
    """From SIGTERM to its end: it ends, with 0, and leaves nothing."""

    def __init__(self, phase, count):
        super().__init__(phase, count)

    def begin(self):
        self.scenario.stop()
        self.scenario = Scenario()
        self.scenario.start()
        d = self.scenario.d
        d.wait_ready()
        d.ports["s"] = d.port("s")
        with d.dial_fast("s") as c:
            c.sendall(b"x")
            c.recv(1)
        settle(d.pid)

    def order(self):
        d = self.scenario.d
        d.process.send_signal(signal.SIGTERM)
        try:
            return d.process.wait(PATIENCE + 5)
        except subprocess.TimeoutExpired:
            return None

    def cases(self):
        self.begin()
        with Injection(self.scenario.d.pid, trace="all", targets=True) as injection:
            self.order()
        cases, self.count.unknown = errors.faults_of(errors.calls_of(injection.text))
        return cases

    def case(self, case):
        call, number, error = case
        self.begin()
        d = self.scenario.d
        children = [pid for pid, _ in self.children()]
        with Injection(d.pid, f"{call}:error={error}:when={number}", trace=call) as injection:
            status = self.order()
        self.count.add(call, "INJECTED" in injection.text, True)
        what = f"its status is {status}" if status != 0 else ""
        left = [pid for pid in children if os.path.exists(f"/proc/{pid}") and self.alive(pid)]
        what = what or (f"processes are left: {left}" if left else "")
        if not what and os.path.exists(d.socket) and call not in ("unlink", "unlinkat", "newfstatat", "openat", "flock", "connect", "socket"):
            what = "its control socket is left"
        if what:
            self.count.broken.append({"case": f"{error} of {call} {number}", "what": what, "log": d.log_text()[-6000:]})
            print(f"      BROKEN stop: {error} of {call} {number}: {what}", flush=True)
        for pid in left:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)

    def children(self):
        from harness import children_of
        return children_of(self.scenario.d.pid)

    @staticmethod
    def alive(pid):
        from harness import process_alive
        return process_alive(pid)


class Order:
    """The page that fail-malloc.c looks at."""
    FORMAT = "iIII"

    def __init__(self):
        self.file = tempfile.NamedTemporaryFile(prefix="mpt-order-")
        self.file.write(bytes(4096))
        self.file.flush()
        self.page = mmap.mmap(self.file.fileno(), 4096)

    @property
    def environment(self):
        return {"LD_PRELOAD": SHIM, "MP_FAIL_MALLOC": self.file.name}

    def put(self, pid, fail_at):
        self.page[:16] = struct.pack(self.FORMAT, pid, fail_at, 0, 0)

    def get(self):
        """(allocations, failed ones) since then."""
        _, _, n, failed = struct.unpack(self.FORMAT, self.page[:16])
        return n, failed


class Allocations:
    def __init__(self, phase, count):
        self.phase, self.count, self.order = phase, count, Order()
        self.scenario = Scenario(self.order.environment)

    def fresh(self):
        self.scenario.stop()
        self.order.put(-1, 0)
        self.scenario = Scenario(self.order.environment)
        self.scenario.start()
        self.scenario.get_ready()

    def cases(self):
        self.fresh()
        most = 0
        for _ in range(2):
            self.order.put(self.scenario.d.pid, 0)
            getattr(self.scenario, self.phase)()
            most = max(most, self.order.get()[0])
            self.order.put(-1, 0)
            self.scenario.whole()
        return [("malloc", number, "ENOMEM") for number in range(1, most + 1)]

    def case(self, case):
        _, number, _ = case
        scenario = self.scenario
        lines = len(scenario.d.log_text())
        self.order.put(scenario.d.pid, number)
        getattr(scenario, self.phase)()
        reached = self.order.get()[1] > 0
        self.order.put(-1, 0)
        if self.phase == "upgrade" and scenario.d.process.poll() is not None and ended_well(scenario):
            self.count.add("malloc", reached, True)
            self.fresh()
            return
        self.count.add("malloc", reached, False)
        try:
            scenario.whole()
        except Broken as broken:
            self.count.broken.append({"case": f"allocation {number}", "what": str(broken)[:600], "log": scenario.d.log_text()[lines:][-6000:]})
            print(f"      BROKEN {self.phase}: allocation {number}: {str(broken)[:300]}", flush=True)
            self.fresh()

    def done(self):
        self.scenario.stop()


class StartAllocations(Start):
    def __init__(self, phase, count):
        super().__init__(phase, count)
        self.order = Order()

    def cases(self):
        scenario = Scenario(self.order.environment)
        self.order.put(0, 0)
        scenario.start()
        try:
            self.ready(scenario)
            n = self.order.get()[0]
        finally:
            self.end(scenario)
        return [("malloc", number, "ENOMEM") for number in range(1, n + 1)]

    def case(self, case):
        _, number, _ = case
        scenario = Scenario(self.order.environment)
        self.order.put(0, number)
        scenario.start()
        try:
            self.judge(scenario)
        except (Broken, AssertionError, OSError) as broken:
            self.count.broken.append({"case": f"allocation {number}", "what": str(broken)[:600], "log": scenario.d.log_text()[-6000:]})
            print(f"      BROKEN start: allocation {number}: {str(broken)[:300]}", flush=True)
        finally:
            self.count.add("malloc", self.order.get()[1] > 0, scenario.d.process.poll() is not None)
            self.end(scenario)


KINDS = {"calls": {"start": Start, **{phase: Calls for phase in PHASES}, "stop": Stop},
         "allocations": {"start": StartAllocations, **{phase: Allocations for phase in PHASES}}}


def chosen(cases, sample, seed):
    cases = list(dict.fromkeys(cases))
    if sample is None or len(cases) <= sample:
        return cases
    return sorted(random.Random(seed).sample(cases, sample), key=cases.index)


def sweep_phase(kind, phase, sample, seed, seconds=None, only_list=False):
    count = Count()
    work = KINDS[kind][phase](phase, count)
    start = time.monotonic()
    try:
        cases = work.cases()
        todo = chosen(cases, sample, f"{seed} {kind} {phase}")
        print(f"{phase}, {kind}: {len(todo)} of {len(set(cases))} faults" + (f"; nothing is known of {', '.join(sorted(count.unknown))}" if count.unknown else ""), flush=True)
        for case in [] if only_list else todo:
            if seconds and time.monotonic() - start > seconds:
                break
            work.case(case)
    finally:
        work.done()
    return count


def main():
    # What a daemon that has ended leaves behind comes here.
    ctypes.CDLL(None).prctl(36, 1, 0, 0, 0)
    seed = OPTIONS.seed or time.strftime("%Y-%m-%d")
    kinds = [kind for kind in KINDS if not (OPTIONS.calls and kind != "calls") and not (OPTIONS.allocations and kind != "allocations")]
    report, broken = [], 0
    print(f"seed {seed}")
    for kind in kinds:
        for phase in KINDS[kind]:
            if OPTIONS.phase and phase not in OPTIONS.phase:
                continue
            start = time.monotonic()
            count = sweep_phase(kind, phase, OPTIONS.sample, seed, OPTIONS.seconds, OPTIONS.list)
            broken += len(count.broken)
            print(f"      {count.run} run, {count.reached} reached, {count.ended} ended it as they may, {len(count.broken)} broke something, "
                  f"{time.monotonic() - start:.0f} s", flush=True)
            report.append({"kind": kind, "phase": phase, "run": count.run, "reached": count.reached, "ended": count.ended, "by_call": count.kinds,
                           "broken": count.broken, "unknown": sorted(count.unknown)})
    with open(OPTIONS.out or os.path.join(BUILD, "sweep.json"), "w", encoding="utf-8") as file:
        json.dump({"seed": seed, "phases": report}, file, indent=1)
    print(f"{sum(r['run'] for r in report)} faults, {broken} of them broke something")
    return 1 if broken else 0


if __name__ == "__main__":
    sys.exit(main())
