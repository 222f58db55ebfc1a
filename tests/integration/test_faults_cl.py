# SPDX-License-Identifier: MIT
"""CL: what clients and the network do. The ids are those of docs/faults.md."""
import contextlib
import ctypes
import errno
import multiprocessing
import os
import random
import socket
import struct
import subprocess
import threading
import time
import unittest

from faults import FaultTest, Injection, dial_many, running_as_root, tracing_works
from harness import PATIENCE, SANITIZED, SLOW, need_program, need_root, read_all, resident_kib, wait_until
from test_knock import forge

HERE = "127.0.0.1"
CLONE_NEWNET = 0x40000000


def networks_work():
    """Whether networks of one's own can be made here."""
    return running_as_root() and subprocess.run(["unshare", "-n", "ip", "link", "set", "lo", "up"], check=False,
                                                stderr=subprocess.DEVNULL).returncode == 0


need_networks = unittest.skipUnless(networks_work(), "needs root and networks of its own")


def _inside(pid, function, arguments, out):
    try:
        with open(f"/proc/{pid}/ns/net", "rb") as net:
            if ctypes.CDLL(None, use_errno=True).setns(net.fileno(), CLONE_NEWNET) < 0:
                raise OSError(ctypes.get_errno(), "setns")
        out.send((True, function(*arguments)))
    except BaseException as error:  # pylint: disable=broad-except
        out.send((False, repr(error)))


def in_network_of(pid, function, *arguments, timeout=120):
    """What the function returns, run in a process that is in the same network."""
    context = multiprocessing.get_context("fork")
    pipe, other = context.Pipe(duplex=False)
    process = context.Process(target=_inside, args=(pid, function, arguments, other), daemon=True)
    process.start()
    other.close()
    if not pipe.poll(timeout):
        process.kill()
        raise AssertionError(f"{function.__name__} did not end")
    done, result = pipe.recv()
    process.join(PATIENCE)
    if not done:
        raise AssertionError(f"{function.__name__}: {result}")
    return result


def own_network(*commands):
    """For Daemon's wrap: a network of its own, with these commands done in it."""
    script = " && ".join(["ip link set lo up", *commands, 'exec "$@"'])
    return ["unshare", "-n", "--", "sh", "-c", script, "sh"]


