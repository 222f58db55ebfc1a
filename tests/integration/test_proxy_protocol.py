# SPDX-License-Identifier: MIT
"""proxy_protocol.accept_from: the peer that a trusted proxy tells of, before admission."""
import contextlib
import os
import random
import signal
import socket
import subprocess
import time
import unittest

from harness import (BUILD, PATIENCE, cpu_seconds, descriptors_of, exchange, free_port, need_ipv6, need_program,
                     program, read_all, stays, wait_until)
from proxy import (ECHO, PreludeTest, V2_LOCAL, converse, read_environment, receive, v1, v2, v2_unix, wait_accepted,
                   wait_accounted)

DATA = b"GET / HTTP/1.0\r\n\r\n\0PROXY TCP4 1.2.3.4 5.6.7.8 1 2\r\n"
# Listens on a UNIX socket, says that it does, and echoes.
BACKEND = """
import os, socket, sys, threading
def serve(s):
    while data := s.recv(65536):
        s.sendall(data)
    s.close()
l = socket.socket(socket.AF_UNIX)
l.bind(sys.argv[1])
l.listen()
if "MP_STATUS_FD" in os.environ:
    os.write(int(os.environ["MP_STATUS_FD"]), b"READY=1\\n")
while True:
    threading.Thread(target=serve, args=(l.accept()[0],)).start()
"""


class ProxyTest(PreludeTest):
    def start(self, listen="tcp:127.0.0.1:0", accept_from=("127.0.0.1",), execute=None, **keys):
        return self.daemon({"services": {"s": {"listen": listen, "exec": execute or ECHO,
                                               "proxy_protocol": {"accept_from": list(accept_from)}, **keys}}})

    def assert_peer(self, environment, proto, remote, remote_port, local, local_port):
        names = ("PROTO", "TCPREMOTEIP", "TCPREMOTEPORT", "TCPLOCALIP", "TCPLOCALPORT", "REMOTE_ADDR", "REMOTE_PORT")
        self.assertEqual([environment.get(name) for name in names],
                         [proto, remote, str(remote_port), local, str(local_port), remote, str(remote_port)])
        self.assertEqual([name for name in environment if name.startswith("UNIX")], [])


