# SPDX-License-Identifier: MIT
"""Who is banned, seen and lifted from outside: what Bans lists, in parts however many there are and whatever comes and
goes meanwhile; what Unban lifts; who may see and do that; and what mpctl makes of it."""
import json
import os
import socket
import subprocess
import time

from harness import (MPCTL, DaemonTest, User, Varlink, VarlinkError, exchange, need_ipv6, need_root,
                     sanitizer_environment, wait_until)

ECHO = {"listen": "tcp:127.0.0.1:0", "exec": ["mp-echo"]}
TRAP = {**ECHO, "sensor": True, "ban": {"for": "1h"}}
LOOKER = User(54321)
# Of a long list, so many that it cannot be made in advance before any of it is read.
MANY = 4000
PART = 250


def as_looker(path):
    """What somebody sees who may only look: (bans, sources of echo, events)."""
    with Varlink(path) as control:
        return (control.call("Bans")["bans"], control.call("Describe", service="echo")["sources"],
                control.call("Events", last=1000)["events"])


class Bans(DaemonTest):
    def start(self, services=None, **globals_):
        self.d = self.daemon({**globals_, "services": {"trap": TRAP, "echo": ECHO, **(services or {})}})
        return self.d

    def touch(self, source, service="trap"):
        """What a connection from there gets for one byte."""
        with socket.create_connection(("127.0.0.1", self.d.port(service)), 10, (source, 0)) as s:
            try:
                return exchange(s, b"x")
            except ConnectionResetError:
                return b""

    def bans(self):
        return self.d.call("Bans")["bans"]

    def prefixes(self):
        return [ban["prefix"] for ban in self.bans()]

    def unban(self, prefix):
        return self.d.call("Unban", prefix=prefix)["lifted"]


class List(Bans):
    def test_shape(self):
        d = self.start({"strict": {**ECHO, "limits": {"rate_per_source": "1/10m", "source_prefix": {"ipv4": 24}},
                                   "ban": {"after": "2/1m", "for": "10m"}}})
        self.assertEqual(self.bans(), [])
        before = time.time()
        self.assertEqual(self.touch("127.0.1.7"), b"")
        self.assertEqual(self.touch("127.0.2.7", "strict"), b"x")
        for _ in range(2):
            self.assertEqual(self.touch("127.0.2.8", "strict"), b"")
        trapped, strict = wait_until(lambda: len(self.bans()) == 2 and self.bans(), "the bans")
        for ban, length in ((trapped, 3600), (strict, 600)):
            self.assertAlmostEqual(ban["since_usec"] / 1e6, before, delta=30)
            self.assertAlmostEqual((ban["until_usec"] - ban["since_usec"]) / 1e6, length, delta=1)
            self.assertLessEqual(ban["remaining_usec"], length * 10**6)
            self.assertAlmostEqual(ban["until_usec"] / 1e6 - time.time(), ban["remaining_usec"] / 1e6, delta=10)
        self.assertEqual([trapped[key] for key in ("prefix", "service", "by", "cause")],
                         ["127.0.1.7", None, "trap", "sensor"])
        self.assertEqual([strict[key] for key in ("prefix", "service", "by", "cause")],
                         ["127.0.2.0/24", "strict", "strict", "refusals"])
        self.assertEqual(set(trapped), {"prefix", "service", "by", "cause", "since_usec", "until_usec", "remaining_usec"})
        # So many hold for each of them.
        self.assertEqual({name: d.call("Describe", service=name)["bans"] for name in ("trap", "echo", "strict")},
                         {"trap": 1, "echo": 1, "strict": 2})

    def test_it_is_not_told_where_it_does_not_hold(self):
        """Where processes accept, nobody is asked for."""
        d = self.start({"passed": {**ECHO, "model": "pool", "pool": {"handoff": "connection"}},
                        "shared": {**ECHO, "model": "pool"}, "demand": {**ECHO, "model": "on-demand"},
                        "udp": {"listen": "udp:127.0.0.1:0", "exec": ["mp-echo"]}})
        self.assertEqual(self.touch("127.0.1.7"), b"")
        self.assertEqual(self.prefixes(), ["127.0.1.7"])
        for service, there in (("passed", b""), ("shared", b"x"), ("demand", b"x")):
            self.assertEqual(self.touch("127.0.1.7", service), there)
        self.assertEqual({name: d.call("Describe", service=name)["bans"] for name in ("passed", "shared", "demand", "udp")},
                         {"passed": 1, "shared": 0, "demand": 0, "udp": 1})

    def test_it_ends_by_itself(self):
        self.start({"short": {**TRAP, "ban": {"for": "1s"}}})
        self.assertEqual(self.touch("127.0.1.7", "short"), b"")
        self.assertEqual(self.prefixes(), ["127.0.1.7"])
        wait_until(lambda: self.bans() == [], "the end of the ban")
        self.assertEqual(self.touch("127.0.1.7", "echo"), b"x")

    def test_a_reload_keeps_them(self):
        d = self.start({"other": {**TRAP, "ban": {"for": "2h"}},
                        "strict": {**ECHO, "access": {"deny": ["127.0.3.0/24"]}, "ban": {"after": "1/1m", "for": "10m"}}})
        for source, service in (("127.0.1.1", "trap"), ("127.0.1.2", "other"), ("127.0.3.3", "strict")):
            self.assertEqual(self.touch(source, service), b"")
        self.assertEqual(self.prefixes(), ["127.0.1.1", "127.0.1.2", "127.0.3.3"])
        d.call("Reload")
        self.assertEqual(self.prefixes(), ["127.0.1.1", "127.0.1.2", "127.0.3.3"])
        # With a service go its own; those from all services stay.
        d.write_config({"services": {"echo": ECHO, "trap": TRAP}})
        d.call("Reload")
        self.assertEqual([(ban["prefix"], ban["by"]) for ban in self.bans()],
                         [("127.0.1.1", "trap"), ("127.0.1.2", "other")])


