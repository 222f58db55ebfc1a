# SPDX-License-Identifier: MIT
"""A sample of the sweep of single faults (tests/faults/sweep.py): SW-1 and SW-2 of docs/faults.md. MP_TEST_SEED chooses
another one; all of it: ./dev faults --sweep."""
import os
import sys
import unittest

from faults import tracing_works
from harness import ROOT, SANITIZED, SLOW

sys.path.insert(0, os.path.join(ROOT, "tests", "faults"))
import sweep  # noqa: E402

SEED = os.environ.get("MP_TEST_SEED") or "1"


@unittest.skipIf(SANITIZED, "a sanitizer's own calls and allocations would fail as well")
class SweepTest(unittest.TestCase):
    def sample(self, kind, least):
        for phase in sweep.KINDS[kind]:
            with self.subTest(phase=phase, seed=SEED):
                count = sweep.sweep_phase(kind, phase, least * (5 if SLOW else 1), SEED)
                self.assertEqual(count.broken, [])
                self.assertEqual(count.unknown, set(), "system calls that tests/faults/errors.py does not know")
                self.assertGreater(count.reached, 0)


@unittest.skipUnless(tracing_works(), "needs strace, and to be allowed to")
class Calls(SweepTest):
    weight = 25

    def test_sw_1_each_system_call(self):
        self.sample("calls", 6)


class Allocations(SweepTest):
    weight = 15

    def test_sw_2_each_allocation(self):
        self.sample("allocations", 12)


if __name__ == "__main__":
    unittest.main()
