# SPDX-License-Identifier: MIT
"""The control socket and mpctl: every method, who may call what, clients that misbehave, exit statuses."""
import contextlib
import json
import os
import random
import socket
import stat
import struct
import subprocess
import time
import unittest

from harness import (MPCTL, PATIENCE, SERVICES, DaemonTest, Varlink, VarlinkError, need_root,
                     sanitizer_environment, user_of, wait_until)

CONTROL = "dev.mpinetd.Control."


class ControlTest(DaemonTest):
    def setUp(self):
        self.d = self.daemon({"services": {
            "echo": {"listen": "tcp:127.0.0.1:0", "exec": ["mp-echo"], "description": "TCP echo",
                     "environment": {"SECRET": "hunter2"}},
            "off": {"listen": "tcp:127.0.0.1:0", "exec": ["mp-echo"], "enabled": False},
            "udp": {"listen": "udp:127.0.0.1:0", "exec": ["mp-echo"]}}})


class Methods(ControlTest):
    def error(self, method, **parameters):
        with self.assertRaises(VarlinkError) as caught:
            self.d.call(method, **parameters)
        return caught.exception

    def test_info_and_introspection(self):
        info = self.d.call("org.varlink.service.GetInfo")
        self.assertEqual(info["product"], "mpinetd")
        self.assertLessEqual({"org.varlink.service", "dev.mpinetd.Control"}, set(info["interfaces"]))
        for interface in info["interfaces"]:
            text = self.d.call("org.varlink.service.GetInterfaceDescription", interface=interface)["description"]
            self.assertIn(f"interface {interface}", text)
        self.assertIn("method Ping(", text if "Ping" in text else self.d.call(
            "org.varlink.service.GetInterfaceDescription", interface="dev.mpinetd.Control")["description"])
        self.assertEqual(self.error("org.varlink.service.GetInterfaceDescription", interface="no.such").name,
                         "org.varlink.service.InterfaceNotFound")

    def test_status_shape(self):
        s = self.d.status()
        self.assertEqual(s["api"], 1)
        self.assertEqual((s["daemon"]["pid"], s["daemon"]["state"], s["daemon"]["generation"]), (self.d.pid, "running", 1))
        self.assertEqual([x["name"] for x in s["services"]], ["echo", "off", "udp"])
        self.assertEqual([x["state"] for x in s["services"]], ["listening", "disabled", "listening"])
        self.assertEqual([x["model"] for x in s["services"]], ["per-connection", "per-connection", "on-demand"])
        keys = {"name", "model", "state", "since_usec", "listen", "listeners", "active", "queued", "workers",
                "instances_limit", "accepted", "refused", "gone", "spawned", "spawn_failed", "exited", "restarts",
                "requests", "work_queued", "report_errors", "status", "last_error", "accept_rate", "latency", "duration",
                "order", "waiting"}
        for service in s["services"]:
            self.assertEqual(set(service), keys)
            self.assertEqual(set(service["refused"]), {"access", "hours", "load", "rate", "instances", "rate_per_source",
                                                       "per_source", "banned", "proxy"})
            self.assertEqual(set(service["exited"]), {"ok", "failed", "signaled", "timeout", "unknown"})
        listener = s["services"][0]["listeners"][0]
        self.assertEqual(set(listener), {"endpoint", "type", "address", "port", "path", "adopted", "queued", "backlog",
                                         "error"})
        self.assertEqual(set(s["daemon"]), {"pid", "version", "state", "uptime_usec", "generation", "config",
                                            "last_reload", "children", "fds"})

    def test_status_of_named(self):
        names = [x["name"] for x in self.d.call("Status", services=["udp"])["services"]]
        self.assertEqual(names, ["udp"])
        self.assertEqual(self.error("Status", services=["nope"]).name, CONTROL + "NoSuchService")

    def test_describe(self):
        text = json.dumps(self.d.call("Describe", service="echo"))
        self.assertIn("TCP echo", text)
        self.assertNotIn("hunter2", text)
        self.assertEqual(self.error("Describe", service="nope").name, CONTROL + "NoSuchService")

    def test_instances_and_events(self):
        with self.d.dial("echo") as s:
            s.sendall(b"x")
            s.recv(1)
            found = self.d.instances("echo")
            self.assertEqual(len(found), 1)
            self.assertEqual(set(found[0]), {"service", "instance", "pid", "peer", "state", "since_usec", "cpu_usec",
                                             "memory", "generation", "status", "requests", "active"})
            self.assertEqual(found[0]["peer"], "127.0.0.1:%d" % s.getsockname()[1])
        self.d.wait_idle("echo")
        events = self.d.call("Events", service="echo", last=50)["events"]
        self.assertEqual([e["event"] for e in events if e["event"] in ("started", "ended")], ["started", "ended"])
        self.assertEqual(set(events[-1]), {"time_usec", "level", "event", "service", "instance", "pid", "peer", "reason",
                                           "step", "errno", "error", "exit_code", "signal", "duration_usec", "message"})

    def test_events_follow(self):
        with self.d.connect() as control:
            control.send("Events", {"service": "echo", "last": 0}, more=True)
            time.sleep(0.2)
            self.assertEqual(self.d.ask("echo", b"x"), b"x")
            seen = []
            while "ended" not in seen:
                reply = control.receive()
                self.assertTrue(reply.get("continues"))
                seen += [e["event"] for e in reply["parameters"]["events"]]
            self.assertIn("started", seen)

    def test_start_and_stop(self):
        self.d.call("Stop", services=["echo"])
        self.assertEqual(self.d.service("echo")["state"], "stopped")
        self.assertEqual(self.error("Stop", services=["nope"]).name, CONTROL + "NoSuchService")
        self.d.call("Start", services=["echo"])
        self.assertEqual(self.d.service("echo")["state"], "listening")
        self.assertEqual(self.d.ask("echo", b"x"), b"x")

    def test_stop_shows_progress_with_more(self):
        with self.d.dial("echo") as s:
            s.sendall(b"x")
            s.recv(1)
            with self.d.connect() as control:
                parts = list(control.call_more("Stop", services=["echo"]))
        self.assertGreaterEqual(len(parts), 1)

    def test_errors_leave_the_connection_usable(self):
        with self.d.connect() as control:
            for method, parameters, name in (
                    ("dev.mpinetd.Control.Nope", {}, "org.varlink.service.MethodNotFound"),
                    ("Nope", {}, "org.varlink.service.MethodNotFound"),
                    ("no.such.Method", {}, None),
                    ("dev.mpinetd.Control.Describe", {}, "org.varlink.service.InvalidParameter"),
                    ("dev.mpinetd.Control.Describe", {"service": 7}, "org.varlink.service.InvalidParameter"),
                    ("dev.mpinetd.Control.Status", {"services": "echo"}, "org.varlink.service.InvalidParameter"),
                    ("dev.mpinetd.Control.Ping", {"extra": 1}, "org.varlink.service.InvalidParameter")):
                control.socket.sendall(json.dumps({"method": method, "parameters": parameters}).encode() + b"\0")
                reply = control.receive()
                self.assertIn("error", reply, method)
                if name:
                    self.assertEqual(reply["error"], name, (method, parameters))
                self.assertIsInstance(control.call("Ping"), dict)

    def test_oneway_and_pipelining(self):
        with self.d.connect() as control:
            control.send("Ping", oneway=True)
            control.send("Describe", {"service": "nope"}, oneway=True)
            for _ in range(100):
                control.send("Ping")
            control.send("Status")
            for _ in range(100):
                self.assertNotIn("services", control.receive()["parameters"])
            self.assertIn("services", control.receive()["parameters"])

    def test_byte_by_byte(self):
        with self.d.connect() as control:
            for byte in json.dumps({"method": CONTROL + "Ping"}).encode() + b"\0":
                control.socket.sendall(bytes([byte]))
            self.assertIn("parameters", control.receive())

    def test_shutdown(self):
        self.d.call("Shutdown")
        self.assertEqual(self.d.process.wait(PATIENCE), 0)
        self.assertFalse(os.path.exists(self.d.socket))


