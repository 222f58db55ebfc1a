# SPDX-License-Identifier: MIT
"""Clients that pass descriptors which nobody has asked for, and whose last close(2) takes as long as they like."""
import contextlib
import os
import signal
import socket
import struct
import time

from harness import DaemonTest, wait_until

# As long as close(2) is to take; and how long the daemon may be held up, on whatever machine.
LINGER = 20
HELD_UP = 8


class PassedTest(DaemonTest):
    def start(self, **services):
        return self.daemon({"services": {"canary": {"listen": "tcp:127.0.0.1:0", "exec": ["/bin/cat"]}, **services}})

    def lingering(self):
        """A connection with data that nobody takes."""
        with socket.create_server(("127.0.0.1", 0)) as listener:
            ours = socket.create_connection(listener.getsockname())
            theirs, _ = listener.accept()
        self.addCleanup(theirs.close)
        ours.setblocking(False)
        with contextlib.suppress(BlockingIOError):
            while True:
                ours.send(b"x" * 65536)
        ours.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, LINGER))
        return ours

    @contextlib.contextmanager
    def passed(self, nested=False):
        """A descriptor whose last copy nobody else has after this: the connection's, or that of a socket in which it lies."""
        outer, inner = socket.socketpair()
        with outer, inner, self.lingering() as connection:
            if nested:
                socket.send_fds(outer, [b"x"], [connection.fileno()])
            try:
                yield inner.fileno() if nested else connection.fileno()
            except PermissionError:
                # From Linux 6.16 on the daemon can have it that none are sent. Then nobody but us would wait here.
                connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 0, 0))

    @contextlib.contextmanager
    def stays_quick(self, d):
        """The daemon sees all of what is done meanwhile at once, and goes on: for the control socket, and for another service."""
        os.kill(d.pid, signal.SIGSTOP)
        try:
            yield
        finally:
            os.kill(d.pid, signal.SIGCONT)
        self.goes_on(d)

    def goes_on(self, d):
        for _ in range(10):
            begin = time.monotonic()
            d.call("Ping")
            with d.dial("canary") as s:
                s.sendall(b"x")
                self.assertEqual(s.recv(1), b"x")
            self.assertLess(time.monotonic() - begin, HELD_UP)
            time.sleep(0.05)


class Control(PassedTest):
    def test_request(self):
        d = self.start()
        for nested in (False, True):
            with self.subTest(nested=nested), d.connect() as control:
                with self.stays_quick(d), self.passed(nested) as descriptor:
                    socket.send_fds(control.socket, [b'{"method":"'], [descriptor])

    def test_many_that_leave(self):
        d = self.start()
        with self.stays_quick(d):
            for _ in range(5):
                with d.connect() as control, self.passed(True) as descriptor:
                    control.socket.sendall(b'{"method":"')
                    socket.send_fds(control.socket, [b"x"], [descriptor])

    def test_before_it_is_taken(self):
        d = self.start()
        with self.stays_quick(d), self.passed(True) as descriptor, socket.socket(socket.AF_UNIX) as s:
            s.connect(d.socket)
            socket.send_fds(s, [b"\0"], [descriptor])

    def test_others_are_served(self):
        """Who has passed some is let go, or has not been able to; nothing else happens, and nothing stays."""
        d = self.start()
        before = len(d.quiet_descriptors())
        with open("/dev/null", "rb") as null, d.connect() as control:
            ping = b'{"method":"dev.mpinetd.Control.Ping"}\0'
            try:
                socket.send_fds(control.socket, [ping], [null.fileno()])
                self.assertEqual(control.socket.recv(1), b"")
            except PermissionError:
                self.assertIn("pid", control.call("Ping"))
            except ConnectionResetError:
                pass
        wait_until(lambda: len(d.quiet_descriptors()) <= before, "the descriptors of before")


class Notify(PassedTest):
    def service(self):
        return {"listen": "tcp:127.0.0.1:0", "model": "on-demand", "start": "now", "notify": "sd_notify", "pass": "listen_fds",
                "exec": ["/usr/bin/python3", "-ISc", "import os, signal, sys\n"
                         "print('AT', os.environ['NOTIFY_SOCKET'], file=sys.stderr, flush=True)\nsignal.pause()"]}

    def notify(self, d, *, last):
        name = d.wait_log(event="stderr", service="s")[-1]["message"].split()[-1]
        pid = d.instances("s")[0]["pid"]
        with self.stays_quick(d):
            for nested in (False, True, True):
                with self.passed(nested) as descriptor, socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as s:
                    s.connect("\0" + name[1:])
                    socket.send_fds(s, [b"STATUS=x"], [descriptor])
            if last:
                os.kill(pid, signal.SIGKILL)
        return name

    def test_datagrams(self):
        """By anybody: it is known to all where the socket is. What comes later arrives."""
        d = self.start(s=self.service())
        name = self.notify(d, last=False)
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as s:
            for _ in range(20):
                s.sendto(b"STATUS=y", "\0" + name[1:])
        wait_until(lambda: d.call("Ping"), "an answer")

    def test_last_words(self):
        d = self.start(s=self.service())
        self.notify(d, last=True)
        wait_until(lambda: sum(d.service("s")["exited"].values()) > 0, "its end")
