# SPDX-License-Identifier: MIT
"""What a service manager is told, and what it keeps for the next start: with one of our own, which can misbehave."""
import os
import signal
import socket
import time
import unittest

from harness import DaemonTest, exchange, free_port, wait_until
from supervisor import Supervisor


def connect(port):
    s = socket.create_connection(("127.0.0.1", port), 20)
    s.settimeout(30)
    return s


class FdStore(DaemonTest):
    def supervisor(self, **options):
        s = Supervisor(self.temporary_folder(), **options)
        self.addCleanup(s.close)
        return s

    def config(self, port, **more):
        return {"services": {"echo": {"listen": f"tcp:127.0.0.1:{port}", "exec": ["cat"]},
                             "any": {"listen": "tcp:127.0.0.1:0", "exec": ["cat"]},
                             "unix": {"listen": "unix:{dir}/u.sock", "exec": ["cat"]},
                             "datagram": {"listen": f"udp:127.0.0.1:{port}", "exec": ["mp-echo"]},
                             "jobs": {"listen": "fifo:{dir}/jobs", "exec": ["cat"], **more}}}

    def start(self, config, supervisor, **options):
        d = self.daemon(config, environment={"NOTIFY_SOCKET": supervisor.path}, wait=None, **options)
        d.start()
        supervisor.wait_said("READY=1")
        return d

    def again(self, d, supervisor, kill=False, **options):
        """Ends the daemon, and starts it as a service manager does."""
        if kill:
            d.kill()
            d.process = None
        else:
            d.stop()
        supervisor.messages.clear()
        supervisor.hand_over(d, **options)
        d.start()
        supervisor.wait_said("READY=1")

    def inodes(self, d):
        """{service: inode} by the numbers that its control socket tells the addresses of."""
        links = {}
        for fd in os.listdir(f"/proc/{d.pid}/fd"):
            try:
                links[os.stat(f"/proc/{d.pid}/fd/{fd}").st_ino] = True
            except OSError:
                continue
        return set(links)

    def test_what_is_kept_comes_back(self):
        for kill in (False, True):
            with self.subTest(kill=kill):
                s, port = self.supervisor(), free_port()
                d = self.start(self.config(port), s)
                wait_until(lambda s=s: len(s.kept()) == 5, "five listeners in the store")
                before, chosen = s.kept(), d.port("any")
                node = os.stat(d.path("u.sock")).st_ino
                self.again(d, s, kill=kill)
                self.assertEqual(s.kept(), before)
                self.assertLessEqual(set(before.values()), self.inodes(d))
                self.assertEqual(d.port("any"), chosen, "a port that the kernel chose is kept as well")
                self.assertTrue(d.listener("echo")["adopted"])
                self.assertEqual(os.stat(d.path("u.sock")).st_ino, node)
                for name in ("echo", "any", "unix"):
                    self.assertEqual(d.ask(name, b"x"), b"x")
                self.assertFalse(s.said("FDSTORE=1\nFDNAME=mpinetd.listener"), "nothing is sent again")
                self.assertFalse([name for name in s.removed if "listener" in name])
                d.stop()

    def test_nobody_is_refused_meanwhile(self):
        s, port = self.supervisor(), free_port()
        d = self.start(self.config(port), s)
        wait_until(lambda: len(s.kept()) == 5, "five listeners in the store")
        d.stop()
        with connect(port) as tcp, socket.socket(socket.AF_UNIX) as unix:
            unix.settimeout(30)
            unix.connect(d.path("u.sock"))
            for c in (tcp, unix):
                c.sendall(b"who waits is served")
            s.hand_over(d)
            d.start()
            for c in (tcp, unix):
                self.assertEqual(exchange(c, b"!"), b"who waits is served!")

    def test_shuffled_missing_unknown_twice(self):
        s, port = self.supervisor(), free_port()
        d = self.start(self.config(port), s)
        wait_until(lambda: len(s.kept()) == 5, "five listeners in the store")
        before = s.kept()
        d.stop()
        # One is missing (the one of a chosen port), one is nobody's, one is there twice, one is no socket.
        missing = next(name for name, fd in s.store if os.path.samestat(os.fstat(fd), os.stat(d.path("jobs"))))
        with s.lock:
            lost = [(n, fd) for n, fd in s.store if n == missing]
            s.store = [(n, fd) for n, fd in s.store if n != missing]
        for _, fd in lost:
            os.close(fd)
        stranger = socket.create_server(("127.0.0.1", 0))
        strange_name = "mpinetd.listener.0123456789abcdef"
        twice = next((n, fd) for n, fd in s.store if "listener" in n)
        null = os.open("/dev/null", os.O_RDONLY)
        self.addCleanup(os.close, null)
        self.addCleanup(stranger.close)
        s.removed.clear()
        s.hand_over(d, also=[(strange_name, stranger.fileno()), (twice[0], twice[1]), ("odd", null)],
                    order=lambda passed: passed[::-1])
        d.start()
        wait_until(lambda: strange_name in s.removed and "odd" in s.removed, "the unknown ones to be removed")
        wait_until(lambda: len(s.kept()) == 5, "all to be kept again")
        after = s.kept()
        del before[missing]
        self.assertEqual({n: i for n, i in after.items() if n in before}, before)
        self.assertEqual(len(after), 5, "what was missing is opened anew")
        for name in ("echo", "any", "unix"):
            self.assertEqual(d.ask(name, b"x"), b"x")

    def test_another_config(self):
        s, port, other = self.supervisor(), free_port(), free_port()
        d = self.start({"services": {"a": {"listen": f"tcp:127.0.0.1:{port}", "exec": ["cat"]},
                                     "gone": {"listen": f"tcp:127.0.0.1:{other}", "exec": ["cat"]}}}, s)
        wait_until(lambda: len(s.kept()) == 2, "two listeners")
        inode = list(s.kept().values())
        d.write_config({"services": {"renamed": {"listen": f"tcp:127.0.0.1:{port}", "exec": ["cat"]}}})
        self.again(d, s)
        wait_until(lambda: len(s.kept()) == 1 and len([n for n in s.removed if "listener" in n]) == 2, "the store to follow")
        self.assertIn(list(s.kept().values())[0], inode)
        self.assertEqual(d.ask("renamed", b"x"), b"x")
        with self.assertRaises(ConnectionRefusedError):
            connect(other)

    def test_the_store_follows(self):
        s, port = self.supervisor(), free_port()
        config = self.config(port)
        d = self.start(config, s)
        wait_until(lambda: len(s.kept()) == 5, "five listeners")
        d.mpctl("drain", "echo", check=0)
        wait_until(lambda: len(s.kept()) == 4, "a drained one to go")
        d.mpctl("start", "echo", check=0)
        wait_until(lambda: len(s.kept()) == 5, "it to come back")
        del config["services"]["any"]
        config["services"]["new"] = {"listen": "tcp:127.0.0.1:0", "exec": ["cat"]}
        before = set(s.kept())
        d.write_config(config)
        d.mpctl("reload", check=0)
        wait_until(lambda: len(s.kept()) == 5 and set(s.kept()) != before, "a reload")
        self.assertEqual(d.ask("new", b"x"), b"x")
        reloading = s.said("RELOADING=1")[0]
        self.assertIn("MONOTONIC_USEC=", reloading)
        order = [m for m in s.messages if m.startswith(("READY=1", "RELOADING=1", "STOPPING=1"))]
        self.assertEqual([m.split("\n")[0] for m in order], ["READY=1", "RELOADING=1", "READY=1"])
        d.stop()
        s.wait_said("STOPPING=1")
        self.assertTrue(os.path.exists(d.path("u.sock")), "its node stays while its socket is kept")

    def test_names_change_hands(self):
        """Listeners that are alike as written: each is kept under a name of its own, whoever had it before."""
        s, port = self.supervisor(), free_port()
        chosen, shared = "tcp:127.0.0.1:0", {"endpoint": f"tcp:127.0.0.1:{port}", "reuse_port": True}
        on_lo = {"endpoint": chosen, "device": "lo"}
        config = {"services": {"s": {"listen": [chosen], "exec": ["cat"]}}}
        d = self.start(config, s)
        for listen in ([on_lo, chosen], [chosen, on_lo, chosen], [chosen], [shared], [shared, shared], [shared]):
            config["services"]["s"]["listen"] = listen
            d.write_config(config)
            d.mpctl("reload", check=0)
            wait_until(lambda n=len(listen): len(s.kept()) == n and set(s.kept().values()) <= self.inodes(d),
                       f"{listen} to be kept")

    def test_a_long_drain(self):
        s, port = self.supervisor(), free_port()
        d = self.start({**self.config(port), "shutdown": {"drain": "60s"}}, s)
        with connect(port) as c:
            c.sendall(b"x")
            self.assertEqual(c.recv(1), b"x")
            d.process.send_signal(signal.SIGTERM)
            s.wait_said("EXTEND_TIMEOUT_USEC=")
            self.assertEqual(exchange(c, b"still served"), b"still served")
        self.assertEqual(d.process.wait(30), 0)
        d.process = None

    def test_who_keeps_nothing(self):
        s, port = self.supervisor(keeps=False), free_port()
        d = self.start(self.config(port), s)
        wait_until(lambda: [e for e in d.log(level="warning") if "does not keep" in e.get("message", "")], "the warning")
        d.stop()
        self.assertFalse(os.path.exists(d.path("u.sock")), "without a store it goes with us")

    def test_nobody_reads(self):
        s, port = self.supervisor(reads=False), free_port()
        many = {f"s{n}": {"listen": "tcp:127.0.0.1:0", "exec": ["cat"]} for n in range(300)}
        config = self.config(port)
        config["services"].update(many)
        d = self.daemon(config, environment={"NOTIFY_SOCKET": s.path, "WATCHDOG_USEC": "200000"})
        end = time.monotonic() + 2
        while time.monotonic() < end:
            start = time.monotonic()
            self.assertEqual(d.ask("echo", b"x"), b"x")
            self.assertLess(time.monotonic() - start, 5)
        d.mpctl("reload", check=0)
        d.stop()

    def test_nobody_is_there(self):
        folder, port = self.temporary_folder(), free_port()
        d = self.daemon(self.config(port), environment={"NOTIFY_SOCKET": f"{folder}/none"})
        self.assertEqual(d.ask("echo", b"x"), b"x")
        d.stop()
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as s:
            s.bind(f"{folder}/gone")
        d = self.daemon(self.config(port), environment={"NOTIFY_SOCKET": f"{folder}/gone"})
        self.assertEqual(d.ask("echo", b"x"), b"x")

    def test_watchdog(self):
        s, port = self.supervisor(), free_port()
        d = self.daemon(self.config(port), environment={"NOTIFY_SOCKET": s.path, "WATCHDOG_USEC": "400000"})
        s.wait_said("WATCHDOG=1", 5)
        os.kill(d.pid, signal.SIGSTOP)
        time.sleep(0.2)
        n = len(s.said("WATCHDOG=1"))
        time.sleep(1.5)
        self.assertEqual(len(s.said("WATCHDOG=1")), n, "who does not turn does not say that it does")
        os.kill(d.pid, signal.SIGCONT)
        s.wait_said("WATCHDOG=1", n + 2)


if __name__ == "__main__":
    unittest.main()
