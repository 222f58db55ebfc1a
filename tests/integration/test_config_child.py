# SPDX-License-Identifier: MIT
"""A reload reads the config in a helper: whatever becomes of that one, the daemon goes on as it is, and says what was."""
import contextlib
import os
import shutil
import signal
import subprocess
import threading
import time
import unittest

from faults import canary_quick, ordinary_user
from harness import (COUNTED, MPINETD, SANITIZED, DaemonTest, VarlinkError, children_of, need_program, need_root, process_alive,
                     process_state, wait_until)
from strain import Strain

ECHO = {"listen": "tcp:127.0.0.1:0", "exec": ["mp-echo"]}
# Takes long enough to read that the helper can be caught while it does.
MANY_RULES = 400_000
# NSS that never answers for one name.
SHIM = r"""
#include <pwd.h>
#include <string.h>
#include <unistd.h>
#include <dlfcn.h>
int getpwnam_r(const char *name, struct passwd *pwd, char *buf, size_t n, struct passwd **ret) {
    int (*real)(const char *, struct passwd *, char *, size_t, struct passwd **) = 0;
    while (strcmp(name, "hangs") == 0)
        pause();
    *(void **)&real = dlsym(RTLD_NEXT, "getpwnam_r");
    return real(name, pwd, buf, n, ret);
}
"""


def helpers_of(pid):
    found = []
    for child, _ in children_of(pid):
        with contextlib.suppress(FileNotFoundError, ProcessLookupError), open(f"/proc/{child}/cmdline", "rb") as words:
            if b"\0--load-config\0" in words.read():
                found.append(child)
    return found


def facts_of(pid):
    with open(f"/proc/{pid}/status", encoding="utf-8") as status:
        return dict(line.rstrip("\n").split(":\t", 1) for line in status if ":\t" in line)


class ConfigChild(DaemonTest):
    def start(self, **options):
        self.config = {"services": {"canary": dict(ECHO), "other": dict(ECHO)}}
        self.d = self.daemon(self.config, **options)

    def generation(self):
        return self.d.status()["daemon"]["generation"]

    def reload(self):
        self.d.write_config(self.config)
        return self.d.call("Reload")

    def refused(self):
        with self.assertRaises(VarlinkError) as caught:
            self.d.call("Reload")
        return caught.exception

    def goes_on(self, generation=1):
        """The old config is in force, and the next one that is good is taken."""
        self.assertEqual(self.d.ask("canary", b"x"), b"x")
        self.assertEqual(self.generation(), generation)
        self.assertFalse(self.d.status()["daemon"]["last_reload"]["ok"])
        self.config["services"]["canary"]["description"] = "good again"
        answer = self.reload()
        self.assertEqual((answer["ok"], answer["generation"]), (True, generation + 1))
        self.assertEqual(helpers_of(self.d.pid), [])

    def slow_config(self):
        """One that takes a while to read."""
        with open(self.d.path("rules"), "w", encoding="utf-8") as rules:
            rules.writelines(f"10.{n >> 16}.{n >> 8 & 255}.{n & 255}\n" for n in range(MANY_RULES))
        slow = {"services": {**self.config["services"], "slow": {**ECHO, "access": {"allow": ["file:{dir}/rules"]}}}}
        self.d.write_config(slow)

    @contextlib.contextmanager
    def stopped_helper(self):
        """A reload under way, its helper stopped: (pid, answer), the answer being there when the reload has ended."""
        answer = {}

        def ask():
            with self.d.connect(timeout=120) as control:
                try:
                    answer["good"] = control.call("Reload")
                except VarlinkError as error:
                    answer["error"] = error

        for _ in range(20):
            answer.clear()
            thread = threading.Thread(target=ask)
            thread.start()
            pid = 0
            while not pid and thread.is_alive():
                pid = next(iter(helpers_of(self.d.pid)), 0)
            with contextlib.suppress(ProcessLookupError):
                if pid:
                    os.kill(pid, signal.SIGSTOP)
            if pid and process_alive(pid) and process_state(pid) not in ("Z", None):
                break
            thread.join()
        else:
            self.fail("no helper was caught")
        wait_until(lambda: process_state(pid) in ("T", "t"), "the helper to be stopped")
        try:
            yield pid, answer
        finally:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
            thread.join(120)
            self.assertFalse(thread.is_alive())


