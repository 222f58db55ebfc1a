# SPDX-License-Identifier: MIT
"""One daemon of everything, what it is made to do in phases, and what has to hold after each (the invariants of
docs/faults.md): the same process, answering, with the descriptors of before, no zombie, sums that add up, at rest."""
import contextlib
import ctypes
import functools
import os
import signal
import socket
import time

from harness import (PATIENCE, SANITIZER_WORDS, Daemon, VarlinkError, children_of, descriptors_of, exchange, free_port,
                     process_alive, steady, wait_until)

# Says of itself what it is told to say, until its client goes.
TALKER = ("while read x; do echo STATUS=$x >&$MP_STATUS_FD; echo X_n=1 >&$MP_STATUS_FD; echo said $x >&2; echo done; done")
# So long that for the state which an upgrade hands over memory is asked of the kernel.
BIG = {f"BIG{i}": "x" * 30000 for i in range(6)}
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


def children(pid):
    """Those of its first thread; quicker than children_of() where there is much on the machine."""
    try:
        with open(f"/proc/{pid}/task/{pid}/children", encoding="utf-8") as file:
            return [int(word) for word in file.read().split()]
    except FileNotFoundError:
        return [child for child, _ in children_of(pid)]


def state_of(pid):
    with contextlib.suppress(OSError, IndexError), open(f"/proc/{pid}/stat", encoding="utf-8", errors="replace") as file:
        return file.read().rsplit(")", 1)[1].split()[0]
    return "X"


def command_of(pid):
    with contextlib.suppress(OSError), open(f"/proc/{pid}/cmdline", "rb") as file:
        return file.read()
    return b""


def is_of(pid, service):
    """Whether it is a process of that service; of any for b""."""
    with contextlib.suppress(OSError), open(f"/proc/{pid}/environ", "rb") as file:
        return b"MP_SERVICE=" + service in file.read()
    return False


def inherited_by_all(pid):
    """Those of its descriptors that a process of its would have without being given them: not close-on-exec."""
    found = []
    for fd in descriptors_of(pid):
        with contextlib.suppress(FileNotFoundError), open(f"/proc/{pid}/fdinfo/{fd}", encoding="utf-8") as info:
            flags = next(int(line.split()[1], 8) for line in info if line.startswith("flags:"))
            if fd > 2 and not flags & os.O_CLOEXEC:
                found.append(fd)
    return found


def descriptors(pid):
    """How many it has, without the timers of the event loop, which makes one for each clock when it first needs it. What it
    listens on counts: that is as much with either config."""
    found = 0
    for fd in descriptors_of(pid):
        with contextlib.suppress(FileNotFoundError):
            found += os.readlink(f"/proc/{pid}/fd/{fd}") != "anon_inode:[timerfd]"
    return found


PIDFD_GETFD = 438


def listening(pid):
    """Which of its sockets do, asked of copies: the tables of all sockets are long where much goes on."""
    call = ctypes.CDLL(None, use_errno=True).syscall
    found = set()
    pidfd = os.pidfd_open(pid)
    for fd in descriptors_of(pid):
        with contextlib.suppress(FileNotFoundError):
            target = os.readlink(f"/proc/{pid}/fd/{fd}")
            copy = call(PIDFD_GETFD, pidfd, fd, 0) if target.startswith("socket:") else -1
            if copy >= 0:
                with socket.socket(fileno=copy) as s:
                    if s.getsockopt(socket.SOL_SOCKET, socket.SO_ACCEPTCONN):
                        found.add(target)
    os.close(pidfd)
    return sorted(found)


@functools.cache
def ports():
    """The same for all daemons of this process, one after the other."""
    return {name: free_port() for name in ("s", "udp", "w", "talker", "switch", "moves", "other")}