class Headers(ProxyTest):
    def test_told_peer(self):
        d = self.start()
        cases = [
            (v1("192.0.2.1", "198.51.100.2", 1234, 443), "TCP", "192.0.2.1", 1234, "198.51.100.2", 443),
            (v1("2001:db8::1", "2001:db8::2", 65535, 1), "TCP6", "2001:db8::1", 65535, "2001:db8::2", 1),
            (v2("192.0.2.2", "198.51.100.2", 1234, 443), "TCP", "192.0.2.2", 1234, "198.51.100.2", 443),
            (v2("2001:db8::3", "2001:db8::2", 9, 10), "TCP6", "2001:db8::3", 9, "2001:db8::2", 10),
            # Something besides the addresses, and much of it.
            (v2("192.0.2.4", "198.51.100.2", 7, 8, tlvs=b"\x04\x0b\x00" + bytes(2816)), "TCP", "192.0.2.4", 7,
             "198.51.100.2", 8),
            # An IPv4 peer is one, however it is written.
            (v1("::ffff:192.0.2.5", "::ffff:198.51.100.2", 1, 2), "TCP", "192.0.2.5", 1, "198.51.100.2", 2),
            (v2("::ffff:192.0.2.6", "::ffff:198.51.100.2", 1, 2), "TCP", "192.0.2.6", 1, "198.51.100.2", 2),
        ]
        for header, *wanted in cases:
            with self.subTest(header=header[:60]), d.dial("s") as s:
                environment, rest = converse(s, header + DATA)
                self.assert_peer(environment, *wanted)
                self.assertEqual(rest, DATA)
        wait_accounted(d, "s", accepted=len(cases), spawned=len(cases))
        peers = [entry["peer"] for entry in d.log(event="started", service="s")]
        self.assertEqual(peers, ["192.0.2.1:1234", "[2001:db8::1]:65535", "192.0.2.2:1234", "[2001:db8::3]:9",
                                 "192.0.2.4:7", "192.0.2.5:1", "192.0.2.6:1"])

    def test_proxy_itself(self):
        """A header that tells nobody leaves the proxy as the peer."""
        d = self.start()
        for header in (b"PROXY UNKNOWN\r\n", b"PROXY UNKNOWN ffff::1 ffff::2 1 2\r\n", V2_LOCAL,
                       v2_unix(b"/run/client", b"/run/server")):
            with self.subTest(header=header[:40]), d.dial("s") as s:
                port = s.getsockname()[1]
                environment, rest = converse(s, header + DATA)
                self.assert_peer(environment, "TCP", "127.0.0.1", port, "127.0.0.1", d.port("s"))
                self.assertEqual(rest, DATA)

    def test_pieces(self):
        """Wherever it is cut, the service gets what follows the header, from its first byte to its last."""
        d = self.start()
        for header in (v1("192.0.2.1", "198.51.100.2"), v2("192.0.2.1", "198.51.100.2", tlvs=b"\x04\x00\x01x")):
            for cut in (1, 5, 12, 13, 16, len(header) - 1, len(header), len(header) + 1):
                with d.dial("s") as s:
                    s.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
                    whole = header + DATA
                    s.sendall(whole[:cut])
                    # The two are no one segment; that the daemon has read the first in between is likely, no more.
                    time.sleep(0.02)
                    environment, rest = converse(s, whole[cut:])
                    self.assertEqual((environment["TCPREMOTEIP"], rest), ("192.0.2.1", DATA), (header[:6], cut))

    def test_byte_by_byte(self):
        d = self.start()
        with d.dial("s") as s:
            s.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            for byte in v1("2001:db8::1", "2001:db8::2"):
                s.sendall(bytes([byte]))
            environment, rest = converse(s, DATA)
            self.assertEqual((environment["TCPREMOTEIP"], rest), ("2001:db8::1", DATA))

    def test_untrusted_is_direct(self):
        """Who is no proxy is served as he is, and a header of his is data."""
        d = self.start(accept_from=["192.0.2.0/24", "127.0.0.2"])
        header = v1("203.0.113.9", "198.51.100.2")
        with d.dial("s") as s:
            port = s.getsockname()[1]
            environment, rest = converse(s, header)
            self.assert_peer(environment, "TCP", "127.0.0.1", port, "127.0.0.1", d.port("s"))
            self.assertEqual(rest, header)
        with socket.create_connection(("127.0.0.1", d.port("s")), PATIENCE, source_address=("127.0.0.2", 0)) as s:
            environment, rest = converse(s, header)
            self.assertEqual((environment["TCPREMOTEIP"], rest), ("203.0.113.9", b""))

    def test_nobody_is_asked_for_a_header_without_accept_from(self):
        d = self.daemon({"services": {"s": {"listen": "tcp:127.0.0.1:0", "exec": ["cat"]}}})
        header = v1("203.0.113.9", "198.51.100.2")
        self.assertEqual(d.ask("s", header), header)

    @need_ipv6
    def test_mapped_proxy(self):
        """A listener of both families in one socket: its IPv4 peers are IPv4."""
        d = self.start(listen={"endpoint": "tcp:[::]:0", "only_v6": False})
        with socket.create_connection(("127.0.0.1", d.port("s")), PATIENCE) as s:
            environment, _ = converse(s, v2("192.0.2.1", "198.51.100.2"))
            self.assertEqual(environment["TCPREMOTEIP"], "192.0.2.1")

    def test_unix(self):
        """A proxy on the same machine: by its user, and what it tells is all that there is."""
        for trusted in ("any", f"uid:{os.getuid()}"):
            with self.subTest(trusted=trusted):
                d = self.start(listen="unix:{dir}/s.sock", accept_from=[trusted])
                with d.dial("s") as s:
                    environment, rest = converse(s, v2("192.0.2.1", "198.51.100.2", 1234, 443) + DATA)
                    self.assert_peer(environment, "TCP", "192.0.2.1", 1234, "198.51.100.2", 443)
                    self.assertEqual(rest, DATA)
                with d.dial("s") as s:
                    environment, _ = converse(s, V2_LOCAL)
                    self.assertEqual((environment["PROTO"], environment["UNIXREMOTEEUID"]), ("UNIX", str(os.getuid())))

    def test_unix_of_another_user(self):
        d = self.start(listen="unix:{dir}/s.sock", accept_from=[f"uid:{os.getuid() + 4711}"])
        with d.dial("s") as s:
            environment, rest = converse(s, v1("192.0.2.1", "198.51.100.2"))
            self.assertEqual((environment["PROTO"], rest), ("UNIX", v1("192.0.2.1", "198.51.100.2")))

    def test_packets(self):
        """Of packets the header is one: what stood behind it in the same one would be lost."""
        d = self.start(listen="unix-seqpacket:{dir}/s.sock", accept_from=["any"], execute=["{probe}"])
        header = v2("192.0.2.1", "198.51.100.2")
        with d.dial("s") as s:
            s.send(header)
            self.assertIn(b"TCPREMOTEIP=192.0.2.1", read_all(s))
        with d.dial("s") as s:
            s.send(header + b"more")
            self.assertEqual(read_all(s), b"")
        self.assertIn("packet", d.wait_log(event="refused", reason="proxy")[0]["message"])

    def test_prespawn(self):
        d = self.start(prespawn=2)
        for n in range(4):
            with d.dial("s") as s:
                environment, rest = converse(s, v1(f"192.0.2.{n}", "198.51.100.2") + DATA)
                self.assertEqual((environment["TCPREMOTEIP"], rest), (f"192.0.2.{n}", DATA))
        wait_accounted(d, "s", spawned=4)

    def test_pool(self):
        """A worker is told of the real peer, too."""
        d = self.daemon({"services": {"s": {
            "listen": "tcp:127.0.0.1:0", "model": "pool", "exec": ["mp-echo"], "pool": {"handoff": "connection"},
            "proxy_protocol": {"accept_from": ["127.0.0.1"]}, "limits": {"per_source": 1000}}}})
        for n in range(20):
            with d.dial("s") as s:
                s.sendall(v2(f"192.0.2.{n}", "198.51.100.2") + DATA)
                s.shutdown(socket.SHUT_WR)
                self.assertEqual(read_all(s), DATA)
        self.assertEqual(d.service("s")["accepted"], 20)

    def test_forward(self):
        """Told by one proxy, and telling the next."""
        d = self.daemon({"services": {
            "back": {"listen": "unix:{dir}/back.sock", "exec": ECHO, "proxy_protocol": {"accept_from": ["any"]}},
            "s": {"listen": "tcp:127.0.0.1:0", "model": "forward", "to": "unix:{dir}/back.sock",
                  "proxy_protocol": {"accept_from": ["127.0.0.1"], "send": "v2"}}}})
        with d.dial("s") as s:
            environment, rest = converse(s, v1("192.0.2.1", "198.51.100.2", 1234, 443) + DATA)
            self.assert_peer(environment, "TCP", "192.0.2.1", 1234, "198.51.100.2", 443)
            self.assertEqual(rest, DATA)

    def test_forward_to_its_own_backend(self):
        """Clients are held until it is ready."""
        for notify in ("none", "status"):
            with self.subTest(notify=notify):
                d = self.daemon({"services": {"s": {
                    "listen": "tcp:127.0.0.1:0", "model": "forward", "to": "unix:{dir}/back.sock", "notify": notify,
                    "exec": ["python3", "-ISuc", BACKEND, "{dir}/back.sock"],
                    "proxy_protocol": {"accept_from": ["127.0.0.1"], "send": "v1"}}}})
                header = v1("192.0.2.1", "198.51.100.2")
                with d.dial("s") as s, d.dial("s") as other:
                    s.sendall(header[:9])
                    other.sendall(header[:9])
                    wait_accepted(d, "s")
                    self.assertEqual(exchange(s, header[9:] + DATA), header + DATA)
                    self.assertEqual(exchange(other, header[9:] + DATA), header + DATA)
                wait_accounted(d, "s", accepted=2, spawned=2)

    def test_greeting(self):
        d = self.start(banner={"greeting": "hello\r\n"})
        with d.dial("s") as s:
            s.settimeout(0.3)
            with self.assertRaises(TimeoutError):
                s.recv(1)  # nothing before it is known who is there
            s.settimeout(PATIENCE)
            s.sendall(v1("192.0.2.1", "198.51.100.2"))
            self.assertEqual(receive(s, 7), b"hello\r\n")
            self.assertEqual(read_environment(s)[0]["TCPREMOTEIP"], "192.0.2.1")


