# SPDX-License-Identifier: MIT
"""Clients of the control socket that do not mean well. Whatever they do costs them their connection, and nobody else
anything: during each case a canary is a client of a service and of the control socket (strain.py)."""
import contextlib
import json
import os
import random
import select
import signal
import socket
import struct
import time
import unittest

from harness import (PATIENCE, SANITIZED, SLOW, DaemonTest, User, Varlink, connections_to, need_root, stays, wait_until)
from strain import MEMORY_KIB, Strain
from varlink_idl import introspect

CONTROL = "dev.mpinetd.Control."
SERVICE = "org.varlink.service."
REQUEST_MAX = 65536
DEPTH_MAX = 16
LOOKER = User(54321)
# Every number of a case that only has to be large is divided by this.
LESS = 4 if SANITIZED else 1


def message(method, parameters=None, **flags):
    return json.dumps({"method": method if "." in method else CONTROL + method, "parameters": parameters or {},
                       **flags}).encode() + b"\0"


PING = message("Ping")


def padded(length):
    """A Ping whose message has so many bytes."""
    text = PING[:-1]
    return text[:-1] + b" " * (length - len(text)) + text[-1:]


def nested(depth):
    """A call that is nested so deep, its own braces counted: lists in an unknown parameter."""
    inner = depth - 2
    return (b'{"method":"' + CONTROL.encode() + b'Ping","parameters":{"a":' + b"[" * inner + b"]" * inner + b"}}\0")


def open_at(path, timeout=PATIENCE):
    """Waits for a place in the queue, as mpctl does; without the option a full queue would be an error."""
    s = socket.socket(socket.AF_UNIX)
    s.setsockopt(socket.SOL_SOCKET, socket.SO_SNDTIMEO, struct.pack("ll", int(timeout), 0))
    s.connect(path)
    s.settimeout(timeout)
    return s


def push(s, data):
    """Sends as much as the other side takes; False when it has closed."""
    try:
        s.sendall(data)
    except (BrokenPipeError, ConnectionResetError):
        return False
    return True


def drain(s):
    """All until the other side closes."""
    parts = []
    with contextlib.suppress(ConnectionResetError):
        while part := s.recv(65536):
            parts.append(part)
    return b"".join(parts)


def replies(data):
    return [json.loads(part) for part in data.split(b"\0") if part]


class AbuseTest(DaemonTest):
    weight = 5
    services = {}

    def setUp(self):
        self.d = self.daemon({"control": {"mode": "0666"}, "services": {
            "canary": {"listen": "tcp:127.0.0.1:0", "exec": ["mp-echo"]},
            "echo": {"listen": "tcp:127.0.0.1:0", "exec": ["mp-echo"], "timeouts": {"stop": "1s"}},
            "udp": {"listen": "udp:127.0.0.1:0", "exec": ["mp-echo"]}, **self.services}})

    def open(self):
        s = open_at(self.d.socket)
        self.addCleanup(s.close)
        return s

    def closes(self, *parts):
        """Sends the parts; the daemon closes, and these are its replies."""
        s = self.open()
        for part in parts:
            if not push(s, part):
                break
        found = replies(drain(s))
        s.close()
        return found

    def serves(self, s, buffer=b""):
        """A Ping on that connection is answered."""
        s.sendall(PING)
        while b"\0" not in buffer:
            data = s.recv(65536)
            self.assertTrue(data, "the connection was closed")
            buffer += data
        self.assertEqual(json.loads(buffer.split(b"\0")[0])["parameters"]["pid"], self.d.pid)