class Connections(FaultTest):
    weight = 20

    def test_cl_1_slow_clients_fill_a_service(self):
        d = self.start({"exec": ["cat"], "limits": {"instances": 50}})
        with contextlib.ExitStack() as stack:
            stack.enter_context(self.strain(d))
            clients = stack.enter_context(contextlib.ExitStack())
            loris = dial_many(clients, d.port("s"), 3000 if SLOW else 300)
            d.wait_service("s", active=50, state="full")
            for _ in range(10 if SLOW else 3):
                for s in loris:
                    with contextlib.suppress(OSError):
                        s.send(b"x")
                time.sleep(0.3)
            service = d.service("s")
            self.assertEqual((service["active"], service["accepted"]), (50, 50))
            self.assertEqual(service["queued"], len(loris) - 50)
            clients.close()
            self.rests(d)
        self.assertEqual(d.ask("s", b"x"), b"x")

    def test_cl_4_idle_connections_cost_the_daemon_nothing(self):
        n = 2000 if SLOW else 200
        d = self.start({"exec": ["sleep", "1000"], "stderr": "discard", "limits": {"instances": n}})
        before = len(d.quiet_descriptors())
        memory = resident_kib(d.pid)
        with contextlib.ExitStack() as clients:
            dial_many(clients, d.port("s"), n)
            d.wait_service("s", active=n)
            self.assertLessEqual(len(d.quiet_descriptors()), before)
            if not SANITIZED:
                self.assertLess((resident_kib(d.pid) - memory) / n, 4 if SLOW else 8, "KiB for each connection")
            d.call("Stop", services=["s"])
        self.rests(d)

    def test_cl_6_a_flood_of_one_source(self):
        """Five times what the service can do, all of it from one address: whoever else comes is served."""
        d = self.start({"exec": ["sh", "-c", "sleep 0.2; echo done"],
                        "limits": {"instances": 20, "per_source": 5}})
        port, over, flood = d.port("s"), threading.Event(), [0]
        # Twenty at once, five a second each: a hundred a second.
        capacity = 100

        def attack():
            with contextlib.ExitStack() as stack:
                begin, held = time.monotonic(), []
                while not over.is_set():
                    wanted = int((time.monotonic() - begin) * 5 * capacity)
                    while flood[0] < wanted:
                        s = stack.enter_context(socket.socket())
                        s.bind(("127.0.0.66", 0))
                        s.setblocking(False)
                        with contextlib.suppress(OSError):
                            s.connect((HERE, port))
                        held.append(s)
                        flood[0] += 1
                    while len(held) > 300:
                        held.pop(0).close()
                    time.sleep(0.01)
        attacker = threading.Thread(target=attack)
        served = asked = 0
        with self.strain(d, log_lines=1000):
            attacker.start()
            end = time.monotonic() + (20 if SLOW else 5)
            while time.monotonic() < end:
                asked += 1
                with socket.socket() as s:
                    s.bind((f"127.0.1.{asked % 250 + 1}", 0))
                    s.settimeout(PATIENCE)
                    with contextlib.suppress(OSError):
                        s.connect((HERE, port))
                        served += read_all(s) == b"done\n"
                time.sleep(0.05)
            over.set()
            attacker.join()
        self.assertGreater(asked, 10)
        self.assertGreaterEqual(served, asked * 0.99)
        service = self.rests(d)
        self.assertGreater(service["refused"]["per_source"], 0.5 * flood[0])

    def test_cl_7_more_than_the_queue_holds(self):
        d = self.start({"listen": [{"endpoint": "tcp:127.0.0.1:0", "backlog": 4}], "exec": ["cat"],
                        "limits": {"instances": 1}})
        with contextlib.ExitStack() as stack:
            stack.enter_context(self.strain(d))
            clients = stack.enter_context(contextlib.ExitStack())
            first = clients.enter_context(d.dial("s"))
            first.sendall(b"x")
            self.assertEqual(first.recv(1), b"x")
            dial_many(clients, d.port("s"), 40)
            wait_until(lambda: d.service("s")["queued"] >= 4, "a full queue")
            self.assertLessEqual(d.service("s")["queued"], 5)
            self.assertEqual(d.listener("s")["backlog"], 4)
            clients.close()
            # Its first packet may have been dropped: then the kernel sends another a second later.
            with d.dial_fast("s") as s:
                s.sendall(b"back")
                self.assertEqual(s.recv(4), b"back")
        self.rests(d)

    def test_cl_12_nothing_is_kept_in_the_daemon(self):
        d = self.start({"exec": ["sh", "-c", "sleep 1; wc -c"]})
        d.ask("canary", b"x")
        memory = resident_kib(d.pid)
        with d.dial("s") as s, self.strain(d):
            s.settimeout(60)
            sender = threading.Thread(target=lambda: (s.sendall(bytes(10 << 20)), s.shutdown(socket.SHUT_WR)))
            sender.start()
            self.assertEqual(read_all(s).strip(), b"%d" % (10 << 20))
            sender.join()
        if not SANITIZED:
            self.assertLess(resident_kib(d.pid) - memory, 2048)
        self.rests(d)


