# SPDX-License-Identifier: MIT
"""On-demand services: left alone while their process lives, slowed when it misbehaves, never given up."""
import os
import socket
import time
import unittest

from harness import PATIENCE, DaemonTest, children_of, cpu_seconds, free_port, need_ipv6, process_alive, stays, wait_until


class OnDemandTest(DaemonTest):
    def start(self, *child, options=(), **service):
        service = {"listen": "udp:127.0.0.1:0", "model": "on-demand", "exec": ["{bad-child}", *child], **service}
        return self.daemon({"services": {"s": service, "canary": {"listen": "tcp:127.0.0.1:0", "exec": ["mp-echo"]}}},
                           options=options)

    @staticmethod
    def knock(d, data=b"x"):
        with d.dial("s") as s:
            s.send(data)

    @staticmethod
    def marks(d):
        try:
            with open(d.path("marks"), encoding="utf-8") as file:
                return len(file.read().split())
        except FileNotFoundError:
            return 0


class OneThatComesLate(DaemonTest):
    """A listener that cannot be opened at first, and is later: also where a process has the others already."""
    def late(self, kind=socket.SOCK_STREAM, more=None, **service):
        word = "tcp" if kind == socket.SOCK_STREAM else "udp"
        with socket.socket(socket.AF_INET, kind) as taken:
            taken.bind(("127.0.0.1", 0))
            first, late = free_port(), taken.getsockname()[1]
            d = self.daemon({"services": {"s": {"listen": [f"{word}:127.0.0.1:{first}", f"{word}:127.0.0.1:{late}"], **service},
                                          **(more or {})}})

            def ask(port):
                try:
                    with socket.socket(socket.AF_INET, kind) as s:
                        s.settimeout(0.5)
                        s.connect(("127.0.0.1", port))
                        s.send(b"x\n")
                        return s.recv(9)
                except OSError:
                    return None
            wait_until(lambda: ask(first) == b"x\n", "the first one")
            before = {i["pid"] for i in d.instances("s") if i["state"] != "starting"}
            self.assertTrue(before)
        wait_until(lambda: ask(late) == b"x\n", "the late one to be served", deadline=2 * PATIENCE)
        wait_until(lambda: ask(first) == b"x\n", "and the first one as well")
        wait_until(lambda: not before & {i["pid"] for i in d.instances("s")}, "the end of who had but one")

    def test_on_demand(self):
        self.late(model="on-demand", exec=["mp-echo"], **{"pass": "listen_fds"})

    def test_pool(self):
        self.late(model="pool", exec=["mp-echo"], pool={"min": 1, "max": 1, "handoff": "listener"})

    def test_forward_of_datagrams(self):
        to = f"udp:127.0.0.1:{free_port()}"
        self.late(kind=socket.SOCK_DGRAM, model="forward", to=to, more={"echo": {"listen": to, "exec": ["mp-echo"]}})


class Polling(OnDemandTest):
    def test_not_polled_while_the_process_lives(self):
        """The process never reads: the daemon must not spin on the datagrams that wait."""
        d = self.start("sleep")
        self.knock(d)
        d.wait_service("s", active=1, state="active")
        before = cpu_seconds(d.pid)
        for _ in range(200):
            self.knock(d)
        time.sleep(1)
        self.assertLess(cpu_seconds(d.pid) - before, 0.35)
        self.assertEqual(d.service("s")["spawned"], 1)
        d.call("Stop", services=["s"])

    def test_datagram_left_unread_is_slowed(self):
        """A process that ends well without reading would be started again at once, for ever."""
        d = self.start("mark", "{dir}/marks", restart={"delay": "200ms", "max_delay": "2s", "limit": "3/10s"})
        self.knock(d)
        d.wait_service("s", state="backoff")
        time.sleep(1.5)
        self.assertLessEqual(self.marks(d), 12)
        wait_until(lambda: self.marks(d) >= 4, "it is slowed, not given up")
        before = cpu_seconds(d.pid)
        time.sleep(1)
        self.assertLess(cpu_seconds(d.pid) - before, 0.3)
        self.assertEqual(d.ask("canary", b"tweet"), b"tweet")

    def test_dies_at_once_is_slowed_and_never_given_up(self):
        d = self.start("mark", "{dir}/marks", "1", restart={"delay": "100ms", "max_delay": "400ms", "limit": "2/10s"})
        self.knock(d)
        d.wait_service("s", state="backoff")
        at = self.marks(d)
        wait_until(lambda: self.marks(d) >= at + 2, "further starts")
        service = d.service("s")
        self.assertGreaterEqual(service["exited"]["failed"], 4)
        d.call("Stop", services=["s"])
        self.assertEqual(d.service("s")["state"], "stopped")
        at = self.marks(d)
        stays(lambda: self.marks(d) == at, "a stopped service", seconds=0.8)

    def test_delay_doubles(self):
        d = self.start("mark", "{dir}/marks", "1", restart={"delay": "100ms", "max_delay": "10s", "limit": "1/10s"})
        self.knock(d)
        time.sleep(1.7)
        # At 0, then after about 100, 200, 400 and 800 ms.
        self.assertLessEqual(self.marks(d), 7)
        d.call("Stop", services=["s"])

    def test_clean_ends_that_did_work_are_free(self):
        d = self.start("udp", "1", **{"pass": "stdio"}, restart={"limit": "100/1s"})
        with d.dial("s") as s:
            for i in range(30):
                s.send(b"%d" % i)
                self.assertEqual(s.recv(100).split()[0], b"%d" % i)
        d.wait_service("s", active=0, spawned=30)
        self.assertEqual(d.service("s")["state"], "listening")

    def test_stream_backlog_is_kept_over_a_crash(self):
        d = self.start("mark", "{dir}/marks", "1", listen="tcp:127.0.0.1:0", restart={"delay": "100ms", "limit": "2/10s"})
        with d.dial("s") as s:
            d.wait_service("s", state="backoff")
            s.settimeout(0.2)
            with self.assertRaises(TimeoutError):
                s.recv(1)
            self.assertEqual(d.service("s")["queued"], 1)


