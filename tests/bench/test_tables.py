# SPDX-License-Identifier: MIT
"""Results as text."""
import unittest

import figures
import rows
import tables


class Tables(unittest.TestCase):
    def test_plain(self):
        self.assertEqual(tables.plain([["a", "b"], ["long", "1"], ["x", "100"]]), ["a       b", "long    1", "x     100"])

    def test_markdown(self):
        self.assertEqual(tables.markdown([["a", "b"], ["x", "1"]]), ["| a | b |", "| --- | --: |", "| x | 1 |"])

    def test_number(self):
        self.assertEqual([tables.number(v, d) for v, d in ((None, 2), (1.005, 0), (2, 2), (12345, 0))],
                         ["-", "1", "2.00", "12,345"])

    def test_verdicts(self):
        ratio, count = rows.least("a.b", "speed", 1.2), rows.most("a.c", "memory", 1024, "KiB", 0)
        judged = [rows.judge(ratio, figures.figure(1.25, 0.034)), rows.judge(count, figures.figure(1500)),
                  rows.judge(count, None)]
        self.assertEqual(tables.verdicts(judged, lambda lines: lines)[1:], [
            ["speed", "≥ 1.20", "1.25", "± 3 %", "holds"],
            ["memory", "≤ 1,024 KiB", "1,500 KiB", "", "MISSED"],
            ["memory", "≤ 1,024 KiB", "-", "", "not measured"]])
        self.assertEqual(tables.summary(judged), "1 holds, 1 missed, 1 not measured")


if __name__ == "__main__":
    unittest.main()
