# SPDX-License-Identifier: MIT
"""What the daemon measures: latency and duration, the rate of accepting, and who is refused most."""
import contextlib
import json
import os
import socket
import subprocess
import time

from harness import DaemonTest, exchange, need_ipv6, need_root, read_all, wait_until

NOTHING = {"count": 0, "p50_usec": None, "p99_usec": None}
ASK = ("import json,socket,sys\n"
       "s=socket.socket(socket.AF_UNIX); s.connect(sys.argv[1])\n"
       "s.sendall(json.dumps({'method':'dev.mpinetd.Control.Describe','parameters':{'service':'s'}}).encode()+b'\\0')\n"
       "data=b''\n"
       "while not data.endswith(b'\\0'): data+=s.recv(65536)\n"
       "print(data[:-1].decode())\n")


def bucket_of(buckets, usec):
    """The bucket that something is counted in."""
    return next(b for b in buckets if b["le_usec"] is None or usec <= b["le_usec"])


class Times(DaemonTest):
    def check(self, d, name="s"):
        """Whatever has been measured fits together."""
        service, described = d.service(name), d.call("Describe", service=name)
        for measure, count in (("latency", service["spawned"]), ("duration", sum(service["exited"].values()))):
            quantiles, buckets = service[measure], described[measure]
            self.assertEqual(quantiles["count"], count, measure)
            self.assertEqual(sum(b["count"] for b in buckets), count, measure)
            bounds = [b["le_usec"] for b in buckets]
            self.assertEqual(bounds[:4] + bounds[-2:], [10, 20, 50, 100, 10 ** 11, None])
            self.assertEqual(bounds[:-1], sorted(bounds[:-1]))
            if count:
                self.assertLessEqual(quantiles["p50_usec"], quantiles["p99_usec"])
                for q in (quantiles["p50_usec"], quantiles["p99_usec"]):
                    self.assertGreater(bucket_of(buckets, q)["count"], 0, (measure, q))
        return service

    def test_nothing_yet(self):
        d = self.daemon({"services": {"s": {"listen": "tcp:127.0.0.1:0", "exec": ["cat"]}}})
        service = self.check(d)
        self.assertEqual((service["latency"], service["duration"], service["accept_rate"]), (NOTHING, NOTHING, 0))
        self.assertEqual(d.call("Describe", service="s")["sources"], [])

    def test_per_connection(self):
        d = self.daemon({"services": {"s": {"listen": "tcp:127.0.0.1:0", "exec": ["cat"]}}})
        for _ in range(20):
            self.assertEqual(d.ask("s", b"x"), b"x")
        d.wait_idle("s")
        service = self.check(d)
        self.assertEqual((service["latency"]["count"], service["duration"]["count"]), (20, 20))
        self.assertGreater(service["latency"]["p50_usec"], 10)
        self.assertLess(service["latency"]["p50_usec"], 1000000)

    def test_duration(self):
        """Of processes that take 250 ms and a little: p50 within 15 %, each in its bucket."""
        d = self.daemon({"services": {"s": {"listen": "tcp:127.0.0.1:0", "exec": ["sleep", "0.25"]}}})
        for _ in range(5):
            d.ask("s")
        d.wait_idle("s")
        service = self.check(d)
        ended = sorted(e["duration_usec"] for e in d.call("Events", service="s", last=50)["events"] if e["event"] == "ended")
        self.assertEqual(len(ended), 5)
        self.assertAlmostEqual(service["duration"]["p50_usec"], ended[2], delta=ended[2] * 0.15)
        self.assertAlmostEqual(service["duration"]["p99_usec"], ended[4], delta=ended[4] * 0.15)
        buckets = d.call("Describe", service="s")["duration"]
        for usec in ended:
            self.assertGreater(bucket_of(buckets, usec)["count"], 0)
        self.assertGreaterEqual(ended[0], 200000)
        self.assertEqual(bucket_of(buckets, 200000)["count"], 0, "the daemon may see the start late, but not by that much")

    def test_on_demand(self):
        d = self.daemon({"services": {"s": {"listen": "udp:127.0.0.1:0", "model": "on-demand", "pass": "stdio",
                                            "exec": ["sh", "-c", "head -c1 >/dev/null; sleep 0.1"]}}})
        with d.dial("s") as s:
            for n in range(1, 4):
                s.send(b"x")
                wait_until(lambda n=n: sum(d.service("s")["exited"].values()) == n, "the end of the process")
        service = self.check(d)
        self.assertEqual(service["latency"]["count"], 3)
        self.assertGreater(service["duration"]["p50_usec"], 80000)
        self.assertEqual((service["accepted"], service["accept_rate"]), (0, 0))

    def test_what_was_never_started_is_not_measured(self):
        d = self.daemon({"services": {"s": {"listen": "tcp:127.0.0.1:0", "exec": ["{dir}/gone"]}}}, wait=None)
        with open(d.path("gone"), "w", encoding="utf-8") as file:
            file.write("#!/no/such/interpreter\n")
        os.chmod(d.path("gone"), 0o755)
        d.start()
        self.assertEqual(d.ask("s"), b"")
        service = self.check(d)
        self.assertEqual((service["spawn_failed"], service["latency"], service["duration"]), (1, NOTHING, NOTHING))

    def test_lasts_over_reload(self):
        config = {"services": {"s": {"listen": "tcp:127.0.0.1:0", "exec": ["cat"]}}}
        d = self.daemon(config)
        d.ask("s", b"x")
        d.wait_idle("s")
        config["services"]["s"]["description"] = "changed"
        d.write_config(config)
        d.call("Reload")
        self.assertEqual(d.ask("s", b"x"), b"x")
        d.wait_idle("s")
        self.assertEqual(self.check(d)["latency"]["count"], 2)


