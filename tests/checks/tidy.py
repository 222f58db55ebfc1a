#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""clang-tidy over every source of a build, several at once. A file whose preprocessed text, command and checks were
clean before is not looked at again: their hash stands in the cache folder."""
import hashlib
import os
import subprocess
import sys

from sources import entries_of, judge_all, options_of, output_of


def headers_salt():
    """What is said to clang-tidy in headers (NOLINT) is gone from the preprocessed text as well."""
    digest = hashlib.sha256()
    for folder in ("conf", "ctl", "daemon", "services", "tests"):
        for base, _, names in sorted(os.walk(folder)):
            for name in sorted(names):
                if name.endswith(".h"):
                    with open(os.path.join(base, name), "rb") as header:
                        digest.update(b"".join(line for line in header if b"NOLINT" in line))
    return digest.digest()


def main():
    options = options_of(__doc__)

    def judge(entry):
        run = subprocess.run(["clang-tidy", "--quiet", "-p", options.build, os.path.join(entry["directory"], entry["file"])],
                             stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True, check=False)
        return run.returncode == 0, run.stdout

    with open(".clang-tidy", "rb") as checks:
        salt = output_of("clang-tidy", "--version") + checks.read() + headers_salt()
    return judge_all(entries_of(options.build), judge, salt, options)


if __name__ == "__main__":
    sys.exit(main())