class Bytes(AbuseTest):
    """What is no request at all, or hardly one (CT-1, 3, 9, 10)."""

    def test_nothing_at_all(self):
        with Strain(self, self.d):
            for _ in range(300 // LESS):
                with self.open() as s:
                    s.shutdown(socket.SHUT_WR)
                    self.assertEqual(drain(s), b"")

    def test_garbage(self):
        source = random.Random(11)
        with Strain(self, self.d):
            for text in (b"\0", b"\0" * 1000000, b"\n" * 1000000, b"\n\0", b"\0" + PING, b" \0", source.randbytes(1000000),
                         b"\xef\xbb\xbf" + PING, b"GET / HTTP/1.0\r\n\r\n" * 5000, b"\x7fELF" + bytes(5000)):
                with self.subTest(text=text[:20], length=len(text)):
                    self.assertEqual(self.closes(text), [])
            for _ in range(50):
                self.closes(source.randbytes(source.randint(1, 3000)) + b"\0")

    def test_garbage_behind_a_request_leaves_its_reply(self):
        found = self.closes(PING * 3 + b"nonsense\0" + PING)
        self.assertEqual([r["parameters"]["pid"] for r in found], [self.d.pid] * 3)

    def test_length(self):
        with Strain(self, self.d):
            for length in (REQUEST_MAX - 1, REQUEST_MAX):
                s = self.open()
                s.sendall(padded(length) + b"\0")
                self.serves(s)
                s.close()
            for text in (padded(REQUEST_MAX + 1) + b"\0", padded(REQUEST_MAX + 1), padded(REQUEST_MAX) + b" "):
                self.assertEqual(self.closes(text), [])

    def test_what_never_ends(self):
        """Refused while it is read, not when it is there."""
        with Strain(self, self.d):
            for byte in (b"x", b"[", b'"', b" "):
                s = self.open()
                sent = 0
                while sent < 1 << 30 and push(s, byte * 65536):
                    sent += 65536
                self.assertLess(sent, 2 << 20)
                s.close()

    def test_depth(self):
        with Strain(self, self.d):
            for depth in (DEPTH_MAX - 1, DEPTH_MAX):
                with self.d.connect() as control:
                    control.socket.sendall(nested(depth))
                    self.assertEqual(control.receive()["parameters"], {"parameter": "a"})
            for depth in (DEPTH_MAX + 1, 1000, 30000, 1000000):
                self.assertEqual(self.closes(nested(depth)), [], depth)
            # Brackets in strings are no depth.
            with self.d.connect() as control:
                self.assertEqual(control.call("Status", services=["*"])["api"], 1)
                with self.assertRaises(Exception) as caught:
                    control.call("Describe", service="[{" * 1000 + '\\"[[')
                self.assertEqual(caught.exception.name, CONTROL + "NoSuchService")

    def test_what_is_json(self):
        """What is taken, and what is refused, and that nothing is cut at a NUL."""
        def describe(service):
            return b'{"method":"' + CONTROL.encode() + b'Describe","parameters":{"service":' + service + b"}}\0"

        def events(last):
            return b'{"method":"' + CONTROL.encode() + b'Events","parameters":{"last":' + last + b"}}\0"
        no_service, bad_parameter = CONTROL + "NoSuchService", SERVICE + "InvalidParameter"
        for text, expected in (
                (describe(b'"\xc3\xa9"'), no_service), (describe(b'"\\u00e9"'), no_service),
                (describe(b'"\\ud83d\\ude00"'), no_service), (describe(b'"a\\nb\\u0001"'), no_service),
                (describe(b'"\xff"'), None), (describe(b'"\xc0\x80"'), None), (describe(b'"\xed\xa0\x80"'), None),
                (describe(b'"\xf5\x80\x80\x80"'), None), (describe(b'"\\ud800"'), None), (describe(b'"\\udc00a"'), None),
                (describe(b'"echo\\u0000"'), None), (describe(b'"a\nb"'), None), (describe(b"'echo'"), None),
                (describe(b'"echo",'), None), (describe(b'"echo","service":"echo"'), None),
                (events(b"1e999"), None), (events(b"18446744073709551616"), None), (events(b"9223372036854775808"), None),
                (events(b"9223372036854775807"), "ok"), (events(b"9007199254740993"), "ok"), (events(b"-0"), "ok"),
                (events(b"-1"), bad_parameter), (events(b"1.0"), bad_parameter), (events(b"1e3"), bad_parameter),
                (events(b"NaN"), None), (events(b"Infinity"), None), (events(b"01"), None), (events(b"+1"), None),
                (events(b"0x10"), None), (events(b"null"), "ok"), (events(b"true"), bad_parameter),
                (PING[:-1] + PING, None), (b"//x\n" + PING, None), (b"[" + PING[:-1] + b"]\0", None)):
            with self.subTest(text=text):
                s = self.open()
                s.sendall(text)
                s.shutdown(socket.SHUT_WR)
                found = replies(drain(s))
                s.close()
                self.assertEqual([r.get("error", "ok") for r in found], [expected] if expected else [])

    def test_split_anywhere(self):
        """Two requests in two parts, cut behind every byte."""
        text = message("Describe", {"service": "echo"}) + PING
        with Strain(self, self.d):
            for at in range(1, len(text)):
                with self.open() as s:
                    s.sendall(text[:at])
                    time.sleep(0.001)
                    s.sendall(text[at:])
                    s.shutdown(socket.SHUT_WR)
                    found = replies(drain(s))
                    self.assertEqual(len(found), 2, at)
                    self.assertEqual(found[0]["parameters"]["service"]["name"], "echo")
                    self.assertEqual(found[1]["parameters"]["pid"], self.d.pid)

    def test_random_splits_of_a_long_conversation(self):
        source = random.Random(23)
        text = b"".join(message(SERVICE + "GetInterfaceDescription", {"interface": f"no.such{i}"}) for i in range(500))
        with Strain(self, self.d), self.open() as s:
            got, at = b"", 0
            while at < len(text):
                n = source.choice((1, 2, 50, 130, 5000))
                s.sendall(text[at:at + n])
                at += n
                while select.select([s], [], [], 0)[0]:
                    got += s.recv(1 << 20)
            s.shutdown(socket.SHUT_WR)
            found = replies(got + drain(s))
        self.assertEqual([r["parameters"]["interface"] for r in found], [f"no.such{i}" for i in range(500)])


class Pace(AbuseTest):
    """Too much, too slow, or nothing (CT-4, 5, 6)."""

    def fill(self, s, text):
        """Pipelines copies of text until nothing more is taken; how many went out whole."""
        s.settimeout(0.7)
        block, sent = text * 100, 0
        while sent < 100000:
            try:
                s.sendall(block)
            except TimeoutError:
                return sent
            sent += 100
        return sent

    def test_many_requests_whose_replies_nobody_reads(self):
        for text in (PING, message("Status")):
            with Strain(self, self.d):
                held = [self.open() for _ in range(5)]
                counts = [self.fill(s, text) for s in held]
                self.assertTrue(all(n < 50000 for n in counts), counts)
                for s in held:
                    s.close()

    def test_reader_that_comes_back(self):
        """Not one reply is lost, doubled or out of its place."""
        with Strain(self, self.d), self.open() as s:
            n, block = 0, b""
            s.settimeout(0.7)
            with contextlib.suppress(TimeoutError):
                while True:
                    block = b"".join(message("Describe", {"service": f"no-{n + i}"}) for i in range(10))
                    s.sendall(block)
                    n += 10
            s.settimeout(PATIENCE)
            got = b""
            while got.count(b"\0") < n:
                data = s.recv(1 << 20)
                self.assertTrue(data)
                got += data
            whole = got.split(b"\0")
            self.assertEqual([json.loads(text)["parameters"]["service"] for text in whole[:n]],
                             [f"no-{i}" for i in range(n)])

    def test_readers_of_lists_that_do_not_read(self):
        with Strain(self, self.d):
            held = []
            for method, parameters in (("Events", {"last": 1000}), ("Instances", {}), ("Metrics", {}), ("GetConfig", {})):
                for _ in range(10):
                    held.append(self.open())
                    held[-1].sendall(message(method, parameters, more=True) * 20)
            time.sleep(1)
            for s in held:
                s.close()

    def test_follower_that_does_not_read_is_dropped(self):
        """Or the daemon would keep for it all that happens."""
        with Strain(self, self.d):
            s = self.open()
            s.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
            s.sendall(message("Events", {"last": 0}, more=True))
            with self.d.connect() as control:
                for _ in range(1500):
                    control.call("Stop", services=["udp"])
                    control.call("Start", services=["udp"])
            s.close()

    def test_idle_clients(self):
        with Strain(self, self.d):
            held = [self.open() for _ in range(50)]
            self.assertEqual(self.d.call("Ping")["pid"], self.d.pid)
            time.sleep(1)
            for s in held:
                self.serves(s)
                s.close()

    def test_a_byte_at_a_time(self):
        """Fifty of them, each with a request that takes a while to be told."""
        text = message("Describe", {"service": "echo"})
        with Strain(self, self.d):
            held = [self.open() for _ in range(50)]
            for byte in text:
                for s in held:
                    s.sendall(bytes([byte]))
            for s in held:
                s.shutdown(socket.SHUT_WR)
                self.assertEqual(replies(drain(s))[0]["parameters"]["service"]["name"], "echo")
                s.close()

    @unittest.skipUnless(SLOW, "takes a minute: MP_TEST_SLOW=1")
    def test_a_request_begun_has_30_seconds(self):
        with Strain(self, self.d):
            idle, begun, slow, behind = self.open(), self.open(), self.open(), self.open()
            start = time.monotonic()
            begun.sendall(PING[:20])
            # Begun while another one was answered, in parts or by waiting.
            behind.sendall(message("Status") + message("Stop", {"services": ["udp"]}) + PING[:20])
            for byte in (message("Ping") + b" " * 100)[:60]:
                if not push(slow, bytes([byte or 32])):
                    break
                time.sleep(0.5)
            begun.settimeout(10)
            self.assertEqual(drain(begun), b"")
            self.assertTrue(29 <= time.monotonic() - start <= 40, time.monotonic() - start)
            for s, number in ((slow, 0), (behind, 2)):
                s.settimeout(10)
                self.assertEqual(len(replies(drain(s))), number)
            self.serves(idle)
            for s in (idle, begun, slow, behind):
                s.close()

    @unittest.skipUnless(SLOW, "takes a minute: MP_TEST_SLOW=1")
    def test_who_does_not_read_is_let_go_in_the_end(self):
        """What waits for it would be kept for ever."""
        with Strain(self, self.d):
            held = [self.open() for _ in range(3)]
            for s, text in zip(held, (message("Status"), PING, message("Instances", more=True))):
                self.fill(s, text)
            gone = select.poll()
            for s in held:
                gone.register(s, select.POLLHUP | select.POLLERR)
            wait_until(lambda: len(gone.poll(0)) == len(held), "all of them to be let go", deadline=45, interval=0.5)
            for s in held:
                s.close()


class Places(AbuseTest):
    """How many connections there may be (CT-5)."""

    @staticmethod
    def crowd(path, number):
        """Opens so many, and says how many of them are answered."""
        held, served = [], 0
        for _ in range(number):
            with contextlib.suppress(OSError):
                held.append(open_at(path, 5))
        for s in held:
            with contextlib.suppress(OSError):
                s.sendall(PING)
                served += bool(s.recv(65536))
        return served

    @staticmethod
    def hold(path, number, seconds):
        held = []
        for _ in range(number):
            with contextlib.suppress(OSError):
                held.append(open_at(path, 5))
        time.sleep(seconds)
        return len(held)

    @need_root
    def test_of_one_user(self):
        with Strain(self, self.d):
            self.assertEqual(LOOKER.run(self.crowd, self.d.socket, 150), 64)
        # And all places are free again.
        self.assertEqual(LOOKER.run(self.crowd, self.d.socket, 64), 64)

    @need_root
    def test_of_many_users(self):
        """However many they are, some places stay for those who may change things."""
        with Strain(self, self.d):
            crowds = [User(54000 + i).start(self.hold, self.d.socket, 80, 3) for i in range(6)]
            time.sleep(1.5)
            with contextlib.ExitStack() as stack:
                for _ in range(30):
                    self.assertEqual(stack.enter_context(self.d.connect()).call("Ping")["pid"], self.d.pid)
            for process, pipe in crowds:
                process.join(PATIENCE)
                pipe.close()

    @staticmethod
    def come_and_go(path, number):
        for _ in range(number):
            s = open_at(path)
            s.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            s.close()

    def test_flood_of_connections(self):
        """Those who come behind them are served soon all the same."""
        with Strain(self, self.d):
            self.come_and_go(self.d.socket, 8000 // LESS)

    @need_root
    def test_users_who_come_and_go(self):
        with Strain(self, self.d):
            crowds = [User(54000 + i).start(self.come_and_go, self.d.socket, 3000 // LESS) for i in range(3)]
            for process, pipe in crowds:
                process.join(3 * PATIENCE)
                self.assertEqual(pipe.recv(), (True, None))


class Leaving(AbuseTest):
    """Clients that go while something is done for them (CT-7, 8, 18)."""

    def test_in_the_midst(self):
        source = random.Random(5)
        calls = [message("Stop", {"services": ["echo"]}), message("Stop", {"services": ["echo"]}, more=True),
                 message("Start", {"services": ["echo"]}), message("Reload"), message("Events", {"last": 5}, more=True),
                 message("Instances", more=True), message("Status"), message("CheckConfig"), message("Metrics", more=True),
                 message("Restart", {"services": ["echo"]}, more=True), message("Drain", {"services": ["echo"]}, more=True),
                 message("GetConfig", {"origin": True}, more=True)]
        with Strain(self, self.d):
            for _ in range(400 // LESS):
                s = open_at(self.d.socket)
                text = source.choice(calls) + source.choice(calls)
                push(s, text[:source.choice((len(text), len(text), source.randint(1, len(text))))])
                if source.random() < 0.5:
                    time.sleep(source.random() * 0.005)
                if source.random() < 0.3:
                    s.shutdown(source.choice((socket.SHUT_RD, socket.SHUT_WR, socket.SHUT_RDWR)))
                s.close()
        self.d.call("Start", services=["echo"])
        self.assertEqual(self.d.ask("echo", b"x"), b"x")

    def test_while_it_waits(self):
        """A stop that takes its time: who asked is gone, the stop goes on, the place is free at once."""
        self.d.write_config({"control": {"mode": "0666"}, "services": {
            "canary": {"listen": f"tcp:127.0.0.1:{self.d.port('canary')}", "exec": ["mp-echo"]},
            "stubborn": {"listen": "tcp:127.0.0.1:0", "exec": ["{bad-child}", "hang"], "timeouts": {"stop": "8s"}}}})
        self.d.call("Reload")
        with self.d.dial("stubborn") as held:
            self.assertEqual(held.recv(64), b"hanging\n")
            with Strain(self, self.d):
                for more in (False, True):
                    s = self.open()
                    s.sendall(message("Stop", {"services": ["stubborn"]}, more=more))
                    wait_until(lambda: connections_to(self.d.socket) >= 1, "the connection")
                    time.sleep(0.1)
                    s.close()
                # The canary's come and go meanwhile.
                wait_until(lambda: connections_to(self.d.socket) == 0, "the end of those connections", interval=0.001)
                self.assertEqual(len(self.d.instances("stubborn")), 1)
                wait_until(lambda: self.d.service("stubborn")["state"] == "stopped", "the stop, which goes on",
                           deadline=2 * PATIENCE)

    def test_half_closed(self):
        """What was asked is answered to the end, then the daemon closes."""
        with Strain(self, self.d):
            for _ in range(50):
                with self.open() as s:
                    s.sendall(PING * 20 + message("Stop", {"services": ["udp"]}) + message("Start", {"services": ["udp"]}) +
                              PING[:-10])
                    s.shutdown(socket.SHUT_WR)
                    found = replies(drain(s))
                    self.assertEqual([r.get("error") for r in found], [None] * 22)

    def test_follower_half_closed(self):
        """It listens on."""
        with self.open() as s:
            s.sendall(message("Events", {"last": 0}, more=True))
            s.shutdown(socket.SHUT_WR)
            self.assertTrue(s.recv(65536))
            self.d.call("Stop", services=["udp"])
            self.assertIn(b"udp", s.recv(65536))

    def test_oneway_calls_of_who_has_gone(self):
        """They were sent whole, and wait for nobody."""
        self.d.call("Stop", services=["echo", "udp"])
        os.kill(self.d.pid, signal.SIGSTOP)
        with self.open() as s:
            for name in ("echo", "udp", "udp"):
                s.sendall(message("Start", {"services": [name]}, oneway=True))
        os.kill(self.d.pid, signal.SIGCONT)
        for name in ("echo", "udp"):
            wait_until(lambda: self.d.service(name)["state"] == "listening", name)

    def test_smuggled_descriptors(self):
        null = os.open("/dev/null", os.O_RDONLY)
        self.addCleanup(os.close, null)
        with Strain(self, self.d):
            before = len(self.d.quiet_descriptors())
            for i in range(100):
                with self.open() as s:
                    try:
                        socket.send_fds(s, [PING if i % 2 else b"garbage\0"], [null] * 253)
                        self.assertEqual(drain(s), b"")
                    except PermissionError:
                        # From Linux 6.16 on they cannot be sent, and nothing has happened.
                        s.sendall(PING)
                        self.assertIn(b"pid", s.recv(65536))
            wait_until(lambda: len(self.d.quiet_descriptors()) <= before, "what was smuggled in is closed")


def samples(name, kind, interface):
    """A right value of a parameter, by its name where that says more than its type."""
    known = {"interface": "org.varlink.service", "service": "echo", "services": ["echo"], "signal": "SIGCONT", "last": 1,
             "limits": {"instances": 10}, "source": "192.0.2.0/24", "pid": 2 ** 22 + 7, "origin": True}
    if name in known:
        return known[name]
    kind = interface.types[kind.name] if kind.kind == "name" else kind
    return {"string": "x", "int": 1, "float": 1.5, "bool": True, "array": [], "map": {}, "object": {},
            "enum": kind.words[0] if kind.words else ""}[kind.kind]


WRONG = {"string": [1, 1.5, True, [], {}, ["echo"]], "int": ["1", 1.5, True, [], {}], "bool": [0, 1, "true", [], {}],
         "float": ["1", True, [], {}], "array": ["echo", 1, True, {}, [1], [None], [["echo"]], [{}], ["echo", 2]],
         "object": [True, []]}


class Parameters(AbuseTest):
    """Of every method, generated from what the daemon says of itself (CT-12, 13, 14)."""

    def setUp(self):
        super().setUp()
        self.interfaces = introspect(self.d)

    def methods(self):
        for interface in self.interfaces.values():
            for method in interface.methods.values():
                yield interface, method, f"{interface.name}.{method.name}"

    @staticmethod
    def required(interface, method):
        return {name: samples(name, kind, interface) for name, kind in method.inputs.fields.items() if not kind.nullable}

    def is_invalid(self, control, method, parameters, named):
        control.send(method, parameters)
        reply = control.receive()
        self.assertEqual((reply.get("error"), reply.get("parameters")),
                         (SERVICE + "InvalidParameter", {"parameter": named}), (method, parameters))

    def test_wrong_ones(self):
        with Strain(self, self.d), self.d.connect() as control:
            for interface, method, name in self.methods():
                right = self.required(interface, method)
                self.is_invalid(control, name, {**right, "no_such_parameter": 1}, "no_such_parameter")
                for parameter, kind in method.inputs.fields.items():
                    wrong = WRONG[kind.kind] + ([] if kind.nullable else [None])
                    for value in wrong:
                        self.is_invalid(control, name, {**right, parameter: value}, parameter)
                    if not kind.nullable:
                        self.is_invalid(control, name, {k: v for k, v in right.items() if k != parameter}, parameter)

    def test_parameters_that_are_no_object(self):
        with Strain(self, self.d):
            for _, _, name in self.methods():
                for value in (b"[]", b"7", b'"x"', b"true"):
                    self.assertEqual(self.closes(b'{"method":"' + name.encode() + b'","parameters":' + value + b"}\0"), [])

    def test_null_is_absent(self):
        with self.d.connect() as control:
            control.socket.sendall(b'{"method":"' + CONTROL.encode() + b'Ping","parameters":null}\0')
            self.assertIn("pid", control.receive()["parameters"])
            for interface, method, name in self.methods():
                nulls = {p: None for p, kind in method.inputs.fields.items() if kind.nullable}
                if nulls and name != CONTROL + "Signal":
                    control.send(name, {**self.required(interface, method), **nulls})
                    self.assertNotIn("error", control.receive(), name)

    def test_methods_that_are_not_there(self):
        with Strain(self, self.d), self.d.connect() as control:
            for name in ("", ".", "..", "x", "Ping", "dev.mpinetd.Control", CONTROL, CONTROL + "ping", CONTROL + "Ping ",
                         CONTROL + "Ping.Ping", CONTROL + "__class__", CONTROL + "Quit", "dev.mpinetd.Other.Ping",
                         CONTROL + "Ping\n", CONTROL + "é", CONTROL + "P" * 30000, "%s%n", "\x1b[2J.X"):
                control.socket.sendall(json.dumps({"method": name}).encode() + b"\0")
                reply = control.receive()
                self.assertEqual((reply["error"], reply["parameters"]), (SERVICE + "MethodNotFound", {"method": name}))

    def test_everything_described_is_there(self):
        for interface, method, name in self.methods():
            if name != CONTROL + "Shutdown":
                with self.subTest(method=name), self.d.connect() as control:
                    control.send(name, self.required(interface, method))
                    error = control.receive().get("error")
                    self.assertNotIn(error, (SERVICE + "MethodNotFound", SERVICE + "MethodNotImplemented"))

    def test_oneway(self):
        """No answer to any of them, right or wrong, but to the call behind it."""
        with Strain(self, self.d), self.d.connect() as control:
            for interface, method, name in self.methods():
                right = self.required(interface, method)
                if name != CONTROL + "Shutdown":
                    control.send(name, right, oneway=True)
                control.send(name, {**right, "no_such_parameter": 1}, oneway=True)
                control.send(name + "X", right, oneway=True)
                self.assertEqual(control.call("Ping")["pid"], self.d.pid, name)
            self.d.call("Start", services=["*"])

    def test_more(self):
        """Each ends by itself, but for Events; replies are of the type described."""
        for interface, method, name in self.methods():
            if name == CONTROL + "Shutdown":
                continue
            with self.subTest(method=name), self.d.connect() as control:
                control.send(name, self.required(interface, method), more=True)
                while True:
                    reply = control.receive()
                    self.assertLessEqual(set(reply), {"parameters", "continues", "error"})
                    if "error" in reply:
                        self.assertNotIn("continues", reply)
                    else:
                        self.assertEqual(interface.problems(method.outputs, reply["parameters"], name), [])
                    if not reply.get("continues") or method.name == "Events":
                        break

    def test_flags(self):
        with Strain(self, self.d):
            for _, _, name in self.methods():
                for flags in ({"more": True, "oneway": True}, {"upgrade": True}, {"more": 1}, {"oneway": "yes"},
                              {"more": None}, {"continues": True}, {"error": "x"}, {"id": 1}):
                    text = json.dumps({"method": name, "parameters": {}, **flags}).encode() + b"\0"
                    self.assertEqual(self.closes(text), [], (name, flags))

    NAMES = ("", ".", "..", "../x", "/etc/passwd", "echo/", "echo ", " echo", "ECHO", "a\nb", "\x1b]0;title\x07", "\x9b2J",
             "\u202eohce", "%s%n%n", "$(reboot)", "`id`", "{dir}", "x" * 10000, "é" * 5000, "-rf", "--help", "null",
             "\U0001f600", "echo\u0301", "[", "[!", "[[:alpha:]", "[]", "{a,b}", "\\", "e\\cho\\")

    def test_names(self):
        """Nobody has such a name: it comes back as it was, and only escaped in the log."""
        with Strain(self, self.d), self.d.connect() as control:
            for interface, method, name in self.methods():
                for parameter, kind in method.inputs.fields.items():
                    if parameter not in ("service", "services", "source", "signal", "interface"):
                        continue
                    right = {**self.required(interface, method)}
                    if method.name == "Signal":
                        right["signal"] = "SIGCONT"
                        if parameter == "signal":
                            right["service"] = "echo"
                    for value in self.NAMES:
                        control.send(name, {**right, parameter: [value] if kind.kind == "array" else value})
                        reply = control.receive()
                        self.assertIn("error", reply, (name, parameter, value))
                        if reply["error"] == CONTROL + "NoSuchService":
                            self.assertEqual(reply["parameters"]["service"], value)
            self.assertEqual(self.d.service("echo")["state"], "listening")

    def test_names_in_the_terminal(self):
        """mpctl shows what it was given escaped, and says that there is no such service."""
        for name in ("\x1b[31mred", "a\nb", "\x9b2J", "\x07"):
            run = self.d.mpctl("status", name, check=4)
            self.assertTrue(all(c.isprintable() or c == "\n" for c in run.stderr), ascii(run.stderr))
            self.assertNotIn("\x1b", run.stdout + run.stderr)


class Work(AbuseTest):
    """Calls that cost the daemon more than the client, by one who may only look: others are served between them."""
    services = {f"s{i:03}": {"listen": f"unix:{{dir}}/s{i}.sock", "exec": ["mp-echo"]} for i in range(300)}

    @staticmethod
    def repeat(path, text, connections, seconds):
        held = [open_at(path) for _ in range(connections)]
        end, done = time.monotonic() + seconds, 0
        while time.monotonic() < end:
            for s in held:
                s.sendall(text)
            for s in held:
                while not (data := s.recv(1 << 20)).endswith(b"\0"):
                    if not data:
                        raise ConnectionError("closed")
                done += 1
        return done

    def flood(self, text, connections=4, **limits):
        with Strain(self, self.d, **limits):
            if os.geteuid() == 0:
                LOOKER.run(self.repeat, self.d.socket, text, connections, 2)
            else:
                self.repeat(self.d.socket, text, connections, 2)

    def test_status(self):
        self.flood(message("Status"))

    def test_check_config(self):
        self.flood(message("CheckConfig"))

    def test_metrics_and_config(self):
        self.flood(message("Metrics"))
        self.flood(message("GetConfig", {"origin": True}))

    def test_patterns(self):
        """As many globs as a request can hold, each of which matches the last service only."""
        self.flood(message("Status", {"services": ["?29[!0-8]"] * 5000}), connections=1)
        self.flood(message("Status", {"services": ["s299"] * 7000}), connections=1)
        self.flood(message("Status", {"services": ["*" * 1000 + "s299"] * 50}), connections=1)
        self.flood(message("Status", {"services": ["*s*2*9*9*"] * 4000}), connections=1)

    def test_many_at_once(self):
        """Memory that was needed once may be kept for the next time, but no more the next time."""
        self.flood(message("Status") * 5, connections=60, memory_kib=MEMORY_KIB + (64 << 10))
        self.flood(message("Status") * 5, connections=60)


class Refused(AbuseTest):
    """Changing calls of one who may not: told, but the log and the events are not theirs (INV-9)."""

    @staticmethod
    def ask(path, texts):
        with open_at(path) as s:
            got = 0
            for text in texts:
                s.sendall(text * 50)
                wanted = got + 50
                while got < wanted:
                    data = s.recv(1 << 20)
                    if not data:
                        raise ConnectionError("closed")
                    got += data.count(b"\0")
            return got

    @need_root
    def test_flood(self):
        self.d.ask("echo", b"x")
        number = 10000 // LESS
        with Strain(self, self.d) as strain:
            got = LOOKER.run(self.ask, self.d.socket, [message("Stop", {"services": ["echo"]})] * (number // 50))
        self.assertEqual(got, number)
        self.assertEqual(self.d.service("echo")["state"], "listening")
        told = [e for e in self.d.log(event="control") if "54321" in e.get("message", "")]
        self.assertGreater(len(told), 0, "it is told at all")
        self.assertLess(len(told), 100 + 15 * strain.seconds, "log lines of refused calls")
        # What else happened can still be seen.
        events = [e["event"] for e in self.d.call("Events", last=100000)["events"] if e["service"] == "echo"]
        self.assertIn("ended", events, "the refused calls have pushed the other events out")

    @need_root
    def test_what_was_left_out_is_counted(self):
        """The line that comes when it is quiet again says how many."""
        LOOKER.run(self.ask, self.d.socket, [message("Reload")] * 20)
        wait_until(lambda: [e for e in self.d.log(event="control") if "suppressed" in json.dumps(e) or "more" in
                            e.get("message", "") or "left out" in e.get("message", "")],
                   "a line with the number of those left out", deadline=5)

    @need_root
    def test_of_a_manager_are_all_told(self):
        """Audit is complete for what is done."""
        with self.d.connect() as control:
            for _ in range(150):
                control.call("Stop", services=["udp"])
        def told():
            return len([e for e in self.d.log(event="control") if "stop" in e.get("message", "").lower()])
        wait_until(lambda: told() >= 150, "all of them in the log")
        self.assertEqual(told(), 150)
        stays(lambda: self.d.service("udp")["state"] == "stopped", "the stop", 0.2)


if __name__ == "__main__":
    unittest.main()
