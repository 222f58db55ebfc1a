#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Measures the classic shapes of a server beside each other: mp-echo --model MODEL on a listener of its own.

For each shape and each number of clients at once: connections per second (connect, send, read the echo, both ends
close), their latency, and the memory of the whole server while that many connections are open: the proportional set
size of all its processes, and what the kernel keeps for them (page tables, stacks). Rounds are in random order. On a
machine that does other work, too, CPU time for each connection is the steadiest of the figures."""

import argparse
import os
import random
import resource
import select
import signal
import socket
import statistics
import sys
import time

import processes
from servers import ninja, say
import session
import slices

MODELS = ["iterative", "fork", "prefork", "thread", "thread-pool", "epoll", "poll"]
HERE = os.path.dirname(os.path.realpath(__file__))
ROOT = os.path.dirname(os.path.dirname(HERE))
MESSAGE = "hello, is anybody there? 0123456789 abcdefghijklmnopqrstuvwxyz\n"
# Clients that at most are connected without being served, while memory is measured.
BACKLOG = 4096


class Server:
    """mp-echo in a shape, given a listener as the daemon does it."""

    def __init__(self, program, model, clients, workers):
        self.listener = socket.create_server(("127.0.0.1", 0), backlog=BACKLOG)
        self.port = self.listener.getsockname()[1]
        argv = [program, "--model", model, "--idle", "0", "--drain", "0", "--max-connections", str(clients + 100),
                "--workers", str(workers), "--queue", "256"]
        fd = self.listener.fileno()
        pid = os.fork()
        if pid == 0:
            try:
                if fd == 3:
                    os.set_inheritable(fd, True)
                else:
                    os.dup2(fd, 3)
                os.execve(program, argv, {"LISTEN_FDS": "1", "LISTEN_PID": str(os.getpid()), "PATH": "/usr/bin:/bin"})
            finally:
                os._exit(127)
        self.pid = pid
        self.talk()

    def connect(self):
        return socket.create_connection(("127.0.0.1", self.port), 10)

    def talk(self):
        with self.connect() as s:
            s.sendall(b"x")
            if s.recv(1) != b"x":
                raise RuntimeError("no echo")

    def memory(self):
        return processes.memory_kib([self.pid, *processes.descendants(self.pid)])

    def stop(self):
        """Returns the CPU seconds of all its processes."""
        self.listener.close()
        os.kill(self.pid, signal.SIGTERM)
        usage = os.wait4(self.pid, 0)[2]
        return usage.ru_utime + usage.ru_stime


def measure_load(args, server, clients, seconds):
    result = slices.run_load(args.programs, server.port, clients, seconds, MESSAGE, MESSAGE)
    if result["wrong"] or result["errors"]:
        say("  errors: %s, wrong: %d" % (result["errors"], result["wrong"]))
    return result


def hold(server, clients):
    """So many clients that have connected as far as there was room, and how many of them were answered."""
    held, served, poll = {}, 0, select.epoll()
    for _ in range(clients):
        s = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
        s.setblocking(False)
        s.connect_ex(("127.0.0.1", server.port))
        held[s.fileno()] = s
        poll.register(s, select.EPOLLOUT)
        # The listener's queue shall not run over where the server takes out of it.
        if len(held) % 64 == 0:
            served += handle(poll, held, poll.poll(0, 4096))
    # Those who are served answer within a moment, the others when the first are gone.
    while events := poll.poll(1.5, 4096):
        served += handle(poll, held, events)
    poll.close()
    return held, served


def handle(poll, held, events):
    """Sends a byte where a connection is ready, and takes it where it came back; returns how many did."""
    served = 0
    for fd, event in events:
        try:
            if event & select.EPOLLOUT:
                held[fd].send(b"x")
                poll.modify(fd, select.EPOLLIN)
            else:
                served += held[fd].recv(1) == b"x"
                poll.unregister(fd)
        except OSError:
            poll.unregister(fd)
    return served


def measure_memory(server, clients):
    """(KiB, connections that were served): those that wait for a place are open, too."""
    held, served = hold(server, clients)
    try:
        return server.memory(), served
    finally:
        for s in held.values():
            s.close()


def can_open(model, clients):
    """Whether there is memory for so many: a process takes some 200 KiB, and half of the machine is for others."""
    if model != "fork":
        return True
    with open("/proc/meminfo", encoding="ascii") as f:
        available = next(int(line.split()[1]) for line in f if line.startswith("MemAvailable:"))
    limit, _ = resource.getrlimit(resource.RLIMIT_NPROC)
    return clients * 400 < available and (limit == resource.RLIM_INFINITY or clients + 1000 < limit)


def run(args):
    results = {}
    program = os.path.join(os.path.realpath(args.build), "services", "mp-echo")
    jobs = [(model, n) for model in args.models for n in args.clients]
    for number in range(args.rounds):
        random.shuffle(jobs)
        for model, n in jobs:
            if not can_open(model, n):
                continue
            entry = results.setdefault(model, {}).setdefault(n, {"rounds": [], "memory_kib": None, "served": None})
            server = Server(program, model, n, args.workers)
            try:
                load = measure_load(args, server, n, args.seconds)
                time.sleep(0.1)
            finally:
                cpu = server.stop()
            entry["rounds"].append({
                "rate": load["rate"], "p50_us": load["p50_us"], "p99_us": load["p99_us"],
                "cpu_us": cpu * 1e6 / max(1, load["connections"]),
                "errors": sum(load["errors"].values()) + load["wrong"]})
            # What others do on the machine does not change it: once is enough. In a fresh server, as what the load
            # has left behind would be in it.
            if number == 0:
                server = Server(program, model, n, args.workers)
                try:
                    entry["memory_kib"], entry["served"] = measure_memory(server, n)
                finally:
                    server.stop()
        say("round %d of %d" % (number + 1, args.rounds))
    return results


def time_text(usec):
    return "%.2f ms" % (usec / 1000) if usec < 10000 else "%.0f ms" % (usec / 1000)


def rate_text(entry):
    """The best round: the one that others disturbed least."""
    best = max(entry["rounds"], key=lambda r: r["rate"])
    return "%d, %s / %s" % (best["rate"], time_text(best["p50_us"]), time_text(best["p99_us"]))


def cpu_text(entry):
    return "%.0f µs" % statistics.median(r["cpu_us"] for r in entry["rounds"])


def memory_text(entry, n):
    return "%.1f MiB%s" % (entry["memory_kib"] / 1024, "" if entry["served"] == n else " (%d)" % entry["served"])


def show_table(title, results, args, text):
    head = ["model"] + ["%d client%s" % (n, "" if n == 1 else "s") for n in args.clients]
    print(title + ":\n\n| " + " | ".join(head) + " |\n|" + " --- |" * len(head))
    for model in args.models:
        row = [model]
        for n in args.clients:
            entry = results.get(model, {}).get(n)
            row.append(text(entry, n) if entry else "-")
        print("| " + " | ".join(row) + " |")
    print()


def show(results, args):
    """Tables in Markdown."""
    show_table("Connections per second, and p50 / p99 of a connection from connect to end; the best of %d rounds"
               % args.rounds, results, args, lambda entry, n: rate_text(entry))
    show_table("CPU time of the server for each connection, its start and end included; the median", results, args,
               lambda entry, n: cpu_text(entry))
    show_table("Memory with so many connections open; in brackets how many of them are being served, if not all",
               results, args, memory_text)
    bad = sum(r["errors"] for m in results.values() for entry in m.values() for r in entry["rounds"])
    print("%d CPUs, Linux %s, %d workers; %d connections went wrong." % (
        len(os.sched_getaffinity(0)), os.uname().release, args.workers, bad))


def parse(argv):
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--build", default="build", help="folder that meson built in (default: build)")
    parser.add_argument("--models", type=session.words, default=MODELS, help="only these")
    parser.add_argument("--clients", type=session.numbers, default=[1, 64, 1000, 10000], help="default: 1,64,1000,10000")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--seconds", type=float, default=1.0, help="length of a slice of load")
    parser.add_argument("--workers", type=int, default=8, help="processes of prefork, threads of thread-pool")
    parser.add_argument("--quick", action="store_true", help="one short round with few clients")
    parser.add_argument("--json", help="write all results to this file")
    args = parser.parse_args(argv)
    if args.quick:
        args.clients, args.rounds, args.seconds = [1, 64], 1, 0.3
    unknown = set(args.models) - set(MODELS)
    if unknown:
        parser.error("no such model: %s" % ", ".join(sorted(unknown)))
    return args


def allow_descriptors(args):
    """Two for each client, of which one is in the server: leaves out what is not allowed."""
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    fit = [n for n in args.clients if n + 300 < hard]
    if fit != args.clients:
        say("only %d descriptors are allowed: without the larger numbers of clients" % hard)
    args.clients = fit


def main(argv):
    args = parse(argv)
    args.build = os.path.realpath(args.build)
    args.programs = os.path.join(args.build, "tests", "bench")
    ninja(args.build, "bench-programs", "services/mp-echo")
    allow_descriptors(args)
    results = run(args)
    show(results, args)
    if args.json:
        session.write_json(args.json, {"clients": args.clients, "workers": args.workers, "results": results})
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
