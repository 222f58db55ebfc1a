# SPDX-License-Identifier: MIT
"""mp-forward, as a program of its own for each way of handing over a socket, and as a service of the real daemon."""

import array
import contextlib
import hashlib
import os
import random
import resource
import signal
import socket
import struct
import subprocess
import threading
import time
import unittest

from harness import DaemonTest, cpu_seconds, descriptors_of, free_port, need_ipv6, need_program, program
from harness import resident_kib, SANITIZED, stays, wait_until
from test_services import Base, DEADLINE, Process, read_all, read_exactly, wait_for_report

MIB = 1 << 20
RESET = struct.pack("ii", 1, 0)


def address_text(listener):
    """A listening socket as an endpoint."""
    name = listener.getsockname()
    if listener.family == socket.AF_UNIX:
        kind = {socket.SOCK_STREAM: "unix", socket.SOCK_DGRAM: "unix-dgram", socket.SOCK_SEQPACKET: "unix-seqpacket"}
        return kind[listener.type] + ":" + (name if isinstance(name, str) else "@" + name[1:].decode())
    kind = "udp" if listener.type == socket.SOCK_DGRAM else "tcp"
    return f"{kind}:[{name[0]}]:{name[1]}" if listener.family == socket.AF_INET6 else f"{kind}:{name[0]}:{name[1]}"


def echo(connection):
    while True:
        data = connection.recv(65536)
        if not data:
            return
        connection.sendall(data)


