# SPDX-License-Identifier: MIT
"""Who is let in, who has to wait, who is refused and why, and that it always goes on: limits, access, hours, bans."""
import contextlib
import os
import random
import signal
import socket
import struct
import subprocess
import threading
import time
import unittest

from harness import (BUILD, PATIENCE, DaemonTest, User, children_of, cpu_seconds, need_ipv6, need_root, read_all,
                     wait_until)


class AdmissionTest(DaemonTest):
    def setUp(self):
        self.dialled = []

    def daemon(self, config, **options):
        d = super().daemon(config, **options)
        # Before the daemon is stopped, which would wait for them.
        self.addCleanup(self.close_all)
        return d

    def close_all(self):
        while self.dialled:
            self.dialled.pop().close()

    def start(self, listen="tcp:127.0.0.1:0", others=None, options=None, top=None, **service):
        self.config = {**(top or {}), "services": {"s": {"listen": listen, "exec": ["cat"], **service}, **(others or {})}}
        return self.daemon(self.config, **(options or {}))

    def change(self, d, **service):
        """Reloads with other keys of service s."""
        self.config["services"]["s"].update(service)
        d.write_config(self.config)
        return d.call("Reload")

    def dial(self, d, source=None, name="s"):
        """A connection, as if from another address of loopback."""
        listener = d.listener(name)
        s = socket.create_connection((listener["address"], listener["port"]), PATIENCE,
                                     (source, 0) if source else None)
        self.dialled.append(s)
        return s

    @staticmethod
    def serves(s, timeout=PATIENCE):
        """Whether somebody answers on the other side: False when it has been closed."""
        s.settimeout(timeout)
        try:
            s.sendall(b"x")
            return s.recv(1) == b"x"
        except (ConnectionResetError, BrokenPipeError):
            return False

    def waits(self, s, timeout=0.3):
        """Whether nobody answers, and it is not closed either."""
        try:
            return not self.serves(s, timeout) and False
        except TimeoutError:
            return True

    def assert_refused(self, d, reason, source=None, name="s", n=1):
        before = d.service(name)["refused"][reason]
        for _ in range(n):
            s = self.dial(d, source, name)
            self.assertFalse(self.serves(s), "it was served")
        after = d.service(name)["refused"]
        self.assertEqual(after[reason] - before, n, after)

    def assert_balanced(self, d, name="s"):
        """What has come has gone somewhere."""
        s = d.wait_idle(name)
        self.assertEqual(s["accepted"], s["spawned"] + s["spawn_failed"] + sum(s["refused"].values()) + s["gone"], s)
        return s


class Rate(AdmissionTest):
    def test_waits(self):
        """Who comes too soon stays in the queue, at no cost."""
        d = self.start(limits={"rate": "1/1h"})
        self.assertTrue(self.serves(self.dial(d)))
        self.dial(d)
        s = d.wait_service("s", state="throttled", queued=1)
        self.assertEqual((sum(s["refused"].values()), s["accepted"]), (0, 1))
        self.assertRegex(d.log(event="state", service="s")[0]["message"],
                         r"^listening -> throttled: limits.rate reached \([01] of \d+ queued\)$")
        before = cpu_seconds(d.pid)
        time.sleep(1)
        self.assertLess(cpu_seconds(d.pid) - before, 0.1)

    def test_goes_on(self):
        """He is served when his time comes, by itself."""
        d = self.start(limits={"rate": "1/2s"})
        begin = time.monotonic()
        self.assertTrue(self.serves(self.dial(d)))
        self.assertTrue(self.serves(self.dial(d)))
        self.assertGreater(time.monotonic() - begin, 1.9)
        self.assertTrue([e for e in d.log(event="state") if "-> throttled" in e["message"]])
        d.wait_service("s", state="listening")

    def test_never_more(self):
        """Never more than the rate times the time, and the burst."""
        d = self.start(limits={"rate": "10/s burst 3"})
        begin = time.monotonic()
        for s in [self.dial(d) for _ in range(13)]:
            self.assertTrue(self.serves(s))
        self.assertGreater(time.monotonic() - begin, 0.95)
        s = d.service("s")
        self.assertEqual((s["accepted"], s["spawned"]), (13, 13))
        # Its state does not follow each token.
        self.assertLess(len(d.log(event="state", service="s")), 8)

    def test_refuses(self):
        d = self.start(limits={"rate": "2/1h", "when_full": "refuse"})
        for _ in range(2):
            self.assertTrue(self.serves(self.dial(d)))
        self.assert_refused(d, "rate", n=3)
        entry = d.log(event="refused", service="s")[0]
        self.assertEqual(entry["reason"], "rate")
        self.assertTrue(entry["message"].startswith("refused: rate, for another "), entry)
        self.assertEqual(d.service("s")["state"], "listening", "who refuses does not wait")

    def test_a_refused_one_takes_nothing_of_it(self):
        """Only who is served takes of the rate."""
        d = self.start(limits={"rate": "2/1h", "when_full": "refuse"}, access={"deny": ["127.0.0.9"]})
        self.assert_refused(d, "access", "127.0.0.9", n=5)
        for _ in range(2):
            self.assertTrue(self.serves(self.dial(d)))

    def test_set_lets_in_at_once(self):
        d = self.start(limits={"rate": "1/1h"})
        self.assertTrue(self.serves(self.dial(d)))
        second = self.dial(d)
        self.assertTrue(self.waits(second))
        d.call("Set", service="s", limits={"rate": "50/s"})
        self.assertTrue(second.recv(1) == b"x")
        d.wait_service("s", state="listening")

    def test_reload_lets_in_at_once(self):
        d = self.start(limits={"rate": "1/1h"})
        self.assertTrue(self.serves(self.dial(d)))
        second = self.dial(d)
        self.assertTrue(self.waits(second))
        self.assertTrue(self.change(d, limits={})["ok"])
        second.settimeout(PATIENCE)
        self.assertTrue(second.recv(1) == b"x")

    def test_on_demand(self):
        """The start of a process is put off, and what waits is not lost."""
        d = self.daemon({"services": {"s": {"listen": "tcp:127.0.0.1:0", "model": "on-demand",
                                            "exec": ["{bad-child}", "accept", "1"],
                                            "limits": {"rate": "1/2s"}}}})
        begin = time.monotonic()
        for _ in range(2):
            with d.dial("s") as s:
                read_all(s)
        self.assertGreater(time.monotonic() - begin, 1.9)
        self.assertTrue([e for e in d.log(event="state") if "-> throttled: limits.rate reached (" in e["message"]])
        d.wait_service("s", state="listening", active=0)


