# SPDX-License-Identifier: MIT
"""Running servers, and where what they need is found."""
import os
import re
import signal
import socket
import subprocess
import sys
import time

from packages import Packages, Unavailable
import processes

REFERENCE = "limit-vfork"
# A second one of it, which takes part as if it were another: what separates the two is the noise of the run.
AGAIN = "'"
HELLO = b"hello\n"


def say(text):
    print("bench: " + text, file=sys.stderr, flush=True)


def free_port():
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        return sock.getsockname()[1]


def write(folder, name, text):
    path = os.path.join(folder, name)
    with open(path, "w", encoding="utf-8") as out:
        out.write(text)
    return path


def ninja(folder, *targets):
    if subprocess.run(["ninja", "-C", folder, *targets], stdout=subprocess.DEVNULL).returncode != 0:
        raise SystemExit("bench: ninja -C %s %s failed" % (folder, " ".join(targets)))


class Server:
    """A running server. @service is what it runs, for those who tell servers apart by it."""

    def __init__(self, name, argv, port, folder, service=None, environment=None):
        self.name, self.service, self.port = name, service, port
        self.log = os.path.join(folder, "log")
        # Where an init starts them.
        with open(self.log, "wb") as log:
            self.process = subprocess.Popen(
                argv, stdin=subprocess.DEVNULL, stdout=log, stderr=log, cwd="/", start_new_session=True,
                env={"PATH": os.environ.get("PATH", "/usr/bin:/bin"), **(environment or {})})

    @property
    def pid(self):
        return self.process.pid

    def wait_ready(self, expect=HELLO):
        """Until it answers, as the load will see it."""
        end = time.monotonic() + 30
        while time.monotonic() < end and self.process.poll() is None:
            try:
                with socket.create_connection(("127.0.0.1", self.port), timeout=2) as sock:
                    sock.settimeout(2)
                    # For a service that waits for what its peer has to say.
                    sock.shutdown(socket.SHUT_WR)
                    if sock.makefile("rb").read() == expect:
                        return self
            except OSError:
                pass
            time.sleep(0.05)
        self.stop()
        with open(self.log, encoding="utf-8", errors="replace") as log:
            raise Unavailable("%s does not answer: %s" % (self.name, " | ".join(log.read().splitlines()[-5:])))

    def cpu_seconds(self):
        return processes.cpu_seconds(self.pid)

    def stop(self):
        if self.process.poll() is None:
            self.process.terminate()
            try:
                self.process.wait(10)
            except subprocess.TimeoutExpired:
                os.killpg(self.pid, signal.SIGKILL)
                self.process.wait()


class Bench:
    """Where the programs are, and a folder for what is started."""

    def __init__(self, build, folder, cache, daemon=None):
        self.folder, self.build = folder, os.path.abspath(build)
        self.programs = os.path.join(self.build, "tests", "bench")
        self.daemon = daemon or os.path.join(self.build, "daemon", "mpinetd")
        self.packages = Packages(cache, say)
        self.started = 0

    def program(self, name):
        path = os.path.join(self.programs, name)
        if not os.access(path, os.X_OK):
            raise Unavailable("%s is not built" % name)
        return path

    def new_folder(self, name):
        """A folder of its own for a server, beginning with its name."""
        self.started += 1
        folder = os.path.join(self.folder, "%s-%d" % (re.sub("[^a-z0-9-]", "", name), self.started))
        os.mkdir(folder)
        return folder
