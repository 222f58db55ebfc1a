# SPDX-License-Identifier: MIT
"""The control socket as seen by Varlink clients that nobody here wrote: systemd's varlinkctl and the Python client.
tests/helpers/get-varlink-peers brings them; where it could not, and systemd here is too old, the cases are skipped."""
import contextlib
import json
import os
import queue
import subprocess
import threading
import time
import unittest

from harness import PATIENCE, ROOT, DaemonTest, need_program, need_root, program
from varlink_idl import introspect, parse

CONTROL = "dev.mpinetd.Control"
PEERS = os.environ.get("MP_TEST_PEERS", os.path.join(ROOT, "build", "peers"))
# Whoever reads, and with which parameters.
READING = {"Ping": {}, "Status": {"services": ["echo"]}, "Describe": {"service": "echo"}, "Instances": {"service": "echo"},
           "Events": {"last": 5}, "Metrics": {}, "CheckConfig": {}, "GetConfig": {"origin": True}}


def peer(name, version):
    """The command, or nothing where it does not run or is too old."""
    for path in (os.path.join(PEERS, name), program(name)):
        with contextlib.suppress(OSError, TypeError, subprocess.SubprocessError):
            if subprocess.run([path, *version], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, check=False,
                              timeout=30).returncode == 0:
                return path
    return None


# validate-idl came with 256 and --graceful with 257: the one that is asked for.
VARLINKCTL = peer("varlinkctl", ["--graceful=a.b.C", "--version"])
PYTHON = peer("varlink-python", ["-c", "import varlink"])


class PeerTest(DaemonTest):
    def setUp(self):
        self.d = self.daemon({"control": {"mode": "0666"}, "services": {
            "echo": {"listen": "tcp:127.0.0.1:0", "exec": ["mp-echo"], "description": "with \"quotes\", é and \\"},
            "off": {"listen": "tcp:127.0.0.1:0", "exec": ["mp-echo"], "enabled": False},
            "udp": {"listen": "udp:127.0.0.1:0", "exec": ["mp-echo"]}}})
        self.interfaces = introspect(self.d)
        self.control = self.interfaces[CONTROL]

    def is_right(self, method, reply):
        self.assertEqual(self.control.problems(self.control.methods[method].outputs, reply, method), [])


