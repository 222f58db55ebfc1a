# SPDX-License-Identifier: MIT
"""Slices of load on servers that take turns. What else the machine does hits all alike: in every round each concurrency has
its turn, and within that each server its slice, in a new random order, so that what is compared is seconds apart. A slice
during which others used much of the machine is repeated."""
import json
import os
import random
import subprocess
import time

import processes
from servers import HELLO, say

# More of the machine's CPU than this in other hands makes a slice worth repeating, so many times at most.
DISTURBED = 0.15
REPEATS = 2
# Of all slices, at most such a share more may be spent on repeating, so that the run ends in any case.
REPEATED_SHARE = 0.2


def run_load(programs, port, concurrency, seconds, expect=HELLO.decode(), send=None):
    """The load client's result."""
    argv = [os.path.join(programs, "load"), "--port", str(port), "--concurrency", str(concurrency), "--seconds",
            str(seconds), "--expect", expect]
    if send is not None:
        argv += ["--send", send]
    return json.loads(subprocess.run(argv, stdout=subprocess.PIPE, check=True, universal_newlines=True).stdout)


def run_slice(bench, server, concurrency, seconds, load=run_load):
    """One slice: the load client's result, with the CPU time of the whole server for each connection, and the share of
    the machine that others used meanwhile."""
    begin, busy = time.monotonic(), processes.machine_seconds()
    cpu, client = server.cpu_seconds(), processes.own_children_seconds()
    result = load(bench.programs, server.port, concurrency, seconds)
    # The last children end, and are reaped, after their clients have their answer.
    time.sleep(0.05)
    cpu = server.cpu_seconds() - cpu
    n = result["connections"]
    result["cpu_us"] = cpu * 1e6 / n if n else None
    others = processes.machine_seconds() - busy - cpu - (processes.own_children_seconds() - client)
    result["others"] = max(0, others / (time.monotonic() - begin) / len(os.sched_getaffinity(0)))
    return result


class Rounds:
    """{(service, server, concurrency): [result of each round]}"""

    def __init__(self, bench, servers, plan, concurrencies, load=run_load):
        self.bench, self.plan, self.load = bench, plan, load
        self.servers, self.concurrencies = list(servers), list(concurrencies)
        slices = plan.rounds * len(self.servers) * len(self.concurrencies)
        self.repeats_left = 0 if plan.quick else int(REPEATED_SHARE * slices)

    def quiet_slice(self, server, concurrency):
        """The quietest of a few tries, the first one if that was quiet enough."""
        best = run_slice(self.bench, server, concurrency, self.plan.seconds, self.load)
        for _ in range(REPEATS):
            if best["others"] <= DISTURBED or self.repeats_left == 0:
                break
            self.repeats_left -= 1
            again = run_slice(self.bench, server, concurrency, self.plan.seconds, self.load)
            best = min(best, again, key=lambda result: result["others"])
        return best

    def run(self, what):
        results = {(server.service, server.name, c): [] for server in self.servers for c in self.concurrencies}
        dice = random.Random(self.plan.seed)
        for number in range(self.plan.rounds):
            for c in dice.sample(self.concurrencies, len(self.concurrencies)):
                for server in dice.sample(self.servers, len(self.servers)):
                    results[server.service, server.name, c].append(self.quiet_slice(server, c))
            say("%s: round %d of %d" % (what, number + 1, self.plan.rounds))
        return results


def bad(result):
    """How many connections of a slice went wrong."""
    return result["wrong"] + sum(result["errors"].values())
