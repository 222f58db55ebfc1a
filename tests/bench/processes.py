# SPDX-License-Identifier: MIT
"""What a server's processes use, read from /proc."""
import os
import resource

TICKS = os.sysconf("SC_CLK_TCK")


def children(pid):
    try:
        with open(f"/proc/{pid}/task/{pid}/children", encoding="ascii") as f:
            return [int(word) for word in f.read().split()]
    except (FileNotFoundError, ProcessLookupError):
        return []


def descendants(pid):
    found = []
    for child in children(pid):
        found += [child] + descendants(child)
    return found


def cpu_seconds(pid):
    """Of a process and all that descend from it, those that have ended and were reaped too, in user and system mode."""
    total = 0
    for one in [pid, *descendants(pid)]:
        try:
            with open(f"/proc/{one}/stat", encoding="utf-8", errors="replace") as stat:
                fields = stat.read().rsplit(")", 1)[1].split()
        except (FileNotFoundError, ProcessLookupError):
            continue
        total += sum(int(field) for field in fields[11:15])
    return total / TICKS


def memory_kib(pids):
    """Proportional: what processes share is counted once. Page tables and kernel stacks are theirs, too."""
    total = 0
    for pid in pids:
        try:
            with open(f"/proc/{pid}/smaps_rollup", encoding="ascii") as f:
                total += sum(int(line.split()[1]) for line in f if line.startswith("Pss:"))
            with open(f"/proc/{pid}/status", encoding="ascii") as f:
                fields = dict(line.split(":", 1) for line in f)
            # 16 KiB of kernel stack for each thread, on all of the usual machines.
            total += int(fields["VmPTE"].split()[0]) + 16 * int(fields["Threads"])
        except (FileNotFoundError, ProcessLookupError):
            pass
    return total


def machine_seconds():
    """CPU time that all of the machine has spent, and that its host has taken from it."""
    with open("/proc/stat", encoding="ascii") as stat:
        user, nice, system, _idle, _iowait, irq, softirq, steal = map(int, stat.readline().split()[1:9])
    return (user + nice + system + irq + softirq + steal) / TICKS


def own_children_seconds():
    usage = resource.getrusage(resource.RUSAGE_CHILDREN)
    return usage.ru_utime + usage.ru_stime
