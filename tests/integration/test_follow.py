# SPDX-License-Identifier: MIT
"""What happened and what processes wrote: the rings that keep it, and those who follow it. A follower that does not read
costs a bounded piece of memory, is told how much it has missed, and is let go when it takes nothing at all."""
import contextlib
import subprocess
import sys
import time
import unittest

from harness import SANITIZED, SLOW, DaemonTest, need_root, resident_kib, stays, wait_until
from strain import MEMORY_KIB

# Kept: events of one service, lines of its output.
KEPT_SERVICE, KEPT_LINES = 64, 128
# How long a client may take nothing of what waits for it.
STALL = 30


def talker(lines, text="line"):
    """A service each of whose processes writes so many numbered lines to stderr."""
    return {"listen": "tcp:127.0.0.1:0", "exec": ["/bin/sh", "-c", f"seq -f '{text} %.0f' 1 {lines} >&2"]}


class FollowTest(DaemonTest):
    def events(self, service=None, last=100000):
        return self.d.call("Events", service=service, last=last)["events"]

    def kinds(self, *arguments, **options):
        return [e["event"] for e in self.events(*arguments, **options)]

    def talk(self, name="talk"):
        """Has one process of the service write all it has to say."""
        spawned = self.d.service(name)["spawned"]
        self.d.dial(name).close()
        self.d.wait_service(name, active=0, spawned=spawned + 1)


class Rings(FollowTest):
    def setUp(self):
        self.d = self.daemon({"services": {
            "echo": {"listen": "tcp:127.0.0.1:0", "exec": ["mp-echo"]}, "talk": talker(3),
            "chatty": talker(3000)}})

    def test_of_a_service_in_the_order_of_time(self):
        self.talk()
        found = self.events("talk")
        self.assertEqual([(e["event"], e["message"]) for e in found if e["event"] in ("started", "stderr")],
                         [("started", "started")] + [("stderr", f"line {i}") for i in (1, 2, 3)])
        self.assertEqual(found[-1]["event"], "ended")
        self.assertEqual([e["time_usec"] for e in found], sorted(e["time_usec"] for e in found))
        self.assertEqual({e["service"] for e in found}, {"talk"})
        self.assertGreater(found[-2]["pid"], 0)

    def test_of_all_without_output(self):
        self.talk()
        kinds = self.kinds()
        self.assertNotIn("stderr", kinds)
        self.assertIn("ended", kinds)

    def test_last(self):
        self.talk()
        every = self.events("talk")
        for last in (0, 1, 2, 3, len(every), len(every) + 1, 10**12):
            self.assertEqual(self.events("talk", last), every[-last:] if last else [])
        self.assertEqual(self.events(None, 2), self.events()[-2:])

    def test_output_pushes_out_nothing_else(self):
        self.d.ask("echo", b"x")
        self.d.wait_idle("echo")
        self.talk("chatty")
        self.assertIn("ended", [e["event"] for e in self.events() if e["service"] == "echo"])
        of_chatty = self.kinds("chatty")
        self.assertEqual(of_chatty.count("stderr"), KEPT_LINES)
        self.assertEqual([k for k in of_chatty if k != "stderr"], ["listening", "started", "ended"])

    def test_events_push_out_no_output(self):
        self.talk()
        for _ in range(KEPT_SERVICE):
            self.d.ask("echo", b"x")
            self.talk()
        kinds = self.kinds("talk")
        self.assertEqual((len(kinds) - kinds.count("stderr"), kinds.count("stderr")), (KEPT_SERVICE, KEPT_LINES))

    def test_description(self):
        self.talk("chatty")
        kinds = [e["event"] for e in self.d.call("Describe", service="chatty")["events"]]
        self.assertEqual(kinds, ["listening", "started"] + 10 * ["stderr"] + ["ended"])

    def test_long_lines_are_few(self):
        """What is kept of one service is bounded in bytes as well."""
        d = self.d = self.daemon({"services": {
            f"s{i}": {"listen": "tcp:127.0.0.1:0",
                      "exec": ["/bin/sh", "-c", "for i in $(seq 200); do printf '%04000d\\n' $i; done >&2"]}
            for i in range(20)}})
        self.talk("s0")
        before = resident_kib(d.pid)
        for i in range(1, 20):
            self.talk(f"s{i}")
        self.assertLess(resident_kib(d.pid) - before, MEMORY_KIB if SANITIZED else 19 * 400)
        lines = [e for e in self.events("s5") if e["event"] == "stderr"]
        self.assertTrue(10 < len(lines) < KEPT_LINES, len(lines))
        self.assertEqual(int(lines[-1]["message"]), 200)