class Refused(ProxyTest):
    def test_malformed(self):
        d = self.start()
        cases = {
            b"GET / HTTP/1.0\r\n\r\n": "no header of the PROXY protocol",
            b"PROXY TCP5 192.0.2.1 192.0.2.2 1 2\r\n": "neither TCP4, TCP6 nor UNKNOWN",
            b"PROXY TCP4 192.0.2.256 192.0.2.2 1 2\r\n": "the addresses or ports are wrong",
            b"PROXY TCP4 192.0.2.1 192.0.2.2 1 65536\r\n": "the addresses or ports are wrong",
            b"PROXY " + b"x" * 200: "neither TCP4, TCP6 nor UNKNOWN",
            b"PROXY UNKNOWN " + b"x" * 200: "too long",
            v2("192.0.2.1", "198.51.100.2")[:12] + b"\x31\x11\x00\x0c": "version",
            v2("192.0.2.1", "198.51.100.2", family=0x12): "datagrams",
            v2("192.0.2.1", "198.51.100.2")[:14] + b"\xff\xff": "too long",
        }
        for n, (sent, why) in enumerate(cases.items(), 1):
            with self.subTest(sent=sent[:40]), d.dial("s") as s:
                port = s.getsockname()[1]
                s.sendall(sent)
                self.assertEqual(read_all(s), b"")
                entry = wait_until(lambda p=port: d.log(event="refused", peer=f"127.0.0.1:{p}"), "its refusal")[0]
                self.assertEqual(entry["reason"], "proxy")
                self.assertIn("PROXY header", entry["message"])
                self.assertIn(why, entry["message"])
                self.assertEqual(d.service("s")["refused"]["proxy"], n)
        service = wait_accounted(d, "s", accepted=len(cases), spawned=0)
        self.assertEqual(service["refused"]["proxy"], len(cases))

    def test_garbage(self):
        """Headers with some bytes changed, cut or doubled: each connection comes to one of its ends."""
        d = self.start(execute=["cat"])
        chance = random.Random(4)
        headers = [v1("192.0.2.1", "198.51.100.2"), v1("2001:db8::1", "2001:db8::2"), V2_LOCAL,
                   v2("192.0.2.1", "198.51.100.2", tlvs=b"\x04\x00\x02xy"), v2_unix(b"/run/a", b"/run/b")]
        for _ in range(150):
            data = bytearray(chance.choice(headers) + DATA)
            for _ in range(chance.randrange(4)):
                at = chance.randrange(len(data))
                data[at:at + chance.randrange(3)] = bytes(chance.randrange(256) for _ in range(chance.randrange(3)))
            with d.dial_fast() as s:
                exchange(s, bytes(data[:chance.randrange(1, len(data) + 1)]))
        service = wait_accounted(d, "s", accepted=150)
        self.assertGreater(service["spawned"], 20)
        self.assertGreater(service["refused"]["proxy"], 20)

    @need_ipv6
    def test_ipv6_proxy(self):
        d = self.start(listen="tcp:[::1]:0", accept_from=["::1/128"])
        with d.dial("s") as s:
            self.assertEqual(converse(s, v2("192.0.2.1", "198.51.100.2") + DATA)[1], DATA)
        with d.dial("s") as s:
            self.assertEqual(exchange(s, DATA), b"")
        self.assertTrue(d.wait_log(event="refused", reason="proxy")[0]["peer"].startswith("[::1]:"))

    def test_late(self):
        d = self.start()
        began = time.monotonic()
        with contextlib.ExitStack() as stack:
            clients = [stack.enter_context(d.dial("s")) for _ in range(5)]
            for n, s in enumerate(clients):
                s.sendall(v1("192.0.2.1", "198.51.100.2")[:7 * n])
            # One that dribbles is no better.
            slow = clients[-1]
            with contextlib.suppress(OSError):
                for byte in b"192.0.2.1":
                    slow.sendall(bytes([byte]))
                    time.sleep(0.5)
            for s in clients:
                self.assertEqual(read_all(s), b"")
        self.assertGreater(time.monotonic() - began, 2.5)
        service = wait_accounted(d, "s", accepted=5)
        self.assertEqual(service["refused"]["proxy"], 5)
        messages = {entry["message"] for entry in d.log(event="refused", service="s")}
        self.assertTrue(any("no PROXY header within 3 s" in message for message in messages), messages)
        # And others have not been harmed.
        with d.dial("s") as s:
            self.assertEqual(converse(s, v1("192.0.2.1", "198.51.100.2") + DATA)[1], DATA)

    def test_gone(self):
        d = self.start()
        for sent in (b"", b"PROXY TCP4 192"):
            with d.dial("s") as s:
                s.sendall(sent)
        service = wait_accounted(d, "s", accepted=2)
        self.assertEqual((service["gone"], sum(service["refused"].values())), (2, 0))