def pattern(seed, n):
    """n bytes, a multiple of a MiB, in pieces, other ones for each seed."""
    block = hashlib.sha256(bytes([seed])).digest() * (MIB // 32)
    for i in range(n // MIB):
        yield block[i % 97:] + block[:i % 97]


def send_pattern(sock, seed, n):
    for piece in pattern(seed, n):
        sock.sendall(piece)
    sock.shutdown(socket.SHUT_WR)


def receive_digest(sock):
    digest, n = hashlib.sha256(), 0
    while True:
        data = sock.recv(1 << 18)
        if not data:
            return digest.hexdigest(), n
        digest.update(data)
        n += len(data)


def pattern_digest(seed, n):
    digest = hashlib.sha256()
    for piece in pattern(seed, n):
        digest.update(piece)
    return digest.hexdigest(), n


class Backend:
    """A server in this process: each connection has a thread that runs serve(connection)."""

    def __init__(self, test, serve=echo, family=socket.AF_INET, kind=socket.SOCK_STREAM, path=None, backlog=128,
                 port=0):
        self.serve = serve
        self.socket = socket.socket(family, kind)
        test.addCleanup(self.close)
        if family != socket.AF_UNIX:
            self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        self.socket.bind(path if family == socket.AF_UNIX else ("::1" if family == socket.AF_INET6 else "127.0.0.1",
                                                                port))
        self.socket.listen(backlog)
        self.to = address_text(self.socket)
        self.problems = []
        self.connections = []
        threading.Thread(target=self.loop, daemon=True).start()

    def loop(self):
        while True:
            try:
                connection, _ = self.socket.accept()
            except OSError:
                return
            self.connections.append(connection)
            connection.settimeout(DEADLINE)
            threading.Thread(target=self.one, args=(connection,), daemon=True).start()

    def one(self, connection):
        try:
            self.serve(connection)
        except Exception as error:  # pylint: disable=broad-except
            self.problems.append(error)
        finally:
            connection.close()

    def close(self):
        with contextlib.suppress(OSError):
            self.socket.shutdown(socket.SHUT_RDWR)
        self.socket.close()


class ForwardBase(Base):
    def path(self, name):
        if not hasattr(self, "folder"):
            import tempfile
            folder = tempfile.TemporaryDirectory(prefix="mpf-", dir="/tmp")
            self.addCleanup(folder.cleanup)
            self.folder = folder.name
        return os.path.join(self.folder, name)

    def unix_listener(self, name, kind=socket.SOCK_STREAM):
        listener = self.close_later(socket.socket(socket.AF_UNIX, kind))
        listener.bind(self.path(name))
        listener.listen(128)
        return listener

    def one(self, to, *options, how="stdio", env=None):
        """A client and the process that serves its connection."""
        client, server = self.tcp_pair()
        if how == "stdio":
            process = Process(self, "mp-forward", *options, to, stdin=server.fileno(), stdout=server.fileno(), env=env)
        else:
            process = Process(self, "mp-forward", *options, to, fds=[server], names="connection", env=env)
        server.close()
        return client, process

    def forwarder(self, to, *options, listeners=None):
        """A process with listeners, and the listeners."""
        listeners = listeners or [self.tcp_listener()]
        return self.ready("mp-forward", listeners, *options, to), listeners


class OneConnection(ForwardBase):
    def test_echo(self):
        backend = Backend(self)
        for how in ("stdio", "listen_fds"):
            with self.subTest(how=how):
                client, process = self.one(backend.to, how=how)
                client.sendall(b"hello")
                self.assertEqual(read_exactly(client, 5), b"hello")
                client.shutdown(socket.SHUT_WR)
                self.assertEqual(read_all(client), b"")
                self.assertEqual(process.wait(), 0)

    def both_ways(self, client, backend_family, n=64 * MIB, options=(), process=None):
        """n bytes in both directions at once, other ones in each."""
        seen = []

        def serve(connection):
            sender = threading.Thread(target=send_pattern, args=(connection, 2, n))
            sender.start()
            seen.append(receive_digest(connection))
            sender.join()

        path = self.path(f"both-{time.monotonic_ns()}") if backend_family == socket.AF_UNIX else None
        backend = Backend(self, serve, family=backend_family, path=path)
        client, process = self.pair_for(client, backend.to, *options)
        sender = threading.Thread(target=send_pattern, args=(client, 1, n))
        sender.start()
        self.assertEqual(receive_digest(client), pattern_digest(2, n))
        sender.join()
        self.assertEqual(process.wait(), 0)
        wait_until(lambda: seen, "the backend's end")
        self.assertEqual(seen, [pattern_digest(1, n)])
        self.assertEqual(backend.problems, [])

    def pair_for(self, family, to, *options):
        if family == socket.AF_INET:
            return self.one(to, *options)
        client, server = socket.socketpair()
        self.close_later(client).settimeout(DEADLINE)
        process = Process(self, "mp-forward", *options, to, stdin=server.fileno(), stdout=server.fileno())
        server.close()
        return client, process

    def test_both_ways_tcp(self):
        self.both_ways(socket.AF_INET, socket.AF_INET)

    def test_both_ways_tcp_to_unix(self):
        self.both_ways(socket.AF_INET, socket.AF_UNIX)

    def test_both_ways_unix_to_tcp(self):
        self.both_ways(socket.AF_UNIX, socket.AF_INET)

    def test_both_ways_unix(self):
        self.both_ways(socket.AF_UNIX, socket.AF_UNIX, n=16 * MIB)

    @need_ipv6
    def test_ipv6(self):
        backend = Backend(self, family=socket.AF_INET6)
        client, process = self.one(backend.to)
        client.sendall(b"six")
        client.shutdown(socket.SHUT_WR)
        self.assertEqual(read_all(client), b"six")
        self.assertEqual(process.wait(), 0)

    def test_client_ends_first(self):
        """The reply comes after the client's end."""
        def serve(connection):
            data = read_all(connection)
            time.sleep(0.1)
            connection.sendall(data[::-1])

        for family in (socket.AF_INET, socket.AF_UNIX):
            backend = Backend(self, serve, family=family, path=self.path("first"))
            client, process = self.pair_for(family, backend.to)
            client.sendall(b"question")
            client.shutdown(socket.SHUT_WR)
            self.assertEqual(read_all(client), b"noitseuq")
            self.assertEqual(process.wait(), 0)

    def test_backend_ends_first(self):
        """The client sees the backend's end, and what it says afterwards still arrives."""
        got = []

        def serve(connection):
            connection.sendall(b"that is all")
            connection.shutdown(socket.SHUT_WR)
            got.append(read_all(connection))

        for family in (socket.AF_INET, socket.AF_UNIX):
            backend = Backend(self, serve, family=family, path=self.path("second"))
            client, process = self.pair_for(family, backend.to)
            self.assertEqual(read_all(client), b"that is all")
            time.sleep(0.1)
            client.sendall(b"one ")
            time.sleep(0.05)
            client.sendall(b"more")
            client.shutdown(socket.SHUT_WR)
            self.assertEqual(process.wait(), 0)
            wait_until(lambda: got, "the backend's end")
            self.assertEqual(got.pop(), b"one more")

    def test_half_closed_costs_nothing(self):
        """Connections of which one side has ended, either one, and the other says nothing."""
        go = threading.Event()

        def serve(connection):
            connection.sendall(b"x")
            if connection.getsockname()[1] == second.socket.getsockname()[1]:
                connection.shutdown(socket.SHUT_WR)
            go.wait(DEADLINE)

        first, second = Backend(self, serve), Backend(self, serve)
        processes = []
        for backend in (first, second):
            client, process = self.one(backend.to)
            read_exactly(client, 1)
            if backend is first:
                client.shutdown(socket.SHUT_WR)
            processes.append(process)
        time.sleep(0.1)
        before = [cpu_seconds(p.pid) for p in processes]
        time.sleep(0.5)
        for process, seconds in zip(processes, before):
            self.assertTrue(process.is_running())
            self.assertLess(cpu_seconds(process.pid) - seconds, 0.05)
        go.set()

    def test_slow_reader(self):
        """A client that does not read costs no memory and no CPU, and loses nothing."""
        # More than the kernel keeps for the two connections.
        n = 128 * MIB
        sent = [0]

        def serve(connection):
            for piece in pattern(3, n):
                connection.sendall(piece)
                sent[0] += len(piece)

        backend = Backend(self, serve)
        client, process = self.one(backend.to)

        def stalled():
            before = sent[0]
            time.sleep(0.3)
            return sent[0] == before

        wait_until(stalled, "the backend's wait")
        self.assertLess(sent[0], n * 3 // 4)
        if not SANITIZED:
            self.assertLess(resident_kib(process.pid), 8192)
        before = cpu_seconds(process.pid)
        time.sleep(1)
        self.assertLess(cpu_seconds(process.pid) - before, 0.1)
        self.assertEqual(receive_digest(client), pattern_digest(3, n))
        client.close()
        self.assertEqual(process.wait(), 0)

    def test_slow_backend(self):
        go = threading.Event()
        got = []

        def serve(connection):
            go.wait(DEADLINE)
            got.append(receive_digest(connection))

        backend = Backend(self, serve)
        client, process = self.one(backend.to)
        # More than the buffers of two connections hold: tcp(7), tcp_rmem.
        n = 96 * MIB
        sender = threading.Thread(target=send_pattern, args=(client, 4, n))
        sender.start()
        time.sleep(0.5)
        self.assertTrue(sender.is_alive())
        before = cpu_seconds(process.pid)
        time.sleep(0.5)
        self.assertLess(cpu_seconds(process.pid) - before, 0.1)
        go.set()
        sender.join()
        self.assertEqual(process.wait(), 0)
        wait_until(lambda: got, "the backend's end")
        self.assertEqual(got, [pattern_digest(4, n)])

    def test_backend_dies(self):
        """In the midst of a transfer: the client gets what was said, and the end."""
        helper = self.close_later(socket.create_server(("127.0.0.1", 0)))
        pid = os.fork()
        if pid == 0:
            connection, _ = helper.accept()
            connection.sendall(b"before")
            connection.recv(1000)
            time.sleep(100)
            os._exit(0)
        client, process = self.one(address_text(helper))
        helper.close()
        self.assertEqual(read_exactly(client, 6), b"before")
        client.sendall(b"x" * MIB)
        os.kill(pid, signal.SIGKILL)
        os.waitpid(pid, 0)
        with contextlib.suppress(ConnectionResetError):
            self.assertEqual(read_all(client), b"")
        client.close()
        self.assertEqual(process.wait(), 0)

    def test_backend_resets(self):
        def serve(connection):
            connection.recv(5)
            connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, RESET)

        backend = Backend(self, serve)
        client, process = self.one(backend.to)
        client.sendall(b"hello")
        self.assertEqual(read_all(client), b"")
        client.close()
        self.assertEqual(process.wait(), 0)

    def test_backend_refuses_the_rest(self):
        """A reply that comes while the client still sends is not lost, though the backend has closed."""
        def serve(connection):
            connection.recv(1000)
            connection.sendall(b"413 too large")

        backend = Backend(self, serve)
        client, process = self.one(backend.to)
        got = []
        reader = threading.Thread(target=lambda: got.append(read_all(client)))
        reader.start()
        with contextlib.suppress(OSError):
            for _ in range(20):
                client.sendall(b"x" * 100000)
                time.sleep(0.005)
        client.shutdown(socket.SHUT_WR)
        reader.join()
        self.assertEqual(got, [b"413 too large"])
        self.assertEqual(process.wait(), 0)

    def test_client_resets(self):
        ended = threading.Event()

        def serve(connection):
            connection.sendall(b"x")
            with contextlib.suppress(ConnectionResetError):
                read_all(connection)
            ended.set()

        backend = Backend(self, serve)
        client, process = self.one(backend.to)
        read_exactly(client, 1)
        client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, RESET)
        client.close()
        self.assertTrue(ended.wait(DEADLINE))
        self.assertEqual(process.wait(), 0)

    def test_unix_client_that_closed(self):
        """What a client said before it closed arrives."""
        got = []
        backend = Backend(self, lambda c: got.append(read_all(c)))
        client, process = self.pair_for(socket.AF_UNIX, backend.to)
        client.sendall(b"last words")
        client.close()
        self.assertEqual(process.wait(), 0)
        wait_until(lambda: got, "the backend's end")
        self.assertEqual(got, [b"last words"])

    def test_backend_absent(self):
        """A clean end for the client, even after it sent something, and the reason for the operator."""
        for to, why in ((f"tcp:127.0.0.1:{free_port()}", "Connection refused"),
                        ("unix:" + self.path("nobody"), "No such file or directory")):
            with self.subTest(to=to):
                client, process = self.one(to)
                client.sendall(b"x" * 50000)
                self.assertEqual(read_all(client), b"")
                client.close()
                self.assertEqual(process.wait(), 1)
                self.assertEqual(process.messages(), f"mp-forward: {to}: {why}\n")

    def test_backend_comes(self):
        """With --retry a client is held until the backend is there."""
        port = free_port()
        for family in (socket.AF_INET, socket.AF_UNIX):
            path = self.path("later")
            client, process = self.pair_for(family, f"tcp:127.0.0.1:{port}" if family == socket.AF_INET
                                            else "unix:" + path, "--retry", "10s")
            client.sendall(b"patient")
            time.sleep(0.4)
            self.assertTrue(process.is_running())
            backend = Backend(self, family=family, path=path, port=port)
            self.assertEqual(read_exactly(client, 7), b"patient")
            client.close()
            self.assertEqual(process.wait(), 0)
            backend.close()

    def test_backend_does_not_come(self):
        client, process = self.one(f"tcp:127.0.0.1:{free_port()}", "--retry", "300ms")
        begin = time.monotonic()
        self.assertEqual(read_all(client), b"")
        self.assertGreater(time.monotonic() - begin, 0.25)
        client.close()
        self.assertEqual(process.wait(), 1)
        self.assertIn("Connection refused", process.messages())

    def test_connect_timeout(self):
        """A backend whose queue is full, and stays so."""
        full = self.close_later(socket.socket(socket.AF_UNIX, socket.SOCK_STREAM))
        full.bind(self.path("full"))
        full.listen(0)
        waiting = self.close_later(socket.socket(socket.AF_UNIX, socket.SOCK_STREAM))
        waiting.connect(self.path("full"))
        client, process = self.one("unix:" + self.path("full"), "--connect-timeout", "300ms")
        self.assertEqual(read_all(client), b"")
        client.close()
        self.assertEqual(process.wait(), 1)
        self.assertIn("its queue is full", process.messages())

    def test_connect_timeout_tcp(self):
        full = self.close_later(socket.socket(socket.AF_INET, socket.SOCK_STREAM))
        full.bind(("127.0.0.1", 0))
        full.listen(0)
        for _ in range(3):
            waiting = self.close_later(socket.socket(socket.AF_INET, socket.SOCK_STREAM))
            waiting.setblocking(False)
            waiting.connect_ex(full.getsockname())
        time.sleep(0.1)
        client, process = self.one(address_text(full), "--connect-timeout", "300ms")
        self.assertEqual(read_all(client), b"")
        client.close()
        self.assertEqual(process.wait(), 1)
        self.assertIn("timed out", process.messages())

    def test_idle(self):
        """Closed when nothing moved for so long; what moves keeps it open, in either direction."""
        for dots in (7, 8):
            def serve(connection, dots=dots):
                for _ in range(dots):
                    time.sleep(0.1)
                    connection.sendall(b".")
                with contextlib.suppress(OSError):
                    read_all(connection)

            backend = Backend(self, serve)
            client, process = self.one(backend.to, "--idle", "400ms")
            self.assertEqual(read_exactly(client, dots), b"." * dots)
            begin = time.monotonic()
            self.assertEqual(read_all(client), b"")
            self.assertGreater(time.monotonic() - begin, 0.25)
            self.assertEqual(process.wait(), 0)
            self.assertEqual(backend.problems, [])

    def test_messages(self):
        """Between seqpacket sockets every message stays one."""
        def serve(connection):
            while True:
                data = connection.recv(1 << 18)
                if not data:
                    return
                connection.send(data[::-1])

        backend = Backend(self, serve, family=socket.AF_UNIX, kind=socket.SOCK_SEQPACKET, path=self.path("seq"))
        client, server = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        self.close_later(client).settimeout(DEADLINE)
        process = Process(self, "mp-forward", backend.to, stdin=server.fileno(), stdout=server.fileno())
        server.close()
        for message in (b"ab", b"c" * 100000, b"d"):
            client.send(message)
        for message in (b"ba", b"c" * 100000, b"d"):
            self.assertEqual(client.recv(1 << 18), message)
        client.close()
        self.assertEqual(process.wait(), 0)

    def test_term_ends(self):
        backend = Backend(self)
        client, process = self.one(backend.to)
        client.sendall(b"x")
        read_exactly(client, 1)
        process.signal(signal.SIGTERM)
        self.assertEqual(process.wait(), 0)
        self.assertEqual(read_all(client), b"")

    def test_wrong_command_lines(self):
        for arguments, text in (((), "TO is missing"), (("tcp:80", "x"), "unexpected argument"),
                                (("fifo:/x",), "one cannot connect"), (("tcp:127.0.0.1:0",), "port 0"),
                                (("systemd:x",), "one cannot connect"), (("tcp:localhost:80",), "'tcp:localhost:80'"),
                                (("--proxy", "v3", "tcp:80"), "neither v1 nor v2"),
                                (("--proxy", "v1", "udp:53"), "datagrams"), (("--idle", "x", "tcp:80"), "--idle"),
                                (("--wait-file", "77", "tcp:80"), "is not open"),
                                (("--max-connections", "0", "tcp:80"), "--max-connections"),
                                (("--retry", "-1s", "tcp:80"), "--retry"), (("--bogus", "tcp:80"), "bogus")):
            with self.subTest(arguments=arguments):
                process = Process(self, "mp-forward", *arguments, stdin=os.open("/dev/null", os.O_RDONLY))
                self.assertEqual(process.wait(), 2)
                self.assertIn(text, process.messages())

    def test_no_socket(self):
        process = Process(self, "mp-forward", "tcp:127.0.0.1:1")
        self.assertEqual(process.wait(), 1)
        self.assertIn("cannot be forwarded", process.messages())

    def test_kinds_that_do_not_fit(self):
        client, process = self.one("udp:127.0.0.1:9")
        self.assertEqual(process.wait(), 1)
        self.assertIn("wrong type", process.messages())
        udp = Process(self, "mp-forward", "tcp:127.0.0.1:9", stdin=self.udp().fileno())
        self.assertEqual(udp.wait(), 1)

    def test_help(self):
        for option in ("-h", "--help"):
            out = subprocess.run([os.path.join(os.environ.get("BUILD_DIR", "build"), "services", "mp-forward"), option],
                                 capture_output=True, text=True, check=True).stdout
            self.assertIn("Usage: mp-forward", out)
            self.assertLessEqual(max(len(line) for line in out.splitlines()), 80)


class Listeners(ForwardBase):
    def test_several_listeners(self):
        """One process for TCP and UNIX listeners, which ends when it has been idle."""
        backend = Backend(self)
        process, listeners = self.forwarder(backend.to, "--exit-idle", "500ms",
                                            listeners=[self.tcp_listener(), self.unix_listener("in")])
        for listener in listeners:
            client = self.connect(listener)
            client.sendall(b"hello")
            self.assertEqual(read_exactly(client, 5), b"hello")
            client.close()
        self.assertEqual(process.wait(), 0)

    def test_many(self):
        """Hundreds at once, each with its own bytes; afterwards nothing is left open."""
        backend = Backend(self, backlog=1024)
        process, (listener,) = self.forwarder(backend.to)
        baseline = len(descriptors_of(process.pid))
        count = 100 if SANITIZED else 400
        clients = [self.connect(listener) for _ in range(count)]
        for round_ in range(3):
            for i, client in enumerate(clients):
                client.sendall(b"%d:%d;" % (round_, i) * 50)
            for i, client in enumerate(clients):
                expected = b"%d:%d;" % (round_, i) * 50
                self.assertEqual(read_exactly(client, len(expected)), expected)
        for client in clients:
            client.close()
        # Pipes that were used may be kept for the next use.
        wait_until(lambda: len(descriptors_of(process.pid)) <= baseline + 64, "descriptors closed")
        self.assertEqual(backend.problems, [])

    def test_all_ways_to_end(self):
        """Clients and backends that end, close and reset whenever they like: bytes that arrive are the right ones, and in
        the end there is nothing left."""
        dice = random.Random(5)

        def serve(connection):
            own = random.Random(connection.fileno() + time.monotonic_ns())
            with contextlib.suppress(OSError):
                for _ in range(own.randint(1, 30)):
                    data = connection.recv(own.choice((1, 1000, 100000)))
                    if not data:
                        return
                    connection.sendall(data)
                if own.random() < 0.3:
                    connection.shutdown(socket.SHUT_WR)
                    read_all(connection)
                elif own.random() < 0.5:
                    connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, RESET)

        backends = [Backend(self, serve, backlog=512),
                    Backend(self, serve, family=socket.AF_UNIX, path=self.path("ways"), backlog=512)]
        for backend in backends:
            listeners = [self.tcp_listener(), self.unix_listener("in" + str(backends.index(backend)))]
            process, _ = self.forwarder(backend.to, "--exit-idle", "500ms", listeners=listeners)
            problems = []

            def client(listener, seed, problems=problems):
                own = random.Random(seed)
                block = bytes(own.randrange(256) for _ in range(997))
                sent, got = 0, 0
                with socket.socket(listener.family) as s, contextlib.suppress(OSError):
                    s.settimeout(DEADLINE)
                    s.connect(listener.getsockname())
                    for _ in range(own.randint(0, 30)):
                        sent += s.send(block[sent % 997:] + block * own.choice((0, 1, 60)))
                        if own.random() < 0.7:
                            data = s.recv(own.choice((1, 100, 65536)))
                            if data != (block[got % 997:] + block * (len(data) // 997 + 1))[:len(data)]:
                                problems.append((seed, got))
                            got += len(data)
                    end = own.random()
                    if end < 0.4:
                        s.shutdown(socket.SHUT_WR)
                        read_all(s)
                    elif end < 0.7:
                        s.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, RESET)

            threads = [threading.Thread(target=client, args=(listeners[i % 2], dice.random())) for i in range(150)]
            for thread in threads:
                thread.start()
            for thread in threads:
                thread.join()
            self.assertEqual(problems, [])
            # It ends by itself, which it does only when every connection has ended.
            self.assertEqual(process.wait(), 0)

    def test_max_connections(self):
        """What is too much waits in the listener's queue."""
        backend = Backend(self)
        process, (listener,) = self.forwarder(backend.to, "--max-connections", "2")
        clients = [self.connect(listener) for _ in range(3)]
        for client in clients:
            client.sendall(b"x")
        for client in clients[:2]:
            self.assertEqual(read_exactly(client, 1), b"x")
        clients[2].settimeout(0.3)
        with self.assertRaises(socket.timeout):
            clients[2].recv(1)
        clients[0].close()
        clients[2].settimeout(DEADLINE)
        self.assertEqual(read_exactly(clients[2], 1), b"x")
        self.assertTrue(process.is_running())

    def test_few_descriptors(self):
        """With descriptors for a few connections it serves a few at once, and all in the end."""
        backend = Backend(self)
        process, (listener,) = self.forwarder(backend.to)
        resource.prlimit(process.pid, resource.RLIMIT_NOFILE, (30, 30))
        clients = [self.connect(listener) for _ in range(30)]
        for client in clients:
            client.sendall(b"x")
        for client in clients:
            self.assertEqual(read_exactly(client, 1), b"x")
            client.close()
        self.assertEqual(process.messages(), "")

    def test_term_drains(self):
        backend = Backend(self)
        process, (listener,) = self.forwarder(backend.to)
        client = self.connect(listener)
        client.sendall(b"a")
        read_exactly(client, 1)
        process.signal(signal.SIGTERM)
        time.sleep(0.1)
        client.sendall(b"b")
        self.assertEqual(read_exactly(client, 1), b"b")
        client.close()
        self.assertEqual(process.wait(), 0)

    def test_term_twice(self):
        backend = Backend(self)
        process, (listener,) = self.forwarder(backend.to, "--drain", "1h")
        client = self.connect(listener)
        client.sendall(b"a")
        read_exactly(client, 1)
        process.signal(signal.SIGTERM)
        stays(process.is_running, "the process", 0.2)
        process.signal(signal.SIGTERM)
        self.assertEqual(process.wait(), 0)

    def test_drain_ends(self):
        backend = Backend(self)
        process, (listener,) = self.forwarder(backend.to, "--drain", "200ms")
        client = self.connect(listener)
        client.sendall(b"a")
        read_exactly(client, 1)
        process.signal(signal.SIGTERM)
        self.assertEqual(process.wait(), 0)
        self.assertEqual(read_all(client), b"")

    def test_backend_comes_for_all(self):
        """Clients that are held are all served as soon as the backend is there, in few tries."""
        port = free_port()
        process, (listener,) = self.forwarder(f"tcp:127.0.0.1:{port}", "--retry", "10s")
        clients = [self.connect(listener) for _ in range(50)]
        for i, client in enumerate(clients):
            client.sendall(b"%d" % i)
        time.sleep(0.5)
        Backend(self, port=port)
        for i, client in enumerate(clients):
            self.assertEqual(read_exactly(client, len(str(i))), b"%d" % i)
        self.assertTrue(process.is_running())
        self.assertEqual(process.messages(), "")

    def test_full_backend_queue(self):
        """A burst beyond the backend's queue is held, not refused."""
        backend = Backend(self, family=socket.AF_UNIX, path=self.path("small"), backlog=1)
        _, (listener,) = self.forwarder(backend.to)
        clients = [self.connect(listener) for _ in range(100)]
        for client in clients:
            client.sendall(b"x")
        for client in clients:
            self.assertEqual(read_exactly(client, 1), b"x")

    def test_backend_absent_is_told_once_a_second(self):
        process, (listener,) = self.forwarder(f"tcp:127.0.0.1:{free_port()}")
        for _ in range(30):
            self.assertEqual(read_all(self.connect(listener)), b"")
        self.assertLessEqual(len(process.messages().splitlines()), 3)
        self.assertTrue(process.is_running())

    def test_client_leaves_while_held(self):
        """Its place is free again, though the backend never came."""
        process, (listener,) = self.forwarder(f"tcp:127.0.0.1:{free_port()}", "--retry", "1h", "--exit-idle", "300ms")
        client = self.connect(listener)
        time.sleep(0.2)
        client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, RESET)
        client.close()
        self.assertEqual(process.wait(), 0)

    def test_wait_file(self):
        """Clients are held until the backend is said to be ready, and again when it is not."""
        backend = Backend(self)
        read_end, write_end = os.pipe()
        self.addCleanup(os.close, write_end)
        listener = self.tcp_listener()
        process = WaitingProcess(self, listener, read_end, backend.to)
        client = self.connect(listener)
        client.sendall(b"held")
        client.settimeout(0.3)
        with self.assertRaises(socket.timeout):
            client.recv(1)
        client.settimeout(DEADLINE)
        os.write(write_end, b"+")
        self.assertEqual(read_exactly(client, 4), b"held")
        os.write(write_end, b"-")
        time.sleep(0.1)
        second = self.connect(listener)
        second.settimeout(0.3)
        second.sendall(b"again")
        with self.assertRaises(socket.timeout):
            second.recv(1)
        second.settimeout(DEADLINE)
        client.sendall(b"still open")
        self.assertEqual(read_exactly(client, 10), b"still open")
        os.write(write_end, b"!")
        self.assertEqual(read_all(second), b"")
        self.assertIn("could not be started", process.messages())

    def test_reports(self):
        backend = Backend(self)
        listener = self.tcp_listener()
        read_end, write_end = os.pipe()
        self.addCleanup(os.close, read_end)
        Process(self, "mp-forward", backend.to, fds=[listener], status=write_end)
        os.close(write_end)
        said = b""

        def has(text):
            nonlocal said
            os.set_blocking(read_end, False)
            with contextlib.suppress(BlockingIOError):
                said += os.read(read_end, 65536)
            return text in said

        wait_until(lambda: has(b"READY=1\n"))
        wait_until(lambda: has(b"STATUS=forwarding to " + backend.to.encode()))
        client = self.connect(listener)
        client.sendall(b"x" * 1000)
        read_exactly(client, 1000)
        wait_until(lambda: has(b"ACTIVE=1\n"))
        client.close()
        wait_until(lambda: has(b"REQUESTS=1\n"))
        wait_until(lambda: has(b"X_bytes_in=1000\nX_bytes_out=1000\n"))
        wait_until(lambda: has(b"ACTIVE=0\n"))


