#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""The daemon's memory: with one service, for each further idle one, for each held connection. Private memory is what it
has written for itself, its dirty pages; PSS counts what processes share in parts, code included."""
import sys

import daemons
import figures
import held
import peers
import servers
import session
import smaps
import tables

KIB = 1 << 10
CONNECTIONS, AT_ONCE = 1000, 64
# How many services are compared with one.
MANY = 1000
HELD_FEW = 1000
STDERR = {"log": "memory.connection.log", "inherit": "memory.connection.plain"}


def with_services(bench, count, connections=0):
    """{"Own": bytes, "Pss": bytes, ...} of a daemon with so many services, one of which has served."""
    port = servers.free_port()
    program = bench.program("svc-raw")
    services = {"s": daemons.service(port, program),
                **daemons.idle_services(count - 1, daemons.private_address(), program)}
    with daemons.running(bench, services, port) as server:
        if connections:
            daemons.serve(bench, port, connections, AT_ONCE)
        return smaps.of(server.pid)


def of_peers(bench):
    """{name: {number of services: memory}} of those that have many services in one process."""
    found = {}
    for name in peers.MANY:
        for count in (1, MANY):
            with peers.started(bench, name, "raw", idle=daemons.idle_endpoints(count - 1)) as server:
                if server:
                    found.setdefault(name, {})[str(count)] = smaps.of(server.pid)
    return found


def of_held_connection(bench, stderr, count):
    """Bytes of the daemon's own memory for each held connection. What comes with the first ones and then stays,
    rings and what is kept for processes that are being started, is there before."""
    with held.mpinetd(bench, stderr) as server:
        daemons.serve(bench, server.port, CONNECTIONS, AT_ONCE, send=held.WORD)
        before = smaps.own(server.pid)
        with held.Held(server, count):
            return (smaps.own(server.pid) - before) / count


def figures_of(bench, started, many, connections):
    """{key of a row: bytes, or KiB}, of what a daemon with one service and one with many have, and with so many held."""
    served = with_services(bench, 1, CONNECTIONS)["Own"]
    found = {"memory.daemon": max(started, served) / KIB, "memory.service": (many - started) / (MANY - 1)}
    for stderr, key in STDERR.items():
        found[key] = of_held_connection(bench, stderr, connections)
    return found


def measure_quickly(bench):
    """Only the figures of the rows, and with fewer connections that are held."""
    started, many = (with_services(bench, n)["Own"] for n in (1, MANY))
    return figures_of(bench, started, many, HELD_FEW)


def measure(bench, plan):
    services = {n: with_services(bench, n) for n in ((1, 100, MANY) if plan.quick else (1, MANY, 10000))}
    found = figures_of(bench, services[1]["Own"], services[MANY]["Own"],
                       HELD_FEW if plan.quick else held.COUNT)
    return {"figures": {key: figures.figure(value) for key, value in found.items()},
            "services": {str(n): memory for n, memory in services.items()}, "peers": {} if plan.quick else of_peers(bench)}


def table(results, layout=tables.plain):
    lines = [["services", "private, KiB", "PSS, KiB"]]
    for name, by_count in {"mpinetd": results["services"], **results["peers"]}.items():
        for n, memory in by_count.items():
            lines.append([f"{name}, {n}", tables.number(memory["Own"] / KIB), tables.number(memory["Pss"] / KIB)])
    return layout(lines)


def show(results):
    return ["", *table(results)]


if __name__ == "__main__":
    session.alone("memory", sys.modules[__name__], __doc__)
