# SPDX-License-Identifier: MIT
"""Services over an upgrade in place: connections that are still to say who they are, whoever counts for a limit, orders
that are half carried out, delays, and what is to be removed in the end."""
import os
import socket
import time
import unittest

from harness import PATIENCE, exchange, read_all, stays, wait_until
from proxy import receive, v1
from test_upgrade import UpgradeTest

TCP = "tcp:127.0.0.1:0"
ECHO = {"listen": TCP, "exec": ["mp-echo"]}


class Services(UpgradeTest):
    def hold(self, d, name="s"):
        s = d.dial(name)
        self.addCleanup(s.close)
        return s

    def is_refused(self, d, name="s"):
        """Whether who comes now is sent away without a word."""
        with d.dial(name) as s:
            try:
                s.sendall(b"x")
                return s.recv(1) == b""
            except ConnectionError:
                return True

    def balance(self, d, name):
        s = d.service(name)
        self.assertEqual(s["accepted"], s["spawned"] + s["spawn_failed"] + sum(s["refused"].values()) + s["gone"], s)
        return s

    def quick_upgrade(self, d, begin):
        """What begin() returns, after an upgrade that followed soon: a header, or a name, has 3 s in all."""
        for _ in range(5):
            began = time.monotonic()
            result = begin()
            self.upgrade(d)
            if time.monotonic() - began < 2:
                return result
        return self.skipTest("no upgrade comes to its end within 2 s here")

    def test_half_a_header(self):
        """What has been taken of a PROXY header is not lost; who has said nothing yet is waited for."""
        d = self.daemon({"services": {"s": {"listen": TCP, "exec": ["env"],
                                            "proxy_protocol": {"accept_from": ["127.0.0.1"]}}}})
        header = v1("192.0.2.1", "198.51.100.2", 1234, 443)

        def begin():
            half, silent = self.hold(d), self.hold(d)
            half.sendall(header[:9])
            wait_until(lambda: d.service("s")["queued"] == 0)
            return half, silent

        for s, rest in zip(self.quick_upgrade(d, begin), (header[9:], header)):
            s.sendall(rest)
            self.assertIn(b"TCPREMOTEIP=192.0.2.1\n", read_all(s))
        d.wait_service("s", active=0)
        self.balance(d, "s")

    def test_half_a_name(self):
        d = self.daemon({"services": {"mux": {"listen": TCP, "model": "tcpmux"},
                                      "e": {"exec": ["cat"], "tcpmux": "+echo"}}})

        def begin():
            s = self.hold(d, "mux")
            s.sendall(b"ec")
            wait_until(lambda: d.service("mux")["queued"] == 0)
            return s

        s = self.quick_upgrade(d, begin)
        s.sendall(b"ho\r\nhello")
        self.assertEqual(receive(s, 10), b"+Go\r\nhello")
        self.assertEqual(d.service("e")["active"], 1)
        self.assertEqual(d.service("e")["state"], "listening")

    def test_places_are_taken(self):
        """Who was served before counts after: for the instances, and for the source; and no longer than he is there."""
        worker = {"model": "pool", "pool": {"min": 1, "max": 1, "handoff": "connection"}}
        d = self.daemon({"services": {
            "full": {**ECHO, "limits": {"instances": 1, "when_full": "refuse"}},
            "source": {**ECHO, "limits": {"per_source": 1}},
            "pool": {**ECHO, **worker, "limits": {"per_source": 1}}}})
        names = ("full", "source", "pool")
        held = {name: self.hold(d, name) for name in names}
        for s in held.values():
            s.sendall(b"x")
            self.assertEqual(s.recv(1), b"x")
        self.upgrade(d)
        for name in names:
            self.assertTrue(self.is_refused(d, name), name)
        for name, s in held.items():
            s.close()
            wait_until(lambda name=name: not self.is_refused(d, name), f"a place at {name}")

    def test_delays(self):
        """What is slowed by restart.limit is so afterwards, and is tried again when its time has come."""
        d = self.daemon({"services": {"s": {"listen": "udp:127.0.0.1:0", "exec": ["/bin/false"],
                                            "restart": {"limit": "1/10m", "delay": "20s", "max_delay": "20s"}}}})
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as s:
            s.sendto(b"x", ("127.0.0.1", d.port("s")))
            before = d.wait_service("s", state="backoff")
        self.upgrade(d)
        after = d.service("s")
        self.assertEqual(after["state"], "backoff")
        self.assertEqual(after["since_usec"], before["since_usec"])
        self.assertEqual(after["last_error"], before["last_error"])
        d.call("Start", services=["s"])
        wait_until(lambda: d.service("s")["spawned"] > before["spawned"])

    def test_drain_goes_on(self):
        """A drain that waits for a connection: nobody new gets in, and it comes to its end."""
        d = self.daemon({"services": {"s": ECHO}})
        s = self.hold(d)
        s.sendall(b"x")
        self.assertEqual(s.recv(1), b"x")
        with d.connect(PATIENCE * 3) as control:
            control.send("Drain", {"services": ["s"]})
            wait_until(lambda: d.service("s")["state"] == "draining")
            self.upgrade(d)
            self.assertEqual(d.service("s")["state"], "draining")
            self.assertEqual([x["port"] for x in d.service("s")["listeners"] if x["error"]], [])
            s.sendall(b"y")
            self.assertEqual(s.recv(1), b"y")
            s.close()
            control.receive()
        self.assertEqual(d.service("s")["state"], "stopped")

    def test_removed_service(self):
        """A service that is gone from the config lives as long as its last connection, by what it was configured to."""
        d = self.daemon({"services": {"gone": {**ECHO, "timeouts": {"lifetime": "1h"}}, "stays": ECHO}})
        s = self.hold(d, "gone")
        s.sendall(b"x")
        self.assertEqual(s.recv(1), b"x")
        d.write_config({"services": {"stays": ECHO}})
        d.call("Reload")
        self.assertEqual(d.service("gone")["state"], "draining")
        self.upgrade(d)
        self.upgrade(d)
        self.assertEqual(d.service("gone")["state"], "draining")
        s.sendall(b"y")
        self.assertEqual(s.recv(1), b"y")
        s.close()
        wait_until(lambda: [x["name"] for x in d.status()["services"]] == ["stays"])
        self.assertEqual(d.log(event="ended")[-1]["service"], "gone")
        # Its name and its config can come back.
        d.write_config({"services": {"gone": ECHO, "stays": ECHO}})
        d.call("Reload")
        self.assertEqual(d.ask("gone", b"x"), b"x")

    def test_nodes(self):
        """What the daemon has made in the file system it still removes, and nothing else."""
        fifo = os.path.join(self.temporary_folder(), "others")
        os.mkfifo(fifo, 0o600)
        d = self.daemon({"services": {"u": {"listen": "unix:{dir}/u.sock", "exec": ["mp-echo"]},
                                      "f": {"listen": "fifo:{dir}/f", "exec": ["cat"]},
                                      "o": {"listen": f"fifo:{fifo}", "exec": ["cat"]},
                                      "k": {"listen": [{"endpoint": "unix:{dir}/k.sock", "remove_on_stop": False}],
                                            "exec": ["mp-echo"]}}})
        self.upgrade(d)
        self.assertEqual(exchange(d.dial("u"), b"x"), b"x")
        d.stop()
        self.assertEqual([os.path.exists(d.path(name)) for name in ("u.sock", "f", "k.sock")], [False, False, True])
        self.assertTrue(os.path.exists(fifo))

    def test_nothing_is_told_twice(self):
        """Neither that it listens, nor its state; and no event is lost."""
        d = self.daemon({"services": {"s": ECHO, "p": ECHO, "bad": {**ECHO, "listen": "unix:/no/such/folder/s"}}})
        d.call("Pause", services=["p"])
        d.wait_service("bad", state="failed")
        before = d.call("Events", last=1000)["events"]
        self.upgrade(d)
        after = d.call("Events", last=1000)["events"]
        self.assertEqual(after[:len(before)], before)
        told = {(e["service"], e["event"]) for e in after[len(before):] if e["service"] in ("s", "p")}
        self.assertEqual(told, set())
        self.assertEqual(d.service("bad")["state"], "failed")
        self.assertEqual(d.service("bad")["last_error"]["step"], "bind")
        stays(lambda: d.service("p")["state"] == "paused", seconds=0.3)

    def test_many_in_a_row(self):
        """Descriptors neither grow nor go, and the counters go on."""
        d = self.daemon({"services": {"s": ECHO, "u": {"listen": "unix:{dir}/u.sock", "exec": ["mp-echo"]}}})
        self.upgrade(d)
        fds = len(d.quiet_descriptors())
        for _ in range(4):
            self.assertEqual(d.ask("s", b"x"), b"x")
            self.upgrade(d)
        d.wait_service("s", active=0)
        self.assertEqual(len(d.quiet_descriptors()), fds)
        self.assertEqual(d.service("s")["accepted"], 4)


if __name__ == "__main__":
    unittest.main()
