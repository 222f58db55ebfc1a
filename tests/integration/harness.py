# SPDX-License-Identifier: MIT
"""What the integration tests share: a daemon in a folder of its own, a client for its control socket, waiting for a
condition with a deadline. Only Python's standard library.

A test says what it needs (root, a program) with the decorators at the end; what is not there is skipped. Every daemon
that a test starts is stopped when the test ends, and then looked at: exit status 0, no zombie, no descriptor more than
at its start, no word of a sanitizer, every log line whole."""
import contextlib
import errno
import functools
import json
import multiprocessing
import os
import pwd
import random
import shutil
import signal
import socket
import subprocess
import tempfile
import time
import unittest

BUILD = os.path.realpath(os.environ.get("BUILD_DIR", "build"))
SANITIZED = os.environ.get("MP_TEST_SANITIZED") == "1" or "MP_TEST_SERVICES" in os.environ
# Whether what is executed is counted (./dev coverage).
COUNTED = os.environ.get("MP_TEST_COUNTED") == "1"
SLOW = os.environ.get("MP_TEST_SLOW") == "1"
# How processes are made, and whose requests are read elsewhere (mpinetd(8)), where that is chosen for a whole run.
SPAWN = {name: value for name, value in os.environ.items()
         if name in ("MPINETD_SPAWN", "MPINETD_INTERPRETER", "GCOV_ERROR_FILE")}
ROOT = os.path.realpath(os.path.join(os.path.dirname(__file__), "..", ".."))
MPINETD = os.path.join(BUILD, "daemon", "mpinetd")
MPCTL = os.path.join(BUILD, "ctl", "mpctl")
# The services may come from another build: under ThreadSanitizer they run below an ordinary daemon.
SERVICES = os.path.realpath(os.environ.get("MP_TEST_SERVICES") or os.path.join(BUILD, "services"))
# How long a condition may take to come true: generous, for it costs nothing when all is well.
PATIENCE = 20.0 if SANITIZED else 10.0
HELPERS = ("probe", "bad-child", "trial")
SANITIZER_WORDS = ("AddressSanitizer", "LeakSanitizer", "ThreadSanitizer", "runtime error:", "UndefinedBehaviorSanitizer")


# ------------------------------------------------------------------------------------------------------------ waiting
def wait_until(condition, what="the condition", deadline=None, interval=0.01):
    """Calls condition() until it returns something true, which is returned; fails past the deadline (seconds)."""
    end = time.monotonic() + (deadline or PATIENCE)
    while True:
        result = condition()
        if result:
            return result
        if time.monotonic() > end:
            raise AssertionError(f"{what} did not come true within {deadline or PATIENCE:.0f} s")
        time.sleep(interval)


def steady(look):
    """What look() says, when it says the same twice."""
    first = look()
    time.sleep(0.02)
    return first if look() == first else None


def stays(condition, what="the condition", seconds=0.5, interval=0.02):
    """The opposite: condition() holds at every look for so long."""
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        if not condition():
            raise AssertionError(f"{what} ceased to hold")
        time.sleep(interval)


# ------------------------------------------------------------------------------------------------------------- /proc
def process_alive(pid):
    """Whether it runs: a zombie does not."""
    return process_state(pid) not in (None, "Z", "X")


def process_state(pid):
    try:
        with open(f"/proc/{pid}/stat", encoding="utf-8", errors="replace") as stat:
            return stat.read().rsplit(")", 1)[1].split()[0]
    except (FileNotFoundError, ProcessLookupError):
        return None


def wait_ignores(pid, sig=signal.SIGTERM):
    """Waits until the process ignores the signal: one that has been started has not done so yet."""
    def ignores():
        with open(f"/proc/{pid}/status", encoding="utf-8", errors="replace") as status:
            mask = next((line.split()[1] for line in status if line.startswith("SigIgn:")), "0")
        return int(mask, 16) >> (sig - 1) & 1
    wait_until(ignores, f"process {pid} to ignore {signal.Signals(sig).name}")


def children_of(pid):
    """(pid, state) of each child."""
    found = []
    for name in os.listdir("/proc"):
        if not name.isdigit():
            continue
        try:
            with open(f"/proc/{name}/stat", encoding="utf-8", errors="replace") as stat:
                fields = stat.read().rsplit(")", 1)[1].split()
        except (FileNotFoundError, ProcessLookupError):
            continue
        if int(fields[1]) == pid:
            found.append((int(name), fields[0]))
    return found


