# SPDX-License-Identifier: MIT
"""Configs with mistakes: what -t says, what a start does, what serves all the same; and --try, which needs no config."""
import errno
import os
import pwd
import re
import signal
import socket
import subprocess
import unittest

from harness import (MPCTL, MPINETD, PATIENCE, SERVICES, DaemonTest, free_port, need_root, sanitizer_environment,
                     wait_until)

GOOD = "version: 1\ndefaults: {user: self}\nservices:\n  echo: {listen: tcp:127.0.0.1:0, exec: [mp-echo]}\n"


class CheckTest(DaemonTest):
    def check(self, text, program=MPINETD):
        """(exit status, stderr) for a config, by `mpinetd -t` or by `mpctl check`."""
        folder = self.temporary_folder()
        with open(folder + "/c.yaml", "wb") as file:
            file.write(text.encode() if isinstance(text, str) else text)
        arguments = ["-t", "-c", "c.yaml"] if program == MPINETD else ["check", "c.yaml"]
        run = subprocess.run([program, *arguments], cwd=folder, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                             stderr=subprocess.PIPE, timeout=30, check=False,
                             env={"PATH": os.environ["PATH"], "MPINETD_LIBEXECDIR": SERVICES, **sanitizer_environment()})
        return run.returncode, run.stderr.decode("utf-8", "strict")


