#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Runs the integration tests: several test classes at once, each in a process of its own, one line for each test.

A process that hangs is ended with all that it started, and what it had not run counts as failed. A few that fail are
run again by themselves at the end, when nothing else keeps the machine busy: those that pass then are named, with what
they said the first time, and do not count as failed."""
import argparse
import ctypes
import json
import os
import signal
import subprocess
import sys
import tempfile
import time
import traceback
import unittest

HERE = os.path.dirname(os.path.realpath(__file__))
PR_SET_CHILD_SUBREAPER = 36
# More that fail than this are no accident of a busy machine.
AGAIN_MAX = 4


class Recorder(unittest.TestResult):
    """Writes one JSON object for each test to a file, at once: a process that dies keeps what it had found out."""

    def __init__(self, out):
        super().__init__()
        self.out = out
        self.started = 0.0
        self.outcome = None

    def startTest(self, test):
        super().startTest(test)
        self.started = time.monotonic()
        self.outcome = ("ok", "")
        print(json.dumps({"start": test.id()}), file=self.out, flush=True)

    def stopTest(self, test):
        super().stopTest(test)
        self.record(test.id(), *self.outcome)

    def record(self, name, status, text):
        print(json.dumps({"test": name, "status": status, "text": text,
                          "seconds": round(time.monotonic() - self.started, 2)}), file=self.out, flush=True)

    def addSkip(self, test, reason):
        super().addSkip(test, reason)
        if isinstance(test, unittest.TestCase):
            self.outcome = ("skipped", reason)
        else:
            self.record(str(test), "skipped", reason)

    def addError(self, test, err):
        super().addError(test, err)
        text = "".join(traceback.format_exception(*err))
        if isinstance(test, unittest.TestCase):
            self.outcome = ("failed", self.outcome[1] + text)
        else:  # setUpClass and the like
            self.started = time.monotonic()
            self.record(str(test), "failed", text)

    def addFailure(self, test, err):
        self.addError(test, err)

    def addSubTest(self, test, subtest, err):
        if err is not None:
            text = "".join(traceback.format_exception(*err))
            self.outcome = ("failed", f"{self.outcome[1]}{subtest}\n{text}")


def worker(names, path):
    """The process of one test class."""
    # Orphans of a daemon that was killed come to this process, and are found when it ends.
    ctypes.CDLL(None).prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)
    sys.path.insert(0, HERE)
    with open(path, "w", encoding="utf-8") as out:
        unittest.defaultTestLoader.loadTestsFromNames(names).run(Recorder(out))
    with open(f"/proc/self/task/{os.getpid()}/children", encoding="utf-8") as left:
        for child in left.read().split():
            kill_tree(int(child))


def classes(patterns):
    """{class: [test, ...]} of the tests that a pattern is part of."""
    sys.path.insert(0, HERE)
    found = {}

    def walk(suite):
        for item in suite:
            if isinstance(item, unittest.TestSuite):
                walk(item)
            elif not patterns or any(p in item.id() for p in patterns):
                found.setdefault(item.id().rsplit(".", 1)[0], []).append(item.id())
    walk(unittest.defaultTestLoader.discover(HERE, "test_*.py"))
    return found


def has_long_form(name):
    """Whether the module of a test class looks at MP_TEST_SLOW: others are the same with it as without."""
    return hasattr(sys.modules.get(name.partition(".")[0]), "SLOW")


def weight(name):
    """The long ones first, so that none of them runs alone at the end."""
    module, _, cls = name.partition(".")
    return -getattr(getattr(sys.modules.get(module), cls, None), "weight", 1)


def kill_tree(pid):
    """Ends what the worker started: as their subreaper it is an ancestor of all."""
    parents = {}
    for entry in os.listdir("/proc"):
        if entry.isdigit():
            try:
                with open(f"/proc/{entry}/stat", encoding="utf-8", errors="replace") as stat:
                    parents[int(entry)] = int(stat.read().rsplit(")", 1)[1].split()[1])
            except (FileNotFoundError, ProcessLookupError):
                pass
    doomed = {pid}
    while True:
        more = {child for child, parent in parents.items() if parent in doomed} - doomed
        if not more:
            break
        doomed |= more
    for child in doomed:
        try:
            os.kill(child, signal.SIGKILL)
        except ProcessLookupError:
            pass


class Job:
    def __init__(self, name, tests, timeout):
        self.name, self.tests = name, tests
        handle, self.path = tempfile.mkstemp(prefix="mpt-result-")
        os.close(handle)
        self.deadline = time.monotonic() + timeout
        self.process = subprocess.Popen([sys.executable, os.path.realpath(__file__), "--worker", self.path, *tests],
                                        stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
                                        text=True, errors="replace")

    def finished(self):
        if self.process.poll() is not None:
            return True
        if time.monotonic() > self.deadline:
            kill_tree(self.process.pid)
            self.process.wait()
            return True
        return False

    def results(self):
        said, running = {}, None
        with open(self.path, encoding="utf-8") as lines:
            for line in lines:
                entry = json.loads(line)
                if "start" in entry:
                    running = entry["start"]
                else:
                    said[entry["test"]] = entry
                    running = None
        os.unlink(self.path)
        noise = self.process.stdout.read()
        self.process.stdout.close()
        class_failed = any(name not in self.tests for name in said)
        for test in self.tests:
            if test not in said and not (class_failed and running is None):
                why = "did not end in time" if test == running else "was not run: its process ended early"
                said[test] = {"test": test, "status": "failed", "text": f"{why}\n{noise}", "seconds": 0}
        return said.values()


def show(result, prefix):
    mark = {"ok": "ok   ", "failed": "FAIL ", "skipped": "skip "}[result["status"]]
    reason = f": {result['text']}" if result["status"] == "skipped" else ""
    print(f"{mark} {prefix}{result['test']} ({result['seconds']} s){reason}", flush=True)
    if result["status"] == "failed":
        print("\n".join("      " + line for line in result["text"].splitlines()[-60:]), flush=True)


def run_all(todo, jobs, timeout, prefix=""):
    """{test: what came of it} of [(name, [test, ...]), ...], of which so many are run at once."""
    results, running, todo = {}, [], list(todo)
    while todo or running:
        while todo and len(running) < jobs:
            running.append(Job(*todo.pop(0), timeout))
        for job in [job for job in running if job.finished()]:
            running.remove(job)
            for result in job.results():
                results[result["test"]] = result
                show(result, prefix)
        time.sleep(0.02)
    return results


def main():
    # Started in the background by a shell, these are ignored, and so they would be by all that the tests start.
    for sig in (signal.SIGINT, signal.SIGQUIT):
        signal.signal(sig, signal.SIG_DFL)
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--build", default="build", help="the build folder to test")
    parser.add_argument("--name", default="", help="how to call it in the output")
    parser.add_argument("--jobs", type=int, default=2)
    parser.add_argument("--timeout", type=float, default=400, help="for one test class, in seconds")
    parser.add_argument("--tally", help='file for "PASSED FAILED SKIPPED"')
    parser.add_argument("--long", action="store_true", help="only what has a longer form, by MP_TEST_SLOW=1")
    parser.add_argument("--results", help="file for what came of each test, as JSON")
    parser.add_argument("patterns", nargs="*", help="parts of names of tests")
    options = parser.parse_args()

    os.environ["BUILD_DIR"] = os.path.realpath(options.build)
    os.environ["MPINETD_LIBEXECDIR"] = os.path.join(os.environ["BUILD_DIR"], "services")
    with open(os.path.join(options.build, "meson-info", "intro-buildoptions.json"), encoding="utf-8") as file:
        build = {o["name"]: o["value"] for o in json.load(file)}
    os.environ["MP_TEST_SANITIZED"] = "0" if build.get("b_sanitize", "none") == "none" else "1"
    os.environ["MP_TEST_COUNTED"] = "1" if build.get("b_coverage") else "0"
    todo = sorted(classes(options.patterns).items(), key=lambda item: (weight(item[0]), item[0]))
    if options.long:
        todo = [item for item in todo if has_long_form(item[0])]
    known = {test for _, tests in todo for test in tests}
    start = time.monotonic()
    results = run_all(todo, options.jobs, options.timeout)
    failed = [name for name, result in results.items() if result["status"] == "failed"]
    if 0 < len(failed) <= AGAIN_MAX and known.issuperset(failed):
        for name, result in run_all([(name, [name]) for name in failed], 1, options.timeout, "again ").items():
            results[name] = result
    totals = {status: sum(r["status"] == status for r in results.values()) for status in ("ok", "failed", "skipped")}
    print(f"      {options.name} integration tests: {time.monotonic() - start:.0f} s", flush=True)
    if options.tally:
        with open(options.tally, "w", encoding="utf-8") as file:
            print(totals["ok"], totals["failed"], totals["skipped"], file=file)
    if options.results:
        with open(options.results, "w", encoding="utf-8") as file:
            json.dump({name: {"status": r["status"], "text": r["text"]} for name, r in results.items()}, file)
    return 1 if totals["failed"] else 0


if __name__ == "__main__":
    if len(sys.argv) > 2 and sys.argv[1] == "--worker":
        worker(sys.argv[3:], sys.argv[2])
    else:
        sys.exit(main())
