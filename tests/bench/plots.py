# SPDX-License-Identifier: MIT
"""Which plots there are: {file name: (text of the SVG, what it shows)}, of those groups that a run has measured."""
import connections
import figures
import rows
import svg

# In the order of a reader's questions: the limits, mpinetd, the peers.
ORDER = ("limit-vfork", "limit-c3vm", "limit-fork", "limit-duties", "mpinetd", "tcpserver", "rlinetd", "xinetd",
         "openbsd-inetd", "socket-activate")
# Lines that are too many cannot be told apart.
LATENCY = ("mpinetd", "limit-vfork", "limit-c3vm", "tcpserver", "xinetd", "openbsd-inetd")
LATENCY_AT = ("1", "64")
PERCENTILES = (("p50", "p50_us"), ("p90", "p90_us"), ("p99", "p99_us"), ("p99.9", "p999_us"))
SERVICES = {"raw": "a service without libc", "static": "a static program", "dyn": "an ordinary dynamic program"}


def servers_of(by_server):
    return [name for name in ORDER if name in by_server]


def rates(by_server, service):
    names = servers_of(by_server)
    cs = list(by_server[names[0]])
    title = "Connections per second, %s" % SERVICES[service]
    return svg.bars(title, "of those of a bare vfork loop, in the same round", names,
                    [("%s at once" % c, [by_server[n][c]["rate_ratio"] for n in names]) for c in cs], 1, "mpinetd",
                    label=svg.fixed(2)), title


def cpu(services):
    c = str(connections.CPU_AT)
    names = servers_of(services["raw"])
    title = "CPU time for each connection, the server and all its processes"
    series = [(SERVICES[s], [services[s].get(n, {}).get(c, {}).get("cpu_us") for n in names]) for s in services]
    return svg.bars(title, "µs, %s at once" % c, names, series, None, "mpinetd", False), title


def latency(by_server, c):
    title = "Latency from connect to end, %s at once, a service without libc" % c
    series = [(name, [(i, by_server[name][c][key]) for i, (_, key) in enumerate(PERCENTILES)])
              for name in LATENCY if name in by_server]
    return svg.lines(title, "percentile", "µs", series, [p for p, _ in PERCENTILES], y_log=True), title


def of_connections(results):
    services = {s: results["services"][s] for s in SERVICES if results["services"].get(s)}
    plots = {"rate-%s.svg" % s: rates(by, s) for s, by in services.items() if s != "static"}
    if "raw" in services:
        plots["cpu.svg"] = cpu(services)
        for c in (c for c in LATENCY_AT if c in services["raw"][connections.REFERENCE]):
            plots["latency-%s.svg" % c] = latency(services["raw"], c)
    return plots


def of_pool(results):
    names = [n for n in results["servers"] if not n.endswith("'")]
    cs = list(results["servers"][names[0]])
    title = "Pools of %d workers: CPU time for each connection" % results["workers"]
    labels = [n if n.startswith("limit") else "mpinetd, handoff: " + n for n in names]
    return {"pool.svg": (svg.bars(title, "µs", labels, [
        ("%s at once" % c, [results["servers"][n][c]["cpu_us"] for n in names]) for c in cs]), title)}


def of_growth(results):
    title = "Connections per second with more to carry"
    names = list(results["servers"])
    burdens = [b for b in results["servers"]["mpinetd"] if not b.startswith("plain") and not b.startswith("20 ")]
    return {"growth.svg": (svg.bars(title, "of those without it, 8 at once", names, [
        (b, [results["servers"][n].get(b, {}).get("rate_ratio") for n in names]) for b in burdens],
        1, "mpinetd", False, svg.fixed(2)), title)}


def of_start(results):
    title = "From exec to the last listener"
    cases = list(results["seconds"])
    labels = ["1 service" if case == "1 services" else case for case in cases]
    names = dict.fromkeys(name for rounds in results["seconds"].values() for name in sorted(rounds[0]))
    names = ["mpinetd", "limit-listen", *(n for n in names if n != "mpinetd" and not n.startswith("limit-"))]
    return {"start.svg": (svg.bars(title, "ms", labels, [
        ("a loop that only binds" if name.startswith("limit-") else name, [
            figures.median([r[name] * 1e3 for r in results["seconds"][case] if name in r]) for case in cases])
        for name in names], shades=False), title)}


def of_memory(results):
    title = "Memory that is the daemon's own, for each of many"
    keys = ("memory.service", "memory.connection.log", "memory.connection.plain")
    table = [row for row in rows.ROWS if row.key in keys and results["figures"].get(row.key)]
    return {"memory.svg": (svg.bars(title, "bytes", [row.what for row in table], [
        ("measured", [results["figures"][row.key]["reached"] for row in table]),
        ("allowed", [row.bound for row in table])], shades=False), title)}


def of_syscalls(results):
    title = "System calls for each connection"
    names = list(results["counts"])
    labels = [n if n in ORDER else "mpinetd, " + n for n in names]
    return {"syscalls.svg": (svg.bars(title, "calls, the median of a connection", labels, [
        (label, [(results["counts"][n][who] or {}).get("median") for n in names])
        for who, label in (("daemon", "of the daemon"), ("child", "of its child, before exec"))], shades=False), title)}


def of_churn(results):
    title = "Steady load over time, 8 at once"

    def line(key, scale=1):
        return [(s["at"], s[key] / scale) for s in results["samples"]]
    return {"churn.svg": (svg.panels(title, "seconds", [
        ("conn/s", line("rate")), ("p99, µs", line("p99_us")), ("CPU, µs", line("cpu_us")),
        ("memory, KiB", line("private_dirty", 1024))]), title)}


GROUPS = {"conn": of_connections, "pool": of_pool, "growth": of_growth, "start": of_start, "memory": of_memory,
          "syscalls": of_syscalls, "churn": of_churn}


def draw(groups):
    plots = {}
    for group, function in GROUPS.items():
        if group in groups:
            plots.update(function(groups[group]))
    return plots
