# SPDX-License-Identifier: MIT
"""The shipped units in a real systemd, which runs in namespaces of its own. What is done in there stands in box.py."""
import json
import os
import re
import subprocess
import unittest

from harness import BUILD, ROOT, SANITIZED, SLOW, DaemonTest, need_program, need_root

CONFIG = """
version: 1
control: {socket: /run/mpinetd/control.sock}
defaults: {user: nobody}
services:
  echo: {listen: tcp:127.0.0.1:7, exec: [mp-echo]}
  cat: {listen: tcp:127.0.0.1:1007, exec: [cat]}
  talk: {listen: tcp:127.0.0.1:1008, exec: [sh, -c, "echo 'said on stderr' >&2"]}
"""

# For restarts: what is under way has no long time to end.
MORE = CONFIG.replace("services:", "shutdown: {children: %s, drain: 2s}\nservices:") + """
  path: {listen: unix:/run/path.sock, exec: [cat]}
  datagram: {listen: udp:127.0.0.1:7, exec: [mp-echo]}
"""

UNPRIVILEGED = """
version: 1
services:
  echo: {listen: "systemd:echo", exec: [mp-echo], user: self}
  own: {listen: tcp:127.0.0.1:2009, exec: [id, -un], user: self}
"""

# In sandboxes, and control groups below the unit's.
ISOLATED = """
version: 1
control: {socket: /run/mpinetd/control.sock}
shutdown: {drain: 2s}
defaults: {user: nobody, environment: {ASAN_OPTIONS: detect_leaks=0}}
services:
  strict: {listen: tcp:127.0.0.1:2007, exec: [mp-echo], prespawn: 1, sandbox: {preset: strict}}
  each: {listen: tcp:127.0.0.1:2008, exec: [cat], sandbox: {preset: strict}, cgroup: {per_instance: true}}
  shared:
    listen: tcp:127.0.0.1:2009
    exec: [sh, -c, "setsid sleep 1000 >/dev/null 2>&1 & exec cat"]
    timeouts: {stop: 2s}
    sandbox: {preset: basic}
    cgroup: {per_instance: false}
"""

UNITS = ("mpinetd.service", "mpinetd.socket", "mpinetd-unprivileged.service", "mpinetd-unprivileged.socket")
FOLDER = "/etc/systemd/system"
# Where the build is in the box: neither in /tmp nor in a home, which some units are not shown.
INSIDE = "/opt/build"


