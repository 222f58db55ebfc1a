# SPDX-License-Identifier: MIT
"""Every reply of the daemon, and every document of mpctl --json, against the JSON Schema of replies."""
import copy
import errno
import json
import os
import re
import signal
import socket
import subprocess
import unittest

from harness import (MPCTL, PATIENCE, ROOT, DaemonTest, Varlink, VarlinkError, exchange, need_program,
                     sanitizer_environment, wait_until)
from varlink_idl import introspect

# Debian's python has the modules of Debian's packages.
PYTHON = "/usr/bin/python3"
VALIDATE = os.path.join(ROOT, "tests", "checks", "validate.py")


def services():
    """Every kind of state that can be had at once."""
    echo = {"listen": "tcp:127.0.0.1:0", "exec": ["mp-echo"]}
    return {"log": {"level": "debug"}, "shutdown": {"drain": "100ms"}, "services": {
        "per-connection": {**echo, "description": "Straße"},
        "unix": {**echo, "listen": "unix:{dir}/u.sock", "environment": {"A": "b"}, "timeouts": {"lifetime": "1h"}},
        "on-demand": {"listen": ["udp:127.0.0.1:0", "tcp:127.0.0.1:0"], "model": "on-demand", "exec": ["mp-echo"]},
        "idle": {"listen": "udp:127.0.0.1:0", "exec": ["mp-time"]},
        "full": {**echo, "limits": {"instances": 1, "when_full": "wait"}},
        "refuses": {**echo, "limits": {"instances": 1, "when_full": "refuse"}},
        "disabled": {**echo, "enabled": False},
        "failed": {**echo, "exec": ["/nonexistent/program"]},
        "stopped": dict(echo),
        "talks": {**echo, "exec": ["/bin/sh", "-c", "echo said >&2; kill -9 $$"]},
        "fails": {**echo, "exec": ["/bin/sh", "-c", "exit 3"]},
        "throttled": {**echo, "limits": {"rate": "1/10m", "rate_per_source": "5/m burst 7", "per_source": 3,
                                         "load": 1000000}, "access": {"deny": ["192.0.2.0/24"]}},
        "hours": {**echo, "access": {"hours": ["Mon 00:00-24:00", "Tue 00:00-24:00"]}},
        "trap": {**echo, "sensor": True},
    }}


class Schema(DaemonTest):
    weight = 3

    @classmethod
    def setUpClass(cls):
        run = subprocess.run([MPCTL, "schema", "replies"], stdin=subprocess.DEVNULL, capture_output=True, text=True,
                             env={"PATH": os.environ["PATH"], **sanitizer_environment()}, timeout=60, check=False)
        if run.returncode != 0:
            raise AssertionError(run.stderr)
        cls.schema_text = run.stdout
        cls.schema = json.loads(run.stdout)
        probe = subprocess.run([PYTHON, "-c", "import jsonschema"], capture_output=True, timeout=60, check=False)
        if probe.returncode != 0:
            raise unittest.SkipTest("needs python3-jsonschema")

    def setUp(self):
        self.documents = []

    def hold(self, what, definition, document):
        """One more document to be looked at."""
        self.documents.append({"what": what, "definition": definition, "document": document})

    def validate(self):
        folder = self.temporary_folder()
        path = os.path.join(folder, "schema.json")
        with open(path, "w", encoding="utf-8") as file:
            file.write(self.schema_text)
        run = subprocess.run([PYTHON, VALIDATE, path], input="".join(json.dumps(d) + "\n" for d in self.documents),
                             capture_output=True, text=True, timeout=300, check=False)
        return run.returncode, run.stdout + run.stderr

    def assert_valid(self):
        status, said = self.validate()
        self.assertEqual(status, 0, said[-6000:])

    def busy_daemon(self):
        """A daemon in which much has happened, and still does; with its open connections."""
        d = self.daemon(services())
        self.connections = []
        self.addCleanup(lambda: [s.close() for s in self.connections])
        for name in ("per-connection", "per-connection", "unix", "full", "full", "refuses", "refuses", "throttled"):
            s = d.dial(name)
            self.connections.append(s)
            s.sendall(b"x")
        for name in ("talks", "fails"):
            d.ask(name)
            d.wait_idle(name)
        with d.dial("on-demand") as s:
            s.send(b"x")
            self.assertEqual(s.recv(10), b"x")
        with socket.create_connection(("127.0.0.1", d.port("trap")), PATIENCE, ("127.0.0.77", 0)) as s:
            exchange(s, b"")
        d.call("Stop", services=["stopped"])
        wait_until(lambda: d.service("full")["state"] == "full" and d.service("throttled")["state"] == "throttled" and
                   d.call("Bans")["bans"] and sum(d.service("refuses")["refused"].values()) > 0,
                   "the state that was asked for")
        states = {"per-connection": "listening", "unix": "listening", "on-demand": "active", "idle": "listening",
                  "full": "full", "refuses": "listening", "disabled": "disabled", "failed": "failed",
                  "stopped": "stopped", "talks": "listening", "fails": "listening", "throttled": "throttled",
                  "hours": "listening", "trap": "listening"}
        for name, state in states.items():
            d.wait_service(name, state=state)
        self.assertEqual({s["name"] for s in d.status()["services"]}, set(states))
        return d


