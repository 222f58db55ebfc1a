# SPDX-License-Identifier: MIT
"""The queues of listeners: how many wait, and how many may, as the kernel has them."""
import contextlib
import os
import unittest

from harness import DaemonTest, wait_until

SOMAXCONN = "/proc/sys/net/core/somaxconn"


class Queues(DaemonTest):
    def check(self, listen, backlog):
        d = self.daemon({"services": {"s": {"listen": [{"endpoint": listen, **backlog}], "exec": ["cat"],
                                            "limits": {"instances": 1}}}})
        with open(SOMAXCONN, encoding="ascii") as file:
            wanted = min(backlog.get("backlog", 1 << 31), int(file.read()))
        listener = d.listener("s")
        self.assertEqual((listener["queued"], listener["backlog"]), (0, wanted))
        with contextlib.ExitStack() as stack:
            first = stack.enter_context(d.dial("s"))
            first.sendall(b"x")
            self.assertEqual(first.recv(1), b"x")
            waiting = [stack.enter_context(d.dial("s")) for _ in range(3)]
            wait_until(lambda: d.listener("s")["queued"] == 3, "three in the queue")
            self.assertEqual(d.service("s")["queued"], 3)
            self.assertRegex(d.call("Metrics")["metrics"], r'mpinetd_\w*backlog\w*\{service="s"\} 3')
            self.assertIn("3", d.mpctl("status", "-o", "SERVICE,QUEUED", "--plain").stdout)
            first.close()
            for s in waiting:
                s.sendall(b"y")
                self.assertEqual(s.recv(1), b"y")
                s.close()
        d.wait_service("s", active=0, queued=0)

    def test_unix(self):
        self.check("unix:{dir}/s.sock", {})

    def test_unix_backlog(self):
        self.check("unix:{dir}/s.sock", {"backlog": 7})

    def test_seqpacket(self):
        self.check("unix-seqpacket:{dir}/s.sock", {"backlog": 9})

    def test_abstract(self):
        self.check(f"unix:@mpt-{os.getpid()}-queue", {})

    def test_tcp(self):
        self.check("tcp:127.0.0.1:0", {"backlog": 11})


if __name__ == "__main__":
    unittest.main()
