#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""One fault at a time: each system call that the daemon makes in a phase, and that a process of ours makes which it starts,
fails once with each errno that it has, and each allocation fails once; after each the daemon is whole again (phases.py).

    sweep.py [--build build] [--phase NAME]... [--sample N] [--seed TEXT] [--calls | --allocations] [--jobs N] [--list]
    sweep.py --table [--build build]

Without --sample all of them, an hour or so. What came of each is a line of BUILD/sweep.jsonl: a sweep that was broken off goes
on there, --again has once more what broke something, --anew begins again. With --sample so many of each phase, which ones the seed says. A table of what came of them ends
it; the exit status is 0 when the invariants held after each."""
import argparse
import collections
import ctypes
import json
import os
import random
import signal
import subprocess
import sys
import time
import zlib

HERE = os.path.dirname(os.path.realpath(__file__))
sys.path[:0] = [HERE, os.path.join(HERE, "..", "integration")]
PR_SET_CHILD_SUBREAPER = 36
ENDING = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
TRIES = 3  # of a fault that was not reached: which calls there are differs a little from run to run


def parse_arguments():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--build", default="build")
    parser.add_argument("--phase", action="append", help="only this one, or these")
    parser.add_argument("--sample", type=int, help="so many of each phase")
    parser.add_argument("--seed", default="", help="which ones; otherwise others on each day")
    parser.add_argument("--calls", action="store_true", help="only system calls")
    parser.add_argument("--allocations", action="store_true", help="only allocations")
    parser.add_argument("--image", action="append", help="only in this one, or these: 0 the daemon, 0+ behind execve(2), 1 what it starts...")
    parser.add_argument("--jobs", type=int, default=1, help="so many daemons at once")
    parser.add_argument("--part", default="0/1", help=argparse.SUPPRESS)
    parser.add_argument("--list", action="store_true", help="what would be run")
    parser.add_argument("--again", action="store_true", help="only what broke something, once more")
    parser.add_argument("--anew", action="store_true", help="forget what has been run")
    parser.add_argument("--table", action="store_true", help="only the table of what has been run")
    parser.add_argument("--out", help="where the results go; otherwise BUILD/sweep.jsonl")
    return parser.parse_args()


OPTIONS = parse_arguments() if __name__ == "__main__" else None
if OPTIONS:
    os.environ["BUILD_DIR"] = os.path.realpath(OPTIONS.build)
from harness import BUILD  # noqa: E402
from inject import DAEMON, MEANS, Fault  # noqa: E402
from phases import PHASES  # noqa: E402


class Count:
    """What came of a phase's faults."""

    def __init__(self, kind="", phase=""):
        self.kind, self.phase = kind, phase
        self.calls, self.places, self.errors = set(), set(), set()
        self.run = self.reached = 0
        self.came = collections.Counter()
        self.broken, self.unknown = [], set()

    def add(self, entry):
        self.calls.add(entry["call"])
        self.places.add((entry["image"], entry["call"], entry["number"]))
        self.errors.add(entry["error"])
        self.run += 1
        self.reached += entry["reached"]
        self.came.update(what for what in ("refused", "anew", "ended") if entry[what] and entry["reached"])
        if entry["broken"]:
            self.broken.append(f"{Fault(*(entry[k] for k in Fault._fields))}: {entry['broken']}")

    def row(self):
        n = {**{"refused": 0, "anew": 0, "ended": 0}, **self.came}
        return (self.phase, self.kind, len(self.calls), len(self.places), len(self.errors), self.run, self.reached, n["refused"], n["anew"], n["ended"], len(self.broken))


HEADINGS = ("phase", "what fails", "calls", "places", "errors", "run", "reached", "refused", "anew", "ended", "broke")


def table(counts):
    """As it stands in docs/testing.md."""
    rows = [count.row() for count in counts]
    total = ("all", "", "", *(sum(row[i] for row in rows) if i not in (4,) else "" for i in range(3, len(HEADINGS))))
    lines = ["| " + " | ".join(HEADINGS) + " |", "| --- | --- |" + " ---: |" * (len(HEADINGS) - 2)]
    return "\n".join(lines + ["| " + " | ".join(f"{x:,}" if isinstance(x, int) else x for x in row) + " |" for row in [*rows, total]])


def entry_of(kind, phase, fault, result):
    return {"kind": kind, "phase": phase, **fault._asdict(), **{key: value for key, value in vars(result).items() if key != "log" or value}}


def key_of(entry):
    return (entry["kind"], entry["phase"], *(entry[k] for k in Fault._fields))


def read_results(path):
    """{key: entry}; the later counts."""
    found = {}
    try:
        with open(path, encoding="utf-8") as file:
            for line in file:
                entry = json.loads(line)
                found[key_of(entry)] = entry
    except FileNotFoundError:
        pass
    return found


def one_of_each(faults):
    """The first of each call of the daemon's own, with the first of its errors."""
    found = {}
    for fault in faults:
        if fault.image == DAEMON:
            found.setdefault(fault.call, fault)
    return list(found.values())