class RealPeer(ProxyTest):
    """Limits and rules look at whom the proxy tells of."""

    def ask(self, d, source):
        with d.dial("s") as s:
            return exchange(s, v1(source, "198.51.100.2") + b"x")

    def test_access(self):
        d = self.start(access={"allow": ["192.0.2.0/24", "127.0.0.1"], "deny": ["192.0.2.13"]})
        self.assertTrue(self.ask(d, "192.0.2.12"))
        self.assertEqual(self.ask(d, "192.0.2.13"), b"")
        self.assertEqual(self.ask(d, "198.51.100.1"), b"")
        service = wait_accounted(d, "s", accepted=3, spawned=1)
        self.assertEqual(service["refused"]["access"], 2)
        self.assertEqual([entry["peer"] for entry in d.log(event="refused", service="s")],
                         ["192.0.2.13:5000", "198.51.100.1:5000"])

    def test_proxy_need_not_be_admitted(self):
        """Rules are about clients: the proxy's own address may be denied."""
        d = self.start(access={"deny": ["127.0.0.0/8"]})
        self.assertTrue(self.ask(d, "192.0.2.12"))
        self.assertEqual(self.ask(d, "127.0.0.1"), b"")

    def test_per_source(self):
        d = self.start(limits={"per_source": 1})
        with d.dial("s") as first:
            first.sendall(v1("192.0.2.1", "198.51.100.2"))
            read_environment(first)
            self.assertEqual(self.ask(d, "192.0.2.1"), b"")
            self.assertTrue(self.ask(d, "192.0.2.2"))
            peers = [i["peer"] for i in d.instances("s")]
            self.assertIn("192.0.2.1:5000", peers)
        service = wait_accounted(d, "s", accepted=3)
        self.assertEqual(service["refused"]["per_source"], 1)

    def test_rate_per_source(self):
        d = self.start(limits={"rate_per_source": "1/h burst 2"})
        for source in ("192.0.2.1", "192.0.2.2"):
            self.assertTrue(self.ask(d, source))
            self.assertTrue(self.ask(d, source))
            self.assertEqual(self.ask(d, source), b"")
        self.assertEqual(d.service("s")["refused"]["rate_per_source"], 2)

    def test_ban(self):
        """Whoever misbehaves behind the proxy is banned, and not the proxy."""
        d = self.start(access={"deny": ["192.0.2.13"]}, ban={"after": "2/1h", "for": "1h"})
        for _ in range(3):
            self.assertEqual(self.ask(d, "192.0.2.13"), b"")
        # Nor for headers that are none.
        for _ in range(4):
            with d.dial("s") as s:
                s.sendall(b"nonsense\r\n")
                self.assertEqual(read_all(s), b"")
        self.assertTrue(self.ask(d, "192.0.2.1"))
        self.assertEqual(self.ask(d, "192.0.2.13"), b"")
        self.assertGreaterEqual(d.service("s")["refused"]["banned"], 1)


