# SPDX-License-Identifier: MIT
"""Clients that pass descriptors which nobody has asked for, and whose last close(2) takes as long as they like."""
import contextlib
import os
import signal
import socket
import struct
import tempfile
import time

from harness import DaemonTest, process_state, wait_until

# As long as close(2) is to take; and how long the daemon may be held up, on whatever machine.
LINGER = 20
HELD_UP = 8


class PassedTest(DaemonTest):
    def start(self, environment=None, **services):
        return self.daemon({"services": {"canary": {"listen": "tcp:127.0.0.1:0", "exec": ["/bin/cat"]}, **services}}, environment=environment)

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


class Services(PassedTest):
    """Whoever may connect to a UNIX socket of a service can pass some as well. A process that has the connection closes them
    itself; whom the daemon refuses, reads or gives up leaves them to it."""

    def service(self, **keys):
        return {"listen": "unix:{dir}/s.sock", "exec": ["/bin/cat"], **keys}

    def order(self, d, *words):
        """What the daemon does for it is done at once, too."""
        begin = time.monotonic()
        d.mpctl(*words)
        self.assertLess(time.monotonic() - begin, HELD_UP)

    def client(self, d, data=b"x", nested=True, leaves=True, kind=socket.SOCK_STREAM):
        """Who connects, sends @data with a descriptor, and goes."""
        s = socket.socket(socket.AF_UNIX, kind)
        if not leaves:
            self.addCleanup(s.close)
        s.connect(d.path("s.sock"))
        with self.passed(nested) as descriptor:
            socket.send_fds(s, [data], [descriptor])
        if leaves:
            s.close()

    def check(self, service, data=b"x", n=3, counted=None, **how):
        d = self.start(s=service)
        for leaves in (True, False):
            with self.stays_quick(d):
                for nested in [False] + [True] * (n - 1):
                    self.client(d, data, nested, leaves, **how)
        if counted:
            wait_until(lambda: counted(d.service("s")) >= 2 * n, "all of them to be counted")
        self.goes_on(d)
        return d

    def test_refused(self):
        for how in ("close", "reset", "banner"):
            with self.subTest(refuse_with=how):
                service = self.service(access={"deny": ["any"]}, limits={"refuse_with": how}, banner={"refused": "go away\n"})
                self.check(service, counted=lambda s: s["refused"]["access"])

    def test_refused_packets(self):
        service = self.service(listen="unix-seqpacket:{dir}/s.sock", access={"deny": ["any"]})
        self.check(service, counted=lambda s: s["refused"]["access"], kind=socket.SOCK_SEQPACKET)

    def test_with_a_header(self):
        """What comes with the header would be nobody's; what comes behind it is for the service."""
        proxied = self.service(proxy_protocol={"accept_from": ["any"]})
        for data in (b"PROXY UNKNOWN\r\n", b"PROXY ", b"nonsense"):
            with self.subTest(data=data):
                self.check(proxied, data, counted=lambda s: s["refused"]["proxy"] + s["gone"])

    def test_behind_a_header(self):
        """What comes once the header has been read is for the service. Before, nobody can tell whose it is."""
        d = self.start(s=self.service(proxy_protocol={"accept_from": ["any"]}, exec=[
            "/usr/bin/python3", "-ISc", "import socket\ns = socket.socket(fileno=0)\n"
            "s.send(b'!' if s.getsockopt(socket.SOL_SOCKET, socket.SO_OOBINLINE) else b'?')\n"
            "data, fds, _, _ = socket.recv_fds(s, 100, 2)\ns.send(b'%d' % len(fds) + data)"]))
        header = b"PROXY UNKNOWN\r\n"
        with socket.socket(socket.AF_UNIX) as s, open("/dev/null", "rb") as null:
            s.connect(d.path("s.sock"))
            s.sendall(header)
            self.assertEqual(s.recv(1), b"?")
            socket.send_fds(s, [b"hello"], [null.fileno()])
            self.assertEqual(s.recv(100), b"1hello")
        with socket.socket(socket.AF_UNIX) as s, open("/dev/null", "rb") as null:
            os.kill(d.pid, signal.SIGSTOP)
            s.connect(d.path("s.sock"))
            s.sendall(header)
            socket.send_fds(s, [b"hello"], [null.fileno()])
            os.kill(d.pid, signal.SIGCONT)
            with contextlib.suppress(ConnectionResetError):
                self.assertEqual(s.recv(100), b"")
        self.assertIn("descriptors", d.wait_log(event="refused")[0]["message"])

    def test_name(self):
        """Of a tcpmux service, and for help, where there is none of that name."""
        for name in (b"none\r\n", b"help\r\n", b"no"):
            with self.subTest(name=name):
                d = self.start(s={"listen": "unix:{dir}/s.sock", "model": "tcpmux"}, some={"tcpmux": "some", "exec": ["/bin/cat"]})
                for leaves in (True, False):
                    with self.stays_quick(d):
                        self.client(d, name, leaves=leaves)
                self.goes_on(d)

    def test_without_a_process(self):
        folder = tempfile.TemporaryDirectory(prefix="mpt-script-")
        self.addCleanup(folder.cleanup)
        script = os.path.join(folder.name, "script")
        with open(script, "w", encoding="utf-8") as file:
            os.fchmod(file.fileno(), 0o755)
            file.write("#!/nonexistent/interpreter\n")
        for keys in ({}, {"prespawn": 1}):
            with self.subTest(**keys):
                self.check(self.service(exec=[script], **keys), n=1, counted=lambda s: s["spawn_failed"])

    def test_who_waits(self):
        """In the queue of a service that is paused, and then stopped."""
        for listen, kind in (("unix", socket.SOCK_STREAM), ("unix-seqpacket", socket.SOCK_SEQPACKET)):
            for model in ("per-connection", "on-demand"):
                with self.subTest(listen=listen, model=model):
                    d = self.start(s=self.service(listen=f"{listen}:{{dir}}/s.sock", model=model))
                    d.mpctl("pause", "s")
                    self.client(d, leaves=False, kind=kind)
                    self.client(d, leaves=True, kind=kind)
                    self.order(d, "stop", "s")
                    self.goes_on(d)
                    d.mpctl("start", "s")

    def test_who_waits_after_a_process(self):
        """A process has had the listener, and may have changed it."""
        d = self.start(s=self.service(model="on-demand", exec=["/usr/bin/python3", "-ISc", "import socket\nsocket.socket(fileno=3).accept()"],
                                      **{"pass": "listen_fds"}))
        with socket.socket(socket.AF_UNIX) as s:
            s.connect(d.path("s.sock"))
            d.wait_service("s", spawned=1, active=0)
        d.mpctl("pause", "s")
        self.client(d, leaves=False)
        self.order(d, "stop", "s")
        self.goes_on(d)

    def test_listener_that_goes(self):
        d = self.start(s=self.service())
        d.mpctl("pause", "s")
        self.client(d, leaves=False)
        self.client(d, leaves=True)
        d.write_config({"services": {"canary": {"listen": f"tcp:127.0.0.1:{d.port('canary')}", "exec": ["/bin/cat"]}}})
        self.order(d, "reload")
        self.goes_on(d)

    def test_datagrams(self):
        """Of one that may start nothing; who comes behind him is looked at as well."""
        d = self.start(s=self.service(listen="unix-dgram:{dir}/s.sock", model="on-demand", access={"deny": ["any"]}))
        with self.stays_quick(d):
            for nested in (False, True, True):
                self.client(d, nested=nested, kind=socket.SOCK_DGRAM)
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as s:
            s.sendto(b"x", d.path("s.sock"))
        wait_until(lambda: d.service("s")["refused"]["access"] == 4, "all of them to be refused", deadline=20)

    def test_datagrams_that_wait(self):
        d = self.start(s=self.service(listen="unix-dgram:{dir}/s.sock", model="on-demand"))
        d.mpctl("pause", "s")
        for nested in (False, True):
            self.client(d, nested=nested, kind=socket.SOCK_DGRAM)
        self.order(d, "stop", "s")
        self.goes_on(d)

    def test_nobody_has_it_any_more(self):
        """The process of a connection that was set up ahead ends at once."""
        d = self.start(s=self.service(prespawn=1, exec=["/bin/true"]))
        for _ in range(3):
            with self.stays_quick(d):
                self.client(d)
        wait_until(lambda: d.service("s")["spawned"] == 3, "three")


