# SPDX-License-Identifier: MIT
"""timeouts.idle of per-connection services over TCP, by the kernel's account: ended when no byte moves, either way."""
import contextlib
import ctypes
import fcntl
import os
import queue
import socket
import struct
import sys
import threading
import time

from harness import (PATIENCE, DaemonTest, need_ipv6, need_program, need_root, process_alive, read_all, stays,
                     wait_until)

SHELL = "/bin/sh"


class Stalled(Exception):
    """The machine was too busy for us to keep the connection busy."""


class IdleTest(DaemonTest):
    def start(self, idle="1s", options=None, **service):
        return self.daemon({"services": {"s": {"listen": "tcp:127.0.0.1:0", "exec": ["mp-echo"],
                                               "timeouts": {"idle": idle}, **service}}}, **(options or {}))

    def check_ended(self, d, n=1):
        service = d.wait_service("s", active=0)
        self.assertEqual(service["exited"], {"ok": 0, "failed": 0, "signaled": 0, "timeout": n, "unknown": 0})
        ended = d.wait_log(event="ended", service="s")[-1]
        self.assertEqual(ended["reason"], "timeout")
        self.assertIn("(timeouts.idle)", ended["message"])
        self.assertIsNone(service["last_error"])

    def check_rest(self, d, s, idle=1.0):
        """A byte goes to and fro, and then none: the end comes, and not before its time."""
        s.settimeout(PATIENCE)
        s.sendall(b"x")
        before = time.monotonic()
        self.assertEqual(s.recv(10), b"x")
        self.assertEqual(s.recv(10), b"")
        self.assertGreater(time.monotonic() - before, idle * 0.9)
        self.check_ended(d)

    def keep_busy(self, d, step, idle=2.0, seconds=5.0):
        """Calls step() again and again; the process is there all the time. Where the machine did not let us call it
        often enough there is nothing to be seen."""
        pid = wait_until(lambda: d.instances("s"), "the process")[0]["pid"]
        last, end = time.monotonic(), time.monotonic() + seconds
        while time.monotonic() < end:
            alive = process_alive(pid)
            if time.monotonic() - last > idle / 2:
                raise Stalled
            self.assertTrue(alive, "ended while bytes moved")
            try:
                step()
            except OSError:
                self.assertGreater(time.monotonic() - last, idle / 2, "ended while bytes moved")
                raise Stalled from None
            last = time.monotonic()
            time.sleep(0.2)

    def retried(self, test):
        for _ in range(5):
            with contextlib.suppress(Stalled):
                return test()
        self.skipTest("the machine is too busy")


