# SPDX-License-Identifier: MIT
"""The shipped units in a real systemd, which runs in namespaces of its own. What is done in there stands in box.py."""
import json
import os
import re
import subprocess
import unittest

from harness import BUILD, ROOT, SANITIZED, DaemonTest, need_program, need_root

CONFIG = """
version: 1
control: {socket: /run/mpinetd/control.sock}
defaults: {user: nobody}
services:
  echo: {listen: tcp:127.0.0.1:7, exec: [mp-echo]}
  cat: {listen: tcp:127.0.0.1:1007, exec: [cat]}
  talk: {listen: tcp:127.0.0.1:1008, exec: [sh, -c, "echo 'said on stderr' >&2"]}
"""


@need_root
@need_program("unshare", "nsenter", "setpriv", "findmnt")
class Systemd(DaemonTest):
    weight = 20

    def box(self, name, service_lines=""):
        """Runs one function of box.py in a box with the units; returns the journal's entries."""
        folder = self.temporary_folder()

        def write(path, text):
            with open(f"{folder}/{path}", "w", encoding="utf-8") as file:
                file.write(text)
            return f"{folder}/{path}"
        arguments = []
        for unit in ("mpinetd.service", "mpinetd.socket"):
            with open(f"{BUILD}/conf/units/{unit}", encoding="utf-8") as file:
                text = re.sub(r"(?m)^(Exec\w+=)\S*/(mpinetd|mpctl)\b",
                              lambda m: m[1] + BUILD + {"mpinetd": "/daemon/mpinetd", "mpctl": "/ctl/mpctl"}[m[2]],
                              file.read())
            arguments += ["--unit", write(unit, text)]
        asan = "Environment=ASAN_OPTIONS=exitcode=66\n" if SANITIZED else ""
        dropin = write("test.conf", "[Unit]\nStartLimitIntervalSec=0\n[Service]\n"
                       f"ExecStart=\nExecStart={BUILD}/daemon/mpinetd -c /etc/mpinetd/mpinetd.yaml\n"
                       f"Environment=MPINETD_LIBEXECDIR={BUILD}/services\n{asan}RestartSec=100ms\n{service_lines}")
        journal = f"{folder}/journal"
        command = [f"{ROOT}/tests/helpers/systemd-box", *arguments,
                   "--file", f"{dropin}:/etc/systemd/system/mpinetd.service.d/test.conf",
                   "--file", write("config", CONFIG) + ":/etc/mpinetd/mpinetd.yaml",
                   "--bind-ro", BUILD, "--bind-ro", f"{ROOT}/tests/integration", "--journal", journal, "--timeout", "100",
                   "--env", f"BUILD_DIR={BUILD}", "--", "python3", f"{ROOT}/tests/integration/box.py", name]
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
        self.assertTrue([e for e in entries if e.get("MP_SERVICE") == "talk" and e.get("MESSAGE", "").endswith(
            "said on stderr")], "what a service says on stderr stands under its name")

    def test_socket_activation(self):
        self.box("socket_activation")

    def test_reload(self):
        self.box("reload")

    def test_watchdog(self):
        self.box("watchdog", "WatchdogSec=1\n")

    def test_stop_ends_all(self):
        self.box("stop_ends_all")

    def test_crash(self):
        self.box("crash")


if __name__ == "__main__":
    unittest.main()