class Bounds(ProxyTest):
    """Who says nothing holds nobody up for long."""

    def test_silent_ones(self):
        d = self.daemon({"services": {
            "s": {"listen": {"endpoint": "tcp:127.0.0.1:0", "backlog": 128}, "exec": ECHO, "limits": {"instances": 4},
                  "proxy_protocol": {"accept_from": ["127.0.0.1"]}},
            "other": {"listen": "tcp:127.0.0.1:0", "exec": ["cat"]},
        }})
        before = len(descriptors_of(d.pid))
        with contextlib.ExitStack() as stack:
            silent = [stack.enter_context(d.dial_fast()) for _ in range(60)]
            d.wait_service("s", state="full")
            used = cpu_seconds(d.pid)
            time.sleep(0.5)
            self.assertLess(cpu_seconds(d.pid) - used, 0.1, "to wait costs nothing")
            # No more than there may be instances, and some; the rest waits in the queue.
            self.assertLess(len(descriptors_of(d.pid)) - before, 30)
            self.assertEqual(d.ask("other", b"hello"), b"hello")
            for s in silent[:10]:
                s.close()
            with d.dial("s") as s:
                environment, rest = converse(s, v1("192.0.2.1", "198.51.100.2") + DATA)
                self.assertEqual((environment["TCPREMOTEIP"], rest), ("192.0.2.1", DATA))
        wait_accounted(d, "s", accepted=61, spawned=1)
        d.wait_service("s", state="listening")

    @need_program("prlimit")
    def test_others_have_their_places(self):
        """Of all descriptors a quarter may wait for headers, and some places of each service are its own."""
        proxied = {"listen": {"endpoint": "tcp:127.0.0.1:0", "backlog": 128}, "exec": ECHO,
                   "proxy_protocol": {"accept_from": ["127.0.0.1"]}}
        d = self.daemon({"services": {"s": proxied, "other": proxied}}, wrap=["prlimit", "--nofile=240:240"])
        with contextlib.ExitStack() as stack:
            silent = [stack.enter_context(d.dial_fast()) for _ in range(100)]
            d.wait_service("s", state="full")
            self.assertLess(len(descriptors_of(d.pid)), 100)
            with d.dial("other") as s:
                environment, rest = converse(s, v1("192.0.2.1", "198.51.100.2") + DATA)
                self.assertEqual((environment["TCPREMOTEIP"], rest), ("192.0.2.1", DATA))
            for s in silent:
                s.close()
        wait_accounted(d, "s", accepted=100, spawned=0)
        wait_accounted(d, "other", accepted=1, spawned=1)

    def test_refused_when_there_are_too_many(self):
        d = self.start(limits={"instances": 1, "when_full": "refuse"})
        with contextlib.ExitStack() as stack:
            for _ in range(40):
                stack.enter_context(d.dial_fast())
            wait_until(lambda: d.service("s")["refused"]["instances"] >= 20, "refusals")
        service = wait_accounted(d, "s", accepted=40, spawned=0)
        self.assertEqual(service["refused"]["instances"] + service["refused"]["proxy"] + service["gone"], 40)

    def test_held_until_there_is_room(self):
        """Accepted, its header read, and no room: it is served when there is."""
        d = self.start(limits={"instances": 1})
        with d.dial("s") as first, d.dial("s") as second, d.dial("s") as third:
            # All three are accepted before any is known.
            for s in (first, second, third):
                s.sendall(b"PROXY ")
            wait_accepted(d, "s")
            first.sendall(v1("192.0.2.1", "198.51.100.2")[6:])
            read_environment(first)
            second.sendall(v1("192.0.2.2", "198.51.100.2")[6:] + b"2")
            third.sendall(v1("192.0.2.3", "198.51.100.2")[6:] + b"3")
            d.wait_service("s", state="full", active=1)
            before = cpu_seconds(d.pid)
            time.sleep(0.5)
            self.assertLess(cpu_seconds(d.pid) - before, 0.1, "to wait costs nothing")
            self.assertEqual(d.service("s")["spawned"], 1)
            first.close()
            for s, last in ((second, 2), (third, 3)):
                environment, rest = read_environment(s)
                self.assertEqual(environment["TCPREMOTEIP"], f"192.0.2.{last}")
                s.shutdown(socket.SHUT_WR)
                self.assertEqual(rest + read_all(s), str(last).encode())
        wait_accounted(d, "s", accepted=3, spawned=3)


    def test_held_until_a_worker_has_room(self):
        d = self.start(model="pool", pool={"handoff": "connection", "min": 1, "max": 1},
                       execute=[os.path.join(BUILD, "tests", "helpers", "pool-worker")])
        with d.dial("s") as first, d.dial("s") as second, d.dial("s") as third:
            for s in (first, second, third):
                s.sendall(b"PROXY ")
            wait_accepted(d, "s")
            first.sendall(v1("192.0.2.1", "198.51.100.2")[6:] + b"hold\n")
            self.assertIn(b"TCPREMOTEIP=192.0.2.1\n", first.recv(2000))
            second.sendall(v1("192.0.2.2", "198.51.100.2")[6:] + b"x\n")
            third.sendall(v1("192.0.2.3", "198.51.100.2")[6:] + b"x\n")
            used = cpu_seconds(d.pid)
            second.settimeout(0.5)
            with self.assertRaises(TimeoutError):
                second.recv(1)
            second.settimeout(PATIENCE)
            self.assertLess(cpu_seconds(d.pid) - used, 0.1, "to wait costs little")
            first.close()
            self.assertIn(b"TCPREMOTEIP=192.0.2.2\n", read_all(second))
            self.assertIn(b"TCPREMOTEIP=192.0.2.3\n", read_all(third))
        self.assertEqual(d.service("s")["accepted"], 3)