class Misbehaviour(ControlTest):
    """It costs the client its connection, and nobody else anything."""

    def closed_after(self, *parts):
        with self.d.connect() as control:
            with contextlib.suppress(BrokenPipeError, ConnectionResetError):
                for part in parts:
                    control.socket.sendall(part)
            with contextlib.suppress(ConnectionResetError):
                while control.socket.recv(65536):
                    pass
        self.assertIsInstance(self.d.call("Ping"), dict)

    def test_garbage(self):
        ping = json.dumps({"method": CONTROL + "Ping"}).encode()
        deep = b'{"method":"' + CONTROL.encode() + b'Ping","parameters":' + b'{"a":' * 40 + b"1" + b"}" * 40 + b"}"
        for text in (b"", b"{", b"[]", b"7", b"null", b'"x"', b"{}", b"\xff\xfe", ping + b"x", b'{"method":7}',
                     b'{"method":"a.B","method":"a.C"}', b'{"method":"' + CONTROL.encode() + b'Ping","unknown":1}', deep,
                     ping.replace(b"}", b',"more":true,"oneway":true}'), b"[" * 20000):
            with self.subTest(text=text[:60]):
                self.closed_after(text + b"\0")

    def test_random_bytes(self):
        source = random.Random(7)
        for _ in range(20):
            self.closed_after(source.randbytes(source.randint(1, 5000)) + b"\0")

    def test_too_long(self):
        self.closed_after(b"x" * 70000)
        self.closed_after(b'{"method":"' + CONTROL.encode() + b'Ping","parameters":{"a":"' + b"x" * 70000 + b'"}}\0')

    def test_just_long_enough(self):
        head, tail = b'{"method":"org.varlink.service.GetInterfaceDescription","parameters":{"interface":"', b'"}}'
        with self.d.connect() as control:
            control.socket.sendall(head + b"x" * (65536 - len(head) - len(tail)) + tail + b"\0")
            self.assertEqual(control.receive()["error"], "org.varlink.service.InterfaceNotFound")

    def test_reader_that_does_not_read(self):
        with self.d.connect() as control:
            control.socket.settimeout(2)
            with contextlib.suppress(TimeoutError, BrokenPipeError, ConnectionResetError):
                for _ in range(20000):
                    control.send("Status")
            self.assertIsInstance(self.d.call("Ping"), dict)

    def test_descriptors_that_are_sent_are_not_kept(self):
        with self.d.connect() as control:
            before = len(self.d.quiet_descriptors())
            ping = json.dumps({"method": CONTROL + "Ping"}).encode() + b"\0"
            for _ in range(5):
                with contextlib.suppress(ConnectionError, PermissionError):
                    socket.send_fds(control.socket, [ping], [0] * 50)
                    control.receive()
            self.assertLessEqual(len(self.d.quiet_descriptors()), before)

    def test_client_that_goes_away(self):
        for _ in range(30):
            control = self.d.connect()
            control.send("Status")
            control.socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            control.close()
        self.assertIsInstance(self.d.call("Ping"), dict)

    def test_client_that_goes_away_while_it_waits(self):
        with self.d.connect() as control:
            control.send("Events", {"last": 0}, more=True)
        with self.d.connect() as control:
            control.send("Stop", {"services": ["echo"]})
        wait_until(lambda: self.d.service("echo")["state"] == "stopped", "the stop, which goes on")

    @need_root
    def test_places_are_kept_for_managers(self):
        os.chmod(self.d.socket, 0o666)
        command = ["setpriv", "--reuid=65534", "--regid=65534", "--clear-groups", "python3", "-c",
                   "import socket,sys\n"
                   "held=[]\n"
                   "try:\n"
                   "  for _ in range(200):\n"
                   "    s=socket.socket(socket.AF_UNIX); s.settimeout(2); s.connect(sys.argv[1]); held.append(s)\n"
                   "except OSError: pass\n"
                   "print(len(held), flush=True); sys.stdin.read()\n", self.d.socket]
        with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as crowd:
            crowd.stdout.readline()
            for _ in range(5):
                self.assertIsInstance(self.d.call("Ping"), dict)
            with contextlib.ExitStack() as stack:
                for _ in range(10):
                    self.assertIsInstance(stack.enter_context(self.d.connect()).call("Ping"), dict)
            crowd.stdin.close()


