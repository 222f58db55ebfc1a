# SPDX-License-Identifier: MIT
"""One daemon of everything, what it is made to do in phases, and what has to hold after each (the invariants of
docs/faults.md): the same process, answering, with the descriptors of before, no zombie, sums that add up, at rest."""
import contextlib
import json
import os
import signal
import socket
import subprocess
import time

from faults import Injection
from harness import (MPINETD, PATIENCE, Daemon, VarlinkError, children_of, exchange, free_port, lasting_descriptors_of,
                     wait_until)

# Says of itself what it is told to say, until its client goes.
TALKER = ("while read x; do echo STATUS=$x >&$MP_STATUS_FD; echo X_n=1 >&$MP_STATUS_FD; echo said $x >&2; echo done; done")
# How long a client waits for what may never come, since a fault may take it.
SHORT = 0.4
EPOLL = {"232", "281", "441"}  # of x86_64
EPOLL_ELSEWHERE = {"22", "441"}
# Of these nobody is active but who is held.
WATCHED = ("s", "u", "talker")


class Broken(AssertionError):
    """An invariant that does not hold."""


def waits(pid):
    """Whether the process is in epoll_wait(2)."""
    try:
        with open(f"/proc/{pid}/syscall", encoding="utf-8") as file:
            words = file.read().split()
    except OSError:
        return True
    return bool(words) and words[0] in (EPOLL if os.uname().machine == "x86_64" else EPOLL_ELSEWHERE)


def settle(pid, seconds=2.0):
    """Waits until the process has nothing to do: it is seen waiting some times in a row."""
    end, seen = time.monotonic() + seconds, 0
    while seen < 4 and time.monotonic() < end:
        seen = seen + 1 if waits(pid) else 0
        time.sleep(0.002)


def run_time(pid):
    """Seconds of processor time so far."""
    with open(f"/proc/{pid}/schedstat", encoding="utf-8") as file:
        return int(file.read().split()[0]) / 1e9


def config(n):
    """One of two that differ in what a reload can do."""
    echo = {"listen": "tcp:127.0.0.1:0", "exec": ["mp-echo"]}
    return {"services": {
        "s": {**echo, "listen": [{"endpoint": "tcp:127.0.0.1:0", "backlog": 100 + n}], "access": {"allow": ["any"]}, "limits": {"rate_per_source": "100000/s"}},
        "u": {"listen": "unix:{dir}/u.sock", "exec": ["mp-echo"], "prespawn": 1},
        "udp": {"listen": "udp:127.0.0.1:0", "exec": ["mp-echo"], "restart": {"delay": "10ms", "max_delay": "20ms"}},
        "w": {**echo, "model": "pool", "environment": {"N": str(n)}, "pool": {"min": 1, "max": 1, "spare_min": 0, "spare_max": 1},
              "restart": {"delay": "10ms", "max_delay": "20ms", "limit": "1000/1s"}},
        "talker": {**echo, "exec": ["/bin/sh", "-c", TALKER], "report": True},
        "switch": {**echo},
        ("comes", "goes")[n]: {**echo, "listen": [f"unix:{{dir}}/{n}.sock", "tcp:127.0.0.1:0"]}}}


