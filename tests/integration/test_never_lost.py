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


class Proof(DaemonTest):
    """All kinds of services under load, with connections that are held, while something is done again and again."""
    held = 50

    def prove(self, daemon, what, times, each):
        """Does each(i) so many times."""
        ports = {name: daemon.port(name) for name in services()}
        with Load(self, ports, at_once=2 if SANITIZED else 4) as load, Held(self, ports["forks"], self.held) as held:
            living = {i["pid"] for i in daemon.instances("forks")}
            start = time.monotonic()
            for i in range(times):
                each(i)
            seconds = time.monotonic() - start
            kept = living & {i["pid"] for i in daemon.instances("forks")}
        say(f"{times} {what} in {seconds:.1f} s, {load.answered} connections answered, {load.rate:.0f} a second, "
            f"{self.held} held for {held.rounds} rounds, none lost")
        # Those of the load came and went; those that are held have the process that they had.
        self.assertGreaterEqual(len(kept), self.held)
        if SOAK:
            self.assertGreaterEqual(load.rate, 500)
        for name in ports:
            # Processes of on-demand services and pools stay.
            if name == "forks":
                s = daemon.wait_idle(name)
                self.assertEqual(s["accepted"], s["spawned"] + s["spawn_failed"] + s["gone"] +
                                 sum(s["refused"].values()))
                self.assertEqual((s["spawn_failed"], s["gone"], sum(s["refused"].values())), (0, 0, 0))
                self.assertEqual(s["exited"], {**dict.fromkeys(s["exited"], 0), "ok": s["spawned"]})


class Reloads(Proof):
    def test_under_load(self):
        """Reloads, of which each changes something: limits, a service that comes and goes, workers, a listener's options."""
        daemon = self.daemon({"services": services()})

        def reload(i):
            changed = services(limits={"instances": 500 + i})
            changed["waits"]["timeouts"] = {"stop": 5 + i % 3}
            changed["workers"]["pool"] = {"min": 2, "max": 4 + i % 2}
            changed["forks"]["listen"] = [{"endpoint": "tcp:127.0.0.1:0", "backlog": 4096 + i}]
            if i % 2:
                changed["comes"] = {"listen": "tcp:127.0.0.1:0", "exec": ["mp-echo"]}
            if i % 5 != 4: # sometimes all stays as it is
                daemon.write_config({"services": changed})
            answer = daemon.call("Reload")
            self.assertEqual((answer["ok"], answer["generation"]), (True, i + 2))
        self.prove(daemon, "reloads", 200 if SOAK else 10 if SANITIZED else 25, reload)


class Upgrades(Proof):
    def test_under_load(self):
        """The program replaces itself, again and again: the same process, and not one connection fails."""
        daemon = self.daemon({"services": services()})
        pid, pauses = daemon.pid, []
        before = {name: daemon.listener(name) for name in services()}

        def upgrade(_):
            pauses.append(daemon.call("Upgrade")["pause_usec"])
        self.prove(daemon, "upgrades", 50 if SOAK else 3 if SANITIZED else 8, upgrade)
        say(f"pauses: {min(pauses) / 1000:.1f} to {max(pauses) / 1000:.1f} ms")
        self.assertEqual(daemon.status()["daemon"]["pid"], pid)
        for name, listener in before.items():
            self.assertEqual(daemon.port(name), listener["port"])


class Children(DaemonTest):
    def test_a_hundred_thousand(self):
        """So many processes: none stays as a zombie, the descriptors are those of before, memory does not grow."""
        total = 100000 if SOAK else 300 if SANITIZED else 3000
        daemon = self.daemon({"services": {"s": services()["forks"]}})
        load = {"s": daemon.port("s")}
        before, memory, zombies = daemon.quiet_descriptors(), [], 0
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
