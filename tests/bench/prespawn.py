#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""prespawn beside the plain way: the same service with and without processes set up ahead, with little to set up (nothing
but descriptors) and with much (another user with 64 groups, eight limits, nice, priority of I/O, processors, a directory of
its own). In rates, CPU time and latency, taking turns in every round; printed are the medians and the ratio to the plain
way."""
import os
import time

import daemons
import figures
from servers import free_port
import session
import slices
import tables

# What takes time to set up, and is root's to give.
MUCH = {"user": "nobody", "supplementary_groups": list(range(20000, 20064)), "working_directory": "/usr",
        "resources": {"nofile": 256, "processes": 4096, "memory": "4G", "cpu_time": "1h", "core": 0, "file_size": "1G",
                      "stack": "8M", "nice": 5, "io_priority": "best-effort:6", "cpus": "0-1023"}}
NAMES = ("plain", "plain'", "prespawn", "plain, much", "prespawn, much")


KEYS = ("rate", "cpu_us", "p50_us", "p99_us")


def start(bench, plan, name):
    port = free_port()
    keys = dict(MUCH) if "much" in name else {}
    if name.startswith("prespawn"):
        keys["prespawn"] = plan.spares
    return daemons.start(bench, {"hello": daemons.service(port, bench.program(plan.service), **keys)}, port, name)


def show(rounds, names, concurrency):
    head = ["conn/s %d", "of plain", "CPU µs", "p50 µs", "of plain", "p99 µs"]
    lines = [[""] + [h % c if "%" in h else h for c in concurrency for h in head]]
    for name in names:
        base = "plain, much" if "much" in name else "plain"
        line = [name]
        for c in concurrency:
            mine, ref = rounds[None, name, c], rounds[None, base, c]
            m = {key: figures.typical(mine, key) for key in KEYS}
            line += [tables.number(m["rate"]), tables.number(figures.median(figures.ratios(mine, ref, "rate")), 2),
                     tables.number(m["cpu_us"]), tables.number(m["p50_us"]),
                     tables.number(figures.median(figures.ratios(mine, ref, "p50_us")), 2), tables.number(m["p99_us"])]
        lines.append(line)
    return tables.plain(lines)


def main():
    parser = session.parser(__doc__)
    parser.add_argument("--service", default="svc-dyn", help="svc-raw: without libc")
    parser.add_argument("--spares", type=int, default=16)
    parser.add_argument("--concurrency", type=session.numbers, default=[1, 8])
    parser.add_argument("--pause", type=float, default=0.2, help="seconds before each measurement, to set up anew")
    plan = session.complete(parser.parse_args())
    # Another user is root's to give.
    names = [n for n in NAMES if os.geteuid() == 0 or "much" not in n]

    def load(*arguments):
        time.sleep(plan.pause)
        return slices.run_load(*arguments)

    with session.bench(plan) as bench, session.stopping() as started:
        started += [start(bench, plan, name) for name in names]
        rounds = slices.Rounds(bench, started, plan, plan.concurrency, load).run("prespawn")
    print("\n".join(show(rounds, names, plan.concurrency)))
    if plan.json:
        session.write_json(plan.json, {f"{name} {c}": of for (_, name, c), of in rounds.items()})


if __name__ == "__main__":
    main()