class WaitingProcess(Process):
    """mp-forward with a listener as fd 3 and its --wait-file as fd 4."""

    def __init__(self, test, listener, wait_file, to):  # pylint: disable=super-init-not-called
        import tempfile
        self.stderr = tempfile.TemporaryFile()
        test.addCleanup(self.stderr.close)
        self.status = None
        self.pid = os.fork()
        if self.pid == 0:
            try:
                copies = [os.dup(listener.fileno()), os.dup(wait_file)]
                os.dup2(self.stderr.fileno(), 2)
                for i, fd in enumerate(copies):
                    high = 200 + i
                    os.dup2(fd, high)
                for i in range(2):
                    os.dup2(200 + i, 3 + i)
                os.closerange(5, 1024)
                environment = {**os.environ, "LISTEN_FDS": "1", "LISTEN_PID": str(os.getpid())}
                name = os.path.join(os.environ.get("BUILD_DIR", "build"), "services", "mp-forward")
                os.execve(name, [name, "--wait-file", "4", to], environment)
            finally:
                os._exit(127)
        test.addCleanup(self.kill)
        os.close(wait_file)


class Passed(ForwardBase):
    def passed(self, to, *options):
        ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        self.close_later(ours)
        read_end, write_end = os.pipe()
        self.addCleanup(os.close, read_end)
        process = Process(self, "mp-forward", *options, to, fds=[theirs], status=write_end,
                          env={"MP_CONNECTION_FD": "3"})
        theirs.close()
        os.close(write_end)
        wait_for_report(self, read_end, b"READY=1\n")
        return ours, process

    @staticmethod
    def send(ours, connection, text):
        rights = array.array("i", [connection.fileno()])
        ours.sendmsg([text], [(socket.SOL_SOCKET, socket.SCM_RIGHTS, rights)])
        connection.close()

    def test_connections(self):
        backend = Backend(self)
        ours, process = self.passed(backend.to)
        clients = []
        for i in range(20):
            client, server = self.tcp_pair()
            self.send(ours, server, b"PROTO=TCP\nTCPREMOTEIP=192.0.2.%d\n" % i)
            clients.append(client)
        for i, client in enumerate(clients):
            client.sendall(b"%d" % i)
            self.assertEqual(read_exactly(client, len(str(i))), b"%d" % i)
        # No more will come; who is there is served to the end.
        ours.close()
        clients[0].sendall(b"last")
        self.assertEqual(read_exactly(clients[0], 4), b"last")
        for client in clients:
            client.close()
        self.assertEqual(process.wait(), 0)

    def test_peer_is_the_message_s(self):
        """Whom the daemon speaks of is the client, whatever the socket says."""
        backend = Backend(self)
        ours, _ = self.passed(backend.to, "--proxy", "v1")
        client, server = self.tcp_pair()
        self.send(ours, server, b"PROTO=TCP\nTCPREMOTEIP=192.0.2.7\nTCPREMOTEPORT=1234\nTCPLOCALIP=192.0.2.8\n"
                                b"TCPLOCALPORT=80\n")
        header = b"PROXY TCP4 192.0.2.7 192.0.2.8 1234 80\r\n"
        self.assertEqual(read_exactly(client, len(header)), header)

    def test_term_serves_what_was_passed(self):
        """A connection that is in the queue when TERM comes is served."""
        backend = Backend(self)
        ours, process = self.passed(backend.to)
        client, server = self.tcp_pair()
        process.signal(signal.SIGSTOP)
        self.send(ours, server, b"")
        process.signal(signal.SIGTERM)
        process.signal(signal.SIGCONT)
        client.sendall(b"in time")
        self.assertEqual(read_exactly(client, 7), b"in time")
        client.close()
        self.assertEqual(process.wait(), 0)

    def test_stays_though_idle(self):
        """It is the daemon that ends it: a connection on its way must not be lost."""
        _, process = self.passed("tcp:127.0.0.1:1", "--exit-idle", "100ms")
        stays(process.is_running, "the process", 0.4)

    def test_messages_that_are_wrong(self):
        backend = Backend(self)
        ours, process = self.passed(backend.to)
        ours.send(b"no connection")
        client, server = self.tcp_pair()
        self.send(ours, server, b"\0\0=\n===\nTCPREMOTEPORT=99999999\n")
        client.sendall(b"fine")
        self.assertEqual(read_exactly(client, 4), b"fine")
        self.assertTrue(process.is_running())


