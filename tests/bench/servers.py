# SPDX-License-Identifier: MIT
"""The servers that are compared, and how each is started for one service on one port, as fast as it goes."""
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
        with open(self.log, "wb") as log:
            self.process = subprocess.Popen(
                argv, stdin=subprocess.DEVNULL, stdout=log, stderr=log, cwd=folder, start_new_session=True,
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
    """Where the programs are, and a starter for each server by its name."""

    def __init__(self, build, folder, cache, daemon=None):
        self.folder, self.build = folder, os.path.abspath(build)
        self.programs = os.path.join(self.build, "tests", "bench")
        self.daemon = daemon or os.path.join(self.build, "daemon", "mpinetd")
        self.packages = Packages(cache, say)
        self.started = 0
        self.environment = None  # what is added to that of the server being started
        self.starters = {
            REFERENCE: self.limit,
            REFERENCE + AGAIN: self.limit,
            "limit-fork": self.limit,
            "limit-c3vm": self.limit,
            "mpinetd": self.mpinetd,
            "xinetd": self.xinetd,
            "openbsd-inetd": self.openbsd_inetd,
            "tcpserver": self.tcpserver,
            "rlinetd": self.rlinetd,
            "socket-activate": self.socket_activate,
        }

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

    def start(self, name, service, environment=None):
        """The server of this name with svc-@service, ready; @environment is added to its own."""
        program = self.program("svc-" + service)
        self.environment = environment
        server = self.starters[name](name, service, program, free_port(), self.new_folder(name))
        return server.wait_ready()

    def server(self, name, argv, port, folder, service, environment=None):
        return Server(name, argv, port, folder, service, {**(environment or {}), **(self.environment or {})})

    def start_mpinetd(self, name, config, port, environment=None):
        """mpinetd with the text of a config that serves HELLO on @port, ready."""
        folder = self.new_folder(name)
        return self.run_mpinetd(name, config, port, folder, environment=environment).wait_ready()

    def run_mpinetd(self, name, config, port, folder, **more):
        """Its log goes to a file, as that of the peers."""
        if not os.access(self.daemon, os.X_OK):
            raise Unavailable("%s is not built" % self.daemon)
        argv = [self.daemon, "-c", write(folder, "mpinetd.yaml", config), "-s", os.path.join(folder, "control.sock"),
                "--log-target", "stderr"]
        return Server(name, argv, port, folder, **more)

    def limit(self, name, service, program, port, folder):
        return self.server(name, [self.program(name.rstrip(AGAIN)), str(port), program], port, folder, service)

    def mpinetd(self, name, service, program, port, folder):
        """With what users have by default: limits, status, events, a log line for each start and end, to a file."""
        return self.run_mpinetd(name, (
            "version: 1\nservices:\n  %s:\n    listen: tcp:127.0.0.1:%d\n    exec: [%s]\n%s"
            % (service, port, program, self.as_root())), port, folder, service=service)

    @staticmethod
    def as_root():
        """The line of a config that keeps root, as all peers do it here; nothing where we are not root."""
        return "    user: root\n" if os.geteuid() == 0 else ""

    @staticmethod
    def user():
        return "root" if os.geteuid() == 0 else subprocess.getoutput("id -un")

    def xinetd(self, name, service, program, port, folder):
        """Without libwrap, limits and rates, and, as Debian ships it, no line for each connection."""
        command = self.packages.command("xinetd", "/usr/sbin/xinetd")
        config = write(folder, "xinetd.conf", (
            "defaults\n{\n  log_type = FILE %s/xinetd.log\n  instances = UNLIMITED\n  per_source = UNLIMITED\n"
            "  cps = 1000000 1\n}\n"
            "service %s\n{\n  type = UNLISTED\n  flags = NOLIBWRAP\n  socket_type = stream\n  protocol = tcp\n"
            "  bind = 127.0.0.1\n  port = %d\n  wait = no\n  user = %s\n  server = %s\n  disable = no\n}\n"
            % (folder, service, port, self.user(), program)))
        argv = command + ["-dontfork", "-stayalive", "-f", config, "-pidfile", os.path.join(folder, "pid")]
        return self.server(name, argv, port, folder, service)

    def openbsd_inetd(self, name, service, program, port, folder):
        """Without libwrap (-l is not given), its rate limit out of reach."""
        def is_openbsd(path):
            with open(path, "rb") as f:
                return b"libevent" in f.read()

        command = self.packages.command("openbsd-inetd", "/usr/sbin/inetd", is_openbsd)
        config = write(folder, "inetd.conf", "127.0.0.1:%d stream tcp nowait.100000000 %s %s %s\n"
                       % (port, self.user(), program, os.path.basename(program)))
        return self.server(name, command + ["-i", config], port, folder, service)

    def tcpserver(self, name, service, program, port, folder):
        """Looks nothing up (-H, -R, -l), leaves IP options alone (-o), and its limits are out of reach."""
        command = self.packages.command("ucspi-tcp", "/usr/bin/tcpserver")
        argv = command + ["-q", "-o", "-H", "-R", "-l", "localhost", "-c", "10000", "-b", "4096", "127.0.0.1",
                          str(port), program]
        return self.server(name, argv, port, folder, service)

    def rlinetd(self, name, service, program, port, folder):
        """Without libwrap and log lines. -d keeps it in the foreground."""
        command = self.packages.command("rlinetd", "/usr/sbin/rlinetd")
        parser = self.packages.find("rlinetd", "/usr/lib/*-linux-gnu/rlinetd/libparse.so")
        config = write(folder, "rlinetd.conf", (
            'service "%s" {\n  port %d;\n  interface 127.0.0.1;\n  protocol tcp;\n  user "%s";\n  exec "%s";\n'
            "  backlog 4096;\n  instances 10000;\n}\n" % (service, port, self.user(), program)))
        return self.server(name, command + ["-d", "-p", parser, "-f", config], port, folder, service)

    def socket_activate(self, name, service, program, port, folder):
        """Without its four log lines for each connection."""
        command = self.packages.command("systemd", "/usr/bin/systemd-socket-activate")
        argv = command + ["--accept", "--inetd", "--listen", "127.0.0.1:%d" % port, program]
        return self.server(name, argv, port, folder, service, {"SYSTEMD_LOG_LEVEL": "warning"})
