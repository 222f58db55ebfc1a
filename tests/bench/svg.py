# SPDX-License-Identifier: MIT
"""Plots as SVG text: horizontal bars in groups, and lines in panels. Colours follow the reader's light or dark scheme; what
a plot shows also stands in its title and description, for those who do not see it."""
import math
from xml.sax.saxutils import escape

WIDTH = 760
MARGIN = 16
# About the width of a letter, for labels that need room beside them.
LETTER = 6.7
LIGHT = {"back": "#ffffff", "ink": "#1f2328", "soft": "#59636e", "grid": "#d8dee4"}
DARK = {"back": "#0d1117", "ink": "#e6edf3", "soft": "#9198a1", "grid": "#30363d"}
# Told apart by those who do not see all colours as well, and on both backgrounds.
COLOURS = (("#0969da", "#58a6ff"), ("#d1570a", "#f0883e"), ("#1a7f5a", "#3fb985"), ("#a0419c", "#d48ad1"),
           ("#8a6d00", "#d8b93a"), ("#59636e", "#9aa4ae"), ("#b3283f", "#ff8095"), ("#2f8fa8", "#66cbe3"))
# Of one thing in several degrees: light to strong.
SHADES = (("#9cc7f5", "#1f4b82"), ("#4b93e0", "#3a7fd0"), ("#0b4a94", "#8fc2ff"))


def style(colours):
    def rules(scheme, which):
        fills = "".join(".f%d{fill:%s}.s%d{stroke:%s}" % (i, c[which], i, c[which]) for i, c in enumerate(colours))
        return (".back{fill:%(back)s}text{fill:%(ink)s}.soft{fill:%(soft)s}.grid{stroke:%(grid)s}.mark{stroke:%(ink)s}"
                % scheme) + fills
    return ("<style>text{font:12px system-ui,-apple-system,'Segoe UI',sans-serif}.title{font-size:15px;font-weight:600}.small{font-size:10.5px}"
            ".strong{font-weight:600}.line{fill:none;stroke-width:2}.mark{stroke-dasharray:4 3}%s"
            "@media(prefers-color-scheme:dark){%s}</style>" % (rules(LIGHT, 0), rules(DARK, 1)))


class Drawing:
    """The text of one SVG, in the making; it grows downwards."""

    def __init__(self, title, colours):
        self.title, self.colours, self.parts, self.height = title, colours, [], 0

    def text(self, x, y, text, anchor="start", kind="", turned=False):
        turn = ' transform="rotate(-90 %.1f %.1f)"' % (x, y) if turned else ""
        self.parts.append('<text x="%.1f" y="%.1f" text-anchor="%s" class="%s"%s>%s</text>'
                          % (x, y, anchor, kind, turn, escape(text)))

    def line(self, x1, y1, x2, y2, kind):
        self.parts.append('<line x1="%.1f" y1="%.1f" x2="%.1f" y2="%.1f" class="%s"/>' % (x1, y1, x2, y2, kind))

    def bar(self, x, y, width, height, colour):
        self.parts.append('<rect x="%.1f" y="%.1f" width="%.1f" height="%.1f" rx="1" class="f%d"/>'
                          % (x, y, max(width, 0.5), height, colour))

    def curve(self, points, colour):
        self.parts.append('<polyline class="line s%d" points="%s"/>'
                          % (colour, " ".join("%.1f,%.1f" % p for p in points)))

    def dot(self, x, y, colour):
        self.parts.append('<circle cx="%.1f" cy="%.1f" r="3" class="f%d"/>' % (x, y, colour))

    def legend(self, names, y):
        """In as many lines as it takes; returns where it ends."""
        if len(names) < 2:
            return y
        x = MARGIN
        for i, name in enumerate(names):
            room = 18 + LETTER * len(name) + 16
            if x + room > WIDTH and x > MARGIN:
                x, y = MARGIN, y + 18
            self.bar(x, y, 12, 12, i)
            self.text(x + 18, y + 10.5, name)
            x += room
        return y + 24

    def finish(self, description):
        return ('<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 %d %d" width="%d" height="%d" role="img" '
                'aria-labelledby="t d"><title id="t">%s</title><desc id="d">%s</desc>%s'
                '<rect class="back" width="100%%" height="100%%"/>\n%s\n</svg>\n'
                % (WIDTH, self.height, WIDTH, self.height, escape(self.title), escape(description), style(self.colours),
                   "\n".join(self.parts)))


def short(value):
    """A number as a person writes it on an axis."""
    if value == 0:
        return "0"
    if abs(value) >= 1000:
        return "{:,.0f}".format(value)
    return "%g" % float("%.3g" % value)


def fixed(digits):
    """Numbers of one plot that are read beside each other."""
    return lambda value: "%.*f" % (digits, value)


def ticks(top, most=6):
    """From 0 to at least @top, in round steps."""
    if top <= 0:
        return [0, 1]
    step = 10 ** math.floor(math.log10(top / most))
    step = next(step * m for m in (1, 2, 2.5, 5, 10) if top / (step * m) <= most)
    return [i * step for i in range(math.ceil(top / step - 1e-9) + 1)]


def factors(low, high, most=8):
    """1, 2 and 5 times powers of ten, from below @low to above @high; only the powers where that were too many."""
    powers = range(math.floor(math.log10(low)), math.ceil(math.log10(high)) + 1)
    for steps in ((1, 2, 5), (1,)):
        every = [step * 10.0 ** power for power in powers for step in steps]
        first = max((t for t in every if t <= low), default=every[0])
        last = min((t for t in every if t >= high), default=every[-1])
        found = [t for t in every if first <= t <= last]
        if len(found) <= most:
            break
    return found


