#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""What access rules cost: loading a config with a file of 100,000 prefixes, and deciding whether a peer may connect,
for several kinds of lists, in CPU time. access.c says how."""
import argparse
import os
import subprocess
import tempfile

from servers import ninja


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--build", default="build-release")
    parser.add_argument("--prefixes", type=int, default=100000)
    args = parser.parse_args()
    ninja(args.build, "tests/bench/access")
    with tempfile.TemporaryDirectory() as folder:
        subprocess.run([os.path.join(args.build, "tests", "bench", "access"), folder, str(args.prefixes)], check=True)


if __name__ == "__main__":
    main()
