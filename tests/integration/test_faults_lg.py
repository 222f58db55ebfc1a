# SPDX-License-Identifier: MIT
"""LG: the log. Whatever is said to the daemon, each event is one line of bounded length that says what happened and no more; and
what happens often is told seldom. The ids are those of docs/faults.md."""
import contextlib
import json
import os
import re
import sys
import time
import unittest

from faults import FaultTest
from harness import SLOW, stays, wait_until

# As a terminal, a syslog server or a reader of JSON might take for something else: each of C0, DEL and C1, what is no UTF-8,
# direction overrides, and lines of others.
HOSTILE = (bytes(range(1, 10)) + bytes(range(11, 32)) + b"\x7f", "".join(map(chr, range(0x80, 0xa0))).encode(), b"\x1b]0;owned\x07",
           b"\x1b[2J\x1b[31mred", b"\r2026-01-01 00:00:00.000 sshd[1] accepted", b'","event":"ended","service":"other',
           b'{"time":"2026-01-01T00:00:00Z","level":"error","event":"forged"}', b"\xff\xfe\xc3\x28\xed\xa0\x80\xf8",
           b"<0>kernel: panic", b"%s%n%x$(reboot)`reboot`", b"\0nul\0", b"x" * 70000)
WRITER = """
import os, sys
for line in open(sys.argv[1], "rb").read().split(b"\\n@\\n"):
    os.write(2, line + b"\\n")
    os.write(int(os.environ["MP_STATUS_FD"]), b"STATUS=" + line.replace(b"\\n", b" ")[:4000] + b"\\n")
"""
CONTROLS = re.compile("[\x00-\x09\x0b-\x1f\x7f-\x9f]")


class Log(FaultTest):
    weight = 10

    def hostile(self, log_format):
        folder = self.temporary_folder()
        with open(f"{folder}/lines", "wb") as f:
            f.write(b"\n@\n".join(HOSTILE))
        d = self.start({"exec": [sys.executable, "-c", WRITER, f"{folder}/lines"], "report": True},
                       options=("--log-format", log_format))
        d.ask("s")
        d.wait_idle("s")
        # What comes from clients of the control socket is text of others as well.
        for line in HOSTILE:
            with contextlib.suppress(Exception), d.connect() as control:
                control.call("Stop", services=[line.decode("latin-1")])
        wait_until(lambda: "reboot" in d.log_text(), "the lines")
        return d

    def test_lg_1_text(self):
        d = self.hostile("text")
        text = d.log_text()
        self.assertIsNone(CONTROLS.search(text), ascii(CONTROLS.search(text)))
        for line in text.splitlines():
            self.assertLess(len(line), 20000)
            # Diagnostics of the config aside, each begins with when.
            if not line.startswith((" ", "/", "1 warning")):
                self.assertRegex(line, r"^20\d\d-\d\d-\d\d \d\d:\d\d:\d\d\.\d\d\d ")
        self.assertIn(r"\x1b]0;owned\x07", text)

    def test_lg_1_json(self):
        d = self.hostile("json")
        with open(d.log_path, "rb") as f:
            data = f.read()
        data.decode("utf-8")
        for line in data.split(b"\n"):
            self.assertLess(len(line), 20000)
            if line.startswith(b"{"):
                entry = json.loads(line)
                self.assertNotEqual(entry["event"], "forged")
                self.assertIn(entry.get("service"), ("s", "canary", None))
        # What stands for them in JSON is text as well.
        self.assertIsNone(CONTROLS.search(data.decode("utf-8")))

    def test_lg_1_shown(self):
        d = self.hostile("json")
        for words in (("logs", "s"), ("events", "-n", "100"), ("status", "s"), ("status",), ("ps",)):
            for more in ((), ("--plain",), ("--json",)):
                run = d.mpctl(*words, *more)
                # Columns for programs have tabs between them.
                text = (run.stdout + run.stderr).replace("\t", " " if more == ("--plain",) else "\t")
                self.assertIsNone(CONTROLS.search(text), (words, more))

    def test_lg_2_many_identical_errors(self):
        """Refused a hundred thousand times (in the long form): told ten times a second at most, and how often it was."""
        n = 100000 if SLOW else 4000
        d = self.start({"exec": ["cat"], "access": {"deny": ["127.0.0.1"]}})
        begin = time.monotonic()
        with self.strain(d):
            for _ in range(n):
                with d.dial_fast("s") as s, contextlib.suppress(OSError):
                    s.recv(1)
        d.wait_service("s", accepted=n)
        seconds = time.monotonic() - begin + 2
        time.sleep(1.5)
        lines = d.log(event="refused", service="s")
        whole = [e for e in lines if e.get("peer")]
        self.assertLessEqual(len(whole), 100 + 10 * seconds)
        told = [int(m.group(1)) for e in d.log(service="s") if (m := re.search(r"(\d+) (more|lines|left out|times)", e["message"]))
                and not e.get("peer")]
        self.assertLessEqual(len(told), seconds + 1)
        self.assertEqual(len(whole) + sum(told), n, d.log(service="s")[-5:])
        self.assertLess(os.path.getsize(d.log_path), 400 * (len(d.log()) + 10))
        self.assertEqual(d.service("s")["refused"]["access"], n)

    def test_lg_2_one_that_cannot_be_started(self):
        folder = self.temporary_folder()
        program = os.path.join(folder, "gone")
        os.symlink("/bin/cat", program)
        d = self.start({"exec": [program]})
        os.unlink(program)
        n = 20000 if SLOW else 1500
        begin = time.monotonic()
        with self.strain(d):
            for _ in range(n):
                with d.dial_fast("s") as s:
                    self.assertEqual(s.recv(1), b"")
        d.wait_service("s", spawn_failed=n)
        self.assertLessEqual(len(d.log(event="spawn_failed")), 110 + 12 * (time.monotonic() - begin))

    def test_lg_2_a_chatty_one(self):
        """What a process writes is held up, not the daemon; and nothing of it is lost for that."""
        d = self.start({"exec": ["sh", "-c", "i=0; while [ $i -lt 20000 ]; do echo line $i >&2; i=$((i+1)); done; echo done"]})
        with self.strain(d, log_lines=10**9):
            self.assertEqual(d.ask("s", timeout=60), b"done\n")
            d.wait_idle("s")
        wait_until(lambda: d.log(event="stderr", message="line 19999"), "the last line")
        self.assertEqual(len(d.log(event="stderr")) + d.log_text().count("log_lost"), 20000)

    def test_lg_2_a_disk_that_is_bounded(self):
        """A file that must not grow any more: dropped, counted."""
        d = self.start({"exec": ["cat"]}, wrap=["prlimit", "--fsize=20000:20000", "--"])
        for _ in range(300):
            d.ask("s", b"x")
        self.assertLessEqual(os.path.getsize(d.log_path), 20000)
        stays(lambda: d.ask("s", b"x") == b"x", "that it serves")
        # Its last line is cut off.
        d.process.terminate()
        self.assertEqual(d.process.wait(20), 0)
        d.process = None


if __name__ == "__main__":
    unittest.main()
