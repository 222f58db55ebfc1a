# SPDX-License-Identifier: MIT
"""What is done to a daemon of a soak by those who mean no good, by processes that fail, and by an administrator who changes his mind."""
import array
import contextlib
import os
import random
import signal
import socket
import struct

from harness import PATIENCE, VarlinkError, children_of

RESET = struct.pack("ii", 1, 0)
PROXY_SIGNATURE = b"\r\n\r\n\0\r\nQUIT\n"


class Abuse:
    """The half of Subject that does harm: uses its d, pid, ports, slow."""

    def __init__(self):
        self.source = random.Random(1)
        self.kinds = (self.noise, self.zeros, self.nested, self.unread, self.descriptors, self.flood, self.traps, self.proxies, self.names, self.sluggish,
                      self.empty, self.aborted)

    def abuses(self):
        """[(every so many seconds, what)]"""
        return [(0.5, self.crashes), (0.25, self.hostile), (0.3, self.datagrams), (0.5, self.names_asked), (2.0, self.orders), (3.0, self.kills),
                (10.0, self.kill_interpreter)]

    def dial(self, name, source=None):
        s = socket.create_connection(("127.0.0.1", self.ports[name]), PATIENCE, (source, 0) if source else None)
        s.settimeout(PATIENCE)
        return s

    # ---- processes that fail
    def crashes(self, n):
        """Of services whose clients expect nothing: by themselves, by exec, by what they say."""
        name = ("crashes", "fails", "broken", "lies", "shouts", "talks")[n % 6]
        with contextlib.suppress(OSError), self.dial(name) as s:
            s.sendall(b"x")
            s.shutdown(socket.SHUT_WR)
            while s.recv(1000):
                pass

    def kills(self, n):
        """A worker, or a process on demand, that has done nothing; then somebody comes."""
        name = ("mortal", "mortal-waits", "talks")[n % 3]
        with contextlib.suppress(OSError), self.dial(name) as s:
            s.sendall(b"x")
            s.recv(1)
            for instance in self.d.instances(name)[:1]:
                with contextlib.suppress(VarlinkError):
                    self.d.call("Signal", pid=instance["pid"], signal="SIGKILL")
            s.recv(1)

    def kill_interpreter(self, _):
        for pid in self.interpreters(pid for pid, _ in children_of(self.pid)):
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)

    # ---- an administrator
    def orders(self, n):
        """Each two undo each other; in between and after somebody comes, who may find the door closed."""
        first, second = (("Pause", "Resume"), ("Stop", "Start"), ("Restart", "Restart"), ("Drain", "Start"))[n % 4]
        with self.d.connect(PATIENCE * 6) as control:
            control.call(first, services=["ordered"])
            with contextlib.suppress(ConnectionError), socket.create_connection(("127.0.0.1", self.ports["ordered"]), PATIENCE):
                pass
            control.call(second, services=["ordered"])
            control.call("Set", service="ordered", limits={"rate": f"{1000 + n % 7}/s", "instances": 20 + n % 5})
            control.call("Unban", prefix="127.0.0.0/8")

    # ---- those who are served, by other ways
    def datagrams(self, n):
        """Now and then nobody comes for so long that the process ends."""
        if n % 20 > 12:
            return
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as s, contextlib.suppress(TimeoutError, ConnectionRefusedError):
            s.settimeout(1)
            s.connect(("127.0.0.1", self.ports["datagrams"]))
            s.send(b"d%d" % n)
            s.recv(100)

    def names_asked(self, n):
        with self.dial("mux") as s:
            s.sendall(b"named\r\nx" if n % 3 else b"nobody\r\n")
            s.shutdown(socket.SHUT_WR)
            got = b""
            while part := s.recv(100):
                got += part
            if n % 3 and not got.endswith(b"x"):
                raise ValueError(f"tcpmux says {got!r}")

    # ---- hostile clients
    def hostile(self, n):
        self.kinds[n % len(self.kinds)](n)

    def control(self, data, then=None):
        with socket.socket(socket.AF_UNIX) as s, contextlib.suppress(OSError):
            s.settimeout(1)
            s.connect(self.d.socket)
            s.sendall(data)
            if then:
                then(s)

    def noise(self, _):
        self.control(self.source.randbytes(5000))

    def zeros(self, _):
        self.control(b"\0" * 3000)

    def nested(self, _):
        self.control(b'{"method":"x' + b"[" * 70000)

    def unread(self, _):
        self.control(b'{"method":"dev.mpinetd.Control.Status"}\0' * 200)

    def descriptors(self, _):
        def send(s):
            passed = array.array("i", [s.fileno()] * 20)
            s.sendmsg([b'{"method":"dev.mpinetd.Control.Ping"}\0'], [(socket.SOL_SOCKET, socket.SCM_RIGHTS, passed)])
            s.recv(1000)
        self.control(b"", send)

    def from_somewhere(self, n):
        """One of a hundred sources: all have been there after five minutes, and no table grows for want of having seen them."""
        return f"127.7.{n // 12 % 100}.1"

    def flood(self, n):
        with contextlib.ExitStack() as stack, contextlib.suppress(OSError):
            for _ in range(20):
                s = stack.enter_context(self.dial("picky", self.from_somewhere(n)))
                s.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, RESET)

    def traps(self, n):
        """Comes until it is banned."""
        for _ in range(6):
            with contextlib.suppress(OSError), self.dial("trap", self.from_somewhere(n)) as s:
                s.sendall(b"x")
                s.recv(1)

    def proxies(self, n):
        """Headers: whole ones of whoever one likes, wrong ones, one of which nothing follows."""
        header = (b"PROXY TCP4 192.0.2.%d 127.0.0.1 5 6\r\n" % (n // 12 % 100), b"PROXY TCP4 1.2.3 x\r\n", PROXY_SIGNATURE + b"\x21\x11\0\x0c\xc6\x33\x64%c" % (n // 12 % 100) + self.source.randbytes(8),
                  PROXY_SIGNATURE + b"\x2f\xff\xff\xff" + b"x" * 300, b"PROXY ", self.source.randbytes(300))[n // 12 % 6]
        with contextlib.suppress(OSError), self.dial("proxied") as s:
            s.sendall(header + b"x")
            s.recv(1)

    def names(self, n):
        """tcpmux: a name without an end, one of control bytes, none."""
        with contextlib.suppress(OSError), self.dial("mux") as s:
            s.sendall((b"n" * 5000, b"\x1b[31m\0\r\n", b"\r\n", b"help\r\n")[n // 12 % 4])
            s.shutdown(socket.SHUT_WR)
            s.recv(1000)

    def sluggish(self, _):
        """Those who say nothing, and hold all places until they are sent away."""
        while len(self.slow) >= 12:
            self.slow.pop(0).close()
        with contextlib.suppress(OSError):
            for _ in range(4):
                self.slow.append(self.dial("slow"))

    def empty(self, _):
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as s, contextlib.suppress(OSError):
            s.connect(("127.0.0.1", self.ports["datagrams"]))
            s.send(b"")
            s.send(b"x" * 60000)

    def aborted(self, _):
        """Gone before they could be accepted."""
        for name in ("talks", "proxied", "mortal", "mortal-waits"):
            with contextlib.suppress(OSError), self.dial(name) as s:
                s.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, RESET)
