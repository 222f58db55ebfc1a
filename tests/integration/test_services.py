# SPDX-License-Identifier: MIT
"""The shipped services as programs of their own, without the daemon: each way of handing over a socket."""

import array
import calendar
import fcntl
import os
import re
import select
import signal
import socket
import struct
import subprocess
import tempfile
import threading
import time
import unittest

from harness import SERVICES

NAMES = ["mp-echo", "mp-discard", "mp-chargen", "mp-daytime", "mp-time"]
DEADLINE = 20
DAYTIME = re.compile(
    rb"(Sun|Mon|Tue|Wed|Thu|Fri|Sat) (Jan|Feb|Mar|Apr|May|Jun|Jul|Aug|Sep|Oct|Nov|Dec)"
    rb" [ \d]\d \d\d:\d\d:\d\d \d{4}\r\n\Z"
)


def program(name):
    return os.path.join(SERVICES, name)


def chargen(n, first_line=0):
    """The first n bytes of the pattern of RFC 864."""
    ring = bytes(range(0x20, 0x7F))
    out = bytearray()
    line = first_line
    while len(out) < n:
        out += bytes(ring[(line + i) % 95] for i in range(72)) + b"\r\n"
        line += 1
    return bytes(out[:n])


def start(argv, stderr, fds=None, names=None, stdin=None, stdout=None, status=None, env=None):
    """Starts argv with fds from 3 upwards by LISTEN_FDS, or with the given stdin and stdout."""
    fds = [f if isinstance(f, int) else f.fileno() for f in fds or []]
    environment = {"PATH": "/usr/bin:/bin", "LANG": "C", **(env or {})}
    if "ASAN_OPTIONS" in os.environ:
        environment["ASAN_OPTIONS"] = os.environ["ASAN_OPTIONS"]
    pid = os.fork()
    if pid == 0:
        try:
            if stdin == "closed":
                os.close(0)
            else:
                os.dup2(stdin if stdin is not None else os.open("/dev/null", os.O_RDWR), 0)
            if stdout is not None:
                os.dup2(stdout, 1)
            os.dup2(stderr.fileno(), 2)
            copies = [fcntl.fcntl(f, fcntl.F_DUPFD, 100) for f in fds + ([status] if status is not None else [])]
            for i, f in enumerate(copies):
                os.dup2(f, 3 + i)
            os.closerange(3 + len(copies), 1024)
            if status is not None:
                environment["MP_STATUS_FD"] = str(3 + len(fds))
            if fds:
                environment["LISTEN_FDS"] = str(len(fds))
                environment["LISTEN_PID"] = str(os.getpid())
                if names:
                    environment["LISTEN_FDNAMES"] = names
            # Python ignores SIGPIPE; a daemon's child has it at its default.
            signal.signal(signal.SIGPIPE, signal.SIG_DFL)
            os.execve(argv[0], argv, environment)
        finally:
            os._exit(127)
    return pid


class Process:
    """A started service; always ended."""

    def __init__(self, test, name, *args, **kw):
        self.stderr = tempfile.TemporaryFile()
        test.addCleanup(self.stderr.close)
        self.pid = start([program(name), *args], self.stderr, **kw)
        self.status = None
        test.addCleanup(self.kill)

    def wait(self, deadline=DEADLINE):
        end = time.monotonic() + deadline
        while self.status is None:
            pid, status = os.waitpid(self.pid, os.WNOHANG)
            if pid:
                self.status = os.waitstatus_to_exitcode(status)
            elif time.monotonic() > end:
                raise AssertionError("process %d did not end" % self.pid)
            else:
                time.sleep(0.005)
        if self.status == 0 and self.messages():
            raise AssertionError("it should be silent: " + self.messages())
        return self.status

    def messages(self):
        self.stderr.seek(0)
        return self.stderr.read().decode()

    def signal(self, number):
        os.kill(self.pid, number)

    def is_running(self):
        if self.status is None:
            pid, status = os.waitpid(self.pid, os.WNOHANG)
            if pid:
                self.status = os.waitstatus_to_exitcode(status)
        return self.status is None

    def kill(self):
        if self.is_running():
            self.signal(signal.SIGKILL)
            self.wait()


def read_all(sock):
    parts = []
    while True:
        part = sock.recv(65536)
        if not part:
            return b"".join(parts)
        parts.append(part)


