#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""One of the compilers' analysers over every source of the programs, several at once: gcc's -fanalyzer, or the checkers of
scan-build (clang --analyze). A file whose preprocessed text, command and checks were clean before is not looked at again:
their hash stands in the cache folder."""
import argparse
import concurrent.futures
import json
import os
import shlex
import subprocess
import sys

import tidy

# What stays off, and why: both follow a pointer neither into __attribute__((cleanup)) nor into a list or a struct that
# somebody else frees, and tell of a leak wherever one of these is used. LeakSanitizer and valgrind run over the tests.
# gcc 12 does not see that a loop in a callee fills an array of the caller's: -Wmaybe-uninitialized, valgrind and clang's
# analyser do. For clang's two, see .clang-tidy.
TOOLS = {
    "gcc": (["-fanalyzer", "-Wno-analyzer-malloc-leak", "-Wno-analyzer-use-of-uninitialized-value", "-S", "-o", "/dev/null"],
            ["gcc", "--version"]),
    "scan-build": (["--analyze", "--analyzer-output", "text", "-Xclang", "-analyzer-werror",
                    "-Xclang", "-analyzer-disable-checker=unix.Malloc",
                    "-Xclang", "-analyzer-disable-checker=valist.Uninitialized", "-o", "/dev/null"], ["clang", "--version"]),
}


def command_of(entry, flags):
    """The compile command with the analyser in place of its outputs, past any cache of compilers."""
    words = [word for word in tidy.preprocess_command(shlex.split(entry["command"])) if word != "-E"]
    while os.path.basename(words[0]) == "ccache":
        words = words[1:]
    return words + flags


def look(entry, salt, options):
    key = tidy.key_of(entry, salt)
    mark = os.path.join(options.cache, key) if key else None
    if mark and os.path.exists(mark):
        os.utime(mark)
        return entry["file"], True, ""
    run = subprocess.run(command_of(entry, TOOLS[options.tool][0]), cwd=entry["directory"], stdout=subprocess.PIPE,
                         stderr=subprocess.STDOUT, text=True, errors="replace", check=False)
    clean = run.returncode == 0 and "warning:" not in run.stdout
    if clean and mark:
        with open(mark, "w", encoding="utf-8"):
            pass
    return entry["file"], clean, run.stdout


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--tool", required=True, choices=TOOLS)
    parser.add_argument("--build", required=True, help="one by the compiler of that tool")
    parser.add_argument("--cache", required=True)
    parser.add_argument("--jobs", type=int, default=2)
    options = parser.parse_args()
    os.makedirs(options.cache, exist_ok=True)
    tests = os.path.realpath("tests") + os.sep
    with open(os.path.join(options.build, "compile_commands.json"), encoding="utf-8") as commands:
        entries = {}
        for entry in json.load(commands):
            path = os.path.realpath(os.path.join(entry["directory"], entry["file"]))
            ours = not path.startswith((os.path.realpath(options.build) + os.sep, tests))
            if ours and path.endswith(".c"):
                entries.setdefault(path, entry)
    salt = tidy.output_of(*TOOLS[options.tool][1]) + repr(TOOLS[options.tool]).encode()
    bad = 0
    with concurrent.futures.ThreadPoolExecutor(options.jobs) as pool:
        for name, clean, text in pool.map(lambda entry: look(entry, salt, options), entries.values()):
            if not clean:
                bad += 1
                print(f"{name}:\n{text}")
    print(f"{len(entries)} files, {bad} with warnings")
    return 1 if bad else 0


if __name__ == "__main__":
    sys.exit(main())
