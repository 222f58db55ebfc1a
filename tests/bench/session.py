# SPDX-License-Identifier: MIT
"""How the scripts of this folder are started: options that all have, the build, a folder for the servers; and the main
function of a module that measures one group of rows."""
import argparse
import contextlib
import json
import os
import sys
import tempfile

import rows
import servers
import tables


def numbers(text):
    return [int(part) for part in text.split(",")]


def words(text):
    return text.split(",")


def parser(doc, rounds=12, seconds=0.5):
    """@rounds, @seconds: the defaults of a full run; complete() fills them in."""
    cache = os.path.join(os.environ.get("XDG_CACHE_HOME") or os.path.expanduser("~/.cache"), "mpinetd-bench")
    p = argparse.ArgumentParser(description=doc, formatter_class=argparse.RawDescriptionHelpFormatter)
    p.add_argument("--build", default="build-release", help="folder that meson built in (default: build-release)")
    p.add_argument("--mpinetd", help="the daemon to measure (default: that of the build)")
    p.add_argument("--rounds", type=int, help="default: %d; with --quick 3" % rounds)
    p.add_argument("--seconds", type=float, help="length of a slice of load (default: %g; with --quick 0.3)" % seconds)
    p.add_argument("--seed", type=int, default=1, help="of the order within the rounds")
    p.add_argument("--json", metavar="FILE", help="write all results to this file")
    p.add_argument("--cache", default=cache, help="folder for the packages of peers (default: %s)" % cache)
    p.add_argument("--no-build", action="store_true", help="do not call ninja first")
    p.add_argument("--quick", action="store_true", help="a short run, for a first look")
    p.set_defaults(full=(rounds, seconds))
    return p


def complete(plan):
    """Fills in what was not said."""
    rounds, seconds = (3, 0.3) if plan.quick else plan.full
    plan.rounds = plan.rounds or rounds
    plan.seconds = plan.seconds or seconds
    return plan


@contextlib.contextmanager
def bench(plan, *targets):
    """A Bench in a folder of its own, everything built; @targets: what else is needed of the build."""
    if not plan.no_build:
        daemon = [] if plan.mpinetd else ["daemon/mpinetd"]
        servers.ninja(plan.build, "bench-programs", *daemon, *targets)
    with tempfile.TemporaryDirectory(prefix="mpinetd-bench-") as folder:
        os.chmod(folder, 0o755)
        yield servers.Bench(plan.build, folder, plan.cache, plan.mpinetd)


@contextlib.contextmanager
def stopping():
    """A list of servers, all of which are stopped in the end."""
    started = []
    try:
        yield started
    finally:
        for server in started:
            server.stop()


def write_json(path, value):
    with open(path, "w", encoding="utf-8") as out:
        json.dump(value, out, indent=1)
        out.write("\n")


def alone(group, module, doc, **defaults):
    """main() of a module of one group: measures, shows and judges its rows. The module has measure(bench, plan), and may
    have show(results) that returns lines of text, and add_options(parser)."""
    p = parser(doc, **defaults)
    p.add_argument("--check", action="store_true", help="exit 1 when a row does not hold")
    if hasattr(module, "add_options"):
        module.add_options(p)
    plan = complete(p.parse_args())
    with bench(plan) as b:
        results = module.measure(b, plan)
    if hasattr(module, "show"):
        print("\n".join(module.show(results)))
    verdicts = rows.judge_all(results["figures"], [group])
    print("\n".join(tables.verdicts(verdicts)))
    if plan.json:
        write_json(plan.json, results)
    sys.exit(1 if plan.check and not rows.all_hold(verdicts) else 0)
