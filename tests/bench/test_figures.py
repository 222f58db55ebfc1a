# SPDX-License-Identifier: MIT
"""The arithmetic of the benchmark, and its verdicts."""
import unittest

import figures
import rows


def rounds(*rates, others=()):
    return [{"rate": rate, "others": others[i] if i < len(others) else 0} for i, rate in enumerate(rates)]


class Figures(unittest.TestCase):
    def test_ratio_is_made_within_a_round(self):
        # The machine is half as fast in the second round, for both.
        mine, theirs = rounds(120, 60, 120), rounds(100, 50, 100)
        self.assertEqual(figures.median(figures.ratios(mine, theirs, "rate")), 1.2)

    def test_no_figure(self):
        self.assertIsNone(figures.median([None, None]))
        self.assertEqual(figures.ratios(rounds(None, 5), rounds(4, 0), "rate"), [])
        self.assertIsNone(figures.spread([]))
        self.assertIsNone(figures.figure(None, 0.1))
        self.assertEqual(figures.figure(7), {"reached": 7, "spread": 0.0})

    def test_spread(self):
        for ratios, expect in (
                ([1, 1, 1], 0),
                ([1.1, 1.1, 1.1], 0.1),
                ([1 / 1.1, 1.1, 1.1], 0.1),  # in either direction
                ([1, 1.1, 5], 0.1),  # one bad round is not the middle one
                ([2], 1)):
            with self.subTest(ratios=ratios):
                self.assertAlmostEqual(figures.spread(ratios), expect)

    def test_disturbed_rounds_are_left_out_where_enough_remain(self):
        mine = rounds(10, 10, 10, 10, 10, 50, others=(0, 0, 0, 0, 0, 0.9))
        theirs = rounds(10, 10, 10, 10, 10, 10)
        self.assertEqual(figures.ratios(mine, theirs, "rate", 0.15), [1] * 5)
        # Without a limit, and where too few would remain, all count.
        self.assertEqual(len(figures.ratios(mine, theirs, "rate")), 6)
        busy = rounds(10, 10, 10, 10, 10, 50, others=(0, 0, 0, 0, 0.9, 0.9))
        self.assertEqual(len(figures.ratios(busy, theirs, "rate", 0.15)), 6)

    def test_ratio_has_the_spread_of_the_reference(self):
        again, reference = rounds(110, 110, 110), rounds(100, 100, 100)
        got = figures.ratio(rounds(120, 120, 120), reference, (again, reference), "rate")
        self.assertAlmostEqual(got["reached"], 1.2)
        self.assertAlmostEqual(got["spread"], 0.1)


class Verdicts(unittest.TestCase):
    def judge(self, row, reached, spread=0.0):
        return rows.judge(row, figures.figure(reached, spread)).state

    def test_least(self):
        row = rows.least("a.b", "what", 1.20)
        for reached, spread, expect in (
                (1.20, 0, rows.HOLDS), (1.30, 0, rows.HOLDS), (1.19, 0, rows.MISSED),
                (1.15, 0.05, rows.HOLDS),  # 1.15 * 1.05 is above
                (1.14, 0.05, rows.MISSED),
                (1.10, 0.16, rows.NOISY), (1.30, 0.16, rows.NOISY),  # noise proves nothing
                (0.50, 0.50, rows.MISSED), (2.00, 0.50, rows.HOLDS)):  # nor does it excuse
            with self.subTest(reached=reached, spread=spread):
                self.assertEqual(self.judge(row, reached, spread), expect)

    def test_most(self):
        row = rows.most("a.b", "what", 0.40)
        for reached, spread, expect in (
                (0.40, 0, rows.HOLDS), (0.30, 0, rows.HOLDS), (0.41, 0, rows.MISSED), (0.41, 0.05, rows.HOLDS),
                (0.43, 0.05, rows.MISSED), (0.43, 0.16, rows.NOISY), (0.30, 0.50, rows.NOISY),
                (0.20, 0.50, rows.HOLDS), (0.70, 0.50, rows.MISSED)):
            with self.subTest(reached=reached, spread=spread):
                self.assertEqual(self.judge(row, reached, spread), expect)

    def test_what_was_not_measured_does_not_hold(self):
        verdicts = rows.judge_all({}, ["memory"])
        self.assertTrue(verdicts)
        self.assertEqual({v.state for v in verdicts}, {rows.MISSING})
        self.assertFalse(rows.all_hold(verdicts))

    def test_table(self):
        keys = [row.key for row in rows.ROWS]
        self.assertEqual(len(keys), len(set(keys)))
        reached = {row.key: figures.figure(row.bound) for row in rows.ROWS}
        groups = {row.group for row in rows.ROWS}
        self.assertTrue(rows.all_hold(rows.judge_all(reached, groups)))
        self.assertEqual(len(rows.judge_all(reached, groups)), len(rows.ROWS))


if __name__ == "__main__":
    unittest.main()
