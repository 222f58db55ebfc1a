# SPDX-License-Identifier: MIT
"""One daemon of a soak, with all that is done to it and all that is looked at meanwhile."""
import contextlib
import json
import multiprocessing
import os
import re
import resource
import signal
import socket
import subprocess
import threading
import time

import slopes
import smaps
from harness import (PATIENCE, Daemon, User, Varlink, VarlinkError, children_of, cpu_seconds, descriptors_of, free_port, is_at_rest,
                     process_alive, wait_until)
from soak_abuse import Abuse
from soak_services import COUNTED, LOADED, config
from soak_strangers import READING, stranger
from steady import MP_CLIENT

STRANGER_EVERY = 0.3
HELD = 10
PROBLEMS_MAX = 1000
CONTROL = re.compile(rb"[\x00-\x09\x0b-\x1f\x7f]")


class Worker(threading.Thread):
    """Does something again and again; what goes wrong in it is a problem of the run."""

    def __init__(self, every, act):
        super().__init__(daemon=True)
        self.every, self.act, self.over, self.problems, self.times = every, act, threading.Event(), [], 0

    def run(self):
        n = 0
        while not self.over.wait(self.every):
            try:
                self.act(n)
                self.times += 1
            except (AssertionError, OSError, VarlinkError, ValueError) as error:
                if len(self.problems) < PROBLEMS_MAX:
                    self.problems.append(f"{self.act.__name__} {n}: {error!r}")
            n += 1


class Canary:
    """A client of a service and of the control socket, over and over: what took how long since it was last asked; and by how
    much a sleep was too long, which is the machine's doing."""

    def __init__(self, daemon):
        self.d, self.port = daemon, daemon.port("canary")
        self.lock, self.times = threading.Lock(), {"asked": [], "pings": [], "late": []}

    def canary(self, _):
        start = time.monotonic()
        time.sleep(0.005)
        late = time.monotonic() - start - 0.005
        start = time.monotonic()
        with socket.create_connection(("127.0.0.1", self.port), PATIENCE) as s:
            s.settimeout(PATIENCE)
            s.sendall(b"canary")
            if s.recv(6) != b"canary":
                raise ValueError("the canary was not answered")
        middle = time.monotonic()
        self.d.call("Ping")
        with self.lock:
            for name, value in (("asked", middle - start), ("pings", time.monotonic() - middle), ("late", late)):
                self.times[name].append(1000 * value)

    def take(self):
        with self.lock:
            times, self.times = self.times, {"asked": [], "pings": [], "late": []}
        return times


class Follower(threading.Thread):
    """A client that follows the events of all services on one connection, whatever becomes of the daemon."""

    def __init__(self, daemon):
        super().__init__(daemon=True)
        self.client, self.events, self.over, self.problems = Varlink(daemon.socket, 1), 0, threading.Event(), []
        self.client.send("Events", {"service": "picky"}, more=True)

    def run(self):
        while not self.over.is_set():
            try:
                data = self.client.socket.recv(65536)
            except TimeoutError:
                continue
            except OSError as error:
                self.problems.append(f"a follower: {error!r}")
                return
            if not data:
                self.problems.append("a follower was sent away")
                return
            self.events += data.count(b"\0")
        self.client.close()


