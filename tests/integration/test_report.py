# SPDX-License-Identifier: MIT
"""The status pipe: what a process says of itself is shown, and nothing that it writes there does harm."""
import time
import unittest

from harness import DaemonTest, children_of, cpu_seconds, wait_until


class Report(DaemonTest):
    def start(self, *child, **service):
        service = {"listen": "tcp:127.0.0.1:0", "exec": ["{bad-child}", *child], "report": True, **service}
        return self.daemon({"services": {"s": service, "canary": {"listen": "tcp:127.0.0.1:0", "exec": ["mp-echo"]}}})

    def test_shown(self):
        d = self.start("status", "READY=1\\nSTATUS=warm\\nACTIVE=3\\n", "REQUESTS=41\\nREQUESTS=42\\n")
        with d.dial("s"):
            self.assertEqual(d.wait_service("s", status="warm", requests=42)["report_errors"], 0)
            instance = d.instances("s")[0]
            self.assertEqual((instance["status"], instance["requests"], instance["active"]), ("warm", 42, 3))
            self.assertIn("warm", d.mpctl("ps", check=0).stdout)
            self.assertTrue(d.wait_log(event="ready", service="s"))
            self.assertTrue(d.wait_log(event="status", service="s"))
        d.call("Stop", services=["s"])

    def test_split_lines(self):
        d = self.start("status", "STA", "TUS=one", " piece\\n")
        with d.dial("s"):
            d.wait_service("s", status="one piece")
        d.call("Stop", services=["s"])

    def test_malformed_is_counted(self):
        d = self.start("bad-status")
        with d.dial("s"):
            service = d.wait_service("s", status="still here")
            self.assertGreaterEqual(service["report_errors"], 6)
            self.assertEqual(d.ask("canary", b"x"), b"x")
        self.assertNotIn("\x1b", d.log_text())
        d.call("Stop", services=["s"])

    def test_escapes_in_status(self):
        d = self.start("status", "STATUS=a \\e[31mred\\a one\\n")
        with d.dial("s"):
            status = wait_until(lambda: d.service("s")["status"], "the status")
            self.assertIn("red", status)
            for arguments in ((), ("status", "s"), ("ps",), ("events",)):
                out = d.mpctl(*arguments, check=0).stdout
                self.assertNotIn("\x1b[31m", out)
                self.assertNotIn("\x07", out)
        self.assertNotIn("\x1b", d.log_text())
        d.call("Stop", services=["s"])

    def test_authority_is_not_taken(self):
        """Words of sd_notify that would give a process power over the daemon are data."""
        d = self.start("status", "MAINPID=1\\nFDSTORE=1\\nSTATUS=done\\n")
        with d.dial("s"):
            d.wait_service("s", status="done")
            self.assertEqual(d.instances("s")[0]["pid"], children_of(d.pid)[0][0])
        d.call("Stop", services=["s"])

    def test_closed_pipe_is_no_death(self):
        d = self.start("close-status")
        with d.dial("s"):
            d.wait_service("s", status="last words")
            before = cpu_seconds(d.pid)
            time.sleep(0.5)
            self.assertEqual(d.service("s")["active"], 1)
            self.assertLess(cpu_seconds(d.pid) - before, 0.2)
        d.call("Stop", services=["s"])

    def test_flood(self):
        d = self.start("flood-status", "2000")
        with d.dial("s"):
            slowest = 0.0
            wait_until(lambda: d.service("s")["active"], "the flood")
            for _ in range(20):
                start = time.monotonic()
                self.assertEqual(d.ask("canary", b"tweet"), b"tweet")
                slowest = max(slowest, time.monotonic() - start)
            self.assertLess(slowest, 1.0)
            d.wait_service("s", status="flood over")
        self.assertLess(len(d.log(service="s")), 200, "READY=1 a million times is said once")
        d.call("Stop", services=["s"])

    def test_no_pipe_unless_asked(self):
        d = self.daemon({"services": {"s": {"listen": "tcp:127.0.0.1:0", "exec": ["{probe}"]},
                                      "r": {"listen": "tcp:127.0.0.1:0", "exec": ["{probe}"], "report": True}}})
        self.assertNotIn("MP_STATUS_FD", d.probe("s")["env"])
        p = d.probe("r")
        self.assertEqual(p["by_fd"][int(p["env"]["MP_STATUS_FD"])]["type"], "pipe")
        self.assertFalse(p["by_fd"][int(p["env"]["MP_STATUS_FD"])]["cloexec"])
        d.wait_idle("r")


if __name__ == "__main__":
    unittest.main()