def read_exactly(sock, n):
    data = b""
    while len(data) < n:
        part = sock.recv(n - len(data))
        if not part:
            break
        data += part
    return data


class Base(unittest.TestCase):
    def close_later(self, sock):
        self.addCleanup(sock.close)
        return sock

    def tcp_pair(self):
        with socket.create_server(("127.0.0.1", 0)) as listener:
            client = self.close_later(socket.create_connection(listener.getsockname()))
            server, _ = listener.accept()
        client.settimeout(DEADLINE)
        return client, self.close_later(server)

    def tcp_listener(self, host="127.0.0.1"):
        family = socket.AF_INET6 if ":" in host else socket.AF_INET
        return self.close_later(socket.create_server((host, 0), family=family))

    def udp(self, host="127.0.0.1", port=0):
        family = socket.AF_INET6 if ":" in host else socket.AF_INET
        sock = self.close_later(socket.socket(family, socket.SOCK_DGRAM))
        if family == socket.AF_INET6:
            sock.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
        sock.bind((host, port))
        sock.settimeout(DEADLINE)
        return sock

    def connect(self, listener):
        sock = socket.socket(listener.family, listener.type)
        self.close_later(sock).settimeout(DEADLINE)
        sock.connect(listener.getsockname())
        return sock

    def connection(self, name, how):
        """A client connected to a per-connection process, and the process."""
        client, server = self.tcp_pair()
        if how == "stdio":
            process = Process(self, name, stdin=server.fileno(), stdout=server.fileno())
        else:
            process = Process(self, name, fds=[server], names="connection")
        server.close()
        return client, process

    def ready(self, name, fds, *args):
        """A process that was given listeners and has said that it serves them."""
        read_end, write_end = os.pipe()
        self.addCleanup(os.close, read_end)
        process = Process(self, name, *args, fds=fds, status=write_end)
        os.close(write_end)
        wait_for_report(self, read_end, b"READY=1\n")
        return process

    def half_closed(self, name, how, data):
        client, process = self.connection(name, how)
        writer = threading.Thread(target=lambda: (client.sendall(data), client.shutdown(socket.SHUT_WR)))
        writer.start()
        reply = read_all(client)
        writer.join()
        self.assertEqual(process.wait(), 0)
        return reply


