#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""prespawn beside the plain way: the same service with and without processes set up ahead, with little to set up (nothing
but descriptors) and with much (another user with 64 groups, eight limits, nice, priority of I/O, processors, a directory of
its own). In rates, CPU time and latency, taking turns in every round; printed are the medians and the ratio to the plain
way."""
import argparse
import json
import os
import random
import statistics
import sys
import tempfile

sys.path.insert(0, os.path.dirname(os.path.realpath(__file__)))
import pool  # noqa: E402

GROUPS = ", ".join(str(g) for g in range(20000, 20064))
MUCH = f"""    user: nobody
    supplementary_groups: [{GROUPS}]
    working_directory: /usr
    resources: {{nofile: 256, processes: 4096, memory: 4G, cpu_time: 1h, core: 0, file_size: 1G, stack: 8M, nice: 5,
      io_priority: best-effort:6, cpus: 0-1023}}
"""
LITTLE = "    user: root\n"
NAMES = ("plain", "plain'", "prespawn", "plain, much", "prespawn, much")


def start(args, folder, name):
    port = pool.free_port()
    program = os.path.join(os.path.abspath(args.build), "tests", "bench", args.service)
    what = MUCH if "much" in name else LITTLE if os.geteuid() == 0 else ""
    ahead = f"    prespawn: {args.spares}\n" if name.startswith("prespawn") else ""
    config = os.path.join(folder, name.replace(" ", "") + ".yaml")
    with open(config, "w", encoding="utf-8") as file:
        file.write(f"version: 1\nservices:\n  hello:\n    listen: tcp:127.0.0.1:{port}\n    exec: [{program}]\n"
                   f"{what}{ahead}")
    daemon = args.mpinetd or os.path.join(os.path.abspath(args.build), "daemon", "mpinetd")
    return pool.Server(name.replace(" ", ""), folder, [daemon, "-c", config, "-s", config + ".sock", "--log-target",
                                                       "stderr"], port)


def show(results, args):
    middle = {key: {k: statistics.median(r[k] for r in rows) for k in ("rate", "cpu_us", "p50_us", "p99_us")}
              for key, rows in results.items()}
    print(f"{'':16}" + "".join(f"{f'conn/s {c}':>12}{'of plain':>10}{'cpu us':>8}{'p50 us':>9}{'of plain':>10}{'p99 us':>9}"
                              for c in args.concurrency))
    for name in args.names:
        base = "plain, much" if "much" in name else "plain"
        row = f"{name:16}"
        for c in args.concurrency:
            m, ref = middle[name, c], middle[base, c]
            row += (f"{m['rate']:12.0f}{m['rate'] / ref['rate']:10.2f}{m['cpu_us']:8.0f}{m['p50_us']:9.0f}"
                    f"{m['p50_us'] / ref['p50_us']:10.2f}{m['p99_us']:9.0f}")
        print(row)


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--build", default="build-release")
    parser.add_argument("--mpinetd", help="the daemon to measure (default: that of the build)")
    parser.add_argument("--service", default="svc-dyn", help="svc-raw: without libc")
    parser.add_argument("--rounds", type=int, default=9)
    parser.add_argument("--seconds", type=float, default=1.0)
    parser.add_argument("--spares", type=int, default=16)
    parser.add_argument("--concurrency", type=lambda s: [int(c) for c in s.split(",")], default=[1, 8])
    parser.add_argument("--pause", type=float, default=0.2, help="seconds before each measurement, to set up anew")
    parser.add_argument("--quick", action="store_true", help="to see that it works")
    parser.add_argument("--json", action="store_true")
    args = parser.parse_args()
    if args.quick:
        args.rounds, args.seconds = 2, 0.3
    # Another user is root's to give.
    args.names = [n for n in NAMES if os.geteuid() == 0 or "much" not in n]
    pool.build(args.build)
    results = {(name, c): [] for name in args.names for c in args.concurrency}
    dice = random.Random(1)
    with tempfile.TemporaryDirectory(prefix="mpinetd-bench-") as folder:
        os.chmod(folder, 0o755)
        servers = {}
        try:
            for name in args.names:
                servers[name] = start(args, folder, name)
            turns = [(name, c) for name in args.names for c in args.concurrency]
            for number in range(args.rounds):
                dice.shuffle(turns)
                for name, c in turns:
                    pool.time.sleep(args.pause)
                    results[name, c].append(pool.run_slice(args, servers[name], c))
                pool.say(f"round {number + 1} of {args.rounds}")
        finally:
            for server in servers.values():
                server.close()
    if args.json:
        print(json.dumps({f"{name} {c}": rows for (name, c), rows in results.items()}))
    else:
        show(results, args)
    return 0


if __name__ == "__main__":
    sys.exit(main())