class Proxy(ForwardBase):
    def header(self, client, listener, *options):
        """What the backend gets before the client's bytes."""
        backend = Backend(self)
        process = self.ready("mp-forward", [listener], *options, backend.to)
        client.connect(listener.getsockname())
        client.sendall(b"<client>")
        self.close_later(client).settimeout(DEADLINE)
        data = b""
        while not data.endswith(b"<client>"):
            data += client.recv(1000)
        process.kill()
        return data[:-8]

    def client(self, family=socket.AF_INET):
        return self.close_later(socket.socket(family))

    def test_v1(self):
        listener, client = self.tcp_listener(), self.client()
        header = self.header(client, listener, "--proxy", "v1")
        self.assertEqual(header, b"PROXY TCP4 127.0.0.1 127.0.0.1 %d %d\r\n" %
                         (client.getsockname()[1], listener.getsockname()[1]))

    @need_ipv6
    def test_v1_ipv6(self):
        listener, client = self.tcp_listener("::1"), self.client(socket.AF_INET6)
        header = self.header(client, listener, "--proxy", "v1")
        self.assertEqual(header, b"PROXY TCP6 ::1 ::1 %d %d\r\n" %
                         (client.getsockname()[1], listener.getsockname()[1]))

    def test_v1_unix(self):
        header = self.header(self.client(socket.AF_UNIX), self.unix_listener("p"), "--proxy", "v1")
        self.assertEqual(header, b"PROXY UNKNOWN\r\n")

    def test_v2(self):
        listener, client = self.tcp_listener(), self.client()
        header = self.header(client, listener, "--proxy", "v2")
        self.assertEqual(header, b"\r\n\r\n\0\r\nQUIT\n\x21\x11\0\x0c" + bytes([127, 0, 0, 1]) * 2 + struct.pack(
            "!HH", client.getsockname()[1], listener.getsockname()[1]))

    def test_v2_unix(self):
        header = self.header(self.client(socket.AF_UNIX), self.unix_listener("p"), "--proxy", "v2")
        self.assertEqual(header, b"\r\n\r\n\0\r\nQUIT\n\x21\x31\0\xd8" + bytes(108) +
                         self.path("p").encode().ljust(108, b"\0"))

    def test_environment(self):
        """What the daemon tells of the peer goes before what the socket says."""
        backend = Backend(self)
        client, _ = self.one(backend.to, "--proxy", "v1",
                             env={"TCPREMOTEIP": "2001:db8::1", "TCPREMOTEPORT": "5", "TCPLOCALIP": "2001:db8::2",
                                  "TCPLOCALPORT": "6"})
        header = b"PROXY TCP6 2001:db8::1 2001:db8::2 5 6\r\n"
        self.assertEqual(read_exactly(client, len(header)), header)

    @need_program("haproxy")
    def test_haproxy(self):
        """What haproxy understands."""
        port = free_port()
        config = self.path("haproxy.cfg")
        with open(config, "w", encoding="ascii") as file:
            file.write("global\n  maxconn 100\ndefaults\n  mode http\n  timeout client 10s\n  timeout server 10s\n"
                       "  timeout connect 10s\nfrontend f\n"
                       f"  bind 127.0.0.1:{port} accept-proxy\n"
                       "  http-request return status 200 content-type text/plain "
                       'lf-string "peer=%[src]:%[src_port] local=%[dst]:%[dst_port]\\n"\n')
        haproxy = subprocess.Popen([program("haproxy"), "-db", "-f", config], stdout=subprocess.DEVNULL,
                                   stderr=subprocess.DEVNULL)
        self.addCleanup(haproxy.wait)
        self.addCleanup(haproxy.kill)

        def answers():
            with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), 1):
                return True
            return False

        wait_until(answers, "haproxy")
        for version in ("v1", "v2"):
            for host in ["127.0.0.1"] + (["::1"] if socket.has_ipv6 else []):
                with self.subTest(version=version, host=host):
                    listener = self.tcp_listener(host)
                    self.ready("mp-forward", [listener], "--proxy", version, f"tcp:127.0.0.1:{port}")
                    client = self.connect(listener)
                    client.sendall(b"GET / HTTP/1.0\r\n\r\n")
                    reply = read_all(client).decode()
                    self.assertIn("200 OK", reply)
                    self.assertIn(f"peer={host}:{client.getsockname()[1]} local={host}:{listener.getsockname()[1]}",
                                  reply)