class PerConnection(Base):
    def test_echo_10mb(self):
        data = os.urandom(10 << 20)
        for how in ("stdio", "listen_fds"):
            with self.subTest(how=how):
                self.assertTrue(self.half_closed("mp-echo", how, data) == data)

    def test_echo_of_nothing(self):
        self.assertEqual(self.half_closed("mp-echo", "stdio", b""), b"")

    def test_echo_at_once(self):
        client, process = self.connection("mp-echo", "stdio")
        for line in (b"a", b"hello\n", b"\0\xff" * 100):
            client.sendall(line)
            self.assertEqual(read_exactly(client, len(line)), line)
        client.close()
        self.assertEqual(process.wait(), 0)

    def test_discard(self):
        self.assertEqual(self.half_closed("mp-discard", "listen_fds", b"x" * 1000000), b"")

    def test_daytime(self):
        client, process = self.connection("mp-daytime", "stdio")
        self.assertRegex(read_all(client), DAYTIME)
        self.assertEqual(process.wait(), 0)

    def test_daytime_zone_and_locale(self):
        client, server = self.tcp_pair()
        Process(self, "mp-daytime", fds=[server], env={"TZ": "XYZ-5:30", "LC_ALL": "de_DE.UTF-8", "LANG": "de_DE.UTF-8"})
        server.close()
        text = read_all(client)
        self.assertRegex(text, DAYTIME)
        shown = calendar.timegm(time.strptime(text.decode().strip(), "%a %b %d %H:%M:%S %Y"))
        self.assertAlmostEqual(shown, time.time() + 5.5 * 3600, delta=5)

    def test_time(self):
        client, process = self.connection("mp-time", "listen_fds")
        (seconds,) = struct.unpack("!I", read_all(client))
        self.assertAlmostEqual(seconds, time.time() + 2208988800, delta=5)
        self.assertEqual(process.wait(), 0)

    def test_answer_survives_what_the_client_said(self):
        """Unread input would make the close a reset."""
        for name in ("mp-daytime", "mp-time"):
            client, server = self.tcp_pair()
            client.sendall(b"x" * 5000)
            time.sleep(0.05)
            process = Process(self, name, stdin=server.fileno(), stdout=server.fileno())
            server.close()
            self.assertEqual(process.wait(), 0)
            self.assertIn(len(read_all(client)), (4, 26))

    def test_chargen(self):
        client, process = self.connection("mp-chargen", "stdio")
        client.sendall(b"ignored")
        self.assertEqual(read_exactly(client, 200000), chargen(200000))
        client.close()
        self.assertEqual(process.wait(), 0)

    def test_client_resets(self):
        for name in NAMES:
            with self.subTest(name=name):
                client, process = self.connection(name, "stdio")
                client.sendall(b"x" * 1000)
                client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
                client.close()
                self.assertEqual(process.wait(), 0)

    def test_unix_stream(self):
        client, server = socket.socketpair(socket.AF_UNIX, socket.SOCK_STREAM)
        self.close_later(client).settimeout(DEADLINE)
        process = Process(self, "mp-echo", stdin=server.fileno(), stdout=server.fileno())
        server.close()
        client.sendall(b"hi")
        client.shutdown(socket.SHUT_WR)
        self.assertEqual(read_all(client), b"hi")
        self.assertEqual(process.wait(), 0)

    def test_shared_flags_stay(self):
        """A service must not make a shell's pipes or terminal non-blocking."""
        client, server = self.tcp_pair()
        process = Process(self, "mp-echo", stdin=server.fileno(), stdout=server.fileno())
        client.sendall(b"x")
        self.assertEqual(client.recv(10), b"x")
        self.assertEqual(fcntl.fcntl(server, fcntl.F_GETFL) & os.O_NONBLOCK, 0)
        server.close()
        client.close()
        process.wait()

    def test_pipes(self):
        def run(name, data):
            done = subprocess.run([program(name)], input=data, stdout=subprocess.PIPE, timeout=DEADLINE)
            return done.returncode, done.stdout

        big = os.urandom(1 << 20)
        self.assertEqual(run("mp-echo", b"hi\n"), (0, b"hi\n"))
        self.assertTrue(run("mp-echo", big) == (0, big))
        self.assertEqual(run("mp-discard", big), (0, b""))
        self.assertEqual(len(run("mp-time", b"")[1]), 4)
        self.assertRegex(run("mp-daytime", b"what time is it?")[1], DAYTIME)

    def test_pipe_that_says_nothing(self):
        """A producer does not wait for its input."""
        quiet, keep = os.pipe()
        self.addCleanup(os.close, keep)
        done = subprocess.run([program("mp-daytime")], stdin=quiet, stdout=subprocess.PIPE, timeout=DEADLINE)
        os.close(quiet)
        self.assertRegex(done.stdout, DAYTIME)

    def test_chargen_into_a_pipe_that_ends(self):
        out_read, out_write = os.pipe()
        process = Process(self, "mp-chargen", stdout=out_write)
        os.close(out_write)
        self.assertEqual(os.read(out_read, 74), chargen(74))
        os.close(out_read)
        self.assertEqual(process.wait(), 0)

    def test_term(self):
        client, process = self.connection("mp-echo", "stdio")
        client.sendall(b"x")
        client.recv(1)
        process.signal(signal.SIGTERM)
        self.assertEqual(process.wait(), -signal.SIGTERM)


