# SPDX-License-Identifier: MIT
"""Results as lines of text: plain tables for a terminal, or Markdown."""
import rows


def number(value, digits=0):
    return "-" if value is None else "{:,.{}f}".format(value, digits)


def plain(lines):
    """Columns, the first one to the left, the others to the right."""
    widths = [max(len(line[i]) for line in lines) for i in range(len(lines[0]))]
    return ["  ".join([line[0].ljust(widths[0])] + [f.rjust(w) for f, w in zip(line[1:], widths[1:])]).rstrip()
            for line in lines]


def markdown(lines):
    head, *rest = lines
    return ["| %s |" % " | ".join(line) for line in [head, ["---"] + ["--:"] * (len(head) - 1), *rest]]


def value_of(row, value):
    return number(value, row.digits) + (" " + row.unit if row.unit and value is not None else "")


def spread_of(verdict):
    """Of a ratio; counts have none."""
    return "± %.0f %%" % (verdict.spread * 100) if verdict.spread else ""


def verdicts(judged, layout=plain):
    lines = [["what", "bound", "reached", "spread", "verdict"]]
    for v in judged:
        bound = "%s %s" % ("≥" if v.row.least else "≤", value_of(v.row, v.row.bound))
        lines.append([v.row.what, bound, value_of(v.row, v.reached), spread_of(v), v.state])
    return layout(lines) if judged else []


def summary(judged):
    states = [v.state for v in judged]
    return ", ".join("%d %s" % (states.count(s), s.lower()) for s in (rows.HOLDS, rows.MISSED, rows.NOISY, rows.MISSING)
                     if s in states)
