"""How seldom an even stack looks as uneven: a test that needs no size of the error.

Thickness is common to all cells of a layer, while what their tissue errs by has its own sign in
each. So in a stack of even thickness the contributions of cells may change their signs, each cell
all along z, and look like another even stack; in an uneven one the sum over cells falls when they
do. How many of such stacks have waves as great as the one seen is its chance: exact for independent
cells, whatever the error is distributed like, and however it goes on along z (Romano 1990,
doi:10.1080/01621459.1990.10474928).

Cells that touch are not quite independent, for structures reach over their borders. By how much
more they have in common than cells that lie apart, the drawn stacks are made stronger. A thickness
is in all pairs of cells alike and does not count there.

With few cells there are few ways to choose signs: four cells never show a chance below one in
eight, and that is all that is known there. With many, a clear change of thickness shows in drawn
stacks too whose signs are mostly alike; where the chance is small, signs of either kind are
therefore drawn in equal number, which takes out all that is common.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from scripts.lib.arrays import Array, Bool
from scripts.zcorr.recursion import decayed

_SCALES = (0.5, 1.0, 2.0, 4.0, 8.0)  # layers; changes of thickness that go on so far, and of one
_DRAWS = 999
_LEAST_DRAWS = 199  # of long stacks; the least chance is then one in 200
_MOST_DRAWN = 2_000_000  # steps drawn at a time: 16 MB for each array of them
_TINY = 1e-12  # of what is divided by, where nothing is known
_LEAST_FAR = 12  # pairs of cells that lie apart; fewer (of 6 cells: 4) are no measure of the rest
_SMALL = 0.05  # chance below which signs are balanced


@dataclass(frozen=True, eq=False)
class Cells:
    """What B cells have to do with n steps from layer to layer."""

    influence: Array  # (n, B) what each changes in the log of a step; all together nothing
    share: Array  # (n, B) part of the layer's tissue that lies in it
    area: Array  # (n,) part of the layer that is tissue


@dataclass(frozen=True, eq=False)
class Contributions:
    """What each cell adds to the change of n steps; the sum of all is what was measured."""

    cells: Array  # (n, B)
    weight: Array  # (n,) of each step
    touching: float  # variance of the sum by what touching cells share, of that of single cells

    @staticmethod
    def of(log: Array, known: Bool, cells: Cells) -> Contributions:
        """Tell what each cell adds.

        Parameters
        ----------
        log
            (n,) log of measured steps.
        known
            (n,) False where nothing was measured.
        cells
            Of the same steps.

        Returns
        -------
        Contributions
            Of the cells that hold tissue.
        """
        # a variance goes down as the area, so that its root weighs all steps alike
        root = np.where(known, np.sqrt(np.maximum(cells.area, 0.0)), 0.0)
        weight = root / max(float(root.max(initial=0.0)), _TINY)
        square = weight**2
        mean = (square @ np.where(known, log, 0.0)) / max(float(square.sum()), _TINY)
        change = np.where(known, log - mean, 0.0)[:, None] * cells.share + cells.influence
        there = (cells.share > 0).any(axis=0)
        values = _centred(np.nan_to_num(weight[:, None] * change[:, there]), weight)
        return Contributions(values, weight, _touching(values))


def _centred(values: Array, weight: Array) -> Array:
    """(n, k) weighted values without the mean that each column has."""
    total = max(float(weight @ weight), _TINY)
    return np.asarray(values - np.outer(weight, (weight @ values) / total))


def _touching(cells: Array) -> float:
    """How much more touching cells have in common than others, of the variance of all."""
    rows, columns = _grid(cells.shape[1])
    row, column = np.divmod(np.arange(rows * columns), columns)
    apart = np.maximum(*(np.abs(np.subtract.outer(at, at)) for at in (row, column)))
    near, far = apart == 1, apart > 1
    shared = cells.T @ cells
    own = float(np.trace(shared))
    if far.sum() < 2 * _LEAST_FAR or own == 0:
        return 0.0
    return max(0.0, float(near.sum() * (shared[near].mean() - shared[far].mean()) / own))


def _grid(cells: int) -> tuple[int, int]:
    """Rows and columns of so many cells, as square as they can be."""
    rows = max(k for k in range(1, math.isqrt(max(cells, 1)) + 1) if cells % k == 0)
    return rows, cells // rows


def chance(each: Contributions) -> float:
    """Draw stacks of even thickness and tell how seldom they look as uneven.

    Parameters
    ----------
    each
        What cells add to the steps.

    Returns
    -------
    float
        Above 0, at most 1; 1 where fewer than two cells or three steps are known.
    """
    count = each.cells.shape[1]
    if count < 2 or np.count_nonzero(each.weight) < 3 or not each.cells.any():
        return 1.0
    draws = max(_LEAST_DRAWS, min(_DRAWS, _MOST_DRAWN // len(each.weight)))
    rng = np.random.default_rng(len(each.weight))
    free = _rank(each, rng.choice([-1.0, 1.0], (count, draws)))
    if free > _SMALL:
        return free
    half = np.where(np.arange(count) < count // 2, 1.0, -1.0)
    signs = np.stack([rng.permutation(half) for _ in range(draws)], axis=1)
    return min(free, _rank(each, signs))


def _rank(each: Contributions, signs: Array) -> float:
    """Share of stacks, with each (B, k) signs and as seen, that have as great waves."""
    block = max(1, _MOST_DRAWN // len(each.weight))
    parts = range(0, signs.shape[1], block)
    stronger = math.sqrt(1 + each.touching)
    drawn = [stronger * (each.cells @ signs[:, k : k + block]) for k in parts]
    power = np.hstack([_power(one) for one in [each.cells.sum(axis=1)[:, None], *drawn]])
    most = (power / power.mean(axis=1, keepdims=True)).max(axis=0)
    # all of one sign are the stack itself, which rounding or its strength must not tell apart
    same = np.abs(signs.sum(axis=0)) == len(signs)
    return float(1 + np.count_nonzero(same | (most[1:] >= most[0]))) / len(most)


def _power(values: Array) -> Array:
    """(scales, k) mean squares of (n, k) values, each averaged over some layers around."""
    return np.stack([(one**2).mean(axis=0) for one in _averaged(values)])


def _averaged(values: Array) -> list[Array]:
    """Give the values, and their means with weights that fall as exp(-distance / scale)."""
    out = [values]
    for scale in _SCALES:
        fall = math.exp(-1 / scale)
        ways = [decayed(values[::way], 1 - fall, fall)[::way] for way in (1, -1)]
        out.append(ways[0] + ways[1] - (1 - fall) * values)
    return out
