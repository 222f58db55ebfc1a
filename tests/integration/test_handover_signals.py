# SPDX-License-Identifier: MIT
"""What comes while the daemon is about to run another program in its place, which has proven itself already: signals, of
which none is lost, however many other things there are to do just then; and yet another program."""
import os
import signal
import time
import unittest

from harness import PATIENCE, children_of, process_state, wait_until
from test_upgrade import ECHO, OTHER, UpgradeTest

# In the middle of the time that processes may stay between two states in which they can be handed on; and beyond it.
SETTLING, SETTLED = 0.15, 0.7


class SettlingTest(UpgradeTest):
    def setUp(self):
        """A daemon in which an upgrade waits for a process that has been given its connection, and does not go on.
        (Where the machine is so slow that it is caught earlier or later, what is tried holds all the same.)"""
        self.d = d = self.daemon({"services": {"s": ECHO, "ahead": {**ECHO, "prespawn": 1}}})
        spare = wait_until(lambda: children_of(d.pid), "a process set up ahead")[0][0]
        os.kill(spare, signal.SIGSTOP)
        held = d.dial("s")
        self.addCleanup(held.close)
        d.wait_service("s", active=1)
        self.pid = d.instances("s")[0]["pid"]
        given = d.dial("ahead")
        self.addCleanup(given.close)
        d.wait_service("ahead", accepted=1)
        d.process.send_signal(signal.SIGUSR2)
        d.wait_log(event="upgrade")
        time.sleep(SETTLING)


class Signals(SettlingTest):
    def go_on(self, sig):
        """All of it is found in the same turn of the loop: a death, the signal, and that the time is over."""
        os.kill(self.d.pid, signal.SIGSTOP)
        wait_until(lambda: process_state(self.d.pid) == "T", "the daemon to stand still")
        os.kill(self.pid, signal.SIGKILL)
        os.kill(self.d.pid, sig)
        time.sleep(SETTLED)
        os.kill(self.d.pid, signal.SIGCONT)

    def test_stop(self):
        self.go_on(signal.SIGTERM)
        self.assertEqual(self.d.process.wait(PATIENCE + 15), 0)

    def test_reload(self):
        self.go_on(signal.SIGHUP)
        self.d.wait_log(event="reloaded")
        self.d.wait_log(event="upgraded")

    def test_summary(self):
        self.go_on(signal.SIGUSR1)
        self.d.wait_log(event="summary")
        self.d.wait_log(event="upgraded")


class Replaced(SettlingTest):
    def test_by_something_else(self):
        """What has proven itself is not what would run: that has to prove itself first."""
        self.put(b"#!/bin/sh\nexit 3\n")
        wait_until(lambda: self.d.log(event="upgrade_failed") or self.d.log(event="upgraded"), "the upgrade to be over")
        self.assertEqual(self.d.ask("s", b"x"), b"x")

    def test_by_another_version(self):
        self.install(OTHER)
        self.d.wait_log(event="upgraded")
        self.assertEqual(self.d.ask("s", b"x"), b"x")


if __name__ == "__main__":
    unittest.main()
