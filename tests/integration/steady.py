# SPDX-License-Identifier: MIT
"""Load that goes on while something is done to the daemon, with every reply checked.

    with Load(test, {"s": daemon.port("s")}) as load, Held(test, daemon.port("s"), 50) as held:
        ...                     # reloads, upgrades, restarts
    load.tallies, held.rounds

Load is mp-client --load: connections one after the other, so many at once, each with random bytes that must come back.
Held are connections that stay open all the while and are spoken on in turn. When the block ends, not one connection may
have failed, nor one that was held have been lost."""
import json
import os
import signal
import socket
import subprocess
import threading

from harness import BUILD, PATIENCE, sanitizer_environment

MP_CLIENT = os.path.join(BUILD, "services", "mp-client")
# More than one, so that queues are never empty for long.
AT_ONCE = 8


class Load:
    """{name: port, or an endpoint as mp-client takes it}; `least`: so many must have been answered of each."""

    def __init__(self, test, endpoints, at_once=AT_ONCE, least=1, timeout=None, options=()):
        self.test, self.at_once, self.least = test, at_once, least
        self.endpoints = {name: e if isinstance(e, str) else f"tcp:127.0.0.1:{e}" for name, e in endpoints.items()}
        self.timeout, self.options = timeout or PATIENCE * 2, options
        self.processes, self.tallies = {}, {}

    def start(self):
        for name, endpoint in self.endpoints.items():
            self.processes[name] = subprocess.Popen(
                [MP_CLIENT, "--load", "--json", "--at-once", str(self.at_once), "--time", "1d", "--timeout",
                 f"{int(self.timeout)}s", *self.options, endpoint],
                stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
                env={"PATH": os.environ["PATH"], **sanitizer_environment()})
        return self

    def stop(self):
        for process in self.processes.values():
            process.send_signal(signal.SIGINT)
        for name, process in self.processes.items():
            try:
                out, errors = process.communicate(timeout=PATIENCE * 3)
            except subprocess.TimeoutExpired:
                process.kill()
                out, errors = process.communicate()
            try:
                self.tallies[name] = json.loads(out)
            except ValueError:
                raise AssertionError(f"the load of {name} says {out!r} {errors!r}") from None
        self.processes = {}

    @property
    def rate(self):
        """Connections a second, of all together."""
        return sum(t["rate"] for t in self.tallies.values())

    @property
    def answered(self):
        return sum(t["answered"] for t in self.tallies.values())

    def check(self):
        for name, tally in self.tallies.items():
            self.test.assertEqual((tally["failed"], tally["failures"]), (0, []), f"{name}: {tally}")
            self.test.assertGreaterEqual(tally["answered"], self.least, f"{name}: {tally}")

    def __enter__(self):
        return self.start()

    def __exit__(self, kind, *_):
        self.stop()
        if kind is None:
            self.check()


class Held:
    """Connections to an echo service that live through it all, each spoken on about every `pause` seconds."""

    def __init__(self, test, port, n, pause=0.2, host="127.0.0.1"):
        self.test, self.pause, self.rounds = test, pause, 0
        self.sockets = []
        for _ in range(n):
            s = socket.create_connection((host, port), PATIENCE)
            self.test.addCleanup(s.close)
            s.settimeout(PATIENCE * 2)
            self.sockets.append(s)
        self.problems = []
        self.over = threading.Event()
        self.thread = threading.Thread(target=self._talk, daemon=True)

    def _round(self):
        for number, s in enumerate(self.sockets):
            words = os.urandom(32)
            try:
                s.sendall(words)
                got = b""
                while len(got) < len(words):
                    data = s.recv(len(words) - len(got))
                    if not data:
                        break
                    got += data
                if got != words:
                    self.problems.append(f"connection {number}: {len(got)} bytes came back, or others")
            except OSError as error:
                self.problems.append(f"connection {number}: {error!r}")
        self.rounds += 1

    def _talk(self):
        while not self.problems and not self.over.wait(self.pause):
            self._round()

    def __enter__(self):
        self._round()
        self.thread.start()
        return self

    def __exit__(self, kind, *_):
        self.over.set()
        self.thread.join(PATIENCE * 4)
        if kind is None:
            self._round()
            self.test.assertEqual(self.problems, [], f"after {self.rounds} rounds")
        for s in self.sockets:
            s.close()