class GoesOn(AdmissionTest):
    """What is ordered while connections wait for the rate."""

    def start_slow(self):
        d = self.start(limits={"rate": "5/s burst 1"})
        clients = [self.dial(d) for _ in range(4)]
        for s in clients:
            s.sendall(b"x")
        return d, clients

    def test_drain(self):
        """Who has been let in to the queue is served before it is closed."""
        d, clients = self.start_slow()
        with d.connect() as control:
            control.send("Drain", {"services": ["s"]})
            for s in clients:
                s.settimeout(PATIENCE)
                self.assertEqual(s.recv(1), b"x")
            self.close_all()
            control.receive()
        self.assertEqual(d.service("s")["state"], "stopped")
        self.assertEqual(d.service("s")["spawned"], 4)

    def test_pause_and_resume(self):
        d, clients = self.start_slow()
        d.call("Pause", services=["s"])
        before = d.service("s")["accepted"]
        time.sleep(0.5)
        self.assertEqual(d.service("s")["accepted"], before, "one that is paused takes nobody, whatever the rate")
        d.call("Resume", services=["s"])
        for s in clients:
            s.settimeout(PATIENCE)
            self.assertEqual(s.recv(1), b"x")

    def test_stop_and_start(self):
        d, _ = self.start_slow()
        d.call("Stop", services=["s"])
        self.close_all()
        d.call("Start", services=["s"])
        self.assertTrue(self.serves(self.dial(d)))

    def test_stop_of_the_daemon(self):
        """It does not wait for tokens: its listeners are closed."""
        d = self.start(limits={"rate": "1/1h"}, top={"shutdown": {"drain": "1h"}})
        self.assertTrue(self.serves(self.dial(d)))
        self.dial(d)
        self.close_all()
        d.stop()


class Load(AdmissionTest):
    def faked(self, load, **limits):
        """A daemon that sees another /proc/loadavg than everybody else."""
        folder = self.temporary_folder()
        self.load = os.path.join(folder, "loadavg")
        self.set_load(load)
        wrap = ["unshare", "-m", "--propagation", "private", "sh", "-c",
                f'mount --bind {self.load} /proc/loadavg && exec "$@"', "sh"]
        return self.start(limits={"load": 2, **limits}, options={"wrap": wrap})

    def set_load(self, load):
        with open(self.load, "w", encoding="utf-8") as file:
            file.write(f"{load:.2f} 0.00 0.00 1/100 1000\n")

    @need_root
    def test_waits_and_goes_on(self):
        d = self.faked(7.5)
        s = self.dial(d)
        self.assertTrue(self.waits(s))
        self.assertEqual(d.service("s")["state"], "throttled")
        self.set_load(1.5)
        s.settimeout(PATIENCE)
        self.assertEqual(s.recv(1), b"x", "it is let in by itself")
        d.wait_service("s", state="listening")

    @need_root
    def test_refuses(self):
        d = self.faked(7.5, when_full="refuse")
        self.assert_refused(d, "load")
        self.assertEqual(d.log(event="refused")[0]["message"], "refused: load (7.50 of 2.00)")
        self.set_load(0.5)
        wait_until(lambda: self.serves(self.dial(d)), "to be let in")


