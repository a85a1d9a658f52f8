"""Weights of pairs by their residual, so that a wrong match does not distort the volume.

Iteratively re-weighted least squares on the root-mean-square residual of each pair. The unit of
residual is the median of the pairs at the same distance in z: layers further apart match less
well, and a median does not see the wrong ones. Huber (doi:10.1214/aoms/1177703732) keeps a part of
every pair's pull, Cauchy less of it, Geman-McClure least. All of them leave something to a pair
that is a little wrong, so a pair far outside the spread of its like leaves the solve.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from scipy.ndimage import maximum_filter1d
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components

from scripts.lib.arrays import Array, Bool, Int64
from scripts.lib.numerics.robust import MAD_TO_SD, Weighting, cauchy, geman_mcclure, huber

FLOOR_PX = 0.05  # below this a residual is rounding, not disagreement
SMALL_CLASS = 20  # pairs; fewer give no median of their own
# A pair is wrong, not noisy, beyond its class's median + WRONG_SD standard deviations (from the
# median absolute deviation), but not below the cutoff and always beyond WRONG cutoffs
WRONG_SD = 8.0
WRONG = 2.0
TORN = 0.75  # share of the pairs across a boundary of layers that are wrong where there is a step
SPREAD = 4.0  # a class may differ from all pairs by this factor at most

FUNCTIONS: dict[str, Weighting] = {
    "none": np.ones_like,
    "huber": huber,
    "cauchy": cauchy,
    "geman_mcclure": geman_mcclure,
}


def scales(residual: Array, dz: Array) -> Array:
    """Compute the typical residual of the pairs at each pair's distance in z.

    Parameters
    ----------
    residual
        (m,) root-mean-square residual of each pair, px.
    dz
        (m,) distance in layers, 0 for pairs within a layer.

    Returns
    -------
    Array
        (m,) medians, px; those of distances with few pairs are the median of all.
    """
    overall = max(float(np.median(residual)), FLOOR_PX) if len(residual) else FLOOR_PX
    out = np.full(len(residual), overall)
    for mine in _classes(dz):
        own = float(np.median(residual[mine]))
        out[mine] = min(max(own, overall / SPREAD, FLOOR_PX), overall * SPREAD)
    return out


def _classes(dz: Array) -> Iterator[Bool]:
    """Return masks of the pairs at each distance of which there are enough."""
    masks = (dz == value for value in np.unique(dz))
    return (mine for mine in masks if mine.sum() >= SMALL_CLASS)


def weights(kind: str, residual: Array, dz: Array, *, cutoff: float) -> Array:
    """Compute the robust factors of the pairs.

    Parameters
    ----------
    kind
        Name of a weight function (`FUNCTIONS`).
    residual, dz
        (m,) residual, px, and distance, layers, of each pair.
    cutoff
        Residual at which the function turns down, in multiples of the typical one.

    Returns
    -------
    Array
        (m,) factors 0..1.
    """
    return FUNCTIONS[kind](residual / (cutoff * scales(residual, dz)))


def wrong(residual: Array, dz: Array, *, cutoff: float) -> Bool:
    """Tell which pairs are wrong, not noisy.

    Parameters
    ----------
    residual, dz
        (m,) residual, px, and distance, layers, of each pair.
    cutoff
        In multiples of the typical residual: no pair below it is wrong, each beyond `WRONG` times
        it is.

    Returns
    -------
    Bool
        (m,) whether a pair lies beyond its class's median and `WRONG_SD` standard deviations.
    """
    typical = scales(residual, dz)
    away = np.abs(residual - typical)
    spread = np.full(len(away), float(np.median(away)) if len(away) else 0.0)
    for mine in _classes(dz):
        spread[mine] = np.median(away[mine])
    limit = typical + WRONG_SD * MAD_TO_SD * spread
    return residual > np.clip(limit, cutoff * typical, WRONG * cutoff * typical)


def bridges(good: Bool, n: int, p: Int64, q: Int64) -> Bool:
    """Tell which pairs alone join parts of the graph that good pairs do not join.

    No other pair contradicts them, they are only strained: to drop them would tear the volume.

    Parameters
    ----------
    good
        (m,) pairs that stay in any case.
    n
        Number of tiles.
    p, q
        (m,) tiles of each pair.

    Returns
    -------
    Bool
        (m,) whether the two tiles of a pair lie in different parts.
    """
    link = coo_array((np.ones(int(good.sum())), (p[good], q[good])), shape=(n, n))
    label = connected_components(link, directed=False)[1]
    return np.asarray(label[p] != label[q])


def torn(out: Bool, p: Int64, q: Int64, layers: int) -> Int64:
    """Find the layers that nearly no pair but wrong ones joins to those before.

    Parameters
    ----------
    out
        (m,) pairs that are wrong.
    p, q
        (m,) layers of each pair, numbered along z.
    layers
        Number of layers.

    Returns
    -------
    Int64
        Numbers of the layers; of several within the reach of a pair the one with the largest share
        of wrong pairs.
    """
    share = crossing(out, p, q, layers)
    reach = int(np.abs(p - q).max(initial=1))
    peak = share == maximum_filter1d(share, 2 * reach + 1, mode="constant")
    return np.flatnonzero(peak & (share > TORN))


def crossing(some: Bool, p: Int64, q: Int64, layers: int) -> Array:
    """Compute the share of some among the pairs from before each layer to it or beyond.

    Parameters
    ----------
    some
        (m,) pairs.
    p, q
        (m,) layers of each pair, numbered along z.
    layers
        Number of layers.

    Returns
    -------
    Array
        (layers,) 0..1; 0 where there is no pair.
    """
    every = np.ones(len(p), bool)
    count = [crossings(mine, p, q, layers) for mine in (some, every)]
    return np.asarray(count[0] / np.maximum(count[1], 1))


def crossings(some: Bool, p: Int64, q: Int64, layers: int, weight: Array | None = None) -> Array:
    """Add up the pairs of some that lead from before each layer to it or beyond.

    Parameters
    ----------
    some
        (m,) pairs.
    p, q
        (m,) layers of each pair, numbered along z.
    layers
        Number of layers.
    weight
        (m,) what each counts; None: one.

    Returns
    -------
    Array
        (layers,).
    """
    low, high = np.minimum(p, q)[some], np.maximum(p, q)[some]
    counts = np.ones(len(low)) if weight is None else weight[some]
    change = np.bincount(low + 1, counts, layers + 1) - np.bincount(high + 1, counts, layers + 1)
    # sums of weights leave rounding where no pair is left
    total = np.cumsum(change)[:layers]
    return np.asarray(np.where(total > 1e-9 * counts.sum(), total, 0.0))
