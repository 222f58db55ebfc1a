# SPDX-License-Identifier: MIT
"""model: forward, to somebody else's backend and to one of its own that runs only while somebody is there."""

import contextlib
import os
import random
import signal
import socket
import struct
import sys
import threading
import time
import unittest

from harness import DaemonTest, free_port, process_alive, SANITIZED, stays, wait_until
from test_mp_forward import address_text, Backend, MIB, pattern_digest, receive_digest, send_pattern
from test_services import DEADLINE, read_all, read_exactly

# A backend of its own, in Python: it listens on the address of its argument, and echoes. Words behind that say how it
# behaves: how it tells that it is ready, how long it takes to listen, when it dies.
BACKEND = r"""
import os, socket, sys, threading, time
def option(name, otherwise=None):
    return next((a.split("=", 1)[1] for a in sys.argv[2:] if a.startswith(name + "=")), otherwise)
kind, _, where = sys.argv[1].partition(":")
if option("fail-file"):
    with open(option("fail-file"), "a+") as file:
        file.write("x")
        file.seek(0)
        if len(file.read()) <= int(option("fail-times", "1000000")):
            sys.exit(3)
time.sleep(float(option("late", "0")))
while option("go") and not os.path.exists(option("go")):
    time.sleep(0.01)
if kind.startswith("unix"):
    server = socket.socket(socket.AF_UNIX, {"unix": socket.SOCK_STREAM, "unix-dgram": socket.SOCK_DGRAM,
                                            "unix-seqpacket": socket.SOCK_SEQPACKET}[kind])
    if os.path.exists(where):
        os.unlink(where)
    address = where
else:
    server = socket.socket(socket.AF_INET, socket.SOCK_DGRAM if kind == "udp" else socket.SOCK_STREAM)
    host, _, port = where.rpartition(":")
    address = (host, int(port))
    server.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
server.bind(address)
def say(line):
    if option("notify") == "status":
        os.write(int(os.environ["MP_STATUS_FD"]), line.encode() + b"\n")
    elif option("notify") == "sd_notify":
        name = os.environ["NOTIFY_SOCKET"]
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as s:
            s.sendto(line.encode(), "\0" + name[1:] if name[0] == "@" else name)
if kind in ("udp", "unix-dgram"):
    say("READY=1")
    while True:
        data, peer = server.recvfrom(65536)
        server.sendto(data, peer)
def one(c):
    with c:
        while True:
            data = c.recv(65536)
            if not data:
                return
            if data == b"pid":
                data = str(os.getpid()).encode()
            elif data == b"environment":
                data = repr(sorted(os.environ.items())).encode()
            elif data == b"connections":
                data = str(connections).encode()
            elif data == b"die":
                os._exit(5)
            c.sendall(data)
if option("listen-late"):
    time.sleep(float(option("listen-late")))
server.listen(4096)
time.sleep(float(option("ready-late", "0")))
if not option("never"):
    say("READY=1")
sys.stderr.write("listening\n")
connections = 0
while True:
    c, _ = server.accept()
    connections += 1
    threading.Thread(target=one, args=(c,), daemon=True).start()
"""


class ForwardTest(DaemonTest):
    def forward(self, to, listen="tcp:127.0.0.1:0", **keys):
        return self.daemon({"services": {"f": {"listen": listen, "model": "forward", "to": to, **keys}}})

    def program(self, to, *options):
        return [sys.executable, "-c", BACKEND, to, *options]

    def own(self, *options, to=None, **keys):
        to = to or f"tcp:127.0.0.1:{free_port()}"
        return self.forward(to, exec=self.program(to, *options), **keys)

    def say(self, connection, data):
        connection.sendall(data)
        return connection.recv(65536)

    def counts(self, d, name="f"):
        s = d.service(name)
        self.assertEqual(s["spawned"], s["active"] + sum(s["exited"].values()), s)
        if s["active"] == 0 and s["accepted"] > 0:
            self.assertEqual(s["accepted"],
                             s["spawned"] + s["spawn_failed"] + sum(s["refused"].values()) + s["gone"], s)
        return s

    def backend_of(self, d, name="f"):
        found = [i for i in d.instances(name) if i["status"] == "backend"]
        self.assertLessEqual(len(found), 1, found)
        return found[0] if found else None

    def wait_backend(self, d, there=True):
        wait_until(lambda: bool(self.backend_of(d)) == there, f"the backend to be {'there' if there else 'gone'}")
        return self.backend_of(d)


