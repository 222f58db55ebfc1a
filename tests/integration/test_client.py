# SPDX-License-Identifier: MIT
"""mp-client, for people and for load, with servers of the test's own, and with the real daemon."""
import contextlib
import errno
import json
import os
import pty
import signal
import socket
import subprocess
import tempfile
import threading
import time
import unittest

from harness import SERVICES, DaemonTest, children_of, free_port, process_alive, sanitizer_environment, wait_until

CLIENT = os.path.join(SERVICES, "mp-client")
BOTH = ([], ["--split"])
DEADLINE = 30


def start(*args, **kw):
    environment = {**os.environ, "LANG": "C.UTF-8", **sanitizer_environment()}
    return subprocess.Popen([CLIENT, *args], env=environment,
                            **{"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "stderr": subprocess.PIPE, **kw})


def run(*args, data=b""):
    """(status, stdout, stderr) of a client with this input."""
    process = start(*args)
    try:
        out, err = process.communicate(data, DEADLINE)
    except subprocess.TimeoutExpired:
        process.kill()
        raise
    return process.returncode, out, err.decode()


class Server:
    """One listener; handle(connection) in a thread for each connection."""

    def __init__(self, test, handle, kind=socket.SOCK_STREAM, address=("127.0.0.1", 0), backlog=1024):
        family = {str: socket.AF_UNIX}.get(type(address), socket.AF_INET6 if ":" in address[0] else socket.AF_INET)
        self.listener = socket.socket(family, kind)
        self.listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        self.listener.bind(address)
        self.listener.listen(backlog)
        self.port = self.listener.getsockname()[1] if family != socket.AF_UNIX else None
        self.handle = handle
        self.connections = 0
        self.thread = threading.Thread(target=self.serve, daemon=True)
        self.thread.start()
        test.addCleanup(self.close)

    def close(self):
        with contextlib.suppress(OSError):
            self.listener.shutdown(socket.SHUT_RDWR)
        self.listener.close()
        self.thread.join(DEADLINE)

    def serve(self):
        while True:
            try:
                connection, _ = self.listener.accept()
            except OSError:
                return
            self.connections += 1
            threading.Thread(target=self.guard, args=(connection,), daemon=True).start()

    def guard(self, connection):
        with connection, contextlib.suppress(OSError):
            self.handle(connection)


def echo(connection):
    while data := connection.recv(65536):
        connection.sendall(data)


def say(data, linger=None):
    def handle(connection):
        if linger:
            connection.recv(1)
            connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
        connection.sendall(data)
    return handle


class Talk(unittest.TestCase):
    def test_echo_is_binary_clean(self):
        data = bytes(range(256)) * 8000
        server = Server(self, echo)
        for option in BOTH:
            with self.subTest(option):
                status, out, err = run(*option, f"tcp:{server.port}", data=data)
                self.assertEqual((status, err), (0, ""))
                self.assertTrue(out == data)

    def test_reply_after_the_end_of_input(self):
        def handle(connection):
            size = 0
            while data := connection.recv(65536):
                size += len(data)
            time.sleep(0.2)
            connection.sendall(b"%d bytes" % size)
        server = Server(self, handle)
        for option in BOTH:
            with self.subTest(option):
                self.assertEqual(run(*option, f"tcp:127.0.0.1:{server.port}", data=b"x" * 100000),
                                 (0, b"100000 bytes", ""))

    def test_sends_and_receives_at_the_same_time(self):
        """A server that answers only when the first line has come, before the second is typed."""
        server = Server(self, echo)
        for option in BOTH:
            with self.subTest(option):
                process = start(*option, f"tcp:{server.port}")
                for line in (b"first\n", b"second\n"):
                    process.stdin.write(line)
                    process.stdin.flush()
                    self.assertEqual(process.stdout.readline(), line)
                out, err = process.communicate(timeout=DEADLINE)
                self.assertEqual((process.returncode, out, err), (0, b"", b""))

    def test_notices_at_once_when_the_server_ends(self):
        server = Server(self, say(b"bye\n"))
        for option in BOTH:
            with self.subTest(option):
                begin = time.monotonic()
                process = start(*option, f"tcp:{server.port}")
                self.addCleanup(process.stdin.close)
                self.assertEqual(process.wait(DEADLINE), 1)  # our input is still open
                self.assertLess(time.monotonic() - begin, 5)
                self.assertEqual(process.stdout.read(), b"bye\n")
                self.assertIn(b"the server closed the connection before our input ended", process.stderr.read())
                process.stdout.close()
                process.stderr.close()

    def test_quiet(self):
        server = Server(self, say(b"bye\n"))
        process = start("-q", f"tcp:{server.port}")
        self.addCleanup(process.stdin.close)
        self.assertEqual(process.wait(DEADLINE), 1)
        self.assertEqual(process.stderr.read(), b"")
        process.stdout.close()
        process.stderr.close()

    def test_reset(self):
        server = Server(self, say(b"", linger=True))
        for option in BOTH:
            with self.subTest(option):
                status, _, err = run(*option, f"tcp:{server.port}", data=b"xy")
                self.assertEqual(status, 1)
                self.assertIn("broke off the connection: Connection reset by peer", err)

    def test_no_input(self):
        server = Server(self, say(b"now"))
        for option in BOTH:
            with self.subTest(option):
                self.assertEqual(run("--no-input", *option, f"tcp:{server.port}"), (0, b"now", ""))

    def test_no_half_close(self):
        ended = []

        def handle(connection):
            connection.settimeout(0.5)
            self.assertEqual(connection.recv(100), b"hi")
            try:
                ended.append(connection.recv(100))
            except TimeoutError:
                connection.sendall(b"still here")
        server = Server(self, handle)
        for option in BOTH:
            with self.subTest(option):
                self.assertEqual(run("--no-half-close", *option, f"tcp:{server.port}", data=b"hi"),
                                 (0, b"still here", ""))
        self.assertEqual(ended, [])

    def test_timeout(self):
        server = Server(self, lambda connection: time.sleep(DEADLINE))
        for option in BOTH:
            with self.subTest(option):
                status, _, err = run("--timeout", "200ms", *option, f"tcp:{server.port}")
                self.assertEqual(status, 1)
                self.assertIn("nothing moved", err)

    def test_timeout_of_connecting(self):
        """A listener whose queue is full answers nothing."""
        with socket.create_server(("127.0.0.1", 0), backlog=0) as listener, contextlib.ExitStack() as stack:
            port = listener.getsockname()[1]
            for _ in range(4):
                client = stack.enter_context(socket.socket())
                client.setblocking(False)
                client.connect_ex(("127.0.0.1", port))
            begin = time.monotonic()
            status, _, err = run("--timeout", "300ms", f"tcp:127.0.0.1:{port}")
            self.assertEqual(status, 1)
            self.assertIn("Connection timed out", err)
            self.assertLess(time.monotonic() - begin, 10)
            result = json.loads(run("--load", "--json", "--timeout", "300ms", f"tcp:127.0.0.1:{port}")[1])
            self.assertEqual(result["failures"], [{"kind": "timeout", "count": 1, "errno": None}])

    def test_as_a_service(self):
        """Its standard streams one socket, as the daemon passes them: a small forwarder."""
        server = Server(self, echo)
        ours, theirs = socket.socketpair()
        with ours:
            ours.settimeout(DEADLINE)
            process = start(f"tcp:{server.port}", stdin=theirs, stdout=theirs)
            theirs.close()
            data = bytes(range(256)) * 4096
            sender = threading.Thread(target=lambda: (ours.sendall(data), ours.shutdown(socket.SHUT_WR)))
            sender.start()
            got = b""
            while part := ours.recv(65536):
                got += part
            sender.join()
            self.assertTrue(got == data)
            self.assertEqual(process.wait(DEADLINE), 0)
            process.stderr.close()

    def test_sigint_ends_both_processes(self):
        server = Server(self, lambda connection: time.sleep(DEADLINE))
        for option in BOTH:
            with self.subTest(option):
                before = server.connections
                process = start(*option, f"tcp:{server.port}")
                wait_until(lambda: server.connections > before and (not option or children_of(process.pid)),
                           "the connection")
                children = [pid for pid, _ in children_of(process.pid)]
                process.send_signal(signal.SIGINT)
                self.assertEqual(process.wait(DEADLINE), -signal.SIGINT)
                wait_until(lambda: not any(process_alive(pid) for pid in children), "the end of the sender")
                for stream in (process.stdin, process.stdout, process.stderr):
                    stream.close()

    def test_sigpipe(self):
        """A reader of our output that leaves ends it, as it ends cat."""
        server = Server(self, lambda c: [c.sendall(b"x" * 65536) for _ in range(100000)])
        for option in BOTH:
            with self.subTest(option):
                process = start("--no-input", *option, f"tcp:{server.port}")
                process.stdout.read(10)
                process.stdout.close()
                self.assertEqual(process.wait(DEADLINE), -signal.SIGPIPE)
                self.assertEqual(process.stderr.read(), b"")
                process.stdin.close()
                process.stderr.close()

    def test_full_disk(self):
        server = Server(self, say(b"x" * 100))
        with open("/dev/full", "wb") as full:
            process = start("--no-input", f"tcp:{server.port}", stdout=full)
            self.assertEqual(process.communicate(timeout=DEADLINE)[1].count(b"No space left"), 1)
            self.assertEqual(process.returncode, 1)

    def test_closed_standard_streams(self):
        server = Server(self, echo)
        status = subprocess.run(["sh", "-c", f"exec {CLIENT} tcp:{server.port} <&- >&-"], timeout=DEADLINE,
                                env={**os.environ, **sanitizer_environment()}, check=False).returncode
        self.assertEqual(status, 0)

    def test_terminal(self):
        """On a terminal: the greeting, echo of a line, Ctrl-D."""
        server = Server(self, echo)
        leader, follower = pty.openpty()
        process = start(f"tcp:{server.port}", stdin=follower, stderr=follower)
        os.close(follower)
        self.addCleanup(os.close, leader)
        self.assertIn(b"connected to 127.0.0.1:%d" % server.port, os.read(leader, 1000))
        os.write(leader, b"hello\n\4")
        self.assertEqual(process.stdout.read(), b"hello\n")
        self.assertEqual(process.wait(DEADLINE), 0)
        process.stdout.close()

    def test_kinds(self):
        with tempfile.TemporaryDirectory() as folder:
            path = os.path.join(folder, "s")
            Server(self, echo, address=path)
            Server(self, echo, address="\0mp-client-test-%d" % os.getpid())
            Server(self, echo, kind=socket.SOCK_SEQPACKET, address=path + "q")
            for option in BOTH:
                for endpoint in (f"unix:{path}", "unix:@mp-client-test-%d" % os.getpid(), f"unix-seqpacket:{path}q"):
                    with self.subTest((option, endpoint)):
                        self.assertEqual(run(*option, endpoint, data=b"one\ntwo\n"), (0, b"one\ntwo\n", ""))

    def test_seqpacket_messages(self):
        got = []

        def handle(connection):
            while data := connection.recv(65536):
                got.append(data)
                connection.sendall(b"ok")
        with tempfile.TemporaryDirectory() as folder:
            path = os.path.join(folder, "s")
            Server(self, handle, kind=socket.SOCK_SEQPACKET, address=path)
            self.assertEqual(run(f"unix-seqpacket:{path}", data=b"one\ntwo\nend"), (0, b"okokok", ""))
            self.assertEqual(run("--whole", "--split", f"unix-seqpacket:{path}", data=b"a\0b\nc"), (0, b"ok", ""))
        self.assertEqual(got, [b"one\n", b"two\n", b"end", b"a\0b\nc"])

    def test_datagrams(self):
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as server:
            server.bind(("127.0.0.1", 0))
            server.settimeout(DEADLINE)
            for option in BOTH:
                process = start("--whole", *option, f"udp:{server.getsockname()[1]}", stdin=subprocess.DEVNULL)
                data, address = server.recvfrom(100)
                self.assertEqual(data, b"")
                server.sendto(b"answer", address)
                out, err = process.communicate(timeout=DEADLINE)
                self.assertEqual((process.returncode, out, err), (0, b"answer", b""))

    def test_ipv6_of_this_host(self):
        """Nobody at 127.0.0.1: ::1 is tried."""
        try:
            server = Server(self, echo, address=("::1", 0))
        except OSError as error:
            if error.errno in (errno.EADDRNOTAVAIL, errno.EAFNOSUPPORT):
                self.skipTest("no IPv6 here")
            raise
        self.assertEqual(run(f"tcp:{server.port}", data=b"six"), (0, b"six", ""))
        self.assertEqual(run(f"tcp:[::1]:{server.port}", data=b"six"), (0, b"six", ""))
        status, out, _ = run("--load", "-c", "4", "-n", "20", "--json", f"tcp:{server.port}")
        result = json.loads(out)
        self.assertEqual((status, result["answered"], result["failed"]), (0, 20, 0))
        self.assertEqual(result["address"], f"[::1]:{server.port}")

    def test_refused(self):
        for option in BOTH:
            status, out, err = run(*option, f"tcp:{free_port()}")
            self.assertEqual((status, out), (1, b""))
            self.assertIn("Connection refused", err)

    def test_usage(self):
        for args in ([], ["x"], ["tcp:1", "tcp:2"], ["-c", "3", "tcp:1"], ["--load", "--split", "tcp:1"],
                     ["--load", "--send", "x", "tcp:1"], ["--load", "--read", "udp:1"], ["--nonsense", "tcp:1"],
                     ["--load", "-c", "0", "tcp:1"], ["--timeout", "soon", "tcp:1"], ["tcp:99999"]):
            with self.subTest(args):
                status, out, err = run(*args)
                self.assertEqual((status, out), (2, b""))
                self.assertIn("Try 'mp-client --help'", err)

    def test_help(self):
        status, out, err = run("--help")
        self.assertEqual((status, err), (0, ""))
        self.assertTrue(all(len(line) <= 80 for line in out.decode().splitlines()))
        self.assertEqual(run("-h"), (status, out, err))
        with open("/dev/full", "wb") as full:
            process = start("--help", stdout=full)
            process.communicate(timeout=DEADLINE)
            self.assertEqual(process.returncode, 1)


class Load(unittest.TestCase):
    def load(self, *args, status=0):
        got, out, err = run("--load", "--json", *args)
        self.assertEqual(got, status, err)
        return json.loads(out)

    def test_echo(self):
        server = Server(self, echo)
        result = self.load("-c", "10", "-n", "100", "-r", "3", "-s", "10K", f"tcp:{server.port}")
        self.assertEqual((result["answered"], result["failed"], result["requests"]), (100, 0, 300))
        self.assertEqual((result["sent_bytes"], result["received_bytes"]), (300 * 10240, 300 * 10240))
        self.assertEqual(server.connections, 100)
        self.assertEqual(result["latency_usec"]["request"]["count"], 300)
        for what in ("connect", "request", "whole"):
            l = result["latency_usec"][what]
            self.assertTrue(0 < l["p50"] <= l["p90"] <= l["p99"] <= l["p999"] <= l["max"], (what, l))
        self.assertLessEqual(result["most_open"], 10)

    def test_large_requests(self):
        """More than any socket buffer holds, so that it must read while it sends."""
        server = Server(self, echo)
        result = self.load("-c", "2", "-n", "4", "-s", "20M", f"tcp:{server.port}")
        self.assertEqual((result["answered"], result["received_bytes"]), (4, 80 << 20))

    def test_one_wrong_byte(self):
        def handle(connection):
            data = bytearray(connection.recv(65536))
            data[40] ^= 1
            connection.sendall(data)
        server = Server(self, handle)
        result = self.load("-n", "5", f"tcp:{server.port}", status=1)
        self.assertEqual(result["failures"], [{"kind": "wrong", "count": 5, "errno": None}])

    def test_kinds_of_failures(self):
        refused = free_port()
        for handle, option, kind, error in (
                (lambda c: c.recv(100), [], "no-reply", None),
                (lambda c: c.sendall(c.recv(64)[:10]), [], "short", None),
                (lambda c: c.sendall(c.recv(64) + b"!"), [], "excess", None),
                (say(b"", linger=True), ["-s", "100"], "broken", "ECONNRESET"),
                (lambda c: time.sleep(10), ["--timeout", "300ms"], "timeout", None),
                (None, [], "connect", "ECONNREFUSED")):
            with self.subTest(kind):
                port = Server(self, handle).port if handle else refused
                result = self.load("-c", "2", "-n", "4", *option, f"tcp:127.0.0.1:{port}", status=1)
                self.assertEqual(result["failures"], [{"kind": kind, "count": 4, "errno": error}])
                self.assertEqual((result["begun"], result["answered"], result["failed"]), (4, 0, 4))

    def test_text(self):
        def handle(connection):
            while connection.recv(4) == b"ping":
                connection.sendall(b"pong")
        server = Server(self, handle)
        result = self.load("-n", "3", "-r", "5", "--send", "ping", "--expect", "pong", f"tcp:{server.port}")
        self.assertEqual((result["answered"], result["requests"]), (3, 15))
        with tempfile.NamedTemporaryFile() as file:
            file.write(b"pong")
            file.flush()
            self.load("--send", "ping", "--expect", "file:" + file.name, f"tcp:{server.port}")
        result = self.load("--send", "ping", "--expect", "pang", f"tcp:{server.port}", status=1)
        self.assertEqual(result["failures"][0]["kind"], "wrong")
        self.assertEqual(run("--load", "--send", "file:/nonexistent", "--expect", "x", f"tcp:{server.port}")[0], 1)

    def test_read(self):
        server = Server(self, say(b"It is late.\n"))
        self.assertEqual(self.load("--read", "-n", "10", "-c", "3", f"tcp:{server.port}")["answered"], 10)
        self.load("--read", "--expect", "It is late.\n", f"tcp:{server.port}")
        self.assertEqual(self.load("--read", "--expect", "It is late", f"tcp:{server.port}", status=1)["failures"],
                         [{"kind": "excess", "count": 1, "errno": None}])
        nothing = Server(self, say(b""))
        self.assertEqual(self.load("--read", f"tcp:{nothing.port}", status=1)["failures"][0]["kind"], "no-reply")

    def test_time(self):
        server = Server(self, echo)
        begin = time.monotonic()
        result = self.load("-c", "4", "--time", "300ms", f"tcp:{server.port}")
        self.assertLess(time.monotonic() - begin, 10)
        self.assertGreater(result["answered"], 4)
        self.assertEqual(result["answered"], result["begun"])

    def test_hold(self):
        server = Server(self, echo)
        result = self.load("-c", "20", "--hold", "500ms", f"tcp:{server.port}")
        self.assertEqual((result["answered"], result["most_open"]), (20, 20))
        self.assertGreaterEqual(result["seconds"], 0.5)
        self.assertLess(result["latency_usec"]["whole"]["p50"], 450000)

    def test_datagrams(self):
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as server:
            server.bind(("127.0.0.1", 0))
            count = [0]

            def serve():
                with contextlib.suppress(OSError):
                    while True:
                        data, address = server.recvfrom(65536)
                        count[0] += 1
                        if data and count[0] != 5:
                            server.sendto(data, address)
                        elif not data:
                            return
            thread = threading.Thread(target=serve)
            thread.start()
            port = server.getsockname()[1]
            result = self.load("-c", "2", "-n", "10", "--timeout", "1s", f"udp:{port}", status=1)
            server.sendto(b"", ("127.0.0.1", port))
            thread.join()
        self.assertEqual(result["answered"], 9)
        self.assertEqual(result["failures"], [{"kind": "timeout", "count": 1, "errno": None}])

    def test_full_queue_of_a_unix_listener(self):
        """It cannot be waited for, and is tried again until it has room."""
        with tempfile.TemporaryDirectory() as folder:
            path = os.path.join(folder, "s")

            def handle(connection):
                time.sleep(0.01)
                echo(connection)
            Server(self, handle, address=path, backlog=1)
            result = self.load("-c", "50", "-n", "200", f"unix:{path}")
            self.assertEqual((result["answered"], result["failed"]), (200, 0))

    def test_interrupted(self):
        server = Server(self, lambda connection: time.sleep(DEADLINE))
        process = start("--load", "--json", "-c", "3", f"tcp:{server.port}")
        wait_until(lambda: server.connections == 3, "three connections")
        process.send_signal(signal.SIGINT)
        out, _ = process.communicate(timeout=DEADLINE)
        self.assertEqual(process.returncode, -signal.SIGINT)
        result = json.loads(out)
        self.assertEqual((result["begun"], result["interrupted"], result["failed"]), (3, 3, 0))

    def test_progress_on_a_terminal(self):
        server = Server(self, echo)
        leader, follower = pty.openpty()
        process = start("--load", "--hold", "700ms", f"tcp:{server.port}", stderr=follower)
        os.close(follower)
        self.addCleanup(os.close, leader)
        out, _ = process.communicate(timeout=DEADLINE)
        self.assertEqual(process.returncode, 0)
        self.assertIn(b"0 of 1 connections in", os.read(leader, 10000))
        self.assertIn(b"failures     none", out)

    def test_limit_of_open_files(self):
        status, _, err = run("--load", "-c", "1000000", "tcp:1") if os.getuid() else (1, b"", "")
        if os.getuid() == 0:
            process = subprocess.run(["setpriv", "--reuid", "65534", "--clear-groups", "--inh-caps=-all", "sh", "-c",
                                      f"ulimit -n 100; exec {CLIENT} --load -c 100 tcp:1"],
                                     stderr=subprocess.PIPE, timeout=DEADLINE, check=False,
                                     env={**os.environ, **sanitizer_environment()})
            status, err = process.returncode, process.stderr.decode()
        self.assertEqual(status, 1)
        self.assertIn("ulimit -Hn", err)

    def test_out_of_ports(self):
        """Its own limit is told as such. In a network of its own, with four ports."""
        if os.getuid() != 0:
            self.skipTest("needs root")
        script = (f"ip link set lo up && echo '40000 40003' > /proc/sys/net/ipv4/ip_local_port_range && "
                  f"{{ {SERVICES}/mp-echo --help >/dev/null; {CLIENT} --load -c 20 -n 20 --hold 300ms --json "
                  "tcp:127.0.0.1:7777; }")
        server = ("import socket,threading\ns=socket.create_server(('127.0.0.1',7777),backlog=100)\n"
                  "import subprocess,sys\n"
                  "def f():\n while True:\n  c,_=s.accept()\n"
                  "  threading.Thread(target=lambda c=c: [c.sendall(d) for d in iter(lambda: c.recv(999), b'')] "
                  "and c.close() or c.close(), daemon=True).start()\n"
                  "threading.Thread(target=f, daemon=True).start()\n"
                  "sys.exit(subprocess.call(['sh','-c',sys.argv[1].split('&&',1)[1]]))")
        process = subprocess.run(["unshare", "-n", "sh", "-c", 'ip link set lo up && exec python3 -c "$1" "$2"', "-",
                                  server, script], stdout=subprocess.PIPE, timeout=DEADLINE, check=False,
                                 env={**os.environ, **sanitizer_environment()})
        result = json.loads(process.stdout)
        self.assertEqual(process.returncode, 1)
        self.assertEqual(result["failures"], [{"kind": "local", "count": 16, "errno": "EADDRNOTAVAIL"}])
        self.assertEqual(result["answered"], 4)
        self.assertIn("out of free ports", result["notes"][0])


class WithDaemon(DaemonTest):
    def test_load_on_each_model(self):
        d = self.daemon({"services": {
            "each": {"listen": "tcp:127.0.0.1:0", "exec": ["mp-echo"]},
            "one": {"listen": "tcp:127.0.0.1:0", "model": "on-demand", "exec": ["mp-echo"]},
            "path": {"listen": "unix:{dir}/s", "exec": ["mp-echo"]},
            "time": {"listen": "tcp:127.0.0.1:0", "exec": ["mp-daytime"]}}})
        for service in ("each", "one"):
            status, out, err = run("--load", "-c", "8", "-n", "50", "-r", "2", "--json",
                                   f"tcp:127.0.0.1:{d.port(service)}")
            self.assertEqual(status, 0, out.decode() + err)
        self.assertEqual(run("--load", "-c", "8", "-n", "50", f"unix:{d.path('s')}")[0], 0)
        self.assertEqual(run("--load", "--read", "-n", "20", f"tcp:127.0.0.1:{d.port('time')}")[0], 0)
        self.assertEqual(d.wait_idle("each")["accepted"], 50)
        self.assertEqual(d.wait_idle("path")["accepted"], 50)
        self.assertEqual(d.wait_idle("time")["accepted"], 20)

    def test_refused_ones_are_counted(self):
        d = self.daemon({"services": {"e": {"listen": "tcp:127.0.0.1:0", "exec": ["mp-echo"],
                                            "limits": {"instances": 2, "when_full": "refuse"}}}})
        status, out, _ = run("--load", "-c", "10", "--hold", "500ms", "--json", f"tcp:127.0.0.1:{d.port('e')}")
        result = json.loads(out)
        self.assertEqual((status, result["answered"], result["failed"]), (1, 2, 8))
        self.assertTrue(all(f["kind"] in ("no-reply", "broken") for f in result["failures"]), result["failures"])


if __name__ == "__main__":
    unittest.main()