class Check(CheckTest):
    def test_good(self):
        for program in (MPINETD, MPCTL):
            status, text = self.check(GOOD, program)
            self.assertEqual(status, 0, text)

    def test_says_with_whose_eyes(self):
        """A daemon may see other variables, and become other users."""
        folder = self.temporary_folder()
        eyes = f"judged as {pwd.getpwuid(os.geteuid()).pw_name}, with your environment"
        two = GOOD + "  more: {listen: tcp:127.0.0.1:0, exec: [mp-echo]}\n"
        for text, services in ((GOOD, "1 service"), (two, "2 services")):
            with open(folder + "/c.yaml", "w", encoding="utf-8") as file:
                file.write(text)
            for words, line in (([MPINETD, "-t", "-c", "c.yaml"], f"c.yaml: good, {services} ({eyes})\n"),
                                ([MPCTL, "check", "c.yaml"], f"c.yaml: ok, {services} in 1 file; {eyes}\n")):
                run = subprocess.run(words, cwd=folder, stdin=subprocess.DEVNULL, capture_output=True, timeout=30,
                                     check=False, text=True,
                                     env={"PATH": os.environ["PATH"], "MPINETD_LIBEXECDIR": SERVICES, **sanitizer_environment()})
                self.assertEqual((run.returncode, run.stdout), (0, line), run.stderr)
        for program in (MPINETD, MPCTL):
            _, said = self.check(GOOD.replace("exec:", "exce:"), program)
            self.assertRegex(said, rf"(?m)^\d errors?\b.* in 1 file; {re.escape(eyes)}$")

    def test_every_mistake_has_place_and_code(self):
        cases = {
            "unknown-key": GOOD.replace("exec:", "exce:"),
            "foreign-key": GOOD.replace("exec: [mp-echo]", "exec: [mp-echo], only_from: 10.0.0.0/8"),
            "duplicate-key": GOOD.replace("exec:", "listen: tcp:1, exec:"),
            "wrong-type": GOOD.replace("[mp-echo]", "{a: b}"),
            "bad-value": GOOD.replace("tcp:127.0.0.1:0", "tpc:1"),
            "out-of-range": GOOD.replace("[mp-echo]", "[mp-echo], limits: {instances: 99999999999}"),
            "missing-key": GOOD.replace(", exec: [mp-echo]", ""),
            "conflict": GOOD.replace("tcp:127.0.0.1:0", '["tcp:127.0.0.1:9", "tcp:9"]'),
            "not-found": GOOD.replace("mp-echo", "mp-no-such-program"),
            "yaml": GOOD + "\t- [",
        }
        for code, text in cases.items():
            for program in (MPINETD, MPCTL):
                with self.subTest(code=code, program=os.path.basename(program)):
                    status, said = self.check(text, program)
                    self.assertEqual(status, 1, said)
                    self.assertRegex(said, r"(?m)^c\.yaml:\d+:\d+: error: .*\[" + code + r"\]$")
                    self.assertRegex(said, r"(?m)^ +\| +\^", "a caret below the line")
                    self.assertNotIn("libyaml", said)

    def test_unknown_user(self):
        status, said = self.check(GOOD.replace("user: self", "user: no-such-user-here"))
        self.assertEqual(status, 1)
        self.assertRegex(said, r"\[not-(found|allowed)\]")

    def test_did_you_mean(self):
        _, said = self.check(GOOD.replace("exec:", "exce:"))
        self.assertIn("did you mean 'exec'?", said)

    def test_all_mistakes_are_reported(self):
        text = GOOD + "".join(f"  s{i}: {{listen: tcp:127.0.0.1:0, exec: [cat], nope{i}: 1}}\n" for i in range(30))
        status, said = self.check(text)
        self.assertEqual(status, 1)
        self.assertEqual(len(re.findall(r"error: unknown key", said)), 20)
        self.assertRegex(said, r"10 more")
        self.assertRegex(said, r"30 errors")

    def test_truncated_anywhere(self):
        """Every beginning of a config gives an answer, never a crash."""
        whole = (GOOD + "x-a: &a {b: [1, 'two', \"th\\x72ee\"]}\nlog: {level: info}\n").encode()
        for n in range(len(whole)):
            status, said = self.check(whole[:n])
            self.assertIn(status, (0, 1), said)

    def test_hostile_bytes_are_escaped(self):
        status, said = self.check(GOOD.replace("exec:", "\"ex\\e[31mc\\x9b\":"))
        self.assertEqual(status, 1)
        self.assertNotIn("\x1b", said)
        self.assertNotIn("\x9b", said)

    def test_bombs_are_refused_quickly(self):
        bomb = "x-0: &a0 [1,1,1,1,1,1,1,1,1,1]\n" + "".join(
            f"x-{i}: &a{i} [{','.join([f'*a{i - 1}'] * 10)}]\n" for i in range(1, 10)) + GOOD
        deep = "x-a: " + "[" * 20000 + GOOD
        for text in (bomb, deep, "x" * (3 << 20), b"\xff\xfe\x00", "a: &a *a\n" + GOOD):
            status, said = self.check(text)
            self.assertEqual(status, 1, said[:300])

    def test_usage(self):
        run = subprocess.run([MPINETD, "--no-such-option"], stderr=subprocess.PIPE, check=False,
                             env={**os.environ, **sanitizer_environment()})
        self.assertEqual(run.returncode, 2)
        run = subprocess.run([MPINETD, "--version"], stdout=subprocess.PIPE, check=False,
                             env={**os.environ, **sanitizer_environment()})
        self.assertEqual((run.returncode, bool(re.search(rb"\d+\.\d+\.\d+", run.stdout))), (0, True))


