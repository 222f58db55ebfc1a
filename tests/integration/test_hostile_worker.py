# SPDX-License-Identifier: MIT
"""Processes that mean harm to the daemon, or get stuck with what they were given."""
import contextlib
import os
import signal
import socket
import struct
import time
import unittest

from harness import BUILD, DaemonTest, wait_until
from test_pool import PoolTest

# close(2) of the last descriptor of a connection waits for its data to be taken, where SO_LINGER says so.
LINGERER = r'''
import array, os, socket, struct, sys, time
listener = socket.create_server(("127.0.0.1", 0))
ours = socket.create_connection(listener.getsockname())
theirs, _ = listener.accept()
ours.setblocking(False)
try:
    while True:
        ours.send(b"x" * 65536)
except BlockingIOError:
    pass
ours.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 20))
passed = [(socket.SOL_SOCKET, socket.SCM_RIGHTS, array.array("i", [ours.fileno()]).tobytes())]
if "MP_CONNECTION_FD" in os.environ:
    daemon = socket.socket(fileno=int(os.environ["MP_CONNECTION_FD"]))
    try:
        daemon.sendmsg([b"x"], passed)
    except BrokenPipeError:
        print("refused", file=sys.stderr, flush=True)
        ours.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 0, 0))
else:
    daemon = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
    daemon.connect("\0" + os.environ["NOTIFY_SOCKET"][1:])
    for _ in range(8):
        daemon.sendmsg([b"STATUS=sent"], passed)
ours.close()
if os.fork() == 0:
    time.sleep(25)
    os._exit(0)
print("done", file=sys.stderr, flush=True)
time.sleep(1)
'''


class Lingerer(DaemonTest):
    def stays_quick(self, **service):
        folder = self.temporary_folder()
        with open(os.path.join(folder, "lingerer.py"), "w", encoding="utf-8") as file:
            file.write(LINGERER)
        d = self.daemon({"services": {"s": {"listen": "tcp:127.0.0.1:0", "exec": ["python3", "-ISu", "{dir}/lingerer.py"],
                                            **service}}}, folder=folder)
        d.wait_log(event="stderr", message="done")
        wait_until(lambda: sum(d.service("s")["exited"].values()) > 0, "its end")
        for _ in range(10):
            begin = time.monotonic()
            d.status()
            self.assertLess(time.monotonic() - begin, 5)
            time.sleep(0.05)
        d.mpctl("stop", "s")

    def test_notify_socket(self):
        self.stays_quick(model="on-demand", start="now", notify="sd_notify")

    def test_connection_socket(self):
        self.stays_quick(model="pool", pool={"min": 1, "max": 1, "handoff": "connection"})

    def test_control_socket(self):
        d = self.daemon({"services": {}})
        with socket.create_server(("127.0.0.1", 0)) as listener, \
                socket.create_connection(listener.getsockname()) as passed, socket.socket(socket.AF_UNIX) as control:
            passed.setblocking(False)
            with contextlib.suppress(BlockingIOError):
                while True:
                    passed.send(b"x" * 65536)
            passed.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 20))
            control.connect(d.socket)
            # Until the sender has let go of it: so that the daemon's is the last.
            os.kill(d.pid, signal.SIGSTOP)
            try:
                socket.send_fds(control, [b"{"], [passed.fileno()])
                passed.close()
            except PermissionError:
                # Linux 6.16 and newer do not even let it be sent.
                passed.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 0, 0))
            finally:
                os.kill(d.pid, signal.SIGCONT)
            begin = time.monotonic()
            d.status()
            self.assertLess(time.monotonic() - begin, 5)


class Stuck(PoolTest):
    """Connections that a worker was passed and never received."""

    def stuck(self, n, **pool):
        d = self.start(pool={"min": n, "max": n, "handoff": "connection", **pool})
        self.workers(d, idle=n)
        pids = sorted(self.pids(d))
        os.kill(pids[0], signal.SIGSTOP)
        clients = [d.dial_fast() for _ in range(n)]
        for s in clients:
            self.addCleanup(s.close)
            s.settimeout(5)
            s.sendall(b"hello\n")
        wait_until(lambda: d.service("s")["accepted"] == n, "accepted")
        return d, pids[0], clients

    @staticmethod
    def answer(s):
        try:
            return s.recv(100)
        except ConnectionResetError:
            return b""

    def test_killed(self):
        d, pid, [client] = self.stuck(1)
        os.kill(pid, signal.SIGKILL)
        self.assertNotIn(self.answer(client), (b"", b"%d 0\n" % pid))
        self.assertEqual(d.service("s")["gone"], 0)

    def test_others_get_what_it_does_not_take(self):
        d, pid, clients = self.stuck(2)
        for s in clients:
            self.assertNotIn(self.answer(s), (b"", b"%d 0\n" % pid))
        for _ in range(6):
            self.assertNotIn(f"{pid} ", self.ask(d))
        os.kill(pid, signal.SIGCONT)
        self.workers(d, idle=2)
        self.assertEqual(d.service("s")["gone"], 0)

    def test_stopped(self):
        d, _, [client] = self.stuck(1)
        d.mpctl("stop", "s")
        self.answer(client)
        d.mpctl("start", "s")
        d.ports.clear()
        self.assertIn(b" 0", self.ask(d).encode())

    def test_killed_while_it_drains(self):
        d, pid, clients = self.stuck(2)
        d.mpctl("drain", "s", "--no-wait")
        wait_until(lambda: self.pids(d) == {pid}, "the other to end")
        os.kill(pid, signal.SIGKILL)
        d.wait_service("s", state="stopped")
        self.assertEqual(sorted(len(self.answer(s)) > 0 for s in clients), [False, True])
        self.assertEqual(d.service("s")["gone"], 1)


class Room(PoolTest):
    """Workers of the library say by the scoreboard alone that they have room again."""

    def test_it_is_seen_at_once(self):
        d = self.start(exec=[os.path.join(BUILD, "tests", "helpers", "pool-worker")],
                       pool={"min": 1, "max": 1, "handoff": "connection"})
        self.workers(d, idle=1)
        for _ in range(4):
            held, _ = self.hold(d)
            time.sleep(0.15)  # until the pool was looked at
            held.close()
            begin = time.monotonic()
            self.ask(d)
            self.assertLess(time.monotonic() - begin, 0.4)


class Less(PoolTest):
    def test_max_is_lowered(self):
        d = self.start(pool={"min": 1, "max": 8, "spare_min": 4, "spare_max": 6})
        self.workers(d, idle=4)
        d.mpctl("set", "s", "limits.instances=2")
        self.workers(d, idle=2)


if __name__ == "__main__":
    unittest.main()
