#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Brings about the faults of the catalogue, and writes what came of each to BUILD/faults.txt and BUILD/faults.json.

    run.py [--quick] [--build build]... [ID or beginning of one]...     runs their tests: FD-2, RL
    run.py --from FILE... [--build build]                               takes what run.py of the integration tests has left behind
                                                                        (--results), and runs nothing

An id is `ok` when a test of it has run and none has failed, `skipped` when none could be run."""
import argparse
import json
import os
import subprocess
import sys
import tempfile

HERE = os.path.dirname(os.path.realpath(__file__))
RUNNER = os.path.join(HERE, "..", "integration", "run.py")
sys.path.insert(0, HERE)
import catalogue  # noqa: E402
import page  # noqa: E402



def merge(results, more):
    """What several runs say of a test: a failure outweighs all, and one that has run a skipped one."""
    order = {"skipped": 0, "ok": 1, "failed": 2}
    for name, entry in more.items():
        if name not in results or order[entry["status"]] > order[results[name]["status"]]:
            results[name] = entry


def verdict(entries):
    """(result, why) of the entries of an id's tests: {test: {status, text}}."""
    failed = [name for name, e in entries.items() if e["status"] == "failed"]
    if failed:
        return "FAILED", ", ".join(failed)
    if any(e["status"] == "ok" for e in entries.values()):
        return "ok", ""
    reasons = sorted({e["text"].strip().splitlines()[-1] if e["text"].strip() else "" for e in entries.values()})
    return ("skipped", "; ".join(reasons)) if entries else ("not run", "none of its tests is in the results")


def table(rows, results, names, meson_names):
    """[{id, what, result, why, tests, promises}]"""
    found = []
    for row in rows:
        tests = [t for pattern in row.tests for t in page.tests_of(pattern, names, meson_names)]
        result, why = verdict({t: results[t] for t in dict.fromkeys(tests) if t in results})
        found.append({"id": row.id, "what": row.what, "result": result, "why": why, "tests": tests, "promises": list(row.promises)})
    return found


def show(entries):
    lines = []
    for e in entries:
        promised = "; ".join(e["promises"]) or "-"
        lines.append(f"{e['id'] or '-':6} {e['result']:8} {promised:45} {e['what'] if e['result'] == 'ok' else e['why'] or e['what']}")
    return "\n".join(lines) + "\n"


def run_integration(build, patterns, jobs, slow):
    """{test: {status, text}}"""
    with tempfile.NamedTemporaryFile(prefix="mpt-faults-", suffix=".json") as file:
        environment = {**os.environ, **({"MP_TEST_SLOW": "1"} if slow else {})}
        subprocess.run([sys.executable, RUNNER, "--build", build, "--jobs", str(jobs), "--timeout", "3600" if slow else "400",
                        "--results", file.name, *patterns], stdin=subprocess.DEVNULL, env=environment, check=False)
        with open(file.name, encoding="utf-8") as text:
            return json.load(text)


def run_meson(build, names):
    results = {}
    for name in names:
        run = subprocess.run(["meson", "test", "-C", build, "--no-rebuild", name.partition(":")[2]], stdin=subprocess.DEVNULL,
                             stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, check=False)
        results[name] = {"status": "failed" if run.returncode else "ok", "text": run.stdout[-2000:] if run.returncode else ""}
        print(f"{'FAIL ' if run.returncode else 'ok   '} {name}", flush=True)
    return results


def results_of_meson(build):
    """Of the last run in that build: {suite:name: {status, text}}."""
    results = {}
    try:
        with open(os.path.join(build, "meson-logs", "testlog.json"), encoding="utf-8", errors="replace") as log:
            for line in log:
                test = json.loads(line)
                suite = test["suite"][0].rpartition(":")[2] if test.get("suite") else "unit"
                name = test["name"].rpartition(" / ")[2]
                status = {"OK": "ok", "EXPECTEDFAIL": "ok", "SKIP": "skipped"}.get(test["result"], "failed")
                results[f"{suite}:{name}"] = {"status": status, "text": test["result"]}
    except FileNotFoundError:
        pass
    return results


def wanted_rows(words):
    """The rows of these ids, or of groups by the beginning of theirs; all of them where none is named."""
    if not words:
        return catalogue.rows()
    found = [r for r in catalogue.rows() if any(r.id == w or r.id.startswith(w.rstrip("-") + "-") for w in words)]
    unknown = [w for w in words if not any(r.id == w or r.id.startswith(w.rstrip("-") + "-") for r in found)]
    if unknown:
        sys.exit(f"no fault is called {', '.join(unknown)}")
    return found


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--build", action="append", help="a build folder; more than one: all in each of them")
    parser.add_argument("--jobs", type=int, default=2)
    parser.add_argument("--quick", action="store_true", help="the short form of the long ones")
    parser.add_argument("--from", dest="files", nargs="+", metavar="FILE", help="results that are there already")
    parser.add_argument("ids", nargs="*")
    options = parser.parse_args()
    builds = [os.path.realpath(b) for b in options.build or ["build"]]
    os.environ.setdefault("BUILD_DIR", builds[0])
    rows, names, meson_names = wanted_rows([i.upper() for i in options.ids]), page.integration_tests(), page.meson_tests(builds[0])
    results = {}
    if options.files:
        for path in options.files:
            with open(path, encoding="utf-8") as file:
                merge(results, json.load(file))
        for build in builds:
            merge(results, results_of_meson(build))
    else:
        tests = {t for row in rows for pattern in row.tests for t in page.tests_of(pattern, names, meson_names)}
        for build in builds:
            merge(results, run_meson(build, sorted(filter(page.is_meson, tests))))
            merge(results, run_integration(build, sorted(t for t in tests if not page.is_meson(t)), options.jobs, not options.quick))
    entries = table(rows, results, names, meson_names)
    text = show(entries)
    for name, content in (("faults.txt", text), ("faults.json", json.dumps(entries, indent=1) + "\n")):
        with open(os.path.join(builds[0], name), "w", encoding="utf-8") as file:
            file.write(content)
    print("\n" + text, end="")
    counts = {result: sum(e["result"] == result for e in entries) for result in ("ok", "FAILED", "skipped", "not run")}
    print("\n" + ", ".join(f"{n} {result}" for result, n in counts.items() if n) + f" of {len(entries)} faults")
    return 1 if counts["FAILED"] or counts["not run"] else 0


if __name__ == "__main__":
    sys.exit(main())
