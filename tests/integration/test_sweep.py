# SPDX-License-Identifier: MIT
"""A sample of the sweep of single faults (tests/faults/sweep.py): SW-1 and SW-2 of docs/faults.md, and of a reload and an
upgrade each kind of call, RL-7 and UP-6. MP_TEST_SEED chooses another one; all of it: ./dev faults --sweep."""
import os
import sys
import unittest

from faults import tracing_works
from harness import COUNTED, ROOT, SANITIZED, SLOW

sys.path.insert(0, os.path.join(ROOT, "tests", "faults"))
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


if __name__ == "__main__":
    unittest.main()
