# SPDX-License-Identifier: MIT
"""What the analysers have in common: every source of a build is looked at, several at once, and what was clean before is not
looked at again: the hash of its preprocessed text, its command and the checks stands in the cache folder."""
import argparse
import concurrent.futures
import hashlib
import json
import os
import shlex
import subprocess


def output_of(*command):
    return subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, check=False).stdout


def options_of(description, **more):
    """The words of the command line: those that all have, and @more of a name each."""
    parser = argparse.ArgumentParser(description=description)
    for name, settings in more.items():
        parser.add_argument("--" + name, **settings)
    parser.add_argument("--build", required=True, help="one by the compiler of that tool")
    parser.add_argument("--cache", required=True)
    parser.add_argument("--jobs", type=int, default=2)
    options = parser.parse_args()
    os.makedirs(options.cache, exist_ok=True)
    return options


def entries_of(build, *left_out):
    """The compile commands of our sources, a source of two targets once. What the build made itself is not ours to judge;
    nor is what stands in one of the folders @left_out."""
    folders = tuple(os.path.realpath(folder) + os.sep for folder in (build, *left_out))
    found = {}
    with open(os.path.join(build, "compile_commands.json"), encoding="utf-8") as commands:
        for entry in json.load(commands):
            path = os.path.realpath(os.path.join(entry["directory"], entry["file"]))
            if path.endswith(".c") and not path.startswith(folders):
                found.setdefault(path, entry)
    return found.values()


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


def judge_all(entries, judge, salt, options):
    """Has judge(entry) look at each: whether it is clean, and what is to be said of it. Prints what is not; the exit status."""
    def look(entry):
        key = key_of(entry, salt)
        mark = os.path.join(options.cache, key) if key else None
        if mark and os.path.exists(mark):
            os.utime(mark)
            return entry["file"], True, ""
        clean, text = judge(entry)
        if clean and mark:
            with open(mark, "w", encoding="utf-8"):
                pass
        return entry["file"], clean, text

    bad = 0
    with concurrent.futures.ThreadPoolExecutor(options.jobs) as pool:
        for name, clean, text in pool.map(look, entries):
            if not clean:
                bad += 1
                print(f"{name}:\n{text}")
    print(f"{len(entries)} files, {bad} with warnings")
    return 1 if bad else 0