class Replies(Schema):
    """Over the socket: the methods are those that the daemon describes."""

    def calls(self, method, names):
        """Parameters for calls of a reading method."""
        required = {name: kind for name, kind in method.inputs.fields.items() if not kind.nullable}
        if not required:
            yield {}
        for name, kind in method.inputs.fields.items():
            if name == "service":
                yield from ({"service": service} for service in names)
            elif name == "services":
                yield from ({"services": [service]} for service in names)
            elif name == "last":
                yield {"last": 100000}
            elif kind.kind == "bool":
                yield {name: True}
            elif name == "interface":
                yield {"interface": "dev.mpinetd.Control"}
            elif name in required:
                raise AssertionError(f"this test knows no value of {method.name}'s parameter {name}")

    @staticmethod
    def reads(method):
        return "control.manage" not in method.doc

    def replies(self, control, method, parameters, more):
        control.send(method, parameters, more=more)
        while True:
            reply = control.receive()
            yield control.parameters_of(reply)
            # Events go on for ever.
            if not reply.get("continues") or method.endswith(".Events"):
                return

    def test_every_reading_method(self):
        d = self.busy_daemon()
        names = [s["name"] for s in d.status()["services"]]
        seen = set()
        for interface in introspect(d).values():
            for method in interface.methods.values():
                if not self.reads(method):
                    continue
                name = f"{interface.name}.{method.name}"
                seen.add(method.name)
                for parameters in self.calls(method, names):
                    for more in (False, True):
                        with Varlink(d.socket) as control:
                            for reply in self.replies(control, name, parameters, more):
                                self.hold(f"{name}({parameters})", name, reply)
        self.assertLessEqual({"GetInfo", "GetInterfaceDescription", "Ping", "Status", "Describe", "Instances", "Events",
                              "CheckConfig"}, seen)
        self.assertGreater(len(self.documents), 4 * len(names))
        self.assert_valid()

    def test_changing_methods(self):
        d = self.busy_daemon()
        interface = introspect(d)["dev.mpinetd.Control"]
        parameters = {"Signal": {"service": "per-connection", "signal": "CONT"},
                      "Set": {"service": "idle", "limits": {"instances": 5}}}
        changing = [m for m in interface.methods.values() if not self.reads(m) and m.name != "Shutdown"]
        self.assertGreaterEqual(len(changing), 3)
        for method in changing:
            name = f"{interface.name}.{method.name}"
            with Varlink(d.socket) as control:
                control.send(name, parameters.get(method.name, {"services": ["idle"]} if method.inputs.fields else {}))
                reply = control.receive()
            self.hold(name, reply.get("error", name), reply["parameters"])
        self.assert_valid()

    def test_errors(self):
        d = self.busy_daemon()
        for method, parameters in (("Describe", {"service": "nope"}), ("Describe", {}), ("Stop", {"services": []}),
                                   ("Nope", {}), ("org.varlink.service.GetInterfaceDescription", {"interface": "a.b"}),
                                   ("Start", {"services": ["failed"]}), ("Start", {"services": ["disabled"]})):
            try:
                d.call(method, **parameters)
            except VarlinkError as error:
                self.hold(f"{method}{parameters}", error.name, error.parameters)
                self.hold(f"{method}{parameters}", "mpctl.error", {"error": error.name, "parameters": error.parameters})
        self.assertGreater(len(self.documents), 10)
        d.write_config({"services": {"a": {"lisen": "tcp:1"}}})
        with self.assertRaises(VarlinkError) as caught:
            d.call("Reload")
        self.hold("Reload", caught.exception.name, caught.exception.parameters)
        self.hold("CheckConfig", "dev.mpinetd.Control.CheckConfig", d.call("CheckConfig"))
        self.hold("Status after a bad reload", "dev.mpinetd.Control.Status", d.status())
        self.assert_valid()