class PerSource(AdmissionTest):
    def test_others_are_never_delayed(self):
        d = self.start(limits={"per_source": 2})
        first = [self.dial(d, "127.0.0.1") for _ in range(2)]
        for s in first:
            self.assertTrue(self.serves(s))
        self.assert_refused(d, "per_source", "127.0.0.1", n=3)
        self.assertEqual(d.log(event="refused")[0]["message"], "refused: per_source (2 of 2)")
        self.assertTrue(self.serves(self.dial(d, "127.0.0.2")), "another source")
        self.assertEqual(d.service("s")["state"], "listening")
        first[0].close()
        d.wait_service("s", active=2)
        self.assertTrue(self.serves(self.dial(d, "127.0.0.1")), "one has gone, the next may come")
        self.assert_refused(d, "per_source", "127.0.0.1")

    def test_prefix(self):
        d = self.start(limits={"per_source": 1, "source_prefix": {"ipv4": 24}})
        self.assertTrue(self.serves(self.dial(d, "127.0.5.1")))
        self.assert_refused(d, "per_source", "127.0.5.200")
        self.assertTrue(self.serves(self.dial(d, "127.0.6.1")))

    @need_ipv6
    def test_mapped_is_ipv4(self):
        """IPv4 is IPv4 wherever it comes in."""
        d = self.daemon({"services": {"s": {"listen": "tcp:0", "exec": ["cat"], "limits": {"per_source": 1}}}})
        port = d.port("s")
        first = socket.create_connection(("127.0.0.1", port), PATIENCE)
        self.addCleanup(first.close)
        self.assertTrue(self.serves(first))
        with socket.socket(socket.AF_INET6, socket.SOCK_STREAM) as s:
            s.settimeout(PATIENCE)
            s.connect(("::ffff:127.0.0.1", port))
            self.assertFalse(self.serves(s))
        with socket.create_connection(("::1", port), PATIENCE) as s:
            self.assertTrue(self.serves(s))
        self.assertEqual(d.service("s")["refused"]["per_source"], 1)

    @need_root
    def test_ipv6_prefix(self):
        """A /64 is one source, in a network of its own."""
        probe = subprocess.run(["unshare", "-n", "sh", "-c", "ip link set lo up && ip -6 route add local 2001:db8::/32 dev lo"],
                               capture_output=True, check=False)
        if probe.returncode != 0:
            self.skipTest("needs a network namespace")
        # The daemon and its clients share the namespace of one process that only sleeps.
        keeper = subprocess.Popen(["unshare", "-n", "sh", "-c",
                                   "ip link set lo up; ip -6 route add local 2001:db8::/32 dev lo;"
                                   "echo 1 > /proc/sys/net/ipv6/ip_nonlocal_bind; echo ready; exec sleep 1000"],
                                  stdout=subprocess.PIPE)
        self.addCleanup(keeper.wait)
        self.addCleanup(keeper.kill)
        self.addCleanup(keeper.stdout.close)
        self.assertEqual(keeper.stdout.readline(), b"ready\n")
        enter = ["nsenter", f"--net=/proc/{keeper.pid}/ns/net"]
        d = self.start("tcp:[2001:db8::1]:7000", limits={"per_source": 1}, options={"wrap": enter})
        script = ("import socket\n"
                  "kept = []\n"
                  "for a in ('2001:db8:1:2::1', '2001:db8:1:2:ffff::9', '2001:db8:1:3::1', '2001:db8:1:2::7'):\n"
                  "    s = socket.create_connection(('2001:db8::1', 7000), 20, (a, 0))\n"
                  "    kept.append(s)\n"
                  "    try:\n"
                  "        s.sendall(b'x'); print(len(s.recv(1)))\n"
                  "    except ConnectionResetError:\n"
                  "        print(0)\n")
        run = subprocess.run([*enter, "python3", "-c", script], capture_output=True, text=True, timeout=60, check=True)
        self.assertEqual(run.stdout.split(), ["1", "0", "1", "0"])
        self.assertEqual(d.service("s")["refused"]["per_source"], 2)

    @need_root
    def test_unix_peers_count_by_uid(self):
        d = self.start("unix:{dir}/s", limits={"per_source": 1})

        def ask(path):
            with socket.socket(socket.AF_UNIX) as s:
                s.settimeout(PATIENCE)
                s.connect(path)
                return self.serves(s)
        with d.dial("s") as first:
            self.assertTrue(self.serves(first))
            with d.dial("s") as second:
                self.assertFalse(self.serves(second))
            self.assertTrue(User(12345).run(ask, d.path("s")))
        self.assertEqual(d.service("s")["refused"]["per_source"], 1)

    def test_rate(self):
        d = self.start(limits={"rate_per_source": "2/1h"})
        for _ in range(2):
            self.assertTrue(self.serves(self.dial(d, "127.0.0.1")))
        self.assert_refused(d, "rate_per_source", "127.0.0.1", n=2)
        self.assertTrue(self.serves(self.dial(d, "127.0.0.2")))
        self.assertEqual(d.service("s")["state"], "listening")

    def test_failed_starts_are_no_charge(self):
        """A place is given back on every way."""
        d = self.start(limits={"per_source": 1}, exec=["{dir}/gone"], working_directory="/")
        with open(d.path("gone"), "w", encoding="utf-8") as file:
            file.write("#!/bin/cat\n")
        os.chmod(d.path("gone"), 0o755)
        wait_until(lambda: d.service("s")["state"] == "listening" or d.call("Start", services=["s"]), "the program")
        os.unlink(d.path("gone"))
        for _ in range(3):
            self.assertFalse(self.serves(self.dial(d)))
        s = d.service("s")
        self.assertEqual((s["spawn_failed"], s["refused"]["per_source"]), (3, 0))

    def test_failed_spares_are_no_charge(self):
        """The same where the process had been set up ahead."""
        d = self.start(limits={"per_source": 1}, exec=["{dir}/gone"], prespawn=2, options={"wait": None})
        with open(d.path("gone"), "w", encoding="utf-8") as file:
            file.write("#!/bin/cat\n")
        os.chmod(d.path("gone"), 0o755)
        d.start()
        os.unlink(d.path("gone"))
        for n in range(4):
            self.assertFalse(self.serves(self.dial(d)))
            wait_until(lambda n=n: d.service("s")["spawn_failed"] == n + 1, "it to be counted")
        self.assertEqual(d.service("s")["refused"]["per_source"], 0)

    @need_root
    def test_killed_spares_are_no_charge(self):
        """One that is killed after it was given a connection, and before exec, has it served by another."""
        d = self.start(limits={"per_source": 1}, prespawn=1)
        for _ in range(3):
            spare = wait_until(lambda: children_of(d.pid), "one set up ahead")[0][0]
            os.kill(spare, signal.SIGSTOP)
            s = self.dial(d)
            wait_until(lambda: d.service("s")["accepted"] > d.service("s")["spawned"], "it to be given a connection")
            os.kill(spare, signal.SIGKILL)
            self.assertTrue(self.serves(s))
            self.assert_refused(d, "per_source")
            s.close()
            d.wait_idle("s")
        self.assertTrue(self.serves(self.dial(d)))

    def test_over_the_end_of_the_service(self):
        """A connection of a service that is gone from the config counts when it comes back."""
        d = self.start(limits={"per_source": 1}, others={"other": {"listen": "tcp:127.0.0.1:0", "exec": ["cat"]}})
        first = self.dial(d)
        self.assertTrue(self.serves(first))
        kept = self.config["services"].pop("s")
        d.write_config(self.config)
        self.assertTrue(d.call("Reload")["ok"])
        self.config["services"]["s"] = kept
        d.write_config(self.config)
        self.assertTrue(d.call("Reload")["ok"])
        self.assertTrue(self.serves(first))
        self.assert_refused(d, "per_source")
        first.close()
        d.wait_idle("s")
        self.assertTrue(self.serves(self.dial(d)))

    def test_forward(self):
        d = self.start(others={"f": {"listen": "tcp:127.0.0.1:0", "model": "forward", "to": "unix:{dir}/s",
                                     "limits": {"per_source": 1}}}, listen="unix:{dir}/s")
        for _ in range(2):
            s = self.dial(d, "127.0.0.1", "f")
            self.assertTrue(self.serves(s))
            self.assert_refused(d, "per_source", "127.0.0.1", "f")
            s.close()
            d.wait_idle("f")

    def test_prespawned(self):
        d = self.start(limits={"per_source": 1}, prespawn=2)
        for _ in range(6):
            s = self.dial(d)
            self.assertTrue(self.serves(s))
            self.assert_refused(d, "per_source")
            s.close()
            d.wait_idle("s")
        self.assert_balanced(d)

    def test_set_and_prefix_change(self):
        """Those that are there count under the new prefix."""
        d = self.start(limits={"per_source": 1})
        for source in ("127.0.7.1", "127.0.7.2"):
            self.assertTrue(self.serves(self.dial(d, source)))
        d.call("Set", service="s", limits={"source_prefix.ipv4": "24", "per_source": 3})
        self.assertTrue(self.serves(self.dial(d, "127.0.7.3")))
        self.assert_refused(d, "per_source", "127.0.7.4")
        d.call("Set", service="s", limits={"per_source": 4})
        self.assertTrue(self.serves(self.dial(d, "127.0.7.4")))