class Following(FollowTest):
    def setUp(self):
        self.config = {"services": {
            "echo": {"listen": "tcp:127.0.0.1:0", "exec": ["mp-echo"]}, "talk": talker(3)}}
        self.d = self.daemon(self.config)

    def follow(self, stack, service=None, last=0):
        control = stack.enter_context(self.d.connect())
        control.send("Events", {"service": service, "last": last}, more=True)
        first = control.receive()
        self.assertTrue(first["continues"])
        self.assertEqual(first["parameters"]["missed"], 0)
        return control, first["parameters"]["events"]

    def until(self, control, event):
        """The events up to the first of that kind."""
        seen = []
        while not seen or seen[-1]["event"] != event:
            reply = control.receive()
            self.assertTrue(reply["continues"])
            self.assertEqual(reply["parameters"]["missed"], 0)
            seen += reply["parameters"]["events"]
        return seen

    def test_of_a_service_and_of_all(self):
        with contextlib.ExitStack() as stack:
            of_talk, past = self.follow(stack, "talk", last=10)
            of_all, none = self.follow(stack)
            self.assertEqual(([e["event"] for e in past], none), (["listening"], []))
            self.d.ask("echo", b"x")
            self.d.wait_idle("echo")
            self.talk()
            seen = self.until(of_talk, "ended")
            self.assertEqual([e["event"] for e in seen], ["started"] + 3 * ["stderr"] + ["ended"])
            seen = self.until(of_all, "ended") + self.until(of_all, "ended")
            self.assertEqual([(e["service"], e["event"]) for e in seen if e["service"]],
                             [(s, e) for s in ("echo", "talk") for e in ("started", "ended")])

    def test_no_such_service(self):
        with self.d.connect() as control:
            control.send("Events", {"service": "nope"}, more=True)
            self.assertIn("NoSuchService", control.receive()["error"])
            self.assertEqual(control.call("Ping")["pid"], self.d.pid)

    def test_through_a_reload_that_takes_it_away(self):
        with contextlib.ExitStack() as stack:
            control, _ = self.follow(stack, "talk")
            self.d.write_config({"services": {"echo": self.config["services"]["echo"]}})
            self.d.call("Reload")
            # It is there for as long as somebody may be on the way to it.
            wait_until(lambda: [s["name"] for s in self.d.status()["services"]] == ["echo"], "it to go")
            self.d.write_config(self.config)
            self.d.call("Reload")
            self.talk()
            self.assertEqual([e["event"] for e in self.until(control, "ended") if e["event"] not in ("listening", "state")],
                             ["started"] + 3 * ["stderr"] + ["ended"])

    def test_to_the_end(self):
        """The last words of the daemon reach those who follow."""
        with contextlib.ExitStack() as stack:
            control, _ = self.follow(stack)
            self.d.call("Shutdown")
            seen = []
            with contextlib.suppress(ConnectionError):
                while True:
                    seen += control.receive()["parameters"]["events"]
            self.assertIn("stopping", [e["event"] for e in seen])
        self.assertEqual(self.d.process.wait(10), 0)

    def test_many_follow(self):
        with contextlib.ExitStack() as stack:
            followers = [self.follow(stack, "talk")[0] for _ in range(50)]
            for _ in range(20):
                self.talk()
            for control in followers:
                for _ in range(20):
                    self.assertEqual(len(self.until(control, "ended")), 5)

    def test_who_half_closes_goes_on(self):
        with contextlib.ExitStack() as stack:
            control, _ = self.follow(stack, "talk")
            control.socket.shutdown(1)
            self.talk()
            self.assertEqual(len(self.until(control, "ended")), 5)

    def test_who_leaves_is_forgotten(self):
        for _ in range(20):
            with contextlib.ExitStack() as stack:
                self.follow(stack, "talk")
        self.talk()
        wait_until(lambda: "mpinetd_control_clients 1\n" in self.d.call("Metrics")["metrics"], "none of them is left")