class Lift(Bans):
    def test_what_is_lifted(self):
        """What lies within the prefix, and what the prefix is a part of; nothing else."""
        sources = ("127.0.1.1", "127.0.1.2", "127.0.2.1", "127.0.66.3")
        self.start({"wide": {**TRAP, "limits": {"source_prefix": {"ipv4": 24}}}})
        cases = ((["127.0.1.1"], {"127.0.1.1"}), (["127.0.1.3"], set()), (["127.0.1.0/24"], {"127.0.1.1", "127.0.1.2"}),
                 (["127.0.1.77/24"], {"127.0.1.1", "127.0.1.2"}), (["::ffff:127.0.2.1"], {"127.0.2.1"}),
                 (["127.0.66.200"], {"127.0.66.0/24"}), (["127.0.66.200/30"], {"127.0.66.0/24"}),
                 (["127.0.0.0/8"], {"127.0.1.1", "127.0.1.2", "127.0.2.1", "127.0.66.0/24"}),
                 (["::/0"], set()), (["uid:0"], set()), (["vsock:3"], set()),
                 (["any"], {"127.0.1.1", "127.0.1.2", "127.0.2.1", "127.0.66.0/24"}),
                 (["127.0.1.1", "127.0.1.1"], {"127.0.1.1"}))
        for prefixes, gone in cases:
            with self.subTest(prefixes=prefixes):
                for source in sources[:3]:
                    self.touch(source)
                self.touch(sources[3], "wide")
                wait_until(lambda: len(self.bans()) == 4, "the bans")
                self.assertEqual(sum(self.unban(prefix) for prefix in prefixes), len(gone))
                self.assertEqual(set(self.prefixes()), {"127.0.1.1", "127.0.1.2", "127.0.2.1", "127.0.66.0/24"} - gone)
                self.unban("any")
                self.assertEqual(self.bans(), [])

    def test_served_again_at_once(self):
        d = self.start()
        self.assertEqual(self.touch("127.0.1.7"), b"")
        self.assertEqual(self.touch("127.0.1.7", "echo"), b"")
        self.assertEqual(d.service("echo")["refused"]["banned"], 1)
        self.assertEqual(self.unban("127.0.1.7"), 1)
        self.assertEqual(self.touch("127.0.1.7", "echo"), b"x")
        # It is told: by whom, and where.
        (event,) = d.wait_log(event="unbanned")
        self.assertEqual((event["peer"], event["message"]), ("127.0.1.7", f"1 ban lifted by uid {os.geteuid()}"))
        self.assertEqual(self.unban("127.0.1.7"), 0)
        # Every call is on record, and only what was lifted an event.
        wait_until(lambda: [e["message"] for e in d.log(event="control")] == [f"unban of 127.0.1.7 by uid {os.geteuid()}"] * 2,
                   "the records of both calls")
        self.assertEqual(len(d.log(event="unbanned")), 1)

    @need_ipv6
    def test_ipv6_and_unix(self):
        self.start({"six": {**TRAP, "listen": "tcp:[::1]:0"}, "local": {**TRAP, "listen": "unix:{dir}/trap.sock"}})
        with socket.create_connection(("::1", self.d.port("six")), 10) as s:
            self.assertEqual(exchange(s, b""), b"")
        with socket.socket(socket.AF_UNIX) as s:
            s.settimeout(10)
            s.connect(self.d.path("trap.sock"))
            self.assertEqual(exchange(s, b""), b"")
        self.assertEqual(self.prefixes(), ["::/64", f"uid:{os.geteuid()}"])
        self.assertEqual(self.unban("::1"), 1)
        self.assertEqual(self.unban(f"uid:{os.geteuid()}"), 1)

    def test_what_is_no_prefix(self):
        self.start()
        self.touch("127.0.1.7")
        for wrong in ("", "nobody", "127.0.1", "127.0.1.7/33", "127.0.1.7/", "::1/129", "uid:", "uid:x", "uid:-1", "Any",
                      "127.0.1.7 ", "gid:0", "fe80::1%nosuchinterface", "0x7f000001"):
            with self.subTest(prefix=wrong), self.assertRaises(VarlinkError) as caught:
                self.unban(wrong)
            self.assertEqual((caught.exception.name, caught.exception.parameters),
                             ("org.varlink.service.InvalidParameter", {"parameter": "prefix"}))
        self.assertEqual(self.prefixes(), ["127.0.1.7"])


