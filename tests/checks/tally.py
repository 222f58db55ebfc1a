#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Adds up meson's testlog.json (one JSON object a line): prints "PASSED FAILED SKIPPED", names failures on stderr."""
import json
import sys

GOOD = {"OK", "EXPECTEDFAIL"}


def main(path, build):
    passed = failed = skipped = 0
    with open(path, encoding="utf-8", errors="replace") as log:
        for line in log:
            test = json.loads(line)
            if test["result"] in GOOD:
                passed += 1
            elif test["result"] == "SKIP":
                skipped += 1
            else:
                failed += 1
                print(f"FAIL  {build}: {test['name']} ({test['result']})", file=sys.stderr)
    print(passed, failed, skipped)


if __name__ == "__main__":
    main(*sys.argv[1:3])
