"""Medians of paired ratios and their bootstrap intervals."""

import random

RESAMPLES = 2000


def median(values):
    values = sorted(values)
    middle = len(values) // 2
    return values[middle] if len(values) % 2 else (values[middle - 1] + values[middle]) / 2


def interval(values, seed=0, share=0.95):
    """(low, high): the bootstrap interval of the median."""
    r = random.Random(seed)
    medians = sorted(median(r.choices(values, k=len(values))) for _ in range(RESAMPLES))
    cut = int(RESAMPLES * (1 - share) / 2)
    return medians[cut], medians[-1 - cut]


def spread(values):
    """Half of the distance between the quartiles, relative to the median: how noisy the machine is."""
    values = sorted(values)
    return (values[len(values) * 3 // 4] - values[len(values) // 4]) / 2 / median(values) if median(values) else 0.0


def best_of(figures, names):
    """The name whose median is the smallest."""
    return min((name for name in names if name in figures), key=lambda name: median(figures[name]))


class Ratio:
    """lbox against a peer, repeat by repeat: both were measured within seconds of each other."""

    def __init__(self, ours, theirs):
        ratios = [a / b for a, b in zip(ours, theirs) if b > 0]
        self.median = median(ratios)
        self.low, self.high = interval(ratios)

    def meets(self, limit):
        return self.high <= limit