def config(n):
    """One of two that differ in what a reload can do: a listener changed in place, moved, opened and closed; a service that
    comes and one that goes; workers that are renewed."""
    def echo(name):
        return {"listen": f"tcp:127.0.0.1:{ports()[name]}", "exec": ["mp-echo"]}
    moving = f"tcp:{('127.0.0.1', '0.0.0.0')[n]}:{ports()['moves']}"
    return {"services": {
        "s": {**echo("s"), "listen": [{"endpoint": echo("s")["listen"], "backlog": 100 + n}], "access": {"allow": ["any"]},
              "limits": {"rate_per_source": "100000/s"}},
        "u": {"listen": "unix:{dir}/u.sock", "exec": ["mp-echo"], "prespawn": 1},
        "udp": {"listen": f"udp:127.0.0.1:{ports()['udp']}", "exec": ["mp-echo"], "restart": {"delay": "10ms", "max_delay": "20ms"}},
        "w": {**echo("w"), "model": "pool", "environment": {"N": str(n)}, "pool": {"min": 1, "max": 1, "spare_min": 0, "spare_max": 1},
              "restart": {"delay": "10ms", "max_delay": "20ms", "limit": "1000/1s"}},
        "talker": {**echo("talker"), "exec": ["/bin/sh", "-c", TALKER], "report": True},
        "switch": {**echo("switch"), "environment": BIG},
        "moves": {**echo("moves"), "listen": moving},
        ("comes", "goes")[n]: {**echo("other"), "listen": [f"unix:{{dir}}/{n}.sock", "tcp:127.0.0.1:0"]}}}


