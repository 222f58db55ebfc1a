# SPDX-License-Identifier: MIT
"""Long replies go out in parts, between which the daemon serves others: each is complete and in order, with and without
`more`, whatever comes and goes meanwhile, and whoever does not read it."""
import contextlib
import json
import os
import resource
import signal
import socket
import threading
import time
import unittest

from harness import SANITIZED, SLOW, DaemonTest, exchange, resident_kib, wait_until
from strain import MEMORY_KIB, Strain, quantile

# Processes of the long list; each costs a fork. MP_TEST_SLOW: what the daemon has to bear.
MANY = 10000 if SLOW and not SANITIZED else 400
PART = 50
# A list that does not fit into a socket's buffer and what the daemon makes in advance.
LONG = 1500


def sleepers(number, **keys):
    return {"listen": {"endpoint": "unix:{dir}/sleep.sock", "backlog": 1024}, "exec": ["/bin/sleep", "1000"],
            "stderr": "inherit", "limits": {"instances": number + 10}, **keys}


class PartsTest(DaemonTest):
    def tearDown(self):
        for i in self.d.instances():
            with contextlib.suppress(ProcessLookupError):
                os.kill(i["pid"], signal.SIGKILL)

    def start_many(self, number, name="sleep"):
        """Nobody holds the connections: the processes live all the same."""
        for i in range(number):
            with socket.socket(socket.AF_UNIX) as s:
                s.connect(self.d.path(name + ".sock"))
            if i % 500 == 499:
                wait_until(lambda: self.d.service(name)["active"] > i, "the processes", deadline=120)
        self.d.wait_service(name, active=number)

    def raw(self, method, parameters=None, more=False):
        """The whole replies to one call, and how often something of them came."""
        with self.d.connect() as control:
            control.send(method, parameters or {}, **({"more": True} if more else {}))
            replies = [control.receive()]
            while replies[-1].get("continues"):
                replies.append(control.receive())
        for reply in replies:
            self.assertNotIn("error", reply)
        return [reply["parameters"] for reply in replies]

    def assert_listed(self, parts, number):
        found = [i for part in parts for i in part["instances"]]
        self.assertEqual(len({i["pid"] for i in found}), number)
        self.assertEqual([i["instance"] for i in found], sorted(i["instance"] for i in found))
        self.assertEqual(len(found), number)


