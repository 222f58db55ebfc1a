# SPDX-License-Identifier: MIT
"""prespawn: processes of per-connection services that are set up ahead."""
import contextlib
import os
import signal
import socket
import threading
import time

import test_serving
from harness import (PATIENCE, DaemonTest, children_of, exchange, need_root, process_alive, process_state, stays,
                     wait_until)


def spares_of(d):
    """The pids of its children that have not come to exec: they are still the daemon itself, as far as one can see."""
    own = os.readlink(f"/proc/{d.pid}/exe")
    found = set()
    for pid, state in children_of(d.pid):
        try:
            if state not in "ZX" and os.readlink(f"/proc/{pid}/exe") == own:
                found.add(pid)
        except OSError:
            continue
    return found


class SetUpAhead:
    """Every per-connection service of a test has spares, and they are there before anybody connects."""
    SPARES = 2

    def daemon(self, config, *arguments, **options):
        names = [name for name, service in config["services"].items() if service.get("model") != "on-demand"]
        for name in names:
            config["services"][name]["prespawn"] = self.SPARES
        d = super().daemon(config, *arguments, **options)
        listening = [s["name"] for s in d.status()["services"] if s["name"] in names and s["state"] == "listening"]
        wanted = self.SPARES * len(listening)
        d.spares = wait_until(lambda: len(spares_of(d)) == wanted and spares_of(d), "the spares") if wanted else set()
        self.addCleanup(self.look_who_served, d)
        return d

    def look_who_served(self, d):
        # Of several that are under way at once, the one that has come to exec first is told first.
        first = sorted(d.log(event="started"), key=lambda e: e["instance"])[:1]
        if d.spares and first:
            self.assertIn(first[0]["pid"], d.spares, "served by one that was set up ahead")


class Serving(SetUpAhead, test_serving.PerConnection):
    """A process that was set up ahead is like any other."""


class Stderr(SetUpAhead, test_serving.Stderr):
    pass