class Datagrams(ForwardBase):
    def backend(self, family=socket.AF_INET, path=None):
        """A datagram socket that echoes, in upper case."""
        sock = self.close_later(socket.socket(family, socket.SOCK_DGRAM))
        sock.bind(path if path else ("::1" if family == socket.AF_INET6 else "127.0.0.1", 0))
        self.peers = set()

        def loop():
            while True:
                try:
                    data, peer = sock.recvfrom(1 << 17)
                    self.peers.add(peer)
                    sock.sendto(data.upper(), peer)
                except OSError:
                    return

        threading.Thread(target=loop, daemon=True).start()
        return address_text(sock)

    def relay(self, to, *options, host="127.0.0.1"):
        listener = self.udp(host)
        return self.ready("mp-forward", [listener], *options, to), listener.getsockname()

    def test_echo(self):
        _, address = self.relay(self.backend())
        clients = [self.udp() for _ in range(5)]
        for i in range(3):
            for j, client in enumerate(clients):
                client.sendto(b"c%d-%d" % (j, i), address)
            for j, client in enumerate(clients):
                data, peer = client.recvfrom(1000)
                self.assertEqual(data, b"C%d-%d" % (j, i))
                self.assertEqual(peer[:2], address[:2])
        # Each client is another one to the backend, and stays the same.
        self.assertEqual(len(self.peers), 5)

    def test_sizes(self):
        _, address = self.relay(self.backend())
        client = self.udp()
        for n in (0, 1, 1472, 60000):
            client.sendto(b"x" * n, address)
            self.assertEqual(client.recv(1 << 17), b"X" * n)

    @need_ipv6
    def test_ipv6_to_ipv4(self):
        _, address = self.relay(self.backend(), host="::1")
        client = self.udp("::1")
        client.sendto(b"six", address)
        self.assertEqual(client.recv(100), b"SIX")

    def test_unix(self):
        _, address = self.relay(self.backend(socket.AF_UNIX, self.path("dgram")))
        client = self.udp()
        client.sendto(b"to unix", address)
        self.assertEqual(client.recv(100), b"TO UNIX")

    def test_from_unix(self):
        listener = self.close_later(socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM))
        listener.bind(self.path("in"))
        self.ready("mp-forward", [listener], self.backend())
        client = self.close_later(socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM))
        client.bind(self.path("client"))
        client.settimeout(DEADLINE)
        client.sendto(b"from unix", self.path("in"))
        self.assertEqual(client.recv(100), b"FROM UNIX")

    def test_answer_from_the_asked_address(self):
        listener = self.udp("0.0.0.0")
        self.ready("mp-forward", [listener], self.backend())
        client = self.udp()
        for host in ("127.0.0.1", "127.0.0.2"):
            client.sendto(b"who", (host, listener.getsockname()[1]))
            self.assertEqual(client.recvfrom(100), (b"WHO", (host, listener.getsockname()[1])))

    def test_sessions_end(self):
        process, address = self.relay(self.backend(), "--udp-idle", "300ms", "--exit-idle", "1s")
        baseline = len(descriptors_of(process.pid))
        client = self.udp()
        client.sendto(b"x", address)
        client.recv(10)
        self.assertEqual(len(descriptors_of(process.pid)), baseline + 1)
        wait_until(lambda: len(descriptors_of(process.pid)) == baseline, "the session's end")
        self.assertEqual(process.wait(), 0)

    def test_bounded(self):
        process, address = self.relay(self.backend(), "--max-connections", "3", "--udp-idle", "500ms")
        clients = [self.udp() for _ in range(4)]
        for client in clients:
            client.sendto(b"x", address)
        for client in clients[:3]:
            self.assertEqual(client.recv(10), b"X")
        clients[3].settimeout(0.1)
        with self.assertRaises(socket.timeout):
            clients[3].recv(10)

        def served():
            clients[3].sendto(b"y", address)
            with contextlib.suppress(socket.timeout):
                return clients[3].recv(10) == b"Y"

        wait_until(served, "a place")
        self.assertIn("too many senders", process.messages())

    def test_backend_absent(self):
        """Datagrams are lost, and served again when it is back."""
        port = free_port()
        process, address = self.relay(f"udp:127.0.0.1:{port}")
        client = self.udp()
        client.settimeout(0.1)
        for _ in range(3):
            client.sendto(b"x", address)
            with self.assertRaises(socket.timeout):
                client.recv(10)
        backend = self.close_later(socket.socket(socket.AF_INET, socket.SOCK_DGRAM))
        backend.bind(("127.0.0.1", port))
        backend.settimeout(DEADLINE)
        client.sendto(b"y", address)
        data, peer = backend.recvfrom(10)
        self.assertEqual(data, b"y")
        backend.sendto(b"z", peer)
        client.settimeout(DEADLINE)
        self.assertEqual(client.recv(10), b"z")
        self.assertTrue(process.is_running())
        self.assertIn("Connection refused", process.messages())