class Missing(FollowTest):
    """Ten thousand events while nobody reads."""
    LINES = 10000

    def setUp(self):
        self.d = self.daemon({"services": {"talk": talker(self.LINES), "brief": talker(1)}, "log": {"level": "error"}})

    def missed_in_all(self):
        for line in self.d.call("Metrics")["metrics"].splitlines():
            if line.startswith("mpinetd_events_missed_total "):
                return int(line.split()[1])
        return None

    def test_it_is_told_how_much(self):
        self.talk()
        before = resident_kib(self.d.pid)
        with self.d.connect() as control:
            control.send("Events", {"service": "talk", "last": 0}, more=True)
            control.receive()
            self.talk()
            self.talk()
            # Twice that: what it reads late, and where its place is kept.
            self.assertLess(resident_kib(self.d.pid) - before, MEMORY_KIB if SANITIZED else 1024)
            happened, got, missed, replies = 2 * (self.LINES + 2), [], 0, []
            while len(got) + missed < happened:
                reply = control.receive()
                replies.append(reply["parameters"])
                got += reply["parameters"]["events"]
                missed += reply["parameters"]["missed"]
                self.assertTrue(reply["continues"])
            self.assertEqual(len(got) + missed, happened)
            self.assertGreater(missed, self.LINES)
            self.assertGreater(len(got), 100)
            self.assertEqual([p for p in replies if p["missed"]], [{"events": [], "missed": missed}])
            self.assertEqual(self.missed_in_all(), missed)
            # What came before is without a gap, and from here it goes on.
            numbers = [int(e["message"].split()[1]) for e in got if e["event"] == "stderr"]
            self.assertEqual(numbers[:self.LINES], list(range(1, 1 + len(numbers[:self.LINES]))))
            # As many as it can take at once.
            self.d.write_config({"services": {"talk": talker(50)}})
            self.d.call("Reload")
            self.talk()
            seen = []
            while not seen or seen[-1]["event"] != "ended":
                reply = control.receive()["parameters"]
                self.assertEqual(reply["missed"], 0)
                seen += reply["events"]
            self.assertEqual([int(e["message"].split()[1]) for e in seen if e["event"] == "stderr"], list(range(1, 51)))

    def test_slow_reader(self):
        """It misses some, more than once, and everything is accounted for."""
        with self.d.connect() as control:
            control.send("Events", {"service": "talk", "last": 0}, more=True)
            control.receive()
            got = missed = 0
            for times in range(1, 4):
                self.talk()
                while got + missed < times * (self.LINES + 2):
                    reply = control.receive()["parameters"]
                    got += len(reply["events"])
                    missed += reply["missed"]
        self.assertEqual(got + missed, 3 * (self.LINES + 2))

    def test_others_miss_nothing(self):
        with self.d.connect() as sleeper, self.d.connect() as reader:
            for control in (sleeper, reader):
                control.send("Events", {"service": "brief", "last": 0}, more=True)
                control.receive()
            sleeper.send("Ping")  # waits behind
            for _ in range(50):
                self.talk("brief")
            got = []
            while len(got) < 150:
                reply = reader.receive()["parameters"]
                self.assertEqual(reply["missed"], 0)
                got += reply["events"]
            self.assertEqual([e["event"] for e in got], 50 * ["started", "stderr", "ended"])

    @unittest.skipUnless(SLOW, f"takes {STALL} s: MP_TEST_SLOW=1")
    def test_one_that_takes_nothing_is_let_go(self):
        with self.d.connect() as stalled, self.d.connect() as quiet, self.d.connect() as flood:
            stalled.send("Events", {"service": "talk", "last": 0}, more=True)
            stalled.receive()
            quiet.send("Events", {"service": "brief", "last": 0}, more=True)
            quiet.receive()
            start = time.monotonic()
            self.talk()
            flood.socket.settimeout(2)
            with contextlib.suppress(TimeoutError):
                while True:
                    flood.send("Status")
            clients = "mpinetd_control_clients %d\n"
            stays(lambda: clients % 4 in self.d.call("Metrics")["metrics"], "it is patient",
                  STALL - 5 - (time.monotonic() - start), interval=0.5)
            wait_until(lambda: clients % 2 in self.d.call("Metrics")["metrics"], "both are gone", STALL)
            # One for whom nothing waits stays as long as it likes.
            self.talk("brief")
            self.assertEqual(quiet.receive()["parameters"]["events"][0]["event"], "started")
            for control in (stalled, flood):
                control.socket.settimeout(5)
                with contextlib.suppress(ConnectionResetError):
                    while control.socket.recv(1 << 20):
                        pass


