#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Connections that stay: how fast 2,000 of them are opened, and how fast new ones are served beside them. The service is a
tiny one without libc that waits for what its peer says: who says nothing is held. Other servers are measured the same way."""
import contextlib
import functools
import resource
import socket
import sys
import time

import daemons
import figures
import peers
import processes
import servers
import session
import slices
import smaps
import tables

COUNT = 2000
# No row is judged by these rates, so that fewer will do.
ROUNDS = 3
CONCURRENCY = 8
# What the service waits for.
SERVICE, WORD = "hold", "x"
PEERS = ("limit-vfork", "limit-c3vm", "xinetd", "openbsd-inetd", "tcpserver", "rlinetd", "socket-activate")


class Held:
    """Connections that are open while the block lasts, and served: each has a process."""

    def __init__(self, server, count):
        self.server, self.count = server, count
        self.sockets, self.seconds = [], None

    def __enter__(self):
        hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
        resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
        begin = time.monotonic()
        for _ in range(self.count):
            self.sockets.append(socket.create_connection(("127.0.0.1", self.server.port), timeout=30))
        daemons.wait_until(lambda: len(processes.children(self.server.pid)) >= self.count, "a process for each")
        self.seconds = time.monotonic() - begin
        return self

    def __exit__(self, *_):
        for sock in self.sockets:
            sock.close()
        with contextlib.suppress(RuntimeError):
            daemons.wait_until(lambda: not processes.children(self.server.pid), "the end of all processes")


@contextlib.contextmanager
def mpinetd(bench, stderr):
    """The daemon with as many at once as this takes."""
    port = servers.free_port()
    config = {SERVICE: daemons.service(port, bench.program("svc-" + SERVICE), stderr=stderr, limits={"instances": 20000})}
    with daemons.running(bench, config, port, name=f"mpinetd, stderr: {stderr}") as server:
        yield server


def rates(bench, plan, server):
    load = functools.partial(slices.run_load, send=WORD)
    found = [slices.run_slice(bench, server, CONCURRENCY, plan.seconds, load) for _ in range(min(plan.rounds, ROUNDS))]
    return {key: figures.typical(found, key, slices.DISTURBED) for key in ("rate", "cpu_us")}


def measure_one(bench, plan, server, count):
    alone, before = rates(bench, plan, server), smaps.own(server.pid)
    with Held(server, count) as held:
        memory = (smaps.own(server.pid) - before) / count
        return {"opened": count / held.seconds, "memory": memory, "alone": alone, "beside": rates(bench, plan, server)}


def measure(bench, plan):
    count, found = 200 if plan.quick else COUNT, {}
    for stderr in ("log", "inherit"):
        with mpinetd(bench, stderr) as server:
            found[server.name] = measure_one(bench, plan, server, count)
    for name in () if plan.quick else PEERS:
        with peers.started(bench, name, SERVICE) as server:
            if server:
                found[name] = measure_one(bench, plan, server, count)
    return {"figures": {}, "count": count, "servers": found}


def table(results, layout=tables.plain):
    lines = [[f"{results['count']} held connections", "opened/s", "memory of each, B", "new ones/s alone", "beside them",
              "CPU µs alone", "beside them"]]
    for name, r in results["servers"].items():
        lines.append([name, tables.number(r["opened"]), tables.number(r["memory"]), tables.number(r["alone"]["rate"]),
                      tables.number(r["beside"]["rate"]), tables.number(r["alone"]["cpu_us"], 1),
                      tables.number(r["beside"]["cpu_us"], 1)])
    return layout(lines)


def show(results):
    return ["", *table(results)]


if __name__ == "__main__":
    session.alone("held", sys.modules[__name__], __doc__)
