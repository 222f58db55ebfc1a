# SPDX-License-Identifier: MIT
"""What mpctl's verbs say and do with a real daemon; and the way of a newcomer, who reads on from what is shown."""
import errno
import json
import os
import re
import signal
import subprocess
import time
import unittest

from harness import MPCTL, PATIENCE, DaemonTest, sanitizer_environment, wait_until

HOLD = {"listen": "tcp:127.0.0.1:0", "exec": ["sh", "-c", "echo hello from the service >&2; exec cat"],
        "limits": {"instances": 2, "when_full": "refuse"}}


class Newcomer(DaemonTest):
    def commands(self, text):
        """The calls of mpctl that a text proposes, without 'mpctl'."""
        return re.findall(r"mpctl ([a-z-]+(?: [\w.=/*-]+)*)", text)

    def follow(self):
        process = subprocess.Popen([MPCTL, "-s", self.d.socket, "events", "-f", "-n", "0"], stdout=subprocess.PIPE,
                                   text=True, env={**os.environ, **sanitizer_environment()})
        self.addCleanup(process.wait)
        self.addCleanup(process.stdout.close)
        self.addCleanup(process.terminate)
        return process

    def test_from_help_to_a_raised_limit(self):
        self.d = self.daemon({"services": {"hold": HOLD}})
        held = [self.d.dial("hold") for _ in range(2)]
        wait_until(lambda: self.d.service("hold")["active"] == 2)
        refused = self.d.dial("hold")
        self.assertEqual(refused.recv(1), b"", "the third one is refused")
        refused.close()

        # What is there to look with?
        self.assertRegex(self.d.mpctl("--help", check=0).stdout, r"(?m)^  status ")
        # The table says that somebody was refused, by which reason, and where to read on.
        table = self.d.mpctl(check=0).stdout
        self.assertRegex(table, r"(?m)^. hold +listening .* 1 i ")
        self.assertIn("i instances (too many instances run)", table)
        self.assertIn("'mpctl status NAME' tells who, and what to do", table)
        # The long form says who, and what to do.
        long = self.d.mpctl("status", "hold", check=0).stdout
        self.assertIn("Refused: instances 1 ", long)
        self.assertRegex(long, r"of whom: 127\.0\.0\.1  1  last by instances at ")
        self.assertRegex(long, r"(?m)^ +\d\d:\d\d:\d\d 127\.0\.0\.1:\d+ refused: instances")
        self.assertRegex(long, r"(?m)\] hello from the service$")
        todo = [c for c in self.commands(long) if c.startswith("set ")]
        self.assertEqual(todo, ["set hold limits.instances=4"])

        # It does so, and sees what happens next.
        follower = self.follow()
        time.sleep(0.2)
        said = self.d.mpctl(*todo[0].split(), check=0).stdout
        self.assertIn("  ~ hold  limits.instances 2 → 4\n", said)
        self.assertIn("in force until the next reload", said)
        self.assertIn(self.d.config_path, said)
        held.append(self.d.dial("hold"))
        wait_until(lambda: self.d.service("hold")["active"] == 3)
        line = follower.stdout.readline()
        while " started" not in line:
            self.assertTrue(line, "the followed events end")
            line = follower.stdout.readline()
        self.assertRegex(line, r"^\d\d:\d\d:\d\d hold\[\d+\] 127\.0\.0\.1:\d+ started")
        for connection in held:
            connection.close()
        self.d.wait_idle("hold")

    def test_each_reason_is_explained(self):
        """Every letter of the table has its words in the long form, with a key that 'explain' knows."""
        self.d = self.daemon({"services": {"hold": HOLD}})
        held = [self.d.dial("hold") for _ in range(3)]
        wait_until(lambda: self.d.service("hold")["refused"]["instances"] == 1)
        keys = re.findall(r"refused by \w+: [^(]*\(([\w.]+)", self.d.mpctl("status", "hold", check=0).stdout)
        self.assertEqual(keys, ["limits.instances"])
        self.assertIn("limits.instances", self.d.mpctl("explain", keys[0], check=0).stdout)
        for connection in held:
            connection.close()
        self.d.wait_idle("hold")