def bars(title, unit, categories, series, mark=None, strong=None, shades=True, label=short):
    """Horizontal bars. @series: [(name, [value of each category, or None])]; @mark: a line at this value; @strong: the
    category that stands out; @shades: the series are degrees of one thing, and not different things."""
    drawing = Drawing(title, SHADES[3 - len(series):] if shades and len(series) <= 3 else COLOURS)
    drawing.text(MARGIN, 26, title, kind="title")
    top = drawing.legend([name for name, _ in series], 40)
    left = MARGIN + LETTER * max(len(c) for c in categories) + 8
    thick = 12
    # A category has room for those series that have a value of it.
    there = [[k for k, (_, of) in enumerate(series) if of[i] is not None] for i in range(len(categories))]
    bottom = top + sum(thick * len(ks) + 9 for ks in there) + 4
    values = [v for _, of in series for v in of if v is not None]
    scale = ticks(max(values + [mark or 0]))
    width = WIDTH - left - MARGIN - 46

    def at(value):
        return left + width * value / scale[-1]

    for tick in scale:
        drawing.line(at(tick), top, at(tick), bottom, "grid")
        drawing.text(at(tick), bottom + 15, short(tick), "middle", "soft")
    if mark is not None:
        drawing.line(at(mark), top, at(mark), bottom, "mark")
    y = top + 5
    for i, (category, ks) in enumerate(zip(categories, there)):
        drawing.text(left - 8, y + thick * len(ks) / 2 + 4, category, "end", "strong" if category == strong else "")
        for k in ks:
            value = series[k][1][i]
            drawing.bar(left, y, at(value) - left, thick - 1.5, k)
            drawing.text(at(value) + 4, y + thick - 3, label(value), kind="soft small")
            y += thick
        y += 9
    drawing.text(left + width / 2, bottom + 33, unit, "middle", "soft")
    drawing.height = int(bottom + 46)
    return drawing.finish("; ".join("%s: %s" % (c, ", ".join(
        "%s %s" % (name, label(of[i])) for name, of in series if of[i] is not None)) for i, c in enumerate(categories)))


class Axis:
    """Values to places between two ends; @log: equal steps are equal factors. @names: of points that have no number."""

    def __init__(self, values, ends, log=False, names=None):
        self.ends, self.log = ends, log
        if names:
            self.ticks = list(range(len(names)))
        elif log:
            self.ticks = factors(min(values), max(values))
        else:
            self.ticks = ticks(max(values))
        self.labels = names or [short(t) for t in self.ticks]
        if log and len(self.ticks) == 1:
            self.ticks.append(self.ticks[0] * 10)
            self.labels.append(short(self.ticks[-1]))

    def at(self, value):
        low, high = self.ticks[0], self.ticks[-1]
        if self.log:
            low, high, value = math.log10(low), math.log10(high), math.log10(value)
        share = (value - low) / (high - low) if high > low else 0.5
        return self.ends[0] + (self.ends[1] - self.ends[0]) * share


def panel(drawing, top, height, y_label, x_label, series, x_names=None, x_log=False, y_log=False):
    """One plot of lines; returns where it ends. @series: [(name, [(x, y)])]; with @x_names x is a number of theirs."""
    points = [p for _, of in series for p in of]
    left, right, bottom = MARGIN + 76, WIDTH - MARGIN - 28, top + height
    xs = Axis([p[0] for p in points], (left, right), x_log, x_names)
    ys = Axis([p[1] for p in points], (bottom, top + 8), y_log)
    for tick, label in zip(ys.ticks, ys.labels):
        drawing.line(left, ys.at(tick), right, ys.at(tick), "grid")
        drawing.text(left - 8, ys.at(tick) + 4, label, "end", "soft")
    for tick, label in zip(xs.ticks, xs.labels):
        drawing.line(xs.at(tick), bottom, xs.at(tick), bottom + 4, "grid")
        drawing.text(xs.at(tick), bottom + 18, label, "middle", "soft")
    for i, (_, of) in enumerate(series):
        drawing.curve([(xs.at(x), ys.at(y)) for x, y in of], i)
        if len(of) <= 12:
            for x, y in of:
                drawing.dot(xs.at(x), ys.at(y), i)
    drawing.text(MARGIN + 2, (top + bottom) / 2, y_label, "middle", "soft", turned=True)
    drawing.text((left + right) / 2, bottom + 36, x_label, "middle", "soft")
    return bottom + 46


def describe(series, x_names):
    def place(x):
        return x_names[x] if x_names else short(x)
    return "; ".join("%s: %s" % (name, ", ".join("%s at %s" % (short(y), place(x)) for x, y in of)) for name, of in series)


def lines(title, x_label, y_label, series, x_names=None, x_log=False, y_log=False):
    drawing = Drawing(title, COLOURS)
    drawing.text(MARGIN, 26, title, kind="title")
    top = drawing.legend([name for name, _ in series], 40)
    drawing.height = int(panel(drawing, top, 260, y_label, x_label, series, x_names, x_log, y_log))
    return drawing.finish(describe(series, x_names))


def panels(title, x_label, plots):
    """Several plots of one line each, below one another. @plots: [(label of y, [(x, y)])]"""
    drawing = Drawing(title, COLOURS)
    drawing.text(MARGIN, 26, title, kind="title")
    top = 40
    for label, points in plots:
        top = panel(drawing, top, 110, label, x_label if label == plots[-1][0] else "", [(label, points)])
    drawing.height = int(top)
    ends = ["%s: from %s to %s, between %s and %s" % (label, short(of[0][1]), short(of[-1][1]), short(min(y for _, y in of)),
                                                     short(max(y for _, y in of))) for label, of in plots]
    return drawing.finish("; ".join(ends))