class Rests(IdleTest):
    def test_tcp(self):
        d = self.start()
        with d.dial("s") as s:
            self.check_rest(d, s)

    @need_ipv6
    def test_tcp6(self):
        d = self.start(listen="tcp:[::1]:0")
        with d.dial("s") as s:
            self.check_rest(d, s)

    @need_ipv6
    def test_ipv4_by_an_ipv6_socket(self):
        d = self.start(listen={"endpoint": "tcp:[::]:0", "only_v6": False})
        with socket.create_connection(("127.0.0.1", d.port("s"))) as s:
            self.assertTrue(wait_until(lambda: d.instances("s"), "it")[0]["peer"].startswith("127.0.0.1:"))
            self.check_rest(d, s)

    @need_root
    def test_bound_to_a_device(self):
        d = self.start(listen={"endpoint": "tcp:127.0.0.1:0", "device": "lo"})
        with d.dial("s") as s:
            self.check_rest(d, s)

    def test_behind_a_proxy(self):
        """The kernel knows nothing of the real peer."""
        d = self.start(proxy_protocol={"accept_from": ["127.0.0.1"]})
        with d.dial("s") as s:
            s.sendall(b"PROXY TCP4 192.0.2.1 198.51.100.1 5000 80\r\n")
            self.check_rest(d, s)

    def test_set_up_ahead(self):
        d = self.start(prespawn=2)
        with d.dial("s") as s:
            self.check_rest(d, s)

    def test_as_listen_fds(self):
        d = self.start(**{"pass": "listen_fds"}, exec=["{bad-child}", "sleep"])
        with d.dial("s") as s:
            self.assertEqual(read_all(s), b"")
        self.check_ended(d)

    def test_nothing_ever_moves(self):
        d = self.start(idle="500ms")
        with d.dial("s") as s:
            self.assertEqual(s.recv(10), b"")
        self.check_ended(d)

    def test_half_closed(self):
        """The end of the peer's stream has come, and the process does not care."""
        d = self.start(exec=["{bad-child}", "sleep"])
        with d.dial("s") as s:
            s.shutdown(socket.SHUT_WR)
            self.assertEqual(read_all(s), b"")
        self.check_ended(d)

    def test_nobody_reads(self):
        """What is sent, and what the peer does not take, is no movement."""
        d = self.start(exec=["mp-chargen"])
        with d.dial("s") as s:
            s.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
            self.check_ended(d)

    def test_reset_unseen(self):
        d = self.start(exec=["{bad-child}", "sleep"])
        with d.dial("s") as s:
            wait_until(lambda: d.instances("s"), "the process")
            s.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.check_ended(d)

    def test_closed_by_the_process(self):
        """Its connection is over, it stays: no byte will ever move."""
        d = self.start(exec=[SHELL, "-c", "exec 0<&- 1>&-; exec sleep 1000"])
        with d.dial("s") as s:
            self.assertEqual(read_all(s), b"")
            self.check_ended(d)

    def test_killed_when_it_does_not_end(self):
        d = self.start(exec=["{bad-child}", "hang"], timeouts={"idle": "500ms", "stop": "300ms"})
        with d.dial("s") as s:
            self.assertEqual(read_all(s), b"hanging\n")
        self.check_ended(d)
        self.assertEqual(d.log(event="ended")[0]["signal"], "SIGKILL")

    def test_each_on_its_own(self):
        """Of many the busy ones stay."""
        def once():
            d = self.start(idle="2s")
            with contextlib.ExitStack() as stack:
                quiet = [stack.enter_context(d.dial("s")) for _ in range(8)]
                busy = stack.enter_context(d.dial("s"))
                wait_until(lambda: d.service("s")["active"] == 9, "all of them")
                pid = [i["pid"] for i in d.instances("s") if i["peer"].endswith(f":{busy.getsockname()[1]}")][0]
                last = time.monotonic()
                while d.service("s")["active"] > 1:
                    if time.monotonic() - last > 1:
                        raise Stalled
                    busy.sendall(b"x")
                    self.assertEqual(busy.recv(1), b"x")
                    last = time.monotonic()
                    time.sleep(0.1)
                self.assertEqual([i["pid"] for i in d.instances("s")], [pid])
                self.assertEqual([s.recv(1) for s in quiet], 8 * [b""])
            service = d.wait_idle("s")
            self.assertEqual((service["exited"]["timeout"], service["exited"]["ok"]), (8, 1))
        self.retried(once)


class Moves(IdleTest):
    def check(self, step, **service):
        def once():
            d = self.start(idle="2s", **service)
            with d.dial("s") as s:
                self.keep_busy(d, lambda: step(s))
            d.wait_idle("s")
        self.retried(once)

    def test_trickle(self):
        def step(s):
            s.sendall(b"x")
            self.assertEqual(s.recv(1), b"x")
        self.check(step)

    @need_ipv6
    def test_trickle6(self):
        def step(s):
            s.sendall(b"x")
            self.assertEqual(s.recv(1), b"x")
        self.check(step, listen="tcp:[::1]:0")

    def test_only_in(self):
        self.check(lambda s: s.sendall(b"x"), exec=["mp-discard"])

    def test_only_out(self):
        self.check(lambda s: self.assertNotEqual(s.recv(1000), b""),
                   exec=[SHELL, "-c", "while echo x; do sleep 0.1; done"])

    def test_by_another_process(self):
        """The one that the daemon has started has given the connection away: it lives as long as the kernel has it."""
        def step(s):
            s.sendall(b"x")
            self.assertEqual(s.recv(1), b"x")
        self.check(step, exec=[SHELL, "-c", "exec 3<&0 4>&1; cat <&3 >&4 3<&- 4>&- & exec 0</dev/null 1>/dev/null 3<&- 4>&-; "
                                      "wait"])


