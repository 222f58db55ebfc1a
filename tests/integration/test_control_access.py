# SPDX-License-Identifier: MIT
"""Who may do what over the control socket, for every method that the daemon describes; what one who may only look does
not get to see; and the socket's node: its owner and mode, and what else may stand at its path."""
import contextlib
import ctypes
import grp
import json
import os
import re
import shutil
import signal
import socket
import stat
import subprocess
import sys
import time
import unittest

from harness import (MPCTL, PATIENCE, DaemonTest, User, need_program, need_root, sanitizer_environment, stays, user_of,
                     wait_until)
from varlink_idl import introspect

CONTROL = "dev.mpinetd.Control."
# The whole interface. A method that is new here has to be thought about: who may call it?
READING = {"Ping": {}, "Status": {}, "Describe": {"service": "echo"}, "Instances": {}, "Events": {"last": 100000},
           "Metrics": {}, "CheckConfig": {}, "GetConfig": {"origin": True}, "Bans": {}}
CHANGING = {"Start": {"services": ["spare"]}, "Stop": {"services": ["spare"]}, "Restart": {"services": ["spare"]},
            "Pause": {"services": ["spare"]}, "Resume": {"services": ["spare"]}, "Drain": {"services": ["spare"]},
            "Signal": {"service": "spare", "signal": "SIGCONT"}, "Set": {"service": "spare", "limits": {"instances": 5}},
            "Unban": {"prefix": "203.0.113.7"}, "Reload": {}, "Upgrade": {},
            "Shutdown": {}}
FOR_MANAGERS = "For root, the daemon's own user, and control.manage."
ADM = grp.getgrnam("adm").gr_gid
LOOKER = User(54321)
CLONE_NEWUSER = 0x10000000


def ask(path, calls):
    """The reply to each of (method, parameters, flags), each on a connection of its own, as it is on the wire."""
    found = []
    for method, parameters, flags in calls:
        with socket.socket(socket.AF_UNIX) as s:
            s.settimeout(PATIENCE)
            s.connect(path)
            method = method if "." in method else CONTROL + method
            s.sendall(json.dumps({"method": method, "parameters": parameters, **flags}).encode() + b"\0")
            if flags.get("oneway"):
                s.sendall(json.dumps({"method": CONTROL + "Ping"}).encode() + b"\0")
            data = b""
            # Of Events with more the first part is enough; of what comes in parts the last one tells that it is.
            while not data.endswith(b"\0") or (b'"continues":true' in data[:-1].rsplit(b"\0", 1)[-1]
                                               and not method.endswith("Events")):
                part = s.recv(1 << 20)
                if not part:
                    raise ConnectionError(f"{method}: closed")
                data += part
            found.append(data.decode())
    return found


def can_open(path):
    with socket.socket(socket.AF_UNIX) as s:
        try:
            s.connect(path)
        except OSError as error:
            return error.errno
    return 0


def ask_as_root_of_its_own(path, calls):
    """In a user name space, where this user is root."""
    uid, gid = os.getuid(), os.getgid()
    # Whoever has changed its user cannot write in its own /proc before: proc(5), prctl(2) PR_SET_DUMPABLE.
    ctypes.CDLL(None).prctl(4, 1, 0, 0, 0)
    if ctypes.CDLL(None, use_errno=True).unshare(CLONE_NEWUSER) < 0:
        return None
    for name, text in (("setgroups", "deny"), ("uid_map", f"0 {uid} 1"), ("gid_map", f"0 {gid} 1")):
        with open(f"/proc/self/{name}", "w", encoding="utf-8") as file:
            file.write(text)
    assert os.geteuid() == 0
    return ask(path, calls)


def error_of(reply):
    return json.loads(reply.rstrip("\0").split("\0")[-1]).get("error")


SERVICES = {"echo": {"listen": "tcp:127.0.0.1:0", "exec": ["mp-echo"], "environment": {"TOKEN": "hunter2"}},
            "spare": {"listen": "tcp:127.0.0.1:0", "exec": ["mp-echo"]}}


