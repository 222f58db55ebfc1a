#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""From exec to the last listener: the daemon with 1, 1,000 and 10,000 services, one IPv4 address each, and with one service
on as many, beside a bare loop that only binds and listens (limit-listen), in turns. Whether a port is listened on is asked
of the kernel by its address (sock_diag(7)), which disturbs nobody and takes some microseconds."""
import os
import random
import signal
import socket
import struct
import subprocess
import sys
import time

import daemons
import figures
import peers
from servers import AGAIN, free_port
import session
import tables

# linux/sock_diag.h, linux/inet_diag.h
NETLINK_SOCK_DIAG, SOCK_DIAG_BY_FAMILY, NLMSG_ERROR = 4, 20, 2
LIMIT = "limit-listen"
# One service for each listener, or one service for all of them.
SHAPES = (("services", 1), ("services", 1000), ("services", 10000), ("listeners", 1000), ("listeners", 10000))
# What others are measured with: some cannot have more (select).
PEERS_SHAPE = ("services", 1000)
PAUSE = 0.0001
SECONDS_MAX = 120


class Listeners:
    """Asks the kernel whether somebody listens."""

    def __init__(self):
        self.netlink = socket.socket(socket.AF_NETLINK, socket.SOCK_RAW | socket.SOCK_CLOEXEC, NETLINK_SOCK_DIAG)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.netlink.close()

    def there(self, address, port):
        """Exactly one socket is looked up: that at which a connection from nowhere to address:port would arrive."""
        source = socket.inet_aton(address).ljust(16, b"\0")
        # struct inet_diag_sockid: ports in network order, addresses, interface, no cookie.
        one = struct.pack("!HH", port, 0) + source + bytes(16) + struct.pack("=III", 0, 0xFFFFFFFF, 0xFFFFFFFF)
        request = struct.pack("=BBBBI", socket.AF_INET, socket.IPPROTO_TCP, 0, 0, 0xFFFFFFFF) + one
        head = struct.pack("=IHHII", 16 + len(request), SOCK_DIAG_BY_FAMILY, 1, 0, 0)
        self.netlink.send(head + request)
        return struct.unpack_from("=IH", self.netlink.recv(8192))[1] == SOCK_DIAG_BY_FAMILY


def seconds_to_listen(argv, folder, address, ports):
    """From exec until every one of the ports is listened on, whatever their order: the moment at which the last that had
    been seen to be missing was there."""
    with Listeners() as listeners, open(os.path.join(folder, "log"), "ab") as log:
        begin = time.monotonic()
        process = subprocess.Popen(argv, stdin=subprocess.DEVNULL, stdout=log, stderr=log, cwd=folder)
        try:
            there = None
            # The last one first: with servers that go by the order of their config, all others are there when it is.
            for port in reversed(ports):
                while not listeners.there(address, port):
                    if process.poll() is not None or time.monotonic() - begin > SECONDS_MAX:
                        raise RuntimeError(f"{argv[0]}: nobody listens on {address}:{port}, see {folder}/log")
                    time.sleep(PAUSE)
                    there = time.monotonic()
                # None was missing at the first look: not later than now.
                there = there or time.monotonic()
            return there - begin
        finally:
            process.send_signal(signal.SIGTERM)
            try:
                process.wait(60)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()


def services(bench, shape, address, ports):
    program = bench.program("svc-raw")
    if shape == "services":
        return daemons.idle_services(len(ports), address, program, ports[0])
    listen = [f"tcp:{address}:{port}" for port in ports]
    return {"many": {**daemons.service(0, program), "listen": listen}}


def command(bench, name, folder, shape, address, ports):
    if name == "mpinetd":
        return daemons.command(bench, folder, services(bench, shape, address, ports))
    if name in peers.MANY:
        return peers.command(bench, name, "raw", free_port(), folder, [(address, port) for port in ports])[0]
    return [bench.program(LIMIT), address, str(ports[0]), str(len(ports))]


def who_takes_part(bench, shape, count, quick):
    """The bare loop, it once more, the daemon, and of others those that are there, with as many services as they can."""
    names = [LIMIT, LIMIT + AGAIN, "mpinetd"]
    for name in peers.MANY if (shape, count) == PEERS_SHAPE and not quick else ():
        with peers.started(bench, name, "raw") as server:
            names += [name] if server else []
    return names


def one_round(bench, names, shape, count):
    """{name: seconds}, in random order."""
    seconds = {}
    for name in random.sample(names, len(names)):
        # What one leaves in the kernel's tables is none of the next one's business.
        address, folder = daemons.private_address(), bench.new_folder(name)
        first = daemons.first_port(count)
        ports = range(first, first + count)
        seconds[name] = seconds_to_listen(command(bench, name, folder, shape, address, ports), folder, address, ports)
    return seconds


def figure_of(rounds, name="mpinetd"):
    return figures.ratio([{"s": r[name]} for r in rounds], [{"s": r[LIMIT]} for r in rounds],
                         ([{"s": r[LIMIT + AGAIN]} for r in rounds], [{"s": r[LIMIT]} for r in rounds]), "s")


def measure(bench, plan):
    times = {}
    for shape, count in SHAPES:
        names = who_takes_part(bench, shape, count, plan.quick)
        times[f"{count} {shape}"] = [one_round(bench, names, shape, count) for _ in range(plan.rounds)]
    return {"figures": {f"start.{n}": figure_of(times[f"{n} services"]) for n in (1000, 10000)}, "seconds": times}


def table(results, layout=tables.plain):
    lines = [["from exec to the last listener", "ms", "bare loop, ms", "ratio"]]
    for case, rounds in results["seconds"].items():
        for name in sorted((n for n in rounds[0] if not n.startswith(LIMIT)), key=lambda n: (n != "mpinetd", n)):
            lines.append([f"{name}, {case}", *(tables.number(figures.median([r[who] for r in rounds]) * 1e3, 1)
                                               for who in (name, LIMIT)),
                          tables.number(figure_of(rounds, name)["reached"], 2)])
    return layout(lines)


def show(results):
    return ["", *table(results)]


if __name__ == "__main__":
    session.alone("start", sys.modules[__name__], __doc__)