class Order(AdmissionTest):
    def test_order_of_reasons(self):
        """The first reason in the order in which one would look is told."""
        limits = {"instances": 1, "rate": "2/1h", "per_source": 1, "rate_per_source": "1/1h", "when_full": "refuse"}
        d = self.start(limits=limits, access={"deny": ["127.0.0.3"]})
        first = self.dial(d, "127.0.0.1")
        self.assertTrue(self.serves(first))
        self.assert_refused(d, "instances", "127.0.0.1")
        self.assert_refused(d, "access", "127.0.0.3")
        d.call("Set", service="s", limits={"instances": 10})
        self.assert_refused(d, "rate_per_source", "127.0.0.1")
        d.call("Set", service="s", limits={"rate_per_source": "none"})
        self.assert_refused(d, "per_source", "127.0.0.1")
        self.assertTrue(self.serves(self.dial(d, "127.0.0.2")))
        self.assert_refused(d, "rate", "127.0.0.1")
        self.assert_refused(d, "access", "127.0.0.3")
        first.close()


class RefuseWith(AdmissionTest):
    def test_banner(self):
        """It arrives whole, also when the client has sent something first that nobody reads."""
        text = "421 too many\r\n" * 100
        d = self.start(limits={"per_source": 1}, banner={"refused": text})
        self.assertTrue(self.serves(self.dial(d)))
        for _ in range(5):
            s = self.dial(d)
            s.sendall(b"y" * 10000)
            self.assertEqual(read_all(s).decode(), text)
        self.assertEqual(d.service("s")["refused"]["per_source"], 5)

    def test_banner_to_many_who_do_not_leave(self):
        """Descriptors of those who are sent away are bounded, in number and in time."""
        d = self.start(limits={"per_source": 1}, banner={"refused": "no\r\n"})
        self.assertTrue(self.serves(self.dial(d)))
        kept = [self.dial(d) for _ in range(150)]
        for s in kept:
            self.assertEqual(s.recv(10), b"no\r\n")
        self.assertLessEqual(len(d.quiet_descriptors()), len(d.baseline) + 80)
        wait_until(lambda: len(d.quiet_descriptors()) <= len(d.baseline) + 5, "their descriptors to be closed")
        self.assertEqual(d.service("s")["refused"]["per_source"], 150)

    def test_reset(self):
        d = self.start(limits={"per_source": 1, "refuse_with": "reset"})
        self.assertTrue(self.serves(self.dial(d)))
        with self.assertRaises(ConnectionResetError):
            self.dial(d).recv(1)

    def test_close(self):
        """An end, and no reset, also for who has sent something already."""
        d = self.start(access={"deny": ["any"]})
        self.assertEqual(self.dial(d).recv(1), b"")
        d.call("Pause", services=["s"])
        clients = [self.dial(d) for _ in range(5)]
        for s in clients:
            s.sendall(b"y" * 10000)
        d.call("Resume", services=["s"])
        for s in clients:
            self.assertEqual(s.recv(1), b"")

    def test_unix(self):
        d = self.start("unix:{dir}/s", limits={"per_source": 1}, banner={"refused": "full\n"})
        with d.dial("s") as first:
            self.assertTrue(self.serves(first))
            with d.dial("s") as s:
                self.assertEqual(read_all(s), b"full\n")

    def test_lines_are_limited(self):
        """A flood of refusals neither fills the log nor costs more than each its accept."""
        d = self.start(access={"deny": ["any"]}, others={"canary": {"listen": "tcp:127.0.0.1:0", "exec": ["mp-echo"]}})
        begin = time.monotonic()
        for _ in range(400):
            with contextlib.closing(d.dial_fast("s")) as s:
                read_all(s)
        self.assertEqual(d.ask("canary", b"tweet"), b"tweet")
        self.assertEqual(d.service("s")["refused"]["access"], 400)
        wait_until(lambda: any("left out" in e["message"] for e in d.log(event="refused")), "the count")
        self.assertLess(len(d.log(event="refused")), 105 + 11 * (time.monotonic() - begin))


