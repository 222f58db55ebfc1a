# SPDX-License-Identifier: MIT
"""What a service lacks is looked for again beside the loop: whatever becomes of that, the daemon goes on as it is."""
import contextlib
import errno
import os
import signal
import subprocess
import threading
import time
import unittest

from faults import Injection, canary_quick, tracing_works
from harness import (PATIENCE, SANITIZED, DaemonTest, VarlinkError, children_of, need_program, need_root, process_alive,
                     process_state, wait_until)

# What is tried again is so within a minute.
AGAIN = 60 + PATIENCE
ECHO = {"listen": "tcp:127.0.0.1:0", "exec": ["mp-echo"]}
# NSS that knows a user once there is a file "there", and does not answer for him as long as there is one called "hang".
SHIM = r"""
#include <dlfcn.h>
#include <errno.h>
#include <pwd.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
static int is_there(const char *name) {
    char path[4096];
    snprintf(path, sizeof(path), "%s/%s", getenv("SHIM_FOLDER"), name);
    return access(path, F_OK) == 0;
}
int getpwnam_r(const char *name, struct passwd *pwd, char *buf, size_t n, struct passwd **ret) {
    int (*real)(const char *, struct passwd *, char *, size_t, struct passwd **) = 0;
    *(void **)&real = dlsym(RTLD_NEXT, "getpwnam_r");
    if (strcmp(name, "late") != 0)
        return real(name, pwd, buf, n, ret);
    while (is_there("hang"))
        usleep(10000);
    *ret = NULL;
    return is_there("there") ? real("nobody", pwd, buf, n, ret) : ENOENT;
}
"""


def lookers_of(pid):
    found = []
    for child, _ in children_of(pid):
        with contextlib.suppress(FileNotFoundError, ProcessLookupError), open(f"/proc/{child}/cmdline", "rb") as words:
            if b"\0--look-again\0" in words.read():
                found.append(child)
    return found


class Missing(DaemonTest):
    """Programs and files, which come while the daemon runs; as any user."""

    def setUp(self):
        self.folder = self.temporary_folder()
        os.chmod(self.folder, 0o755)
        self.config = {"services": {
            "canary": dict(ECHO),
            "program": {**ECHO, "exec": [self.folder + "/program"]},
            "waits": {**ECHO, "model": "on-demand", "pass": "listen_fds", "exec": [self.folder + "/waits"], "start": "now"},
            "rules": {**ECHO, "access": {"allow": [f"file:{self.folder}/rules"]}},
            "door": {"listen": "tcp:127.0.0.1:0", "model": "tcpmux"},
            "named": {"tcpmux": "+Named", "exec": [self.folder + "/named"]}}}
        self.d = self.daemon(self.config)

    def start(self, *names):
        """What is told of the first that cannot be started."""
        try:
            self.d.call("Start", services=list(names))
        except VarlinkError as error:
            return error.parameters
        return None

    def come(self, *names):
        for name in names:
            os.symlink("/bin/cat", f"{self.folder}/{name}")

    def test_told(self):
        """Each by its own step, and each start is answered with what there is then."""
        for name, step in (("program", "exec"), ("waits", "exec"), ("rules", "access"), ("named", "exec")):
            found = self.start(name)
            self.assertEqual((found["step"], found["errno"]), (step, errno.ENOENT), found)
            self.assertIn(f"{self.folder}/{name}", found["message"])
            self.assertEqual(self.d.service(name)["state"], "failed")
        self.assertEqual(self.d.ask("canary", b"x"), b"x")

    def test_come_by_themselves(self):
        """Nobody orders anything: all of them are tried again."""
        self.come("program", "waits", "named")
        with open(self.folder + "/rules", "w", encoding="utf-8") as rules:
            rules.write("127.0.0.0/8\n")
        for name in ("program", "waits", "rules", "named"):
            wait_until(lambda name=name: self.d.service(name)["state"] not in ("failed", "starting"), name, AGAIN)
        self.assertEqual(self.d.ask("program", b"x"), b"x")
        self.assertEqual(self.d.ask("rules", b"x"), b"x")
        with self.d.dial("door") as c:
            c.sendall(b"nAmEd\r\nx")
            self.assertEqual(c.recv(100)[:1], b"+")

    def test_one_of_several(self):
        """What still lacks something is not taken with the others, and a reload after that finds them the same."""
        self.come("program")
        self.assertIsNone(self.start("program"))
        self.assertEqual(self.d.ask("program", b"x"), b"x")
        self.assertEqual(self.start("program", "rules")["step"], "access")
        self.come("waits", "named")
        with open(self.folder + "/rules", "w", encoding="utf-8") as rules:
            rules.write("127.0.0.0/8\n")
        self.assertIsNone(self.start("program", "rules", "waits", "named"))
        answer = self.d.call("Reload")
        self.assertEqual((answer["ok"], answer["changes"]), (True, []))
        self.assertEqual(self.d.ask("rules", b"x"), b"x")

    def test_upgraded_then(self):
        """The config that has been found goes on to the next program."""
        self.come("program", "waits", "named")
        with open(self.folder + "/rules", "w", encoding="utf-8") as rules:
            rules.write("127.0.0.0/8\n")
        self.assertIsNone(self.start("program", "rules"))
        self.d.call("Upgrade")
        self.assertEqual(self.d.ask("program", b"x"), b"x")
        self.assertEqual(self.d.ask("rules", b"x"), b"x")


