# SPDX-License-Identifier: MIT
"""What is made of the samples of a soak: a verdict, a plot, a table. No input or output here.

Facts of a subject are {"samples": [{"seconds": s, NAME: value or None}], "tallies": {load: as mp-client --json tells},
"done": {what: how often}, "problems": [text], "rest": {"before": KiB, "after": KiB}, "cpu": {...}}."""
import slopes
import svg

# (name, unit, by how much it may grow, of a block its middle or its lowest tenth).
WATCHED = (("private dirty", "KiB", 128, 0.1), ("pss", "KiB", 512, 0.1), ("interpreters", "KiB", 128, 0.1), ("descriptors", "", 3, 0.1),
           ("children", "", 4, 0.1), ("zombies", "", 0, 0.5), ("canary p50", "ms", 5, 0.5), ("canary p99", "ms", 50, 0.5),
           ("ping p99", "ms", 20, 0.5), ("log lines", "a second", 20, 0.5))
# INV-4 and INV-5 of a machine that does nothing else; here it does all that it can.
MOST = {"canary p50": 250, "ping p99": 250}
# An answer takes some turns of client, daemon and process: when each turn comes later, by what others do to the machine, so does it.
LATE, TURNS = "late p99", 8
LATENCIES = ("canary p50", "canary p99", "ping p99")
PLOTTED = (("private dirty", "KiB"), ("descriptors", ""), ("children", ""), ("canary p50", "ms"), ("canary p99", "ms"), ("ping p99", "ms"),
           ("connections", "a second"), (LATE, "ms"), ("machine busy", "%"))
POINTS, PROBLEMS_SHOWN = 120, 20
# What was done, as a table calls it.
CALLED = {"canary": "times that the canary came", "speak": "rounds over the connections that are held all the while", "reload": "reloads", "upgrade": "upgrades",
          "look around": "questions on the control socket, as root", "looks, as somebody else": "questions on the control socket, as somebody else",
          "refused, as somebody else": "orders of somebody who may not", "hostile, as somebody else": "hostile clients of the control socket, as somebody else",
          "crashes": "processes that failed by themselves", "kills": "workers and processes on demand that were killed", "kill interpreter": "interpreters that were killed",
          "hostile": "turns of hostile clients, of one to twenty connections", "datagrams": "datagrams, and pauses", "names asked": "names asked for by tcpmux",
          "orders": "turns of orders: pause, stop, restart, drain, set"}


def series(samples, name):
    return [(s["seconds"], s[name]) for s in samples if s.get(name) is not None]


def growth(samples, name, share=0.5):
    points = series(samples, name)
    return slopes.growth(points, share) if len(points) > 1 else {"grown": 0.0, "low": 0.0, "high": 0.0}


def rows(samples):
    """[(name, unit, grown, allowed, flat)] of what is watched."""
    later = max(0.0, growth(samples, LATE)["grown"])
    found = []
    for name, unit, allowed, share in WATCHED:
        allowed += TURNS * later if name in LATENCIES else 0
        grown = growth(samples, name, share)
        found.append((name, unit, grown, allowed, slopes.is_flat(grown, allowed)))
    return found


def faults(samples):
    """What may never be, however flat."""
    found = []
    for name, most in MOST.items():
        values = [v for _, v in series(samples, name)]
        middle = slopes.quantile(values, 0.5) if values else None
        if middle is None or middle > most:
            found.append(f"{name}: {middle} ms in the middle, not {most}")
    stale = sum(bool(v) for _, v in series(samples, "zombies"))
    if stale:
        found.append(f"zombies in {stale} samples")
    return found


def line_of(name, unit, grown, allowed, flat, samples):
    values = [v for _, v in series(samples, name)] or [0]
    return (f"  {name:14} {'flat' if flat else 'GROWS':5} by {grown['grown']:8.2f} ({grown['low']:.2f} to {grown['high']:.2f}) {unit}, of {allowed:.0f} allowed; "
            f"between {min(values):.1f} and {max(values):.1f}, {slopes.quantile(values, 0.5):.1f} in the middle")


