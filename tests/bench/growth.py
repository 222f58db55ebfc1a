#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Whether a server slows down as it grows: the same service beside 999 and 9,999 others, in one that has 10,000 more
descriptors open, in one with 512 MiB of memory that it has written to. All run at once and take turns; printed are the
medians of the ratios to the plain one within each round, of rates and of CPU time.

The descriptors and the memory come by a library that is put in with LD_PRELOAD, the same for every server (burden.c)."""
import sys

import daemons
import figures
from packages import Unavailable
import peers
import servers
import session
import slices
import tables

DESCRIPTORS, DESCRIPTORS_FEW, HEAP_MIB = 10000, 20, 512
# Above those that connections come and go with.
FD_BASE = 256
CONCURRENCY = 8
# Servers whose descriptors and memory can be made to grow by the library.
OTHERS = ("limit-vfork", "limit-c3vm", "xinetd", "openbsd-inetd", "tcpserver")
PLAIN, AGAIN, FEW = "plain", "plain again", f"{DESCRIPTORS_FEW} descriptors more"
MANY, HEAP = f"{DESCRIPTORS} descriptors more", f"{HEAP_MIB} MiB of heap"
# The figures of the rows, by what they carry: what of, with what they are compared.
FIGURES = {"growth.services": ("1000 services", PLAIN), "growth.listeners": ("10000 services", PLAIN),
           "growth.descriptors": (MANY, FEW), "growth.heap": (HEAP, PLAIN)}


def burdens(bench):
    """{name: environment} of what a server can have to carry."""
    preload = {"LD_PRELOAD": bench.program("libburden.so"), "BURDEN_FD_BASE": str(FD_BASE)}
    return {MANY: {**preload, "BURDEN_FDS": str(DESCRIPTORS)}, FEW: {**preload, "BURDEN_FDS": str(DESCRIPTORS_FEW)},
            HEAP: {**preload, "BURDEN_MIB": str(HEAP_MIB)}}


def start(bench, name, what, environment=None, count=1):
    """A server with svc-raw and so many services in all, of which the others are idle."""
    server = peers.start(bench, name, "raw", environment, daemons.idle_endpoints(count - 1))
    server.service = what
    return server


def start_other(bench, started, name, *args, **more):
    try:
        started.append(start(bench, name, *args, **more))
    except Unavailable as why:
        servers.say(f"without {name}: {why}")


def start_all(bench, started, quick):
    """Every server with everything that it can carry, which is what its `service` says; a short run has only mpinetd."""
    for what, count in ((PLAIN, 1), (AGAIN, 1), ("1000 services", 1000), ("10000 services", 10000)):
        started.append(start(bench, "mpinetd", what, count=count))
    for what, environment in burdens(bench).items():
        started.append(start(bench, "mpinetd", what, environment))
    for name in () if quick else OTHERS:
        for what, environment in {PLAIN: None, **burdens(bench)}.items():
            start_other(bench, started, name, what, environment)
        if name in peers.MANY:
            start_other(bench, started, name, "1000 services", count=1000)


def compared_with(what):
    return FEW if what == MANY else PLAIN


def summary(rounds, what, name):
    mine, plain = rounds[what, name, CONCURRENCY], rounds[compared_with(what), name, CONCURRENCY]
    found = {key: figures.typical(mine, key, slices.DISTURBED) for key in ("rate", "cpu_us", "p50_us")}
    for key in ("rate", "cpu_us"):
        found[key + "_ratio"] = figures.median(figures.ratios(mine, plain, key, slices.DISTURBED))
    return found


def measure(bench, plan):
    with session.stopping() as started:
        start_all(bench, started, plan.quick)
        rounds = slices.Rounds(bench, started, plan, (CONCURRENCY,)).run("growth")
    itself = (rounds[AGAIN, "mpinetd", CONCURRENCY], rounds[PLAIN, "mpinetd", CONCURRENCY])
    found = {key: figures.ratio(rounds[what, "mpinetd", CONCURRENCY], rounds[of, "mpinetd", CONCURRENCY], itself, "rate",
                                slices.DISTURBED) for key, (what, of) in FIGURES.items()}
    cases = {}
    for what, name, _ in rounds:
        cases.setdefault(name, {})[what] = summary(rounds, what, name)
    return {"figures": found, "servers": cases}


def table(results, layout=tables.plain):
    lines = [["growth, 8 at once", "conn/s", "of without", "CPU µs", "of without"]]
    for name, cases in results["servers"].items():
        for what, r in cases.items():
            lines.append([f"{name}, {what}", tables.number(r["rate"]), tables.number(r["rate_ratio"], 2),
                          tables.number(r["cpu_us"], 1), tables.number(r["cpu_us_ratio"], 2)])
    return layout(lines)


def show(results):
    return ["", *table(results)]


if __name__ == "__main__":
    session.alone("growth", sys.modules[__name__], __doc__)
