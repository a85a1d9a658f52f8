"""Members that are missing in a sequence, by a counter or by the time that each takes.

A counter is sure: it rises by the same from each to the next, and by a multiple where some are
missing. Time is a hint: a microscope that works in a steady rhythm shows a gap of two periods where
a layer is missing, and seldom else. A gap that is no multiple is a pause, and a long one says
nothing, for errors of many periods add up to a share of one.
"""

from __future__ import annotations

import numpy as np
from scipy.ndimage import median_filter

from scripts.lib.arrays import Array
from scripts.lib.numerics import robust

LEAST_STEPS = 4  # fewer have no rhythm
LEAST_SHARE = 0.75  # of steps that are alike; else the counter does not count these members
AROUND = 31  # steps; the rhythm changes over a run, with the size of the tiles
CLOCK_SD_S = 0.5  # of the difference of two times in whole seconds: 0.41
DEVIATIONS = 3.0  # that a gap may be off its multiple
MOST_CHANCE = (
    1 / 3
)  # share of all pauses that lie so near to a multiple: beyond, a gap says nothing


def by_counter(number: Array) -> Array:
    """Count what a counter says is missing.

    Parameters
    ----------
    number
        (n,) of each member, in order; NaN = unknown.

    Returns
    -------
    Array
        (n,) members missing before each since the last one with a number; NaN where it is not
        known: at the first, where the counter starts anew, and all when it counts something else.
    """
    out = np.full(len(number), np.nan)
    at = np.flatnonzero(np.isfinite(number))
    rate = np.diff(number[at]) / np.diff(at)
    rising = rate > 0
    if np.count_nonzero(rising) < LEAST_STEPS:
        return out
    usual = float(np.median(rate[rising]))
    if np.mean(rate[rising] == usual) < LEAST_SHARE:
        return out
    missing = np.rint((rate / usual - 1) * np.diff(at))
    out[at[1:]] = np.where(rising, np.maximum(missing, 0), np.nan)
    return out


def by_time(gap_s: Array, most_s: float = np.inf) -> tuple[Array, Array]:
    """Count what the times between members let expect to be missing.

    Parameters
    ----------
    gap_s
        (n,) time since the one before, s; NaN = unknown.
    most_s
        What is longer is an interruption, of which time tells nothing, s.

    Returns
    -------
    missing : Array
        (n,) members missing before each; 0 where nothing is known.
    usual_s : Array
        (n,) median time around each, s.
    """
    missing, usual = np.zeros(len(gap_s)), np.full(len(gap_s), np.nan)
    known = np.isfinite(gap_s) & (gap_s > 0)
    if np.count_nonzero(known) < LEAST_STEPS:
        return missing, usual
    gap = gap_s[known]
    usual[known] = median_filter(gap, size=AROUND, mode="nearest")
    spread = max(CLOCK_SD_S, robust.deviation(gap - usual[known], 0.0))
    periods = np.maximum(np.rint(gap / usual[known]), 1)
    near = DEVIATIONS * spread * np.sqrt(periods)  # errors of independent periods add in square
    fits = np.abs(gap - periods * usual[known]) <= near
    sure = 2 * near <= MOST_CHANCE * usual[known]
    missing[known] = np.where(fits & sure & (gap <= most_s), periods - 1, 0)
    return missing, usual