class Lingerers(PassedTest):
    """A process that has filled its connection and asked for close(2) to wait closes it itself, and goes on, or ends. The daemon
    still has a copy for a moment: of one that was set up ahead, and where processes share its descriptors until exec."""
    FILL = ("import os, signal, socket, struct\ns = socket.socket(fileno=0)\ns.setblocking(False)\n"
            "try:\n    while True: s.send(b'x' * 65536)\nexcept BlockingIOError: pass\n"
            f"s.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack('ii', 1, {LINGER}))\n")

    def check(self, end, mode, **keys):
        d = self.start(s={"listen": "tcp:127.0.0.1:0", "exec": ["/usr/bin/python3", "-ISc", self.FILL + end], **keys},
                       environment={"MPINETD_SPAWN": mode})
        for _ in range(3):
            with socket.socket() as s:
                s.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
                s.connect(("127.0.0.1", d.port("s")))
                pid = wait_until(lambda: d.instances("s"), "its process")[0]["pid"]
                # What it does is done while the daemon is at something else.
                os.kill(d.pid, signal.SIGSTOP)
                try:
                    wait_until(lambda p=pid: process_state(p) in ("Z", None) or self.is_asleep(p), "it to have closed it")
                finally:
                    os.kill(d.pid, signal.SIGCONT)
                self.goes_on(d)
                with contextlib.suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGKILL)
            d.wait_service("s", active=0)

    @staticmethod
    def is_asleep(pid):
        """Behind its last word: nothing of its connection is open any more."""
        with contextlib.suppress(OSError):
            return not os.path.exists(f"/proc/{pid}/fd/0")
        return True

    def test_set_up_ahead(self):
        for mode in ("shared", "files", "vfork"):
            for end in ("os.close(0)\nos.close(1)\nsignal.pause()", ""):
                with self.subTest(mode=mode, end=end):
                    self.check(end, mode, prespawn=1)

    def test_shared_descriptors(self):
        for end in ("os.close(0)\nos.close(1)\nsignal.pause()", ""):
            with self.subTest(end=end):
                self.check(end, "files")