class Access(AdmissionTest):
    def test_longest_prefix_wins(self):
        d = self.start(access={"allow": ["127.0.0.0/16", "127.0.5.0/24"], "deny": ["127.0.5.0/25", "127.0.4.0/24"]})
        for source, reason in (("127.0.0.1", None), ("127.0.4.1", "deny 127.0.4.0/24"), ("127.0.5.200", None),
                               ("127.0.5.1", "deny 127.0.5.0/25"), ("127.1.0.1", "nothing allows it")):
            if reason is None:
                self.assertTrue(self.serves(self.dial(d, source)), source)
                continue
            self.assert_refused(d, "access", source)
            entry = d.log(event="refused")[-1]
            self.assertEqual((entry["message"], entry["reason"]), (f"refused: access ({reason})", "access"))
            self.assertTrue(entry["peer"].startswith(source))
        self.assertEqual(len(d.log(event="started")), 2, "nothing is started for who is not allowed")

    def test_rule_tells_no_address_that_is_not_shown(self):
        """A rule of a single address says who came as well as his address does."""
        for how, rule in (("full", "deny 127.0.0.1"), ("prefix", "deny 127.0.0.0/24"), ("none", "deny (not shown)")):
            with self.subTest(how=how):
                d = self.daemon({"log": {"addresses": how},
                                 "services": {"s": {"listen": "tcp:127.0.0.1:0", "exec": ["cat"],
                                                    "access": {"deny": ["127.0.0.1", "127.0.0.0/16"]}}}})
                with contextlib.suppress(ConnectionError), d.dial("s") as s:
                    read_all(s)
                self.assertEqual(d.wait_log(event="refused")[0]["message"], f"refused: access ({rule})")

    def test_file_is_read_again(self):
        d = self.start(access={"allow": ["file:{dir}/allowed"]}, options={"wait": None})
        with open(d.path("allowed"), "w", encoding="utf-8") as file:
            file.write("# who may\n127.0.0.2\n")
        d.start()
        self.assertTrue(self.serves(self.dial(d, "127.0.0.2")))
        self.assert_refused(d, "access", "127.0.0.3")
        with open(d.path("allowed"), "a", encoding="utf-8") as file:
            file.write("127.0.0.3/32\n")
        self.assert_refused(d, "access", "127.0.0.3")
        self.assertTrue(d.call("Reload")["ok"])
        self.assertTrue(self.serves(self.dial(d, "127.0.0.3")))

    @need_root
    def test_users_and_groups(self):
        d = self.start("unix:{dir}/s", access={"allow": ["gid:4321"], "deny": ["uid:1003"]})

        def ask(path):
            with socket.socket(socket.AF_UNIX) as s:
                s.settimeout(PATIENCE)
                s.connect(path)
                return self.serves(s)
        for user, may in ((User(1001), False), (User(1001, 4321), True), (User(1001, 5, [7, 4321, 9]), True),
                          (User(1003, 5, [4321]), False), (User(1001, 5, list(range(5000, 5200)) + [4321]), True)):
            self.assertEqual(user.run(ask, d.path("s")), may, user)
        self.assertEqual(d.service("s")["refused"]["access"], 2)

    def test_existing_go_on(self):
        d = self.start()
        s = self.dial(d)
        self.assertTrue(self.serves(s))
        self.assertTrue(self.change(d, access={"deny": ["any"]})["ok"])
        self.assertTrue(self.serves(s), "who is there stays")
        self.assert_refused(d, "access")

    def test_apply_to_existing(self):
        d = self.start()
        stays_, goes = self.dial(d, "127.0.0.2"), self.dial(d, "127.0.0.3")
        for s in (stays_, goes):
            self.assertTrue(self.serves(s))
        self.assertTrue(self.change(d, access={"deny": ["127.0.0.3"], "apply_to_existing": True})["ok"])
        self.assertEqual(read_all(goes), b"")
        self.assertTrue(self.serves(stays_))
        s = d.wait_service("s", active=1)
        self.assertEqual(s["exited"]["ok"], 1, "ended as asked for by the reload")
        entry = d.log(event="dismissed")[0]
        self.assertIn("no longer admitted (deny 127.0.0.3", entry["message"])
        self.assertTrue(entry["peer"].startswith("127.0.0.3:"))

    def test_apply_to_existing_after_a_change_of_a_file(self):
        """The config is the same; what it names is not. KILL follows as at every end."""
        d = self.start(access={"deny": ["file:{dir}/denied"], "apply_to_existing": True}, options={"wait": None},
                       exec=["{bad-child}", "hang"], timeouts={"stop": "200ms"})
        with open(d.path("denied"), "w", encoding="utf-8") as file:
            file.write("10.0.0.0/8\n")
        d.start()
        s = self.dial(d, "127.0.0.3")
        self.assertEqual(s.recv(100), b"hanging\n")
        self.assertTrue(d.call("Reload")["ok"])
        self.assertEqual(d.service("s")["active"], 1)
        with open(d.path("denied"), "a", encoding="utf-8") as file:
            file.write("127.0.0.3\n")
        self.assertTrue(d.call("Reload")["ok"])
        self.assertEqual(read_all(s), b"")
        self.assertEqual(d.wait_idle("s")["exited"]["ok"], 1)

    def test_apply_to_existing_once(self):
        """Who takes his time to end is not told, and told of, at each reload."""
        d = self.start(exec=["{bad-child}", "hang"], timeouts={"stop": "1h"})
        s = self.dial(d)
        self.assertEqual(s.recv(100), b"hanging\n")
        for _ in range(3):
            self.assertTrue(self.change(d, access={"deny": ["any"], "apply_to_existing": True})["ok"])
        self.assertEqual(len(d.wait_log(event="dismissed")), 1)
        d.call("Signal", service="s", signal="KILL")
        d.wait_idle("s")

    @need_root
    def test_apply_to_existing_by_group(self):
        """The groups that a UNIX peer had when it came, whatever the rules were then."""
        d = self.start("unix:{dir}/s")

        def stay(path):
            with socket.socket(socket.AF_UNIX) as s:
                s.settimeout(PATIENCE)
                s.connect(path)
                with contextlib.suppress(ConnectionResetError):
                    while s.recv(1):
                        continue
                return b"closed"
        member, stranger = User(1001, 5, [4321]), User(1002, 5, [4322])
        running = [user.start(stay, d.path("s")) for user in (member, stranger)]
        d.wait_service("s", active=2)
        wait_until(lambda: d.service("s")["spawned"] == 2, "both")
        self.assertTrue(self.change(d, access={"allow": ["gid:4321"], "apply_to_existing": True})["ok"])
        self.assertTrue(running[1][1].poll(PATIENCE))
        self.assertEqual(running[1][1].recv(), (True, b"closed"))
        # It is killed before the line is written.
        self.assertEqual([e["peer"] for e in d.wait_log(event="dismissed")], ["uid:1002"])
        self.assertEqual(d.wait_service("s", active=1)["exited"]["ok"], 1)
        self.assertFalse(running[0][1].poll(0))
        for process, _ in running:
            process.kill()
            process.join()
        d.wait_idle("s")


