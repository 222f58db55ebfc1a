# SPDX-License-Identifier: MIT
"""What the daemon does on signals: drain, end, and say how it is."""
import os
import signal
import socket
import time
import unittest

from harness import PATIENCE, DaemonTest, process_alive, read_all, stays, wait_until


class Signals(DaemonTest):
    def start(self, *child, shutdown=None, more=None, **service):
        service = {"listen": "tcp:127.0.0.1:0", "exec": ["{bad-child}", *child], **service}
        return self.daemon({"services": {"s": service, **(more or {})}, "shutdown": shutdown or {}})

    def test_ends_at_once_without_connections(self):
        for sig in (signal.SIGTERM, signal.SIGINT):
            d = self.start("sleep")
            start = time.monotonic()
            d.stop(sig)
            self.assertLess(time.monotonic() - start, 5)
            self.assertFalse(os.path.exists(d.socket))

    def test_drain_lets_a_connection_end(self):
        d = self.start("half-close", shutdown={"drain": "30s"})
        port = d.port("s")
        with d.dial("s") as s:
            s.sendall(b"x")
            d.wait_service("s", active=1)
            os.kill(d.pid, signal.SIGTERM)
            wait_until(lambda: not self.accepts(port), "the listener to close")
            self.assertIsNone(d.process.poll())
            s.sendall(b"y")
            s.shutdown(1)
            self.assertEqual(read_all(s), b"got 2 bytes, then the end\n")
        self.assertEqual(d.process.wait(PATIENCE), 0)

    @staticmethod
    def accepts(port):
        try:
            socket.create_connection(("127.0.0.1", port), 1).close()
            return True
        except OSError:
            return False

    def test_drain_has_an_end(self):
        d = self.start("sleep", shutdown={"drain": "300ms"})
        with d.dial("s") as s:
            d.wait_service("s", active=1)
            start = time.monotonic()
            os.kill(d.pid, signal.SIGTERM)
            self.assertEqual(read_all(s), b"", "TERM after the drain")
            self.assertGreater(time.monotonic() - start, 0.25)
        self.assertEqual(d.process.wait(PATIENCE), 0)
        self.assertEqual(self.said(d), "stopping; 1 connection is live and has 300ms to end (once more to kill it)")

    @staticmethod
    def said(d):
        """The line of the log when it is told to stop."""
        return d.log(event="stopping")[0]["message"]

    def test_how_many_there_are_is_told(self):
        d = self.start(exec=["cat"], shutdown={"drain": "1m30s"})
        with d.dial("s"), d.dial("s"):
            d.wait_service("s", active=2)
            os.kill(d.pid, signal.SIGTERM)
            d.wait_log(event="stopping")
            self.assertEqual(self.said(d),
                             "stopping; 2 connections are live and have 1m30s to end (once more to kill them)")
        self.assertEqual(d.process.wait(PATIENCE), 0)
        d = self.start("sleep")
        d.stop(signal.SIGTERM)
        self.assertEqual(self.said(d), "stopping; no connection is live")

    def test_kill_after_the_stop_timeout(self):
        d = self.start("hang", shutdown={"drain": "100ms"}, timeouts={"stop": "300ms"})
        with d.dial("s") as s:
            self.assertEqual(s.recv(100), b"hanging\n")
            os.kill(d.pid, signal.SIGTERM)
            self.assertEqual(read_all(s), b"")
        self.assertEqual(d.process.wait(PATIENCE), 0)

    def test_second_term_kills(self):
        d = self.start("hang", shutdown={"drain": "60s"}, timeouts={"stop": "60s"})
        with d.dial("s") as s:
            self.assertEqual(s.recv(100), b"hanging\n")
            os.kill(d.pid, signal.SIGTERM)
            d.wait_log(event="stopping")
            stays(lambda: d.process.poll() is None, "one that drains", seconds=0.3)
            os.kill(d.pid, signal.SIGTERM)
            self.assertEqual(read_all(s), b"")
        self.assertEqual(d.process.wait(PATIENCE), 1)
        d.process = None

    def test_control_answers_while_draining(self):
        d = self.start("half-close", shutdown={"drain": "30s"})
        with d.dial("s") as s:
            d.wait_service("s", active=1)
            os.kill(d.pid, signal.SIGTERM)
            wait_until(lambda: d.status()["daemon"]["state"] == "stopping", "the state of the daemon")
            s.shutdown(1)
            read_all(s)
        self.assertEqual(d.process.wait(PATIENCE), 0)

    def test_usr1_logs_a_summary(self):
        d = self.start("sleep")
        before = len(d.log_text())
        os.kill(d.pid, signal.SIGUSR1)
        wait_until(lambda: len(d.log_text()) > before, "the summary")
        self.assertIsInstance(d.call("Ping"), dict)

    def test_leave_children(self):
        d = self.start("sleep", "20000", shutdown={"children": "leave"})
        with d.dial("s"):
            d.wait_service("s", active=1)
            pid = d.instances("s")[0]["pid"]
            d.stop(check=False)
            self.assertTrue(process_alive(pid))
            os.kill(pid, signal.SIGKILL)

    def test_leave_children_but_workers(self):
        """The kernel tells workers, however the daemon ends; the log has who lives on, and who does not."""
        d = self.start("sleep", "20000", shutdown={"children": "leave"},
                       more={"pool": {"listen": "tcp:127.0.0.1:0", "model": "pool", "pool": {"min": 2, "max": 2}, "exec": ["sleep", "20000"]}})
        with d.dial("s"):
            d.wait_service("s", active=1)
            wait_until(lambda: len(d.instances("pool")) == 2, "both workers")
            pid, workers = d.instances("s")[0]["pid"], [i["pid"] for i in d.instances("pool")]
            d.stop(check=False)
            wait_until(lambda: not any(map(process_alive, workers)), "the workers' end")
            self.assertTrue(process_alive(pid))
            os.kill(pid, signal.SIGKILL)
        self.assertIn("processes left running: 1; workers of pools are told to end: 2", d.log_text())

    def test_killed_daemon_leaves_connections_alone(self):
        d = self.start("half-close")
        with d.dial("s") as s:
            d.wait_service("s", active=1)
            d.process.kill()
            d.process.wait()
            s.sendall(b"xy")
            s.shutdown(1)
            self.assertEqual(read_all(s), b"got 2 bytes, then the end\n")
        d.process = None

    def test_stop_and_continue(self):
        d = self.start("half-close")
        port = d.port("s")
        os.kill(d.pid, signal.SIGSTOP)
        try:
            clients = [socket.create_connection(("127.0.0.1", port), 5) for _ in range(20)]
            for s in clients:
                s.sendall(b"x")
                s.shutdown(1)
        finally:
            os.kill(d.pid, signal.SIGCONT)
        for s in clients:
            with s:
                self.assertEqual(read_all(s), b"got 1 bytes, then the end\n")


if __name__ == "__main__":
    unittest.main()