class Orders(ProxyTest):
    HEADER = v1("192.0.2.1", "198.51.100.2")

    def half(self, d, n=1):
        """So many that have been accepted, and whose header is not whole."""
        found = []
        for _ in range(n):
            s = d.dial("s")
            self.addCleanup(s.close)
            s.sendall(self.HEADER[:9])
            found.append(s)
        wait_accepted(d, "s")
        return found

    def finish(self, s):
        environment, rest = converse(s, self.HEADER[9:] + DATA)
        self.assertEqual((environment["TCPREMOTEIP"], rest), ("192.0.2.1", DATA))

    def test_stop(self):
        d = self.start()
        clients = self.half(d, 3)
        d.call("Stop", services=["s"])
        for s in clients:
            self.assertEqual(read_all(s), b"")
        service = wait_accounted(d, "s", state="stopped", accepted=3)
        self.assertEqual(service["gone"], 3)
        d.call("Start", services=["s"])
        with d.dial("s") as s:
            s.sendall(self.HEADER[:9])
            self.finish(s)

    def test_drain(self):
        """Who was let in is served."""
        d = self.start()
        s, other = self.half(d, 2)
        d.mpctl("drain", "--no-wait", "s", check=0)
        self.assertEqual(d.service("s")["state"], "draining")
        self.finish(s)
        other.close()
        wait_accounted(d, "s", state="stopped", accepted=2, spawned=1, gone=1)

    def test_drain_of_a_pool(self):
        """Workers are told to end when nobody is left for them."""
        d = self.start(model="pool", pool={"handoff": "connection", "min": 1, "max": 1}, execute=["mp-echo"])
        s, other = self.half(d, 2)
        d.mpctl("drain", "--no-wait", "s", check=0)
        self.assertEqual(d.service("s")["state"], "draining")
        with s:
            self.assertEqual(exchange(s, self.HEADER[9:] + DATA), DATA)
        other.close()
        d.wait_service("s", state="stopped", accepted=2, gone=1)

    def test_pause(self):
        d = self.start()
        s, = self.half(d)
        d.call("Pause", services=["s"])
        s.sendall(self.HEADER[9:] + DATA)
        stays(lambda: d.service("s")["spawned"] == 0, "nobody is served", 0.3)
        d.call("Resume", services=["s"])
        environment, rest = read_environment(s)
        s.shutdown(socket.SHUT_WR)
        self.assertEqual((environment["TCPREMOTEIP"], rest + read_all(s)), ("192.0.2.1", DATA))
        wait_accounted(d, "s", accepted=1, spawned=1)

    def reload(self, d, config):
        d.write_config(config)
        self.assertTrue(d.call("Reload")["ok"])

    def test_reload_that_removes_it(self):
        d = self.start()
        s, late = self.half(d, 2)
        self.reload(d, {"services": {}})
        self.finish(s)
        self.assertEqual(read_all(late), b"")
        wait_until(lambda: not d.status()["services"], "it is gone")

    def test_reload_that_trusts_nobody(self):
        """What has begun goes on; who comes then is served as he is."""
        d = self.start()
        s, = self.half(d)
        port = d.port("s")
        self.reload(d, {"services": {"s": {"listen": f"tcp:127.0.0.1:{port}", "exec": ECHO}}})
        self.finish(s)
        with d.dial("s") as direct:
            self.assertEqual(converse(direct, self.HEADER)[1], self.HEADER)

    def test_reload_to_another_model(self):
        d = self.start()
        s, = self.half(d)
        port = d.port("s")
        self.reload(d, {"services": {"s": {"listen": f"tcp:127.0.0.1:{port}", "exec": ["cat"], "model": "on-demand"}}})
        self.assertEqual(read_all(s), b"")
        self.assertEqual(d.service("s")["gone"], 1)

    def test_shutdown(self):
        d = self.start()
        clients = self.half(d, 3)
        d.process.send_signal(signal.SIGTERM)
        for s in clients:
            self.assertEqual(read_all(s), b"")
        self.assertEqual(d.process.wait(PATIENCE), 0)
        self.assertEqual(len(d.log(event="gone", service="s")), 3)