@need_root
class Table(DaemonTest):
    """Each method as each kind of user (CT-15)."""
    config = {"control": {"mode": "0666", "manage": ["games", "%adm", "nobody", "%65534"]}, "services": SERVICES}
    managers = {"root": User(0), "a user of control.manage": User(*user_of("games")),
                "its group as primary": User(54321, ADM), "its group besides": User(54321, 54321, [7, ADM]),
                "its group behind a hundred others": User(54321, 54321, [*range(60000, 60100), ADM])}
    lookers = {"anybody": LOOKER, "nobody": User(65534), "nobody, with the group": User(65534, 65534, [ADM]),
               "in the group of nobody": User(54321, 65534), "in it besides": User(54321, 54321, [65534]),
               "a group of another number": User(54321, ADM + 1), "the highest": User(2 ** 32 - 2),
               "another user of that gid's number": User(ADM, 54321), "past the signed": User(2 ** 31, 2 ** 31)}

    def setUp(self):
        self.d = self.daemon(self.config)
        self.control = introspect(self.d)["dev.mpinetd.Control"]

    def test_the_table_is_whole(self):
        self.assertEqual(set(self.control.methods), {*READING, *CHANGING})
        for name, method in self.control.methods.items():
            self.assertEqual(FOR_MANAGERS in method.doc, name in CHANGING, name)

    def test_managers(self):
        calls = [(name, parameters, {}) for name, parameters in {**READING, **CHANGING}.items() if name != "Shutdown"]
        for who, user in self.managers.items():
            for (name, _, _), reply in zip(calls, user.run(ask, self.d.socket, calls)):
                with self.subTest(who=who, method=name):
                    self.assertNotIn(error_of(reply), (CONTROL + "NotAllowed", "org.varlink.service.MethodNotFound"))
                    if name not in ("Signal", "Resume", "Restart"):
                        self.assertIsNone(error_of(reply), reply)
            self.d.call("Start", services=["spare"])

    def test_lookers(self):
        reading = [(name, parameters, {}) for name, parameters in READING.items()]
        changing = [(name, parameters, {}) for name, parameters in CHANGING.items()]
        before = self.d.status()
        for who, user in self.lookers.items():
            for (name, _, _), reply in zip(reading, user.run(ask, self.d.socket, reading)):
                with self.subTest(who=who, method=name):
                    self.assertIsNone(error_of(reply), reply)
            for (name, _, _), reply in zip(changing, user.run(ask, self.d.socket, changing)):
                with self.subTest(who=who, method=name):
                    self.assertEqual(json.loads(reply.rstrip("\0")), {"error": CONTROL + "NotAllowed", "parameters": {
                        "method": CONTROL + name}})
        after = self.d.status()
        self.assertEqual(after["daemon"]["generation"], before["daemon"]["generation"])
        self.assertEqual([(s["state"], s["order"], s["instances_limit"]) for s in after["services"]],
                         [(s["state"], s["order"], s["instances_limit"]) for s in before["services"]])

    def test_no_way_around(self):
        """Neither a flag nor a wrong parameter, nor a pattern, opens what is closed."""
        calls = []
        for name, parameters in CHANGING.items():
            calls += [(name, parameters, {"more": True}), (name, parameters, {"oneway": True})]
            if "services" in parameters:
                calls += [(name, {"services": ["*"]}, {}), (name, {"services": ["nope"]}, {})]
        replies = LOOKER.run(ask, self.d.socket, calls)
        for call, reply in zip(calls, replies):
            if call[2].get("oneway"):
                self.assertIsNone(error_of(reply), call)  # of the Ping behind it
            else:
                self.assertEqual(error_of(reply), CONTROL + "NotAllowed", call)
        self.assertEqual({s["state"] for s in self.d.status()["services"]}, {"listening"})

    def test_root_of_a_name_space(self):
        replies = LOOKER.run(ask_as_root_of_its_own, self.d.socket, [("Stop", {"services": ["spare"]}, {}), ("Ping", {}, {})])
        if replies is None:
            self.skipTest("no user name spaces for users here")
        self.assertEqual(error_of(replies[0]), CONTROL + "NotAllowed")
        self.assertTrue([e for e in self.d.log() if "uid 54321" in e.get("message", "")], "its real uid in the log")

    def test_shutdown(self):
        self.managers["a user of control.manage"].run(ask, self.d.socket, [("Shutdown", {}, {})])
        self.assertEqual(self.d.process.wait(PATIENCE), 0)

    def test_rights_are_those_of_the_config_in_force(self):
        """Also on a connection that is open; who it belongs to was settled when it was opened."""
        ours, theirs = os.pipe()
        process, pipe = User(54321, 54321, [ADM]).start(ask_around_a_change, self.d.socket, ours)
        self.d.wait_service("spare", state="stopped")
        self.d.write_config({**self.config, "control": {"mode": "0666", "manage": ["games"]}})
        self.d.call("Reload")
        os.write(theirs, b"..")
        self.assertTrue(pipe.poll(PATIENCE))
        self.assertEqual(pipe.recv(), (True, [None, CONTROL + "NotAllowed"]))
        process.join(PATIENCE)
        for fd in (ours, theirs):
            os.close(fd)

    def test_audit(self):
        """One line for each changing call, with who and what, done or refused; none for looking."""
        who = {"games": User(*user_of("games")), "looker": LOOKER}
        calls = [(name, parameters, {}) for name, parameters in CHANGING.items() if name != "Shutdown"]
        calls.append(("Stop", {"services": ["spare"]}, {"oneway": True}))
        for user in who.values():
            user.run(ask, self.d.socket, calls + [(name, parameters, {}) for name, parameters in READING.items()])
        for name, user in who.items():
            lines = [e["message"] for e in self.d.log(event="control")]
            verbs = [line.rsplit(".", 1)[-1].split()[0].lower() if line.startswith("dev.") else line.split()[0].lower()
                     for line in lines if re.search(rf"\buid {user.uid}\b", line)]
            wanted = sorted([call[0].lower() for call in calls])
            self.assertEqual(sorted(verbs), wanted, f"{name}: {lines}")
            refused = [line for line in lines if re.search(rf"\buid {user.uid}\b.*not allowed", line)]
            self.assertEqual(len(refused), len(calls) if name == "looker" else 0)


