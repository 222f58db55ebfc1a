# SPDX-License-Identifier: MIT
"""What has to hold while a daemon is abused, and when that is over.

    with Strain(test, daemon):
        ...                     # the abuse

All the while another process is a client of a service, and asks the control socket, each with a new connection every few
milliseconds, and writes down how long it took. At the end: no question was left without an answer, nearly all were quick,
it is the same process with the descriptors and hardly more memory than before, it has no zombies, it rests, and its log
is well formed and has not been flooded."""
import json
import multiprocessing
import re
import socket
import struct
import time

from harness import (PATIENCE, SANITIZED, children_of, cpu_seconds, lasting_descriptors_of, process_alive,
                     resident_kib, wait_until, waited_seconds)

CANARY_INTERVAL = 0.005
# Generous: what is looked for are loops that stop for everybody, not microseconds.
QUICK = 0.5 if SANITIZED else 0.1
TURNS = 8
# A sanitizer keeps what was freed for a while.
MEMORY_KIB = 400000 if SANITIZED else 2048
# A log line takes this long at least where it is limited: 10 a second, after a burst of 100 of each kind.
LOG_BURST, LOG_RATE = 150, 15
CONTROLS = re.compile("[\x00-\x1f\x7f-\x9f]")


def canary(port, path, pid, stop, out):
    """The process that asks, the service only where there is one; (seconds of each, problems). For how long the daemon was
    ready to go on, and did not get a processor, is not counted. "machine" is by how much a sleep was too long: what it
    takes until another process gets a turn, be mpinetd as quick as it likes."""
    answers, problems = {"service": [], "control": [], "machine": []}, []

    def service():
        with socket.create_connection(("127.0.0.1", port), PATIENCE) as s:
            s.settimeout(PATIENCE)
            s.sendall(b"canary")
            got = s.recv(6)
            if got != b"canary":
                problems.append(f"the service said {got!r}")

    def control():
        """Waits for a place in the queue, as mpctl does."""
        with socket.socket(socket.AF_UNIX) as s:
            s.setsockopt(socket.SOL_SOCKET, socket.SO_SNDTIMEO, struct.pack("ll", int(PATIENCE), 0))
            s.connect(path)
            s.settimeout(PATIENCE)
            s.sendall(b'{"method":"dev.mpinetd.Control.Ping"}\0')
            got = s.recv(65536)
            if b"parameters" not in got:
                problems.append(f"the control socket said {got!r}")

    while not stop.is_set():
        for name, ask in (("service", service), ("control", control)) if port else (("control", control),):
            waited, start = waited_seconds(pid), time.monotonic()
            try:
                ask()
            except OSError as error:
                problems.append(f"{name}: {error!r}")
            took = time.monotonic() - start
            answers[name].append(max(0.0, took - (waited_seconds(pid) - waited)))
        start = time.monotonic()
        time.sleep(CANARY_INTERVAL)
        answers["machine"].append(time.monotonic() - start - CANARY_INTERVAL)
    out.send((answers, problems))


def quantile(values, share):
    return sorted(values)[min(len(values) - 1, int(len(values) * share))] if values else 0.0


class Strain:
    def __init__(self, test, daemon, service="canary", quick=QUICK, memory_kib=MEMORY_KIB, log_lines=None, rests=True,
                 line_bytes=4096):
        self.test, self.daemon = test, daemon
        self.port = daemon.port(service) if service else None
        self.quick, self.memory_kib, self.log_lines, self.rests = quick, memory_kib, log_lines, rests
        self.line_bytes = line_bytes
        self.answers = {}

    def __enter__(self):
        context = multiprocessing.get_context("fork")
        self.stop = context.Event()
        self.pipe, other = context.Pipe(duplex=False)
        # Once before, so that what is made at the first use is there.
        self.daemon.call("Status")
        self.pid = self.daemon.pid
        self.memory = resident_kib(self.pid)
        self.lines = len(self.daemon.log_text().splitlines())
        self.began = time.monotonic()
        self.process = context.Process(target=canary, args=(self.port, self.daemon.socket, self.pid, self.stop, other), daemon=True)
        self.process.start()
        other.close()
        return self

    def __exit__(self, kind, *_):
        # A case that is over at once is looked at for a moment longer.
        time.sleep(max(0.0, 0.5 - (time.monotonic() - self.began)))
        self.stop.set()
        try:
            self.answers, problems = self.pipe.recv() if self.pipe.poll(2 * PATIENCE) else ({}, ["the canary hangs"])
        except EOFError:
            problems = ["the canary died"]
        self.process.join(PATIENCE)
        self.seconds = time.monotonic() - self.began
        if kind is None:
            self.test.assertEqual(problems[:3], [])
            self.look()

    def look(self):
        test, daemon = self.test, self.daemon
        test.assertIsNone(daemon.process.poll(), daemon.log_text()[-3000:])
        test.assertEqual(daemon.call("Ping")["pid"], self.pid)
        # An answer takes some turns of the canary, the daemon and its child.
        turns = TURNS * quantile(self.answers["machine"], 0.99)
        for name in ("service", "control") if self.port else ("control",):
            seconds = self.answers[name]
            # Of few answers the slowest is luck.
            share, times = next((s, t) for n, s, t in ((200, 0.99, 1), (20, 0.95, 2), (0, 0.95, 10)) if len(seconds) >= n)
            test.assertLess(quantile(seconds, share), times * self.quick + turns, f"{name}, of {len(seconds)}: "
                            f"half in {quantile(seconds, 0.5):.4f}, the slowest {max(seconds):.4f}")
        wait_until(lambda: len(lasting_descriptors_of(self.pid)) <= len(daemon.baseline), "the descriptors of before")
        wait_until(lambda: all(state != "Z" for _, state in children_of(self.pid)), "no zombie")
        if self.rests:
            test.assertLess(busy_share(self.pid), 0.1, "the daemon does not rest")
        test.assertLess(resident_kib(self.pid) - self.memory, self.memory_kib, "KiB of memory more than before")
        self.look_at_log()

    def look_at_log(self):
        """Starts and ends are told one by one, and audit lines of what was done; everything else is limited."""
        kinds = {}
        for line in self.daemon.log_text().splitlines()[self.lines:]:
            self.test.assertIsNone(CONTROLS.search(line), ascii(line[:200]))
            self.test.assertLess(len(line), self.line_bytes)
            entry = json.loads(line)
            if entry.get("event") not in ("started", "ended") and entry.get("level") != "info":
                kinds[entry.get("event")] = kinds.get(entry.get("event"), 0) + 1
        bound = self.log_lines or LOG_BURST + LOG_RATE * self.seconds
        self.test.assertEqual({k: n for k, n in kinds.items() if n > bound}, {}, f"log lines in {self.seconds:.1f} s")


def busy_share(pid, seconds=0.5):
    """How much of one core the process takes now: the least of some looks, for it may have something to finish."""
    least = 1.0
    for _ in range(4):
        before, start = cpu_seconds(pid), time.monotonic()
        time.sleep(seconds)
        if not process_alive(pid):
            break
        least = min(least, (cpu_seconds(pid) - before) / (time.monotonic() - start))
        if least < 0.05:
            break
    return least