@unittest.skipUnless(VARLINKCTL, "needs varlinkctl of systemd 257: tests/helpers/get-varlink-peers")
class Varlinkctl(PeerTest):
    def run_it(self, *arguments, wrap=(), status=0):
        run = subprocess.run([*wrap, VARLINKCTL, "--no-pager", *arguments], stdin=subprocess.DEVNULL,
                             stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, timeout=60, check=False)
        if status is not None:
            self.assertEqual(run.returncode, status, f"{arguments}: {run.stdout[-500:]} {run.stderr}")
        return run

    def call(self, method, parameters=None, *options, **named):
        return self.run_it("-j", *options, "call", self.d.socket, f"{CONTROL}.{method}", json.dumps(parameters or {}),
                           **named)

    def test_info(self):
        info = json.loads(self.run_it("-j", "info", self.d.socket).stdout)
        self.assertEqual(info, self.d.call("org.varlink.service.GetInfo"))
        for address in (self.d.socket, "unix:" + self.d.socket):
            out = self.run_it("info", address).stdout
            for word in ("mpinetd", CONTROL, "org.varlink.service"):
                self.assertIn(word, out)

    def test_lists(self):
        self.assertEqual(set(self.run_it("list-interfaces", self.d.socket).stdout.split()), set(self.interfaces))
        self.assertEqual(set(self.run_it("list-methods", self.d.socket).stdout.split()),
                         {f"{i.name}.{m}" for i in self.interfaces.values() for m in i.methods})

    def test_introspection(self):
        """Each description is taken by its parser, and printed by it says the same as ours."""
        for name, interface in self.interfaces.items():
            text = self.d.call("org.varlink.service.GetInterfaceDescription", interface=name)["description"]
            path = self.d.path("interface.varlink")
            with open(path, "w", encoding="utf-8") as file:
                file.write(text)
            self.run_it("validate-idl", path)
            printed = parse(self.run_it("introspect", self.d.socket, name).stdout)
            self.assertEqual(printed.types, interface.types)
            self.assertEqual(printed.errors, interface.errors)
            self.assertEqual({m: (x.inputs, x.outputs) for m, x in printed.methods.items()},
                             {m: (x.inputs, x.outputs) for m, x in interface.methods.items()})
        self.run_it("introspect", self.d.socket)

    def test_reading(self):
        with self.d.dial("echo") as s:
            s.sendall(b"x")
            s.recv(1)
            for method, parameters in READING.items():
                with self.subTest(method=method):
                    run = self.call(method, parameters)
                    self.assertEqual(run.stderr, "")
                    self.is_right(method, json.loads(run.stdout))
            self.assertEqual(len(json.loads(self.call("Instances", {"service": "echo"}).stdout)["instances"]), 1)

    def test_reading_in_parts(self):
        for method, parameters in READING.items():
            if method == "Events":
                continue
            with self.subTest(method=method):
                parts = json.loads(self.call(method, parameters, "--collect").stdout)
                self.assertGreaterEqual(len(parts), 1)
                for part in parts:
                    self.is_right(method, part)

    def test_what_mpctl_prints_is_the_reply(self):
        status = json.loads(self.call("Status").stdout)
        document = json.loads(self.d.mpctl("status", "--json", check=0).stdout)
        for changing in ("uptime_usec", "fds"):
            status["daemon"].pop(changing), document["daemon"].pop(changing)
        self.assertEqual(document, status)

    def test_events_as_they_happen(self):
        """They come at once, while something happens, until the client has enough."""
        command = [VARLINKCTL, "-j", "--more", "--timeout=infinity", "call", self.d.socket, CONTROL + ".Events",
                   '{"service":"echo","last":0}']
        with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as follower:
            lines = queue.Queue()
            reader = threading.Thread(target=lambda: [lines.put(line) for line in follower.stdout])
            reader.start()
            seen = []
            try:
                lines.get(timeout=PATIENCE)  # that it follows
                for number in range(3):
                    self.assertEqual(self.d.ask("echo", b"x"), b"x")
                    end = time.monotonic() + PATIENCE
                    while seen.count("ended") <= number and time.monotonic() < end:
                        reply = json.loads(lines.get(timeout=PATIENCE).lstrip("\x1e"))
                        self.is_right("Events", reply)
                        seen += [e["event"] for e in reply["events"]]
                self.assertEqual([e for e in seen if e in ("started", "ended")], ["started", "ended"] * 3)
                self.assertIsNone(follower.poll())
            finally:
                follower.terminate()
                reader.join()

    def test_changing(self):
        for method, state in (("Stop", "stopped"), ("Start", "listening"), ("Pause", "paused"), ("Resume", "listening"),
                              ("Restart", "listening"), ("Drain", "stopped"), ("Start", "listening")):
            reply = json.loads(self.call(method, {"services": ["echo"]}).stdout)
            self.is_right(method, reply)
            self.assertEqual(reply["services"], ["echo"])
            self.assertEqual(self.d.service("echo")["state"], state, method)
        for part in json.loads(self.call("Stop", {"services": ["e*", "udp"]}, "--collect").stdout):
            self.is_right("Stop", part)
        self.is_right("Reload", json.loads(self.call("Reload").stdout))
        self.is_right("Set", json.loads(self.call("Set", {"service": "echo", "limits": {"instances": 7}}).stdout))
        self.assertEqual(self.d.service("echo")["instances_limit"], 7)

    def test_errors(self):
        for method, parameters, error in (
                ("Describe", {"service": "nope"}, CONTROL + ".NoSuchService"),
                ("Describe", {}, "org.varlink.service.InvalidParameter"),
                ("Describe", {"service": 7}, "org.varlink.service.InvalidParameter"),
                ("Describe", {"service": "echo", "extra": 1}, "org.varlink.service.InvalidParameter"),
                ("Start", {"services": ["off"]}, CONTROL + ".InvalidState"),
                ("Set", {"service": "echo", "limits": {"instances": "many"}}, None),
                ("Signal", {"pid": 4194304, "signal": "SIGTERM"}, CONTROL + ".NoSuchInstance"),
                ("Nope", {}, "org.varlink.service.MethodNotFound")):
            with self.subTest(method=method, parameters=parameters):
                run = self.call(method, parameters, status=None)
                self.assertNotEqual(run.returncode, 0)
                self.assertIn(error or "", run.stderr)
                self.assertNotIn("rotocol", run.stderr)
                if error:
                    self.call(method, parameters, "--graceful=" + error)
        run = self.run_it("introspect", self.d.socket, "no.such.interface", status=None)
        self.assertNotEqual(run.returncode, 0)
        self.assertIsInstance(self.d.call("Ping"), dict)

    def test_error_with_the_config(self):
        self.d.write_config("version: 1\nservices:\n  echo:\n    lissten: tcp:7\n")
        run = self.call("Reload", status=None)
        self.assertNotEqual(run.returncode, 0)
        self.assertIn("InvalidConfig", run.stderr)
        reply = json.loads(self.call("CheckConfig").stdout)
        self.is_right("CheckConfig", reply)
        self.assertFalse(reply["ok"])

    @need_root
    @need_program("setpriv")
    def test_as_nobody(self):
        """May look, and nothing else. The capability lets it reach the program, wherever this checkout lies."""
        nobody = ["setpriv", "--reuid=65534", "--regid=65534", "--clear-groups", "--inh-caps=+dac_read_search",
                  "--ambient-caps=+dac_read_search"]
        self.is_right("Status", json.loads(self.call("Status", wrap=nobody).stdout))
        run = self.call("Stop", {"services": ["echo"]}, wrap=nobody, status=None)
        self.assertNotEqual(run.returncode, 0)
        self.assertIn(CONTROL + ".NotAllowed", run.stderr)
        self.assertEqual(self.d.service("echo")["state"], "listening")

    def test_oneway(self):
        self.assertEqual(self.call("Stop", {"services": ["udp"]}, "--oneway").stdout, "")
        self.d.wait_service("udp", state="stopped")
        self.call("Nope", {}, "--oneway")
        self.call("Ping", {}, "--oneway")
        self.assertIsInstance(self.d.call("Ping"), dict)