def ask_around_a_change(path, pipe):
    """A changing call, and on the same connection another one when the pipe says so."""
    found = []
    with socket.socket(socket.AF_UNIX) as s:
        s.settimeout(PATIENCE)
        s.connect(path)
        for _ in range(2):
            s.sendall(json.dumps({"method": CONTROL + "Stop", "parameters": {"services": ["spare"]}}).encode() + b"\0")
            found.append(error_of(s.recv(65536).decode()))
            os.read(pipe, 1)
    return found


@need_root
class OwnUser(DaemonTest):
    """A daemon that is not root's: it and root may change things, others may look."""

    def test_table(self):
        uid, gid = user_of("daemon")
        folder = self.temporary_folder()
        os.chown(folder, uid, gid)
        # The capability lets it reach the build, wherever that lies.
        wrap = ["setpriv", f"--reuid={uid}", f"--regid={gid}", "--clear-groups", "--inh-caps=+dac_read_search",
                "--ambient-caps=+dac_read_search"]
        d = self.daemon({"control": {"mode": "0666"}, "services": SERVICES}, folder=folder, wrap=wrap)
        self.assertEqual(os.stat(d.socket).st_uid, uid)
        stop, start = ("Stop", {"services": ["spare"]}, {}), ("Start", {"services": ["spare"]}, {})
        for user in (User(0), User(uid, gid), User(uid, 54321)):
            self.assertEqual([error_of(r) for r in user.run(ask, d.socket, [stop, start])], [None, None])
        for user in (LOOKER, User(54321, gid), User(65534)):
            self.assertEqual([error_of(r) for r in user.run(ask, d.socket, [stop, ("Ping", {}, {})])],
                             [CONTROL + "NotAllowed", None])

    @need_program("unshare")
    def test_of_a_name_space(self):
        """There the world outside is 65534, and that is nobody, be it root out there; but inside one may be root."""
        folder = self.temporary_folder()
        os.chown(folder, 54321, 54321)
        wrap = ["setpriv", "--reuid=54321", "--regid=54321", "--clear-groups", "--inh-caps=+dac_read_search",
                "--ambient-caps=+dac_read_search", "unshare", "--user", "--map-root-user"]
        probe = subprocess.run([*wrap, "true"], stdin=subprocess.DEVNULL, stderr=subprocess.DEVNULL, check=False)
        if probe.returncode:
            self.skipTest("no user name spaces for users here")
        build_is_open = subprocess.run([*wrap, "test", "-x", MPCTL], check=False).returncode == 0
        if not build_is_open:
            self.skipTest("the build folder is closed to other users")
        d = self.daemon({"control": {"mode": "0666", "manage": ["nobody"]}, "services": SERVICES}, folder=folder, wrap=wrap)
        stop = ("Stop", {"services": ["spare"]}, {})
        for user in (User(0), User(12345), User(65534)):
            self.assertEqual(error_of(user.run(ask, d.socket, [stop])[0]), CONTROL + "NotAllowed", user)
        self.assertIsNone(error_of(User(54321).run(ask, d.socket, [stop])[0]))


