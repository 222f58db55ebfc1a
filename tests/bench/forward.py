#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""mp-forward beside socat and systemd-socket-proxyd: bytes a second over 1 and 8 connections, and new connections a
second, all over loopback in one run, taking turns. The ends cost little: the sender uses sendfile(2), the receiver throws
away what it gets without copying it. What stands there without a forwarder is the bound that nobody can pass. The CPU is
the forwarder's own."""
import argparse
import contextlib
import json
import os
import shutil
import socket
import statistics
import subprocess
import time

import processes
from servers import ninja, say
import slices

PROXYD = "/lib/systemd/systemd-socket-proxyd"
PIECE = 1 << 20
CONCURRENCY = 16
ONE, EIGHT, CPU_BULK = "MB/s over 1", "MB/s over 8", "CPU ms/GB"
RATE, CPU_RATE = "connections/s", "CPU us each"
MEASURES = (ONE, EIGHT, CPU_BULK, RATE, CPU_RATE)


def start_listening(command, listener):
    """Starts a program with the listener as descriptor 3, after LISTEN_FDS."""
    def move():
        os.dup2(listener.fileno(), 3)
        os.set_inheritable(3, True)

    words = ["sh", "-c", 'LISTEN_PID=$$ LISTEN_FDS=1 exec "$@"', "sh", *command]
    # preexec_fn moves what it needs itself; everything else of ours is close-on-exec.
    return subprocess.Popen(words, preexec_fn=move, close_fds=False)  # noqa: PLW1509


def listen():
    return socket.create_server(("127.0.0.1", 0), backlog=1024)


class Forwarder:
    """One of those that are compared, in front of a backend's port."""

    def __init__(self, name, build, backend):
        self.name = name
        self.process = None
        self.port = backend
        if name == "none":
            return
        with listen() as listener:
            self.port = listener.getsockname()[1]
            if name == "mp-forward":
                command = [os.path.join(build, "services", "mp-forward"), f"tcp:127.0.0.1:{backend}"]
                self.process = start_listening(command, listener)
            elif name == "proxyd":
                self.process = start_listening([PROXYD, "--connections-max=1000", f"127.0.0.1:{backend}"], listener)
        if name == "socat":
            self.process = subprocess.Popen(
                ["socat", f"TCP-LISTEN:{self.port},fork,reuseaddr,backlog=1024,bind=127.0.0.1",
                 f"TCP:127.0.0.1:{backend}"], stderr=subprocess.DEVNULL)
        self.wait()

    def wait(self):
        end = time.monotonic() + 10
        while time.monotonic() < end:
            try:
                with socket.create_connection(("127.0.0.1", self.port), 5) as s:
                    s.sendall(b"0\n")
                    if s.recv(1):
                        return
            except OSError:
                time.sleep(0.02)
        raise SystemExit(f"bench: {self.name} does not answer")

    def cpu_seconds(self):
        """Its own, and of its children."""
        if not self.process:
            return 0.0
        return processes.cpu_seconds(self.process.pid)

    def close(self):
        if self.process:
            self.process.terminate()
            self.process.wait()


def send_bulk(port, n):
    """In a process of its own: its exit status says whether all arrived."""
    pid = os.fork()
    if pid:
        return pid
    status = 1
    try:
        memory = os.memfd_create("bulk")
        os.ftruncate(memory, PIECE)
        with socket.create_connection(("127.0.0.1", port)) as s:
            s.sendall(b"%d\n" % n)
            s.recv(1)
            left = n
            while left > 0:
                left -= os.sendfile(s.fileno(), memory, 0, min(left, PIECE))
            status = 0 if s.recv(100) == b"done" else 1
    finally:
        os._exit(status)


def bulk(forwarder, connections, total):
    """MB/s."""
    begin = time.monotonic()
    pids = [send_bulk(forwarder.port, total // connections) for _ in range(connections)]
    if any([os.waitpid(pid, 0)[1] for pid in pids]):
        raise SystemExit(f"bench: {forwarder.name} lost bytes")
    return total / (time.monotonic() - begin) / 1e6


def connections(forwarder, build, seconds):
    """New connections a second, each of which gets five bytes and the end; and how many there were."""
    result = slices.run_load(os.path.join(build, "tests", "bench"), forwarder.port, CONCURRENCY, seconds, "hello")
    if result.get("errors"):
        say(f"{forwarder.name}: errors: {result['errors']}")
    return result["rate"], result["connections"]


def show(results, names):
    def median(name, measure):
        return statistics.median(results[name][measure])

    print(f"{'':14}" + "".join(f"{m:>16}" for m in MEASURES))
    for name in names:
        print(f"{name:14}" + "".join(f"{median(name, m):>16.0f}" for m in MEASURES))
    print()
    for other in names:
        if other not in ("none", "mp-forward"):
            print(f"{'to ' + other:14}" + "".join(
                f"{median('mp-forward', m) / (median(other, m) or 1):>15.2f}x" for m in MEASURES))
    print("\nOn a machine that is busy with other things only the CPU says much: less is better.")


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--build", default="build-release")
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--bytes", type=int, default=1 << 30, help="of one transfer")
    parser.add_argument("--seconds", type=float, default=1.5, help="of one measurement of connections")
    parser.add_argument("--quick", action="store_true", help="to see that it works")
    parser.add_argument("--json", action="store_true")
    args = parser.parse_args()
    if args.quick:
        args.rounds, args.bytes, args.seconds = 1, 1 << 27, 0.3
    ninja(args.build, "bench-programs", "services/mp-forward")
    names = ["none", "mp-forward"]
    names += ["proxyd"] if os.access(PROXYD, os.X_OK) else []
    names += ["socat"] if shutil.which("socat") else []
    results = {name: {measure: [] for measure in MEASURES} for name in names}
    backends = []

    def backend(*arguments):
        with listen() as listener:
            backends.append(start_listening([os.path.join(args.build, "tests", "bench", "forward-end"), *arguments],
                                            listener))
            return listener.getsockname()[1]

    try:
        bulk_port, greet_port = backend(), backend("greet")
        for round_ in range(args.rounds):
            say(f"round {round_ + 1} of {args.rounds}")
            for name in names:
                r = results[name]
                with contextlib.closing(Forwarder(name, args.build, bulk_port)) as f:
                    cpu = f.cpu_seconds()
                    r[ONE].append(bulk(f, 1, args.bytes))
                    r[EIGHT].append(bulk(f, 8, args.bytes))
                    r[CPU_BULK].append((f.cpu_seconds() - cpu) * 1e3 / (2 * args.bytes / 1e9))
                with contextlib.closing(Forwarder(name, args.build, greet_port)) as f:
                    cpu = f.cpu_seconds()
                    rate, n = connections(f, args.build, args.seconds)
                    r[RATE].append(rate)
                    r[CPU_RATE].append((f.cpu_seconds() - cpu) * 1e6 / max(n, 1))
    finally:
        for process in backends:
            process.kill()
            process.wait()
    if args.json:
        print(json.dumps(results))
    else:
        show(results, names)


if __name__ == "__main__":
    main()
