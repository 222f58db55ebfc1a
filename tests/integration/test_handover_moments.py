# SPDX-License-Identifier: MIT
"""What comes while the daemon is about to run another program in its place, which has proven itself already: signals, of
which none is lost, however many other things there are to do just then; and yet another program."""
import os
import signal
import socket
import time
import unittest

from harness import PATIENCE, children_of, free_port, process_state, wait_until
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


class Proving(UpgradeTest):
    def test_what_is_closed_meanwhile(self):
        """The helper has copies of all that listens: what the daemon closes is closed all the same, and its address free."""
        d = self.daemon({"services": {"s": {**ECHO, "listen": f"tcp:127.0.0.1:{free_port()}"},
                                      "u": {"listen": "unix:{dir}/u.sock", "exec": ["mp-echo"]}}})
        port = d.port("s")
        self.put(b"#!/bin/sh\nexec sleep 60\n")
        d.process.send_signal(signal.SIGUSR2)
        helper = wait_until(lambda: [p for p, _ in children_of(d.pid)], "its helper")[0]
        wait_until(lambda: self.words_of(helper)[:1] == [b"sleep"], "it to hang")
        d.call("Stop", services=["s", "u"])
        with self.assertRaises(ConnectionRefusedError):
            socket.create_connection(("127.0.0.1", port), PATIENCE)
        d.call("Start", services=["s", "u"])
        self.assertEqual(d.ask("s", b"x"), b"x")
        self.assertEqual(d.ask("u", b"x"), b"x")
        self.assertEqual(self.words_of(helper)[:1], [b"sleep"], "it hangs still")

    def test_what_it_was_shown_is_closed(self):
        """Before the helper looks at it: it is still what it was shown."""
        d = self.daemon({"services": {"s": ECHO, "u": {"listen": "unix:{dir}/u.sock", "exec": ["mp-echo"]}}})
        real = os.path.join(self.temporary_folder(), "real")
        os.rename(self.program, real)
        self.put(f"#!/bin/sh\ncase $1 in --accept-*) sleep 0.5;; esac\nexec {real} \"$@\"\n".encode())
        d.process.send_signal(signal.SIGUSR2)
        wait_until(lambda: children_of(d.pid), "its helper")
        d.call("Stop", services=["s", "u"])
        d.wait_log(event="upgraded")
        d.call("Start", services=["s", "u"])
        self.assertEqual(d.ask("s", b"x"), b"x")
        self.assertEqual(d.ask("u", b"x"), b"x")

    @staticmethod
    def words_of(pid):
        with open(f"/proc/{pid}/cmdline", "rb") as file:
            return file.read().split(b"\0")


if __name__ == "__main__":
    unittest.main()
