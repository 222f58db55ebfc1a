# SPDX-License-Identifier: MIT
"""timeouts.idle of on-demand services: ended when none of its connections lives, with nobody turned away."""
import contextlib
import os
import random
import signal
import socket
import threading
import time
import unittest

from harness import DaemonTest, need_ipv6, process_alive, stays, wait_until

# A server on whatever it was given, one thing after the other, that ends well when it is told to: it serves what it
# has taken, and takes no more. Arguments: "report" says ACTIVE, "fork" has a child keep each connection, "deaf" ignores
# TERM.
SERVER = """
import os, select, signal, socket, sys
read, write = os.pipe()
os.set_blocking(write, False)
signal.set_wakeup_fd(write)
signal.signal(signal.SIGTERM, signal.SIG_IGN if "deaf" in sys.argv else lambda *_: None)
signal.signal(signal.SIGCHLD, signal.SIG_IGN)
first, count = (3, int(os.environ["LISTEN_FDS"])) if "LISTEN_FDS" in os.environ else (0, 1)
listeners = [socket.socket(fileno=fd) for fd in range(first, first + count)]

def report(line):
    os.write(int(os.environ["MP_STATUS_FD"]), line + b"\\n")

def talk(c):
    with c:
        c.sendall(b"%d\\n" % os.getpid())
        while c.recv(4096):
            pass

if "report" in sys.argv:
    report(b"ACTIVE=0")
while True:
    ready = select.select([read, *listeners], [], [])[0]
    if read in ready:
        break
    for s in ready:
        if s.type == socket.SOCK_DGRAM:
            data, peer = s.recvfrom(4096)
            s.sendto(b"%d" % os.getpid(), peer)
            continue
        c, _ = s.accept()
        if "report" in sys.argv:
            report(b"ACTIVE=1")
        if "fork" not in sys.argv:
            talk(c)
        elif os.fork() == 0:
            signal.signal(signal.SIGTERM, signal.SIG_DFL)
            talk(c)
            os._exit(0)
        c.close()
        if "report" in sys.argv:
            report(b"ACTIVE=0")
"""


class IdleTest(DaemonTest):
    def start(self, *arguments, idle="1s", **service):
        folder = self.temporary_folder()
        with open(os.path.join(folder, "server.py"), "w", encoding="utf-8") as file:
            file.write(SERVER)
        self.service = {"listen": "tcp:127.0.0.1:0", "model": "on-demand", "timeouts": {"idle": idle, "stop": "5s"},
                        "exec": ["/usr/bin/python3", "{dir}/server.py", *arguments], **service}
        return self.daemon({"services": {"s": self.service}}, folder=folder)

    @staticmethod
    def greeted(s):
        """The pid that the server says, once the connection is taken."""
        return int(s.recv(100))

    def wait_ended(self, d, deadline=None):
        wait_until(lambda: d.service("s")["active"] == 0, "its end", deadline=deadline)
        service = d.service("s")
        self.assertEqual(service["state"], "listening")
        self.assertIsNone(service["last_error"])
        return service

    def check_life(self, d, dial):
        """It stays while the connection lives, and ends when it has ended."""
        with dial() as s:
            pid = self.greeted(s)
            stays(lambda: process_alive(pid), "a process with a connection", seconds=2.5)
            closed = time.monotonic()
        service = self.wait_ended(d)
        self.assertGreater(time.monotonic() - closed, 0.8, "not before its time")
        self.assertEqual(service["exited"], {"ok": 0, "failed": 0, "signaled": 0, "timeout": 1, "unknown": 0})
        ended = d.log(event="ended", service="s")[0]
        self.assertEqual((ended["reason"], ended["exit_code"]), ("timeout", 0))
        self.assertIn("(timeouts.idle)", ended["message"])
        with dial() as s:
            self.assertNotEqual(self.greeted(s), pid)