def verdict(facts):
    """Whether all is well, and the text that says so."""
    lines, good = [], True
    for subject, f in facts.items():
        found, problems = rows(f["samples"]), f["problems"] + faults(f["samples"])
        good = good and not problems and all(row[4] for row in found)
        lines.append(f"{subject}:")
        lines += [line_of(*row, f["samples"]) for row in found]
        for name, t in f["tallies"].items():
            lines.append(f"  {name:14} {t['answered']} connections answered, {t['failed']} failed, {t['rate']:.0f} a second, "
                         f"p50 {t['latency_usec']['whole']['p50'] / 1000:.1f} ms, p99 {t['latency_usec']['whole']['p99'] / 1000:.1f} ms")
        lines.append("  done: " + ", ".join(f"{times} {name}" for name, times in f["done"].items()))
        lines.append("  processor: " + ", ".join(f"{name} {seconds:.0f} s" for name, seconds in f["cpu"].items()))
        lines.append(f"  private memory at rest: {f['rest'].get('before')} KiB before, {f['rest'].get('after')} KiB after")
        lines += [f"  PROBLEM: {p}" for p in problems[:PROBLEMS_SHOWN]]
        if len(problems) > PROBLEMS_SHOWN:
            lines.append(f"  and {len(problems) - PROBLEMS_SHOWN} more problems")
    lines.append("flat, and nothing was lost" if good else "NOT as it should be")
    return good, "\n".join(lines) + "\n"


def thinned(points, n=POINTS):
    """So many points of them at most, each the middle one of its part of the time."""
    if len(points) <= n:
        return points
    return slopes.blocks(points, n)


def plot(facts):
    names = list(facts)
    drawing = svg.Drawing("Under mixed load for long", svg.COLOURS)
    drawing.text(svg.MARGIN, 26, drawing.title, kind="title")
    top, said = drawing.legend(names, 40), []
    for i, (name, unit) in enumerate(PLOTTED):
        lines = [(n, thinned([(t / 60, v) for t, v in series(facts[n]["samples"], name)])) for n in names]
        if not all(points for _, points in lines):
            continue
        top = svg.panel(drawing, top, 104, f"{name}, {unit}" if unit else name, "minutes" if i == len(PLOTTED) - 1 else "", lines)
        said += [f"{name} of {n}: from {svg.short(p[0][1])} to {svg.short(p[-1][1])}, between {svg.short(min(v for _, v in p))} and {svg.short(max(v for _, v in p))}"
                 for n, p in lines]
    drawing.height = int(top)
    return drawing.finish("; ".join(said))


def table(facts, seconds):
    """The same as Markdown, a column a daemon."""
    names = list(facts)
    lines = ["| | " + " | ".join(names) + " |", "| --- |" + " ---: |" * len(names)]

    def add(what, values):
        lines.append(f"| {what} | " + " | ".join(str(v) for v in values) + " |")

    def number(n):
        return f"{n:,.0f}"
    add("minutes", [f"{seconds / 60:.0f}"] * len(names))
    add("connections answered, of the loads", [number(sum(t["answered"] for t in facts[n]["tallies"].values())) for n in names])
    add("of those failed", [number(sum(t["failed"] for t in facts[n]["tallies"].values())) for n in names])
    for what in dict.fromkeys(w for n in names for w in facts[n]["done"]):
        add(CALLED.get(what, what), [number(facts[n]["done"].get(what, 0)) for n in names])
    for name in ("forks", "relay"):
        add(f"the load of `{name}`: half of its connections and 99 % of them within, ms",
            [" and ".join(f"{facts[n]['tallies'][name]['latency_usec']['whole'][q] / 1000:.1f}" for q in ("p50", "p99")) if name in facts[n]["tallies"] else "" for n in names])
    for name, unit, *_ in WATCHED:
        cells = []
        for n in names:
            grown, values = growth(facts[n]["samples"], name, dict((w[0], w[3]) for w in WATCHED)[name]), [v for _, v in series(facts[n]["samples"], name)] or [0]
            cells.append(f"{slopes.quantile(values, 0.5):,.1f} ({grown['grown']:+.1f})")
        add(f"{name}, in the middle (growth)" + (f", {unit}" if unit else ""), cells)
    ends = {n: slopes.blocks(slopes.without_warm_up(series(facts[n]["samples"], "private dirty")), share=0.1) for n in names}
    add("private dirty memory after the warm-up and at the end, KiB", [f"{ends[n][0][1]:,.0f}, {ends[n][-1][1]:,.0f}" for n in names])
    add("private memory at rest before and after, KiB", [f"{facts[n]['rest'].get('before')}, {facts[n]['rest'].get('after')}" for n in names])
    return "\n".join(lines) + "\n"