class Instances(PartsTest):
    def setUp(self):
        self.d = self.daemon({"services": {
            "canary": {"listen": "tcp:127.0.0.1:0", "exec": ["mp-echo"], "stderr": "inherit"},
            "empty": {"listen": "tcp:127.0.0.1:0", "exec": ["mp-echo"]},
            "sleep": sleepers(max(MANY, LONG))}, "log": {"level": "warning"}})

    @unittest.skipIf(MANY > 1000 and resource.getrlimit(resource.RLIMIT_NPROC)[0] not in (-1, resource.RLIM_INFINITY)
                     and resource.getrlimit(resource.RLIMIT_NPROC)[0] < 2 * MANY, "needs as many processes")
    def test_many(self):
        self.start_many(MANY)
        with self.subTest("in parts"):
            parts = self.raw("Instances", {"service": "sleep"}, more=True)
            self.assertEqual(len(parts), (MANY + PART - 1) // PART)
            self.assertTrue(all(len(part["instances"]) <= PART for part in parts))
            self.assert_listed(parts, MANY)
        with self.subTest("in one"):
            self.assert_listed(self.raw("Instances", {"service": "sleep"}), MANY)
        with self.subTest("of all services"):
            self.assert_listed(self.raw("Instances", more=True), MANY)
        with self.subTest("of one without"):
            self.assertEqual(self.raw("Instances", {"service": "empty"}, more=True), [{"instances": []}])
        for more in (True, False):
            with self.subTest("others are served", more=more), Strain(self, self.d, quick=1.0, rests=False) as strain:
                end = time.monotonic() + 2
                while time.monotonic() < end:
                    self.raw("Instances", more=more)
            print(f"{MANY} instances, more: {more}: p99 {1000 * quantile(strain.answers['service'], 0.99):.1f} ms")

    def test_they_come_and_go_meanwhile(self):
        """Those that are there all the time are listed once, those that are gone may be, and new ones are not: else a
        list that is read slowly would have no end."""
        self.start_many(LONG)
        before = self.d.instances("sleep")
        with self.d.connect() as control:
            control.send("Instances", {"service": "sleep"}, more=True)
            first = control.receive()["parameters"]["instances"]
            for i in before[20:-20]:
                os.kill(i["pid"], signal.SIGKILL)
            wait_until(lambda: self.d.service("sleep")["active"] == 40, "the ends")
            self.start_more(30)
            parts, more = [first], True
            while more:
                reply = control.receive()
                parts.append(reply["parameters"]["instances"])
                more = reply.get("continues", False)
        found = [i["pid"] for part in parts for i in part]
        self.assertEqual(len(found), len(set(found)))
        self.assertLessEqual({i["pid"] for i in before[:20] + before[-20:]}, set(found))
        self.assertLess(len(found), LONG, "all of it was made before anything was read")
        self.assertLessEqual(set(found), {i["pid"] for i in before}, "what was started later is not listed")

    def start_more(self, number):
        active = self.d.service("sleep")["active"]
        for _ in range(number):
            with socket.socket(socket.AF_UNIX) as s:
                s.connect(self.d.path("sleep.sock"))
        self.d.wait_service("sleep", active=active + number)

    def test_their_service_goes_meanwhile(self):
        self.start_many(LONG)
        with self.d.connect() as control:
            control.send("Instances")
            control.buffer = control.socket.recv(10)
            self.d.write_config({"services": {"canary": {"listen": "tcp:127.0.0.1:0", "exec": ["mp-echo"]}}})
            self.d.call("Reload")
            for i in self.d.instances("sleep"):
                os.kill(i["pid"], signal.SIGKILL)
            wait_until(lambda: [s["name"] for s in self.d.status()["services"]] == ["canary"], "the end of the service")
            self.assertLess(len(control.receive()["parameters"]["instances"]), LONG)
            self.assertEqual(control.call("Ping")["pid"], self.d.pid)

    def test_others_wait_in_line(self):
        """What the same client asks meanwhile is answered after it, in order."""
        self.start_many(120)
        with self.d.connect() as control:
            control.send("Instances", {}, more=True)
            control.send("Ping")
            control.send("Instances")
            control.send("Ping")
            replies = [control.receive()["parameters"] for _ in range(3 + 1 + 1 + 1)]
        self.assertEqual([next(iter(r)) for r in replies],
                         ["instances"] * 3 + ["version", "instances", "version"])
        self.assertEqual(len(replies[4]["instances"]), 120)

    def test_oneway(self):
        self.start_many(60)
        with self.d.connect() as control:
            for method in ("Instances", "Status", "Metrics", "GetConfig", "Events", "CheckConfig"):
                control.send(method, oneway=True)
            control.send("Describe", {"service": "sleep"}, oneway=True)
            self.assertEqual(control.call("Ping")["pid"], self.d.pid)

    def test_client_that_leaves_meanwhile(self):
        self.start_many(120)
        for k in range(30):
            control = self.d.connect()
            control.send("Instances", {}, **({"more": True} if k % 2 else {}))
            if k % 3 == 0:
                control.socket.recv(10)
            control.close()
        self.assertEqual(self.d.call("Ping")["pid"], self.d.pid)

    def test_client_that_only_half_closes(self):
        self.start_many(120)
        with self.d.connect() as control:
            control.send("Instances")
            control.socket.shutdown(socket.SHUT_WR)
            self.assertEqual(len(control.receive()["parameters"]["instances"]), 120)
            self.assertEqual(control.socket.recv(1), b"")

    def test_description_has_the_newest(self):
        self.start_many(60)
        numbers = [i["instance"] for i in self.d.instances("sleep")]
        described = self.d.call("Describe", service="sleep")
        self.assertEqual([i["instance"] for i in described["instances"]], numbers[-20:])
        self.assertEqual(described["service"]["active"], 60)


class Services(PartsTest):
    NUMBER = 500

    def setUp(self):
        self.config = {"services": {f"s{i:03}": {"listen": f"unix:{{dir}}/{i}.sock", "exec": ["mp-echo"]}
                                    for i in range(self.NUMBER)}}
        self.d = self.daemon(self.config)

    def names(self, reply):
        return [s["name"] for s in reply["services"]]

    def test_status(self):
        every = sorted(self.config["services"])
        self.assertEqual(self.names(self.d.call("Status")), every)
        self.assertEqual(self.names(self.d.call("Status", services=["s*"])), every)
        self.assertEqual(self.names(self.d.call("Status", services=["s??9", "s007", "s007"])),
                         [n for n in every if n.endswith("9") or n == "s007"])
        self.assertEqual(self.names(self.d.call("Status", services=[])), [])
        # More is allowed where there is but one.
        self.assertEqual([self.names(p) for p in self.raw("Status", more=True)], [every])

    def test_config(self):
        one = self.raw("GetConfig")
        parts = self.raw("GetConfig", more=True)
        self.assertEqual(len(one), 1)
        self.assertGreater(len(parts), 5)
        together = {}
        for part in parts:
            self.assertEqual(part["generation"], 1)
            together.update(part["config"]["services"])
        self.assertEqual(list(together), sorted(self.config["services"]))
        self.assertEqual(together, one[0]["config"]["services"])
        self.assertEqual([("control" in part["config"]) for part in parts], [True] + [False] * (len(parts) - 1))

    def test_metrics(self):
        def series(text):
            return [line.split(" ")[0] for line in text.splitlines() if not line.startswith("#")]
        one, parts = self.raw("Metrics"), self.raw("Metrics", more=True)
        self.assertGreater(len(parts), 20)
        self.assertEqual(series("".join(p["metrics"] for p in parts)), series(one[0]["metrics"]))
        self.assertEqual(len(set(series(one[0]["metrics"]))), len(series(one[0]["metrics"])))

    def test_reload_meanwhile(self):
        """Each service of before and after is there once, in order; the reply is whole."""
        for method, more in (("Status", False), ("Metrics", True), ("Metrics", False), ("GetConfig", True)):
            with self.subTest(method, more=more), self.d.connect() as control:
                control.send(method, {"origin": True} if method == "GetConfig" else {}, **({"more": True} if more else {}))
                control.buffer = control.socket.recv(10)
                services = {n: c for n, c in self.config["services"].items() if int(n[1:]) % 3}
                services["zzz"] = {"listen": "unix:{dir}/z.sock", "exec": ["mp-echo"]}
                self.d.write_config({"services": services})
                self.d.call("Reload")
                replies = [control.receive()]
                while replies[-1].get("continues"):
                    replies.append(control.receive())
                if method == "Status":
                    names = self.names(replies[0]["parameters"])
                elif method == "GetConfig":
                    names = [n for r in replies for n in r["parameters"]["config"]["services"]]
                else:
                    text = "".join(r["parameters"]["metrics"] for r in replies)
                    names = [line.split('"')[1] for line in text.splitlines() if line.startswith("mpinetd_instances{")]
                self.assertEqual(names, sorted(set(names)))
                self.assertLessEqual({n for n in services if n != "zzz"}, set(names))
                self.assertLess(len(names), self.NUMBER, "all of it was made before anything was read")
                self.d.write_config(self.config)
                self.d.call("Reload")

    def test_client_that_does_not_read(self):
        """Only so much is made of a reply as the client takes, however long it is."""
        with contextlib.ExitStack() as stack:
            clients = []
            for method in ("Status", "Metrics"):
                self.d.call(method)
            before = resident_kib(self.d.pid)
            for k in range(60):
                control = stack.enter_context(self.d.connect())
                control.send(("Status", "Metrics")[k % 2])
                clients.append(control)
            self.assertEqual(self.d.call("Ping")["pid"], self.d.pid)
            time.sleep(0.5)
            grown = resident_kib(self.d.pid) - before
            self.assertLess(grown, MEMORY_KIB if SANITIZED else 60 * 300, "KiB for 60 clients")
            for control in clients[:6]:
                self.assertIn("parameters", control.receive())

    def test_no_such_service_is_told_before_anything(self):
        for names, missing in ((["nope"], "nope"), (["s*", "x*"], "x*"), (["s000", ""], "")):
            with self.d.connect() as control:
                control.send("Status", {"services": names})
                reply = control.receive()
                self.assertEqual((reply["error"].rsplit(".", 1)[1], reply["parameters"]["service"]),
                                 ("NoSuchService", missing))
                self.assertEqual(control.call("Ping")["pid"], self.d.pid)

    @unittest.skipIf(SANITIZED, "takes longer")
    def test_thousand_is_quick(self):
        """Generous; the aim is 50 ms with mpctl."""
        services = {f"t{i:03}": {"listen": f"unix:{{dir}}/t{i}.sock", "exec": ["mp-echo"]} for i in range(1000)}
        self.d.write_config({"services": services})
        self.d.call("Reload")
        took = []
        for _ in range(5):
            start = time.monotonic()
            with self.d.connect() as control:
                control.send("Status")
                while not control.buffer.endswith(b"\0"):
                    control.buffer += control.socket.recv(1 << 20)
            took.append(time.monotonic() - start)
            self.assertEqual(len(json.loads(control.buffer[:-1])["parameters"]["services"]), 1000)
        print(f"Status of 1000 services: {1000 * min(took):.1f} ms")
        self.assertLess(min(took), 0.5)


class Fair(PartsTest):
    def test_many_lists_at_once(self):
        """However many ask for long replies: one part of one of them a turn."""
        d = self.d = self.daemon({"services": {
            "canary": {"listen": "tcp:127.0.0.1:0", "exec": ["mp-echo"]}, "sleep": sleepers(200)}})
        self.start_many(100)
        stop = threading.Event()
        counts = [0] * 20

        def ask(k):
            with d.connect() as control:
                while not stop.is_set():
                    control.call(("Instances", "Metrics", "CheckConfig", "Events")[k % 4])
                    counts[k] += 1
        threads = [threading.Thread(target=ask, args=(k,)) for k in range(len(counts))]
        with Strain(self, d, quick=1.0, rests=False, memory_kib=MEMORY_KIB if SANITIZED else 16384):
            for t in threads:
                t.start()
            time.sleep(2)
            stop.set()
            for t in threads:
                t.join()
        self.assertGreater(min(counts), 0, "each gets its turn")
        self.assertEqual(exchange(d.dial("canary"), b"x"), b"x")


if __name__ == "__main__":
    unittest.main()
