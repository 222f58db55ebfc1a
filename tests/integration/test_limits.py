# SPDX-License-Identifier: MIT
"""limits.instances with wait and refuse, timeouts.lifetime, timeouts.stop."""
import socket
import time
import unittest

from harness import DaemonTest, children_of, cpu_seconds, process_state, read_all, stays, wait_until


class Instances(DaemonTest):
    def start(self, **limits):
        return self.daemon({"services": {"s": {"listen": "tcp:127.0.0.1:0", "exec": ["cat"], "limits": limits}}})

    @staticmethod
    def answers(s, timeout):
        s.settimeout(timeout)
        try:
            return s.recv(1) == b"x"
        except TimeoutError:
            return False

    def test_wait(self):
        d = self.start(instances=2)
        first = [d.dial("s") for _ in range(2)]
        for s in first:
            s.sendall(b"x")
            self.assertTrue(self.answers(s, 5))
        third = d.dial("s")
        third.sendall(b"x")
        self.assertFalse(self.answers(third, 0.4))
        service = d.service("s")
        self.assertEqual((service["state"], service["active"], service["instances_limit"]), ("full", 2, 2))
        self.assertEqual(service["queued"], 1)
        self.assertEqual(sum(service["refused"].values()), 0)
        before = cpu_seconds(d.pid)
        time.sleep(0.5)
        self.assertLess(cpu_seconds(d.pid) - before, 0.1, "a full service costs nothing")
        first[0].close()
        self.assertTrue(self.answers(third, 5), "the next one is served as soon as a place is free")
        for s in (first[1], third):
            s.close()
        service = d.wait_service("s", active=0, state="listening")
        self.assertEqual((service["accepted"], service["spawned"], service["exited"]["ok"]), (3, 3, 3))

    def test_refuse(self):
        d = self.start(instances=1, when_full="refuse")
        with d.dial("s") as first:
            first.sendall(b"x")
            self.assertTrue(self.answers(first, 5))
            for _ in range(3):
                with d.dial("s") as s:
                    self.assertEqual(read_all(s), b"")
            service = d.service("s")
            self.assertEqual((service["refused"]["instances"], service["active"]), (3, 1))
            self.assertEqual(len(d.log(event="refused", service="s")), 3)
            self.assertEqual(d.log(event="refused", service="s")[0]["reason"], "instances")
        d.wait_service("s", active=0)
        self.assertEqual(d.ask("s", b"again"), b"again")
        service = d.wait_service("s", active=0)
        self.assertEqual(service["accepted"],
                         service["spawned"] + service["spawn_failed"] + sum(service["refused"].values()) + service["gone"])

    def test_a_place_comes_back_with_the_process_not_with_a_pipe(self):
        """A grandchild that keeps every descriptor open does not keep the place."""
        d = self.daemon({"services": {"s": {"listen": "tcp:127.0.0.1:0", "exec": ["{bad-child}", "grandchild", "1500"],
                                            "limits": {"instances": 1}}}})
        with d.dial("s"), d.dial("s"):
            start = time.monotonic()
            d.wait_service("s", active=0, spawned=2)
            self.assertLess(time.monotonic() - start, 1.2)
        wait_until(lambda: len(d.quiet_descriptors()) <= len(d.baseline), "the pipes of the grandchildren to close")

    def test_daemonised_child(self):
        d = self.daemon({"services": {"s": {"listen": "tcp:127.0.0.1:0", "exec": ["{bad-child}", "daemonise", "300"],
                                            "limits": {"instances": 1}}}})
        for _ in range(5):
            self.assertEqual(d.ask("s"), b"")
        service = d.wait_idle("s")
        self.assertEqual(service["exited"]["ok"], 5)

    def test_flood_beside_others(self):
        d = self.daemon({"services": {
            "busy": {"listen": "tcp:127.0.0.1:0", "exec": ["cat"], "limits": {"instances": 1}},
            "canary": {"listen": "tcp:127.0.0.1:0", "exec": ["mp-echo"]}}})
        clients = [d.dial("busy") for _ in range(100)]
        for _ in range(5):
            start = time.monotonic()
            self.assertEqual(d.ask("canary", b"tweet"), b"tweet")
            self.assertLess(time.monotonic() - start, 2)
        for s in clients:
            s.close()
        d.wait_service("busy", queued=0, active=0)


