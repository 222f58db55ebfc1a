# SPDX-License-Identifier: MIT
"""All results of a run as one document."""
import os
import platform

import connections
from servers import say


def distribution():
    try:
        return platform.freedesktop_os_release().get("PRETTY_NAME", "Linux").replace("GNU/Linux ", "").split(" (")[0]
    except OSError:
        return "Linux"


def machine():
    """In general terms: what a reader needs to compare."""
    with open("/proc/cpuinfo", encoding="utf-8") as f:
        virtual = any(line.startswith("flags") and " hypervisor" in line for line in f)
    cores = len(os.sched_getaffinity(0))
    return "%d %s%s, kernel %s, %s" % (
        cores, "cores" if cores > 1 else "core", " of a virtual machine" if virtual else "",
        ".".join(os.uname().release.split("-")[0].split(".")[:2]), distribution())


def document(plan, results, verdicts):
    return {
        "machine": machine(), "rounds": plan.rounds, "seconds": plan.seconds,
        "rows": [{"key": v.row.key, "what": v.row.what, "bound": v.row.bound, "least": v.row.least, "unit": v.row.unit,
                  "reached": v.reached, "spread": v.spread, "state": v.state} for v in verdicts],
        "groups": results}


def failed(results):
    """Whether a connection to mpinetd went wrong: then nothing else counts."""
    failures = [f for f in connections.wrong(results.get("conn", {"services": {}})) if f[0] == "mpinetd"]
    for name, service, what in failures:
        say("%s, %s: connections failed: %s" % (name, service, what))
    return bool(failures)
