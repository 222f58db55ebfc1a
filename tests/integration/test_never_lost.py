# SPDX-License-Identifier: MIT
"""That no connection is ever lost, whatever is done to the daemon meanwhile: docs/reliability.md. Short here; at full
length by ./dev soak, which says how much that is."""
import os
import time
import unittest

from harness import SANITIZED, DaemonTest, children_of, lasting_descriptors_of, resident_kib, wait_until
from steady import Held, Load

SOAK = os.environ.get("MP_TEST_SOAK") == "1"


def say(text):
    print(f"      {text}", flush=True)


def services(**changes):
    """One service of each way in which connections come to processes."""
    return {
        "forks": {"listen": "tcp:127.0.0.1:0", "exec": ["mp-echo"], **changes},
        "passed": {"listen": "tcp:127.0.0.1:0", "model": "pool", "exec": ["mp-echo"],
                   "pool": {"min": 2, "max": 4, "handoff": "connection"}, **changes},
        "workers": {"listen": "tcp:127.0.0.1:0", "model": "pool", "exec": ["mp-echo"], "pool": {"min": 2, "max": 4}},
        "waits": {"listen": "tcp:127.0.0.1:0", "model": "on-demand", "exec": ["mp-echo"]},
    }


class Children(DaemonTest):
    def test_a_hundred_thousand(self):
        """So many processes: none stays as a zombie, the descriptors are those of before, memory does not grow."""
        total = 100000 if SOAK else 300 if SANITIZED else 3000
        daemon = self.daemon({"services": {"s": services()["forks"]}})
        load = {"s": daemon.port("s")}
        before, memory, zombies = lasting_descriptors_of(daemon.pid), [], 0
        while daemon.service("s")["spawned"] < total:
            with Load(self, load):
                end = time.monotonic() + (10 if SOAK else 1)
                while time.monotonic() < end:
                    # One that has ended just now is reaped before it could be seen twice.
                    first = {pid for pid, state in children_of(daemon.pid) if state == "Z"}
                    time.sleep(0.3)
                    zombies += len(first & {pid for pid, state in children_of(daemon.pid) if state == "Z"})
            daemon.wait_idle("s")
            memory.append(resident_kib(daemon.pid))
        s = daemon.service("s")
        say(f"{s['spawned']} processes; resident KiB after each part: {memory}")
        self.assertEqual(zombies, 0)
        self.assertEqual(s["spawned"], sum(s["exited"].values()))
        self.assertEqual(s["accepted"], s["spawned"] + s["spawn_failed"] + s["gone"] + sum(s["refused"].values()))
        wait_until(lambda: lasting_descriptors_of(daemon.pid) == before, "the descriptors of before")
        if not SANITIZED:
            self.assertLessEqual(memory[-1], memory[0] + 1024, memory)


if __name__ == "__main__":
    unittest.main()
