# SPDX-License-Identifier: MIT
"""System calls that were traced: what belongs to one connection, and what a process does before it runs another program.
Pure."""
import statistics


class Call:
    """One call of a process, in the order in which it was begun."""

    def __init__(self, pid, name):
        self.pid, self.name, self.result = pid, name, None

    @property
    def succeeded(self):
        return self.result is not None and self.result >= 0


def before_exec(calls, old):
    """{pid: [name, ...]} of what each process that is not one of @old has called before its first execve(2) that
    succeeded, that one not counted; processes that never came to one are left out."""
    found, done = {}, set()
    for call in calls:
        if call.pid in old or call.pid in done:
            continue
        if call.name in ("execve", "execveat") and call.succeeded:
            done.add(call.pid)
        else:
            found.setdefault(call.pid, []).append(call.name)
    return {pid: found.get(pid, []) for pid in done}


def by_connection(calls, old):
    """[[name, ...], ...]: what those of @old have called from one connection that was accepted to the next; what comes
    before the first and after the last is left out, as both are cut off somewhere."""
    windows = []
    for call in calls:
        if call.pid not in old:
            continue
        if call.name in ("accept", "accept4") and call.succeeded:
            windows.append([])
        if windows:
            windows[-1].append(call.name)
    return windows[:-1]


def average(lists):
    """{name: how often in each list, on average}, the most frequent first."""
    counts = {}
    for names in lists:
        for name in names:
            counts[name] = counts.get(name, 0) + 1
    return {name: round(n / len(lists), 2) for name, n in sorted(counts.items(), key=lambda item: -item[1])}


def summary(lists):
    """How many calls: the median and the mean over connections, the least and the most, and which."""
    lengths = [len(names) for names in lists]
    if not lengths:
        return None
    return {"median": statistics.median(lengths), "mean": round(statistics.fmean(lengths), 2), "least": min(lengths),
            "most": max(lengths), "connections": len(lengths), "calls": average(lists)}