@need_program("haproxy")
class Haproxy(ProxyTest):
    """Debian's haproxy in front: what it says of its clients is what the service is told."""

    def front(self, servers, mode="tcp"):
        """Starts it with a frontend for each of the servers' lines; returns the frontends' ports."""
        folder = self.temporary_folder()
        ports = [free_port() for _ in servers]
        text = f"global\n  maxconn 200\ndefaults\n  mode {mode}\n  timeout connect 10s\n  timeout client 30s\n" \
               "  timeout server 30s\n"
        for n, (port, server) in enumerate(zip(ports, servers)):
            text += f"listen f{n}\n  bind 127.0.0.1:{port}\n  server s{n} {server}\n"
        path = os.path.join(folder, "haproxy.cfg")
        with open(path, "w", encoding="utf-8") as file:
            file.write(text)
        with open(os.path.join(folder, "log"), "wb") as log:
            process = subprocess.Popen([program("haproxy"), "-db", "-f", path], stdin=subprocess.DEVNULL, stdout=log,
                                       stderr=log)
        self.addCleanup(process.wait)
        self.addCleanup(process.kill)

        def up(port):
            if process.poll() is not None:
                with open(os.path.join(folder, "log"), encoding="utf-8", errors="replace") as log:
                    raise AssertionError(f"haproxy ended: {log.read()}")
            with open("/proc/net/tcp", encoding="ascii") as table:
                return any(f":{port:04X}" in line.split()[1] and line.split()[3] == "0A" for line in list(table)[1:])
        for port in ports:
            wait_until(lambda p=port: up(p), "haproxy listens")
        return ports

    @staticmethod
    def dial_front(port, source="127.0.0.1"):
        return socket.create_connection(("127.0.0.1", port), PATIENCE, source_address=(source, 0))

    def test_versions_and_transports(self):
        d = self.daemon({"services": {
            "s": {"listen": "tcp:127.0.0.1:0", "exec": ECHO, "proxy_protocol": {"accept_from": ["127.0.0.1"]}},
            "u": {"listen": "unix:{dir}/u.sock", "exec": ECHO,
                  "proxy_protocol": {"accept_from": [f"uid:{os.getuid()}"]}}}})
        tcp, unix = f"127.0.0.1:{d.port('s')}", f"unix@{d.path('u.sock')}"
        ways = ("send-proxy", "send-proxy-v2", "send-proxy-v2 proxy-v2-options unique-id,crc32c")
        ports = self.front([f"{to} {how}" for to in (tcp, unix) for how in ways])
        for n, port in enumerate(ports):
            with self.subTest(frontend=n), self.dial_front(port, f"127.0.0.{n + 2}") as s:
                own = s.getsockname()[1]
                environment, rest = converse(s, DATA * 100)
                self.assert_peer(environment, "TCP", f"127.0.0.{n + 2}", own, "127.0.0.1", port)
                self.assertEqual(rest, DATA * 100)
                name = "s" if n < 3 else "u"
                wait_until(lambda: d.log(event="ended", service=name, peer=f"127.0.0.{n + 2}:{own}"), "its end")
        for name in ("s", "u"):
            wait_accounted(d, name, accepted=3, spawned=3)

    def test_client_that_waits(self):
        """The service may speak first: haproxy sends its header without waiting for the client."""
        d = self.start()
        port, = self.front([f"127.0.0.1:{d.port('s')} send-proxy-v2"])
        with self.dial_front(port) as s:
            self.assertEqual(read_environment(s)[0]["TCPREMOTEPORT"], str(s.getsockname()[1]))

    def test_real_peer_counts(self):
        d = self.start(access={"deny": ["127.0.0.9"]}, limits={"per_source": 1})
        port, = self.front([f"127.0.0.1:{d.port('s')} send-proxy-v2"])
        with self.dial_front(port, "127.0.0.2") as first:
            read_environment(first)
            for source in ("127.0.0.2", "127.0.0.9"):
                with self.dial_front(port, source) as s:
                    self.assertEqual(read_all(s), b"", source)
            with self.dial_front(port, "127.0.0.3") as s:
                self.assertEqual(converse(s, b"x")[1], b"x")
            self.assertTrue(d.instances("s")[0]["peer"].startswith("127.0.0.2:"))
        service = wait_accounted(d, "s", accepted=4)
        self.assertEqual((service["refused"]["access"], service["refused"]["per_source"]), (1, 1))
        refused = {entry["reason"]: entry["peer"] for entry in d.log(event="refused", service="s")}
        self.assertTrue(refused["access"].startswith("127.0.0.9:"), refused)
        self.assertTrue(refused["per_source"].startswith("127.0.0.2:"), refused)

    def test_health_checks(self):
        """They come as LOCAL, are served as the proxy's own, and find the service up."""
        d = self.start(execute=["mp-echo"])
        port, = self.front([f"127.0.0.1:{d.port('s')} send-proxy-v2 check check-send-proxy inter 100ms"])
        wait_until(lambda: d.service("s")["accepted"] >= 3, "health checks")
        with self.dial_front(port) as s:
            s.sendall(DATA)
            s.shutdown(socket.SHUT_WR)
            self.assertEqual(read_all(s), DATA)
        self.assertEqual(d.service("s")["refused"]["proxy"], 0)

    def test_proxy_that_forgot_its_header(self):
        """Nobody gets through as the proxy."""
        d = self.start()
        port, = self.front([f"127.0.0.1:{d.port('s')}"])
        with self.dial_front(port) as s:
            s.sendall(DATA)
            self.assertEqual(read_all(s), b"")
        self.assertIn("no header of the PROXY protocol", d.wait_log(event="refused", reason="proxy")[0]["message"])

    def test_many(self):
        d = self.start(limits={"instances": 20})
        ports = self.front([f"127.0.0.1:{d.port('s')} {how}" for how in ("send-proxy", "send-proxy-v2")])
        for batch in range(5):
            with contextlib.ExitStack() as stack:
                clients = [stack.enter_context(self.dial_front(ports[n % 2])) for n in range(30)]
                for s in clients:
                    s.sendall(b"x")
                    s.shutdown(socket.SHUT_WR)
                for s in clients:
                    environment, rest = read_environment(s)
                    self.assertEqual(environment["TCPREMOTEPORT"], str(s.getsockname()[1]), batch)
                    self.assertEqual(rest + read_all(s), b"x")
        wait_accounted(d, "s", accepted=150, spawned=150)


if __name__ == "__main__":
    unittest.main()
