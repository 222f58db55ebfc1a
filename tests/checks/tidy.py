#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""clang-tidy over every source of a build, several at once. A file whose preprocessed text, command and checks were
clean before is not looked at again: their hash stands in the cache folder."""
import argparse
import concurrent.futures
import hashlib
import json
import os
import shlex
import subprocess
import sys


def output_of(*command):
    return subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, check=False).stdout


def preprocess_command(arguments):
    """The compile command with -E in place of its outputs."""
    result = []
    skip = False
    for word in arguments:
        if skip:
            skip = False
        elif word in ("-o", "-MF", "-MQ", "-MT"):
            skip = True
        elif word not in ("-c", "-MD", "-MMD"):
            result.append(word)
    return result + ["-E"]


def key_of(entry, salt):
    arguments = shlex.split(entry["command"])
    text = subprocess.run(preprocess_command(arguments), cwd=entry["directory"], stdout=subprocess.PIPE,
                          stderr=subprocess.DEVNULL, check=False)
    if text.returncode != 0:
        return None
    with open(os.path.join(entry["directory"], entry["file"]), "rb") as source:
        comments_too = source.read()  # a NOLINT is gone from the preprocessed text
    return hashlib.sha256(b"\0".join([salt, entry["command"].encode(), comments_too, text.stdout])).hexdigest()


def look(entry, salt, options):
    key = key_of(entry, salt)
    mark = os.path.join(options.cache, key) if key else None
    if mark and os.path.exists(mark):
        os.utime(mark)
        return entry["file"], True, ""
    run = subprocess.run(["clang-tidy", "--quiet", "-p", options.build, os.path.join(entry["directory"], entry["file"])],
                         stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True, check=False)
    if run.returncode == 0 and mark:
        with open(mark, "w", encoding="utf-8"):
            pass
    return entry["file"], run.returncode == 0, run.stdout


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
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--build", required=True)
    parser.add_argument("--cache", required=True)
    parser.add_argument("--jobs", type=int, default=2)
    options = parser.parse_args()
    os.makedirs(options.cache, exist_ok=True)
    with open(os.path.join(options.build, "compile_commands.json"), encoding="utf-8") as commands:
        entries = {}
        for entry in json.load(commands):
            path = os.path.realpath(os.path.join(entry["directory"], entry["file"]))
            # What the build made itself is not ours to judge, and a source of two targets is looked at once.
            if not path.startswith(os.path.realpath(options.build) + os.sep) and path.endswith(".c"):
                entries.setdefault(path, entry)
    with open(".clang-tidy", "rb") as checks:
        salt = output_of("clang-tidy", "--version") + checks.read() + headers_salt()
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
