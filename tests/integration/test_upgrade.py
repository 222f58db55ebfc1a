# SPDX-License-Identifier: MIT
"""The upgrade in place: another program goes on in the daemon's process. What becomes of processes, services and control
clients in detail stands in test_handover_*.py; the long run under load in test_never_lost.py."""
import contextlib
import errno
import fcntl
import json
import os
import resource
import signal
import socket
import stat
import struct
import subprocess
import termios
import threading
import time
import unittest

from faults import Injection, tracing_works
from harness import (MPINETD, PATIENCE, SANITIZED, SERVICES, SLOW, DaemonTest, Varlink, VarlinkError, children_of, exchange,
                     free_port, listening_sockets, need_program, parse_probe, process_alive, read_all,
                     sanitizer_environment, wait_until)
from steady import Held, Load

VERSION = subprocess.run([MPINETD, "--version"], capture_output=True, text=True, check=True,
                         env={**os.environ, **sanitizer_environment()}).stdout.split()[1]
# A program that says another version of itself, of the same length.
OTHER = VERSION[:-1] + ("9" if VERSION[-1] != "9" else "8")
# What may be read of it at once costs no time; what waits for the helper does.
ANSWER = PATIENCE * 3


def sockets_of(pid):
    """{descriptor: inode} of its listening sockets."""
    listening = listening_sockets(pid)
    found = {}
    for fd in os.listdir(f"/proc/{pid}/fd"):
        with contextlib.suppress(FileNotFoundError):
            target = os.readlink(f"/proc/{pid}/fd/{fd}")
            if target in listening:
                found[int(fd)] = target
    return found


class UpgradeTest(DaemonTest):
    """Daemons that run a copy of the program, which can be replaced."""

    def install(self, version=VERSION):
        """As a package manager does it: another file under the same name."""
        with open(MPINETD, "rb") as file:
            program = file.read().replace(VERSION.encode(), version.encode())
        self.put(program)

    def put(self, program, mode=0o755):
        new = self.program + ".new"
        with open(new, "wb") as file:
            file.write(program)
        os.chmod(new, mode)
        os.rename(new, self.program)

    def daemon(self, config, **options):
        self.program = os.path.join(self.temporary_folder(), "mpinetd")
        self.install()
        return super().daemon(config, program=self.program, **options)

    def upgrade(self, d, version=None):
        """To another version, unless it says to which; the reply."""
        before = d.call("Ping")
        version = version or (OTHER if before["version"] == VERSION else VERSION)
        self.install(version)
        with d.connect(ANSWER) as control:
            reply = control.call("Upgrade")
        self.assertEqual((reply["version"], reply["previous"]), (version, before["version"]))
        self.assertEqual(d.call("Ping"), {"version": version, "pid": before["pid"]})
        self.assertLessEqual(reply["pause_usec"], reply["duration_usec"])
        return reply

    def refused(self, d):
        """The error of an upgrade that comes to nothing; what runs goes on."""
        before, sockets = d.call("Ping"), sockets_of(d.pid)
        with self.assertRaises(VarlinkError) as caught, d.connect(ANSWER) as control:
            control.call("Upgrade")
        self.assertEqual(d.call("Ping"), before)
        self.assertEqual(sockets_of(d.pid), sockets)
        return caught.exception


ECHO = {"listen": "tcp:127.0.0.1:0", "exec": ["mp-echo"]}


