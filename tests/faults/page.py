#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""docs/faults.md, made from the catalogue.

    page.py --write             writes it
    page.py --build build       whether it is what would be written, each test that is named exists, and each promise stands where
                                it is said to"""
import argparse
import os
import re
import subprocess
import sys
import unittest

HERE = os.path.dirname(os.path.realpath(__file__))
ROOT = os.path.realpath(os.path.join(HERE, "..", ".."))
INTEGRATION = os.path.join(ROOT, "tests", "integration")
PAGE = os.path.join(ROOT, "docs", "faults.md")
MANUALS = {"yaml": "conf/mpinetd.yaml.5", "ctl": "ctl/mpctl.1", "daemon": "daemon/mpinetd.8", "services": "services/mp-services.8"}
MESON_SUITES = ("unit", "golden", "fuzz")

sys.path.insert(0, HERE)
import catalogue  # noqa: E402


def is_meson(test):
    return test.partition(":")[0] in MESON_SUITES


def show_tests(tests):
    """Those of one file behind its name."""
    shown, modules = [], {}
    for test in tests:
        if is_meson(test):
            suite, _, name = test.partition(":")
            shown.append(f"{suite} `{name}`")
            continue
        module, _, rest = test.partition(".")
        if module not in modules:
            modules[module] = len(shown)
            shown.append(f"`{module}`")
        if rest:
            at = modules[module]
            shown[at] += ("," if shown[at] != f"`{module}`" else "") + " " + rest + ("…" if "." in rest else "")
    return "; ".join(shown)


def show_promise(promise):
    place, _, words = promise.partition(": ")
    if place.startswith("docs/"):
        name = os.path.basename(place)
        return f"[{name.removesuffix('.md')}]({name})"
    return f"{place}, {words if words.isupper() else '*' + words + '*'}"


def page():
    parts = [catalogue.INTRODUCTION]
    for group in catalogue.GROUPS:
        parts.append(f"\n## {group.title}\n\n| | what | tested in | promised in |\n| --- | --- | --- | --- |\n")
        for row in group.rows:
            promised = "; ".join(show_promise(p) for p in row.promises)
            parts.append(f"| {row.id} | {row.what} | {show_tests(row.tests)} | {promised + ' ' if promised else ''}|\n")
    return "".join(parts)


def text_of_manual(path):
    """A manual page without what troff makes of it."""
    with open(path, encoding="utf-8") as file:
        text = file.read()
    text = re.sub(r"\\f[BIRP]|\\&", "", text)
    return text.replace("\\-", "-").replace("\\(aq", "'").replace("\\~", "~").replace("\\.", ".")


def missing_promise(promise, build):
    """None, or what is wrong with it."""
    place, _, words = promise.partition(": ")
    if place.startswith("docs/"):
        try:
            with open(os.path.join(ROOT, place), encoding="utf-8") as file:
                return None if words in file.read() else f"{place} says nothing of {words}"
        except FileNotFoundError:
            return f"there is no {place}"
    text = text_of_manual(os.path.join(build, MANUALS[place]))
    if words.isupper():
        there = re.search(rf'^\.SH "?{re.escape(words)}"?$', text, re.M)
    else:
        there = re.search(rf"(?<![\w.]){re.escape(words)}(?![\w])", text)
    return None if there else f"{MANUALS[place]} says nothing of {words}"


def integration_tests():
    """The names of all of them, as run.py writes them."""
    sys.path.insert(0, INTEGRATION)
    names = []

    def walk(suite):
        for item in suite:
            if isinstance(item, unittest.TestSuite):
                walk(item)
            else:
                names.append(item.id())
    walk(unittest.defaultTestLoader.discover(INTEGRATION, "test_*.py"))
    return names


def meson_tests(build):
    """Theirs, as `suite:name`."""
    told = subprocess.run(["meson", "test", "-C", build, "--list", "--no-rebuild"], stdout=subprocess.PIPE, text=True, check=True).stdout
    return [re.sub(r"^.*:(\w+) / ", r"\1:", line).strip() for line in told.splitlines() if " / " in line]


def tests_of(pattern, names, meson_names):
    """Those that a name of the catalogue stands for."""
    if is_meson(pattern):
        return [name for name in meson_names if name == pattern]
    # A module or a class is named whole, a test by whole words.
    end = "" if pattern.endswith("_") else "_" if pattern.count(".") > 1 else "."
    return [name for name in names if (name + end).startswith(pattern + end)]


def problems(build):
    names, meson_names = integration_tests(), meson_tests(build)
    found, seen = [], set()
    for row in catalogue.rows():
        label = row.id or row.what
        if row.id in seen:
            found.append(f"{row.id} stands there twice")
        seen |= {row.id} - {""}
        found += [f"{label}: there is no test {test}" for test in row.tests if not tests_of(test, names, meson_names)]
        found += [f"{label}: {wrong}" for wrong in (missing_promise(p, build) for p in row.promises) if wrong]
    with open(PAGE, encoding="utf-8") as file:
        if file.read() != page():
            found.append("docs/faults.md is not what the catalogue says: tests/faults/page.py --write")
    return found


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--write", action="store_true")
    parser.add_argument("--build", default="build")
    options = parser.parse_args()
    if options.write:
        with open(PAGE, "w", encoding="utf-8") as file:
            file.write(page())
        return 0
    os.environ.setdefault("BUILD_DIR", os.path.realpath(options.build))
    found = problems(options.build)
    print("\n".join(found) or f"{len(catalogue.rows())} faults, each with its tests")
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main())