class Start(DaemonTest):
    def test_errors_end_the_start(self):
        d = self.daemon("version: 1\nservices:\n  a: {listen: tcp:1, exce: [cat]}\n", wait=False)
        self.assertEqual(d.process.wait(PATIENCE), 1)
        d.process = None
        self.assertIn("[unknown-key]", d.log_text())
        self.assertFalse(os.path.exists(d.socket))

    def test_missing_file(self):
        d = self.daemon({"services": {}}, wait=None)
        os.unlink(d.config_path)
        d.start(wait=False)
        self.assertEqual(d.process.wait(PATIENCE), 1)
        d.process = None
        self.assertIn("mpinetd.yaml", d.log_text())

    def test_missing_program_is_failed_and_others_serve(self):
        folder = self.temporary_folder()
        d = self.daemon({"services": {"bad": {"listen": "tcp:127.0.0.1:0", "exec": [folder + "/later"]},
                                      "good": {"listen": "tcp:127.0.0.1:0", "exec": ["mp-echo"]}}})
        self.assertEqual(d.ask("good", b"x"), b"x")
        bad = d.service("bad")
        self.assertEqual(bad["state"], "failed")
        self.assertIn("later", bad["last_error"]["message"])
        self.assertTrue(bad["last_error"]["file"].endswith("mpinetd.yaml"))
        self.assertGreater(bad["last_error"]["line"], 0)
        d.mpctl("status", "bad", check=3)
        self.assertIn("bad", d.mpctl("status", "--failed", check=0).stdout)
        self.assertNotIn("good", d.mpctl("status", "--failed", check=0).stdout)
        os.symlink("/bin/cat", folder + "/later")
        d.wait_service("bad", state="listening")
        self.assertEqual(d.ask("bad", b"x"), b"x")

    @need_root
    def test_missing_user_is_failed_and_others_serve(self):
        d = self.daemon({"services": {
            "bad": {"listen": "tcp:127.0.0.1:0", "exec": ["cat"], "user": "no-such-user-here"},
            "good": {"listen": "tcp:127.0.0.1:0", "exec": ["mp-echo"]}}})
        self.assertEqual(d.ask("good", b"x"), b"x")
        self.assertEqual(d.service("bad")["state"], "failed")

    @need_root
    def test_what_is_missing_is_named_by_its_step(self):
        folder = self.temporary_folder()
        missing = {"program": ("exec", {"exec": [folder + "/later"]}),
                   "user": ("user", {"user": "no-such-user-here"}),
                   "group": ("groups", {"user": "nobody", "group": "no-such-group"}),
                   "root": ("root_directory", {"root_directory": folder + "/later"}),
                   "folder": ("working_directory", {"working_directory": folder + "/later"}),
                   "rules": ("access", {"access": {"allow": [f"file:{folder}/later"]}})}
        d = self.daemon({"services": {name: {"listen": "tcp:127.0.0.1:0", "exec": ["cat"], **more}
                                      for name, (_, more) in missing.items()}})
        for name, (step, _) in missing.items():
            service = d.service(name)
            self.assertEqual((service["state"], service["last_error"]["step"], service["last_error"]["errno"]),
                             ("failed", step, errno.ENOENT), service["last_error"])

    def test_no_service_is_no_error(self):
        d = self.daemon({"services": {}})
        self.assertEqual(d.status()["services"], [])

    def test_program_that_goes_away(self):
        """What was there when the config was loaded is gone: the step and the reason are brought back."""
        d = self.daemon({"services": {"s": {"listen": "tcp:127.0.0.1:0", "exec": ["{probe}"]}}})
        os.unlink(d.path("probe"))
        self.assertEqual(d.ask("s"), b"")
        service = d.wait_service("s", spawn_failed=1)
        self.assertEqual((service["last_error"]["step"], service["last_error"]["errno"]), ("exec", 2))
        failed = d.wait_log(event="spawn_failed", service="s")[0]
        self.assertEqual((failed["step"], failed["errno"]), ("exec", 2))
        self.assertEqual(service["accepted"], service["spawned"] + service["spawn_failed"])

    def test_missing_interpreter(self):
        folder = self.temporary_folder()
        with open(folder + "/script", "w", encoding="utf-8") as file:
            file.write("#!/no/such/interpreter\n")
        os.chmod(folder + "/script", 0o755)
        d = self.daemon({"services": {"s": {"listen": "tcp:127.0.0.1:0", "exec": [folder + "/script"]}}})
        d.ask("s")
        self.assertEqual(d.wait_service("s", spawn_failed=1)["last_error"]["step"], "exec")

    def test_working_directory_that_goes_away(self):
        folder = self.temporary_folder()
        os.mkdir(folder + "/w")
        d = self.daemon({"services": {"s": {"listen": "tcp:127.0.0.1:0", "exec": ["cat"],
                                            "working_directory": folder + "/w"}}})
        os.rmdir(folder + "/w")
        d.ask("s")
        self.assertEqual(d.wait_service("s", spawn_failed=1)["last_error"]["step"], "working_directory")
        d.ask("s")
        d.wait_service("s", spawn_failed=2, active=0)