class Upgrade(UpgradeTest):
    def test_it_goes_on(self):
        """The same process with the same sockets, and all that is known."""
        d = self.daemon({"services": {
            "s": ECHO, "u": {"listen": "unix:{dir}/u.sock", "exec": ["mp-echo"]},
            "d": {"listen": "udp:127.0.0.1:0", "exec": ["mp-echo"]},
            "f": {"listen": "tcp:127.0.0.1:0", "exec": ["/bin/false"]}, "off": {**ECHO, "enabled": False}}})
        held = d.dial("s")
        self.addCleanup(held.close)
        self.assertEqual(exchange(d.dial("u"), b"x"), b"x")
        self.assertEqual(read_all(d.dial("f")), b"")
        d.wait_service("f", exited={"ok": 0, "failed": 1, "signaled": 0, "timeout": 0, "unknown": 0})
        d.wait_service("u", active=0)
        d.call("Reload")
        sockets, before = sockets_of(d.pid), d.status()
        reply = self.upgrade(d)
        self.assertEqual(sockets_of(d.pid), sockets)
        after = d.status()
        for key in ("pid", "state", "generation", "config", "last_reload", "children"):
            self.assertEqual(after["daemon"][key], before["daemon"][key], key)
        self.assertGreater(after["daemon"]["uptime_usec"], before["daemon"]["uptime_usec"])
        for one, other in zip(before["services"], after["services"]):
            one.pop("accept_rate"), other.pop("accept_rate")
            self.assertEqual(other, one)
        held.sendall(b"still there")
        self.assertEqual(held.recv(20), b"still there")
        self.assertEqual(d.ask("s", b"new"), b"new")
        self.assertEqual(d.ask("u", b"new"), b"new")
        events = d.log(event="upgraded")
        self.assertEqual(len(events), 1)
        self.assertIn(f"version {OTHER} runs in place of {VERSION}; the pause was ", events[0]["message"])
        self.assertLess(reply["pause_usec"], 10 * PATIENCE * 1e5)
        # And back, by mpctl, which is of the older version now.
        self.install()
        run = d.mpctl("upgrade", check=0)
        self.assertRegex(run.stdout, rf"^mpinetd {VERSION} runs in place of {OTHER}; the pause was [0-9.]+ m?s\n$")
        self.assertEqual(json.loads(d.mpctl("--json", "upgrade", check=0).stdout)["previous"], VERSION)
        self.assertEqual(exchange(held, b"x"), b"x")
        d.wait_service("s", active=0)
        self.assertEqual(d.service("s")["spawned"], 2)

    def test_by_signal(self):
        d = self.daemon({"services": {"s": ECHO}})
        self.install(OTHER)
        d.process.send_signal(signal.SIGUSR2)
        d.wait_log(event="upgraded")
        self.assertEqual(d.call("Ping")["version"], OTHER)
        # The stop of what an upgrade runs is as clean as that of any.
        self.assertEqual(d.ask("s", b"x"), b"x")

    def test_without_waiting(self):
        d = self.daemon({"services": {"s": ECHO}})
        self.install(OTHER)
        self.assertEqual(d.mpctl("upgrade", "--no-wait", check=0).stdout, "mpinetd: upgrading\n")
        d.wait_log(event="upgraded")
        wait_until(lambda: d.call("Ping")["version"] == OTHER)

    def test_orders_and_limits_stay(self):
        d = self.daemon({"services": {"p": ECHO, "stopped": ECHO, "s": {**ECHO, "limits": {"instances": 5}},
                                      "slow": {**ECHO, "limits": {"rate_per_source": "1/1h burst 2"}}}})
        d.call("Pause", services=["p"])
        d.call("Stop", services=["stopped"])
        d.call("Set", service="s", limits={"instances": 7, "rate": "50/s"})
        self.assertEqual(d.ask("slow", b"1"), b"1")
        self.assertEqual(d.ask("slow", b"2"), b"2")
        self.assertEqual(d.ask("slow", b"3"), b"")
        waiting = d.dial("p")
        self.addCleanup(waiting.close)
        self.upgrade(d)
        self.assertEqual(d.service("p")["state"], "paused")
        self.assertEqual(d.service("stopped")["state"], "stopped")
        described = d.call("Describe", service="s")
        self.assertEqual(described["limits"]["instances"], 7)
        self.assertEqual({c["key"] for c in described["set"]}, {"limits.instances", "limits.rate"})
        self.assertEqual(d.ask("slow", b"4"), b"", "the rate of before still holds")
        self.assertEqual(d.service("slow")["refused"]["rate_per_source"], 2)
        d.call("Resume", services=["p"])
        self.assertEqual(exchange(waiting, b"waited"), b"waited")
        d.call("Start", services=["stopped"])
        self.assertEqual(d.ask("stopped", b"x"), b"x")
        # What Set has changed lasts until a reload, not until an upgrade.
        d.call("Reload")
        self.assertEqual(d.call("Describe", service="s")["limits"]["instances"], 5)

    @need_program("prlimit")
    def test_children_get_the_first_limits(self):
        """Not those to which the daemon has raised its own, nor anything of the upgrade."""
        soft = min(300, resource.getrlimit(resource.RLIMIT_NOFILE)[0])
        d = self.daemon({"services": {"s": {"listen": "tcp:127.0.0.1:0", "exec": ["{probe}"]}}},
                        wrap=["prlimit", f"--nofile={soft}:"])
        before = d.probe("s")
        self.upgrade(d)
        self.upgrade(d)
        after = d.probe("s")
        self.assertEqual(before["rlimits"]["nofile"][0], soft, "the probe tells of it")
        own = ("pid", "sid", "pgid", "environ", "env", "fds", "by_fd", "status")
        self.assertEqual({key: x for key, x in after.items() if key not in own},
                         {key: x for key, x in before.items() if key not in own})
        # Signals blocked, ignored and caught, capabilities, ids, and the like.
        lasting = ("Umask", "NoNewPrivs", "Seccomp", "Seccomp_filters", "Uid", "Gid", "Groups", "Cpus_allowed", "Mems_allowed",
                   "SigBlk", "SigIgn", "SigCgt", "CapInh", "CapPrm", "CapEff", "CapBnd", "CapAmb", "Threads", "TracerPid")
        self.assertIn("SigBlk", before["status"])
        self.assertEqual({name: after["status"].get(name) for name in lasting},
                         {name: before["status"].get(name) for name in lasting})
        differs = {name for name in {*before["env"], *after["env"]} if before["env"].get(name) != after["env"].get(name)}
        self.assertLessEqual(differs, {"REMOTE_PORT", "TCPREMOTEPORT", "MP_INSTANCE", "LISTEN_PID"})
        self.assertEqual(*({fd: [x[key] for key in ("type", "cloexec", "nonblock", "access")] for fd, x in told["by_fd"].items()}
                           for told in (after, before)))

    def test_what_changed_on_disk_waits_for_a_reload(self):
        d = self.daemon({"services": {"s": {**ECHO, "limits": {"instances": 5}}}})
        port = d.port("s")
        d.write_config({"services": {"s": {**ECHO, "limits": {"instances": 9}}, "more": ECHO}})
        self.upgrade(d)
        self.assertEqual([s["name"] for s in d.status()["services"]], ["s"])
        self.assertEqual((d.service("s")["instances_limit"], d.status()["daemon"]["generation"]), (5, 1))
        self.assertEqual(d.call("Reload")["generation"], 2)
        self.assertEqual((d.service("s")["instances_limit"], d.port("s")), (9, port))
        self.assertEqual(d.ask("more", b"x"), b"x")

    def test_half_a_line(self):
        """What a process has written of a line before, and writes of it after, is one line."""
        script = "printf 'one half ' >&2; read x; echo and the other >&2; read x; exit 7"
        d = self.daemon({"services": {"s": {"listen": "tcp:127.0.0.1:0", "exec": ["/bin/sh", "-c", script]}}})
        with d.dial("s") as s:
            d.wait_service("s", active=1)
            pid = d.instances("s")[0]["pid"]
            wait_until(lambda: not pending_output(d, pid), "the half to be read")
            self.upgrade(d)
            s.sendall(b"\n")
            line = d.wait_log(event="stderr")[0]
            self.assertEqual(line["message"], "one half and the other")
            self.upgrade(d)
            s.sendall(b"\n")
            d.wait_service("s", active=0)
        self.assertEqual(d.service("s")["exited"]["failed"], 1)
        self.assertEqual([e["exit_code"] for e in d.log(event="ended")], [7])

    def test_text_that_looks_like_something(self):
        """What processes say of themselves stays text: newlines, NUL and look-alikes of fields mean nothing."""
        texts = ["fd=3", "x\\x00fd=7", "MPINETD_HANDOVER=1:3", "a=b;c={\\\"d\\\":1}", "y" * 4000]
        script = "".join(f"printf 'STATUS={t}\\n' >&$MP_STATUS_FD; " for t in texts) + "read x"
        d = self.daemon({"services": {"s": {"listen": "tcp:127.0.0.1:0", "report": True,
                                            "exec": ["/bin/sh", "-c", script]}}})
        with d.dial("s"):
            before = wait_until(lambda: (d.instances("s") or [{}])[0].get("status") or None, "a status")
            wait_until(lambda: d.instances("s")[0]["status"].startswith("yyy"), "the last status")
            before = d.instances("s")[0]["status"]
            self.upgrade(d)
            self.assertEqual(d.instances("s")[0]["status"], before)

    def test_try(self):
        """A daemon without a config file."""
        self.program = os.path.join(self.temporary_folder(), "mpinetd")
        self.install()
        folder = self.temporary_folder()
        environment = {"PATH": os.environ["PATH"], "TMPDIR": folder, "MPINETD_LIBEXECDIR": SERVICES,
                       **sanitizer_environment()}
        port = free_port()
        with open(os.path.join(folder, "log"), "wb") as log:
            process = subprocess.Popen([self.program, "--try", f"tcp:127.0.0.1:{port}", "--", "cat", "--", "-"],
                                       env=environment, stdin=subprocess.DEVNULL, stdout=log, stderr=log, cwd=folder)
        self.addCleanup(process.kill)
        found = wait_until(lambda: [os.path.join(root, "control.sock") for root, _, files in os.walk(folder)
                                    if "control.sock" in files], "its control socket")

        def ask():
            with socket.create_connection(("127.0.0.1", port), PATIENCE) as s:
                return exchange(s, b"hello")
        def control_answers():
            with contextlib.suppress(OSError), Varlink(found[0]) as control:
                return control.call("Ping")
            return None
        wait_until(lambda: connects(port), "it to listen")
        wait_until(control_answers, "its control socket to be listened on")
        self.install(OTHER)
        with Varlink(found[0], ANSWER) as control:
            self.assertEqual(control.call("Upgrade")["version"], OTHER)
        self.assertEqual(ask(), b"hello")
        process.terminate()
        self.assertEqual(process.wait(PATIENCE + 15), 0)
        self.assertEqual(os.listdir(folder), ["log"], "its folder is gone")