class Hours(AdmissionTest):
    @staticmethod
    def zone(hour):
        """A time zone in which it is about half past @hour now."""
        now = time.gmtime()
        minutes = (hour * 60 + 30 - now.tm_hour * 60 - now.tm_min) % 1440
        if minutes > 720:
            minutes -= 1440
        # POSIX: what is to be added to local time to get UTC.
        return f"XXX{'-' if minutes >= 0 else '+'}{abs(minutes) // 60:02}:{abs(minutes) % 60:02}"

    def test_outside(self):
        d = self.start(access={"hours": ["08:00-18:00"]}, options={"environment": {"TZ": self.zone(20)}})
        self.assert_refused(d, "hours")
        entry = d.log(event="refused")[0]
        self.assertTrue(entry["message"].startswith("refused: hours, for another 11h"), entry)
        self.assertEqual(d.service("s")["state"], "listening")

    def test_inside_and_over_midnight(self):
        d = self.start(access={"hours": ["22:00-06:00"]}, options={"environment": {"TZ": self.zone(1)}})
        self.assertTrue(self.serves(self.dial(d)))

    def test_before_all_else(self):
        d = self.start(access={"hours": ["08:00-18:00"], "deny": ["any"]}, ban={"after": "1/1h"},
                       options={"environment": {"TZ": self.zone(20)}})
        self.assert_refused(d, "hours", n=3)
        self.assertEqual(d.log(event="banned"), [], "to come at the wrong time is no offence")


class Bans(AdmissionTest):
    def test_cycle(self):
        d = self.start(limits={"per_source": 1}, ban={"after": "3/1h", "for": "2h"})
        first = self.dial(d, "127.0.0.1")
        self.assertTrue(self.serves(first))
        self.assert_refused(d, "per_source", "127.0.0.1", n=3)
        entry = d.wait_log(event="banned")[0]
        self.assertEqual((entry["reason"], entry["level"], entry["service"]), ("refusals", "warning", "s"))
        self.assertIn("for 2h: refused too often (3 in 1h)", entry["message"])
        self.assertTrue(self.serves(first), "a ban does not end what runs")
        first.close()
        d.wait_idle("s")
        self.assert_refused(d, "banned", "127.0.0.1")
        self.assertTrue(d.log(event="refused", reason="banned")[0]["message"].startswith("refused: banned, for another "))
        self.assertTrue(self.serves(self.dial(d, "127.0.0.2")), "others are not")
        self.close_all()
        self.assert_balanced(d)

    def test_end(self):
        d = self.start(limits={"rate_per_source": "1/1h"}, ban={"after": "1/1h", "for": "2s"})
        self.assertTrue(self.serves(self.dial(d)))
        self.assert_refused(d, "rate_per_source")
        d.call("Set", service="s", limits={"rate_per_source": "none"})
        wait_until(lambda: self.serves(self.dial(d)), "the end of the ban")
        self.assertEqual(len(d.log(event="banned")), 1, "to be refused as banned does not make it longer")

    def test_exit_codes(self):
        d = self.start(exec=["{bad-child}", "exit", "7"], ban={"after": "2/1m", "for": "1h", "exit_codes": [7]})
        for _ in range(2):
            with self.dial(d, "127.0.0.4") as s:
                read_all(s)
            d.wait_idle("s")
        self.assertEqual(d.wait_log(event="banned")[0]["reason"], "failures")
        self.assert_refused(d, "banned", "127.0.0.4")

    def test_other_exit_codes_are_no_offence(self):
        d = self.start(exec=["{bad-child}", "exit", "3"], ban={"after": "1/1m", "for": "1h"})
        for _ in range(3):
            with self.dial(d) as s:
                read_all(s)
        d.wait_service("s", active=0, spawned=3)
        self.assertEqual(d.log(event="banned"), [])

    def test_reported(self):
        d = self.start(exec=["{bad-child}", "status", "BAN=1\n"], report=True)
        with self.dial(d, "127.0.0.5"):
            entry = d.wait_log(event="banned")[0]
            self.assertEqual(entry["reason"], "reported")
            self.assertIn("for 10m", entry["message"])
            self.assert_refused(d, "banned", "127.0.0.5")
            self.assertEqual(d.service("s")["active"], 1)
        d.call("Stop", services=["s"])

    def test_reported_without_a_peer(self):
        d = self.daemon({"services": {"s": {"listen": "tcp:127.0.0.1:0", "model": "on-demand", "start": "now",
                                            "exec": ["{bad-child}", "status", "BAN=1\n"]}}})
        d.wait_service("s", report_errors=1, state="active")
        self.assertEqual(d.log(event="banned"), [])

    def test_sensor(self):
        """Who touches it is banned from all services; the ban lasts over a reload, and over the sensor."""
        trap = {"listen": "tcp:127.0.0.1:0", "exec": ["cat"], "sensor": True, "ban": {"for": "1h"}}
        d = self.start(others={"trap": trap})
        self.assertTrue(self.serves(self.dial(d, "127.0.0.8")))
        self.assert_refused(d, "banned", "127.0.0.8", "trap")
        entry = d.log(event="banned")[0]
        self.assertEqual((entry["service"], entry["reason"]), ("trap", "sensor"))
        self.assert_refused(d, "banned", "127.0.0.8")
        self.assert_refused(d, "banned", "127.0.0.8", "trap")
        self.assertEqual(len(d.log(event="banned")), 1)
        self.assertTrue(self.serves(self.dial(d, "127.0.0.9")))
        del self.config["services"]["trap"]
        self.assertTrue(self.change(d)["ok"])
        self.assert_refused(d, "banned", "127.0.0.8")

    def test_over_reload_and_gone_with_the_service(self):
        other = {"listen": "tcp:127.0.0.1:0", "exec": ["cat"]}
        d = self.start(access={"deny": ["127.0.0.7"]}, ban={"after": "1/1m", "for": "1h"}, others={"other": other})
        self.assert_refused(d, "access", "127.0.0.7")
        self.assert_refused(d, "banned", "127.0.0.7")
        self.assertTrue(self.change(d, access={})["ok"])
        self.assert_refused(d, "banned", "127.0.0.7")
        self.assertTrue(self.serves(self.dial(d, "127.0.0.7", "other")), "it holds for its service")
        kept = self.config["services"].pop("s")
        d.write_config(self.config)
        self.assertTrue(d.call("Reload")["ok"])
        self.config["services"]["s"] = kept
        d.write_config(self.config)
        self.assertTrue(d.call("Reload")["ok"])
        self.assertTrue(self.serves(self.dial(d, "127.0.0.7")), "a ban goes with its service")


