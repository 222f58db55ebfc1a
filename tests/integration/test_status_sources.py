# SPDX-License-Identifier: MIT
"""Why was this one refused, and until when? What Status and Describe tell of it, and the long form of mpctl status."""
import contextlib
import json
import re
import socket
import time

from harness import DaemonTest, User, Varlink, exchange, need_root, wait_until

ECHO = {"listen": "tcp:127.0.0.1:0", "exec": ["mp-echo"]}
CLOCK = r"(?:\d{4}-\d\d-\d\d )?\d\d:\d\d:\d\d"


class StatusTest(DaemonTest):
    def start(self, keys=None, **globals_):
        self.d = self.daemon({**globals_, "services": {"s": {**ECHO, **(keys or {})}}})
        return self.d

    def dial(self, source="127.0.0.1"):
        """A connection that is being served."""
        s = socket.create_connection(("127.0.0.1", self.d.port("s")), 10, (source, 0))
        self.addCleanup(s.close)
        s.sendall(b"x")
        self.assertEqual(s.recv(1), b"x")
        return s

    def refused(self, source="127.0.0.1"):
        with socket.create_connection(("127.0.0.1", self.d.port("s")), 10, (source, 0)) as s:
            self.assertEqual(exchange(s, b""), b"")

    def describe(self):
        return self.d.call("Describe", service="s")

    def source(self, name):
        return next(s for s in self.describe()["sources"] if s["source"] == name)

    def long(self):
        return self.d.mpctl("status", "s", check=0).stdout

    def assert_soon(self, usec, seconds):
        """A moment since 1970 that lies ahead, but no further than that."""
        self.assertGreater(usec / 1e6, time.time() - 1)
        self.assertLessEqual(usec / 1e6, time.time() + seconds)


class Sources(StatusTest):
    def test_rate_of_a_source(self):
        self.start({"limits": {"rate_per_source": "2/10m", "per_source": 5}})
        before = time.time()
        for _ in range(2):
            self.dial("127.0.1.7").close()
        self.d.wait_idle("s")
        for _ in range(3):
            self.refused("127.0.1.7")
        source = self.source("127.0.1.7")
        self.assertEqual([source[key] for key in ("active", "accepted", "refused", "reason", "banned")],
                         [0, 2, 3, "rate_per_source", False])
        self.assert_soon(source["until_usec"], 300)
        self.assertGreater(source["until_usec"] / 1e6, time.time() + 200)
        for key in ("last_time_usec", "first_time_usec", "newest_time_usec"):
            self.assertAlmostEqual(source[key] / 1e6, before, delta=30)
        self.assertLessEqual(source["first_time_usec"], source["newest_time_usec"])
        self.assertRegex(self.long(), rf"of whom: 127\.0\.1\.7  3  last by rate_per_source at {CLOCK}, \d+s ago; "
                                      rf"served again at {CLOCK}, in [34]m \d+s\n")
        self.assertRegex(self.long(), r"Limits: instances 1000 \(0 in use\), per_source 5, rate_per_source 2/10m, a source is "
                                      r"a /32 or /64, ")

    def test_it_would_be_served_again(self):
        """What is over is not told any more."""
        self.start({"limits": {"rate_per_source": "2/1s burst 1"}})
        self.dial("127.0.1.7")
        while self.d.service("s")["refused"]["rate_per_source"] == 0:
            with socket.create_connection(("127.0.0.1", self.d.port("s")), 10, ("127.0.1.7", 0)) as s:
                exchange(s, b"")
        wait_until(lambda: self.source("127.0.1.7")["until_usec"] is None, "the next token")
        self.assertEqual(self.source("127.0.1.7")["reason"], "rate_per_source")
        self.assertNotIn("served again", self.long())

    def test_banned(self):
        self.start({"access": {"deny": ["127.0.1.7"]}, "ban": {"after": "2/1m", "for": "10m"}})
        for _ in range(3):
            self.refused("127.0.1.7")
        source = self.source("127.0.1.7")
        self.assertEqual([source[key] for key in ("accepted", "refused", "reason", "banned")], [0, 3, "banned", True])
        (ban,) = self.d.call("Bans")["bans"]
        self.assertAlmostEqual(source["until_usec"], ban["until_usec"], delta=2e6)
        self.assertRegex(self.long(), rf"of whom: 127\.0\.1\.7  3  banned until {CLOCK}, in [89]m \d+s; last by banned at ")
        self.assertRegex(self.long(), r"Access: 1 rule; 1 ban \(mpctl bans\)\n")
        self.d.call("Unban", prefix="127.0.1.7")
        source = self.source("127.0.1.7")
        self.assertEqual((source["banned"], source["until_usec"]), (False, None))

    def test_who_comes_most(self):
        """Over time, with what is running; those who were refused stand first."""
        self.start({"limits": {"source_prefix": {"ipv4": 24}}, "access": {"deny": ["127.0.9.0/24"]}})
        self.dial("127.0.1.1")
        first = self.source("127.0.1.0/24")
        for i in range(2, 6):
            self.dial(f"127.0.1.{i}")
        gone = self.dial("127.0.2.1")
        gone.close()
        wait_until(lambda: self.d.service("s")["active"] == 5, "the end")
        self.refused("127.0.9.1")
        sources = self.describe()["sources"]
        self.assertEqual([[s[key] for key in ("source", "active", "accepted", "refused", "reason")] for s in sources],
                         [["127.0.9.0/24", 0, 0, 1, "access"], ["127.0.1.0/24", 5, 5, 0, None],
                          ["127.0.2.0/24", 0, 1, 0, None]])
        self.assertAlmostEqual(sources[1]["first_time_usec"], first["first_time_usec"], delta=1e6)
        self.assertGreater(sources[1]["newest_time_usec"], sources[1]["first_time_usec"])
        self.assertIsNone(sources[1]["last_time_usec"])
        self.assertRegex(self.long(), rf"Sources: 127\.0\.1\.0/24  5 now, 5 accepted in \d+s, the last at {CLOCK}, \d+s ago\n"
                                      rf" +127\.0\.2\.0/24  0 now, 1 accepted in ")

    def test_another_prefix(self):
        """Those who were refused before limits.source_prefix was changed keep the name that they had."""
        self.start({"access": {"deny": ["127.0.9.0/24"]}})
        self.refused("127.0.9.1")
        self.d.write_config({"services": {"s": {**ECHO, "access": {"deny": ["127.0.9.0/24"]},
                                                "limits": {"source_prefix": {"ipv4": 24}}}}})
        self.d.call("Reload")
        for _ in range(2):
            self.refused("127.0.9.1")
        self.assertEqual([(s["source"], s["refused"]) for s in self.describe()["sources"]],
                         [("127.0.9.0/24", 2), ("127.0.9.1", 1)])

    @need_root
    def test_who_may_only_look(self):
        """Sources that are shown alike are one."""
        self.start({"limits": {"per_source": 1}}, log={"addresses": "prefix"}, control={"mode": "0666"})
        for i in range(1, 4):
            self.dial(f"127.0.1.{i}")
            self.refused(f"127.0.1.{i}")
        (source,) = User(54321).run(sources_of, self.d.socket)
        self.assertEqual([source[key] for key in ("source", "active", "accepted", "refused", "reason")],
                         ["127.0.1.0/24", 3, 3, 3, "per_source"])
        self.assertEqual(len(self.describe()["sources"]), 3)


