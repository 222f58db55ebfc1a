# SPDX-License-Identifier: MIT
"""All results of a run as one document, and what of them goes into the documentation: plots, the document itself, and the
tables between markers of performance.md."""
import json
import os
import platform
import re

import connections
import plots
import rows
from servers import say
import session
import tables

FOLDER, PAGE, RESULTS = "performance", "performance.md", "results.json"
BEGIN, END = "<!-- measured: %s -->", "<!-- end of measured -->"


def distribution():
    try:
        return platform.freedesktop_os_release().get("PRETTY_NAME", "Linux").replace("GNU/Linux ", "").split(" (")[0]
    except OSError:
        return "Linux"


def machine():
    """In general terms: what a reader needs to compare."""
    with open("/proc/cpuinfo", encoding="utf-8") as f:
        virtual = any(line.startswith("flags") and " hypervisor" in line for line in f)
    with open("/proc/stat", encoding="ascii") as f:
        stolen = int(f.readline().split()[8]) > 0
    cores = len(os.sched_getaffinity(0))
    return "%d %score%s%s, kernel %s, %s" % (
        cores, "shared " if stolen else "", "" if cores == 1 else "s", " of a virtual machine" if virtual else "",
        ".".join(os.uname().release.split("-")[0].split(".")[:2]), distribution())


def verdicts_of(results, groups):
    """On the rows of these groups, by the results of those that were measured."""
    figures = {key: figure for one in results.values() for key, figure in one["figures"].items()}
    return rows.judge_all(figures, groups)


def document(plan, groups):
    """@groups: the results of each group. Each is told how long it was measured, as they may come from several runs."""
    for results in groups.values():
        results.setdefault("measured", {"machine": machine(), "rounds": plan.rounds, "seconds": plan.seconds})
    return {
        "rows": [{"key": v.row.key, "what": v.row.what, "bound": v.row.bound, "least": v.row.least, "unit": v.row.unit,
                  "reached": v.reached, "spread": v.spread, "state": v.state} for v in verdicts_of(groups, groups)],
        "groups": groups}


def failed(groups):
    """Whether a connection to mpinetd went wrong: then nothing else counts."""
    failures = [f for f in connections.wrong(groups.get("conn", {"services": {}})) if f[0] == "mpinetd"]
    for name, service, what in failures:
        say("%s, %s: connections failed: %s" % (name, service, what))
    return bool(failures)


def sections(groups, modules):
    """{marker: lines of Markdown}"""
    found = {"rows": tables.verdicts(verdicts_of(groups, groups), tables.markdown)}
    for group, results in groups.items():
        if group == "conn":
            for service, by_server in results["services"].items():
                found[service] = connections.table(by_server, tables.markdown)
        elif hasattr(modules.get(group), "table"):
            found[group] = modules[group].table(results, tables.markdown)
    how = next(iter(groups.values()))["measured"]
    found["machine"] = ["%s; medians of %d rounds, slices of %g s." % (how["machine"], how["rounds"], how["seconds"])]
    return found


def fill(page, found):
    """The page with the lines of each section between its markers; what was not measured stays as it is."""
    def replace(match):
        lines = found.get(match.group(1))
        if not lines:
            return match.group(0)
        return "\n".join([BEGIN % match.group(1), *lines, END])
    return re.sub(r"<!-- measured: (\S+) -->\n.*?%s" % re.escape(END), replace, page, flags=re.S)


def write(docs, plan, groups, modules):
    """Groups that this run has not measured are taken from the last one."""
    folder = os.path.join(docs, FOLDER)
    os.makedirs(folder, exist_ok=True)
    path = os.path.join(folder, RESULTS)
    if os.path.exists(path):
        with open(path, encoding="utf-8") as f:
            groups = {**json.load(f)["groups"], **groups}
    session.write_json(path, document(plan, groups))
    for name, (text, _) in plots.draw(groups).items():
        with open(os.path.join(folder, name), "w", encoding="utf-8") as out:
            out.write(text)
    page = os.path.join(docs, PAGE)
    with open(page, encoding="utf-8") as f:
        text = f.read()
    with open(page, "w", encoding="utf-8") as out:
        out.write(fill(text, sections(groups, modules)))
    say("written: %s, and what is in %s" % (page, folder))