class WithDaemon(DaemonTest):
    def backend(self, serve=echo, **options):
        return Backend(self, serve, **options)

    def check_echo(self, d, name):
        with d.dial(name) as client:
            client.sendall(b"question")
            client.shutdown(socket.SHUT_WR)
            self.assertEqual(read_all(client), b"question")

    def test_per_connection(self):
        backend = self.backend()
        d = self.daemon({"services": {"f": {"listen": "tcp:127.0.0.1:0", "exec": ["mp-forward", backend.to]}}})
        for _ in range(5):
            self.check_echo(d, "f")
        self.assertEqual(d.wait_idle("f")["exited"]["ok"], 5)

    def test_per_connection_listen_fds_unix(self):
        folder = self.temporary_folder()
        backend = self.backend(family=socket.AF_UNIX, path=os.path.join(folder, "b"))
        d = self.daemon({"services": {"f": {"listen": "tcp:127.0.0.1:0", "pass": "listen_fds",
                                            "exec": ["mp-forward", backend.to]}}})
        self.check_echo(d, "f")
        self.assertEqual(d.wait_idle("f")["exited"]["ok"], 1)

    def test_per_connection_backend_absent(self):
        """A clean end for the client; the reason is in the log, the failure is counted."""
        d = self.daemon({"services": {"f": {"listen": "tcp:127.0.0.1:0",
                                            "exec": ["mp-forward", f"tcp:127.0.0.1:{free_port()}"]}}})
        with d.dial("f") as client:
            client.sendall(b"x" * 1000)
            self.assertEqual(read_all(client), b"")
        self.assertEqual(d.wait_idle("f")["exited"]["failed"], 1)
        wait_until(lambda: "Connection refused" in d.log_text(), "the reason in the log")

    def test_per_connection_proxy(self):
        """The header has the peer as the daemon knows it."""
        backend = self.backend()
        d = self.daemon({"services": {"f": {"listen": "tcp:127.0.0.1:0",
                                            "exec": ["mp-forward", "--proxy", "v1", backend.to]}}})
        with d.dial("f") as client:
            header = b"PROXY TCP4 127.0.0.1 127.0.0.1 %d %d\r\n" % (client.getsockname()[1], d.port("f"))
            self.assertEqual(read_exactly(client, len(header)), header)

    def test_on_demand(self):
        """One process for many; it reports; the daemon watches again after it ended."""
        backend = self.backend()
        d = self.daemon({"services": {"f": {"listen": "tcp:127.0.0.1:0", "model": "on-demand",
                                            "exec": ["mp-forward", "--exit-idle", "500ms", backend.to]}}})
        for round_ in range(2):
            with contextlib.ExitStack() as stack:
                clients = [stack.enter_context(d.dial("f")) for _ in range(20)]
                for i, client in enumerate(clients):
                    client.sendall(b"%d" % i)
                    self.assertEqual(read_exactly(client, len(str(i))), b"%d" % i)
                self.assertEqual(len(d.instances("f")), 1)
                wait_until(lambda: d.instances("f")[0]["active"] == 20, "ACTIVE=20")
            wait_until(lambda: d.service("f")["requests"] == 20 * (round_ + 1), "REQUESTS")
            wait_until(lambda: not d.instances("f"), "the end of an idle forwarder")
        self.assertEqual(d.service("f")["exited"]["ok"], 2)
        self.assertEqual(d.service("f")["report_errors"], 0)

    def test_on_demand_both_ways(self):
        n = 64 * MIB
        seen = []

        def serve(connection):
            sender = threading.Thread(target=send_pattern, args=(connection, 2, n))
            sender.start()
            seen.append(receive_digest(connection))
            sender.join()

        backend = self.backend(serve)
        d = self.daemon({"services": {"f": {"listen": "unix:{dir}/f.sock", "model": "on-demand",
                                            "exec": ["mp-forward", backend.to]}}})
        with socket.socket(socket.AF_UNIX) as client:
            client.settimeout(DEADLINE)
            client.connect(d.path("f.sock"))
            sender = threading.Thread(target=send_pattern, args=(client, 1, n))
            sender.start()
            self.assertEqual(receive_digest(client), pattern_digest(2, n))
            sender.join()
        wait_until(lambda: seen, "the backend's end")
        self.assertEqual(seen, [pattern_digest(1, n)])

    def test_on_demand_udp(self):
        echo_socket = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self.addCleanup(echo_socket.close)
        echo_socket.bind(("127.0.0.1", 0))

        def loop():
            with contextlib.suppress(OSError):
                while True:
                    data, peer = echo_socket.recvfrom(2000)
                    echo_socket.sendto(data, peer)

        threading.Thread(target=loop, daemon=True).start()
        d = self.daemon({"services": {"f": {
            "listen": "udp:127.0.0.1:0",
            "exec": ["mp-forward", "--udp-idle", "300ms", "--exit-idle", "300ms", address_text(echo_socket)]}}})
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as client:
            client.settimeout(DEADLINE)
            for i in range(2):
                client.sendto(b"datagram %d" % i, ("127.0.0.1", d.port("f")))
                self.assertEqual(client.recv(100), b"datagram %d" % i)
                wait_until(lambda: not d.instances("f"), "the end of an idle forwarder")
        self.assertEqual(d.service("f")["exited"]["ok"], 2)

    def test_status_tells_of_trouble(self):
        d = self.daemon({"services": {"f": {"listen": "tcp:127.0.0.1:0", "model": "on-demand",
                                            "exec": ["mp-forward", f"tcp:127.0.0.1:{free_port()}"]}}})
        with d.dial("f") as client:
            self.assertEqual(read_all(client), b"")
        wait_until(lambda: "Connection refused" in (d.service("f")["status"] or ""), "STATUS")

    def test_stop_drains(self):
        """On stop connections have their time, then end."""
        backend = self.backend()
        d = self.daemon({"services": {"f": {"listen": "tcp:127.0.0.1:0", "model": "on-demand",
                                            "exec": ["mp-forward", "--drain", "300ms", backend.to]}}})
        with d.dial("f") as client:
            client.sendall(b"x")
            self.assertEqual(read_exactly(client, 1), b"x")
            d.call("Stop", services=["f"])
            self.assertEqual(read_all(client), b"")
        self.assertFalse(d.instances("f"))


if __name__ == "__main__":
    unittest.main()