class Acts(DaemonTest):
    def setUp(self):
        super().setUp()
        self.d = self.daemon({"services": {name: {**HOLD, "exec": ["cat"]} for name in ("a1", "a2", "b")}})

    def test_drain_tells_what_it_waits_for(self):
        held = self.d.dial("b")
        wait_until(lambda: self.d.service("b")["active"] == 1)
        run = self.d.mpctl("drain", "--timeout", "1200ms", "b", check=1)
        self.assertRegex(run.stderr, r"(?m)^b: .*1 running.*\n(b: .*1 running.* … 1 s\n)?mpctl: not done in time \(b: ")
        self.assertEqual(run.stdout, "")
        held.close()
        wait_until(lambda: self.d.service("b")["state"] == "stopped")
        self.assertEqual(self.d.mpctl("start", "b", check=0).stdout, "b: started\n")

    def test_interrupt(self):
        held = self.d.dial("b")
        wait_until(lambda: self.d.service("b")["active"] == 1)
        process = subprocess.Popen([MPCTL, "-s", self.d.socket, "drain", "b"], stderr=subprocess.PIPE, text=True,
                                   env={**os.environ, **sanitizer_environment()})
        self.assertIn("1 running", process.stderr.readline())
        process.send_signal(signal.SIGINT)
        self.assertEqual(process.wait(10), 130)
        self.assertEqual(process.stderr.read().splitlines()[-1], "mpctl: interrupted; mpinetd goes on with it")
        process.stderr.close()
        self.assertEqual(self.d.service("b")["state"], "draining")
        held.close()
        wait_until(lambda: self.d.service("b")["state"] == "stopped")

    def test_interrupt_has_a_document(self):
        held = self.d.dial("b")
        wait_until(lambda: self.d.service("b")["active"] == 1)
        with subprocess.Popen([MPCTL, "-s", self.d.socket, "--json", "drain", "b"], stdout=subprocess.PIPE,
                              stderr=subprocess.PIPE, text=True,
                              env={**os.environ, **sanitizer_environment()}) as process:
            wait_until(lambda: self.d.service("b")["state"] == "draining")
            process.send_signal(signal.SIGINT)
            out, err = process.communicate(timeout=PATIENCE)
        self.assertEqual((process.returncode, err), (130, "mpctl: interrupted; mpinetd goes on with it\n"))
        document = json.loads(out)
        # How far it was, where that has come already.
        if "error" in document:
            self.assertEqual(document, {"error": "dev.mpinetd.Control.Failed", "parameters": {
                "step": "drain", "errno": errno.EINTR, "message": "interrupted; mpinetd goes on with it"}})
        else:
            self.assertEqual(document["services"], ["b"])
            self.assertIn("1 running", document["progress"])
        held.close()
        wait_until(lambda: self.d.service("b")["state"] == "stopped")

    def test_time_is_told(self):
        held = self.d.dial("b")
        wait_until(lambda: self.d.service("b")["active"] == 1)
        with subprocess.Popen([MPCTL, "-s", self.d.socket, "drain", "b"], stdout=subprocess.PIPE,
                              stderr=subprocess.DEVNULL, text=True,
                              env={**os.environ, **sanitizer_environment()}) as process:
            time.sleep(1.2)
            held.close()
            self.assertRegex(process.communicate(timeout=10)[0], r"^b: drained \([12] s\)\n$")

    def test_globs(self):
        self.assertEqual(self.d.mpctl("pause", "a*", check=0).stdout, "a1: paused\na2: paused\n")
        status = json.loads(self.d.mpctl("status", "--json", check=0).stdout)
        self.assertEqual([s["state"] for s in status["services"]], ["paused", "paused", "listening"])
        self.assertIn("by root" if os.geteuid() == 0 else "by ", self.d.mpctl(check=0).stdout)
        self.assertEqual(self.d.mpctl("resume", "a*", check=0).stdout, "a1: resumed\na2: resumed\n")

    def test_errors_are_documents(self):
        """With --json there is one, also of what mpctl finds out by itself; the exit status is the same without it."""
        nobody = ["start nope", "resume no*", "stop e nope nope2", "set nope limits.instances=1", "kill nope", "logs nope"]
        for call in nobody:
            with self.subTest(call):
                words = call.split()
                answer = self.d.mpctl("--json", *words, check=4).stdout
                self.assertEqual(json.loads(answer)["error"], "dev.mpinetd.Control.NoSuchService")
                self.assertIn(json.loads(answer)["parameters"]["service"], ("nope", "no*", "e"))
        for call in ("start", "kill", "logs"):
            with self.subTest(call, name="no UTF-8"):
                answer = json.loads(self.d.mpctl("--json", call, b"\xffx", check=4).stdout)
                self.assertEqual(answer["parameters"], {"service": "\\xffx"})
                self.assertEqual(self.d.mpctl(*words, check=4).stdout, "")
        invalid = {"unban zzz": (2, "prefix"), "explain nope": (1, "key")}
        for call, (status, parameter) in invalid.items():
            with self.subTest(call):
                plain = self.d.mpctl(*call.split(), check=status)
                self.assertEqual(plain.stdout, "")
                answer = self.d.mpctl("--json", *call.split(), check=status)
                self.assertEqual(json.loads(answer.stdout),
                                 {"error": "org.varlink.service.InvalidParameter", "parameters": {"parameter": parameter}})
                self.assertEqual(answer.stderr, plain.stderr)

    def test_kill(self):
        self.assertIn("no instance to signal\nhint: ", self.d.mpctl("kill", "b", check=1).stderr)
        held = [self.d.dial("b") for _ in range(2)]
        wait_until(lambda: self.d.service("b")["active"] == 2)
        pid = self.d.instances("b")[0]["pid"]
        said = self.d.mpctl("kill", "-s", "KILL", str(pid), check=0).stdout
        self.assertEqual(said, f"{pid}: 1 instance of b signalled by SIGKILL\n")
        wait_until(lambda: self.d.service("b")["active"] == 1)
        said = self.d.mpctl("kill", "--source", "127.0.0.0/8", check=0).stdout
        self.assertEqual(said, "127.0.0.0/8: 1 instance of b signalled by SIGTERM\n")
        self.d.wait_idle("b")
        self.d.mpctl("kill", str(os.getpid()), check=1)
        for source in ("nonsense", "any"):
            self.assertEqual(self.d.mpctl("kill", "--source", source, check=2).stderr,
                             f"mpctl: '{source}' is no address or prefix\n"
                             "hint: for example 203.0.113.7, 2001:db8::/48, or uid:1000\n")
        for connection in held:
            connection.close()

    def test_a_number_may_be_a_name(self):
        """A service whose name is the pid of another one's process: the name goes before it."""
        one = self.d.dial("b")
        self.addCleanup(one.close)
        wait_until(lambda: self.d.service("b")["active"] == 1)
        pid = str(self.d.instances("b")[0]["pid"])
        self.d.write_config({"services": {name: {**HOLD, "exec": ["cat"]} for name in ("a1", "a2", "b", pid)}})
        self.d.mpctl("reload", check=0)
        self.assertIn("no instance to signal", self.d.mpctl("kill", pid, check=1).stderr)
        with self.d.dial(pid):
            wait_until(lambda: self.d.service(pid)["active"] == 1)
            self.assertEqual(self.d.mpctl("kill", pid, check=0).stdout, f"{pid}: 1 instance signalled by SIGTERM\n")
            self.d.wait_idle(pid)
        self.assertEqual(self.d.service("b")["active"], 1)
        self.d.write_config({"services": {name: {**HOLD, "exec": ["cat"]} for name in ("a1", "a2", "b")}})
        self.d.mpctl("reload", check=0)
        wait_until(lambda: pid not in [s["name"] for s in self.d.status()["services"]], "the service to be gone")
        self.assertEqual(self.d.mpctl("kill", pid, check=0).stdout, f"{pid}: 1 instance of b signalled by SIGTERM\n")
        self.d.wait_idle("b")

    def test_nothing_is_taken_for_something(self):
        """What comes of a variable that is not set is no service, no socket and no time; nothing is done."""
        for words in (("stop", ""), ("kill", ""), ("-s", "", "stop", "b"), ("kill", "--source", ""), ("config", "-c", ""),
                      ("stop", "--timeout", "0", "b"), ("shutdown", "--timeout", "0s"), ("ping", "--timeout", "0")):
            with self.subTest(words):
                run = self.d.mpctl(*words, check=2)
                self.assertEqual(run.stdout, "")
                self.assertRegex(run.stderr, r"^mpctl: .*(empty|longer than 0)\nhint: ")
        self.assertEqual({s["state"] for s in self.d.status()["services"]}, {"listening"})


if __name__ == "__main__":
    unittest.main()
