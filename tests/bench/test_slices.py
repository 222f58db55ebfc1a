# SPDX-License-Identifier: MIT
"""Turns and repeats, with slices that are made up."""
import argparse
import contextlib
import io
import unittest
from unittest import mock

import slices


class Server:
    def __init__(self, name):
        self.name, self.service = name, "raw"


class Rounds(unittest.TestCase):
    def run_with(self, others, rounds=4, quick=False, names=("a", "b")):
        """The results, and whose turns there were, where others use the machine as @others say, slice by slice."""
        turns, left = [], iter(others)

        def run_slice(_bench, server, concurrency, _seconds, _load):
            turns.append((server.name, concurrency))
            return {"others": next(left, 0), "number": len(turns)}

        plan = argparse.Namespace(rounds=rounds, seconds=1, seed=1, quick=quick)
        with mock.patch.object(slices, "run_slice", run_slice), contextlib.redirect_stderr(io.StringIO()):
            results = slices.Rounds(None, [Server(n) for n in names], plan, [1, 8]).run("test")
        return results, turns

    def test_every_round_has_each_once_in_another_order(self):
        results, turns = self.run_with([])
        self.assertEqual({key: len(of) for key, of in results.items()},
                         {("raw", name, c): 4 for name in "ab" for c in (1, 8)})
        orders = [tuple(turns[i:i + 4]) for i in range(0, 16, 4)]
        self.assertEqual({tuple(sorted(o)) for o in orders}, {(("a", 1), ("a", 8), ("b", 1), ("b", 8))})
        self.assertGreater(len(set(orders)), 1)
        # What is compared follows one another.
        for order in orders:
            self.assertEqual(order[0][1], order[1][1])
            self.assertEqual(order[2][1], order[3][1])

    def test_the_quietest_of_three(self):
        # 0.2 of 4 rounds of 5 servers at 2 concurrencies are 8 repeats.
        results, turns = self.run_with([0.9, 0.4, 0.6], names="abcde")
        self.assertEqual(len(turns), 40 + 2)
        self.assertEqual(results["raw", *turns[0]][0]["number"], 2)

    def test_repeats_end(self):
        _, turns = self.run_with([0.9] * 1000, names="abcde")
        self.assertEqual(len(turns), 40 + 8)

    def test_a_quiet_slice_is_not_repeated(self):
        _, turns = self.run_with([slices.DISTURBED, 0.9, 0.1])
        self.assertEqual(len(turns), 16 + 1)

    def test_a_short_run_repeats_nothing(self):
        _, turns = self.run_with([0.9] * 1000, quick=True)
        self.assertEqual(len(turns), 16)

    def test_bad(self):
        self.assertEqual(slices.bad({"wrong": 1, "errors": {"ECONNRESET": 2, "ETIMEDOUT": 3}}), 6)


if __name__ == "__main__":
    unittest.main()