class Elsewhere(ForwardTest):
    def test_tcp(self):
        backend = Backend(self)
        d = self.forward(backend.to)
        self.assertEqual(d.service("f")["model"], "forward")
        with d.dial("f") as c:
            self.assertEqual(self.say(c, b"hello"), b"hello")
            (i,) = d.instances("f")
            self.assertEqual(i["peer"], "127.0.0.1:%d" % c.getsockname()[1])
            self.assertEqual(self.counts(d)["active"], 1)
            self.assertEqual(d.service("f")["state"], "listening")
        wait_until(lambda: d.service("f")["active"] == 0)
        self.assertEqual(self.counts(d)["exited"]["ok"], 1)

    def test_half_close(self):
        backend = Backend(self, serve=lambda c: c.sendall(read_all(c)))
        d = self.forward(backend.to)
        with d.dial("f") as c:
            c.sendall(b"question")
            c.shutdown(socket.SHUT_WR)
            self.assertEqual(read_all(c), b"question")

    def test_unix_and_seqpacket(self):
        folder = self.temporary_folder()
        backend = Backend(self, family=socket.AF_UNIX, path=os.path.join(folder, "b"))
        packets = Backend(self, family=socket.AF_UNIX, kind=socket.SOCK_SEQPACKET, path=os.path.join(folder, "p"))
        d = self.daemon({"services": {
            "f": {"listen": "unix:{dir}/f", "model": "forward", "to": backend.to},
            "p": {"listen": "unix-seqpacket:{dir}/p", "model": "forward", "to": packets.to}}})
        with socket.socket(socket.AF_UNIX) as c:
            c.settimeout(DEADLINE)
            c.connect(d.path("f"))
            self.assertEqual(self.say(c, b"x" * 1000), b"x" * 1000)
            self.assertEqual(d.instances("f")[0]["peer"], f"uid:{os.getuid()}")
        with socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET) as c:
            c.settimeout(DEADLINE)
            c.connect(d.path("p"))
            self.assertEqual(self.say(c, b"one"), b"one")
            self.assertEqual(self.say(c, b"two"), b"two")

    def test_much_both_ways(self):
        size = (16 if SANITIZED else 64) * MIB
        results = []

        def serve(c):
            sender = threading.Thread(target=send_pattern, args=(c, 2, size), daemon=True)
            sender.start()
            results.append(receive_digest(c))
            sender.join()

        backend = Backend(self, serve=serve)
        d = self.forward(backend.to)
        with d.dial("f", timeout=120) as c:
            sender = threading.Thread(target=send_pattern, args=(c, 1, size), daemon=True)
            sender.start()
            self.assertEqual(receive_digest(c), pattern_digest(2, size))
            sender.join()
        wait_until(lambda: results)
        self.assertEqual(results[0], pattern_digest(1, size))

    def test_limit_waits(self):
        backend = Backend(self)
        d = self.forward(backend.to, limits={"instances": 2})
        with contextlib.ExitStack() as stack:
            two = [stack.enter_context(d.dial("f")) for _ in range(2)]
            for c in two:
                self.assertEqual(self.say(c, b"a"), b"a")
            third = stack.enter_context(d.dial("f"))
            third.sendall(b"later")
            d.wait_service("f", state="full", active=2)
            two[0].close()
            self.assertEqual(third.recv(100), b"later")

    def test_limit_refuses(self):
        backend = Backend(self)
        d = self.forward(backend.to, limits={"instances": 1, "when_full": "refuse"})
        with d.dial("f") as c:
            self.assertEqual(self.say(c, b"a"), b"a")
            with d.dial("f") as second:
                self.assertEqual(read_all(second), b"")
            self.assertEqual(d.service("f")["refused"]["instances"], 1)

    def test_backend_down(self):
        to = f"tcp:127.0.0.1:{free_port()}"
        d = self.forward(to)
        with d.dial("f") as c:
            c.sendall(b"hello")
            self.assertEqual(read_all(c), b"")
        wait_until(lambda: d.service("f")["last_error"])
        error = d.service("f")["last_error"]
        self.assertEqual((error["step"], error["message"]), ("connect", f"{to}: Connection refused"))
        wait_until(lambda: d.service("f")["active"] == 0)
        self.assertEqual(self.counts(d)["exited"]["failed"], 1)
        backend = Backend(self, port=int(to.rsplit(":", 1)[1]))
        self.assertEqual(backend.to, to)
        with d.dial("f") as c:
            self.assertEqual(self.say(c, b"hello"), b"hello")

    def test_idle_connection(self):
        backend = Backend(self)
        d = self.forward(backend.to, timeouts={"idle": "300ms"})
        with d.dial("f") as c:
            self.assertEqual(self.say(c, b"hello"), b"hello")
            started = time.monotonic()
            self.assertEqual(c.recv(10), b"")
            self.assertGreater(time.monotonic() - started, 0.2)

    def test_lifetime(self):
        backend = Backend(self)
        d = self.forward(backend.to, timeouts={"lifetime": "300ms"})
        with d.dial("f") as c:
            self.assertEqual(self.say(c, b"hello"), b"hello")
            self.assertEqual(c.recv(10), b"")
        d.wait_service("f", active=0)
        self.assertEqual(self.counts(d)["exited"]["timeout"], 1)

    def test_proxy_v1(self):
        seen = []
        backend = Backend(self, serve=lambda c: seen.append(read_all(c)))
        d = self.forward(backend.to, proxy_protocol={"send": "v1"})
        with d.dial("f") as c:
            mine, theirs = c.getsockname(), c.getpeername()
            c.sendall(b"hello")
            c.shutdown(socket.SHUT_WR)
            read_all(c)
        wait_until(lambda: seen)
        self.assertEqual(seen[0], f"PROXY TCP4 {mine[0]} {theirs[0]} {mine[1]} {theirs[1]}\r\nhello".encode())

    def test_proxy_v2(self):
        seen = []
        backend = Backend(self, serve=lambda c: seen.append(read_all(c)))
        d = self.forward(backend.to, proxy_protocol={"send": "v2"})
        with d.dial("f") as c:
            mine, theirs = c.getsockname(), c.getpeername()
            c.sendall(b"hello")
            c.shutdown(socket.SHUT_WR)
            read_all(c)
        wait_until(lambda: seen)
        header, rest = seen[0][:16], seen[0][16:]
        self.assertEqual(header[:12], b"\r\n\r\n\0\r\nQUIT\n")
        version, family, length = struct.unpack("!BBH", header[12:])
        self.assertEqual((version, family), (0x21, 0x11))
        source, target, source_port, target_port = struct.unpack("!4s4sHH", rest[:12])
        self.assertEqual((socket.inet_ntoa(source), source_port), mine)
        self.assertEqual((socket.inet_ntoa(target), target_port), theirs)
        self.assertEqual(rest[length:], b"hello")

    def test_datagrams(self):
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as echo:
            echo.bind(("127.0.0.1", 0))
            echo.settimeout(DEADLINE)
            d = self.forward(address_text(echo), listen="udp:127.0.0.1:0", timeouts={"idle": "400ms"})
            for _ in range(2):
                with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as c:
                    c.settimeout(DEADLINE)
                    c.connect(("127.0.0.1", d.port("f")))
                    c.send(b"ping")
                    data, peer = echo.recvfrom(100)
                    echo.sendto(data + b"!", peer)
                    self.assertEqual(c.recv(100), b"ping!")
                    self.assertEqual(d.service("f")["state"], "active")
                d.wait_service("f", state="listening", active=0)
        self.assertEqual(d.service("f")["exited"]["ok"], 2)

    def test_stop(self):
        backend = Backend(self)
        d = self.forward(backend.to)
        with d.dial("f") as c:
            self.assertEqual(self.say(c, b"hello"), b"hello")
            d.call("Stop", services=["f"])
            self.assertEqual(c.recv(10), b"")
        self.assertEqual(self.counts(d)["state"], "stopped")
        d.call("Start", services=["f"])
        with d.dial("f") as c:
            self.assertEqual(self.say(c, b"hello"), b"hello")

    def test_reload_of_the_target(self):
        one, two = Backend(self, serve=lambda c: c.sendall(b"one")), Backend(self, serve=lambda c: c.sendall(b"two"))
        d = self.forward(one.to)
        self.assertEqual(d.ask("f"), b"one")
        d.write_config({"services": {"f": {"listen": f"tcp:127.0.0.1:{d.port('f')}", "model": "forward",
                                           "to": two.to}}})
        self.assertIn("to", [c["key"] for c in d.call("Reload")["changes"]])
        self.assertEqual(d.ask("f"), b"two")