@need_program("gcc")
@need_root
@unittest.skipIf(SANITIZED, "the sanitizer wants to be loaded first")
class LookAgain(DaemonTest):
    def setUp(self):
        self.folder = self.temporary_folder()
        os.chmod(self.folder, 0o755)
        source, shim = self.folder + "/shim.c", self.folder + "/shim.so"
        with open(source, "w", encoding="utf-8") as file:
            file.write("#define _GNU_SOURCE\n" + SHIM)
        subprocess.run(["gcc", "-shared", "-fPIC", "-o", shim, source, "-ldl"], check=True)
        self.config = {"services": {"canary": dict(ECHO), "late": {**ECHO, "user": "late"}}}
        self.shim = {"LD_PRELOAD": shim, "SHIM_FOLDER": self.folder}

    def begin(self, **more):
        self.config["services"].update(more)
        self.d = self.daemon(self.config, environment=self.shim)
        self.assertEqual(self.d.service("late")["state"], "failed")
        self.assertIn("there is no user 'late'", self.d.service("late")["last_error"]["message"])

    def put(self, name):
        with open(f"{self.folder}/{name}", "w", encoding="utf-8"):
            pass

    def remove(self, name):
        os.unlink(f"{self.folder}/{name}")

    def looker(self):
        """The helper that is looking now, for long if the look-up hangs."""
        return wait_until(lambda: lookers_of(self.d.pid), "the helper that looks", AGAIN)[0]

    def hang(self):
        """One that hangs: the one under way may have come by already."""
        self.put("hang")
        # It has asked before.
        for pid in lookers_of(self.d.pid):
            wait_until(lambda pid=pid: not process_alive(pid) or self.hangs(pid), "an earlier look-up")
        pid = self.looker()
        wait_until(lambda: self.hangs(pid), "the look-up to hang")
        return pid

    def hangs(self, pid):
        """It sleeps in usleep(3) of the shim and in nothing else."""
        with contextlib.suppress(FileNotFoundError, ProcessLookupError), open(f"/proc/{pid}/wchan", encoding="utf-8") as f:
            return "nanosleep" in f.read()
        return False

    def goes_on(self, times=20):
        worst = 0.0
        for _ in range(times):
            start = time.monotonic()
            self.assertEqual(self.d.ask("canary", b"x"), b"x")
            self.assertEqual(self.d.service("late")["state"], "failed")
            worst = max(worst, time.monotonic() - start)
        self.assertLess(worst, 10 * canary_quick())

    def comes(self):
        """He is there now, and the service with him."""
        self.put("there")
        with contextlib.suppress(FileNotFoundError):
            self.remove("hang")
        wait_until(lambda: self.d.service("late")["state"] == "listening", "the service", AGAIN)
        self.assertEqual(self.d.ask("late", b"x"), b"x")
        wait_until(lambda: not lookers_of(self.d.pid), "no helper any more")

    def orphans(self):
        os.kill(self.d.pid, signal.SIGUSR1)
        return self.d.wait_log(event="summary")[0]["message"]

    def test_loop_goes_on(self):
        """As long as nobody answers the others serve, orders are obeyed, and nobody looks twice."""
        self.begin()
        pid = self.hang()
        self.goes_on()
        self.d.call("Pause", services=["canary"])
        self.d.call("Resume", services=["canary"])
        self.goes_on()
        self.assertEqual(lookers_of(self.d.pid), [pid])
        wait_until(lambda: self.d.status()["daemon"]["children"] == 0, "no process of a service, and the helper not among them")
        self.comes()
        self.assertIn(" 0 orphans", self.orphans())

    def test_rights(self):
        """It has given up root but for reading."""
        self.begin()
        with open(f"/proc/{self.hang()}/status", encoding="utf-8") as status:
            facts = dict(line.rstrip("\n").split(":\t", 1) for line in status if ":\t" in line)
        self.assertEqual(facts["Uid"].split(), ["65534"] * 4)
        self.assertEqual((facts["NoNewPrivs"], int(facts["CapBnd"], 16)), ("1", 0))
        self.comes()

    def test_killed(self):
        """Told, and tried again as after any failure."""
        self.begin()
        os.kill(self.hang(), signal.SIGKILL)
        error = wait_until(lambda: "SIGKILL" in self.d.service("late")["last_error"]["message"] and self.d.service("late")["last_error"], "it is told")
        self.assertEqual(error["message"], "what it lacks was not looked for: the helper that looks for users and programs was killed by SIGKILL")
        self.goes_on()
        self.comes()

    @need_program("strace")
    def test_no_process_for_it(self):
        """The same: told, and tried again."""
        if not tracing_works():
            self.skipTest("processes cannot be traced here")
        self.begin()
        with Injection(self.d.pid, "clone:error=EAGAIN") as failing:
            with self.assertRaises(VarlinkError) as caught:
                self.d.call("Start", services=["late"])
            self.assertGreater(failing.count("clone"), 0)
        self.assertIn("the helper that looks for users and programs cannot be run: Resource temporarily unavailable", str(caught.exception.parameters))
        self.goes_on()
        self.comes()

    def test_one_that_hangs_does_not_stand_for_others(self):
        """When those that were looked at together have no answer each is by itself, which has as long as it may, and
        nobody who comes later waits for it."""
        self.begin(**{name: {**ECHO, "exec": [f"{self.folder}/{name}"]} for name in ("tool", "other")})
        wait_until(lambda: not lookers_of(self.d.pid), "the look-up of the start")
        self.put("hang")
        os.symlink("/bin/cat", self.folder + "/tool")
        with self.d.connect(timeout=120) as control:
            control.send("Start", {"services": ["late", "tool"]})
            together = self.hang()
            os.kill(together, signal.SIGKILL)
            wait_until(lambda: self.d.service("tool")["state"] == "listening", "the other to be found", AGAIN)
            self.assertEqual(self.d.ask("tool", b"x"), b"x")
            pid = wait_until(lambda: [p for p in lookers_of(self.d.pid) if self.hangs(p)], "the one that hangs, alone")[0]
            os.symlink("/bin/cat", self.folder + "/other")
            self.d.call("Start", services=["other"])
            self.assertEqual(self.d.ask("other", b"x"), b"x")
            self.assertTrue(self.hangs(pid))
            self.goes_on()
            self.assertIn("took longer than 30 s", str(control.receive()))
        self.comes()

    def test_stopped_holds_up_nobody(self):
        """What hangs for a service that has been stopped is given up as soon as another asks."""
        self.begin(tool={**ECHO, "exec": [self.folder + "/tool"]})
        self.d.call("Stop", services=["tool"])
        pid = self.hang()
        self.d.call("Stop", services=["late"])
        os.symlink("/bin/cat", self.folder + "/tool")
        self.d.call("Start", services=["tool"])
        self.assertEqual(self.d.ask("tool", b"x"), b"x")
        wait_until(lambda: not process_alive(pid), "its end")

    def test_told_once(self):
        """As long as nothing else goes wrong it is told once, however often it is tried."""
        self.begin()
        for _ in range(3):
            self.put("hang")
            pid = self.hang()
            os.kill(pid, signal.SIGKILL)
            wait_until(lambda pid=pid: not process_alive(pid), "its end")
        wait_until(lambda: "SIGKILL" in self.d.service("late")["last_error"]["message"], "it is told")
        told = [line["message"] for line in self.d.log() if line.get("service") == "late" and "message" in line]
        self.assertEqual(len([m for m in told if "SIGKILL" in m]), 1, told)
        self.assertEqual(told.count("there is no user 'late'"), 1, told)

    def test_start_waits_for_it(self):
        """Who starts the service is told what was found when he had asked, be it while another look-up hangs."""
        self.begin()
        with self.assertRaises(VarlinkError) as caught:
            self.d.call("Start", services=["late"])
        self.assertIn("there is no user 'late'", str(caught.exception))
        self.hang()
        answers = []
        asks = threading.Thread(target=lambda: answers.append(self.d.connect(timeout=120).call("Start", services=["late"])))
        asks.start()
        self.goes_on()
        self.assertEqual(answers, [])
        self.comes()
        asks.join(PATIENCE)
        self.assertEqual(len(answers), 1)

    def test_stop_and_start(self):
        """What is found for one that has been stopped meanwhile starts nothing."""
        self.begin()
        pid = self.hang()
        self.d.call("Stop", services=["late"])
        self.put("there")
        self.remove("hang")
        wait_until(lambda: not process_alive(pid), "its end")
        self.assertEqual(self.d.ask("canary", b"x"), b"x")
        self.assertEqual(self.d.service("late")["state"], "stopped")
        self.d.call("Start", services=["late"])
        self.assertEqual(self.d.ask("late", b"x"), b"x")

    def test_reloads(self):
        """One that takes the service away, and one that changes it: what was asked before is for nobody."""
        self.begin()
        pid = self.hang()
        del self.config["services"]["late"]
        self.d.write_config(self.config)
        self.assertTrue(self.d.call("Reload")["ok"])
        self.assertEqual([s["name"] for s in self.d.status()["services"]], ["canary"])
        self.config["services"]["late"] = dict(ECHO)
        self.d.write_config(self.config)
        self.assertTrue(self.d.call("Reload")["ok"])
        self.remove("hang")
        wait_until(lambda: not process_alive(pid), "its end")
        self.assertEqual(self.d.ask("late", b"x"), b"x")
        self.assertEqual(self.d.service("late")["state"], "listening")

    def test_upgrade(self):
        """The next program asks anew; nobody is left over of what the one before had asked."""
        self.begin()
        pid = self.hang()
        self.put("there")  # the config is good by now, or the upgrade would be refused
        self.config["services"]["late"]["user"] = "root"
        self.d.write_config(self.config)
        self.d.call("Upgrade")
        wait_until(lambda: not process_alive(pid), "the end of what was asked before")
        self.assertNotEqual(self.hang(), pid)
        self.goes_on()
        self.comes()
        self.assertIn(" 0 orphans", self.orphans())

    def test_who_waits_over_an_upgrade(self):
        """Who has started the service is told by the next program, of what that has found."""
        self.begin()
        pid = self.hang()
        self.put("there")  # the config is good by now, or the upgrade would be refused
        self.config["services"]["late"]["user"] = "root"
        self.d.write_config(self.config)
        with self.d.connect(timeout=120) as control:
            control.send("Start", {"services": ["late"]}, more=True)
            self.assertIn("late: what it lacks is looked up again", str(control.receive()))
            self.d.call("Upgrade")
            wait_until(lambda: not process_alive(pid), "the end of what was asked before")
            wait_until(lambda: any(self.hangs(p) for p in lookers_of(self.d.pid)), "the look-up of the next program")
            self.goes_on()
            self.comes()
            reply = control.receive()
            while reply.get("continues"):
                reply = control.receive()
        self.assertNotIn("error", reply)

    def test_upgrade_that_fails(self):
        """What was under way is asked again."""
        self.begin()
        self.hang()
        self.d.write_config("version: 1\nservices: [")
        with self.assertRaises(VarlinkError):
            self.d.call("Upgrade")
        self.goes_on()
        self.comes()

    def test_daemon_stops(self):
        """Nobody waits for it, and it does not stay behind."""
        self.begin()
        pid = self.hang()
        self.d.stop()
        wait_until(lambda: not process_alive(pid) or process_state(pid) == "Z", "the helper to end")


if __name__ == "__main__":
    unittest.main()