class Spoilt(ConfigChild):
    def setUp(self):
        self.start()

    def test_bombs(self):
        bomb = "version: 1\nx-a: &a [x, x, x, x, x, x, x, x, x, x]\n" + "".join(
            f"x-{n}: &{n} [{', '.join([f'*{before}'] * 10)}]\n" for before, n in zip("abcdefgh", "bcdefghi"))
        with Strain(self, self.d, log_lines=200):
            for text in (bomb, "[" * (1 << 20), "{a: " * 200_000, "- " * 500_000, "\0" * 1000, "x" * (1 << 20), "version: 1\n" * 80_000):
                self.d.write_config(text)
                error = self.refused()
                self.assertTrue(error.name.endswith("InvalidConfig"), error)
                self.assertGreater(len(error.parameters["diagnostics"]), 0)
        self.goes_on()

    def test_fifo(self):
        os.mkfifo(self.d.path("fifo.yaml"))
        self.config["include"] = ["fifo.yaml"]
        self.d.write_config(self.config)
        self.assertIn("not a regular file", str(self.refused()))
        del self.config["include"]
        self.goes_on()

    def test_gone(self):
        os.unlink(self.d.config_path)
        self.assertIn("No such file", str(self.refused()))
        self.goes_on()

    def test_check_too(self):
        self.d.write_config("version: 1\nservices: [")
        answer = self.d.call("CheckConfig")
        self.assertFalse(answer["ok"])
        self.assertGreater(len(answer["diagnostics"]), 0)
        self.assertEqual(self.generation(), 1)