class Own(ForwardTest):
    def test_from_zero(self):
        d = self.own()
        s = d.service("f")
        self.assertEqual((s["state"], s["active"], d.instances("f")), ("listening", 0, []))
        with d.dial("f") as c:
            pid = int(self.say(c, b"pid"))
            d.wait_service("f", state="active", active=1)
            backend = self.backend_of(d)
            self.assertEqual((backend["pid"], backend["peer"]), (pid, None))
            self.assertEqual(len(d.instances("f")), 2)
            self.counts(d)
        d.wait_service("f", active=0)
        with d.dial("f") as c:
            self.assertEqual(int(self.say(c, b"pid")), pid)
        d.wait_service("f", active=0)
        self.assertEqual(self.counts(d)["spawned"], 2)

    def crowd(self, d, n=50):
        """n clients at once; what each of them got."""
        answers = [None] * n

        def one(k):
            try:
                with d.dial("f") as c:
                    answers[k] = self.say(c, b"%d" % k)
            except OSError as error:
                answers[k] = error

        threads = [threading.Thread(target=one, args=(k,), daemon=True) for k in range(n)]
        for t in threads:
            t.start()
        for t in threads:
            t.join(DEADLINE)
        self.assertEqual(answers, [b"%d" % k for k in range(n)])

    def test_crowd_by_port(self):
        d = self.own("late=0.5")
        self.crowd(d)
        d.wait_service("f", active=0)
        self.assertEqual(self.counts(d)["accepted"], 50)

    def test_crowd_by_notify(self):
        for notify in ("status", "sd_notify"):
            with self.subTest(notify=notify):
                d = self.own("ready-late=0.5", f"notify={notify}", notify=notify)
                self.crowd(d)
                d.wait_service("f", active=0)
                self.assertEqual(self.counts(d)["accepted"], 50)

    def test_unix_backend(self):
        folder = self.temporary_folder()
        d = self.own("late=0.3", to=f"unix:{folder}/backend")
        self.crowd(d, 10)

    def test_not_let_in_before_ready(self):
        d = self.own("ready-late=1", "notify=status", notify="status")
        with d.dial("f") as c:
            c.sendall(b"hello")
            d.wait_service("f", state="starting")
            self.assertEqual(d.service("f")["accepted"], 0)
            self.assertEqual(c.recv(10), b"hello")
            self.assertEqual(d.service("f")["state"], "active")

    def test_starting_by_port(self):
        d = self.own("late=1")
        with d.dial("f") as c:
            c.sendall(b"hello")
            d.wait_service("f", state="starting", active=1)
            self.assertEqual(c.recv(10), b"hello")
            d.wait_service("f", state="active")
            self.assertEqual(len(d.log(event="ready")), 1)

    def test_start_now(self):
        d = self.own("notify=status", notify="status", start="now")
        d.wait_service("f", state="active")
        self.assertEqual(self.backend_of(d)["peer"], None)
        self.assertEqual(d.service("f")["spawned"], 0)

    def test_idle_and_again(self):
        d = self.own(timeouts={"idle": "300ms"})
        for _ in range(3):
            with d.dial("f") as c:
                self.assertEqual(self.say(c, b"hello"), b"hello")
            backend = self.wait_backend(d)
            started = time.monotonic()
            self.wait_backend(d, False)
            self.assertLess(time.monotonic() - started, 5)
            d.wait_service("f", state="listening")
        s = self.counts(d)
        self.assertEqual((s["last_error"], s["exited"]["timeout"]), (None, 0))
        ended = d.log(event="ended", pid=backend["pid"])
        self.assertIn("timeouts.idle", ended[0]["message"])

    def test_idle_waits_for_connections(self):
        d = self.own(timeouts={"idle": "200ms"}, listen="unix:{dir}/f")
        with socket.socket(socket.AF_UNIX) as c:
            c.settimeout(DEADLINE)
            c.connect(d.path("f"))
            self.assertEqual(self.say(c, b"hello"), b"hello")
            stays(lambda: self.backend_of(d), 0.8)
            self.assertEqual(self.say(c, b"hello"), b"hello")
        self.wait_backend(d, False)

    def test_none_lost_at_random(self):
        d = self.own(timeouts={"idle": "50ms"}, restart={"limit": "1000/1s"})
        lost, served = [], []
        until = time.monotonic() + 6

        def client():
            while time.monotonic() < until:
                time.sleep(random.random() * 0.5)
                try:
                    with d.dial("f") as c:
                        answer = self.say(c, b"hello")
                        (served if answer == b"hello" else lost).append(answer)
                except OSError as error:
                    lost.append(error)

        threads = [threading.Thread(target=client, daemon=True) for _ in range(2)]
        for t in threads:
            t.start()
        for t in threads:
            t.join()
        self.assertEqual(lost, [])
        self.assertGreater(len(served), 10)
        d.wait_service("f", active=0)
        self.counts(d)
        self.assertGreater(len([e for e in d.log(event="started") if "backend" in e["message"]]), 2)

    def test_crash_of_the_backend(self):
        d = self.own()
        with d.dial("f") as c, d.dial("f") as other:
            self.assertEqual(self.say(other, b"hello"), b"hello")
            c.sendall(b"die")
            self.assertEqual(c.recv(10), b"")
            self.assertEqual(other.recv(10), b"")
        with d.dial("f") as c:
            self.assertEqual(self.say(c, b"hello"), b"hello")
        d.wait_service("f", active=0)
        self.counts(d)

    def test_crash_before_it_listens(self):
        folder = self.temporary_folder()
        d = self.own(f"fail-file={folder}/fails", "fail-times=2")
        with d.dial("f") as c:
            self.assertEqual(self.say(c, b"hello"), b"hello")

    def test_never_ready_by_port(self):
        d = self.own("late=1000", timeouts={"start": "700ms", "stop": "100ms"})
        with d.dial("f") as c:
            c.sendall(b"hello")
            self.assertEqual(read_all(c), b"")
        wait_until(lambda: any("not ready" in e["message"] for e in d.log(event="error")))
        d.wait_service("f", active=0)
        self.counts(d)

    def test_never_ready_by_notify(self):
        d = self.own("never=1", "notify=status", notify="status", timeouts={"start": "500ms", "stop": "100ms"},
                     restart={"limit": "1/1h", "delay": "300ms"})
        for _ in range(2):
            with d.dial("f") as c:
                c.sendall(b"hello")
                self.assertEqual(read_all(c), b"")
            error = d.service("f")["last_error"]
            self.assertEqual((error["step"], error["errno"]), ("start", 110))
            self.assertIn("not ready within 500ms (timeouts.start)", error["message"])
        s = self.counts(d)
        self.assertEqual((s["accepted"], s["spawn_failed"], s["spawned"]), (2, 2, 0))

    def test_cannot_be_started(self):
        to = f"tcp:127.0.0.1:{free_port()}"
        folder = self.temporary_folder()
        program = os.path.join(folder, "program")
        with open(program, "w", encoding="utf-8") as file:
            file.write("#!/no/such/interpreter\n")
        os.chmod(program, 0o755)
        d = self.forward(to, exec=[program], restart={"limit": "1/1h", "delay": "200ms"})
        for _ in range(2):
            with d.dial("f") as c:
                c.sendall(b"hello")
                self.assertEqual(read_all(c), b"")
            self.assertEqual(d.service("f")["last_error"]["step"], "exec")
        self.counts(d)

    def test_restart(self):
        d = self.own()
        with d.dial("f") as c:
            pid = int(self.say(c, b"pid"))
            d.call("Restart", services=["f"])
            self.assertEqual(c.recv(10), b"")
        self.assertNotEqual(self.wait_backend(d)["pid"], pid)
        with d.dial("f") as c:
            self.assertNotEqual(int(self.say(c, b"pid")), pid)

    def test_stop_and_start(self):
        d = self.own()
        with d.dial("f") as c:
            self.assertEqual(self.say(c, b"hello"), b"hello")
            d.call("Stop", services=["f"])
            self.assertEqual(c.recv(10), b"")
        self.assertEqual(d.instances("f"), [])
        self.assertEqual(d.service("f")["state"], "stopped")
        d.call("Start", services=["f"])
        with d.dial("f") as c:
            self.assertEqual(self.say(c, b"hello"), b"hello")

    def test_drain(self):
        d = self.own()
        with d.dial("f") as c:
            self.assertEqual(self.say(c, b"hello"), b"hello")
            with d.connect() as control:
                control.send("Drain", {"services": ["f"]})
                d.wait_service("f", state="draining")
                self.assertEqual(self.say(c, b"still there"), b"still there")
                self.assertTrue(self.backend_of(d))
                c.close()
                control.parameters_of(control.receive())
        self.assertEqual(d.instances("f"), [])
        self.assertEqual(d.service("f")["state"], "stopped")

    def test_drain_serves_the_queue(self):
        d = self.own("ready-late=0.7", "notify=status", notify="status")
        with d.dial("f") as c:
            c.sendall(b"hello")
            d.wait_service("f", state="starting")
            with d.connect() as control:
                control.send("Drain", {"services": ["f"]})
                self.assertEqual(c.recv(10), b"hello")
                c.close()
                control.parameters_of(control.receive())
        self.assertEqual(d.instances("f"), [])

    def test_pause(self):
        d = self.own()
        d.call("Pause", services=["f"])
        with d.dial("f") as c:
            c.sendall(b"hello")
            stays(lambda: not d.instances("f"), 0.3)
            d.call("Resume", services=["f"])
            self.assertEqual(c.recv(10), b"hello")

    def test_shutdown_ends_connections_first(self):
        d = self.daemon({"shutdown": {"drain": "5s"}, "services": {"f": self.service()}})
        with d.dial("f") as c:
            self.assertEqual(self.say(c, b"hello"), b"hello")
            d.process.send_signal(signal.SIGTERM)
            wait_until(lambda: "stopping" in d.log_text())
            self.assertEqual(self.say(c, b"still there"), b"still there")
        d.process.wait(DEADLINE)

    def service(self, *options, **keys):
        to = keys.pop("to", None) or f"tcp:127.0.0.1:{free_port()}"
        return {"listen": f"tcp:127.0.0.1:{free_port()}", "model": "forward", "to": to,
                "exec": self.program(to, *options), **keys}

    def test_reload_keeps_it(self):
        f = self.service()
        d = self.daemon({"services": {"f": f}})
        with d.dial("f") as c:
            pid = int(self.say(c, b"pid"))
            d.write_config({"services": {"f": {**f, "limits": {"instances": 7}}}})
            d.call("Reload")
            self.assertEqual(int(self.say(c, b"pid")), pid)
            with d.dial("f") as other:
                self.assertEqual(int(self.say(other, b"pid")), pid)

    def test_reload_rolls_it(self):
        f = self.service()
        d = self.daemon({"services": {"f": f}})
        with d.dial("f") as c:
            pid = int(self.say(c, b"pid"))
            d.write_config({"services": {"f": {**f, "environment": {"NEW": "value"}}}})
            d.call("Reload")
            # Who is there is served to the end; so is who comes meanwhile.
            self.assertEqual(int(self.say(c, b"pid")), pid)
        wait_until(lambda: not (self.backend_of(d) or {}).get("pid") == pid, "the end of the old backend")
        with d.dial("f") as c:
            self.assertNotEqual(int(self.say(c, b"pid")), pid)
            self.assertIn(b"'NEW', 'value'", self.say(c, b"environment"))

    def test_reload_moves_it(self):
        f = self.service()
        d = self.daemon({"services": {"f": f}})
        with d.dial("f") as c:
            pid = int(self.say(c, b"pid"))
            to = f"tcp:127.0.0.1:{free_port()}"
            d.write_config({"services": {"f": {**f, "to": to, "exec": self.program(to)}}})
            d.call("Reload")
            with d.dial("f") as other:
                self.assertNotEqual(int(self.say(other, b"pid")), pid)
            self.assertEqual(int(self.say(c, b"pid")), pid)
        wait_until(lambda: pid not in [i["pid"] for i in d.instances("f")], "the end of the old backend")

    def test_reload_removes_it(self):
        f = self.service()
        d = self.daemon({"services": {"f": f}})
        with d.dial("f") as c:
            self.assertEqual(self.say(c, b"hello"), b"hello")
            d.write_config({"services": {}})
            d.call("Reload")
            self.assertEqual(self.say(c, b"hello"), b"hello")
        wait_until(lambda: not d.status()["services"], "the end of the service")

    def test_what_the_backend_gets(self):
        d = self.own()
        with d.dial("f") as c:
            environment = self.say(c, b"environment").decode()
            pid = self.backend_of(d)["pid"]
            fds = sorted(int(fd) for fd in os.listdir(f"/proc/{pid}/fd"))
            self.assertEqual(os.readlink(f"/proc/{pid}/fd/0"), "/dev/null")
        self.assertIn("('MP_SERVICE', 'f')", environment)
        self.assertNotIn("TCPREMOTEIP", environment)
        self.assertNotIn("LISTEN_FDS", environment)
        self.assertEqual(fds[:4], [0, 1, 2, 3])
        self.assertTrue(d.log(event="stderr", message="listening"))

    def test_datagrams(self):
        to = f"udp:127.0.0.1:{free_port()}"
        d = self.forward(to, listen="udp:127.0.0.1:0", exec=self.program(to, "notify=status"), notify="status",
                         timeouts={"idle": "400ms"})
        for _ in range(2):
            with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as c:
                c.settimeout(DEADLINE)
                c.connect(("127.0.0.1", d.port("f")))
                c.send(b"ping")
                self.assertEqual(c.recv(100), b"ping")
            wait_until(lambda: not d.instances("f"), "the end of it all")
            d.wait_service("f", state="listening")
        s = self.counts(d)
        self.assertEqual((s["accepted"], s["spawned"]), (0, 2))

    def test_first_datagram_of_a_backend_that_comes_late(self):
        """Nobody says when it is there: what is refused meanwhile is sent again, once it is there only once."""
        to = f"udp:127.0.0.1:{free_port()}"
        d = self.forward(to, listen="udp:127.0.0.1:0", exec=self.program(to, "late=0.7"))
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as c:
            c.settimeout(DEADLINE)
            c.connect(("127.0.0.1", d.port("f")))
            c.send(b"first")
            self.assertEqual(c.recv(100), b"first")
            c.send(b"second")
            self.assertEqual(c.recv(100), b"second", "and not the first again")
            c.settimeout(0.3)
            with self.assertRaises(TimeoutError):
                c.recv(100)

    def test_limit_counts_connections_only(self):
        d = self.own(limits={"instances": 1})
        with d.dial("f") as c:
            self.assertEqual(self.say(c, b"hello"), b"hello")
            self.assertEqual(d.service("f")["state"], "full")


