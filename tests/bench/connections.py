#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""A process for each connection: mpinetd beside bare loops and other super-servers, with a service that has no libc (raw),
which shows the daemon, an ordinary dynamic program (dyn), which is what users see, and the same linked statically. In
connections per second at several concurrencies, CPU time of the whole tree, and latency."""
import sys

import figures
from packages import Unavailable
import peers
from servers import AGAIN, REFERENCE, say
import session
import slices
import tables

SERVICES = ("raw", "dyn", "static")
# A short run has of the dynamic service only what its rows need.
QUICK_DYN = (REFERENCE, REFERENCE + AGAIN, "mpinetd", "xinetd")
# At this concurrency CPU time is compared: enough for a steady figure, not so many that queues are measured.
CPU_AT = 8


def add_options(parser):
    parser.add_argument("--concurrency", type=session.numbers, default=[1, 8, 64], help="default: 1,8,64")
    parser.add_argument("--services", type=session.words, metavar="NAMES",
                        help="of raw (no libc), dyn, static; default: all; with --quick raw,dyn")
    parser.add_argument("--servers", type=session.words, help="only these, and the reference")


def chosen(plan, service):
    always = (REFERENCE, REFERENCE + AGAIN)
    names = [n for n in peers.STARTERS if not plan.servers or n in plan.servers or n in always]
    return [n for n in names if not plan.quick or service == "raw" or n in QUICK_DYN]


def start_all(bench, plan, service, started):
    for name in chosen(plan, service):
        try:
            started.append(peers.start(bench, name, service))
        except Unavailable as e:
            say("without %s for %s: %s" % (name, service, e))


def concurrencies_of(plan, service):
    """Of the static one only that at which CPU time is compared."""
    return plan.concurrency if service != "static" or plan.services else [CPU_AT]


def judged_figures(rounds, service):
    """mpinetd's ratios to each of the others, by the keys of rows."""
    found = {}
    for (_, name, c) in rounds:
        if name == "mpinetd" or name.endswith(AGAIN):
            continue
        mine, theirs = rounds.get((service, "mpinetd", c)), rounds[service, name, c]
        again = rounds[service, REFERENCE + AGAIN, c], rounds[service, REFERENCE, c]
        for what, key in (("rate", "rate"), ("cpu", "cpu_us"), ("p50", "p50_us"), ("p99", "p99_us")):
            if mine:
                found["conn.%s.%s.%s.%d" % (service, what, name, c)] = figures.ratio(
                    mine, theirs, again, key, slices.DISTURBED)
    return found


def summarize(rounds, service):
    """{server: {concurrency: its typical figures}}; concurrencies as text, as they are in JSON. "rounds" has rate, CPU and
    the share of others of each."""
    table = {}
    for (_, name, c), results in rounds.items():
        reference = rounds[service, REFERENCE, c]
        at = {key: figures.typical(results, key, slices.DISTURBED)
              for key in ("rate", "cpu_us", "p50_us", "p90_us", "p99_us", "p999_us")}
        at["rate_ratio"] = figures.median(figures.ratios(results, reference, "rate", slices.DISTURBED))
        at["cpu_ratio"] = figures.median(figures.ratios(results, reference, "cpu_us", slices.DISTURBED))
        at["connections"] = sum(r["connections"] for r in results)
        at["bad"] = sum(slices.bad(r) for r in results)
        at["rounds"] = [[r["rate"], r["cpu_us"] and round(r["cpu_us"], 1), round(r["others"], 2)] for r in results]
        at["errors"] = sorted({e for r in results for e in r["errors"]})
        table.setdefault(name, {})[str(c)] = at
    return table


def measure(bench, plan):
    results = {"figures": {}, "services": {}, "slices": 0, "disturbed": 0}
    for service in plan.services or (SERVICES[:2] if plan.quick else SERVICES):
        with session.stopping() as started:
            start_all(bench, plan, service, started)
            rounds = slices.Rounds(bench, started, plan, concurrencies_of(plan, service)).run(service)
        results["figures"].update(judged_figures(rounds, service))
        results["services"][service] = summarize(rounds, service)
        every = [r for results_ in rounds.values() for r in results_]
        results["slices"] += len(every)
        results["disturbed"] += sum(r["others"] > slices.DISTURBED for r in every)
    return results


def table(by_server, layout=tables.plain):
    """One line for each server."""
    if not by_server:
        return []
    cs = list(next(iter(by_server.values())))
    at_cpu = min(cs, key=lambda c: abs(int(c) - CPU_AT))
    lines = [["server"] + ["conn/s %s" % c for c in cs] + ["of vfork %s" % c for c in cs] + ["CPU µs", "of vfork"]
             + ["p50 / p99 µs, %s" % c for c in cs]]
    for name, at in by_server.items():
        lines.append(
            [name] + [tables.number(at[c]["rate"]) for c in cs] + [tables.number(at[c]["rate_ratio"], 2) for c in cs]
            + [tables.number(at[at_cpu]["cpu_us"]), tables.number(at[at_cpu]["cpu_ratio"], 2)]
            + ["%s / %s" % (tables.number(at[c]["p50_us"]), tables.number(at[c]["p99_us"])) for c in cs])
    return layout(lines)


def wrong(results):
    """[(server, service, how many connections failed and how)], of all that had some."""
    return [(name, service, "%d at %s: %s" % (at["bad"], c, ", ".join(at["errors"]) or "wrong bytes"))
            for service, by_server in results["services"].items() for name, ats in by_server.items()
            for c, at in ats.items() if at["bad"]]


def show(results):
    lines = []
    for service, by_server in results["services"].items():
        if by_server:
            lines += ["", "service %s (CPU at %d at once; the row with ' is the reference against itself)"
                      % (service, CPU_AT), *table(by_server)]
    lines += ["%s, %s: connections that failed: %s" % one for one in wrong(results)]
    lines += ["", "%d of %d slices were disturbed: others used more than %.0f %% of the machine."
              % (results["disturbed"], results["slices"], slices.DISTURBED * 100)]
    if results["disturbed"] * 4 > results["slices"]:
        lines.append("These figures, connections per second above all, are of a machine that is busy otherwise.")
    return lines


if __name__ == "__main__":
    session.alone("conn", sys.modules[__name__], __doc__)