class Ended(ConfigChild):
    def setUp(self):
        self.start()

    def test_killed(self):
        """From outside, by whatever signal: that one load is refused."""
        self.slow_config()
        for sig in (signal.SIGKILL, signal.SIGABRT):
            with self.stopped_helper() as (pid, answer):
                # It is no process of a service, and none that nobody knows.
                self.assertEqual(self.d.status()["daemon"]["children"], 0)
                self.assertEqual(self.d.ask("canary", b"x"), b"x")
                os.kill(pid, sig)
                with contextlib.suppress(ProcessLookupError):  # one that is stopped is killed all the same
                    os.kill(pid, signal.SIGCONT)
                wait_until(lambda answer=answer: answer, "the answer")
            text = f"the helper that reads the config was killed by {sig.name}"
            self.assertIn(text, str(answer.get("error", answer)))
            self.assertIn(text, self.d.status()["daemon"]["last_reload"]["error"])
        os.kill(self.d.pid, signal.SIGUSR1)
        self.assertIn(" 0 orphans", self.d.wait_log(event="summary")[0]["message"])
        self.goes_on()

    def test_stopped_for_good(self):
        """It has half a minute; those who ask meanwhile get a load of their own."""
        self.slow_config()
        quick, asked = 0.0, []
        with self.stopped_helper() as (_, answer):
            self.d.write_config(self.config)
            later = threading.Thread(target=lambda: asked.append(self.d.connect(timeout=120).call("Reload")))
            later.start()
            while not answer:
                start = time.monotonic()
                self.assertEqual(self.d.ask("canary", b"x"), b"x")
                quick = max(quick, time.monotonic() - start)
                time.sleep(0.05)
            later.join(60)
        self.assertIn("took longer than 30 s", str(answer.get("error", answer)))
        self.assertEqual([a["ok"] for a in asked], [True])
        self.assertLess(quick, 10 * canary_quick())

    @need_root
    @need_program("setpriv")
    @need_program("prlimit")
    @unittest.skipIf(COUNTED, "what counts lines may write no more than the helper")
    def test_result_that_is_too_long(self):
        """A limit of files is one of the file in memory as well, for who may not raise it: that is told."""
        for limit, why in ((2000, ": File too large"), (0, "")):
            with self.subTest(limit):
                self.start(**ordinary_user(self, 23456, before=("prlimit", f"--fsize={limit}:{limit}", "--")))
                self.refused()
                self.assertEqual(self.d.status()["daemon"]["last_reload"]["error"], "the helper that reads the config could not write what it found" + why)
                self.assertEqual(self.d.ask("canary", b"x"), b"x")

    def test_daemon_stops(self):
        """Nobody waits for it, and it does not stay behind."""
        self.slow_config()
        with self.stopped_helper() as (pid, _):
            with contextlib.suppress(Exception):
                self.d.stop()
            wait_until(lambda: not process_alive(pid) or process_state(pid) == "Z", "the helper to end")

    def test_daemon_killed(self):
        self.slow_config()
        with self.stopped_helper() as (pid, answer):
            self.d.kill()
            wait_until(lambda: not process_alive(pid) or process_state(pid) == "Z", "the helper to end")
            answer["error"] = "gone"
        self.d.process = None

    @need_program("gcc")
    @unittest.skipIf(SANITIZED, "the sanitizer wants to be loaded first")
    def test_user_data_base_hangs(self):
        source, shim = os.path.join(self.d.dir, "shim.c"), os.path.join(self.d.dir, "shim.so")
        with open(source, "w", encoding="utf-8") as file:
            file.write("#define _GNU_SOURCE\n" + SHIM)
        subprocess.run(["gcc", "-shared", "-fPIC", "-o", shim, source, "-ldl"], check=True)
        d = self.daemon({"services": {"canary": dict(ECHO)}}, environment={"LD_PRELOAD": shim})
        d.write_config({"services": {"canary": dict(ECHO), "new": {**ECHO, "user": "hangs"}}})
        with d.connect(timeout=120) as control:
            control.send("Reload")
            pid = wait_until(lambda: helpers_of(d.pid), "the helper")[0]
            worst = 0.0
            for _ in range(50):
                start = time.monotonic()
                self.assertEqual(d.ask("canary", b"x"), b"x")
                self.assertEqual(d.status()["daemon"]["generation"], 1)
                worst = max(worst, time.monotonic() - start)
            self.assertLess(worst, 10 * canary_quick())
            self.assertEqual(helpers_of(d.pid), [pid])
            os.kill(pid, signal.SIGKILL)
            self.assertIn("was killed by SIGKILL", str(control.receive()))
        self.assertEqual(d.status()["daemon"]["generation"], 1)


