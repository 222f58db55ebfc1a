#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Ten minutes of steady load, or as long as asked for: rate, p99, CPU per connection and the daemon's memory, every ten
seconds, and the last third over the first: flat is what all of them should be."""
import os
import sys

import daemons
import figures
from servers import free_port, say
import session
import slices
import smaps
import tables

SECONDS, EVERY, CONCURRENCY = 600, 10, 8


def descriptors(pid):
    return len(os.listdir(f"/proc/{pid}/fd"))


def sample(bench, server, seconds):
    result = slices.run_slice(bench, server, CONCURRENCY, seconds)
    return {**{key: result[key] for key in ("rate", "p50_us", "p99_us", "cpu_us", "others")}, "bad": slices.bad(result),
            "private_dirty": smaps.own(server.pid), "descriptors": descriptors(server.pid)}


def growth(samples, key):
    """The median of the last third over that of the first."""
    n = max(1, len(samples) // 3)
    first, last = (figures.median([s[key] for s in part]) for part in (samples[:n], samples[-n:]))
    return last / first


def measure(bench, plan):
    seconds = plan.churn or (6 if plan.quick else SECONDS)
    every = min(EVERY, max(1, seconds / 6))
    port, samples = free_port(), []
    with daemons.running(bench, {"s": daemons.service(port, bench.program("svc-raw"))}, port) as server:
        daemons.serve(bench, port, 2000, CONCURRENCY)
        for number in range(round(seconds / every)):
            samples.append({"at": number * every, **sample(bench, server, every)})
            say(line(samples[-1]))
    return {"figures": {}, "samples": samples,
            "growth": {key: growth(samples, key) for key in ("rate", "p99_us", "cpu_us", "private_dirty", "descriptors")}}


def line(s):
    return (f"churn: {s['at']:.0f} s: {s['rate']:.0f}/s, p50 {s['p50_us']} us, p99 {s['p99_us']} us, {s['cpu_us']:.1f} us"
            f" CPU, {s['private_dirty'] / 1024:.0f} KiB, {s['descriptors']} descriptors")


def table(results, layout=tables.plain):
    names = {"rate": "conn/s", "p99_us": "p99", "cpu_us": "CPU per connection", "private_dirty": "private memory",
             "descriptors": "descriptors"}
    lines = [["churn", "last third over first"]]
    return layout(lines + [[names[key], tables.number(value, 2)] for key, value in results["growth"].items()])


def show(results):
    return ["", *table(results)]


def add_options(parser):
    parser.add_argument("--churn", type=float, default=0, metavar="SECONDS", help="steady load for so long, too")


if __name__ == "__main__":
    session.alone("churn", sys.modules[__name__], __doc__)
