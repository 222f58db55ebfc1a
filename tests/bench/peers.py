# SPDX-License-Identifier: MIT
"""How each server is started, as fast as it goes: functions from a Bench and a Job to (the words of its command, what is
added to its environment)."""
import collections
import contextlib
import os
import resource
import subprocess

import daemons
from packages import Unavailable
from servers import AGAIN, REFERENCE, Server, free_port, say, write

# With more listeners than this, a server is given more descriptors than a session has by default.
FEW = 500

# One service, with the path of its program, on a port of 127.0.0.1; and as many more as there are in @idle, [(address,
# port)], to which nobody connects.
Job = collections.namedtuple("Job", "name service program port folder idle")


def user():
    """All keep the user that they run as."""
    return "root" if os.geteuid() == 0 else subprocess.getoutput("id -un")


def endpoints(job):
    return [("127.0.0.1", job.port), *job.idle]


def alone(job):
    if job.idle:
        raise Unavailable("%s has one service for each process" % job.name)


def limit(bench, job):
    alone(job)
    return [bench.program(job.name.rstrip(AGAIN)), str(job.port), job.program], {}


def mpinetd(bench, job):
    """With what users have by default: limits, status, events, a log line for each start and end, to a file."""
    services = {job.service: daemons.service(job.port, job.program)}
    services.update(("idle-%d" % i, daemons.service(port, job.program, address))
                    for i, (address, port) in enumerate(job.idle))
    return daemons.command(bench, job.folder, services), {}


def xinetd(bench, job):
    """Without libwrap, limits and rates, and, as Debian ships it, no line for each connection."""
    command = bench.packages.command("xinetd", "/usr/sbin/xinetd")
    lines = ["defaults\n{\n  log_type = FILE %s/xinetd.log\n  instances = UNLIMITED\n  per_source = UNLIMITED\n"
             "  cps = 1000000 1\n}\n" % job.folder]
    for i, (address, port) in enumerate(endpoints(job)):
        lines.append(
            "service %s-%d\n{\n  type = UNLISTED\n  flags = NOLIBWRAP\n  socket_type = stream\n  protocol = tcp\n"
            "  bind = %s\n  port = %d\n  wait = no\n  user = %s\n  server = %s\n  disable = no\n}\n"
            % (job.service, i, address, port, user(), job.program))
    config = write(job.folder, "xinetd.conf", "".join(lines))
    return command + ["-dontfork", "-stayalive", "-f", config, "-pidfile", os.path.join(job.folder, "pid")], {}


def openbsd_inetd(bench, job):
    """Without libwrap (-l is not given), its rate limit out of reach."""
    def is_openbsd(path):
        with open(path, "rb") as f:
            return b"libevent" in f.read()

    command = bench.packages.command("openbsd-inetd", "/usr/sbin/inetd", is_openbsd)
    config = write(job.folder, "inetd.conf", "".join(
        "%s:%d stream tcp nowait.100000000 %s %s %s\n" % (address, port, user(), job.program, os.path.basename(job.program))
        for address, port in endpoints(job)))
    return command + ["-i", config], {}


def tcpserver(bench, job):
    """Looks nothing up (-H, -R, -l), leaves IP options alone (-o), and its limits are out of reach."""
    alone(job)
    command = bench.packages.command("ucspi-tcp", "/usr/bin/tcpserver")
    return command + ["-q", "-o", "-H", "-R", "-l", "localhost", "-c", "10000", "-b", "4096", "127.0.0.1", str(job.port),
                      job.program], {}


def rlinetd(bench, job):
    """Without libwrap and log lines. -d keeps it in the foreground."""
    command = bench.packages.command("rlinetd", "/usr/sbin/rlinetd")
    parser = bench.packages.find("rlinetd", "/usr/lib/*-linux-gnu/rlinetd/libparse.so")
    config = write(job.folder, "rlinetd.conf", "".join(
        'service "%s-%d" {\n  port %d;\n  interface %s;\n  protocol tcp;\n  user "%s";\n  exec "%s";\n'
        "  backlog 4096;\n  instances 10000;\n}\n" % (job.service, i, port, address, user(), job.program)
        for i, (address, port) in enumerate(endpoints(job))))
    return command + ["-d", "-p", parser, "-f", config], {}


def socket_activate(bench, job):
    """Without its four log lines for each connection."""
    command = bench.packages.command("systemd", "/usr/bin/systemd-socket-activate")
    listen = [word for address, port in endpoints(job) for word in ("--listen", "%s:%d" % (address, port))]
    return command + ["--accept", "--inetd", *listen, job.program], {"SYSTEMD_LOG_LEVEL": "warning"}


STARTERS = {
    REFERENCE: limit,
    REFERENCE + AGAIN: limit,
    "limit-fork": limit,
    "limit-c3vm": limit,
    "limit-duties": limit,
    "mpinetd": mpinetd,
    "xinetd": xinetd,
    "openbsd-inetd": openbsd_inetd,
    "tcpserver": tcpserver,
    "rlinetd": rlinetd,
    "socket-activate": socket_activate,
}
# Those that have many services in one process.
MANY = ("xinetd", "openbsd-inetd", "rlinetd", "socket-activate")


def command(bench, name, service, port, folder, idle=()):
    """(words, environment) of a server with svc-@service on a port of 127.0.0.1."""
    words, environment = STARTERS[name](bench, Job(name, service, bench.program("svc-" + service), port, folder, list(idle)))
    if len(idle) > FEW and name != "mpinetd":
        words = ["prlimit", "--nofile=%d" % resource.getrlimit(resource.RLIMIT_NOFILE)[1], *words]
    return words, environment


def start(bench, name, service, environment=None, idle=()):
    """A server by its name, ready; @environment is added to its own; the caller stops it."""
    port, folder = free_port(), bench.new_folder(name)
    words, own = command(bench, name, service, port, folder, idle)
    return Server(name, words, port, folder, service, {**own, **(environment or {})}).wait_ready()


@contextlib.contextmanager
def started(bench, name, service, **more):
    """The same for a block; None where it cannot take part."""
    server = None
    try:
        server = start(bench, name, service, **more)
    except Unavailable as why:
        say("without %s: %s" % (name, why))
    try:
        yield server
    finally:
        if server:
            server.stop()