class Datagrams(Base):
    def serve(self, name, sock, *args, how="listen_fds", **kw):
        if how == "stdio":
            return Process(self, name, *args, stdin=sock.fileno(), stdout=sock.fileno(), **kw)
        return Process(self, name, *args, fds=[sock], **kw)

    def ask(self, server, data, client=None):
        client = client or self.udp(server.getsockname()[0])
        client.sendto(data, server.getsockname())
        reply, address = client.recvfrom(70000)
        self.assertEqual(address, server.getsockname())
        return reply

    def test_echo_sizes(self):
        for how in ("stdio", "listen_fds"):
            for host in ("127.0.0.1", "::1"):
                server = self.udp(host)
                process = self.serve("mp-echo", server, how=how)
                for n in (0, 1, 512, 2049, 9000, 65507):
                    data = os.urandom(n)
                    self.assertTrue(self.ask(server, data) == data)
                self.assertTrue(process.is_running())

    def test_chargen_is_never_longer_than_the_request(self):
        server = self.udp()
        self.serve("mp-chargen", server)
        for i, n in enumerate((0, 1, 74, 300, 512, 513, 9000)):
            self.assertEqual(self.ask(server, b"x" * n), chargen(min(n, 512), first_line=i))

    def test_daytime_and_time(self):
        for request in (b"", b"x" * 100):
            server = self.udp()
            self.serve("mp-daytime", server)
            self.assertRegex(self.ask(server, request), DAYTIME)
            server = self.udp()
            self.serve("mp-time", server)
            (seconds,) = struct.unpack("!I", self.ask(server, request))
            self.assertAlmostEqual(seconds, time.time() + 2208988800, delta=5)

    def test_discard_is_silent(self):
        server = self.udp()
        read_end, write_end = os.pipe()
        self.addCleanup(os.close, read_end)
        self.serve("mp-discard", server, status=write_end)
        os.close(write_end)
        client = self.udp()
        for _ in range(3):
            client.sendto(b"x", server.getsockname())
        wait_for_report(self, read_end, b"REQUESTS=3\n")
        self.assertEqual(select.select([client], [], [], 0)[0], [])

    def test_reply_comes_from_the_address_asked(self):
        for host, asked in (("0.0.0.0", "127.0.0.2"), ("0.0.0.0", "127.0.0.1"), ("::", "::1")):
            with self.subTest(asked=asked):
                server = self.udp(host)
                self.serve("mp-echo", server)
                client = self.udp("::1" if ":" in asked else "127.0.0.1")
                client.sendto(b"hi", (asked, server.getsockname()[1]))
                data, address = client.recvfrom(100)
                self.assertEqual((data, address[0]), (b"hi", asked))

    def test_reply_to_what_was_queued_comes_from_the_address_asked(self):
        """As the datagram that starts an on-demand service: it came before the service asked for its address."""
        for host, asked in (("0.0.0.0", "127.0.0.2"), ("::", "::1")):
            with self.subTest(asked=asked):
                server = self.udp(host)
                client = self.udp("::1" if ":" in asked else "127.0.0.1")
                client.sendto(b"hi", (asked, server.getsockname()[1]))
                self.serve("mp-echo", server)
                data, address = client.recvfrom(100)
                self.assertEqual((data, address[0]), (b"hi", asked))

    def test_asked_by_broadcast(self):
        """Before and after the service has asked for the address that datagrams were sent to."""
        server = self.udp("0.0.0.0")
        client = self.udp("127.0.0.1")
        client.setsockopt(socket.SOL_SOCKET, socket.SO_BROADCAST, 1)
        everyone = ("127.255.255.255", server.getsockname()[1])
        client.sendto(b"queued", everyone)
        self.serve("mp-echo", server)
        client.sendto(b"one", ("127.0.0.1", everyone[1]))
        self.assertEqual(client.recv(100), b"one")
        client.sendto(b"later", everyone)
        client.sendto(b"two", ("127.0.0.1", everyone[1]))
        self.assertEqual(client.recv(100), b"two")

    def test_mapped(self):
        server = self.close_later(socket.socket(socket.AF_INET6, socket.SOCK_DGRAM))
        server.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 0)
        server.bind(("::", 0))
        self.serve("mp-echo", server)
        client = self.udp("127.0.0.1")
        client.sendto(b"hi", ("127.0.0.3", server.getsockname()[1]))
        data, address = client.recvfrom(100)
        self.assertEqual((data, address[0]), (b"hi", "127.0.0.3"))

    def test_guard(self):
        """A request from the port number of the service is left unanswered and counted; the next is served."""
        server = self.udp("127.0.0.1")
        port = server.getsockname()[1]
        read_end, write_end = os.pipe()
        self.addCleanup(os.close, read_end)
        self.serve("mp-echo", server, status=write_end)
        os.close(write_end)
        evil = self.udp("127.0.0.2", port)
        evil.sendto(b"loop", server.getsockname())
        wait_for_report(self, read_end, b"X_DATAGRAMS_REFUSED=1\n")
        self.assertEqual(self.ask(server, b"fine"), b"fine")
        self.assertEqual(select.select([evil], [], [], 0)[0], [])

    @unittest.skipIf(os.geteuid() != 0, "needs root: a source port below 1024")
    def test_guard_privileged(self):
        server = self.udp("127.0.0.1")
        self.serve("mp-echo", server)
        try:
            evil = self.udp("127.0.0.1", 19)
        except OSError:
            self.skipTest("port 19 is taken")
        evil.sendto(b"loop", server.getsockname())
        self.assertEqual(self.ask(server, b"fine"), b"fine")
        self.assertEqual(select.select([evil], [], [], 0)[0], [])

    def test_vanished_clients(self):
        """Their ICMP errors do not end the service."""
        server = self.udp()
        process = self.serve("mp-echo", server)
        for _ in range(50):
            with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as client:
                client.sendto(b"gone", server.getsockname())
        self.assertEqual(self.ask(server, b"still there"), b"still there")
        self.assertTrue(process.is_running())

    def test_connected_refused(self):
        """A connected datagram socket gives ECONNREFUSED for what nobody received."""
        server = self.udp()
        client = self.udp()
        address = client.getsockname()
        server.connect(address)
        read_end, write_end = os.pipe()
        self.addCleanup(os.close, read_end)
        process = self.serve("mp-echo", server, status=write_end)
        os.close(write_end)
        wait_for_report(self, read_end, b"READY=1\n")
        process.signal(signal.SIGSTOP)
        client.sendto(b"gone", server.getsockname())
        client.close()
        process.signal(signal.SIGCONT)
        wait_for_report(self, read_end, b"REQUESTS=1\n")
        client = self.udp("127.0.0.1", address[1])
        self.assertEqual(self.ask(server, b"back", client), b"back")
        self.assertTrue(process.is_running())

    def test_unix_datagrams(self):
        with tempfile.TemporaryDirectory() as folder:
            server = self.close_later(socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM))
            server.bind(folder + "/server")
            self.serve("mp-echo", server)
            unnamed = self.close_later(socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM))
            unnamed.sendto(b"no way back", folder + "/server")
            client = self.close_later(socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM))
            client.settimeout(DEADLINE)
            client.bind(folder + "/client")
            # Descriptors that are sent along must not pile up in the service.
            read_end, write_end = os.pipe()
            with_fds = [(socket.SOL_SOCKET, socket.SCM_RIGHTS, array.array("i", [write_end]))]
            client.sendmsg([b"hi"], with_fds, 0, folder + "/server")
            self.assertEqual(client.recv(100), b"hi")
            os.close(write_end)
            self.assertEqual(os.read(read_end, 1), b"")
            os.close(read_end)

    def test_idle_end_leaves_the_queue(self):
        server = self.udp()
        self.assertEqual(self.serve("mp-echo", server, "--idle", "1").wait(), 0)
        client = self.udp()
        client.sendto(b"later", server.getsockname())
        # The next process finds it.
        process = self.serve("mp-echo", server, "--idle", "1", how="stdio")
        self.assertEqual(client.recv(100), b"later")
        self.assertEqual(process.wait(), 0)