def descriptors_of(pid):
    return sorted(int(fd) for fd in os.listdir(f"/proc/{pid}/fd"))


def listening_sockets(pid):
    """{inode} of the sockets in its network that listen, or wait for datagrams."""
    found = set()
    for name in ("tcp", "tcp6", "udp", "udp6", "unix"):
        with contextlib.suppress(FileNotFoundError), open(f"/proc/{pid}/net/{name}", encoding="utf-8",
                                                          errors="replace") as table:
            for line in table:
                words = line.split()
                if name == "unix":
                    if len(words) > 6 and (words[3] == "00010000" or words[4] == "0002"):
                        found.add(f"socket:[{words[6]}]")
                elif len(words) > 9 and (name.startswith("udp") or words[3] == "0A"):
                    found.add(f"socket:[{words[9]}]")
    return found


def connections_to(path):
    """How many connections the one that listens at this path has accepted and not closed; a peer may have gone."""
    count = 0
    with open("/proc/net/unix", encoding="utf-8", errors="replace") as table:
        for line in table:
            words = line.rstrip("\n").split(maxsplit=7)
            count += len(words) > 7 and words[3] == "00000000" and words[7] == path
    return count


def lasting_descriptors_of(pid):
    """Those whose number should not change: without the listeners, which come and go with the config, without the
    timers of the event loop, which makes one for each clock when it first needs it, and without what a sandbox's first
    process brings (is_of_sandbox())."""
    targets = {}
    for fd in descriptors_of(pid):
        with contextlib.suppress(FileNotFoundError):
            targets[fd] = os.readlink(f"/proc/{pid}/fd/{fd}")
    left_out = listening_sockets(pid) | {"anon_inode:[timerfd]"}
    return [fd for fd, target in targets.items() if target not in left_out and not is_of_sandbox(target)]


def is_of_sandbox(target):
    """Whether that is what a descriptor of a service's sandbox leads to, which the daemon holds for all its processes."""
    return target.startswith(("user:[", "net:[")) or target.endswith("/mp-init")


def cpu_seconds(pid):
    with open(f"/proc/{pid}/stat", encoding="utf-8", errors="replace") as stat:
        fields = stat.read().rsplit(")", 1)[1].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def waited_seconds(pid):
    """How long it was ready to run, ever, and had to wait for a processor: what a busy machine takes from its time. None of
    that is its own slowness."""
    try:
        with open(f"/proc/{pid}/schedstat", encoding="utf-8") as stat:
            return int(stat.read().split()[1]) / 1e9
    except (FileNotFoundError, ProcessLookupError, IndexError):  # it is gone, or the kernel does not count that
        return 0.0


def resident_kib(pid):
    with open(f"/proc/{pid}/status", encoding="utf-8") as status:
        for line in status:
            if line.startswith("VmRSS:"):
                return int(line.split()[1])
    return 0


# ------------------------------------------------------------------------------------------------------------ Varlink
class VarlinkError(Exception):
    def __init__(self, name, parameters):
        super().__init__(f"{name} {parameters}")
        self.name = name
        self.parameters = parameters


class Varlink:
    """A client of the control socket: one connection."""
    INTERFACE = "dev.mpinetd.Control."

    def __init__(self, path, timeout=None):
        self.socket = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self.socket.settimeout(timeout or PATIENCE)
        try:
            self.socket.connect(path)
        except OSError:
            self.socket.close()
            raise
        self.buffer = b""

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()

    def close(self):
        self.socket.close()

    def send(self, method, parameters=None, **flags):
        if "." not in method:
            method = self.INTERFACE + method
        call = {"method": method, "parameters": parameters or {}, **flags}
        self.socket.sendall(json.dumps(call).encode() + b"\0")

    def receive(self):
        """The next reply as it is on the wire."""
        while b"\0" not in self.buffer:
            data = self.socket.recv(65536)
            if not data:
                raise ConnectionError("the daemon closed the control connection")
            self.buffer += data
        message, self.buffer = self.buffer.split(b"\0", 1)
        return json.loads(message.decode("utf-8"))

    @staticmethod
    def parameters_of(reply):
        if "error" in reply:
            raise VarlinkError(reply["error"], reply.get("parameters", {}))
        return reply["parameters"]

    def call(self, method, **parameters):
        self.send(method, parameters)
        return self.parameters_of(self.receive())

    def call_more(self, method, **parameters):
        """Every reply until one that does not continue."""
        self.send(method, parameters, more=True)
        while True:
            reply = self.receive()
            yield self.parameters_of(reply)
            if not reply.get("continues"):
                return


