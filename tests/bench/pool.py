#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Pools beside bare loops that do the same: workers that accept beside limit-prefork, connections that are passed beside
limit-fdpass, in rates and CPU time of all their processes."""
import sys

import daemons
import figures
from servers import AGAIN, Server, free_port
import session
import slices
import tables

# What is compared with what: the handoff, the bare loop.
PAIRS = (("listener", "limit-prefork"), ("connection", "limit-fdpass"))
CONCURRENCY = (1, 8, 64)


def add_options(parser):
    parser.add_argument("--workers", type=int, default=4)
    parser.add_argument("--capacity", type=int, default=16, help="connections that a worker is passed at once")


def start_limit(bench, plan, name):
    port = free_port()
    argv = [bench.program(name.rstrip(AGAIN)), str(port), str(plan.workers)]
    return Server(name, argv, port, bench.new_folder(name)).wait_ready()


def start_pool(bench, plan, handoff):
    port = free_port()
    keys = {"model": "pool", "pool": {"min": plan.workers, "max": plan.workers, "handoff": handoff},
            "exec": [bench.program("pool-hello"), str(plan.capacity)]}
    return daemons.start(bench, {"pool": daemons.service(port, None, **keys)}, port, handoff)


def measure(bench, plan):
    with session.stopping() as started:
        for handoff, limit in PAIRS:
            started += [start_limit(bench, plan, limit), start_limit(bench, plan, limit + AGAIN),
                        start_pool(bench, plan, handoff)]
        rounds = slices.Rounds(bench, started, plan, CONCURRENCY).run("pool")
    results = {"figures": {}, "workers": plan.workers, "servers": {}}
    for handoff, limit in PAIRS:
        for c in CONCURRENCY:
            mine, ref, again = (rounds[None, name, c] for name in (handoff, limit, limit + AGAIN))
            results["figures"]["pool.%s.%d" % (handoff, c)] = figures.ratio(
                mine, ref, (again, ref), "rate", slices.DISTURBED)
            for name, own in ((limit, ref), (limit + AGAIN, again), (handoff, mine)):
                results["servers"].setdefault(name, {})[str(c)] = {
                    "rate_ratio": figures.median(figures.ratios(own, ref, "rate", slices.DISTURBED)),
                    "cpu_ratio": figures.median(figures.ratios(own, ref, "cpu_us", slices.DISTURBED)),
                    "bad": sum(slices.bad(r) for r in own),
                    **{key: figures.typical(own, key, slices.DISTURBED) for key in ("rate", "cpu_us", "p50_us", "p99_us")}}
    return results


def table(results, layout=tables.plain):
    cs = [str(c) for c in CONCURRENCY]
    lines = [["%d workers" % results["workers"]] + [h % c if "%" in h else h for c in cs for h in
                                                    ("conn/s %s", "of ref", "CPU µs", "of ref", "p50 / p99 µs")]]
    for name, at in results["servers"].items():
        line = [name if name.startswith("limit") else "handoff " + name]
        for c in cs:
            line += [tables.number(at[c]["rate"]), tables.number(at[c]["rate_ratio"], 2), tables.number(at[c]["cpu_us"], 1),
                     tables.number(at[c]["cpu_ratio"], 2),
                     "%s / %s" % (tables.number(at[c]["p50_us"]), tables.number(at[c]["p99_us"]))]
        lines.append(line)
    return layout(lines)


def show(results):
    lines = ["", "pools (ref is the bare loop above it; the row with ' is it against itself)", *table(results)]
    lines += ["%s: %d connections failed at %s" % (name, at["bad"], c)
              for name, ats in results["servers"].items() for c, at in ats.items() if at["bad"]]
    return lines


if __name__ == "__main__":
    session.alone("pool", sys.modules[__name__], __doc__)
