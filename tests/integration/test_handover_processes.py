# SPDX-License-Identifier: MIT
"""Processes over an upgrade in place: they do not notice it, and what is known of them, is read of them and is due for
them goes on where it was."""
import os
import signal
import sys
import time
import unittest

from harness import BUILD, PATIENCE, process_alive, read_all, stays, wait_ignores, wait_until
from steady import Held, Load
from test_forward import BACKEND
from test_upgrade import OTHER, UpgradeTest

TCP = "tcp:127.0.0.1:0"
ECHO = {"listen": TCP, "exec": ["mp-echo"]}
# Time enough for an upgrade meanwhile, in seconds.
LIMIT = int(PATIENCE * 0.6)
WORKER = os.path.join(BUILD, "tests", "helpers", "pool-worker")


def shell(script, **service):
    return {"listen": TCP, "exec": ["/bin/sh", "-c", script], **service}


def say(text):
    """In a script: to the status pipe."""
    return f"printf '{text}' >&$MP_STATUS_FD; "


class Processes(UpgradeTest):
    def instance(self, d, name="s"):
        return wait_until(lambda: d.instances(name), f"an instance of {name}")[0]

    def hold(self, d, name="s"):
        s = d.dial(name, PATIENCE * 3)
        self.addCleanup(s.close)
        return s

    def balance(self, d, name="s"):
        """What was started has ended, or runs."""
        s = d.service(name)
        self.assertEqual(s["spawned"], s["active"] + sum(s["exited"].values()), s)
        return s

    def test_all_models(self):
        """Of each model a process that serves somebody: it is the same one afterwards, and ends as it would have."""
        backend = os.path.join(self.temporary_folder(), "backend")
        d = self.daemon({"services": {
            "plain": ECHO,
            "demand": {**ECHO, "model": "on-demand"},
            "listener": {**ECHO, "model": "pool", "pool": {"min": 1, "max": 2}},
            "passed": {**ECHO, "model": "pool", "pool": {"min": 1, "max": 2, "handoff": "connection"}},
            "forward": {"listen": TCP, "model": "forward", "to": f"unix:{backend}",
                        "exec": [sys.executable, "-c", BACKEND, f"unix:{backend}"]},
            "ahead": {**ECHO, "prespawn": 3}}})
        names = ("plain", "demand", "listener", "passed", "forward", "ahead")
        held = {name: self.hold(d, name) for name in names}
        for name, s in held.items():
            s.sendall(name.encode())
            self.assertEqual(s.recv(100), name.encode(), name)
        before = {i["instance"]: i for i in d.instances()}
        for _ in range(2):
            self.upgrade(d)
            after = {i["instance"]: i for i in d.instances()}
            for number, i in before.items():
                for key in ("pid", "service", "peer", "state", "since_usec", "generation"):
                    self.assertEqual(after[number][key], i[key], f"{key} of {i}")
            for name, s in held.items():
                s.sendall(b"again")
                self.assertEqual(s.recv(100), b"again", name)
                self.assertEqual(d.ask(name, b"new"), b"new", name)
        for s in held.values():
            s.close()
        for name in ("plain", "forward", "ahead"):
            d.wait_service(name, active=0)
            self.assertEqual(self.balance(d, name)["exited"]["ok"], 3)
        for name in ("demand", "listener", "passed"):
            self.balance(d, name)
            d.call("Stop", services=[name])
            self.assertEqual(self.balance(d, name)["active"], 0)

    def test_exit_codes(self):
        """How one ends that was started by the program before: also by a signal, and with its last words."""
        d = self.daemon({"services": {"s": shell("read x; echo last words >&2; exit $x"),
                                      "k": shell("read x; kill -USR1 $$$$"), "b": {**ECHO, "exec": ["{bad-child}", "hang"]}}})
        s, k, b = (self.hold(d, name) for name in ("s", "k", "b"))
        for name in ("s", "k", "b"):
            d.wait_service(name, active=1)
        self.upgrade(d)
        s.sendall(b"7\n")
        k.sendall(b"\n")
        self.assertEqual(d.wait_log(event="ended", service="s")[0]["exit_code"], 7)
        self.assertEqual(d.log(event="stderr")[0]["message"], "last words")
        self.assertEqual([e["event"] for e in d.log(service="s") if e["event"] in ("stderr", "ended")],
                         ["stderr", "ended"])
        self.assertIn("killed by SIGUSR1", d.wait_log(event="ended", service="k")[0]["message"])
        b.close()
        os.kill(self.instance(d, "b")["pid"], signal.SIGKILL)
        self.assertIn("killed by SIGKILL", d.wait_log(event="ended", service="b")[0]["message"])
        self.assertEqual(d.service("s")["exited"]["failed"], 1)
        self.assertEqual(d.service("k")["exited"]["signaled"], 1)

    def test_half_a_report(self):
        d = self.daemon({"services": {"s": shell(say("REQUESTS=5\\nSTATUS=wor") + "read x; " +
                                                 say("king\\nREQUESTS=7\\nX_SPEED=2.5\\n") + "read x", report=True)}})
        s = self.hold(d)
        d.wait_service("s", requests=5)
        self.upgrade(d)
        s.sendall(b"\n")
        d.wait_service("s", requests=7)
        i = self.instance(d)
        self.assertEqual((i["status"], i["requests"]), ("working", 7))
        self.upgrade(d)
        self.assertRegex(d.mpctl("metrics", check=0).stdout, r"(?m)^mpinetd_reported\{.*\} 2\.5$")
        self.assertEqual(d.service("s")["report_errors"], 0)

    def test_ready_before_and_after(self):
        script = "while ! [ -e {dir}/go ]; do sleep 0.05; done; " + say("READY=1\\n") + "exec sleep 1000"
        d = self.daemon({"services": {"s": shell(script, model="on-demand", notify="status", start="now")}})
        d.wait_service("s", state="starting")
        self.upgrade(d)
        self.assertEqual(d.service("s")["state"], "starting")
        with open(d.path("go"), "w", encoding="utf-8"):
            pass
        d.wait_service("s", state="active")
        self.upgrade(d)
        self.assertEqual(self.instance(d)["state"], "running")
        self.assertEqual(len(d.log(event="ready")), 1)

    def test_backend_that_starts(self):
        """Whether it is reached goes on to be found out."""
        folder = self.temporary_folder()
        to = f"unix:{folder}/backend"
        d = self.daemon({"services": {"s": {"listen": TCP, "model": "forward", "to": to, "start": "now",
                                            "exec": [sys.executable, "-c", BACKEND, to, f"go={folder}/go"]}}})
        d.wait_service("s", state="starting")
        pid = self.instance(d)["pid"]
        for _ in range(2):
            self.upgrade(d)
            self.assertEqual((d.service("s")["state"], self.instance(d)["state"]), ("starting", "starting"))
        with open(f"{folder}/go", "w", encoding="utf-8"):
            pass
        d.wait_service("s", state="active")
        self.assertEqual((self.instance(d)["pid"], self.instance(d)["state"]), (pid, "running"))
        self.assertEqual(len(d.log(event="ready")), 1)
        with self.hold(d) as c:
            c.sendall(b"connections")
            self.assertEqual(c.recv(100), b"2", "one to find out, and this one")

    def test_start_time_of_a_backend_goes_on(self):
        d = self.daemon({"services": {"s": {"listen": TCP, "model": "forward", "to": "unix:{dir}/nobody", "start": "now",
                                            "exec": ["/bin/sleep", "1000"], "timeouts": {"start": f"{LIMIT}s"}}}})
        d.wait_log(event="started")
        self.upgrade(d)
        self.assert_timed_out(d, "timeouts.start")
        self.assertEqual(d.log(event="ready"), [])

    def wait_end(self, d):
        wait_until(lambda: d.log(event="ended", service="s"), "its end", deadline=2 * LIMIT + PATIENCE)
        return d.log(event="ended", service="s")[0]

    def assert_timed_out(self, d, step):
        """The process of s ends when its time is over, which has not begun anew with the upgrade."""
        event = self.wait_end(d)
        self.assertEqual(event["reason"], "timeout", event)
        self.assertIn(step, event["message"])
        lived = event["duration_usec"] / 1e6
        self.assertGreater(lived, LIMIT * 0.95)
        self.assertLess(lived, 2 * LIMIT + PATIENCE)

    def test_start_time_goes_on(self):
        d = self.daemon({"services": {"s": shell("exec sleep 1000", model="on-demand", notify="status", start="now",
                                                 timeouts={"start": f"{LIMIT}s"})}})
        d.wait_log(event="started")
        self.upgrade(d)
        self.assert_timed_out(d, "timeouts.start")

    def test_lifetime_goes_on(self):
        d = self.daemon({"services": {"s": {**ECHO, "timeouts": {"lifetime": f"{LIMIT}s"}}}})
        s = self.hold(d)
        d.wait_log(event="started")
        self.upgrade(d)
        self.assertEqual(read_all(s), b"")
        self.assert_timed_out(d, "timeouts.lifetime")

    def test_idle_goes_on(self):
        """Of a connection, and of a process that is started on demand."""
        d = self.daemon({"services": {"s": {**ECHO, "timeouts": {"idle": f"{LIMIT}s"}},
                                      "o": {**ECHO, "model": "on-demand", "timeouts": {"idle": "2s"}}}})
        s = self.hold(d)
        d.wait_log(event="started")
        self.assertEqual(d.ask("o", b"y"), b"y")
        self.upgrade(d)
        self.assertEqual(read_all(s), b"")
        self.assert_timed_out(d, "timeouts.idle")
        d.wait_service("o", active=0)
        self.assertEqual(d.log(event="ended", service="o")[0]["reason"], "timeout")

    def test_watchdog_goes_on(self):
        """One that reports goes on, one that has ceased to is ended."""
        beat = say("WATCHDOG=1\\n")
        script = f"while :; do {beat}[ -e {{dir}}/stop ] && exec sleep 1000; sleep 0.1; done"
        d = self.daemon({"services": {"s": shell(script, model="on-demand", start="now", report=True,
                                                 timeouts={"watchdog": f"{LIMIT}s", "stop": "2s"})}})
        pid = self.instance(d)["pid"]
        for _ in range(2):
            self.upgrade(d)
        stays(lambda: process_alive(pid), "it lives", seconds=LIMIT + 0.5)
        with open(d.path("stop"), "w", encoding="utf-8"):
            pass
        self.upgrade(d)
        event = self.wait_end(d)
        self.assertEqual((event["reason"], event["pid"]), ("timeout", pid))

    def test_stop_time_goes_on(self):
        """One that does not hear TERM is killed in time, and the order is answered after that."""
        d = self.daemon({"services": {"s": {**ECHO, "exec": ["{bad-child}", "hang"], "timeouts": {"stop": f"{LIMIT}s"}}}})
        self.hold(d)
        pid = self.instance(d)["pid"]
        wait_ignores(pid)
        with d.connect(PATIENCE * 3) as control:
            control.send("Stop", {"services": ["s"]})
            wait_until(lambda: not d.instances("s") or self.instance(d)["state"] == "stopping", "it to be told")
            self.upgrade(d)
            self.assertIn("parameters", control.receive())
        self.assertFalse(process_alive(pid))
        event = d.wait_log(event="ended", service="s")[0]
        self.assertIn("killed by SIGKILL", event["message"])
        self.assertEqual(d.service("s")["exited"]["ok"], 1)

    def test_ghosts(self):
        """The stderr of one that has ended is read as long as somebody writes to it."""
        script = "(while ! [ -e {dir}/go ]; do sleep 0.05; done; echo from the grave >&2) </dev/null >/dev/null & exit 3"
        d = self.daemon({"services": {"s": shell(script)}})
        self.assertEqual(d.ask("s"), b"")
        number = d.wait_log(event="ended")[0]["instance"]
        self.upgrade(d)
        with open(d.path("go"), "w", encoding="utf-8"):
            pass
        line = d.wait_log(event="stderr")[0]
        self.assertEqual((line["message"], line["service"], line["instance"]), ("from the grave", "s", number))
        self.assertEqual(d.service("s")["exited"]["failed"], 1)

    def test_young_ones(self):
        """What processes write whose pipes are not watched yet comes once, and before they end."""
        d = self.daemon({"services": {"s": shell("echo young >&2; read x; echo old >&2")}})
        for n in range(1, 4):
            held = [d.dial("s") for _ in range(8)]
            self.upgrade(d)
            for s in held:
                s.sendall(b"\n")
                self.assertEqual(s.recv(1), b"")
                s.close()
            d.wait_service("s", spawned=8 * n, active=0)
            wait_until(lambda: len(d.log(event="ended")) == 8 * n, "all to be told of")
        for pid in {e["pid"] for e in d.log(event="ended")}:
            story = [e["message"] if e["event"] == "stderr" else e["event"] for e in d.log(service="s", pid=pid)]
            self.assertEqual(story, ["started", "young", "old", "ended"])

    def test_traffic(self):
        """What has passed over a connection is counted from its beginning to its end."""
        facts = ["pid", "exit", "traffic"]
        d = self.daemon({"services": {"s": {**ECHO, "log": {"success": facts, "failure": facts}}}})
        s = self.hold(d)
        s.sendall(b"12345")
        self.assertEqual(s.recv(10), b"12345")
        self.upgrade(d)
        s.sendall(b"678")
        self.assertEqual(s.recv(10), b"678")
        s.close()
        message = d.wait_log(event="ended")[0]["message"]
        if "unknown" in message:
            self.skipTest("the kernel does not tell of the ends of connections here")
        self.assertIn("8 B in, 8 B out", message)

    def test_sources_are_held(self):
        """Who has as many connections as he may have has them afterwards, and one more when one is over."""
        d = self.daemon({"services": {"s": {**ECHO, "limits": {"per_source": 2}}}})
        first, second = self.hold(d), self.hold(d)
        d.wait_service("s", active=2)
        self.assertEqual(d.ask("s", b"x"), b"")
        self.upgrade(d)
        self.assertEqual(d.ask("s", b"x"), b"")
        first.close()
        d.wait_service("s", active=1)
        self.assertEqual(d.ask("s", b"x"), b"x")
        second.close()
        self.assertEqual(d.wait_service("s", active=0)["refused"]["per_source"], 2)

    def test_prespawn(self):
        """Those that are set up ahead are ended and set up anew; nobody notices."""
        d = self.daemon({"services": {"s": {**ECHO, "prespawn": 4}}})
        with Load(self, {"s": d.port("s")}, at_once=4) as load:
            for _ in range(3):
                self.upgrade(d)
        d.wait_service("s", active=0)
        s = self.balance(d)
        self.assertGreater(load.answered, 10)
        self.assertEqual((s["spawn_failed"], s["accepted"]), (0, s["spawned"]))

    def pool(self, handoff, exec_, **more):
        d = self.daemon({"services": {"s": {"listen": TCP, "model": "pool", "exec": exec_, "pool": {
            "min": 3, "max": 6, "spare_max": 6, "handoff": handoff}, **more}}})
        d.wait_service("s", state="active")
        wait_until(lambda: (d.service("s")["workers"] or {}).get("idle", 0) >= 3, "three idle workers")
        return d

    def test_pools_under_load(self):
        for handoff in ("listener", "connection"):
            with self.subTest(handoff):
                d = self.pool(handoff, ["mp-echo"])
                before = {i["pid"] for i in d.instances()}
                with Load(self, {"s": d.port("s")}, at_once=4), Held(self, d.port("s"), 2):
                    for _ in range(3):
                        self.upgrade(d)
                # They have not been replaced: only more may have come.
                after = {i["pid"] for i in d.instances()}
                self.assertTrue(before <= after or len(before & after) >= 2, (before, after))
                s = self.balance(d)
                self.assertEqual(sum(s["exited"].values()) - s["exited"]["ok"], 0, s)
                wait_until(lambda: d.service("s")["workers"]["busy"] == 0, "all workers to be idle")

    def test_scoreboard_is_read_on(self):
        """What workers count in shared memory is seen afterwards as before."""
        d = self.pool("connection", [WORKER])
        def ask():
            with d.dial("s") as s:
                s.sendall(b"tell\n")
                return read_all(s)
        for _ in range(5):
            ask()
        d.wait_service("s", requests=5)
        self.upgrade(d)
        for _ in range(5):
            ask()
        d.wait_service("s", requests=10)

    def test_worker_is_renewed_after(self):
        """A restart takes the workers of before one by one."""
        d = self.pool("connection", ["mp-echo"])
        before = {i["pid"] for i in d.instances()}
        self.upgrade(d)
        d.call("Restart", services=["s"])
        wait_until(lambda: not before & {i["pid"] for i in d.instances()}, "new workers")
        self.assertEqual(d.ask("s", b"x"), b"x")
        self.balance(d)

    def test_dies_in_between(self):
        """One that ends while no program is there to see it is reaped by the next one."""
        d = self.daemon({"services": {"s": shell("echo ready >&2; exec sleep 1000")}})
        held = [self.hold(d) for _ in range(5)]
        wait_until(lambda: len(d.log(event="stderr")) == 5, "all of them")
        pids = [i["pid"] for i in d.instances("s")]
        with d.connect(PATIENCE * 3) as control:
            self.install(OTHER)
            control.send("Upgrade")
            for pid in pids:
                os.kill(pid, signal.SIGKILL)
                time.sleep(0.02)
            self.assertIn("parameters", control.receive())
        d.wait_service("s", active=0)
        self.assertEqual(d.service("s")["exited"]["signaled"], 5)
        for s in held:
            self.assertEqual(read_all(s), b"")


if __name__ == "__main__":
    unittest.main()