@need_root
class Datagrams(FaultTest):
    def start_small(self, name, host="127.0.0.1"):
        return self.start({"listen": f"udp:{host}:0", "exec": [name]})

    def test_cl_13_ports_of_services_as_senders(self):
        """Neither the daemon nor what it ships answers the port of another service, nor its own."""
        victim = f"127.{random.randint(1, 250)}.{random.randint(0, 250)}.{random.randint(1, 250)}"
        for name in ("mp-echo", "mp-chargen", "mp-time", "mp-daytime"):
            with self.subTest(name=name), contextlib.ExitStack() as stack:
                d = self.start_small(name)
                port = d.port("s")
                victims = []
                for sender in (7, 13, 19, 37, port):
                    s = stack.enter_context(socket.socket(socket.AF_INET, socket.SOCK_DGRAM))
                    s.bind((victim, sender))
                    s.setblocking(False)
                    victims.append(s)
                    forge(victim, sender, port)
                forge(HERE, port, port)
                with d.dial("s") as s:
                    s.send(b"x" * 100)
                    self.assertTrue(s.recv(1000), "an honest one behind them is answered")
                for s in victims:
                    with self.assertRaises(BlockingIOError):
                        s.recv(1000)
                self.assertLessEqual(d.service("s")["spawned"], 1)

    def test_cl_13_a_loop_that_starts_nothing(self):
        """What claims to come from the very socket is taken away, however much of it there is."""
        d = self.start_small("mp-echo")
        port = d.port("s")
        with self.strain(d):
            for _ in range(200):
                forge(HERE, port, port)
            wait_until(lambda: d.service("s")["refused"]["access"] == 200, "all of them refused")
        self.assertEqual(d.service("s")["spawned"], 0)

    def test_cl_13_no_answer_is_longer_than_what_was_asked(self):
        for name in ("mp-echo", "mp-chargen", "mp-discard"):
            with self.subTest(name=name):
                d = self.start_small(name)
                with d.dial("s") as s:
                    for n in (0, 1, 100, 600, 65507):
                        s.send(bytes(n))
                        s.settimeout(0.3 if name == "mp-discard" else PATIENCE)
                        with contextlib.suppress(TimeoutError):
                            self.assertLessEqual(len(s.recv(70000)), n)
                self.assertEqual(d.service("s")["spawned"], 1)

    def test_cl_13_empty_and_largest(self):
        d = self.start_small("mp-echo")
        with d.dial("s") as s:
            for n in (0, 65507, 0):
                s.send(bytes(n))
                self.assertEqual(s.recv(70000), bytes(n))
        d.call("Restart", services=["s"])
        with d.dial("s") as s:
            s.send(bytes(65507))
            self.assertEqual(s.recv(70000), bytes(65507), "also of the one that starts the process")


def flood_of_networks(port, first, n, pace):
    """A datagram from each of n networks: 2001:db8:…::1. pace() is told how many have been sent."""
    with socket.socket(socket.AF_INET6, socket.SOCK_DGRAM) as s:
        for i in range(n):
            source = struct.pack("!IIQ", 0x20010db8, first + i, 1)
            s.sendmsg([b"x"], [(socket.IPPROTO_IPV6, socket.IPV6_PKTINFO, source + struct.pack("i", 0))], 0,
                      ("::1", port))
            if (i + 1) % 200 == 0:
                pace(i + 1)
    pace(n)


def lengths_of_answers(host, port):
    """{length of a request: length of its answer, or None}."""
    lengths = {}
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as s, socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as other:
        for one in (s, other):
            one.settimeout(PATIENCE)
            one.connect((host, port))
        for n in (0, 1, 3, 4, 25, 26, 100):
            s.send(bytes(n))
            # When this one is answered, the one before it has been, or never will be.
            other.send(bytes(512))
            other.recv(70000)
            s.setblocking(False)
            lengths[n] = None
            with contextlib.suppress(BlockingIOError):
                lengths[n] = len(s.recv(70000))
            s.setblocking(True)
    return lengths