class Balance(AdmissionTest):
    def test_counters(self):
        """Whatever happens to a connection, it is counted once."""
        d = self.start(limits={"instances": 4, "per_source": 2, "rate": "200/s", "when_full": "refuse"},
                       access={"deny": ["127.0.0.9"]}, ban={"after": "50/1m", "for": "1s"})
        for i in range(120):
            source = f"127.0.0.{1 + i % 9}"
            s = self.dial(d, source)
            if i % 7 == 0:
                s.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            if i % 3 == 0:
                s.close()
        self.close_all()
        wait_until(lambda: d.service("s")["accepted"] == 120, "all of them")
        s = self.assert_balanced(d)
        self.assertEqual(s["spawned"], sum(s["exited"].values()))
        self.assertGreater(s["refused"]["access"], 0)

    def test_nothing_is_lost_whatever_changes(self):
        """Connections from many sources while limits, rules and models change: afterwards each is counted, and no source
        has a place left that nobody uses."""
        chance = random.Random(5)
        limits = [{"per_source": 2}, {"per_source": 3, "rate": "300/s"}, {"instances": 5, "when_full": "refuse"},
                  {"per_source": 1, "source_prefix": {"ipv4": 31}}, {"rate_per_source": "50/s", "refuse_with": "reset"}]
        rules = [{}, {"deny": ["127.0.3.2"]}, {"allow": ["127.0.0.0/8"], "deny": ["127.0.3.0/31"], "apply_to_existing": True}]
        others = {"forward": {"listen": "tcp:127.0.0.1:0", "model": "forward", "to": "unix:{dir}/b"},
                  "b": {"listen": "unix:{dir}/b", "exec": ["cat"]}}
        d = self.start(others=others, ban={"after": "30/1m", "for": "1s"})
        ports = {name: d.port(name) for name in ("s", "forward")}
        over = threading.Event()

        def visit(seed):
            mine, kept = random.Random(seed), []
            while not over.is_set():
                if len(kept) > 3:
                    kept.pop(mine.randrange(len(kept))).close()
                with contextlib.suppress(OSError):
                    s = socket.create_connection(("127.0.0.1", ports[mine.choice(["s", "forward"])]), 2,
                                                 (f"127.0.3.{mine.randrange(8)}", 0))
                    if mine.random() < 0.2:
                        s.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
                    kept.append(s)
                    s.settimeout(0.02)
                    s.sendall(b"x")
                    s.recv(1)
            for s in kept:
                s.close()
        visitors = [threading.Thread(target=visit, args=(seed,)) for seed in range(4)]
        for thread in visitors:
            thread.start()
        try:
            end = time.monotonic() + 4
            while time.monotonic() < end:
                for name in ("s", "forward"):
                    self.config["services"][name].update(limits=chance.choice(limits), access=chance.choice(rules))
                self.config["services"]["s"]["prespawn"] = chance.choice([0, 3])
                d.write_config(self.config)
                self.assertTrue(d.call("Reload")["ok"])
                d.call("Set", service="s", limits={"per_source": str(chance.randrange(1, 4))})
                d.call("Restart" if chance.random() < 0.2 else "Resume", services=["s"])
        finally:
            over.set()
            for thread in visitors:
                thread.join()
        for name in ("s", "forward"):
            # What was cut off before it was accepted may still lie in the queue.
            d.wait_service(name, queued=0, active=0)
            self.config["services"][name].update(limits={"per_source": 1}, access={}, ban={})
        d.write_config(self.config)
        self.assertTrue(d.call("Reload")["ok"])
        for name in ("s", "forward"):
            self.assertGreater(self.assert_balanced(d, name)["spawned"], 5)
            d.call("Unban", prefix="any")
            for i in range(8):
                self.assertTrue(self.serves(self.dial(d, f"127.0.3.{i}", name)), (name, i))

    def test_flood_of_one_source_leaves_room(self):
        """One that takes all it can get is kept to its share."""
        d = self.start(limits={"instances": 10, "per_source": 5})
        for _ in range(60):
            self.dial(d, "127.0.0.66")
        for i in range(20):
            s = self.dial(d, f"127.0.1.{i}")
            self.assertTrue(self.serves(s), f"visitor {i}")
            s.close()
            wait_until(lambda: d.service("s")["active"] <= 5, "it to end")


