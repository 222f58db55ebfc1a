# SPDX-License-Identifier: MIT
"""A sample of the sweep of single faults (tests/faults/sweep.py): SW-1 and SW-2 of docs/faults.md, and of a reload and an
upgrade each kind of call, RL-7 and UP-6. MP_TEST_SEED chooses another one; all of it: ./dev faults --sweep."""
import os
import signal
import subprocess
import sys
import tempfile
import unittest

from faults import tracing_works
from harness import BUILD, COUNTED, MPINETD, PATIENCE, ROOT, SANITIZED, SLOW, process_alive, wait_until

sys.path.insert(0, os.path.join(ROOT, "tests", "faults"))
import inject  # noqa: E402
import scenario  # noqa: E402
import sweep  # noqa: E402

SEED = os.environ.get("MP_TEST_SEED") or "1"


@unittest.skipIf(SANITIZED or COUNTED, "calls and allocations of a sanitizer, or of what counts lines, would fail as well")
class SweepTest(unittest.TestCase):
    def run_phase(self, kind, phase, choose):
        with self.subTest(phase=phase, seed=SEED):
            count = sweep.sweep_phase(kind, phase, choose)
            self.assertEqual(count.broken, [])
            self.assertEqual(count.unknown, set(), "system calls that tests/faults/errors.py does not know")
            self.assertGreater(count.reached, 0)
            return count

    def sample(self, kind, least):
        for phase in sweep.PHASES:
            self.run_phase(kind, phase, lambda faults, phase=phase: sweep.chosen(faults, least * (5 if SLOW else 1), f"{SEED} {kind} {phase}"))


@unittest.skipUnless(tracing_works(), "needs strace, and to be allowed to")
class Calls(SweepTest):
    weight = 25

    def test_sw_1_each_system_call(self):
        self.sample("calls", 6)


@unittest.skipUnless(tracing_works(), "needs strace, and to be allowed to")
class EachCall(SweepTest):
    weight = 20

    def each(self, phase, *needed):
        count = self.run_phase("calls", phase, sweep.one_of_each)
        self.assertLessEqual({*needed, "memfd_create", "fcntl", "epoll_ctl", "clone", "write", "mmap"}, count.calls)
        # Without that there is no going on.
        self.assertGreater(count.came["refused"], 0)

    def test_rl_7_of_a_reload(self):
        self.each("reload", "socket", "bind", "listen", "setsockopt")

    def test_up_6_of_an_upgrade(self):
        self.each("upgrade", "execve")


class Allocations(SweepTest):
    weight = 15

    def test_sw_2_each_allocation(self):
        self.sample("allocations", 12)

    def test_up_6_of_the_first_that_the_new_program_makes(self):
        """Its options, its log, the state, what it keeps of the listeners: without any of them it goes on anew, with all of these.
        What its libraries make before is as much as for its version."""
        means = inject.Allocations()
        self.addCleanup(means.file.close)
        n = len(means.start_faults(lambda _: subprocess.run([MPINETD, "--version"], env={**os.environ, **means.environment}, stdout=subprocess.DEVNULL, check=True)))
        count = self.run_phase("allocations", "upgrade", lambda faults: [f for f in faults if f.image == inject.SUCCESSOR and n <= f.number < n + 12])
        if count:  # else it has been told what broke
            self.assertEqual((count.reached, count.came["ended"]), (12, 0))
            self.assertGreater(count.came["anew"], 6)


@unittest.skipUnless(tracing_works(), "needs strace, and to be allowed to")
class Ended(SweepTest):
    def test_it_takes_its_daemons_along(self):
        """A sweep that is told to end, as by Ctrl-C."""
        folder = tempfile.TemporaryDirectory(prefix="mpt-sweep-")
        self.addCleanup(folder.cleanup)
        for sig in (signal.SIGTERM, signal.SIGINT):
            with self.subTest(sig=sig):
                command = [sys.executable, sweep.__file__, "--build", BUILD, "--phase", "connect", "--calls", "--jobs", "2", "--out", os.path.join(folder.name, "out")]
                process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, start_new_session=True)
                self.addCleanup(process.wait)
                self.addCleanup(process.kill)
                pids = wait_until(lambda p=process: self.daemons_of(p.pid), "two daemons", deadline=PATIENCE * 3)
                left = [os.path.dirname(config) for config in pids.values()]
                process.send_signal(sig)
                self.assertEqual(process.wait(PATIENCE * 3), 128 + sig)
                self.assertEqual([pid for pid in pids if process_alive(pid)], [])
                self.assertEqual([path for path in left if os.path.exists(path)], [])

    @staticmethod
    def daemons_of(pid):
        """{pid: config} of the two below its parts that have got so far as to serve."""
        found = {}
        for part in scenario.children(pid):
            for child in scenario.children(part):
                words = scenario.command_of(child).split(b"\0")
                if words[0] == MPINETD.encode() and scenario.children(child):
                    found[child] = words[2].decode()
        return found if len(found) == 2 else None


if __name__ == "__main__":
    unittest.main()