class Scenario:
    def __init__(self, environment=None):
        self.environment = environment or {}
        self.d = self.held = self.talker = None
        self.n = self.unread = 0

    # ---- the daemon
    def start(self, wrap=()):
        self.n = 0
        self.d = Daemon(config(0), wait=None, environment=self.environment, wrap=wrap)
        self.d.start(wait=False)

    def get_ready(self):
        d = self.d
        d.wait_ready()
        for name in ("s", "w", "switch", "talker"):
            d.ports[name] = d.port(name)
        d.ports["udp"] = d.port("udp")
        self.held = d.dial_fast("s")
        self.held.settimeout(PATIENCE)
        self.talker = None
        self.whole()
        for phase in ("connect", "report", "control", "reload", "upgrade"):
            getattr(self, phase)()
            self.whole()
        self.descriptors = len(d.quiet_descriptors())

    def stop(self):
        for s in (self.held, self.talker):
            if s:
                s.close()
        self.held = self.talker = None
        if self.d and self.d.process and self.d.process.poll() is None:
            self.d.process.send_signal(signal.SIGCONT)
            self.d.kill()
        if self.d:
            for child, _ in children_of(os.getpid()):
                with contextlib.suppress(ChildProcessError):
                    os.waitpid(child, os.WNOHANG)
            self.d.remove()
        self.d = None

    # ---- phases: what is done, while something may fail; nobody is sure of an answer
    def connect(self):
        """Connections of each kind."""
        d = self.d
        for name in ("s", "u", "w"):
            with contextlib.suppress(OSError):
                if name == "u":
                    with socket.socket(socket.AF_UNIX) as c:
                        c.settimeout(SHORT)
                        c.connect(d.path("u.sock"))
                        exchange(c, b"x")
                else:
                    with socket.create_connection(("127.0.0.1", d.ports[name]), SHORT) as c:
                        exchange(c, b"x")
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as c, contextlib.suppress(OSError):
            c.settimeout(SHORT)
            c.connect(("127.0.0.1", d.ports["udp"]))
            c.send(b"x")
            c.recv(10)
            for pid, state in children_of(d.pid):
                if state != "Z" and b"mp-echo" in self.command(pid) and self.has_udp(pid):
                    os.kill(pid, signal.SIGTERM)
        settle(d.pid)

    @staticmethod
    def command(pid):
        with contextlib.suppress(OSError), open(f"/proc/{pid}/cmdline", "rb") as file:
            return file.read()
        return b""

    def has_udp(self, pid):
        """Whether it is the process of the datagram service."""
        with contextlib.suppress(OSError), open(f"/proc/{pid}/environ", "rb") as file:
            return b"MP_SERVICE=udp\0" in file.read() + b"\0"
        return False

    def report(self):
        """A process that says something of itself, and ends."""
        with contextlib.suppress(OSError):
            with socket.create_connection(("127.0.0.1", self.d.ports["talker"]), SHORT) as c:
                c.settimeout(SHORT)
                c.sendall(b"one\ntwo\n")
                c.recv(100)
                settle(self.d.pid)
        settle(self.d.pid)

    def control(self):
        """Questions and orders, each on a connection of its own."""
        for method, parameters in (("Ping", {}), ("Status", {}), ("Describe", {"service": "s"}), ("Instances", {}), ("Events", {"last": 3}), ("Metrics", {}), ("GetConfig", {}),
                                   ("Bans", {}), ("Set", {"service": "s", "limits.rate": "1000/s"}), ("Pause", {"services": ["switch"]}), ("Resume", {"services": ["switch"]}),
                                   ("Stop", {"services": ["switch"]}), ("Start", {"services": ["switch"]}), ("Restart", {"services": ["w"]})):
            self.call(method, parameters)

    def call(self, method, parameters=None, timeout=SHORT * 2):
        """The reply, an error, or None when there was none."""
        try:
            with self.d.connect(timeout) as control:
                return control.call(method, **(parameters or {}))
        except VarlinkError as error:
            return error
        except (OSError, ConnectionError):
            return None

    def reload(self):
        self.d.write_config(config(1 - self.n))
        reply = self.call("Reload", timeout=PATIENCE)
        if reply is None or not isinstance(reply, VarlinkError):
            self.n = 1 - self.n
        settle(self.d.pid)

    def upgrade(self):
        self.call("Upgrade", timeout=PATIENCE)
        settle(self.d.pid)

    # ---- what holds
    def whole(self):
        """Everything answers, and is what it was."""
        d = self.d
        try:
            self.look()
        except (AssertionError, OSError, VarlinkError, ConnectionError) as error:
            if d.process.poll() is not None:
                raise Broken(f"it ended with {d.process.returncode}") from None
            raise Broken(str(error) or repr(error)) from None

    def look(self):
        d = self.d
        if d.process.poll() is not None:
            raise Broken(f"it ended with {d.process.returncode}")
        if d.call("Ping")["pid"] != d.pid:
            raise Broken("another process answers")
        self.right_config()
        self.right_orders()
        status = wait_until(self.settled, "all services to be in order", interval=0.02)
        for name in ("s", "w", "switch"):
            d.ports[name] = next(x for x in status if x["name"] == name)["listeners"][0]["port"]
            with d.dial_fast(name) as c:
                if exchange(c, name.encode()) != name.encode():
                    raise Broken(f"{name} does not answer")
        with socket.socket(socket.AF_UNIX) as c:
            c.settimeout(PATIENCE)
            c.connect(d.path("u.sock"))
            if exchange(c, b"u") != b"u":
                raise Broken("u does not answer")
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as c:
            c.settimeout(PATIENCE)
            c.connect(("127.0.0.1", d.ports["udp"]))
            c.send(b"udp")
            if c.recv(10) != b"udp":
                raise Broken("udp does not answer")
        self.held.sendall(b"held")
        if self.held.recv(10) != b"held":
            raise Broken("the held connection is gone")
        self.nothing_left()

    def right_config(self):
        """A reload that was refused, or whose reply was lost, is made good."""
        wanted = {s for s in config(self.n)["services"]}
        with contextlib.suppress(AssertionError):
            wait_until(lambda: {s["name"] for s in self.d.status()["services"]} == wanted, "the services", deadline=0.1)
            return
        self.d.write_config(config(self.n))
        self.d.call("Reload")
        wait_until(lambda: {s["name"] for s in self.d.status()["services"]} == wanted, "the services of the config")

    def right_orders(self):
        """Of orders one may have been carried out, and not the one that takes it back."""
        state = next(s["state"] for s in self.d.status()["services"] if s["name"] == "switch")
        if state in ("stopped", "paused"):
            self.d.call("Resume" if state == "paused" else "Start", services=["switch"])

    def settled(self):
        """The services, when none has a problem, and each has the processes that it should have."""
        services = self.d.status()["services"]
        for s in services:
            if any(x["error"] for x in s["listeners"]) or s["state"] in ("failed", "backoff", "starting", "stopped", "paused"):
                return None
            if s["name"] in WATCHED and s["active"] != (1 if s["name"] == "s" and self.held else 0):
                return None
            if s["name"] == "w" and s["workers"] != {"idle": 1, "busy": 0, "starting": 0}:
                return None
        return services

    def nothing_left(self):
        d = self.d

        def sums():
            for s in d.status()["services"]:
                if s["spawned"] != s["active"] + sum(s["exited"].values()):
                    return None
                if s["model"] == "per-connection" and s["accepted"] != s["spawned"] + s["spawn_failed"] + sum(s["refused"].values()) + s["gone"]:
                    return None
            return True
        wait_until(sums, f"the counters to add up: {json.dumps([{k: s[k] for k in ('name', 'accepted', 'spawned', 'spawn_failed', 'active', 'exited', 'gone')} for s in d.status()['services']])}",
                   deadline=3)
        wait_until(lambda: all(state != "Z" for _, state in children_of(d.pid)), "no zombie", deadline=3)
        # Who is held, the worker, one set up ahead, and one of the datagrams that may have ended.
        wait_until(lambda: len(children_of(d.pid)) in (3, 4), "its processes, and no others", deadline=5)
        if getattr(self, "descriptors", None):
            wait_until(lambda: abs(len(lasting_descriptors_of(d.pid)) - self.descriptors) <= 3, f"about {self.descriptors} descriptors", deadline=3)
        before, start = run_time(d.pid), time.monotonic()
        time.sleep(0.01)
        if run_time(d.pid) - before > 0.8 * (time.monotonic() - start):
            time.sleep(0.5)
            before, start = run_time(d.pid), time.monotonic()
            time.sleep(0.3)
            if run_time(d.pid) - before > 0.5 * (time.monotonic() - start):
                raise Broken("it does not rest")
