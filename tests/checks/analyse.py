#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""One of the compilers' analysers over every source of the programs, several at once: gcc's -fanalyzer, or the checkers of
scan-build (clang --analyze). A file whose preprocessed text, command and checks were clean before is not looked at again:
their hash stands in the cache folder."""
import os
import shlex
import subprocess
import sys

from sources import entries_of, judge_all, options_of, output_of, preprocess_command

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
    words = [word for word in preprocess_command(shlex.split(entry["command"])) if word != "-E"]
    while os.path.basename(words[0]) == "ccache":
        words = words[1:]
    return words + flags


def main():
    options = options_of(__doc__, tool={"required": True, "choices": TOOLS})
    flags, version = TOOLS[options.tool]

    def judge(entry):
        run = subprocess.run(command_of(entry, flags), cwd=entry["directory"], stdout=subprocess.PIPE,
                             stderr=subprocess.STDOUT, text=True, errors="replace", check=False)
        return run.returncode == 0 and "warning:" not in run.stdout, run.stdout

    salt = output_of(*version) + repr(TOOLS[options.tool]).encode()
    return judge_all(entries_of(options.build, "tests"), judge, salt, options)


if __name__ == "__main__":
    sys.exit(main())