class Kernel(IdleTest):
    """The program says nothing: the kernel's tables do."""

    def test_tcp(self):
        d = self.start()
        self.check_life(d, lambda: d.dial("s"))

    @need_ipv6
    def test_tcp6(self):
        d = self.start(listen="tcp:[::1]:0")
        self.check_life(d, lambda: d.dial("s"))

    @need_ipv6
    def test_both_families(self):
        d = self.start(listen="tcp:0")
        port = d.port("s")
        self.check_life(d, lambda: socket.create_connection(("::1", port)))
        wait_until(lambda: d.service("s")["active"] == 0, "its end")
        with socket.create_connection(("127.0.0.1", port)) as s:
            pid = self.greeted(s)
            stays(lambda: process_alive(pid), "a process with a connection", seconds=2)

    def test_unix(self):
        d = self.start(listen="unix:{dir}/s.sock")
        self.check_life(d, lambda: d.dial("s"))

    def test_unix_abstract(self):
        d = self.start(listen=f"unix:@mpt-idle-{os.getpid()}")
        self.check_life(d, lambda: d.dial("s"))

    def test_unix_seqpacket(self):
        d = self.start(listen="unix-seqpacket:{dir}/s.sock")
        self.check_life(d, lambda: d.dial("s"))

    def test_several_listeners(self):
        d = self.start(listen=["unix:{dir}/a.sock", "tcp:127.0.0.1:0", "unix:{dir}/b.sock"])

        def dial():
            s = socket.socket(socket.AF_UNIX)
            s.connect(d.path("b.sock"))
            return s
        self.check_life(d, dial)

    def test_wait(self):
        """inetd's wait: the listener itself on 0."""
        d = self.start(**{"pass": "stdio"})
        self.check_life(d, lambda: d.dial("s"))

    def test_half_closed(self):
        """A connection that only one side has closed still lives."""
        d = self.start("fork", idle="1s")
        with d.dial("s") as s:
            self.greeted(s)
            pid = d.instances("s")[0]["pid"]
            stays(lambda: process_alive(pid), "a process whose child has a connection", seconds=2.5)
        self.wait_ended(d)

    def test_short_connections(self):
        """They are gone at each look, yet it is not idle."""
        d = self.start(idle="1500ms")
        pids = set()
        end = time.monotonic() + 5
        while time.monotonic() < end:
            with d.dial_fast() as s:
                pids.add(self.greeted(s))
            time.sleep(0.1)
        self.assertEqual(len(pids), 1, "one process served them all")
        self.wait_ended(d)

    def test_never_used(self):
        d = self.start(start="now")
        d.wait_service("s", active=1)
        self.wait_ended(d)

    def test_nothing_is_asked_without_it(self):
        d = self.start(idle="none", start="now")
        pid = d.instances("s")[0]["pid"]
        stays(lambda: process_alive(pid), "a process without timeouts.idle", seconds=1.5)

    def test_connections_of_others_do_not_count(self):
        """The daemon's own clients, and connections that merely go to the same port of another address."""
        d = self.start(idle="1s", listen="tcp:127.0.0.2:0")
        port = d.port("s")
        with socket.socket() as other:
            other.bind(("127.0.0.3", port))
            other.listen()
            with socket.create_connection(("127.0.0.3", port)), other.accept()[0]:
                with d.dial("s") as s:
                    self.greeted(s)
                self.wait_ended(d)

    def test_descriptors(self):
        """None stays behind: not of the question, not of the copies that watch."""
        d = self.start(idle="300ms")
        with d.dial("s") as s:
            self.greeted(s)
        self.wait_ended(d)
        before = d.quiet_descriptors()
        for _ in range(4):
            with d.dial("s") as s:
                self.greeted(s)
            self.wait_ended(d)
        self.assertEqual(d.quiet_descriptors(), before)


class Reports(IdleTest):
    def test_it_says_so_itself(self):
        d = self.start("report")
        self.check_life(d, lambda: d.dial("s"))

    def test_work_without_a_connection(self):
        d = self.daemon({"services": {"s": {"listen": "tcp:127.0.0.1:0", "model": "on-demand", "start": "now",
                                            "timeouts": {"idle": "500ms"},
                                            "exec": ["{bad-child}", "status", "ACTIVE=3\\n"]}}})
        d.wait_service("s", active=1)
        stays(lambda: d.service("s")["active"] == 1, "a process with work in hand", seconds=2)

    def test_work_that_waits(self):
        d = self.daemon({"services": {"s": {"listen": "tcp:127.0.0.1:0", "model": "on-demand", "start": "now",
                                            "timeouts": {"idle": "500ms"},
                                            "exec": ["{bad-child}", "status", "ACTIVE=0\\nQUEUED=2\\n"]}}})
        d.wait_service("s", active=1)
        stays(lambda: d.service("s")["active"] == 1, "a process with work in its queue", seconds=2)

    def test_until_it_is_ready(self):
        """Only what is ready can be idle."""
        d = self.daemon({"services": {"s": {"listen": "tcp:127.0.0.1:0", "model": "on-demand", "start": "now",
                                            "notify": "status", "timeouts": {"idle": "300ms", "start": "60s"},
                                            "exec": ["{bad-child}", "status", "ACTIVE=0\\n"]}}})
        d.wait_service("s", state="starting")
        stays(lambda: d.service("s")["state"] == "starting", "one that starts", seconds=1.5)


class Datagrams(IdleTest):
    def check(self, d):
        with d.dial("s") as s:
            pids = set()
            end = time.monotonic() + 3
            while time.monotonic() < end:
                s.send(b"x")
                pids.add(s.recv(100))
                time.sleep(0.05)
        self.assertEqual(len(pids), 1)
        self.wait_ended(d)

    def test_udp(self):
        self.check(self.start(listen="udp:127.0.0.1:0"))

    def test_udp_wait(self):
        self.check(self.start(listen="udp:127.0.0.1:0", **{"pass": "stdio"}))

    def test_left_in_the_queue(self):
        """What reads nothing is not idle: it would be started again at once, for ever."""
        d = self.daemon({"services": {"s": {"listen": "udp:127.0.0.1:0", "timeouts": {"idle": "300ms"},
                                            "exec": ["{bad-child}", "sleep"]}}})
        with d.dial("s") as s:
            s.send(b"x")
            d.wait_service("s", active=1)
        stays(lambda: d.service("s")["spawned"] == 1, "one start", seconds=1.5)


