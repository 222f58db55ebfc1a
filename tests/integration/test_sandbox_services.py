# SPDX-License-Identifier: MIT
"""What is shipped, in each of the presets of `sandbox`, answers as it does without; and each model has what it says."""
import contextlib
import itertools
import os
import re
import socket
import struct
import subprocess
import time
import unittest

from harness import BUILD, ROOT, SANITIZED, Daemon, exchange, free_port, has_ipv6, need_root, wait_until
from sandbox import SandboxTest, descendants_of, has_user_namespaces, landlock_abi

PRESETS = ("none", "basic", "strict")
DAYTIME = re.compile(rb"(Sun|Mon|Tue|Wed|Thu|Fri|Sat) [A-Z][a-z][a-z] [ \d]\d \d\d:\d\d:\d\d \d{4}\r\n\Z")
SECONDS_1900 = 2208988800


def chargen(n, line=0):
    """So many bytes of RFC 864's pattern."""
    ring, out = bytes(range(0x20, 0x7F)), b""
    while len(out) < n:
        out += bytes(ring[(line + i) % 95] for i in range(72)) + b"\r\n"
        line += 1
    return out[:n]


class Presets(SandboxTest):
    """Each of those that are shipped, by each kind of socket that it takes."""
    PROGRAMS = ("mp-init", "mp-echo", "mp-discard", "mp-daytime", "mp-time", "mp-chargen", "mp-forward", "mp-mqcat")

    def check_stream(self, d, name):
        self.assertEqual(d.ask(f"echo{name}", b"hello" * 1000), b"hello" * 1000)
        self.assertEqual(d.ask(f"discard{name}", b"hello"), b"")
        self.assertRegex(d.ask(f"daytime{name}"), DAYTIME)
        self.check_time(d.ask(f"time{name}"))
        with d.dial(f"chargen{name}") as s:
            self.assertEqual(s.recv(1000, socket.MSG_WAITALL), chargen(1000))
        for kind in ("echo", "discard", "daytime", "time"):
            service = d.wait_idle(kind + name)
            self.assertEqual((service["exited"]["ok"], service["spawn_failed"], service["last_error"]), (1, 0, None), service)

    def check_time(self, got):
        self.assertLess(abs(struct.unpack("!I", got)[0] - SECONDS_1900 - time.time()), 60)

    def check_datagrams(self, d):
        def ask(name, data=b"hello"):
            with d.dial(name + "-udp") as s:
                s.send(data)
                return s.recv(2000)
        self.assertEqual(ask("echo"), b"hello")
        self.assertRegex(ask("daytime"), DAYTIME)
        self.check_time(ask("time"))
        got = ask("chargen")
        self.assertEqual(got, chargen(len(got)))
        with d.dial("discard-udp") as s:
            s.send(b"hello")
            wait_until(lambda: d.service("discard-udp")["spawned"] == 1, "it to be started")
        for name in ("echo", "discard", "daytime", "time", "chargen"):
            self.assertIsNone(d.service(name + "-udp")["last_error"])

    def test_small_services(self):
        kinds = ("echo", "discard", "daytime", "time", "chargen")
        for preset in PRESETS:
            services = {}
            for kind in kinds:
                common = {"exec": [f"mp-{kind}"], "sandbox": {"preset": preset}}
                services[kind] = common
                services[f"{kind}-unix"] = {**common, "listen": f"unix:{{dir}}/{kind}.sock"}
                services[f"{kind}-spare"] = {**common, "prespawn": 1}
                services[f"{kind}-pool"] = {**common, "model": "pool", "pool": {"min": 1, "max": 2}}
                services[f"{kind}-udp"] = {**common, "listen": "udp:127.0.0.1:0"}
            with self.subTest(preset=preset):
                d = self.begin(services)
                for name in ("", "-unix", "-spare"):
                    self.check_stream(d, name)
                self.assertEqual(d.ask("echo-pool", b"hello"), b"hello")
                self.assertRegex(d.ask("daytime-pool"), DAYTIME)
                self.check_time(d.ask("time-pool"))
                self.check_datagrams(d)

    def test_queue(self):
        """Under a preset the machine's queues are out of reach by their names; the one that it is handed is not."""
        mqcat = os.path.join(BUILD, "services", "mp-mqcat")
        for preset in PRESETS:
            name = f"/mpt-box-{os.getpid()}-{preset}-{self.AS_ROOT}"
            with self.subTest(preset=preset):
                self.addCleanup(subprocess.run, [mqcat, "remove", name], check=False, capture_output=True)
                d = self.begin({"q": {"listen": [{"endpoint": f"mqueue:{name}", "mode": "0666"}], "sandbox": {"preset": preset},
                                      "exec": ["mp-mqcat", "work", "--idle=1s", "--", "/bin/sh", "-c", "echo job $$(cat)"]}})
                subprocess.run([mqcat, "send", name, "one", "two"], check=True)
                for word in ("one", "two"):
                    wait_until(lambda word=word, d=d: f"job {word}" in d.log_text(), f"job {word}")
                self.assertEqual((d.service("q")["spawn_failed"], d.service("q")["last_error"]), (0, None))

    def test_a_client_in_a_sandbox(self):
        """mp-forward as a program like others: basic lets it out to the network, strict does not."""
        with socket.create_server(("127.0.0.1", 0)) as server:
            port = server.getsockname()[1]
            d = self.begin({p: {"exec": ["mp-forward", f"tcp:127.0.0.1:{port}"], "sandbox": {"preset": p}} for p in PRESETS})
            for preset in ("none", "basic"):
                with d.dial(preset) as s:
                    inner, _ = server.accept()
                    with inner:
                        s.sendall(b"out")
                        self.assertEqual(inner.recv(10), b"out")
            self.assertEqual(d.ask("strict", b"out"), b"")
            self.assertEqual(d.wait_idle("strict")["exited"]["failed"], 1)

    # ---- the config that ./dev run starts
    def demo(self, preset, host_network=False):
        with open(f"{ROOT}/conf/demo.yaml", encoding="utf-8") as file:
            text = file.read()
        self.backend = free_port()
        text = text.replace("127.0.0.1:7081", f"127.0.0.1:{self.backend}").replace('"7081"', f'"{self.backend}"')
        text = re.sub(r"(127\.0\.0\.1|\[::1\]):70\d\d\b", r"\1:0", text)
        if not has_ipv6():
            text = re.sub(r"\n *- tcp:\[::1\]:0", "", text)
        more = "\n  environment: {ASAN_OPTIONS: detect_leaks=0}" if SANITIZED else ""
        text = text.replace("\ndefaults:", f"\ndefaults:\n  sandbox: {{preset: {preset}}}{more}", 1)
        if host_network:
            text = text.replace("    model: forward\n", "    model: forward\n    sandbox: {network: host}\n")
        return text

    def use_demo(self, d):
        for name in ("echo", "pool", "cat"):
            self.assertEqual(d.ask(name, b"hello"), b"hello", name)
        self.assertEqual(d.ask("discard", b"hello"), b"")
        self.assertRegex(d.ask("daytime"), DAYTIME)
        self.check_time(d.ask("time"))
        with d.dial("chargen") as s:
            self.assertEqual(s.recv(1000, socket.MSG_WAITALL), chargen(1000))
        self.check_datagrams(d)
        self.assertTrue(d.ask("mux", b"cat\r\nmeow").startswith(b"+Go"))
        with open(d.path("mpinetd-demo.fifo"), "w", encoding="utf-8") as fifo:
            fifo.write("into the fifo\n")
        wait_until(lambda: "into the fifo" in d.log_text(), "what was written to the fifo")
        self.assertIn(b"200 OK", d.ask("forward", b"GET / HTTP/1.0\r\n\r\n", timeout=60).splitlines()[0])
        with socket.socket(socket.AF_UNIX) as s:
            s.connect(d.path("mpinetd-demo.sock"))
            self.assertEqual(exchange(s, b"by the path"), b"by the path")
        failed = {s["name"]: s["last_error"] for s in d.status()["services"] if s["spawn_failed"] or s["last_error"]}
        self.assertEqual(failed, {})

    def test_demo(self):
        for preset in PRESETS:
            with self.subTest(preset=preset):
                folder = self.lasting_folder()
                d = self.daemon(self.demo(preset, preset == "strict"), folder=folder, wrap=self.wrap(),
                                program=f"{folder}/mpinetd",
                                environment={"MPINETD_LIBEXECDIR": folder, "MP_DEMO_DIR": folder})
                self.use_demo(d)

    def test_conflicts_of_demo(self):
        """What a preset forbids is told when the config is loaded, at its line."""
        folder = self.lasting_folder()
        d = Daemon(self.demo("strict"), folder=folder, wait=None)
        run = subprocess.run([os.path.join(folder, "mpinetd"), "-t", "-c", d.config_path], stdout=subprocess.PIPE,
                             stderr=subprocess.STDOUT, text=True, check=False,
                             env={"PATH": os.environ["PATH"], "MPINETD_LIBEXECDIR": folder, "MP_DEMO_DIR": folder})
        self.assertEqual(run.returncode, 1, run.stdout)
        self.assertRegex(run.stdout, r"mpinetd.yaml:\d+:\d+: error: service 'forward': with network: none the backend "
                                     r"cannot be reached where 'to' says")
        self.assertIn("let it listen on unix:/path, or write network: host", run.stdout)

    def test_conflict_of_sd_notify(self):
        d = self.begin({"e": {"exec": ["mp-echo"]}})
        d.write_config({"services": {"e": {"listen": "udp:127.0.0.1:0", "exec": ["mp-echo"], "notify": "sd_notify",
                                           "sandbox": {"preset": "strict"}}}})
        check = d.call("CheckConfig")
        said = [x["message"] for x in check["diagnostics"] if x["code"] == "conflict"]
        self.assertEqual((check["ok"], len(said)), (False, 1), check)
        self.assertIn("with network: none the socket of notify: sd_notify cannot be reached", said[0])


