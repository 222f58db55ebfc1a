# SPDX-License-Identifier: MIT
"""Many connections: every one served, none forgotten, nothing left over."""
import os
import socket
import struct
import threading
import time
import unittest

from harness import (SANITIZED, SLOW, DaemonTest, children_of, exchange, lasting_descriptors_of, resident_kib,
                     wait_until)


def run_threads(n, target):
    threads = [threading.Thread(target=target, args=(i,)) for i in range(n)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()


class Load(DaemonTest):
    weight = 50

    def start(self, *child, **service):
        return self.daemon({"services": {
            "s": {"listen": "tcp:127.0.0.1:0", "exec": ["{bad-child}", *child], **service},
            "canary": {"listen": "tcp:127.0.0.1:0", "exec": ["mp-echo"]}}, "log": {"level": "warning"}})

    @staticmethod
    def add_up(service):
        return (service["accepted"] == service["spawned"] + service["spawn_failed"] + sum(service["refused"].values())
                + service["gone"]) and service["spawned"] == service["active"] + sum(service["exited"].values())

    def test_twenty_thousand(self):
        total = 3000 if SANITIZED else 100000 if SLOW else 20000
        d = self.start("half-close", limits={"instances": 200})
        port = d.port("s")
        bad = []
        zombies = [0]
        over = threading.Event()

        def client(number):
            for i in range(number, total, 8):
                try:
                    with socket.create_connection(("127.0.0.1", port), 30) as s:
                        s.sendall(b"x" * (i % 100))
                        s.shutdown(socket.SHUT_WR)
                        got = b""
                        while data := s.recv(100):
                            got += data
                        if got != b"got %d bytes, then the end\n" % (i % 100):
                            bad.append(got)
                except OSError as error:
                    bad.append(repr(error))

        def watch():
            """A zombie is one that is seen twice in a row."""
            before = set()
            while not over.wait(0.5):
                now = {pid for pid, state in children_of(d.pid) if state == "Z"}
                zombies[0] += len(now & before)
                before = now
        watcher = threading.Thread(target=watch)
        # Memory is compared after the first part: by then the daemon has all the tables that it makes on first use.
        for i in range(50):
            self.assertEqual(d.ask("s", b"xx"), b"got 2 bytes, then the end\n", i)
        memory = resident_kib(d.pid)
        watcher.start()
        run_threads(8, client)
        over.set()
        watcher.join()
        self.assertEqual(bad[:5], [])
        service = d.wait_idle("s")
        self.assertEqual((service["accepted"], service["exited"]["ok"]), (total + 50, total + 50))
        self.assertTrue(self.add_up(service), service)
        self.assertEqual(zombies[0], 0)
        self.assertEqual(children_of(d.pid), [])
        wait_until(lambda: len(lasting_descriptors_of(d.pid)) <= len(d.baseline), "the descriptors of the start")
        if not SANITIZED:
            self.assertLess(resident_kib(d.pid) - memory, 2048)

    def test_many_end_at_once(self):
        d = self.daemon({"services": {"s": {"listen": "tcp:127.0.0.1:0", "exec": ["cat"]}}})
        clients = [d.dial("s") for _ in range(300)]
        d.wait_service("s", active=300)
        for s in clients:
            s.close()
        service = d.wait_idle("s")
        self.assertEqual(service["exited"]["ok"], 300)
        wait_until(lambda: not children_of(d.pid), "no child")

    def test_killed_at_once(self):
        d = self.start("sleep")
        clients = [d.dial("s") for _ in range(200)]
        d.wait_service("s", active=200)
        for pid, _ in children_of(d.pid):
            os.kill(pid, 9)
        service = d.wait_idle("s")
        self.assertEqual(service["exited"]["signaled"], 200)
        for s in clients:
            s.close()

    def test_crash_storm(self):
        d = self.start("abort", resources={"core": 0})
        port = d.port("s")
        slowest = [0.0]

        def client(number):
            if number == 0:
                for _ in range(10):
                    start = time.monotonic()
                    self.assertEqual(d.ask("canary", b"tweet"), b"tweet")
                    slowest[0] = max(slowest[0], time.monotonic() - start)
            for _ in range(60):
                with socket.create_connection(("127.0.0.1", port), 30) as s:
                    try:
                        s.recv(1)
                    except ConnectionResetError:
                        pass
        run_threads(6, client)
        service = d.wait_idle("s")
        self.assertEqual((service["exited"]["signaled"], service["state"]), (360, "listening"))
        self.assertLess(slowest[0], 2)

    def test_clients_that_reset(self):
        d = self.start("half-close")
        for _ in range(300):
            s = d.dial_fast()
            s.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            s.close()
        wait_until(lambda: self.add_up(d.service("s")) and d.service("s")["active"] == 0
                   and d.service("s")["accepted"] == 300, "counters that add up")
        self.assertEqual(d.ask("s", b"x"), b"got 1 bytes, then the end\n")

    def test_idle_connections_cost_the_daemon_nothing(self):
        d = self.daemon({"services": {"s": {"listen": "tcp:127.0.0.1:0", "exec": ["cat"], "stderr": "discard"}}})
        before = len(d.quiet_descriptors())
        clients = [d.dial("s") for _ in range(200)]
        d.wait_service("s", active=200)
        self.assertLessEqual(len(d.quiet_descriptors()), before)
        for s in clients:
            s.close()
        d.wait_idle("s")


class Exhaustion(DaemonTest):
    def test_few_descriptors(self):
        """More clients than descriptors: the daemon and its control socket stay, and the service comes back."""
        d = self.daemon({"services": {"s": {"listen": "tcp:127.0.0.1:0", "exec": ["cat"]}}},
                        wrap=["prlimit", "--nofile=64:64", "--"])
        clients = [d.dial_fast() for _ in range(120)]
        time.sleep(0.5)
        self.assertIsInstance(d.call("Ping"), dict)
        served = 0
        for s in clients:
            with s:
                served += exchange(s, b"x") == b"x"
        self.assertGreater(served, 10)
        d.wait_service("s", active=0, queued=0)
        self.assertEqual(d.ask("s", b"again"), b"again")

    @unittest.skipIf(os.geteuid() == 0, "limits of processes do not bind root")
    @unittest.skipIf(SANITIZED, "the leak check needs a process of its own")
    def test_no_more_processes(self):
        d = self.daemon({"services": {"s": {"listen": "tcp:127.0.0.1:0", "exec": ["cat"]}}},
                        wrap=["prlimit", "--nproc=1:1", "--"])
        self.assertEqual(d.ask("s", b"x"), b"")
        service = d.wait_service("s", active=0)
        self.assertEqual(service["last_error"]["step"], "limit")
        self.assertEqual(service["spawn_failed"], 1)


if __name__ == "__main__":
    unittest.main()