def sources_of(path):
    with Varlink(path) as control:
        return control.call("Describe", service="s")["sources"]


class Waiting(StatusTest):
    def waiting(self):
        s = self.d.service("s")
        return s["state"], s["waiting"]

    def test_throttled(self):
        self.start({"limits": {"rate": "1/10m burst 2"}})
        self.assertEqual(self.waiting(), ("listening", None))
        for _ in range(2):
            self.dial()
        state, waiting = wait_until(lambda: self.waiting()[1] and self.waiting(), "throttled")
        self.assertEqual((state, waiting["reason"], waiting["used"], waiting["limit"]), ("throttled", "rate", None, None))
        self.assert_soon(waiting["until_usec"], 600)
        table = self.d.mpctl(check=0).stdout
        self.assertRegex(table, r"(?m)^. s +throttled .* by rate$")
        self.assertIn("(1 service: 1 throttled)", table)
        self.assertRegex(self.long(), rf"State: throttled \(rate 1/10m burst 2, until {CLOCK}, in \d+m \d+s\) since ")
        self.assertIn("What to do: too many connections in a short time, and what has come waits; to let more in now: mpctl set s "
                      "limits.rate=N/s", self.long())
        self.assertEqual(self.d.mpctl("is-active", "s").returncode, 0)
        # Who waits is counted; and as told, more are let in.
        waiter = socket.create_connection(("127.0.0.1", self.d.port("s")), 10)
        self.addCleanup(waiter.close)
        wait_until(lambda: self.d.service("s")["queued"] == 1, "the queue")
        self.assertRegex(self.long(), r"; 1 of [0-9 ]+ wait in the kernel's queue\n")
        self.d.mpctl("set", "s", "limits.rate=100/s", check=0)
        waiter.sendall(b"y")
        self.assertEqual(waiter.recv(1), b"y")
        wait_until(lambda: self.waiting() == ("listening", None), "its normal state")
        self.assertRegex(self.long(), r"rate 100/s, .*\n +\(set: limits\.rate 1/10m burst 2 → 100/s, until the next reload\)")

    def test_load(self):
        with open("/proc/loadavg", encoding="utf-8") as file:
            if float(file.read().split()[0]) <= 0.05:
                self.skipTest("the machine does nothing")
        self.start({"limits": {"load": 0.01}})
        waiter = socket.create_connection(("127.0.0.1", self.d.port("s")), 10)
        self.addCleanup(waiter.close)
        state, waiting = wait_until(lambda: self.waiting()[1] and self.waiting(), "throttled")
        self.assertEqual((state, waiting), ("throttled", {"reason": "load", "used": None, "limit": None, "until_usec": None}))
        self.assertGreater(self.describe()["load"], 0.01)
        self.assertRegex(self.long(), r"State: throttled \(load over 0\.01\) since ")
        self.assertRegex(self.long(), r", load 0\.01 \(now \d+\.\d\d\), ")

    def test_full(self):
        self.start({"limits": {"instances": 1}})
        held = self.dial()
        state, waiting = wait_until(lambda: self.waiting()[1] and self.waiting(), "full")
        self.assertEqual((state, waiting), ("full", {"reason": "instances", "used": 1, "limit": 1, "until_usec": None}))
        self.assertIn("State: full (1 of 1 instances) since ", self.long())
        held.close()
        wait_until(lambda: self.waiting() == ("listening", None), "its normal state")

    def test_refusing_is_no_waiting(self):
        self.start({"limits": {"rate": "1/10m", "when_full": "refuse"}})
        self.dial()
        self.refused()
        self.assertEqual(self.waiting(), ("listening", None))
        source = self.source("127.0.0.1")
        self.assertEqual(source["reason"], "rate")
        self.assert_soon(source["until_usec"], 600)
        self.assertRegex(self.long(), rf"last by rate at {CLOCK}, \d+s ago; served again at ")