# A server of its own: says what it is and whether it may write, and then what it is told.
BACKEND = r"""
import os, socket, sys
def may_write(path):
    try:
        open(path, "w").close()
        return "yes"
    except OSError as error:
        return error.strerror.replace(" ", "_")
try:
    os.unlink(sys.argv[1])
except FileNotFoundError:
    pass
server = socket.socket(socket.AF_UNIX)
server.bind(sys.argv[1])
os.chmod(sys.argv[1], 0o666)
server.listen()
while True:
    s, _ = server.accept()
    s.sendall(f"{may_write(os.path.dirname(sys.argv[1]) + '/mark')} {may_write('/etc/mpt-mark')} "
              f"{os.path.exists('/tmp/mpt-none')} {len(os.listdir('/tmp'))}\n".encode())
    while data := s.recv(100):
        s.sendall(data)
    s.close()
"""


class Models(SandboxTest):
    # ---- forward
    def backend(self, preset, **more):
        folder = self.folder_for_all()
        self.give(folder)
        write = {"read_write": [folder]} if preset == "strict" else {}
        script = f"{folder}/backend.py"
        with open(script, "w", encoding="utf-8") as file:
            file.write(BACKEND)
        return folder, {"model": "forward", "to": f"unix:{folder}/sock", "exec": ["python3", script, f"{folder}/sock"],
                        "sandbox": {"preset": preset, **write}, **more}

    def test_backend_of_forward(self):
        for preset in ("basic", "strict"):
            with self.subTest(preset=preset):
                folder, service = self.backend(preset, timeouts={"idle": "300ms"})
                d = self.begin({"f": service})
                for _ in range(2):
                    line, rest = d.ask("f", b"hello").split(b"\n", 1)
                    self.assertEqual(rest, b"hello")
                    mine, etc, _, n = line.decode().split()
                    self.assertEqual((mine, n), ("yes", "0"))
                    self.assertIn(etc, ("Read-only_file_system", "Permission_denied"))
                    self.assertTrue(os.path.exists(folder + "/mark"))
                    # It has gone, with all that was around it, and is started again.
                    wait_until(lambda: not descendants_of(d.pid), "the backend to be ended", deadline=30)
                self.assertEqual(d.service("f")["spawn_failed"], 0)
                self.assertIsNone(d.service("f")["last_error"])

    def test_what_passes_on_is_not_in_it(self):
        """mp-forward reaches the backend's socket, which its own sandbox would not show it."""
        folder, service = self.backend("strict")
        d = self.begin({"f": service})
        with d.dial("f") as s:
            s.sendall(b"x")
            self.assertTrue(s.recv(1))
            seen = {name: mounts for name, mounts in self.namespaces(d.pid, "mnt")}
        self.assertEqual(seen["mp-forward"], os.readlink(f"/proc/{d.pid}/ns/mnt"))
        self.assertNotIn(seen["mp-forward"], [mounts for name, mounts in seen.items() if name.startswith("python")])

    def test_backend_that_cannot_be_confined(self):
        folder, service = self.backend("basic")
        service["sandbox"]["read_only"] = ["/no/such"]
        d = self.begin({"f": {**service, "timeouts": {"start": "2s"}}})
        self.assertEqual(d.ask("f", b"hello", timeout=60), b"")
        self.assertEqual(d.service("f")["last_error"]["step"], "namespaces")
        self.assertIn("read_only /no/such", d.service("f")["last_error"]["message"])
        self.assertFalse(os.path.exists(folder + "/sock"))

    def namespaces(self, pid, kind):
        """(program, namespace) of what comes from the process."""
        for child in descendants_of(pid):
            with contextlib.suppress(OSError):
                with open(f"/proc/{child}/comm", encoding="utf-8") as name:
                    yield name.read().strip(), os.readlink(f"/proc/{child}/ns/{kind}")

    # ---- each key under each model
    KEYS = {
        "tmp": ({"private_tmp": True}, "mnt"), "ro": ({"read_only": ["/"]}, "mnt"), "hide": ({"hidden": ["/home"]}, "mnt"),
        "dev": ({"devices": "minimal"}, "mnt"), "net": ({"network": "none"}, "net"), "ipc": ({"private_ipc": True}, "ipc"),
        "users": ({"private_users": True}, "user"), "pids": ({"private_pids": True}, "pid"),
        "calls": ({"seccomp": ["@service"]}, "Seccomp"), "caps": ({"capabilities": []}, "CapBnd"),
        "files": ({"landlock": {"read": ["/"]}}, None), "basic": ({"preset": "basic"}, "mnt"),
        "strict": ({"preset": "strict"}, "pid"),
    }
    SHAPES = {
        "now": {}, "spare": {"prespawn": 2}, "fds": {"pass": "listen_fds"}, "demand": {"model": "on-demand"},
        "pool": {"model": "pool", "pool": {"min": 1, "max": 2}},
        "passed": {"model": "pool", "pool": {"min": 1, "max": 2, "handoff": "connection"}},
    }

    def test_keys_and_shapes(self):
        keys = {name: key for name, key in self.KEYS.items() if name != "files" or landlock_abi()}
        services = {f"{key}-{shape}": {"exec": ["mp-echo"], "sandbox": keys[key][0], **self.SHAPES[shape]}
                    for key, shape in itertools.product(keys, self.SHAPES)}
        d = self.begin(services)
        for name in services:
            key, shape = name.split("-")
            with self.subTest(key=key, shape=shape), d.dial(name) as s:
                s.sendall(b"hello")
                self.assertEqual(s.recv(10), b"hello", d.log_text()[-1000:])
                self.check_confined(d, name, keys[key][1])
        for name in services:
            service = d.service(name)
            self.assertEqual((service["spawn_failed"], service["last_error"]), (0, None), name)

    def check_confined(self, d, name, how):
        """The process that serves is in what its config says."""
        instance = next(i for i in d.instances(name) if i["state"] != "idle" or not i["peer"])
        pid = next((p for p in [instance["pid"], *descendants_of(instance["pid"])] if self.is_echo(p)), None)
        self.assertIsNotNone(pid, f"no mp-echo at {instance}")
        try:
            if how in ("mnt", "net", "ipc", "user", "pid"):
                self.assertNotEqual(os.readlink(f"/proc/{pid}/ns/{how}"), os.readlink(f"/proc/{d.pid}/ns/{how}"))
            elif how:
                with open(f"/proc/{pid}/status", encoding="utf-8") as status:
                    fields = dict(line.rstrip("\n").split(":\t", 1) for line in status if ":\t" in line)
                wanted = {"Seccomp": 2, "CapBnd": 0 if self.AS_ROOT else int(fields["CapBnd"], 16)}[how]
                self.assertEqual(int(fields[how], 16), wanted)
                self.assertEqual(fields["NoNewPrivs"], "1")
        except PermissionError:
            pass  # of one that nobody but root may look into

    def is_echo(self, pid):
        with contextlib.suppress(OSError), open(f"/proc/{pid}/comm", encoding="utf-8") as name:
            return name.read().strip() == "mp-echo"
        return False


@need_root
class RootPresets(Presets):
    pass


@need_root
class RootModels(Models):
    pass


@unittest.skipUnless(has_user_namespaces(), "no user namespaces for ordinary users here")
class OrdinaryPresets(Presets):
    AS_ROOT = False


@unittest.skipUnless(has_user_namespaces(), "no user namespaces for ordinary users here")
class OrdinaryModels(Models):
    AS_ROOT = False


# The classes that these are made of are no tests themselves.
del Presets, Models

if __name__ == "__main__":
    unittest.main()
