#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Two daemons with services of each model under mixed load for long: connections, reloads, processes that crash, hostile
clients, clients of the control socket, root and others. One of them is never upgraded, so that whatever leaks adds up; the other
is, again and again, so that whatever an upgrade hands over does. Looked at all the while; at the end, whether anything grew,
anything was lost, and whether the daemon has counted what its clients have.

    soak.py [--build build-release] [--minutes 60] [--hold 20ms] [--out build/soak]

Leaves verdict.txt, soak.svg, soak.md and samples.json."""
import argparse
import ctypes
import json
import os
import signal
import sys
import time

HERE = os.path.dirname(os.path.realpath(__file__))
sys.path[:0] = [HERE, os.path.join(HERE, "..", "integration"), os.path.join(HERE, "..", "bench")]
SAVE_EVERY = 300.0
PR_SET_CHILD_SUBREAPER = 36


def parse_arguments():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--build", default="build-release")
    parser.add_argument("--minutes", type=float, default=60)
    parser.add_argument("--out", default=os.path.join(HERE, "..", "..", "build", "soak"))
    parser.add_argument("--at-once", type=int, default=1, help="connections of each load")
    parser.add_argument("--hold", default="20ms", help="how long each of them lasts: the shorter, the more there are")
    return parser.parse_args()


def save(folder, name, text):
    os.makedirs(folder, exist_ok=True)
    with open(os.path.join(folder, name), "w", encoding="utf-8") as file:
        file.write(text)


def save_samples(folder, subjects):
    save(folder, "samples.json", json.dumps({s.name: s.facts() for s in subjects}))


def run(subjects, seconds, folder):
    """Looks at each of them every two seconds, in turn, until the time is over or somebody does not want to wait."""
    start = saved = time.monotonic()
    try:
        for s in subjects:
            s.begin(start)
        while time.monotonic() - start < seconds:
            for s in subjects:
                time.sleep(1)
                s.look()
            if time.monotonic() - saved > SAVE_EVERY:
                saved = time.monotonic()
                save_samples(folder, subjects)
                for s in subjects:
                    print(f"{saved - start:6.0f} s: {s.name}: {s.last()}, {len(s.problems)} problems", flush=True)
    except KeyboardInterrupt:
        print("stopped; this is what there is")
    for s in subjects:
        s.end()
    return time.monotonic() - start


def main():
    options = parse_arguments()
    os.environ["BUILD_DIR"] = os.path.realpath(options.build)
    import soak_report  # noqa: E402 pylint: disable=import-outside-toplevel
    from soak_subject import Subject  # noqa: E402 pylint: disable=import-outside-toplevel
    # Also where a shell has started it in the background, and ignores the first.
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, signal.default_int_handler)
    ctypes.CDLL(None).prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)
    folder = os.path.realpath(options.out)
    subjects = []
    try:
        for name, upgraded in (("reloaded", False), ("upgraded", True)):
            subjects.append(Subject(name, upgraded, options.at_once, options.hold))
        seconds = run(subjects, options.minutes * 60, folder)
        for s in subjects:
            s.at_rest()
            s.stop()
        facts = {s.name: s.facts() for s in subjects}
        save_samples(folder, subjects)
        good, text = soak_report.verdict(facts)
        save(folder, "verdict.txt", text)
        save(folder, "soak.svg", soak_report.plot(facts))
        save(folder, "soak.md", soak_report.table(facts, seconds))
        print(text, end="")
    finally:
        for s in subjects:
            s.kill()
    return 0 if good else 1


if __name__ == "__main__":
    sys.exit(main())
