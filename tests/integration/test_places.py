# SPDX-License-Identifier: MIT
"""Some of the places from which the daemon makes a call that can fail, each of which has it fail once
(tests/faults/places.py); in the slow form all of them."""
import os
import sys
import unittest

from harness import ROOT, SANITIZED, SLOW

sys.path.insert(0, os.path.join(ROOT, "tests", "faults"))
import places  # noqa: E402


@unittest.skipIf(SANITIZED, "with sanitizers each start and each upgrade takes seconds: places.py --build build-asan does it")
class Places(unittest.TestCase):
    weight = 15

    def sweep(self, phase, most):
        n, broken = places.run(phase, None if SLOW else most)
        self.assertEqual(broken, [])
        self.assertGreater(n, 0)

    def test_start(self):
        self.sweep("start", 10)

    def test_connect(self):
        self.sweep("connect", 3)

    def test_control(self):
        self.sweep("control", 4)

    def test_config(self):
        self.sweep("config", 15)

    def test_upgrade(self):
        self.sweep("upgrade", 10)


if __name__ == "__main__":
    unittest.main()