@need_root
@need_program("unshare", "nsenter", "setpriv", "findmnt")
class Systemd(DaemonTest):
    weight = 20

    def write(self, name, text):
        path = f"{self.folder}/{name}"
        with open(path, "w", encoding="utf-8") as file:
            file.write(text)
        return path

    def units(self, lines, leaks=True):
        """The units, with programs of the build, and @lines for all services. Without @leaks the sanitizer does not look
        for them at a program's end, which takes ptrace(2)."""
        arguments = []
        for unit in UNITS:
            with open(f"{BUILD}/conf/units/{unit}", encoding="utf-8") as file:
                text = re.sub(r"(?m)^(Exec\w+=)\S*/(mpinetd|mpctl)\b",
                              lambda m: m[1] + INSIDE + {"mpinetd": "/daemon/mpinetd", "mpctl": "/ctl/mpctl"}[m[2]],
                              file.read())
            text = re.sub(r"[^\s=]*/mpinetd/unprivileged.yaml", "/etc/mpinetd/unprivileged.yaml", text)
            arguments += ["--unit", self.write(unit, text)]
        asan = f"Environment=ASAN_OPTIONS=exitcode=66{'' if leaks else ':detect_leaks=0'}\n" if SANITIZED else ""
        common = ("[Unit]\nStartLimitIntervalSec=0\n[Service]\n"
                  f"Environment=MPINETD_LIBEXECDIR={INSIDE}/services\n{asan}RestartSec=100ms\n{lines}")
        own = common + f"ExecStart=\nExecStart={INSIDE}/daemon/mpinetd -c /etc/mpinetd/mpinetd.yaml\n"
        return arguments + ["--file", self.write("test.conf", own) + f":{FOLDER}/mpinetd.service.d/test.conf", "--file",
                            self.write("unprivileged.conf", common) + f":{FOLDER}/mpinetd-unprivileged.service.d/test.conf"]

    def box(self, name, lines="", config=CONFIG, drop_ins=(), also=(), tree=None, leaks=True):
        """Runs one function of box.py in a box with the units; returns the journal's entries."""
        self.folder = self.temporary_folder()
        arguments = self.units(lines, leaks)
        for drop_in in drop_ins:
            arguments += ["--file", f"{ROOT}/conf/units/drop-ins/{drop_in}:{FOLDER}/mpinetd.service.d/{drop_in}"]
        arguments += ["--root", tree] if tree else []
        for file in also:
            arguments += ["--file", file]
        journal = f"{self.folder}/journal"
        command = [f"{ROOT}/tests/helpers/systemd-box", *arguments,
                   "--file", self.write("config", config) + ":/etc/mpinetd/mpinetd.yaml",
                   "--file", self.write("unprivileged", UNPRIVILEGED) + ":/etc/mpinetd/unprivileged.yaml",
                   "--bind-ro", f"{BUILD}:{INSIDE}", "--bind-ro", f"{ROOT}/tests/integration:/opt/integration", "--journal", journal, "--timeout", "100",
                   "--env", f"BUILD_DIR={INSIDE}", "--", "python3", "/opt/integration/box.py", *name.split()]
        for attempt in range(2):
            run = subprocess.run(command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
                                 text=True, timeout=200, check=False)
            if run.returncode == 77:
                self.skipTest(run.stdout.strip())
            if run.returncode != 125 or attempt:  # a boot that got stuck is not what is tested here
                break
        entries = []
        if os.path.exists(journal):
            with open(journal, encoding="utf-8") as file:
                entries = [json.loads(line) for line in file]
        said = "\n".join(str(e.get("MESSAGE")) for e in entries[-60:])
        self.assertEqual(run.returncode, 0, f"{run.stdout}\n{said}")
        self.assertNotIn("AddressSanitizer", said)
        return entries

    def test_notify(self):
        entries = self.box("notify")
        own = [e for e in entries if e.get("MP_SERVICE") == "echo"]
        self.assertTrue(own, "journal entries carry the service's name")
        self.assertTrue([e for e in own if e.get("MP_PEER", "").startswith("127.0.0.1:")])
        self.assertTrue([e for e in own if e.get("MP_INSTANCE") and e.get("MP_PID") and e.get("MP_EVENT") == "started"])
        self.assertTrue([e for e in entries if e.get("MP_SERVICE") == "talk" and e.get("MESSAGE", "").endswith(
            "said on stderr")], "what a service says on stderr stands under its name")
        running = [e for e in entries if e.get("MP_EVENT") == "running"]
        self.assertEqual([e.get("MESSAGE_ID") for e in running], ["3de10efe6ca14bb987d5c04961c69222"])

    def test_catalog(self):
        self.box("catalog", also=[f"{ROOT}/conf/journal/mpinetd.catalog:/opt/mpinetd.catalog"])

    def test_socket_activation(self):
        self.box("socket_activation")

    def test_reload(self):
        self.box("reload")

    def test_notify_reload(self):
        tree = os.environ.get("MP_TEST_SYSTEMD_TREE")
        if not tree:
            self.skipTest("no tree with systemd 253 or newer (MP_TEST_SYSTEMD_TREE, see tests/helpers/systemd-box)")
        self.box("notify_reload", drop_ins=["notify-reload.conf"], tree=tree)

    def test_watchdog(self):
        self.box("watchdog", "WatchdogSec=1\n")

    def test_stop_ends_all(self):
        self.box("stop_ends_all")

    def test_crash(self):
        self.box("crash")

    def test_restarts_refuse_nobody(self):
        self.box(f"restarts {20 if SLOW else 3}", config=MORE % "end")

    def test_crashes_refuse_nobody(self):
        self.box(f"crashes {20 if SLOW else 3}", config=MORE % "end")

    def test_store(self):
        entries = self.box("store", config=MORE % "end")
        self.assertFalse([e for e in entries if "does not keep" in str(e.get("MESSAGE"))])

    def test_small_store(self):
        entries = self.box("small_store", "FileDescriptorStoreMax=3\n", config=MORE % "end")
        self.assertTrue([e for e in entries if "does not keep" in str(e.get("MESSAGE"))], "that it is too small is said")

    def test_sessions_outlive_restarts(self):
        self.box("sessions", config=MORE % "leave", drop_ins=["children-leave.conf"])

    def test_sessions_outlive_a_crash(self):
        self.box("sessions_and_crash", config=MORE % "leave", drop_ins=["children-leave.conf"])

    def test_groups(self):
        config = (MORE % "leave").replace("exec: [cat]}", "exec: [cat], cgroup: {per_instance: true}}", 1)
        self.box("groups", config=config, drop_ins=["children-leave.conf"])

    def test_isolation(self):
        self.box("isolation", config=ISOLATED, leaks=False)

    def test_upgrades(self):
        self.box(f"upgrades {20 if SLOW else 3}", "WatchdogSec=2\n", config=MORE % "end")

    def test_strict(self):
        self.box("notify", drop_ins=["strict.conf"], leaks=False)

    def test_unprivileged(self):
        self.box("unprivileged", leaks=False, also=[f"{ROOT}/conf/units/sysusers.conf:/etc/sysusers.d/mpinetd.conf",
                                       f"{ROOT}/conf/units/tmpfiles.conf:/etc/tmpfiles.d/mpinetd.conf"])


if __name__ == "__main__":
    unittest.main()