class Ends(IdleTest):
    def test_no_failure_and_no_restart(self):
        """As often as it likes, and not by restart.policy."""
        d = self.start(idle="200ms", restart={"policy": "always", "limit": "1/1h", "delay": "1s"})
        for n in range(1, 5):
            with d.dial("s") as s:
                self.greeted(s)
            service = self.wait_ended(d)
            self.assertEqual((service["spawned"], service["exited"]["timeout"], service["restarts"]), (n, n, 0))
        stays(lambda: d.service("s")["active"] == 0, "rest", seconds=1.5)

    def test_killed_when_it_does_not_end(self):
        d = self.start("deaf", idle="300ms", timeouts={"idle": "300ms", "stop": "300ms"})
        with d.dial("s") as s:
            self.greeted(s)
        self.wait_ended(d)
        self.assertEqual(d.log(event="ended", service="s")[0]["signal"], "SIGKILL")

    def test_connections_while_it_ends(self):
        """It takes its time to end; who comes meanwhile waits for the next one."""
        d = self.start("deaf", idle="300ms", timeouts={"idle": "300ms", "stop": "1500ms"})
        with d.dial("s") as s:
            first = self.greeted(s)
        wait_until(lambda: any(i["state"] == "stopping" for i in d.instances("s")), "its being told")
        os.kill(first, signal.SIGSTOP)
        with d.dial("s") as s:
            self.assertNotEqual(self.greeted(s), first)

    def test_nobody_is_lost(self):
        """Connections at random, around the very time at which it ends."""
        d = self.start(idle="300ms")
        port, pids, lost = d.port("s"), set(), []
        end = time.monotonic() + 12

        def client(seed):
            # All of them rest at about the same time, so that it ends in between.
            rest, jitter = random.Random(23), random.Random(seed)
            while time.monotonic() < end:
                try:
                    with socket.create_connection(("127.0.0.1", port), 10) as s:
                        s.settimeout(10)
                        data = s.recv(100)
                        (pids.add if data else lost.append)(data)
                except OSError as error:
                    lost.append(error)
                # From the look that finds it idle to the one that ends it: 0.3 to 0.6 s.
                time.sleep(rest.choice([0, 0.3, 0.58, 0.6, 0.61, 0.62, 0.65, 1.2]) + jitter.random() / 50)
        threads = [threading.Thread(target=client, args=(n,)) for n in range(2)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        self.assertEqual(lost, [])
        self.assertGreater(len(pids), 2, "it has ended and been started meanwhile")
        self.assertEqual(self.wait_ended(d)["exited"]["failed"], 0)

    def test_stop_wins(self):
        d = self.start(idle="1h")
        with d.dial("s") as s:
            self.greeted(s)
        d.call("Stop", services=["s"])
        service = d.service("s")
        self.assertEqual((service["exited"]["ok"], service["exited"]["timeout"]), (1, 0))
        with contextlib.suppress(ConnectionRefusedError), d.dial("s"):
            self.fail("it still listens")

    def test_paused(self):
        d = self.start(idle="1s")
        with d.dial("s") as s:
            self.greeted(s)
        d.call("Pause", services=["s"])
        wait_until(lambda: d.service("s")["active"] == 0, "its end")
        with d.dial("s") as s:
            stays(lambda: d.service("s")["active"] == 0, "a paused service", seconds=0.5)
            d.call("Resume", services=["s"])
            self.greeted(s)


class Reload(IdleTest):
    def change(self, d, **service):
        d.write_config({"services": {"s": {**self.service, "listen": f"tcp:127.0.0.1:{d.port('s')}", **service}}})
        d.call("Reload")

    def test_set_while_it_runs(self):
        d = self.start(idle="none", listen=f"tcp:127.0.0.1:{self.port()}")
        with d.dial("s") as s:
            pid = self.greeted(s)
        self.change(d, timeouts={"idle": "300ms"})
        wait_until(lambda: not process_alive(pid), "its end")
        self.wait_ended(d)

    def test_taken_away_while_it_runs(self):
        d = self.start(idle="1s", listen=f"tcp:127.0.0.1:{self.port()}")
        with d.dial("s") as s:
            pid = self.greeted(s)
        self.change(d, timeouts={"idle": "none"})
        stays(lambda: process_alive(pid), "one that may stay", seconds=2.5)

    @staticmethod
    def port():
        with socket.socket() as s:
            s.bind(("127.0.0.1", 0))
            return s.getsockname()[1]


if __name__ == "__main__":
    unittest.main()
