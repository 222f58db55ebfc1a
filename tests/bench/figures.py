# SPDX-License-Identifier: MIT
"""From slices to figures: medians, ratios within rounds, and how finely they can be read. No input or output here.

A ratio is made within one round, between slices that were a moment apart; its figure is the median over the rounds. The
reference runs twice: the ratio of the two is 1 but for noise. How far it is from 1 in the middle round, in either
direction, is the spread: a figure of 1.20 with a spread of 0.05 may as well be anything from 1.14 to 1.26.
"""
import math
import statistics

# Slices that others disturbed are left out where so many undisturbed rounds remain.
ENOUGH = 5


def median(values):
    values = [v for v in values if v is not None]
    return statistics.median(values) if values else None


def quiet(tuples, disturbed):
    """Those of the tuples of slices that nobody disturbed, where they are enough; else all."""
    undisturbed = [t for t in tuples if all(r.get("others", 0) <= disturbed for r in t)]
    return undisturbed if len(undisturbed) >= min(ENOUGH, len(tuples)) else tuples


def typical(rounds, key, disturbed=1.0):
    return median([r[key] for (r,) in quiet([(r,) for r in rounds], disturbed)])


def ratios(mine, theirs, key, disturbed=1.0):
    """Of each round, as far as both have a figure in it."""
    return [a[key] / b[key] for a, b in quiet(list(zip(mine, theirs)), disturbed) if a[key] is not None and b[key]]


def spread(self_ratios):
    """The median distance from 1 of the ratios of something to itself, as a share: 0.05 is from 1/1.05 to 1.05."""
    distances = [abs(math.log(r)) for r in self_ratios if r > 0]
    return math.expm1(statistics.median(distances)) if distances else None


def figure(reached, noise=0.0):
    """What rows are judged by: a value, and the spread, as a share of it; a count has none. None is no figure."""
    return None if reached is None else {"reached": reached, "spread": noise or 0.0}


def ratio(mine, theirs, again, key, disturbed=1.0):
    """The figure of a ratio of two servers' rounds, with the spread of a reference that was measured twice: @again is
    its pair of rounds."""
    return figure(median(ratios(mine, theirs, key, disturbed)), spread(ratios(*again, key, disturbed)))