# ------------------------------------------------------------------------------------------------------------- daemon
_port_marks = []


def free_port():
    """A port that nobody has, at whatever address, below the range from which the kernel gives ports to clients; as long
    as this process lives, no other that asks here is given it."""
    while True:
        port = random.randint(10000, 31000)
        mark = socket.socket(socket.AF_UNIX)
        with contextlib.ExitStack() as stack:
            try:
                mark.bind(f"\0mpt-port-{port}")
                for family, kind, host in ((socket.AF_INET, socket.SOCK_STREAM, "0.0.0.0"),
                                           (socket.AF_INET, socket.SOCK_DGRAM, "0.0.0.0"),
                                           (socket.AF_INET6, socket.SOCK_STREAM, "::"),
                                           (socket.AF_INET6, socket.SOCK_DGRAM, "::")):
                    s = stack.enter_context(socket.socket(family, kind))
                    if family == socket.AF_INET6:
                        s.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
                    s.bind((host, port))
            except OSError as error:
                if error.errno not in (errno.EADDRNOTAVAIL, errno.EAFNOSUPPORT):  # no IPv6 here
                    mark.close()
                    continue
            _port_marks.append(mark)
            return port


def sanitizer_environment():
    """Sanitizers talk to stderr, which is the log; their exit status is one that nothing else has."""
    return {"ASAN_OPTIONS": "exitcode=66:detect_stack_use_after_return=1:" + os.environ.get("ASAN_OPTIONS", ""),
            "UBSAN_OPTIONS": "print_stacktrace=1:halt_on_error=1:exitcode=66"}


def is_at_rest(service):
    """Whether it is known of each connection that was accepted what has become of it."""
    if service["model"] != "per-connection":
        return True
    return service["accepted"] <= sum((service["spawned"], service["spawn_failed"], service["gone"], *service["refused"].values()))


