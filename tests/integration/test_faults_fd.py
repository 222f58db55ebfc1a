# SPDX-License-Identifier: MIT
"""FD: descriptors run out. The ids are those of docs/faults.md."""
import contextlib
import os
import resource
import time
import unittest

from faults import FaultTest, Injection, dial_many, set_limit, tracing_works
from harness import SLOW, cpu_seconds, free_port, need_program, read_all, wait_until
from strain import busy_share

TRACING = need_program("strace")


def ends_early(s):
    try:
        return s.recv(1) == b""
    except ConnectionResetError:
        return True


class FewDescriptors(FaultTest):
    weight = 20

    def test_fd_1_more_clients_than_descriptors(self):
        d = self.start({"exec": ["cat"]}, wrap=["prlimit", "--nofile=64:64", "--"])
        port = d.port("s")
        with contextlib.ExitStack() as stack:
            # Neither the others nor the control socket wait for those who are idle.
            stack.enter_context(self.strain(d))
            clients = stack.enter_context(contextlib.ExitStack())
            sockets = dial_many(clients, port, 500 if SLOW else 200)
            wait_until(lambda: d.log(event="error", service="s"), "the line that tells of it")
            time.sleep(10 if SLOW else 2)
            service = d.service("s")
            self.assertEqual((service["last_error"]["step"], service["last_error"]["errno"]), ("accept", 24))
            self.assertGreaterEqual(service["active"], 16)
            self.assertEqual(len(d.log(event="error", service="s")), 1, "one line, not one for each try")
            clients.close()
            # Whoever has hung up is still taken from the queue, before those who come now.
            self.is_back(d, time.monotonic(), within=1 + 0.02 * len(sockets))
            self.rests(d)

    def test_fd_1_it_goes_on_where_it_was(self):
        """Those who wait are served in the order in which they came, as soon as others leave."""
        d = self.start({"exec": ["cat"], "stderr": "log"}, wrap=["prlimit", "--nofile=48:48", "--"])
        with contextlib.ExitStack() as stack:
            clients = dial_many(stack, d.port("s"), 60)
            wait_until(lambda: d.log(event="error", service="s"), "the line that tells of it")
            for i, s in enumerate(clients):
                s.settimeout(20)
                s.sendall(b"%03d" % i)
                self.assertEqual(s.recv(3), b"%03d" % i)
                s.close()
        self.rests(d)
        wait_until(lambda: self.accepts_again(d), "the line that tells that it is over")

    @staticmethod
    def accepts_again(d):
        d.ask("s", b"x")
        return [e for e in d.log(event="listening", service="s") if "accepts again" in e["message"]]

    def test_fd_5_too_few_to_start(self):
        ports = [free_port() for _ in range(10)]
        d = self.daemon({"services": {f"s{i}": {"listen": f"tcp:127.0.0.1:{port}", "exec": ["cat"]}
                                      for i, port in enumerate(ports)}},
                        wrap=["prlimit", "--nofile=18:18", "--"], wait=False)
        self.assertEqual(d.process.wait(20), 1)
        d.process = None
        said = d.log_text()
        self.assertRegex(said, r"needs at least 26 descriptors, and there may be 18")
        self.assertFalse(d.log(event="listening"))

    def test_fd_5_hardly_any(self):
        """Whatever it has not been able to open, it says so and ends."""
        for n in range(4, 12):
            with self.subTest(n=n):
                d = self.daemon({"services": {"s": {"listen": "tcp:127.0.0.1:0", "exec": ["cat"]}}},
                                wrap=["prlimit", f"--nofile={n}:{n}", "--"], wait=False)
                self.assertNotEqual(d.process.wait(20), 0)
                d.process = None
                self.assertTrue(d.log_text())

    def test_fd_8_numbers_above_1024(self):
        n = 2000
        d = self.daemon({"services": {
            name: {"listen": ["tcp:127.0.0.1:0"] * (n // 2), "exec": ["cat"]} for name in ("a", "b")}})
        wait_until(lambda: len(d.service("b")["listeners"]) == n // 2, "all listeners")
        self.assertGreater(max(int(fd) for fd in os.listdir(f"/proc/{d.pid}/fd")), n)
        last = d.service("b")["listeners"][-1]
        with contextlib.ExitStack() as stack:
            (s,) = dial_many(stack, last["port"], 1)
            s.settimeout(20)
            wait_until(lambda: self.sent(s, b"high"), "the connection")
            self.assertEqual(s.recv(4), b"high")
        d.wait_service("b", active=0, accepted=1)

    @staticmethod
    def sent(s, data):
        with contextlib.suppress(OSError):
            return s.send(data)

    def test_fd_10_limit_lowered_while_it_runs(self):
        d = self.start({"exec": ["cat"]})
        before = resource.prlimit(d.pid, resource.RLIMIT_NOFILE)
        with contextlib.ExitStack() as stack:
            first = dial_many(stack, d.port("s"), 40)
            d.wait_service("s", active=40)
            set_limit(d.pid, resource.RLIMIT_NOFILE, 32)
            more = dial_many(stack, d.port("s"), 20)
            wait_until(lambda: d.log(event="error", service="s"), "the line that tells of it")
            self.assertLess(busy_share(d.pid), 0.05)
            # What was open stays so.
            first[0].settimeout(20)
            first[0].sendall(b"x")
            self.assertEqual(first[0].recv(1), b"x")
            set_limit(d.pid, resource.RLIMIT_NOFILE, before[0])
            raised = time.monotonic()
            self.is_back(d, raised)
            lost = 0
            for s in more:
                s.settimeout(20)
                with contextlib.suppress(OSError):
                    s.sendall(b"y")
                lost += ends_early(s)
        # One that was taken before it was known; the others have waited.
        self.assertEqual(lost, self.rests(d)["spawn_failed"])
        self.assertLessEqual(lost, 1)


@TRACING
class Injected(FaultTest):
    weight = 20

    def setUp(self):
        if not tracing_works():
            self.skipTest("processes cannot be traced here")

    def hold_off(self, error, seconds):
        """FD-2 with one error."""
        d = self.start({"exec": ["cat"]})
        port = d.port("s")
        with contextlib.ExitStack() as stack, d.connect() as control:
            control.call("Ping")
            with Injection(d.pid, f"accept4:error={error}") as injection:
                clients = dial_many(stack, port, 50)
                wait_until(lambda: injection.count("accept4") >= 3, "accept to fail")
                tries, before, start = injection.count("accept4"), cpu_seconds(d.pid), time.monotonic()
                time.sleep(seconds)
                # Whoever has a control connection is answered.
                control.call("Ping")
                passed = time.monotonic() - start
                self.assertLess(injection.count("accept4") - tries, 10 + 100 * passed)
                # Stopped twice for each call, it takes a little.
                self.assertLess(cpu_seconds(d.pid) - before, 0.05 * passed + 0.1)
            released = time.monotonic()
            for s in clients:
                s.settimeout(20)
                s.sendall(b"x")
                self.assertEqual(s.recv(1), b"x", f"all are served after {error}")
                s.close()
            self.is_back(d, released, within=1 + 0.05 * len(clients))
        service = self.rests(d)
        self.assertEqual((service["accepted"], service["gone"], service["spawn_failed"]), (51, 0, 0))
        self.assertEqual(len(d.log(event="error", service="s")), 1, "one line, not one for each try")

    def test_fd_2_accept_fails(self):
        for error in ("EMFILE", "ENFILE", "ENOBUFS", "ENOMEM"):
            with self.subTest(error=error):
                self.hold_off(error, 3 if SLOW else 1)

    def test_fd_2_recovery_after_a_long_time(self):
        """However long it lasted."""
        d = self.start({"exec": ["cat"]})
        port = d.port("s")
        with contextlib.ExitStack() as stack:
            with Injection(d.pid, "accept4:error=EMFILE") as injection:
                dial_many(stack, port, 1)
                wait_until(lambda: injection.count("accept4") >= 8, "the pause to have become long")
            self.is_back(d, time.monotonic())

    def spawn_with(self, d, call, error, nth):
        """One client while the nth such call of the daemon, or of the process it starts, fails."""
        before = d.service("s")
        with Injection(d.pid, f"{call}:error={error}:when={nth}", children=True):
            with d.dial_fast("s") as s:
                s.settimeout(20)
                s.sendall(b"x")
                with contextlib.suppress(OSError):
                    s.shutdown(1)
                got = read_all(s)
        after = self.rests(d)
        failed = after["spawn_failed"] - before["spawn_failed"]
        # Served, or closed and counted.
        self.assertIn((got, failed), ((b"x", 0), (b"", 1)), (call, error, nth, d.log_text()[-1500:]))
        return failed

    def test_fd_4_a_spawn_runs_out_of_them(self):
        d = self.start({"exec": ["cat"], "report": True, "stderr": "log"})
        d.ask("s", b"first")
        failures = 0
        for call, error in (("pipe2", "EMFILE"), ("pipe2", "ENFILE"), ("epoll_ctl", "ENOSPC"), ("dup3", "EMFILE"),
                            ("dup2", "EMFILE"), ("socketpair", "EMFILE"), ("memfd_create", "EMFILE")):
            for nth in (1, 2, 3):
                with self.subTest(call=call, error=error, nth=nth):
                    failures += self.spawn_with(d, call, error, nth)
        self.assertGreaterEqual(failures, 4, "pipe2 is called twice")
        self.assertEqual(d.ask("s", b"back"), b"back")
        steps = {e["step"] for e in d.log(event="spawn_failed")}
        self.assertLessEqual(steps, {"fds"}, steps)


if __name__ == "__main__":
    unittest.main()