def connects(port):
    try:
        socket.create_connection(("127.0.0.1", port), PATIENCE).close()
        return True
    except ConnectionRefusedError:
        return False


def pending_output(d, pid):
    """Whether something that the process has written to stderr has not been read: FIONREAD of the pipe's other end."""
    target = os.readlink(f"/proc/{pid}/fd/2")
    for fd in os.listdir(f"/proc/{d.pid}/fd"):
        with contextlib.suppress(FileNotFoundError):
            if os.readlink(f"/proc/{d.pid}/fd/{fd}") == target:
                pipe = os.open(f"/proc/{d.pid}/fd/{fd}", os.O_RDONLY | os.O_NONBLOCK)
                try:
                    return struct.unpack("i", fcntl.ioctl(pipe, termios.FIONREAD, b"\0" * 4))[0] > 0
                finally:
                    os.close(pipe)
    return False


class Refused(UpgradeTest):
    """A program that cannot take over: the old one serves on, and says why."""

    def setUp(self):
        self.d = self.daemon({"services": {"s": ECHO, "u": {"listen": "unix:{dir}/u.sock", "exec": ["mp-echo"]},
                                           "w": {**ECHO, "model": "pool", "pool": {"min": 1, "max": 2}}}})
        self.held = self.d.dial("s")
        self.addCleanup(self.held.close)
        self.pid = self.d.call("Ping")["pid"]

    def assert_goes_on(self):
        self.held.sendall(b"x")
        self.assertEqual(self.held.recv(10), b"x")
        for name in ("s", "u", "w"):
            self.assertEqual(self.d.ask(name, b"y"), b"y")
        self.assertTrue(stat.S_ISSOCK(os.stat(self.d.path("u.sock")).st_mode))

    def assert_failed(self, step, number, *words):
        error = self.refused(self.d)
        self.assertEqual(error.name, "dev.mpinetd.Control.Failed", error)
        self.assertEqual((error.parameters["step"], error.parameters["errno"]), (step, number), error)
        for word in (*words, "goes on"):
            self.assertIn(word, error.parameters["message"])
        event = self.d.log(event="upgrade_failed")[-1]
        self.assertEqual((event["message"], event["step"]), (error.parameters["message"], step))
        self.assert_goes_on()

    def test_programs(self):
        os.unlink(self.program)
        self.assert_failed("exec", errno.ENOENT, "No such file", "put the new program there")
        self.put(b"just text\n" * 10)
        self.assert_failed("exec", errno.ENOEXEC, "no program for this machine")
        self.put(b"#!/bin/sh\nexit 0\n", 0o644)
        self.assert_failed("exec", errno.EACCES, "make it executable")
        # The head of a program for another architecture (e_machine 183 is AArch64, 62 x86-64).
        foreign = 183 if os.uname().machine == "x86_64" else 62
        self.put(b"\x7fELF\x02\x01\x01" + bytes(9) + struct.pack("<HHIQQQIHHHHHH", 2, foreign, 1, 0x400000, 64, 0, 0, 64,
                                                                56, 1, 64, 0, 0) + bytes(200))
        self.assert_failed("exec", errno.ENOEXEC, "no program for this machine")
        for script, words in (("exit 0", "ended without a word"), ("exit 1", "exit status 1"),
                              ("kill -SEGV $$", "killed by SIGSEGV"), ("kill -ABRT $$", "killed by SIGABRT"),
                              ("for a; do :; done; echo nonsense > /proc/self/fd/${a##*=}", "without a word"),
                              ("echo nonsense >&2; exit 2", "exit status 2")):
            self.put(f"#!/bin/sh\n{script}\n".encode())
            self.assert_failed("proof", None, words)
        # One that does what it likes with the copies that it got.
        self.put(b"#!/usr/bin/env python3\nimport os\nfor fd in range(3, 1000):\n  try:\n    os.close(fd)\n"
                 b"  except OSError: pass\nos._exit(0)\n")
        self.assert_failed("proof", None, "without a word")
        self.upgrade(self.d)
        self.assert_goes_on()

    def test_one_that_hangs(self):
        """It goes on serving meanwhile; a second upgrade is told so; the helper is ended in the end."""
        self.put(b"#!/bin/sh\nexec sleep 1000\n")
        with self.d.connect(ANSWER * 2) as control:
            control.send("Upgrade")
            helper = wait_until(lambda: [pid for pid, _ in children_of(self.pid) if command_of(pid) == "sleep"], "it to run")[0]
            self.assert_goes_on()
            with self.assertRaises(VarlinkError) as caught:
                self.d.call("Upgrade")
            self.assertEqual(caught.exception.name, "dev.mpinetd.Control.InvalidState")
            self.assertIn("an upgrade is under way", caught.exception.parameters["reason"])
            if not SLOW:
                os.kill(helper, signal.SIGKILL)
            with self.assertRaises(VarlinkError) as caught:
                control.parameters_of(control.receive())
        self.assertIn("took longer than 30 s" if SLOW else "killed by SIGKILL", caught.exception.parameters["message"])
        wait_until(lambda: not process_alive(helper), "the helper to end")
        self.upgrade(self.d)
        self.assert_goes_on()

    def test_stop_while_it_is_proven(self):
        self.put(b"#!/bin/sh\nexec sleep 1000\n")
        self.held.close()
        self.d.wait_service("s", active=0)
        with self.d.connect(ANSWER) as control:
            control.send("Upgrade")
            helper = wait_until(lambda: [pid for pid, _ in children_of(self.pid) if command_of(pid) == "sleep"], "it to run")[0]
            self.d.process.terminate()
            with self.assertRaises(VarlinkError) as caught:
                control.parameters_of(control.receive())
        self.assertEqual(caught.exception.name, "dev.mpinetd.Control.InvalidState")
        self.assertIn("stopping", caught.exception.parameters["reason"])
        self.assertEqual(self.d.process.wait(PATIENCE), 0)
        wait_until(lambda: not process_alive(helper), "the helper to end")

    def test_config_with_errors(self):
        """As with a reload: all errors, with their places; nothing of the file is in force."""
        good = open(self.d.config_path, encoding="utf-8").read()
        self.d.write_config("version: 1\nservices:\n  s:\n    lisen: tcp:1\n    exec: [mp-echo]\n  t: {listen: tcp:2}\n")
        error = self.refused(self.d)
        self.assertEqual(error.name, "dev.mpinetd.Control.InvalidConfig")
        self.assertFalse(error.parameters["ok"])
        found = [(d["file"], d["line"], d["code"]) for d in error.parameters["diagnostics"]]
        self.assertIn((self.d.config_path, 4, "unknown-key"), found)
        run = self.d.mpctl("upgrade", check=1)
        self.assertIn("mpinetd.yaml:4:5: error: unknown key 'lisen'", run.stderr)
        # What is missing is an error as well, as with -t.
        self.d.write_config({"services": {"s": {**ECHO, "exec": ["/nonexistent/program"]}}})
        self.assertEqual(self.refused(self.d).parameters["diagnostics"][0]["code"], "not-found")
        os.unlink(self.d.config_path)
        self.assertEqual(self.refused(self.d).name, "dev.mpinetd.Control.InvalidConfig")
        self.assert_goes_on()
        self.d.write_config(good)
        self.upgrade(self.d)
        self.assert_goes_on()