class Daemon:
    """mpinetd with a config, in a folder of its own under /tmp.

    config is a dict, written out as JSON, which is YAML, with `version` and, unless it says otherwise, `user: self` for
    all services; or the text of a YAML file. In both {dir} stands for the daemon's folder, and {probe} and {bad-child}
    for the helpers."""

    def __init__(self, config, options=(), environment=None, wrap=(), pass_fds=(), folder=None, wait=True, program=MPINETD):
        self.dir = folder or tempfile.mkdtemp(prefix="mpt-", dir="/tmp")
        self.own_folder = folder is None
        os.chmod(self.dir, 0o755)
        self.config_path = os.path.join(self.dir, "mpinetd.yaml")
        self.socket = os.path.join(self.dir, "control.sock")
        self.log_path = os.path.join(self.dir, "log.json")
        self.process = None
        self.baseline = None
        self.options = list(options)
        self.environment = environment or {}
        self.wrap = list(wrap)
        self.pass_fds = pass_fds
        self.program = program
        self.ports = {}
        self.write_config(config)
        if wait is not None:
            self.start(wait)

    # ---- its files
    def path(self, name):
        return os.path.join(self.dir, name)

    def write_config(self, config):
        if isinstance(config, dict):
            config = {"version": 1, **config}
            if "user" not in config.get("defaults", {}):
                config["defaults"] = {"user": "self", **config.get("defaults", {})}
            text = json.dumps(config, indent=1)
        else:
            text = config
        for name in HELPERS:
            if "{" + name + "}" in text:
                text = text.replace("{" + name + "}", self.helper(name))
        with open(self.config_path, "w", encoding="utf-8") as file:
            file.write(text.replace("{dir}", self.dir))

    def helper(self, name):
        """The path of a test helper, in a folder that every user can look into."""
        target = self.path(name)
        if not os.path.exists(target):
            shutil.copy(os.path.join(BUILD, "tests", "helpers", name), target)
            os.chmod(target, 0o755)
        return target

    # ---- start and stop: wait=False returns before it is ready, wait=None does not start it
    def start(self, wait=True):
        environment = {"PATH": os.environ["PATH"], "MPINETD_LIBEXECDIR": SERVICES, "LANG": "C.UTF-8",
                       **sanitizer_environment(), **SPAWN, **self.environment}
        if "LISTEN_FDS" in environment:
            environment.setdefault("LISTEN_PID", "0")
        log = os.open(self.log_path, os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o644)
        command = [*self.wrap, self.program, "-c", self.config_path, "-s", self.socket, "--log-format", "json",
                   "--log-target", "stderr", *self.options]
        self.process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=log, stderr=log,
                                        env=environment, pass_fds=self.pass_fds, cwd="/")
        os.close(log)
        if wait:
            try:
                self.wait_ready()
            except AssertionError:
                self.kill()
                raise
        return self

    @property
    def pid(self):
        return self.process.pid

    def wait_ready(self):
        def ready():
            if self.process.poll() is not None:
                raise AssertionError(f"the daemon ended with {self.process.returncode}:\n{self.log_text()[-4000:]}")
            try:
                with self.connect() as control:
                    return control.call("Ping")
            except (FileNotFoundError, ConnectionRefusedError, ConnectionError):
                return None
        try:
            wait_until(ready, "the daemon's control socket")
        except AssertionError as error:
            raise AssertionError(f"{error}\n{self.log_text()[-4000:]}") from None
        self.baseline = self.quiet_descriptors()

    def quiet_descriptors(self):
        """Its descriptors when no control connection of ours is open any more."""
        before = None
        for _ in range(100):
            now = lasting_descriptors_of(self.pid)
            if now == before:
                break
            before = now
            time.sleep(0.02)
        return now

    def kill(self):
        if self.process and self.process.poll() is None:
            self.process.kill()
            self.process.wait()

    def stop(self, sig=signal.SIGTERM, status=0, check=True):
        """Ends it by the signal and looks at what it leaves. A second call does nothing."""
        if self.process is None:
            return
        process, self.process = self.process, None
        problems = []
        if process.poll() is None and check:
            problems += self._look(process.pid)
        if process.poll() is None:
            process.send_signal(sig)
        try:
            got = process.wait(PATIENCE + 15)
        except subprocess.TimeoutExpired:
            problems.append("it did not end")
            process.kill()
            got = process.wait()
        if check and got != status:
            problems.append(f"exit status {got}, not {status}")
        problems += self.log_problems()
        if problems:
            raise AssertionError("the daemon: " + "; ".join(problems) + "\n" + self.log_text()[-3000:])

    def _look(self, pid):
        problems = []
        def zombies():
            return {child for child, state in children_of(pid) if state == "Z"}
        # One that has ended only just now is none yet.
        left = zombies()
        if left:
            with contextlib.suppress(AssertionError):
                wait_until(lambda: not left & zombies(), deadline=2)
            if left & zombies():
                problems.append(f"{len(left & zombies())} zombies")
        if self.baseline and not children_of(pid):
            # A service that is started again and again has more for a moment: once at the baseline is enough.
            try:
                wait_until(lambda: len(lasting_descriptors_of(pid)) <= len(self.baseline), deadline=3)
            except AssertionError:
                more = {}
                for fd in set(lasting_descriptors_of(pid)) - set(self.baseline):
                    with contextlib.suppress(FileNotFoundError):
                        more[fd] = os.readlink(f"/proc/{pid}/fd/{fd}")
                problems.append(f"more than the {len(self.baseline)} descriptors that it began with: {more}")
        return problems

    def log_problems(self):
        text = self.log_text()
        problems = [f"a sanitizer spoke ({word})" for word in SANITIZER_WORDS if word in text]
        for line in text.splitlines():
            if line.startswith("{"):
                try:
                    json.loads(line)
                except ValueError:
                    problems.append(f"a log line that is no JSON: {line[:200]!r}")
                    break
        return problems

    def remove(self):
        if self.own_folder:
            shutil.rmtree(self.dir, ignore_errors=True)

    # ---- its log
    def log_text(self):
        try:
            with open(self.log_path, encoding="utf-8", errors="replace") as log:
                return log.read()
        except FileNotFoundError:
            return ""

    def log(self, **wanted):
        """The log lines, as dicts, whose fields are as wanted."""
        found = []
        for line in self.log_text().splitlines():
            if line.startswith("{"):
                with contextlib.suppress(ValueError):
                    entry = json.loads(line)
                    if all(entry.get(key) == value for key, value in wanted.items()):
                        found.append(entry)
        return found

    def wait_log(self, **wanted):
        return wait_until(lambda: self.log(**wanted), f"a log line with {wanted}")

    # ---- its control socket
    def connect(self, timeout=None):
        return Varlink(self.socket, timeout)

    def call(self, method, **parameters):
        with self.connect() as control:
            return control.call(method, **parameters)

    def status(self):
        return self.call("Status")

    def service(self, name):
        found = [s for s in self.status()["services"] if s["name"] == name]
        if not found:
            raise AssertionError(f"no service {name}")
        return found[0]

    def wait_service(self, name, **wanted):
        """Waits until the service's fields are as wanted, and returns it. With none active, until no process is on its
        way to its program either."""
        last = {}

        def there():
            last.update(self.service(name))
            return all(last.get(key) == value for key, value in wanted.items()) and (wanted.get("active") != 0 or is_at_rest(last))
        try:
            wait_until(there, f"{name} with {wanted}", interval=0.03)
        except AssertionError as error:
            raise AssertionError(f"{error}; it is {last}") from None
        return last

    def wait_idle(self, name):
        return self.wait_service(name, active=0)

    def instances(self, name=None):
        with self.connect() as control:
            found = []
            for part in control.call_more("Instances", **({"service": name} if name else {})):
                found += part["instances"]
            return found

    def mpctl(self, *arguments, check=None, **options):
        """Runs mpctl against this daemon. With check, that must be its exit status."""
        run = subprocess.run([MPCTL, "-s", self.socket, *arguments], stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                             stderr=subprocess.PIPE, text=True, timeout=60, check=False,
                             env={"PATH": os.environ["PATH"], "LANG": "C.UTF-8", **sanitizer_environment()}, **options)
        if check is not None and run.returncode != check:
            raise AssertionError(f"mpctl {' '.join(arguments)}: exit status {run.returncode}, not {check}\n"
                                 f"{run.stdout}{run.stderr}")
        if any(word in run.stderr for word in SANITIZER_WORDS):
            raise AssertionError(f"mpctl {' '.join(arguments)}: {run.stderr}")
        return run

    # ---- its services
    def listener(self, name, kind=None, address=None):
        for listener in self.service(name)["listeners"]:
            if kind in (None, listener["type"]) and address in (None, listener["address"]):
                return listener
        raise AssertionError(f"{name} has no such listener: {self.service(name)['listeners']}")

    def port(self, name, kind=None, address=None):
        return self.listener(name, kind, address)["port"]

    def dial(self, name, timeout=None):
        """A connection to the first listener of the service."""
        listener = self.listener(name)
        timeout = timeout or PATIENCE
        if listener["type"] == "tcp":
            host = listener["address"]
            return socket.create_connection(({"0.0.0.0": "127.0.0.1", "::": "::1"}.get(host, host), listener["port"]),
                                            timeout)
        if listener["type"] == "udp":
            s = socket.socket(socket.AF_INET6 if ":" in listener["address"] else socket.AF_INET, socket.SOCK_DGRAM)
            s.settimeout(timeout)
            s.connect((listener["address"], listener["port"]))
            return s
        kinds = {"unix": socket.SOCK_STREAM, "unix-dgram": socket.SOCK_DGRAM, "unix-seqpacket": socket.SOCK_SEQPACKET}
        s = socket.socket(socket.AF_UNIX, kinds[listener["type"]])
        s.settimeout(timeout)
        path = listener["path"]
        s.connect("\0" + path[1:] if path.startswith("@") else path)
        return s

    def dial_fast(self, name="s"):
        """The same for loops over a tcp service: its port is asked for once."""
        if name not in self.ports:
            self.ports[name] = self.port(name)
        return socket.create_connection(("127.0.0.1", self.ports[name]), PATIENCE)

    def ask(self, name, data=b"", timeout=None):
        """Connects, sends, half-closes, and returns all that comes back."""
        with self.dial(name, timeout) as s:
            return exchange(s, data)

    def probe(self, name):
        """What the probe child of a service says of itself."""
        return parse_probe(self.ask(name))