class Rate(DaemonTest):
    def test_rises_and_falls(self):
        d = self.daemon({"services": {"s": {"listen": "tcp:127.0.0.1:0", "exec": ["cat"],
                                            "limits": {"instances": 1, "when_full": "refuse"}}}})
        with d.dial("s") as first:
            self.assertEqual(first.send(b"x") and first.recv(1), b"x")
            for _ in range(29):
                with d.dial_fast() as s:
                    self.assertEqual(read_all(s), b"")
            self.assertAlmostEqual(d.service("s")["accept_rate"], 3, delta=0.01)
            last = time.monotonic()
            wait_until(lambda: d.service("s")["accept_rate"] == 0, "the rate's fall", last + 20, 0.2)
            self.assertGreater(time.monotonic() - last, 8)


class Sources(DaemonTest):
    def start(self, listen, **globals_):
        d = self.daemon({**globals_, "services": {"s": {"listen": listen, "exec": ["cat"],
                                                        "limits": {"instances": 1, "when_full": "refuse"}}}})
        holder = d.dial("s")
        self.addCleanup(holder.close)
        self.assertEqual(holder.send(b"x") and holder.recv(1), b"x")
        return d

    def refused(self, where, times):
        for _ in range(times):
            with contextlib.closing(socket.socket(socket.AF_UNIX) if isinstance(where, str)
                                    else socket.create_connection(where, 5)) as s:
                if isinstance(where, str):
                    s.connect(where)
                self.assertEqual(exchange(s, b""), b"")

    @staticmethod
    def as_nobody(d):
        os.chmod(d.socket, 0o666)
        run = subprocess.run(["setpriv", "--reuid=65534", "--regid=65534", "--clear-groups", "python3", "-c", ASK, d.socket],
                             stdout=subprocess.PIPE, check=True, timeout=30)
        return json.loads(run.stdout)["parameters"]["sources"]

    @staticmethod
    def told(sources):
        """Of those that were refused; the others stand behind them."""
        refused = [s for s in sources if s["reason"]]
        assert sources[:len(refused)] == refused
        return [(s["source"], s["refused"], s["reason"]) for s in refused]

    @need_ipv6
    def test_two_families(self):
        d = self.start(["tcp:127.0.0.1:0", "tcp:[::1]:0"])
        before = time.time()
        self.refused(("127.0.0.1", d.port("s", address="127.0.0.1")), 2)
        self.refused(("::1", d.port("s", address="::1")), 3)
        sources = d.call("Describe", service="s")["sources"]
        self.assertEqual(self.told(sources), [("::/64", 3, "instances"), ("127.0.0.1", 2, "instances")])
        for source in sources:
            self.assertAlmostEqual(source["last_time_usec"] / 1e6, before, delta=30)
        self.assertEqual(d.service("s")["refused"]["instances"], 5)

    @need_ipv6
    def test_mapped_addresses_are_ipv4(self):
        d = self.start("tcp:[::]:0")
        listener = d.listener("s")
        self.refused(("127.0.0.1", listener["port"]), 1)
        self.assertEqual(self.told(d.call("Describe", service="s")["sources"]), [("127.0.0.1", 1, "instances")])

    def test_unix(self):
        d = self.start("unix:{dir}/s.sock")
        self.refused(d.path("s.sock"), 4)
        self.assertEqual(self.told(d.call("Describe", service="s")["sources"]), [(f"uid:{os.geteuid()}", 4, "instances")])

    @need_root
    def test_who_may_only_look_sees_what_the_log_shows(self):
        for addresses, wanted in (("full", [("127.0.0.1", 2, "instances")]), ("prefix", [("127.0.0.0/24", 2, "instances")]),
                                  ("none", [])):
            with self.subTest(addresses=addresses):
                d = self.start("tcp:127.0.0.1:0", log={"addresses": addresses}, control={"mode": "0666"})
                self.refused(("127.0.0.1", d.port("s")), 2)
                self.assertEqual(self.told(self.as_nobody(d)), wanted)
                self.assertEqual(self.told(d.call("Describe", service="s")["sources"]), [("127.0.0.1", 2, "instances")])

    def test_many_addresses(self):
        """A flood of other sources takes bounded room and does not hide the one that comes most."""
        d = self.start("tcp:127.0.0.1:0")
        port = d.port("s")
        for i in range(40):
            for source in (f"127.0.2.{i + 1}", "127.0.3.1"):
                with socket.create_connection(("127.0.0.1", port), 5, (source, 0)) as s:
                    self.assertEqual(exchange(s, b""), b"")
        sources = d.call("Describe", service="s")["sources"]
        self.assertEqual(len(self.told(sources)), 16)
        self.assertEqual(self.told(sources)[0], ("127.0.3.1", 40, "instances"))
        self.assertEqual({s["refused"] for s in sources[1:16]}, {1})
        # Behind them, who is being served.
        self.assertEqual([(s["source"], s["active"], s["accepted"], s["refused"]) for s in sources[16:]],
                         [("127.0.0.1", 1, 1, 0)])