class Pool(AdmissionTest):
    """The daemon passes connections on, and keeps no descriptor of them: the kernel tells when they are over."""

    def start_pool(self, listen="tcp:127.0.0.1:0", **service):
        return self.start(listen, model="pool", pool={"min": 4, "max": 8, "handoff": "connection"},
                          exec=[os.path.join(BUILD, "tests", "helpers", "pool-worker")], **service)

    @staticmethod
    def is_held(s):
        """Whether a worker has it, and keeps it."""
        s.settimeout(PATIENCE)
        with contextlib.suppress(ConnectionResetError, BrokenPipeError):
            s.sendall(b"hold")
            return s.recv(1000) != b""
        return False

    def test_per_source(self):
        d = self.start_pool(limits={"per_source": 2})
        first = [self.dial(d, "127.0.0.1") for _ in range(2)]
        for s in first:
            self.assertTrue(self.is_held(s))
        self.assert_refused(d, "per_source", "127.0.0.1", n=2)
        self.assertTrue(self.is_held(self.dial(d, "127.0.0.2")))
        first[0].close()
        wait_until(lambda: self.is_held(self.dial(d, "127.0.0.1")), "a place to come free")
        self.assert_refused(d, "per_source", "127.0.0.1")
        self.close_all()
        s = d.service("s")
        self.assertEqual(s["last_error"], None)
        self.assertGreaterEqual(s["accepted"], 6)

    def test_those_that_are_over_keep_no_place(self):
        """However many come, there is room for those that last."""
        d = self.start_pool(limits={"per_source": 100000})
        for _ in range(4000):
            d.dial_fast("s").close()
        d.wait_service("s", accepted=4000)
        (source,) = d.call("Describe", service="s")["sources"]
        self.assertLess(source["active"], 2500)

    def test_per_source_over_unix(self):
        d = self.start_pool("unix:{dir}/s", limits={"per_source": 1})
        with d.dial("s") as first:
            self.assertTrue(self.is_held(first))
            with d.dial("s") as s:
                self.assertFalse(self.is_held(s))

        def free():
            with d.dial("s") as s:
                return self.is_held(s)
        wait_until(free, "the place to come free")

    @need_ipv6
    def test_per_source_of_both_families(self):
        d = self.start_pool("tcp:0", limits={"per_source": 1})
        port = d.port("s")
        for host in ("127.0.0.1", "::1"):
            with socket.create_connection((host, port), PATIENCE) as s:
                self.assertTrue(self.is_held(s))
                with socket.create_connection((host, port), PATIENCE) as other:
                    self.assertFalse(self.is_held(other))

    def test_access_rate_and_bans(self):
        d = self.start_pool(limits={"rate_per_source": "2/1h"}, access={"deny": ["127.0.0.9"]},
                            ban={"after": "3/1m", "for": "1h"})
        for _ in range(2):
            self.assertTrue(self.is_held(self.dial(d, "127.0.0.1")))
        self.assert_refused(d, "rate_per_source", "127.0.0.1", n=3)
        self.assert_refused(d, "banned", "127.0.0.1")
        self.assert_refused(d, "access", "127.0.0.9")
        self.assertTrue(self.is_held(self.dial(d, "127.0.0.2")))

    def test_rate(self):
        d = self.start_pool(limits={"rate": "1/2s"})
        begin = time.monotonic()
        for _ in range(2):
            self.assertTrue(self.is_held(self.dial(d)))
        self.assertGreater(time.monotonic() - begin, 1.9)
        self.assertTrue([e for e in d.log(event="state") if "-> throttled: limits.rate" in e["message"]])
        d.wait_service("s", state="active")

    def test_prefix_change(self):
        d = self.start_pool(limits={"per_source": 1})
        kept = [self.dial(d, source) for source in ("127.0.7.1", "127.0.7.2")]
        for s in kept:
            self.assertTrue(self.is_held(s))
        d.call("Set", service="s", limits={"source_prefix.ipv4": "24", "per_source": 3})
        self.assertTrue(self.is_held(self.dial(d, "127.0.7.3")))
        self.assert_refused(d, "per_source", "127.0.7.4")
        d.call("Set", service="s", limits={"source_prefix.ipv4": "32", "per_source": 1})
        self.assert_refused(d, "per_source", "127.0.7.2")
        kept[1].close()
        wait_until(lambda: self.is_held(self.dial(d, "127.0.7.2")), "the place to come free")

    def test_they_are_forgotten(self):
        """What is over leaves nothing behind, though nobody asks about its source again."""
        d = self.start_pool(limits={"per_source": 5})
        for i in range(50):
            s = self.dial(d, f"127.0.2.{i}")
            self.assertTrue(self.is_held(s))
            s.close()
        self.assertTrue(self.change(d, description="changed")["ok"])
        self.assertTrue(self.is_held(self.dial(d)))

    def test_removed_with_connections(self):
        d = self.start_pool(limits={"per_source": 5}, others={"other": {"listen": "tcp:127.0.0.1:0", "exec": ["cat"]}})
        held = [self.dial(d, f"127.0.2.{i}") for i in range(5)]
        for s in held:
            self.assertTrue(self.is_held(s))
        del self.config["services"]["s"]
        d.write_config(self.config)
        self.assertTrue(d.call("Reload")["ok"])
        self.close_all()
        wait_until(lambda: [s["name"] for s in d.status()["services"]] == ["other"], "the service to go")


if __name__ == "__main__":
    unittest.main()