class Restart(OnDemandTest):
    def test_start_now(self):
        d = self.start("sleep", start="now")
        service = d.wait_service("s", active=1, state="active")
        self.assertEqual(service["spawned"], 1)

    @need_ipv6
    def test_start_now_without_one_of_its_sockets(self):
        """Each socket has a process of its own: one that could not be opened has none until it is."""
        with socket.socket(socket.AF_INET6) as other:
            other.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
            port = free_port()
            other.bind(("::", port))
            other.listen()
            d = self.start("sleep", start="now", listen=f"tcp:{port}", **{"pass": "stdio"})
            service = d.wait_service("s", active=1)
            self.assertEqual([li["error"] for li in service["listeners"] if li["error"]], ["bind: Address already in use"])
        d.wait_service("s", active=2, spawned=2, spawn_failed=0)

    def test_more_sockets_than_a_process_can_have(self):
        d = self.start("sleep", listen=[f"unix:{{dir}}/{i}" for i in range(260)], restart={"delay": "50ms"})
        with d.dial("s"):
            failed = d.wait_log(event="spawn_failed", service="s")[0]
        self.assertEqual((failed["step"], failed["error"]), ("fds", "Argument list too long"))
        self.assertIn("too many sockets for one process", failed["message"])

    def test_never_waits_for_traffic(self):
        d = self.start("mark", "{dir}/marks", "1", start="now")
        wait_until(lambda: self.marks(d) == 1, "the start")
        stays(lambda: self.marks(d) == 1, "one start", seconds=0.7)

    def test_on_failure(self):
        d = self.start("mark", "{dir}/marks", "1", start="now", restart={"policy": "on-failure", "delay": "50ms"})
        wait_until(lambda: self.marks(d) >= 3, "three starts without traffic")
        self.assertGreaterEqual(d.service("s")["restarts"], 2)

    def test_on_failure_leaves_a_clean_end_alone(self):
        d = self.start("mark", "{dir}/marks", "0", start="now", restart={"policy": "on-failure", "delay": "50ms"})
        wait_until(lambda: self.marks(d) == 1, "the start")
        stays(lambda: self.marks(d) == 1, "one start", seconds=0.7)
        self.assertEqual(d.service("s")["state"], "listening")

    def test_always(self):
        d = self.start("mark", "{dir}/marks", "0", start="now", restart={"policy": "always", "delay": "50ms"})
        wait_until(lambda: self.marks(d) >= 3, "three starts without traffic")

    def test_killed_process_is_started_by_the_next_datagram(self):
        d = self.start("sleep")
        self.knock(d)
        d.wait_service("s", active=1)
        pid = [i for i in d.instances("s")][0]["pid"]
        with d.dial("s") as s:
            os.kill(pid, 9)
            wait_until(lambda: not process_alive(pid), "its end")
            s.send(b"x")
        service = d.wait_service("s", active=1, spawned=2)
        self.assertEqual(service["exited"]["signaled"], 1)

    def test_drain_of_the_daemon_tells_at_once(self):
        d = self.start("sleep", start="now")
        d.wait_service("s", active=1)
        start = time.monotonic()
        d.stop()
        self.assertLess(time.monotonic() - start, 8)

    def test_stop_and_start(self):
        d = self.start("accept", "5", listen="tcp:127.0.0.1:0")
        port = d.port("s")
        first = d.ask("s").split()[1]
        d.call("Stop", services=["s"])
        self.assertEqual(len(children_of(d.pid)), 0)
        with self.assertRaises(ConnectionRefusedError):
            socket.create_connection(("127.0.0.1", port), 2)
        d.call("Start", services=["s"])
        self.assertEqual(d.service("s")["state"], "listening")
        self.assertNotEqual(d.ask("s").split()[1], first)


if __name__ == "__main__":
    unittest.main()