@need_root
class Door(DaemonTest):
    """Who cannot even open the socket, and what mpctl says to them."""

    def mpctl(self, d, user, *arguments):
        copy = d.path("mpctl")
        if not os.path.exists(copy):
            shutil.copy(MPCTL, copy)
        return user.run(run_program, [copy, "-s", d.socket, *arguments])

    def test_mode(self):
        d = self.daemon({"control": {"mode": "0660", "group": "adm"}, "services": SERVICES})
        for user, wanted in ((User(0), 0), (User(54321, ADM), 0), (User(54321, 54321, [ADM]), 0), (LOOKER, 13),
                             (User(65534), 13)):
            self.assertEqual(user.run(can_open, d.socket), wanted, user)
        # The group may open it, and so look; to manage is another right.
        replies = User(54321, ADM).run(ask, d.socket, [("Status", {}, {}), ("Reload", {}, {})])
        self.assertEqual([error_of(r) for r in replies], [None, CONTROL + "NotAllowed"])
        code, _, said = self.mpctl(d, LOOKER, "status")
        self.assertIn(code, (5, 6), said)
        self.assertIn(d.socket, said)
        self.assertRegex(said, "(?i)permission denied|not allowed|may not")
        self.assertRegex(said, "hint: .*(root|group|control)", "what to do next")

    def test_hint_for_a_looker(self):
        d = self.daemon({"control": {"mode": "0666"}, "services": SERVICES})
        for arguments in (["stop", "spare"], ["start", "spare"], ["restart", "spare"], ["pause", "spare"],
                          ["resume", "spare"], ["drain", "spare"], ["kill", "spare"], ["set", "spare", "limits.instances=3"],
                          ["reload"], ["shutdown"]):
            with self.subTest(arguments=arguments):
                code, out, said = self.mpctl(d, LOOKER, *arguments)
                self.assertEqual((code, out), (5, ""), said)
                self.assertIn("control.manage", said)
        for arguments in ([], ["status", "echo"], ["ps"], ["events"], ["metrics"], ["config"], ["config", "echo"], ["ping"],
                          ["version"], ["is-active", "echo"], ["reload", "--dry-run"], ["logs", "echo"]):
            with self.subTest(arguments=arguments):
                code, _, said = self.mpctl(d, LOOKER, *arguments)
                self.assertEqual(code, 0, said)
                self.assertNotIn("control.manage", said)


def run_program(command):
    run = subprocess.run(command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
                         timeout=60, check=False, cwd="/", env={"PATH": os.environ["PATH"], "LANG": "C.UTF-8",
                                                                **sanitizer_environment()})
    return run.returncode, run.stdout, run.stderr


def values_of(document, *keys):
    """Of every member with one of these names, however deep."""
    if isinstance(document, dict):
        for key, value in document.items():
            if key in keys:
                yield value
            yield from values_of(value, *keys)
    elif isinstance(document, list):
        for item in document:
            yield from values_of(item, *keys)