def command_of(pid):
    try:
        with open(f"/proc/{pid}/comm", encoding="utf-8", errors="replace") as comm:
            return comm.read().strip()
    except (FileNotFoundError, ProcessLookupError):
        return None


@need_program("strace")
@unittest.skipUnless(tracing_works(), "needs to be allowed to trace")
@unittest.skipIf(SANITIZED, "a sanitizer's own calls would fail as well")
class Window(UpgradeTest):
    """What happens within execve(2). What fails between the request and execve(2): test_sweep.py."""

    def delayed(self, d):
        """A context in which the execve(2) of the upgrade takes a second; tells when it is there."""
        return Injection(d.pid, "execve:delay_enter=1000000")

    def begin(self, d, control):
        control.send("Upgrade")
        wait_until(lambda: in_execve(d.pid), "execve", deadline=ANSWER, interval=0.002)

    def test_what_comes_meanwhile(self):
        """Deaths, requests, status lines, connections and signals in the middle of execve(2)."""
        script = ("echo READY=1 >&$MP_STATUS_FD; while read x; do echo STATUS=$x >&$MP_STATUS_FD; echo said $x >&2; done; "
                  "exit 5")
        d = self.daemon({"services": {"s": {"listen": "tcp:127.0.0.1:0", "report": True, "exec": ["/bin/sh", "-c", script]},
                                      "echo": ECHO}})
        a, b, c = d.dial("s"), d.dial("s"), d.dial("s")
        for s in (a, b, c):
            self.addCleanup(s.close)
        d.wait_service("s", active=3)
        pids = {i["peer"]: i["pid"] for i in d.instances("s")}
        pid = {s: pids["%s:%d" % s.getsockname()] for s in (a, b, c)}
        port = d.port("echo")
        with d.connect(ANSWER) as control, d.connect(ANSWER) as other, self.delayed(d):
            self.begin(d, control)
            os.kill(pid[a], signal.SIGKILL)
            b.close()
            c.sendall(b"meanwhile\n")
            other.send("Ping")
            new = socket.create_connection(("127.0.0.1", port), PATIENCE)
            self.addCleanup(new.close)
            new.sendall(b"queued")
            os.kill(d.pid, signal.SIGHUP)
            os.kill(d.pid, signal.SIGUSR1)
            self.assertTrue(in_execve(d.pid), "it was quicker than this test")
            self.assertEqual(control.parameters_of(control.receive())["previous"], VERSION)
            self.assertEqual(other.parameters_of(other.receive())["pid"], d.pid)
            self.assertEqual(new.recv(10), b"queued")
        d.wait_service("s", active=1, exited={"ok": 0, "failed": 1, "signaled": 1, "timeout": 0, "unknown": 0})
        ended = {e["pid"]: e for e in d.log(event="ended")}
        self.assertEqual(ended[pid[a]]["signal"], "SIGKILL")
        self.assertEqual(ended[pid[b]]["exit_code"], 5)
        wait_until(lambda: d.instances("s")[0]["status"] == "meanwhile", "the status")
        wait_until(lambda: [e for e in d.log(event="stderr") if e["message"] == "said meanwhile"], "the line")
        d.wait_log(event="reloaded")
        d.wait_log(event="summary")

    def test_term_meanwhile(self):
        """The new program acts on it."""
        d = self.daemon({"services": {"echo": ECHO}})
        with d.connect(ANSWER) as control, self.delayed(d):
            self.begin(d, control)
            os.kill(d.pid, signal.SIGTERM)
            self.assertEqual(control.parameters_of(control.receive())["previous"], VERSION)
            self.assertEqual(d.process.wait(PATIENCE), 0)
        self.assertEqual([e["event"] for e in d.log() if e["event"] in ("upgraded", "stopping", "stopped")],
                         ["upgraded", "stopping", "stopped"])


