# SPDX-License-Identifier: MIT
"""The daemon of an ordinary user: everything that needs no root, and a clear word where it does. Run by root, the tests
take nobody for that user."""
import contextlib
import os
import shutil
import signal
import socket
import subprocess
import unittest

from harness import (MPCTL, MPINETD, PATIENCE, SANITIZER_WORDS, SERVICES, DaemonTest, User, Varlink, children_of,
                     free_port, sanitizer_environment, wait_until)

NOBODY = 65534


def may_look_into(pid):
    """Its memory, and by the same rule by ptrace(2)."""
    try:
        with open(f"/proc/{pid}/mem", "rb"):
            return True
    except PermissionError:
        return False


class OrdinaryUser(DaemonTest):
    def setUp(self):
        # nobody may not be able to look into the build folder.
        self.dir = self.temporary_folder()
        for path in (MPINETD, MPCTL, os.path.join(SERVICES, "mp-echo")):
            shutil.copy(path, self.dir)
        self.runtime = self.dir + "/run"
        os.mkdir(self.runtime, 0o700)
        self.as_root = os.geteuid() == 0
        if self.as_root:
            os.chown(self.runtime, NOBODY, NOBODY)
        self.uid = NOBODY if self.as_root else os.geteuid()
        self.wrap = ["setpriv", f"--reuid={NOBODY}", f"--regid={NOBODY}", "--clear-groups", "--"] if self.as_root else []
        self.environment = {"PATH": os.environ["PATH"], "MPINETD_LIBEXECDIR": self.dir, "HOME": self.runtime,
                            "XDG_RUNTIME_DIR": self.runtime, **sanitizer_environment()}
        self.socket = self.runtime + "/mpinetd/control.sock"

    def write(self, text, name="c.yaml"):
        path = f"{self.dir}/{name}"
        with open(path, "w", encoding="utf-8") as file:
            file.write(text)
        return path

    def run_program(self, name, *arguments, **environment):
        env = {**self.environment, **environment}
        return subprocess.run([*self.wrap, f"{self.dir}/{name}", *arguments], stdin=subprocess.DEVNULL,
                              stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, timeout=30, check=False, cwd="/",
                              env={key: value for key, value in env.items() if value is not None})

    def start(self, text):
        path = self.write(text)
        log = open(self.dir + "/log", "w+", encoding="utf-8")
        self.addCleanup(log.close)
        process = subprocess.Popen([*self.wrap, f"{self.dir}/mpinetd", "-c", path], stdin=subprocess.DEVNULL, stdout=log,
                                   stderr=log, env=self.environment, cwd="/")

        def stop():
            if process.poll() is None:
                process.send_signal(signal.SIGTERM)
            self.assertEqual(process.wait(PATIENCE + 15), 0)
            with open(self.dir + "/log", encoding="utf-8") as said:
                text = said.read()
            self.assertFalse([word for word in SANITIZER_WORDS if word in text], text[-3000:])
        self.addCleanup(stop)
        wait_until(self.answers, "an answer of the user's own daemon")
        return process

    def test_its_programs_may_not_look_into_it(self):
        """They are of the same user: they may look into each other, as they could elsewhere."""
        process = self.start(f"version: 1\nservices:\n  cat: {{listen: unix:{self.runtime}/cat.sock, exec: [cat], "
                             "resources: {oom_score_adjust: 100}}\n")
        with socket.socket(socket.AF_UNIX) as s:
            s.settimeout(PATIENCE)
            s.connect(self.runtime + "/cat.sock")
            s.sendall(b"x")
            self.assertEqual(s.recv(1), b"x")
            child, = (pid for pid, state in children_of(process.pid) if state != "Z")
            with open(f"/proc/{child}/oom_score_adj", encoding="utf-8") as f:
                self.assertEqual(f.read(), "100\n")
            for pid, may in ((process.pid, False), (child, True)):
                run = User(self.uid).run if self.as_root else lambda function, pid: function(pid)
                self.assertEqual(run(may_look_into, pid), may)

    def answers(self):
        """Its socket is there a moment before somebody listens on it."""
        with contextlib.suppress(FileNotFoundError, ConnectionError), Varlink(self.socket) as control:
            return control.call("Ping")
        return None

    def test_serves(self):
        port = free_port()
        process = self.start(f"version: 1\nservices:\n  echo: {{listen: tcp:127.0.0.1:{port}, exec: [mp-echo]}}\n"
                             f"  id: {{listen: unix:{self.runtime}/id.sock, exec: [id, -u]}}\n")
        with socket.create_connection(("127.0.0.1", port), 5) as s:
            s.sendall(b"x")
            self.assertEqual(s.recv(1), b"x")
        with socket.socket(socket.AF_UNIX) as s:
            s.settimeout(5)
            s.connect(self.runtime + "/id.sock")
            self.assertEqual(s.recv(100), b"%d\n" % self.uid)
        self.assertEqual(os.stat(f"/proc/{process.pid}").st_uid, self.uid)
        self.assertEqual(os.stat(self.socket).st_uid, self.uid)
        # mpctl finds the user's own daemon by itself.
        self.assertIn("echo", self.run_program("mpctl", "status").stdout)
        self.assertEqual(self.run_program("mpctl", "reload").returncode, 0)
        with Varlink(self.socket) as control:
            self.assertEqual(control.call("Status")["daemon"]["generation"], 2)

    def test_port_that_needs_root(self):
        with open("/proc/sys/net/ipv4/ip_unprivileged_port_start", encoding="utf-8") as file:
            if int(file.read()) <= 7:
                self.skipTest("every user may open low ports here")
        port = free_port()
        self.start(f"version: 1\nservices:\n  low: {{listen: tcp:127.0.0.1:7, exec: [cat]}}\n"
                   f"  echo: {{listen: tcp:127.0.0.1:{port}, exec: [mp-echo]}}\n")
        with Varlink(self.socket) as control:
            states = {s["name"]: s for s in control.call("Status")["services"]}
        self.assertEqual((states["low"]["state"], states["echo"]["state"]), ("failed", "listening"))
        self.assertIn("ermission", states["low"]["listeners"][0]["error"])

    def test_other_user_is_refused(self):
        path = self.write("version: 1\nservices:\n  a: {listen: tcp:127.0.0.1:0, exec: [cat], user: daemon}\n")
        for arguments in (["mpinetd", "-t", "-c", path], ["mpctl", "check", path]):
            run = self.run_program(*arguments)
            self.assertEqual(run.returncode, 1, run.stderr)
            self.assertIn("[not-allowed]", run.stderr)

    def test_without_runtime_folder(self):
        path = self.write("version: 1\n")
        for folder, why in ((None, "not set. Set it"), ("", "not set. Set it"),
                            ("run", "not an absolute path. Set it to one")):
            run = self.run_program("mpinetd", "-c", path, XDG_RUNTIME_DIR=folder)
            self.assertEqual(run.returncode, 1)
            self.assertIn(f"XDG_RUNTIME_DIR is {why}, or name a path with '-s PATH'", run.stderr)

    def test_own_config_is_found(self):
        os.makedirs(self.runtime + "/.config/mpinetd")
        with open(self.runtime + "/.config/mpinetd/mpinetd.yaml", "w", encoding="utf-8") as file:
            file.write("version: 1\nnope: 1\n")
        run = self.run_program("mpinetd", "-t")
        self.assertEqual(run.returncode, 1)
        self.assertIn(".config/mpinetd/mpinetd.yaml:2:1: error:", run.stderr)

    def test_nobody_answers(self):
        self.assertEqual(self.run_program("mpctl", "ping").returncode, 6)


@unittest.skipUnless(os.geteuid() == 0, "needs root")
class Root(DaemonTest):
    """And the other way round: what root must say explicitly."""

    def check(self, text):
        path = self.temporary_folder() + "/c.yaml"
        with open(path, "w", encoding="utf-8") as file:
            file.write(text)
        return subprocess.run([MPINETD, "-t", "-c", path], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
                              env={**os.environ, **sanitizer_environment()}, check=False)

    def test_user_must_be_given(self):
        service = "version: 1\nservices:\n  a: {listen: tcp:127.0.0.1:0, exec: [cat]%s}\n"
        self.assertEqual(self.check(service % "").returncode, 1)
        self.assertEqual(self.check(service % ", user: root").returncode, 0)
        self.assertEqual(self.check(service % ", user: 0").returncode, 1)
        run = self.check(service % ", user: self")
        self.assertEqual(run.returncode, 0)
        self.assertIn("warning", run.stderr)


if __name__ == "__main__":
    unittest.main()
