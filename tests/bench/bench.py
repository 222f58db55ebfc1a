#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""The whole benchmark: measures mpinetd beside bare limit loops and other super-servers in one run, and says of each row of
the table in rows.py whether it holds. Each group of rows is measured by a module, which can be started alone as well:

  conn      a process for each connection: rates, CPU time, latency (connections.py)
  pool      pools of workers (pool.py)
  growth    many services, listeners, descriptors; a large heap (growth.py)
  syscalls  system calls of the daemon and of its child (syscalls.py)
  memory    of the daemon, its services and connections (memory.py)
  start     from exec to the last listener (start.py)
  held      2,000 connections that are held (held.py)
  churn     minutes of steady load; only with --churn (churn.py)

The peers are taken from the machine if they are there, else from their Debian packages, which are unpacked into a cache
folder and not installed.
"""
import importlib
import os
import sys
import time
import traceback

from packages import Unavailable
import report
import rows
from servers import say
import session
import tables

HERE = os.path.dirname(os.path.realpath(__file__))
MODULES = {"conn": "connections", "pool": "pool", "growth": "growth", "syscalls": "syscalls", "memory": "memory",
           "start": "start", "held": "held", "churn": "churn"}


def modules():
    """Those that are there: a group without one is shown as not measured."""
    return {group: importlib.import_module(name) for group, name in MODULES.items()
            if os.path.exists(os.path.join(HERE, name + ".py"))}


def parse(argv, available):
    parser = session.parser(__doc__)
    parser.conflict_handler = "resolve"
    for group, module in available.items():
        if hasattr(module, "add_options"):
            module.add_options(parser.add_argument_group(group))
    parser.add_argument("--only", type=session.words, metavar="GROUPS", help="of the groups above; default: all")
    parser.add_argument("--report", metavar="FOLDER", nargs="?", const=os.path.join(HERE, "..", "..", "docs"),
                        help="write plots and tables into the documentation (default: docs of this tree)")
    parser.add_argument("--check", action="store_true", help="exit 1 when a row is missed, or could not be decided")
    plan = session.complete(parser.parse_args(argv))
    unknown = set(plan.only or ()) - set(MODULES)
    if unknown:
        parser.error("no such group: %s" % ", ".join(sorted(unknown)))
    plan.groups = plan.only or [g for g in MODULES if g != "churn" or plan.churn > 0]
    return plan


def measure(bench, plan, available):
    """({group: results}, [groups that failed]). A group that fails leaves the others their results."""
    results, broken = {}, []
    for group in plan.groups:
        if group not in available:
            continue
        begin = time.monotonic()
        try:
            results[group] = available[group].measure(bench, plan)
        except Unavailable as e:
            say("without %s: %s" % (group, e))
            continue
        except Exception:  # whatever it is
            say("%s failed:\n%s" % (group, traceback.format_exc()))
            broken.append(group)
            continue
        say("%s took %.0f s" % (group, time.monotonic() - begin))
    return results, broken


def main(argv):
    available = modules()
    plan = parse(argv, available)
    with session.bench(plan) as bench:
        results, broken = measure(bench, plan, available)
    for group in plan.groups:
        if group in results and hasattr(available[group], "show"):
            print("\n".join(available[group].show(results[group])))
    verdicts = report.verdicts_of(results, plan.groups)
    print("\n" + "\n".join([*tables.verdicts(verdicts), "", tables.summary(verdicts)]))
    if plan.json:
        session.write_json(plan.json, report.document(plan, results))
    if plan.report:
        report.write(plan.report, plan, results, available)
    return 1 if broken or report.failed(results) or (plan.check and not rows.all_hold(verdicts)) else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