def wait_for_report(test, fd, wanted):
    seen = b""
    end = time.monotonic() + DEADLINE
    while wanted not in seen:
        left = end - time.monotonic()
        if left <= 0 or not select.select([fd], [], [], left)[0]:
            test.fail("no %r in %r" % (wanted, seen))
        part = os.read(fd, 65536)
        if not part:
            test.fail("pipe ended without %r: %r" % (wanted, seen))
        seen += part
    return seen


class Listeners(Base):
    def test_tcp_and_udp_both_families(self):
        """One process serves two listeners and two datagram sockets at once."""
        tcp4, tcp6, udp4, udp6 = self.tcp_listener(), self.tcp_listener("::1"), self.udp(), self.udp("::1")
        Process(self, "mp-echo", fds=[tcp4, tcp6, udp4, udp6], names="a:b:c:d")
        for _ in range(3):
            for listener in (tcp4, tcp6):
                client = self.connect(listener)
                client.sendall(b"stream")
                self.assertEqual(read_exactly(client, 6), b"stream")
                client.close()
            for server in (udp4, udp6):
                client = self.udp(server.getsockname()[0])
                client.sendto(b"datagram", server.getsockname())
                self.assertEqual(client.recv(100), b"datagram")

    def test_stdio_wait_style(self):
        listener = self.tcp_listener()
        process = Process(self, "mp-daytime", "--idle", "1", stdin=listener.fileno(), stdout=listener.fileno())
        for _ in range(3):
            self.assertRegex(read_all(self.connect(listener)), DAYTIME)
        self.assertEqual(process.wait(), 0)
        # The listener lives on, for the next process.
        waiting = self.connect(listener)
        Process(self, "mp-daytime", stdin=listener.fileno(), stdout=listener.fileno())
        self.assertRegex(read_all(waiting), DAYTIME)

    def test_unix_listeners(self):
        with tempfile.TemporaryDirectory() as folder:
            stream = self.close_later(socket.socket(socket.AF_UNIX, socket.SOCK_STREAM))
            packet = self.close_later(socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET))
            for name, listener in (("stream", stream), ("packet", packet)):
                listener.bind(folder + "/" + name)
                listener.listen()
            Process(self, "mp-echo", fds=[stream, packet])
            for listener in (stream, packet):
                client = self.connect(listener)
                client.sendall(b"hi")
                self.assertEqual(client.recv(10), b"hi")

    def test_nobody_holds_up_others(self):
        """A client that does not read its echo, and one that says nothing, beside one that is served."""
        listener = self.tcp_listener()
        Process(self, "mp-echo", fds=[listener])
        stuck, silent = self.connect(listener), self.connect(listener)
        stuck.setblocking(False)
        sent = 0
        try:
            while sent < 64 << 20:
                sent += stuck.send(b"x" * 65536)
        except BlockingIOError:
            pass
        for _ in range(20):
            client = self.connect(listener)
            client.sendall(b"hello")
            self.assertEqual(read_exactly(client, 5), b"hello")
            client.close()
        silent.sendall(b"late")
        self.assertEqual(read_exactly(silent, 4), b"late")

    def test_another_makes_it_blocking(self):
        """The flag is shared: whoever starts one more process with the listener clears it for that one."""
        for model in ((), ("--model", "epoll"), ("--model", "thread-pool"), ("--model", "prefork")):
            with self.subTest(model=model):
                listener = self.tcp_listener()
                process = self.ready("mp-echo", [listener], *model)
                for _ in range(3):
                    os.set_blocking(listener.fileno(), True)
                    client = self.connect(listener)
                    client.settimeout(3)
                    client.sendall(b"hello")
                    self.assertEqual(read_exactly(client, 5), b"hello")
                    client.close()
                process.kill()

    def test_many_at_once(self):
        listener = self.tcp_listener()
        process = Process(self, "mp-echo", fds=[listener])
        clients = [self.connect(listener) for _ in range(200)]
        for i, client in enumerate(clients):
            client.sendall(b"%d\n" % i)
        for i, client in enumerate(clients):
            expected = b"%d\n" % i
            self.assertEqual(read_exactly(client, len(expected)), expected)
            client.close()
        self.assertTrue(process.is_running())

    def test_large_echo(self):
        listener = self.tcp_listener()
        Process(self, "mp-echo", fds=[listener])
        data = os.urandom(10 << 20)
        client = self.connect(listener)
        writer = threading.Thread(target=lambda: (client.sendall(data), client.shutdown(socket.SHUT_WR)))
        writer.start()
        self.assertTrue(read_all(client) == data)
        writer.join()

    def test_bounded_connections(self):
        """Beyond the bound clients wait in the queue and are served when there is room."""
        listener = self.tcp_listener()
        Process(self, "mp-echo", "--max-connections", "2", fds=[listener])
        clients = [self.connect(listener) for _ in range(3)]
        for client in clients:
            client.sendall(b"x")
        self.assertEqual(read_exactly(clients[0], 1), b"x")
        self.assertEqual(read_exactly(clients[1], 1), b"x")
        self.assertEqual(select.select([clients[2]], [], [], 0.2)[0], [])
        clients[0].close()
        self.assertEqual(read_exactly(clients[2], 1), b"x")

    def test_two_processes_share_a_listener(self):
        listener = self.tcp_listener()
        for _ in range(2):
            Process(self, "mp-time", fds=[listener])
        for _ in range(200):
            self.assertEqual(len(read_all(self.connect(listener))), 4)

    def test_reports(self):
        listener, server = self.tcp_listener(), self.udp()
        read_end, write_end = os.pipe()
        self.addCleanup(os.close, read_end)
        process = Process(self, "mp-echo", fds=[listener, server], status=write_end)
        os.close(write_end)
        seen = wait_for_report(self, read_end, b"ACTIVE=0\n")
        self.assertTrue(seen.startswith(b"READY=1\nSTATUS="), seen)
        client = self.connect(listener)
        wait_for_report(self, read_end, b"ACTIVE=1\n")
        client.close()
        wait_for_report(self, read_end, b"ACTIVE=0\nREQUESTS=1\n")
        sender = self.udp()
        for _ in range(10):
            sender.sendto(b"", server.getsockname())
            self.assertEqual(sender.recv(10), b"")
        wait_for_report(self, read_end, b"REQUESTS=11\n")
        process.signal(signal.SIGTERM)
        wait_for_report(self, read_end, b"STOPPING=1\n")
        self.assertEqual(process.wait(), 0)

    def test_full_status_pipe(self):
        """Nobody reads the reports: the service serves on."""
        server = self.udp()
        read_end, write_end = os.pipe()
        self.addCleanup(os.close, read_end)
        fcntl.fcntl(write_end, fcntl.F_SETFL, os.O_NONBLOCK)
        try:
            while True:
                os.write(write_end, b"x" * 4096)
        except BlockingIOError:
            pass
        fcntl.fcntl(write_end, fcntl.F_SETFL, 0)
        Process(self, "mp-echo", fds=[server], status=write_end)
        os.close(write_end)
        client = self.udp()
        for _ in range(100):
            client.sendto(b"x", server.getsockname())
            self.assertEqual(client.recv(10), b"x")

    def test_closed_status_pipe(self):
        server = self.udp()
        read_end, write_end = os.pipe()
        os.close(read_end)
        process = Process(self, "mp-echo", fds=[server], status=write_end)
        os.close(write_end)
        client = self.udp()
        for _ in range(3):
            client.sendto(b"x", server.getsockname())
            self.assertEqual(client.recv(10), b"x")
        self.assertTrue(process.is_running())

    def test_term_without_work(self):
        for number in (signal.SIGTERM, signal.SIGINT):
            process = self.ready("mp-echo", [self.tcp_listener(), self.udp()], "--idle", "0")
            process.signal(number)
            self.assertEqual(process.wait(2), 0)

    def test_term_lets_connections_end(self):
        listener = self.tcp_listener()
        process = Process(self, "mp-echo", fds=[listener])
        client = self.connect(listener)
        client.sendall(b"a")
        self.assertEqual(client.recv(1), b"a")
        process.signal(signal.SIGTERM)
        time.sleep(0.1)
        client.sendall(b"b")
        self.assertEqual(client.recv(1), b"b")
        self.assertTrue(process.is_running())
        client.close()
        self.assertEqual(process.wait(2), 0)

    def test_term_bounded_and_twice(self):
        listener = self.tcp_listener()
        for args, again in ((["--drain", "1"], False), (["--drain", "1000"], True)):
            process = Process(self, "mp-echo", *args, fds=[listener])
            client = self.connect(listener)
            client.sendall(b"a")
            self.assertEqual(client.recv(1), b"a")
            process.signal(signal.SIGTERM)
            if again:
                time.sleep(0.1)
                process.signal(signal.SIGTERM)
            self.assertEqual(process.wait(5), 0)
            self.assertEqual(client.recv(1), b"")

    def test_idle(self):
        listener = self.tcp_listener()
        begin = time.monotonic()
        self.assertEqual(Process(self, "mp-echo", "--idle", "1", fds=[listener]).wait(), 0)
        self.assertGreaterEqual(time.monotonic() - begin, 0.9)
        # A connection that is held is work.
        process = Process(self, "mp-echo", "--idle", "1", fds=[listener])
        client = self.connect(listener)
        client.sendall(b"a")
        client.recv(1)
        time.sleep(1.5)
        self.assertTrue(process.is_running())
        client.close()
        self.assertEqual(process.wait(), 0)

    def test_listener_that_is_shut_down(self):
        """shutdown(2) by anybody who shares it makes it useless; that must not become a hot loop."""
        listener = self.tcp_listener()
        process = self.ready("mp-echo", [listener])
        self.connect(listener).close()
        listener.shutdown(socket.SHUT_RDWR)
        self.assertEqual(process.wait(), 1)
        self.assertIn("mp-echo: listener given up: Invalid argument\n", process.messages())

    def test_idle_process_uses_no_cpu(self):
        process = Process(self, "mp-chargen", fds=[self.tcp_listener(), self.udp()])
        time.sleep(0.3)
        before = cpu_ticks(process.pid)
        time.sleep(0.7)
        self.assertLessEqual(cpu_ticks(process.pid) - before, 1)

    def test_unread_connections_use_no_cpu(self):
        listener = self.tcp_listener()
        process = Process(self, "mp-chargen", fds=[listener])
        clients = [self.connect(listener) for _ in range(3)]
        clients[0].shutdown(socket.SHUT_WR)
        time.sleep(0.7)
        before = cpu_ticks(process.pid)
        time.sleep(0.7)
        self.assertLessEqual(cpu_ticks(process.pid) - before, 1)


