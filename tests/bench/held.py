#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Connections that stay: how fast 2,000 of them are opened, and how fast new ones are served beside them. The service that
holds them is a tiny one without libc that waits for its peer; those that come beside them go to a second service of the
same daemon."""
import contextlib
import resource
import socket
import sys
import time

import daemons
import figures
import processes
import servers
import session
import slices
import tables

COUNT = 2000
CONCURRENCY = 8


class Held:
    """Connections to @port that are open while the block lasts, and served: each has a process."""

    def __init__(self, server, port, count):
        self.server, self.port, self.count = server, port, count
        self.sockets, self.seconds = [], None

    def __enter__(self):
        hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
        resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
        begin = time.monotonic()
        for _ in range(self.count):
            self.sockets.append(socket.create_connection(("127.0.0.1", self.port), timeout=30))
        daemons.wait_until(lambda: len(processes.children(self.server.pid)) >= self.count, "a process for each")
        self.seconds = time.monotonic() - begin
        return self

    def __exit__(self, *_):
        for sock in self.sockets:
            sock.close()
        with contextlib.suppress(RuntimeError):
            daemons.wait_until(lambda: not processes.children(self.server.pid), "the end of all processes")


@contextlib.contextmanager
def holding(bench, stderr):
    """(server, port): mpinetd with one service that holds, at the port, and one that answers."""
    hold_port, port = servers.free_port(), servers.free_port()
    more = {"limits": {"instances": 20000}}
    config = {"hold": daemons.service(hold_port, bench.program("svc-hold"), stderr=stderr, **more),
              "hello": daemons.service(port, bench.program("svc-raw"), **more)}
    with daemons.running(bench, config, port, name=f"mpinetd, stderr: {stderr}") as server:
        yield server, hold_port


def rates(bench, plan, server):
    found = []
    for _ in range(plan.rounds):
        found.append(slices.run_slice(bench, server, CONCURRENCY, plan.seconds))
    return {key: figures.typical(found, key) for key in ("rate", "cpu_us")}


def measure_one(bench, plan, server, hold_port, count):
    alone = rates(bench, plan, server)
    with Held(server, hold_port, count) as held:
        return {"opened": count / held.seconds, "alone": alone, "beside": rates(bench, plan, server)}


def measure(bench, plan):
    count = 200 if plan.quick else COUNT
    found = {}
    for stderr in ("log", "inherit"):
        with holding(bench, stderr) as (server, hold_port):
            found[server.name] = measure_one(bench, plan, server, hold_port, count)
    return {"figures": {}, "count": count, "servers": found}


def table(results, layout=tables.plain):
    lines = [[f"{results['count']} held connections", "opened/s", "new ones/s alone", "beside them", "CPU µs alone",
              "beside them"]]
    for name, r in results["servers"].items():
        lines.append([name, tables.number(r["opened"]), tables.number(r["alone"]["rate"]),
                      tables.number(r["beside"]["rate"]), tables.number(r["alone"]["cpu_us"], 1),
                      tables.number(r["beside"]["cpu_us"], 1)])
    return layout(lines)


def show(results):
    return ["", *table(results)]


if __name__ == "__main__":
    session.alone("held", sys.modules[__name__], __doc__, rounds=5, seconds=0.5)
