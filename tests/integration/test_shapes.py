# SPDX-License-Identifier: MIT
"""The classic shapes of a server: each serves the same protocol, on listeners that the daemon hands over, and is right
to the end: bytes, half-close, slow readers, dead workers, TERM, reports."""
import contextlib
import os
import resource
import select
import signal
import socket
import time
import unittest

from harness import (SANITIZED, DaemonTest, children_of, cpu_seconds, descriptors_of, exchange, process_alive, resident_kib,
                     stays, steady, wait_until)

MODELS = ["iterative", "fork", "prefork", "thread", "thread-pool", "epoll"]
# Those that serve several at once.
CONCURRENT = MODELS[1:]
BACKLOG = 4096


def each(models):
    """A test method for each of the models, so that each has a daemon, and a line, of its own."""
    def decorate(cls):
        for name in [n for n in vars(cls) if n.startswith("each_")]:
            function = getattr(cls, name)
            for model in getattr(function, "models", models):
                def method(self, function=function, model=model):
                    function(self, model)
                method.__doc__ = function.__doc__
                setattr(cls, f"test_{name[5:]}_{model.replace('-', '_')}", method)
        return cls
    return decorate


def only(*models):
    def decorate(function):
        function.models = models
        return function
    return decorate


def pattern(n, seed):
    block = bytes((i * 31 + seed * 7 + (i >> 8)) & 0xFF for i in range(4096))
    return (block * (n // len(block) + 1))[:n]


class Crowd:
    """Many clients at once, in one loop: each sends its bytes, half-closes, and reads to the end."""

    def __init__(self, ports, n, size):
        self.clients = {}
        self.poll = select.epoll()
        for i in range(n):
            s = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
            s.setblocking(False)
            with contextlib.suppress(BlockingIOError):
                s.connect(("127.0.0.1", ports[i % len(ports)]))
            self.clients[s.fileno()] = [s, pattern(size, i), 0, bytearray(), False]
            self.poll.register(s, select.EPOLLIN | select.EPOLLOUT)
        self.good = self.bad = self.broken = 0

    def send(self, client):
        s, data, sent, _, _ = client
        client[2] += s.send(data[sent:sent + 65536]) if data else 0
        if client[2] == len(data):
            client[4] = True
            s.shutdown(socket.SHUT_WR)
            self.poll.modify(s, select.EPOLLIN)

    def end(self, client, broken):
        s, data, _, got, _ = client
        self.broken += broken
        self.good += not broken and bytes(got) == data
        self.bad += not broken and bytes(got) != data
        self.poll.unregister(s)
        del self.clients[s.fileno()]
        s.close()

    def step(self, client, events):
        if events & select.EPOLLOUT and not client[4]:
            self.send(client)
        if events & (select.EPOLLIN | select.EPOLLHUP | select.EPOLLERR):
            part = client[0].recv(65536)
            client[3].extend(part)
            if not part:
                self.end(client, False)

    def run(self, until=None, deadline=60):
        """Until all have ended, or until() says so."""
        stop = time.monotonic() + deadline
        while self.clients and not (until and until()):
            if time.monotonic() > stop:
                raise AssertionError(f"{len(self.clients)} clients are left; {self.good} were served")
            for fd, events in self.poll.poll(0.2):
                client = self.clients.get(fd)
                try:
                    if client:
                        self.step(client, events)
                except BlockingIOError:
                    pass
                except OSError:
                    self.end(client, True)

    def close(self):
        for client in list(self.clients.values()):
            client[0].close()
        self.poll.close()


class ShapeTest(DaemonTest):
    def start(self, model, *options, listeners=2, **service):
        return self.daemon({"services": {"s": {
            "listen": [{"endpoint": "tcp:127.0.0.1:0", "backlog": BACKLOG} for _ in range(listeners)],
            "model": "on-demand", "pass": "listen_fds", "report": True,
            "exec": ["mp-echo", "--model", model, *options], **service}}})

    def ports(self, d):
        return [listener["port"] for listener in d.service("s")["listeners"]]

    def crowd(self, d, n, size):
        crowd = Crowd(self.ports(d), n, size)
        self.addCleanup(crowd.close)
        return crowd

    def connect(self, d, index=0):
        s = socket.create_connection(("127.0.0.1", self.ports(d)[index]), 20)
        self.addCleanup(s.close)
        return s

    @staticmethod
    def pid(d):
        return d.instances("s")[0]["pid"]

    @staticmethod
    def metrics(d):
        """The X_ numbers of the only instance, by their names, from the metrics page."""
        found = {}
        for line in d.call("Metrics")["metrics"].splitlines():
            if line.startswith("mpinetd_reported{") and 'name="' in line:
                name = line.split('name="', 1)[1].split('"', 1)[0]
                found[name] = float(line.rsplit(" ", 1)[1])
        return found

    @staticmethod
    def talk(s, data):
        s.sendall(data)
        got = b""
        while len(got) < len(data):
            part = s.recv(65536)
            if not part:
                break
            got += part
        return got


@each(MODELS)
class Serving(ShapeTest):
    def each_two_hundred_clients(self, model):
        """Every byte comes back, over two listeners, and nothing is left afterwards."""
        d = self.start(model)
        first = self.connect(d)
        self.assertEqual(self.talk(first, b"hello"), b"hello")
        first.close()
        d.wait_service("s", requests=1)
        pid = self.pid(d)
        # The threads and processes that stay are there by now.
        before, children = len(descriptors_of(pid)), len(children_of(pid))
        crowd = self.crowd(d, 200, 100000)
        crowd.run()
        self.assertEqual((crowd.good, crowd.bad, crowd.broken), (200, 0, 0))
        d.wait_service("s", requests=201)
        wait_until(lambda: d.instances("s")[0]["active"] == 0, "nothing active")
        wait_until(lambda: len(descriptors_of(pid)) == before, "as many descriptors as before")
        wait_until(lambda: len(children_of(pid)) == children, "as many children as before")
        self.assertFalse([c for c in children_of(pid) if c[1] == "Z"])

    def each_half_close(self, model):
        """The answer comes after the client's end, and ends itself."""
        d = self.start(model, listeners=1)
        for size in (0, 1, 100000, 3000000):
            crowd = self.crowd(d, 1, size)
            crowd.run()
            self.assertEqual((crowd.good, crowd.bad, crowd.broken), (1, 0, 0), size)

    def each_slow_reader(self, model):
        """Who does not read is not read from: nothing grows, and nothing spins."""
        d = self.start(model, listeners=1)
        s = self.connect(d)
        self.assertEqual(self.talk(s, b"x"), b"x")
        pids = [self.pid(d)] + [child for child, _ in children_of(self.pid(d))]
        # Those that have only just begun still grow by what they are.
        before = wait_until(lambda: steady(lambda: sum(resident_kib(pid) for pid in pids)), "that they have begun")
        s.setblocking(False)
        data, sent = pattern(1 << 20, 3), 0
        quiet = time.monotonic()
        while time.monotonic() - quiet < 0.5:
            with contextlib.suppress(BlockingIOError):
                sent += s.send(data[sent % 4096:])
                quiet = time.monotonic()
            time.sleep(0.001)
        self.assertGreater(sent, 100000)
        if not SANITIZED:
            self.assertLess(sum(resident_kib(pid) for pid in pids) - before, 1024)
        cpu = sum(cpu_seconds(pid) for pid in pids)
        time.sleep(0.5)
        self.assertLess(sum(cpu_seconds(pid) for pid in pids) - cpu, 0.1)
        # All of it comes back in the end.
        s.setblocking(True)
        s.shutdown(socket.SHUT_WR)
        got = 0
        while part := s.recv(1 << 20):
            got += len(part)
        self.assertEqual(got, sent)

    def each_reset(self, model):
        """A client that leaves by a reset is no error, and costs nothing."""
        d = self.start(model, listeners=1)
        for _ in range(20):
            s = self.connect(d)
            s.sendall(b"x" * 1000)
            s.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
            s.close()
        self.assertEqual(d.ask("s", b"hello"), b"hello")
        wait_until(lambda: d.service("s")["requests"] >= 21, "the ends")
        self.assertNotIn("connection", [e.get("message") for e in d.log(service="s") if e["level"] == "error"])

    def each_reports(self, model):
        d = self.start(model, listeners=1)
        held = [self.connect(d) for _ in range(1 if model == "iterative" else 3)]
        for s in held:
            self.assertEqual(self.talk(s, b"abc"), b"abc")
        wait_until(lambda: d.instances("s")[0]["active"] == len(held), "ACTIVE")
        self.assertTrue(d.service("s")["status"].startswith(model + ", serving 1 socket"))
        shown = d.mpctl("status", "s", check=0).stdout
        self.assertIn(model + ", serving", shown)
        for s in held:
            s.close()
        d.wait_service("s", requests=len(held))
        wait_until(lambda: d.instances("s")[0]["active"] == 0, "ACTIVE=0")
        self.assertEqual(d.service("s")["report_errors"], 0)

    def each_idle_end(self, model):
        """Without work it ends by itself, and the next client starts it again."""
        d = self.start(model, "--idle", "1", listeners=1)
        self.assertEqual(d.ask("s", b"hello"), b"hello")
        d.wait_service("s", active=0)
        self.assertEqual(d.service("s")["exited"]["ok"], 1)
        self.assertEqual(d.ask("s", b"again"), b"again")

    def each_no_idle_end_while_connected(self, model):
        d = self.start(model, "--idle", "1", listeners=1)
        s = self.connect(d)
        self.assertEqual(self.talk(s, b"a"), b"a")
        stays(lambda: d.service("s")["active"] == 1, "the process", seconds=1.8)
        self.assertEqual(self.talk(s, b"b"), b"b")

    def each_killed(self, model):
        """The main process is killed: all that is its own goes too, and the next client is served by a new one."""
        d = self.start(model, listeners=1)
        s = self.connect(d)
        self.assertEqual(self.talk(s, b"a"), b"a")
        pid = self.pid(d)
        children = [child for child, _ in children_of(pid)]
        os.kill(pid, signal.SIGKILL)
        s.close()
        wait_until(lambda: not any(process_alive(c) for c in children), "its children's end")
        self.assertEqual(d.ask("s", b"hello"), b"hello")
        self.assertEqual(d.service("s")["exited"]["signaled"], 1)


@each(MODELS)
class Ending(ShapeTest):
    def each_term_waits_for_connections(self, model):
        """After TERM nothing more is accepted, and the connection that lives may end by itself."""
        d = self.start(model, "--drain", "30", listeners=1)
        s = self.connect(d)
        self.assertEqual(self.talk(s, b"a"), b"a")
        pid = self.pid(d)
        os.kill(pid, signal.SIGTERM)
        time.sleep(0.3)
        self.assertEqual(self.talk(s, b"still here"), b"still here")
        self.assertEqual(self.pid(d), pid)
        s.shutdown(socket.SHUT_WR)
        self.assertEqual(s.recv(10), b"")
        d.wait_service("s", active=0)
        self.assertEqual(d.service("s")["exited"]["ok"], 1)

    def each_term_has_a_bound(self, model):
        """Who does not end is ended when the time is over, with all processes and threads."""
        d = self.start(model, "--drain", "1", listeners=1)
        held = [self.connect(d) for _ in range(1 if model == "iterative" else 4)]
        for s in held:
            self.assertEqual(self.talk(s, b"a"), b"a")
        pid = self.pid(d)
        children = [child for child, _ in children_of(pid)]
        begin = time.monotonic()
        os.kill(pid, signal.SIGTERM)
        for s in held:
            with contextlib.suppress(ConnectionResetError):
                self.assertEqual(s.recv(10), b"")
        d.wait_service("s", active=0)
        self.assertGreater(time.monotonic() - begin, 0.9)
        self.assertLess(time.monotonic() - begin, 6)
        wait_until(lambda: not any(process_alive(c) for c in children), "its children's end")
        self.assertEqual(d.service("s")["exited"]["ok"], 1)

    def each_second_term(self, model):
        d = self.start(model, "--drain", "60", listeners=1)
        s = self.connect(d)
        self.assertEqual(self.talk(s, b"a"), b"a")
        pid = self.pid(d)
        os.kill(pid, signal.SIGTERM)
        time.sleep(0.3)
        os.kill(pid, signal.SIGTERM)
        with contextlib.suppress(ConnectionResetError):
            self.assertEqual(s.recv(10), b"")
        d.wait_service("s", active=0)

    def each_stopped_by_the_daemon(self, model):
        d = self.start(model, "--drain", "1", listeners=1)
        s = self.connect(d)
        self.assertEqual(self.talk(s, b"a"), b"a")
        d.call("Stop", services=["s"])
        self.assertEqual(d.service("s")["state"], "stopped")
        self.assertEqual(children_of(d.pid), [])


class Processes(ShapeTest):
    def test_fork_child_killed(self):
        """A child that dies takes its connection along, and nobody else's."""
        d = self.start("fork", listeners=1)
        held = [self.connect(d) for _ in range(3)]
        for i, s in enumerate(held):
            self.assertEqual(self.talk(s, b"%d" % i), b"%d" % i)
        pid = self.pid(d)
        children = [child for child, _ in children_of(pid)]
        self.assertEqual(len(children), 3)
        os.kill(children[0], signal.SIGKILL)
        wait_until(lambda: len(children_of(pid)) == 2, "it is reaped")
        alive = 0
        for s in held:
            with contextlib.suppress(OSError):
                alive += self.talk(s, b"there?") == b"there?"
        self.assertEqual(alive, 2)
        self.assertEqual(d.ask("s", b"hello"), b"hello")

    def test_fork_reaps_all_at_once(self):
        """Signals do not queue: a hundred children that end together are all reaped."""
        d = self.start("fork", listeners=1)
        held = [self.connect(d) for _ in range(100)]
        for s in held:
            self.assertEqual(self.talk(s, b"a"), b"a")
        pid = self.pid(d)
        children = [child for child, _ in children_of(pid)]
        self.assertEqual(len(children), 100)
        os.kill(pid, signal.SIGSTOP)
        for child in children:
            os.kill(child, signal.SIGKILL)
        wait_until(lambda: all(state == "Z" for _, state in children_of(pid)), "their end")
        os.kill(pid, signal.SIGCONT)
        wait_until(lambda: not children_of(pid), "all of them are reaped")
        d.wait_service("s", requests=100)

    def test_fork_child_has_only_its_connection(self):
        d = self.start("fork", listeners=2)
        s = self.connect(d)
        self.assertEqual(self.talk(s, b"a"), b"a")
        child = children_of(self.pid(d))[0][0]
        self.assertEqual(descriptors_of(child), [0, 1, 2])
        targets = {os.readlink(f"/proc/{child}/fd/{fd}") for fd in (0, 1)}
        self.assertEqual(len(targets), 1)
        self.assertTrue(targets.pop().startswith("socket:"))

    def test_fork_is_bounded(self):
        d = self.start("fork", "--max-connections", "3", listeners=1)
        held = [self.connect(d) for _ in range(3)]
        for s in held:
            self.assertEqual(self.talk(s, b"a"), b"a")
        waiting = self.connect(d)
        waiting.sendall(b"me")
        stays(lambda: len(children_of(self.pid(d))) == 3, "three children")
        self.assertEqual(d.service("s")["queued"], 1)
        held[0].close()
        self.assertEqual(waiting.recv(10), b"me")

    def test_prefork_worker_killed(self):
        """A worker that dies is replaced at once, and the others serve on."""
        d = self.start("prefork", "--workers", "3", listeners=1)
        held = [self.connect(d) for _ in range(2)]
        for s in held:
            self.assertEqual(self.talk(s, b"a"), b"a")
        time.sleep(1.1)  # a worker that lived for long enough
        pid = self.pid(d)
        for child, _ in children_of(pid):
            os.kill(child, signal.SIGKILL)
        for s in held:
            with contextlib.suppress(ConnectionResetError):
                self.assertEqual(s.recv(10), b"")
        self.assertEqual(d.ask("s", b"hello"), b"hello")
        wait_until(lambda: len(children_of(pid)) == 3, "three workers")
        wait_until(lambda: self.metrics(d).get("replaced_workers") == 3, "X_replaced_workers")
        self.assertEqual(self.pid(d), pid)
        d.wait_service("s", requests=3)
        wait_until(lambda: d.instances("s")[0]["active"] == 0, "none is in hand")

    def test_prefork_dying_workers_are_slowed(self):
        d = self.start("prefork", "--workers", "2", listeners=1)
        self.assertEqual(d.ask("s", b"hello"), b"hello")
        pid, seen, end = self.pid(d), set(), time.monotonic() + 2
        while time.monotonic() < end:
            for child, state in children_of(pid):
                if state != "Z":
                    seen.add(child)
                    with contextlib.suppress(ProcessLookupError):
                        os.kill(child, signal.SIGKILL)
            time.sleep(0.005)
        self.assertGreater(len(seen), 3)
        self.assertLess(len(seen), 20)
        self.assertEqual(d.ask("s", b"hello", timeout=15), b"hello")

    def test_prefork_crowd_with_killed_workers(self):
        """In the midst of work workers are killed: their clients lose, nobody else, and no byte is wrong."""
        d = self.start("prefork", "--workers", "8")
        self.assertEqual(d.ask("s", b"hello"), b"hello")
        pid = self.pid(d)
        time.sleep(1.1)
        crowd = self.crowd(d, 200, 200000)
        crowd.run(until=lambda: crowd.good >= 20)
        for child, _ in children_of(pid)[:3]:
            os.kill(child, signal.SIGKILL)
        crowd.run()
        # One that ends clean but short was cut off, too.
        self.assertLessEqual(crowd.bad + crowd.broken, 3)
        self.assertGreaterEqual(crowd.good, 197)
        wait_until(lambda: len(children_of(pid)) == 8, "eight workers")

    def test_prefork_workers_share(self):
        """Held connections fill all workers: nobody waits while one is idle."""
        d = self.start("prefork", "--workers", "5")
        held = [self.connect(d, i % 2) for i in range(5)]
        for s in held:
            self.assertEqual(self.talk(s, b"a"), b"a")
        waiting = self.connect(d)
        waiting.sendall(b"me")
        waiting.settimeout(0.4)
        with self.assertRaises(TimeoutError):
            waiting.recv(1)
        held[2].close()
        waiting.settimeout(10)
        self.assertEqual(waiting.recv(10), b"me")


class Threads(ShapeTest):
    def test_thread_is_bounded(self):
        d = self.start("thread", "--max-connections", "3", listeners=1)
        held = [self.connect(d) for _ in range(3)]
        for s in held:
            self.assertEqual(self.talk(s, b"a"), b"a")
        threads = len(os.listdir(f"/proc/{self.pid(d)}/task"))
        if not SANITIZED:  # which has one of its own
            self.assertEqual(threads, 4)
        waiting = self.connect(d)
        waiting.sendall(b"me")
        waiting.settimeout(0.4)
        with self.assertRaises(TimeoutError):
            waiting.recv(1)
        held[0].close()
        waiting.settimeout(10)
        self.assertEqual(waiting.recv(10), b"me")
        wait_until(lambda: len(os.listdir(f"/proc/{self.pid(d)}/task")) == threads, "as many threads")

    def test_pool_waits_when_full(self):
        d = self.start("thread-pool", "--workers", "2", "--queue", "3", listeners=1)
        held = [self.connect(d) for _ in range(2)]
        for s in held:
            self.assertEqual(self.talk(s, b"a"), b"a")
        waiting = [self.connect(d) for _ in range(6)]
        for i, s in enumerate(waiting):
            s.sendall(b"%d" % i)
        d.wait_service("s", work_queued=3)
        self.assertEqual(d.service("s")["queued"], 3)
        self.assertEqual(d.instances("s")[0]["active"], 2)
        # First in, first out.
        for i, s in enumerate(waiting):
            (held + waiting)[i].close()
            self.assertEqual(s.recv(10), b"%d" % i)
        d.wait_service("s", work_queued=0)

    def test_pool_refuses_when_full(self):
        d = self.start("thread-pool", "--workers", "2", "--queue", "1", "--when-full", "refuse", listeners=1)
        held = []
        for _ in range(2):  # one after the other: the queue has room for one
            held.append(self.connect(d))
            self.assertEqual(self.talk(held[-1], b"a"), b"a")
        queued = self.connect(d)
        queued.sendall(b"q")
        d.wait_service("s", work_queued=1)
        for _ in range(3):
            refused = self.connect(d)
            with contextlib.suppress(ConnectionResetError):
                self.assertEqual(refused.recv(1), b"")
        wait_until(lambda: self.metrics(d).get("refused") == 3, "X_refused")
        self.assertEqual((self.metrics(d)["busy_threads"], self.metrics(d)["idle_threads"]), (2, 0))
        held[0].close()
        self.assertEqual(queued.recv(1), b"q")

    def test_pool_serves_its_queue_after_term(self):
        d = self.start("thread-pool", "--workers", "1", "--queue", "5", "--drain", "20", listeners=1)
        held = self.connect(d)
        self.assertEqual(self.talk(held, b"a"), b"a")
        queued = [self.connect(d) for _ in range(3)]
        for s in queued:
            s.sendall(b"q")
            s.shutdown(socket.SHUT_WR)
        d.wait_service("s", work_queued=3)
        os.kill(self.pid(d), signal.SIGTERM)
        time.sleep(0.2)
        held.close()
        for s in queued:
            self.assertEqual(exchange(s, b""), b"q")
        d.wait_service("s", active=0)
        self.assertEqual(d.service("s")["exited"]["ok"], 1)


class Epoll(ShapeTest):
    def test_ten_thousand_connections(self):
        """As many at once as descriptors allow: all are served, and an idle one costs little."""
        _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
        resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
        n = min(10000, hard - 500)
        if n < 10000:
            self.skipTest(f"only {hard} descriptors are allowed")
        d = self.start("epoll", "--max-connections", str(n), listeners=1, resources={"nofile": hard})
        first = self.connect(d)
        self.assertEqual(self.talk(first, b"a"), b"a")
        pid, port = self.pid(d), self.ports(d)[0]
        before = resident_kib(pid)
        held = []
        self.addCleanup(lambda: [s.close() for s in held])
        while len(held) < n - 1:
            s = socket.create_connection(("127.0.0.1", port), 20)
            s.sendall(b"%6d" % len(held))
            held.append(s)
        for i, s in enumerate(held):
            self.assertEqual(s.recv(6), b"%6d" % i)
        wait_until(lambda: d.instances("s")[0]["active"] == n, "all are active")
        if not SANITIZED:
            self.assertLess(resident_kib(pid) - before, 8192)
        for s in held:
            s.close()
        wait_until(lambda: d.instances("s")[0]["active"] == 1, "one is left")
        self.assertEqual(self.talk(first, b"b"), b"b")


    def test_full_and_then_room(self):
        d = self.start("epoll", "--max-connections", "3", listeners=2)
        held = [self.connect(d, i % 2) for i in range(3)]
        for s in held:
            self.assertEqual(self.talk(s, b"a"), b"a")
        waiting = self.connect(d, 1)
        waiting.sendall(b"me")
        pid = self.pid(d)
        wait_until(lambda: d.instances("s")[0]["active"] == 3, "three connections")
        before = cpu_seconds(pid)
        stays(lambda: d.instances("s")[0]["active"] == 3, "three connections")
        self.assertLess(cpu_seconds(pid) - before, 0.1)
        held[0].close()
        self.assertEqual(waiting.recv(10), b"me")


class CommandLine(ShapeTest):
    def test_datagram_socket_is_refused_with_a_reason(self):
        d = self.daemon({"services": {"s": {"listen": "udp:127.0.0.1:0", "model": "on-demand", "report": True,
                                            "exec": ["mp-echo", "--model", "fork"]}}})
        with d.dial("s") as s:
            s.send(b"x")
            wait_until(lambda: "is no listener, and --model fork serves nothing else" in d.log_text(), "the reason")
        d.call("Stop", services=["s"])


if __name__ == "__main__":
    unittest.main()