class Mpctl(Schema):
    """mpctl --json of every verb that has a document in the schema."""

    # Arguments that make a verb print its document, and others; {verb: [(arguments, exit status), ...]}.
    arguments = {
        "status": [([], 0), (["per-connection"], 0), (["*"], 3), (["failed"], 3), (["--failed"], 0)],
        "ps": [([], 0), (["full", "unix"], 0), (["idle"], 0)],
        "events": [(["-n", "1000"], 0), (["--service", "talks"], 0)],
        "logs": [(["talks"], 0)],
        "is-active": [(["full"], 0), (["full", "failed"], 3)],
        "check": [(["{dir}/mpinetd.yaml"], None), (["/nonexistent"], 1)],
        "check-security": [(["{dir}/good.yaml"], 0), (["{dir}/good.yaml", "a*"], 0)],
        "config": [([], 0), (["unix"], 0), (["--origin"], 0)],
        "reload": [(["--dry-run"], None), ([], None)],
        "start": [(["idle"], 0), (["id*"], 0)],
        "stop": [(["idle"], 0)],
        "restart": [(["idle"], 0)],
        "pause": [(["idle"], 0)],
        "resume": [(["idle"], 0)],
        "drain": [(["idle"], 0)],
        "kill": [(["-s", "CONT", "full"], 0), (["-s", "CONT", "--source", "127.0.0.1"], 0)],
        "set": [(["idle", "limits.instances=7"], 0)],
        "bans": [([], 0)],
        # One of its services has a program that is not there: below it is upgraded.
        "upgrade": [([], 1)],
        "unban": [(["203.0.113.7"], 1), (["127.0.0.0/8"], 0), (["nobody"], 2)],
        "shutdown": [([], 0)],
    }
    # Those that print a line for each.
    lines = ("events", "logs")

    def documented(self):
        return [name.removeprefix("mpctl.") for name in self.schema["definitions"]
                if name.startswith("mpctl.") and name != "mpctl.error"]

    def run_verb(self, d, verb, arguments, status):
        words = ["check", "--security"] if verb == "check-security" else [verb]
        run = d.mpctl(*words, "--json", *[a.replace("{dir}", d.dir) for a in arguments])
        what = f"mpctl {verb} {' '.join(arguments)}"
        if status is not None:
            self.assertEqual(run.returncode, status, f"{what}: {run.stdout[:500]} {run.stderr}")
        lines = run.stdout.splitlines()
        if verb not in self.lines:
            self.assertEqual(len(lines), 1, f"{what}: {run.stdout[:500]}")
        for line in lines:
            document = json.loads(line)
            definition = "mpctl.error" if "error" in document and "parameters" in document else f"mpctl.{verb}"
            self.hold(what, definition, document)
            self.hold(what, None, document)
        return lines

    def assert_words_known(self):
        """What happened is among the words that --kind takes."""
        run = subprocess.run([MPCTL, "__complete", "--", "events", "--kind", ""], capture_output=True, text=True,
                             env={"PATH": os.environ["PATH"], **sanitizer_environment()}, timeout=60, check=True)
        known = {line.split("\t")[0] for line in run.stdout.splitlines()} | {"stderr"}
        seen = {document["document"]["event"] for document in self.documents
                if document["definition"] in ("mpctl.events", "mpctl.logs")}
        self.assertLessEqual({"listening", "started", "ended", "refused", "state", "stderr", "control"}, seen)
        self.assertLessEqual(seen, known)

    def test_every_verb(self):
        d = self.busy_daemon()
        with open(os.path.join(d.dir, "good.yaml"), "w", encoding="utf-8") as f:
            f.write("version: 1\nservices:\n  a: {listen: tcp:7007, exec: [cat], user: self}\n  b: {listen: tcp:7008, sensor: true}\n")
        # The one that ends the daemon comes last.
        for verb in sorted(self.documented(), key=lambda verb: (verb == "shutdown", verb in self.lines)):
            for arguments, status in self.arguments.get(verb, [([], 0)]):
                self.assertTrue(self.run_verb(d, verb, arguments, status), verb)
        self.assertGreater(len(self.documents), 50)
        self.assert_valid()
        self.assert_words_known()
        self.assertEqual(d.process.wait(PATIENCE), 0)
        d.process = None

    def test_errors(self):
        d = self.busy_daemon()
        self.run_verb(d, "start", ["failed"], None)
        d.write_config({"services": {"a": {"lisen": "tcp:1"}}})
        self.run_verb(d, "reload", [], 1)
        self.run_verb(d, "reload", ["--dry-run"], 1)
        self.run_verb(d, "check", ["{dir}/mpinetd.yaml"], 1)
        self.assertIn("mpctl.error", [document["definition"] for document in self.documents])
        self.assert_valid()

    def test_upgrade(self):
        config = services()
        del config["services"]["failed"]
        d = self.daemon(config)
        (line,) = self.run_verb(d, "upgrade", [], 0)
        self.assertEqual(json.loads(line)["version"], json.loads(line)["previous"])
        self.assertEqual([document["definition"] for document in self.documents][0], "mpctl.upgrade")
        self.assert_valid()

    def test_what_is_not_waited_for(self):
        """There is a document all the same: how far it was, that it has begun, or why there is no more."""
        d = self.daemon({"shutdown": {"drain": "1h"}, "services": {"s": {"listen": "tcp:127.0.0.1:0", "exec": ["mp-echo"]}}})
        with d.dial("s") as s:
            s.sendall(b"x")
            self.assertEqual(s.recv(1), b"x")
            (line,) = self.run_verb(d, "upgrade", ["--no-wait"], 0)
            self.assertIsNone(json.loads(line)["previous"])
            d.wait_log(event="upgraded")
            # The longest time that it can take until it is told of progress.
            (line,) = self.run_verb(d, "drain", ["s", "--timeout", "3s"], 1)
            self.assertIn("1 running", json.loads(line)["progress"])
            os.kill(d.pid, signal.SIGSTOP)
            try:
                (line,) = self.run_verb(d, "reload", ["--timeout", "100ms"], 1)
            finally:
                os.kill(d.pid, signal.SIGCONT)
            self.assertEqual(json.loads(line)["parameters"]["errno"], errno.ETIMEDOUT)
            (line,) = self.run_verb(d, "shutdown", ["--timeout", "1s"], 1)
            self.assertEqual(json.loads(line)["parameters"]["step"], "shutdown")
            self.assertEqual(self.run_verb(d, "shutdown", ["--no-wait"], 0), ["{}"])
        self.assert_valid()
        self.assertEqual(d.process.wait(PATIENCE), 0)
        d.process = None

    def test_without_daemon(self):
        run = subprocess.run([MPCTL, "-s", "/nonexistent/control.sock", "--json", "version"], capture_output=True,
                             env={"PATH": os.environ["PATH"], **sanitizer_environment()}, timeout=60, check=True)
        document = json.loads(run.stdout)
        self.assertIsNone(document["mpinetd"])
        self.hold("version", "mpctl.version", document)
        self.assert_valid()

    def test_the_schema_is_strict(self):
        """A field too many, one too few, and one of another type are found, wherever they are."""
        d = self.busy_daemon()
        good = d.status()

        def spoil(change):
            document = copy.deepcopy(good)
            change(document)
            self.documents = []
            self.hold("spoiled", "mpctl.status", document)
            return self.validate()[0]

        def first(document):
            return document["services"][0]
        self.assertEqual(spoil(lambda document: None), 0)
        for number, change in enumerate((
                lambda document: document.update(more=1),
                lambda document: document.pop("api"),
                lambda document: first(document).pop("status"),
                lambda document: first(document).update(state="well"),
                lambda document: first(document).update(active=None),
                lambda document: first(document)["refused"].pop("access"),
                lambda document: first(document)["listeners"][0].update(port="7"),
                lambda document: first(document)["exited"].update(ok=1.5),
                lambda document: document["daemon"]["last_reload"].update(error=0))):
            self.assertEqual(spoil(change), 1, number)