def exchange(s, data):
    """Sends, half-closes, and returns all that comes back. The other side may have ended before."""
    with contextlib.suppress(OSError):
        s.sendall(data)
        s.shutdown(socket.SHUT_WR)
    return read_all(s)


def read_all(s):
    parts = []
    while True:
        try:
            data = s.recv(65536)
        except ConnectionResetError:
            break
        if not data:
            break
        parts.append(data)
    return b"".join(parts)


def parse_probe(data):
    """One dict of the lines that the probe wrote; `env` has its environment as a dict, `by_fd` its descriptors."""
    result = {}
    for line in data.decode("utf-8").splitlines():
        result.update(json.loads(line))
    if "environ" not in result:
        raise AssertionError(f"this is no probe: {data[:500]!r}")
    result["env"] = dict(item.split("=", 1) for item in result["environ"])
    result["by_fd"] = {item["fd"]: item for item in result["fds"]}
    return result


# -------------------------------------------------------------------------------------------------------------- tests
class DaemonTest(unittest.TestCase):
    """A test case whose daemons are stopped, and looked at, when the test ends."""

    def daemon(self, config, **options):
        daemon = Daemon(config, **options)
        # Run in reverse: stopped, then removed.
        self.addCleanup(daemon.remove)
        self.addCleanup(daemon.stop)
        return daemon

    def temporary_folder(self):
        folder = tempfile.mkdtemp(prefix="mpt-", dir="/tmp")
        self.addCleanup(shutil.rmtree, folder, ignore_errors=True)
        os.chmod(folder, 0o755)
        return folder