class Rights(ConfigChild):
    @need_root
    def test_root_is_given_up(self):
        """But for reading what root may read."""
        self.start()
        with open(self.d.path("more.yaml"), "w", encoding="utf-8") as file:
            file.write("services: {}\n")
        os.mkdir(self.d.path("secret"), 0o700)
        with open(self.d.path("secret/rules"), "w", encoding="utf-8") as file:
            file.write("127.0.0.0/8\n")
        for name in ("more.yaml", "secret/rules", "mpinetd.yaml"):
            os.chmod(self.d.path(name), 0o600)
        self.config["include"] = ["more.yaml"]
        self.config["services"]["canary"]["access"] = {"allow": ["file:{dir}/secret/rules"]}
        self.config["services"]["root"] = {**ECHO, "user": "root"}
        self.config["services"]["nobody"] = {**ECHO, "user": "nobody", "exec": ["id", "-u"]}
        self.assertTrue(self.reload()["ok"])
        self.assertEqual(self.d.ask("canary", b"x"), b"x")
        self.assertEqual(self.d.ask("root", b"x"), b"x")
        self.assertNotEqual(self.d.ask("nobody").strip(), b"0")
        self.slow_config()
        with self.stopped_helper() as (pid, _):
            facts = facts_of(pid)
            self.assertEqual(facts["Uid"].split(), ["65534"] * 4)
            self.assertEqual(facts["Gid"].split(), ["65534"] * 4)
            self.assertEqual(facts["Groups"].split(), [])
            self.assertEqual(facts["NoNewPrivs"], "1")
            self.assertEqual(int(facts["CapBnd"], 16), 0)
            for name in ("CapEff", "CapPrm"):
                self.assertIn(int(facts[name], 16), (1 << 2, 1 << 1), name)  # CAP_DAC_READ_SEARCH, else CAP_DAC_OVERRIDE
            with open(f"/proc/{pid}/limits", encoding="utf-8") as limits:
                limited = {line[:26].strip(): line[26:].split()[0] for line in limits}
            self.assertEqual((limited["Max cpu time"], limited["Max open files"]), ("20", "256"))
            self.assertEqual(limited["Max file size"], str(256 << 20))
            self.assertEqual(limited["Max address space"], "unlimited" if SANITIZED else str(1 << 30))
            targets = [os.readlink(f"/proc/{pid}/fd/{fd}") for fd in os.listdir(f"/proc/{pid}/fd")]
            self.assertEqual([t for t in targets if t.startswith("socket:")], [], "none of the daemon's sockets")
            self.assertLessEqual(len(targets), 6, targets)

    @need_root
    @need_program("setpriv")
    def test_ordinary_user(self):
        """Has nothing to give up, and cannot read what is not for him."""
        self.start(**ordinary_user(self, 23456))
        self.config["services"]["other"]["description"] = "changed"
        self.assertTrue(self.reload()["ok"])
        with open(self.d.path("secret.yaml"), "w", encoding="utf-8") as file:
            file.write("services: {}\n")
        os.chmod(self.d.path("secret.yaml"), 0o600)
        os.chown(self.d.path("secret.yaml"), 0, 0)
        self.config["include"] = ["secret.yaml"]
        self.d.write_config(self.config)
        self.assertIn("Permission denied", str(self.refused()))
        self.slow_config()
        with self.stopped_helper() as (pid, _):
            self.assertEqual(facts_of(pid)["Uid"].split(), ["23456"] * 4)

    @need_root
    def test_few_capabilities(self):
        """As in a container that has CAP_DAC_OVERRIDE only, or nothing of the kind."""
        for dropped in ("-dac_read_search", "-dac_read_search,-dac_override"):
            with self.subTest(dropped):
                if not shutil.which("setpriv"):
                    self.skipTest("needs setpriv")
                self.start(wrap=["setpriv", f"--bounding-set={dropped}", "--"])
                os.chmod(self.d.config_path, 0o600)
                self.config["services"]["other"]["description"] = "changed"
                self.assertTrue(self.reload()["ok"])


class Program(ConfigChild):
    def test_file_is_replaced(self):
        """It is the very program that runs, whatever stands at its path by now."""
        folder = self.temporary_folder()
        path = os.path.join(folder, "mpinetd")
        shutil.copy(MPINETD, path)
        self.start(program=path)
        os.unlink(path)
        with open(path, "w", encoding="utf-8") as file:
            file.write("#!/bin/sh\nexit 0\n")
        os.chmod(path, 0o755)
        self.config["services"]["other"]["description"] = "changed"
        self.assertTrue(self.reload()["ok"])
        shutil.rmtree(folder)
        self.config["services"]["other"]["description"] = "changed again"
        self.assertTrue(self.reload()["ok"])

    def test_storm(self):
        """Many who ask, few helpers, and each hears of a load that began after he had asked."""
        self.start()
        self.slow_config()
        seen, answers = set(), []
        threads = [threading.Thread(target=lambda: answers.append(self.d.connect(timeout=120).call("Reload"))) for _ in range(20)]
        for thread in threads:
            thread.start()
        while any(thread.is_alive() for thread in threads):
            seen.update(helpers_of(self.d.pid))
            os.kill(self.d.pid, signal.SIGHUP)
            time.sleep(0.01)
        self.assertEqual(len(answers), 20)
        self.assertTrue(all(a["ok"] for a in answers))
        self.assertLess(len(seen), 10)
        wait_until(lambda: not helpers_of(self.d.pid), "the last load")


if __name__ == "__main__":
    unittest.main()