class Docs(DaemonTest):
    """What docs/control.md shows works."""

    def setUp(self):
        with open(os.path.join(ROOT, "docs", "control.md"), encoding="utf-8") as file:
            self.text = file.read()
        self.d = self.daemon({"services": {"e": {"listen": "tcp:127.0.0.1:0", "exec": ["mp-echo"]}}})

    def test_python(self):
        code = re.search(r"```python\n(.*?)\n\n\nfor ", self.text, re.S)[1]
        names = {}
        exec(compile(code, "docs/control.md", "exec"), names)  # ours
        call = names["call"]
        (status,) = call(self.d.socket, "Status")
        self.assertEqual([s["name"] for s in status["services"]], ["e"])
        events = call(self.d.socket, "Events", more=True, last=5)
        self.assertIn("listening", [event["event"] for event in next(events)["events"]])
        events.close()
        with self.assertRaises(RuntimeError) as caught:
            list(call(self.d.socket, "Describe", service="nope"))
        self.assertEqual(caught.exception.args[0], "dev.mpinetd.Control.NoSuchService")

    @need_program("socat")
    def test_socat(self):
        line = re.search(r"^printf.*socat.*$", self.text, re.M)[0].replace("/run/mpinetd/control.sock", self.d.socket)
        run = subprocess.run(["/bin/sh", "-c", line], stdin=subprocess.DEVNULL, capture_output=True, text=True,
                             timeout=60, check=True)
        self.assertEqual(json.loads(run.stdout)["parameters"]["pid"], self.d.pid)
