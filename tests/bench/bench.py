#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Runs mpinetd beside bare limit loops and Debian's xinetd and openbsd-inetd, and prints ratios.

All servers are up during the whole run; in every round each has a slice of load at each concurrency, in a new random
order, so that what else the machine does hits all alike. A ratio is made within one round; what is printed is the
median over the rounds. The reference (limit-vfork) runs twice, against itself: how far that ratio is from 1 is the
spread that no other row can be read finer than. A slice during which others used much of the machine is repeated, and
left out where enough remain.

The peers are taken from the machine if they are there, else from their Debian packages, which are unpacked into a
cache folder and not installed.
"""

import argparse
import glob
import json
import os
import random
import resource
import signal
import socket
import statistics
import subprocess
import sys
import tempfile
import time

REFERENCE = "limit-vfork"
SERVICES = ("raw", "dyn", "static")
TICKS = os.sysconf("SC_CLK_TCK")
# More of the machine's CPU than this in other hands makes a slice worth repeating, so many times at most.
DISTURBED = 0.15
REPEATS = 2
# With so many undisturbed rounds, the disturbed ones are left out.
ENOUGH = 3
# What must hold: service, concurrency or "cpu", peer, bound, and whether it is the least or the most.
GOALS = [
    ("raw", 8, "xinetd", 1.4, "least"),
    ("raw", "cpu", "xinetd", 0.7, "most"),
]
# Where the libraries of the peers come from, should the machine lack them.
LIBRARIES = {
    "libwrap.so.0": "libwrap0",
    "libevent-2.1.so.7": "libevent-2.1-7",
    "libbsd.so.0": "libbsd0",
    "libmd.so.0": "libmd0",
    "libtirpc.so.3": "libtirpc3",
    "libnsl.so.2": "libnsl2",
}


class Unavailable(Exception):
    """A server cannot take part; the others do."""


def say(text):
    print("bench: " + text, file=sys.stderr, flush=True)


# --- the peers ------------------------------------------------------------------------------------------------------


class Packages:
    """Debian packages, unpacked into a folder."""

    def __init__(self, cache):
        self.root = os.path.join(cache, "root")

    def unpack(self, package):
        os.makedirs(self.root, exist_ok=True)
        with tempfile.TemporaryDirectory() as folder:
            os.chmod(folder, 0o755)
            done = subprocess.run(
                ["apt-get", "-o", "APT::Sandbox::User=root", "download", package],
                cwd=folder, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, universal_newlines=True)
            files = glob.glob(folder + "/*.deb")
            if done.returncode != 0 or not files:
                raise Unavailable("apt-get download %s: %s" % (package, done.stderr.strip().splitlines()[-1:]))
            subprocess.run(["dpkg", "-x", files[0], self.root], check=True)

    def library_path(self):
        return ":".join(glob.glob(self.root + "/lib/*-linux-gnu") + glob.glob(self.root + "/usr/lib/*-linux-gnu"))

    def missing_libraries(self, program):
        done = subprocess.run(["ldd", program], stdout=subprocess.PIPE, universal_newlines=True)
        return [line.split()[0] for line in done.stdout.splitlines() if "not found" in line]

    def command(self, package, path, identify):
        """The words that start the program of a package."""
        if os.access(path, os.X_OK) and identify(path):
            return [path]
        unpacked = self.root + path
        if not os.access(unpacked, os.X_OK):
            say("unpacking %s into %s" % (package, self.root))
            self.unpack(package)
        missing = self.missing_libraries(unpacked)
        if not missing:
            return [unpacked]
        for library in missing:
            if library not in LIBRARIES:
                raise Unavailable("%s needs %s" % (package, library))
            if not glob.glob("%s/**/%s" % (self.root, library), recursive=True):
                self.unpack(LIBRARIES[library])
        # By the loader and not by LD_LIBRARY_PATH, which the peer's services would inherit and be slower by.
        loaders = glob.glob("/lib64/ld-linux-*.so.*") + glob.glob("/lib/ld-linux-*.so.*")
        if not loaders:
            raise Unavailable("%s: no loader found" % package)
        return [loaders[0], "--library-path", self.library_path(), unpacked]


def free_port():
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        return sock.getsockname()[1]


class Server:
    """One server that runs one service on one port."""

    def __init__(self, name, service, argv, port, folder):
        self.name, self.service, self.port = name, service, port
        self.log = os.path.join(folder, "log")
        with open(self.log, "wb") as log:
            self.process = subprocess.Popen(
                argv, stdin=subprocess.DEVNULL, stdout=log, stderr=log, cwd=folder, start_new_session=True,
                env={"PATH": os.environ.get("PATH", "/usr/bin:/bin")})

    def wait_ready(self):
        """Until it answers, as the load will see it."""
        end = time.monotonic() + 10
        while time.monotonic() < end:
            if self.process.poll() is not None:
                break
            try:
                with socket.create_connection(("127.0.0.1", self.port), timeout=2) as sock:
                    sock.settimeout(2)
                    if sock.makefile("rb").read() == b"hello\n":
                        return
            except OSError:
                pass
            time.sleep(0.05)
        with open(self.log, errors="replace") as log:
            raise Unavailable("%s does not answer: %s" % (self.name, " | ".join(log.read().splitlines()[-5:])))

    def cpu_seconds(self):
        """Of the server and all its ended children, in user and system mode."""
        with open("/proc/%d/stat" % self.process.pid) as stat:
            fields = stat.read().rsplit(")", 1)[1].split()
        return sum(int(fields[i]) for i in (11, 12, 13, 14)) / TICKS

    def stop(self):
        if self.process.poll() is None:
            self.process.terminate()
            try:
                self.process.wait(5)
            except subprocess.TimeoutExpired:
                os.killpg(self.process.pid, signal.SIGKILL)
                self.process.wait()


def write(folder, name, text):
    path = os.path.join(folder, name)
    with open(path, "w") as out:
        out.write(text)
    return path


class Bench:
    """The servers by name, and how each is started for a program."""

    def __init__(self, args, folder):
        self.args, self.folder = args, folder
        self.build = os.path.abspath(args.build)
        self.programs = os.path.join(self.build, "tests", "bench")
        self.packages = Packages(args.cache)
        self.starters = {
            REFERENCE: self.limit,
            REFERENCE + "'": self.limit,
            "limit-c3vm": self.limit,
            "mpinetd": self.mpinetd,
            "xinetd": self.xinetd,
            "openbsd-inetd": self.openbsd_inetd,
        }

    def start(self, name, service):
        folder = os.path.join(self.folder, "%s-%s" % (name, service))
        os.mkdir(folder)
        program = os.path.join(self.programs, "svc-" + service)
        if not os.access(program, os.X_OK):
            raise Unavailable("svc-%s is not built" % service)
        port = free_port()
        server = self.starters[name](name, service, program, port, folder)
        try:
            server.wait_ready()
        except Unavailable:
            server.stop()
            raise
        return server

    def limit(self, name, service, program, port, folder):
        argv = [os.path.join(self.programs, name.rstrip("'")), str(port), program]
        return Server(name, service, argv, port, folder)

    def mpinetd(self, name, service, program, port, folder):
        """With what users have by default: limits, status, events, a log line for each start and end, to a file."""
        daemon = self.args.mpinetd or os.path.join(self.build, "daemon", "mpinetd")
        if not os.access(daemon, os.X_OK):
            raise Unavailable("%s is not built" % daemon)
        user = "    user: root\n" if os.geteuid() == 0 else ""
        config = write(folder, "mpinetd.yaml", (
            "version: 1\nservices:\n  %s:\n    listen: tcp:127.0.0.1:%d\n    exec: [%s]\n%s"
            % (service, port, program, user)))
        argv = [daemon, "-c", config, "-s", os.path.join(folder, "control.sock"), "--log-target", "stderr"]
        return Server(name, service, argv, port, folder)

    def xinetd(self, name, service, program, port, folder):
        """As fast as it goes: no libwrap, no limits, and, as Debian ships it, no line for each connection."""
        command = self.packages.command("xinetd", "/usr/sbin/xinetd", lambda path: True)
        user = "root" if os.geteuid() == 0 else str(os.geteuid())
        config = write(folder, "xinetd.conf", (
            "defaults\n{\n  log_type = FILE %s/xinetd.log\n  instances = UNLIMITED\n  per_source = UNLIMITED\n"
            "  cps = 1000000 1\n}\n"
            "service %s\n{\n  type = UNLISTED\n  flags = NOLIBWRAP\n  socket_type = stream\n  protocol = tcp\n"
            "  bind = 127.0.0.1\n  port = %d\n  wait = no\n  user = %s\n  server = %s\n  disable = no\n}\n"
            % (folder, service, port, user, program)))
        argv = command + ["-dontfork", "-stayalive", "-f", config, "-pidfile", os.path.join(folder, "pid")]
        return Server(name, service, argv, port, folder)

    def openbsd_inetd(self, name, service, program, port, folder):
        """Without libwrap (-l is not given), its rate limit out of reach."""
        def is_openbsd(path):
            with open(path, "rb") as f:
                return b"libevent" in f.read()

        command = self.packages.command("openbsd-inetd", "/usr/sbin/inetd", is_openbsd)
        user = "root" if os.geteuid() == 0 else subprocess.getoutput("id -un")
        config = write(folder, "inetd.conf", "127.0.0.1:%d stream tcp nowait.100000000 %s %s %s\n"
                       % (port, user, program, os.path.basename(program)))
        return Server(name, service, command + ["-i", config], port, folder)


# --- measuring ------------------------------------------------------------------------------------------------------


def busy_seconds():
    """CPU time that all of the machine has spent, and that its host has taken from it."""
    with open("/proc/stat") as stat:
        user, nice, system, _idle, _iowait, irq, softirq, steal = map(int, stat.readline().split()[1:9])
    return (user + nice + system + irq + softirq + steal) / TICKS


def children_seconds():
    usage = resource.getrusage(resource.RUSAGE_CHILDREN)
    return usage.ru_utime + usage.ru_stime


def run_slice(bench, server, concurrency, seconds):
    """One slice of load: the load client's result, with the CPU of the whole server for each connection, and the share
    of the machine that others used meanwhile."""
    begin, busy, cpu, client = time.monotonic(), busy_seconds(), server.cpu_seconds(), children_seconds()
    done = subprocess.run(
        [os.path.join(bench.programs, "load"), "--port", str(server.port), "--concurrency", str(concurrency),
         "--seconds", str(seconds), "--expect", "hello\n"],
        stdout=subprocess.PIPE, check=True, universal_newlines=True)
    result = json.loads(done.stdout)
    # The last children end, and are reaped, after their clients have their answer.
    time.sleep(0.05)
    cpu = server.cpu_seconds() - cpu
    n = result["connections"]
    result["cpu_us"] = cpu * 1e6 / n if n else None
    others = busy_seconds() - busy - cpu - (children_seconds() - client)
    result["others"] = max(0, others / (time.monotonic() - begin) / len(os.sched_getaffinity(0)))
    return result


def run_quiet_slice(bench, server, concurrency, seconds):
    """The quietest of a few tries, the first one if that was quiet enough."""
    tries = []
    for _ in range(1 + REPEATS):
        tries.append(run_slice(bench, server, concurrency, seconds))
        if tries[-1]["others"] <= DISTURBED:
            break
    return min(tries, key=lambda result: result["others"])


def measure(bench, servers, args):
    """{(service, server, concurrency): [result of each round]}"""
    results = {}
    order = [(server, c) for server in servers for c in args.concurrency]
    dice = random.Random(args.seed)
    for number in range(args.rounds):
        dice.shuffle(order)
        for server, c in order:
            result = run_quiet_slice(bench, server, c, args.seconds)
            results.setdefault((server.service, server.name, c), []).append(result)
        say("round %d of %d" % (number + 1, args.rounds))
    return results


def median(values):
    values = [v for v in values if v is not None]
    return statistics.median(values) if values else None


def quiet(tuples):
    """Those of the tuples of slices that nobody disturbed, where they are enough; else all."""
    undisturbed = [t for t in tuples if all(r["others"] <= DISTURBED for r in t)]
    return undisturbed if len(undisturbed) >= ENOUGH else tuples


def typical(rounds, key):
    return median([r[key] for (r,) in quiet([(r,) for r in rounds])])


def ratio(results, service, name, other, concurrency, key):
    """The median of the ratios within each round."""
    mine, theirs = results.get((service, name, concurrency)), results.get((service, other, concurrency))
    if not mine or not theirs:
        return None
    return median([a[key] / b[key] if a[key] is not None and b[key] else None
                   for a, b in quiet(list(zip(mine, theirs)))])


def cpu_concurrency(args):
    """CPU is compared at 8 at once: enough of them for a steady figure, not so many that queues are measured."""
    return min(args.concurrency, key=lambda c: abs(c - 8))


def summarize(results, names, args):
    rows = []
    for service in args.services:
        for name in names:
            if (service, name, args.concurrency[0]) not in results:
                continue
            row = {"service": service, "server": name, "at": {}}
            for c in args.concurrency:
                rounds = results[service, name, c]
                row["at"][c] = {
                    "rate": typical(rounds, "rate"),
                    "ratio_reference": ratio(results, service, name, REFERENCE, c, "rate"),
                    "ratio_xinetd": ratio(results, service, name, "xinetd", c, "rate"),
                    "cpu_us": typical(rounds, "cpu_us"),
                    "cpu_ratio_reference": ratio(results, service, name, REFERENCE, c, "cpu_us"),
                    "cpu_ratio_xinetd": ratio(results, service, name, "xinetd", c, "cpu_us"),
                    "p50_us": typical(rounds, "p50_us"),
                    "p99_us": typical(rounds, "p99_us"),
                    "connections": sum(r["connections"] for r in rounds),
                    "bad": sum(r["wrong"] + sum(r["errors"].values()) for r in rounds),
                    "errors": sorted({e for r in rounds for e in r["errors"]}),
                }
            rows.append(row)
    return rows


def judge(rows):
    """The goals that this run can decide, each with what was reached."""
    verdicts = []
    for service, what, peer, bound, direction in GOALS:
        row = next((r for r in rows if r["service"] == service and r["server"] == "mpinetd"), None)
        if not row:
            continue
        at = row["at"].get(8 if what == "cpu" else what)
        value = at and at["cpu_ratio_xinetd" if what == "cpu" else "ratio_xinetd"]
        if value is None:
            continue
        name = "CPU per connection at 8" if what == "cpu" else "connections per second at %s" % what
        verdicts.append({
            "goal": "%s: %s, of %s's" % (service, name, peer), "bound": bound, "direction": direction,
            "reached": value, "holds": value >= bound if direction == "least" else value <= bound})
    return verdicts


# --- showing --------------------------------------------------------------------------------------------------------


def number(value, digits=0):
    return "-" if value is None else "%.*f" % (digits, value)


def print_table(rows, args):
    cs = args.concurrency
    head = ["server"] + ["conn/s %d" % c for c in cs] + ["of ref %d" % c for c in cs] + ["of xin %d" % c for c in cs]
    head += ["cpu us", "of ref", "of xin"] + ["p50/p99 us at %d" % c for c in cs] + ["bad"]
    c_cpu = cpu_concurrency(args)
    for service in args.services:
        table = [head]
        for row in (r for r in rows if r["service"] == service):
            at, cpu = row["at"], row["at"][c_cpu]
            table.append(
                [row["server"]]
                + [number(at[c]["rate"]) for c in cs]
                + [number(at[c]["ratio_reference"], 2) for c in cs]
                + [number(at[c]["ratio_xinetd"], 2) for c in cs]
                + [number(cpu["cpu_us"]), number(cpu["cpu_ratio_reference"], 2), number(cpu["cpu_ratio_xinetd"], 2)]
                + ["%s/%s" % (number(at[c]["p50_us"]), number(at[c]["p99_us"])) for c in cs]
                + [str(sum(at[c]["bad"] for c in cs))])
        if len(table) == 1:
            continue
        widths = [max(len(line[i]) for line in table) for i in range(len(head))]
        print("\nservice %s (cpu at %d at once; ref is %s, and the row with ' is it against itself)"
              % (service, c_cpu, REFERENCE))
        for line in table:
            print("  ".join([line[0].ljust(widths[0])] + [f.rjust(w) for f, w in zip(line[1:], widths[1:])]))


def print_noise(results):
    slices = [r for rounds in results.values() for r in rounds]
    disturbed = sum(r["others"] > DISTURBED for r in slices)
    print("\n%d of %d slices were disturbed: others used more than %.0f %% of the machine, %.0f %% in the median."
          % (disturbed, len(slices), DISTURBED * 100, median([r["others"] for r in slices]) * 100))
    if disturbed * 4 > len(slices):
        print("These figures, connections per second above all, are of a machine that is busy otherwise.")


def print_verdicts(verdicts):
    print()
    for v in verdicts:
        print("%s %s: %.2f (at %s %.2f)" % ("holds " if v["holds"] else "MISSED", v["goal"], v["reached"],
                                            v["direction"], v["bound"]))


def machine():
    with open("/proc/cpuinfo") as f:
        models = [line.split(":", 1)[1].strip() for line in f if line.startswith("model name")]
    return {"cpu": models[0] if models else os.uname().machine, "cpus": len(os.sched_getaffinity(0)),
            "kernel": os.uname().release, "load": os.getloadavg()}


# --- the run --------------------------------------------------------------------------------------------------------


def numbers(text):
    return [int(part) for part in text.split(",")]


def words(text):
    return text.split(",")


def parse_arguments(argv):
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0], formatter_class=argparse.RawTextHelpFormatter)
    cache = os.path.join(os.environ.get("XDG_CACHE_HOME") or os.path.expanduser("~/.cache"), "mpinetd-bench")
    parser.add_argument("--build", default="build", help="folder that meson built in (default: build)")
    parser.add_argument("--mpinetd", help="the daemon to measure (default: that of the build)")
    parser.add_argument("--rounds", type=int, help="default: 8; with --quick 3")
    parser.add_argument("--seconds", type=float, help="length of a slice (default: 1; with --quick 0.4)")
    parser.add_argument("--concurrency", type=numbers, default=[1, 8, 64], help="default: 1,8,64")
    parser.add_argument("--services", type=words, help="of raw (no libc), dyn, static; default: raw,dyn; with --quick raw")
    parser.add_argument("--servers", type=words, help="only these, and the reference")
    parser.add_argument("--json", help="write all results to this file")
    parser.add_argument("--cache", default=cache, help="folder for the peers' packages\n(default: %s)" % cache)
    parser.add_argument("--seed", type=int, default=1, help="of the order within the rounds")
    parser.add_argument("--no-build", action="store_true", help="do not call ninja first")
    parser.add_argument("--quick", action="store_true", help="a short run, for a first look")
    parser.add_argument("--check", action="store_true", help="exit 1 when a goal is missed, or could not be decided")
    args = parser.parse_args(argv)
    args.rounds = args.rounds or (3 if args.quick else 8)
    args.seconds = args.seconds or (0.4 if args.quick else 1.0)
    args.services = args.services or (["raw"] if args.quick else ["raw", "dyn"])
    unknown = set(args.services) - set(SERVICES)
    if unknown:
        parser.error("no such service: %s" % ", ".join(sorted(unknown)))
    return args


def build(args):
    targets = ["bench-programs"]
    if not args.mpinetd:
        targets.append("daemon/mpinetd")
    for target in targets:
        if subprocess.run(["ninja", "-C", args.build, target], stdout=subprocess.DEVNULL).returncode != 0:
            say("ninja -C %s %s failed" % (args.build, target))


def start_servers(bench, names, args):
    servers = []
    for service in args.services:
        for name in names:
            try:
                servers.append(bench.start(name, service))
            except Unavailable as e:
                say("without %s for %s: %s" % (name, service, e))
    return servers


def main(argv):
    args = parse_arguments(argv)
    if not args.no_build:
        build(args)
    with tempfile.TemporaryDirectory(prefix="mpinetd-bench-") as folder:
        os.chmod(folder, 0o755)
        bench = Bench(args, folder)
        names = [n for n in bench.starters if not args.servers or n in args.servers or n == REFERENCE]
        servers = []
        try:
            servers = start_servers(bench, names, args)
            if not servers:
                sys.exit("bench: nothing to measure")
            results = measure(bench, servers, args)
        finally:
            for server in servers:
                server.stop()
    rows = summarize(results, names, args)
    verdicts = judge(rows)
    print_table(rows, args)
    print_noise(results)
    print_verdicts(verdicts)
    if args.json:
        with open(args.json, "w") as out:
            json.dump({"machine": machine(), "rounds": args.rounds, "seconds": args.seconds, "rows": rows,
                       "goals": verdicts, "slices": [
                           {"service": s, "server": n, "concurrency": c, "rounds": r}
                           for (s, n, c), r in results.items()]}, out, indent=1)
            out.write("\n")
    bad = sum(at["bad"] for row in rows if row["server"] == "mpinetd" for at in row["at"].values())
    if bad:
        say("mpinetd: %d connections went wrong" % bad)
        return 1
    if args.check and (len(verdicts) < len(GOALS) or not all(v["holds"] for v in verdicts)):
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