def need_root(thing):
    return unittest.skipUnless(os.geteuid() == 0, "needs root")(thing)


def need_program(*names):
    """Skips when one of the programs is not installed."""
    path = os.environ["PATH"] + ":/usr/sbin:/sbin"
    missing = [name for name in names if not shutil.which(name, path=path)]
    return unittest.skipIf(missing, f"needs {', '.join(missing)}")


def need_ipv6(thing):
    return unittest.skipUnless(has_ipv6(), "needs IPv6 on loopback")(thing)


@functools.cache
def has_ipv6():
    try:
        with socket.socket(socket.AF_INET6, socket.SOCK_STREAM) as s:
            s.bind(("::1", 0))
        return True
    except OSError:
        return False


def _as_user(uid, gid, groups, function, arguments, out):
    try:
        os.setgroups(groups)
        os.setresgid(gid, gid, gid)
        os.setresuid(uid, uid, uid)
        out.send((True, function(*arguments)))
    except BaseException as error:  # pylint: disable=broad-except
        out.send((False, repr(error)))


class User:
    """Somebody else, as whom functions are run, each in a process of its own: needs root."""

    def __init__(self, uid, gid=None, groups=()):
        self.uid, self.gid, self.groups = uid, uid if gid is None else gid, list(groups)

    def __repr__(self):
        return f"uid {self.uid} gid {self.gid} groups {self.groups}"

    def start(self, function, *arguments):
        """(process, pipe): the pipe gives (True, result) or (False, text of what was raised)."""
        context = multiprocessing.get_context("fork")
        pipe, other = context.Pipe(duplex=False)
        process = context.Process(target=_as_user, daemon=True,
                                  args=(self.uid, self.gid, self.groups, function, arguments, other))
        process.start()
        other.close()
        return process, pipe

    def run(self, function, *arguments, timeout=60):
        process, pipe = self.start(function, *arguments)
        with pipe:
            if not pipe.poll(timeout):
                process.kill()
                raise AssertionError(f"{self}: {function.__name__} did not end")
            done, result = pipe.recv()
        process.join(PATIENCE)
        if not done:
            raise AssertionError(f"{self}: {function.__name__}: {result}")
        return result


def program(name):
    return shutil.which(name, path=os.environ["PATH"] + ":/usr/sbin:/sbin")


def user_of(name):
    """(uid, gid) of a user of the system."""
    entry = pwd.getpwnam(name)
    return entry.pw_uid, entry.pw_gid