class Try(DaemonTest):
    def run_try(self, *arguments):
        runtime = self.temporary_folder()
        os.chmod(runtime, 0o700)
        process = subprocess.Popen([MPINETD, "--try", *arguments], stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                                   stderr=subprocess.STDOUT, text=True,
                                   env={"PATH": os.environ["PATH"], "MPINETD_LIBEXECDIR": SERVICES,
                                        "XDG_RUNTIME_DIR": runtime, **sanitizer_environment()})
        self.addCleanup(process.stdout.close)
        self.addCleanup(process.wait)
        self.addCleanup(process.kill)
        return process

    def test_cat(self):
        port = free_port()
        process = self.run_try(f"tcp:127.0.0.1:{port}", "--", "cat")

        def answer():
            try:
                with socket.create_connection(("127.0.0.1", port), 2) as s:
                    s.sendall(b"x")
                    return s.recv(1)
            except ConnectionRefusedError:
                return None
        self.assertEqual(wait_until(answer, "the service"), b"x")
        process.send_signal(signal.SIGTERM)
        out, _ = process.communicate(timeout=PATIENCE)
        self.assertEqual(process.returncode, 0, out)
        self.assertIn(str(port), out)

    def test_several_endpoints(self):
        first, second = free_port(), free_port()
        process = self.run_try(f"tcp:127.0.0.1:{first}", f"tcp:127.0.0.1:{second}", "--", "echo", "hello")
        for port in (first, second):
            def answer(port=port):
                try:
                    with socket.create_connection(("127.0.0.1", port), 2) as s:
                        return s.recv(100)
                except ConnectionRefusedError:
                    return None
            self.assertEqual(wait_until(answer, "the service"), b"hello\n")
        process.send_signal(signal.SIGINT)
        out, _ = process.communicate(timeout=PATIENCE)
        self.assertEqual(process.returncode, 0, out)

    def test_mistakes(self):
        for arguments, status in ((["tpc:1", "--", "cat"], 1), (["tcp:127.0.0.1:0", "--", "no-such-program"], 1),
                                  (["tcp:127.0.0.1:0", "--"], 2), (["tcp:127.0.0.1:0"], 2), (["--", "cat"], 2)):
            process = self.run_try(*arguments)
            out, _ = process.communicate(timeout=PATIENCE)
            self.assertIn(process.returncode, (status, 2), f"{arguments}: {out}")
            self.assertNotEqual(out, "")

    def test_a_config_is_not_left_out_silently(self):
        process = self.run_try("-c", "/nonexistent.yaml", "tcp:127.0.0.1:0", "--", "cat")
        out, _ = process.communicate(timeout=PATIENCE)
        self.assertEqual(process.returncode, 2, out)
        self.assertIn("mpinetd: --try serves one command without a config: leave out -c\n", out)
        self.assertNotIn("listening", out)

    def test_empty_paths(self):
        """What comes of a variable that is not set; nothing is bound for it."""
        for arguments, option in ((["-s", "", "tcp:127.0.0.1:0", "--", "cat"], "--socket"),
                                  (["--socket=", "tcp:127.0.0.1:0", "--", "cat"], "--socket"),
                                  (["-c", "", "tcp:127.0.0.1:0", "--", "cat"], "--config")):
            process = self.run_try(*arguments)
            out, _ = process.communicate(timeout=PATIENCE)
            self.assertEqual((process.returncode, out),
                             (2, f"mpinetd: the path behind {option} is empty\nTry 'mpinetd --help'.\n"))


if __name__ == "__main__":
    unittest.main()