class DatagramsOverReload(ForwardTest):
    """One process passes on what all senders say: the config that it was started by is not in force for longer than it has
    to be, and nothing that waits in a socket is lost."""

    def setUp(self):
        self.ports = [free_port() for _ in range(3)]

    def backend(self, answer=lambda data: data):
        """Answers each datagram with what @answer makes of it (None: nothing)."""
        server = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        server.bind(("127.0.0.1", 0))

        def serve():
            with contextlib.suppress(OSError):
                while True:
                    data, peer = server.recvfrom(65536)
                    said = answer(data)
                    if said is not None:
                        server.sendto(said, peer)

        thread = threading.Thread(target=serve, daemon=True)
        thread.start()

        def end():
            with contextlib.suppress(OSError):
                server.shutdown(socket.SHUT_RDWR)
            thread.join(DEADLINE)
            server.close()

        self.addCleanup(end)
        return address_text(server)

    def start(self, **keys):
        self.keys = {"listen": f"udp:127.0.0.1:{self.ports[0]}", "model": "forward", **keys}
        self.d = self.daemon({"services": {"f": self.keys}})

    def reload(self, **keys):
        """What the plan says of the processes."""
        self.keys = {**self.keys, **keys}
        self.d.write_config({"services": {"f": self.keys}})
        before = self.d.call("CheckConfig")["plan"]
        plan = self.d.call("Reload")["plan"]
        self.assertEqual(plan, before)
        return [i["action"] for i in plan if i["object"] == "processes"]

    def sender(self, port=None):
        s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self.addCleanup(s.close)
        s.settimeout(DEADLINE)
        s.connect(("127.0.0.1", port or self.ports[0]))
        return s

    def ask(self, s, data=b"x"):
        s.send(data)
        return s.recv(65536)

    def process(self):
        """The one that passes on, of those that have not been told to end."""
        found = [i["pid"] for i in self.d.instances("f") if i["status"] != "backend" and i["state"] != "stopping"]
        self.assertLessEqual(len(found), 1)
        return found[0] if found else None

    def wait_end(self, pid):
        wait_until(lambda: pid not in [i["pid"] for i in self.d.instances("f")], "the end of the process of before")

    def test_moved(self):
        self.start(to=self.backend())
        old = self.sender()
        self.assertEqual(self.ask(old), b"x")
        pid = self.process()
        self.assertEqual(self.reload(listen=f"udp:127.0.0.1:{self.ports[1]}"), ["end"])
        self.assertEqual(self.ask(self.sender(self.ports[1])), b"x")
        self.wait_end(pid)
        wait_until(lambda: not self.is_bound(self.ports[0]), "the old socket to be closed")
        self.assertEqual(self.d.service("f")["exited"]["ok"], 1)

    def is_bound(self, port):
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as s:
            try:
                s.bind(("127.0.0.1", port))
            except OSError:
                return True
        return False

    def test_one_more(self):
        self.start(to=self.backend())
        old = self.sender()
        self.assertEqual(self.ask(old), b"x")
        pid = self.process()
        self.assertEqual(self.reload(listen=[f"udp:127.0.0.1:{port}" for port in self.ports]), ["end"])
        for s in (old, *(self.sender(port) for port in self.ports)):
            self.assertEqual(self.ask(s), b"x")
        self.wait_end(pid)

    def test_to_elsewhere(self):
        """Who has asked is answered by whom it has asked; what comes then goes to the new one, and waits for nobody."""
        asked, answers = threading.Event(), threading.Event()

        def late(data):
            if data == b"late":
                asked.set()
                answers.wait(DEADLINE)
            return b"one " + data

        self.start(to=self.backend(late))
        old = self.sender()
        self.assertEqual(self.ask(old), b"one x")
        pid = self.process()
        old.send(b"late")
        self.assertTrue(asked.wait(DEADLINE))
        self.assertEqual(self.reload(to=self.backend(lambda data: b"two " + data)), ["end"])
        wait_until(lambda: self.process() != pid, "it to be told")
        new = self.sender()
        new.send(b"x")
        answers.set()
        self.assertEqual(old.recv(100), b"one late")
        self.assertIn(new.recv(100), (b"one x", b"two x"), "it may not have heard of it yet")
        for s in (new, old):
            wait_until(lambda s=s: self.ask(s) == b"two x", "the new one")
        self.wait_end(pid)
        self.d.wait_log(event="ended", pid=pid)
        events = [(e["event"], e["pid"]) for e in self.d.log(service="f") if e["event"] in ("started", "ended")]
        self.assertEqual(events, [("started", pid), ("started", self.process()), ("ended", pid)])

    def test_what_it_learns_at_its_start(self):
        self.start(to=self.backend())
        s = self.sender()
        for keys in ({"timeouts": {"idle": "1h"}}, {"environment": {"NEW": "value"}}, {"umask": "077"}):
            with self.subTest(**keys):
                self.assertEqual(self.ask(s), b"x")
                pid = self.process()
                self.assertEqual(self.reload(**keys), ["end"])
                self.wait_end(pid)
                self.assertEqual(self.ask(s), b"x")
        pid = self.process()
        with open(f"/proc/{pid}/cmdline", "rb") as file:
            self.assertIn(b"\0--udp-idle\x001h\0", file.read())
        with open(f"/proc/{pid}/environ", "rb") as file:
            self.assertIn(b"\0NEW=value\0", b"\0" + file.read())

    def test_what_is_none_of_its_business(self):
        self.start(to=self.backend())
        s = self.sender()
        self.assertEqual(self.ask(s), b"x")
        pid = self.process()
        self.assertEqual(self.reload(), [])
        endpoint = {"endpoint": self.keys["listen"], "receive_buffer": 1 << 17}
        for keys in ({"description": "other words"}, {"limits": {"rate": "5/s"}}, {"timeouts": {"stop": "3s"}},
                     {"listen": [endpoint]}):
            with self.subTest(**keys):
                self.assertEqual(self.reload(**keys), ["keep"])
                self.assertEqual(self.ask(s), b"x")
                self.assertEqual([i["pid"] for i in self.d.instances("f")], [pid])

    def test_nothing_is_lost(self):
        """Each is answered once, whichever of the two it was passed on to, while the config goes to and fro."""
        to = [self.backend(), self.backend()]
        self.start(to=to[0], listen=[{"endpoint": f"udp:127.0.0.1:{self.ports[0]}", "receive_buffer": 1 << 20}])
        senders = [self.sender() for _ in range(5)]
        more = [f"udp:127.0.0.1:{self.ports[1]}"]
        pids = set()
        for i in range(1, 11):
            self.keys.update(to=to[i % 2], listen=self.keys["listen"][:1] + more * (i % 3 == 0))
            self.d.write_config({"services": {"f": self.keys}})
            sent = [b"%d/%d" % (i, k) for k in range(40)]
            with self.d.connect() as control:
                for k, datagram in enumerate(sent):
                    senders[k % 5].send(datagram)
                    if k == 20:
                        control.send("Reload")
                self.assertTrue(control.parameters_of(control.receive())["ok"])
            for k, datagram in enumerate(sent):
                senders[k % 5].send(b"again " + datagram)
            got = [senders[k % 5].recv(100) for k in range(80)]
            self.assertEqual(sorted(got), sorted(sent + [b"again " + datagram for datagram in sent]))
            pids.add(self.process())
        self.assertGreater(len(pids), 3, "there was another one now and then")
        for s in senders:
            s.setblocking(False)
            self.assertRaises(BlockingIOError, s.recv, 64)

    def test_upgrade_in_between(self):
        self.start(to=self.backend())
        old = self.sender()
        self.assertEqual(self.ask(old), b"x")
        pid = self.process()
        self.assertEqual(self.reload(listen=f"udp:127.0.0.1:{self.ports[1]}"), ["end"])
        self.d.call("Upgrade")
        self.assertEqual(self.ask(self.sender(self.ports[1])), b"x")
        self.wait_end(pid)
        self.assertEqual(self.ask(self.sender(self.ports[1])), b"x")

    def test_removed_and_disabled(self):
        for gone in ("removed", "disabled"):
            with self.subTest(gone):
                self.start(to=self.backend(), **({"enabled": True} if gone == "disabled" else {}))
                self.assertEqual(self.ask(self.sender()), b"x")
                pid = self.process()
                if gone == "removed":
                    self.d.write_config({"services": {}})
                    self.d.call("Reload")
                    wait_until(lambda: not self.d.status()["services"], "the end of the service")
                else:
                    self.assertEqual(self.reload(enabled=False), ["end"])
                    self.d.wait_service("f", state="disabled", active=0)
                wait_until(lambda pid=pid: not process_alive(pid), "its end")
                self.d.stop()

    def own_backend(self, **keys):
        to = f"udp:127.0.0.1:{free_port()}"
        self.start(to=to, exec=self.program(to, "notify=status"), notify="status", **keys)
        return to

    def test_backend_of_its_own_stays(self):
        """It has none of the sockets; and two of them could not have one address."""
        self.own_backend()
        s = self.sender()
        self.assertEqual(self.ask(s), b"x")
        pid, backend = self.process(), self.backend_of(self.d)["pid"]
        self.assertEqual(self.reload(listen=[f"udp:127.0.0.1:{port}" for port in self.ports[:2]]), ["end"])
        self.assertEqual(self.ask(self.sender(self.ports[1])), b"x")
        self.wait_end(pid)
        self.assertEqual(self.ask(s), b"x")
        self.assertEqual(self.backend_of(self.d)["pid"], backend)

    def test_backend_of_its_own_is_replaced(self):
        """Though there is always somebody, who is never known to have gone."""
        self.own_backend()
        s = self.sender()
        self.assertEqual(self.ask(s), b"x")
        pid, backend = self.process(), self.backend_of(self.d)["pid"]
        self.assertEqual(self.reload(environment={"NEW": "value"}), ["end"])

        def replaced():
            self.assertEqual(self.ask(s), b"x")
            return backend not in [i["pid"] for i in self.d.instances("f")]

        wait_until(replaced, "another backend")
        self.wait_end(pid)
        self.assertEqual(self.ask(s), b"x")
        with open(f"/proc/{self.backend_of(self.d)['pid']}/environ", "rb") as file:
            self.assertIn(b"NEW=value\0", file.read())

    def test_backend_of_its_own_moves(self):
        self.own_backend()
        s = self.sender()
        self.assertEqual(self.ask(s), b"x")
        pid, backend = self.process(), self.backend_of(self.d)["pid"]
        to = f"udp:127.0.0.1:{free_port()}"
        self.assertEqual(self.reload(to=to, exec=self.program(to, "notify=status")), ["end"])
        wait_until(lambda: self.process() != pid, "it to be told")
        self.assertEqual(self.ask(s), b"x")
        self.wait_end(pid)
        self.wait_end(backend)
        self.assertEqual(self.ask(s), b"x")