@need_root
class Rights(Bans):
    def test_who_may_only_look(self):
        """He sees prefixes as log.addresses has them, in bans, sources and events alike, and lifts none."""
        for addresses, shown in (("full", "127.0.1.7"), ("prefix", "127.0.1.0/24"), ("none", None)):
            with self.subTest(addresses=addresses):
                d = self.start(log={"addresses": addresses}, control={"mode": "0666"})
                self.touch("127.0.1.7")
                self.touch("127.0.1.7", "echo")
                self.touch("127.0.1.9")
                self.assertEqual(self.unban("127.0.1.9"), 1)
                bans, sources, events = LOOKER.run(as_looker, d.socket)
                self.assertEqual([(ban["prefix"], ban["by"], ban["cause"]) for ban in bans], [(shown, "trap", "sensor")])
                self.assertEqual([source["source"] for source in sources if source["refused"]], [shown] if shown else [])
                self.assertEqual(self.prefixes(), ["127.0.1.7"])
                if addresses != "full":
                    for what in (bans, sources, events):
                        self.assertNotIn("127.0.1.7", json.dumps(what))
                        self.assertNotIn("127.0.1.9", json.dumps(what))
                    self.assertNotIn("127.0.1.9", d.log_text())
                with self.assertRaises(AssertionError) as caught:
                    LOOKER.run(lift_as_looker, d.socket)
                self.assertIn("NotAllowed", str(caught.exception))
                self.assertEqual(len(self.bans()), 1)


def lift_as_looker(path):
    with Varlink(path) as control:
        return control.call("Unban", prefix="any")


