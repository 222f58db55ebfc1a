#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""System calls for each connection, one at a time: of the daemon, with its loop, signals and log, and of the child before
exec, which is not counted itself. Counted over a hundred connections after a warm-up by the kernel's tracer, which disturbs
nobody, or where that cannot be had by strace; the figure is the median of a connection. Other servers are counted the same
way."""
import os
import pwd
import shutil
import sys
import time

import daemons
import figures
import ktrace
from packages import Unavailable
import peers
import servers
import session
import strace
import tables
import traces

WARM_UP = 20
# What is left out at the beginning of a trace: strace and the server come to terms with each other first.
SETTLING = 3
# Name, service, and what differs from the default.
CASES = (
    ("inherit", "svc-raw", {"stderr": "inherit"}),
    ("log, two lines", "svc-lines", {}),
    ("log, none", "svc-raw", {}),
    ("another user", "svc-raw", {"stderr": "inherit", "user": "nobody"}),
)
# Where the figure of a row comes from.
FIGURES = {"syscalls.daemon.inherit": ("inherit", "daemon"), "syscalls.daemon.log": ("log, two lines", "daemon"),
           "syscalls.child.plain": ("inherit", "child"), "syscalls.child.user": ("another user", "child")}
PEERS = ("limit-vfork", "limit-c3vm", "xinetd", "openbsd-inetd", "tcpserver", "rlinetd", "socket-activate")


def tracer():
    """The module that traces here; Unavailable where there is none."""
    if ktrace.works():
        return ktrace
    if not shutil.which("strace"):
        raise Unavailable("strace is not installed")
    return strace


def count(bench, server, connections):
    """{"daemon": summary, "child": summary} of a server."""
    daemons.serve(bench, server.port, WARM_UP)
    with tracer().Trace(server.pid, bench.new_folder("trace")) as trace:
        daemons.serve(bench, server.port, connections + SETTLING + 1)
        # The last one is reaped after its client has its answer.
        time.sleep(0.1)
    old = {server.pid}
    return {"daemon": traces.summary(traces.by_connection(trace.calls, old)[SETTLING:]),
            "child": traces.summary(list(traces.before_exec(trace.calls, old).values())[SETTLING:])}


def may_run(keys):
    """Another user is root's to give."""
    if "user" not in keys:
        return True
    try:
        pwd.getpwnam(keys["user"])
    except KeyError:
        return False
    return os.geteuid() == 0


def measure_daemon(bench, connections):
    """{name of the case: counts}"""
    counts = {}
    for name, program, keys in CASES:
        if may_run(keys):
            port = servers.free_port()
            config = {"s": daemons.service(port, bench.program(program), **keys)}
            with daemons.running(bench, config, port) as server:
                counts[name] = count(bench, server, connections)
    return counts


def median_of(counts, case, who):
    found = counts.get(case, {}).get(who)
    return found and found["median"]


def measure(bench, plan):
    connections = 40 if plan.quick else 100
    counts = measure_daemon(bench, connections)
    results = {"figures": {key: figures.figure(median_of(counts, *where)) for key, where in FIGURES.items()}}
    for name in PEERS:
        with peers.started(bench, name, "raw") as server:
            if server:
                counts[name] = count(bench, server, connections)
    return {**results, "counts": counts, "by": tracer().__name__}


def table(results, layout=tables.plain):
    lines = [["system calls per connection", "daemon", "mean", "child"]]
    for name, both in results["counts"].items():
        daemon, child = both["daemon"] or {}, both["child"] or {}
        lines.append([name, tables.number(daemon.get("median")), tables.number(daemon.get("mean"), 1),
                      tables.number(child.get("median"))])
    return layout(lines)


def which(counts):
    """Which calls, of the daemon and of the child, on average."""
    lines = []
    for name, both in counts.items():
        for who, found in both.items():
            if found:
                lines.append(f"{name}, {who}: " + ", ".join(f"{call} {n:g}" for call, n in found["calls"].items()))
    return lines


def show(results):
    return ["", *table(results), "", *which(results["counts"])]


if __name__ == "__main__":
    session.alone("syscalls", sys.modules[__name__], __doc__)