class Scenario:
    def __init__(self, environment=None):
        self.environment = environment or {}
        self.d = self.held = None
        self.n = self.marked = 0
        self.old_workers = []
        self.descriptors = None

    # ---- the daemon
    def start(self, wrap=()):
        self.n = 0
        self.d = Daemon(config(0), wait=None, environment=self.environment, wrap=wrap)
        self.d.start(wait=False)

    def mark(self):
        """From here on said() is counted."""
        self.marked = os.path.getsize(self.d.log_path)
        self.old_workers = [pid for pid in children(self.d.pid) if is_of(pid, b"w\0")]

    def said(self):
        with open(self.d.log_path, "rb") as file:
            file.seek(self.marked)
            return file.read().decode("utf-8", "replace")

    def processes(self):
        """What the daemon's are at."""
        lines = []
        for pid in children(self.d.pid) if self.d.process.poll() is None else []:
            words = []
            for name in ("syscall", "wchan"):
                with contextlib.suppress(OSError), open(f"/proc/{pid}/{name}", encoding="utf-8") as file:
                    words.append(" ".join(file.read().split()[:2]))
            lines.append(f"{pid} {state_of(pid)} {command_of(pid)[:60]} {' '.join(words)}\n")
        return "".join(lines)

    def ended_well(self):
        """Whether it has said why it ended, and with the status of a failure."""
        said = self.d.log_text()
        return self.d.process.poll() == 1 and bool(said.strip()) and not any(word in said for word in SANITIZER_WORDS)

    @staticmethod
    def alive(pid):
        return process_alive(pid)

    def answers(self):
        """Whether the daemon does, or has ended."""
        if self.d.process.poll() is not None:
            return True
        with contextlib.suppress(OSError):
            return self.d.call("Ping")["pid"] == self.d.pid
        return False

    def wait_ready(self):
        wait_until(self.answers, "its control socket, or its end", interval=0.005)
        if self.d.process.poll() is not None:
            raise AssertionError(f"the daemon ended with {self.d.process.returncode}:\n{self.d.log_text()[-4000:]}")

    def get_ready(self):
        d = self.d
        self.wait_ready()
        d.ports.update(ports())
        self.held = d.dial_fast("s")
        self.held.settimeout(PATIENCE)
        self.whole()
        for phase in ("connect", "report", "control", "reload", "upgrade"):
            getattr(self, phase)()
            self.whole()
        self.descriptors = wait_until(lambda: steady(lambda: descriptors(d.pid)))

    def stop(self):
        """Ends all of it."""
        if self.held:
            self.held.close()
        self.held = None
        if not self.d:
            return
        process = self.d.process
        left = []
        if process and process.poll() is None:
            left = children(process.pid)
            process.send_signal(signal.SIGCONT)
            self.d.kill()
        left += [pid for pid in children(os.getpid()) if is_of(pid, b"")]
        for pid in left:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        # The next daemon listens on the same ports.
        wait_until(lambda: not any(process_alive(pid) for pid in left), "what has been killed to be gone", deadline=PATIENCE * 3)
        for pid in children(os.getpid()):
            if state_of(pid) == "Z":
                with contextlib.suppress(ChildProcessError):
                    os.waitpid(pid, os.WNOHANG)
        self.d.remove()
        self.d = None

    # ---- phases: what is done, while something may fail; nobody is sure of an answer
    def connect(self):
        """Connections of each kind."""
        d = self.d
        # Of u the one that was set up ahead is there already; the second is set up, and served, meanwhile.
        for name in ("s", "u", "w", "u"):
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
            for pid in children(d.pid):
                if state_of(pid) != "Z" and is_of(pid, b"udp\0"):
                    os.kill(pid, signal.SIGTERM)
        settle(d.pid)

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

    def interpret(self):
        """Requests that a process of ours reads, which is started for the first."""
        for pid in self.interpreters():
            os.kill(pid, signal.SIGKILL)
        for method, parameters in (("Ping", {}), ("Describe", {"service": "s"}), ("Describe", {"service": 1})):
            self.call(method, parameters, PATIENCE)
        settle(self.d.pid)

    def interpreters(self):
        if "MPINETD_INTERPRETER" not in self.environment:
            return []
        return [pid for pid in children(self.d.pid) if b"--interpret" in command_of(pid)]

    def reload(self):
        """The reply."""
        self.d.write_config(config(1 - self.n))
        reply = self.call("Reload", timeout=PATIENCE)
        if reply is None or not isinstance(reply, VarlinkError):
            self.n = 1 - self.n
        settle(self.d.pid)
        return reply

    def upgrade(self):
        """The reply."""
        reply = self.call("Upgrade", timeout=PATIENCE)
        settle(self.d.pid)
        return reply

    def state(self):
        """What a reload changes: its number, and what listens, by the daemon's word and the kernel's."""
        d = self.d
        status = d.status()
        return (status["daemon"]["generation"], listening(d.pid),
                {s["name"]: [(x["endpoint"], x["port"], x["path"], x["error"]) for x in s["listeners"]] for s in status["services"]})

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
        wait_until(self.settled, "all services to be in order", interval=0.005)
        self.serves()
        self.nothing_left()

    def serves(self):
        d = self.d
        for name in ("s", "w", "switch", "moves"):
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

    def serves_anew(self):
        """Behind an upgrade that could not take over: from its config and its listeners, and who was served still is."""
        self.wait_ready()
        # Workers of before go on accepting, and nobody knows them: they are ended here, as whoever is in charge would.
        for pid in self.old_workers:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        self.serves()

    def right_config(self):
        """A reload that was refused, or whose reply was lost, is made good. What goes is there for a second: who had begun to
        connect is let in."""
        def names():
            return {s["name"] for s in self.d.status()["services"]}
        wanted = set(config(self.n)["services"])
        if not wanted <= names():
            self.d.write_config(config(self.n))
            self.d.call("Reload")
        wait_until(lambda: names() == wanted, "the services of the config")

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
        wait_until(sums, "the counters to add up", deadline=3, interval=0.005)
        wait_until(lambda: all(state_of(pid) != "Z" for pid in children(d.pid)), "no zombie", deadline=3)
        # Who is held, the worker, one set up ahead, and one of the datagrams that may have ended.
        # What could not be ended by one signal is by the next, when its time is over.
        wait_until(lambda: len(children(d.pid)) - len(self.interpreters()) in (3, 4), "its processes, and no others", deadline=30, interval=0.005)
        wait_until(lambda: not inherited_by_all(d.pid), "each descriptor to be close-on-exec", deadline=3)
        if self.descriptors:
            wait_until(lambda: abs(descriptors(d.pid) - self.descriptors) <= 3, f"about {self.descriptors} descriptors", deadline=3)
        before, start = run_time(d.pid), time.monotonic()
        time.sleep(0.01)
        if run_time(d.pid) - before > 0.8 * (time.monotonic() - start):
            time.sleep(0.5)
            before, start = run_time(d.pid), time.monotonic()
            time.sleep(0.3)
            if run_time(d.pid) - before > 0.5 * (time.monotonic() - start):
                raise Broken("it does not rest")
