# SPDX-License-Identifier: MIT
"""What the benchmark has to reach: one row for each bound, and the verdict on it. No input or output here.

Each measuring module of this folder has a function measure(bench, plan) that returns a dict for JSON; under "figures"
it has what rows are judged by, by the keys of this table, made by figures.figure() or figures.ratio().
"""
import collections

# @least: whether the bound is the least that is asked for, else the most. @digits of the printed figure.
Row = collections.namedtuple("Row", "key group what bound least unit digits")
Verdict = collections.namedtuple("Verdict", "row reached spread state")

HOLDS, MISSED, NOISY, MISSING = "holds", "MISSED", "undecided", "not measured"
# With more spread than this, a bound that lies within it says nothing: the row neither holds nor is it missed.
TOO_NOISY = 0.15


def least(key, what, bound, unit="", digits=2):
    return Row(key, key.split(".")[0], what, bound, True, unit, digits)


def most(key, what, bound, unit="", digits=2):
    return Row(key, key.split(".")[0], what, bound, False, unit, digits)


def by_concurrency(key, what, bounds, row=least):
    return [row("%s.%d" % (key, c), "%s, %d at once" % (what, c), bound) for c, bound in zip((1, 8, 64), bounds)]


ROWS = [
    *by_concurrency("conn.raw.rate.limit-vfork", "conn/s, of a bare vfork loop", (0.95, 1.20, 1.20)),
    *by_concurrency("conn.raw.rate.limit-c3vm", "conn/s, of the best bare loop", (0.90, 0.90, 0.90)),
    most("conn.raw.cpu.limit-vfork.8", "CPU per connection, of a bare vfork loop", 1.05),
    *by_concurrency("conn.raw.rate.xinetd", "conn/s, of xinetd", (1.8, 2.2, 2.2)),
    most("conn.raw.cpu.xinetd.8", "CPU per connection, of xinetd", 0.40),
    least("conn.raw.rate.openbsd-inetd.8", "conn/s, of openbsd-inetd, 8 at once", 2.5),
    least("conn.raw.rate.tcpserver.8", "conn/s, of tcpserver, 8 at once", 1.3),
    least("conn.raw.rate.socket-activate.8", "conn/s, of systemd-socket-activate, 8 at once", 2.5),
    most("conn.raw.p50.limit-vfork.1", "p50, of a bare vfork loop, 1 at once", 1.05),
    *by_concurrency("conn.dyn.rate.xinetd", "dynamic service: conn/s, of xinetd", (1.4, 1.4, 1.4)),
    most("conn.dyn.cpu.xinetd.8", "dynamic service: CPU per connection, of xinetd", 0.70),
    *by_concurrency("pool.listener", "pool, workers accepting: conn/s, of a bare prefork", (0.97, 0.97, 0.97)),
    *by_concurrency("pool.connection", "pool, connections passed: conn/s, of a bare dispatcher", (0.95, 0.95, 0.95)),
    least("growth.services", "conn/s with 1,000 services, of 1", 0.95),
    least("growth.listeners", "conn/s with 10,000 listeners, of 1", 0.90),
    least("growth.descriptors", "conn/s with 10,000 open descriptors, of 20", 0.95),
    least("growth.heap", "conn/s with 512 MiB of heap, of none", 0.95),
    most("syscalls.daemon.inherit", "system calls of the daemon, stderr: inherit", 12, digits=0),
    most("syscalls.daemon.log", "system calls of the daemon, stderr: log and two lines", 18, digits=0),
    most("syscalls.child.plain", "system calls of the child before exec", 8, digits=0),
    most("syscalls.child.user", "system calls of the child, with a change of user", 11, digits=0),
    most("memory.daemon", "private memory of the daemon, one service", 1024, "KiB", 0),
    most("memory.service", "memory of one more idle service", 2048, "B", 0),
    most("memory.connection.log", "memory of a held connection, stderr: log", 1024, "B", 0),
    most("memory.connection.plain", "memory of a held connection, without", 384, "B", 0),
    most("start.1000", "start with 1,000 listeners, of a loop that only binds", 3.0),
    most("start.10000", "start with 10,000 listeners, of a loop that only binds", 3.0),
]


def judge(row, figure):
    """A row holds when its bound lies within the spread around what was reached, or beyond it on the good side."""
    if figure is None:
        return Verdict(row, None, None, MISSING)
    reached, share = figure["reached"], figure["spread"]
    worst, best = reached / (1 + share), reached * (1 + share)
    if not row.least:
        worst, best = -best, -worst
    bound = row.bound if row.least else -row.bound
    if worst >= bound or (best >= bound and share <= TOO_NOISY):
        return Verdict(row, reached, share, HOLDS)
    return Verdict(row, reached, share, MISSED if best < bound else NOISY)


def judge_all(figures, groups):
    """The verdicts on all rows of these groups, in the order of the table."""
    return [judge(row, figures.get(row.key)) for row in ROWS if row.group in groups]


def all_hold(verdicts):
    return all(v.state == HOLDS for v in verdicts)