@need_networks
class Networks(FaultTest):
    weight = 30

    def flood(self, d, first, n):
        refused = d.service("s")["refused"]["rate"]

        def pace(sent):
            wait_until(lambda: d.service("s")["refused"]["rate"] >= refused + sent, "those to be refused", deadline=60)
        in_network_of(d.pid, flood_of_networks, d.port("s", address="::"), first, n, pace, timeout=600)

    def test_cl_10_very_many_sources(self):
        """Each from a network of its own: what is remembered of them is bounded, and IPv4 is not forgotten for it."""
        n = 200000 if SLOW else 50000
        listen = [{"endpoint": "udp:[::]:0", "receive_buffer": "1M", "only_v6": True}, "udp:127.0.0.1:0"]
        d = self.start({"listen": listen, "exec": ["{bad-child}", "udp", "1"], "pass": "listen_fds",
                        "limits": {"rate": "1/1h", "when_full": "refuse", "rate_per_source": "1/1h"}},
                       others={"v4": {"listen": "tcp:127.0.0.1:0", "exec": ["cat"], "limits": {"rate_per_source": "1/1h"}}},
                       wrap=own_network("ip -6 route add local 2001:db8::/32 dev lo",
                                        "sysctl -qw net.ipv6.ip_nonlocal_bind=1"))

        def visit():
            with socket.create_connection((HERE, ports["v4"]), PATIENCE) as s:
                with contextlib.suppress(OSError):
                    s.sendall(b"x")
                    return s.recv(1)
            return b""

        def start_one():
            with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as s:
                s.sendto(b"x", (HERE, ports["s"]))
        ports = {"v4": d.port("v4"), "s": d.port("s", address=HERE)}
        self.assertEqual(in_network_of(d.pid, visit), b"x")
        in_network_of(d.pid, start_one)
        d.wait_service("s", spawned=1)
        d.call("Stop", services=["s"])
        d.call("Start", services=["s"])
        ports["s"] = d.port("s", address=HERE)
        self.flood(d, 0, n)
        memory = resident_kib(d.pid)
        start = time.monotonic()
        self.flood(d, n, n)
        took = time.monotonic() - start
        if not SANITIZED:
            # The table is full, or grows as it has to: some hundred bytes for each, 65536 at most.
            self.assertLess(resident_kib(d.pid) - memory, 2048 if SLOW else 16384)
            self.assertLess(resident_kib(d.pid), 64 * 1024)
        self.assertLess(took, 300)
        # That one is remembered: its only token is spent.
        self.assertEqual(in_network_of(d.pid, visit), b"")
        self.assertEqual(d.service("v4")["refused"]["rate_per_source"], 1)

    def test_cl_13_short_requests_of_others(self):
        """A sender on another machine may be forged: what would be longer than its request is not sent. (An address
        that is none of loopback's counts as another machine's.)"""
        for name, length in (("mp-time", 4), ("mp-daytime", 26), ("mp-chargen", 0), ("mp-echo", 0)):
            with self.subTest(name=name):
                d = self.start({"listen": "udp:0.0.0.0:0", "exec": [name]},
                               wrap=own_network("ip addr add 10.99.0.1/32 dev lo"))
                answers = in_network_of(d.pid, lengths_of_answers, "10.99.0.1", d.port("s"))
                self.assertEqual(answers, {n: (length or n) if n >= length else None for n in answers})
                answers = in_network_of(d.pid, lengths_of_answers, HERE, d.port("s"))
                self.assertEqual(answers, {n: length or n for n in answers})

    def test_cl_17_an_address_that_goes_and_comes(self):
        d = self.start({"listen": "tcp:10.99.0.1:0", "exec": ["cat"]}, wrap=own_network("ip addr add 10.99.0.1/32 dev lo"))
        port = d.port("s")

        def ask(change=None):
            if change:
                subprocess.run(change, check=True)
            try:
                with socket.create_connection(("10.99.0.1", port), 5) as s:
                    s.sendall(b"x")
                    return s.recv(1)
            except OSError:
                return b""
        self.assertEqual(in_network_of(d.pid, ask), b"x")
        self.assertEqual(in_network_of(d.pid, ask, ["ip", "addr", "del", "10.99.0.1/32", "dev", "lo"]), b"")
        self.assertEqual(d.service("s")["state"], "listening")
        self.assertEqual(in_network_of(d.pid, ask, ["ip", "addr", "add", "10.99.0.1/32", "dev", "lo"]), b"x")
        self.assertEqual(in_network_of(d.pid, ask, ["ip", "link", "set", "lo", "down"]), b"")
        self.assertEqual(in_network_of(d.pid, ask, ["ip", "link", "set", "lo", "up"]), b"x")

    def test_cl_17_an_address_that_is_not_there(self):
        d = self.start({"listen": "tcp:10.99.0.2:7777", "exec": ["cat"]}, wrap=own_network())
        service = d.service("s")
        self.assertEqual(service["state"], "failed")
        self.assertEqual(service["last_error"]["errno"], errno.EADDRNOTAVAIL)
        in_network_of(d.pid, subprocess.run, ["ip", "addr", "add", "10.99.0.2/32", "dev", "lo"])
        d.wait_service("s", state="listening")