@need_root
class Credentials(ControlTest):
    """nobody may look, and change nothing."""

    def setUp(self):
        super().setUp()
        os.chmod(self.d.socket, 0o666)

    def as_nobody(self, *arguments, uid=65534):
        # mpctl may lie where nobody cannot look.
        copy = self.d.path("mpctl")
        if not os.path.exists(copy):
            subprocess.run(["cp", MPCTL, copy], check=True)
        return subprocess.run(["setpriv", f"--reuid={uid}", f"--regid={uid}", "--clear-groups", copy, "-s",
                               self.d.socket, *arguments], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, check=False,
                              env={"PATH": os.environ["PATH"], **sanitizer_environment()})

    def test_reading_is_allowed(self):
        for arguments in (["ping"], ["status"], ["status", "echo"], ["ps"], ["events"], ["version"]):
            run = self.as_nobody(*arguments)
            self.assertEqual(run.returncode, 0, f"{arguments}: {run.stderr}")
            self.assertNotIn("hunter2", run.stdout)

    def test_changing_is_not(self):
        for arguments in (["stop", "echo"], ["start", "echo"], ["reload"]):
            run = self.as_nobody(*arguments)
            self.assertEqual(run.returncode, 5, f"{arguments}: {run.stdout}{run.stderr}")
            self.assertNotEqual(run.stderr, "")
        self.assertEqual(self.d.service("echo")["state"], "listening")
        self.assertEqual(self.d.status()["daemon"]["generation"], 1)

    def test_socket_mode_and_owner(self):
        d = self.daemon({"control": {"mode": "0640", "group": "adm"}, "services": {}})
        import grp
        info = os.stat(d.socket)
        self.assertEqual((stat.S_IMODE(info.st_mode), info.st_gid), (0o640, grp.getgrnam("adm").gr_gid))

    def test_manage(self):
        d = self.daemon({"control": {"mode": "0666", "manage": ["root", "daemon", "nobody"]},
                         "services": {"echo": {"listen": "tcp:127.0.0.1:0", "exec": ["mp-echo"]}}})
        self.d = d
        # 65534 also stands for users that the kernel cannot name here: it never manages anything.
        self.assertEqual(self.as_nobody("stop", "echo").returncode, 5)
        self.assertEqual(self.as_nobody("stop", "echo", uid=user_of("daemon")[0]).returncode, 0)
        self.assertEqual(d.service("echo")["state"], "stopped")

    def test_credentials_are_those_of_connecting(self):
        """A connection opened by root stays root's when its holder becomes somebody else."""
        script = ("import json,os,socket,sys\n"
                  "s=socket.socket(socket.AF_UNIX); s.connect(sys.argv[1])\n"
                  "os.setgroups([]); os.setgid(65534); os.setuid(65534)\n"
                  "s.sendall(json.dumps({'method':'dev.mpinetd.Control.Stop','parameters':{'services':['echo']}})"
                  ".encode()+b'\\0')\n"
                  "print(s.recv(65536).split(b'\\0')[0].decode())\n")
        run = subprocess.run(["python3", "-c", script, self.d.socket], stdout=subprocess.PIPE, check=True)
        self.assertNotIn("error", json.loads(run.stdout))


