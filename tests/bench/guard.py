#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Whether a connection costs more than it did: system calls, instructions in user space, memory, CPU time beside the bare
loops. The bounds are in guard.json. Nothing of it is a matter of seconds: calls, instructions and bytes are counted, CPU time
is compared with that of the bare loops in the same minutes, at a distance that a busy machine does not bridge. What this
machine cannot count is left out, and said.

--update writes what was counted to guard.json: what has become better shall stay so."""
import json
import os
import shutil
import sys

import callgrind
import figures
import ktrace
import memory
from packages import Unavailable
import peers
import rows
from servers import say
import session
import slices
import syscalls
import tables

FILE = os.path.join(os.path.dirname(os.path.realpath(__file__)), "guard.json")
# Connections that are traced.
CONNECTIONS = 60
# Compilers, libraries and kernels differ between machines: so much more than in the file is still the same.
SLACK = {"instructions": 0.1, "memory": 0.15}
# So often at most is counted what is too much.
COUNTS = 3
CONCURRENCY = 8
CASES = {name: (program, keys) for name, program, keys in syscalls.CASES}


def count_calls(bench, bounds):
    """{"CASE: WHO": calls}; where they are too many, the least of a few counts: what a busy machine adds is not there each
    time, what the daemon does is."""
    if os.geteuid() != 0:
        say("without system calls: those of an ordinary user's daemon are others, as it looks after its limit of processes")
        return {}
    try:
        tracer = syscalls.tracer()
    except Unavailable as why:
        say(f"without system calls: {why}")
        return {}
    if tracer is not ktrace:
        say("without the daemon's system calls: strace would make more of them than there are")
    found = {}
    for _ in range(COUNTS):
        counts = syscalls.measure_daemon(bench, CONNECTIONS)
        for case, both in counts.items():
            for who, summary in both.items():
                key = f"{case}: {who}"
                if who == "child" or tracer is ktrace:
                    found[key] = min(summary["median"], found.get(key, summary["median"]))
        if all(found.get(key, 0) <= bound for key, bound in bounds.items()):
            break
        print("\n".join(syscalls.which(counts)))
    return found


def count_instructions(bench, cases):
    """{case: instructions in user space}"""
    if not shutil.which("valgrind"):
        say("without instructions: valgrind is not installed")
        return {}
    return {case: round(callgrind.each_connection(bench, *CASES[case])) for case in cases
            if syscalls.may_run(CASES[case][1])}


def compare_cpu(bench, plan, bounds):
    """{bare loop: the daemon's CPU per connection of its}, the least of a few times where that is too much."""
    found = {}
    for _ in range(COUNTS):
        for name, value in compare_cpu_once(bench, plan, list(bounds)).items():
            found[name] = min(value, found.get(name, value))
        if all(found[name] <= bound for name, bound in bounds.items()):
            break
    return found


def compare_cpu_once(bench, plan, limits):
    with session.stopping() as started:
        for name in ("mpinetd", *limits):
            started.append(peers.start(bench, name, "raw"))
        rounds = slices.Rounds(bench, started, plan, (CONCURRENCY,)).run("CPU")
    found = {name: own for (_, name, _), own in rounds.items()}
    return {name: figures.median(figures.ratios(found["mpinetd"], found[name], "cpu_us", slices.DISTURBED))
            for name in limits}


def measure(bench, plan):
    bounds = read_bounds()
    return {"calls": count_calls(bench, bounds["calls"]),
            "instructions": count_instructions(bench, bounds["instructions"]),
            "memory": memory.measure_quickly(bench), "cpu": compare_cpu(bench, plan, bounds["cpu"])}


def read_bounds():
    with open(FILE, encoding="utf-8") as file:
        return json.load(file)


def update(results):
    """CPU time has bounds that are chosen, not measured."""
    bounds = read_bounds()
    for what in ("calls", "instructions", "memory"):
        bounds[what].update((key, round(value)) for key, value in results[what].items() if key in bounds[what])
    with open(FILE, "w", encoding="utf-8") as file:
        json.dump(bounds, file, indent=1)
        file.write("\n")


def verdicts(bounds, results):
    """Of all that was counted, against the bounds. Pure."""
    names = {"calls": "system calls", "instructions": "instructions", "memory": "", "cpu": "CPU per connection, of"}
    told = {row.key: row for row in rows.ROWS}
    found = []
    for what, name in names.items():
        for key, bound in bounds[what].items():
            like = told.get(key, rows.most(what, f"{name} {key}", 0, digits=2 if what == "cpu" else 1))
            row = like._replace(bound=bound * (1 + SLACK.get(what, 0)))
            if key in results[what]:
                found.append(rows.judge(row, figures.figure(results[what][key])))
    return found


def main():
    parser = session.parser(__doc__, rounds=9, seconds=0.4)
    parser.add_argument("--update", action="store_true", help="write what was counted to guard.json")
    plan = session.complete(parser.parse_args())
    with session.bench(plan) as bench:
        results = measure(bench, plan)
    if plan.update:
        update(results)
    judged = verdicts(read_bounds(), results)
    print("\n".join(tables.verdicts(judged)))
    return 0 if rows.all_hold(judged) else 1


if __name__ == "__main__":
    sys.exit(main())