class Kept(DaemonTest):
    """What becomes of those that wait."""

    def start(self, n=3, **service):
        self.d = self.daemon({"services": {"s": {"listen": "tcp:127.0.0.1:0", "exec": ["mp-echo"], "prespawn": n,
                                                 **service}}})
        return self.d

    def wait_spares(self, n):
        return wait_until(lambda: len(spares_of(self.d)) == n and (spares_of(self.d) or True), f"{n} spares")

    def check(self, service):
        exited = service["exited"]
        self.assertEqual(service["spawned"], service["active"] + sum(exited.values()))
        self.assertEqual(service["accepted"], service["spawned"] + service["spawn_failed"] + service["gone"] +
                         sum(service["refused"].values()))

    def test_refilled_and_counted_nowhere(self):
        d = self.start()
        before = self.wait_spares(3)
        service = d.service("s")
        self.assertEqual((service["active"], service["spawned"], service["state"]), (0, 0, "listening"))
        self.assertEqual(d.instances("s"), [])
        self.assertEqual(d.ask("s", b"abc"), b"abc")
        after = self.wait_spares(3)
        self.assertEqual(len(before & after), 2)
        self.check(d.wait_idle("s"))
        self.assertEqual(d.service("s")["exited"]["ok"], 1)

    def test_shown(self):
        d = self.start()
        self.wait_spares(3)

        def shown():
            return [line for line in d.mpctl("metrics", check=0).stdout.splitlines() if line.startswith("mpinetd_spares")]
        self.assertEqual(shown(), ['mpinetd_spares{service="s"} 3'])
        d.call("Pause", services=["s"])
        self.wait_spares(0)
        self.assertEqual(shown(), ['mpinetd_spares{service="s"} 0'])
        d.write_config({"services": {"s": {"listen": "tcp:127.0.0.1:0", "exec": ["mp-echo"]}}})
        d.call("Reload")
        self.assertEqual(shown(), [], "only where there can be any")

    def test_thousand_connections(self):
        d = self.start(4)
        self.wait_spares(4)
        before = len(d.quiet_descriptors())
        for n in range(1000):
            with d.dial_fast() as s:
                text = b"%d" % n
                self.assertEqual(exchange(s, text), text)
        service = d.wait_service("s", active=0, accepted=1000)
        self.check(service)
        self.assertEqual(service["exited"]["ok"], 1000)
        self.wait_spares(4)
        wait_until(lambda: len(d.quiet_descriptors()) == before, "the descriptors that it began with")

    def test_killed_ones_lose_nothing(self):
        d = self.start(4)
        self.wait_spares(4)
        ended, killed = threading.Event(), [0]

        def kill_one(pid):
            """Between the look and the signal it may have come to exec: then it is somebody's process. One that is
            stopped stays what it is."""
            os.kill(pid, signal.SIGSTOP)
            spare = False
            try:
                while process_state(pid) not in ("T", "Z", None):
                    time.sleep(0.001)
                spare = pid in spares_of(d)
            finally:
                os.kill(pid, signal.SIGKILL if spare else signal.SIGCONT)
            killed[0] += spare

        def kill():
            while not ended.is_set():
                for pid in spares_of(d):
                    with contextlib.suppress(ProcessLookupError):
                        kill_one(pid)
                time.sleep(0.01)
        thread = threading.Thread(target=kill)
        thread.start()
        lost = n = 0
        until = time.monotonic() + 30
        try:
            # Many of those that were looked at are somebody's process by then: until enough were killed.
            while n < 200 or (killed[0] <= 10 and time.monotonic() < until):
                with d.dial_fast() as s:
                    text = b"%d" % n
                    lost += exchange(s, text) != text
                n += 1
        finally:
            ended.set()
            thread.join()
        service = d.wait_service("s", active=0, accepted=n)
        self.check(service)
        self.assertGreater(killed[0], 10)
        self.assertEqual((lost, service["exited"]["signaled"]), (0, 0))
        self.wait_spares(4)

    def test_one_that_lingers_and_ends_at_once(self):
        """By the time that it is seen to have come to exec, nobody but the daemon has its connection, whose close(2) would wait."""
        script = ("import socket, struct; s = socket.socket(fileno=0); s.setblocking(False)\n"
                  "try:\n    while True: s.send(b'x' * 65536)\n"
                  f"except BlockingIOError: s.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack('ii', 1, {int(10 * PATIENCE)}))")
        d = self.start(1, exec=["python3", "-ISc", script])
        self.wait_spares(1)
        pid = spares_of(d).pop()
        os.kill(pid, signal.SIGSTOP)
        with socket.socket() as s:
            s.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
            s.connect(("127.0.0.1", d.port("s")))
            wait_until(lambda: [i for i in d.instances("s") if i["pid"] == pid], "that it is given the connection")
            os.kill(d.pid, signal.SIGSTOP)
            try:
                wait_until(lambda: process_state(d.pid) == "T", "the daemon's stop")
                os.kill(pid, signal.SIGCONT)
                wait_until(lambda: process_state(pid) == "Z", "its end")
            finally:
                os.kill(d.pid, signal.SIGCONT)
            self.assertEqual(d.wait_service("s", active=0)["exited"]["ok"], 1)

    def test_stopped_one_is_passed_over(self):
        d = self.start(1)
        os.kill(self.wait_spares(1).pop(), signal.SIGSTOP)
        self.assertEqual(d.ask("s", b"late", timeout=15), b"late")
        self.check(d.wait_idle("s"))

    def test_term_ends_one_silently(self):
        d = self.start(1)
        pid = self.wait_spares(1).pop()
        os.kill(pid, signal.SIGTERM)
        wait_until(lambda: not process_alive(pid) and spares_of(d), "another")
        self.assertEqual(d.log(level="error") + d.log(level="warning") + d.log(event="ended"), [])

    def test_orders(self):
        d = self.start()
        first = self.wait_spares(3)
        d.call("Pause", services=["s"])
        self.wait_spares(0)
        d.call("Resume", services=["s"])
        self.assertFalse(first & self.wait_spares(3))
        for verb in ("Stop", "Drain"):
            d.call(verb, services=["s"])
            self.wait_spares(0)
            self.assertEqual(d.service("s")["exited"]["ok"], 0)
            d.call("Start", services=["s"])
            self.wait_spares(3)
        second = self.wait_spares(3)
        d.call("Restart", services=["s"])
        wait_until(lambda: not second & spares_of(d) and len(spares_of(d)) == 3, "new ones")
        self.assertEqual(d.ask("s", b"x"), b"x")

    def test_reload(self):
        d = self.start()
        first = self.wait_spares(3)
        service = {"listen": "tcp:127.0.0.1:0", "exec": ["mp-echo"], "prespawn": 3}
        d.call("Reload")
        self.assertEqual(self.wait_spares(3), first, "nothing has changed")
        d.write_config({"services": {"s": {**service, "exec": ["{probe}"], "environment": {"NEW": "1"},
                                           "prespawn": 2}}})
        d.call("Reload")
        wait_until(lambda: not first & spares_of(d) and len(spares_of(d)) == 2, "new ones")
        self.assertEqual(d.probe("s")["env"]["NEW"], "1")
        d.write_config({"services": {}})
        d.call("Reload")
        self.wait_spares(0)

    def test_no_more_than_instances(self):
        d = self.start(5, limits={"instances": 2})
        self.wait_spares(2)
        with d.dial("s") as a, d.dial("s") as b:
            for s in (a, b):
                s.sendall(b"x")
                self.assertEqual(s.recv(1), b"x")
            with d.dial("s") as c:
                c.sendall(b"y")
                stays(lambda: d.service("s")["active"] == 2, "two at most", seconds=0.3)
                a.close()
                self.assertEqual(c.recv(1), b"y")
        self.check(d.wait_idle("s"))

    def test_missing_program(self):
        folder = self.temporary_folder()
        program = folder + "/program"

        def install():
            with open(program + ".new", "w", encoding="utf-8") as file:
                file.write("#!/bin/sh\necho here\n")
            os.chmod(program + ".new", 0o755)
            os.rename(program + ".new", program)
        install()
        d = self.start(exec=[program])
        self.wait_spares(3)
        self.assertEqual(d.ask("s"), b"here\n")
        os.unlink(program)
        self.wait_spares(3)
        self.assertEqual(d.ask("s"), b"")
        entry = d.wait_log(event="spawn_failed")[0]
        self.assertEqual((entry["step"], entry["errno"]), ("exec", 2))
        service = d.wait_idle("s")
        self.assertEqual((service["spawned"], service["spawn_failed"]), (1, 1))
        install()
        self.assertEqual(d.ask("s"), b"here\n")
        self.check(d.wait_idle("s"))

    def test_set_up_that_fails_is_told_once(self):
        folder = self.temporary_folder()
        gone = folder + "/gone"
        os.mkdir(gone)
        d = self.start(working_directory=gone)
        self.wait_spares(3)
        os.rmdir(gone)
        d.call("Restart", services=["s"])
        told = d.wait_log(event="error")
        self.assertEqual((told[0]["step"], told[0]["errno"]), ("working_directory", 2))
        self.assertEqual(d.ask("s"), b"")
        self.assertEqual(d.wait_log(event="spawn_failed")[0]["step"], "working_directory")
        os.mkdir(gone)
        self.assertEqual(d.ask("s", b"x"), b"x")
        wait_until(lambda: len(spares_of(d)) == 3, "spares again")
        self.assertEqual(len(d.log(event="error")), 1)
        self.check(d.wait_idle("s"))

    def test_shutdown(self):
        d = self.start()
        spares = self.wait_spares(3)
        d.stop()
        self.assertFalse(any(process_alive(pid) for pid in spares))

    def test_daemon_killed(self):
        d = self.start()
        spares = self.wait_spares(3)
        d.kill()
        d.process = None
        wait_until(lambda: not any(process_alive(pid) for pid in spares), "their end")

    @need_root
    def test_oom_score_of_the_daemon_stays(self):
        def score(pid):
            with open(f"/proc/{pid}/oom_score_adj", encoding="utf-8") as file:
                return int(file.read())
        own = score(os.getpid())
        d = self.start(resources={"oom_score_adjust": 321}, exec=["{probe}"])
        self.wait_spares(3)
        self.assertEqual(score(d.pid), own)
        self.assertEqual(d.probe("s")["oom_score_adj"], 321)