def in_execve(pid):
    """Whether the process has been asked to run the new program, and strace holds it there."""
    try:
        with open(f"/proc/{pid}/syscall", encoding="utf-8") as file:
            words = file.read().split()
    except OSError:
        return False
    return bool(words) and words[0] == {"x86_64": "59", "aarch64": "221"}.get(os.uname().machine, "59")


class Order(UpgradeTest):
    """What else is under way."""

    def test_during_a_drain(self):
        d = self.daemon({"services": {"s": ECHO, "other": ECHO}})
        held = d.dial("s")
        self.addCleanup(held.close)
        d.wait_service("s", active=1)
        with d.connect(ANSWER) as waits:
            waits.send("Drain", {"services": ["s"]})
            d.wait_service("s", state="draining")
            self.upgrade(d)
            self.assertEqual(d.service("s")["state"], "draining")
            held.sendall(b"x")
            self.assertEqual(held.recv(10), b"x")
            held.close()
            self.assertEqual(waits.parameters_of(waits.receive())["services"], ["s"])
        self.assertEqual(d.service("s")["state"], "stopped")

    def test_many_at_once(self):
        """One is done, the others are told."""
        d = self.daemon({"services": {"s": ECHO}})
        results = []

        def ask():
            with d.connect(ANSWER) as control:
                try:
                    results.append(control.call("Upgrade")["version"])
                except VarlinkError as error:
                    results.append(error.name.rsplit(".", 1)[1])
        threads = [threading.Thread(target=ask) for _ in range(10)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(ANSWER)
        self.assertEqual(len(results), 10)
        self.assertLessEqual(set(results), {VERSION, "InvalidState"})
        wait_until(lambda: results.count(VERSION) == len(d.log(event="upgraded")), "a line for each")
        self.assertGreaterEqual(results.count(VERSION), 1)

    def test_with_reloads(self):
        """They come one after the other, whichever way they meet."""
        d = self.daemon({"services": {"s": ECHO}})
        over = threading.Event()
        reloads, problems = [], []

        def reload():
            while not over.is_set():
                try:
                    with d.connect(ANSWER) as control:
                        reloads.append(control.call("Reload")["generation"])
                except (VarlinkError, OSError) as error:
                    problems.append(repr(error))
        threads = [threading.Thread(target=reload) for _ in range(2)]
        for thread in threads:
            thread.start()
        try:
            for _ in range(5):
                self.upgrade(d)
        finally:
            over.set()
            for thread in threads:
                thread.join(ANSWER)
        self.assertEqual(problems, [])
        self.assertEqual(d.status()["daemon"]["generation"], max(reloads))
        self.assertEqual(d.ask("s", b"x"), b"x")

    def test_a_second_one_after_a_failed_one(self):
        d = self.daemon({"services": {"s": ECHO}})
        self.put(b"#!/bin/sh\nexit 3\n")
        for _ in range(3):
            self.refused(d)
        self.upgrade(d)
        self.put(b"#!/bin/sh\nexit 3\n")
        self.refused(d)
        self.upgrade(d)


class Follower:
    """Reads all that happens, so that it misses nothing."""

    def __init__(self, d):
        self.control = d.connect(ANSWER)
        self.upgraded, self.missed, self.problem = 0, 0, None
        self.control.send("Events", {"last": 0}, more=True)
        self.thread = threading.Thread(target=self._read, daemon=True)
        self.thread.start()

    def _read(self):
        try:
            while True:
                part = self.control.parameters_of(self.control.receive())
                self.upgraded += sum(e["event"] == "upgraded" for e in part["events"])
                self.missed += part["missed"]
        except (OSError, ValueError) as problem:
            self.problem = problem

    def wait_upgraded(self, times):
        wait_until(lambda: self.upgraded + self.missed >= times or self.problem, "the events of all upgrades")
        if self.problem or (self.upgraded != times and self.missed == 0):
            raise AssertionError(f"{self.upgraded} of {times}, {self.missed} missed: {self.problem!r}")

    def close(self):
        self.control.socket.shutdown(socket.SHUT_RDWR)
        self.thread.join(PATIENCE)
        self.control.close()


class UnderLoad(UpgradeTest):
    def test_nobody_notices(self):
        """Ten upgrades with every kind of service at work, and somebody who follows the events."""
        pool = {"listen": "tcp:127.0.0.1:0", "model": "pool", "exec": ["mp-echo"]}
        d = self.daemon({"services": {
            "forks": ECHO, "ahead": {**ECHO, "prespawn": 3},
            "passed": {**pool, "pool": {"min": 2, "max": 4, "handoff": "connection"}},
            "workers": {**pool, "pool": {"min": 2, "max": 4}},
            "waits": {**ECHO, "model": "on-demand"},
            "back": {"listen": "unix:{dir}/back.sock", "exec": ["mp-echo"]},
            "on": {"listen": "tcp:127.0.0.1:0", "model": "forward", "to": "unix:{dir}/back.sock"}}})
        times = 3 if SANITIZED else 10
        # What others do on the machine is no fault of the daemon's.
        measured = not SANITIZED and (SLOW or os.getloadavg()[0] < (os.cpu_count() or 1) / 2)
        ports = {name: d.port(name) for name in ("forks", "ahead", "passed", "workers", "waits", "on")}
        sockets = sockets_of(d.pid)
        workers = {i["pid"] for name in ("passed", "workers") for i in d.instances(name)}
        follower = Follower(d)
        self.addCleanup(follower.close)
        pauses = []
        with Load(self, ports, at_once=1 if SANITIZED else 2) as load, Held(self, ports["forks"], 10) as held, \
                Held(self, ports["passed"], 5), Held(self, ports["on"], 5):
            kept = {i["pid"] for i in d.instances("forks")}
            for _ in range(times):
                pauses.append(self.upgrade(d)["pause_usec"])
                time.sleep(0.1)
            kept &= {i["pid"] for i in d.instances("forks")}
        print(f"      {times} upgrades, {load.answered} connections answered, {load.rate:.0f} a second, none lost; pauses of "
              f"{min(pauses) / 1000:.1f} to {max(pauses) / 1000:.1f} ms", flush=True)
        if measured:
            self.assertGreaterEqual(load.rate, 500)
        self.assertGreaterEqual(len(kept), 10)
        self.assertEqual(sockets_of(d.pid), sockets)
        alive = {i["pid"] for name in ("passed", "workers") for i in d.instances(name)}
        self.assertTrue(workers & alive, "workers live on")
        self.assertGreater(held.rounds, 1)
        for name in ("forks", "ahead", "back"):
            s = d.wait_idle(name)
            self.assertEqual(s["accepted"], s["spawned"], s)
            self.assertEqual(s["exited"], {**dict.fromkeys(s["exited"], 0), "ok": s["spawned"]})
        self.assertEqual(len(d.log(event="upgraded")), times)
        follower.wait_upgraded(times)
        self.assertEqual(d.log(event="upgrade_failed"), [])

    def test_many_endpoints_and_processes(self):
        """How long nothing is accepted, with much to hand over."""
        n_endpoints, n_children = (2000, 5000) if SLOW else (40, 40) if SANITIZED else (300, 300)
        needed = n_endpoints + 2 * n_children + 200
        if resource.getrlimit(resource.RLIMIT_NOFILE)[1] < needed:
            self.skipTest(f"needs {needed} descriptors")
        services = {f"s{i:04}": {"listen": f"unix:{{dir}}/{i}.sock", "exec": ["/bin/cat"], "limits": {"instances": 10000}}
                    for i in range(n_endpoints)}
        d = self.daemon({"services": services})
        held = []
        for i in range(n_children):
            s = socket.socket(socket.AF_UNIX)
            self.addCleanup(s.close)
            s.settimeout(PATIENCE * 30)
            s.connect(d.path(f"{i % n_endpoints}.sock"))
            held.append(s)
        for s in held:
            s.sendall(b"?")
        for s in held:
            self.assertEqual(s.recv(2), b"?")
        before = d.status()
        reply = self.upgrade(d)
        print(f"      {n_endpoints} endpoints, {n_children} processes: a pause of {reply['pause_usec'] / 1000:.0f} ms, "
              f"{reply['duration_usec'] / 1000:.0f} ms in all", flush=True)
        self.assertEqual([s["active"] for s in d.status()["services"]], [s["active"] for s in before["services"]])
        for s in held:
            s.sendall(b"x")
        for s in held:
            self.assertEqual(s.recv(2), b"x")
        if SLOW:
            self.assertLess(reply["pause_usec"], 1000000)
        for s in held:
            s.close()
        wait_until(lambda: d.status()["daemon"]["children"] == 0, "their ends", deadline=PATIENCE * 6)
        self.assertEqual(sum(s["exited"]["ok"] for s in d.status()["services"]), n_children)


def run_with_state(folder, blob, listen, arguments, seal=True):
    """The program as execve(2) of an upgrade runs it, with this as the state; returns the process."""
    def before_exec():
        fd = os.memfd_create("state", os.MFD_ALLOW_SEALING)
        os.write(fd, blob)
        if seal:
            fcntl.fcntl(fd, 1033, 0x2 | 0x4 | 0x8)  # F_ADD_SEALS: SHRINK, GROW, WRITE
        os.set_inheritable(fd, True)
        os.environ["MPINETD_HANDOVER"] = f"{os.getpid()}:{fd}"
        os.execve(MPINETD, [MPINETD, *arguments], os.environ)
    log = open(os.path.join(folder, "log"), "ab")
    with log:
        return subprocess.Popen([MPINETD], preexec_fn=before_exec, pass_fds=[s.fileno() for s in listen], stdout=log, stderr=log,
                                stdin=subprocess.DEVNULL,
                                env={"PATH": os.environ["PATH"], "MPINETD_LIBEXECDIR": SERVICES, **sanitizer_environment()})


class LastResort(DaemonTest):
    """A state that cannot be taken over after all: the program starts anew, with the sockets that it was left."""

    def test_garbage(self):
        for blob in (b"", b"MPINETD\n", b"x" * 100, b"MPINETD\n" + bytes(24), os.urandom(4096)):
            with self.subTest(blob=blob[:16]), socket.create_server(("127.0.0.1", 0)) as listener:
                folder = self.temporary_folder()
                port = listener.getsockname()[1]
                with open(os.path.join(folder, "c.yaml"), "w", encoding="utf-8") as file:
                    json.dump({"version": 1, "defaults": {"user": "self"},
                               "services": {"s": {"listen": f"tcp:127.0.0.1:{port}", "exec": ["mp-echo"]}}}, file)
                with socket.create_connection(("127.0.0.1", port), PATIENCE) as waiting:
                    path = os.path.join(folder, "control.sock")
                    process = run_with_state(folder, blob, [listener], ["-c", os.path.join(folder, "c.yaml"), "-s", path,
                                                                        "--log-target", "stderr"])
                    self.addCleanup(process.kill)
                    try:
                        waiting.settimeout(ANSWER)
                        self.assertEqual(exchange(waiting, b"waited"), b"waited")
                        wait_until(lambda: os.path.exists(path), "the control socket")
                        with Varlink(path, ANSWER) as control:
                            self.assertTrue(control.call("Status")["services"][0]["listeners"][0]["adopted"])
                    finally:
                        process.terminate()
                        self.assertEqual(process.wait(PATIENCE + 15), 0)
                        with open(os.path.join(folder, "log"), encoding="utf-8", errors="replace") as log:
                            text = log.read()
                    self.assertIn("cannot go on where the one before has left off", text)

    def test_a_variable_that_is_not_meant_for_it(self):
        """It is a start like any other, and the variable does not get to processes."""
        for value in ("1:3", "0:0", "x", "", f"{os.getpid()}:3"):
            d = self.daemon({"services": {"s": {"listen": "tcp:127.0.0.1:0", "exec": ["{probe}"],
                                                "pass_environment": ["*"]}}}, environment={"MPINETD_HANDOVER": value})
            self.assertNotIn("MPINETD_HANDOVER", parse_probe(d.ask("s"))["env"])
            self.assertEqual(d.log(event="upgrade_failed"), [])


if __name__ == "__main__":
    unittest.main()
