# SPDX-License-Identifier: MIT
"""A service manager as far as sd_notify(3) goes: reads what it is told, keeps what it is given, and hands it back."""
import array
import contextlib
import os
import socket
import sys
import threading

from harness import wait_until

# Puts the descriptors in place, as nobody can before it is known where the program has its others.
HAND_OVER = """
import fcntl, os, sys
passed = [int(fd) for fd in sys.argv[1].split(",")]
high = [fcntl.fcntl(fd, fcntl.F_DUPFD, 200) for fd in passed]
for fd in set(passed):
    os.close(fd)
for n, fd in enumerate(high):
    os.dup2(fd, 3 + n, inheritable=True)
    os.close(fd)
os.environ["LISTEN_PID"] = str(os.getpid())
os.execvp(sys.argv[2], sys.argv[2:])
"""


class Supervisor:
    """Its socket is PATH. With reads=False nobody reads; with keeps=False what comes is closed at once."""

    def __init__(self, folder, reads=True, keeps=True):
        self.path = f"{folder}/notify"
        self.messages = []
        self.store = []  # (name, descriptor)
        self.removed = []
        self.keeps = keeps
        self.lock = threading.Lock()
        self.socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self.socket.bind(self.path)
        self.thread = threading.Thread(target=self._read, daemon=True) if reads else None
        if self.thread:
            self.thread.start()

    def _read(self):
        size = array.array("i").itemsize
        while True:
            try:
                data, ancillary, _, _ = self.socket.recvmsg(4096, socket.CMSG_SPACE(8 * size))
            except OSError:
                return
            fds = array.array("i")
            for level, kind, content in ancillary:
                if (level, kind) == (socket.SOL_SOCKET, socket.SCM_RIGHTS):
                    fds.frombytes(content[:len(content) - len(content) % size])
            if data == b"end":
                return
            self._take(data.decode(), list(fds))

    def _take(self, text, fds):
        words = dict(line.split("=", 1) for line in text.splitlines())
        with self.lock:
            self.messages.append(text)
            name = words.get("FDNAME", "stored")
            if words.get("FDSTOREREMOVE") == "1":
                self.removed.append(name)
                for kept, fd in self.store:
                    if kept == name:
                        os.close(fd)
                self.store = [(kept, fd) for kept, fd in self.store if kept != name]
            elif words.get("FDSTORE") == "1" and self.keeps:
                self.store += [(name, fd) for fd in fds]
                fds = []
            for fd in fds:
                os.close(fd)

    def said(self, what):
        with self.lock:
            return [m for m in self.messages if what in m]

    def wait_said(self, what, times=1):
        return wait_until(lambda: len(self.said(what)) >= times and self.said(what), f"{what!r} from the daemon")

    def kept(self, part="listener"):
        """{name: inode} of what is in the store."""
        with self.lock:
            return {name: os.fstat(fd).st_ino for name, fd in self.store if part in name}

    def hand_over(self, daemon, also=(), order=None):
        """Makes the next start of @daemon get what is kept, as a service manager would: and @also, (name, fd)."""
        with self.lock:
            passed = list(self.store) + list(also)
        if order:
            passed = order(passed)
        daemon.wrap = [sys.executable, "-c", HAND_OVER, ",".join(str(fd) for _, fd in passed)] if passed else []
        daemon.pass_fds = [fd for _, fd in passed]
        daemon.environment = {**daemon.environment, "NOTIFY_SOCKET": self.path}
        if passed:
            daemon.environment.update(LISTEN_FDS=str(len(passed)), LISTEN_FDNAMES=":".join(name for name, _ in passed))

    def close(self):
        with contextlib.suppress(OSError), socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as s:
            s.settimeout(1)
            if self.thread:
                s.sendto(b"end", self.path)
        if self.thread:
            self.thread.join(10)
        self.socket.close()
        for _, fd in self.store:
            os.close(fd)
        self.store = []
