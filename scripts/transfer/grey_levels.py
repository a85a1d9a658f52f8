"""Grey levels: which pixels of a layer say what its contrast range is.

The published range (`contrast`) is that of all pixels that are not saturated. It is kept wherever
pixels are those of a specimen; what is none of it has no part, because one dead tile of four would
halve the contrast of the other three:

* a level at which pixels are *stuck*: noise of s levels puts at most exp(1 / (2 s^2)) times as many
  pixels on a level as on the next one, so `STUCK_PEAK` times as many are no noise of more than half
  a level. A detector or beam that was off, a margin that was filled, a signal that was clipped;
* a tile that is *flat* beside the others of its layer (detector off, with its own noise), or
  *wild*: wider than 16 bits hold, as bytes in a wrong order are.

Where nothing would be left, all counts. Pixels that are far from nearly all others, as those of a
particle that charges, count as if they lay at `FAR_SD`, as soon as they alone make the range more
than three times as wide.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping

import numpy as np

from scripts.lib.arrays import Bool, Int64

VALUES = 65536
LEVELS = np.arange(VALUES, dtype=np.uint16).view(np.int16).astype(np.int64)  # code -> pixel value
LOW, HIGH = -32768, 32767
MARGIN = 3  # levels at both ends of the 16-bit range that count as saturated
UNSATURATED: Bool = (LEVELS >= LOW + MARGIN) & (LEVELS < HIGH - MARGIN)

STUCK_SHARE = 0.01  # of a tile's pixels on one level: fewer do not move the range
STUCK_PEAK = 10.0  # times as many as on the levels beside it: noise of less than half a level
FLAT = 0.05  # of the spread of the tile with the widest: noise of a detector that is off
WILD_SD = VALUES / 8  # levels: ±4 of it are more than 16 bits
FAR_SD = 5.0  # of the spread of nearly all pixels: what lies farther than 4 is clipped anyhow
NEARLY_ALL = (0.05, 0.95)  # of the pixels
PART = 0.5  # of a tile's area: less is reported by the survey of the review, which looks at places
_NORMAL = 3.29  # standard deviations between the quantiles of nearly all
_BY_LEVEL = np.argsort(LEVELS)


def of_signal(counts: Mapping[str, Int64]) -> Int64:
    """Add up the histograms of what shows the specimen.

    Parameters
    ----------
    counts
        (65536,) pixels by code, of each tile.

    Returns
    -------
    Int64
        (65536,); of all pixels where none would be left.
    """
    clean = {key: np.where(stuck(one), 0, one) for key, one in counts.items()}
    spread = {key: deviation(one) for key, one in clean.items()}
    least = FLAT * widest(spread.values())
    used = [clean[key] for key, value in spread.items() if least < value <= WILD_SD]
    return without_far(np.sum(used or list(counts.values()), axis=0, dtype=np.int64))


def faults(counts: Mapping[str, Int64]) -> dict[str, str]:
    """Say which tiles of a layer show nothing of the specimen.

    Parameters
    ----------
    counts
        (65536,) pixels by code, of each tile.

    Returns
    -------
    dict
        Words by tile key, of those alone.
    """
    most = widest(deviation(np.where(stuck(one), 0, one)) for one in counts.values())
    said = {key: fault(one, most) for key, one in counts.items()}
    return {key: words for key, words in said.items() if words}


def widest(spreads: Iterable[float]) -> float:
    """Return the widest spread that an image may have.

    Parameters
    ----------
    spreads
        `deviation` of the tiles of a layer, levels.

    Returns
    -------
    float
        Levels; 0 of none.
    """
    return max((value for value in spreads if value <= WILD_SD), default=0.0)


def stuck(counts: Int64) -> Bool:
    """Mark levels that hold more pixels than any noise puts on one.

    Parameters
    ----------
    counts
        (65536,) pixels by code, of one tile.

    Returns
    -------
    ndarray
        (65536,) bool by code; saturated levels are not looked at.
    """
    out = np.zeros(VALUES, bool)
    there = _BY_LEVEL[((counts > 0) & UNSATURATED)[_BY_LEVEL]]
    own = counts[there]
    ends = np.concatenate([[0], own, [0]])
    beside = np.maximum(ends[:-2], ends[2:])
    out[there[(own > STUCK_SHARE * counts.sum()) & (own > STUCK_PEAK * beside)]] = True
    return out


def deviation(counts: Int64) -> float:
    """Return the standard deviation of a histogram.

    Parameters
    ----------
    counts
        (65536,) pixels by code.

    Returns
    -------
    float
        Of the pixels that are not saturated, levels; 0 of none.
    """
    total, first, second = moments(counts)
    return float(np.sqrt((second * total - first * first) / (total * total))) if total else 0.0


def moments(counts: Int64) -> tuple[int, int, int]:
    """Return number, sum and sum of squares of the pixels that are not saturated.

    Parameters
    ----------
    counts
        (65536,) pixels by code.

    Returns
    -------
    tuple
        Exact: 64-bit sums hold 8e9 pixels, the Python integers of what is made of them anything.
    """
    values, numbers = LEVELS[UNSATURATED], counts[UNSATURATED]
    total, first, second = (int(numbers @ values**power) for power in (0, 1, 2))
    return total, first, second


def without_far(counts: Int64) -> Int64:
    """Draw in pixels that alone make the range wide.

    Parameters
    ----------
    counts
        (65536,) pixels by code.

    Returns
    -------
    Int64
        (65536,); the same where nearly all pixels take at least an eighth of the range.
    """
    low, middle, high = _quantiles(counts)
    width = high - low
    if width <= 0 or width >= deviation(counts):
        return counts
    reach = FAR_SD * width / _NORMAL
    far = np.clip(LEVELS, np.ceil(middle - reach), np.floor(middle + reach)).astype(np.int64)
    out = np.where(UNSATURATED, 0, counts)
    np.add.at(out, far[UNSATURATED] & (VALUES - 1), counts[UNSATURATED])
    return out


def _quantiles(counts: Int64) -> tuple[float, float, float]:
    """Return the ends and the middle of nearly all pixels that are not saturated; 0 of none."""
    below = np.cumsum(np.where(UNSATURATED, counts, 0)[_BY_LEVEL])
    shares = np.array([NEARLY_ALL[0], 0.5, NEARLY_ALL[1]])
    at = np.searchsorted(below, shares * below[-1])
    low, middle, high = LEVELS[_BY_LEVEL[at]].tolist()
    return low, middle, high


def fault(counts: Int64, most: float) -> str:
    """Say that a tile, or a part of it, shows nothing of the specimen.

    Parameters
    ----------
    counts
        (65536,) pixels by code.
    most
        `widest` of its layer, levels.

    Returns
    -------
    str
        Empty where all of it may be a signal.
    """
    share = counts / max(int(counts.sum()), 1)
    level = int(share.argmax())
    saturated, dead = ~UNSATURATED, stuck(counts)
    own = deviation(np.where(dead, 0, counts))
    if share[level] == 1:
        return f"constant ({LEVELS[level]}): detector off?"
    if share[saturated].sum() >= PART:
        return f"saturated in {share[saturated].sum():.0%} of its area: detector overloaded?"
    if share[dead].sum() >= PART:
        return f"one value ({LEVELS[level]}) in {share[dead].sum():.0%} of its area: beam off?"
    if own > WILD_SD:
        return f"grey values spread by {own:.0f} levels: bytes in disorder?"
    if own < FLAT * most:
        return f"no structure (spread {own:.3g} levels, of others {most:.3g}): detector off?"
    return ""