@need_root
class Secrets(DaemonTest):
    """What is not for those who may only look."""
    EVERYTHING = [(name, parameters, flags) for name, parameters in READING.items() for flags in ({}, {"more": True})]

    def everything(self, user, d):
        return dict(zip([(n, bool(f)) for n, _, f in self.EVERYTHING], user.run(ask, d.socket, self.EVERYTHING)))

    def none_of(self, d, *secrets):
        for call, reply in self.everything(LOOKER, d).items():
            for secret in secrets:
                self.assertNotIn(secret, reply, call)

    def test_environment(self):
        config = {"control": {"mode": "0666"}, "defaults": {"environment": {"SHARED": "correct-horse"}},
                  "services": SERVICES}
        d = self.daemon(config, environment={"OUTER": "battery-staple"})
        self.none_of(d, "hunter2", "correct-horse", "battery-staple")
        # Those who may change things get them, or the config that they see would not be the one in force.
        seen = json.dumps(d.call("GetConfig"))
        self.assertIn("hunter2", seen)
        self.assertIn("TOKEN", LOOKER.run(ask, d.socket, [("GetConfig", {}, {})])[0], "the name is none")
        # A change of the file: what it was, and what it will be.
        d.write_config(json.loads(json.dumps(config).replace("hunter2", "hunter3").replace("correct-horse", "wrong-horse")))
        self.none_of(d, "hunter2", "hunter3", "correct-horse", "wrong-horse")
        d.call("Reload")
        self.none_of(d, "hunter2", "hunter3", "correct-horse", "wrong-horse")

    def test_wrong_config(self):
        """Its diagnostics are for all, the lines of the file are not; nor do messages quote values."""
        d = self.daemon({"control": {"mode": "0666"}, "services": SERVICES})
        d.write_config('version: 1\nservices:\n  echo:\n    lissten: tcp:7 # sesame\n    environment: {TOKEN: [hunter2]}\n'
                       '    user: self\n    exec: [mp-echo]\n    environmnt: {A: opensesame}\n'
                       '  two: {listen: "tcp:127.0.0.1:0", exec: [mp-echo], user: self, environment: "TOKEN=hunter2"}\n'
                       '  three: {listen: "tcp:127.0.0.1:0", exec: [mp-echo], user: self,'
                       ' environment: {"A B": hunter2, TOKEN: "${hunter2"}}\n')
        replies = self.everything(LOOKER, d)
        found = json.loads(replies[("CheckConfig", False)].rstrip("\0"))["parameters"]
        self.assertFalse(found["ok"])
        self.assertGreater(len(found["diagnostics"]), 2)
        self.assertEqual({x["excerpt"] for x in found["diagnostics"]}, {None})
        self.assertTrue(any(x["excerpt"] for x in d.call("CheckConfig")["diagnostics"]))
        with contextlib.suppress(Exception):
            d.call("Reload")
        self.none_of(d, "sesame", "hunter2")

    def test_peers(self):
        for addresses in ("none", "prefix"):
            with self.subTest(addresses=addresses):
                d = self.daemon({"control": {"mode": "0666"}, "log": {"addresses": addresses}, "services": {
                    "echo": {"listen": "tcp:127.0.0.9:0", "exec": ["mp-echo"],
                             "limits": {"instances": 1, "when_full": "refuse"}},
                    "local": {"listen": "unix:{dir}/local.sock", "exec": ["mp-echo"]}}})
                with d.dial("echo") as held, d.dial("local") as other:
                    for s in (held, other):
                        s.sendall(b"x")
                        s.recv(1)
                    d.ask("echo", b"x")  # refused
                    full = "127.0.0.1:%d" % held.getsockname()[1]
                    self.assertIn(full, [i["peer"] for i in d.instances("echo")], "root sees it")
                    for call, reply in self.everything(LOOKER, d).items():
                        documents = [json.loads(part) for part in reply.split("\0") if part]
                        for value in values_of(documents, "peer", "source"):
                            if addresses == "none":
                                self.assertIsNone(value, call)
                            else:
                                self.assertNotRegex(value or "", r"127\.0\.0\.1\b", str(call))

    def test_full_addresses(self):
        d = self.daemon({"control": {"mode": "0666"}, "services": SERVICES})
        with d.dial("echo") as s:
            s.sendall(b"x")
            s.recv(1)
            reply = LOOKER.run(ask, d.socket, [("Instances", {}, {})])[0]
            self.assertIn("127.0.0.1:%d" % s.getsockname()[1], reply)


# One that listens, and ends before what it has started.
LEAVES_A_PROCESS = """
import fcntl, os, socket, sys
s = socket.socket(socket.AF_UNIX)
s.bind(sys.argv[1])
s.listen()
lock = open(sys.argv[1] + ".lock", "w")
fcntl.flock(lock, fcntl.LOCK_EX)
if os.fork() == 0:
    os.read(0, 1)
"""