class Reached(ForwardTest):
    """Without notify: it is ready when its address accepts a connection, whether or not anybody is there to see that."""

    def setUp(self):
        self.go = os.path.join(self.temporary_folder(), "go")

    def let_go(self, on=True):
        """It listens from now on; or what is started from now on does not."""
        if on:
            with open(self.go, "w", encoding="utf-8"):
                pass
        else:
            os.unlink(self.go)

    def own(self, *options, **keys):
        return super().own(f"go={self.go}", *options, **keys)

    def ready(self, d):
        return d.log(event="ready")

    def assert_starting(self, d):
        """And it stays so."""
        d.wait_service("f", state="starting")
        stays(lambda: d.service("f")["state"] == "starting" and self.backend_of(d)["state"] == "starting", "starting")
        self.assertEqual(self.ready(d), [])

    @staticmethod
    def given_up(d):
        """So many have not become ready in time."""
        return len([e for e in d.log(event="ended") if "timeouts.start" in e["message"]])

    def wait_given_up(self, d, times=1):
        wait_until(lambda: self.given_up(d) >= times, "its end")
        self.assertEqual(self.ready(d), [])

    @staticmethod
    def wait_was(d, state):
        wait_until(lambda: any(f"-> {state}" in e["message"] for e in d.log(event="state", service="f")), f"it to be {state}")

    @staticmethod
    def connect_to(to):
        kind, _, where = to.partition(":")
        if kind == "tcp":
            host, _, port = where.rpartition(":")
            return socket.create_connection((host, int(port)), DEADLINE)
        s = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM if kind == "unix" else socket.SOCK_SEQPACKET)
        s.settimeout(DEADLINE)
        s.connect(where)
        return s

    def test_nobody_there(self):
        folder = self.temporary_folder()
        for to in (f"tcp:127.0.0.1:{free_port()}", f"unix:{folder}/stream", f"unix-seqpacket:{folder}/packets"):
            with self.subTest(to=to):
                d = self.own(to=to, start="now")
                self.assert_starting(d)
                self.let_go()
                d.wait_service("f", state="active")
                self.assertEqual(self.backend_of(d)["state"], "running")
                self.assertEqual(len(self.ready(d)), 1)
                with self.connect_to(to) as c:
                    self.assertEqual(self.say(c, b"connections"), b"2", "one to find out, and this one")
                self.assertEqual(d.service("f")["spawned"], 0)
                self.let_go(False)

    def test_nobody_there_any_more(self):
        """Who came first gave up: the daemon goes on where he has left off."""
        d = self.own()
        with d.dial("f") as c:
            c.sendall(b"hello")
            d.wait_service("f", state="starting", active=1)
            (held,) = [i for i in d.instances("f") if i["status"] != "backend"]
            os.kill(held["pid"], signal.SIGKILL)
            d.wait_service("f", active=0)
        self.assert_starting(d)
        self.let_go()
        d.wait_service("f", state="active")
        self.assertEqual(len(self.ready(d)), 1)

    def test_somebody_there(self):
        """He finds out himself: it has no connection but his."""
        d = self.own(start="now")
        d.wait_service("f", state="starting")
        with d.dial("f") as c:
            c.sendall(b"connections")
            d.wait_service("f", active=1)
            self.assert_starting(d)
            self.let_go()
            self.assertEqual(c.recv(100), b"1")
            d.wait_service("f", state="active")
        self.assertEqual(len(self.ready(d)), 1)

    def test_it_cannot_tell(self):
        """Without a status pipe mp-forward cannot say what it has found: the daemon finds out for itself."""
        d = self.own(report=False)
        with d.dial("f") as c:
            c.sendall(b"hello")
            d.wait_service("f", active=1)
            self.assert_starting(d)
            self.let_go()
            self.assertEqual(c.recv(100), b"hello")
            d.wait_service("f", state="active")

    def test_never(self):
        """Somebody comes and goes: what he had started is ended when its time is over, and not started again."""
        to = f"tcp:127.0.0.1:{free_port()}"
        d = self.forward(to, exec=["/bin/sleep", "1000"], timeouts={"start": "700ms", "stop": "100ms"})
        for _ in range(2):
            before = self.given_up(d)
            d.dial("f").close()
            self.wait_given_up(d, before + 1)
            d.wait_service("f", state="listening", active=0)
            stays(lambda: not d.instances("f"), "rest")
        before = self.given_up(d)
        with d.dial("f") as c:
            c.sendall(b"hello")
            self.assertEqual(read_all(c), b"")
        self.wait_given_up(d, before + 1)
        self.counts(d)

    def test_start_now_never(self):
        """By the rules of restart: not again, unless they say so."""
        for policy in ("never", "on-failure"):
            with self.subTest(policy=policy):
                d = self.own(start="now", timeouts={"start": "400ms", "stop": "100ms"},
                             restart={"policy": policy, "delay": "50ms", "limit": "1/1h", "max_delay": "200ms"})
                self.wait_given_up(d)
                self.wait_was(d, "starting")
                error = d.service("f")["last_error"]
                self.assertEqual((error["step"], error["errno"]), ("start", 110))
                self.assertIn("not ready within 400ms (timeouts.start)", error["message"])
                if policy == "never":
                    stays(lambda: not d.instances("f"), "rest")
                    continue
                self.wait_given_up(d, 3)
                self.wait_was(d, "backoff")
                self.let_go()
                d.wait_service("f", state="active")

    def test_it_ends_at_once(self):
        d = self.forward(f"tcp:127.0.0.1:{free_port()}", exec=["/bin/false"], start="now",
                         restart={"policy": "on-failure", "delay": "50ms", "limit": "1/1h", "max_delay": "200ms"})
        wait_until(lambda: len(d.log(event="ended")) >= 3, "several of them")
        self.assertEqual(self.ready(d), [])
        self.wait_was(d, "backoff")

    def assert_nobody_comes(self, port):
        with socket.create_server(("127.0.0.1", port)) as s:
            s.settimeout(0.6)
            with self.assertRaises(TimeoutError):
                s.accept()

    def test_it_is_not_tried_when_it_has_ended(self):
        port = free_port()
        d = self.own(to=f"tcp:127.0.0.1:{port}", start="now", timeouts={"start": "700ms", "stop": "100ms"})
        self.wait_given_up(d)
        d.wait_service("f", state="listening")
        self.assert_nobody_comes(port)

    def test_stop(self):
        """Nor while it is told to end, or after that."""
        port = free_port()
        d = self.forward(f"tcp:127.0.0.1:{port}", start="now", timeouts={"stop": "1h"},
                         exec=["/bin/sh", "-c", "trap '' TERM; echo deaf >&2; while :; do sleep 0.1; done"])
        d.wait_log(event="stderr", message="deaf")
        d.wait_service("f", state="starting")
        pid = self.backend_of(d)["pid"]
        with d.connect() as control:
            control.send("Stop", {"services": ["f"]})
            d.wait_service("f", state="draining")
            self.assert_nobody_comes(port)
            os.kill(pid, signal.SIGKILL)
            control.parameters_of(control.receive())
        self.assert_nobody_comes(port)
        self.assertEqual(self.ready(d), [])

    def test_orders_wait(self):
        """Who starts or restarts it is told when it is there."""
        to = f"tcp:127.0.0.1:{free_port()}"
        self.let_go()
        d = self.own(to=to, start="now")
        d.wait_service("f", state="active")
        for verb in ("Restart", "Start"):
            with self.subTest(verb=verb), d.connect() as control:
                pid = self.backend_of(d)["pid"]
                self.let_go(False)
                if verb == "Start":
                    d.call("Stop", services=["f"])
                answers = []
                control.send(verb, {"services": ["f"]})
                asking = threading.Thread(target=lambda: answers.append(control.receive()), daemon=True)
                asking.start()
                wait_until(lambda: (self.backend_of(d) or {"pid": pid})["pid"] != pid, "the next one")
                stays(lambda: d.service("f")["state"] == "starting" and not answers, "waiting for it")
                self.let_go()
                asking.join(DEADLINE)
                control.parameters_of(answers[0])
                self.connect_to(to).close()

    def test_restart_of_one_that_does_not_come(self):
        self.let_go()
        d = self.own(start="now", timeouts={"start": "1s", "stop": "1s"})
        d.wait_service("f", state="active")
        self.let_go(False)
        done = d.mpctl("restart", "f")
        self.assertEqual(done.returncode, 1, done)
        self.assertIn("not ready within 1s (timeouts.start)", done.stderr)

    def service(self, to=None, **keys):
        to = to or f"tcp:127.0.0.1:{free_port()}"
        return {"listen": f"tcp:127.0.0.1:{free_port()}", "model": "forward", "to": to, "start": "now",
                "exec": self.program(to, f"go={self.go}"), **keys}

    def test_reload_meanwhile(self):
        f = self.service()
        d = self.daemon({"services": {"f": f}})
        self.assert_starting(d)
        pid = self.backend_of(d)["pid"]
        d.write_config({"services": {"f": {**f, "limits": {"instances": 7}}}})
        d.call("Reload")
        self.assert_starting(d)
        self.assertEqual(self.backend_of(d)["pid"], pid)
        self.let_go()
        d.wait_service("f", state="active")
        self.assertEqual(len(self.ready(d)), 1)

    def test_reload_moves_it_meanwhile(self):
        """The new one is not ready because somebody has reached the old one."""
        old, new = (f"tcp:127.0.0.1:{free_port()}" for _ in range(2))
        f = self.service(old)
        d = self.daemon({"services": {"f": f}})
        d.wait_service("f", state="starting")
        with d.dial("f") as c:
            c.sendall(b"pid")
            d.wait_service("f", state="starting", active=1)
            pid = self.backend_of(d)["pid"]
            d.write_config({"services": {"f": {**f, "to": new, "exec": self.program(new, f"go={self.go}.new")}}})
            d.call("Reload")
            wait_until(lambda: len(self.backends(d)) == 2, "the new one")
            (other,) = set(self.backends(d)) - {pid}
            self.let_go()
            self.assertEqual(int(c.recv(100)), pid)
            wait_until(lambda: self.backends(d)[pid] == "running", "the old one to be ready")
            self.assertEqual(self.backends(d)[other], "starting")
        wait_until(lambda: self.backends(d) == {other: "starting"}, "the end of the old one")
        self.assertEqual((d.service("f")["state"], len(self.ready(d))), ("starting", 1))
        with open(self.go + ".new", "w", encoding="utf-8"):
            pass
        d.wait_service("f", state="active")

    @staticmethod
    def backends(d):
        return {i["pid"]: i["state"] for i in d.instances("f") if i["status"] == "backend"}

    def test_udp_is_ready_at_once(self):
        """Nothing tells whether somebody is there."""
        d = self.own(to=f"udp:127.0.0.1:{free_port()}", listen="udp:127.0.0.1:0", start="now")
        d.wait_service("f", state="active")
        self.assertEqual(len(self.ready(d)), 1)

    def test_unix_datagrams(self):
        """The first one waits in the queue until somebody is there."""
        folder = self.temporary_folder()
        d = self.own(to=f"unix-dgram:{folder}/backend", listen=f"unix-dgram:{folder}/f")
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as c:
            c.settimeout(DEADLINE)
            c.bind(f"{folder}/client")
            c.sendto(b"first", f"{folder}/f")
            self.assert_starting(d)
            self.assertEqual(d.service("f")["active"], 0)
            self.let_go()
            self.assertEqual(c.recv(100), b"first")
        self.assertEqual(len(self.ready(d)), 1)
        d.wait_service("f", state="active", active=1)


if __name__ == "__main__":
    unittest.main()