class Mpctl(ControlTest):
    def test_exit_statuses(self):
        run = self.d.mpctl
        run("ping", check=0)
        run("status", check=0)
        run("status", "echo", check=0)
        run("status", "off", check=3)
        run("status", "nope", check=4)
        run("status", "echo", "off", check=3)
        run("status", "off", "nope", check=4)
        run("no-such-verb", check=2)
        run("--no-such-option", check=2)
        run("stop", check=2)
        run("stop", "nope", check=4)
        run("stop", "echo", check=0)
        run("status", "echo", check=3)
        run("start", "echo", check=0)
        run("status", "echo", check=0)
        run("version", check=0)
        self.assertEqual(subprocess.run([MPCTL, "-s", self.d.path("none.sock"), "ping"], stderr=subprocess.PIPE,
                                        env={**os.environ, **sanitizer_environment()}, check=False).returncode, 6)

    def test_options_before_and_after(self):
        for arguments in (["--json", "status"], ["status", "--json"]):
            document = json.loads(self.d.mpctl(*arguments, check=0).stdout)
            self.assertEqual(document["api"], 1)
        run = subprocess.run([MPCTL, "status", "-s", self.d.socket], stdout=subprocess.PIPE, text=True, check=False,
                             env={**os.environ, **sanitizer_environment()})
        self.assertEqual(run.returncode, 0)
        run = subprocess.run([MPCTL], stdout=subprocess.PIPE, text=True, check=False,
                             env={**os.environ, "MPCTL_SOCKET": self.d.socket, **sanitizer_environment()})
        self.assertIn("echo", run.stdout)

    def test_json_is_one_document(self):
        for arguments in (["status"], ["status", "echo"], ["ps"], ["ping"]):
            out = self.d.mpctl(*arguments, "--json", check=0).stdout
            self.assertIsInstance(json.loads(out), (dict, list), arguments)
        for line in self.d.mpctl("events", "--json", check=0).stdout.splitlines():
            self.assertIn("event", json.loads(line))

    def test_status_json_is_what_the_socket_says(self):
        document = json.loads(self.d.mpctl("status", "--json", check=0).stdout)
        self.assertEqual([s["name"] for s in document["services"]], ["echo", "off", "udp"])
        self.assertEqual(set(document), {"api", "daemon", "services"})

    def test_table(self):
        out = self.d.mpctl(check=0).stdout
        for word in ("echo", "listening", "off", "disabled", "udp"):
            self.assertIn(word, out)
        self.assertNotIn("\x1b", out, "no colour into a pipe")

    def test_globs(self):
        document = json.loads(self.d.mpctl("status", "e*", "--json", check=0).stdout)
        self.assertEqual([s["name"] for s in document["services"]], ["echo"])

    def test_failed_only(self):
        document = json.loads(self.d.mpctl("status", "--failed", "--json", check=0).stdout)
        self.assertEqual(document["services"], [])

    def test_help(self):
        for option in ("--help", "-h"):
            out = self.d.mpctl(option, check=0).stdout
            self.assertTrue(all(len(line) <= 80 for line in out.splitlines()))
            for verb in ("status", "ps", "events", "check", "reload", "start", "stop", "ping", "version", "explain",
                         "schema"):
                self.assertIn(verb, out)

    def test_no_daemon_needed(self):
        environment = {"PATH": os.environ["PATH"], "MPINETD_LIBEXECDIR": SERVICES, **sanitizer_environment()}

        def run(*arguments):
            return subprocess.run([MPCTL, *arguments], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
                                  env=environment, check=False)
        self.assertEqual(run("check", self.d.config_path).returncode, 0)
        schema = json.loads(run("schema").stdout)
        self.assertIn("draft-07", schema["$schema"])
        self.assertIn("instances", run("explain", "limits.instances").stdout)
        self.assertNotEqual(run("explain", "no.such.key").returncode, 0)