class Timeouts(DaemonTest):
    def start(self, *child, **timeouts):
        return self.daemon({"services": {"s": {"listen": "tcp:127.0.0.1:0", "exec": ["{bad-child}", *child],
                                               "timeouts": timeouts}}})

    def test_lifetime(self):
        d = self.start("sleep", lifetime="300ms", stop="5s")
        start = time.monotonic()
        with d.dial("s") as s:
            self.assertEqual(read_all(s), b"")
        self.assertGreater(time.monotonic() - start, 0.25)
        service = d.wait_idle("s")
        self.assertEqual(service["exited"]["timeout"], 1, "a timeout counts as such, before the signal that it took")
        self.assertEqual(service["exited"]["signaled"], 0)

    def test_lifetime_of_one_that_ignores_term(self):
        d = self.start("hang", lifetime="200ms", stop="300ms")
        # One that is slow to start gets TERM before it ignores it.
        wait_until(lambda: d.ask("s") == b"hanging\n", "one that ignores it")
        service = d.wait_idle("s")
        self.assertEqual(service["exited"]["timeout"], service["spawned"])
        self.assertEqual(d.log(event="ended", service="s")[-1]["signal"], "SIGKILL")

    def test_kill_takes_the_process_group(self):
        d = self.start("group", lifetime="200ms", stop="300ms")
        # The end of file comes when the grandchild that held the connection is gone as well.
        wait_until(lambda: d.ask("s") == b"group\n", "one that came so far")
        d.wait_idle("s")

    def test_stopped_process_is_killed(self):
        d = self.start("stop-self", lifetime="3s", stop="300ms")
        with d.dial("s") as s:
            self.assertEqual(s.recv(100), b"stopping\n")
            pid = wait_until(lambda: children_of(d.pid), "the child")[0][0]
            wait_until(lambda: process_state(pid) == "T", "its stopping itself")
            self.assertEqual(d.service("s")["active"], 1, "stopped is not ended")
            self.assertEqual(read_all(s), b"")
        self.assertEqual(d.wait_idle("s")["exited"]["timeout"], 1)

    def test_stop_verb_and_stop_timeout(self):
        d = self.start("hang", stop="300ms")
        port = d.port("s")
        with d.dial("s") as s:
            self.assertEqual(s.recv(100), b"hanging\n")
            start = time.monotonic()
            d.call("Stop", services=["s"])
            self.assertGreater(time.monotonic() - start, 0.25)
            self.assertEqual(read_all(s), b"")
        service = d.service("s")
        self.assertEqual((service["state"], service["active"]), ("stopped", 0), "the reply comes after the deed")
        self.assertEqual(service["exited"]["ok"], 1, "an end that was asked for is ok")
        with self.assertRaises(ConnectionRefusedError):
            socket.create_connection(("127.0.0.1", port), 2)

    def test_none_by_default(self):
        d = self.start("sleep")
        with d.dial("s"):
            d.wait_service("s", active=1)
            stays(lambda: d.service("s")["active"] == 1, "the instance", seconds=0.5)
        d.call("Stop", services=["s"])


class Exits(DaemonTest):
    def count(self, *child, **service):
        d = self.daemon({"services": {"s": {"listen": "tcp:127.0.0.1:0", "exec": ["{bad-child}", *child], **service}}})
        d.ask("s")
        wait_until(lambda: sum(d.service("s")["exited"].values()) == 1, "the end")
        return {key: value for key, value in d.service("s")["exited"].items() if value}, d

    def test_ok(self):
        self.assertEqual(self.count("exit", "0")[0], {"ok": 1})

    def test_failed(self):
        exited, d = self.count("exit", "127")
        self.assertEqual(exited, {"failed": 1})
        self.assertEqual(d.service("s")["spawn_failed"], 0, "127 after a good exec is the program's own")
        self.assertEqual(d.wait_log(event="ended", service="s")[0]["exit_code"], 127)

    def test_signaled(self):
        exited, d = self.count("abort", resources={"core": 0})
        self.assertEqual(exited, {"signaled": 1})
        self.assertEqual(d.wait_log(event="ended", service="s")[0]["signal"], "SIGABRT")


if __name__ == "__main__":
    unittest.main()