class Names(FaultTest):
    @need_program("strace")
    def test_cl_15_no_name_is_looked_up(self):
        """Nothing that could hang is asked for a connection: no file of names is opened, and nobody is connected to."""
        if not tracing_works():
            self.skipTest("processes cannot be traced here")
        d = self.start({"exec": ["cat"], "access": {"allow": ["127.0.0.0/8"]}, "limits": {"per_source": 100}})
        self.assertEqual(d.ask("s", b"x"), b"x")
        port = d.port("s")
        with Injection(d.pid, trace="open,openat,connect") as seen:
            for _ in range(10):
                with socket.create_connection((HERE, port), PATIENCE) as s:
                    s.sendall(b"x")
                    self.assertEqual(s.recv(1), b"x")
        called = [line for line in seen.text.splitlines() if "open" in line or "connect" in line]
        self.assertEqual([line for line in called if "/proc/" not in line and "/sys/" not in line], [])

    def ask_unix(self, path):
        with socket.socket(socket.AF_UNIX) as s:
            s.settimeout(PATIENCE)
            s.connect(path)
            s.sendall(b"x")
            return s.recv(1)

    def test_cl_16_paths_of_all_lengths(self):
        folder = self.temporary_folder()
        for n in (107, 108, 109):
            path = os.path.join(folder, "s" * (n - len(folder) - 1))
            with self.subTest(n=n):
                config = {"services": {"s": {"listen": f"unix:{path}", "exec": ["cat"]}}}
                if n <= 107:
                    self.assertEqual(self.daemon(config) and self.ask_unix(path), b"x")
                    continue
                d = self.daemon(config, wait=False)
                self.assertEqual(d.process.wait(PATIENCE), 1)
                d.process = None
                self.assertIn("107", d.log_text())

    def test_cl_16_a_path_that_is_deleted(self):
        """Who is connected goes on; a restart brings the path back."""
        d = self.start({"listen": "unix:{dir}/s.sock", "exec": ["cat"]})
        with d.dial("s") as s:
            s.sendall(b"x")
            self.assertEqual(s.recv(1), b"x")
            os.unlink(d.path("s.sock"))
            s.sendall(b"y")
            self.assertEqual(s.recv(1), b"y")
        d.wait_service("s", active=0, state="listening")
        d.call("Stop", services=["s"])
        d.call("Start", services=["s"])
        self.assertEqual(d.ask("s", b"x"), b"x")

    def test_cl_16_a_client_in_another_user_namespace(self):
        """It is who it is outside of it."""
        if subprocess.run(["unshare", "-Ur", "true"], check=False, stderr=subprocess.DEVNULL).returncode != 0:
            self.skipTest("no user namespaces here")
        d = self.start({"listen": "unix:{dir}/s.sock", "exec": ["cat"]})
        code = ("import socket, sys; s = socket.socket(socket.AF_UNIX); s.connect(sys.argv[1]); s.sendall(b'x'); "
                "print(s.recv(1))")
        said = subprocess.run(["unshare", "-Ur", "python3", "-c", code, d.path("s.sock")], check=True,
                              capture_output=True, timeout=60).stdout
        self.assertEqual(said.strip(), b"b'x'")
        self.assertEqual(d.wait_log(event="started", service="s")[0]["peer"], f"uid:{os.geteuid()}")


if __name__ == "__main__":
    unittest.main()