class Many(Bans):
    weight = 2

    @staticmethod
    def source(i):
        return f"127.{1 + i // 65025}.{i // 255 % 255}.{i % 255}"

    def setUp(self):
        self.start(log={"level": "error"})
        port = self.d.port("trap")
        for i in range(1, MANY + 1):
            with socket.create_connection(("127.0.0.1", port), 30, (self.source(i), 0)) as s:
                exchange(s, b"")
        self.assertEqual(self.d.call("Describe", service="echo")["bans"], MANY)
        self.everybody = [self.source(i) for i in range(1, MANY + 1)]

    def parts(self, more):
        with self.d.connect() as control:
            control.send("Bans", {}, **({"more": True} if more else {}))
            replies = [control.receive()]
            while replies[-1].get("continues"):
                replies.append(control.receive())
        return [[ban["prefix"] for ban in reply["parameters"]["bans"]] for reply in replies]

    def test_in_parts_and_in_one(self):
        parts = self.parts(True)
        self.assertEqual(sum(parts, []), self.everybody, "in the order in which they came")
        self.assertTrue(all(len(part) <= PART for part in parts))
        self.assertGreaterEqual(len(parts), MANY // PART)
        (whole,) = self.parts(False)
        self.assertEqual(whole, self.everybody)
        # mpctl makes one document, and one table, of all of it.
        document = json.loads(self.d.mpctl("--json", "bans", check=0).stdout)
        self.assertEqual(len(document["bans"]), MANY)
        self.assertEqual(len(self.d.mpctl("--plain", "bans", check=0).stdout.splitlines()), MANY)

    def lift_while_it_is_read(self, more):
        """Who is banned all the time is listed once; those who are lifted may be; those who come later are not."""
        lifted = set(self.everybody[10::2])
        with self.d.connect() as control, self.d.connect() as other:
            control.socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
            control.send("Bans", {}, **({"more": True} if more else {}))
            control.buffer = control.socket.recv(10)
            for prefix in lifted:
                self.assertEqual(other.call("Unban", prefix=prefix)["lifted"], 1)
            self.touch("127.200.1.1")
            replies = [control.receive()]
            while replies[-1].get("continues"):
                replies.append(control.receive())
        found = [ban["prefix"] for reply in replies for ban in reply["parameters"]["bans"]]
        self.assertEqual(len(found), len(set(found)))
        self.assertLessEqual(set(self.everybody) - lifted, set(found))
        self.assertNotIn("127.200.1.1", found)
        self.assertLess(len(found), MANY, "all of it was made before anything was read")

    def test_lifted_while_parts_are_read(self):
        self.lift_while_it_is_read(True)

    def test_lifted_while_one_is_read(self):
        self.lift_while_it_is_read(False)

    def test_all_lifted_meanwhile(self):
        with self.d.connect() as control:
            control.socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
            control.send("Bans", {}, more=True)
            control.buffer = control.socket.recv(10)
            self.assertEqual(self.unban("any"), MANY)
            replies = [control.receive()]
            while replies[-1].get("continues"):
                replies.append(control.receive())
            self.assertLess(sum(len(reply["parameters"]["bans"]) for reply in replies), MANY)
            self.assertEqual(control.call("Ping")["pid"], self.d.pid)
        self.assertEqual(self.bans(), [])


class Mpctl(Bans):
    def test_way(self):
        d = self.start()
        self.assertEqual(d.mpctl("bans", check=0).stdout, "nobody is banned\n")
        self.assertEqual(json.loads(d.mpctl("--json", "bans", check=0).stdout), {"bans": []})
        self.touch("127.0.1.7")
        self.touch("127.0.1.7", "echo")
        # Why was I refused, and until when?
        table = d.mpctl("bans", check=0).stdout
        self.assertRegex(table, r"(?m)^SOURCE +SERVICE +BY +WHY +SINCE +LEFT +UNTIL$")
        self.assertRegex(table, r"(?m)^127\.0\.1\.7 +\(all\) +trap +touched a sensor +\d+s +(59m|1h 0m) +[-0-9 ]*\d\d:\d\d:\d\d$")
        long = d.mpctl("status", "echo", check=0).stdout
        self.assertRegex(long, r"of whom: 127\.0\.1\.7 +1 +banned until [-0-9 ]*\d\d:\d\d:\d\d, in ")
        self.assertIn("mpctl unban PREFIX", long)
        # Who is banned is offered.
        offered = subprocess.run([MPCTL, "__complete", "--", "-s", d.socket, "unban", ""], stdin=subprocess.DEVNULL,
                                 capture_output=True, text=True, check=True, timeout=60,
                                 env={"PATH": os.environ["PATH"], **sanitizer_environment()}).stdout
        self.assertEqual(offered, "127.0.1.7\tsensor by trap\nany\tall bans\n")
        run = d.mpctl("unban", "127.0.9.9")
        self.assertEqual((run.returncode, run.stdout), (1, ""))
        self.assertEqual(run.stderr, "mpctl: 127.0.9.9: nobody is banned there\nhint: 'mpctl bans' lists who is\n")
        run = d.mpctl("unban", "nonsense")
        self.assertEqual((run.returncode, run.stderr.splitlines()[0]), (2, "mpctl: 'nonsense' is no address or prefix"))
        self.assertEqual(d.mpctl("unban", "127.0.1.7", check=0).stdout, "127.0.1.7: 1 ban lifted\n")
        self.assertEqual(self.touch("127.0.1.7", "echo"), b"x")
        said = d.mpctl("events", "-k", "banned,unbanned", check=0).stdout
        self.assertRegex(said, r"(?m)^\d\d:\d\d:\d\d trap 127\.0\.1\.7(:\d+)? banned until .*: it touched a sensor$")
        self.assertRegex(said, r"(?m) 127\.0\.1\.7 1 ban lifted by uid \d+$")

    def test_document(self):
        d = self.start()
        for source in ("127.0.1.7", "127.0.1.8"):
            self.touch(source)
        document = json.loads(d.mpctl("--json", "bans", check=0).stdout)
        self.assertEqual([ban["prefix"] for ban in document["bans"]], self.prefixes())
        run = d.mpctl("--json", "unban", "127.0.1.7", "127.0.9.9", "127.0.1.8")
        self.assertEqual((run.returncode, json.loads(run.stdout)), (1, {"lifted": 2}))

    @need_root
    def test_not_allowed(self):
        d = self.start(control={"mode": "0666"})
        self.touch("127.0.1.7")
        copy = d.path("mpctl")
        with open(MPCTL, "rb") as file, open(copy, "wb") as target:
            target.write(file.read())
        os.chmod(copy, 0o755)
        run = LOOKER.run(run_program, [copy, "-s", d.socket, "unban", "any"])
        self.assertEqual((run[0], run[1]), (5, ""))
        self.assertIn("mpctl: unban needs the right to manage mpinetd\n", run[2])
        self.assertEqual(self.prefixes(), ["127.0.1.7"])


def run_program(words):
    run = subprocess.run(words, stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=60, check=False, cwd="/",
                         env={"PATH": os.environ["PATH"], **sanitizer_environment()})
    return run.returncode, run.stdout, run.stderr