class Around(IdleTest):
    def test_no_descriptor_is_kept(self):
        d = self.start(idle="1h", stderr="discard")
        before = d.quiet_descriptors()
        with contextlib.ExitStack() as stack:
            for _ in range(5):
                s = stack.enter_context(d.dial("s"))
                s.sendall(b"x")
                self.assertEqual(s.recv(1), b"x")
            self.assertEqual(d.quiet_descriptors(), before)

    def test_asked_for_is_no_timeout(self):
        d = self.start(idle="1s", exec=["{bad-child}", "hang"], timeouts={"idle": "500ms", "stop": "3s"})
        with d.dial("s") as s:
            self.assertEqual(s.recv(100), b"hanging\n")
            d.call("Stop", services=["s"])
        self.assertEqual(d.service("s")["exited"], {"ok": 1, "failed": 0, "signaled": 0, "timeout": 0, "unknown": 0})

    def change(self, d, idle):
        d.write_config({"services": {"s": {"listen": f"tcp:127.0.0.1:{d.port('s')}", "exec": ["mp-echo"],
                                           "timeouts": {"idle": idle}}}})
        d.call("Reload")

    def test_taken_away_while_it_runs(self):
        with socket.socket() as s:
            s.bind(("127.0.0.1", 0))
            port = s.getsockname()[1]
        d = self.start(idle="1500ms", listen=f"tcp:127.0.0.1:{port}")
        with d.dial("s") as s:
            s.sendall(b"x")
            self.assertEqual(s.recv(1), b"x")
            self.change(d, "none")
            stays(lambda: d.service("s")["active"] == 1, "one that may stay", seconds=2.5)

    def test_without_it(self):
        d = self.start(idle="none")
        with d.dial("s"):
            wait_until(lambda: d.service("s")["active"] == 1, "the process")
            stays(lambda: d.service("s")["active"] == 1, "one without timeouts.idle", seconds=1)

    @need_root
    @need_program("setpriv")
    def test_ordinary_user(self):
        folder = self.temporary_folder()
        os.chown(folder, 65534, 65534)
        # The capability lets it reach the build, wherever that lies.
        wrap = ["setpriv", "--reuid=65534", "--regid=65534", "--clear-groups", "--inh-caps=+dac_read_search",
                "--ambient-caps=+dac_read_search"]
        d = self.start(options={"wrap": wrap, "folder": folder})
        with d.dial("s") as s:
            self.check_rest(d, s)


AS_MANAGER = """
import os, sys
os.dup2(int(sys.argv[1]), 3)
os.closerange(4, 1000)
os.execve(sys.argv[2], sys.argv[2:], {**os.environ, "LISTEN_PID": str(os.getpid())})
"""


class Network(threading.Thread):
    """A network name space of its own, for as long as it runs: what is called there is done there."""
    CLONE_NEWNET = 0x40000000

    def __init__(self):
        super().__init__(daemon=True)
        self.todo, self.done = queue.Queue(), queue.Queue()
        self.start()
        self.ok = self.done.get()

    @staticmethod
    def enter():
        if ctypes.CDLL(None, use_errno=True).unshare(Network.CLONE_NEWNET) != 0:
            return False
        with socket.socket() as s:
            # SIOCSIFFLAGS: IFF_UP | IFF_RUNNING
            fcntl.ioctl(s, 0x8914, struct.pack("16sh14x", b"lo", 0x41))
        return True

    def run(self):
        self.done.put(self.enter())
        while True:
            function = self.todo.get()
            if not function:
                return
            try:
                self.done.put(function())
            except OSError as error:
                self.done.put(error)

    def call(self, function):
        self.todo.put(function)
        result = self.done.get(timeout=PATIENCE)
        if isinstance(result, OSError):
            raise result
        return result


@need_root
class AnotherNetwork(IdleTest):
    def test_nobody_is_ended(self):
        """A socket that was passed in is of another name space, whose tables are not ours: that is said, and nobody is
        ended."""
        network = Network()
        self.addCleanup(network.todo.put, None)
        if not network.ok:
            self.skipTest("no network name spaces here")
        listener = network.call(lambda: socket.create_server(("127.0.0.1", 0)))
        self.addCleanup(listener.close)
        fd, port = listener.fileno(), listener.getsockname()[1]
        d = self.start(idle="300ms", log={"success": ["traffic"]}, listen=f"tcp:127.0.0.1:{port}", options={
            "wrap": [sys.executable, "-c", AS_MANAGER, str(fd)], "pass_fds": (fd,), "environment": {"LISTEN_FDS": "1"}})
        self.assertTrue(d.listener("s")["adopted"])
        with network.call(lambda: socket.create_connection(("127.0.0.1", port))) as s:
            s.settimeout(PATIENCE)
            s.sendall(b"x")
            self.assertEqual(s.recv(1), b"x")
            error = d.service("s")["last_error"]
            self.assertEqual(error["step"], "idle")
            self.assertIn("another network namespace", error["message"])
            stays(lambda: d.service("s")["active"] == 1, "one that the kernel does not tell of", seconds=1.5)
        d.wait_idle("s")
        self.assertEqual(len(d.log(event="error")), 1)
        self.assertEqual(d.wait_log(event="ended")[0]["message"], "ended, traffic unknown")


if __name__ == "__main__":
    import unittest
    unittest.main()
