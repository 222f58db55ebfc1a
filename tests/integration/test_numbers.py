# SPDX-License-Identifier: MIT
"""Which numbers descriptors have: those that last keep out of the way of those that come and go with a connection, so that
a child has a short table to copy, however many listeners there are."""
import contextlib
import os
import unittest

from harness import DaemonTest, descriptors_of, listening_sockets, wait_until

# Below LOW a process has room for at once; from LASTING on is what lasts.
LOW, LASTING = 64, 256


def service(n):
    return {"listen": ["tcp:127.0.0.1:0"] * n, "exec": ["{probe}"], "stderr": "discard"}


class Numbers(DaemonTest):
    def numbers(self, d):
        """Of what it listens on, without the control socket."""
        tables = listening_sockets(d.pid)
        with open(f"/proc/{d.pid}/net/unix", encoding="utf-8", errors="replace") as table:
            local = {f"socket:[{line.split()[6]}]" for line in table}
        found = []
        for fd in descriptors_of(d.pid):
            with contextlib.suppress(FileNotFoundError):  # a control connection that has just ended
                if os.readlink(f"/proc/{d.pid}/fd/{fd}") in tables - local:
                    found.append(fd)
        return found

    def check(self, d, n):
        # Those that a reload takes away serve first who waits there.
        wait_until(lambda: len(self.numbers(d)) == n, f"{n} listeners")
        numbers = self.numbers(d)
        self.assertEqual([fd for fd in numbers if LOW <= fd < LASTING], [])
        return numbers

    def change(self, d, **services):
        d.write_config({"services": services})
        self.assertTrue(d.call("Reload")["ok"])

    def test_start_reload_upgrade(self):
        d = self.daemon({"services": {"s": service(100)}})
        first = self.check(d, 100)
        self.change(d, s=service(100), t=service(150))
        both = self.check(d, 250)
        self.assertLessEqual(set(first), set(both))
        d.call("Upgrade")
        self.assertEqual(self.check(d, 250), both)
        self.assertEqual(len(d.probe("t")["fds"]), 3)
        self.change(d, t=service(150))
        self.check(d, 150)
        d.mpctl("stop", "t", check=0)
        self.assertEqual(self.numbers(d), [])
        d.mpctl("start", "t", check=0)
        self.check(d, 150)

    def test_many(self):
        """So many that they are not moved one by one."""
        d = self.daemon({"services": {"s": service(600)}})
        self.check(d, 600)
        # Nothing is left of what has kept the numbers free.
        self.assertLess(len([fd for fd in descriptors_of(d.pid) if LOW <= fd < LASTING]), 10)
        self.assertEqual(len(d.probe("s")["fds"]), 3)

    def test_few_numbers(self):
        """Where there are no high ones, or only those that are kept free, any will do."""
        for limit in (200, 290):
            with self.subTest(limit=limit):
                d = self.daemon({"services": {"s": service(100)}}, wrap=["prlimit", f"--nofile={limit}:{limit}", "--"])
                numbers = self.numbers(d)
                self.assertEqual(len(numbers), 100)
                self.assertLess(numbers[-1], limit - 16)
                self.assertTrue(d.probe("s"))


if __name__ == "__main__":
    unittest.main()