class Facts(StatusTest):
    def test_limits_and_hours(self):
        days = ("Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun")
        # Far from midnight on both sides, whatever the time is.
        day = days[(time.localtime().tm_wday + 3) % 7]
        self.start({"limits": {"instances": 7, "per_source": 3, "source_prefix": {"ipv4": 24, "ipv6": 56}, "rate": "5/s",
                               "rate_per_source": "10/h burst 20", "load": 1000, "when_full": "refuse",
                               "refuse_with": "reset"},
                    "access": {"allow": ["127.0.0.0/8", "::1"], "deny": ["127.9.0.0/16"],
                               "hours": [f"{day} 08:00-18:00"]}})
        d = self.describe()
        self.assertEqual(d["limits"], {
            "instances": 7, "per_source": 3, "source_prefix": {"ipv4": 24, "ipv6": 56}, "rate": "5/s",
            "rate_per_source": "10/h burst 20", "load": 1000, "when_full": "refuse", "refuse_with": "reset"})
        self.assertEqual((d["access_rules"], d["bans"], d["hours"]["open"]), (3, 0, False))
        opens = time.localtime(d["hours"]["until_usec"] / 1e6)
        self.assertEqual((days[opens.tm_wday], opens.tm_hour, opens.tm_min, opens.tm_sec), (day, 8, 0, 0))
        self.assertRegex(self.long(), rf"Access: 3 rules; closed by access\.hours until {CLOCK}, in [23]d \d+h\n")
        # Reset, perhaps before connect() has returned.
        with contextlib.suppress(ConnectionResetError), \
                socket.create_connection(("127.0.0.1", self.d.port("s")), 10) as s:
            self.assertEqual(exchange(s, b""), b"")
        wait_until(lambda: self.d.service("s")["refused"]["hours"] == 1, "the refusal")
        self.assertAlmostEqual(self.source("127.0.0.0/24")["until_usec"], d["hours"]["until_usec"], delta=2e6)

    def test_what_is_not_given(self):
        self.start()
        d = self.describe()
        self.assertEqual(d["limits"], {
            "instances": 1000, "per_source": None, "source_prefix": {"ipv4": 32, "ipv6": 64}, "rate": None,
            "rate_per_source": None, "load": None, "when_full": "wait", "refuse_with": "close"})
        self.assertEqual([d[key] for key in ("load", "hours", "access_rules", "bans", "sources")], [None, None, 0, 0, []])
        long = self.long()
        self.assertIn("Limits: instances 1000 (0 in use), when full wait, refuse with close, stop 10s\n", long)
        self.assertFalse(re.search("(?m)^ +(Access|Sources|of whom):", long))

    def test_json_of_status(self):
        """The same that the daemon says, with every field."""
        self.start()
        service = json.loads(self.d.mpctl("--json", "status", "s", check=0).stdout)["services"][0]
        self.assertIn("waiting", service)
        self.assertIsNone(service["waiting"])