def cpu_ticks(pid):
    with open("/proc/%d/stat" % pid) as f:
        fields = f.read().rsplit(")", 1)[1].split()
    return int(fields[11]) + int(fields[12])


class CommandLine(Base):
    def run_program(self, name, *args, **kw):
        return subprocess.run(
            [program(name), *args], stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
            universal_newlines=True, timeout=DEADLINE, **kw)

    def test_help(self):
        for name in NAMES:
            with self.subTest(name=name):
                long, short = self.run_program(name, "--help"), self.run_program(name, "-h")
                self.assertEqual((long.returncode, long.stdout, long.stderr), (0, short.stdout, ""))
                self.assertTrue(long.stdout.startswith("Usage: %s " % name))
                self.assertLessEqual(max(map(len, long.stdout.splitlines())), 80)
                for option in ("--idle", "--drain", "--max-connections", "--version"):
                    self.assertIn(option, long.stdout)

    def test_version(self):
        for name in NAMES:
            done = self.run_program(name, "--version")
            self.assertEqual(done.returncode, 0)
            self.assertRegex(done.stdout, r"\A%s \(mpinetd\) \d+\.\d+\.\d+\n\Z" % name)

    def test_usage_errors(self):
        for args in (["--nonsense"], ["stray"], ["--idle"], ["--idle", "x"], ["--idle", "-1"], ["--idle", ""],
                     ["--idle", "99999999999999999999"], ["--idle", "1s"], ["--max-connections", "0"],
                     ["--help=x"]):
            with self.subTest(args=args):
                done = self.run_program("mp-echo", *args)
                self.assertEqual((done.returncode, done.stdout), (2, ""))
                self.assertTrue(done.stderr.startswith("mp-echo: "), done.stderr)

    def test_full_output(self):
        with open("/dev/full", "w") as full:
            done = subprocess.run([program("mp-echo"), "--help"], stdout=full, stderr=subprocess.DEVNULL)
        self.assertEqual(done.returncode, 1)

    def test_no_socket(self):
        read_end, write_end = os.pipe()
        process = Process(self, "mp-echo", stdin="closed", stdout=write_end)
        os.close(write_end)
        self.assertEqual(process.wait(), 1)
        self.assertTrue(process.messages().startswith("mp-echo: "))
        os.close(read_end)

    def test_nonsense_of_listen_fds(self):
        client, server = self.tcp_pair()
        for env in ({"LISTEN_FDS": "0"}, {"LISTEN_FDS": "x"}, {"LISTEN_FDS": "7"}):
            # By a shell, as LISTEN_PID must be the process's own.
            pid = os.fork()
            if pid == 0:
                try:
                    os.dup2(os.open("/dev/null", os.O_RDWR), 2)
                    os.closerange(3, 1024)
                    os.execve(program("mp-echo"), ["mp-echo"], {**env, "LISTEN_PID": str(os.getpid())})
                finally:
                    os._exit(127)
            _, status = os.waitpid(pid, 0)
            self.assertEqual(os.waitstatus_to_exitcode(status), 1)


if __name__ == "__main__":
    unittest.main()
