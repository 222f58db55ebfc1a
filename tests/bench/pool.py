#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Pools beside bare loops that do the same: workers that accept beside limit-prefork, connections that are passed beside
limit-fdpass, in rates and CPU time of all their processes, taking turns in every round. Printed are the medians of the
ratios within each round; the reference against itself says how fine they can be read."""
import argparse
import json
import os
import random
import socket
import statistics
import subprocess
import sys
import tempfile
import time

TICKS = os.sysconf("SC_CLK_TCK")
GOAL = 0.95
# What is compared with what: the handoff, the bare loop.
PAIRS = (("listener", "limit-prefork"), ("connection", "limit-fdpass"))


def say(text):
    print("bench: " + text, file=sys.stderr, flush=True)


def free_port():
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        return s.getsockname()[1]


def cpu_ticks(pid):
    """Of a process, its living children and those that it has reaped."""
    total = 0
    for name in os.listdir("/proc"):
        if not name.isdigit():
            continue
        try:
            with open(f"/proc/{name}/stat", encoding="utf-8", errors="replace") as stat:
                fields = stat.read().rsplit(")", 1)[1].split()
        except (FileNotFoundError, ProcessLookupError):
            continue
        if int(name) == pid:
            total += sum(int(f) for f in fields[11:15])
        elif int(fields[1]) == pid:
            total += int(fields[11]) + int(fields[12])
    return total


class Server:
    def __init__(self, name, folder, argv, port):
        self.name, self.port = name, port
        with open(os.path.join(folder, name.strip("'") + ".log"), "ab") as log:
            self.process = subprocess.Popen(argv, stdin=subprocess.DEVNULL, stdout=log, stderr=log, cwd=folder)
        end = time.monotonic() + 10
        while True:
            try:
                with socket.create_connection(("127.0.0.1", port), timeout=2) as s:
                    s.settimeout(2)
                    if s.makefile("rb").read() == b"hello\n":
                        return
            except OSError:
                pass
            if time.monotonic() > end:
                self.close()
                raise SystemExit(f"bench: {name} does not answer")
            time.sleep(0.05)

    def close(self):
        self.process.terminate()
        self.process.wait()


def start(args, folder, name):
    programs = os.path.join(os.path.abspath(args.build), "tests", "bench")
    port = free_port()
    if name.startswith("limit-"):
        return Server(name, folder, [os.path.join(programs, name.strip("'")), str(port), str(args.workers)], port)
    user = "    user: root\n" if os.geteuid() == 0 else ""
    config = os.path.join(folder, name + ".yaml")
    with open(config, "w", encoding="utf-8") as file:
        file.write(f"version: 1\nservices:\n  pool:\n    listen: tcp:127.0.0.1:{port}\n    model: pool\n"
                   f"    exec: [{programs}/pool-hello, '{args.capacity}']\n{user}"
                   f"    pool: {{min: {args.workers}, max: {args.workers}, handoff: {name}}}\n")
    daemon = args.mpinetd or os.path.join(os.path.abspath(args.build), "daemon", "mpinetd")
    return Server(name, folder, [daemon, "-c", config, "-s", os.path.join(folder, name + ".sock"), "--log-target",
                                 "stderr"], port)


def run_slice(args, server, concurrency):
    cpu = cpu_ticks(server.process.pid)
    out = subprocess.run([os.path.join(args.build, "tests", "bench", "load"), "--port", str(server.port),
                          "--concurrency", str(concurrency), "--seconds", str(args.seconds), "--expect", "hello\n"],
                         stdout=subprocess.PIPE, check=True, text=True).stdout
    result = json.loads(out)
    n = result["connections"]
    result["cpu_us"] = (cpu_ticks(server.process.pid) - cpu) * 1e6 / TICKS / n if n else None
    if result["errors"] or result["wrong"]:
        say(f"{server.name}: errors {result['errors']}, wrong {result['wrong']}")
    return result


def ratio(results, mine, theirs, concurrency, key):
    values = [a[key] / b[key] for a, b in zip(results[mine, concurrency], results[theirs, concurrency])
              if a[key] is not None and b[key]]
    return statistics.median(values) if values else float("nan")


def show(results, args):
    missed = False
    for handoff, limit in PAIRS:
        print(f"\nhandoff {handoff}, {args.workers} workers (ref is {limit}; the row with ' is it against itself)")
        print(f"{'server':14}" + "".join(f"{f'conn/s {c}':>12}{'of ref':>8}{'cpu us':>8}{'of ref':>8}{'p50/p99 us':>14}"
                                         for c in args.concurrency))
        for name in (limit, limit + "'", handoff):
            row = f"{name:14}"
            for c in args.concurrency:
                rounds = results[name, c]

                def middle(key, rounds=rounds):
                    return statistics.median(r[key] for r in rounds if r[key] is not None)
                rate = ratio(results, name, limit, c, "rate")
                row += (f"{middle('rate'):12.0f}{rate:8.2f}{middle('cpu_us'):8.1f}"
                        f"{ratio(results, name, limit, c, 'cpu_us'):8.2f}"
                        f"{middle('p50_us'):8.0f}/{middle('p99_us'):<5.0f}")
                missed = missed or (name == handoff and rate < GOAL)
            print(row)
    return missed


def build(folder):
    subprocess.run(["ninja", "-C", folder, "bench-programs", "daemon/mpinetd"], check=True, stdout=subprocess.DEVNULL)


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--build", default="build-release")
    parser.add_argument("--mpinetd", help="the daemon to measure (default: that of the build)")
    parser.add_argument("--rounds", type=int, default=9)
    parser.add_argument("--seconds", type=float, default=1.0)
    parser.add_argument("--workers", type=int, default=4)
    parser.add_argument("--capacity", type=int, default=16, help="connections that a worker is passed at once")
    parser.add_argument("--concurrency", type=lambda s: [int(c) for c in s.split(",")], default=[1, 8, 64])
    parser.add_argument("--quick", action="store_true", help="to see that it works")
    parser.add_argument("--check", action="store_true", help=f"exit 1 when a pool has less than {GOAL} of its reference")
    args = parser.parse_args()
    if args.quick:
        args.rounds, args.seconds = 2, 0.3
    build(args.build)
    names = [n for handoff, limit in PAIRS for n in (limit, limit + "'", handoff)]
    results = {(name, c): [] for name in names for c in args.concurrency}
    dice = random.Random(1)
    with tempfile.TemporaryDirectory(prefix="mpinetd-bench-") as folder:
        servers = []
        try:
            for name in names:
                servers.append(start(args, folder, name))
            turns = [(server, c) for server in servers for c in args.concurrency]
            for number in range(args.rounds):
                dice.shuffle(turns)
                for server, c in turns:
                    results[server.name, c].append(run_slice(args, server, c))
                say(f"round {number + 1} of {args.rounds}")
        finally:
            for server in servers:
                server.close()
    missed = show(results, args)
    return 1 if args.check and missed else 0


if __name__ == "__main__":
    sys.exit(main())