class Node(DaemonTest):
    """What stands at the socket's path: before, when it becomes visible, and while the daemon runs (CT-16, 21, 23)."""
    config = {"services": {}}

    def refused(self, folder, *, word=None, **options):
        """The daemon does not start there; its log."""
        d = self.daemon(self.config, folder=folder, wait=False, **options)
        self.assertEqual(d.process.wait(PATIENCE), 1, d.log_text())
        d.process = None
        if word:
            self.assertRegex(d.log_text(), word)
        return d.log_text()

    @need_root
    def test_mode_from_the_first_moment(self):
        for umask in ("0", "077"):
            for mode, group in (("0600", None), ("0660", "adm"), ("0666", None), ("0640", "adm"), ("0600", "adm")):
                with self.subTest(umask=umask, mode=mode, group=group):
                    control = {"mode": mode, **({"group": group} if group else {})}
                    d = self.daemon({"control": control, "services": {}}, wait=False,
                                    wrap=["sh", "-c", f'umask {umask}; exec "$@"', "sh"])
                    seen, end = set(), time.monotonic() + PATIENCE
                    while time.monotonic() < end and (not seen or not self.answers(d)):
                        look = time.monotonic() + 0.05
                        while time.monotonic() < look:
                            with contextlib.suppress(FileNotFoundError):
                                st = os.lstat(d.socket)
                                seen.add((stat.S_IMODE(st.st_mode), st.st_gid))
                    d.wait_ready()
                    wanted = int(mode, 8)
                    for got, gid in seen:
                        self.assertEqual(got & ~wanted, 0, f"{got:o} was more than {wanted:o}")
                        if group and gid != ADM:
                            self.assertEqual(got & 0o077, 0, "open to the wrong group")
                    st = os.lstat(d.socket)
                    self.assertEqual((stat.S_IMODE(st.st_mode), st.st_gid), (wanted, ADM if group else st.st_gid))
                    d.stop()

    @staticmethod
    def answers(d):
        with contextlib.suppress(OSError), d.connect() as control:
            return control.call("Ping")
        return None

    @need_root
    def test_mode_after_a_reload(self):
        d = self.daemon({"control": {"mode": "0600"}, "services": {}})
        before = os.lstat(d.socket).st_ino
        for mode, group in ((0o666, None), (0o660, "adm"), (0o640, "adm"), (0o600, None)):
            d.write_config({"control": {"mode": f"{mode:04o}", **({"group": group} if group else {})}, "services": {}})
            d.call("Reload")
            st = os.lstat(d.socket)
            self.assertEqual((stat.S_IMODE(st.st_mode), st.st_ino), (mode, before))
            if group:
                self.assertEqual(st.st_gid, ADM)

    def test_nothing_on_the_network(self):
        d = self.daemon(self.config)
        mine = {os.readlink(f"/proc/{d.pid}/fd/{fd}") for fd in os.listdir(f"/proc/{d.pid}/fd")}
        for table in ("tcp", "tcp6", "udp", "udp6", "raw", "packet"):
            with contextlib.suppress(FileNotFoundError), open(f"/proc/{d.pid}/net/{table}", encoding="ascii") as lines:
                for line in list(lines)[1:]:
                    self.assertNotIn(f"socket:[{line.split()[-1 if table == 'packet' else 9]}]", mine)

    def test_symlinks(self):
        """Whatever they lead to: neither followed nor removed."""
        other = self.daemon(self.config)
        victim = self.temporary_folder() + "/victim"
        with open(victim, "w", encoding="utf-8") as file:
            file.write("mine")
        os.chmod(victim, 0o600)
        for target in (victim, victim + ".none", other.socket):
            folder = self.temporary_folder()
            os.symlink(target, folder + "/control.sock")
            self.refused(folder)
            self.assertEqual(os.readlink(folder + "/control.sock"), target)
        with open(victim, encoding="utf-8") as file:
            self.assertEqual(file.read(), "mine")
        self.assertEqual(stat.S_IMODE(os.stat(victim).st_mode), 0o600)
        self.assertFalse(os.path.exists(victim + ".none"))
        self.assertIsInstance(other.call("Ping"), dict)

    def test_things_that_are_no_sockets(self):
        for make in (lambda path: os.mkdir(path), lambda path: os.mkfifo(path),
                     lambda path: os.close(os.open(path, os.O_CREAT | os.O_WRONLY))):
            folder = self.temporary_folder()
            make(folder + "/control.sock")
            before = os.lstat(folder + "/control.sock")
            self.refused(folder, word="control socket")
            after = os.lstat(folder + "/control.sock")
            self.assertEqual((after.st_ino, after.st_mode), (before.st_ino, before.st_mode))

    def test_live_socket_of_something_else(self):
        folder = self.temporary_folder()
        with socket.socket(socket.AF_UNIX) as live:
            live.bind(folder + "/control.sock")
            live.listen()
            self.refused(folder)
            with socket.socket(socket.AF_UNIX) as s:
                s.connect(folder + "/control.sock")

    def test_live_socket_with_a_full_queue(self):
        """It is no stale one, though it takes nobody."""
        folder = self.temporary_folder()
        with socket.socket(socket.AF_UNIX) as live, contextlib.ExitStack() as stack:
            live.bind(folder + "/control.sock")
            live.listen(0)
            for _ in range(3):
                s = stack.enter_context(socket.socket(socket.AF_UNIX))
                s.setblocking(False)
                with contextlib.suppress(BlockingIOError):
                    s.connect(folder + "/control.sock")
            self.refused(folder)
            self.assertTrue(os.path.exists(folder + "/control.sock"))

    def test_two_daemons(self):
        """The second goes, and the first does not notice: neither socket nor lock are touched."""
        d = self.daemon(self.config)
        before = [os.lstat(d.dir + name).st_ino for name in ("/control.sock", "/control.sock.lock")]
        for _ in range(3):
            log = self.refused(d.dir)
        self.assertIn("already running", log)
        self.assertEqual([os.lstat(d.dir + name).st_ino for name in ("/control.sock", "/control.sock.lock")], before)
        self.assertIsInstance(d.call("Ping"), dict)

    def test_many_start_at_once(self):
        folder = self.temporary_folder()
        daemons = [self.daemon(self.config, folder=folder, wait=False) for _ in range(5)]
        wait_until(lambda: sum(d.process.poll() is None for d in daemons) <= 1, "all but one to end")
        left = [d for d in daemons if d.process.poll() is None]
        self.assertEqual(len(left), 1)
        left[0].wait_ready()
        for d in daemons:
            if d is not left[0]:
                self.assertEqual(d.process.returncode, 1)
                d.process = None

    def test_folder_that_others_can_write(self):
        for mode in (0o770, 0o777, 0o775):
            folder = self.temporary_folder()
            path = folder + "/run"
            os.mkdir(path)
            os.chmod(path, mode)
            # Daemon would set the mode of its own folder: the socket is in another.
            d = self.daemon(self.config, folder=folder, wait=None)
            d.socket = path + "/control.sock"
            d.start(wait=False)
            self.assertEqual(d.process.wait(PATIENCE), 1, f"{mode:o} {d.log_text()}")
            d.process = None
            self.assertIn(path, d.log_text())
            self.assertEqual(os.listdir(path), [])

    @need_root
    def test_folder_of_somebody_else(self):
        folder = self.temporary_folder()
        path = folder + "/run"
        os.mkdir(path, 0o755)
        os.chown(path, 54321, 54321)
        d = self.daemon(self.config, folder=folder, wait=None)
        d.socket = path + "/control.sock"
        d.start(wait=False)
        self.assertEqual(d.process.wait(PATIENCE), 1, d.log_text())
        d.process = None
        self.assertEqual(os.listdir(path), [])

    def test_missing_folder(self):
        """One that is missing is made, not writable by others whatever the umask; two are a mistake."""
        folder = self.temporary_folder()
        for path, started in ((folder + "/run", True), (folder + "/no/such", False)):
            d = self.daemon(self.config, folder=folder, wait=None, wrap=["sh", "-c", 'umask 0; exec "$@"', "sh"])
            d.socket = path + "/control.sock"
            d.start(wait=started)
            if started:
                self.assertEqual(stat.S_IMODE(os.stat(path).st_mode) & 0o022, 0)
                d.stop()
            else:
                self.assertEqual(d.process.wait(PATIENCE), 1)
                d.process = None

    def test_lock_is_no_trap(self):
        """A link in its place is not followed: what it leads to is neither made nor changed."""
        victim = self.temporary_folder() + "/victim"
        for exists in (False, True):
            folder = self.temporary_folder()
            if exists:
                with open(victim, "w", encoding="utf-8") as file:
                    file.write("mine")
                os.chmod(victim, 0o640)
            os.symlink(victim, folder + "/control.sock.lock")
            self.refused(folder, word="lock")
            self.assertEqual(os.path.exists(victim), exists)
        with open(victim, encoding="utf-8") as file:
            self.assertEqual(file.read(), "mine")
        self.assertEqual(stat.S_IMODE(os.stat(victim).st_mode), 0o640)

    def test_left_of_one_that_is_no_more(self):
        """A process of its own has lock and socket for a moment longer: that is waited for."""
        folder = self.temporary_folder()
        command = [sys.executable, "-c", LEAVES_A_PROCESS, folder + "/control.sock"]
        with subprocess.Popen(command, stdin=subprocess.PIPE) as before:
            self.assertEqual(before.wait(PATIENCE), 0)
            d = self.daemon(self.config, folder=folder, wait=False)
            stays(lambda: d.process.poll() is None, "its waiting")
            before.stdin.close()
        d.wait_ready()

    def test_replaced_while_it_runs(self):
        """What others have put there meanwhile gets neither the mode nor the end of ours."""
        d = self.daemon({"control": {"mode": "0600"}, "services": {}})
        os.unlink(d.socket)
        with open(d.socket, "w", encoding="utf-8") as file:
            file.write("mine")
        os.chmod(d.socket, 0o640)
        d.write_config({"control": {"mode": "0666"}, "services": {}})
        d.process.send_signal(signal.SIGHUP)
        d.wait_log(event="reloaded")
        stays(lambda: stat.S_IMODE(os.stat(d.socket).st_mode) == 0o640, "its mode", 0.3)
        d.baseline = None
        d.stop()
        with open(d.socket, encoding="utf-8") as file:
            self.assertEqual(file.read(), "mine")

    @need_root
    def test_race_for_the_path(self):
        """In a folder like /tmp, somebody puts links to a file of ours, files and sockets at the path all the time, while
        daemons start and end: that file stays as it is. Nothing is promised but that."""
        folder = self.temporary_folder()
        path = folder + "/run"
        os.mkdir(path)
        os.chmod(path, 0o1777)
        victim = folder + "/victim"
        with open(victim, "w", encoding="utf-8") as file:
            file.write("mine")
        os.chmod(victim, 0o600)
        attacker, pipe = LOOKER.start(fight_for, path, victim)
        self.addCleanup(pipe.close)
        self.addCleanup(attacker.kill)
        started, end = 0, time.monotonic() + 6
        while time.monotonic() < end:
            d = self.daemon({"control": {"mode": "0666", "group": "adm"}, "services": {}}, wait=None)
            d.socket = path + "/control.sock"
            d.start(wait=False)
            with contextlib.suppress(subprocess.TimeoutExpired):
                d.process.wait(0.15)
            started += d.process.poll() is None
            if d.process.poll() is None:
                d.stop()
            self.assertIn(d.process.returncode if d.process else 0, (0, 1), d.log_text())
            d.process = None
            info = os.stat(victim)
            self.assertEqual((stat.S_IMODE(info.st_mode), info.st_uid, info.st_gid, info.st_nlink), (0o600, 0, 0, 1))
        with open(victim, encoding="utf-8") as file:
            self.assertEqual(file.read(), "mine")


def fight_for(folder, victim):
    path, own = folder + "/control.sock", folder + "/own"
    while True:
        for make in (lambda: os.symlink(victim, own), lambda: os.close(os.open(own, os.O_CREAT | os.O_WRONLY)),
                     lambda: socket.socket(socket.AF_UNIX).bind(own)):
            for step in (lambda: os.unlink(own), make, lambda: os.rename(own, path), lambda: os.unlink(path)):
                with contextlib.suppress(OSError):
                    step()
        time.sleep(0.0002)


if __name__ == "__main__":
    unittest.main()
