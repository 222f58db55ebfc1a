#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""What the tests reach, of what gcovr has written as JSON: by folder, by file, the worst first, and each return that was
never taken where processes are started, configs changed and programs replaced. Ends with 1 below the goal, and
when there is such a return."""
import collections
import fnmatch
import json
import sys

LINES, BRANCHES = 90, 80
FOLDERS = ("daemon", "conf", "ctl")
SHOWN = 40
STARTING = ["flight", "spawn", "child", "launch*", "helper*"]
RELOADING = ["reload", "plan*", "open-beside", "config-child", "manager-reload", "service-leave"]
UPGRADING = ["upgrade", "proof", "manager-upgrade", "manager-save", "takeover", "rescue", "handover"]


class Count:
    def __init__(self):
        self.lines = self.lines_hit = self.branches = self.branches_hit = 0

    def add(self, line):
        self.lines += 1
        self.lines_hit += line["count"] > 0
        self.branches += len(line["branches"])
        self.branches_hit += sum(branch["count"] > 0 for branch in line["branches"])

    def percent(self):
        return (100 * self.lines_hit / max(self.lines, 1), 100 * self.branches_hit / max(self.branches, 1))

    def __str__(self):
        lines, branches = self.percent()
        return (f"{lines:5.1f} % of {self.lines:5} lines, "
                + (f"{branches:5.1f} % of {self.branches:5} branches" if self.branches else "no branches"))


def counted(line):
    return not line.get("gcovr/noncode") and not line.get("gcovr/excluded")


def is_return(text):
    return text.strip().startswith("return ")


def never_taken(files, names):
    for file in files:
        name = file["file"]
        if any(fnmatch.fnmatch(name, f"daemon/{pattern}.c") for pattern in names):
            with open(name, encoding="utf-8") as source:
                text = source.read().splitlines()
            for line in file["lines"]:
                at = text[line["line_number"] - 1]
                if counted(line) and line["count"] == 0 and is_return(at):
                    yield f"{name}:{line['line_number']}: {at.strip()}"


def main():
    with open(sys.argv[1], encoding="utf-8") as report:
        files = json.load(report)["files"]
    folders, by_file = collections.defaultdict(Count), collections.defaultdict(Count)
    for file in files:
        for line in file["lines"]:
            if counted(line):
                folders[file["file"].split("/")[0]].add(line)
                by_file[file["file"]].add(line)
    worst = sorted(by_file.items(), key=lambda item: item[1].percent())
    print(f"The {SHOWN} files of which least is reached:")
    for name, count in worst[:SHOWN]:
        print(f"  {name:<36} {count}")
    missing = 0
    for what, names in (("processes are started", STARTING), ("configs are changed", RELOADING),
                        ("programs are replaced", UPGRADING)):
        returns = list(never_taken(files, names))
        print(f"Returns that were never taken where {what}: {len(returns)}")
        for text in returns:
            print(f"  {text}")
        missing += len(returns)
    low = []
    for name in sorted(folders):
        goal = name in FOLDERS
        lines, branches = folders[name].percent()
        print(f"{name:<10} {folders[name]}" + ("" if goal else "  (no goal)"))
        if goal and (lines < LINES or branches < BRANCHES):
            low.append(name)
    if low:
        print(f"below {LINES} % of lines or {BRANCHES} % of branches: {' '.join(low)}")
    if missing:
        print(f"{missing} returns were never taken")
    return 1 if low or missing else 0


if __name__ == "__main__":
    sys.exit(main())