class Socket(DaemonTest):
    def test_second_daemon_is_told(self):
        d = self.daemon({"services": {}})
        second = self.daemon({"services": {}}, folder=d.dir, wait=False)
        self.assertEqual(second.process.wait(PATIENCE), 1)
        second.process = None
        self.assertIn("already running", d.log_text())
        self.assertIsInstance(d.call("Ping"), dict)

    def test_stale_socket_is_taken_over(self):
        d = self.daemon({"services": {}})
        d.process.kill()
        d.process.wait()
        self.assertTrue(os.path.exists(d.socket))
        d.start()
        self.assertIsInstance(d.call("Ping"), dict)

    def test_foreign_file_in_its_place_is_left_alone(self):
        folder = self.temporary_folder()
        with open(folder + "/control.sock", "w", encoding="utf-8") as file:
            file.write("mine")
        d = self.daemon({"services": {}}, folder=folder, wait=False)
        self.assertEqual(d.process.wait(PATIENCE), 1)
        d.process = None
        with open(folder + "/control.sock", encoding="utf-8") as file:
            self.assertEqual(file.read(), "mine")

    def test_opens_when_listening(self):
        """The moment the control socket answers, every listener is bound."""
        d = self.daemon({"services": {f"s{i}": {"listen": "tcp:127.0.0.1:0", "exec": ["mp-echo"]} for i in range(100)}})
        with Varlink(d.socket) as control:
            states = {s["state"] for s in control.call("Status")["services"]}
        self.assertEqual(states, {"listening"})


if __name__ == "__main__":
    unittest.main()
