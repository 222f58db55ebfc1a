# SPDX-License-Identifier: MIT
"""Plots are well-formed, within their frame, and show what they were given."""
import os
import re
import unittest
import xml.etree.ElementTree as ElementTree

import plots
import report
import svg

NAME = "{http://www.w3.org/2000/svg}%s"


def server(factor):
    keys = ("rate", "cpu_us", "p50_us", "p90_us", "p99_us", "p999_us", "rate_ratio", "cpu_ratio")
    return {c: {key: factor * (i + 1) for i, key in enumerate(keys)} for c in ("1", "8", "64")}


def drawn():
    """All plots, of results that were made up."""
    by_server = {name: server(i + 1) for i, name in enumerate(plots.ORDER)}
    memory = {"memory.service": {"reached": 1800.0, "spread": 0}, "memory.connection.log": {"reached": 900, "spread": 0}}
    one = {"daemon": {"median": 12}, "child": {"median": 8}}
    return plots.draw({
        "conn": {"services": {"raw": by_server, "dyn": by_server, "static": by_server}, "figures": {}},
        "pool": {"workers": 4, "servers": {"limit-prefork": server(1), "limit-prefork'": server(1), "listener": server(2)}},
        "growth": {"servers": {"mpinetd": {"plain": {}, "1000 services": {"rate_ratio": 1.0}, "heap": {"rate_ratio": 0.9}},
                               "xinetd": {"heap": {"rate_ratio": 0.1}}}},
        "start": {"seconds": {"1000 services": [{"mpinetd": 0.02, "limit-listen": 0.01}]}},
        "memory": {"figures": memory},
        "syscalls": {"counts": {"inherit": one, "xinetd": {"daemon": {"median": 11}, "child": None}}},
        "churn": {"samples": [{"at": i * 10, "rate": 5000 + i, "p99_us": 900, "cpu_us": 120, "private_dirty": 500000}
                              for i in range(60)]}})


class Plots(unittest.TestCase):
    def look(self, text):
        """The root element, after looking at what must be so of each."""
        root = ElementTree.fromstring(text)
        width, height = int(root.get("width")), int(root.get("height"))
        self.assertTrue(root.find(NAME % "title").text)
        self.assertTrue(root.find(NAME % "desc").text)
        self.assertEqual(root.get("role"), "img")
        for rect in root.findall(NAME % "rect")[1:]:
            self.assertLessEqual(float(rect.get("x")) + float(rect.get("width")), width)
            self.assertLessEqual(float(rect.get("y")) + float(rect.get("height")), height)
        for shape in root.iter():
            for key in ("x", "x1", "x2", "cx"):
                self.assertTrue(0 <= float(shape.get(key, "0")) <= width)
            for key in ("y", "y1", "y2", "cy"):
                self.assertTrue(0 <= float(shape.get(key, "0")) <= height)
        return root

    def test_bars(self):
        root = self.look(svg.bars("A & B", "<unit>", ["one", "two"], [("x", [1, 2]), ("y", [None, 4])], 1, "two"))
        self.assertEqual(root.find(NAME % "title").text, "A & B")
        self.assertEqual(root.find(NAME % "desc").text, "one: x 1; two: x 2, y 4")
        widths = [float(r.get("width")) for r in root.findall(NAME % "rect") if r.get("class") in ("f0", "f1")
                  and float(r.get("height")) < 12]
        # Bars are as long as their values; one has none.
        self.assertEqual(len(widths), 3)
        self.assertAlmostEqual(widths[1] / widths[0], 2, 1)
        self.assertAlmostEqual(widths[2] / widths[0], 4, 1)
        self.assertIn("<unit>", [t.text for t in root.findall(NAME % "text")])

    def test_lines(self):
        series = [("a", [(0, 10), (1, 1000)]), ("b", [(0, 20), (1, 25)])]
        root = self.look(svg.lines("T", "x", "y", series, ["p50", "p99"], y_log=True))
        self.assertEqual(len(root.findall(NAME % "polyline")), 2)
        self.assertEqual(root.find(NAME % "desc").text, "a: 10 at p50, 1,000 at p99; b: 20 at p50, 25 at p99")
        high, low = ([float(p.split(",")[1]) for p in line.get("points").split()] for line in root.findall(NAME % "polyline"))
        # Upwards is more; in a logarithmic plot a factor of 100 is two steps.
        self.assertLess(high[1], high[0])
        self.assertLess(high[1], low[1])

    def test_one_value(self):
        self.look(svg.lines("T", "x", "y", [("a", [(1, 5)])], y_log=True))
        self.look(svg.bars("T", "u", ["a"], [("x", [0])]))

    def test_panels(self):
        root = self.look(svg.panels("T", "s", [("rate", [(i, 5 + i % 2) for i in range(50)]), ("p99", [(0, 1), (9, 2)])]))
        self.assertEqual(root.find(NAME % "desc").text, "rate: from 5 to 6, between 5 and 6; p99: from 1 to 2, between 1 and 2")

    def test_ticks(self):
        for top, expect in ((1, [0, 0.2, 0.4, 0.6, 0.8, 1]), (6, [0, 1, 2, 3, 4, 5, 6]), (0, [0, 1]), (650, list(range(0, 801, 200)))):
            with self.subTest(top=top):
                self.assertEqual([round(t, 6) for t in svg.ticks(top)], expect)

    def test_factors(self):
        for low, high, expect in ((3, 90, [2, 5, 10, 20, 50, 100]), (10, 10, [10]), (200, 1000, [200, 500, 1000]),
                                  (3, 90000, [1, 10, 100, 1000, 10000, 100000])):
            with self.subTest(low=low, high=high):
                self.assertEqual(svg.factors(low, high), expect)

    def test_colours_differ_in_dark(self):
        text = svg.bars("T", "u", ["a"], [("x", [1]), ("y", [2])])
        light, dark = re.search(r"<style>(.*)@media\(prefers-color-scheme:dark\)\{(.*)\}</style>", text).groups()
        self.assertIn(svg.LIGHT["back"], light)
        self.assertIn(svg.DARK["back"], dark)

    def test_of_results(self):
        for name, (text, what) in drawn().items():
            with self.subTest(name=name):
                self.look(text)
                self.assertTrue(what)


class Page(unittest.TestCase):
    PAGE = "before\n<!-- measured: a -->\nold\n<!-- end of measured -->\nbetween\n<!-- measured: b -->\nkept\n<!-- end of measured -->\n"

    def test_fill(self):
        filled = report.fill(self.PAGE, {"a": ["new", "lines"], "unknown": ["x"]})
        self.assertEqual(filled, self.PAGE.replace("old", "new\nlines"))
        # Once more gives the same.
        self.assertEqual(report.fill(filled, {"a": ["new", "lines"]}), filled)

    def test_page_has_each_plot(self):
        """With what it shows for those who do not see it."""
        with open(os.path.join(os.path.dirname(__file__), "..", "..", "docs", report.PAGE), encoding="utf-8") as f:
            images = dict(re.findall(r"!\[([^]]*)\]\(%s/([^)]*)\)" % report.FOLDER, f.read()))
        self.assertEqual({name: what for what, name in images.items()},
                         {name: what for name, (_, what) in drawn().items()})

    def test_backslashes_stay(self):
        self.assertIn("\\1 \\n", report.fill(self.PAGE, {"a": ["\\1 \\n"]}))


if __name__ == "__main__":
    unittest.main()
