# SPDX-License-Identifier: MIT
"""The verdict of a soak: what it calls flat, what not, and that its plot and table are whole."""
import json
import os
import sys
import unittest
import xml.etree.ElementTree as ElementTree

sys.path.insert(0, os.path.join(os.path.dirname(os.path.realpath(__file__)), "..", "bench"))
import soak_report  # noqa: E402

STILL = {"private dirty": 900.0, "pss": 1500.0, "interpreters": 400.0, "descriptors": 60, "children": 25, "zombies": 0, "canary p50": 4.0, "canary p99": 20.0,
         "ping p99": 8.0, "log lines": 5.0, "late p99": 2.0, "machine busy": 70.0, "connections": 100.0}
LATENCY = {"p50": 1000, "p90": 2000, "p99": 3000, "p999": 3000, "max": 3000, "mean": 1000, "count": 10}
TALLY = {"answered": 1234, "failed": 0, "rate": 12.0, "latency_usec": {"whole": LATENCY}}


def facts(change=None, problems=(), **more):
    """Of ten minutes, with what change(seconds) says otherwise."""
    samples = [{"seconds": float(t), **STILL, **(change(t) if change else {})} for t in range(0, 600, 2)]
    return {"samples": samples, "tallies": {"forks": TALLY}, "done": {"reload": 7}, "problems": list(problems), "rest": {"before": 700, "after": 720},
            "cpu": {"daemon": 3.0}, **more}


class Verdict(unittest.TestCase):
    def test_cases(self):
        cases = (("still", None, True),
                 ("a leak of memory", lambda t: {"private dirty": 900 + t}, False),
                 ("memory that comes and goes", lambda t: {"private dirty": 900 + (t % 7) * 100}, True),
                 ("a leak of the interpreter", lambda t: {"interpreters": 400 + t}, False),
                 ("a descriptor a minute", lambda t: {"descriptors": 60 + t // 60}, False),
                 ("processes", lambda t: {"children": 25 + t // 30}, False),
                 ("one zombie", lambda t: {"zombies": int(t == 300)}, False),
                 ("it becomes slower", lambda t: {"canary p50": 4 + t / 20}, False),
                 ("the machine becomes slower", lambda t: {"canary p50": 4 + t / 20, "late p99": 2 + t / 20}, True),
                 ("slow all the while", lambda t: {"ping p99": 400.0}, False),
                 ("no answer at all", lambda t: {"canary p50": None}, False),
                 ("an interpreter that is not always there", lambda t: {"interpreters": None if t % 5 else 400.0}, True))
        for name, change, good in cases:
            with self.subTest(name):
                got, text = soak_report.verdict({"one": facts(), "other": facts(change)})
                self.assertEqual(got, good, text)

    def test_problems(self):
        good, text = soak_report.verdict({"one": facts(problems=[f"number {i}" for i in range(25)])})
        self.assertFalse(good)
        self.assertIn("PROBLEM: number 19\n", text)
        self.assertNotIn("PROBLEM: number 20\n", text)
        self.assertIn("and 5 more", text)


class Shown(unittest.TestCase):
    both = {"reloaded": facts(), "upgraded": facts(lambda t: {"interpreters": None}, done={"reload": 7, "upgrade": 3})}

    def test_plot(self):
        text = soak_report.plot(self.both)
        ElementTree.fromstring(text)
        self.assertEqual(text.count("<polyline"), 2 * len(soak_report.PLOTTED))
        self.assertIn("private dirty of upgraded: from 900 to 900", text)
        self.assertLess(len(text), 64 << 10)
        many = {"one": facts(), "other": {**facts(), "samples": [{**STILL, "seconds": float(t)} for t in range(7200)]}}
        self.assertLess(len(soak_report.plot(many)), 64 << 10)

    def test_table(self):
        lines = soak_report.table(self.both, 600).splitlines()
        self.assertEqual({line.count("|") for line in lines}, {4})
        self.assertIn("| minutes | 10 | 10 |", lines)
        self.assertIn("| upgrades | 0 | 3 |", lines)
        self.assertIn("| private dirty, in the middle (growth), KiB | 900.0 (+0.0) | 900.0 (+0.0) |", lines)
        json.dumps(self.both)


if __name__ == "__main__":
    unittest.main()