def chosen(faults, sample, seed):
    faults = list(dict.fromkeys(faults))
    if sample is None or len(faults) <= sample:
        return faults
    return sorted(random.Random(seed).sample(faults, sample), key=faults.index)


def run_case(work, fault, tries):
    for n in range(tries):
        result = work.case(fault)
        if result.reached or result.broken or n == tries - 1:
            return result
    return None


def sweep_phase(kind, phase, choose, record=None, tries=1):
    """choose(faults) says which of them are run; record(entry) gets what came of each."""
    count = Count(kind, phase)
    means = MEANS[kind]()
    work = PHASES[phase](phase, means)
    try:
        faults = list(dict.fromkeys(work.faults()))
        todo = choose(faults)
        count.unknown = set(means.unknown)
        print(f"{phase}, {kind}: {len(todo)} of {len(faults)} faults" + (f"; nothing is known of {', '.join(sorted(count.unknown))}" if count.unknown else ""), flush=True)
        for fault in todo:
            entry = entry_of(kind, phase, fault, run_case(work, fault, tries))
            count.add(entry)
            if record:
                record(entry)
            if entry["broken"]:
                print(f"      BROKEN {phase}: {count.broken[-1][:400]}", flush=True)
    finally:
        work.done()
    return count


class Sweep:
    def __init__(self, options):
        self.options = options
        self.path = options.out or os.path.join(BUILD, "sweep.jsonl")
        self.part, self.parts = (int(n) for n in options.part.split("/"))
        self.seed = options.seed or time.strftime("%Y-%m-%d")

    def wanted(self):
        """(kind, phase)"""
        o = self.options
        return [(kind, phase) for kind in MEANS for phase in PHASES
                if not (o.calls and kind != "calls") and not (o.allocations and kind != "allocations") and (not o.phase or phase in o.phase)]

    def record(self, entry):
        with open(self.path, "a", encoding="utf-8") as file:
            file.write(json.dumps(entry) + "\n")

    def choose(self, kind, phase, faults):
        done = {} if self.options.sample else read_results(self.path)
        if self.options.again:
            faults = [f for f in faults if done.get((kind, phase, *f), {"broken": None})["broken"]]
            done = {}
        faults = [f for f in faults if not self.options.image or f.image in self.options.image]
        mine = [f for f in faults if zlib.crc32(repr(f).encode()) % self.parts == self.part]
        return [f for f in chosen(mine, self.options.sample, f"{self.seed} {kind} {phase}") if (kind, phase, *f) not in done]

    def run(self):
        """[Count]"""
        counts = []
        for kind, phase in self.wanted():
            start = time.monotonic()
            if self.options.list:
                sweep_phase(kind, phase, lambda faults, k=kind, p=phase: print(*self.choose(k, p, faults), sep="\n") or [])
                continue
            count = sweep_phase(kind, phase, lambda faults, k=kind, p=phase: self.choose(k, p, faults), None if self.options.sample else self.record, TRIES)
            print(f"      {count.run} run, {count.reached} reached, {len(count.broken)} broke something, {time.monotonic() - start:.0f} s", flush=True)
            counts.append(count)
        return counts

    def run_parts(self):
        """In as many processes as there are jobs, each with daemons of its own."""
        words = [w for w in sys.argv[1:] if w != "--anew"]
        parts = [subprocess.Popen([sys.executable, os.path.realpath(__file__), *words, "--jobs", "1", "--part", f"{n}/{self.options.jobs}"])
                 for n in range(self.options.jobs)]
        try:
            return max(p.wait() for p in parts)
        finally:
            for p in parts:
                p.terminate()
            for p in parts:
                p.wait()

    def counts(self):
        """Of all that has been run so far."""
        found = {}
        for entry in read_results(self.path).values():
            found.setdefault((entry["kind"], entry["phase"]), Count(entry["kind"], entry["phase"])).add(entry)
        return [found[key] for key in ((kind, phase) for kind in MEANS for phase in PHASES) if key in found]


def end_orderly():
    """When it is told to end, it ends its daemons first, and takes their folders away."""
    def end(number, _):
        for n in ENDING:
            signal.signal(n, signal.SIG_IGN)
        sys.exit(128 + number)
    for n in ENDING:
        signal.signal(n, end)


def main():
    end_orderly()
    # What a daemon that has ended leaves behind comes here.
    ctypes.CDLL(None).prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)
    sweep = Sweep(OPTIONS)
    if OPTIONS.anew and os.path.exists(sweep.path):
        os.unlink(sweep.path)
    status, counts = 0, []
    if not OPTIONS.table:
        print(f"seed {sweep.seed}")
        if OPTIONS.jobs > 1:
            status = sweep.run_parts()
        else:
            counts = sweep.run()
    if OPTIONS.part != "0/1" or OPTIONS.list:
        return status
    counts = counts if OPTIONS.sample else sweep.counts()
    print("\n" + table(counts))
    broken = [f"{count.phase}: {what}" for count in counts for what in count.broken]
    print("\n".join(["", *broken]) if broken else "")
    print(f"{sum(count.run for count in counts)} faults, {len(broken)} of them broke something")
    return 1 if broken or status else 0


if __name__ == "__main__":
    sys.exit(main())
