# SPDX-License-Identifier: MIT
"""prespawn: processes of per-connection services that are set up ahead."""
import os
import signal
import socket
import threading
import time

import test_serving
from harness import (DaemonTest, children_of, exchange, need_root, parse_probe, process_alive, read_all, stays,
                     wait_until)


def spares_of(d):
    """The pids of its children that have not come to exec: they are still the daemon itself, as far as one can see."""
    own = os.readlink(f"/proc/{d.pid}/exe")
    found = set()
    for pid, state in children_of(d.pid):
        try:
            if state not in "ZX" and os.readlink(f"/proc/{pid}/exe") == own:
                found.add(pid)
        except OSError:
            continue
    return found


class SetUpAhead:
    """Every per-connection service of a test has spares, and they are there before anybody connects."""
    SPARES = 2

    def daemon(self, config, *arguments, **options):
        names = [name for name, service in config["services"].items() if service.get("model") != "on-demand"]
        for name in names:
            config["services"][name]["prespawn"] = self.SPARES
        d = super().daemon(config, *arguments, **options)
        listening = [s["name"] for s in d.status()["services"] if s["name"] in names and s["state"] == "listening"]
        wanted = self.SPARES * len(listening)
        d.spares = wait_until(lambda: len(spares_of(d)) == wanted and spares_of(d), "the spares") if wanted else set()
        self.addCleanup(self.look_who_served, d)
        return d

    def look_who_served(self, d):
        first = d.log(event="started")[:1]
        if d.spares and first:
            self.assertIn(first[0]["pid"], d.spares, "served by one that was set up ahead")


class Serving(SetUpAhead, test_serving.PerConnection):
    """A process that was set up ahead is like any other."""


class Stderr(SetUpAhead, test_serving.Stderr):
    pass
