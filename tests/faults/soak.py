#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""One daemon with services of each model under mixed load for long: connections, reloads, upgrades, processes that crash,
hostile clients. Looked at each second; at the end, whether anything grew.

    soak.py [--build build-release] [--minutes 60] [--out build/soak]

Leaves samples.json, verdict.txt and a plot of each thing that was looked at."""
import argparse
import contextlib
import ctypes
import json
import os
import random
import re
import signal
import socket
import subprocess
import sys
import threading
import time

HERE = os.path.dirname(os.path.realpath(__file__))
sys.path[:0] = [HERE, os.path.join(HERE, "..", "integration"), os.path.join(HERE, "..", "bench")]


def parse_arguments():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--build", default="build-release")
    parser.add_argument("--minutes", type=float, default=60)
    parser.add_argument("--out", default=os.path.join(HERE, "..", "..", "build", "soak"))
    parser.add_argument("--at-once", type=int, default=1, help="connections of each load")
    return parser.parse_args()


OPTIONS = parse_arguments() if __name__ == "__main__" else None
if OPTIONS:
    os.environ["BUILD_DIR"] = os.path.realpath(OPTIONS.build)
import slopes  # noqa: E402
import smaps  # noqa: E402
import svg  # noqa: E402
from harness import PATIENCE, Daemon, VarlinkError, children_of, descriptors_of, free_port, process_alive, wait_until  # noqa: E402
from steady import MP_CLIENT  # noqa: E402

RELOAD_EVERY, UPGRADE_EVERY, CRASH_EVERY, HOSTILE_EVERY = 5.0, 20.0, 0.5, 0.2
# What is looked at: (name, unit, by how much it may grow, of a block its middle or its lowest tenth).
WATCHED = (("resident", "KiB", 1024, 0.1), ("dirty", "KiB", 1024, 0.1), ("descriptors", "", 3, 0.1), ("children", "", 4, 0.1), ("zombies", "", 0, 0.5),
           ("canary p50", "ms", 5, 0.5), ("canary p99", "ms", 50, 0.5), ("ping", "ms", 20, 0.5), ("log lines", "a second", 20, 0.5))
# INV-4 and INV-5 of a machine that does nothing else; here it does all that it can.
CANARY_MS, PING_MS = 250, 250


def services(backend, n):
    """One of each way in which connections come to processes; n changes something of them."""
    def echo(**keys):
        return {"listen": "tcp:127.0.0.1:0", "exec": ["mp-echo"], **keys}
    return {"canary": echo(), "forks": echo(limits={"instances": 500 + n % 100}), "ahead": echo(prespawn=2),
            "workers": echo(model="pool", pool={"min": 2, "max": 4 + n % 2}), "passed": echo(model="pool", pool={"min": 2, "max": 4, "handoff": "connection"}),
            "waits": echo(model="on-demand", timeouts={"stop": 5 + n % 3}), "datagrams": {"listen": "udp:127.0.0.1:0", "exec": ["mp-echo"], "timeouts": {"idle": "2s"}},
            "local": {"listen": "unix:{dir}/local.sock", "exec": ["mp-echo"]}, "backend": {"listen": f"tcp:127.0.0.1:{backend}", "exec": ["mp-echo"]},
            "relay": {"listen": "tcp:127.0.0.1:0", "model": "forward", "to": f"tcp:127.0.0.1:{backend}"},
            "mux": {"listen": "tcp:127.0.0.1:0", "model": "tcpmux"}, "named": {"exec": ["mp-echo"], "tcpmux": "named"},
            "crashes": echo(exec=["{bad-child}", "abort"], resources={"core": 0}), "fails": echo(exec=["/bin/false"]),
            "talks": {"listen": "tcp:127.0.0.1:0", "report": True, "exec": ["/bin/sh", "-c", "echo STATUS=$$ >&$MP_STATUS_FD; echo words >&2; cat"]},
            "picky": echo(limits={"per_source": 2, "rate_per_source": "20/s"}, ban={"after": "1000/1s", "for": "1s"}),
            **({"comes": echo()} if n % 2 else {})}


LOADED = ("forks", "ahead", "workers", "passed", "waits", "relay", "local")


class Canary(threading.Thread):
    """A client of a service and of the control socket, over and over; what took how long since it was last asked."""

    def __init__(self, daemon):
        super().__init__(daemon=True)
        self.d, self.port, self.over = daemon, daemon.port("canary"), threading.Event()
        self.lock, self.asked, self.pings, self.problems = threading.Lock(), [], [], []

    def run(self):
        while not self.over.wait(0.02):
            start = time.monotonic()
            try:
                with socket.create_connection(("127.0.0.1", self.port), PATIENCE) as s:
                    s.sendall(b"canary")
                    if s.recv(6) != b"canary":
                        self.problems.append("the canary was not answered")
                middle = time.monotonic()
                self.d.call("Ping")
                with self.lock:
                    self.asked.append(middle - start)
                    self.pings.append(time.monotonic() - middle)
            except (OSError, ConnectionError, VarlinkError) as error:
                self.problems.append(repr(error))

    def take(self):
        with self.lock:
            asked, pings, self.asked, self.pings = self.asked, self.pings, [], []
        return asked, pings


class Worker(threading.Thread):
    """Does something again and again; what goes wrong in it is a problem of the run."""

    def __init__(self, every, act):
        super().__init__(daemon=True)
        self.every, self.act, self.over, self.problems, self.times = every, act, threading.Event(), [], 0

    def run(self):
        while not self.over.wait(self.every):
            try:
                self.act(self.times)
                self.times += 1
            except (AssertionError, OSError, VarlinkError, ValueError) as error:
                self.problems.append(f"{self.act.__name__}: {error!r}")


class Soak:
    def __init__(self, out):
        self.out, self.backend, self.source = out, free_port(), random.Random(1)
        self.d = Daemon({"services": services(self.backend, 0)}, options=["--log-level", "warning"])
        self.pid, self.samples, self.problems, self.loads = self.d.pid, [], [], {}
        self.ports = {name: self.d.port(name) for name in ("crashes", "fails", "talks", "picky", "datagrams", "mux", "workers", "forks")}
        self.seen_zombies, self.log_at, self.reloads = set(), 0, 0

    # ---- what is done to it
    def reload(self, n):
        self.d.write_config({"services": services(self.backend, n + 1)})
        with self.d.connect(PATIENCE * 6) as control:
            if not control.call("Reload")["ok"]:
                raise ValueError("a reload came to nothing")

    def upgrade(self, _):
        with self.d.connect(PATIENCE * 6) as control:
            try:
                control.call("Upgrade")
            except VarlinkError as error:
                # Whoever reads the config has it under way: said, and tried again.
                if not error.name.endswith("InvalidState"):
                    raise

    def crash(self, n):
        """Processes that end badly by themselves, and one that is killed: of a service whose clients expect it."""
        for name in ("crashes", "fails", "talks"):
            with contextlib.suppress(ConnectionResetError, BrokenPipeError, TimeoutError):
                with socket.create_connection(("127.0.0.1", self.ports[name]), PATIENCE) as s:
                    s.settimeout(PATIENCE)
                    s.sendall(b"x")
                    if name != "talks" or n % 2:
                        s.shutdown(socket.SHUT_WR)
                        s.recv(10)
                    else:
                        for instance in self.d.instances("talks"):
                            with contextlib.suppress(VarlinkError):
                                self.d.call("Signal", pid=instance["pid"], signal="SIGKILL")

    def datagrams(self, n):
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as s, contextlib.suppress(TimeoutError, ConnectionRefusedError):
            s.settimeout(1)
            s.connect(("127.0.0.1", self.ports["datagrams"]))
            s.send(b"d%d" % n)
            s.recv(100)
        with socket.create_connection(("127.0.0.1", self.ports["mux"]), PATIENCE) as s:
            s.settimeout(PATIENCE)
            s.sendall(b"named\r\nx" if n % 3 else b"nobody\r\n")
            s.shutdown(socket.SHUT_WR)
            while s.recv(100):
                pass

    def hostile(self, n):
        """Clients that mean no good: of the control socket, and of services."""
        kind = n % 6
        if kind < 3:
            text = (self.source.randbytes(5000), b"\0" * 3000, b'{"method":"x' + b"[" * 70000)[kind]
            with socket.socket(socket.AF_UNIX) as s, contextlib.suppress(OSError):
                s.settimeout(PATIENCE)
                s.connect(self.d.socket)
                s.sendall(text)
        elif kind == 3:
            with contextlib.ExitStack() as stack, contextlib.suppress(OSError):
                for _ in range(20):
                    s = stack.enter_context(socket.create_connection(("127.0.0.1", self.ports["picky"]), PATIENCE))
                    s.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
        elif kind == 4:
            with socket.socket(socket.AF_UNIX) as s, contextlib.suppress(OSError):
                s.settimeout(1)
                s.connect(self.d.socket)
                s.sendall(b'{"method":"dev.mpinetd.Control.Status"}\0' * 200)
        else:
            with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as s, contextlib.suppress(OSError):
                s.connect(("127.0.0.1", self.ports["datagrams"]))
                s.send(b"")

    # ---- what is looked at
    def log_lines(self):
        """So many since it was last asked; each is JSON without control bytes (INV-10)."""
        n = 0
        with open(self.d.log_path, "rb") as log:
            log.seek(self.log_at)
            for line in log:
                if not line.endswith(b"\n"):
                    break
                self.log_at += len(line)
                n += 1
                if not line.startswith(b"{"):  # diagnostics of the config are text
                    continue
                try:
                    json.loads(line)
                except ValueError:
                    self.problems.append(f"a log line that is no JSON: {line[:100]!r}")
                if re.search(rb"[\x00-\x09\x0b-\x1f\x7f]", line):
                    self.problems.append(f"a control byte in the log: {line[:100]!r}")
        return n

    def sums(self):
        """INV-8, of each service."""
        for s in self.d.status()["services"]:
            if s["spawned"] != s["active"] + sum(s["exited"].values()):
                self.problems.append(f"{s['name']}: {s['spawned']} spawned, {s['active']} active, ended {s['exited']}")

    def sample(self, seconds, canary):
        memory = smaps.of(self.pid)
        zombies = {pid for pid, state in children_of(self.pid) if state == "Z"}
        asked, pings = canary.take()
        stale, self.seen_zombies = zombies & self.seen_zombies, zombies
        self.samples.append({"seconds": seconds, "resident": memory["Rss"] / 1024, "dirty": memory["Private_Dirty"] / 1024, "descriptors": len(descriptors_of(self.pid)),
                             "children": len(children_of(self.pid)), "zombies": len(stale), "log lines": self.log_lines(),
                             "canary p50": 1000 * slopes.quantile(asked, 0.5) if asked else None, "canary p99": 1000 * slopes.quantile(asked, 0.99) if asked else None,
                             "ping": 1000 * slopes.quantile(pings, 0.99) if pings else None})
        self.sums()

    def run(self, seconds):
        for name in LOADED:
            endpoint = f"unix:{self.d.path('local.sock')}" if name == "local" else f"tcp:127.0.0.1:{self.d.port(name)}"
            self.loads[name] = subprocess.Popen([MP_CLIENT, "--load", "--json", "--at-once", str(OPTIONS.at_once if OPTIONS else 1), "--time", "10d", "--hold", "5ms", endpoint],
                                                stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        canary = Canary(self.d)
        workers = [Worker(every, act) for every, act in ((RELOAD_EVERY, self.reload), (UPGRADE_EVERY, self.upgrade), (CRASH_EVERY, self.crash),
                                                         (HOSTILE_EVERY, self.hostile), (0.3, self.datagrams))]
        for thread in (canary, *workers):
            thread.start()
        start = time.monotonic()
        while time.monotonic() - start < seconds and self.d.process.poll() is None:
            time.sleep(1)
            try:
                self.sample(time.monotonic() - start, canary)
            except (OSError, VarlinkError, ConnectionError) as error:
                self.problems.append(f"a sample: {error!r}")
            if int(time.monotonic() - start) % 60 == 0:
                print(f"{time.monotonic() - start:6.0f} s: {json.dumps({k: round(v, 1) for k, v in self.samples[-1].items() if v is not None})}", flush=True)
        for thread in (*workers, canary):
            thread.over.set()
        for thread in (*workers, canary):
            thread.join(PATIENCE * 6)
            self.problems += thread.problems
        self.end_load()
        self.done = {w.act.__name__: w.times for w in workers}

    def end_load(self):
        self.tallies = {}
        for name, process in self.loads.items():
            process.send_signal(signal.SIGINT)
            out, said = process.communicate(timeout=PATIENCE * 3)
            self.tallies[name] = tally = json.loads(out)
            if tally["failed"]:
                self.problems.append(f"{name}: {tally['failed']} of {tally['answered']} connections failed: {tally['failures']} {said[-300:]}")

    def at_rest(self):
        """When all have gone: nobody is active, everything is accounted for, and what was asked for goes on."""
        d = self.d
        if d.process.poll() is not None:
            self.problems.append(f"the daemon ended with {d.process.returncode}")
            return
        for name in ("forks", "ahead", "talks", "crashes", "fails", "picky", "local", "canary"):
            try:
                s = d.wait_service(name, active=0)
                if s["accepted"] != s["spawned"] + s["spawn_failed"] + sum(s["refused"].values()) + s["gone"]:
                    self.problems.append(f"{name}: the counters do not add up: {s}")
            except AssertionError as error:
                self.problems.append(str(error)[:500])
        if d.call("Ping")["pid"] != self.pid:
            self.problems.append("another process answers")

    # ---- what is made of it
    def verdict(self):
        """[(name, unit, grown, flat)] and whether all is well."""
        found = []
        for name, unit, allowed, share in WATCHED:
            points = [(s["seconds"], s[name]) for s in self.samples if s[name] is not None]
            grown = slopes.growth(points, share) if len(points) > 1 else {"grown": 0.0, "low": 0.0, "high": 0.0}
            found.append((name, unit, grown, allowed, slopes.is_flat(grown, allowed)))
        for name, most in (("canary p50", CANARY_MS), ("ping", PING_MS)):
            values = [s[name] for s in self.samples if s[name] is not None]
            middle = slopes.quantile(values, 0.5) if values else None
            if middle is None or middle > most:
                self.problems.append(f"{name}: {middle} ms in the middle second, not {most}")
        if any(s["zombies"] for s in self.samples):
            self.problems.append(f"zombies in {sum(bool(s['zombies']) for s in self.samples)} samples")
        return found

    def write(self):
        os.makedirs(self.out, exist_ok=True)
        found = self.verdict()
        lines = []
        for name, unit, grown, allowed, flat in found:
            values = [s[name] for s in self.samples if s[name] is not None] or [0]
            lines.append(f"{name:12} {'flat' if flat else 'GROWS':6} by {grown['grown']:9.2f} ({grown['low']:.2f} to {grown['high']:.2f}) {unit}, of {allowed} allowed; "
                         f"between {min(values):.1f} and {max(values):.1f}, {slopes.quantile(values, 0.5):.1f} in the middle")
        for name, tally in self.tallies.items():
            lines.append(f"{name:12} {tally['answered']} connections answered, {tally['failed']} failed, {tally['rate']:.0f} a second")
        lines.append("done: " + ", ".join(f"{times} {name}" for name, times in self.done.items()))
        lines += [f"PROBLEM: {p}" for p in self.problems[:20]]
        if len(self.problems) > 20:
            lines.append(f"and {len(self.problems) - 20} more problems")
        good = not self.problems and all(flat for *_, flat in found)
        lines.append("flat, and nothing was lost" if good else "NOT as it should be")
        text = "\n".join(lines) + "\n"
        with open(os.path.join(self.out, "verdict.txt"), "w", encoding="utf-8") as file:
            file.write(text)
        with open(os.path.join(self.out, "samples.json"), "w", encoding="utf-8") as file:
            json.dump({"samples": self.samples, "tallies": self.tallies, "done": self.done, "problems": self.problems,
                       "grown": {name: grown for name, _, grown, *_ in found}}, file)
        for name, unit, *_ in found:
            points = [(s["seconds"] / 60, s[name]) for s in self.samples if s[name] is not None]
            if len(points) > 1:
                with open(os.path.join(self.out, name.replace(" ", "-") + ".svg"), "w", encoding="utf-8") as file:
                    file.write(svg.panels(f"{name[0].upper()}{name[1:]} under mixed load", "minutes", [(f"{name}, {unit}" if unit else name, points)]))
        print(text, end="")
        return good


def main():
    ctypes.CDLL(None).prctl(36, 1, 0, 0, 0)
    soak = Soak(os.path.realpath(OPTIONS.out))
    try:
        soak.run(OPTIONS.minutes * 60)
        soak.at_rest()
        good = soak.write()
        try:
            soak.d.stop()
        except AssertionError as error:
            print(f"PROBLEM: {error}")
            good = False
    finally:
        soak.d.kill()
        for process in soak.loads.values():
            if process.poll() is None:
                process.kill()
    soak.d.remove()
    return 0 if good else 1


if __name__ == "__main__":
    sys.exit(main())