@need_root
class Addresses(FollowTest):
    """Who may only look sees peers as log.addresses has it now, also of what was kept before."""
    LOOK = ("import json,os,socket,sys\n"
            "os.setgroups([]); os.setgid(54321); os.setuid(54321)\n"
            "for method, parameters in (('Events', {}), ('Events', {'service': 'echo'}), ('Describe', {'service': 'echo'}),\n"
            "                           ('Instances', {})):\n"
            "    s=socket.socket(socket.AF_UNIX); s.connect(sys.argv[1])\n"
            "    s.sendall(json.dumps({'method':'dev.mpinetd.Control.'+method,'parameters':parameters}).encode()+b'\\0')\n"
            "    b=b''\n"
            "    while not b.endswith(b'\\0'): b+=s.recv(1<<20)\n"
            "    print(b[:-1].decode())\n")

    def look(self):
        return subprocess.run([sys.executable, "-c", self.LOOK, self.d.socket], stdout=subprocess.PIPE, text=True,
                              check=True).stdout

    def config(self, addresses):
        return {"log": {"addresses": addresses}, "control": {"mode": "0666"},
                "services": {"echo": {"listen": "tcp:127.0.0.1:0", "exec": ["mp-echo"]}}}

    def test_stricter_by_reload(self):
        self.d = self.daemon(self.config("full"))
        with self.d.dial("echo") as held:
            held.sendall(b"x")
            held.recv(1)
            self.assertEqual(self.look().count("127.0.0.1:%d" % held.getsockname()[1]), 5)
            for addresses in ("prefix", "none"):
                self.d.write_config(self.config(addresses))
                self.d.call("Reload")
                seen = self.look()
                self.assertNotIn(":%d" % held.getsockname()[1], seen)
                self.assertNotIn('"peer":"127.0.0.1', seen)
                if addresses == "none":
                    self.assertNotIn('"peer":"', seen)
                # Who may change things sees what was kept.
                started = [e for e in self.events("echo") if e["event"] == "started"]
                self.assertEqual(started[0]["peer"], "127.0.0.1:%d" % held.getsockname()[1])
        self.d.wait_idle("echo")
        self.assertIsNone(self.events("echo")[-1]["peer"])
        # What was not kept does not come back.
        self.d.write_config(self.config("full"))
        self.d.call("Reload")
        self.assertIsNone([e for e in self.events("echo") if e["event"] == "ended"][0]["peer"])
        self.d.ask("echo", b"x")
        self.d.wait_idle("echo")
        self.assertIn('"peer":"127.0.0.1:', self.look())

    def test_prefix(self):
        self.d = self.daemon(self.config("prefix"))
        self.d.ask("echo", b"x")
        self.d.wait_idle("echo")
        self.assertIn('"peer":"127.0.0.0/24"', self.look())


if __name__ == "__main__":
    unittest.main()
