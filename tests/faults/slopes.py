# SPDX-License-Identifier: MIT
"""Whether something stays flat: by how much it grew over a run, with the spread of that, from samples of it. No input or
output here.

The time is cut into blocks, each of which counts by its lowest tenth where a high moment is no growth (memory while much
goes on), or its middle. The growth is the median of the slopes between all pairs of blocks (Theil and Sen), its spread
their quartiles: one block that stands out moves neither."""
import statistics

BLOCKS = 12
# Of what is at the beginning of a run, until everything has been made that is made once.
WARM_UP = 0.15


def without_warm_up(samples, share=WARM_UP):
    """The samples [(seconds, value)] behind the beginning."""
    first, last = samples[0][0], samples[-1][0]
    return [(t, v) for t, v in samples if t >= first + share * (last - first)]


def quantile(values, share):
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, int(share * len(ordered)))]


def blocks(samples, n=BLOCKS, share=0.5):
    """[(middle, value)] of so many parts of the time, of those that have samples."""
    first, last = samples[0][0], samples[-1][0]
    width = (last - first) / n or 1.0
    found = []
    for i in range(n):
        low, high = first + i * width, first + (i + 1) * width
        part = [v for t, v in samples if low <= t < high or (i == n - 1 and t == last)]
        if part:
            found.append(((low + high) / 2, quantile(part, share)))
    return found


def slope(points):
    """(median, lower quartile, upper quartile) of the slopes between all pairs; zeros of fewer than two points."""
    slopes = [(b[1] - a[1]) / (b[0] - a[0]) for i, a in enumerate(points) for b in points[i + 1:] if b[0] > a[0]]
    if not slopes:
        return 0.0, 0.0, 0.0
    return statistics.median(slopes), quantile(slopes, 0.25), quantile(slopes, 0.75)


def growth(samples, share=0.5):
    """By how much it has grown from the warm-up to the end: {"grown", "low", "high"}, in its own unit."""
    warm = without_warm_up(samples)
    seconds = warm[-1][0] - warm[0][0]
    middle, low, high = slope(blocks(warm, share=share))
    return {"grown": middle * seconds, "low": low * seconds, "high": high * seconds}


def is_flat(grown, allowed):
    """It has not grown by more than that, or it cannot be told from having not: then its lower quartile is within it."""
    return grown["low"] <= allowed
