#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""What it costs to decide whether a connection is served, with 100,000 known sources, 10,000 access rules and 1,000 bans,
in CPU time, whatever else the machine does; and as much of it with new sources, each once. admission.c says how."""
import argparse
import json
import os
import statistics
import subprocess
import sys

from servers import ninja

# Nanoseconds a connection, of what the daemon may add to each.
GOAL = 2000


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--build", default="build-release")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--quick", action="store_true", help="one round, to see that it works")
    parser.add_argument("--check", action="store_true", help=f"exit 1 when a connection costs more than {GOAL} ns")
    args = parser.parse_args()
    program = os.path.join(args.build, "tests", "bench", "admission")
    ninja(args.build, "tests/bench/admission")
    rounds = [json.loads(subprocess.run([program], check=True, stdout=subprocess.PIPE).stdout)
              for _ in range(1 if args.quick else args.rounds)]
    print(f"{'nanoseconds':24} {'mean':>8}   one by one, and reading the clock: median, 99th percentile, worst")
    worst = 0
    for name in ("known", "new", "known after new"):
        mean = statistics.median(r[name] for r in rounds)
        worst = max(worst, mean)
        single = [statistics.median(r[name + ", single"][key] for r in rounds) for key in ("median", "p99", "worst")]
        print(f"{name:24} {mean:8.0f}   {single[0]:.0f}, {single[1]:.0f}, {single[2]:.0f}")
    growing = [statistics.median(r["growing, single"][key] for r in rounds) for key in ("median", "p99", "worst")]
    print(f"{'while the table grows':24} {'':8}   {growing[0]:.0f}, {growing[1]:.0f}, {growing[2]:.0f}")
    print(f"{'the list of the most':24} {max(r['top'] for r in rounds):8.0f}")
    if args.check and worst > GOAL:
        print(f"admission: {worst:.0f} ns a connection, {GOAL} are allowed", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