class Subject(Abuse):
    def __init__(self, name, upgraded, at_once, hold):
        self.name, self.upgraded, self.backend, self.options = name, upgraded, free_port(), (at_once, hold)
        self.d = Daemon(config(self.backend, 0), options=["--log-level", "warning"], wait=None)
        with open(self.d.path("broken"), "w", encoding="utf-8") as file:
            file.write("#!/no/such/interpreter\n")
        os.chmod(self.d.path("broken"), 0o755)
        self.d.start()
        self.pid, self.samples, self.problems, self.tallies, self.rest, self.cpu = self.d.pid, [], [], {}, {}, {}
        self.ports = {s["name"]: s["listeners"][0]["port"] for s in self.d.status()["services"] if s["listeners"]}
        self.loads, self.seen_zombies, self.log_at, self.accepted, self.looked = {}, set(), 0, None, None
        self.workers, self.stranger, self.held, self.slow = [], None, [], []
        self.loaded = [n for n in LOADED if n != "boxed" or self.can_box()]
        self.before = {s["name"]: s for s in self.d.status()["services"]}
        super().__init__()

    def can_box(self):
        """Whether this machine has what a sandbox needs."""
        if self.d.ask("boxed", b"x") == b"x":
            self.d.wait_idle("boxed")
            return True
        print(f"left out: sandbox: {self.d.service('boxed')['last_error']}")
        return False

    # ---- begin and end
    def begin(self, start):
        self.start, self.rest["before"] = start, smaps.of(self.pid)["Private_Dirty"] // 1024
        self.cpu_before = cpu_seconds(self.pid)
        for name in self.loaded:
            endpoint = f"unix:{self.d.path('local.sock')}" if name == "local" else f"tcp:127.0.0.1:{self.ports[name]}"
            self.loads[name] = subprocess.Popen([MP_CLIENT, "--load", "--json", "--at-once", str(self.options[0]), "--time", "10d", "--hold", self.options[1], endpoint],
                                                stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        if os.geteuid() == 0:
            self.stranger_over = multiprocessing.get_context("fork").Event()
            self.stranger = User(65533).start(stranger, self.d.socket, self.stranger_over, STRANGER_EVERY)
        else:
            print("not root: nobody but its own user comes to the control socket")
        self.held = [self.d.dial("held") for _ in range(HELD)]
        self.canary, self.follower = Canary(self.d), Follower(self.d)
        acts = [(0.05, self.canary.canary), (1.0, self.speak), (5.0, self.reload), (0.5, self.look_around), *self.abuses()]
        if self.upgraded:
            acts.append((20.0, self.upgrade))
        self.workers = [Worker(every, act) for every, act in acts]
        for thread in (self.follower, *self.workers):
            thread.start()

    def end(self):
        for thread in (*self.workers, self.follower):
            thread.over.set()
        for thread in (*self.workers, self.follower):
            thread.join(PATIENCE * 6)
            self.problems += thread.problems
        self.done = {w.act.__name__.replace("_", " "): w.times for w in self.workers}
        self.done["events followed"] = self.follower.events
        for s in (*self.held, *self.slow):
            s.close()
        self.end_stranger()
        self.end_load()
        if self.d.process.poll() is None:
            self.cpu["daemon"] = cpu_seconds(self.pid) - self.cpu_before
        used = resource.getrusage(resource.RUSAGE_SELF)
        self.cpu["driver of both"] = used.ru_utime + used.ru_stime

    def end_stranger(self):
        if not self.stranger:
            return
        process, pipe = self.stranger
        self.stranger_over.set()
        done, result = pipe.recv() if pipe.poll(PATIENCE * 6) else (False, "the stranger did not end")
        process.join(PATIENCE)
        if not done:
            self.problems.append(str(result))
            return
        self.problems += result.pop("problems")
        for name, times in result.items():
            self.done[f"{name}, as somebody else"] = times

    def end_load(self):
        cpu = 0.0
        for process in self.loads.values():
            process.send_signal(signal.SIGINT)
        for name, process in self.loads.items():
            out, said = process.communicate(timeout=PATIENCE * 6)
            self.tallies[name] = tally = json.loads(out)
            cpu += tally["cpu_percent"] * tally["seconds"] / 100
            if tally["failed"]:
                self.problems.append(f"{name}: {tally['failed']} of {tally['begun']} connections failed: {tally['failures']} {said[-300:]}")
        self.cpu["loads"] = cpu

    # ---- what is asked of it in good faith
    def reload(self, n):
        self.d.write_config(config(self.backend, n + 1))
        with self.d.connect(PATIENCE * 6) as control:
            try:
                if not control.call("Reload")["ok"]:
                    raise ValueError("a reload came to nothing")
            except VarlinkError as error:
                # An upgrade is under way: said, and tried again.
                if not error.name.endswith("InvalidState"):
                    raise

    def upgrade(self, _):
        """At most of those times that a reload is under way it says so; then again."""
        def upgraded():
            with self.d.connect(PATIENCE * 6) as control:
                try:
                    return control.call("Upgrade")
                except VarlinkError as error:
                    if not error.name.endswith("InvalidState"):
                        raise
            return None
        wait_until(upgraded, "an upgrade", deadline=PATIENCE * 6, interval=0.2)

    def speak(self, n):
        """On each connection that is held: it must have the process that it had."""
        for s in self.held:
            s.sendall(b"held %d\n" % n)
        for i, s in enumerate(self.held):
            wanted, got = b"held %d\n" % n, b""
            while len(got) < len(wanted):
                part = s.recv(100)
                if not part:
                    raise ValueError(f"held connection {i} was lost")
                got += part
            if got != wanted:
                raise ValueError(f"held connection {i} says {got!r}, not {wanted!r}")

    def look_around(self, n):
        method, parameters = (*READING, ("CheckConfig", {}))[n % (len(READING) + 1)]
        with self.d.connect(PATIENCE * 6) as control:
            try:
                replies = self.read(control, method, parameters)
            except VarlinkError as error:
                # What another process works out for the daemon is begun anew in the next program, by who asks for it.
                if "ask again" not in error.parameters.get("reason", ""):
                    raise
                replies = self.read(control, method, parameters)
        if not all(isinstance(reply, dict) for reply in replies):
            raise ValueError(f"{method}: {replies!r}")

    @staticmethod
    def read(control, method, parameters):
        return list(control.call_more(method, **parameters)) if method == "Instances" else [control.call(method, **parameters)]

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
                if CONTROL.search(line):
                    self.problems.append(f"a control byte in the log: {line[:100]!r}")
                if not line.startswith(b"{"):  # diagnostics of the config are text
                    continue
                try:
                    json.loads(line)
                except ValueError:
                    self.problems.append(f"a log line that is no JSON: {line[:100]!r}")
        return n

    def sums(self, services):
        """INV-8, of each service; and how many connections there have been."""
        for s in services:
            if s["spawned"] != s["active"] + sum(s["exited"].values()):
                self.problems.append(f"{s['name']}: {s['spawned']} spawned, {s['active']} active, ended {s['exited']}")
        return sum(s["accepted"] for s in services)

    def interpreters(self, children):
        """Those of its children that read what clients say."""
        found = []
        for pid in children:
            with contextlib.suppress(OSError), open(f"/proc/{pid}/cmdline", "rb") as f:
                if b"--interpret" in f.read().split(b"\0"):
                    found.append(pid)
        return found

    def sample(self):
        now = time.monotonic()
        seconds = now - (self.looked or self.start)
        memory, children, times = smaps.of(self.pid), children_of(self.pid), self.canary.take()
        zombies = {pid for pid, state in children if state == "Z"}
        stale, self.seen_zombies = zombies & self.seen_zombies, zombies
        found = {"seconds": now - self.start, "private dirty": memory["Private_Dirty"] / 1024, "pss": memory["Pss"] / 1024,
                 "descriptors": len(descriptors_of(self.pid)), "children": len(children), "zombies": len(stale), "log lines": self.log_lines() / seconds}
        readers = self.interpreters(pid for pid, state in children if state != "Z")
        if readers:
            with contextlib.suppress(OSError):
                found["interpreters"] = sum(smaps.of(pid)["Private_Dirty"] for pid in readers) / 1024
        for name, values, share in (("canary p50", "asked", 0.5), ("canary p99", "asked", 0.99), ("ping p99", "pings", 0.99), ("late p99", "late", 0.99)):
            found[name] = slopes.quantile(times[values], share) if times[values] else None
        busy, self.busy = machine_ticks(), getattr(self, "busy", None)
        before, self.busy = self.busy, busy
        if before and busy[1] > before[1]:
            found["machine busy"] = 100 * (busy[0] - before[0]) / (busy[1] - before[1])
        accepted = self.sums(self.d.status()["services"])
        if self.accepted is not None:
            found["connections"] = (accepted - self.accepted) / seconds
        self.accepted, self.looked = accepted, now
        self.samples.append(found)

    def ended(self):
        """Whether it has, which it must not: then nothing more is done to it, and the other goes on."""
        if self.d.process.poll() is None:
            return False
        if not any(p.startswith("the daemon ended") for p in self.problems):
            for thread in (*self.workers, self.follower):
                thread.over.set()
            for process in self.loads.values():
                process.send_signal(signal.SIGINT)
            self.problems.insert(0, f"the daemon ended with {self.d.process.returncode} after {time.monotonic() - self.start:.0f} s")
        return True

    def look(self):
        if self.ended():
            return
        try:
            self.sample()
        except (OSError, VarlinkError, ConnectionError) as error:
            self.problems.append(f"a sample: {error!r}")

    def last(self):
        return json.dumps({k: round(v, 1) for k, v in self.samples[-1].items() if v is not None}) if self.samples else "no sample"

    # ---- when all have gone
    def at_rest(self):
        """Nobody is active, all is accounted for, it has counted what its clients have, and does nothing."""
        d = self.d
        if self.ended():
            return
        wait_until(lambda: all(s["active"] == 0 and is_at_rest(s) for s in d.status()["services"] if s["model"] == "per-connection"), "all to have gone",
                   deadline=PATIENCE * 3, interval=0.2)
        after = {s["name"]: s for s in d.status()["services"]}
        for s in after.values():
            if s["model"] == "per-connection" and s["accepted"] != s["spawned"] + s["spawn_failed"] + sum(s["refused"].values()) + s["gone"]:
                self.problems.append(f"{s['name']}: the counters do not add up: {s}")
        for name in COUNTED:
            if name in self.tallies:
                self.agree(name, after[name])
        came = after["canary"]["accepted"] - self.before["canary"]["accepted"]
        if came != self.done["canary"] and not any(p.startswith("canary") for p in self.problems):
            self.problems.append(f"canary: {came} accepted, and {self.done['canary']} came")
        if d.call("Ping")["pid"] != self.pid:
            self.problems.append("another process answers")
        self.resting()

    def agree(self, name, after):
        """The client's count and the daemon's; of those under way at the end it is not known."""
        tally, counted = self.tallies[name], after["accepted"] - self.before[name]["accepted"]
        if not tally["answered"] <= counted <= tally["begun"]:
            self.problems.append(f"{name}: {counted} accepted, and clients have begun {tally['begun']} and had {tally['answered']} answers")
        lost = after["spawn_failed"] + after["gone"] + sum(after["refused"].values())
        if lost and not tally["failed"]:
            self.problems.append(f"{name}: {lost} counted as refused, failed or gone, and no client has seen it: {after}")

    def resting(self):
        """INV-6, by its own processor time: what others do does not count."""
        least = None
        for _ in range(5):
            before = cpu_seconds(self.pid)
            time.sleep(3)
            least = min(least or 9.0, cpu_seconds(self.pid) - before)
        self.rest["after"] = smaps.of(self.pid)["Private_Dirty"] // 1024
        if least > 0.03:
            self.problems.append(f"at rest it takes {least:.2f} s of 3")

    def facts(self):
        return {"samples": self.samples, "tallies": self.tallies, "done": getattr(self, "done", {}), "problems": self.problems, "rest": self.rest, "cpu": self.cpu}

    def stop(self):
        try:
            self.d.stop()
        except AssertionError as error:
            self.problems.append(str(error)[:2000])
        if self.problems:
            self.problems.append(f"its log is {self.d.log_path}")

    def kill(self):
        for process in self.loads.values():
            if process.poll() is None:
                process.kill()
        if self.stranger and process_alive(self.stranger[0].pid):
            self.stranger[0].kill()
        self.d.kill()
        if not self.problems:
            self.d.remove()


def machine_ticks():
    """(busy, all) of all processors so far."""
    with open("/proc/stat", encoding="ascii") as file:
        ticks = [int(word) for word in file.readline().split()[1:9]]
    return sum(ticks) - ticks[3] - ticks[4], sum(ticks)