# What the Python client is asked to do: a list of [method, parameters, "call", "more" or "oneway"]; what came, as JSON.
SCRIPT = """
import json, os, sys, varlink
address, calls = sys.argv[1], json.loads(sys.argv[2])
found = []
with varlink.Client.new_with_address(address) as client:
    found.append({name: sorted(client.get_interface(name).members) for name in client.get_interfaces()})
    if len(sys.argv) > 3:
        os.setgroups([]); os.setgid(int(sys.argv[3])); os.setuid(int(sys.argv[3]))
    with client.open("dev.mpinetd.Control") as control:
        for method, parameters, how in calls:
            try:
                if how == "more":
                    found.append([part for part in getattr(control, method)(_more=True, **parameters)])
                else:
                    found.append(getattr(control, method)(_oneway=how == "oneway", **parameters))
            except varlink.VarlinkError as error:
                found.append({"error": error.error(), "parameters": error.parameters()})
json.dump(found, sys.stdout)
"""
FOLLOW = """
import json, sys, varlink
with varlink.Client.new_with_address(sys.argv[1]) as client, client.open("dev.mpinetd.Control") as control:
    for part in control.Events(_more=True, service="echo", last=0):
        print(json.dumps(part), flush=True)
"""


@unittest.skipUnless(PYTHON, "needs the Python Varlink client: tests/helpers/get-varlink-peers")
class Python(PeerTest):
    """Its own parser reads the interface, and by that it checks what it sends and gets."""

    def ask(self, *calls, **options):
        run = subprocess.run([PYTHON, "-c", SCRIPT, "unix:" + self.d.socket, json.dumps(calls),
                              *[str(value) for value in options.values()]], stdout=subprocess.PIPE, stderr=subprocess.PIPE,
                             text=True, timeout=60, check=False)
        self.assertEqual((run.returncode, run.stderr), (0, ""))
        return json.loads(run.stdout)

    def whole(self, kind, value):
        """It leaves out what is null: put it in again, so that the rest can be compared."""
        if kind.kind == "name":
            return self.whole(self.control.types[kind.name], value)
        if kind.kind == "struct" and isinstance(value, dict):
            return {name: self.whole(inner, value.get(name)) for name, inner in kind.fields.items()}
        if kind.kind == "array" and isinstance(value, list):
            return [self.whole(kind.element, item) for item in value]
        return value

    def test_interfaces(self):
        self.assertEqual(self.ask()[0], {name: sorted([*i.types, *i.methods, *i.errors])
                                         for name, i in self.interfaces.items()})

    def test_reading(self):
        with self.d.dial("echo") as s:
            s.sendall(b"x")
            s.recv(1)
            replies = self.ask(*[[method, parameters, "call"] for method, parameters in READING.items()])[1:]
        for method, reply in zip(READING, replies):
            with self.subTest(method=method):
                self.assertNotIn("error", reply)
                self.is_right(method, self.whole(self.control.methods[method].outputs, reply))
        self.assertEqual(len(replies[3]["instances"]), 1)

    def test_reading_in_parts(self):
        todo = {method: parameters for method, parameters in READING.items() if method != "Events"}
        replies = self.ask(*[[method, parameters, "more"] for method, parameters in todo.items()])[1:]
        for method, parts in zip(todo, replies):
            self.assertIsInstance(parts, list, (method, parts))
            self.assertGreaterEqual(len(parts), 1)

    def test_errors_and_changing(self):
        replies = self.ask(["Describe", {"service": "nope"}, "call"], ["Stop", {"services": ["echo"]}, "call"],
                           ["Start", {"services": ["off"]}, "call"], ["Stop", {"services": ["udp"]}, "oneway"],
                           ["Ping", {}, "oneway"], ["Start", {"services": ["echo"]}, "more"],
                           ["Stop", {"services": []}, "call"], ["Ping", {}, "call"])[1:]
        self.assertEqual(replies[0], {"error": CONTROL + ".NoSuchService", "parameters": {"service": "nope"}})
        self.assertEqual(replies[1]["services"], ["echo"])
        self.assertEqual(replies[2]["error"], CONTROL + ".InvalidState")
        self.assertEqual(replies[3:5], [None, None])
        self.assertEqual(replies[5][-1]["services"], ["echo"])
        self.assertEqual(replies[6], {"error": "org.varlink.service.InvalidParameter",
                                      "parameters": {"parameter": "services"}})
        self.assertEqual(replies[7]["pid"], self.d.pid)
        self.assertEqual(self.d.service("udp")["state"], "stopped")

    @need_root
    def test_as_nobody(self):
        """It opens the second connection after it became nobody."""
        replies = self.ask(["Ping", {}, "call"], ["Stop", {"services": ["echo"]}, "call"], user=65534)[1:]
        self.assertEqual(replies[0]["pid"], self.d.pid)
        self.assertEqual(replies[1], {"error": CONTROL + ".NotAllowed", "parameters": {"method": CONTROL + ".Stop"}})

    def test_events_as_they_happen(self):
        with subprocess.Popen([PYTHON, "-c", FOLLOW, "unix:" + self.d.socket], stdout=subprocess.PIPE, text=True) as follower:
            try:
                follower.stdout.readline()  # that it follows
                self.d.ask("echo", b"x")
                seen = []
                while "ended" not in seen:
                    line = follower.stdout.readline()
                    self.assertTrue(line)
                    seen += [e["event"] for e in json.loads(line)["events"]]
                self.assertIn("started", seen)
            finally:
                follower.terminate()


if __name__ == "__main__":
    unittest.main()
